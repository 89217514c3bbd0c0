"""Hearing what befalls the containers of a store, whichever process does it."""

import time
from collections.abc import Iterator

from sandcell.runtime.container.journal import Listener
from sandcell.runtime.engine import record
from sandcell.runtime.engine.places import Places
from sandcell.runtime.events import ContainerEvent
from sandcell.runtime.linux.inotify import Watch


def past(places: Places, since: float, until: float) -> list[ContainerEvent]:
    """What the containers that are there still tell of the time between, oldest first: their creation,
    and the last start and end of each. Nobody wrote down the rest."""
    found = []
    for who in record.every(places):
        now = record.current(places, who)
        moments: list[tuple[str, float | None, int | None]] = [
            ("create", who.created, None),
            ("start", now.started, None),
            ("die", now.finished, now.exit_status),
        ]
        found += [
            ContainerEvent(action=action, id=who.id, name=who.name, image=who.image, status=status, time=time)
            for action, time, status in moments
            if time is not None and since <= time < until
        ]
    return sorted(found, key=lambda event: event.time)


class Events:
    """What happens from its making on, as an iterator that waits; to be closed, or used with ``with``."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._known: dict[str, tuple[str, str]] = {}
        for one in record.every(places):
            self._known[one.id] = (one.name, one.image)
        self._watch = Watch(places.run)
        self._listener = Listener(places.run)

    def next(self, timeout: float | None = None) -> tuple[ContainerEvent, ...]:
        """What has happened; waits until something has, for ``timeout`` seconds at most."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            found = tuple(self._event(line) for line in self._listener.read())
            left = None if deadline is None else deadline - time.monotonic()
            if found or (left is not None and left <= 0):
                return found
            self._watch.wait(timeout=left)

    def __iter__(self) -> Iterator[ContainerEvent]:
        while True:
            yield from self.next()

    def _event(self, line: dict[str, object]) -> ContainerEvent:
        id, status = str(line["id"]), line.get("status")
        if "name" in line:
            self._known[id] = (str(line["name"]), str(line.get("image", "")))
        name, image = self._known.get(id, (id[:12], ""))
        return ContainerEvent(
            action=str(line["action"]),
            id=id,
            name=name,
            image=image,
            status=status if isinstance(status, int) else None,
            time=float(str(line["time"])),
        )

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()
        self._watch.close()

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
