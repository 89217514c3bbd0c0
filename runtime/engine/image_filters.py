"""Which images ``images`` lists: docker's ``--filter``."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from sandcell.runtime.engine.values import ImageEntry
from sandcell.runtime.errors import InvalidOption

KINDS: Final = ("before", "dangling", "label", "reference", "since")


class ImageFilters(msgspec.Struct, frozen=True):
    """``labels``: each ``KEY`` or ``KEY=VALUE`` must be there; ``references``: one of these patterns must
    fit; ``before``, ``since``: made earlier or later than this moment (RFC 3339); ``dangling``: without a
    name (true) or with one (false)."""

    labels: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    before: str = ""
    since: str = ""
    dangling: bool | None = None

    def match(self, entry: ImageEntry, labels: Mapping[str, str]) -> bool:
        """Is the image listed?"""
        return (
            all(_has(labels, wanted) for wanted in self.labels)
            and (not self.references or any(_fits(entry.name, pattern) for pattern in self.references))
            and (not self.before or entry.created < self.before)
            and (not self.since or entry.created > self.since)
        )


def parse(given: Sequence[str], created: Callable[[str], str]) -> ImageFilters:
    """The filters in ``KEY=VALUE`` texts. ``created``: when the image of that name was made."""
    labels, references = [], []
    filters = ImageFilters()
    for text in given:
        key, sign, value = text.partition("=")
        if key not in KINDS or not sign or not value:
            hint = f"it is KEY=VALUE with one of {', '.join(KINDS)}"
            raise InvalidOption("images", f"--filter {text}", "no such filter", hint)
        if key == "label":
            labels.append(value)
        elif key == "reference":
            references.append(value)
        elif key == "dangling":
            if value.lower() not in ("true", "false", "1", "0"):
                raise InvalidOption("images", f"--filter {text}", "it is neither true nor false")
            filters = msgspec.structs.replace(filters, dangling=value.lower() in ("true", "1"))
        else:
            filters = msgspec.structs.replace(filters, **{key: created(value)})
    return msgspec.structs.replace(filters, labels=tuple(labels), references=tuple(references))


def _has(labels: Mapping[str, str], wanted: str) -> bool:
    key, sign, value = wanted.partition("=")
    return key in labels and (not sign or labels[key] == value)


def _fits(name: str, pattern: str) -> bool:
    """Does the pattern fit the whole name, or the name without its tag? ``*`` stops at a slash."""
    repository = name.partition("@")[0] if "@" in name else name.rpartition(":")[0]
    return any(
        one.count("/") == pattern.count("/") and all(map(fnmatchcase, one.split("/"), pattern.split("/")))
        for one in (name, repository)
    )
