"""What comes out of a container is not trusted."""

import os
from pathlib import Path

import pytest

from sandcell.magics.deliver import deliver
from sandcell.magics.exchange import fetch, send
from sandcell.runtime.errors import InvalidOption


@pytest.mark.parametrize(
    ("file", "data", "value"),
    [
        ("x", b"text\n", "text\n"),
        ("x", b"\xff\xfe", b"\xff\xfe"),
        ("x.str", "täxt".encode(), "täxt"),
        ("x.bytes", b"text", b"text"),
        ("x.json", b'{"a": [1, null]}', {"a": [1, None]}),
        ("x", b"", ""),
    ],
)
def test_values(tmp_path: Path, file: str, data: bytes, value: object) -> None:
    (tmp_path / file).write_bytes(data)
    assert fetch(tmp_path, ["x"]) == {"x": value}


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("/etc/passwd")
    with pytest.raises(InvalidOption, match="cannot be read"):
        fetch(tmp_path, ["x"])


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x").mkdir() if kind == "directory" else os.mkfifo(tmp_path / "x")
    with pytest.raises(InvalidOption, match="not a regular file"):
        fetch(tmp_path, ["x"])


def test_a_value_larger_than_memory_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InvalidOption, match="more than"):
        fetch(tmp_path, ["x"])


def test_json_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[1,")
    with pytest.raises(InvalidOption, match="not JSON"):
        fetch(tmp_path, ["x"])
    (tmp_path / "x.json").write_text("[" * 100_000)
    with pytest.raises(InvalidOption, match="not JSON"):
        fetch(tmp_path, ["x"])


@pytest.mark.parametrize("name", ["../x", "a b", "", "1x", "a/b", "class", "x" * 300])
def test_names_are_variables(name: str) -> None:
    with pytest.raises(InvalidOption):
        send(deliver("x"), [name], [], {name: 1})
    with pytest.raises(InvalidOption):
        send(deliver("x"), [], [name], {})


def test_shells_get_text_and_numbers_as_variables() -> None:
    names = {"s": "a\nb", "n": 5, "f": 0.1, "d": [1], "t": True, "long": "x" * 200_000, "nul": "a\0b"}
    sent = send(deliver("x"), list(names), [], names)
    assert {key: value for key, value in sent.env.items() if not value.startswith("/")} == {
        "s": "a\nb",
        "n": "5",
        "f": "0.1",
    }
    assert {key for key, value in sent.env.items() if value == f"/run/sandcell/in/{key}"} == {
        "d",
        "t",
        "long",
        "nul",
    }
    assert sent.delivery.files["in/d"] == b"[1]"


def test_an_alias_is_the_name_inside() -> None:
    assert send(deliver("x"), ["s=word"], [], {"s": "v"}).env == {"word": "v"}


def test_python_gets_no_variables_in_its_environment() -> None:
    sent = send(deliver("x", interpreter="python3"), ["s"], ["r"], {"s": "v"})
    assert sent.env == {"SANDCELL_OUT": "/run/sandcell/out"}
    assert sent.delivery.files["exchange.json"] == b'{"send": {"s": "str"}, "fetch": ["r"]}'


def test_inside_a_container_paths_are_completed_there() -> None:
    sent = send(deliver("x", room="{dir}"), ["d"], [], {"d": {}}, room="{dir}")
    assert sent.delivery.command == ("env", "d={dir}/in/d", "/bin/sh", "{dir}/cell")
    assert sent.env == {}
