"""What the probe finds out on a kernel with AppArmor and Debian's own switch for user namespaces."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from sandcell.runtime.linux.host import Host
from tests.guest.registry import Place, holds

# A container with its own processes and hostname, a change, and a limit that the kernel keeps.
_CONFINED = """
import sys
from sandcell.runtime import Engine, Options
from tests.engine.claims import IMAGE
with Engine(sys.argv[1] + "/home", sys.argv[1] + "/run") as engine:
    print(engine.host.rung, engine.host.check("mount").layer)
    options = Options(hostname="inside", memory=64 << 20)
    result = engine.run(IMAGE, ("sh", "-c", "echo $$; uname -n; echo x > /new"), options)
    print(result.text, *(change.path for change in engine.diff(result.container)))
    made = engine.create(IMAGE, ("sleep", "1000"), options)
    engine.start(made)
    print(engine.stats(made.id).memory_limit >> 20)
    engine.remove(made.id, force=True)
"""
_SHOW = """
import sys, msgspec
from sandcell.runtime.linux.host import probe
sys.stdout.buffer.write(msgspec.json.encode(probe(sys.argv[1] + "/store", sys.argv[1] + "/run")))
"""
PROFILE = """
profile guest-no-mounts flags=(attach_disconnected,mediate_deleted) {
  file,
  network,
  signal,
  ptrace,
  unix,
  capability,
  umount,
}
"""


def probed(place: Place, *wrapper: str, user: int = 1000) -> Host:
    """The host as a plain user finds it, in a process that begins with ``wrapper``."""
    folder = place.folder / f"probe-{len(os.listdir(place.folder))}"
    folder.mkdir()
    os.chown(folder, user, user)
    drop = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all")
    argv = [*drop, *wrapper, sys.executable, "-c", _SHOW, str(folder)]
    done = subprocess.run(argv, capture_output=True, cwd="/")
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=Host)


@contextmanager
def sysctl(name: str, value: str) -> Iterator[None]:
    """Another value while this lasts."""
    path = Path("/proc/sys", *name.split("."))
    before = path.read_text()
    path.write_text(value)
    try:
        yield
    finally:
        path.write_text(before)


@holds("root")
def a_plain_user_is_rootless(place: Place) -> None:
    assert probed(place).rung == "rootless"


@holds("root")
def debians_switch_is_found(place: Place) -> None:
    with sysctl("kernel.unprivileged_userns_clone", "0"):
        host = probed(place)
    assert host.rung == "none"
    check = host.check("user namespace")
    assert check is not None
    assert (check.layer, "unprivileged_userns_clone is 0" in check.detail) == ("sysctl", True), check


@holds("root")
def the_kernels_limit_is_found(place: Place) -> None:
    with sysctl("user.max_user_namespaces", "0"):
        host = probed(place)
    check = host.check("user namespace")
    assert check is not None
    assert (host.rung, check.layer) == ("none", "sysctl"), check
    assert "user.max_user_namespaces is 0" in check.detail


@holds("root")
def a_profile_that_allows_no_mounts_is_found(place: Place) -> None:
    host = probed(place, "aa-exec", "-p", "guest-no-mounts", "--")
    check = host.check("mount")
    assert check is not None
    assert (host.rung, check.layer) == ("nomount", "AppArmor"), check
    assert "guest-no-mounts" in check.detail


@holds("user")
def where_a_profile_refuses_mounts_containers_run_on_copies(place: Place) -> None:
    assert place.engine.images()
    argv = ("aa-exec", "-p", "guest-no-mounts", "--", sys.executable, "-c", _CONFINED, str(place.folder))
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["nomount", "AppArmor", "1", "inside", "new", "64"], done.stdout
