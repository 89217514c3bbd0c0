"""docker's ``--filter KEY=VALUE``, of verbs that list."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sandcell.runtime.errors import InvalidOption

if TYPE_CHECKING:
    from sandcell.runtime.engine.network_verbs import NetworkEntry
    from sandcell.runtime.volumes.volumes import Volume

Filters = Sequence[tuple[str, str]]
"""Each a key and the value it must have."""


def parse(verb: str, texts: Sequence[str], keys: Sequence[str]) -> Filters:
    """The filters in ``KEY=VALUE`` texts; ``InvalidOption`` for a key that is none of ``keys``."""
    found = []
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or key not in keys:
            hint = f"use {', '.join(f'{known}=' for known in keys)}"
            raise InvalidOption(verb, f"--filter {text}", "no such filter", hint)
        found.append((key, value))
    return found


def fit(filters: Filters, matches: Callable[[str, str], bool]) -> bool:
    """As docker: of each key one value must match, and every label. ``matches`` gets key and value."""
    keys = {key for key, _ in filters}
    return all(
        (all if key == "label" else any)(matches(key, value) for k, value in filters if k == key)
        for key in keys
    )


T = TypeVar("T", "NetworkEntry", "Volume")


def select(
    verb: str,
    texts: Sequence[str],
    keys: Sequence[str],
    things: Iterable[T],
    unused: Callable[[], Container[str]],
    matches: Callable[[T, str, str], bool],
) -> list[T]:
    """Those of ``things`` that the filters in ``texts`` choose, by name, label and whether they are dangling:
    among the names that ``unused`` gives. ``matches``: what other ``keys`` say."""
    wanted = parse(verb, texts, keys)
    names = unused() if any(key == "dangling" for key, _ in wanted) else ()

    def chosen(thing: T, key: str, value: str) -> bool:
        if key == "name":
            return value in thing.name
        if key == "label":
            return labelled(thing.labels, value)
        if key == "dangling":
            return truth(verb, key, value) == (thing.name in names)
        return matches(thing, key, value)

    return [thing for thing in things if fit(wanted, partial(chosen, thing))]


def labelled(labels: Mapping[str, str], wanted: str) -> bool:
    """Is the label there: ``KEY``, or ``KEY=VALUE``?"""
    key, sign, value = wanted.partition("=")
    return key in labels and (not sign or labels[key] == value)


def truth(verb: str, key: str, value: str) -> bool:
    """``true`` or ``1``, ``false`` or ``0``; ``InvalidOption`` otherwise."""
    if value.lower() not in ("true", "false", "1", "0"):
        raise InvalidOption(verb, f"--filter {key}={value}", "it is neither true nor false")
    return value.lower() in ("true", "1")
