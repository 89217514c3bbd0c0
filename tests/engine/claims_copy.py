"""What must hold on every rung of copying files into and out of containers."""

import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandcell.runtime import Engine
from sandcell.runtime.container.options import Options
from sandcell.runtime.errors import InvalidOption, NotFound, SandcellError, WrongState
from tests.engine.claims import IMAGE, background, claim


@contextmanager
def folder() -> Iterator[Path]:
    """A directory on the host with a file, a directory and a link in it."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        (base / "tree" / "inner").mkdir(parents=True)
        (base / "tree" / "file").write_text("text\n")
        (base / "tree" / "inner" / "more").write_bytes(bytes(300_000))
        (base / "tree" / "link").symlink_to("file")
        (base / "tree" / "file").chmod(0o640)
        yield base


@contextmanager
def stopped(engine: Engine) -> Iterator[str]:
    """The id of a container that was never started."""
    made = engine.create(IMAGE, ("sleep", "1000"))
    try:
        yield made.id
    finally:
        engine.remove(made, force=True)


@claim
def files_are_copied_in_and_out_of_running_and_of_stopped_containers(engine: Engine) -> None:
    for making in (background(engine), stopped(engine)):
        with making as id, folder() as base:
            tree = str(base / "tree")
            engine.copy(f"{tree}/file", f"{id}:/named")
            engine.copy(f"{tree}/file", f"{id}:/data/")
            engine.copy(tree, f"{id}:/new")
            engine.copy(tree, f"{id}:/new")
            engine.copy(f"{tree}/.", f"{id}:/data")
            engine.copy(f"{id}:/new/tree", str(base / "back"))
            engine.copy(f"{id}:/data/.", str(base / "back"))
            engine.copy(f"{id}:/named", str(base / "back" / "other"))
            back = base / "back"
            names = sorted(str(path.relative_to(back)) for path in back.rglob("*"))
            assert names == ["file", "inner", "inner/more", "link", "other"]
            assert (back / "other").read_text() == "text\n"
            assert (back / "file").stat().st_mode & 0o777 == 0o640
            assert (back / "inner" / "more").stat().st_size == 300_000
            assert os.readlink(back / "link") == "file"
            assert {path.lstat().st_uid for path in back.rglob("*")} == {os.getuid()}
            engine.copy(f"{id}:/new/link", str(base / "followed"), follow=True)
            assert (base / "followed").read_text() == "text\n"
            if engine.container(id).state != "running":
                engine.start(id)
            seen = engine.exec(id, ("sh", "-c", "cat /named /new/tree/file; stat -c %u:%g:%a /named"))
            assert seen.text == "text\ntext\n0:0:640\n"


@claim
def archives_go_in_and_out(engine: Engine) -> None:
    with background(engine) as id, tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            info = tarfile.TarInfo("deep/er/file")
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
        file.seek(0)
        engine.write_archive(id, "/data", file.fileno())
        file.seek(0)
        file.truncate()
        engine.read_archive(id, "/data/deep", file.fileno())
        file.seek(0)
        with tarfile.open(fileobj=file) as tar:
            assert tar.getnames() == ["deep", "deep/er", "deep/er/file"]
        with pytest.raises(NotFound):
            engine.write_archive(id, "/file", file.fileno())


@claim
def links_lead_nowhere_but_inside(engine: Engine) -> None:
    script = (
        "ln -s ../../../../../../tmp/sandcell-claim /out; ln -s /tmp /data/away; mkdir /tmp; exec sleep 1000"
    )
    with background(engine, f"{script}") as id, folder() as base:
        engine.exec(id, ("sh", "-c", "until [ -e /data/away ]; do :; done"))
        engine.copy(str(base / "tree" / "file"), f"{id}:/data/away/../../../../sandcell-claim-2")
        engine.copy(str(base / "tree" / "file"), f"{id}:/data/away/sandcell-claim-3")
        for number in ("", "-2", "-3"):
            assert not os.path.lexists(f"/tmp/sandcell-claim{number}")
            assert not os.path.lexists(f"/sandcell-claim{number}")
        assert engine.exec(id, ("cat", "/tmp/sandcell-claim-3")).text == "text\n"
        # What a link of the host leads to is not written, nor is anything outside of the target.
        (base / "target").mkdir()
        (base / "target" / "inner").symlink_to(base)
        engine.copy(str(base / "tree"), f"{id}:/data/tree")
        with pytest.raises(SandcellError):
            engine.copy(f"{id}:/data/tree/.", str(base / "target"))
        assert not (base / "more").exists()
        with tempfile.TemporaryFile() as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                tar.addfile(tarfile.TarInfo("../../escape"))
            file.seek(0)
            with pytest.raises(SandcellError, match=r"\.\."):
                engine.write_archive(id, "/data", file.fileno())


@claim
def what_cannot_be_copied_is_told(engine: Engine) -> None:
    with tempfile.TemporaryDirectory() as shared, folder() as base:
        made = engine.create(IMAGE, ("true",), Options(volumes=(f"{shared}:/vol",)))
        with pytest.raises(WrongState, match="mounted only while it runs"):
            engine.copy(f"{base}/tree", f"{made.id}:/vol/x")
        for words in (("/a", "/b"), ("a:/b", "b:/c")):
            with pytest.raises(InvalidOption):
                engine.copy(*words)
        with pytest.raises(NotFound):
            engine.copy(f"{made.id}:/no/such", str(base))
        with pytest.raises(NotFound):
            engine.copy(f"{base}/none", f"{made.id}:/")
        for above, place in (("/no/such", "/no/such/place"), ("/file", "/file/place")):
            with pytest.raises(NotFound, match=f"{above}: there is no such directory in the container"):
                engine.copy(f"{base}/tree", f"{made.id}:{place}")
        with pytest.raises(SandcellError, match="it is a file"):
            engine.copy(f"{base}/tree", f"{made.id}:/file")
        assert engine.diff(made.id) == ()
        engine.remove(made)
