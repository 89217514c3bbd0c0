"""podman drives ``sandcell-oci`` through conmon, as it drives any OCI runtime."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell.runtime.linux.host import Host

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.peer("podman", "conmon")]

CONTAINERS = """
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
RUNTIME = '#!/bin/sh\ncd "{repository}"; exec {python} -m sandcell.runtime.oci_cli "$@"\n'


class Podman:
    """podman with a store of its own, and a root directory for its containers."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        for name in ("usr", "etc", "tmp"):
            (self.root / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            (self.root / name).symlink_to(f"usr/{name}")
        runtime = folder / "sandcell-oci"
        repository = Path(__file__).resolve().parents[2]
        runtime.write_text(RUNTIME.format(repository=repository, python=sys.executable))
        runtime.chmod(0o755)
        (folder / "containers.conf").write_text(CONTAINERS)
        storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/state"\n'
        (folder / "storage.conf").write_text(storage)
        self.environment = {
            **os.environ,
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }
        self.argv = ("podman", "--runtime", str(runtime))

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """One command; gives what it printed."""
        done = subprocess.run(
            [*self.argv, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == status, done.stderr
        return done.stdout

    def terminal(self, *arguments: str) -> str:
        """One command at a terminal; gives what is seen there."""
        master, slave = pty.openpty()
        try:
            child = subprocess.Popen(
                [*self.argv, *arguments], env=self.environment, stdin=slave, stdout=slave, stderr=slave
            )
            os.close(slave)
            seen = b""
            try:
                while part := os.read(master, 4096):
                    seen += part
            except OSError:
                pass  # EIO: everybody on the other side has left
            assert child.wait(60) == 0, seen
        finally:
            os.close(master)
        return seen.decode()

    def rooted(self, *command: str) -> tuple[str, ...]:
        """The end of a ``run``: the host's programs in a root of their own."""
        return ("--volume", "/usr:/usr:ro", "--rootfs", str(self.root), *command)


@pytest.fixture(scope="module")
def podman(session_folder: Path, host: Host) -> Iterator[Podman]:
    """As root; a short path, because podman waits 20 s for a socket whose name has become too long."""
    if os.geteuid() != 0 or host.rung != "root":
        pytest.skip("podman is driven as root here")
    folder = session_folder / "d"
    folder.mkdir()
    driver = Podman(folder)
    yield driver
    driver("rm", "--all", "--force", "--time", "0")


def test_run_gives_output_and_status(podman: Podman) -> None:
    told = podman("run", "--rm", "--hostname", "called", *podman.rooted("sh", "-c", "echo $$ $(hostname)"))
    assert told == "1 called\n"
    podman("run", "--rm", *podman.rooted("sh", "-c", "exit 7"), status=7)
    podman("run", "--rm", *podman.rooted("/no/such"), status=127)


def test_run_at_a_terminal(podman: Podman) -> None:
    assert podman.terminal("run", "--rm", "-it", *podman.rooted("tty")).strip() == "/dev/pts/0"


def test_a_container_is_looked_at_paused_stopped_and_removed(podman: Podman) -> None:
    script = "trap 'echo bye; exit 3' TERM; echo hello; while :; do sleep 0.1; done"
    limits = ("--memory", "64m", "--pids-limit", "50", "--cap-drop", "all", "--read-only")
    podman("run", "--detach", "--name", "life", *limits, *podman.rooted("sh", "-c", script))
    assert podman(
        "exec", "--env", "A=1", "life", "sh", "-c", "echo $A; grep CapEff /proc/self/status"
    ).split() == [
        "1",
        "CapEff:",
        "0" * 16,
    ]
    assert podman.terminal("exec", "-it", "life", "tty").strip() == "/dev/pts/0"
    podman("exec", "life", "sh", "-c", "exit 5", status=5)
    podman("pause", "life")
    assert podman("ps", "--all", "--format", "{{.Names}} {{.State}}").lower() == "life paused\n"
    podman("unpause", "life")
    podman("stop", "--time", "20", "life")
    assert podman("wait", "life") == "3\n"
    assert podman("logs", "life") == "hello\nbye\n"
    podman("start", "life")
    podman("kill", "life")
    podman("rm", "--force", "life")
    assert podman("ps", "--all", "--quiet") == ""
