"""A bundle whose files are the host's programs, read-only, and a runtime to drive it with."""

import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.oci_cli.runtimes import OURS, Runtime

_REPOSITORY = Path(__file__).resolve().parents[2]
_PROBE = Path(__file__).with_name("probe.py")
_QUIET = ["nosuid", "noexec", "nodev"]
_MOUNTS = [
    ("/proc", "proc", []),
    ("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
    ("/dev/shm", "tmpfs", [*_QUIET, "mode=1777", "size=65536k"]),
    ("/dev/mqueue", "mqueue", _QUIET),
    ("/sys", "sysfs", [*_QUIET, "ro"]),
]
_KINDS = ("pid", "network", "ipc", "uts", "mount")


class World:
    """``run`` is the runtime's command line; ``config`` is written at each ``create``."""

    def __init__(self, folder: Path, runtime: Runtime = OURS) -> None:
        self.folder = folder
        self.runtime = runtime
        self.state = folder / "state"
        self.bundle = folder / "bundle"
        self.root = self.bundle / "rootfs"
        for name in ("usr", "etc", "tmp", "proc", "dev", "sys"):
            (self.root / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            (self.root / name).symlink_to(f"usr/{name}")
        self.config: dict[str, Any] = {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "cwd": "/",
                "env": ["PATH=/usr/bin:/bin"],
                "capabilities": {},
            },
            "root": {"path": "rootfs"},
            "mounts": [
                {"destination": place, "type": kind, "source": kind, "options": options}
                for place, kind, options in _MOUNTS
            ],
            "linux": {"namespaces": [{"type": kind} for kind in _KINDS]},
        }
        self.mount("/usr", "/usr", "rbind", "ro")
        self._made: list[str] = []

    @property
    def process(self) -> dict[str, Any]:
        """The process of the config."""
        process: dict[str, Any] = self.config["process"]
        return process

    @property
    def linux(self) -> dict[str, Any]:
        """The linux part of the config."""
        linux: dict[str, Any] = self.config["linux"]
        return linux

    def mount(self, source: str | Path, destination: str, *options: str, kind: str = "bind") -> None:
        """One mount more."""
        self.config["mounts"].append(
            {"destination": destination, "type": kind, "source": str(source), "options": list(options)}
        )

    def without(self, kind: str) -> None:
        """Leave a namespace out: the container is in ours."""
        self.linux["namespaces"] = [n for n in self.linux["namespaces"] if n["type"] != kind]

    def run(
        self, *arguments: str, status: int | None = 0, given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """One command; ``status`` ``None`` takes any. ``given``: its standard input."""
        done = subprocess.run(
            [*self.runtime.argv, "--root", str(self.state), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            input=given,
            cwd=_REPOSITORY,
        )
        if status is not None:
            assert done.returncode == status, done.stderr
        return done

    def refused(self, *arguments: str) -> str:
        """One command that must fail; gives what it said."""
        done = self.run(*arguments, status=None)
        assert done.returncode != 0, f"{arguments} did not fail"
        assert "Traceback" not in done.stderr
        return done.stderr

    def write(self, *command: str) -> None:
        """The bundle's config.json, for this command."""
        if command:
            self.process["args"] = list(command)
        (self.bundle / "config.json").write_text(json.dumps(self.config))

    def create(
        self,
        name: str,
        *command: str,
        status: int | None = 0,
        options: Sequence[str] = (),
        verb: Sequence[str] = ("create",),
    ) -> str:
        """``create``; gives what it said. ``status`` 1 stands for any failure. The container's output
        goes to the same file, which ``said`` reads."""
        self.write(*command)
        self._made.append(name)
        argv = [*self.runtime.argv, "--root", str(self.state), *verb]
        argv += [*options, "--bundle", str(self.bundle), name]
        with open(self.folder / "said", "w") as said:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=60, cwd=_REPOSITORY
            )
        assert status is None or bool(done.returncode) == bool(status), self.said()
        return self.said()

    def said(self) -> str:
        """What the last created container and its making said."""
        text = (self.folder / "said").read_text()
        assert "Traceback" not in text, text
        return text

    def output(self, *command: str) -> str:
        """What a container of its own prints."""
        self.write(*command)
        return self.run("run", "--bundle", str(self.bundle), f"run-{os.getpid()}").stdout

    def facts(self, *questions: str) -> dict[str, Any]:
        """What ``probe.py`` finds out in a container of its own."""
        self.mount(_PROBE, "/probe.py", "bind", "ro")
        try:
            told: dict[str, Any] = json.loads(self.output("/usr/bin/python3", "-IS", "/probe.py", *questions))
        finally:
            self.config["mounts"].pop()
        return told

    def status(self, name: str) -> dict[str, Any]:
        """The state document."""
        state: dict[str, Any] = json.loads(self.run("state", name).stdout)
        return state

    def end(self, name: str) -> None:
        """Kill it, and wait until it has ended."""
        pid = self.status(name)["pid"]
        self.run("kill", name, "KILL")
        self.gone(pid)

    def until(self, done: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for something that a container does."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.01)

    def close(self) -> None:
        """Delete what is left."""
        for name in self._made:
            self.run("delete", "--force", name, status=None)

    def gone(self, pid: int) -> None:
        """Wait until that process has ended."""
        if not pid:
            return
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        over, _, _ = select.select([pidfd], [], [], 30)
        os.close(pidfd)
        assert over, f"process {pid} goes on"
