"""A tree that is packed, unpacked and packed again is the same tree, and the same bytes."""

import io
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings

from sandcell.runtime.layer.pack import pack
from sandcell.runtime.layer.tree import Tree, apply, compare
from sandcell.runtime.oci.digest import Digest

from . import trees


def _packed(root: Path) -> bytes:
    out = io.BytesIO()
    pack(str(root), out)
    return out.getvalue()


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(trees.rows())
def test_pack_unpack_pack(made):
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder, "one"), Path(folder, "two")
        trees.put(made, one)
        first = _packed(one)
        from .archives import unpacked

        unpacked(first, two)
        assert _packed(two) == first
        wanted = apply(Tree(), [_with_digest(entry, data) for entry, data in made])
        found = trees.look(two)
        assert list(found.entries) == list(wanted.entries)
        assert compare(wanted, found) == ()
        times = {path: entry.mtime for path, entry in wanted.entries.items()}
        assert {path: entry.mtime for path, entry in found.entries.items()} == times


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(trees.rows(), trees.rows())
def test_compare_is_told_apart_and_undone(first, second):
    old = apply(Tree(), [_with_digest(entry, data) for entry, data in first])
    new = apply(Tree(), [_with_digest(entry, data) for entry, data in second])
    there = compare(old, new)
    assert (there == ()) == (compare(new, old) == ())
    # The changes, put on top as a layer, make the new tree of the old one.
    layer = [
        msgspec.structs.replace(change.entry, kind="whiteout") if change.kind == "D" else change.entry
        for change in there
    ]
    assert compare(apply(old, layer), new) == ()


def _with_digest(entry, data):
    return entry if data is None else msgspec.structs.replace(entry, digest=Digest.of(data))
