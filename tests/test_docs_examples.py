"""What the pages tell people to type works: the tutorial cell by cell, the how-tos line by line, and the
examples in Python."""

import json
import os
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


def environment(place: Path) -> dict[str, str]:
    """Of a reader, with a store of its own."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(place),
        "SANDCELL_HOME": str(place / "home"),
        "SANDCELL_RUN": str(place / "run"),
        "IPYTHONDIR": str(place / "ipython"),
        **{name: value for name, value in os.environ.items() if name == "SANDCELL_TEST_SESSION"},
    }


def run(place: Path, code: str, told: str = "") -> str:
    """What Python ``code`` prints, with a store of its own; it must not fail."""
    env, argv = environment(place), [sys.executable, "-c", code]
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
    env, argv = environment(place), ["sandcell", "registry", "serve", "--port", "0"]
    argv[0] = str(Path(sys.executable).with_name(argv[0]))
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


_PREPARED = """
set -e
echo secret > token.txt
echo 1,2 > data.csv
printf 'FROM host\\nRUN --mount=type=secret,id=token test -s /run/secrets/token\\n' > Dockerfile
echo FROM host | sandcell build --quiet -t hello -
"""
# What a line ends with, if not with 0.
STATUS = {"sandcell run --rm --memory 64m host python3 -c 'x = bytearray(200 << 20)'": 137}


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="networks and limits are root's")
@pytest.mark.parametrize("page", ["files", "limits", "networks", "ports", "secrets", "clean-up"])
def test_what_a_how_to_tells_to_type_works(tmp_path: Path, place: Path, page: str) -> None:
    env = {**environment(place), "TOKEN": "secret"}

    def typed(line: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["sh", "-c", line], input="y\n", env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )

    assert typed(_PREPARED).returncode == 0
    lines = [line for block in blocks(f"howto/{page}.md", "sh") for line in block.splitlines()]
    assert len(lines) > 1
    for line in lines:
        # A port that somebody else may have is left to the kernel.
        words = line.replace("-p 8000:8000", "-p 8000")
        if "urllib" in line:  # its server needs a moment, as a reader does
            words = f"for _ in $(seq 50); do {words} && exit; sleep 0.1; done; exit 1"
        done = typed(words)
        assert done.returncode == STATUS.get(line, 0), (line, done.stdout, done.stderr)
    typed("sandcell rm -f $(sandcell ps -aq)")
