"""``%config Sandcell``: defaults that a line may override."""

import pytest

from sandcell import magics
from sandcell.magics.settings import Sandcell
from sandcell.magics.tables import settings_card
from sandcell.runtime.container.options import Options
from sandcell.runtime.engine.places import Places
from tests.magics.conftest import Notebook


def created(notebook: Notebook) -> Options:
    """The options of the newest container that a line made."""
    (options,) = [call[-1] for call in notebook.engine.calls if call[0] == "create"][-1:]
    assert isinstance(options, Options)
    return options


def settings(notebook: Notebook) -> list[Sandcell]:
    """Ours among what the shell can be told."""
    return [one for one in notebook.shell.configurables if isinstance(one, Sandcell)]


def test_what_is_set_holds_where_a_line_says_nothing(notebook: Notebook) -> None:
    for line in ("memory = '256m'", "cpus = '0.5'", "pids_limit = '64'", "network = 'host'"):
        assert notebook(f"%config Sandcell.{line}").error is None
    notebook("%container create host")
    options = created(notebook)
    assert (options.memory, options.cpus, options.pids_limit, options.network) == (256 << 20, 0.5, 64, "host")
    notebook("%container create --memory 1g --network none host")
    options = created(notebook)
    assert (options.memory, options.cpus, options.network) == (1 << 30, 0.5, "none")


def test_the_settings_are_listed_and_go_with_the_magics(notebook: Notebook) -> None:
    told = notebook("%config Sandcell").out
    for name in ("memory", "cpus", "pids_limit", "network", "keep"):
        assert f"Sandcell.{name}" in told
    magics.unload(notebook.shell)
    assert not settings(notebook)


@pytest.mark.parametrize("line", ["memory = 'much'", "cpus = '-1'", "pids_limit = 'x'", "keep = -1"])
def test_what_makes_no_sense_is_refused_when_it_is_set(
    notebook: Notebook, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    (one,) = settings(notebook)
    before = one.trait_values()
    notebook(f"%config Sandcell.{line}")
    assert len(caplog.records) == 1, "IPython tells it as an error of its log"
    assert one.trait_values() == before


def test_what_is_set_and_by_what(notebook: Notebook) -> None:
    values = {"rung": "rootless", "registry": {"localhost:5000": {"insecure": True}}, "stores": ["/a", "/b"]}
    card = settings_card(Places("/home", "/run"), ("/c.toml", values), Sandcell(memory="256m"))
    words = [line.split() for line in card.text.splitlines()]
    assert ["rung", "rootless", "/c.toml"] in words
    assert ["registry", "localhost:5000:", "insecure:", "True", "/c.toml"] in words
    assert ["stores", "/a,", "/b", "/c.toml"] in words
    assert ["memory", "256m", "%config", "Sandcell.memory"] in words
    assert "no config.toml" in settings_card(Places("/home", "/run"), ("", {}), Sandcell()).html
    assert notebook.engine.places.home in notebook("%sandcell config").text
