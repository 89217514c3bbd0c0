"""``RUN --mount=…`` read: what is shown to a command while it runs, and is no part of the image.

Dockerfile reference, "RUN --mount". The value is a line of comma-separated fields, quoted as in CSV.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from sandcell.runtime.build.dockerfile import Statement, did_you_mean

_TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
_NAMES = {
    "type": "type",
    "from": "stage",
    "source": "source",
    "src": "source",
    "target": "target",
    "dst": "target",
    "destination": "target",
    "readonly": "readonly",
    "ro": "readonly",
    "readwrite": "readwrite",
    "rw": "readwrite",
    "required": "required",
    "id": "id",
    "sharing": "sharing",
    "size": "size",
    "mode": "mode",
    "uid": "uid",
    "gid": "gid",
    "env": "env",
}
_SWITCHES = ("readonly", "readwrite", "required")
_OF_TYPE = {
    "bind": {"stage", "source", "target", "readonly", "readwrite"},
    "cache": {"stage", "source", "target", "readonly", "readwrite", "id", "sharing", "mode", "uid", "gid"},
    "tmpfs": {"target", "size", "readonly", "readwrite"},
    "secret": {"source", "target", "id", "required", "mode", "uid", "gid", "env"},
    "ssh": {"target", "id", "required", "mode", "uid", "gid"},
}
_SHARING = ("shared", "private", "locked")
_TRUTHS = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}
# Compiled when first used: a warm build needs few of them.
_SIZE = r"([0-9]+(?:\.[0-9]+)?)\s*([kmgtKMGT]?)[iI]?[bB]?"
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_VARIABLE = r"[^=\0]+"


class Mount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One ``--mount``. ``stage``: what ``from`` names. ``target`` as written, perhaps relative to the
    working directory, empty where a secret is only a variable (``env``) or the default is meant.
    ``size``: bytes, 0 is no limit. ``mode``: ``None`` is the type's own."""

    type: str = "bind"
    stage: str = ""
    source: str = ""
    target: str = ""
    readonly: bool = True
    id: str = ""
    sharing: str = "shared"
    size: int = 0
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    env: str = ""
    required: bool = False


def stage_of(statement: Statement, text: str) -> str:
    """The stage, image or context that a ``--mount`` names by ``from``, known without any variable."""
    for field in _fields(statement, text):
        name, _, value = field.partition("=")
        if name.strip().lower() == "from":
            if "$" in value:
                raise statement.fault(
                    "from= of a mount takes no variable", f"write FROM {value} AS name, and from=name"
                )
            return value
    return ""


def read_mount(statement: Statement, text: str, expand: Callable[[str], str]) -> Mount:
    """The mount that ``text`` describes, variables replaced by ``expand``; ``DockerfileError``."""
    given: dict[str, Any] = {}
    for field in _fields(statement, text):
        written, equals, value = field.partition("=")
        name = _NAMES.get(written.strip().lower(), "")
        if not name:
            hint = did_you_mean(written.lower(), list(_NAMES)) or "for example type=cache,target=/root/.cache"
            raise statement.fault(f"--mount has no option {written!r}", hint)
        if not equals and name not in _SWITCHES:
            raise statement.fault(f"the option {written} of --mount needs a value", f"write {written}=value")
        given[name] = _value(statement, name, expand(value) if equals else "true")
    kind = given.pop("type", "bind")
    for name in given:
        if name not in _OF_TYPE[kind]:
            shown = next(written for written, meant in _NAMES.items() if meant == name)
            raise statement.fault(f"a mount of type {kind} has no option {shown}", _options_told(kind))
    writable = kind in ("cache", "tmpfs")
    if "readwrite" in given:
        writable = given.pop("readwrite")
    if "readonly" in given:
        writable = not given.pop("readonly")
    mount = Mount(type=kind, readonly=not writable, **given)
    return _complete(statement, mount)


def _fields(statement: Statement, text: str) -> list[str]:
    import csv

    try:
        return next(csv.reader([text], strict=True))
    except (csv.Error, StopIteration):
        raise statement.fault(f"--mount={text} has a quote that is not closed") from None


def _value(statement: Statement, name: str, value: str) -> Any:
    if name in _SWITCHES:
        if value.lower() not in _TRUTHS:
            raise statement.fault(f"{name} is true or false, not {value!r}")
        return _TRUTHS[value.lower()]
    if name == "type" and value not in _TYPES:
        hint = did_you_mean(value, list(_TYPES)) or f"there are {', '.join(_TYPES)}"
        raise statement.fault(f"there is no mount of type {value!r}", hint)
    if name == "sharing" and value not in _SHARING:
        raise statement.fault(f"sharing is {', '.join(_SHARING)}, not {value!r}")
    if name in ("uid", "gid"):
        if not value.isdecimal() or int(value) > 2**32 - 2:
            raise statement.fault(f"{name}={value} is no id", f"a number, for example {name}=1000")
        return int(value)
    if name == "mode":
        if not re.fullmatch("0?[0-7]{1,4}", value):
            raise statement.fault(f"mode={value} is no octal mode", "for example mode=0700")
        return int(value, 8)
    if name == "size":
        match = re.fullmatch(_SIZE, value)
        if match is None:
            raise statement.fault(f"size={value} is no size", "for example size=64m")
        return int(float(match[1]) * _UNITS[match[2].lower()])
    if name == "env" and not re.fullmatch(_VARIABLE, value):
        raise statement.fault(f"env={value} cannot be a variable")
    if "\0" in value:
        raise statement.fault(f"{name} of a mount holds a NUL character")
    return value


def _complete(statement: Statement, mount: Mount) -> Mount:
    """The mount with what follows from the rest: the id of a secret, the target it is seen at."""
    if mount.type in ("bind", "cache", "tmpfs") and not mount.target:
        raise statement.fault(
            f"a mount of type {mount.type} needs a target", f"write --mount=type={mount.type},target=/path"
        )
    changes: dict[str, Any] = {}
    if mount.type == "secret":
        if mount.source and mount.id:
            raise statement.fault("a secret has either an id or a source, which mean the same")
        name = mount.id or mount.source or mount.target.rstrip("/").rpartition("/")[2]
        if not name:
            raise statement.fault("a secret needs an id", "write --mount=type=secret,id=name")
        changes = {"id": name, "source": ""}
        if not mount.target and not mount.env:
            changes["target"] = f"/run/secrets/{name.rpartition('/')[2]}"
    if mount.type == "ssh" and not mount.id:
        changes["id"] = "default"
    return msgspec.structs.replace(mount, **changes) if changes else mount


def _options_told(kind: str) -> str:
    return f"it has {', '.join(sorted(name for name in _NAMES if _NAMES[name] in _OF_TYPE[kind]))}"
