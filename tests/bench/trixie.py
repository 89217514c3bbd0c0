"""The newest peers: those of Debian's next release, unpacked into a root directory of their own.

Made once (20 s, 370 MB) and kept in the cache directory; nothing of it is installed on the machine.
"""

import fcntl
import os
import shutil
import subprocess
import zlib
from pathlib import Path

from tests.bench.place import Unavailable

PACKAGES = ("bubblewrap", "buildah", "ca-certificates", "crun", "nftables", "podman", "runc")
_LINKS = ("bin", "lib", "lib64", "sbin")


def cache() -> Path:
    """``$XDG_CACHE_HOME/sandcell-bench``, or the same below ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sandcell-bench"


def ensure(folder: Path) -> Path:
    """The root directory ``folder/trixie-…``, named after its packages; made by mmdebstrap(1) when it is
    not there yet.

    It appears by renaming, so it is whole or absent; concurrent callers make one. Raises Unavailable.
    """
    root = folder / f"trixie-{zlib.crc32(' '.join(PACKAGES).encode()):08x}"
    if root.is_dir():
        return root
    if os.geteuid() != 0:
        raise Unavailable("needs root")
    if not shutil.which("mmdebstrap"):
        raise Unavailable("mmdebstrap is not installed (apt-get install mmdebstrap)")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if root.is_dir():
            return root
        unfinished = folder / f"{root.name}.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        _unpack(unfinished)
        _complete(unfinished)
        unfinished.rename(root)
    return root


def _unpack(target: Path) -> None:
    """Packages and what they depend on, unpacked only: no maintainer script runs, so nothing is mounted
    or started."""
    print(f"unpacking {', '.join(PACKAGES)} of Debian trixie into {target} …", flush=True)
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=extract", f"--include={','.join(PACKAGES)}"]
    done = subprocess.run([*command, "trixie", target], capture_output=True, text=True, check=False)
    if done.returncode:
        said = [text for text in done.stderr.splitlines() if text.startswith("E:")] or ["no reason given"]
        raise Unavailable(f"mmdebstrap failed, {said[0]}")


def _complete(root: Path) -> None:
    """What maintainer scripts would have made: the links of the merged /usr, mount points, two users."""
    for name in _LINKS:
        if not (root / name).exists() and (root / "usr" / name).is_dir():
            (root / name).symlink_to(f"usr/{name}")
    for name in ("proc", "sys", "dev", "run", "root", "tmp"):
        (root / name).mkdir(exist_ok=True)
    (root / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/usr/sbin/nologin\n"
    )
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
