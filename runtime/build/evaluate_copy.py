"""COPY and ADD evaluated: sources, destination and flags with their variables replaced."""

import re
from typing import TYPE_CHECKING

from sandcell.runtime.build.dockerfile import HereDocument, Statement
from sandcell.runtime.build.expand import expand_lines
from sandcell.runtime.build.instructions import Copy
from sandcell.runtime.build.modes import BadMode, read_mode
from sandcell.runtime.build.ops import Place, Remote
from sandcell.runtime.build.patterns import IgnoreRules
from sandcell.runtime.errors import BadInput

if TYPE_CHECKING:
    from sandcell.runtime.build.evaluate import Evaluation

_GIT = r"(?:git://|ssh://|[\w.-]+@[\w.-]+:|https?://[^#?]*\.git/?(?:[#?]|\Z))"
_CHECKSUM = r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}"
_COMMIT = r"[0-9a-f]{7,64}"


def remote(text: str) -> Remote | None:
    """The address that ``text`` is, for ADD and for contexts; ``None`` for a path."""
    if re.match(_GIT, text):
        return Remote(url=text, git=True)
    return Remote(url=text) if text.startswith(("http://", "https://")) else None


def evaluate_copy(evaluation: "Evaluation", copy: Copy) -> None:
    """Add the op of a COPY or ADD."""
    statement = copy.statement
    expand = evaluation.expand
    sources: list[str | tuple[str, bytes] | Remote] = []
    for number, source in enumerate(copy.sources):
        document = copy.documents.get(number)
        if document is not None:
            sources.append((document.name, _content(evaluation, document, statement)))
            continue
        path = expand(source, statement)
        if not path:
            raise statement.fault(f"the source {source} is empty", "is the variable set?")
        fetched = _fetched(copy, path) if copy.fetches else None
        if fetched is None and not copy.stage:
            evaluation.checks.copied(path, statement)
        sources.append(fetched or path)
    if copy.checksum and not isinstance(sources[0], Remote):
        raise statement.fault("--checksum is for what is fetched", "leave the flag away")
    written = expand(copy.destination, statement)
    if not written:
        raise statement.fault(f"the destination {copy.destination} is empty", "is the variable set?")
    into = written.endswith(("/", "/.", "/..")) or written in (".", "..")
    if len(sources) > 1 and not into:
        raise statement.fault(
            f"several sources need a directory to go to, and {written} is not written as one",
            f"end it with a slash: {written}/",
        )
    owner = expand(copy.owner, statement)
    mode = _mode(expand(copy.mode, statement), statement)
    exclude = tuple(expand(pattern, statement) for pattern in copy.exclude)
    try:
        IgnoreRules("\n".join(exclude))
    except BadInput as error:
        raise statement.fault(f"--exclude: {error.cause}") from None
    origin = evaluation.origin(copy.stage, statement, "--from")
    flags = [("from", copy.stage), ("chown", owner), ("chmod", mode), ("checksum", copy.checksum)]
    told = [f"--{name}={value}" for name, value in flags if value]
    told += [f"--{name}" for name, on in (("link", copy.link), ("parents", copy.parents)) if on]
    told += [f"--exclude={pattern}" for pattern in exclude]
    told += [_told(source) for source in sources]
    unpack = copy.unpack if copy.fetches else False
    evaluation.add(
        Place,
        statement,
        " ".join((statement.keyword, *told, written)),
        sources=tuple(sources),
        destination=evaluation.absolute(written),
        into=into or copy.parents,
        owner=owner,
        mode=mode,
        context=origin.context or "",
        from_stage=origin.stage,
        from_image=origin.image,
        unpack=unpack,
        link=copy.link,
        parents=copy.parents,
        exclude=exclude,
    )


def _told(source: str | tuple[str, bytes] | Remote) -> str:
    if isinstance(source, Remote):
        return source.url
    return source if isinstance(source, str) else f"<<{source[0]}"


def _fetched(copy: Copy, text: str) -> Remote | None:
    found = remote(text)
    if found is None:
        return None
    checksum = copy.checksum
    if checksum and not re.fullmatch(_COMMIT if found.git else _CHECKSUM, checksum):
        hint = "a commit, in hexadecimal" if found.git else "for example sha256: and 64 hexadecimal digits"
        raise copy.statement.fault(f"--checksum={checksum} is no digest", hint)
    return Remote(url=text, git=found.git, checksum=checksum, keep_git_dir=copy.keep_git_dir)


def _mode(text: str, statement: Statement) -> str:
    if text:
        try:
            read_mode(text)
        except BadMode as error:
            raise statement.fault(
                f"--chmod: {error}", "for example --chmod=755 or --chmod=u=rwX,go=rX"
            ) from None
    return text


def _content(evaluation: "Evaluation", document: HereDocument, statement: Statement) -> bytes:
    text = document.text
    if document.expand:
        text = evaluation.expand(text, statement, expand_lines)
    return text.encode("utf-8", "surrogateescape")
