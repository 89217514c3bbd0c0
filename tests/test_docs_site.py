"""The site of ``docs/``: made without a warning, and all that can be typed is in its reference."""

import html
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from sandcell import runtime
from sandcell.magics.grammar import CELLS, VERBS
from sandcell.runtime.cli.group import commands
from sandcell.runtime.oci_cli.arguments import COMMANDS

CHECKOUT = Path(__file__).resolve().parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pages."""
    place = tmp_path_factory.mktemp("docs")
    argv = (
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-d",
        place / "trees",
        "docs",
        place / "site",
    )
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return place / "site"


def shown(site: Path, page: str) -> str:
    """What a reader sees of a page."""
    text = re.sub(r"<[^>]+>", "", (site / page).read_text())
    return html.unescape(text)


def section(text: str, title: str) -> str:
    """What stands below a heading, up to the next one (Sphinx ends each with a mark for its address)."""
    _, found, after = text.partition(f"\n{title}¶\n")
    assert found, f"no heading {title}"
    return re.split(r"\n[^\n]*¶\n", after)[0]


def typed(group: click.Group, path: str) -> list[tuple[str, click.Command]]:
    found = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        found.append((f"{path} {name}", command))
        found += typed(command, f"{path} {name}") if isinstance(command, click.Group) else []
    return found


def test_every_command_and_every_flag_is_in_the_reference(site: Path) -> None:
    text = shown(site, "reference/command-line.html")
    every = typed(commands, "sandcell")
    assert len(every) > 60
    for path, command in every:
        told = section(text, path)
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert all(flag in told for flag in parameter.opts), (path, parameter.opts)
    for name, options in COMMANDS.items():
        (line,) = (line for line in text.splitlines() if line.startswith(f"{name}: "))
        assert all(f"--{option}" in line for option in options), (name, line)


def test_every_magic_and_every_flag_is_in_the_reference(site: Path) -> None:
    text = shown(site, "reference/magics.html")
    for grammar in (*CELLS.values(), *(one for verbs in VERBS.values() for one in verbs.values())):
        told = section(text, grammar.name)
        assert " ".join(grammar.about.split()) in " ".join(told.split())
        known = [name for flag in grammar.flags if not flag.refused for name in flag.names]
        assert all(name in told for name in known), grammar.name


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    page, text = (site / "reference/python.html").read_text(), shown(site, "reference/python.html")
    seen = set(re.findall(r'id="sandcell\.([\w.]+)"', page))
    for name in runtime.__all__:
        value = getattr(runtime, name)
        if issubclass(value, Exception):
            continue
        fields = set(getattr(value, "__struct_fields__", ()))
        members = {each for each in dir(value) if not each.startswith("_")} - fields
        path = f"{value.__module__}.{name}".removeprefix("sandcell.")
        assert {f"{path}.{each}" for each in members} - seen == set()
        # Fields stand in the signature, and what they mean in the words below it.
        (signature,) = re.findall(rf'(?s)id="sandcell\.{path}">(.*?)</dt>', page)
        assert fields - set(re.findall(r"\w+", html.unescape(signature))) == set()
    errors = [runtime.SandcellError]
    for error in errors:
        assert re.search(rf"\b{error.__name__}\b", text), error
        errors += [each for each in error.__subclasses__() if each.__module__ == error.__module__]


def test_drawings_say_in_words_what_they_show(site: Path) -> None:
    page = (site / "explanation.html").read_text()
    assert 'title="Image hello: 2 layers' in page
    assert page.count('title="Container ') == 2


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("conf.py", "generated.py", "drawings.py"):
        (docs / name).symlink_to(CHECKOUT / "docs" / name)
    (docs / "index.md").write_text("# Title\n\n[x](nowhere.md) [y](#no-heading)\n")
    argv = (sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", docs, tmp_path / "site")
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=100)
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr
    assert "no-heading" in done.stderr
