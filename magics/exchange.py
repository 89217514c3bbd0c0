"""``--send`` and ``--fetch``: values that cross between the notebook and a cell, as plain files.

Text is UTF-8, bytes are bytes, everything else is JSON (RFC 8259); nothing is ever unpickled. What
comes out of a container is not trusted: only regular files of the given names are read, links are
not followed.
"""

import json
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sandcell.magics.deliver import ROOM, Delivery
from sandcell.runtime.errors import InvalidOption

MOST = 1 << 30
"""Bytes of the largest value that is fetched."""

_ENVIRONMENT = 100_000
"""Bytes of the longest text given as a variable; execve(2) takes 131,072 with name and ``=``."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery with values: more files, and ``env`` for what is handed over as variables. Where
    results go is ``SANDCELL_OUT`` in every cell that is asked for some."""

    delivery: Delivery
    env: Mapping[str, str] = {}


def send(
    delivery: Delivery,
    wanted: Sequence[str],
    fetched: Sequence[str],
    names: Mapping[str, Any],
    *,
    room: str = ROOM,
) -> Sent:
    """Add the values of ``VAR`` or ``VAR=ALIAS`` to a delivery, and the list of what to fetch.

    Raises `InvalidOption` for an undefined or unusable name and for a value that is neither text,
    bytes nor JSON.
    """
    kinds: dict[str, str] = {}
    files: dict[str, bytes] = {}
    env: dict[str, str] = {}
    paths: dict[str, str] = {}
    for word in wanted:
        name, _, alias = word.partition("=")
        alias = alias or name
        check_name("--send", name)
        check_name("--send", alias)
        if name not in names:
            raise InvalidOption(
                "%%container",
                f"--send {name}",
                f"the name {name!r} is not defined",
                "define it in a cell first",
            )
        value = names[name]
        kinds[alias], data = _encode(name, value)
        files["in/" + alias] = data
        if delivery.language != "python":
            plain = isinstance(value, str | int | float) and not isinstance(value, bool)
            if plain and len(data) <= _ENVIRONMENT and b"\0" not in data:
                env[alias] = value if isinstance(value, str) else data.decode("ascii")
            else:
                paths[alias] = f"{room}/in/{alias}"
    for name in fetched:
        check_name("--fetch", name)
    command = delivery.command
    if fetched and room == ROOM:
        env["SANDCELL_OUT"] = f"{ROOM}/out"
    if delivery.language == "python" and (kinds or fetched):
        files["exchange.json"] = json.dumps({"send": kinds, "fetch": list(fetched)}).encode()
    elif room == ROOM:
        env.update(paths)
    elif paths:
        # Only inside does the directory have its name: env(1) sets the variables there.
        command = ("env", *(f"{name}={path}" for name, path in paths.items()), *command)
    return Sent(
        delivery=msgspec.structs.replace(delivery, command=command, files={**delivery.files, **files}),
        env=env,
    )


def fetch(directory: str | os.PathLike[str], names: Sequence[str]) -> dict[str, Any]:
    """Read values from the directory a container wrote them to.

    ``NAME.json`` is decoded; ``NAME`` and ``NAME.str`` are text, or bytes where they are not UTF-8;
    ``NAME.bytes`` is bytes. Raises `InvalidOption` naming the first value that is missing, too
    large, not JSON, or not a regular file.
    """
    try:
        at = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        cause = f"the directory of results cannot be read: {error.strerror}"
        raise _no_value(names[0], cause) from None
    try:
        return {name: _fetch_one(at, name) for name in names}
    finally:
        os.close(at)


def check_name(flag: str, name: str) -> None:
    """Raise `InvalidOption` unless ``name`` can be a Python variable."""
    import keyword

    if not name.isidentifier() or keyword.iskeyword(name) or len(name.encode()) > 200:
        raise InvalidOption("%%container", f"{flag} {name}", "not the name of a variable")


def _encode(name: str, value: object) -> tuple[str, bytes]:
    if isinstance(value, str):
        return "str", value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes", bytes(value)
    try:
        return "json", json.dumps(value).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidOption(
            "%%container",
            f"--send {name}",
            f"a value of type {type(value).__name__} is neither text, bytes nor JSON ({error})",
            "turn it into one of these first, for example value.tolist() or table.to_csv()",
        ) from None


def _fetch_one(directory: int, name: str) -> Any:
    for ending in (".json", ".str", ".bytes", ".error", ""):
        data = _read(directory, name + ending, name)
        if data is None:
            continue
        if ending == ".error":
            cause = f"{data.decode('utf-8', 'replace')}: neither text, bytes nor JSON"
            raise _no_value(name, cause, "turn it into one of these in the cell")
        if ending == ".json":
            try:
                return json.loads(data)
            except (ValueError, RecursionError) as error:
                raise _no_value(name, f"what the cell wrote is not JSON: {error}") from None
        if ending == ".bytes":
            return data
        try:
            return data.decode("utf-8", "surrogatepass" if ending else "strict")
        except UnicodeDecodeError:
            return data
    raise _no_value(
        name,
        "the cell gave no such value",
        f"Python cells set the variable, others write $SANDCELL_OUT/{name}",
    )


def _read(directory: int, file: str, name: str) -> bytes | None:
    """The bytes of a regular file; ``None`` when there is no such file."""
    try:
        opened = os.open(
            file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, dir_fd=directory
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _no_value(name, f"$SANDCELL_OUT/{file} cannot be read: {error.strerror}") from None
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            raise _no_value(name, f"$SANDCELL_OUT/{file} is not a regular file")
        if found.st_size > MOST:
            raise _no_value(name, f"{found.st_size:,} bytes are more than the {MOST:,} a value may have")
        with open(opened, "rb", closefd=False) as stream:
            return stream.read(MOST)
    finally:
        os.close(opened)


def _no_value(name: str, cause: str, hint: str = "") -> InvalidOption:
    return InvalidOption("%%container", f"--fetch {name}", cause, hint)
