"""A plan on its way from the client to the monitor and the container's first process."""

import msgspec

from sandcell.runtime.container import boot
from sandcell.runtime.container import steps as s


class Sealed(msgspec.Struct, frozen=True, array_like=True):
    """A plan on its way to the monitor, who only passes most of it on. ``first``: the inside steps that a
    child may have played already; ``rest``: those that follow, packed. ``terminal``: one of them is a
    ``Console``. ``bare``: those of ``rest`` as ``compiled`` writes them down, empty where that cannot be."""

    outside: tuple[s.Outside, ...]
    first: tuple[s.Inside, ...]
    rest: bytes
    terminal: bool
    bare: bytes

    @property
    def following(self) -> tuple[s.Inside, ...]:
        """The steps of ``rest``."""
        return unpack(self.rest)

    @property
    def inside(self) -> tuple[s.Inside, ...]:
        """All that the first process does."""
        return (*self.first, *self.following)


_LITTLE = 32 << 20
_FIRST = (s.AwaitIds, s.PrivateMounts, s.Loopback)
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[tuple[s.Inside, ...]] = msgspec.msgpack.Decoder(tuple[s.Inside, ...])


def seal(plan: s.Plan) -> Sealed:
    """The plan for ``jobs.Run``."""
    begun = 0
    while begun < len(plan.inside) and isinstance(plan.inside[begun], _FIRST):
        begun += 1
    terminal = any(isinstance(step, s.Console) for step in plan.inside)
    first, rest = plan.inside[:begun], plan.inside[begun:]
    bare = bare_of(rest) if _has_room(plan.outside) else b""
    return Sealed(plan.outside, first, _encoder.encode(rest), terminal, bare)


def bare_of(steps: tuple[s.Inside, ...]) -> bytes:
    """The steps as ``compiled`` writes them down; empty where that cannot be, and in a process of ``few``."""
    if boot.few():
        return b""
    from sandcell.runtime.container.compiled import calls_of

    return calls_of(steps) or b""


def _has_room(outside: tuple[s.Outside, ...]) -> bool:
    # Where its control group has no memory left the kernel ends a process, and all that share its own.
    limits = next((step.limits for step in outside if isinstance(step, s.MakeCgroup)), None)
    return limits is None or limits.memory is None or limits.memory >= _LITTLE


def unpack(rest: bytes) -> tuple[s.Inside, ...]:
    """The steps that ``seal`` has packed."""
    return _decoder.decode(rest)
