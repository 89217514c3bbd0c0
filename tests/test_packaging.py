"""The three ways to install give the same importable package, with the real files behind the links."""

import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent

# What is run where the package is installed: only there and in site-packages is looked for it.
LOAD = """
import sys
place = sys.argv[1]
sys.path[:0] = [place]
import site
site.addsitedir(place)
import sandcell
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "sandcell")
assert "image" in shell.magics_manager.magics["cell"], shell.magics_manager.magics["cell"]
from sandcell import Engine, Options, SandcellError
print(sandcell.__file__)
"""


def built(kind: str, source: Path, target: Path) -> Path:
    """What the build backend makes of ``source``; no network is needed."""
    program = f"import sys, hatchling.build as b; print(b.build_{kind}(sys.argv[1]))"
    target.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program, target], cwd=source, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return target / done.stdout.split()[-1]


def installed(wheel: Path, place: Path) -> Path:
    """Where the package is found after ``wheel`` has been unpacked into ``place`` and loaded."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    site = sysconfig.get_path("purelib")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({site!r})\n{LOAD}", place],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.split()[-1])


def modules(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.py")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", CHECKOUT, tmp_path_factory.mktemp("wheel") / "out")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("sdist", CHECKOUT, tmp_path_factory.mktemp("sdist") / "out")


@pytest.mark.slow
def test_wheel(wheel: Path, tmp_path: Path) -> None:
    assert installed(wheel, tmp_path / "site") == tmp_path / "site" / "sandcell" / "__init__.py"
    for room in ("runtime", "magics"):
        assert modules(tmp_path / "site" / "sandcell" / room) == modules(CHECKOUT / room)
    assert (tmp_path / "site" / "sandcell" / "py.typed").is_file()
    lessons = {path.name for path in (CHECKOUT / "notebooks").glob("*.ipynb")}
    assert {path.name for path in (tmp_path / "site" / "sandcell" / "notebooks").glob("*.ipynb")} == lessons
    (data,) = (tmp_path / "site").glob("sandcell-*.data")
    for file in (
        "data/etc/jupyter/jupyter_server_config.d/sandcell.json",
        "data/share/jupyter/labextensions/sandcell/package.json",
        "scripts/sandcell-oci",
    ):
        assert (data / file).is_file()
    assert not (tmp_path / "site" / "runtime").exists()
    (info,) = (tmp_path / "site").glob("sandcell-*.dist-info")
    assert "BSD 3-Clause" in (info / "licenses" / "LICENSE").read_text()
    assert "sandcell = sandcell.runtime.cli:entry" in (info / "entry_points.txt").read_text()


@pytest.mark.slow
def test_sdist_and_the_wheel_from_it(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        # Debian 12's Python has no filters yet; the archive is our own.
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert (source / "tests" / "test_packaging.py").is_file()
    again = built("wheel", source, tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert set(one.namelist()) == set(other.namelist())
    assert installed(again, tmp_path / "site").is_relative_to(tmp_path)


@pytest.mark.slow
def test_editable(tmp_path: Path) -> None:
    wheel = built("editable", CHECKOUT, tmp_path / "wheel")
    assert installed(wheel, tmp_path / "site") == CHECKOUT / "sandcell" / "__init__.py"
