"""The build context: what a source names, what is left out, and that nothing leads out of it."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from sandcell.runtime.build.context import Context, ContextError
from sandcell.runtime.errors import BadInput


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "context"
    for path in ("app.py", "lib/a.py", "lib/b.txt", "lib/deep/c.py", "docs/README.md", "docs/other.md"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    (root / "here").symlink_to("lib/a.py")
    (root / "libs").symlink_to("lib/../lib")
    (root / "out").symlink_to("../secret")
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "loop").symlink_to("loop")
    (root / "lib" / "up").symlink_to("../../secret")
    (tmp_path / "secret").write_text("no")
    return root


class Records(dict[str, dict[str, Any]]):
    def put(self, key: str, record: dict[str, Any]) -> None:
        self[key] = record


def opened(root: Path) -> Context:
    return Context(str(root), Records())


def listing(root: Path, pattern: str) -> list[tuple[str, list[str]]]:
    with opened(root) as context:
        return [(one.name, [item.path for item in one.items]) for one in context.sources(pattern)]


def test_a_file_a_directory_and_a_link(tree: Path) -> None:
    assert listing(tree, "app.py") == [("app.py", [""])]
    assert listing(tree, "/lib/") == [("lib", ["", "a.py", "b.txt", "deep", "deep/c.py", "up"])]
    with opened(tree) as context:
        (source,) = context.sources("here")
        assert (source.name, source.items[0].place, source.items[0].kind) == ("here", "lib/a.py", "file")
        (source,) = context.sources("libs/deep/../a.py")
        assert source.items[0].place == "lib/a.py"


def test_links_inside_a_directory_stay_links(tree: Path) -> None:
    with opened(tree) as context:
        item = context.sources("lib")[0].items[-1]
        assert (item.path, item.kind, item.link) == ("up", "symlink", "../../secret")


def test_wildcards_name_several_in_order(tree: Path) -> None:
    assert [name for name, _ in listing(tree, "lib/[a-d]*")] == ["a.py", "b.txt", "deep"]
    assert [name for name, _ in listing(tree, "*/*.md")] == ["README.md", "other.md"]
    assert [name for name, _ in listing(tree, "l?b/[ab].*")] == ["a.py", "b.txt"]


@pytest.mark.parametrize(
    ("pattern", "cause", "hint"),
    [
        ("../secret", "outside the build context", "only files below"),
        ("lib/../../secret", "outside the build context", "only files below"),
        ("out", "leads out of the build context, to ../secret", "copy the file itself"),
        ("absolute", "leads out of the build context, to /etc/passwd", "copy the file itself"),
        ("lib/up", "leads out of the build context", "copy the file itself"),
        ("lib/*", "lib/up is a symbolic link that leads out", "copy the file itself"),
        ("loop", "too many symbolic links", ""),
        ("app.pi", "app.pi is not in the build context", "did you mean app.py?"),
        ("lib/aa.py", "lib/aa.py is not in the build context", "did you mean lib/a.py?"),
        ("app.py/x", "not in the build context", ""),
        ("zzzzzz", "not in the build context", "there is: absolute, app.py"),
        ("*.c", "no file of the context matches *.c", ""),
        ("[", "has a [ without its ]", ""),
    ],
)
def test_what_cannot_be_taken_says_why(tree: Path, pattern: str, cause: str, hint: str) -> None:
    with opened(tree) as context, pytest.raises(ContextError) as caught:
        context.sources(pattern)
    assert cause in caught.value.cause
    assert hint in caught.value.hint


def test_the_root_can_be_taken(tree: Path) -> None:
    ((name, paths),) = listing(tree, ".")
    assert name == ""
    assert paths[:3] == ["", "absolute", "app.py"]


def test_dockerignore_leaves_out_and_takes_back(tree: Path) -> None:
    (tree / ".dockerignore").write_text("*\n!docs/README.md\n!lib\nlib/deep\n")
    assert listing(tree, ".") == [
        ("", ["", "docs", "docs/README.md", "lib", "lib/a.py", "lib/b.txt", "lib/up"]),
    ]
    assert listing(tree, "docs") == [("docs", ["", "README.md"])]
    assert [name for name, _ in listing(tree, "docs/*")] == ["README.md"]
    with opened(tree) as context, pytest.raises(ContextError) as caught:
        context.sources("app.py")
    assert caught.value.cause == "app.py is excluded by .dockerignore"
    assert caught.value.hint == "the line is: *"


def test_dockerignore_may_be_a_link_within_the_context(tree: Path) -> None:
    (tree / "docs" / "rules").write_text("*.py")
    (tree / ".dockerignore").symlink_to("docs/rules")
    with opened(tree) as context, pytest.raises(ContextError, match="excluded"):
        context.sources("app.py")


@pytest.mark.parametrize(
    ("target", "cause"),
    [("../secret", "leads out of the build context"), ("nowhere", "not in the build context"),
     (".dockerignore", "too many symbolic links")],
)  # fmt: skip
def test_dockerignore_is_never_a_file_of_the_host(tree: Path, target: str, cause: str) -> None:
    (tree / ".dockerignore").symlink_to(target)
    with pytest.raises(BadInput, match=cause), opened(tree):
        pass


def test_sockets_and_pipes_are_no_content(tree: Path) -> None:
    os.mkfifo(tree / "lib" / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "lib" / "socket"))
    assert listing(tree, "lib/deep") == [("deep", ["", "c.py"])]
    assert "pipe" not in listing(tree, "lib")[0][1]
    with opened(tree) as context, pytest.raises(ContextError, match="neither a file nor a directory"):
        context.sources("lib/pipe")


def test_a_digest_follows_the_content(tree: Path) -> None:
    def digest() -> str:
        with opened(tree) as context:
            return context.digest(context.sources("app.py")[0].items[0])

    first = digest()
    os.utime(tree / "app.py", (1, 1))
    assert digest() == first
    (tree / "app.py").write_text("app.PY")
    os.utime(tree / "app.py", (1, 1))
    assert digest() != first


def test_settled_files_are_not_read_again(tree: Path) -> None:
    reads = []
    records = Records()

    class Counting(Context):
        def open(self, place: str):
            reads.append(place)
            return super().open(place)

    # Both stamps must be old; the inode's own time cannot be set, so an old file of the host stands in.
    old = Path(os.__file__).parent
    for _ in range(2):
        with Counting(str(old), records) as context:
            context.digest(context.sources("os.py")[0].items[0])
    assert reads.count("os.py") == 1


def test_a_damaged_record_costs_only_time(tree: Path) -> None:
    records = Records({f"context {tree}": {"files": {"app.py": "?"}}})
    with Context(str(tree), records) as context:
        assert len(context.digest(context.sources("app.py")[0].items[0])) == 64


def test_a_replaced_directory_is_not_followed(tree: Path) -> None:
    with opened(tree) as context:
        item = context.sources("lib")[0].items[1]
        (tree / "lib").rename(tree / "old")
        (tree / "lib").symlink_to("old")
        with pytest.raises(ContextError, match="cannot be read"):
            context.digest(item)


def test_a_missing_context_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="it cannot be opened"):
        Context(str(tmp_path / "none"), Records())
