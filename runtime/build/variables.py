"""Which variables a Dockerfile sees where: ARG, ENV, and those that are always there.

Dockerfile reference, "ARG": a value comes from the caller, else from the default; ENV wins over ARG
of the same name; what stands before the first FROM is seen by FROM lines only, until a stage asks
for it with an ARG of its own.
"""

from collections.abc import Callable, Iterator, Mapping

from sandcell.runtime.build.checks import Checks
from sandcell.runtime.build.dockerfile import Statement, did_you_mean
from sandcell.runtime.build.expand import ExpansionError, expand
from sandcell.runtime.build.instructions import Arg
from sandcell.runtime.oci.platform import Platform

PROXIES = frozenset(
    name
    for lower in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (lower, lower.upper())
)


QUIET = PROXIES | {"SOURCE_DATE_EPOCH", "BUILDKIT_INLINE_CACHE", "BUILDKIT_SYNTAX"}
"""Arguments that mean something without an ARG that asks for them."""


def platform_arguments(build: Platform, target: Platform) -> dict[str, str]:
    """TARGETPLATFORM, BUILDPLATFORM and their parts."""
    arguments = {}
    for side, platform in (("BUILD", build), ("TARGET", target)):
        arguments[side + "PLATFORM"] = str(platform)
        arguments[side + "OS"] = platform.os
        arguments[side + "ARCH"] = platform.architecture
        arguments[side + "VARIANT"] = platform.variant
    return arguments


class Seen(Mapping[str, str]):
    """Variables that remember which names were looked up in vain."""

    def __init__(self, *layers: Mapping[str, str]) -> None:
        """Later ``layers`` win over earlier ones."""
        self._values: dict[str, str] = {}
        for layer in layers:
            self._values.update(layer)
        self.missing: set[str] = set()

    def __getitem__(self, name: str) -> str:
        try:
            return self._values[name]
        except KeyError:
            self.missing.add(name)
            raise

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Arguments:
    """The build arguments of one plan: given by the caller, declared by ARG, noted when never used.

    ``target_stage``: what TARGETSTAGE says; ``defaults``: the global ones as they are where none is given.
    """

    def __init__(
        self,
        given: Mapping[str, str],
        build: Platform,
        target: Platform,
        escape: str,
        checks: Checks,
        target_stage: str = "default",
    ) -> None:
        self._given = given
        self._escape = escape
        self.checks = checks
        self._always = {**platform_arguments(build, target), "TARGETSTAGE": target_stage}
        self._declared: set[str] = set()
        self.globals: dict[str, str] = {}
        self.defaults: dict[str, str] = {}

    def declare_global(self, arg: Arg) -> None:
        """An ARG before the first FROM."""
        for name, value in self._values(arg, {**self._always, **self.globals}):
            if value is not None:
                self.globals[name] = value
        for name, default in arg.arguments:
            if default is not None:
                try:
                    word = expand(default, {**self._always, **self.defaults}, escape=self._escape)
                except ExpansionError:
                    continue
                self.defaults[name] = word

    def declare(
        self, arg: Arg, local: dict[str, str], environment: Mapping[str, str]
    ) -> list[tuple[str, str | None]]:
        """An ARG of a stage: ``local`` gets its values; gives what the history tells of it."""
        told = []
        for name, value in self._values(arg, {**local, **environment}):
            if value is None:
                value = self.globals.get(name, self._always.get(name))
            if value is not None:
                local[name] = value
            told.append((name, value))
        return told

    def for_from(self) -> dict[str, str]:
        """What a FROM line sees."""
        return {**self._always, **self.globals}

    def proxies(self) -> tuple[str, ...]:
        """Proxy settings given by the caller; every RUN gets them, no image keeps them."""
        return tuple(f"{name}={value}" for name, value in sorted(self._given.items()) if name in PROXIES)

    def by_default(self, word: str) -> str:
        """What a word of a FROM line is where no argument is given, as far as that can be told."""
        try:
            return expand(word, {**self._always, **self.defaults}, escape=self._escape)
        except ExpansionError:
            return ""

    def expand(
        self, word: str, variables: Mapping[str, str], statement: Statement, how: Callable[..., str] = expand
    ) -> str:
        """``word`` with variables replaced; a ``DockerfileError`` with the lines if it cannot be."""
        if "$" not in word and how is expand and not any(char in word for char in "'\"" + self._escape):
            return word
        seen = Seen(variables)
        try:
            result = how(word, seen, escape=self._escape)
        except ExpansionError as error:
            raise statement.fault(str(error)) from None
        rule = "UndefinedArgInFrom" if statement.keyword == "FROM" else "UndefinedVar"
        for name in sorted(seen.missing):
            if f"${name}" in word or f"${{{name}}}" in word:
                hint = did_you_mean(name, list(seen))
                text = f"${name} is not set, so it is empty"
                self.checks.add(rule, f"{text}; {hint}" if hint else text, statement)
        return result

    def tell_unused(self) -> None:
        """Note the arguments that were given and that no ARG asks for."""
        for name in sorted(set(self._given) - self._declared - QUIET):
            hint = did_you_mean(name, list(self._declared))
            text = f"the build argument {name} is not used: there is no ARG {name}"
            self.checks.add("UnusedBuildArg", f"{text}; {hint}" if hint else text)

    def _values(self, arg: Arg, variables: dict[str, str]) -> Iterator[tuple[str, str | None]]:
        for name, default in arg.arguments:
            self._declared.add(name)
            if name in self._given:
                yield name, self._given[name]
            elif default is None:
                yield name, None
            else:
                # An argument sees those before it on the same line.
                value = self.expand(default, variables, arg.statement)
                variables[name] = value
                yield name, value
