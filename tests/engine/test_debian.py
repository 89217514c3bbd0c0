"""A real Debian, in which packages are installed by a build: as root, and as a plain user with one id and
with many. The packages come from an archive made here and served on loopback."""

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell.runtime import Engine
from sandcell.runtime.linux.host import Host
from tests.engine import apt_archive
from tests.plain_user import PlainUser

ROOT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "sandcell-tests", "debian.tar")

_BUILD = """
import os, sys
from sandcell.runtime import Engine
home, line = sys.argv[1:]
with Engine(home + "/home", home + "/run") as engine:
    engine.build("FROM scratch\\nADD debian.tar /\\n", name="debian", context=home)
    text = f'''
FROM debian
RUN rm -f /etc/apt/sources.list.d/*; echo '{line}' > /etc/apt/sources.list
RUN apt-get update && apt-get install -y marked
'''
    heard = []
    def listen(event):
        if hasattr(event, "data"): heard.append(event.data)
    try:
        engine.build(text, name="marked", on_event=listen)
    except Exception:
        sys.exit(b"".join(heard).decode())
    engine.save(["marked"], home + "/marked.tar")
    print(engine.run("marked", ("cat", "/var/lib/marked/as")).text.strip(), engine.idmap.single)
"""

_OWNERS = {
    "usr/bin/marked": (0, 8, 0o2755),
    "var/lib/marked": (100, 101, 0o755),
    "var/log/marked": (100, 4, 0o2750),
    "usr/share/marked/data": (0, 0, 0o644),
    "etc/marked.conf": (0, 0, 0o644),
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not ROOT.exists():
        pytest.skip("there is no small Debian here (./dev test makes one as root, with mmdebstrap)")
    with apt_archive.serving(apt_archive.make(tmp_path_factory.mktemp("apt"))) as line:
        yield line


def owners(saved: Path) -> dict[str, tuple[int, int, int]]:
    """Owners and modes in the last layer of a saved image."""
    with Engine(saved.parent / "look", saved.parent / "look-run") as engine:
        engine.load(saved)
        layer = engine.image("marked").manifest.layers[-1].digest
        path = engine.store.store.blobs.path(layer)
        with tarfile.open(path) as tar:
            return {member.name: (member.uid, member.gid, member.mode) for member in tar}


def check(home: Path, printed: str, *, single: bool) -> None:
    """What the build must have made."""
    assert printed.split() == ["100", str(single)]
    found = owners(home / "marked.tar")
    assert {path: found.get(path) for path in _OWNERS} == _OWNERS


@pytest.mark.rootless
@pytest.mark.slow
@pytest.mark.peer("dpkg-deb")
@pytest.mark.parametrize(
    "ranges",
    [pytest.param(False, id="one id"), pytest.param(True, id="ids", marks=pytest.mark.peer("newuidmap"))],
)
def test_a_plain_user_installs_packages(plain_user: PlainUser, archive: str, ranges: bool) -> None:
    home = plain_user.directory(f"debian-{ranges}")
    shutil.copyfile(ROOT, home / "debian.tar")
    (home / "debian.tar").chmod(0o644)
    printed = plain_user.run(_BUILD, str(home), archive, ranges=ranges, timeout=110)
    check(home, printed, single=not ranges)


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.peer("dpkg-deb")
def test_root_installs_packages(tmp_path: Path, archive: str, host: Host) -> None:
    if host.rung != "root":
        pytest.skip(f"this user has the rung {host.rung}")
    shutil.copyfile(ROOT, tmp_path / "debian.tar")
    argv = [sys.executable, "-c", _BUILD, str(tmp_path), archive]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    check(tmp_path, done.stdout, single=False)
