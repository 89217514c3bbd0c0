"""Processes that mean harm: they see and reach nothing of the host, and end when they shall."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell.runtime import Engine, Options
from sandcell.runtime.container import state
from sandcell.runtime.container.options import ExecOptions
from sandcell.runtime.engine import record
from sandcell.runtime.errors import SandcellError
from tests.engine import crafted
from tests.engine.claims import until
from tests.engine.crafted import TINY, background

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    base: Path = tmp_path_factory.mktemp("hostile")
    with Engine(base / "home", base / "run") as engine:
        if engine.host.rung != "root":
            pytest.skip(f"this user has the rung {engine.host.rung}: less could be reached")
        engine.image(TINY)
        yield engine


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A directory of the host that a link in an image leads to."""
    place = tmp_path / "of-the-host"
    place.mkdir(mode=0o777)
    (place / "secret").write_text("secret of the host\n")
    return place


# ------------------------------------------------------------ descriptors


_DESCRIPTORS = """
n=0
while [ $n -lt 64 ]; do
    if [ -L /proc/$$/fd/$n ]; then echo -n "$n "; readlink /proc/$$/fd/$n; fi
    n=$((n + 1))
done
"""


def _check_descriptors(listed: str, *, terminal: bool) -> None:
    found = dict(line.split(" ", 1) for line in listed.splitlines())
    assert set(found) == {"0", "1", "2"}, found
    for to in found.values():
        assert to.startswith(("/dev/pts/",) if terminal else ("pipe:", "/dev/null")), found


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("user", ["", "1000:1000"])
def test_a_process_begins_with_three_descriptors(engine: Engine, user: str, terminal: bool) -> None:
    listed = crafted.sh(
        engine, TINY, _DESCRIPTORS, user=user, tty=terminal, volumes=("/etc:/v:ro",), files={"f": b"x"}
    )
    _check_descriptors(listed.replace("\r", ""), terminal=terminal)
    with background(engine, TINY) as id:
        options = ExecOptions(user=user, tty=terminal, files={"f": b"x"})
        text = engine.exec(id, ("sh", "-c", _DESCRIPTORS), options).text
        _check_descriptors(text.replace("\r", ""), terminal=terminal)


def test_no_socket_or_file_of_the_host_is_seen_in_any_process(engine: Engine) -> None:
    with background(engine, TINY) as id:
        seen = engine.exec(id, ("sh", "-c", "for f in /proc/[0-9]*/fd/*; do readlink $f; done")).text
    assert "socket:" not in seen
    assert "sandcell" not in seen
    assert not [
        line for line in seen.splitlines() if line.startswith("/") and line[1:5] not in ("dev/", "proc")
    ]


# ------------------------------------------------------------ looking into the way in


_WATCH = r"""
import os, sys, time
found = set()
tried = 0
print("watching", flush=True)
mine = os.stat("/proc/self/exe")
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in (1, os.getpid()):
            continue
        tried += 1
        place = "/proc/" + name
        for what in ("exe", "cwd", "root"):
            try:
                link = os.readlink(f"{place}/{what}")
            except OSError:
                continue
            if what == "exe" and not link.startswith(("/usr/bin", "/bin")) or what == "root" and link != "/":
                found.add(f"{what} {link}")
        try:
            fd = os.open(f"{place}/exe", os.O_RDWR)
        except OSError:
            pass
        else:
            if not os.path.realpath(f"{place}/exe").startswith(("/usr/bin", "/bin")):
                found.add("exe could be opened for writing")
            os.close(fd)
        try:
            for fd in os.listdir(f"{place}/fd"):
                link = os.readlink(f"{place}/fd/{fd}")
                if link.startswith("socket:") or "sandcell" in link:
                    found.add("fd " + link)
        except OSError:
            pass
        for what in ("environ", "maps"):
            try:
                with open(f"{place}/{what}", "rb") as file:
                    text = file.read()
            except OSError:
                continue
            if b"SANDCELL_HOME" in text or b"msgspec" in text:
                found.add(what)
print("tried", tried > 0, "found", sorted(found), flush=True)
"""


def test_nobody_inside_sees_or_touches_the_helper_of_an_exec(engine: Engine) -> None:
    engine.image("host")
    with background(engine, "host") as id:
        watching = engine.launch_in(id, ("python3", "-I", "-c", _WATCH, "2"))
        pieces = watching.output()
        assert next(pieces).data == b"watching\n"
        for _ in range(40):
            assert engine.exec(id, ("/bin/true",)).status == 0
        assert b"".join(piece.data for piece in pieces) == b"tried True found []\n"
        assert watching.wait(30) == 0
        watching.close()


# ------------------------------------------------------------ ways out

_ATTEMPTS = r"""
import ctypes, errno, json, os, platform
libc = ctypes.CDLL(None, use_errno=True)
number = {
    "x86_64": dict(unshare=272, setns=308, mount=165, umount2=166, pivot_root=155, io_uring_setup=425,
        bpf=321, keyctl=250, add_key=248, request_key=249, userfaultfd=323, perf_event_open=298,
        kexec_load=246,
        open_by_handle_at=304, finit_module=313, init_module=175, delete_module=176, swapon=167, reboot=169,
        settimeofday=164, clock_settime=227, syslog=103, quotactl=179, acct=163, fsopen=430, open_tree=428,
        move_mount=429, mount_setattr=442, clone3=435, ioperm=173, iopl=172, pidfd_getfd=438, kcmp=312,
        vhangup=153, lookup_dcookie=212, io_uring_register=427, sethostname=170, setdomainname=171),
    "aarch64": dict(unshare=97, setns=268, mount=40, umount2=39, pivot_root=41, io_uring_setup=425, bpf=280,
        keyctl=219, add_key=217, request_key=218, userfaultfd=282, perf_event_open=241, kexec_load=104,
        open_by_handle_at=265, finit_module=273, init_module=105, delete_module=106, swapon=224, reboot=142,
        settimeofday=170, clock_settime=112, syslog=116, quotactl=60, acct=89, fsopen=430, open_tree=428,
        move_mount=429, mount_setattr=442, clone3=435, pidfd_getfd=438, kcmp=272, vhangup=58,
        lookup_dcookie=18, io_uring_register=427, sethostname=161, setdomainname=162),
}[platform.machine()]
answers = {}
NEWUSER, NEWNS = 0x10000000, 0x20000
arguments = {"unshare": (NEWUSER,), "setns": (os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)}
for name, call in number.items():
    ctypes.set_errno(0)
    result = libc.syscall(call, *(ctypes.c_long(a) for a in arguments.get(name, (0, 0, 0, 0, 0))))
    answers[name] = "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]
ctypes.set_errno(0)
libc.unshare(NEWNS)
answers["unshare mounts"] = errno.errorcode.get(ctypes.get_errno(), "ok")

def attempt(name, function):
    try:
        answers[name] = f"ok {function()!r}"
    except OSError as error:
        answers[name] = errno.errorcode[error.errno]

def disk():
    os.mknod("/disk", 0o60600, os.makedev(8, 0))
    return os.open("/disk", os.O_RDONLY)

def memory():
    os.mknod("/memory", 0o20600, os.makedev(1, 1))
    return os.open("/memory", os.O_RDONLY)

def log_of_the_kernel():
    os.mknod("/log", 0o20600, os.makedev(1, 11))  # there on every machine, and open to any root
    return os.open("/log", os.O_WRONLY)

def way_out_of_chroot():
    os.mkdir("/jail")
    here = os.open("/", os.O_RDONLY)
    os.chroot("/jail")
    os.fchdir(here)
    for _ in range(20):
        os.chdir("..")
    os.chroot(".")
    return sorted(os.listdir("/"))

def write(path, text):
    def function():
        with open(path, "w") as file:
            file.write(text)
    return function

attempt("disk", disk)
attempt("memory", memory)
attempt("log", log_of_the_kernel)
attempt("raw ports", lambda: os.open("/dev/port", os.O_RDWR))
for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/panic_on_oom",
             "/sys/kernel/uevent_helper", "/sys/power/state", "/proc/sys/kernel/modprobe"):
    if os.path.exists(path):
        attempt(path, write(path, "x"))
groups = 0
for place, _, files in os.walk("/sys/fs/cgroup"):
    for name in ("release_agent", "notify_on_release", "cgroup.procs", "devices.allow", "memory.max",
                 "memory.limit_in_bytes", "pids.max", "cgroup.subtree_control"):
        if name in files:
            groups += 1
            attempt(f"{place}/{name}", write(f"{place}/{name}", "0"))
attempt("a group", lambda: os.mkdir("/sys/fs/cgroup/new"))
attempt("ptrace", lambda: open("/proc/1/mem", "r+b").fileno())
attempt("chroot", way_out_of_chroot)
answers["groups"] = groups
print(json.dumps(answers))
"""


def test_system_calls_and_files_that_would_reach_the_host_are_refused(engine: Engine) -> None:
    result = engine.run("host", ("python3", "-I", "-c", _ATTEMPTS), Options(remove=True))
    assert result.status == 0, result.stderr
    answers = json.loads(result.stdout)
    jail = answers.pop("chroot")
    assert "welcome" in jail
    assert "jail" in jail  # still the container's own root
    assert answers.pop("clone3") == "ENOSYS"
    if engine.nursery.cgroups:
        assert answers.pop("groups") > 0
    assert answers.pop("ptrace").startswith("ok")  # its own first process, which it may look into
    allowed = {name: answer for name, answer in answers.items() if str(answer).startswith("ok")}
    assert not allowed
    # Refused by the filter, not because the arguments made no sense.
    for name in ("unshare", "mount", "io_uring_setup", "bpf", "keyctl", "userfaultfd", "open_by_handle_at"):
        assert answers[name] == "EPERM", (name, answers[name])


def test_another_container_and_the_host_cannot_be_signalled_or_entered(engine: Engine) -> None:
    with background(engine, TINY) as id:
        assert (
            crafted.sh(engine, TINY, "kill -9 -1; kill -0 2 2>/dev/null || echo nobody else")
            == "nobody else\n"
        )
        assert engine.container(id).state == "running"
        assert crafted.sh(engine, TINY, "ls /proc/1/root/.. /proc/1/cwd/../../..").count("welcome") == 2


# ------------------------------------------------------------ processes without measure


def test_a_fork_bomb_under_a_limit_is_ended_within_seconds(engine: Engine) -> None:
    if not engine.nursery.cgroups:
        pytest.skip("no control groups here")
    # The first process does not fork any more: that would fail, and be its end.
    bomb = "b() { while :; do b & done; }; b 2>/dev/null & exec sleep 1000"
    made = engine.create(TINY, ("sh", "-c", bomb), Options(pids_limit=40))
    engine.start(made)
    until(lambda: _tasks(engine, made.id) > 10, "the bomb")
    begun = time.monotonic()
    engine.remove(made, force=True)
    assert time.monotonic() - begun < 30
    assert made.id not in os.listdir(engine.places.containers)


def _tasks(engine: Engine, id: str) -> int:
    from sandcell.runtime.engine import lifecycle
    from sandcell.runtime.engine.birth import group

    found = group(lifecycle.cgroups_path(engine.places, record.find(engine.places, id)))
    assert found is not None
    return len(found.pids())


def test_a_flood_and_a_slow_client(engine: Engine) -> None:
    running = engine.launch(TINY, ("yes",), Options(remove=True))
    pieces = running.output()
    for _ in range(3):
        assert set(next(pieces).data) <= set(b"y\n")
    monitor = state.read(engine.places.running(running.container.id), "").monitor
    assert monitor is not None
    until(lambda: _resident(monitor.pid) > 0, "the monitor")
    assert _resident(monitor.pid) < 60 << 20
    running.signal(signal.SIGKILL)
    assert running.wait(30) == 137
    for piece in pieces:  # what had not been read yet, and then the end
        assert set(piece.data) <= set(b"y\n")
    running.close()


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_output_closed_early_is_no_end(engine: Engine) -> None:
    running = engine.launch(TINY, ("sh", "-c", "exec 1>&- 2>&-; sleep 0.1; exit 9"), Options(remove=True))
    assert list(running.output()) == []
    assert running.wait(30) == 9
    running.close()


def test_what_leaves_its_session_and_parent_ends_with_the_container(engine: Engine) -> None:
    script = "(trap '' TERM HUP INT; (trap '' TERM HUP; sleep 900) & ) & sleep 0.1; exit 0"
    made = engine.create(TINY, ("sh", "-c", script))
    engine.start(made)
    assert engine.wait(made, 30) == 0
    until(lambda: not _marked(b"900", made.id), "the end of all its processes")
    engine.remove(made)


def _marked(word: bytes, id: str) -> list[str]:
    found = []
    for name in os.listdir("/proc"):
        try:
            words = Path("/proc", name, "cmdline").read_bytes().split(b"\0") if name.isdigit() else []
            if word in words and id in Path("/proc", name, "mountinfo").read_text():
                found.append(name)
        except OSError:
            continue
    return found


def test_an_exec_that_leaves_a_flood_behind_ends(engine: Engine) -> None:
    with background(engine, TINY) as id:
        begun = time.monotonic()
        assert engine.exec(id, ("sh", "-c", "yes & exit 3")).status == 3
        assert engine.exec(id, ("sh", "-c", "sleep 900 & echo said; exit 4")).stdout == b"said\n"
        assert time.monotonic() - begun < 60


def test_the_first_process_takes_only_signals_it_asked_for(engine: Engine) -> None:
    with background(engine, TINY, "while :; do sleep 0.02; done") as id:
        for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            engine.kill(id, int(signum))
        assert engine.exec(id, ("true",)).status == 0
        begun = time.monotonic()
        engine.stop(id, timeout=0.2)
        assert 0.2 <= time.monotonic() - begun < 8
        assert engine.container(id).exit_status == 137
    with background(engine, TINY, "trap 'exit 5' USR1; while :; do sleep 0.02; done") as id:
        until(lambda: b"sleep" in _commands(engine, id), "the trap")
        engine.kill(id, "USR1")
        assert engine.wait(id, 30) == 5


def _commands(engine: Engine, id: str) -> list[bytes]:
    text = engine.exec(id, ("sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null")).stdout
    return text.split(b"\0")


def test_nothing_that_the_client_ignores_or_limits_is_inherited(engine: Engine) -> None:
    old = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    try:
        with Engine(engine.places.home, engine.places.run) as other:
            told = other.run(TINY, ("cat", "/proc/self/status"), Options(remove=True)).text
    finally:
        signal.signal(signal.SIGQUIT, old)
    status = dict(line.split(":\t", 1) for line in told.splitlines() if ":\t" in line)
    assert int(status["SigIgn"], 16) == 0
    assert int(status["SigBlk"], 16) == 0


def test_a_directory_of_results_cannot_be_swapped_for_a_link(engine: Engine, target: Path) -> None:
    """The moment between making it and giving it its mode is short: with another guard than O_NOFOLLOW this
    fails seldom, and never by chance."""
    target.chmod(0o700)
    swap = (
        "cd /run/sandcell/out; while :; do for d in [0-9a-f]*; do"
        f' mv "$d" /run/sandcell/out/.old$$ 2>/dev/null && ln -s {target} "$d"; rm -rf .old$$; done; done'
    )
    with background(engine, TINY, swap) as id:
        for _ in range(20):
            try:
                engine.exec(id, ("true",), ExecOptions(fetch=True))
            except (SandcellError, OSError):
                pass
    assert target.stat().st_mode & 0o777 == 0o700
