"""What containers wrote: chosen by stream and time, read once or followed."""

import time
from collections.abc import Callable, Iterator

import msgspec

from sandcell.runtime.container import output, state
from sandcell.runtime.engine import record
from sandcell.runtime.engine.places import Places
from sandcell.runtime.engine.record import Record


class Wanted(msgspec.Struct, frozen=True):
    """Which pieces: of these streams, the last ``tail`` lines, from ``since`` to ``until``."""

    streams: tuple[str, ...]
    tail: int | None = None
    since: float | None = None
    until: float | None = None

    def has(self, piece: output.Output) -> bool:
        """True for a piece of a stream and time that are wanted."""
        return (
            piece.stream in self.streams
            and (self.since is None or piece.time >= self.since)
            and not self.over(piece)
        )

    def over(self, piece: output.Output) -> bool:
        """True when this piece, and so all that follow, are too late."""
        return self.until is not None and piece.time > self.until


def read(
    places: Places, who: Record, wanted: Wanted, *, follow: bool, stop: Callable[[], bool] | None = None
) -> Iterator[output.Output]:
    """The pieces that are wanted; with ``follow`` those too that come until the container ends, or
    until ``stop`` says so."""
    home = places.container(who.id)
    if follow:
        return _follow(places, who, wanted, stop)
    pieces = filter(wanted.has, output.read_log(home))
    return pieces if wanted.tail is None else output.tail(pieces, wanted.tail)


def _follow(
    places: Places, who: Record, wanted: Wanted, stop: Callable[[], bool] | None
) -> Iterator[output.Output]:
    from sandcell.runtime.container.follow import follow

    def ended() -> bool:
        late = wanted.until is not None and time.time() > wanted.until
        return late or (stop is not None and stop()) or record.current(places, who).status != state.RUNNING

    every = follow(places.container(who.id), places.running(who.id), ended)

    def before() -> Iterator[output.Output]:
        for piece in every:
            if piece is None:
                return
            if wanted.has(piece):
                yield piece

    yield from before() if wanted.tail is None else output.tail(before(), wanted.tail)
    for piece in every:
        if piece is None or wanted.over(piece):
            return
        if wanted.has(piece):
            yield piece
