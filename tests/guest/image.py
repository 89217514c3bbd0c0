"""The disk of the guest: a small Debian with systemd and its kernel, made once and kept in the cache.

Nothing of it is installed on the machine, and nothing is mounted: mmdebstrap(1) fills a directory in
a mount namespace of its own, mke2fs(8) copies it into a file.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

# The guest runs this interpreter's compiled packages, so its Python must be of the same version.
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd"),
    *("python3", "uidmap", "kmod", "apparmor"),
)
TOOLS = ("qemu-system-x86_64", "mmdebstrap", "mke2fs", "unshare", "dpkg-deb")

# The first program of the guest: what differs from one run to the next is on the second disk.
_BEGIN = """#!/bin/sh
mount -t devtmpfs devtmpfs /dev
mount -t ext4 -o ro /dev/nvme0n2 /srv
exec sh /srv/checkout/tests/guest/begin.sh
"""
_KERNEL = """
cd "$1/root"
chroot "$1" sh -c 'cd /root && apt-get -qq download "$(apt-cache depends linux-image-cloud-amd64 |
    sed -n "s/ *Depends: //p")"'
dpkg-deb --extract linux-image-*.deb .
mkdir -p "$1/usr/lib/modules"
mv boot/vmlinuz-* "$1/../kernel"
mv lib/modules/* "$1/usr/lib/modules/"
chroot "$1" depmod "$(basename "$1"/usr/lib/modules/*)"
rm -r ./*
"""


class Unavailable(Exception):
    """There can be no guest here; the text says why."""


class Disk(msgspec.Struct, frozen=True):
    """The kernel, and the file that is the root disk."""

    kernel: Path
    root: Path


def cache() -> Path:
    """``$XDG_CACHE_HOME/sandcell-guest``, or the same below ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sandcell-guest"


def ensure(folder: Path) -> Disk:
    """The disk in ``folder``, made when it is not there yet (a minute, 300 MB).

    It appears by renaming, so it is whole or absent; who comes meanwhile waits. ``Unavailable``.
    """
    suite = SUITES.get(sys.version_info[:2])
    if suite is None:
        raise Unavailable(f"no Debian has Python {sys.version_info.major}.{sys.version_info.minor}")
    if os.uname().machine != "x86_64":
        raise Unavailable(f"the guest's packages are for x86_64, not for {os.uname().machine}")
    if os.geteuid() != 0:
        raise Unavailable("only root can make the guest's files")
    for tool in TOOLS:
        if not shutil.which(tool):
            raise Unavailable(f"{tool} is not installed (./dev test installs it as root)")
    recipe = hashlib.sha256(Path(__file__).read_bytes() + suite.encode()).hexdigest()[:16]
    place = folder / recipe
    disk = Disk(place / "kernel", place / "root.img")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            for older in folder.iterdir():
                if older.is_dir():
                    shutil.rmtree(older)
            with tempfile.TemporaryDirectory(dir=folder) as draft:
                _make(suite, Path(draft))
                shutil.rmtree(Path(draft, "tree"))
                os.rename(draft, place)
                os.mkdir(draft)  # for the context manager to remove
    return disk


def _make(suite: str, draft: Path) -> None:
    tree = draft / "tree"
    hook = draft / "hook"
    hook.write_text("set -eu\n" + _KERNEL)
    _run(
        *("unshare", "--mount", "--propagation", "private", "mmdebstrap", "--quiet", "--mode=root"),
        *("--variant=minbase", f"--include={','.join(PACKAGES)}"),
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")),
        *(f'--customize-hook=sh {hook} "$1"', suite, str(tree)),
    )
    hook.unlink()
    for path, mode, text in (
        ("usr/sbin/begin", 0o755, _BEGIN),
        ("etc/subuid", 0o644, "learner:100000:65536\n"),
        ("etc/subgid", 0o644, "learner:100000:65536\n"),
    ):
        file = tree / path
        file.write_text(text)
        file.chmod(mode)
    _run("chroot", str(tree), "useradd", "--create-home", "--uid", "1000", "learner")
    image(tree, draft / "root.img", spare=64 << 20)


def image(tree: Path, target: Path, *, spare: int) -> None:
    """A file system with the files of ``tree``, and ``spare`` bytes more, in the file ``target``."""
    used = sum(-(-path.lstat().st_size // 4096) * 4096 + 512 for path in (tree, *tree.rglob("*")))
    size = (used * 11 // 10 + spare) >> 20
    _run(
        *("mke2fs", "-q", "-t", "ext4", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1"),
        *("-d", str(tree), str(target), f"{size}M"),
    )


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        faults = [line for line in said if line.startswith("E:")] or said[-3:]
        raise Unavailable(f"{argv[0]} {argv[-1]} failed: {' '.join(faults)}")
