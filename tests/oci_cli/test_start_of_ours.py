"""How ``sandcell-oci`` itself starts: what it imports, and which executable waits in a container."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.oci_cli.runtimes import OURS, Runtime
from tests.oci_cli.world import World

_LEAN = """
import sys
from sandcell.runtime.oci_cli import lean
lean.load()
import msgspec
class One(msgspec.Struct):
    a: int
assert msgspec.json.decode(b'{"a": 1}', type=One) == One(1)
print([name for name in ("msgspec.inspect", "msgspec.toml", "uuid", "decimal") if name in sys.modules])
import uuid
uuid.uuid4()
"""


def _python(code: str, *path: str) -> str:
    environment = {**os.environ, "PYTHONPATH": ":".join((*path, *sys.path))}
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_msgspec_comes_without_what_no_record_needs() -> None:
    assert _python(_LEAN) == "[]"


def test_a_msgspec_that_needs_more_is_imported_as_usual(tmp_path: Path) -> None:
    (tmp_path / "msgspec.py").write_text("import uuid\nmade = uuid.uuid4().hex\n")
    code = "from sandcell.runtime.oci_cli import lean; lean.load(); import msgspec; print(len(msgspec.made))"
    assert _python(code, str(tmp_path)) == "32"


def test_nothing_is_imported_from_the_directory_where_it_is_called(tmp_path: Path) -> None:
    if OURS.argv[1] == "-m":
        pytest.skip("not installed beside this interpreter")
    (tmp_path / "sandcell").mkdir()
    (tmp_path / "sandcell/__init__.py").write_text("print('mine')")
    done = subprocess.run([*OURS.argv, "--version"], capture_output=True, text=True, timeout=30, cwd=tmp_path)
    assert done.stdout.startswith("sandcell-oci version"), done.stderr


def test_the_script_finds_us_beside_its_interpreter_and_through_a_link(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "runtime/oci_cli/sandcell-oci"
    packages = tmp_path / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    packages.mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    (tmp_path / "bin/sandcell-oci").write_text(script.read_text())
    (tmp_path / "bin/sandcell-oci").chmod(0o755)
    (tmp_path / "link").symlink_to("bin/sandcell-oci")
    (packages / "sandcell").symlink_to(Path(__file__).parents[2] / "sandcell")
    (packages / "msgspec").symlink_to(Path(msgspec.__file__).parent)
    done = subprocess.run([tmp_path / "link", "--version"], capture_output=True, text=True, timeout=30)
    assert done.stdout.startswith("sandcell-oci version"), done.stderr


@pytest.mark.parametrize("argv", [OURS.argv, (sys.executable, "-m", "sandcell.runtime.oci_cli")])
def test_what_waits_in_a_container_is_no_file_that_it_could_write(
    ours: Runtime, tmp_path: Path, argv: tuple[str, ...]
) -> None:
    world = World(tmp_path, Runtime("sandcell-oci", argv))
    try:
        world.create("waits", "/bin/true")
        place = f"/proc/{world.status('waits')['pid']}/exe"
        seen, mine = os.stat(place), os.stat(sys.executable)
        read_only = os.statvfs(place).f_flag & os.ST_RDONLY
        assert read_only or (seen.st_dev, seen.st_ino) != (mine.st_dev, mine.st_ino)
    finally:
        world.close()
