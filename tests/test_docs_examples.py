"""What the pages tell people to type works: the tutorial cell by cell, and the examples in Python."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from sandcell.runtime.cli.group import commands

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = CHECKOUT / "docs"
_CELLS = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in json.load(sys.stdin):
    print("In:", cell.splitlines()[0], flush=True)
    done = shell.run_cell(cell)
    done.raise_error()
    # A magic tells its failure by itself, and raises what says no more.
    assert done.success, cell
"""


def blocks(page: str | Path, language: str) -> list[str]:
    """The code blocks of a page in that language."""
    text = (DOCS / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all of them, as a reader has it."""
    return tmp_path_factory.mktemp("examples")


def run(place: Path, code: str, told: str = "") -> str:
    """What Python ``code`` prints, with a store of its own; it must not fail."""
    env = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(place),
        "SANDCELL_HOME": str(place / "home"),
        "SANDCELL_RUN": str(place / "run"),
        "IPYTHONDIR": str(place / "ipython"),
    }
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, input=told, env=env, cwd=place, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def parsed(words: list[str]) -> None:
    """Read the words after ``sandcell`` as the command line does; nothing is done. ``click.UsageError``."""
    group: click.Command = commands
    while isinstance(group, click.Group):
        found = group.get_command(click.Context(group), words[0])
        assert found is not None, words
        group, words = found, words[1:]
    group.make_parser(click.Context(group, **group.context_settings)).parse_args(list(words))


def test_command_lines_of_the_pages_are_ours() -> None:
    pages = [CHECKOUT / "README.md", *DOCS.glob("*.md"), *(DOCS / "howto").glob("*.md")]
    lines = [line for page in pages for block in blocks(page, "sh") for line in block.splitlines()]
    ours = [line for line in lines if line.startswith("sandcell ")]
    assert len(ours) > 40
    for line in ours:
        words = shlex.split(line, comments=True)[1:]
        parsed(words[: next((at for at, word in enumerate(words) if word in ("|", "&&", ">")), None)])
    with pytest.raises(click.UsageError):
        parsed(["run", "--no-such-flag", "host"])


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.timeout(300)
def test_the_tutorial_can_be_followed(place: Path) -> None:
    cells = [block for block in blocks("tutorial.md", "text") if block.startswith("%")]
    assert len(cells) > 15
    (serve,) = (block for block in blocks("tutorial.md", "sh") if "registry serve" in block)
    assert serve == "sandcell registry serve --port 5000\n"
    env = {
        "HOME": str(place),
        "SANDCELL_HOME": str(place / "home"),
        "SANDCELL_RUN": str(place / "run"),
    }
    argv = [str(Path(sys.executable).with_name("sandcell")), "registry", "serve", "--port", "0"]
    with subprocess.Popen(
        argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as registry:
        try:
            assert registry.stdout is not None
            port = re.search(r":([0-9]+)", registry.stdout.readline())
            assert port, "the registry did not say where it listens"
            told = json.dumps([cell.replace("localhost:5000", f"localhost:{port[1]}") for cell in cells])
            said = run(place, _CELLS, told)
        finally:
            registry.terminate()
    after = dict(re.findall(r"^In: (.+)\n((?:(?!In: ).*\n)*)", said, re.MULTILINE))
    assert "I am in the image" in after["%container run hello"]
    assert "and I was added" not in after["%container run hello"]
    assert "and I was added" in after["%container run hello:2"]
    assert "and I was added" in after[f"%container run localhost:{port[1]}/class/hello:2"]
    assert "/run/sandcell/cell" in after["%%container --in clock"]


@pytest.mark.slow
@pytest.mark.kernel
def test_a_cell_that_fails_is_noticed(place: Path) -> None:
    with pytest.raises(AssertionError, match="nowhere-to-be-found"):
        run(place, _CELLS, json.dumps(["%load_ext sandcell", "%image history nowhere-to-be-found"]))


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.parametrize("page", ["reference/python.md", "howto/python.md"])
def test_examples_in_python_run(place: Path, page: str) -> None:
    (example,) = blocks(page, "python")
    run(place, example)
