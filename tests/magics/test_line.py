"""The line grammar: POSIX words first, Python values second."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandcell.magics.line import expand, split
from sandcell.runtime.errors import InvalidOption


def words(line: str) -> list[str]:
    return [word.text for word in split(line)]


def expanded(line: str, **names: object) -> list[str]:
    return [expand(word, names) for word in split(line)]


@pytest.mark.parametrize(
    "line",
    [
        "hello:latest --name web",
        "-e 'A=b c' -e \"D=e f\"",
        r"a\ b c",
        "''",
        "\"a 'b' c\" 'd \"e\" f'",
        r'"a\"b\\c\d"',
        "  spaced   out  ",
        "",
        "a''b\"\"c",
    ],
)
def test_splits_as_a_posix_shell(line: str) -> None:
    assert words(line) == shlex.split(line)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_what_shlex_quotes_comes_back(text: str) -> None:
    assert expanded(shlex.quote(text)) == [text]


@pytest.mark.parametrize("line", ["'open", '"open', "a 'b' \"c"])
def test_an_open_quote_is_an_error(line: str) -> None:
    with pytest.raises(InvalidOption, match="never closed"):
        split(line)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_string_arrives_as_it_is(value: str) -> None:
    for line in ("-e K={x}", '-e "K={x}"', "-e K=$x", '-e "K=$x"', "-e K=${x}"):
        assert expanded(line, x=value) == ["-e", "K=" + value]


@pytest.mark.parametrize(
    ("line", "result"),
    [
        ("{x}", "5"),
        ("a{x}b{y}c", "a5btwo wordsc"),
        ('"{x + 1}"', "6"),
        ("{x+1}", "6"),
        ("\"{d['k']}\"", "v"),
        (r'"{d[\"k\"]}"', "v"),
        ("{x:03d}", "005"),
        ("{y!r}", "'two words'"),
        ('"{y!r:>13}"', "  'two words'"),
        ("{[(i*2)for(i)in(range(x))]}", "[0, 2, 4, 6, 8]"),
        ("\"{{'a': 1}['a']}\"", "1"),
        ('"{dict(a=1)}"', "{'a': 1}"),
        ("$x$y", "5two words"),
        ("${x}y", "5y"),
        ("$x.txt", "5.txt"),
        ("$$x", "$x"),
        ("a$", "a$"),
        ("$1", "$1"),
        ("'$x {x}'", "$x {x}"),
        (r"\$x", "$x"),
        (r'"\$x"', "$x"),
        (r"\{x\}", "{x}"),
        ("{{.Names}}", "{{.Names}}"),
        ("{}", "{}"),
        (r'"{\"a\": {\"b\": [1]}}"', '{"a": {"b": [1]}}'),
        ("'{\"a\": 1}'", '{"a": 1}'),
        ("{b}", "bytes"),
    ],
)
def test_expansion(line: str, result: str) -> None:
    assert expanded(line, x=5, y="two words", d={"k": "v"}, b=b"bytes") == [result]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("-e K={nope}", "'nope' is not defined"),
        ("-e K=$nope", "'nope' is not defined"),
        ('"{x + nope}"', "'nope' is not defined"),
        ("{1/0}", "ZeroDivisionError"),
        ("{x +", "never closed"),
        ('"{print $1}"', "not a Python expression"),
        ("${x", "never closed"),
        ("{d['k']}", "takes the quotes"),
        ('{"a":1}', "takes the quotes"),
    ],
)
def test_errors_name_what_is_wrong(line: str, told: str) -> None:
    with pytest.raises(InvalidOption, match=told.replace("(", r"\(")):
        expanded(line, x=5, d={"k": "v"})


def test_a_name_of_the_calling_function_wins() -> None:
    (word,) = split('"{[a + i for i in b]}"')
    assert expand(word, {"a": 1, "b": [0]}, {"b": [1, 2]}) == "[2, 3]"
    assert expand(split("$b")[0], {"b": 1}, {"b": 2}) == "2"


def test_the_notebook_is_not_changed_by_an_expression() -> None:
    names = {"x": 1}
    assert expand(split("{x}")[0], names) == "1"
    assert names == {"x": 1}


def test_places_in_the_line() -> None:
    line = "  web --name  'a b' "
    assert [line[word.start : word.end] for word in split(line)] == ["web", "--name", "'a b'"]
