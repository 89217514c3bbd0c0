"""The program that measures a peer: ``python -I -S stopwatch.py JSON``, loaded first, locked in second.

It makes a mount namespace of its own, hides what a peer cannot bear (the cgroup2 branch of a hybrid
layout), moves into another root directory if told so, and then answers requests, one JSON object a
line on its standard input, one reply a line on its standard output. A peer is started with
posix_spawn(3) from here, so no figure contains the way in. The end of standard input is the end of
the program, and its mounts go with its namespace.

Request: ``argv`` (absolute path first) and ``env``; optionally ``mkdir`` (directories made in the timed
part), ``overlay`` ({target, options}: mounted before, unmounted after, both timed), ``output`` (true:
give back what was printed). Or ``mount`` ({target, options}): an overlay that stays.
Reply: ``status``, ``prepare``, ``run``, ``tidy`` (nanoseconds), ``cpu`` (nanoseconds of processor time
that the peer and those it waited for used), ``output`` (also when status ≠ 0), or
``error``. Nothing is imported after the root was changed: it would be the other root's module.
"""

import ctypes
import json
import os
import resource  # noqa: F401 - wait4 would load it later, from another root
import signal
import sys
import time
from typing import Any

CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
PR_SET_CHILD_SUBREAPER = 36
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)  # that Python ignores, and a child would inherit
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    data = options.encode() if options else None
    _check(_libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data), target)


def _unmount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _check(_libc.umount2(target.encode(), flags), target)


def enter(hide: list[str], root: str | None, binds: list[str], covers: list[str], keep: list[str]) -> None:
    """Unshare the mount namespace, unmount ``hide``, and pivot into ``root`` (None: stay) with ``binds``
    taken along (host paths, submounts too, to the same path inside). Every one of ``covers`` becomes an
    empty tmpfs, and the directories ``keep`` come back into view on top of all that."""
    _check(_libc.unshare(CLONE_NEWNS), "mount namespace")
    _mount("none", "/", "none", MS_REC | MS_PRIVATE)
    kept = [(path, os.open(path, os.O_PATH | os.O_DIRECTORY)) for path in keep]
    for path in hide:
        _unmount(path, MNT_DETACH)
    if root is not None:
        _mount(root, root, "none", MS_BIND)
    for path in binds if root is not None else ():
        _mount(path, f"{root}{path}", "none", MS_BIND | MS_REC)
    for path in covers:
        if os.path.isdir(f"{root or ''}{path}"):
            _mount("tmpfs", f"{root or ''}{path}", "tmpfs", 0)
    for path, descriptor in kept:
        os.makedirs(f"{root or ''}{path}", exist_ok=True)
        _mount(f"/proc/self/fd/{descriptor}", f"{root or ''}{path}", "none", MS_BIND)
        os.close(descriptor)
    if root is None:
        return
    os.chdir(root)
    # pivot_root(".", "."): the old root lies on the new one and is taken off (pivot_root(2), NOTES).
    pivot_root = {"x86_64": 155, "aarch64": 41}[os.uname().machine]
    _check(_libc.syscall(ctypes.c_long(pivot_root), b".", b"."), root)
    _unmount(".", MNT_DETACH)
    os.chdir("/")


def _reap(pid: int) -> tuple[int, int]:
    """Exit status of ``pid``, and its processor time in nanoseconds. Orphans that ended meanwhile are
    collected too: podman waits until its monitor's process id is gone, and a slow init would be measured
    as podman's fault."""
    while True:
        ended, status, used = os.wait4(-1, 0)
        if ended == pid:
            return os.waitstatus_to_exitcode(status), int((used.ru_utime + used.ru_stime) * 1e9)


def perform(request: dict[str, Any], printed: int) -> dict[str, Any]:
    """Carry out one request; ``printed`` is the file that gets the peer's output."""
    if "mount" in request:
        _mount("overlay", request["mount"]["target"], "overlay", 0, request["mount"]["options"])
        return {"status": 0}
    os.ftruncate(printed, 0)
    os.lseek(printed, 0, os.SEEK_SET)
    argv: list[str] = request["argv"]
    overlay = request.get("overlay")
    begin = time.perf_counter_ns()
    for folder in request.get("mkdir", ()):
        os.mkdir(folder)
    if overlay:
        _mount("overlay", overlay["target"], "overlay", 0, overlay["options"])
    ready = time.perf_counter_ns()
    try:
        pid = os.posix_spawn(argv[0], argv, request["env"], setsigdef=_RESTORED)
        status, cpu = _reap(pid)
    finally:
        done = time.perf_counter_ns()
        if overlay:
            _unmount(overlay["target"])
    end = time.perf_counter_ns()
    reply: dict[str, Any] = {
        "status": status,
        "prepare": ready - begin,
        "run": done - ready,
        "tidy": end - done,
        "cpu": cpu,
    }
    if status != 0 or request.get("output"):
        size = os.lseek(printed, 0, os.SEEK_END)
        reply["output"] = os.pread(printed, size, 0).decode("utf-8", "replace")
    return reply


def main() -> None:
    """Lock in, then answer until the requests end."""
    where = json.loads(sys.argv[1])
    requests = os.fdopen(os.dup(0), "rb")  # dup: not inherited by the peers
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    printed = os.memfd_create("output")
    os.dup2(printed, 1)
    try:
        _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "subreaper")
        if where:
            enter(**where)
        answer: dict[str, Any] = {"status": 0}
    except OSError as error:
        answer = {"error": f"{error.filename}: {error.strerror}"}
    sys.path = []
    os.dup2(printed, 2)
    replies.write(json.dumps(answer).encode() + b"\n")
    for line in requests:
        try:
            answer = perform(json.loads(line), printed)
        except OSError as error:
            answer = {"error": f"{error.filename or ''}: {error.strerror}"}
        replies.write(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
