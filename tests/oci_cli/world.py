"""A bundle whose files are the host's programs, read-only, and a runtime to drive it with."""

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

OURS = (sys.executable, "-m", "sandcell.runtime.oci_cli")


class World:
    """``run`` is the runtime's command line; ``config`` is written at each ``create``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.bundle = folder / "bundle"
        root = self.bundle / "rootfs"
        for name in ("usr", "etc", "tmp"):
            (root / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            (root / name).symlink_to(f"usr/{name}")
        self.run("spec", "--bundle", str(self.bundle))
        self.config: dict[str, Any] = json.loads((self.bundle / "config.json").read_text())
        self.config["process"]["terminal"] = False
        self.config["mounts"].append(
            {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}
        )
        self._made: list[str] = []

    def run(self, *arguments: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """One command; ``status`` ``None`` takes any."""
        done = subprocess.run(
            [*OURS, "--root", str(self.state), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            stdin=subprocess.DEVNULL,
            cwd=Path(__file__).resolve().parents[2],
        )
        if status is not None:
            assert done.returncode == status, done.stderr
        return done

    def write(self, *command: str) -> None:
        """The bundle's config.json, for this command."""
        self.config["process"]["args"] = list(command)
        (self.bundle / "config.json").write_text(json.dumps(self.config))

    def create(self, name: str, *command: str, status: int = 0) -> str:
        """``create``; gives what it said. The container's output goes nowhere."""
        self.write(*command)
        self._made.append(name)
        argv = [*OURS, "--root", str(self.state), "create", "--bundle", str(self.bundle), name]
        with open(self.folder / "said", "w+") as said:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=20,
                cwd=Path(__file__).resolve().parents[2],
            )  # fmt: skip
            said.seek(0)
            text = said.read()
        assert done.returncode == status, text
        return text

    def output(self, *command: str) -> str:
        """What a container of its own prints."""
        self.write(*command)
        return self.run("run", "--bundle", str(self.bundle), f"run-{os.getpid()}").stdout

    def status(self, name: str) -> dict[str, Any]:
        """The state document."""
        state: dict[str, Any] = json.loads(self.run("state", name).stdout)
        return state

    def close(self) -> None:
        """Delete what is left."""
        for name in self._made:
            self.run("delete", "--force", name)

    def gone(self, pid: int) -> None:
        """Wait until that process has ended."""
        if not pid:
            return
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        select.select([pidfd], [], [], 10)
        os.close(pidfd)
