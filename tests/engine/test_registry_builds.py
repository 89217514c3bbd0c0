"""Builds on images of Debian's docker-registry, for other machines too, and everything at once."""

import shutil
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandcell.runtime import Engine
from sandcell.runtime.errors import BuildFailed, DockerfileError
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.decode import encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.manifest import Index
from tests.engine.crafted import TINY
from tests.registry.serving import client, debian_registry

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

_ELF = struct.pack(
    "<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 2, 183, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0
)
"""The head of a program for aarch64 (elf(5)), with nothing behind."""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed (./dev test installs it as root)")
    folder = tmp_path / "registry"
    folder.mkdir()
    with debian_registry(folder) as name:
        yield f"localhost:{name.partition(':')[2]}"


@pytest.fixture
def maker(tmp_path: Path) -> Iterator[Engine]:
    """Who fills the registry."""
    with Engine(tmp_path / "maker", tmp_path / "run-maker") as engine:
        if engine.host.rung not in ("root", "rootless"):
            pytest.skip(f"steps cannot be run on the rung {engine.host.rung}")
        engine.image(TINY)
        yield engine


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Engine]:
    """Who has nothing yet."""
    with Engine(tmp_path / "user", tmp_path / "run-user") as engine:
        yield engine


def _whole(engine: Engine, image: Image) -> None:
    for blob in (image.manifest.config, *image.manifest.layers):
        engine.store.store.blobs.verify(blob.digest)


def test_from_a_registry_and_again_with_pull(registry: str, maker: Engine, user: Engine) -> None:
    base = f"{registry}/base:1"
    text = f"FROM {base} AS made\nRUN cat /one > /two\nFROM scratch\nCOPY --from=made /two /"

    def build(*, pull: bool = False) -> bytes:
        image = user.build(text, name="built:1", pull=pull)
        return user.layer_file(image, 1, "two", 10)

    for word in ("old", "new"):
        maker.build(f"FROM {TINY}\nRUN echo {word} > /one", name=base)
        maker.push(base)
        if word == "old":
            assert build() == b"old\n"
    assert build() == b"old\n"
    assert build(pull=True) == b"new\n"
    assert user.image(base).digest == maker.image(base).digest
    with pytest.raises(DockerfileError, match="no image of that name"):
        user.build(f"FROM {registry}/nothing:1\nRUN true")


def test_an_index_gives_each_machine_its_own(
    registry: str, maker: Engine, user: Engine, tmp_path: Path
) -> None:
    context = tmp_path / "context"
    (context / "bin").mkdir(parents=True)
    program = context / "bin" / "sh"
    program.write_bytes(_ELF)
    program.chmod(0o755)
    mine = maker.build(f"FROM {TINY}\nRUN echo mine > /which", name=f"{registry}/multi:mine")
    text = "FROM --platform=linux/arm64 scratch\nCOPY . /"
    arm = maker.build(text, name=f"{registry}/multi:arm", context=context)
    for tag in ("mine", "arm"):
        maker.push(f"{registry}/multi:{tag}")
    entries = [
        Descriptor(one.descriptor.media_type, one.digest, one.descriptor.size, platform=one.platform)
        for one in (arm, mine)
    ]
    headers = {"Content-Type": media_types.INDEX}
    body = encode(Index(manifests=tuple(entries)))
    client(registry, tmp_path).call("PUT", "multi/manifests/1", headers=headers, body=body)

    name = f"{registry}/multi:1"
    assert user.pull(name).digest == mine.digest
    foreign = user.build(f"FROM --platform=linux/arm64 {name}\nCOPY . /more\nENV a=b", context=context)
    assert (str(foreign.platform), foreign.manifest.layers[0]) == ("linux/arm64", arm.manifest.layers[0])
    assert user.image(name).digest == mine.digest, "the name goes on meaning this machine's"
    with pytest.raises(BuildFailed, match="Exec format error") as caught:
        user.build(f"FROM --platform=linux/arm64 {name}\nRUN true")
    assert "binfmt_misc" in caught.value.hint and caught.value.lines == (2, 2)
    with pytest.raises(DockerfileError, match="no image for linux/s390x"):
        user.build(f"FROM --platform=linux/s390x {name}\nRUN true")
    assert user.pull(name, platform="linux/arm64").digest == arm.digest


def test_two_builds_a_pull_and_a_prune_at_once(registry: str, maker: Engine, tmp_path: Path) -> None:
    name = f"{registry}/pulled:1"
    maker.build(f"FROM {TINY}\nRUN head -c 2000000 /dev/urandom > /x", name=name)
    maker.push(name)
    pulled = maker.image(name).digest
    done, failures = threading.Event(), list[BaseException]()

    def worker(act: Callable[[Engine, int], None]) -> Callable[[], None]:
        def work() -> None:
            try:
                with Engine(tmp_path / "shared", tmp_path / "run") as engine:
                    number = 0
                    while not done.is_set():
                        act(engine, number)
                        number += 1
                        if number == 5 and act is not prune:
                            break
            except BaseException as error:
                failures.append(error)

        return work

    def build(engine: Engine, number: int) -> None:
        # Both come to the same steps, of which the second is new each time.
        own = f"echo {number} > /own && head -c 900000 /dev/urandom > /y"
        text = f"FROM {TINY}\nRUN echo same > /same\nRUN {own}"
        image = engine.build(text, name=f"built:{threading.get_ident()}")
        _whole(engine, image)
        assert engine.layer_file(image, len(image.layers), "own", 10) == f"{number}\n".encode()

    def pull(engine: Engine, number: int) -> None:
        image = engine.pull(name)
        assert image.digest == pulled
        _whole(engine, image)
        engine.remove_image(name, force=True)

    def prune(engine: Engine, number: int) -> None:
        engine.prune()

    pruner = threading.Thread(target=worker(prune))
    others = [threading.Thread(target=worker(act)) for act in (build, build, pull)]
    for thread in (pruner, *others):
        thread.start()
    for thread in others:
        thread.join()
    done.set()
    pruner.join()
    for failure in failures:
        raise failure
    with Engine(tmp_path / "shared", tmp_path / "run") as engine:
        for entry in engine.images():
            _whole(engine, engine.image(entry.name))
