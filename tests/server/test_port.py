"""The way to a container's web server: what gets through, and what must not."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from sandcell import Engine, Options
from sandcell.magics.server.passing import without_token
from sandcell.magics.server.proxy import key_of
from tests.server.web_server import PORT, PROGRAM, listens

pytestmark = [pytest.mark.slow, pytest.mark.kernel]


def until(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def web(clean: Engine) -> Iterator[Any]:
    """A running container with a web server; its network is nothing but loopback."""
    made = clean.create("host", ("python3", "-c", PROGRAM), Options(name="web"))
    clean.start(made)
    until(lambda: listens(clean, "web"))
    yield made


async def test_cookies_and_tokens_stay_outside(jp_fetch: Any, room: Any, web: Any, jp_serverapp: Any) -> None:
    token = jp_serverapp.identity_provider.token
    sent = {
        "Cookie": "secret=1",
        "X-XSRFToken": "secret",
        "Referer": f"http://x/?token={token}",
        "X-Mine": "1",
    }
    answer = await jp_fetch(
        "sandcell", "port", "web", f"{PORT}", "look", headers=sent, params={"a": "b", "token": token}
    )
    path, headers = json.loads(answer.body)
    assert path == "/look?a=b"
    assert headers["X-Mine"] == "1"
    assert headers["Host"] == f"127.0.0.1:{PORT}"
    assert token not in answer.body.decode()
    assert "secret" not in answer.body.decode()
    assert not {"cookie", "authorization", "referer"} & {name.lower() for name in headers}


async def test_a_path_stays_as_it_was_sent(jp_fetch: Any, room: Any, web: Any) -> None:
    """Nothing that is escaped in an address becomes a part of the request's lines."""
    sent = "a%20b%0d%0aX-Evil:%201%3F%2Fc"
    answer = await jp_fetch("sandcell", "port", "web", f"{PORT}", *sent.split("/"), params={"q": "ä b"})
    path, headers = json.loads(answer.body)
    assert "X-Evil" not in headers
    assert path.startswith("/") and " " not in path and "\n" not in path


async def test_what_is_of_one_connection_goes_no_further(jp_fetch: Any, room: Any, web: Any) -> None:
    sent = {"Connection": "close, X-Mine", "X-Mine": "1", "TE": "trailers"}
    answer = await jp_fetch("sandcell", "port", "web", f"{PORT}", "look", headers=sent)
    _, headers = json.loads(answer.body)
    assert not {"X-Mine", "Te", "TE"} & set(headers)
    assert headers["Connection"] == "close"
    with pytest.raises(HTTPClientError) as caught:  # two ways to tell a body's end: one would be smuggled
        await jp_fetch(
            "sandcell", "port", "web", f"{PORT}", "form", method="POST", body="a",
            headers={"Transfer-Encoding": "chunked, identity"},
        )  # fmt: skip
    assert caught.value.code == 400


async def test_nothing_that_acts_on_jupyter_comes_out(jp_fetch: Any, room: Any, web: Any) -> None:
    answer = await jp_fetch("sandcell", "port", "web", f"{PORT}", "data.txt")
    assert answer.body == b"data"
    assert "stolen" not in str(answer.headers.get_list("Set-Cookie"))
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("sandcell", "port", "web", f"{PORT}", "broken")
    assert caught.value.code == 502, "a line end in a header"
    assert "stolen" not in str(list(caught.value.response.headers.get_all()))
    assert "Clear-Site-Data" not in answer.headers
    policies = answer.headers.get_list("Content-Security-Policy")
    assert "sandbox allow-scripts allow-forms; frame-ancestors 'self'" in policies
    assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_browser_is_led_to_an_address_with_a_key(jp_fetch: Any, room: Any, web: Any) -> None:
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch(
            "sandcell", "port", "web", f"{PORT}", "", headers={"Sec-Fetch-Mode": "navigate"},
            follow_redirects=False,
        )  # fmt: skip
    assert caught.value.code == 307
    place = caught.value.response.headers["Location"]
    assert place.startswith("/")
    assert "//" not in place
    assert place.endswith(f"/sandcell/port/~{key_of(web.id, PORT)}/web/{PORT}/")
    parts = place.partition("/sandcell/")[2].split("/")
    answer = await jp_fetch("sandcell", *parts, "data.txt", headers={"Authorization": ""})
    assert answer.body == b"data"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    for wrong in ("0" * 40, key_of(web.id, PORT + 1)):
        with pytest.raises(HTTPClientError) as caught:
            await jp_fetch("sandcell", "port", f"~{wrong}", "web", f"{PORT}", "data.txt")
        assert caught.value.code == 403


async def test_bodies_redirects_and_large_answers(jp_fetch: Any, room: Any, web: Any) -> None:
    answer = await jp_fetch("sandcell", "port", "web", f"{PORT}", "form", method="POST", body="a=b")
    assert answer.body == b"posted a=b"
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("sandcell", "port", "web", f"{PORT}", "moved", follow_redirects=False)
    assert caught.value.response.headers["Location"].endswith(f"/web/{PORT}/data.txt")
    assert len((await jp_fetch("sandcell", "port", "web", f"{PORT}", "large")).body) == 5_000_000


async def test_a_socket_both_ways(
    room: Any, web: Any, jp_fetch: Any, jp_http_port: int, jp_base_url: str, jp_auth_header: Any
) -> None:
    address = f"ws://localhost:{jp_http_port}{jp_base_url}sandcell/port/web/{PORT}/socket"
    sent = {**jp_auth_header, "Cookie": "secret=1", "X-Forwarded-For": "secret"}
    socket = await websocket_connect(HTTPRequest(address, headers=sent))
    head = json.loads(await socket.read_message())
    assert "secret" not in str(head)
    assert jp_auth_header["Authorization"] not in str(head)
    assert not {"cookie", "authorization", "origin"} & {name.lower() for name in head}
    assert "stolen" not in str(list(socket.headers.get_all()))
    assert await socket.read_message() == "hello"
    await socket.write_message("abc")
    assert await socket.read_message() == "cba"
    socket.close()


@pytest.mark.parametrize(
    ("name", "port", "status"), [("web", 81, 404), ("nobody", 80, 404), ("web", 99999, 404)]
)
async def test_where_nobody_answers_a_sentence_says_so(
    jp_fetch: Any, room: Any, web: Any, name: str, port: int, status: int
) -> None:
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("sandcell", "port", name, f"{port}", "x")
    assert caught.value.code == status
    assert "Traceback" not in caught.value.response.body.decode()


async def test_a_stopped_container_has_no_ports(jp_fetch: Any, room: Any, web: Any, clean: Engine) -> None:
    clean.kill("web")
    clean.wait("web")
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("sandcell", "port", "web", f"{PORT}", "x")
    assert caught.value.code == 409


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", ""),
        ("?token=t", ""),
        ("?a=1&token=t&b=", "?a=1&b="),
        ("?token=mine", "?token=mine"),
        ("?a=x%20y", "?a=x%20y"),
    ],
)
def test_only_jupyters_token_is_taken_from_an_address(query: str, left: str) -> None:
    assert without_token(query, "t") == left
