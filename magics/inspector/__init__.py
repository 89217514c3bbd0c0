"""The inspector: images and containers as they are now, to be looked at and handled.

``model`` makes plain values of what the engine's verbs give, ``feed`` keeps them up to date,
``questions`` answers what somebody looks into, ``widget`` shows it in a notebook; ``static`` is the
JavaScript that the widget and the server's page share.
"""
