"""The layout in the hands of other tools, and theirs in ours."""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile

import pytest

from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store

from .images import image
from .test_save import index

pytestmark = [pytest.mark.peer, pytest.mark.slow]


def tool(*command: object, **options) -> str:
    """The output of another tool; skips where it is not installed."""
    name = str(command[0])
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


@pytest.fixture
def made(store):
    return image(store, {"a": b"1"}, {"b": b"2" * 5000}, name="hello")


@pytest.mark.parametrize("name", ["hello:latest", "localhost:5000/team/app:1.0"])
def test_skopeo_copies_from_the_layout(store, made, tmp_path, name):
    store.names.set(Reference.parse(name), made.descriptor)
    tool("skopeo", "copy", f"oci:{store.layout_path}:{name}", f"oci:{tmp_path}/copy:x")
    with open(tmp_path / "copy/index.json") as file:
        assert json.load(file)["manifests"][0]["digest"] == made.digest


def test_skopeo_writes_into_the_layout(store, made):
    tool("skopeo", "copy", f"oci:{store.layout_path}:hello:latest", f"oci:{store.layout_path}:theirs")
    assert {name: found.digest for name, found in store.names.all().items()} == {
        "hello:latest": made.digest,
        "theirs:latest": made.digest,
    }
    store.names.set(Reference.parse("ours"), made.descriptor)
    assert (
        tool("skopeo", "inspect", "--format", "{{.Digest}}", f"oci:{store.layout_path}:theirs").strip()
        == made.digest
    )


def test_umoci_unpacks_tags_and_collects(store, made, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("umoci unpack needs root or a rootless map")
    layout = store.layout_path
    tool("umoci", "unpack", "--image", f"{layout}:hello:latest", tmp_path / "bundle")
    found = {path.name: path.read_bytes() for path in (tmp_path / "bundle/rootfs/d").iterdir()}
    assert found == {"a": b"1", "b": b"2" * 5000}
    tool("umoci", "tag", "--image", f"{layout}:hello:latest", "theirs")
    assert list(store.names.all()) == ["hello:latest", "theirs:latest"]
    lost = image(store, {"c": b"3"})
    tool("umoci", "gc", "--layout", layout)
    assert not store.blobs.has(lost.digest)
    assert store.image("hello") == made


@pytest.mark.parametrize("wanted", ["hello", "digest"])
def test_a_saved_image_is_read(store, made, tmp_path, wanted):
    path = tmp_path / "image.tar"
    store.save("hello" if wanted == "hello" else str(made.digest), str(path))
    assert tool("skopeo", "inspect", "--format", "{{.Digest}}", f"oci-archive:{path}").strip() == made.digest
    if wanted == "hello":
        tool("skopeo", "copy", f"oci-archive:{path}:hello:latest", f"oci:{tmp_path}/copy:x")


def test_podman_loads_a_saved_image(store, made, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("podman needs root or sub-ids")
    store.save("hello", str(tmp_path / "image.tar"))
    # podman wants a short path for its run directory.
    run = tempfile.mkdtemp(prefix="podman-")
    podman = ["podman", "--root", tmp_path / "root", "--runroot", run, "--storage-driver", "vfs"]
    try:
        assert "hello:latest" in tool(*podman, "load", "-i", tmp_path / "image.tar")
        images = json.loads(tool(*podman, "images", "--format", "json"))
        assert images[0]["Digest"] == made.digest
        assert images[0]["Id"] == made.manifest.config.digest.hex
    finally:
        tool(*podman, "rmi", "--all", "--force")
        shutil.rmtree(run)


def test_an_archive_holds_just_one_image(store, made, tmp_path):
    image(store, {"other": b"x"}, name="other")
    one, two = tmp_path / "one.tar", tmp_path / "two.tar"
    store.save("hello", str(one))
    with open(two, "wb") as out:
        store.save("hello", out)
    assert one.read_bytes() == two.read_bytes()
    assert os.listdir(tmp_path).count("one.tar") == 1
    with tarfile.open(one) as tar:
        names = tar.getnames()
    assert names[:4] == ["oci-layout", "index.json", "blobs", "blobs/sha256"]
    assert len(names) == 4 + 4


def test_skopeo_takes_a_whole_index_and_gives_it_back(store, tmp_path):
    entry = index(store, image(store, {"a": b"here"}), image(store, {"a": b"there"}), name="many")
    layout = store.layout_path
    tool("skopeo", "copy", "--all", f"oci:{layout}:many:latest", f"oci:{tmp_path}/copy:x")
    store.save("many", str(tmp_path / "many.tar"))
    tool(
        "skopeo", "copy", "--all", f"oci-archive:{tmp_path}/many.tar", f"oci-archive:{tmp_path}/theirs.tar:x"
    )
    for number, source in enumerate(("copy", "theirs.tar")):
        new = Store(tmp_path / f"new{number}")
        new.take(str(tmp_path / source), name="back")
        assert new.names.get(Reference.parse("back")).digest == entry.digest


def test_skopeo_reads_an_oci_directory(store, made, tmp_path):
    store.save("hello", str(tmp_path / "out"), "oci-dir")
    source = f"oci:{tmp_path}/out:hello:latest"
    assert tool("skopeo", "inspect", "--format", "{{.Digest}}", source).strip() == made.digest


def test_a_validator_finds_a_layout_in_order(store, made, tmp_path):
    image(store, {"c": b"3"}, name="other")
    store.save(["hello", "other"], str(tmp_path / "out"), "oci-dir")
    validate = ("oci-image-tool", "validate", "--type", "image", tmp_path / "out")
    tool(*validate)
    layer = made.layers[0].descriptor.digest
    with open(tmp_path / f"out/blobs/{layer.algorithm}/{layer.hex}", "ab") as blob:
        blob.write(b"x")
    assert subprocess.run(validate, capture_output=True).returncode != 0, "it sees what is wrong"


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_podman_and_we_read_each_others_archives(store, made, tmp_path, form):
    if os.geteuid() != 0:
        pytest.skip("podman needs root or sub-ids")
    store.save("hello", str(tmp_path / "ours.tar"), form)
    run = tempfile.mkdtemp(prefix="podman-")
    podman = ["podman", "--root", tmp_path / "root", "--runroot", run, "--storage-driver", "vfs"]
    try:
        tool(*podman, "load", "-i", tmp_path / "ours.tar")
        tool(*podman, "save", "--format", form, "-o", tmp_path / "theirs.tar", "hello")
    finally:
        tool(*podman, "rmi", "--all", "--force")
        shutil.rmtree(run)
    (loaded,) = Store(tmp_path / "new").take(str(tmp_path / "theirs.tar"))
    assert loaded.image.config.rootfs == made.config.rootfs
    if form == "docker-archive":
        assert loaded.image.manifest.config.digest == made.manifest.config.digest


def test_umoci_makes_an_image_in_our_layout(store, made, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("umoci unpack needs root or a rootless map")
    layout = store.layout_path
    tool("umoci", "unpack", "--image", f"{layout}:hello:latest", tmp_path / "bundle")
    (tmp_path / "bundle/rootfs/d/a").unlink()
    (tmp_path / "bundle/rootfs/d/c").write_bytes(b"3")
    tool("umoci", "repack", "--image", f"{layout}:theirs", tmp_path / "bundle")
    theirs = store.image("theirs")
    assert theirs.config.rootfs.diff_ids[:2] == made.config.rootfs.diff_ids
    from sandcell.runtime.layer.compress import decompress
    from sandcell.runtime.layer.listing import entries
    from sandcell.runtime.layer.tar_read import TarReader

    with store.blobs.open(theirs.layers[-1].descriptor.digest) as blob:
        listed = [entry for entry, _ in entries(TarReader(decompress(blob).read))]
    found = {(entry.path, entry.kind) for entry in listed if entry.kind != "dir"}
    assert found == {("d/a", "whiteout"), ("d/c", "file")}
    assert store.image("hello") == made


def test_buildah_builds_on_ours_and_we_load_it(store, made, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("buildah needs root or sub-ids")
    store.save("hello", str(tmp_path / "ours.tar"))
    run = tempfile.mkdtemp(prefix="buildah-")
    buildah = ["buildah", "--root", tmp_path / "root", "--runroot", run, "--storage-driver", "vfs"]
    (tmp_path / "context").mkdir()
    (tmp_path / "context/new").write_bytes(b"new")
    (tmp_path / "context/Dockerfile").write_text("FROM hello\nCOPY new /d/new\nLABEL by=buildah\n")
    try:
        tool(*buildah, "pull", f"oci-archive:{tmp_path}/ours.tar")
        tool(*buildah, "build", "--pull-never", "-t", "theirs", tmp_path / "context")
        tool(*buildah, "push", "theirs", f"oci-archive:{tmp_path}/theirs.tar:theirs:latest")
    finally:
        tool(*buildah, "rmi", "--all", "--force")
        shutil.rmtree(run)
    (loaded,) = store.take(str(tmp_path / "theirs.tar"))
    assert loaded.image.config.rootfs.diff_ids[:2] == made.config.rootfs.diff_ids
    assert loaded.image.config.config.labels["by"] == "buildah"
