"""WebSockets: what changes in the store, and what a container writes, as it happens."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from sandcell.magics.inspector.questions import told
from sandcell.runtime.errors import SandcellError

if TYPE_CHECKING:
    from sandcell.magics.server.app import Room

_MOST_WAITING = 2000
_MOST_WATCHED = 16


class Stream(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """A WebSocket that threads may write to. A client that does not read is hung up on."""

    auth_resource = "sandcell"

    def initialize(self, room: "Room") -> None:
        """``room``: where work is done."""
        self.room = room
        self.loop = asyncio.get_running_loop()
        self.ended = False
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue()

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Only for who is logged in and may read, and from Jupyter's own pages."""
        user = self.current_user
        if user is None:
            raise web.HTTPError(403)
        if not await ensure_async(self.authorizer.is_authorized(self, user, "read", self.auth_resource)):
            raise web.HTTPError(403)
        await WebSocketHandler.get(self, *args, **kwargs)

    def say(self, message: dict[str, Any]) -> None:
        """Send a message; may be called from any thread, does not wait."""
        text = json.dumps(message)
        self.loop.call_soon_threadsafe(self._put, text)

    def hang_up(self) -> None:
        """Close when all is sent; from any thread."""
        self.loop.call_soon_threadsafe(self._put, None)

    def _put(self, text: str | None) -> None:
        if self._waiting.qsize() >= _MOST_WAITING:
            self.close(1013, "too slow")
            return
        self._waiting.put_nowait(text)

    async def pump(self) -> None:
        """Send what waits, one after the other."""
        while (text := await self._waiting.get()) is not None:
            try:
                await self.write_message(text)
            except WebSocketClosedError:
                return
        self.close()

    def on_close(self) -> None:
        """The client has gone."""
        self.ended = True
        self._waiting.put_nowait(None)
        super().on_close()


class Events(Stream):
    """The whole state first, then patches; for containers that are watched, what they use."""

    async def open(self, *_: Any, **__: Any) -> None:
        """Begin."""
        super().open()
        self._pump = asyncio.ensure_future(self.pump())
        feed = await self.room.run(lambda: self.room.feed)
        await self.room.run(lambda: feed.subscribe(self.say))
        if self.ended:
            feed.unsubscribe(self.say)

    async def on_message(self, message: str | bytes) -> None:
        """``{"watch": [id, …]}``; everything else is passed over."""
        try:
            wanted = json.loads(message).get("watch", [])
            ids = [str(id) for id in wanted][:_MOST_WATCHED]
        except (ValueError, AttributeError, TypeError):
            return
        feed = await self.room.run(lambda: self.room.feed)
        feed.watch(self.say, ids)

    def on_close(self) -> None:
        """Listen no more."""
        super().on_close()
        self.room.submit(lambda: self.room.feed.unsubscribe(self.say))


class Log(Stream):
    """What a container wrote and writes: ``{"stream", "text"}``; closed when it ends."""

    async def open(self, id: str, **_: Any) -> None:
        """Begin with the end of what there is."""
        super().open()
        self._pump = asyncio.ensure_future(self.pump())
        self.room.submit(lambda: self._follow(id))

    def _follow(self, id: str) -> None:
        import codecs

        decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")}
        try:
            pieces = self.room.engine.logs(id, tail=1000, follow=True, stop=lambda: self.ended)
            for piece in pieces:
                if self.ended:
                    break
                text = decoders[piece.stream].decode(piece.data)
                self.say({"stream": piece.stream, "text": text})
        except SandcellError as error:
            self.say({"error": told(error)})
        self.hang_up()

    async def on_message(self, message: str | bytes) -> None:
        """Nothing is asked of it."""
