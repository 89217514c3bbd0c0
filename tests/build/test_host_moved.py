"""``FROM host`` with a Python as conda and uv have it: in any folder, its libraries found beside it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell.runtime.build.elf import Loader, read
from sandcell.runtime.build.host_python import Interpreter
from sandcell.runtime.build.image_files import ImageFiles, LayerBlob
from sandcell.runtime.linux.idmap import HOST
from sandcell.runtime.store import Store

pytestmark = pytest.mark.slow

SCRIPT = (
    "import sys; from sandcell.runtime.store import Store;"
    "from sandcell.runtime.build.host_base import host_image; host_image(Store(sys.argv[1]))"
)
OWN = ("libsqlite3.so.0", "libffi.so.8", "libz.so.1")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that such a Python made its host image in."""
    running = Interpreter.running()
    facts = read(running.executable)
    old = f"{running.prefix}/lib"
    if facts is None or old not in (*facts.runpath, *facts.rpath):
        pytest.skip("the running Python has no library path that could be made a relative one")
    folder = tmp_path_factory.mktemp("moved")
    prefix = folder / "home" / "miniconda3"
    (prefix / "bin").mkdir(parents=True)
    left_out = shutil.ignore_patterns("site-packages", "test", "tests", "idlelib", "config-*", "tkinter")
    shutil.copytree(running.library, prefix / "lib" / running.name, ignore=left_out)
    shutil.copy(running.executable, prefix / "bin" / running.name)
    for library in Path(old).glob("libpython*.so.*"):
        shutil.copy(library, prefix / "lib")
    for program in (prefix / "bin" / running.name, *prefix.glob("lib/*/lib-dynload/*.so")):
        there = os.path.relpath(prefix / "lib", program.parent)
        new = b"$ORIGIN/" + there.encode()
        data = program.read_bytes()
        program.write_bytes(data.replace(os.fsencode(old) + b"\0", new.ljust(len(old), b"\0") + b"\0"))
    found, _ = Loader.of_host().closure(map(str, prefix.glob("lib/*/lib-dynload/*.so")))
    for library in found:
        if library.name in OWN:
            shutil.copy(os.path.realpath(library.path), prefix / "lib" / library.name)
    path = ":".join(one for one in sys.path if one)
    command = [str(prefix / "bin" / running.name), "-B", "-c", SCRIPT, str(folder / "store")]
    done = subprocess.run(command, env={"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    yield Store(folder / "store")
    shutil.rmtree(folder)


def test_it_stands_in_usr_local_with_its_own_libraries(store: Store) -> None:
    image = store.image("host")
    layers = [LayerBlob(layer.descriptor, layer.diff_id) for layer in image.layers]
    entries = ImageFiles(store, layers, {}).tree.entries
    name = Interpreter.running().name
    assert entries[f"usr/local/bin/{name}"].kind == "file"
    assert entries["usr/local/bin/python3"].link == name
    assert entries["usr/local/lib/libsqlite3.so.0"].kind == "file"
    assert not [path for path in entries if "miniconda" in path or path.endswith("-gnu/libsqlite3.so.0")]


@pytest.mark.kernel
def test_it_works_inside(store: Store) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can enter files on disk without making a container")
    (snapshot,) = store.snapshots.ensure(store.image("host"), HOST, "trusted")
    script = (
        "import ssl, sqlite3, json, lzma, asyncio, ctypes, sys; print(sys.prefix, *sys.path);"
        "print([line for line in open('/proc/self/maps') if 'sqlite3.so' in line][0].split()[-1])"
    )
    inside = f'mount -t proc proc {snapshot.path}/proc && exec chroot {snapshot.path} "$@"'
    done = subprocess.run(
        [
            "unshare",
            "-m",
            "--propagation",
            "private",
            "sh",
            "-c",
            inside,
            "sh",
            "python3",
            "-B",
            "-c",
            script,
        ],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told, library = done.stdout.splitlines()
    assert told.startswith("/usr/local ")
    assert "miniconda" not in told
    assert library == "/usr/local/lib/libsqlite3.so.0"
