"""What a layer's archive does to the files below, told from the archive alone."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandcell.runtime.layer.listing import LayerFiles, content, entries, layer_files
from sandcell.runtime.layer.tar_read import TarReader
from sandcell.runtime.layer.tree import Entry, Tree, apply

BELOW = (
    Entry("etc", "dir", 0o755),
    Entry("etc/motd", "file", 0o644, size=100),
    Entry("etc/keep", "file", 0o644, size=7),
    Entry("lib", "dir", 0o755),
    Entry("lib/a", "file", 0o644, size=1000),
    Entry("lib/b", "file", 0o644, size=2000),
)


def archive(*members: tuple[str, bytes | None]) -> io.BytesIO:
    """A tar of these names: a directory where there are no bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
            member.mode = 0o755 if data is None else 0o644
            member.size = len(data or b"")
            tar.addfile(member, io.BytesIO(data or b""))
    out.seek(0)
    return out


def told(*members: tuple[str, bytes | None]) -> tuple[LayerFiles, Tree]:
    return layer_files(
        apply(Tree(), BELOW), tuple(entry for entry, _ in entries(TarReader(archive(*members).read)))
    )


def signs(files: LayerFiles) -> list[str]:
    return [str(change) for change in files.changes]


def test_added_changed_and_deleted_files_are_told_apart_and_what_they_waste() -> None:
    files, after = told(("etc", None), ("etc/motd", b"new"), ("etc/.wh.keep", b""), ("etc/more", b"x"))
    assert signs(files) == ["D /etc/keep", "A /etc/more", "C /etc/motd"]
    assert files.wasted == {"etc/keep": 7, "etc/motd": 100}
    assert "etc/keep" not in after.entries


def test_a_deleted_directory_wastes_all_that_is_below_it() -> None:
    files, _ = told((".wh.lib", b""))
    assert signs(files) == ["D /lib"]
    assert files.wasted == {"lib": 3000}


def test_an_opaque_directory_deletes_what_it_does_not_bring_again() -> None:
    files, _ = told(("lib", None), ("lib/.wh..wh..opq", b""), ("lib/a", b"again"))
    assert signs(files) == ["C /lib/a", "D /lib/b"]
    assert files.wasted == {"lib/a": 1000, "lib/b": 2000}


def test_an_equal_file_brought_again_is_stored_twice() -> None:
    files, _ = told(("etc/motd", b"x" * 100))
    assert signs(files) == ["C /etc/motd"]
    assert files.wasted == {"etc/motd": 100}


def test_a_directory_that_is_only_mentioned_is_no_change() -> None:
    files, _ = told(("etc", None), ("lib", None))
    assert files == LayerFiles(())


def test_the_bytes_of_a_file() -> None:
    stream = archive(("a", None), ("a/b", b"0123456789"))
    assert content(stream, "a/b", 4) == b"0123"
    assert content(archive(("a", None)), "a", 4) is None
    assert content(archive(("./a/b", b"x")), "a/b", 4) == b"x"


NAMES = st.lists(st.sampled_from(["etc", "etc/motd", "etc/keep", "lib/a", "lib/c", "x", "x/y"]), unique=True)


@given(NAMES, NAMES)
def test_the_tree_after_is_the_one_that_unpacking_gives(first: list[str], second: list[str]) -> None:
    def layer(names: list[str]) -> tuple[Entry, ...]:
        return tuple(Entry(name, "file", 0o644, size=len(name)) for name in names)

    below = apply(Tree(), layer(first))
    files, after = layer_files(below, layer(second))
    assert after == apply(below, layer(second))
    for change in files.changes:
        assert (change.path in below.entries) == (change.kind != "A")


def test_an_opaque_root_deletes_what_lies_in_it_and_each_directory_with_all_its_bytes() -> None:
    files, after = told((".wh..wh..opq", b""), ("new", b"n"))
    assert signs(files) == ["D /etc", "D /lib", "A /new"]
    assert files.wasted == {"etc": 107, "lib": 3000}
    assert list(after.entries) == ["new"]


def test_names_around_a_directory_are_not_in_it() -> None:
    below = apply(Tree(), (*BELOW, Entry("lib!", "file", size=5), Entry("lib0/a", "file", size=5)))
    files, after = layer_files(below, (Entry("lib", "opaque"), Entry("lib", "dir", 0o755)))
    assert signs(files) == ["D /lib/a", "D /lib/b"]
    assert "lib!" in after.entries and "lib0/a" in after.entries


@pytest.mark.slow
@pytest.mark.timeout(30)
def test_a_layer_that_deletes_and_empties_everything_many_times_is_told_in_time() -> None:
    # Each of these asked of every other one would be a billion questions.
    many = 20_000
    below = apply(Tree(), (Entry(f"d{n}/f", "file", size=1) for n in range(many)))
    hostile = (
        *(Entry(f"d{n}", "opaque") for n in range(many)),
        *(Entry("", "opaque") for _ in range(many)),
        *(Entry(f"d{n}", "whiteout") for n in range(many)),
        *(Entry("x", kind) for _ in range(many) for kind in ("dir", "file")),
    )
    files, after = layer_files(below, hostile)
    assert len(files.wasted) == 2 * many and list(after.entries) == ["x"]
