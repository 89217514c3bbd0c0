"""Looking into registries, and whole indexes there and back: our own registry, and Debian's."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandcell.runtime.errors import ImageNotFound, InvalidDocument, RegistryRefused
from sandcell.runtime.events import silent
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.decode import encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.manifest import Index, Manifest
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.registry import referrers, remote
from sandcell.runtime.registry.answers import Handler
from sandcell.runtime.registry.client import Client
from sandcell.runtime.registry.documents import fetch_document
from sandcell.runtime.registry.push import push
from sandcell.runtime.store import Store
from tests.store.images import image

from .serving import client, own, serving
from .test_transfer import get, send


@pytest.fixture
def wire(address: tuple[str, str], tmp_path: Path) -> Client:
    """Of our own registry and of Debian's, one after the other."""
    return client(address[0], tmp_path)


def named(wire: Client, text: str) -> Reference:
    return Reference.parse(f"{wire.registry}/{text}")


def two_platforms(here: Store) -> tuple[Descriptor, Image, Image]:
    """An index in the store, and the images it names: this machine's and another one's."""
    mine, other = image(here, {"a": b"1"}, name="mine"), image(here, {"b": b"2"})
    entries = [
        Descriptor(one.descriptor.media_type, one.digest, one.descriptor.size, platform=platform)
        for one, platform in ((other, Platform("s390x", "linux")), (mine, Platform.here()))
    ]
    root = here.blobs.put_bytes(encode(Index(manifests=tuple(entries))), media_types.INDEX)
    return root, mine, other


def test_an_index_goes_there_and_back_as_it_is(wire: Client, here: Store, tmp_path: Path) -> None:
    root, mine, other = two_platforms(here)
    reference, there = named(wire, "multi:1"), Store(tmp_path / "there")
    push(wire, reference, root, here, elsewhere={}, on_event=silent)
    assert fetch_document(wire, reference, "1").descriptor.digest == root.digest
    assert get(wire, there, "multi:1", all_platforms=True) == mine
    assert there.names.get(reference).digest == root.digest  # type: ignore[union-attr]
    for one in (mine, other):
        assert there.load(one.descriptor) == one
    # Nothing of it is given up by prune, and it can go on from there.
    assert there.prune().removed == ()
    push(wire, named(wire, "again:1"), root, there, elsewhere={}, on_event=silent)
    assert get(wire, Store(tmp_path / "third"), "again:1", platform=Platform("s390x", "linux")) == other


def test_a_single_image_is_all_platforms_too(wire: Client, here: Store, tmp_path: Path) -> None:
    made = image(here, {"a": b"1"}, name="single")
    send(wire, made, here, "single:1")
    assert get(wire, Store(tmp_path / "there"), "single:1", all_platforms=True) == made


def test_tags_are_listed(wire: Client, here: Store) -> None:
    made = image(here, {"a": b"1"}, name="tagged")
    for tag in ("b", "a", "c"):
        send(wire, made, here, f"tagged/here:{tag}")
    assert sorted(remote.tags(wire, named(wire, "tagged/here"))) == ["a", "b", "c"]
    with pytest.raises(ImageNotFound, match="no repository"):
        remote.tags(wire, named(wire, "nobody/here"))


def test_referrers_are_found_listed_or_by_their_tag(wire: Client, here: Store) -> None:
    made = image(here, {"a": b"signed"}, name="signed")
    send(wire, made, here, "signed:1")
    empty = here.blobs.put_bytes(b"{}", media_types.EMPTY)
    notes = []
    for kind in ("text/note", "text/other"):
        note = Manifest(
            artifact_type=kind,
            config=empty,
            layers=(empty,),
            subject=Descriptor(made.descriptor.media_type, made.digest, made.descriptor.size),
            annotations={"k": kind},
        )
        notes.append(here.blobs.put_bytes(encode(note), media_types.MANIFEST))
        reference = Reference(wire.registry, "signed", "", notes[-1].digest)
        push(wire, reference, notes[-1], here, elsewhere={}, on_event=silent)
    found = referrers.listed(wire, named(wire, "signed:1"), made.digest)
    assert {one.digest: one.artifact_type for one in found} == {
        notes[0].digest: "text/note",
        notes[1].digest: "text/other",
    }
    assert found[0].annotations["k"] == found[0].artifact_type
    (one,) = referrers.listed(wire, named(wire, "signed:1"), made.digest, "text/note")
    assert one.digest == notes[0].digest
    assert remote.delete(wire, Reference(wire.registry, "signed", "", one.digest)) == one.digest
    (left,) = referrers.listed(wire, named(wire, "signed:1"), made.digest)
    assert left.digest == notes[1].digest


def test_what_is_deleted_is_gone(wire: Client, here: Store, tmp_path: Path) -> None:
    made = image(here, {"a": b"going"}, name="going")
    for tag in ("1", "2"):
        send(wire, made, here, f"going:{tag}")
    assert remote.delete(wire, named(wire, "going:1")) == made.digest
    for tag in ("1", "2"):
        with pytest.raises(ImageNotFound):
            get(wire, Store(tmp_path / "there"), f"going:{tag}")
    with pytest.raises(ImageNotFound):
        remote.delete(wire, named(wire, "going:1"))


# ------------------------------------------------------------ what only a registry of ours does


@pytest.fixture
def lying(tmp_path: Path, here: Store) -> Iterator[Any]:
    with serving(own(tmp_path / "served")) as server:
        send(client(server.name, tmp_path), image(here, {"a": b"1"}, name="x"), here, "x:1")

        def answer(**methods: Any) -> Client:
            server.RequestHandlerClass = type("Lying", (Handler,), methods)
            return client(server.name, tmp_path)

        yield answer


def page(links: dict[str, str]) -> Any:
    def tags(self: Any, name: str) -> None:
        last = self._query.get("last", "")
        headers = {"Content-Type": "application/json"}
        if last in links:
            headers["Link"] = links[last]
        self._answer(200, headers, json.dumps({"name": name, "tags": [f"after-{last}"]}).encode())

    return tags


def test_pages_are_followed(lying: Any) -> None:
    links = {
        "": '</v2/x/tags/list?last=one>; rel="next"',
        "one": '<http://example.org/other>; rel="first", <list?last=two>; title="a"; rel=next',
        "two": '<list?last=three>; rel="previous"',
    }
    wire = lying(tags=page(links))
    assert remote.tags(wire, named(wire, "x")) == ("after-", "after-one", "after-two")


def test_pages_that_never_end_end(lying: Any) -> None:
    wire = lying(tags=page({"": '<list>; rel="next"'}))
    assert remote.tags(wire, named(wire, "x")) == ("after-",)


def test_pages_at_another_host_are_refused(lying: Any) -> None:
    wire = lying(tags=page({"": '<http://example.org/v2/x/tags/list>; rel="next"'}))
    with pytest.raises(RegistryRefused, match="another host"):
        remote.tags(wire, named(wire, "x"))


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'{"tags": {"a": 1}}', b"1"])
def test_tags_that_make_no_sense(lying: Any, body: bytes) -> None:
    wire = lying(tags=lambda self, name: self._answer(200, {}, body))
    with pytest.raises(InvalidDocument):
        remote.tags(wire, named(wire, "x"))


def test_a_registry_that_lets_nobody_delete(lying: Any) -> None:
    def refuse(self: Any, name: str, wanted: str) -> None:
        self._answer(405, {})

    wire = lying(delete_manifest=refuse)
    with pytest.raises(RegistryRefused, match="lets nobody delete"):
        remote.delete(wire, named(wire, "x:1"))


@pytest.mark.peer("skopeo")
@pytest.mark.slow
def test_skopeo_and_we_mean_the_same_index(wire: Client, here: Store, tmp_path: Path) -> None:
    root, mine, _ = two_platforms(here)
    push(wire, named(wire, "ours/index:1"), root, here, elsewhere={}, on_event=silent)
    there = f"docker://{wire.registry}"
    subprocess.run(
        ["skopeo", "copy", "-q", "--all", "--src-tls-verify=false", "--dest-tls-verify=false",
         f"{there}/ours/index:1", f"{there}/theirs/index:1"],
        check=True, capture_output=True,
    )  # fmt: skip
    found = fetch_document(wire, named(wire, "theirs/index:1"), "1")
    assert found.descriptor.digest == root.digest
    assert get(wire, Store(tmp_path / "there"), "theirs/index:1") == mine
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"{there}/ours/index:1"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    assert Digest.of(raw) == root.digest
