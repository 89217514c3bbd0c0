"""Requests and their answers: the table of ``routes`` over HTTP, the page, and the bytes of files.

Every handler wants somebody who is logged in and may read, or execute; Jupyter checks XSRF before a
POST or DELETE. An error is JSON with its four parts and a status; nobody sees a traceback.
"""

import json
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from tornado import web

from sandcell.magics.inspector.questions import told
from sandcell.magics.server import inputs
from sandcell.magics.server.routes import PREFIX, Route, by_path, given, pattern
from sandcell.runtime import errors

if TYPE_CHECKING:
    from sandcell.magics.server.app import Room

RESOURCE = "sandcell"

_STATUS: tuple[tuple[type[errors.SandcellError], int], ...] = (
    (errors.BadInput, 400),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.HostRefused, 403),
    (errors.BuildFailed, 422),
    (errors.StartFailed, 422),
    (errors.Corrupted, 422),
    (errors.RegistryRefused, 424),
    (errors.StoreFull, 507),
)
_ABOUT_BLANK = "default-src 'none'; sandbox; frame-ancestors 'none'"
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


def status_of(error: errors.SandcellError) -> int:
    """The HTTP status for an error of ours."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 400)


class Answering(APIHandler):
    """What all our JSON handlers share: errors, and the room."""

    auth_resource = RESOURCE

    def initialize(self, room: "Room") -> None:
        """``room``: where work is done."""
        self.room = room

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Every error in one form."""
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, errors.SandcellError):
            self.set_status(status_of(error))
            self.finish(json.dumps({"error": told(error)}))
            return
        try:
            phrase = HTTPStatus(status_code).phrase
        except ValueError:
            phrase = "refused"
        cause = (isinstance(error, web.HTTPError) and error.log_message) or phrase
        parts = {"kind": "Refused", "operation": self.request.method or "", "object": self.request.path}
        self.finish(json.dumps({"error": {**parts, "cause": cause, "hint": ""}, "message": cause}))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """What somebody got wrong is no matter for the server's log."""
        if not isinstance(value, errors.SandcellError):
            super().log_exception(typ, value, tb)


class Rest(Answering):
    """The routes of one path."""

    def initialize(self, room: "Room", routes: dict[str, Route] | None = None) -> None:
        """``routes``: by method."""
        super().initialize(room)
        self._routes = routes or {}

    @web.authenticated
    @authorized("read")
    async def get(self, **places: str) -> None:
        """Look."""
        await self._answer(places)

    @web.authenticated
    @authorized("execute")
    async def post(self, **places: str) -> None:
        """Do."""
        await self._answer(places)

    @web.authenticated
    @authorized("execute")
    async def delete(self, **places: str) -> None:
        """Take away."""
        await self._answer(places)

    async def _answer(self, places: dict[str, str]) -> None:
        route = self._routes.get(self.request.method or "")
        if route is None:
            self.set_header("Allow", ", ".join(self._routes))
            raise web.HTTPError(405)
        asked = given(route, places, self.request.query_arguments)
        if route.body is not None:
            asked |= inputs.body(route.body, self.request.body)
        value = await self.room.run(lambda: route.call(self.room.engine, **asked))
        if route.kind == "bytes":
            self._send(value, asked["path"])
        else:
            self.finish(json.dumps(value))

    def _send(self, data: bytes, path: str) -> None:
        """A file of an image: never as something that a browser would carry out."""
        self.set_header("Content-Security-Policy", _ABOUT_BLANK)
        self.set_header("X-Content-Type-Options", "nosniff")
        try:
            data.decode()
            plain = b"\0" not in data
        except UnicodeDecodeError:
            plain = False
        kind = "text/plain; charset=utf-8" if plain else "application/octet-stream"
        if not plain:
            name = quote(path.rpartition("/")[2] or "file", safe="")
            self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{name}")
        self.finish(data, set_content_type=kind)


class Document(Answering):
    """The OpenAPI description."""

    @web.authenticated
    @authorized("read")
    def get(self) -> None:
        """As it lies beside us."""
        self.finish(Path(__file__).with_name("openapi.json").read_bytes())


class Terminal(Answering):
    """A terminal of Jupyter's own that runs a shell in the container."""

    @web.authenticated
    @authorized("execute")
    async def post(self, id: str) -> None:
        """Open one; answers its name, under which any of Jupyter's pages shows it."""
        import sys

        inputs.body(inputs.Nothing, self.request.body)
        terminals = self.settings.get("terminal_manager")
        if terminals is None:
            raise errors.WrongState(
                "open terminal", id, "this server has no terminals", "use the command shown"
            )
        found = await self.room.run(lambda: self.room.engine.container(id))
        if found.state != "running":
            cause = f"it is {found.state}, not running"
            raise errors.WrongState("open terminal in", found.name, cause, "start it first")
        places = self.room.engine.places
        argv = ["env", f"SANDCELL_HOME={places.home}", f"SANDCELL_RUN={places.run}"]
        argv += [sys.executable, "-m", "sandcell.runtime.cli", "exec", "-it", found.id, "sh"]
        self.finish(json.dumps({"name": terminals.create(shell_command=argv)["name"]}))


class Static(JupyterHandler, web.StaticFileHandler):
    """The inspector's modules and styles."""

    auth_resource = RESOURCE

    async def prepare(self) -> None:  # type: ignore[override]
        """Only for who may read."""
        await ensure_async(super().prepare())  # type: ignore[arg-type]
        user = self.current_user
        if user is None:
            raise web.HTTPError(403)
        if not await ensure_async(self.authorizer.is_authorized(self, user, "read", self.auth_resource)):
            raise web.HTTPError(403)

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002
        """Always ask again: a new version has the same names."""
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Content-Type-Options", "nosniff")


class Page(JupyterHandler):
    """The inspector without a notebook."""

    auth_resource = RESOURCE

    @web.authenticated
    @authorized("read")
    def get(self) -> None:
        """The page; its script finds everything else relative to the base address."""
        from html import escape

        self.set_header("Content-Security-Policy", _PAGE_POLICY)
        self.xsrf_token  # noqa: B018 - asking for it sets the cookie that our script sends back
        base = escape(f"{self.base_url}sandcell/")
        self.finish(_PAGE.replace("BASE", base))


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="sandcell-base" content="BASE">
<title>sandcell</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="BASEstatic/inspector.css">
<link rel="stylesheet" href="BASEstatic/details.css">
<script type="module" src="BASEstatic/page.js"></script>
</head>
<body class="sc-page"><noscript>This page needs JavaScript; the command <code>sandcell</code> does
not.</noscript></body>
</html>
"""


def addresses(room: "Room") -> list[tuple[str, type[Any], dict[str, Any]]]:
    """All our addresses with who answers them."""
    from sandcell.magics.server import proxy, stream
    from sandcell.magics.server.app import STATIC
    from sandcell.magics.server.archives import Archives

    place = r"(?P<id>[^/]+)"
    shared = {"room": room}
    rest = [
        (pattern(path), Archives if any(one.streams for one in routes.values()) else Rest,
         {**shared, "routes": routes})
        for path, routes in by_path().items()
    ]  # fmt: skip
    return [
        *rest,
        (rf"{PREFIX}/openapi\.json", Document, shared),
        (rf"{PREFIX}/events", stream.Events, shared),
        (rf"{PREFIX}/containers/{place}/log/stream", stream.Log, shared),
        (rf"{PREFIX}/containers/{place}/terminal", Terminal, shared),
        *proxy.addresses(room),
        (r"/sandcell/static/(.*)", Static, {"path": str(STATIC)}),
        (r"/sandcell/?", Page, {}),
    ]
