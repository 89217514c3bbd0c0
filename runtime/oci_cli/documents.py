"""JSON for commands that live for milliseconds: the interpreter's own C scanner, without the ``json``
package around it, whose import takes longer than the rest of such a command. RFC 8259.
"""

from _json import encode_basestring, make_scanner

from sandcell.runtime.errors import InvalidDocument


class _How:
    """What the scanner asks for."""

    __slots__ = ("memo",)
    strict, object_hook, object_pairs_hook = True, None, None
    parse_float, parse_int, parse_constant = float, int, float

    def __init__(self) -> None:
        self.memo: dict[str, str] = {}


_scan = make_scanner(_How())  # type: ignore[arg-type]  # the C code asks for attributes, not for a type


def read(text: str, *, object: str) -> dict[str, object]:
    """The object in ``text``. ``InvalidDocument``, naming ``object``, where there is none."""
    stripped = text.strip(" \t\r\n")
    try:
        value, end = _scan(stripped, 0)
    except (StopIteration, ValueError):
        raise InvalidDocument("read", object, "not JSON") from None
    if end != len(stripped) or not isinstance(value, dict):
        raise InvalidDocument("read", object, "not a JSON object")
    return value


def write(value: object, *, pretty: bool = False, depth: int = 0) -> str:
    """``value`` (dicts, lists, strings, numbers, booleans, None) as JSON, compact or with a line for
    each member."""
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        colon = ": " if pretty else ":"
        parts = [
            encode_basestring(key) + colon + write(inner, pretty=pretty, depth=depth + 1)
            for key, inner in value.items()
        ]
        opening, closing = "{}"
    elif isinstance(value, list | tuple):
        parts = [write(inner, pretty=pretty, depth=depth + 1) for inner in value]
        opening, closing = "[]"
    else:
        return repr(value)
    if not pretty or not parts:
        return opening + ",".join(parts) + closing
    gap = "\n" + "  " * (depth + 1)
    return f"{opening}{gap}{f',{gap}'.join(parts)}{gap[:-2]}{closing}"
