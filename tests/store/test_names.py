import json

import pytest

from sandcell.runtime.errors import Corrupted, ImageNotFound, InvalidDocument, InvalidReference
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store

from .images import image


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


def ref(text: str) -> Reference:
    return Reference.parse(text)


def index(store) -> dict:
    with open(f"{store.layout_path}/index.json") as file:
        return json.load(file)


def test_names_are_given_moved_and_taken(store):
    one, two = image(store, {"a": b"1"}), image(store, {"a": b"2"})
    store.names.set(ref("app"), one.descriptor)
    store.names.set(ref("app:1"), one.descriptor)
    store.names.set(ref("app"), two.descriptor)
    assert store.names.get(ref("app")).digest == two.digest
    assert {name: found.digest for name, found in store.names.all().items()} == {
        "app:1": one.digest,
        "app:latest": two.digest,
    }
    assert store.names.remove(ref("app")).digest == two.digest
    assert store.names.remove(ref("app")) is None
    assert store.names.get(ref("app")) is None
    assert list(store.names.all()) == ["app:1"]


def test_the_index_is_one_that_other_tools_read(store):
    image(store, {"a": b"1"}, name="localhost:5000/team/app:1")
    (entry,) = index(store)["manifests"]
    assert entry["annotations"] == {media_types.REF_NAME: "localhost:5000/team/app:1"}
    assert index(store)["schemaVersion"] == 2


def test_what_others_wrote_stays(store):
    made = image(store, {"a": b"1"}, name="ours")
    foreign = {
        "mediaType": media_types.MANIFEST,
        "digest": str(made.digest),
        "size": made.descriptor.size,
        "annotations": {media_types.REF_NAME: "Their.Name", "com.example.x": "y"},
        "com.example.unknown": [1, 2],
    }
    unnamed = {key: foreign[key] for key in ("mediaType", "digest", "size")}
    document = index(store)
    document["manifests"] += [foreign, unnamed]
    document["com.example.more"] = {"a": 1}
    with open(f"{store.layout_path}/index.json", "w") as file:
        json.dump(document, file)
    store.names.set(ref("second"), made.descriptor)
    store.names.remove(ref("ours"))
    found = index(store)
    assert found["com.example.more"] == {"a": 1}
    assert foreign in found["manifests"]
    assert unnamed in found["manifests"]
    assert list(store.names.all()) == ["Their.Name", "second:latest"]


def test_a_name_that_another_tool_wrote_its_way_is_found_and_moved(store):
    one, two = image(store, {"a": b"1"}), image(store, {"a": b"2"})
    document = index(store)
    entry = {"mediaType": media_types.MANIFEST, "digest": str(one.digest), "size": one.descriptor.size}
    document["manifests"].append({**entry, "annotations": {media_types.REF_NAME: "docker.io/library/app"}})
    with open(f"{store.layout_path}/index.json", "w") as file:
        json.dump(document, file)
    assert store.image("app").digest == one.digest
    store.names.set(ref("app"), two.descriptor)
    assert len(index(store)["manifests"]) == 1
    assert store.image("app").digest == two.digest


def test_an_entry_that_makes_no_sense_does_not_hide_the_others(store):
    image(store, {"a": b"1"}, name="ours")
    document = index(store)
    document["manifests"] += [{"annotations": {media_types.REF_NAME: "odd"}, "digest": "sha384:1"}, 7]
    with open(f"{store.layout_path}/index.json", "w") as file:
        json.dump(document, file)
    assert list(store.names.all()) == ["ours:latest"]
    # What it leads to is not known, so nothing is thrown away.
    with pytest.raises(InvalidDocument):
        store.prune()
    assert store.image("ours")


@pytest.mark.parametrize("broken", ["{", "[]", '{"manifests":3}', ""])
def test_a_broken_index_is_told_not_overwritten(store, broken):
    made = image(store, {"a": b"1"})
    path = f"{store.layout_path}/index.json"
    with open(path, "w") as file:
        file.write(broken)
    with pytest.raises(Corrupted) as caught:
        store.names.set(ref("app"), made.descriptor)
    assert "index.json" in str(caught.value)
    with open(path) as file:
        assert file.read() == broken


def test_images_are_found_by_name_digest_and_its_beginning(store):
    made = image(store, {"a": b"1"}, name="hello")
    for wanted in (
        "hello",
        "hello:latest",
        "docker.io/library/hello",
        str(made.digest),
        made.digest.hex[:12],
    ):
        assert store.image(wanted) == store.image(ref("hello")) == made, wanted
    assert store.image(f"hello@{made.digest}") == made


def test_a_name_made_of_hexadecimal_digits_is_a_name_first(store):
    image(store, {"a": b"1"}, name="hello")
    other = image(store, {"a": b"2"})
    prefix = store.image("hello").digest.hex[:6]
    store.names.set(ref(prefix), other.descriptor)
    assert store.image(prefix).digest == other.digest


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("helo", "hello:latest"),
        ("hello:2", "hello:1"),
        ("zzz", "there are hello:1"),
        ("feed", "there are hello:1"),
    ],
)
def test_did_you_mean(store, asked, hint):
    made = image(store, {"a": b"1"}, name="hello")
    store.names.set(ref("hello:1"), made.descriptor)
    with pytest.raises(ImageNotFound) as caught:
        store.image(asked)
    assert hint in caught.value.hint


def test_what_is_no_name_is_told_as_such(store):
    with pytest.raises(InvalidReference):
        store.image("Not A Name")
