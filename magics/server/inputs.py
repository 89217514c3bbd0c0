"""What may come in with a request, as records; what does not fit is one clear ``BadInput``."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.known import known

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Word = Annotated[str, msgspec.Meta(max_length=4096)]
Words = Annotated[list[Word], msgspec.Meta(max_length=1000)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=600)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Number = Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
Count = Annotated[int, msgspec.Meta(ge=-1, le=1 << 50)]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request brings; every field has a default or must be there."""


class Nothing(Body, frozen=True, kw_only=True):
    """A verb that needs no more than its address."""


class Stopping(Body, frozen=True, kw_only=True):
    """``timeout``: seconds until it is killed; ``null``: those it was created with, or 10."""

    timeout: Seconds | None = None


class Killing(Body, frozen=True, kw_only=True):
    """``signal``: a name or a number."""

    signal: Annotated[str, msgspec.Meta(max_length=32)] = "KILL"


class Renaming(Body, frozen=True, kw_only=True):
    """``name``: the new one."""

    name: Name


class Committing(Body, frozen=True, kw_only=True):
    """``name``: of the new image, empty for none; ``message``: a note in its history."""

    name: Annotated[str, msgspec.Meta(max_length=255)] = ""
    message: Word = ""


class Updating(Body, frozen=True, kw_only=True):
    """Limits in bytes, processors and processes (-1: none); ``null`` lets one stand."""

    memory: Count | None = None
    cpus: Annotated[float, msgspec.Meta(ge=-1, le=10_000)] | None = None
    pids_limit: Count | None = None


class Executing(Body, frozen=True, kw_only=True):
    """A command to run in a container and to wait for."""

    command: Annotated[list[Word], msgspec.Meta(min_length=1, max_length=1000)]
    env: dict[str, Word] = {}
    workdir: Word = ""
    user: Word = ""


class Creating(Body, frozen=True, kw_only=True):
    """A container to be made of ``image``, and started if ``start``. The other fields are ``Options``."""

    image: Name
    command: Words | None = None
    start: bool = False
    name: Annotated[str, msgspec.Meta(max_length=128)] = ""
    env: dict[str, Word] = {}
    workdir: Word = ""
    user: Word = ""
    memory: Count | None = None
    cpus: float | None = None
    pids_limit: Count | None = None
    network: Annotated[str, msgspec.Meta(max_length=255)] = "none"
    publish: Words = []
    volumes: Words = []
    tmpfs: Words = []
    hostname: Word = ""
    labels: dict[str, Word] = {}
    read_only: bool = False
    remove: bool = False


class Building(Body, frozen=True, kw_only=True):
    """A Dockerfile, without files of a context, and what to call the image."""

    text: Annotated[str, msgspec.Meta(max_length=1 << 20)]
    name: Annotated[str, msgspec.Meta(max_length=255)] = ""
    target: Word = ""
    no_cache: bool = False


class Tagging(Body, frozen=True, kw_only=True):
    """``target``: one more name for the image."""

    target: Name


class Pulling(Body, frozen=True, kw_only=True):
    """``name``: of an image, with its registry; ``platform``: ``os/architecture``, empty for this one."""

    name: Name
    platform: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Networking(Body, frozen=True, kw_only=True):
    """A bridge network."""

    name: Name
    subnet: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Joining(Body, frozen=True, kw_only=True):
    """``container``: by name or id."""

    container: Name


class Volumes(Body, frozen=True, kw_only=True):
    """A named volume."""

    name: Name


class Archive(Body, frozen=True, kw_only=True):
    """Not JSON: the bytes of a tar."""


def body(kind: type[Body], data: bytes) -> dict[str, Any]:
    """The fields of a JSON body; an empty one has only defaults. ``InvalidOption`` says what is wrong."""
    try:
        value = msgspec.json.decode(data or b"{}", type=known(kind))
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InvalidOption(
            "read", "the request's body", str(error), "see /sandcell/api/openapi.json"
        ) from None
    except UnicodeDecodeError:
        raise InvalidOption("read", "the request's body", "it is not UTF-8") from None
    return msgspec.structs.asdict(value)


def query(kinds: Mapping[str, Any], given: Mapping[str, list[bytes]]) -> dict[str, Any]:
    """The parameters of an address, each at most once; ``InvalidOption`` for others and for what they
    cannot be."""
    found: dict[str, Any] = {}
    for name, values in given.items():
        if name == "token":
            continue  # Jupyter's own
        if name not in kinds or len(values) > 1:
            cause = "it is given twice" if name in kinds else "there is no such parameter"
            raise InvalidOption("read", f"parameter {name[:40]!r}", cause, f"it has: {', '.join(kinds)}")
        try:
            text = values[0].decode()
            found[name] = msgspec.convert(text, type=kinds[name], strict=False)
        except (msgspec.ValidationError, UnicodeDecodeError) as error:
            raise InvalidOption("read", f"parameter {name}", str(error)) from None
    return found
