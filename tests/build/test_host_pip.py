"""``FROM host:pip``: pip of this Python, working inside without a network."""

from pathlib import Path

import msgspec
import pytest

from sandcell import Engine
from sandcell.runtime.build import host_pip
from sandcell.runtime.build.elf import Loader
from sandcell.runtime.build.host_python import Interpreter
from sandcell.runtime.build.host_tree import HostTree
from sandcell.runtime.errors import HostRefused

_HAS_WHEELS = bool(host_pip._wheels(Interpreter.running()))
_OFFLINE = """
set -e
pip --version
python3 -c 'import ensurepip, pip; print(ensurepip.version()); print(pip.__cached__)'
ls "$(python3 -c 'import pip; print(pip.__cached__)')"
"""


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.timeout(300)
@pytest.mark.skipif(not _HAS_WHEELS, reason="this Python came without the wheels of ensurepip")
def test_pip_works_inside_without_a_network(tmp_path: Path) -> None:
    with Engine(tmp_path / "home", tmp_path / "run") as engine:
        result = engine.run("host:pip", ("sh", "-c", _OFFLINE))
        assert result.status == 0, result
        told, version, bytecode, there = result.text.splitlines()
        assert told.startswith(f"pip {version} from /usr/")
        assert bytecode == there
        assert engine.image("host:pip").digest == engine.image("host:pip").digest
        engine.remove(result.container)


def test_a_python_without_pip_says_what_to_install(tmp_path: Path) -> None:
    bare = msgspec.structs.replace(Interpreter.running(), library=str(tmp_path))
    tree = HostTree()
    if host_pip._wheels(bare):
        pytest.skip("the distribution keeps the wheels elsewhere")
    try:
        host_pip.add_pip(tree, Loader.of_host(), bare)
    except HostRefused as error:
        assert error.object == "host:pip"
        assert "pip" in error.cause
        assert error.hint
    else:
        assert "/usr/local/bin/pip" in tree  # of the pip that is installed beside the tests


def test_the_newest_wheel_is_taken() -> None:
    names = [
        "/x/pip-9.0.3-py3-none-any.whl",
        "/x/pip-23.2.1-py3-none-any.whl",
        "/x/pip-23.10-py3-none-any.whl",
    ]
    assert max(names, key=host_pip._version) == names[2]
