"""The REST interface over a real engine: what it answers, what it refuses, and to whom."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tornado.httpclient import HTTPClientError

from sandcell.magics.server import inputs, routes
from tests.registry.serving import own, serving

pytestmark = [pytest.mark.slow, pytest.mark.kernel]


@pytest.fixture
def call(jp_fetch: Any, room: Any) -> Any:
    """Ask the server; the JSON it answers."""

    async def call(method: str, *path: str, body: Any = None, **query: str) -> Any:
        answer = await jp_fetch(
            "sandcell", "api", *path, method=method, params=query,
            **({"body": json.dumps(body or {})} if method == "POST" else {}),
        )  # fmt: skip
        return json.loads(answer.body)

    return call


async def refused(awaitable: Any) -> tuple[int, dict[str, str]]:
    with pytest.raises(HTTPClientError) as caught:
        await awaitable
    return caught.value.code, json.loads(caught.value.response.body)["error"]


async def test_a_life_by_rest(call: Any) -> None:
    made = await call("POST", "containers", body={"image": "small", "name": "web", "start": True})
    assert made["state"] == "running"
    assert (await call("GET", "containers", "web", "top"))["processes"][0]["inside"] == 1
    done = await call(
        "POST", "containers", "web", "exec", body={"command": ["sh", "-c", "echo hi > /new; echo done"]}
    )
    assert (done["status"], done["stdout"]) == (0, "done\n")
    files = await call("GET", "containers", "web", "files")
    assert [row["path"] for row in files["rows"]] == ["new"]
    assert (await call("POST", "containers", "web", "pause"))["state"] == "paused"
    assert (await call("POST", "containers", "web", "unpause"))["state"] == "running"
    image = await call("POST", "containers", "web", "commit", body={"name": "changed"})
    assert image["layers"][-1]["text"]
    assert (await call("POST", "containers", "web", "stop", body={"timeout": 0}))["state"] == "exited"
    assert (await call("POST", "containers", "web", "reset"))["state"] == "exited"
    assert (await call("GET", "containers", "web", "files"))["total"] == 0
    assert (await call("POST", "containers", "web", "rename", body={"name": "other"}))["name"] == "other"
    assert "removed" in await call("DELETE", "containers", "other")
    assert (await call("DELETE", "images", "changed"))["untagged"] == ["changed:latest"]


async def test_layers_and_files(call: Any, jp_fetch: Any) -> None:
    told = await call("GET", "images", "small")
    digest = told["image"]["digest"]
    files = await call("GET", "images", digest, "layers", "2", "files")
    assert [(row["path"], row["change"]) for row in files["rows"]] == [("note", "A")]
    answer = await jp_fetch(
        "sandcell", "api", "images", digest, "layers", "2", "file", params={"path": "note"}
    )
    assert answer.body == b"hello\n"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "cause"),
    [
        ("GET", ("containers", "nobody"), None, 404, "there is none of that name"),
        ("POST", ("containers", "nobody", "start"), {}, 404, "there is none of that name"),
        ("POST", ("containers",), {"image": "small", "colour": "red"}, 400, "unknown field `colour`"),
        ("POST", ("containers",), {"image": "small", "memory": "much"}, 400, "Expected `int | null`"),
        ("POST", ("containers",), {"image": "../x"}, 400, ""),
        ("GET", ("images", "small", "layers", "9", "files"), None, 404, "layers 1 to 2"),
        ("GET", ("images", "small", "layers", "x", "files"), None, 400, "not a number"),
        ("POST", ("about",), {}, 405, ""),
        ("DELETE", ("networks", "bridge"), None, 400, "always there"),
    ],
)
async def test_what_is_wrong_is_told(
    call: Any, method: str, path: tuple[str, ...], body: Any, status: int, cause: str
) -> None:
    code, error = await refused(call(method, *path, body=body))
    assert code == status
    assert cause in error["cause"]


HOSTILE = ("../../" + "x" * 58, "../../../etc/passwd", "sha256:../../x", "..%2f..", "a\nb", "a\0b")
BODIES: dict[Any, dict[str, Any]] = {
    inputs.Renaming: {"name": "n"}, inputs.Tagging: {"target": "n"}, inputs.Joining: {"container": "n"},
    inputs.Executing: {"command": ["true"]},
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_address_takes_a_path_for_a_name(call: Any, jp_fetch: Any, name: str) -> None:
    word, asked = quote(name, safe=""), 0
    for route in routes.ROUTES:
        if not re.search(r"\{(id|image|name)\}", route.path):
            continue
        path = [word if "{" in part else part for part in route.path.strip("/").split("/")]
        query = {"path": "x", "other": "small"}
        told = {key: value for key, value in query.items() if key in route.needs}
        if route.streams:
            body = {"body": b"", "method": "POST"} if route.method == "POST" else {}
            code, _ = await refused(jp_fetch("sandcell", "api", *path, params=told, **body))
        else:
            code, _ = await refused(call(route.method, *path, body=BODIES.get(route.body), **told))
        assert 400 <= code < 500, (route.method, route.path, code)
        asked += 1
    assert asked > 40
    for path, body in (
        (("images",), {"text": "FROM scratch\nLABEL a=b", "name": name}),
        (("images", "pull"), {"name": name}),
        (("images", "small", "tag"), {"target": name}), (("volumes",), {"name": name}),
        (("networks",), {"name": name}), (("containers",), {"image": name}),
        (("containers",), {"image": "small", "name": name}),
        (("containers",), {"image": "small", "network": name}),
        (("containers",), {"image": "small", "volumes": [f"{name}:/v"]}),
    ):  # fmt: skip
        code, _ = await refused(call("POST", *path, body=body))
        assert 400 <= code < 500, (path, body)


async def test_a_terminal_of_jupyter(call: Any, clean: Any, jp_serverapp: Any) -> None:
    await call("POST", "containers", body={"image": "small", "name": "shell", "start": True})
    made = await call("POST", "containers", "shell", "terminal")
    assert made["name"] in jp_serverapp.web_app.settings["terminal_manager"].terminals
    await jp_serverapp.web_app.settings["terminal_manager"].terminate(made["name"], force=True)


async def test_the_page(jp_fetch: Any, room: Any) -> None:
    page = await jp_fetch("sandcell")
    assert b'type="module"' in page.body
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


async def test_what_nobody_needs_goes(call: Any, clean: Any) -> None:
    for name, start in (("runs", True), ("new", False)):
        await call("POST", "containers", body={"image": "small", "name": name, "start": start})
    assert await call("POST", "prune", "containers") == {"removed": ["new"]}
    assert [one.name for one in clean.containers(all=True)] == ["runs"]
    await call("POST", "networks", body={"name": "lonely"})
    assert "lonely" in (await call("POST", "prune", "networks"))["removed"]
    await call("POST", "volumes", body={"name": "lonely"})
    assert "lonely" in (await call("POST", "prune", "volumes"))["removed"]


async def test_a_registry_is_looked_into(call: Any, clean: Any, tmp_path: Path) -> None:
    with serving(own(tmp_path / "registry")) as server:
        name = f"{server.name}/looked:1"
        digest = (await call("POST", "images", "small", "tag", body={"target": name}))["digest"]
        clean.push(name)
        assert await call("GET", "registry", "tags", name=name) == {"tags": ["1"]}
        manifest = await call("GET", "registry", "manifest", name=name)
        assert manifest["digest"] == digest
        assert json.loads(manifest["text"])["layers"]
        assert await call("GET", "registry", "referrers", name=name) == {"referrers": []}
        assert await call("DELETE", "registry", "manifest", name=name) == {"deleted": digest}
        code, _ = await refused(call("GET", "registry", "manifest", name=name))
        assert code in (404, 424)
    clean.remove_image(name)
