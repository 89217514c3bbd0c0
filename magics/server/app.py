"""What Jupyter's server loads, and the room in which its requests are answered.

The engine's verbs wait for processes and disks, so they run in threads of their own and never in the
server's event loop. The engine is opened when somebody first asks for something.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_server.extension.application import ExtensionApp

from sandcell.magics.inspector.feed import Feed

if TYPE_CHECKING:
    from sandcell.runtime.engine import Engine

T = TypeVar("T")

THREADS = 16
"""Requests that are answered at once; a `stop` may take ten seconds of one."""

STATIC = Path(__file__).resolve().parent.parent / "inspector" / "static"


class Room:
    """One engine, one feed and some threads for all requests of a server."""

    def __init__(self, engine: "Engine | None" = None) -> None:
        self._engine = engine
        self._feed: Feed | None = None
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(THREADS, "sandcell-server")

    @property
    def engine(self) -> "Engine":
        """The engine; opened at the first use, in whatever thread asks."""
        with self._lock:
            if self._engine is None:
                from sandcell.runtime import Engine

                self._engine = Engine()
            return self._engine

    @property
    def feed(self) -> Feed:
        """Who tells of changes; begins to listen at the first use."""
        engine = self.engine
        with self._lock:
            if self._feed is None:
                self._feed = Feed(engine)
            return self._feed

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` gives, done in one of the threads."""
        import asyncio

        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def submit(self, work: Callable[[], None]) -> None:
        """Do something long in a thread of its own."""
        threading.Thread(target=work, name="sandcell-stream", daemon=True).start()

    def close(self) -> None:
        """End feed, threads and the engine's helper; containers go on."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._feed is not None:
            self._feed.close()
        if self._engine is not None:
            self._engine.close()


class SandcellApp(ExtensionApp):
    """The extension: ``/sandcell`` and all below it."""

    name = "sandcell"
    extension_url = "/sandcell"
    load_other_extensions = True
    open_browser = False

    def initialize_handlers(self) -> None:
        """Put our addresses beside Jupyter's."""
        from sandcell.magics.server.handlers import addresses

        self.room = Room()
        self.handlers.extend(addresses(self.room))

    async def stop_extension(self) -> None:
        """Let go of everything when the server ends."""
        import asyncio

        room: Any = getattr(self, "room", None)
        if room is not None:
            await asyncio.get_running_loop().run_in_executor(None, room.close)
