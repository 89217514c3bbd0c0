"""The way to a container's web server through Jupyter: ``/sandcell/port/NAME/PORT/``.

The answer belongs to whoever wrote the image, so it is shown in an origin of its own (a CSP sandbox):
its scripts run, and reach nothing of Jupyter's. A page without an origin sends no cookies, so its
pictures, scripts and sockets would not be let in; a browser that opens the address is therefore led to
``/sandcell/port/~KEY/NAME/PORT/``, where KEY is a secret that opens this port and nothing else.
Jupyter's cookies and token never reach the container. See docs/decisions/0038.
"""

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.iostream import IOStream

from sandcell.magics.server import passing
from sandcell.runtime import errors

if TYPE_CHECKING:
    from sandcell.magics.server.app import Room

_SECRET = secrets.token_bytes(32)
_RAW = re.compile(r"/sandcell/port/(?:~[0-9a-f]+/)?[^/]+/[0-9]{1,5}(/.*)?$")
_METHODS = ("get", "head", "post", "put", "patch", "delete")


def key_of(id: str, port: int) -> str:
    """The secret for one port of one container, as long as this server lives."""
    return hmac.new(_SECRET, f"{id}:{port}".encode(), hashlib.sha256).hexdigest()[:40]


class Port(WebSocketMixin, JupyterHandler):
    """A port, for somebody who is logged in and may execute."""

    auth_resource = "sandcell"
    keyed = False

    def initialize(self, room: "Room") -> None:
        """``room``: where work is done."""
        self.room = room

    @property
    def content_security_policy(self) -> str:
        """What the answer may do, whatever it says itself."""
        return "sandbox allow-scripts allow-forms; frame-ancestors 'self'"

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """A sentence."""
        error = kwargs.get("exc_info", (None, None))[1]
        told = isinstance(error, errors.SandcellError)
        if told:
            self.set_status(404 if isinstance(error, errors.NotFound) else 409)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{error}\n{error.hint}\n" if told else f"{status_code} {self._reason}\n")

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """A server that is not there is no matter for the log."""
        if not isinstance(value, errors.SandcellError):
            super().log_exception(typ, value, tb)

    async def pass_on(self, name: str, port: str, path: str | None, key: str = "") -> None:
        """Let the container answer this request."""
        number = int(port)
        if not 0 < number < 1 << 16:
            raise web.HTTPError(404)
        if not self.keyed:
            await self._check()
        found = await self.room.run(lambda: self.room.engine.container(name))
        right = key_of(found.id, number)
        if self.keyed and not hmac.compare_digest(key.encode(), right.encode()):
            raise web.HTTPError(403)
        place = f"{self.base_url}sandcell/port/~{right}/{quote(name, safe='')}/{number}"
        # As it was sent: what is escaped there stays so, and no space or line end comes into a request line.
        raw = _RAW.search(self.request.path)
        path = raw[1] if raw is not None else path
        query = f"?{self.request.query}" if self.request.query else ""
        query = passing.without_token(query, self.token or "")
        navigates = self.request.headers.get("Sec-Fetch-Mode") == "navigate"
        if not path or (navigates and not self.keyed):
            self.set_header("Cache-Control", "no-store")
            self.set_header("Referrer-Policy", "no-referrer")
            self.redirect(f"{place}{path or '/'}{query}", status=307)
            return
        channel = await self.room.run(lambda: self.room.engine.connect(found, number))
        channel.setblocking(False)
        stream = IOStream(channel)
        request = passing.Request(self, f"{path}{query}", place, number)
        try:
            if self.request.headers.get("Upgrade", "").lower() == "websocket":
                if not self.keyed and not self.check_origin():
                    raise web.HTTPError(403)
                await passing.splice(request, stream)
            else:
                await passing.answer(request, stream)
        finally:
            stream.close()

    async def _check(self) -> None:
        user = self.current_user
        if user is None:
            raise web.HTTPError(403)
        if not await ensure_async(self.authorizer.is_authorized(self, user, "execute", self.auth_resource)):
            raise web.HTTPError(403)


class KeyedPort(Port):
    """The same for who has the key. It is no cookie, so no other site can make a browser send it."""

    keyed = True

    def check_xsrf_cookie(self) -> None:
        """There is nothing to forge: the address itself is the right."""


def _method(needs_user: bool) -> Any:
    async def method(self: Port, name: str, port: str, path: str | None = None, key: str = "") -> None:
        """Pass it on."""
        await self.pass_on(name, port, path, key)

    return web.authenticated(method) if needs_user else allow_unauthenticated(method)


for _name in _METHODS:
    setattr(Port, _name, _method(True))
    setattr(KeyedPort, _name, _method(False))


@allow_unauthenticated
def _options(self: Port, **_: Any) -> None:
    """What a page without an origin asks before it sends something: with the key, it may."""
    self.set_status(204)
    if self.keyed:
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Access-Control-Allow-Methods", ", ".join(_METHODS).upper())
        self.set_header("Access-Control-Allow-Headers", "*")
    self.finish()


Port.options = KeyedPort.options = _options


def addresses(room: "Room") -> list[tuple[str, type[Any], dict[str, Any]]]:
    """The two addresses of every port."""
    place = r"(?P<name>[^/~][^/]*)/(?P<port>[0-9]{1,5})(?P<path>/.*)?"
    return [
        (rf"/sandcell/port/~(?P<key>[0-9a-f]+)/{place}", KeyedPort, {"room": room}),
        (rf"/sandcell/port/{place}", Port, {"room": room}),
    ]
