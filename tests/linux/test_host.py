"""Hosts as they are when restrictions are really put on: each in a process of its own."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sandcell.runtime.errors import HostRefused
from sandcell.runtime.linux.host import Host, probe
from tests.plain_user import CHECKOUT, PlainUser

# Restrictions, as Python that is run before the probe.
FILTER = """
import errno
from sandcell.runtime.linux.process import prctl
from sandcell.runtime.linux.seccomp import Action, Arg, Rule, compile_filter
from sandcell.runtime.linux.seccomp_load import install
from sandcell.runtime.linux.syscall import MACHINE

def refuse(*names, args=()):
    rule = Rule(names, Action.ERRNO, errno.EPERM, args)
    prctl(38, 1)
    install(compile_filter(Action.ALLOW, 0, [rule], [MACHINE]))
"""
NO_MOUNT = FILTER + "refuse('mount')\n"
NO_MOUNT_NO_UNSHARE = FILTER + "refuse('mount', 'unshare')\n"
NO_USER_NAMESPACE = FILTER + "refuse('unshare', args=(Arg(0, 'MASKED_EQ', 0x10000000, 0x10000000),))\n"

NESTED = """
import os
from sandcell.runtime.linux import syscall
inside, outside = os.pipe(), os.pipe()
uid, gid = os.geteuid(), os.getegid()
syscall.unshare(syscall.CLONE_NEWUSER)
for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
"""
NO_MORE_USER_NAMESPACES = """
with open("/proc/sys/user/max_user_namespaces", "w") as file:
    file.write("0")
"""
# An empty bounding set takes every capability away with the next exec, which is the probe's.
NO_CAPABILITIES = """
from sandcell.runtime.linux.syscall import libc
for capability in range(64):
    libc.prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-c", SHOW, *sys.argv[1:]])
"""
SHOW = """
import os, sys, msgspec
from sandcell.runtime.linux.host import probe
sys.stdout.buffer.write(msgspec.json.encode(probe(sys.argv[1] + "/store", sys.argv[1] + "/run")))
"""
PRELUDE = f"import os, sys\nSHOW = {SHOW!r}\n"


def probed(place: Path, *wrapper: str, before: str = "", env: dict[str, str] | None = None) -> Host:
    """The host as a new process of ours sees it, after ``before``, started through ``wrapper``."""
    argv = [*wrapper, sys.executable, "-c", PRELUDE + before + SHOW, str(place)]
    done = subprocess.run(argv, cwd=CHECKOUT, env={**os.environ, **(env or {})}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=Host)


def probed_as(user: PlainUser, name: str, *, before: str = "", **options: object) -> Host:
    said = user.run(PRELUDE + before + SHOW, str(user.directory(name)), **options)  # type: ignore[arg-type]
    return msgspec.json.decode(said, type=Host)


def layer(host: Host, name: str) -> str:
    check = host.check(name)
    assert check is not None, f"{name} was not tried"
    assert not check.ok, f"{name} worked"
    return check.layer


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes rights from root")


@pytest.mark.kernel
def test_this_machine(host: Host) -> None:
    assert host.rung == ("root" if os.geteuid() == 0 else "rootless")
    assert host.facet("files").state == "real"
    assert host.facet("processes").state == "real"


@pytest.mark.kernel
def test_nothing_is_left_in_the_store(tmp_path: Path) -> None:
    probe(str(tmp_path / "store"), str(tmp_path / "run"))
    assert [p.name for p in (tmp_path / "store").rglob("*")] == ["tmp"]


def test_the_second_time_it_is_remembered(tmp_path: Path) -> None:
    places = str(tmp_path / "store"), str(tmp_path / "run")
    first = probe(*places)
    (kept,) = (tmp_path / "run").iterdir()
    written = kept.stat().st_mtime_ns
    began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
    assert probe(*places) == first
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt == began, "nobody was asked to try it"
    assert kept.stat().st_mtime_ns == written
    assert probe(*places, fresh=True) == first
    assert kept.stat().st_mtime_ns > written


def test_a_damaged_cache_is_a_missing_one(tmp_path: Path) -> None:
    places = str(tmp_path / "store"), str(tmp_path / "run")
    first = probe(*places)
    (kept,) = (tmp_path / "run").iterdir()
    kept.write_bytes(kept.read_bytes()[:40])
    assert probe(*places) == first


def test_without_a_run_directory_it_still_answers(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    assert probe(str(tmp_path / "store"), str(tmp_path / "file" / "run")).rung


def test_another_rung_can_be_asked_for(tmp_path: Path) -> None:
    assert probed(tmp_path, env={"SANDCELL_RUNG": "none"}).rung == "none"


@pytest.mark.kernel
@needs_root
def test_root_may_choose_rootless(tmp_path: Path) -> None:
    chosen = probed(tmp_path, env={"SANDCELL_RUNG": "rootless"})
    assert chosen.rung == "rootless"
    assert chosen.facet("files").state == "real"
    assert probed(tmp_path).rung == "root"


def test_an_interpreter_that_does_not_start_is_said(tmp_path: Path) -> None:
    broken = probed(tmp_path, before="sys.executable = '/bin/false'\n")
    assert broken.rung == "none"
    assert broken.obstacle is not None
    assert broken.obstacle.name == "probe"
    assert not list(tmp_path.glob("run/*"))


@pytest.mark.kernel
@needs_root
def test_root_behind_a_filter(tmp_path: Path) -> None:
    behind = probed(tmp_path, before=NO_MOUNT_NO_UNSHARE)
    assert behind.rung == "chroot"
    assert layer(behind, "mount as root") == "seccomp"
    assert layer(behind, "user namespace") == "seccomp"
    assert layer(behind, "pid namespace") == "seccomp"
    assert behind.facet("network").state == "shared"


@pytest.mark.kernel
@needs_root
def test_root_without_sys_admin_behind_a_filter(tmp_path: Path) -> None:
    drop = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    hosted = probed(tmp_path, *drop, before=NO_USER_NAMESPACE)
    assert hosted.rung == "chroot"
    assert layer(hosted, "mount as root") == "capabilities"
    assert layer(hosted, "user namespace") == "seccomp"
    assert hosted.facet("files").state == "emulated"


@pytest.mark.kernel
@needs_root
def test_root_without_sys_admin_is_rootless_by_a_user_namespace(tmp_path: Path) -> None:
    drop = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    host = probed(tmp_path, *drop)
    assert host.rung == "rootless"
    assert layer(host, "mount as root") == "capabilities"
    assert host.facet("users").state == "emulated"


@pytest.mark.kernel
@needs_root
def test_root_without_setfcap_cannot_map_itself(tmp_path: Path) -> None:
    drop = ("setpriv", "--bounding-set=-sys_admin,-setfcap", "--inh-caps=-sys_admin,-setfcap")
    host = probed(tmp_path, *drop)
    assert host.rung == "chroot"
    assert layer(host, "user namespace") == "capabilities"


@pytest.mark.kernel
def test_a_nested_root_uses_one_more_user_namespace(tmp_path: Path) -> None:
    nested = probed(tmp_path, before=NESTED)
    assert nested.rung == "rootless"
    assert nested.facet("files").state == "real"


@pytest.mark.kernel
def test_no_user_namespaces_by_sysctl(tmp_path: Path) -> None:
    none = probed(tmp_path, before=NESTED + NO_MORE_USER_NAMESPACES + NO_CAPABILITIES)
    assert none.rung == "none"
    assert layer(none, "user namespace") == "sysctl"
    check = none.check("user namespace")
    assert check is not None
    assert "max_user_namespaces is 0" in check.detail
    assert "sysctl -w" in check.fix


@pytest.mark.kernel
@needs_root
def test_a_store_on_an_overlay(tmp_path: Path) -> None:
    script = """
        (cd "$1" && mkdir l u w m && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w x m)
        shift
        exec "$@"
    """
    wrapper = ("unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", str(tmp_path))
    host = probed(tmp_path / "m", *wrapper)
    assert host.rung == "root"
    assert layer(host, "overlay") == "file system"
    assert host.facet("files").state == "emulated"
    assert host.copying
    assert host.obstacle is None
    assert "SANDCELL_HOME" in host.facet("files").fix


@pytest.mark.kernel
@needs_root
def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"\nshift\nexec "$@"'
    wrapper = ("unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", str(tmp_path))
    host = probed(tmp_path, *wrapper)
    assert layer(host, "overlay") == "file system"
    assert "cannot be written" in host.facet("files").reason


@pytest.mark.rootless
def test_a_plain_user_with_id_ranges(plain_user: PlainUser) -> None:
    host = probed_as(plain_user, "ranges", ranges=True)
    assert host.rung == "rootless"
    assert host.facet("users").state == "real"
    assert host.facet("files").state == "real"


@pytest.mark.rootless
@needs_root
def test_a_plain_user_without_id_ranges(plain_user: PlainUser) -> None:
    host = probed_as(plain_user, "single")
    assert host.rung == "rootless"
    assert layer(host, "id ranges") == "id ranges"
    assert host.facet("users").state == "emulated"


@pytest.mark.rootless
def test_a_plain_user_with_no_new_privs_gets_no_ranges(plain_user: PlainUser) -> None:
    host = probed_as(plain_user, "nnp", ranges=True, no_new_privs=True)
    assert host.rung == "rootless"
    assert layer(host, "id ranges") == "no_new_privs"


@pytest.mark.rootless
def test_a_plain_user_where_mount_is_refused(plain_user: PlainUser) -> None:
    host = probed_as(plain_user, "nomount", before=NO_MOUNT)
    assert host.rung == "nomount"
    assert layer(host, "mount") == "seccomp"
    assert host.facet("processes").state == "emulated"
    assert host.facet("network").state == "real"
    assert host.facet("hostname").state == "real"


@pytest.mark.rootless
def test_a_plain_user_where_user_namespaces_are_refused(plain_user: PlainUser) -> None:
    host = probed_as(plain_user, "nothing", before=NO_USER_NAMESPACE)
    assert host.rung == "none"
    assert layer(host, "user namespace") == "seccomp"
    assert {facet.state for facet in host.facets} == {"shared"}


@pytest.mark.rootless
@needs_root
def test_a_masked_proc(plain_user: PlainUser) -> None:
    host = probed_as(plain_user, "masked", first="mount --bind /dev/null /proc/timer_list")
    assert host.rung == "rootless"
    assert layer(host, "proc") == "masked /proc"
    assert host.facet("processes").state == "emulated"


def test_no_rung_is_taken_silently(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=HostRefused.__name__):
        probed(tmp_path, before=NO_MOUNT_NO_UNSHARE, env={"SANDCELL_RUNG": "root"})
