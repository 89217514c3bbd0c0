"""Root file systems as images: from files, addresses and streams, for this machine and for others."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandcell import Engine
from sandcell.runtime.errors import BadInput, SandcellError
from sandcell.runtime.oci.platform import Platform
from tests.build.test_addresses import Pages, answering, archive


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "home", tmp_path / "run") as engine:
        yield engine


def test_from_an_address(engine: Engine) -> None:
    web = Pages()
    with answering(web):
        web.pages["/root.tgz"] = (200, {}, archive())
        image = engine.import_image(f"{web.base}/root.tgz", name="fetched:1", message="from afar")
        assert image.config.history[0].comment == "from afar"
        assert engine.image_files("fetched:1")
        with pytest.raises(BadInput, match="404"):
            engine.import_image(f"{web.base}/other")
    with pytest.raises(SandcellError):
        engine.import_image("ftp://127.0.0.1/x")


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_compressed_or_not_it_is_the_same(engine: Engine, squeeze: Callable[[bytes], bytes]) -> None:
    plain = gzip.decompress(archive())
    first = engine.import_image(io.BytesIO(plain))
    again = engine.import_image(io.BytesIO(squeeze(plain)))
    assert again.config.rootfs == first.config.rootfs and again.manifest.layers == first.manifest.layers


def test_for_another_machine(engine: Engine) -> None:
    other = "linux/s390x" if Platform.here().architecture != "s390x" else "linux/arm64"
    changes = ('CMD ["/in/file"]', "LABEL a=b")
    image = engine.import_image(io.BytesIO(archive()), name="far:1", changes=changes, platform=other)
    assert str(image.platform) == other and image.config.config.cmd == ("/in/file",)
    assert str(engine.image("far:1").platform) == other
    with pytest.raises(SandcellError, match="no platform"):
        engine.import_image(io.BytesIO(archive()), platform="a/b/c/d")
