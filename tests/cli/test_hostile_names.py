"""Names that are paths: whatever takes the name of something refuses them by one clear error, and touches
nothing. The verbs are found, not listed, so a new one is asked too."""

import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import click
import pytest

from sandcell import Engine
from sandcell.runtime.cli import main
from sandcell.runtime.cli.group import commands
from sandcell.runtime.cli.names import ContainerName, ImageName
from sandcell.runtime.container.options import Options
from sandcell.runtime.engine import record
from sandcell.runtime.oci.decode import encode

pytestmark = [pytest.mark.slow, pytest.mark.kernel]

BAIT = "../../" + "b" * 58
"""As long as an id; from where containers lie it leads to what could be a container."""
NAMES = (
    BAIT, "../../x", "..", "/etc/passwd", "a/../../b", "sha256:../../../../etc/passwd",
    "sha256:" + "../" * 21 + "x", "a@sha256:../x", "%2e%2e/x", "a\nb", "a\0b",
)  # fmt: skip
OWN_PATHS = {
    "build",
    "completion",
    "cp",
    "images",
    "import",
    "kernel",
    "lessons",
    "load",
    "login",
    "logout",
    "ls",
    "notebook",
}
"""What takes paths of the user's own or filters by any word, where ``FLAGS`` does not ask it."""
FLAGS = (
    "create --name {} small", "create --network {} small", "create -v v{}:/v small", "run --name {} small",
    "build -t {} context", "build --build-context a=docker-image://{} named", "import root.tar {}",
    "load -i image.tar --name {}", "commit here {}", "rename here {}", "tag small {}", "cp {}:/x out",
    "cp root.tar {}:/x", "network connect {} here", "volume create {}", "network create {}", "rm -f {}",
    "rmi -f {}", "kernel install small --name {}", "kernel remove {}", "kernel install {}",
    "login {} -u a -p b", "logout {}",
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Path]]:
    base = tmp_path_factory.mktemp("hostile")
    (base / "context").mkdir()
    (base / "context/Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    (base / "named").mkdir()
    (base / "named/Dockerfile").write_text("FROM a\n")
    with tarfile.open(base / "root.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("file"), io.BytesIO())
    with Engine(base / "home", base / "run") as engine:
        engine.build("FROM scratch\nCOPY Dockerfile /", name="small", context=base / "context")
        engine.save(("small",), str(base / "image.tar"))
        made = record.find(engine.places, engine.create("small", ("/x",), Options(name="here")).id)
        bait = base / "home/containers" / BAIT
        bait.resolve().mkdir()
        (bait / "container.json").write_bytes(encode(made))
        yield engine, base
        for one in engine.containers(all=True):
            engine.remove(one, force=True)


def leaves(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from leaves(below, *path, name)


def lines(name: str) -> Iterator[list[str]]:
    """Every verb with ``name`` wherever something is named."""
    seen = set()
    for path, command in leaves(commands):
        places = [one for one in command.params if isinstance(one, click.Argument)]
        if not places or path[0] in OWN_PATHS or path[-1] in OWN_PATHS or id(command) in seen:
            continue
        seen.add(id(command))
        named = any(isinstance(one.type, ContainerName | ImageName) for one in places)
        words = [name if one.name != "command" else "true" for one in places if one.required or not named]
        yield [*path, *(words or [name])]
    for line in FLAGS:
        yield [word.format(name) for word in line.split()]


def everything(base: Path) -> dict[str, tuple[int, int]]:
    """What is there but for what ``prune`` would take and caches: files by size, all by kind."""
    found = {}
    own = tuple(
        f"{base}/{name}" for name in ("home/layout/blobs", "home/rootfs", "home/skeleton", "run/filters")
    )
    for folder, folders, files in os.walk(base):
        for one in (*folders, *files):
            if f"{folder}/{one}".startswith(own):
                continue
            state = os.lstat(f"{folder}/{one}")
            found[f"{folder}/{one}".removeprefix(str(base))] = (state.st_mode, state.st_size * (one in files))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_no_verb_takes_a_path_for_a_name(world: tuple[Engine, Path], name: str, capfd: Any) -> None:
    engine, base = world
    before, wrong = everything(base), []
    for words in lines(name):
        with chdir(base):
            status = main(words, engine=engine)
        out, error = capfd.readouterr()
        first, *more = error.splitlines() or [""]
        clear = first.startswith("sandcell: ") and "did not expect" not in error
        told_only = words[:2] == ["rm", "-f"]  # as docker, no failure
        if (status == 0) is not told_only or not clear or len(more) > 4:
            wrong.append((words, status, out[:200], error[:400]))
    assert wrong == []
    assert everything(base) == before
