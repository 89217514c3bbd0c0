"""Wildcards and .dockerignore; the tables follow the Dockerfile reference and moby's behaviour."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandcell.runtime.build.patterns import BadPattern, IgnoreRules, clean, compile_pattern, has_wildcard
from sandcell.runtime.errors import BadInput


@pytest.mark.parametrize(
    ("pattern", "matches", "misses"),
    [
        ("*.py", ["a.py", ".py"], ["a.pyc", "a/b.py"]),
        ("a?c", ["abc"], ["ac", "a/c"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "x"]),
        ("[^a-c]x", ["dx"], ["ax", "/x"]),
        ("[]a]", ["]", "a"], ["b"]),
        (r"\*", ["*"], ["a"]),
        (r"[\]]", ["]"], ["\\"]),
        ("[+--]", [",", "-"], ["/", "."]),
        ("[--.]", ["-", "."], [","]),
        ("[a-b-d]", ["b", "d", "-"], ["c"]),
        ("[~&&[]", ["~", "&", "["], ["a"]),
        ("a.b", ["a.b"], ["axb"]),
        ("a**b", ["ab", "axxb"], ["a/b"]),
        ("(a|b)+$", ["(a|b)+$"], ["a"]),
    ],
)
def test_a_wildcard_stays_within_a_name(pattern: str, matches: list[str], misses: list[str]) -> None:
    compiled = compile_pattern(pattern)
    assert [name for name in matches if not compiled.fullmatch(name)] == []
    assert [name for name in misses if compiled.fullmatch(name)] == []


@pytest.mark.parametrize("pattern", ["[a", "[", "[]", "[^", "a\\", "[z-a]"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        compile_pattern(pattern)


IGNORE = [
    ("*", "fileutils.go", True),
    ("*.go", "a/b.go", False),
    ("**/*.go", "a/b/c.go", True),
    ("**/*.go", "c.go", True),
    ("docs", "docs/README.md", True),
    ("docs/", "docs/README.md", True),
    ("/docs", "docs/x", True),
    ("./docs", "docs/x", True),
    ("docs", "other/docs", False),
    ("**/docs", "other/docs/x", True),
    ("docs/**", "docs/a/b", True),
    ("docs/**", "docs", False),
    ("a/**/b", "a/b", True),
    ("a/**/b", "a/x/y/b", True),
    ("**", "a/b", True),
    ("**/", "a/b", True),
    ("*/*/a", "x/y/a", True),
    ("*/a", "x/y/a", False),
    ("**file", "abc/file", True),
    ("**/foo/**", "x/foo/bar", True),
    ("*.md\n!README.md", "README.md", False),
    ("*.md\n!README.md", "other.md", True),
    ("!README.md\n*.md", "README.md", True),
    ("docs\n!docs/README.md", "docs/README.md", False),
    ("docs\n!docs/README.md", "docs/other", True),
    ("docs\n!docs", "docs/x", False),
    ("# comment\n\n  \n a ", "a", True),
    (" #b", "#b", True),
    ("a\n! a", "a", False),
    (".", "a", False),
    ("a/../b", "b", True),
    ("[ab].txt", "a.txt", True),
    (r"\!a", "!a", True),
    ("a(b)", "a(b)", True),
    # A line ends with a line feed, perhaps after a carriage return, and nowhere else.
    ("a\r\nb\r\n", "b", True),
    ("a\x0cb", "b", False),
    ("a\u2028b", "a\u2028b", True),
    ("\ufeff# comment\nb", "b", True),
    ("\ufeffa", "a", True),
    ("/", "a", False),
    ("a/b\n!a", "a/b", False),
    ("**\n!**/keep", "x/keep", False),
    ("**\n!**/keep", "x/other", True),
]


@pytest.mark.parametrize(("text", "path", "excluded"), IGNORE)
def test_dockerignore(text: str, path: str, excluded: bool) -> None:
    assert bool(IgnoreRules(text).excluded_by(path)) is excluded


def test_the_line_that_excludes_is_named() -> None:
    assert IgnoreRules("*.log\n build/ ").excluded_by("build/x") == "build/"


@pytest.mark.parametrize(("text", "line"), [("a\n!", 2), ("[", 1)])
def test_a_faulty_line_is_named(text: str, line: int) -> None:
    with pytest.raises(BadInput, match=f"line {line}"):
        IgnoreRules(text)


@given(st.text(alphabet="ab/*?[]\\^-.!#", max_size=12), st.text(alphabet="ab/", min_size=1, max_size=8))
def test_any_text_is_a_rule_or_a_clear_error(text: str, path: str) -> None:
    try:
        IgnoreRules(text).excluded_by(clean(path))
    except BadInput as error:
        assert error.cause


def test_paths_are_cleaned() -> None:
    assert [clean(path) for path in ("/a//b/", "./a/../b", "..", "a/..", "../../a/..")] == [
        "a/b",
        "b",
        "..",
        "",
        "../..",
    ]


def test_a_plain_path_is_no_wildcard() -> None:
    assert not has_wildcard("a/b.c")
    assert has_wildcard("a/*.c")
