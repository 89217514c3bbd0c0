"""``--format TEMPLATE``: the part of Go's templates that people use with docker's ``ps`` and ``inspect``.

``{{.State.Status}}`` is a field of a field, ``{{json .Mounts}}`` a value as JSON, ``{{len .Mounts}}`` how
many there are, ``{{index .Labels "a b"}}`` an item, ``{{range .Mounts}}{{.Source}}{{end}}`` the text for each
item and ``{{if .OOMKilled}}…{{else}}…{{end}}`` one of two; ``{{.}}`` is the whole. ``\\t`` and ``\\n`` mean a
tab and a new line.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from sandcell.runtime.errors import InvalidOption

_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')
_PATH = re.compile(r"\.|(?:\.[A-Za-z_][A-Za-z0-9_]*)+")
_HINT = (
    'write {{.Field}}, {{json .Field}}, {{index .Field "key"}}, {{range .Field}}…{{end}}'
    " or {{if .Field}}…{{end}}"
)

Render: TypeAlias = Callable[[Any], str]


def compiled(text: str) -> Render:
    """The function that writes a value as the template says. ``InvalidOption``."""
    text = text.removeprefix("table ").replace("\\t", "\t").replace("\\n", "\n")
    if "{{" not in text:
        raise _wrong(text, "it is neither table nor json, and has no {{…}}")
    parts: list[str] = []
    place = 0
    for found in _ACTION.finditer(text):
        parts += [text[place : found.start()], found[1]]
        place = found.end()
    parts.append(text[place:])
    if any("{{" in plain or "}}" in plain for plain in parts[::2]):
        raise _wrong(text, "a {{ or }} stands alone")
    render, end = _block(text, parts, 0, closed=False)
    assert end == len(parts)
    return render


def fields(text: str) -> list[str]:
    """The names of the fields that the template begins with, in order: the columns of a table."""
    return [name for action in _ACTION.findall(text) for name in re.findall(r"\.([A-Za-z_]\w*)", action)[:1]]


def _block(text: str, parts: Sequence[str], place: int, *, closed: bool) -> tuple[Render, int]:
    """What stands from ``place``, a piece of plain text, to the action that ends it, and where that is."""
    renders: list[Render] = []
    while True:
        if parts[place]:
            renders.append(_plain(parts[place]))
        place += 1
        if place == len(parts):
            if closed:
                raise _wrong(text, "{{end}} is missing")
            return _all(renders), place
        action = parts[place]
        verb = action.split(None, 1)[0] if action.strip() else ""
        if verb in ("end", "else"):
            if not closed:
                raise _wrong(text, f"{{{{{verb}}}}} ends nothing")
            return _all(renders), place
        if verb in ("range", "if"):
            value = _value(text, action[len(verb) :])
            inner, place = _block(text, parts, place + 1, closed=True)
            other: Render = _plain("")
            if parts[place].startswith("else"):
                other, place = _block(text, parts, place + 1, closed=True)
            renders.append(
                _repeated(value, inner, other) if verb == "range" else _either(value, inner, other)
            )
        else:
            renders.append(_written(_value(text, action)))
        place += 1


def _plain(text: str) -> Render:
    return lambda _: text


def _all(renders: Sequence[Render]) -> Render:
    return lambda value: "".join(render(value) for render in renders)


def _repeated(items: Callable[[Any], Any], inner: Render, other: Render) -> Render:
    def render(value: Any) -> str:
        found = items(value) or ()
        rows = found.values() if isinstance(found, dict) else found
        return "".join(map(inner, rows)) if rows else other(value)

    return render


def _either(condition: Callable[[Any], Any], inner: Render, other: Render) -> Render:
    return lambda value: inner(value) if condition(value) else other(value)


def _written(value: Callable[[Any], Any]) -> Render:
    return lambda given: text_of(value(given))


def text_of(value: Any) -> str:
    """A value as Go would print it; maps and lists as JSON."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _value(text: str, action: str) -> Callable[[Any], Any]:
    words = _WORD.findall(action)
    if len(words) == 1 and _PATH.fullmatch(words[0]):
        return _path(text, words[0])
    if len(words) == 2 and words[0] in ("json", "len") and _PATH.fullmatch(words[1]):
        inner = _path(text, words[1])
        if words[0] == "len":
            return lambda value: len(inner(value))
        return lambda value: json.dumps(inner(value), default=str, separators=(",", ":"))
    if len(words) > 2 and words[0] == "index" and _PATH.fullmatch(words[1]):
        return _index(text, _path(text, words[1]), words[2:])
    raise _wrong(text, f"{{{{{action}}}}} means nothing here")


def _path(text: str, path: str) -> Callable[[Any], Any]:
    names = [name for name in path.split(".") if name]

    def look(value: Any) -> Any:
        for name in names:
            value = _item(text, value, name)
        return value

    return look


def _index(text: str, inner: Callable[[Any], Any], words: Sequence[str]) -> Callable[[Any], Any]:
    try:
        keys = [json.loads(word) for word in words]
    except ValueError:
        raise _wrong(text, f"{' '.join(words)} is neither a number nor a quoted text") from None

    def look(value: Any) -> Any:
        value = inner(value)
        for key in keys:
            value = _item(text, value, key)
        return value

    return look


def _item(text: str, value: Any, key: Any) -> Any:
    try:
        return value[key]
    except (KeyError, IndexError, TypeError):
        known = ", ".join(map(str, value)) if isinstance(value, dict) else ""
        raise _wrong(text, f"there is no {key!r}", f"there are {known}" if known else "") from None


def _wrong(text: str, cause: str, hint: str = "") -> InvalidOption:
    return InvalidOption("use", f"--format {text!r}", cause, hint or _HINT)
