"""The Jupyter server extension: a page, a REST interface, streams, and a way to containers' ports.

``app`` is what the server loads; ``routes`` is the table of everything that can be asked, ``inputs``
checks what comes in, ``handlers``, ``stream`` and ``proxy`` speak HTTP. See docs/decisions/0037.
"""
