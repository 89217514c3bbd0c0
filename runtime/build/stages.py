"""A Dockerfile's stages: where each begins, what it stands on, and which of them a target needs."""

from collections.abc import Iterable

import msgspec

from sandcell.runtime.build.dockerfile import did_you_mean
from sandcell.runtime.build.instructions import Arg, Copy, From, Instruction
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
            if last.stage and any(begin.stage == last.stage for begin, _ in begins):
                raise last.statement.fault(f"two stages are called {last.stage}")
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
    """The number of the stage that ``name`` (a name, or a number for COPY --from) means, if it stands
    before stage ``before``."""
    for stage in stages[:before]:
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


def copied_from(stages: tuple[StageText, ...], copy: Copy, number: int) -> int | None:
    """The stage that a ``COPY --from`` of stage ``number`` means; ``None`` for an image's name."""
    found = find(stages, copy.stage, number)
    if found is not None or not copy.stage.isdecimal():
        return found
    if int(copy.stage) >= number:
        raise copy.statement.fault(
            f"--from={copy.stage} is no stage before this one",
            f"the stages before it are 0 to {number - 1}" if number else "this is the first stage",
        )
    return int(copy.stage)


def needed(stages: tuple[StageText, ...], parents: list[int | None], last: int) -> tuple[int, ...]:
    """The stages to build for ``last``, in order. ``parents``: the stage each FROM names, if it is one."""
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
            if isinstance(instruction, Copy) and instruction.stage:
                source = copied_from(stages, instruction, number)
                if source is not None:
                    todo.append(source)
    return tuple(sorted(found))
