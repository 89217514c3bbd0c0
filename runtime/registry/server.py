"""A small registry over the store, for lessons, tests and classrooms: OCI distribution-spec 1.1.

A thread for each connection, from the standard library: what takes time is the disk, and threads wait
for it well (docs/decisions/0015-the-registry-server.md).
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from http.server import ThreadingHTTPServer
from typing import TypeAlias

from sandcell.runtime.errors import HostRefused
from sandcell.runtime.registry.answers import Handler
from sandcell.runtime.registry.endpoint import is_loopback
from sandcell.runtime.registry.shelf import Shelf
from sandcell.runtime.registry.uploads import Uploads
from sandcell.runtime.registry.users import Allowed
from sandcell.runtime.store import Store

_Request: TypeAlias = socket.socket | tuple[bytes, socket.socket]
_MOST_CONNECTIONS = 256


class Server(ThreadingHTTPServer):
    """Serves ``store`` at ``address`` (host and port; port 0 is any free one) from ``serve_forever``.

    ``allowed``: who may come in, everybody if left out. ``tls``: certificate and key file. ``log``: gets
    a line for each request. ``connections``: at most so many at once. While it is open, ``prune`` keeps
    what came through it. ``HostRefused`` where the address cannot be had.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self,
        store: Store,
        address: tuple[str, int] = ("127.0.0.1", 5000),
        *,
        allowed: Allowed | None = None,
        tls: tuple[str, str] | None = None,
        log: Callable[[str], None] | None = None,
        connections: int = _MOST_CONNECTIONS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.shelf = Shelf(store)
        self.uploads = Uploads(store, now)
        self.allowed = allowed
        self.log = log
        self.scheme = "https" if tls else "http"
        self._places = threading.BoundedSemaphore(connections)
        self._held = ExitStack()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        try:
            super().__init__(address, Handler)
            if tls is not None:
                import ssl

                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*tls)
                # The handshake belongs to the connection's own thread: a slow one stops nobody else.
                self.socket = context.wrap_socket(
                    self.socket, server_side=True, do_handshake_on_connect=False
                )
        except OSError as error:
            told = f"{address[0]}:{address[1]}"
            raise HostRefused("serve", told, error.strerror or str(error), "choose another port") from None
        self._held.enter_context(store.leases.working())

    @property
    def name(self) -> str:
        """Host and port, as in an image's name."""
        host, port = self.server_address[:2]
        told = host.decode() if isinstance(host, bytes) else str(host)
        return f"[{told}]:{port}" if ":" in told else f"{told}:{port}"

    def server_close(self) -> None:
        """Close it, and forget uploads that were not finished."""
        super().server_close()
        self.uploads.close()
        self._held.close()

    @property
    def is_loopback(self) -> bool:
        """Can only this machine come here?"""
        return is_loopback(self.name)

    def process_request(self, request: "_Request", client_address: object) -> None:
        """A thread for this connection; one too many is closed."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: "_Request", client_address: object) -> None:
        """In that thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that broke is no news."""
