"""The inspector's picture as plain values, and its file tree."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sandcell.magics.inspector.files import Files
from sandcell.magics.inspector.model import container_value, difference, image_value, patched
from sandcell.runtime.container.options import Options
from sandcell.runtime.engine.values import Container
from sandcell.runtime.layer.tree import Change, Entry
from sandcell.runtime.linux.host_model import Facet
from sandcell.runtime.oci.digest import Digest
from tests.magics.fake_engine import change, image

THINGS = st.dictionaries(st.sampled_from("abcdef"), st.dictionaries(st.sampled_from("xy"), st.integers(0, 3)))
STATES = st.fixed_dictionaries({"images": THINGS, "containers": THINGS})


@given(STATES, STATES)
def test_a_patch_makes_the_new_state_of_the_old(old: Any, new: Any) -> None:
    patch = difference(old, new)
    assert patched(old, patch) == new
    assert (patch == {}) == (old == new)


def test_what_two_images_share_has_the_same_key_in_both() -> None:
    one = image_value(image(("FROM host", 10), ("RUN a", 5)), ["one"])
    other = image_value(image(("FROM host", 10), ("RUN b", 6)), ["other"])
    assert one["layers"][0]["chain"] == other["layers"][0]["chain"]
    assert one["layers"][1]["chain"] != other["layers"][1]["chain"]
    assert [layer["text"] for layer in one["layers"]] == ["FROM host", "RUN a"]


def test_values_survive_any_encoder() -> None:
    container = Container(
        id="1" * 64,
        name="web",
        image="hello",
        image_digest=Digest.of(b"x"),
        command=("sh", "-c", "\udcff<script>"),
        created=1.0,
        state="exited",
        exit_status=3,
        facets=(Facet("files", "real"), Facet("network", "shared", "no \udce9")),
        options=Options(labels={"a": "b"}),
    )
    value = container_value(container)
    assert json.loads(json.dumps(value, ensure_ascii=False).encode()) == value
    assert [facet["name"] for facet in value["facets"]] == ["network"]
    assert value["command"] == "sh -c \\udcff<script>"


def test_a_directory_is_given_in_windows_with_folders_first() -> None:
    files = Files([change("A", f"d/f{number:05}", 2) for number in range(50_000)])
    top = files.rows("")
    assert top["rows"] == [
        {
            "path": "d", "name": "d", "change": "", "kind": "dir", "size": 100_000, "open": True,
            "counts": [50_000, 0, 0], "wasted": 0,
        }
    ]  # fmt: skip
    window = files.rows("d", 20_000, 3)
    assert window["total"] == 50_000
    assert [row["name"] for row in window["rows"]] == ["f20000", "f20001", "f20002"]
    assert len(files.rows("d", 0, 10**9)["rows"]) == 1000
    assert files.rows("nowhere")["rows"] == files.rows("d/f00000")["rows"] == []


def test_changes_are_added_up_to_the_top() -> None:
    changes = [change("A", "a/b/new", 5), change("C", "a/old", 7), change("D", "a/gone", 3)]
    files = Files(changes, {"a/old": 6, "a/gone": 3})
    assert files.totals() == {"counts": [1, 1, 1], "size": 12, "wasted": 9, "files": 3}
    rows = files.rows("a")["rows"]
    assert [(row["name"], row["change"]) for row in rows] == [("b", ""), ("gone", "D"), ("old", "C")]
    assert rows[2]["wasted"] == 6


def test_a_whole_image_is_a_tree_without_marks() -> None:
    entries = [
        Entry("bin", "dir"),
        Entry("bin/sh", "file", size=5),
        Entry("bin/ash", "file", size=5, link="bin/sh"),
    ]
    files = Files(whole=entries)
    assert files.totals() == {"counts": [0, 0, 0], "size": 5, "wasted": 0, "files": 2}
    assert [(row["name"], row["change"]) for row in files.rows("bin")["rows"]] == [("ash", ""), ("sh", "")]
    assert files.holds("bin/sh")
    assert not files.holds("bin/zsh")


def test_a_deleted_directory_is_a_row_and_an_added_one_opens() -> None:
    entry = Entry("x", "dir", 0o755)
    files = Files([Change("D", "x", entry), Change("A", "y", Entry("y", "dir")), change("A", "y/z", 1)])
    gone, added = sorted(files.rows("")["rows"], key=lambda row: row["name"])
    assert (gone["change"], "open" in gone) == ("D", False)
    assert (added["change"], added["open"], added["counts"]) == ("A", True, [1, 0, 0])


def test_files_are_found_by_any_part_of_their_path() -> None:
    files = Files([change("A", "etc/Motd"), change("A", "usr/share/motd.d/x"), change("A", "bin/sh")])
    assert [row["path"] for row in files.search("motd")["rows"]] == ["etc/Motd", "usr/share/motd.d/x"]
