"""Runs inside a container and tells as JSON what it is like there. Arguments name paths to look at."""

import ctypes
import fcntl
import json
import os
import resource
import stat
import sys
from pathlib import Path


def status() -> dict[str, str]:
    """/proc/self/status as a dict."""
    with open("/proc/self/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file)


def mounts() -> list[dict[str, object]]:
    """Mounts in order: where, what, options of the mount and of the file system, propagation."""
    found = []
    with open("/proc/self/mountinfo") as file:
        for line in file:
            fields, _, system = line.rstrip("\n").partition(" - ")
            parts, kinds = fields.split(" "), system.split(" ")
            found.append(
                {
                    "at": parts[4],
                    "type": kinds[0],
                    "options": parts[5].split(","),
                    "system": kinds[2].split(","),
                    "peers": [word.partition(":")[0] for word in parts[6:]],
                }
            )
    return found


def look(path: str) -> dict[str, object]:
    """A path: its kind, owner, mode, device, link target, content; whether it can be written."""
    told: dict[str, object] = {}
    try:
        found = os.lstat(path)
    except OSError as error:
        return {"error": error.errno}
    told["kind"] = {
        stat.S_IFCHR: "c", stat.S_IFBLK: "b", stat.S_IFIFO: "p", stat.S_IFDIR: "d", stat.S_IFLNK: "l"
    }.get(stat.S_IFMT(found.st_mode), "f")  # fmt: skip
    told["mode"], told["uid"], told["gid"] = stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid
    if told["kind"] in "cb":
        told["device"] = [os.major(found.st_rdev), os.minor(found.st_rdev)]
    if told["kind"] == "l":
        told["to"] = os.readlink(path)
    if told["kind"] == "d":
        told["holds"] = sorted(os.listdir(path))[:20]
        told["writable"] = attempt(lambda: os.close(os.open(f"{path}/.new", os.O_CREAT | os.O_WRONLY)))
    if told["kind"] == "f":
        told["text"] = attempt(lambda: Path(path).read_text()[:200])
        told["writable"] = attempt(lambda: os.close(os.open(path, os.O_WRONLY)))
    return told


def attempt(what: object) -> object:
    """What it gives (True for nothing), or the number of the error."""
    try:
        given = what()  # type: ignore[operator]
    except OSError as error:
        return error.errno
    return True if given is None else given


def call(number: int, *arguments: int) -> int:
    """A system call: its result, or minus the error."""
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) for a in arguments))
    return -ctypes.get_errno() if result < 0 else result


def facts() -> dict[str, object]:
    """Everything."""
    here = status()
    before = os.umask(0)
    return {
        "pid": os.getpid(),
        "ids": [os.getuid(), os.getgid(), sorted(os.getgroups())],
        "umask": before,
        "cwd": os.getcwd(),
        "env": dict(os.environ),
        "args": sys.argv[1:],
        "caps": {name: int(here[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")},
        "no_new_privs": here["NoNewPrivs"],
        "seccomp": here["Seccomp"],
        "rlimits": {
            name: list(resource.getrlimit(getattr(resource, name)))
            for name in dir(resource)
            if name.startswith("RLIMIT_")
        },
        "oom": open("/proc/self/oom_score_adj").read().strip(),
        "names": [
            os.uname().nodename,
            open("/proc/sys/kernel/domainname").read().strip(),
            os.uname().machine,
        ],
        "mounts": mounts(),
        "namespaces": {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")},
        "maps": [open(f"/proc/self/{name}_map").read().split() for name in ("uid", "gid")],
        "cgroup": open("/proc/self/cgroup").read(),
        "terminal": [os.isatty(fd) for fd in (0, 1, 2)],
        "fds": sorted(int(name) for name in os.listdir("/proc/self/fd") if _open(int(name))),
        "scheduler": [os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)],
        "processors": sorted(os.sched_getaffinity(0)),
        "ioprio": call(252 if os.uname().machine.startswith(("x86", "i")) else 31, 1, 0),
        "paths": {path: look(path) for path in sys.argv[1:] if path.startswith("/")},
        "sysctl": {
            name: open("/proc/sys/" + name.replace(".", "/")).read().split()
            for name in sys.argv[1:]
            if "." in name and not name.startswith("/")
        },
    }


def _open(fd: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_GETFD)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    print(json.dumps(facts()))
