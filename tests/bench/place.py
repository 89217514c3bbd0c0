"""A place where peers run: this machine as it is, this machine with private mounts, or another root.

Each place is one ``stopwatch.py`` process, started when first needed and ended by ``close``.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

_PROGRAM = Path(__file__).with_name("stopwatch.py")


class Unavailable(Exception):
    """A peer cannot be measured here; the text says why, in words for the report."""


class Lap(msgspec.Struct, frozen=True):
    """What one start of a peer took, in milliseconds: ``prepare`` (directories and overlay mount),
    ``run`` (posix_spawn to exit), ``tidy`` (unmount); ``cpu``: processor time of it and its children."""

    prepare: float
    run: float
    tidy: float
    output: str
    cpu: float = 0.0

    @property
    def total(self) -> float:
        return self.prepare + self.run + self.tidy


class Mounts(msgspec.Struct, frozen=True, kw_only=True):
    """The mounts of a place, where they differ from this machine's: ``hide`` is unmounted; ``root``
    becomes the root directory (None: as it is) with ``binds`` of ours in it; ``covers`` become empty
    tmpfs; the directories ``keep`` are seen all the same."""

    hide: tuple[str, ...] = ()
    root: str | None = None
    binds: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


class Place:
    """Without ``mounts``, peers run where the bench runs. ``env``: added to a plain environment.

    Raises Unavailable where the mounts cannot be made.
    """

    def __init__(self, mounts: Mounts | None = None, env: Mapping[str, str] | None = None) -> None:
        where = msgspec.json.encode(mounts).decode()
        self.env = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            **(env or {}),
        }
        self._root = Path((mounts and mounts.root) or "/")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_PROGRAM), where], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            self._reply()
        except Unavailable:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; its mounts vanish with it. May be repeated."""
        self._process.communicate()

    def find(self, program: str) -> str:
        """Absolute path of ``program`` as seen inside. Raises Unavailable."""
        for folder in ("/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"):
            # lexists: an absolute link of the other root would be followed in ours.
            if (self._root / folder.lstrip("/") / program).is_file():
                return f"{folder}/{program}"
        raise Unavailable(f"{program} is not installed")

    def lap(
        self,
        *argv: str,
        mkdir: Sequence[str] = (),
        overlay: Mapping[str, str] | None = None,
        output: bool = False,
        status: int | None = 0,
    ) -> Lap:
        """Run ``argv`` once. Raises Unavailable with its last line when it exits with another status
        than ``status`` (None: any will do)."""
        request: dict[str, Any] = {"argv": argv, "env": self.env, "mkdir": mkdir, "output": output}
        if overlay:
            request["overlay"] = overlay
        reply = self._ask(request)
        printed = reply.get("output", "")
        if status is not None and reply["status"] != status:
            said = printed.strip().splitlines() or ["nothing"]
            name = " ".join(argv[:2])
            raise Unavailable(f"{name} exited with {reply['status']} and said: {said[-1]}")
        return Lap(
            reply["prepare"] / 1e6, reply["run"] / 1e6, reply["tidy"] / 1e6, printed, reply["cpu"] / 1e6
        )

    def mount(self, target: str, options: str) -> None:
        """Mount an overlay on ``target`` in this place, until it is closed. Raises Unavailable."""
        self._ask({"mount": {"target": target, "options": options}})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Unavailable("the measuring process died")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise Unavailable(reply["error"])
        return reply
