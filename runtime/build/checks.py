"""What can be built and is probably a mistake: the checks of BuildKit, under the names they have there.

Docker's documentation, "Build checks". ``# check=skip=RULE,…`` (or ``all``) at the top of a Dockerfile
silences rules, ``error=true`` makes a build fail by what is left, ``experimental=RULE`` switches one on.
"""

import re

import msgspec

from sandcell.runtime.build.dockerfile import Dockerfile, Statement, fault
from sandcell.runtime.build.patterns import NOTHING_IGNORED, IgnoreRules, clean
from sandcell.runtime.errors import DockerfileError

_EXPERIMENTAL = ("InvalidDefinitionDescription",)
_SECRETS = frozenset(
    ("apikey", "auth", "credential", "credentials", "key", "password", "passwd", "pword", "secret", "token")
)
_RESERVED = ("scratch", "context")
_ONCE = ("CMD", "ENTRYPOINT", "HEALTHCHECK")


class Finding(msgspec.Struct, frozen=True):
    """One doubt about a Dockerfile. ``rule``: its name; ``lines``: first and last, from 1, or zeros."""

    rule: str
    text: str
    lines: tuple[int, int] = (0, 0)
    source: str = ""

    def __str__(self) -> str:
        where = f"line {self.lines[0]}: " if self.lines[0] else ""
        return f"{where}{self.text} ({self.rule})"


class Checks:
    """Gathers the findings about one Dockerfile, as its ``check`` directive asks for. ``ignore``: what the
    build's context leaves out."""

    def __init__(self, directive: str = "", ignore: IgnoreRules = NOTHING_IGNORED) -> None:
        self._ignore = ignore
        self._found: dict[Finding, None] = {}
        self._skipped: set[str] = set()
        self._extra: set[str] = set()
        self._fatal = False
        for part in directive.split(";"):
            name, _, value = part.strip().partition("=")
            values = {one.strip() for one in value.split(",")}
            if name == "skip":
                self._skipped |= values
            elif name == "experimental":
                self._extra |= values
            elif name == "error":
                self._fatal = value.strip().lower() in ("true", "1")

    def add(self, rule: str, text: str, statement: Statement | None = None) -> None:
        """A doubt about ``statement``, unless the rule is silent."""
        if {rule, "all"} & self._skipped:
            return
        if rule in _EXPERIMENTAL and not {rule, "all"} & self._extra:
            return
        lines = statement.lines if statement else (0, 0)
        self._found[Finding(rule, text, lines, statement.source if statement else "")] = None

    def copied(self, source: str, statement: Statement) -> None:
        """``source`` is copied from the build's context."""
        path = clean(source)
        # An exception may take back in what lies below; only the files could tell.
        if path and not self._ignore.has_exceptions and (rule := self._ignore.excluded_by(path)):
            cause = f"{source} is not there to be copied: .dockerignore leaves it out, by {rule}"
            self.add("CopyIgnoredFile", cause, statement)

    def findings(self) -> tuple[Finding, ...]:
        """All of them by line, those without a line last."""
        return tuple(sorted(self._found, key=lambda one: (not one.lines[0], one.lines)))

    def fault(self) -> DockerfileError | None:
        """The error to raise where the directive says that findings are errors."""
        found = self.findings()
        if not self._fatal or not found:
            return None
        first = found[0]
        hint = "the check directive at the top asks for this to be an error"
        return fault(f"{first.text} ({first.rule})", hint, first.lines, first.source)


def look(dockerfile: Dockerfile, checks: Checks) -> None:
    """Add what the statements alone tell."""
    upper = [one for one in dockerfile.statements if one.written.isupper()]
    lower = [one for one in dockerfile.statements if one.written.islower()]
    majority = str.upper if len(upper) >= len(lower) else str.lower
    stage = _Stage()
    names: set[str] = set()
    for statement in dockerfile.statements:
        wanted = majority(statement.keyword)
        if statement.written != wanted:
            checks.add(
                "ConsistentInstructionCasing",
                f"{statement.written} is written otherwise than most instructions, which would be {wanted}",
                statement,
            )
        if statement.gap:
            checks.add(
                "NoEmptyContinuation",
                f"line {statement.gap} is empty and continues {statement.keyword}",
                statement,
            )
        if statement.keyword == "FROM":
            stage = _Stage()
            _from(statement, names, checks)
        _one(statement, checks)
        stage.take(statement, checks)
        _described(statement, checks)


class _Stage:
    """What a stage has said so far."""

    def __init__(self) -> None:
        self.last: dict[str, Statement] = {}
        self.has_shell = False
        self.has_workdir = False

    def take(self, statement: Statement, checks: Checks) -> None:
        keyword = statement.keyword
        if keyword in _ONCE:
            before = self.last.get(keyword)
            if before is not None:
                cause = f"a later {keyword} of this stage takes the place of this one"
                checks.add("MultipleInstructionsDisallowed", cause, before)
            self.last[keyword] = statement
        self.has_shell |= keyword == "SHELL"
        if (
            keyword in ("CMD", "ENTRYPOINT")
            and statement.words
            and not statement.is_json
            and not self.has_shell
            and not statement.words[0].startswith("[")  # told more of elsewhere
        ):
            cause = f"signals to the container reach the shell, not the program: write {keyword} as JSON"
            checks.add("JSONArgsRecommended", cause, statement)
        if keyword == "WORKDIR" and statement.words:
            if not self.has_workdir and not statement.words[0].strip("'\"").startswith(("/", "$")):
                cause = f"{statement.words[0]} is relative to whatever directory the base image has"
                checks.add("WorkdirRelativePath", cause, statement)
            self.has_workdir = True


def _from(statement: Statement, names: set[str], checks: Checks) -> None:
    words = statement.words
    platform = next((flag[11:] for flag in statement.flags if flag.startswith("--platform=")), "")
    if platform in ("$TARGETPLATFORM", "${TARGETPLATFORM}"):
        checks.add("RedundantTargetPlatform", f"--platform={platform} is the default anyway", statement)
    if len(words) != 3:
        name = ""
    else:
        name = words[2]
        if words[1].islower() != statement.written.islower():
            checks.add("FromAsCasing", f"{words[1]} and {statement.written} are not written alike", statement)
        if name != name.lower():
            checks.add("StageNameCasing", f"the stage {name} is called {name.lower()}", statement)
        if name.lower() in _RESERVED:
            checks.add("ReservedStageName", f"{name} means something else already", statement)
        if name.lower() in names:
            checks.add(
                "DuplicateStageName", f"{name} names an earlier stage too; the later one counts", statement
            )
        names.add(name.lower())
    if platform and "$" not in platform and not set(platform.split("/")) & set(re.split("[^a-z0-9]", name)):
        checks.add(
            "FromPlatformFlagConstDisallowed",
            f"--platform={platform} is fixed, whatever platform the build is for",
            statement,
        )


def _one(statement: Statement, checks: Checks) -> None:
    keyword = statement.keyword
    if keyword == "MAINTAINER":
        hint = "MAINTAINER is no longer used: write LABEL org.opencontainers.image.authors=…"
        checks.add("MaintainerDeprecated", hint, statement)
    names: tuple[str, ...] = ()
    if keyword in ("ENV", "LABEL") and statement.words:
        name = statement.words[0]
        if not statement.line.split(maxsplit=1)[1].startswith(f"{name}="):
            checks.add("LegacyKeyValueFormat", f"write {keyword} {name}=… with an equals sign", statement)
        names = statement.words[::2] if keyword == "ENV" else ()
    elif keyword == "ARG":
        names = tuple(word.partition("=")[0] for word in statement.words)
    for name in names:
        parts = name.lower().split("_")
        if "public" not in parts and not _SECRETS.isdisjoint(parts):
            cause = f"{keyword} {name} stays readable in the image; a secret goes by RUN --mount=type=secret"
            checks.add("SecretsUsedInArgOrEnv", cause, statement)


def _described(statement: Statement, checks: Checks) -> None:
    """A comment right above a stage or an ARG is shown as its description, if it begins with the name."""
    comment = statement.comment.lstrip("#").strip()
    words = statement.words
    if statement.keyword == "ARG" and words:
        name = words[0].partition("=")[0]
    elif statement.keyword == "FROM" and len(words) == 3:
        name = words[2]
    else:
        return
    if comment and comment.split()[0].rstrip(":") != name:
        checks.add("InvalidDefinitionDescription", f"the comment above does not begin with {name}", statement)
