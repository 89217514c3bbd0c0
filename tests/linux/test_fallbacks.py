"""House rule 10: the floor is Linux 5.11. What a newer kernel has is used where it is and replaced
where a filter answers ENOSYS; without what the floor has there is one clear error, no hang."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell.runtime import Engine, Options
from sandcell.runtime.container.options import ExecOptions
from sandcell.runtime.container.program import open_program
from sandcell.runtime.errors import SandcellError
from sandcell.runtime.linux import mounts
from sandcell.runtime.linux.process import PR_SET_NO_NEW_PRIVS, prctl
from sandcell.runtime.linux.seccomp import Action, Rule, compile_filter
from sandcell.runtime.linux.seccomp_load import install
from sandcell.runtime.linux.syscall import CLOSE_RANGE_CLOEXEC, MACHINE, close_range
from tests import full_disk
from tests.linux.child import in_child

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(MACHINE not in ("x86_64", "aarch64"), reason=f"no table for {MACHINE}"),
]


def forget(*names: str) -> None:
    """Be on a kernel that has never heard of these system calls, together with all children."""
    rules = [Rule(names, Action.ERRNO, errno.ENOSYS)]
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    install(compile_filter(Action.ALLOW, 0, rules, (MACHINE,)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store that holds ``host:tiny``, unpacked."""
    base: Path = tmp_path_factory.mktemp("fallback")
    with Engine(base / "home", base / "run") as engine:
        engine.run("host:tiny", ("true",), Options(remove=True))
    (base / "folder").mkdir()
    yield base


# ------------------------------------------------------------ mount_setattr, Linux 5.12


def test_a_detached_mount_without_mount_setattr_is_restricted_when_it_has_a_place(tmp_path: Path) -> None:
    in_child(_restrict_later, str(tmp_path))


def _restrict_later(place: str) -> None:
    full_disk.own_mounts()
    forget("mount_setattr")
    wanted = mounts.MS_RDONLY | mounts.MS_NOSUID | mounts.MS_NODEV
    os.mkdir(f"{place}/source")
    os.mkdir(f"{place}/target")
    target = f"{place}/target".encode()
    tree = mounts.clone_tree(f"{place}/source".encode(), recursive=False)
    assert not mounts.restrict(tree, wanted)
    mounts.attach(tree, target)
    mounts.remount(target, wanted)
    flags = os.statvfs(target).f_flag
    assert flags & os.ST_RDONLY
    assert flags & os.ST_NOSUID
    assert flags & os.ST_NODEV


def test_mounts_below_a_read_only_one_are_read_only_without_mount_setattr(tmp_path: Path) -> None:
    in_child(_restrict_below, str(tmp_path))


def _restrict_below(place: str) -> None:
    full_disk.own_mounts()
    forget("mount_setattr")
    for name in ("source", "target", "elsewhere"):
        os.mkdir(f"{place}/{name}")
    for name in ("a b/c", "led"):
        os.makedirs(f"{place}/source/{name}")
        mounts.mount(b"none", f"{place}/source/{name}".encode(), b"tmpfs")
    Path(f"{place}/source/file").touch()
    mounts.mount(f"{place}/source/file".encode(), f"{place}/source/file".encode(), None, mounts.MS_BIND)
    points = mounts.below(f"{place}/source")
    assert sorted(points) == ["a b/c", "file", "led"]
    target = f"{place}/target".encode()
    mounts.attach(mounts.clone_tree(f"{place}/source".encode(), recursive=True), target)
    mounts.remount_tree(target, mounts.MS_RDONLY, points)
    for name in ("x", "a b/c/x", "led/x", "file"):
        with pytest.raises(OSError, match="Read-only"):
            Path(f"{place}/target/{name}").write_text("x")
        Path(f"{place}/source/{name}").touch()  # the host's own are as they were
    # A link where a mount was seen leads nowhere: the flags would go to something else.
    os.symlink(f"{place}/elsewhere", f"{place}/source/link")
    mounts.mount(b"none", f"{place}/elsewhere".encode(), b"tmpfs")
    with pytest.raises(OSError, match="symbolic links"):
        mounts.remount_tree(target, mounts.MS_RDONLY, ("link",))
    Path(f"{place}/elsewhere/x").touch()


@pytest.mark.slow
def test_containers_run_without_mount_setattr(place: Path) -> None:
    in_child(_run_without_mount_setattr, str(place))


def _run_without_mount_setattr(place: str) -> None:
    full_disk.own_mounts()
    mounts.mount(None, b"/", None, mounts.MS_REC | mounts.MS_SHARED)
    os.makedirs(f"{place}/folder/below", exist_ok=True)
    mounts.mount(b"none", f"{place}/folder/below".encode(), b"tmpfs")
    forget("mount_setattr")
    with Engine(f"{place}/home", f"{place}/run") as engine:
        folder = f"{place}/folder"
        script = (
            "echo x 2>/dev/null > /v/x || echo volume; echo x 2>/dev/null > /v/below/x || echo below;"
            " echo x 2>/dev/null > /run/sandcell/x || echo ours;"
            " echo x 2>/dev/null > /proc/sys/kernel/panic || echo proc; echo x 2>/dev/null > /x || echo root;"
            " echo x > /run/sandcell/out/x && echo out"
        )
        options = Options(remove=True, volumes=(f"{folder}:/v:ro",), read_only=True)
        told = engine.run("host:tiny", ("sh", "-c", script), options)
        assert told.text.split() == ["volume", "below", "ours", "proc", "root", "out"], told
        made = engine.create("host:tiny", ("sleep", "100"), Options(volumes=(f"{folder}:/v:ro",)))
        try:
            engine.start(made)
            assert_apart(engine, made.id, folder)
            assert engine.exec(made, ("echo", "hi"), ExecOptions(tty=True)).text == "hi\r\n"
        finally:
            engine.remove(made, force=True)
        assert os.listdir(folder) == ["below"]
        assert os.listdir(f"{folder}/below") == []


def assert_apart(engine: Engine, id: str, folder: str) -> None:
    """What the host mounts below a volume while the container runs is not seen in there."""
    for name in ("new", "below"):
        os.makedirs(f"{folder}/{name}", exist_ok=True)
        mounts.mount(b"none", f"{folder}/{name}".encode(), b"tmpfs")
        Path(f"{folder}/{name}/later").touch()
    assert "later" not in engine.exec(id, ("ls", "-R", "/v")).text
    for name in ("new", "below"):
        mounts.umount(f"{folder}/{name}".encode())
    os.rmdir(f"{folder}/new")


@pytest.mark.slow
def test_what_the_host_mounts_later_stays_outside(place: Path) -> None:
    in_child(_mount_later, str(place))


def _mount_later(place: str) -> None:
    full_disk.own_mounts()
    mounts.mount(None, b"/", None, mounts.MS_REC | mounts.MS_SHARED)
    with Engine(f"{place}/home", f"{place}/run") as engine:
        made = engine.create("host:tiny", ("sleep", "100"), Options(volumes=(f"{place}/folder:/v:ro",)))
        try:
            engine.start(made)
            assert_apart(engine, made.id, f"{place}/folder")
        finally:
            engine.remove(made, force=True)


def test_the_interpreter_without_mount_setattr_is_sealed_memory() -> None:
    assert in_child(_program_without_mount_setattr) == [errno.EPERM, True]


def _program_without_mount_setattr() -> list[object]:
    forget("mount_setattr")
    fd = open_program()
    try:
        os.write(fd, b"x")
    except OSError as error:
        return [error.errno, "memfd" in os.readlink(f"/proc/self/fd/{fd}")]
    return [0, False]


# ------------------------------------------------------------ close_range, CLOEXEC since Linux 5.11


def test_descriptors_are_closed_and_marked_without_close_range() -> None:
    assert in_child(_close_without_close_range) == [False, False, True]


def _close_without_close_range() -> list[bool]:
    forget("close_range")
    first = os.open("/dev/null", os.O_RDONLY)
    kept = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(kept, True)
    close_range(kept, flags=CLOSE_RANGE_CLOEXEC)
    marked = os.get_inheritable(kept)
    close_range(kept)
    try:
        os.fstat(kept)
    except OSError:
        gone = False
    else:
        gone = True
    os.fstat(first)
    return [marked, gone, True]


@pytest.mark.slow
def test_containers_run_without_close_range(place: Path) -> None:
    assert in_child(_run_without, str(place), "close_range") == "hi\n"


# ------------------------------------------------------------ what the floor has


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["statmount", "listmount", "epoll_pwait2", "futex_waitv", "cachestat", "fchmodat2"]
)
def test_calls_newer_than_the_floor_that_we_do_not_need(place: Path, name: str) -> None:
    assert in_child(_run_without, str(place), name) == "hi\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "clone3",
        "open_tree",
        "move_mount",
        "fsopen",
        "fsmount",
        "openat2",
        "pivot_root",
        "setns",
    ],
)
def test_without_a_call_of_the_floor_there_is_one_clear_error_and_no_hang(place: Path, name: str) -> None:
    answer = in_child(_run_without, str(place), name)
    assert answer == "hi\n" or answer.startswith("refused: ")


def _run_without(place: str, name: str) -> str:
    forget(name)
    try:
        with Engine(f"{place}/home", f"{place}/run") as engine:
            made = engine.create("host:tiny", ("sleep", "100"))
            try:
                engine.start(made)
                return engine.exec(made, ("echo", "hi")).text
            finally:
                engine.remove(made, force=True)
    except SandcellError as error:
        return f"refused: {error} ({error.hint})"
