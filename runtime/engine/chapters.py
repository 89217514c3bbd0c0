"""A Dockerfile told stage by stage: each as a Dockerfile of its own, with what there is to say of it."""

import re

import msgspec

from sandcell.runtime.build import dockerfile, grammar, stages
from sandcell.runtime.build.instructions import Arg, Cmd, Copy, Entrypoint, Run
from sandcell.runtime.build.stages import StageText

_ADDRESS = re.compile(r"(https?|git|ssh)://|git@")
_MEANING = {
    "ADD": "copies files, fetches addresses and unpacks archives: a layer",
    "ARG": "a variable of the build; the image does not keep it",
    "CMD": "what a container runs if it is told nothing else",
    "COPY": "copies files into the image: a layer",
    "ENTRYPOINT": "the program that a container begins with; the words after the image are its arguments",
    "ENV": "a variable that later steps and every container see",
    "EXPOSE": "a note on which ports a container listens at; it opens none",
    "HEALTHCHECK": "how to find out whether a container is well",
    "LABEL": "a note on the image",
    "MAINTAINER": "who made it; a label says so today",
    "ONBUILD": "is carried out by who builds on this image",
    "RUN": "runs a command in a container of what stands so far; what it changes is a layer",
    "SHELL": "the shell of the commands that follow",
    "STOPSIGNAL": "what a container is told when it shall stop",
    "USER": "who runs the commands that follow, and containers",
    "VOLUME": "a place whose files outlive the container",
    "WORKDIR": "the directory of the steps that follow, and of containers",
}


class Chapter(msgspec.Struct, frozen=True, kw_only=True):
    """One stage. ``image``: the name it gets; ``text``: its Dockerfile; ``base``: what it stands on, and
    ``takes``: whose files it copies, as these Dockerfiles name them. ``steps``: (first line, what it does) of
    each instruction. ``context``: it takes files of the build context. ``runs``: it says what to run."""

    image: str
    stage: str
    text: str
    base: str
    takes: tuple[str, ...]
    steps: tuple[tuple[str, str], ...]
    context: bool
    runs: bool


def chapters(text: str, name: str) -> tuple[Chapter, ...]:
    """The stages of the Dockerfile ``text`` in order, as Dockerfiles that are built one after the other and
    give the same image, ``name``. Stages before the last are images ``name-STAGE``.

    ``DockerfileError`` where it is none, or names a stage in a way that cannot be given another name.
    """
    parsed = dockerfile.parse(text)
    arguments, found = stages.split(grammar.read(parsed))
    rows = text.removeprefix("\ufeff").splitlines()
    begins = [_above(rows, stage.begin.statement.lines[0] - 1) for stage in found]
    last = found[-1].number
    images = [name if stage.number == last else f"{name}-{stage.name or stage.number}" for stage in found]
    head = [f"# {key}={value}" for key, value in parsed.directives.items()]
    head += [row for argument in arguments for row in argument.statement.source.splitlines()]
    told = []
    for stage, begin, end in zip(found, begins, [*begins[1:], len(rows)], strict=True):
        body = "\n".join(_renamed(found, images, stage, rows, begin, end)).strip("\n")
        told.append(_chapter(found, images, stage, "\n".join([*head, body]) + "\n"))
    return tuple(told)


def _above(rows: list[str], first: int) -> int:
    """Where the comment right above row ``first`` begins. Directives are not of it: they are in each cell."""
    while first > 0 and rows[first - 1].startswith("#") and "=" not in rows[first - 1]:
        first -= 1
    return first


def _renamed(
    found: tuple[StageText, ...], images: list[str], stage: StageText, rows: list[str], begin: int, end: int
) -> list[str]:
    """The rows of a stage, with images in place of the stages that they name."""
    out = rows[begin:end]
    parent = stages.find(found, stage.begin.image, stage.number)
    changes = []
    if parent is not None:
        changes.append((stage.begin.statement, rf"(FROM\s(?:.*\s)?){re.escape(stage.begin.image)}", parent))
    for instruction in stage.body:
        for source in _sources(instruction):
            other = stages.meant(found, source, stage.number, instruction.statement) if source else None
            if other is not None:
                changes.append((instruction.statement, rf"(\bfrom=){re.escape(source)}(?=[\s,]|$)", other))
    for statement, pattern, other in changes:
        first, last = (number - 1 - begin for number in statement.lines)
        old = "\n".join(out[first : last + 1])
        new, times = re.subn(pattern, rf"\g<1>{images[other]}", old, count=1, flags=re.IGNORECASE | re.DOTALL)
        if not times:
            raise statement.fault("the stage in it is named in a way that cannot be followed")
        out[first : last + 1] = new.split("\n")
    if parent is not None:
        # What a stage's ARGs say holds for the stages that stand on it (Dockerfile reference, "ARG").
        at = stage.begin.statement.lines[1] - begin
        out[at:at] = _inherited(found, parent)
    return out


def _inherited(found: tuple[StageText, ...], number: int) -> list[str]:
    stage = found[number]
    parent = stages.find(found, stage.begin.image, number)
    rows = [] if parent is None else _inherited(found, parent)
    for instruction in stage.body:
        if isinstance(instruction, Arg):
            rows += instruction.statement.source.splitlines()
    return rows


def _sources(instruction: object) -> tuple[str, ...]:
    """The stages and images whose files it takes; an empty text is none."""
    if isinstance(instruction, Copy):
        return (instruction.stage,)
    return tuple(dict.fromkeys(instruction.sources)) if isinstance(instruction, Run) else ()


def _chapter(found: tuple[StageText, ...], images: list[str], stage: StageText, text: str) -> Chapter:
    _, (alone,) = stages.split(grammar.read(dockerfile.parse(text)))
    takes = _taken(alone)
    # The proof that the renaming went well: what was a stage is its image now, everywhere.
    if takes != {_image(found, images, stage, name): None for name in _taken(stage)}:
        raise stage.begin.statement.fault("a stage that it copies from cannot be given another name")
    return Chapter(
        image=images[stage.number],
        stage=stage.name,
        text=text,
        base=alone.begin.image,
        takes=tuple(takes),
        steps=tuple(
            (one.statement.line.strip().partition("\n")[0], _MEANING[one.statement.keyword])
            for one in alone.body
        ),
        context=any(map(_of_context, alone.body)),
        runs=any(isinstance(one, Cmd | Entrypoint) for one in alone.body),
    )


def _taken(stage: StageText) -> dict[str, None]:
    return dict.fromkeys(source for one in stage.body for source in _sources(one) if source)


def _image(found: tuple[StageText, ...], images: list[str], stage: StageText, name: str) -> str:
    number = stages.meant(found, name, stage.number, stage.begin.statement)
    return name if number is None else images[number]


def _of_context(instruction: object) -> bool:
    if isinstance(instruction, Copy):
        files = [
            source
            for number, source in enumerate(instruction.sources)
            if number not in instruction.documents and not _ADDRESS.match(source)
        ]
        return not instruction.stage and bool(files)
    if isinstance(instruction, Run):
        kinds = (
            mount for mount, source in zip(instruction.mounts, instruction.sources, strict=True) if not source
        )
        return any("type=" not in mount or "type=bind" in mount for mount in kinds)
    return False
