"""``%image files | diff | waste | du | prune | ls --filter`` in an IPython shell, over a real store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell import Engine
from sandcell.runtime.errors import InvalidOption
from tests.engine.test_looks import BASE, file, gone, make
from tests.magics.conftest import Notebook


class Looked(Engine):
    """A real engine in the place of the fake one; it runs nothing."""

    runs = ()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Looked]:
    with Looked(tmp_path / "home", tmp_path / "run") as engine:
        make(engine, "old", BASE, labels={"tier": "a"})
        make(engine, "new", BASE, [gone("d/gone"), file("e", b"e" * 2000)])
        yield engine


def test_files(notebook: Notebook) -> None:
    assert "/d/kept" in notebook("%image files old").text
    ran = notebook("%image files new --layer 2")
    assert "- /d/gone" in ran.text
    assert "+ /e" in ran.text
    assert "100 B of the layers below" in ran.html
    assert isinstance(notebook("%image files new --layer two").error, InvalidOption)


def test_diff(notebook: Notebook) -> None:
    assert notebook("%image diff old new").text.splitlines() == [
        "difference old → new: +1 ~0 -1",
        "- /d/gone",
        "+ /e",
    ]
    assert "equal" in notebook("%image diff old old").text


def test_waste_and_use(notebook: Notebook) -> None:
    assert "deleted" in notebook("%image waste new").text
    assert "95.3 % efficient" in notebook("%image waste new").text
    assert "old:latest" in notebook("%image du").text


def test_ls_filters(notebook: Notebook) -> None:
    ran = notebook("%image ls --filter label=tier=a")
    assert "old:latest" in ran.text
    assert "new:latest" not in ran.text
    assert len(notebook("%image ls -q").out.split()) == 2


def test_prune_only_with_f(notebook: Notebook, engine: Looked) -> None:
    lost = make(engine, "", [file("lost", b"")])
    assert "%image prune -f" in notebook("%image prune").text
    assert "%image prune -f" in notebook("%image prune -n -f").text
    assert engine.store.store.blobs.has(lost.digest)
    assert "deleted" in notebook("%image prune -f").text
    assert not engine.store.store.blobs.has(lost.digest)


def test_import(notebook: Notebook, engine: Looked, tmp_path: Path) -> None:
    import io
    import tarfile

    with tarfile.open(tmp_path / "root.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("hello")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"hi"))
    ran = notebook(f"%image import {tmp_path}/root.tar.gz mine --change 'CMD [\"/hello\"]'")
    assert ran.error is None
    assert engine.image("mine").config.config.cmd == ("/hello",)
    ran = notebook(f"%image import {tmp_path}/root.tar.gz far --platform linux/s390x -m 'from afar'")
    assert ran.error is None
    assert str(engine.image("far").platform) == "linux/s390x"
    assert engine.image("far").config.history[0].comment == "from afar"
