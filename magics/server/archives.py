"""Archives over HTTP: images and files of containers as tar streams, out and in, of any size.

A pipe lies between the engine, which reads or writes files and waits, and the server's event loop, which
never waits: what a slow client leaves in the pipe holds the engine up, and nothing is kept in memory.
"""

import asyncio
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jupyter_core.utils import ensure_async
from tornado import web
from tornado.iostream import PipeIOStream, StreamClosedError

from sandcell.magics.server.handlers import Answering
from sandcell.magics.server.routes import Route, given
from sandcell.runtime import errors

if TYPE_CHECKING:
    from sandcell.magics.server.app import Room

_PIECE = 1 << 18
_LARGEST = 1 << 40


@web.stream_request_body
class Archives(Answering):
    """The routes of one path whose answer or body is an archive."""

    def initialize(self, room: "Room", routes: dict[str, Route] | None = None) -> None:
        """``routes``: by method."""
        super().initialize(room)
        self._routes = routes or {}
        self._pipe: PipeIOStream | None = None

    async def prepare(self) -> None:  # type: ignore[override]
        """Only who may is listened to: a body is not taken from anybody else."""
        await ensure_async(super().prepare())  # type: ignore[arg-type]
        if self._finished:
            return
        user, method = self.current_user, self.request.method or ""
        action = "read" if method == "GET" else "execute"
        if user is None or not await ensure_async(
            self.authorizer.is_authorized(self, user, action, self.auth_resource)
        ):
            raise web.HTTPError(403)
        route = self._routes.get(method)
        if route is None:
            self.set_header("Allow", ", ".join(self._routes))
            raise web.HTTPError(405)
        asked = given(route, self.path_kwargs, self.request.query_arguments)
        source, sink = os.pipe2(os.O_CLOEXEC)
        if method == "GET":
            self._pipe, theirs = PipeIOStream(source), sink
        else:
            self.request.connection.set_max_body_size(_LARGEST)  # type: ignore[union-attr]
            self._pipe, theirs = PipeIOStream(sink), source
        self._done = self._work(lambda: route.call(self.room.engine, theirs, **asked), theirs)

    def _work(self, work: Callable[[], Any], end: int) -> "asyncio.Future[Any]":
        """``work`` in a thread, which then closes its ``end`` of the pipe."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        # Whoever went away does not ask how it ended.
        done.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

        def run() -> None:
            told: tuple[Any, BaseException | None]
            try:
                told = (work(), None)
            except Exception as error:
                told = (None, error)
            finally:
                os.close(end)
            loop.call_soon_threadsafe(settle, *told)

        def settle(value: Any, error: BaseException | None) -> None:
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(value)

        self.room.submit(run)
        return done

    async def data_received(self, chunk: bytes) -> None:
        """A piece of the body; one that nobody reads any more is passed over, why is told at its end."""
        assert self._pipe is not None
        if not self._pipe.closed():
            try:
                await self._pipe.write(chunk)
            except StreamClosedError:
                return

    def on_connection_close(self) -> None:
        """The client has gone: the engine finds the pipe closed."""
        if self._pipe is not None:
            self._pipe.close()
        super().on_connection_close()

    async def get(self, **_: str) -> None:
        """Send an archive. What goes wrong later than its beginning breaks the connection off."""
        assert self._pipe is not None
        try:
            piece = await self._next()
            if not piece:
                await self._done  # it may tell why there is nothing
            name = quote(next(iter(self.path_kwargs.values()), "archive").replace("/", "_"), safe="")
            self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{name}.tar")
            self.set_header("X-Content-Type-Options", "nosniff")
            self.set_header("Content-Type", "application/x-tar")
            while piece:
                self.write(piece)
                await self.flush()
                piece = await self._next()
            try:
                await self._done
            except errors.SandcellError:
                self.request.connection.stream.close()  # type: ignore[union-attr]
                return
            await self.finish()
        finally:
            self._pipe.close()

    async def _next(self) -> bytes:
        assert self._pipe is not None
        try:
            return await self._pipe.read_bytes(_PIECE, partial=True)
        except StreamClosedError:
            return b""

    async def post(self, **_: str) -> None:
        """All of the body is here: what the engine made of it."""
        assert self._pipe is not None
        self._pipe.close()
        await self.finish(json.dumps(await self._done))
