"""Tab: sub-commands, flags, names, instructions."""

from collections.abc import Iterable

import IPython
import pytest
from IPython.core.completer import provisionalcompleter

from sandcell.magics.completion import offers
from tests.magics.conftest import Notebook


def names(kind: str) -> Iterable[str]:
    return {
        "image": ["hello:latest", "hello", "host"],
        "container": ["web", "worker"],
        "network": ["front"],
    }.get(kind, [])


@pytest.mark.parametrize(
    ("before", "word", "expected"),
    [
        ("%container ", "", "run"),
        ("%container st", "st", "start"),
        ("  %container st", "st", "stop"),
        ("%container rm w", "w", "worker"),
        ("%container rm web w", "w", "worker"),
        ("%container logs --ta", "--ta", "--tail"),
        ("%container run --rm he", "he", "hello:latest"),
        ("%image history hello:l", "hello:l", "hello:latest"),
        ("%image ", "", "history"),
        ("%sandcell d", "d", "doctor"),
        ("%%container he", "he", "hello"),
        ("%%container --in w", "w", "web"),
        ("%%container hello --no-r", "--no-r", "--no-raise-error"),
        ("%%container hello --cap", "--cap", "--cap-add"),
        ("%%container hello --network f", "f", "front"),
        ("%container run --network front --network f", "f", "front"),
        ("%%image hello --no", "--no", "--no-cache"),
        ("%%image hello\nFR", "FR", "FROM"),
        ("%%image hello\nfr", "fr", "FROM"),
        ("%%image hello\nFROM ho", "ho", "host"),
        ("%%image hello\nFROM host\nRU", "RU", "RUN"),
        ("x = 1\n%container st", "st", "stop"),
    ],
)
def test_offers(before: str, word: str, expected: str) -> None:
    found = offers(before, names)
    assert found is not None
    assert found[0] == word
    assert expected in found[1]


@pytest.mark.parametrize(
    "before",
    [
        "%contain",
        "%container",
        "import o",
        "x.y",
        "%%container host\nls /et",
        "%%image hello\nRUN apt-get in",
        "%%bash\ncontainer ",
        "%timeit x",
        "%%image hello\nCOPY x",
    ],
)
def test_nothing_of_ours(before: str) -> None:
    assert offers(before, names) is None


@pytest.mark.parametrize(
    "before",
    [
        "%container run hello w",
        "%%container hello he",
        "%container exec web w",
        "%container logs -n ",
        "%image ls x",
    ],
)
def test_nothing_to_offer(before: str) -> None:
    found = offers(before, names)
    assert found is not None
    assert found[1] == []


def test_flags_that_begin_so_are_offered() -> None:
    found = offers("%%container hello --p", names)
    assert found is not None
    assert found[1] == ["--pid", "--pids-limit", "--publish", "--publish-all"]


def completions(notebook: Notebook, text: str) -> list[str]:
    notebook("%container ls")
    with provisionalcompleter():
        return [
            text[: found.start] + found.text + text[found.end :]
            for found in notebook.shell.Completer.completions(text, len(text))
        ]


def test_in_a_shell(notebook: Notebook) -> None:
    assert "%container stop" in completions(notebook, "%container st")
    assert "%image history host:tiny" in completions(notebook, "%image history host:")
    assert "%%container host --network" in completions(notebook, "%%container host --net")


@pytest.mark.skipif(IPython.version_info < (8, 6), reason="this IPython shows completers one line only")
def test_in_a_dockerfile_and_with_nothing_else_beside(notebook: Notebook) -> None:
    assert completions(notebook, "%%image x\nENTRY") == ["%%image x\nENTRYPOINT"]
    assert completions(notebook, "%image history host:") == [
        "%image history host:latest",
        "%image history host:pip",
        "%image history host:tiny",
    ]


@pytest.mark.slow
def test_python_is_still_completed(notebook: Notebook) -> None:
    notebook("value_of_mine = 1")
    assert "value_of_mine" in completions(notebook, "value_of_m")
