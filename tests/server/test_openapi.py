"""The OpenAPI document is what the routes are, and the server is what the document says."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandcell import Engine, __version__
from sandcell.magics.server import routes
from tests.jupyter_lab import answering

DOCUMENT = Path(routes.__file__).with_name("openapi.json")
TOKEN = {"Authorization": "token t"}
# They reach for other machines, or end what other examples look at.
LEFT_OUT = r"/images/pull|/push|/prune|/wait|/registry"

# What of the command line is called otherwise here, and what is no matter of the store that a server has.
CALLED = {
    "attach": "POST /containers/{id}/terminal", "container ls": "GET /containers",
    "container rm": "DELETE /containers/{id}", "container run": "POST /containers",
    "container create": "POST /containers", "container inspect": "GET /containers/{id}/inspect",
    "container attach": "POST /containers/{id}/terminal", "container cp": "GET /containers/{id}/archive",
    "container port": "GET /containers/{id}/inspect",
    "container prune": "POST /prune/containers", "volume prune": "POST /prune/volumes",
    "network prune": "POST /prune/networks",
    "container diff": "GET /containers/{id}/files", "container logs": "GET /containers/{id}/log",
    "cp": "POST /containers/{id}/archive", "diff": "GET /containers/{id}/files", "doctor": "GET /host",
    "history": "GET /images/{image}", "image build": "POST /images", "image du": "GET /usage",
    "image history": "GET /images/{image}", "image import": "POST /import",
    "image inspect": "GET /images/{image}",
    "image load": "POST /load", "image ls": "GET /images", "image prune": "POST /prune",
    "image pull": "POST /images/pull", "image rm": "DELETE /images/{image}",
    "image save": "GET /images/{image}/archive", "images": "GET /images", "import": "POST /import",
    "info": "GET /about", "inspect": "GET /containers/{id}/inspect", "load": "POST /load",
    "logs": "GET /containers/{id}/log", "manifest inspect": "GET /registry/manifest",
    "network create": "POST /networks", "network inspect": "GET /networks", "network ls": "GET /networks",
    "network rm": "DELETE /networks/{name}", "port": "GET /containers/{id}/inspect", "prune": "POST /prune",
    "ps": "GET /containers", "registry delete": "DELETE /registry/manifest",
    "registry inspect": "GET /registry/manifest", "rm": "DELETE /containers/{id}",
    "rmi": "DELETE /images/{image}", "run": "POST /containers", "save": "GET /images/{image}/archive",
    "version": "GET /about", "volume create": "POST /volumes", "volume inspect": "GET /volumes",
    "volume ls": "GET /volumes", "volume rm": "DELETE /volumes/{name}", "build": "POST /images",
    "create": "POST /containers", "pull": "POST /images/pull",
}  # fmt: skip
NOT_HERE = {
    "completion": "of a shell",
    "events": "a stream: /events",
    "kernel": "files of Jupyter",
    "lessons": "files of a person",
    "login": "credentials do not go over HTTP",
    "logout": "as login",
    "notebook": "files of a person",
    "registry serve": "a server of its own",
}


def test_the_document_is_made_of_the_routes() -> None:
    told = json.loads(DOCUMENT.read_text())
    assert told == routes.document(__version__), "make it anew: python -m sandcell.magics.server.describe"


def test_only_looking_is_get() -> None:
    for route in routes.ROUTES:
        assert route.method in ("GET", "POST", "DELETE")
        assert (route.body is not None) == (route.method == "POST"), route.path


def test_every_verb_of_the_command_line_is_there() -> None:
    from sandcell.runtime.cli.group import commands

    words: list[str] = []
    for name, command in _commands(commands).items():
        words += [f"{name} {inner}" for inner in _commands(command)] or [name]
    there = {f"{one.method} {one.path}" for one in routes.ROUTES} | {"POST /containers/{id}/terminal"}
    for word in words:
        if word in NOT_HERE or word.split()[0] in NOT_HERE:
            continue
        verb = word.split()[-1]
        places = (
            "/containers/{id}",
            "/images/{image}",
            "/networks/{name}",
            "/volumes",
            "/registry",
            "/containers",
        )
        usual = {f"{method} {place}/{verb}" for method in ("GET", "POST") for place in places}
        assert ({CALLED[word]} if word in CALLED else usual) & there, word
    assert set(CALLED) <= set(words)


def _commands(command: Any) -> dict[str, Any]:
    import click

    if not isinstance(command, click.Group):
        return {}
    context = click.Context(command)
    return {name: command.get_command(context, name) for name in command.list_commands(context)}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A Jupyter server in a process of its own, over a store with one image and two containers."""
    with Engine(tmp_path / "home", tmp_path / "run") as engine:
        engine.build("FROM scratch\nENV A=b\n", name="empty")
        engine.build("FROM host:tiny\n", name="small")
        engine.create("small", ("true",))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "SANDCELL_HOME": str(tmp_path / "home"),
        "SANDCELL_RUN": str(tmp_path / "run"),
    }
    options = [f"--port={port}", "--no-browser", "--allow-root", "--IdentityProvider.token=t"]
    options += [f"--ServerApp.root_dir={tmp_path}"]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", *options], env=environment, stdout=log, stderr=log
        )
    with answering(process, tmp_path / "runtime") as base:
        yield base
    with Engine(tmp_path / "home", tmp_path / "run") as engine:
        for one in engine.containers(all=True):
            engine.remove(one, force=True)


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.timeout(300)
def test_the_server_holds_what_the_document_promises(server: str) -> None:
    schemathesis: Any = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis import checks

    schemathesis.serializer.alias(routes.TAR, "application/octet-stream")
    schema = schemathesis.openapi.from_path(DOCUMENT).exclude(path_regex=LEFT_OUT)
    wanted = [
        checks.not_a_server_error,
        schemathesis.specs.openapi.checks.status_code_conformance,
        schemathesis.specs.openapi.checks.content_type_conformance,
        schemathesis.specs.openapi.checks.response_schema_conformance,
        schemathesis.specs.openapi.checks.negative_data_rejection,
    ]
    tried = 0
    for operation in (result.ok() for result in schema.get_all_operations()):

        @given(case=operation.as_strategy())
        @settings(
            max_examples=6,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=True,
        )
        def holds(case: Any) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(base_url=server, headers=TOKEN, checks=wanted, timeout=60)

        holds()
    assert tried > 100
