"""An environment with the oldest packages that `pyproject.toml` allows, kept for later runs, and a wheel
of this checkout for it. No assertions."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import msgspec
import pytest

from tests.test_packaging import CHECKOUT, built

_FLOOR = re.compile(r"([\w.-]+)(?:\[[^]]*\])?>=([\d.]+)(.*)")


def floors() -> list[str]:
    """The least that we promise to work with: ``name==version`` of each dependency."""
    with open(CHECKOUT / "pyproject.toml", "rb") as file:
        told = tomllib.load(file)
    wanted = {*told["project"]["dependencies"], *told["project"]["optional-dependencies"]["lab"]}
    wanted |= {line for line in told["dependency-groups"]["test"] if line.startswith("notebook>")}
    return sorted(f"{name}=={version}{rest}" for name, version, rest in map(_split, wanted))


def _split(line: str) -> tuple[str, str, str]:
    match = _FLOOR.fullmatch(line)
    assert match is not None, f"{line}: has no least version"
    return match[1], match[2], match[3]


class Oldest(msgspec.Struct, frozen=True):
    """``python`` of the environment, and the ``env`` in which the wheel is found by it and by Jupyter."""

    python: Path
    env: dict[str, str]

    @classmethod
    def get(cls, base: Path, folder: Path) -> "Oldest":
        """Make the environment if it is not there, of the Python ``base``; unpack a wheel in ``folder``."""
        site = folder / "site"
        with zipfile.ZipFile(built("wheel", CHECKOUT, folder / "wheel")) as archive:
            archive.extractall(site)
        (data,) = site.glob("*.data/data")
        env = {
            "PYTHONPATH": str(site),
            "JUPYTER_PATH": str(data / "share/jupyter"),
            "JUPYTER_CONFIG_PATH": str(data / "etc/jupyter"),
        }
        return cls(_environment(base), env)


def _environment(base: Path) -> Path:
    lines = "\n".join(floors())
    key = hashlib.sha256(f"{sys.version}\n{base}\n{lines}".encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sandcell-tests"
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / f"oldest-{key}"
    ready = place / "ready"
    with open(cache / "oldest.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            for old in cache.glob("oldest-*"):
                shutil.rmtree(old)
            _make(base, place, lines)
            ready.touch()
    return place / "bin/python"


def _make(base: Path, place: Path, lines: str) -> None:
    python = str(place / "bin/python")
    uv = shutil.which("uv")
    if uv:
        make, fill = [uv, "venv", "--python", str(base)], [uv, "pip", "install", "--python", python]
    else:
        make, fill = [str(base), "-m", "venv"], [python, "-m", "pip", "install", "--prefer-binary"]
    requirements = place / "requirements.txt"
    for command in ([*make, str(place)], [*fill, "--quiet", "-r", str(requirements)]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["?"]
            pytest.skip(f"no environment with the oldest packages: {last[0]}")
        requirements.write_text(lines)
