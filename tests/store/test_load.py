"""Images come in from layouts and archives: whole and verified, or not at all."""

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandcell.runtime.errors import BadInput, BlobNotFound, Corrupted, InvalidDocument, SandcellError
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store

from .images import image
from .test_peers import tool


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


@pytest.fixture
def other(tmp_path):
    return Store(tmp_path / "other")


@pytest.fixture
def made(store):
    return image(store, {"a": b"1"}, {"b": b"2" * 5000}, name="hello")


def saved(store: Store, *names: str, form="oci-archive") -> bytes:
    out = io.BytesIO()
    store.save(names, out, form)
    return out.getvalue()


def rewritten(data: bytes, change) -> io.BytesIO:
    """The archive with ``change(members)`` applied to its ``{name: bytes or TarInfo}``."""
    members: dict[str, object] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for one in tar:
            members[one.name] = tar.extractfile(one).read() if one.isfile() else one
    members = change(members) or members
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members.items() if isinstance(members, dict) else members:
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    out.seek(0)
    return out


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_an_oci_archive_comes_back(store, made, other, squeeze):
    store.names.set(Reference.parse("again:2"), made.descriptor)
    more = image(store, {"c": b"3"}, name="more")
    found = other.take(io.BytesIO(squeeze(saved(store, "hello", "again:2", "more"))))
    assert [(one.name, one.image) for one in found] == [
        ("hello:latest", made),
        ("again:2", made),
        ("more:latest", more),
    ]
    assert other.image("again:2") == made
    for layer in made.layers:
        other.blobs.verify(layer.descriptor.digest)


def test_a_layout_directory_comes_back(store, made, other):
    (one,) = other.take(store.layout_path)
    assert (one.name, one.image) == ("hello:latest", made)
    assert other.take(store.layout_path) == (one,)


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress])
def test_a_docker_archive_comes_back(store, made, other, squeeze):
    data = saved(store, "hello", form="docker-archive")
    (one,) = other.take(io.BytesIO(squeeze(data)))
    assert one.name == "hello:latest"
    # The config, which docker calls the image's id, and the uncompressed layers are the same.
    assert one.image.manifest.config.digest == made.manifest.config.digest
    assert [layer.diff_id for layer in one.image.layers] == [layer.diff_id for layer in made.layers]
    assert saved(other, "hello", form="docker-archive") == data


def test_a_name_can_be_given(store, made, other):
    (one,) = other.take(io.BytesIO(saved(store, str(made.digest))), "mine:1")
    assert one.name == "mine:1"
    with pytest.raises(BadInput, match="no name"):
        other.take(io.BytesIO(saved(store, str(made.digest))))
    with pytest.raises(BadInput, match="host is this machine's"):
        other.take(io.BytesIO(saved(store, "hello")), "host")


def test_old_docker_archives_have_links(store, made, other):
    def change(members):
        entry = json.loads(members["manifest.json"])[0]
        for at, name in enumerate(entry["Layers"]):
            link = tarfile.TarInfo(f"{at}/layer.tar")
            link.type, link.linkname = tarfile.SYMTYPE, f"../{name}"
            members[f"{at}/layer.tar"] = link
        entry["Layers"] = ["0/layer.tar", "1/layer.tar"]
        members["manifest.json"] = json.dumps([entry]).encode()

    (one,) = other.take(rewritten(saved(store, "hello", form="docker-archive"), change))
    assert one.image.config == made.config


def _flip(members):
    name = max((n for n in members if n.startswith("blobs/sha256/")), key=lambda n: len(str(members[n])))
    members[name] = bytes([members[name][0] ^ 1]) + members[name][1:]


def _lose(members):
    index = json.loads(members["index.json"])["manifests"][0]["digest"].partition(":")[2]
    del members[f"blobs/sha256/{index}"]


def _lie(members):
    index = json.loads(members["index.json"])
    index["manifests"][0]["size"] += 1
    members["index.json"] = json.dumps(index).encode()


def _escape(members):
    return [*members.items(), ("../evil", b"x")]


def _absolute(members):
    return [*members.items(), ("/etc/evil", b"x")]


def _twice(members):
    return [*members.items(), ("index.json", members["index.json"])]


def _device(members):
    info = tarfile.TarInfo("blobs/sha256/" + "0" * 64)
    info.type = tarfile.CHRTYPE
    members["dev"] = info


def _link_out(members):
    info = tarfile.TarInfo("x")
    info.type, info.linkname = tarfile.SYMTYPE, "../../etc/shadow"
    members["x"] = info


def _bad_name(members):
    members["blobs/sha256/..%2f..%2fetc"] = b"x"


def _huge(members):
    members["index.json"] = members["index.json"] + b" " * (5 << 20)


def _twofold(members):
    index = json.loads(members["index.json"])
    index["layers"] = []
    members["index.json"] = json.dumps(index).encode()[:-3]


def _empty(members):
    members.clear()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (_flip, Corrupted),
        (_lose, BlobNotFound),
        (_lie, Corrupted),
        (_escape, BadInput),
        (_absolute, BadInput),
        (_twice, BadInput),
        (_device, BadInput),
        (_link_out, BadInput),
        (_bad_name, BadInput),
        (_huge, InvalidDocument),
        (_twofold, InvalidDocument),
        (_empty, BadInput),
    ],
)
def test_hostile_archives_are_refused(store, made, other, change, error):
    with pytest.raises(error):
        other.take(rewritten(saved(store, "hello"), change))
    assert other.names.all() == {}
    assert os.listdir(other.litter.path) == []


def test_a_docker_layer_must_be_the_one_its_config_tells(store, made, other):
    def change(members):
        name = json.loads(members["manifest.json"])[0]["Layers"][0]
        members[name] = members[name][:-1] + b"x"

    with pytest.raises(Corrupted, match="the layer holds"):
        other.take(rewritten(saved(store, "hello", form="docker-archive"), change))
    assert os.listdir(other.litter.path) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("Config", "../../etc/passwd"), ("Config", "/etc/passwd"), ("Layers", ["../../etc/passwd", "b"]),
     ("Layers", ["/etc/passwd"] * 2), ("Layers", ["blobs/sha256/../../../x", "b"]), ("RepoTags", ["../../x"]),
     ("RepoTags", ["a@sha256:../x"]), ("RepoTags", ["host"])],
)  # fmt: skip
def test_names_in_a_docker_archive_lead_nowhere(store, made, other, key, value):
    def change(members):
        (told,) = json.loads(members["manifest.json"])
        members["manifest.json"] = json.dumps([{**told, key: value}]).encode()

    with pytest.raises(BadInput):
        other.take(rewritten(saved(store, "hello", form="docker-archive"), change))
    assert other.names.all() == {}
    assert os.listdir(other.litter.path) == []


@pytest.mark.parametrize("name", ["../../x", "a@sha256:../x", "A", "/etc/passwd"])
def test_names_in_an_index_are_no_paths(store, made, other, name):
    def change(members):
        index = json.loads(members["index.json"])
        index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": name}
        members["index.json"] = json.dumps(index).encode()

    with pytest.raises(BadInput):
        other.take(rewritten(saved(store, "hello"), change))
    assert other.names.all() == {}


def test_an_archive_needs_no_going_back(store, made, other):
    read, write = os.pipe()

    def send() -> None:
        with open(write, "wb") as out:
            store.save(["hello"], out)

    with ThreadPoolExecutor(1) as pool, open(read, "rb") as source:
        sent = pool.submit(send)
        (one,) = other.take(source)
        sent.result()
    assert one.image == made


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_cut_off_anywhere_nothing_is_named(store, made, other, form):
    data = saved(store, "hello", form=form)
    for end in range(0, len(data) - 1024, 1531):
        with pytest.raises(SandcellError):
            other.take(io.BytesIO(data[:end]))
    assert other.names.all() == {}


def test_a_layout_of_pipes_does_not_hang(store, made, other, tmp_path):
    os.unlink(store.blobs.path(made.digest))
    os.mkfifo(store.blobs.path(made.digest))
    with pytest.raises(BadInput, match="regular"):
        other.take(store.layout_path)


def test_a_directory_that_is_no_layout(other, tmp_path):
    with pytest.raises(BadInput, match="no oci-layout"):
        other.take(str(tmp_path))


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
def test_what_skopeo_writes_is_loaded(store, made, other, tmp_path, kind):
    target = f"{tmp_path}/theirs"
    tool("skopeo", "copy", f"oci:{store.layout_path}:hello:latest", f"{kind}:{target}:hello:1")
    (one,) = other.take(target)
    assert one.name == "hello:1"
    if kind == "docker-archive":
        assert one.image.config == made.config
    else:
        assert one.image == made


@pytest.mark.peer
@pytest.mark.slow
def test_our_docker_archive_is_read(store, made, other, tmp_path):
    path = str(tmp_path / "image.tar")
    store.save(["hello"], path, "docker-archive")
    tool("skopeo", "copy", f"docker-archive:{path}", f"oci:{tmp_path}/copy:x")
    (one,) = other.take(f"{tmp_path}/copy", "x")
    assert [layer.diff_id for layer in one.image.layers] == [layer.diff_id for layer in made.layers]


@pytest.mark.peer
@pytest.mark.slow
def test_what_umoci_makes_is_loaded(other, tmp_path):
    tool("umoci", "init", "--layout", f"{tmp_path}/layout")
    tool("umoci", "new", "--image", f"{tmp_path}/layout:theirs")
    (one,) = other.take(f"{tmp_path}/layout")
    assert (one.name, one.image.layers) == ("theirs:latest", ())
