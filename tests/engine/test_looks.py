"""What images hold, share and waste: asked of a real store, nothing is unpacked."""

import pytest

from sandcell import Engine
from sandcell.runtime.engine.image_filters import ImageFilters, parse
from sandcell.runtime.engine.values import ImageEntry
from sandcell.runtime.errors import ImageNotFound, InvalidOption, NotFound
from sandcell.runtime.layer.tree import Entry
from sandcell.runtime.oci.config import ImageConfig, RootFs, RunConfig
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.reference import Reference


def file(path: str, data: bytes, **more) -> tuple[Entry, bytes]:
    return Entry(path, "file", more.pop("mode", 0o644), size=len(data), **more), data


def gone(path: str) -> tuple[Entry, None]:
    return Entry(path, "whiteout"), None


BASE = [
    (Entry("d", "dir", 0o755), None),
    file("d/kept", b"1" * 10),
    file("d/gone", b"2" * 100),
    file("same", b"abc"),
]


@pytest.fixture
def engine(tmp_path):
    with Engine(tmp_path / "home", tmp_path / "run") as engine:
        yield engine


def make(engine, name, *layers, labels=None, created=None):
    """An image of layers given as entries with their content."""
    store = engine.store.store
    with store.leases.working():
        new = [store.layers.of_entries(entries) for entries in layers]
        config = ImageConfig(
            architecture="amd64",
            os="linux",
            created=created,
            config=RunConfig(labels=labels or {}),
            rootfs=RootFs(diff_ids=tuple(layer.diff_id for layer in new)),
        )
        image = store.write_image(config, [layer.descriptor for layer in new])
        if name:
            store.names.set(Reference.parse(name), image.descriptor)
    return image


def test_files_of_an_image_and_of_a_layer(engine):
    make(engine, "one", BASE, [gone("d/gone"), file("d/new", b"x", mode=0o600)])
    assert [entry.path for entry in engine.image_files("one")] == ["d", "d/kept", "d/new", "same"]
    assert [str(change) for change in engine.layer_files("one", 2).changes] == ["D /d/gone", "A /d/new"]
    with pytest.raises(NotFound):
        engine.layer_files("one", 3)
    with pytest.raises(ImageNotFound):
        engine.image_files("two")


def test_two_images_differ_by_content_even_if_all_else_is_equal(engine):
    make(engine, "old", BASE)
    make(engine, "new", [*BASE[:-1], file("same", b"xyz")], [gone("d/gone"), file("e", b"")])
    assert [str(change) for change in engine.image_diff("old", "new")] == ["D /d/gone", "A /e", "C /same"]
    assert [str(change) for change in engine.image_diff("new", "old")] == ["A /d/gone", "D /e", "C /same"]
    assert engine.image_diff("old", "old") == ()


def test_equal_files_in_other_layers_are_equal(engine):
    make(engine, "old", BASE)
    make(engine, "new", BASE[:2], BASE[2:])
    assert engine.image_diff("old", "new") == ()


def test_a_hard_link_in_an_equal_layer_may_be_to_another_file(engine):
    link = [(Entry("link", "hardlink", 0o644, link="same"), None)]
    make(engine, "old", BASE, link)
    make(engine, "new", [*BASE[:-1], file("same", b"xyz")], link)
    assert [str(change) for change in engine.image_diff("old", "new")] == ["C /link", "C /same"]


def test_waste_is_what_upper_layers_hide(engine):
    make(engine, "one", BASE, [gone("d/gone"), file("same", b"abcd")], [gone("d"), file("same", b"a")])
    waste = engine.image_waste("one")
    assert [(one.path, one.size, one.number, one.change) for one in waste.files] == [
        ("d/gone", 100, 2, "D"),
        ("d", 10, 3, "D"),
        ("same", 4, 3, "C"),
        ("same", 3, 2, "C"),
    ]
    assert (waste.wasted, waste.total) == (117, 118)
    assert waste.efficiency == pytest.approx(1 / 118)
    make(engine, "none")
    assert engine.image_waste("none").efficiency == 1


def test_who_shares_what_and_what_prune_would_free(engine):
    one = make(engine, "one", BASE)
    make(engine, "two", BASE, [file("e", b"e" * 1000)])
    lost = make(engine, "", [file("lost", b"l")])
    usage = engine.usage()
    by_name = {use.names[0]: use for use in usage.images}
    base = one.layers[0].descriptor.size
    assert by_name["one:latest"].shared == by_name["two:latest"].shared == base
    assert all(use.shared + use.unique == use.size for use in usage.images)
    going = {str(lost.digest), str(lost.manifest.config.digest), str(lost.layers[0].descriptor.digest)}
    assert set(usage.prunable.removed) == going
    assert usage.prunable.size == lost.size
    assert engine.prune(dry_run=True) == usage.prunable
    assert engine.prune() == usage.prunable
    assert engine.usage().prunable.size == 0
    assert engine.usage().blobs == sum(use.unique for use in usage.images) + base


def test_filters(engine):
    make(engine, "old", BASE, labels={"tier": "a"}, created="2020-01-01T00:00:00Z")
    make(engine, "team/new:2", BASE, labels={"tier": "b"}, created="2021-01-01T00:00:00Z")
    lost = make(engine, "", BASE, created="2022-01-01T00:00:00Z")

    def names(*filters):
        return [entry.name for entry in engine.images(filters)]

    assert names() == ["team/new:2", "old:latest"]
    assert names("label=tier") == ["team/new:2", "old:latest"]
    assert names("label=tier=a") == ["old:latest"]
    assert names("label=tier=a", "label=tier=b") == []
    assert names("before=team/new:2") == ["old:latest"]
    assert names("since=old") == ["team/new:2"]
    assert names("reference=team/*") == ["team/new:2"]
    assert names("reference=o*", "reference=*/new:*") == ["team/new:2", "old:latest"]
    assert names("dangling=false") == ["team/new:2", "old:latest"]
    (found,) = engine.images(["dangling=true"])
    assert (found.name, found.digest) == ("", lost.digest)


@pytest.mark.parametrize("text", ["label", "label=", "colour=red", "dangling=perhaps", "=x"])
def test_filters_that_are_none(text):
    with pytest.raises(InvalidOption):
        parse([text], str)


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("tiny", True),
        ("tiny:1", True),
        ("t*", True),
        ("*:2", False),
        ("localhost:5000/tiny", False),
        ("*", True),
    ],
)
def test_patterns(pattern, fits):
    entry = ImageEntry(name="tiny:1", digest=Digest.of(b""), created="", size=0, layers=0)
    assert ImageFilters(references=(pattern,)).match(entry, {}) == fits
