"""Who may do what: nothing without a token, nothing from another site, looking and doing apart."""

import json
from typing import Any

import pytest
from jupyter_server.auth.authorizer import Authorizer
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from sandcell.magics.server.proxy import key_of
from sandcell.magics.server.routes import PREFIX, ROUTES, STREAMS

pytestmark = [pytest.mark.slow, pytest.mark.kernel]

PLACES = {"{id}": "small", "{image}": "small", "{layer}": "1", "{name}": "bridge"}
ADDRESSES = [(route.method, PREFIX + route.path) for route in ROUTES]
ADDRESSES += [("GET", PREFIX + "/events"), ("POST", PREFIX + "/containers/{id}/terminal")]
ADDRESSES += [("GET", PREFIX + "/containers/{id}/log/stream"), ("GET", PREFIX + "/openapi.json")]
ADDRESSES += [("GET", "/sandcell"), ("GET", "/sandcell/static/page.js"), ("GET", "/sandcell/port/small/80/")]
ADDRESSES += [("POST", "/sandcell/port/small/80/"), ("GET", "/sandcell/port/~" + "0" * 40 + "/small/80/")]


def filled(path: str) -> str:
    for place, value in PLACES.items():
        path = path.replace(place, value)
    return path


async def status(fetch: Any, method: str, path: str, **more: Any) -> int:
    body = {"body": "{}"} if method == "POST" else {}
    try:
        answer = await fetch(*filled(path).strip("/").split("/"), method=method, **body, **more)
    except HTTPClientError as error:
        return error.code
    return int(answer.code)


def test_every_stream_is_among_the_addresses() -> None:
    assert {PREFIX + path for path in STREAMS} <= {path for _, path in ADDRESSES}


async def test_nothing_without_a_token(jp_fetch: Any, room: Any, clean: Any) -> None:
    clean.create("small", None)
    none = {"headers": {"Authorization": ""}, "follow_redirects": False}
    for method, path in ADDRESSES:
        assert await status(jp_fetch, method, path, **none) in (302, 403, 404), (method, path)
    assert [one.state for one in clean.containers(all=True)] == ["created"]


async def test_a_cookie_alone_does_nothing_without_the_xsrf_token(
    jp_fetch: Any, room: Any, clean: Any, jp_serverapp: Any
) -> None:
    made = clean.create("small", None)
    cookie = await _cookie(jp_fetch, jp_serverapp)
    stranger = {"headers": {"Authorization": "", "Cookie": cookie, "Origin": "https://elsewhere.example"}}
    for method, path in ADDRESSES:
        if method != "GET":
            place = path.replace("{id}", made.id)
            assert await status(jp_fetch, method, place, **stranger) in (403, 404), (method, path)
    assert [one.state for one in clean.containers(all=True)] == ["created"]


async def _cookie(fetch: Any, app: Any) -> str:
    """What a browser has after logging in."""
    answer = await fetch("sandcell")
    return "; ".join(value.split(";")[0] for value in answer.headers.get_list("Set-Cookie"))


async def test_no_stream_for_another_site(
    jp_http_port: int, jp_base_url: str, jp_fetch: Any, room: Any, jp_serverapp: Any
) -> None:
    cookie = await _cookie(jp_fetch, jp_serverapp)
    address = f"ws://localhost:{jp_http_port}{jp_base_url}sandcell/api/events"
    request = HTTPRequest(address, headers={"Cookie": cookie, "Origin": "https://elsewhere.example"})
    with pytest.raises(HTTPClientError) as caught:
        await websocket_connect(request)
    assert caught.value.code == 403


class OnlyLooking(Authorizer):
    """Lets everybody read and nobody do anything."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return action == "read" and resource == "sandcell"


async def test_who_may_only_look_can_do_nothing(
    jp_fetch: Any, room: Any, clean: Any, jp_serverapp: Any
) -> None:
    made = clean.create("small", None)
    jp_serverapp.web_app.settings["authorizer"] = OnlyLooking(parent=jp_serverapp)
    assert await status(jp_fetch, "GET", PREFIX + "/containers") == 200
    for method, path in ADDRESSES:
        if method != "GET" or "/port/" in path:
            assert await status(jp_fetch, method, path.replace("{id}", made.id)) in (403, 404), (method, path)
    assert [one.state for one in clean.containers(all=True)] == ["created"]


async def test_an_unexpected_fault_is_told_without_its_traceback(jp_fetch: Any, room: Any) -> None:
    room._engine = Faulty()
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("sandcell", "api", "about")
    assert caught.value.code == 500
    assert "secret" not in caught.value.response.body.decode()
    assert json.loads(caught.value.response.body)["error"]["cause"] == "Internal Server Error"


class Faulty:
    """An engine that does not hold what it promises."""

    @property
    def places(self) -> Any:
        raise RuntimeError("secret")

    def close(self) -> None:
        pass


def test_keys_are_of_one_port_of_one_container() -> None:
    assert len({key_of("a", 80), key_of("a", 81), key_of("b", 80)}) == 3
    assert key_of("a", 80) == key_of("a", 80)
