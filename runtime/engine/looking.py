"""Looking at the processes of a container from the host: which they are, and what they use. proc(5)."""

import os
import time

import msgspec

from sandcell.runtime.container import processes, state
from sandcell.runtime.engine import lifecycle, record
from sandcell.runtime.engine.birth import group
from sandcell.runtime.engine.places import Places
from sandcell.runtime.engine.record import Record
from sandcell.runtime.errors import WrongState
from sandcell.runtime.linux.idmap import Range
from sandcell.runtime.linux.process import Identity


class ProcessEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a container as it stands. ``pid``: the host's number; ``inside``: the container's;
    ``parent``: of the parent, inside, 0 where that is outside. ``user``: its number inside. ``cpu``:
    seconds used; ``memory``: bytes in use (resident). ``state``: the letter of ps(1)."""

    pid: int
    inside: int
    parent: int
    user: int
    cpu: float
    memory: int
    state: str
    started: float
    command: str


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What a container has used. ``cpu``: seconds since its start; ``memory``, ``memory_limit``: bytes,
    ``None`` where not known or without limit; ``received``, ``sent``: bytes over its network but loopback.
    ``counted``: by the control group, or else by adding up the ``processes``."""

    id: str
    name: str
    time: float
    cpu: float
    memory: int
    memory_limit: int | None
    pids: int
    received: int
    sent: int
    counted: str

    def percent(self, before: "Stats") -> float:
        """Processor time between two looks, in per cent of one processor."""
        passed = self.time - before.time
        return 100.0 * max(0.0, self.cpu - before.cpu) / passed if passed > 0 else 0.0


_LOOK = "look at the processes of"


def top(places: Places, who: Record) -> tuple[ProcessEntry, ...]:
    """The processes of a running container, in the order of their numbers inside."""
    init = _init(places, who, _LOOK)
    members = processes.of_container(init, group(lifecycle.cgroups_path(places, who), init))
    try:
        depth = len(_status(init.pid).get("NSpid", "").split())
    except (FileNotFoundError, ProcessLookupError):
        raise WrongState(_LOOK, who.name, "it has just ended", f"start {who.name}") from None
    rows = {pid: row for pid in members if (row := _row(pid, depth, who.ids.uids)) is not None}
    inside = {pid: entry.inside for pid, (entry, _) in rows.items()}
    found = (msgspec.structs.replace(entry, parent=inside.get(parent, 0)) for entry, parent in rows.values())
    return tuple(sorted(found, key=lambda entry: entry.inside))


def stats(places: Places, who: Record) -> Stats:
    """What a running container has used until now."""
    init = _init(places, who, "count what is used by")
    cgroup = group(lifecycle.cgroups_path(places, who), init)
    usage = cgroup.usage() if cgroup is not None else None
    received, sent = _network(init.pid)
    if usage is not None and usage.memory is not None and usage.cpu is not None and usage.pids is not None:
        memory, cpu, pids, counted = usage.memory, usage.cpu, usage.pids, "control group"
    else:
        rows = top(places, who)
        memory, cpu = sum(row.memory for row in rows), sum(row.cpu for row in rows)
        pids, counted = len(rows), "processes"
    return Stats(
        id=who.id,
        name=who.name,
        time=time.monotonic(),
        cpu=cpu,
        memory=memory,
        memory_limit=usage.memory_limit if usage is not None else None,
        pids=pids,
        received=received,
        sent=sent,
        counted=counted,
    )


def _init(places: Places, who: Record, operation: str) -> Identity:
    now = record.current(places, who)
    if now.status != state.RUNNING or now.init is None:
        raise WrongState(operation, who.name, f"it is {now.status}, not running", f"start {who.name}")
    return now.init


def _row(pid: int, depth: int, uids: tuple[Range, ...]) -> tuple[ProcessEntry, int] | None:
    """The process without its parent, and its parent's number here; ``None`` when it has ended."""
    try:
        status = _status(pid)
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name may hold anything, brackets too.
            fields = file.read().rpartition(b")")[2].split()
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    numbers = status.get("NSpid", str(pid)).split()
    ticks = os.sysconf("SC_CLK_TCK")
    uid = int(status["Uid"].split()[1])
    row = ProcessEntry(
        pid=pid,
        inside=int(numbers[depth - 1] if len(numbers) >= depth > 0 else pid),
        parent=0,
        user=next((one.inside + uid - one.outside for one in uids if 0 <= uid - one.outside < one.size), uid),
        cpu=(int(fields[11]) + int(fields[12])) / ticks,
        memory=int(status.get("VmRSS", "0 kB").split()[0]) * 1024,
        state=fields[0].decode(),
        started=_booted() + int(fields[19]) / ticks,
        command=words or f"[{status['Name']}]",
    )
    return row, int(fields[1])


def _booted() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def _status(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/status", errors="replace") as file:
        return {key: value.strip() for key, _, value in (line.partition(":") for line in file)}


def _network(pid: int) -> tuple[int, int]:
    received = sent = 0
    try:
        with open(f"/proc/{pid}/net/dev") as file:
            rows = [line.partition(":") for line in file if ":" in line]
    except OSError:
        return 0, 0
    for name, _, numbers in rows:
        if name.strip() != "lo":
            fields = numbers.split()
            received, sent = received + int(fields[0]), sent + int(fields[8])
    return received, sent
