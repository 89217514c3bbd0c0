"""The running Python as files: what is carried, bytecode that nobody needs to write again."""

import importlib.util
import marshal
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from sandcell.runtime.build.host_python import Interpreter, add_python
from sandcell.runtime.build.host_tree import NORMAL_TIME, HostTree

TAG = sys.implementation.cache_tag
FILES = {
    "os.py": "import json\n",
    "json/__init__.py": "value = 1\n",
    "json/scanner.py": "def f(): return 'scanner'\n",
    "stale.py": "new = 2\n",
    "broken.py": "def (:\n",
    "test/x.py": "",
    "json/tests/x.py": "",
    "idlelib/x.py": "",
    "tkinter/__init__.py": "",
    "ensurepip/__init__.py": "",
    "site-packages/package/__init__.py": "",
    "dist-packages/package.py": "",
    "site-packages/evil.pth": "import evil",
    "sitecustomize.py": "",
    "usercustomize.py": "",
    "turtle.py": "",
    "pip.conf": "",
    "EXTERNALLY-MANAGED": "",
    "config-3/Makefile": "",
    "config-3/libpython.a": "",
    "data/table.txt": "kept",
    "lib-dynload/_json.so": "no elf",
    "lib-dynload/_tkinter.x.so": "",
    "lib-dynload/_testcapi.x.so": "",
}


@pytest.fixture
def python(tmp_path: Path) -> Interpreter:
    """A Python in a home directory, as pyenv, uv and conda have it; its program is the real one."""
    prefix = tmp_path / "home" / "py"
    running = Interpreter.running()
    library = prefix / "lib" / running.name
    for name, content in FILES.items():
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_text(content)
    facts = (
        f"build_time_vars = {{'prefix': '/build/place', 'LIBDIR': '{prefix}/lib', 'X': '/build/place/x'}}\n"
    )
    (library / "_sysconfigdata_x.py").write_text(facts)
    py_compile.compile(str(library / "os.py"))
    py_compile.compile(
        str(library / "json/__init__.py"), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    py_compile.compile(str(library / "stale.py"))
    (library / "stale.py").write_text("new = 30\n")
    return Interpreter(
        prefix=str(prefix),
        executable=running.executable,
        name=running.name,
        tag=running.tag,
        library=str(library),
        platform_library=str(library),
    )


def carried(python: Interpreter) -> HostTree:
    tree = HostTree()
    add_python(tree, python)
    return tree


def below(tree: HostTree, python: Interpreter) -> set[str]:
    top = f"usr/local/lib/{python.name}/"
    return {
        entry.path.removeprefix(top)
        for entry, _ in tree.entries()
        if entry.kind == "file" and entry.path.startswith(top)
    }


def test_packages_tests_and_settings_stay_on_the_host(python: Interpreter) -> None:
    assert {name for name in below(carried(python), python) if "__pycache__" not in name} == {
        "os.py",
        "json/__init__.py",
        "json/scanner.py",
        "stale.py",
        "broken.py",
        "data/table.txt",
        "lib-dynload/_json.so",
        "_sysconfigdata_x.py",
    }


def test_bytecode_is_carried_compiled_and_never_checked(python: Interpreter) -> None:
    tree = carried(python)
    top = f"/usr/local/lib/{python.name}"
    found = {name for name in below(tree, python) if "__pycache__" in name}
    # What cannot be compiled has no bytecode, as in any installation.
    modules = ("os", "stale", "_sysconfigdata_x", "json/__init__", "json/scanner")
    assert found == {
        f"{name.rpartition('/')[0]}/__pycache__/{name.rpartition('/')[2]}.{TAG}.pyc".lstrip("/")
        for name in modules
    }
    for name in found:
        data = tree.content(f"{top}/{name}")
        source = f"{top}/{name.replace('__pycache__/', '').replace(f'.{TAG}.pyc', '.py')}"
        assert data[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(data[4:8], "little") == 1
        assert data[8:16] == importlib.util.source_hash(tree.content(source))
        assert marshal.loads(data[16:]).co_filename == source


def test_stale_bytecode_is_made_anew(python: Interpreter) -> None:
    tree = carried(python)
    code = marshal.loads(tree.content(f"/usr/local/lib/{python.name}/__pycache__/stale.{TAG}.pyc")[16:])
    assert 30 in code.co_consts


def test_the_same_files_give_the_same_bytes_wherever_they_lie(python: Interpreter, tmp_path: Path) -> None:
    before = {
        entry.path: carried(python).content("/" + entry.path)
        for entry, _ in carried(python).entries()
        if entry.kind == "file"
    }
    moved = tmp_path / "elsewhere"
    Path(python.prefix).rename(moved)
    other = Interpreter(
        prefix=str(moved),
        executable=python.executable,
        name=python.name,
        tag=python.tag,
        library=python.library.replace(python.prefix, str(moved)),
        platform_library=python.library.replace(python.prefix, str(moved)),
    )
    facts = moved / "lib" / python.name / "_sysconfigdata_x.py"
    facts.write_text(facts.read_text().replace(python.prefix, str(moved)))
    tree = carried(other)
    assert {
        entry.path: tree.content("/" + entry.path) for entry, _ in tree.entries() if entry.kind == "file"
    } == before
    # Once more, with bytecode that was made in another place.
    assert not [path for path, content in before.items() if str(tmp_path).encode() in content]


def test_how_it_was_built_names_its_place_in_the_image(python: Interpreter) -> None:
    text = carried(python).content(f"/usr/local/lib/{python.name}/_sysconfigdata_x.py").decode()
    assert (
        text
        == "build_time_vars = {'prefix': '/usr/local', 'LIBDIR': '/usr/local/lib', 'X': '/usr/local/x'}\n"
    )


def test_what_not_everybody_may_read_stays(python: Interpreter) -> None:
    library = Path(python.library)
    (library / "secret.py").write_text("key = 1")
    (library / "secret.py").chmod(0o640)
    os.mkfifo(library / "pipe.py")
    (library / "away.py").symlink_to("/etc/passwd")
    names = below(carried(python), python)
    assert not names & {"secret.py", "pipe.py", "away.py"}


def test_a_python_of_the_system_stays_where_it_is() -> None:
    system = Interpreter(
        prefix="/usr",
        executable="/usr/bin/x",
        name="x",
        tag="x",
        library="/usr/lib/x",
        platform_library="/usr/lib64/x",
    )
    assert system.place("/usr/lib/x/os.py") == "/usr/lib/x/os.py"
    assert system.place("/elsewhere") == "/elsewhere"


@pytest.mark.slow
def test_a_virtual_environment_means_the_python_below(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "v")], check=True)
    script = (
        "from sandcell.runtime.build.host_python import Interpreter; import msgspec;"
        "print(msgspec.json.encode(Interpreter.running()).decode())"
    )
    env = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run([tmp_path / "v/bin/python", "-c", script], check=True, capture_output=True, env=env)
    assert done.stdout.strip().startswith(b"{")
    assert str(tmp_path).encode() not in done.stdout


def test_owners_modes_and_times_are_normal(python: Interpreter) -> None:
    Path(python.library, "os.py").chmod(0o604)
    Path(python.library, "json/__init__.py").chmod(0o775)
    entries = {entry.path: entry for entry, _ in carried(python).entries()}
    top = f"usr/local/lib/{python.name}"
    assert {(entry.uid, entry.gid, entry.mtime) for entry in entries.values()} == {(0, 0, NORMAL_TIME)}
    assert entries[f"{top}/os.py"].mode == 0o644
    assert entries[f"{top}/json/__init__.py"].mode == 0o755
