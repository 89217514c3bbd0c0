"""The engine's verbs on containers that run: standing still and going on."""

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandcell.runtime.engine.engine import Engine, Who
    from sandcell.runtime.engine.record import Record


class LivingVerbs:
    """The part of ``Engine`` that looks after containers while they run."""

    def pause(self, container: "Who") -> None:
        """Let all its processes stand still where they are, its memory kept. ``HostRefused`` without
        a control group, ``WrongState`` unless it runs."""
        from sandcell.runtime.engine import pausing

        who, tell = _who(self, container)
        pausing.pause(cast("Engine", self).places, who)
        tell("pause", who)

    def unpause(self, container: "Who") -> None:
        """Let a paused container go on."""
        from sandcell.runtime.engine import pausing

        who, tell = _who(self, container)
        pausing.unpause(cast("Engine", self).places, who)
        tell("unpause", who)


def _who(verbs: LivingVerbs, container: "Who") -> "tuple[Record, Callable[[str, Record], None]]":
    engine = cast("Engine", verbs)
    return engine._find(container), engine._tell
