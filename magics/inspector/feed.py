"""Keeping a picture of the store up to date: one thread listens, whoever subscribed hears patches.

What changed is looked at, and nothing else: an event costs as much with a hundred containers as
with one. What nobody could tell of (a monitor that was killed) is found by looking at those that run
now and then.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from sandcell.magics.inspector.model import (
    State,
    container_value,
    difference,
    image_value,
    names_of,
    stats_value,
)
from sandcell.runtime.errors import ContainerNotFound, SandcellError

if TYPE_CHECKING:
    from sandcell.runtime.engine import Engine

LOOK_AGAIN = 5.0
"""Seconds between looks at running containers that nothing was heard of."""

SAMPLE = 1.0
"""Seconds between two samples of what a watched container uses."""

Message = dict[str, Any]
Hearer = Callable[[Message], None]


class Picture:
    """The state of a store, brought up to date piece by piece. ``state`` is replaced, never changed."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._images: dict[str, Any] = {}
        self.state: State = {"images": {}, "containers": {}}

    def everything(self) -> State:
        """Look at all; the patch."""
        containers = {one.id: container_value(one) for one in self._engine.containers(all=True)}
        return self._settle(containers, self._names())

    def some(self, ids: Iterable[str], *, names: bool) -> State:
        """Look at these containers, and with ``names`` at the images; the patch."""
        containers = dict(self.state["containers"])
        for id in ids:
            try:
                containers[id] = container_value(self._engine.container(id))
            except ContainerNotFound:
                containers.pop(id, None)
        return self._settle(containers, self._names() if names else None)

    def _names(self) -> dict[str, list[str]]:
        return names_of({entry.name: str(entry.digest) for entry in self._engine.images()})

    def _settle(self, containers: dict[str, Any], names: dict[str, list[str]] | None) -> State:
        if names is None:
            old = self.state["images"]
            names = {digest: value["names"] for digest, value in old.items() if value["names"]}
        # One without a name is drawn as long as a container stands on it.
        wanted = dict(names)
        for one in containers.values():
            wanted.setdefault(one["digest"], [])
        images = {digest: self._image(digest, called) for digest, called in wanted.items()}
        new: State = {
            "images": {digest: value for digest, value in images.items() if value is not None},
            "containers": containers,
        }
        patch = difference(self.state, new)
        self.state = new
        return patch

    def _image(self, digest: str, names: list[str]) -> Any:
        old = self.state["images"].get(digest)
        if old is not None and old["names"] == sorted(names):
            return old
        try:
            return image_value(self._engine.image(digest), names)
        except SandcellError:
            return None  # it went this moment


class Feed:
    """One thread for any number of hearers, who are called from it and must neither raise nor wait."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._picture = Picture(engine)
        self._lock = threading.RLock()
        self._hearers: dict[Hearer, frozenset[str]] = {}
        self._ended = False
        self._watching = engine.watch()
        self._picture.everything()
        self._thread = threading.Thread(target=self._run, name="sandcell-feed", daemon=True)
        self._thread.start()

    def subscribe(self, hear: Hearer) -> None:
        """Tell ``hear`` the whole state now, and every patch from now on."""
        with self._lock:
            self._hearers[hear] = frozenset()
            hear({"state": self._picture.state})

    def unsubscribe(self, hear: Hearer) -> None:
        """Tell it no more."""
        with self._lock:
            self._hearers.pop(hear, None)

    def watch(self, hear: Hearer, ids: Iterable[str]) -> None:
        """From now on tell ``hear`` every second what these containers use."""
        with self._lock:
            if hear in self._hearers:
                self._hearers[hear] = frozenset(ids)
        self._watching.wake()

    def close(self) -> None:
        """End the thread."""
        self._ended = True
        self._watching.wake()
        self._thread.join(5)

    def _run(self) -> None:
        looked = sampled = time.monotonic()
        with self._watching:
            while not self._ended:
                watched = self._watched()
                now = time.monotonic()
                due = min(looked + LOOK_AGAIN, sampled + SAMPLE if watched else now + LOOK_AGAIN)
                try:
                    changed = self._watching.next(max(0.0, due - now))
                    touched = changed.containers
                    now = time.monotonic()
                    again: list[str] = []
                    if now - looked >= LOOK_AGAIN:
                        looked = now
                        again = self._running()
                    patch = self._picture.some(dict.fromkeys([*touched, *again]), names=changed.names)
                    self._tell(patch, touched)
                    if watched and now - sampled >= SAMPLE:
                        sampled = now
                        self._sample(watched)
                except SandcellError:
                    continue  # of a store that is being changed; the next look tells

    def _watched(self) -> frozenset[str]:
        with self._lock:
            return frozenset().union(*self._hearers.values())

    def _running(self) -> list[str]:
        return [id for id, one in self._picture.state["containers"].items() if one["state"] == "running"]

    def _tell(self, patch: State, touched: tuple[str, ...]) -> None:
        # Who looks into a container wants to know that something befell it, even if it stands as before.
        if patch or touched:
            with self._lock:
                for hear in self._hearers:
                    hear({"patch": patch, "touched": touched})

    def _sample(self, watched: frozenset[str]) -> None:
        found: dict[str, Any] = {}
        for id in watched:
            try:
                found[id] = stats_value(self._engine.stats(id))
            except SandcellError:
                continue  # it does not run
        with self._lock:
            for hear, ids in self._hearers.items():
                wanted = [found[id] for id in ids if id in found]
                if wanted:
                    hear({"stats": wanted})
