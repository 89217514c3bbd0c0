"""JSON to words and back.

Reading is strict about what the specs require and silent about keys it does not know; ``null``
counts as absent, since Go programs write it for empty lists and maps. Writing gives the same
bytes for the same value: no insignificant white space, keys in the order of the specs, map keys sorted.
"""

from typing import Any, TypeVar

import msgspec

from sandcell.runtime.errors import InvalidDigest, InvalidDocument
from sandcell.runtime.known import known

T = TypeVar("T")


def encode(value: Any) -> bytes:
    """The canonical JSON of ``value``, one of this room's records, as UTF-8 bytes."""
    return _ENCODER.encode(value)


def decode(type: type[T], data: bytes, *, object: str, unique: bool = False) -> T:
    """Read ``data`` as a ``type``. ``object`` names the document for the error; ``unique``: no key may come
    twice, for of two readers each might believe another one (RFC 8259, section 4).

    ``InvalidDocument`` names the place of the fault (``layers[0].size``) and what was expected.
    """
    try:
        said = msgspec.json.decode(data)
        if unique:
            _check_unique(data, said)
        # Ours have none, and looking for one takes longer than the rest.
        return msgspec.convert(_without_null(said) if b"null" in data else said, known(type), dec_hook=_read)
    except msgspec.ValidationError as error:
        raise InvalidDocument("read", object, _told(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidDocument("read", object, f"not JSON: {error}") from None


def _check_unique(data: bytes, said: Any) -> None:
    """``ValidationError`` where an object of ``data``, which says ``said``, has a key twice."""
    if msgspec.json.format(data, indent=-1) == msgspec.json.encode(said):
        return  # nothing was lost; most documents are found good so, without what follows
    import json

    def check(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise msgspec.ValidationError(f"the key {key[:80]!r} comes twice")
            seen.add(key)

    try:
        json.loads(data, object_pairs_hook=check)
    except ValueError as error:
        if isinstance(error, msgspec.ValidationError):
            raise
        # What is no JSON is told by the reader that counts.


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_null(inner) for inner in value]
    return value


def _read(type: type, value: Any) -> Any:
    # A container's config.json has none, and who reads that lives for milliseconds.
    from sandcell.runtime.oci.digest import Digest

    if type is Digest and isinstance(value, str):
        try:
            return Digest.parse(value)
        except InvalidDigest as error:
            raise ValueError(f"{value[:100]!r} is no digest: {error.cause}") from None
    raise ValueError(f"expected {type.__name__}, got {value!r:.50}")


def _write(value: Any) -> Any:
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _told(message: str) -> str:
    """msgspec's ``Expected `int`, got `str` - at `$.size``` turned around: place first."""
    what, _, place = message.partition(" - at `")
    place = place.rstrip("`").removeprefix("$").removeprefix(".")
    what = what.replace("`", "'")
    return f"at {place}: {what[:1].lower()}{what[1:]}" if place else what[:1].lower() + what[1:]


_ENCODER = msgspec.json.Encoder(order="deterministic", enc_hook=_write)
