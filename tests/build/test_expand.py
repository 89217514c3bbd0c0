"""Variables in words: the table of the Dockerfile reference, and the shell as a witness."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandcell.runtime.build.expand import (
    ExpansionError,
    expand,
    expand_lines,
    raw_words,
)

VARIABLES = {"x": "one", "empty": "", "path": "/usr/local/lib.tar.gz", "words": "a b", "ü": "umlaut"}


@pytest.mark.parametrize(
    ("word", "result"),
    [
        ("plain", "plain"),
        ("$x", "one"),
        ("${x}", "one"),
        ("$x$x", "oneone"),
        ("${x}y", "oney"),
        ("$xy", ""),
        ("$ü", "umlaut"),
        (r"\$x", "$x"),
        ("'$x'", "$x"),
        ('"$x"', "one"),
        (r'"\$x \" \\ \n"', r'$x " \ \n'),
        (r"a\ b", "a b"),
        ("'a'\"b\"c", "abc"),
        ("$", "$"),
        ("$/", "$/"),
        ("$1x", "x"),
        ("${unset}", ""),
        ("${unset:-word}", "word"),
        ("${empty:-word}", "word"),
        ("${empty-word}", ""),
        ("${unset-$x}", "one"),
        ("${unset:-'$x'}", "$x"),
        ("${unset:-${empty:-deep}}", "deep"),
        ("${x:+word}", "word"),
        ("${empty:+word}", ""),
        ("${empty+word}", "word"),
        ("${unset+word}", ""),
        ("${x:?told}", "one"),
        ("${empty?told}", ""),
        ("${path#*/}", "usr/local/lib.tar.gz"),
        ("${path##*/}", "lib.tar.gz"),
        ("${path%.*}", "/usr/local/lib.tar"),
        ("${path%%.*}", "/usr/local/lib"),
        ("${path#nothing}", "/usr/local/lib.tar.gz"),
        ("${path/l/L}", "/usr/Local/lib.tar.gz"),
        ("${path//l/L}", "/usr/LocaL/Lib.tar.gz"),
        (r"${path//\//:}", ":usr:local:lib.tar.gz"),
        ("${path/l*/$x}", "/usr/one"),
        ("${path//./}", "/usr/local/libtargz"),
    ],
)
def test_a_word_is_expanded(word: str, result: str) -> None:
    assert expand(word, VARIABLES) == result


@pytest.mark.parametrize(
    ("word", "cause"),
    [
        ("'a", "single quote"),
        ('"a', "double quote"),
        ("${x", "'}' is missing"),
        ("${", "'}' is missing"),
        ("${x:-a", "'}' is missing"),
        ("${x/a}", "'/' is missing"),
        ("${}", "name of a variable"),
        ("${:-a}", "name of a variable"),
        ("${x!y}", "'!' is no modifier"),
        ("${x:!y}", "':!' is no modifier"),
        ("${unset:?say why}", "unset: say why"),
        ("${unset?}", "unset: is not set"),
        ("${empty:?}", "empty: is empty"),
    ],
)
def test_a_faulty_word_says_why(word: str, cause: str) -> None:
    with pytest.raises(ExpansionError, match=cause.replace("?", r"\?")):
        expand(word, VARIABLES)


def test_the_escape_character_can_be_another() -> None:
    assert expand(r"c:\dir`$x", VARIABLES, escape="`") == r"c:\dir$x"


def test_raw_words_stay_as_written() -> None:
    assert raw_words("a 'b c' \"$x d\" ${x:-e} \\ g") == ("a", "'b c'", '"$x d"', "${x:-e}", "\\ g")


def test_a_here_document_keeps_its_quotes() -> None:
    assert expand_lines("a = '$x' \"\n\\$x\n", VARIABLES) == "a = 'one' \"\n$x\n"


PLAIN = ["a", "b.c", "/", "$x", "${x}", "${path%.*}", "${path##*/}", "${unset:-d}", "${empty:+e}", "${x:+f}"]
QUOTED = ["'q r'", '"s $x t"', '"${path#*l}"', r"\$", '"\\$x"', "${unset-'u v'}", '"${unset:-$x}"']
PIECES = st.sampled_from([*PLAIN, *QUOTED])


@settings(max_examples=60, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=8).map("".join))
def test_a_shell_expands_it_the_same_way(word: str) -> None:
    script = f'v={word}; printf "%s" "$v"'
    shell = subprocess.run(["/bin/sh", "-c", script], env=VARIABLES, capture_output=True, check=True)
    assert expand(word, VARIABLES) == shell.stdout.decode()
