"""What happened, as frozen records handed to one callback.

The rooms that do things emit them; the magics and the command line draw them; tests compare them.
A callback must not raise and must not wait. Times are seconds since the epoch.
"""

from collections.abc import Callable
from typing import TypeAlias

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all events. ``time``: when, seconds since the epoch."""

    time: float = 0.0


class BuildStarted(Event, frozen=True, kw_only=True):
    """A plan is about to be carried out. ``steps``: the one-line text of each; ``stages``: the name, or
    number, of the stage it belongs to, where there are several. Steps of different stages overlap."""

    name: str
    steps: tuple[str, ...]
    stages: tuple[str, ...] = ()


class BuildWarning(Event, frozen=True, kw_only=True):
    """What is probably a mistake. ``rule``: its name among BuildKit's checks; ``lines``: from 1, or zeros."""

    rule: str
    text: str
    lines: tuple[int, int] = (0, 0)


class StepStarted(Event, frozen=True, kw_only=True):
    """Step ``number`` (from 1) of ``total`` begins. ``lines``: of the Dockerfile, from 1."""

    number: int
    total: int
    text: str
    lines: tuple[int, int] = (0, 0)


class StepOutput(Event, frozen=True, kw_only=True):
    """Bytes a RUN step wrote, as they came; ``stream`` is ``stdout`` or ``stderr``."""

    number: int
    stream: str
    data: bytes


class StepFinished(Event, frozen=True, kw_only=True):
    """Step ``number`` is done. ``cached``: nothing was executed. ``size``: bytes of the layer it
    made, uncompressed; ``None`` where it made none. ``duration``: seconds."""

    number: int
    cached: bool
    size: int | None = None
    duration: float = 0.0


class BuildFinished(Event, frozen=True, kw_only=True):
    """The image exists. ``digest``: of its manifest."""

    name: str
    digest: str
    duration: float = 0.0


class ContainerEvent(Event, frozen=True, kw_only=True):
    """Something befell a container. ``action``: create, start, exec, die, kill, stop, pause, unpause,
    update, rename, remove, commit, reset. ``status``: exit status where ``action`` is die."""

    action: str
    id: str
    name: str
    image: str = ""
    status: int | None = None


class ImageEvent(Event, frozen=True, kw_only=True):
    """Something befell an image name. ``action``: build, tag, untag, remove, save."""

    action: str
    name: str
    digest: str = ""


class TransferEvent(Event, frozen=True, kw_only=True):
    """A blob on its way. ``action``: pull or push; ``name``: of the image; ``done`` of ``total`` bytes.

    ``state``: moving, done, exists (nothing to do) or mounted (taken from another repository there).
    """

    action: str
    name: str
    digest: str
    done: int
    total: int
    state: str = "moving"


Callback: TypeAlias = Callable[[Event], None]


def silent(event: Event) -> None:
    """The callback of somebody who does not listen."""
