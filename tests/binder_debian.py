"""A Debian's root with the environment of ``binder/environment.yml``, kept for later runs. No assertions.

It is what repo2docker has before it runs ``postBuild``, but with Debian's Python where that takes conda's.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
import tomllib
from pathlib import Path

import pytest

import sandcell

CHECKOUT = Path(sandcell.__file__).resolve().parents[1]
PREFIX = "/srv/conda/envs/notebook"
HOME = "/home/jovyan"
UID = 1000
_PACKAGES = "python3,python3-venv,mount,procps"
_FILL = f"""
set -eu
cd "$1"
shift
for name in etc/resolv.conf etc/ssl etc/pip.conf etc/xdg/pip opt; do
    [ -e "/$name" ] || continue
    if [ -d "/$name" ]; then mkdir -p "$name"; else : >>"$name"; fi
    mount --bind "/$name" "$name"
done
mount -t proc proc proc
chroot . sh -euc '
    echo "jovyan:x:{UID}:{UID}::{HOME}:/bin/bash" >>/etc/passwd
    echo "jovyan:x:{UID}:" >>/etc/group
    echo "127.0.0.1 localhost" >/etc/hosts
    mkdir -p mnt {HOME} {PREFIX}
    python3 -m venv {PREFIX}
    {PREFIX}/bin/pip install --quiet --no-cache-dir "$@"
    chown -R {UID}:{UID} {HOME} /srv/conda
' sh "$@"
"""


def wanted() -> list[str]:
    """What the environment has: the lines of ``environment.yml`` that conda answers there, and all that
    ``pip install -e ..[lab]`` brings but this project itself."""
    text = (CHECKOUT / "binder/environment.yml").read_text()
    listed = re.findall(r"^  - ([\w-]+[<>=].*)$", text, re.MULTILINE)
    with open(CHECKOUT / "pyproject.toml", "rb") as file:
        told = tomllib.load(file)
    project, build = told["project"], told["build-system"]["requires"]
    ours = [line for line in listed if not line.startswith("python=")]
    return sorted({*ours, *project["dependencies"], *project["optional-dependencies"]["lab"], *build})


def debian() -> Path:
    """The root's folder. It is made when it is not there, which takes a minute and Debian's packages."""
    lines = wanted()
    release = _release()
    key = hashlib.sha256("\n".join([release, _PACKAGES, _FILL, *lines]).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sandcell-tests"
    cache.mkdir(parents=True, exist_ok=True)
    root = cache / f"binder-{key}"
    with open(cache / "lock-binder", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            half = cache / f"binder-{key}.half"
            for old in cache.glob("binder-*"):
                # One that is younger may be in use by another checkout.
                if old.suffix or time.time() - old.stat().st_mtime > 86_400:
                    shutil.rmtree(old)
            _make(half, release, lines)
            half.rename(root)
    return root


def _release() -> str:
    found = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    return found[1] if found else "stable"


def _make(root: Path, release: str, lines: list[str]) -> None:
    without = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "locale", "man")]
    bootstrap = ["mmdebstrap", "--quiet", "--variant=apt", f"--include={_PACKAGES}", *without]
    fill = ["unshare", "-m", "--propagation", "private", "sh", "-c", _FILL, "sh"]
    for command in ([*bootstrap, release, str(root)], [*fill, str(root), *lines]):
        done = subprocess.run(
            ["timeout", "220", *command], stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            pytest.skip(f"no Debian could be made for a Binder: {command[0]}: {last[0]}")
