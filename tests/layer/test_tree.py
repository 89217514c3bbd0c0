from sandcell.runtime.layer.tree import Change, Entry, Tree, apply, compare
from sandcell.runtime.oci.digest import Digest


def file(path: str, content: bytes = b"", **fields) -> Entry:
    return Entry(path, "file", 0o644, size=len(content), digest=Digest.of(content), **fields)


def folder(path: str, mode: int = 0o755) -> Entry:
    return Entry(path, "dir", mode)


def gone(path: str) -> Entry:
    return Entry(path, "whiteout")


def tree(*entries: Entry) -> Tree:
    return apply(Tree(), entries)


def listed(*changes: Change) -> list[str]:
    return [str(change) for change in changes]


BASE = tree(
    folder("etc"), file("etc/a", b"1"), folder("etc/d"), file("etc/d/x"), Entry("bin", "symlink", link="usr")
)


def test_layers_add_up():
    new = apply(BASE, [file("etc/a", b"2"), file("new/deep/f")])
    assert list(new.entries) == ["bin", "etc", "etc/a", "etc/d", "etc/d/x", "new", "new/deep", "new/deep/f"]
    assert new.entries["etc/a"].digest == Digest.of(b"2")
    assert new.entries["new"].mode == 0o755


def test_order_is_a_walk():
    assert list(tree(folder("a"), file("a/b"), file("a-b"), file("a.b")).entries) == [
        "a",
        "a/b",
        "a-b",
        "a.b",
    ]


def test_whiteouts_concern_what_is_below_only():
    assert "etc/d/x" not in apply(BASE, [gone("etc/d")]).entries
    new = apply(BASE, [folder("etc/d"), file("etc/d/y"), gone("etc/d")])
    assert [path for path in new.entries if path.startswith("etc/d")] == ["etc/d", "etc/d/y"]


def test_opaque_directories_start_afresh():
    new = apply(BASE, [folder("etc", 0o700), file("etc/b"), Entry("etc", "opaque")])
    assert [path for path in new.entries if path.startswith("etc")] == ["etc", "etc/b"]
    assert list(apply(BASE, [Entry("", "opaque"), file("only")]).entries) == ["only"]


def test_a_file_takes_the_place_of_a_directory_and_back():
    assert list(apply(BASE, [file("etc")]).entries) == ["bin", "etc"]
    assert list(apply(BASE, [folder("bin"), file("bin/sh")]).entries)[:2] == ["bin", "bin/sh"]
    assert list(tree(folder("a"), file("a/b"), file("a")).entries) == ["a"]


def test_parents_not_mentioned_stay_as_they_were():
    old = tree(folder("tmp", 0o1777))
    assert apply(old, [file("tmp/x")]).entries["tmp"].mode == 0o1777


def test_hard_links_are_their_file():
    new = apply(BASE, [Entry("etc/link", "hardlink", link="etc/a")])
    assert new.entries["etc/link"] == file("etc/link", b"1", link="etc/a")


def test_compare_tells_added_changed_deleted():
    new = apply(
        BASE, [gone("etc/d"), file("etc/a", b"2"), folder("opt"), file("opt/f"), folder("etc", 0o700)]
    )
    assert listed(*compare(BASE, new)) == ["C /etc", "C /etc/a", "D /etc/d", "A /opt", "A /opt/f"]
    assert compare(BASE, BASE) == ()


def test_times_and_lost_children_do_not_count():
    touched = apply(BASE, [file("etc/a", b"1", mtime=99), Entry("etc", "dir", 0o755, mtime=99)])
    assert compare(BASE, touched) == ()
    replaced = apply(BASE, [file("etc")])
    assert listed(*compare(BASE, replaced)) == ["C /etc"]


def test_every_part_of_an_entry_counts():
    for change in (
        {"mode": 0o600},
        {"uid": 1},
        {"gid": 1},
        {"xattrs": {"user.a": b""}},
        {"size": 5},
        {"kind": "fifo"},
        {"digest": Digest.of(b"other")},
    ):
        new = Tree(BASE.entries | {"etc/a": file("etc/a", b"1") if not change else _with(change)})
        assert listed(*compare(BASE, new)) == ["C /etc/a"], change


def _with(change: dict) -> Entry:
    import msgspec

    return msgspec.structs.replace(BASE.entries["etc/a"], **change)
