"""Containers on a host where nothing can be mounted, or no overlay on the store: their files are a copy."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sandcell.runtime.container import jobs
from sandcell.runtime.container.compose import NAMESPACES, SHARED
from sandcell.runtime.container.launcher import Launcher
from sandcell.runtime.container.options import Options
from sandcell.runtime.container.plan import NODES
from sandcell.runtime.engine.places import Places
from sandcell.runtime.engine.work import run_task
from sandcell.runtime.errors import HostRefused
from sandcell.runtime.linux.host_model import Host
from sandcell.runtime.linux.idmap import IdMap

_TRIALS = {
    "pid namespace": "pid",
    "ipc namespace": "ipc",
    "network namespace": "network",
    "hostname namespace": "uts",
}
_COPIES = "sandcell.runtime.layer.copies"
_ETC = ("hostname", "hosts", "resolv.conf")

# What is put into the copy, not changed by the container.
_PLACED = (*(f"/etc/{name}" for name in _ETC), SHARED, "/dev")


def namespaces(host: Host) -> tuple[str, ...]:
    """Those that a container gets here, as the runtime-spec names them."""
    if host.mounting:
        return NAMESPACES
    if host.rung == "chroot":
        return ()
    checks = {name: host.check(trial) for trial, name in _TRIALS.items()}
    return tuple(name for name, check in checks.items() if check is not None and check.ok)


def has_proc(host: Host) -> bool:
    """True where a container's own /proc can be mounted."""
    found = host.check("proc")
    return found is None or found.ok


def check(host: Host, options: Options) -> None:
    """``HostRefused`` for what cannot be had where nothing can be mounted."""
    if host.mounting:
        return
    own_network = "network" in namespaces(host)
    for flag, asked in (
        ("-v", options.volumes),
        ("--tmpfs", options.tmpfs),
        ("--read-only", options.read_only),
        ("--device", options.devices),
        ("--network", options.network not in ("none", "host")),
        ("--ipc", options.ipc.startswith("container:")),
        ("--pid", options.pid.startswith("container:")),
        ("-p", options.publish and not own_network),
    ):
        if asked:
            cause = f"on rung {host.rung} nothing can be mounted and no network be joined"
            if flag == "-p":
                cause = "here a container uses the host's network, so its ports are there already"
            raise HostRefused(
                "use", flag, cause, "run without it; `sandcell doctor` tells what this host lacks"
            )


def root(base: str) -> str:
    """The copy, of the container whose own directory is ``base``."""
    return f"{base}/rootfs"


def furnish(
    launcher: Launcher, host: Host, idmap: IdMap, places: Places, base: str, lowers: tuple[str, ...]
) -> None:
    """Make the copy, unless it is there, and put into it what would be mounted elsewhere."""
    work = _work(launcher, idmap)
    if not os.path.exists(f"{root(base)}.seen"):
        work("remove_tree", path=root(base))
        work("copy_stack", lowers=[places.skeleton, *lowers], target=root(base))
    if host.mounting:
        return
    etc = [(f"{base}/{name}", f"/etc/{name}") for name in _ETC if os.path.exists(f"{base}/{name}")]
    work("make_devices", root=root(base), devices=NODES)
    work("place", root=root(base), files=[*etc, (f"{base}/shared", SHARED)])


def share(launcher: Launcher, idmap: IdMap, base: str, exec_id: str, files: str, fetch: bool) -> None:
    """Let another process of the container find ``files``, a directory, and a place for its results."""
    wanted = [(files, f"{SHARED}/exec/{exec_id}")] if files else []
    wanted += [(f"{base}/shared/out/{exec_id}", f"{SHARED}/out/{exec_id}")] if fetch else []
    if wanted:
        _work(launcher, idmap)("place", root=root(base), files=wanted)


def fetch(launcher: Launcher, idmap: IdMap, exchange: str) -> None:
    """Bring what a process left for us in its copy to ``exchange``, where it lies on other rungs."""
    base, _, rest = exchange.rpartition("/shared/out")
    _work(launcher, idmap)("take", root=root(base), path=f"{SHARED}/out{rest}", target=exchange)


def compare(launcher: Launcher, idmap: IdMap, base: str, upper: str, *, mounting: bool) -> None:
    """Make the directory ``upper`` hold what was changed in the copy, in overlay form."""
    ignored = [] if mounting else list(_PLACED)
    _work(launcher, idmap)("write_changes", copy=root(base), upper=upper, ignored=ignored)


@contextmanager
def changes(launcher: Launcher, idmap: IdMap, base: str, *, mounting: bool) -> Iterator[str]:
    """``compare``, into a directory that goes again."""
    upper = f"{base}/changes-{os.getpid()}"
    work = _work(launcher, idmap)
    try:
        compare(launcher, idmap, base, upper, mounting=mounting)
        yield upper
    finally:
        work("remove_tree", path=upper)


def _work(launcher: Launcher, idmap: IdMap) -> Callable[..., Any]:
    def work(function: str, **payload: Any) -> Any:
        module = "sandcell.runtime.layer.tasks" if function == "remove_tree" else _COPIES
        return run_task(lambda: launcher, jobs.Task(f"{module}.{function}", payload, idmap))

    return work
