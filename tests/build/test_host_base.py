"""``FROM host`` for real: made of this machine, unpacked, entered."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell.runtime.build.host_base import BASE_LABEL, host_image
from sandcell.runtime.build.host_tree import NORMAL_TIME
from sandcell.runtime.build.image_files import ImageFiles, LayerBlob
from sandcell.runtime.errors import ImageNotFound
from sandcell.runtime.layer.tree import Entry
from sandcell.runtime.linux.idmap import HOST
from sandcell.runtime.oci.image import Image
from sandcell.runtime.store import Store
from tests.plain_user import PlainUser

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("host")
    yield Store(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def image(store: Store) -> Image:
    return host_image(store)


def files_of(store: Store, image: Image) -> ImageFiles:
    return ImageFiles(store, [LayerBlob(layer.descriptor, layer.diff_id) for layer in image.layers], {})


@pytest.fixture(scope="module")
def entries(store: Store, image: Image) -> dict[str, Entry]:
    return files_of(store, image).tree.entries


def test_it_is_made_once(store: Store, image: Image) -> None:
    before = sorted(store.blobs.list())
    assert host_image(store).digest == image.digest
    assert sorted(store.blobs.list()) == before
    assert store.image("host").digest == image.digest


def test_it_is_made_again_when_its_layer_is_gone(store: Store, image: Image) -> None:
    store.blobs.delete(image.layers[0].descriptor.digest)
    assert host_image(store).digest == image.digest
    assert store.blobs.has(image.layers[0].descriptor.digest)


def test_an_unchanged_host_gives_one_digest(image: Image, tmp_path: Path) -> None:
    assert host_image(Store(tmp_path)).digest == image.digest


@pytest.mark.rootless
def test_another_user_gets_the_same_image(plain_user: PlainUser, tmp_path: Path) -> None:
    """With a Python that both may read: the system's."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    system = f"/usr/bin/{Path(sysconfig.get_path('stdlib')).name}"
    if not Path(system).exists():
        pytest.skip(f"there is no {system}")
    script = (
        "import sys; from sandcell.runtime.store import Store;"
        "from sandcell.runtime.build.host_base import host_image;"
        "print(*(host_image(Store(sys.argv[1]), one).digest for one in ('latest', 'tiny')))"
    )
    home = plain_user.directory("host-store")
    plain = subprocess.run(
        plain_user.command(system, "-c", script, str(home)),
        env=plain_user.environment(),
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert plain.returncode == 0, plain.stderr
    path = ":".join(one for one in sys.path if one)
    mine = subprocess.run(
        [system, "-B", "-c", script, str(tmp_path)], env={"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert plain.stdout == mine.stdout, mine.stderr


def test_tiny_is_a_shell_and_core_tools(store: Store) -> None:
    tiny = host_image(store, "tiny")
    entries = files_of(store, tiny).tree.entries
    names = {path.rpartition("/")[2] for path in entries}
    assert {"sh", "ls", "cat", "mkdir", "welcome", "passwd"} <= names
    assert not [name for name in names if name.startswith("python")]
    assert sum(entry.size for entry in entries.values()) < 40_000_000
    assert tiny.config.config.cmd == ("sh",)


def test_there_is_no_third_kind(store: Store) -> None:
    with pytest.raises(ImageNotFound, match="no such host image"):
        host_image(store, "huge")


def test_the_settings(image: Image) -> None:
    config = image.config.config
    assert config.labels == {BASE_LABEL: "host"}
    assert config.environment["PATH"].startswith("/usr/local/sbin:/usr/local/bin:")
    assert config.cmd in (("bash",), ("sh",))
    (told,) = image.config.history
    assert told.created_by == "FROM host"


def test_it_is_neither_small_nor_huge(entries: dict[str, Entry]) -> None:
    total = sum(entry.size for entry in entries.values())
    assert 30_000_000 < total < 200_000_000


def test_nothing_private_is_in_it(entries: dict[str, Entry]) -> None:
    for path in entries:
        name = path.rpartition("/")[2]
        assert name not in ("site-packages", "dist-packages", "pip.conf", "sitecustomize.py", "shadow")
        assert not name.endswith((".pth", ".a", ".o"))
    assert {path for path in entries if path.startswith(("root/", "home/"))} == {
        "root/.bashrc",
        "home/learner",
        "home/learner/.bashrc",
    }
    assert not [path for path in entries if path.startswith("etc/hosts")]
    assert {entry.kind for entry in entries.values()} == {"file", "dir", "symlink"}


def test_everything_is_normal(entries: dict[str, Entry]) -> None:
    assert {entry.mtime for entry in entries.values()} == {NORMAL_TIME}
    owned = {path for path, entry in entries.items() if (entry.uid, entry.gid) != (0, 0)}
    assert owned == {"home/learner", "home/learner/.bashrc"}
    assert {entry.mode for entry in entries.values() if entry.kind == "file"} == {0o644, 0o755}
    assert entries["tmp"].mode == 0o1777
    assert entries["root"].mode == 0o700


def test_its_bytecode_is_never_checked(store: Store, image: Image, entries: dict[str, Entry]) -> None:
    compiled = [path for path in entries if path.endswith(".pyc")]
    sources = [path for path in entries if path.endswith(".py")]
    assert len(compiled) >= len(sources) - 5
    heads = {data[4:8] for _, data in files_of(store, image).contents(compiled)}
    assert heads == {b"\1\0\0\0"}


def test_links_lead_to_something(entries: dict[str, Entry]) -> None:
    from sandcell.runtime.build.image_files import resolve

    dangling = [
        path
        for path, entry in entries.items()
        if entry.kind == "symlink" and resolve(entries, path) not in entries
    ]
    assert dangling == []


CHECK = r"""
import asyncio, ctypes, hashlib, json, lzma, sqlite3, ssl, sys, zlib, bz2, decimal, multiprocessing, socket
import email, http.client, subprocess, tempfile, threading, unittest, urllib.request, uuid, venv
import xml.etree.ElementTree

assert sqlite3.connect(":memory:").execute("select 1+1").fetchone() == (2,)
assert not [path for path in sys.path if "packages" in path]
assert asyncio.run(asyncio.sleep(0, "done")) == "done"
assert ssl.create_default_context().cert_store_stats()["x509_ca"] > 0 or len(sys.argv) > 1
assert json.__cached__ and json.loads.__code__.co_filename == json.__file__
assert subprocess.run(["sh", "-c", "exit 3"]).returncode == 3
thread = threading.Thread(target=print, args=("threads work",))
thread.start()
thread.join()
print(sys.prefix)
"""
PIPELINE = (
    "echo hello brave new world | tr ' ' '\\n' | grep -v brave | sed s/hello/bye/ | awk '{n++; print n, $1}'"
    " | sort -r | head -n 1; cd /tmp && echo x > f && tar czf a.tgz f && rm f && tar xzf a.tgz && cat f;"
    " find /etc -name 'pass*'; id -un; ls /proc >/dev/null && ps ax >/dev/null; . /etc/os-release; echo $ID"
)


@pytest.fixture(scope="module")
def root(store: Store, image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The image's files on disk, a copy: whoever enters may write."""
    if os.geteuid() != 0:
        pytest.skip("only root can enter files on disk without making a container")
    (snapshot,) = store.snapshots.ensure(image, HOST, "trusted")
    folder = tmp_path_factory.mktemp("root")
    subprocess.run(["cp", "-a", f"{snapshot.path}/.", folder], check=True)
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def inside(root: Path, image: Image, *argv: str, uid: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a program with ``root`` as its root, in a mount namespace of its own."""
    script = (
        f"mount -t proc proc {root}/proc && mount --bind /dev {root}/dev && cd {root} &&"
        f' exec chroot --userspec={uid}:{uid} --groups= {root} "$@"'
    )
    command = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", *argv]
    return subprocess.run(
        command, env=image.config.config.environment, capture_output=True, text=True, check=False
    )


@pytest.mark.kernel
@pytest.mark.parametrize("uid", [0, 1000])
def test_python_works_inside(uid: int, root: Path, image: Image) -> None:
    has_authorities = "SSL_CERT_FILE" in image.config.config.environment
    arguments = () if has_authorities else ("without",)
    done = inside(root, image, "python3", "-c", CHECK, *arguments, uid=uid)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("threads work\n/usr")


@pytest.mark.kernel
@pytest.mark.parametrize(("uid", "name"), [(0, "root"), (1000, "learner")])
def test_a_shell_works_inside(uid: int, name: str, root: Path, image: Image) -> None:
    done = inside(root, image, "sh", "-ec", PIPELINE, uid=uid)
    assert done.stderr == ""
    assert done.stdout == f"3 world\nx\n/etc/passwd\n{name}\nsandcell-host\n"
    (root / "tmp" / "f").unlink()
    (root / "tmp" / "a.tgz").unlink()


@pytest.mark.kernel
def test_nothing_is_compiled_or_written_inside(root: Path, image: Image) -> None:
    def compiled() -> list[tuple[str, int]]:
        return sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*.pyc"))

    before = compiled()
    inside(root, image, "python3", "-c", CHECK)
    assert compiled() == before
    done = inside(root, image, "python3", "-v", "-c", "import json.tool, asyncio, email.mime.text")
    loaded = [line for line in done.stderr.splitlines() if line.startswith("# code object from")]
    assert loaded
    assert [line for line in loaded if not line.endswith(".pyc'")] == []


@pytest.mark.kernel
def test_every_program_finds_its_libraries(root: Path, image: Image, entries: dict[str, Entry]) -> None:
    """The image's own loader says so, and it has no cache to help it."""
    programs = [
        f"/{path}"
        for path, entry in entries.items()
        if entry.mode == 0o755 and entry.kind == "file" and "/bin/" in path
    ]
    done = inside(
        root, image, "sh", "-c", 'for one; do ldd "$one" 2>&1 | sed "s|^|$one: |"; done', "sh", *programs
    )
    assert [line for line in done.stdout.splitlines() if "not found" in line] == []
    assert "libc.so" in done.stdout or "musl" in done.stdout


@pytest.mark.kernel
def test_a_prompt_and_a_welcome(root: Path, image: Image) -> None:
    assert inside(root, image, "sh", "-ic", "echo $PS1; pwd").stdout == "sandcell:$PWD#\n/\n"
    assert inside(root, image, "cat", "/welcome").stdout.startswith("You are inside a container.\n")
