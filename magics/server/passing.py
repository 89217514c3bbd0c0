"""Passing a request on to a container's web server, and its answer back. RFC 9110, RFC 6455.

Taken away on the way in: cookies, tokens and what names Jupyter; on the way out: whatever would act
on Jupyter's origin instead of on the page.
"""

import asyncio
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from tornado import httputil, web
from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.iostream import IOStream, StreamClosedError

_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade", "expect", "content-length",
}  # fmt: skip
_OURS = {"cookie", "authorization", "x-xsrftoken", "referer", "origin", "host", "forwarded"}
_ACTS_ON_ORIGIN = {
    "set-cookie", "set-cookie2", "clear-site-data", "service-worker-allowed", "strict-transport-security",
    "public-key-pins", "alt-svc", "nel", "report-to", "reporting-endpoints", "refresh", "server", "date",
}  # fmt: skip
_LARGEST_HEAD = 65536
_PATIENCE = 60.0


class Request(NamedTuple):
    """``target``: path and query as the container sees them; ``place``: where its ``/`` is for the
    browser; ``port``: of the container."""

    handler: Any
    target: str
    place: str
    port: int


def without_token(query: str, token: str) -> str:
    """``?…`` without Jupyter's token; other parameters stay, one of that name with another value too."""
    if not token or "token=" not in query:
        return query
    kept = [pair for pair in parse_qsl(query[1:], keep_blank_values=True) if pair != ("token", token)]
    return f"?{urlencode(kept)}" if kept else ""


def inward(request: Request) -> httputil.HTTPHeaders:
    """The headers that the container gets."""
    headers = httputil.HTTPHeaders()
    given = request.handler.request.headers
    # What a client calls its own for this one connection ends here too (RFC 9110, 7.6.1).
    hop = _HOP | {name.strip().lower() for name in given.get("Connection", "").split(",")}
    for name, value in given.get_all():
        low = name.lower()
        if low not in hop and low not in _OURS and not low.startswith(("sec-websocket", "x-forwarded")):
            headers.add(name, value)
    headers["Host"] = f"127.0.0.1:{request.port}"
    headers["X-Forwarded-Prefix"] = request.place
    return headers


def outward(request: Request, headers: httputil.HTTPHeaders) -> list[tuple[str, str]]:
    """The headers that the browser gets."""
    found = []
    for name, value in headers.get_all():
        low = name.lower()
        if low in _HOP or low in _ACTS_ON_ORIGIN or low.startswith("access-control-"):
            continue
        found.append((name, _moved(request, value) if low == "location" else value))
    return found


async def answer(request: Request, stream: IOStream) -> None:
    """One request and its answer, piece by piece as it comes."""
    handler = request.handler
    body = handler.request.body
    headers = inward(request)
    headers["Connection"] = "close"
    if body or handler.request.method in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = str(len(body))
    parameters = HTTP1ConnectionParameters(
        no_keep_alive=True, max_header_size=_LARGEST_HEAD, max_body_size=1 << 40, header_timeout=_PATIENCE
    )
    connection = HTTP1Connection(stream, True, parameters)
    handler.on_connection_close = stream.close
    start = httputil.RequestStartLine(handler.request.method, request.target, "HTTP/1.1")
    delegate = _Back(request)
    try:
        await connection.write_headers(start, headers, body or None)
        connection.finish()
        await connection.read_response(delegate)
    except (StreamClosedError, httputil.HTTPInputError):
        pass
    if not delegate.begun:
        raise web.HTTPError(502, "the container's server gave no answer")
    if not handler._finished:
        handler.finish()


class _Back(httputil.HTTPMessageDelegate):
    def __init__(self, request: Request) -> None:
        self._request = request
        self.begun = False

    def headers_received(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
    ) -> None:
        assert isinstance(start_line, httputil.ResponseStartLine)
        if start_line.code < 200:
            return
        self.begun = True
        handler = self._request.handler
        handler.set_status(start_line.code, start_line.reason or "answered")
        for name in ("Content-Type", "X-Content-Type-Options"):
            handler.clear_header(name)
        for name, value in outward(self._request, headers):
            handler.add_header(name, value)
        handler.set_header("Referrer-Policy", "no-referrer")
        if handler.keyed:
            handler.set_header("Access-Control-Allow-Origin", "*")

    async def data_received(self, chunk: bytes) -> None:
        handler = self._request.handler
        if handler.request.method != "HEAD":
            handler.write(chunk)
            await handler.flush()


async def splice(request: Request, stream: IOStream) -> None:
    """A WebSocket: the handshake is passed on, then bytes go both ways until one side ends."""
    handler = request.handler
    headers = inward(request)
    for name, value in handler.request.headers.get_all():
        if name.lower().startswith("sec-websocket"):
            headers.add(name, value)
    headers["Connection"], headers["Upgrade"] = "Upgrade", "websocket"
    lines = [f"GET {request.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.get_all())]
    await stream.write("\r\n".join([*lines, "", ""]).encode("latin1"))
    try:
        head = (await stream.read_until(b"\r\n\r\n", max_bytes=_LARGEST_HEAD)).decode("latin1")
    except StreamClosedError:
        raise web.HTTPError(502, "the container's server gave no answer") from None
    first, _, rest = head.partition("\r\n")
    if first.split(" ")[1:2] != ["101"]:
        raise web.HTTPError(502, "the container's server wants no WebSocket here")
    try:
        answered = outward(request, httputil.HTTPHeaders.parse(rest))
    except httputil.HTTPInputError:
        # A line end inside a header: some reader would take what follows for another one.
        raise web.HTTPError(502, "the container's server answered with broken headers") from None
    told = [f"{name}: {value}" for name, value in answered]
    browser = handler.detach()
    lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket", *told, "", ""]
    await browser.write("\r\n".join(lines).encode("latin1"))
    ways = [asyncio.ensure_future(_pour(browser, stream)), asyncio.ensure_future(_pour(stream, browser))]
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for one in (browser, stream):
        one.close()
    await asyncio.gather(*ways, return_exceptions=True)


async def _pour(source: IOStream, sink: IOStream) -> None:
    try:
        while True:
            await sink.write(await source.read_bytes(65536, partial=True))
    except StreamClosedError:
        return


def _moved(request: Request, location: str) -> str:
    """Where a redirect leads for the browser."""
    parts = urlsplit(location)
    own = parts.netloc in (f"127.0.0.1:{request.port}", f"localhost:{request.port}")
    if (not parts.netloc or own) and parts.path.startswith("/"):
        return request.place + parts._replace(scheme="", netloc="").geturl()
    return location
