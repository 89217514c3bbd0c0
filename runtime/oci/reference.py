"""Image names as people type them, and what they mean in full.

The grammar and the defaults are docker's: a name without a registry is Docker Hub's, a name of one
part is in its ``library/``, no tag is ``latest``.
"""

import re
from typing import Self

import msgspec

from sandcell.runtime.errors import InvalidDigest, InvalidReference
from sandcell.runtime.oci.digest import Digest

DOCKER_HUB = "docker.io"

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LONGEST = 255


class Reference(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an image is found: registry host, repository, and a tag or a digest or both.

    ``str()`` gives the full form, ``.familiar`` the one people see.
    """

    registry: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what somebody typed; ``InvalidReference`` says which part is wrong.

        >>> Reference.parse("hello").familiar
        'hello:latest'
        >>> str(Reference.parse("hello"))
        'docker.io/library/hello:latest'
        """
        name, at, digest_text = text.partition("@")
        digest = None
        if at:
            try:
                digest = Digest.parse(digest_text)
            except InvalidDigest as error:
                raise _refuse(text, error.cause) from None
        head, slash, tail = name.rpartition("/")
        last, colon, tag = tail.partition(":")
        path = head + slash + last
        if colon and not _TAG.fullmatch(tag):
            raise _refuse(
                text, "a tag is 1 to 128 letters, digits, '_', '.' or '-', not beginning with '.' or '-'"
            )
        registry, repository = _split_registry(path)
        if not _REPOSITORY.fullmatch(repository):
            raise _bad_repository(text, repository)
        if not _REGISTRY.fullmatch(registry):
            raise _refuse(text, f"{registry!r} is not a registry host")
        if len(registry) + 1 + len(repository) > _LONGEST:
            raise _refuse(text[:80] + "…", f"the name is longer than {_LONGEST} characters")
        if registry == DOCKER_HUB and "/" not in repository:
            if re.fullmatch(r"[0-9a-f]{64}", repository):
                raise _refuse(text, "64 hexadecimal digits are an id, not a name")
            repository = "library/" + repository
        if not tag and digest is None:
            tag = "latest"
        return cls(registry, repository, tag, digest)

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar(self) -> str:
        """The shortest text that ``parse`` reads back as this: ``hello:latest``, ``localhost:5000/a:1``."""
        name = self.name
        if self.registry == DOCKER_HUB:
            name = self.repository.removeprefix("library/")
            # A Hub user whose name looks like a host, or a path below library/, needs its full form.
            if _split_registry(name) != (DOCKER_HUB, name) or (name.count("/") and self.repository != name):
                name = self.name
        return name + self._suffix()

    @property
    def is_host(self) -> bool:
        """Is it ``host`` or a variant of it (``host:tiny``): this machine's own userland, never pulled."""
        return self.registry == DOCKER_HUB and self.repository == "library/host"

    def __str__(self) -> str:
        return self.name + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def _split_registry(path: str) -> tuple[str, str]:
    """The registry host in front of ``path`` if there is one, else Docker Hub's."""
    first, slash, rest = path.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return (DOCKER_HUB if first == "index.docker.io" else first), rest
    return DOCKER_HUB, path


def _bad_repository(text: str, repository: str) -> InvalidReference:
    if not text:
        return _refuse(text, "the name is empty")
    if repository != repository.lower() and _REPOSITORY.fullmatch(repository.lower()):
        lower = text.replace(repository, repository.lower(), 1)
        return _refuse(text, "the name must be in lower case", f"write {lower}")
    return _refuse(
        text,
        "a name is made of a-z and 0-9, joined by '.', '_', '__' or '-', its parts by '/'",
        "for example alpine:3.20 or localhost:5000/team/app:1.0",
    )


def _refuse(text: str, cause: str, hint: str = "") -> InvalidReference:
    return InvalidReference("read image name", repr(text), cause, hint)
