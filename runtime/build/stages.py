"""A Dockerfile's stages: where each begins, what it stands on, and which of them a target needs."""

from collections.abc import Container, Iterable

import msgspec

from sandcell.runtime.build.dockerfile import Statement, did_you_mean
from sandcell.runtime.build.instructions import Arg, Copy, From, Instruction, Run
from sandcell.runtime.errors import InvalidOption


class StageText(msgspec.Struct, frozen=True, kw_only=True):
    """One FROM and what follows it. ``number`` counts from 0; ``name`` is empty where none is given."""

    number: int
    begin: From
    body: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        """Its name in lower case, or empty."""
        return self.begin.stage


def split(instructions: Iterable[Instruction]) -> tuple[tuple[Arg, ...], tuple[StageText, ...]]:
    """The ARGs before the first FROM, and the stages, at least one; ``DockerfileError`` otherwise."""
    arguments: list[Arg] = []
    begins: list[tuple[From, list[Instruction]]] = []
    last: Instruction | None = None
    for last in instructions:
        if isinstance(last, From):
            begins.append((last, []))
        elif begins:
            begins[-1][1].append(last)
        elif isinstance(last, Arg):
            arguments.append(last)
        else:
            keyword = last.statement.keyword
            raise last.statement.fault(
                f"{keyword} stands before the first FROM",
                "begin with the image to build on, for example FROM host",
            )
    if not begins and last is not None:
        raise last.statement.fault("there is no FROM", "say which image to build on, for example FROM host")
    stages = [
        StageText(number=number, begin=begin, body=tuple(body)) for number, (begin, body) in enumerate(begins)
    ]
    return tuple(arguments), tuple(stages)


def find(stages: tuple[StageText, ...], name: str, before: int) -> int | None:
    """The number of the stage called ``name`` that stands before stage ``before``; of several the last."""
    for stage in reversed(stages[:before]):
        if stage.name and stage.name == name.lower():
            return stage.number
    return None


def choose(stages: tuple[StageText, ...], target: str | None) -> int:
    """The number of the stage to build; ``InvalidOption`` if there is no such stage."""
    if target is None or target == "":
        return len(stages) - 1
    found = find(stages, target, len(stages))
    if found is None and target.isdecimal() and int(target) < len(stages):
        found = int(target)
    if found is None:
        names = [stage.name for stage in stages if stage.name]
        hint = did_you_mean(target.lower(), names) or f"the stages are: {', '.join(names) or 'not named'}"
        raise InvalidOption("build", f"--target {target}", "there is no stage of that name", hint)
    return found


def meant(stages: tuple[StageText, ...], name: str, number: int, statement: Statement) -> int | None:
    """The stage that a ``--from`` of stage ``number`` means; ``None`` for an image's name."""
    found = find(stages, name, number)
    if found is not None or not name.isdecimal():
        return found
    if int(name) >= number:
        raise statement.fault(
            f"--from={name} is no stage before this one",
            f"the stages before it are 0 to {number - 1}" if number else "this is the first stage",
        )
    return int(name)


def needed(
    stages: tuple[StageText, ...], parents: list[int | None], last: int, contexts: Container[str] = ()
) -> tuple[int, ...]:
    """The stages to build for ``last``, in order. ``parents``: the stage each FROM names, if it is one;
    ``contexts``: names that mean no stage."""
    found: set[int] = set()
    todo = [last]
    while todo:
        number = todo.pop()
        if number in found:
            continue
        found.add(number)
        parent = parents[number]
        if parent is not None:
            todo.append(parent)
        for instruction in stages[number].body:
            for name in _sources(instruction):
                source = None if name in contexts else meant(stages, name, number, instruction.statement)
                if source is not None:
                    todo.append(source)
    return tuple(sorted(found))


def _sources(instruction: Instruction) -> tuple[str, ...]:
    """What the ``from`` of an instruction names."""
    if isinstance(instruction, Copy):
        return (instruction.stage,) if instruction.stage else ()
    return tuple(filter(None, instruction.sources)) if isinstance(instruction, Run) else ()
