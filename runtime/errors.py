"""Every error sandcell raises on purpose, drawn as a tree.

::

    SandcellError                    operation, object, cause, hint
    ├── BadInput                     what somebody typed or handed in cannot be used
    │   ├── InvalidReference         an image name
    │   ├── InvalidDigest            a content hash
    │   ├── InvalidDocument          JSON that is not what the OCI specs say
    │   ├── InvalidOption            a flag, a limit, a mount, a variable
    │   └── DockerfileError          carries the lines of the cell
    ├── NotFound
    │   ├── ImageNotFound
    │   ├── ContainerNotFound
    │   └── BlobNotFound
    ├── Conflict                     the state of things forbids it now
    │   ├── NameInUse
    │   └── WrongState               e.g. exec in a container that is not running
    ├── Corrupted                    bytes do not match their digest or size
    ├── StoreFull                    no space, no inodes, over quota
    ├── HostRefused                  the kernel, a policy or a missing tool says no
    ├── RegistryRefused              a registry, or the way to it, says no
    │   ├── LoginNeeded              it wants to know who asks, or does not let them
    │   └── Unreachable              no answer, or none that makes sense
    ├── BuildFailed                  a step of a build failed; carries the step and its status
    └── StartFailed                  the container's process never came to life; carries the
                                     docker-like status 125, 126 or 127

An error is raised once, where the most is known, and told once, where a person reads it. Its text
says what was being done, to what, and why it failed; ``hint`` says what to do next.
"""


class SandcellError(Exception):
    """Base of all. ``str(error)`` is ``operation object: cause``; the hint is shown apart.

    Attributes: ``operation`` ("pull", "start"), ``object`` (what it was done to, as the user
    calls it), ``cause`` (one sentence, no full stop), ``hint`` (what to do next, may be empty).
    """

    def __init__(self, operation: str, object: str, cause: str, hint: str = "") -> None:
        super().__init__(operation, object, cause, hint)
        self.operation = operation
        self.object = object
        self.cause = cause
        self.hint = hint

    def __str__(self) -> str:
        what = f"{self.operation} {self.object}".strip()
        return f"{what}: {self.cause}" if what else self.cause


class BadInput(SandcellError):
    """Something handed in cannot be used; nothing was changed."""


class InvalidReference(BadInput):
    """Not an image name."""


class InvalidDigest(BadInput):
    """Not a content hash we know."""


class InvalidDocument(BadInput):
    """JSON that is not the document it should be."""


class InvalidOption(BadInput):
    """A flag, a limit, a mount or a variable that makes no sense."""


class DockerfileError(BadInput):
    """A Dockerfile that cannot be built as written.

    Attributes beside the base's: ``lines`` (first and last line, counted from 1, of the cell),
    ``source`` (the text of those lines).
    """

    def __init__(
        self,
        operation: str,
        object: str,
        cause: str,
        hint: str = "",
        *,
        lines: tuple[int, int] = (0, 0),
        source: str = "",
    ) -> None:
        super().__init__(operation, object, cause, hint)
        self.lines = lines
        self.source = source


class NotFound(SandcellError):
    """There is no such thing."""


class ImageNotFound(NotFound):
    """No image of that name here, nor where it was looked for."""


class ContainerNotFound(NotFound):
    """No container of that name or id."""


class BlobNotFound(NotFound):
    """The store does not hold that digest."""


class Conflict(SandcellError):
    """The state of things forbids it now; it may work later."""


class NameInUse(Conflict):
    """Another container has that name."""


class WrongState(Conflict):
    """The container is running, or is not, and the verb needs the other."""


class Corrupted(SandcellError):
    """Bytes that do not match the digest or size they were promised under."""


class StoreFull(SandcellError):
    """The file system under the store took no more."""


class HostRefused(SandcellError):
    """The kernel, a security policy or a missing tool says no; ``cause`` names which."""


class RegistryRefused(SandcellError):
    """A registry, or the way to it, says no; ``cause`` has the registry's words."""


class LoginNeeded(RegistryRefused):
    """The registry wants to know who asks, or does not let them."""


class Unreachable(RegistryRefused):
    """No answer, or none that a registry gives."""


class BuildFailed(SandcellError):
    """A step of a build failed. ``status`` is its exit status (0 where it never ran)."""

    def __init__(
        self,
        operation: str,
        object: str,
        cause: str,
        hint: str = "",
        *,
        status: int = 0,
        lines: tuple[int, int] = (0, 0),
        source: str = "",
    ) -> None:
        super().__init__(operation, object, cause, hint)
        self.status = status
        self.lines = lines
        self.source = source


class StartFailed(SandcellError):
    """The process never came to life. ``status``: 127 no such command, 126 not executable,
    125 the container itself could not be made (docker-run(1), "exit status")."""

    def __init__(self, operation: str, object: str, cause: str, hint: str = "", *, status: int = 125) -> None:
        super().__init__(operation, object, cause, hint)
        self.status = status
