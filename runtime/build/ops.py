"""The operations a Dockerfile comes down to: every variable replaced, every default filled in.

A plan is a tuple of these. Each knows what it changes, files or settings, because that is what a
layer is: only what changes files makes one.
"""

from typing import Any, TypeAlias

import msgspec

from sandcell.runtime.build.checks import Finding
from sandcell.runtime.build.mounting import Mount


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
    """A stage begins: with the image ``image``, with what stage ``parent`` made, with the files of the
    named context ``context``, or with nothing. ``platform``: empty is this machine's. ``name``: of the
    stage, empty without one."""

    image: str = ""
    parent: int | None = None
    context: str | None = None
    platform: str = ""
    name: str = ""

    @property
    def effect(self) -> str:
        if self.parent is not None:
            return f"starts with what stage {self.parent} made"
        if self.context is not None:
            return "starts with the files of that context"
        return (
            "starts with the layers and settings of that image"
            if self.image
            else "starts with no files at all"
        )


class Mounted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One mount of a command, every path absolute, and where its files come from.

    ``context``: of the build (``""`` is the main one); ``from_stage`` and ``from_image`` as of ``Place``.
    None of these for what begins empty.
    """

    mount: Mount
    context: str | None = None
    from_stage: int | None = None
    from_image: str = ""


class Execute(_Op, frozen=True, kw_only=True):
    """A program runs on the files so far; what it changes becomes a layer.

    ``env``: ``NAME=value`` texts, PATH among them. ``passing_env``: more of these, neither recorded
    nor part of the cache key (proxy settings). ``user``: empty is root. ``files``: put under
    /run/sandcell while it runs, not part of the layer. ``network``: default, none or host.
    ``platform``: what its programs are made for, empty for this machine's.
    """

    argv: tuple[str, ...]
    env: tuple[str, ...]
    passing_env: tuple[str, ...] = ()
    working_dir: str = "/"
    user: str = ""
    network: str = "default"
    files: dict[str, bytes] = {}
    mounts: tuple[Mounted, ...] = ()
    platform: str = ""


class Remote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A source of ADD that is fetched: an address of HTTP, or of a git repository.

    ``checksum``: the digest, or the commit, that it must have. ``keep_git_dir``: with its .git.
    """

    url: str
    git: bool = False
    checksum: str = ""
    keep_git_dir: bool = False


class Place(_Op, frozen=True, kw_only=True):
    """Files are put in: from a context, from stage ``from_stage``, from image ``from_image``.

    ``sources``: paths as written, the content of a here-document under its name, or what is fetched.
    ``destination``: absolute; ``into``: it was written as a directory. ``owner``: ``user[:group]``,
    empty is 0:0. ``mode``: as for ``modes.read_mode``, empty keeps the source's. ``unpack``: archives
    are unpacked; ``None`` those of the context only. ``link``: as if on nothing, so whatever is below.
    ``parents``: the directories of a source come along. ``exclude``: patterns of what does not.
    """

    sources: "tuple[str | tuple[str, bytes] | Remote, ...]"
    destination: str
    into: bool
    owner: str = ""
    mode: str = ""
    context: str = ""
    from_stage: int | None = None
    from_image: str = ""
    unpack: bool | None = False
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()


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

    ``findings``: what is probably a mistake but can be carried out. ``str()`` is the table that
    ``--explain`` prints.
    """

    ops: tuple[Op, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def base(self) -> str:
        """The image that the last stage begins with; empty where it begins with none, or another stage."""
        return [op.image for op in self.ops if isinstance(op, Begin)][-1]

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
        out += [f"note: {finding}" for finding in self.findings]
        return "\n".join(out)


def _where(lines: tuple[int, int]) -> str:
    return f"line {lines[0]}" if lines[0] == lines[1] else f"lines {lines[0]}–{lines[1]}"


def _cut(text: str, width: int = 56) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
