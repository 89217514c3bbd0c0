"""What a person may ask of a build beside its text: the flags of ``docker build``."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, Self

import msgspec

from sandcell.runtime.errors import BadInput, InvalidOption, NotFound
from sandcell.runtime.layer.compress import Compression


class BuildOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The less usual flags of a build.

    ``contexts``: ``--build-context``, name → directory, ``docker-image://REF``, ``oci-layout://DIR``, or an
    address of a tar or a git repository. ``secrets``: contents by id. ``agents``: ssh agents by id, each
    a socket, or files of keys. ``labels`` are set last. ``platform``: ``os/architecture``, empty is this
    machine's. ``fresh_stages``: stages done again whatever the cache has. ``cache_from``, ``cache_to``:
    ``type=registry,ref=…``, ``type=local,src=…`` or ``dest=…``, ``type=inline``. ``ignore``: takes the
    place of the context's .dockerignore. ``network``: of every RUN that names none.
    ``compression``: of new layers.
    """

    contexts: Mapping[str, str] = {}
    secrets: Mapping[str, bytes] = {}
    agents: Mapping[str, tuple[str, ...]] = {}
    labels: Mapping[str, str] = {}
    platform: str = ""
    fresh_stages: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    ignore: str | None = None
    network: str = "default"
    compression: Compression = "gzip"

    @classmethod
    def read(
        cls,
        *,
        contexts: Iterable[str] = (),
        secrets: Iterable[str] = (),
        agents: Iterable[str] = (),
        labels: Iterable[str] = (),
        fresh_stages: Iterable[str] = (),
        **more: Any,
    ) -> Self:
        """The flags as docker writes them: ``NAME=DIR``, ``id=NAME,src=FILE``, ``default=SOCKET``,
        ``KEY=VALUE``. ``more``: fields as they are. ``BadInput``, also for a secret that cannot be read."""
        return cls(
            contexts=dict(_pair("--build-context", text, "NAME=DIR") for text in contexts),
            secrets=dict(_secret(text) for text in secrets),
            agents=dict(_agent(text) for text in agents),
            labels=dict(_label(text) for text in labels),
            fresh_stages=tuple(name for text in fresh_stages for name in text.split(",") if name),
            **more,
        )

    @staticmethod
    def fields(flag: str, text: str) -> dict[str, str]:
        """``name=value,…``, quoted as in CSV, as a map; ``InvalidOption`` tells of ``flag``."""
        return _fields(flag, text)


def _pair(flag: str, text: str, form: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not name or not sign or not value:
        raise InvalidOption("build", f"{flag} {text}", "it has no value", f"write {flag} {form}")
    return name, value


def _label(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name:
        raise InvalidOption("build", f"--label {text}", "a label needs a name", "write --label KEY=VALUE")
    return name, value


def _fields(flag: str, text: str) -> dict[str, str]:
    """``name=value,…``, quoted as in CSV, as a map."""
    import csv

    try:
        parts = next(csv.reader([text], strict=True))
    except (csv.Error, StopIteration):
        raise InvalidOption("build", f"{flag} {text}", "a quote is not closed") from None
    found = {}
    for part in parts:
        name, value = _pair(flag, part, "NAME=VALUE,…")
        found[name] = value
    return found


def _secret(text: str) -> tuple[str, bytes]:
    """``id=NAME[,src=FILE|env=VARIABLE]``; without both, the variable of that name or the file."""
    found = _fields("--secret", text)
    name = found.get("id", "")
    path = found.get("src", found.get("source", ""))
    variable = found.get("env", "")
    asked = f"--secret {text}"
    unknown = set(found) - {"id", "src", "source", "env", "type"}
    if unknown or not name:
        raise InvalidOption("build", asked, f"no option {min(unknown)}" if unknown else "it has no id",
                            "write --secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE")  # fmt: skip
    if found.get("type") == "env":
        variable, path = variable or path or name, ""
    if not variable and not path:
        variable = name if name in os.environ else ""
        path = "" if variable else name
    if variable:
        if variable not in os.environ:
            raise NotFound("build", asked, f"there is no variable {variable}")
        return name, os.fsencode(os.environ[variable])
    try:
        with open(os.path.expanduser(path), "rb") as file:
            return name, file.read()
    except OSError as error:
        raise BadInput("build", asked, f"{path} cannot be read: {error.strerror}") from None


def _agent(text: str) -> tuple[str, tuple[str, ...]]:
    """``default``, ``id=SOCKET`` or ``id=KEY[,KEY]``."""
    name, sign, value = text.partition("=")
    if sign and value:
        return name, tuple(value.split(","))
    socket = os.environ.get("SSH_AUTH_SOCK", "")
    if not socket:
        hint = "start one (eval $(ssh-agent)), or give a key: --ssh default=FILE"
        raise NotFound("build", f"--ssh {text}", "SSH_AUTH_SOCK names no agent", hint)
    return name or "default", (socket,)
