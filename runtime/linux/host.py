"""What this host allows: found by trying in a small process, remembered until something changes.

:func:`probe` is the door. The trials are in ``host_probe`` (a program of its own), the reading of
/proc and the cache here, who refused in ``host_blame``, what follows in ``host_judge``, and the
records in ``host_model``.
"""

import os
import pwd
import signal
import sys

import msgspec

from sandcell.runtime.errors import HostRefused
from sandcell.runtime.known import known
from sandcell.runtime.linux import cgroups
from sandcell.runtime.linux.host_blame import LIMITS
from sandcell.runtime.linux.host_judge import judge
from sandcell.runtime.linux.host_model import (
    LIMITED,
    USER_RUNGS,
    Check,
    Facet,
    Facts,
    Groups,
    Host,
    Rung,
    State,
    Trial,
)
from sandcell.runtime.linux.idmap import subordinate
from sandcell.runtime.linux.process import boot_id, read_text

__all__ = ["Check", "Facet", "Host", "Rung", "State", "probe"]

_SYSCTLS = (
    *(f"user.{limit}" for limit in LIMITS),
    "kernel.unprivileged_userns_clone",
    "kernel.apparmor_restrict_unprivileged_userns",
)
# Where the probe finds sandcell: this file is sandcell/runtime/linux/host.py.
_PLACE = os.path.abspath(__file__).rpartition("/sandcell/runtime/")[0]
_KEPT = 16
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from sandcell.runtime.linux.host_probe import main; main()"
)


def probe(store: str, run: str, *, fresh: bool = False, rung: str = "") -> Host:
    """What a container can be here, for this process's user and a store at ``store``.

    The trials take about 0.1 s and are then kept in a small file in ``run``, found again in well
    under a millisecond until the boot, the user and its rights, the kernel, the control group, the
    store's file system, a sysctl or the id ranges change; ``fresh`` tries anew. Both directories
    are made when missing; without a writable ``run`` nothing is kept. Repeating it is harmless,
    and so is doing it in two processes at once. ``SANDCELL_RUNG``, else ``rung``, chooses another
    rung than the best: ``InvalidOption`` when there is none of that name, ``HostRefused`` when it is out of
    reach.
    """
    forced = os.environ.get("SANDCELL_RUNG") or rung
    facts = None if fresh else _kept(_path(store, run, forced))
    if facts is None:
        facts = observe(store, forced)
        if not facts.fault:
            _keep(_path(store, run, forced), facts)
    return judge(facts, forced)


def _path(store: str, run: str, forced: str) -> str:
    """Where the facts are kept: another name whenever an earlier answer may be wrong."""
    parts = [boot_id(), store, str(forced in USER_RUNGS), sys.executable, *os.uname()[2:5]]
    parts += [str(os.geteuid()), str(os.getegid())]
    status = read_text("/proc/self/status")
    parts += [line for line in status.splitlines() if line.startswith(("CapEff", "NoNewPrivs", "Seccomp"))]
    parts += [os.readlink(f"/proc/self/ns/{kind}") for kind in ("user", "mnt", "cgroup")]
    parts += [_text("/proc/self/cgroup"), _text("/proc/self/attr/current"), _mapper()]
    parts += [str(value) for value in _sysctls().items()]
    for name in (store, "/etc/subuid", "/etc/subgid"):
        try:
            found = os.stat(name)
            parts.append(f"{found.st_dev}" if name == store else f"{found.st_mtime_ns} {found.st_ino}")
        except OSError:
            parts.append("")
    from _blake2 import blake2b  # hashlib would load OpenSSL

    key = blake2b("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()
    return f"{run}/host-{key}.json"


def _kept(path: str) -> Facts | None:
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=known(Facts))
    except (OSError, msgspec.DecodeError):
        return None


def _keep(path: str, facts: Facts) -> None:
    """Write the facts beside those of other users and stores, and forget the oldest of them."""
    folder = os.path.dirname(path)
    draft = f"{path}.{os.getpid()}"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(draft, "wb") as file:
            file.write(msgspec.json.encode(facts))
        os.replace(draft, path)
        others = [e for e in os.scandir(folder) if e.name.startswith("host-") and e.name.endswith(".json")]
        for entry in sorted(others, key=lambda e: e.stat().st_mtime, reverse=True)[_KEPT:]:
            os.unlink(entry.path)
    except OSError:
        return  # a later call tries again; knowing it now is enough


def observe(store: str, forced: str = "") -> Facts:
    """Try and read everything, without the cache. ``forced`` as in ``SANDCELL_RUNG``."""
    uid = os.geteuid()
    mapper = _mapper()
    ranges = _ranges(uid)
    tools = (mapper, mapper.replace("newuidmap", "newgidmap")) if mapper else ()
    maps = [(tool, *pair) for tool, pair in zip(tools, ranges, strict=False)]
    status = dict(
        line.split(":\t", 1) for line in read_text("/proc/self/status").splitlines() if ":\t" in line
    )
    facts = Facts(
        kernel=os.uname().release,
        machine=os.uname().machine,
        uid=uid,
        capabilities=int(status["CapEff"], 16),
        no_new_privs=status.get("NoNewPrivs") == "1",
        seccomp=int(status.get("Seccomp", "0")),
        label=_text("/proc/self/attr/current").strip("\0\n "),
        sysctls=_sysctls(),
        nested=_text("/proc/self/uid_map").split() != ["0", "0", "4294967295"],
        masked=_mounts_below("/proc/"),
        chrooted=not _mounts_below("/", exactly=True),
        store=store,
        groups=_groups(),
        mapper=mapper,
        ranges=ranges,
    )
    said = _ask(msgspec.json.encode([store, forced, facts.nested, maps]).decode())
    facts = msgspec.structs.replace(facts, filesystem=_filesystem(store))
    try:
        told = msgspec.json.decode(said, type=known(_Told))
    except msgspec.DecodeError:
        text = said.decode(errors="replace").strip().rpartition("\n")[2]
        return msgspec.structs.replace(facts, fault=f"the probe ended early: {text or 'it said nothing'}")
    return msgspec.structs.replace(
        facts, entry=told.entry, trials=told.trials, scratch_errno=told.scratch_errno
    )


def _groups() -> Groups:
    """Make a control group and remove it again; no process is moved."""
    layout = cgroups.layout()
    if not layout.writable:
        return Groups(layout.version, (), layout.refused, layout.fix)
    group = cgroups.Cgroup(f"sandcell-probe-{os.getpid()}", layout)
    try:
        # On v2, handing controllers down would move processes; what is there to hand is written.
        has = group.create(() if layout.unified else LIMITED)
        group.remove()
    except HostRefused as error:
        return Groups(layout.version, (), error.cause, error.hint)
    if layout.unified:
        has = frozenset(_text(f"{layout.base}/cgroup.controllers").split())
    return Groups(layout.version, tuple(name for name in LIMITED if name in has))


class _Told(msgspec.Struct, frozen=True):
    """What the probe writes."""

    entry: str
    trials: dict[str, Trial]
    scratch_errno: int = 0


def _ask(arguments_of_run: str) -> bytes:
    """Run the probe and give what it wrote, errors included."""
    arguments = [sys.executable, "-I", "-S", "-c", _PROGRAM, _PLACE, arguments_of_run]
    readable, writable = os.pipe()
    try:
        pid = os.posix_spawn(
            sys.executable,
            arguments,
            dict(os.environ),
            file_actions=[(os.POSIX_SPAWN_DUP2, writable, 1), (os.POSIX_SPAWN_DUP2, writable, 2)],
            # Away from the terminal's and Jupyter's process group: an interrupt is ours to handle.
            setpgroup=0,
            setsigmask=(),
        )
    except OSError as error:
        os.close(readable)
        return f"{sys.executable}: {error.strerror}".encode()
    finally:
        os.close(writable)
    said = b""
    try:
        while part := os.read(readable, 65536):
            said += part
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(readable)
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass  # somebody set SIGCHLD to be ignored; there is nothing to collect then
    return said


def _text(path: str) -> str:
    try:
        return read_text(path)
    except OSError:
        return ""


def _sysctls() -> dict[str, int]:
    found = {}
    for name in _SYSCTLS:
        text = _text("/proc/sys/" + name.replace(".", "/")).strip()
        if text.isdigit():
            found[name] = int(text)
    return found


def _mapper() -> str:
    for folder in os.environ.get("PATH", os.defpath).split(":"):
        path = f"{folder}/newuidmap"
        if folder.startswith("/") and os.access(path, os.X_OK):
            return path
    return ""


def _ranges(uid: int) -> tuple[tuple[int, int], ...]:
    """The subordinate uids and gids of the user; empty unless there are both."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    found = [subordinate(_text(path), name, uid) for path in ("/etc/subuid", "/etc/subgid")]
    return tuple(pair for pair in found if pair is not None) if None not in found else ()


def _mount_table() -> list[tuple[str, str]]:
    """(mount point, file system type) of every mount in sight, in order. proc_pid_mountinfo(5)."""
    table = []
    for line in _text("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        # A space in a mount point is written \\040.
        raw = os.fsencode(before.split(" ")[4]).decode("unicode_escape").encode("latin-1")
        point = os.fsdecode(raw)
        table.append((point, after.split(" ")[0]))
    return table


def _mounts_below(prefix: str, *, exactly: bool = False) -> tuple[str, ...]:
    if exactly:
        return tuple(point for point, _ in _mount_table() if point == prefix)
    # binfmt_misc is an automount that hides nothing.
    return tuple(
        point for point, _ in _mount_table() if point.startswith(prefix) and not point.endswith("binfmt_misc")
    )


def _filesystem(path: str) -> str:
    """The type of the file system that holds ``path``, by the longest mount point above it."""
    real = os.path.realpath(path)
    best, kind = "", ""
    for point, fstype in _mount_table():
        if len(point) >= len(best) and (real + "/").startswith(point.rstrip("/") + "/"):
            best, kind = point, fstype
    return kind
