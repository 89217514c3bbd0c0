"""The operations a Dockerfile comes down to: every variable replaced, every default filled in.

A plan is a tuple of these. Each knows what it changes, files or settings, because that is what a
layer is: only what changes files makes one.
"""

from typing import Any, TypeAlias

import msgspec


class _Op(msgspec.Struct, frozen=True, kw_only=True):
    """``stage``: number of the stage it belongs to, from 0. ``text``: the instruction on one line.
    ``created_by``: what the image's history says of it. ``lines``, ``source``: of the Dockerfile."""

    stage: int
    text: str
    created_by: str = ""
    lines: tuple[int, int]
    source: str

    @property
    def effect(self) -> str:
        """What it changes, in a few words."""
        return "makes a layer"

    def describe(self) -> str:
        """The operation and its effect on one line."""
        return f"{self.text} → {self.effect}"


class Begin(_Op, frozen=True, kw_only=True):
    """A stage begins: with the image ``image``, with what stage ``parent`` made, or with nothing."""

    image: str = ""
    parent: int | None = None

    @property
    def effect(self) -> str:
        if self.parent is not None:
            return f"starts with what stage {self.parent} made"
        return (
            "starts with the layers and settings of that image"
            if self.image
            else "starts with no files at all"
        )


class Execute(_Op, frozen=True, kw_only=True):
    """A program runs on the files so far; what it changes becomes a layer.

    ``env``: ``NAME=value`` texts, PATH among them. ``passing_env``: more of these, neither recorded
    nor part of the cache key (proxy settings). ``user``: empty is root. ``files``: put under
    /run/sandcell while it runs, not part of the layer. ``network``: default, none or host.
    """

    argv: tuple[str, ...]
    env: tuple[str, ...]
    passing_env: tuple[str, ...] = ()
    working_dir: str = "/"
    user: str = ""
    network: str = "default"
    files: dict[str, bytes] = {}


class Place(_Op, frozen=True, kw_only=True):
    """Files are put in: from the context, from stage ``from_stage``, from image ``from_image``.

    ``sources``: paths as written, or the content of a here-document under its name. ``destination``:
    absolute; ``into``: it was written as a directory. ``owner``: ``user[:group]``, empty is 0:0.
    ``mode``: permission bits for everything, ``None`` keeps the source's. ``unpack``: local archives
    are unpacked.
    """

    sources: tuple[str | tuple[str, bytes], ...]
    destination: str
    into: bool
    owner: str = ""
    mode: int | None = None
    from_stage: int | None = None
    from_image: str = ""
    unpack: bool = False


class Enter(_Op, frozen=True, kw_only=True):
    """The working directory changes, and is made if it is not there, for ``user``."""

    path: str
    user: str = ""

    @property
    def effect(self) -> str:
        return "changes the config; makes a layer if the directory is new"


class Configure(_Op, frozen=True, kw_only=True):
    """Settings change: these fields of the image's ``RunConfig``, and its author."""

    changes: dict[str, Any] = {}
    author: str = ""

    @property
    def effect(self) -> str:
        if not self.changes and not self.author:
            return "sets a variable for the steps that follow; no layer"
        return "changes the config only, no layer"


Op: TypeAlias = Begin | Execute | Place | Enter | Configure


class BuildPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a build will do, in order; the last stage is the image.

    ``notes``: what is probably a mistake but can be carried out. ``str()`` is the table that
    ``--explain`` prints.
    """

    ops: tuple[Op, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        rows = [
            (str(number), _where(op.lines), _cut(op.text), op.effect) for number, op in enumerate(self.ops, 1)
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        out = []
        stages = len({op.stage for op in self.ops})
        stage = -1
        for op, (number, where, text, effect) in zip(self.ops, rows, strict=True):
            if stages > 1 and op.stage != stage:
                stage = op.stage
                out.append(f"stage {stage}")
            left = f"{number:>{widths[0]}}  {where:{widths[1]}}  {text:{widths[2]}}"
            out.append(f"{left}  {effect}")
        out += [f"note: {note}" for note in self.notes]
        return "\n".join(out)


def _where(lines: tuple[int, int]) -> str:
    return f"line {lines[0]}" if lines[0] == lines[1] else f"lines {lines[0]}–{lines[1]}"


def _cut(text: str, width: int = 56) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
