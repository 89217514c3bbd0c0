"""The engine's verbs that look at images closely."""

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine
    from sandcell.runtime.engine.looks import Usage, Waste
    from sandcell.runtime.engine.places import Places
    from sandcell.runtime.layer.tree import Change, Entry


class LookVerbs:
    """The part of ``Engine`` that tells what images hold, share and waste. Nothing is unpacked for it."""

    def image_files(self, name: str) -> "tuple[Entry, ...]":
        """The files of an image, all layers together, in order of path; those of one layer are told by
        ``layer_files``. Errors as ``image``."""
        from sandcell.runtime.engine import looks

        return looks.files(cast("Engine", self), name)

    def image_diff(self, old: str, new: str) -> "tuple[Change, ...]":
        """Files that the image ``new`` has more (A), otherwise (C) or no more (D) than ``old``, in order
        of path. Times do not count, contents do; of a deleted directory only itself is told."""
        from sandcell.runtime.engine import looks

        return looks.diff(cast("Engine", self), old, new)

    def image_waste(self, name: str) -> "Waste":
        """The bytes of lower layers that upper ones replaced or deleted: stored, sent, and never read."""
        from sandcell.runtime.engine import looks

        return looks.waste(cast("Engine", self), name)

    places: "Places"

    def spoiled(self) -> list[str]:
        """The ids of containers whose record cannot be read, as after a loss of power. Their files are there
        still; nothing but ``remove`` with ``force`` takes them away."""
        from sandcell.runtime.engine import record

        return record.spoiled(self.places)

    def inspect(self, name: str) -> dict[str, Any]:
        """A container, or else an image, as a JSON-able map in docker's words."""
        from sandcell.runtime.engine import inspect

        return inspect.inspect(cast("Engine", self), name)

    def usage(self) -> "Usage":
        """Which image takes how many bytes, shared with others and alone, and what ``prune`` would free."""
        from sandcell.runtime.engine import looks

        return looks.usage(cast("Engine", self))
