"""What people type is read as docker reads it, and nonsense is refused with a hint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandcell.runtime.container.options import (
    Options,
    Volume,
    parse_cpus,
    parse_env,
    parse_memory,
    parse_volume,
)
from sandcell.runtime.errors import InvalidOption


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("1", 1),
        ("64m", 64 << 20),
        ("1g", 1 << 30),
        ("1.5g", 3 << 29),
        ("512k", 512 << 10),
        ("2GiB", 2 << 30),
        ("10MB", 10 << 20),
    ],
)
def test_memory_is_read_in_powers_of_1024(text: str, bytes_: int) -> None:
    assert parse_memory(text) == bytes_


@pytest.mark.parametrize("text", ["", "m", "-1g", "1x", "1 g b", "1e9", "g1"])
def test_a_memory_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse_memory(text)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "zero", "-1", "0", "nan", "inf"])
def test_a_number_of_processors_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption):
        parse_cpus(text)


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        ("/a:/b", Volume("/a", "/b")),
        ("/a:/b:ro", Volume("/a", "/b", True)),
        ("/a:/b:rw", Volume("/a", "/b")),
        ("/a", Volume("", "/a")),
    ],
)
def test_volumes(text: str, volume: Volume) -> None:
    assert parse_volume(text) == volume


@pytest.mark.parametrize(
    "text", ["a", "/", "../a:/b", "/a:b", "/a:/", "/a:/b:xx", "/a:/b:ro:ro", ":/b", "/a:/b:rshared"]
)
def test_volumes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InvalidOption):
        parse_volume(text)


def test_a_variable_without_value_comes_from_the_environment_as_docker_has_it() -> None:
    assert parse_env("LANG", {"LANG": "C"}) == ("LANG", "C")
    with pytest.raises(InvalidOption):
        parse_env("LANG", {})


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_every_value_of_a_variable_is_kept_as_it_is(value: str) -> None:
    assert parse_env(f"K={value}") == ("K", value)


@pytest.mark.parametrize(
    "options",
    [
        Options(name="-x"),
        Options(name="a b"),
        Options(hostname="a_b"),
        Options(network="a b"),
        Options(network="container:"),
        Options(memory=1),
        Options(cpus=0.0),
        Options(pids_limit=-2),
        Options(workdir="relative"),
        Options(env={"A=B": "c"}),
        Options(env={"A": "b\0c"}),
        Options(files={"a/b": b""}),
        Options(volumes=("nonsense",)),
    ],
    ids=lambda options: str(options)[:40],
)
def test_options_that_make_no_sense_are_refused_with_one_error(options: Options) -> None:
    with pytest.raises(InvalidOption) as caught:
        options.check()
    assert str(caught.value)


def test_sensible_options_are_given_back_as_they_are() -> None:
    options = Options(name="web-1", memory=64 << 20, cpus=0.5, env={"A": "b=c"}, network="host")
    assert options.check() is options
