"""Whatever somebody left in a directory can be removed."""

import os
import threading
from pathlib import Path

import pytest

from sandcell.runtime.linux.trees import remove, strip
from tests.linux.child import open_below


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    made.mkdir()
    return made


def test_files_links_pipes_and_directories_go(tree: Path) -> None:
    (tree / "a/b/c").mkdir(parents=True)
    (tree / "a/file").write_text("x")
    (tree / "a/b/link").symlink_to("/")
    (tree / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "pipe")
    remove(str(tree))
    assert os.listdir(tree.parent) == []


def test_a_link_is_not_followed(tree: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    (tree / "link").symlink_to(kept)
    remove(str(tree))
    assert (kept / "file").read_text() == "x"
    os.symlink(kept, tmp_path / "itself")
    remove(str(tmp_path / "itself"))
    assert not (tmp_path / "itself").is_symlink()
    assert (kept / "file").exists()


def test_what_is_gone_is_no_error(tmp_path: Path) -> None:
    remove(str(tmp_path / "never-was"))


def test_directories_without_permissions_go(tree: Path) -> None:
    inner = tree / "closed/inner"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    inner.chmod(0o500)
    (tree / "closed").chmod(0)
    remove(str(tree))
    assert not tree.exists()


@pytest.mark.slow
def test_a_tree_deeper_than_any_path_goes(tree: Path) -> None:
    deepest = os.open(tree, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deep-below", dir_fd=deepest)
        inner = os.open("deep-below", os.O_RDONLY, dir_fd=deepest)
        os.close(deepest)
        deepest = inner
    os.close(deepest)
    remove(str(tree))
    assert not tree.exists()


def test_many_siblings_go(tree: Path) -> None:
    for number in range(500):
        (tree / f"d{number}/e").mkdir(parents=True)
    remove(str(tree))
    assert not tree.exists()


@pytest.mark.slow
def test_two_who_remove_the_same_tree_both_succeed(tree: Path) -> None:
    for number in range(300):
        (tree / f"d{number}/e/f").mkdir(parents=True)
        (tree / f"d{number}/file").write_text("x")
    failed: list[BaseException] = []

    def attempt() -> None:
        try:
            remove(str(tree))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failed == []
    remove(str(tree))
    assert not tree.exists()


def test_no_descriptor_stays_open(tree: Path) -> None:
    (tree / "a/b").mkdir(parents=True)
    remove(str(tree))
    remove(str(tree))
    assert open_below(tree.parent) == []


def test_what_is_named_goes_and_what_is_more_stays(tmp_path: Path) -> None:
    for name in ("one", "two"):
        place = tmp_path / name
        (place / "shared/out").mkdir(parents=True)
        (place / "file").touch()
    (tmp_path / "two/shared/more").touch()
    for name in ("one", "two", "nowhere"):
        strip(str(tmp_path / name), ("file", "none"), ("shared/out", "shared"))
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == [
        "two",
        "two/shared",
        "two/shared/more",
    ]
