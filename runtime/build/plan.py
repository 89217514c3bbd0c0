"""Instructions → plan. Pure: the same text, arguments and base configurations give the same plan.

Everything that can be known beforehand is settled here, so a mistake in the last line is told
before the first step runs.
"""

from collections.abc import Callable, Mapping

import msgspec

from sandcell.runtime.build import stages
from sandcell.runtime.build.dockerfile import Dockerfile, did_you_mean, parse
from sandcell.runtime.build.evaluate import SCRATCH, Evaluation
from sandcell.runtime.build.grammar import read
from sandcell.runtime.build.instructions import Copy, From, Instruction
from sandcell.runtime.build.ops import Begin, BuildPlan, Op
from sandcell.runtime.build.variables import Arguments
from sandcell.runtime.errors import BadInput, DockerfileError, InvalidOption, NotFound
from sandcell.runtime.oci.config import ImageConfig, RunConfig
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference

FindConfig = Callable[[str], ImageConfig]


def plan(
    text: str,
    *,
    find_config: FindConfig,
    build_args: Mapping[str, str] | None = None,
    target: str | None = None,
    platform: Platform | None = None,
) -> BuildPlan:
    """The plan of a Dockerfile.

    ``find_config`` gives the configuration of an image by its familiar name; its ``NotFound`` becomes
    an error at the FROM line. ``target``: name or number of the stage to build, the last one by
    default; stages it does not need are left out. ``DockerfileError`` carries the lines of what is wrong.
    """
    for name, value in (build_args or {}).items():
        if not name or "=" in name or "\0" in name + value:
            raise InvalidOption(
                "build", f"--build-arg {name!r}", "it cannot be a variable", "write NAME=value"
            )
    dockerfile = parse(text)
    return _Planner(dockerfile, find_config, build_args or {}, platform or Platform.here()).plan(target)


class _Planner:
    def __init__(
        self,
        dockerfile: Dockerfile,
        find_config: FindConfig,
        build_args: Mapping[str, str],
        platform: Platform,
    ) -> None:
        self.find_config = find_config
        self.platform = platform
        self.arguments = Arguments(build_args, platform, dockerfile.escape)
        globals, self.stages = stages.split(read(dockerfile))
        for arg in globals:
            self.arguments.declare_global(arg)

    def plan(self, target: str | None) -> BuildPlan:
        images = [self.image(stage) for stage in self.stages]
        parents = [stages.find(self.stages, image, number) for number, image in enumerate(images)]
        wanted = stages.needed(self.stages, parents, stages.choose(self.stages, target))
        ops: list[Op] = []
        ends: dict[int, RunConfig] = {}
        for number in wanted:
            evaluation = self.evaluate(number, images[number], parents[number], ends)
            ends[number] = evaluation.config
            ops += evaluation.ops
        notes = self.arguments.notes
        if len(wanted) == len(self.stages):
            notes = notes + self.arguments.unused()
        return BuildPlan(ops=tuple(ops), notes=tuple(dict.fromkeys(notes)))

    def image(self, stage: stages.StageText) -> str:
        """The image or stage that a FROM names, variables replaced; its platform is checked."""
        begin = stage.begin
        image = self.arguments.expand(begin.image, self.arguments.for_from(), begin.statement)
        if not image:
            raise begin.statement.fault(
                f"the image {begin.image} is empty", "set the variable by an ARG before FROM"
            )
        if begin.platform:
            wanted = self.arguments.expand(begin.platform, self.arguments.for_from(), begin.statement)
            here = str(self.platform)
            if wanted not in (
                here,
                self.platform.architecture,
                f"{self.platform.os}/{self.platform.architecture}",
            ):
                raise begin.statement.fault(
                    f"--platform={wanted} cannot be built here, this machine is {here}", "leave the flag away"
                )
        return image

    def evaluate(
        self, number: int, image: str, parent: int | None, ends: Mapping[int, RunConfig]
    ) -> Evaluation:
        """All ops of one stage, the triggers of its base among them."""
        stage = self.stages[number]
        begin = stage.begin
        name = ""
        if parent is not None:
            config = ends[parent]
        elif image == "scratch":
            config = SCRATCH
        else:
            name, config = self.base(begin, image)
        evaluation = Evaluation(number, config, self.arguments, self.copied_from)
        evaluation.ops.append(
            Begin(
                stage=number,
                text=f"FROM {image}" + (f" AS {stage.name}" if stage.name else ""),
                lines=begin.statement.lines,
                source=begin.statement.source,
                image=name,
                parent=parent,
            )
        )
        if config.on_build:
            evaluation.config = msgspec.structs.replace(config, on_build=())
            for instruction in _triggers(begin, config.on_build):
                evaluation.carry(instruction)
        for instruction in stage.body:
            evaluation.carry(instruction)
        return evaluation

    def base(self, begin: From, image: str) -> tuple[str, RunConfig]:
        """The familiar name of a base image and the settings it brings."""
        try:
            name = Reference.parse(image).familiar
            return name, self.find_config(name).config
        except (NotFound, BadInput) as error:
            raise begin.statement.fault(f"{image}: {error.cause}", error.hint) from error

    def copied_from(self, copy: Copy, number: int) -> int | None:
        """The stage that a COPY --from means; an image's name is checked."""
        stage = stages.copied_from(self.stages, copy, number)
        if stage is None:
            try:
                self.find_config(Reference.parse(copy.stage).familiar)
            except (NotFound, BadInput) as error:
                names = [one.name for one in self.stages[:number] if one.name]
                hint = did_you_mean(copy.stage.lower(), names) or error.hint
                cause = f"--from={copy.stage} is neither a stage before this one nor an image here"
                raise copy.statement.fault(cause, hint) from error
        return stage


def _triggers(begin: From, texts: tuple[str, ...]) -> list[Instruction]:
    """What ONBUILD of the base left to do; it stands at the FROM line for who reads errors."""
    statement = begin.statement
    try:
        found = read(parse("\n".join(texts)))
    except DockerfileError as error:
        raise statement.fault(f"an ONBUILD of {begin.image}: {error.cause}") from error
    replace = msgspec.structs.replace
    return [
        replace(one, statement=replace(one.statement, lines=statement.lines, source=statement.source))
        for one in found
    ]
