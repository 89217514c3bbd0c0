"""Instructions → plan. Pure: the same text, arguments and base configurations give the same plan.

Everything that can be known beforehand is settled here, so a mistake in the last line is told
before the first step runs.
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from sandcell.runtime.build import stages
from sandcell.runtime.build.checks import Checks, look
from sandcell.runtime.build.dockerfile import Dockerfile, Statement, did_you_mean, parse
from sandcell.runtime.build.evaluate import SCRATCH, Evaluation, Origin
from sandcell.runtime.build.grammar import read
from sandcell.runtime.build.instructions import From, Instruction
from sandcell.runtime.build.ops import Begin, BuildPlan, Configure, Op
from sandcell.runtime.build.patterns import NOTHING_IGNORED, IgnoreRules
from sandcell.runtime.build.variables import Arguments
from sandcell.runtime.errors import BadInput, DockerfileError, InvalidOption, InvalidReference, NotFound
from sandcell.runtime.oci.config import ImageConfig, RunConfig
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference


class FindConfig(Protocol):
    """Gives the configuration of an image by its familiar name, and platform where it is another's."""

    def __call__(self, name: str, /, platform: str = "") -> ImageConfig:
        """The configuration; ``NotFound``."""
        ...


class NamedContext(msgspec.Struct, frozen=True):
    """What ``--build-context NAME=…`` means: an image by name or digest, or a directory (no image)."""

    image: str = ""


def plan(
    text: str,
    *,
    find_config: FindConfig,
    build_args: Mapping[str, str] | None = None,
    target: str | None = None,
    platform: Platform | None = None,
    target_platform: Platform | None = None,
    contexts: Mapping[str, NamedContext] | None = None,
    labels: Mapping[str, str] | None = None,
    ignore: IgnoreRules = NOTHING_IGNORED,
) -> BuildPlan:
    """The plan of a Dockerfile.

    ``find_config`` gives the configuration of an image by its familiar name; its ``NotFound`` becomes
    an error at the FROM line. ``target``: name or number of the stage to build, the last one by
    default; stages it does not need are left out. ``platform``: this machine's; ``target_platform``:
    what the image is for. ``contexts``: names that stand for an image or a directory wherever a stage
    or an image is named. ``labels`` are set last. ``ignore``: what the context leaves out.
    ``DockerfileError`` carries the lines of what is wrong.
    """
    for name, value in (build_args or {}).items():
        if not name or "=" in name or "\0" in name + value:
            raise InvalidOption(
                "build", f"--build-arg {name!r}", "it cannot be a variable", "write NAME=value"
            )
    dockerfile = parse(text)
    here = platform or Platform.here()
    planner = _Planner(
        dockerfile, find_config, build_args or {}, here, target_platform or here, contexts or {}, ignore
    )
    return planner.plan(target, labels or {})


class _Planner:
    def __init__(
        self,
        dockerfile: Dockerfile,
        find_config: FindConfig,
        build_args: Mapping[str, str],
        here: Platform,
        wanted: Platform,
        contexts: Mapping[str, NamedContext],
        ignore: IgnoreRules,
    ) -> None:
        self.find_config = find_config
        self.here = here
        self.wanted = wanted
        self.contexts = contexts
        self.checks = Checks(dockerfile.directives.get("check", ""), ignore)
        look(dockerfile, self.checks)
        self.escape = dockerfile.escape
        self.build_args = build_args
        self.globals, self.stages = stages.split(read(dockerfile))

    def plan(self, target: str | None, labels: Mapping[str, str]) -> BuildPlan:
        last = stages.choose(self.stages, target)
        stage_name = target or self.stages[last].name or "default"
        self.arguments = Arguments(
            self.build_args, self.here, self.wanted, self.escape, self.checks, stage_name
        )
        for arg in self.globals:
            self.arguments.declare_global(arg)
        images = [self.image(stage) for stage in self.stages]
        parents = [
            None if image in self.contexts else stages.find(self.stages, image, number)
            for number, image in enumerate(images)
        ]
        wanted = stages.needed(self.stages, parents, last, self.contexts)
        ops: list[Op] = []
        ends: dict[int, Evaluation] = {}
        for number in wanted:
            ends[number] = self.evaluate(number, images[number], parents[number], ends)
            ops += ends[number].ops
        if labels:
            ops.append(_labelled(ops[-1], ends[last].config, labels))
        if len(wanted) == len(self.stages):
            self.arguments.tell_unused()
        fault = self.checks.fault()
        if fault is not None:
            raise fault
        return BuildPlan(ops=tuple(ops), findings=self.checks.findings())

    def image(self, stage: stages.StageText) -> str:
        """The image or stage that a FROM names, variables replaced."""
        begin = stage.begin
        image = self.arguments.expand(begin.image, self.arguments.for_from(), begin.statement)
        if not image:
            raise begin.statement.fault(
                f"the image {begin.image} is empty", "set the variable by an ARG before FROM"
            )
        if "$" in begin.image:
            self.doubt_default(begin)
        return image

    def doubt_default(self, begin: From) -> None:
        default = self.arguments.by_default(begin.image)
        try:
            Reference.parse(default)
        except InvalidReference:
            told = f"without a build argument {begin.image} is {default!r}, which names no image"
            self.checks.add("InvalidDefaultArgInFrom", told, begin.statement)

    def platform(self, begin: From) -> str:
        """The platform of a stage as text, empty where it is this machine's."""
        platform = self.wanted
        if begin.platform:
            text = self.arguments.expand(begin.platform, self.arguments.for_from(), begin.statement)
            try:
                platform = Platform.parse(text)
            except InvalidOption as error:
                raise begin.statement.fault(f"--platform={text}: {error.cause}", error.hint) from None
        return "" if self.here.runs(platform) else str(platform)

    def evaluate(
        self, number: int, image: str, parent: int | None, ends: Mapping[int, Evaluation]
    ) -> Evaluation:
        """All ops of one stage, the triggers of its base among them."""
        stage = self.stages[number]
        begin = stage.begin
        name, context = "", None
        platform = self.platform(begin)
        named = self.contexts.get(image)
        if parent is not None:
            config, platform = ends[parent].config, ends[parent].platform
        elif named is not None and not named.image:
            config, context = SCRATCH, image
        elif image == "scratch":
            config = SCRATCH
        else:
            name, config = self.base(begin, named.image if named else image, platform)
        evaluation = Evaluation(number, config, self.arguments, self.origin, platform)
        if parent is not None:
            evaluation.local.update(ends[parent].local)  # a stage has the ARGs of the one it stands on
        told = f"FROM {f'--platform={platform} ' if begin.platform and platform else ''}{image}"
        evaluation.ops.append(
            Begin(
                stage=number,
                text=told + (f" AS {stage.name}" if stage.name else ""),
                lines=begin.statement.lines,
                source=begin.statement.source,
                image=name,
                parent=parent,
                context=context,
                platform=platform,
                name=stage.name,
            )
        )
        if config.on_build:
            evaluation.config = msgspec.structs.replace(config, on_build=())
            for instruction in _triggers(begin, config.on_build):
                evaluation.carry(instruction)
        for instruction in stage.body:
            evaluation.carry(instruction)
        return evaluation

    def base(self, begin: From, image: str, platform: str) -> tuple[str, RunConfig]:
        """The familiar name of a base image and the settings it brings."""
        try:
            name = image if image.startswith("sha256:") else Reference.parse(image).familiar
            config = self.config(name, platform)
        except (NotFound, BadInput) as error:
            raise begin.statement.fault(f"{image}: {error.cause}", error.hint) from error
        wanted = Platform.parse(platform) if platform else self.here
        if (config.os, config.architecture) != (wanted.os, wanted.architecture):
            told = f"{image} is for {config.os}/{config.architecture}, and this stage is for {wanted}"
            self.checks.add("InvalidBaseImagePlatform", told, begin.statement)
        return name, config.config

    def config(self, name: str, platform: str) -> ImageConfig:
        return self.find_config(name, platform) if platform else self.find_config(name)

    def origin(self, name: str, statement: Statement, flag: str, number: int) -> Origin:
        """What a ``--from`` of stage ``number`` means; an image's name is checked."""
        named = self.contexts.get(name)
        if named is not None:
            return Origin(image=named.image) if named.image else Origin(context=name)
        stage = stages.meant(self.stages, name, number, statement)
        if stage is not None:
            return Origin(stage=stage)
        try:
            image = Reference.parse(name).familiar
            self.find_config(image)
        except (NotFound, BadInput) as error:
            names = [one.name for one in self.stages[:number] if one.name]
            hint = did_you_mean(name.lower(), names) or error.hint
            cause = f"{flag}={name} is neither a stage before this one nor an image here"
            raise statement.fault(cause, hint) from error
        return Origin(image=image)


def _labelled(last: Op, config: RunConfig, labels: Mapping[str, str]) -> Configure:
    """The labels that the caller asks for, as a last instruction."""
    told = " ".join(f"{name}={value}" for name, value in labels.items())
    changes = {"labels": {**config.labels, **labels}}
    text = f"LABEL {told}"
    return Configure(stage=last.stage, text=text, created_by=text, lines=(0, 0), source="", changes=changes)


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
