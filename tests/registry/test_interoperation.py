"""Debian's skopeo, podman and buildah on our own registry and on Debian's: each way digests agree."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.image import Image
from sandcell.runtime.registry import remote
from sandcell.runtime.registry.client import Client
from sandcell.runtime.store import Store
from tests.store.images import image

from .serving import client
from .test_remote import named
from .test_transfer import get, send

pytestmark = pytest.mark.slow

Run = Callable[..., str]


def tool(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


@pytest.fixture
def wire(address: tuple[str, str], tmp_path: Path) -> Client:
    return client(address[0], tmp_path)


@pytest.fixture
def made(here: Store) -> Image:
    return image(here, {"a": b"1" * 10_000}, {"b": b"2"}, name="ours")


@pytest.fixture(params=["podman", "buildah"])
def containers(request: pytest.FixtureRequest, host: Any, tmp_path: Path) -> Iterator[Run]:
    """podman or buildah with a storage of its own."""
    program = request.param
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed (./dev test installs it as root)")
    if host.rung != "root":
        pytest.skip(f"{program} needs root or sub-ids")
    run = tempfile.mkdtemp(prefix="containers-")
    storage = ("--root", str(tmp_path / "root"), "--runroot", run, "--storage-driver", "vfs")

    def command(*words: str) -> str:
        return tool(program, *storage, *words)

    try:
        yield command
    finally:
        command("rmi", "--all", "--force")
        shutil.rmtree(run)


def test_podman_and_buildah_pull_what_we_pushed(
    containers: Run, wire: Client, here: Store, made: Image
) -> None:
    send(wire, made, here, "ours:1")
    name = f"{wire.registry}/ours:1"
    containers("pull", "-q", "--tls-verify=false", name)
    assert made.digest in containers("images", "--digests")


def test_we_pull_what_podman_and_buildah_pushed(
    containers: Run, wire: Client, here: Store, made: Image, tmp_path: Path
) -> None:
    send(wire, made, here, "ours:1")
    containers("pull", "-q", "--tls-verify=false", f"{wire.registry}/ours:1")
    told = tmp_path / "digest"
    containers(
        "push", "-q", "--tls-verify=false", "--digestfile", str(told),
        f"{wire.registry}/ours:1", f"docker://{wire.registry}/theirs/app:2",
    )  # fmt: skip
    got = get(wire, Store(tmp_path / "there"), "theirs/app:2")
    assert got.digest == told.read_text()
    assert got.config.rootfs == made.config.rootfs


@pytest.mark.peer("skopeo")
@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_skopeo_copies_there_and_back(
    wire: Client, here: Store, made: Image, tmp_path: Path, form: str
) -> None:
    there, copy = f"docker://{wire.registry}", f"oci:{tmp_path}/copy:x"
    send(wire, made, here, "ours:1")
    tool("skopeo", "copy", "-q", "--src-tls-verify=false", f"{there}/ours:1", copy)
    (entry,) = json.loads((tmp_path / "copy/index.json").read_text())["manifests"]
    assert entry["digest"] == made.digest
    target = f"{there}/team/theirs:{form}"
    tool("skopeo", "copy", "-q", "--dest-tls-verify=false", "--format", form, copy, target)
    got = get(wire, Store(tmp_path / "there"), f"team/theirs:{form}")
    assert got.config.rootfs == made.config.rootfs
    assert (got.digest == made.digest) == (form == "oci")
    assert (got.descriptor.media_type == media_types.DOCKER_MANIFEST) == (form == "v2s2")
    listed = json.loads(tool("skopeo", "list-tags", "--tls-verify=false", f"{there}/team/theirs"))
    assert tuple(listed["Tags"]) == remote.tags(wire, named(wire, "team/theirs"))
    tool("skopeo", "delete", "--tls-verify=false", target)
    again = subprocess.run(["skopeo", "delete", "--tls-verify=false", target], capture_output=True)
    assert again.returncode != 0


@pytest.mark.peer("skopeo")
def test_skopeo_copies_by_digest(wire: Client, here: Store, made: Image, tmp_path: Path) -> None:
    send(wire, made, here, "by-digest:1")
    source = f"docker://{wire.registry}/by-digest@{made.digest}"
    tool("skopeo", "copy", "-q", "--src-tls-verify=false", source, f"dir:{tmp_path}/copy")
    assert (tmp_path / "copy/manifest.json").read_bytes() == here.blobs.read(made.digest)
