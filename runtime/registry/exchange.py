"""One connection to our own registry: reading requests, who may come in, and how answers are written.

Source: RFC 9112 (messages), RFC 7617 (basic credentials); distribution-spec, "Error Codes".
"""

import base64
import binascii
import io
import re
import socket
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, urlsplit

import msgspec

from sandcell.runtime.errors import (
    BadInput,
    BlobNotFound,
    Conflict,
    Corrupted,
    InvalidDigest,
    InvalidReference,
    SandcellError,
    StoreFull,
)
from sandcell.runtime.registry.endpoint import is_loopback

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from sandcell.runtime.registry.server import Server

_CHUNK = 1 << 18
_LONGEST_LINE = 1 << 12
_LINGER = 1 << 26
_CODES = {InvalidReference: "NAME_INVALID", InvalidDigest: "DIGEST_INVALID"}
_IDLE = 60.0
"""Seconds for the next request to come, and for each quarter of a megabyte of its body."""
_PATIENCE = 20.0
"""Seconds for the head of a request, from its first line on, however slowly it drips."""


class Refusal(Exception):
    """An answer that is an error: status, code of the spec, words, and what concerns it more closely."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Exchange(BaseHTTPRequestHandler):
    """Reads one request after the other from one connection; ``route`` answers them."""

    protocol_version = "HTTP/1.1"
    server_version = "sandcell"
    sys_version = ""
    timeout = _IDLE
    raw_requestline: bytes
    disable_nagle_algorithm = True

    @property
    def _registry(self) -> "Server":
        return cast("Server", self.server)

    def route(self, method: str, path: str) -> None:
        """Answer; a ``Refusal`` and any error of ours become answers too."""
        raise Refusal(404, "NAME_UNKNOWN", f"there is nothing at {path} to {method}")

    def do_GET(self) -> None:
        """Answer GET, and below every other method."""
        self._left: int | None = 0
        self._chunked = False
        parts = urlsplit(self.path)
        self._query = {key: values[-1] for key, values in parse_qs(parts.query, True).items()}
        try:
            self._open_body()
            self._admit()
            self.route("GET" if self.command == "HEAD" else self.command, parts.path)
        except Refusal as error:
            self._refuse(error)
        except BlobNotFound as error:
            self._refuse(Refusal(404, "BLOB_UNKNOWN", str(error)))
        except Corrupted as error:
            self._refuse(Refusal(400, "DIGEST_INVALID", str(error)))
        except BadInput as error:
            self._refuse(Refusal(400, _CODES.get(type(error), "MANIFEST_INVALID"), str(error)))
        except StoreFull:
            self._refuse(Refusal(507, "DENIED", "the disk is full"))
        except Conflict as error:
            self._refuse(Refusal(429, "TOOMANYREQUESTS", error.cause, Retry_After="5"))
        except SandcellError as error:
            self._refuse(Refusal(500, "UNKNOWN", error.cause))

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def setup(self) -> None:
        """Do a TLS handshake here, within the time limit, in the connection's own thread."""
        self.request.settimeout(_PATIENCE)
        if hasattr(self.request, "do_handshake"):
            self.request.do_handshake()
        super().setup()
        self._slow = _Deadline(self.connection)
        self.rfile = io.BufferedReader(self._slow, 1 << 16)

    def handle_one_request(self) -> None:
        """One request: it may be long in coming, but then its head must come."""
        self._slow.allow(_IDLE)
        super().handle_one_request()

    def parse_request(self) -> bool:
        """The head, of which the first line is here."""
        if self.raw_requestline.startswith(b"\x16\x03"):
            # Somebody tries TLS first, as they should (RFC 8446, section 5.1).
            self.close_connection = True
            return False
        self._slow.allow(_PATIENCE)
        return super().parse_request()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses by itself: not HTTP, a head too long, an unknown method."""
        self._left, self.close_connection = 0, True
        if not hasattr(self, "headers"):
            self.requestline, self.request_version, self.command = "", self.protocol_version, ""
        status = 405 if code == 501 else code
        self._refuse(Refusal(status, "UNSUPPORTED", explain or message or self.responses[code][0]))

    def log_message(self, format: str, *args: object) -> None:
        """One line for who listens."""
        if self._registry.log is not None:
            text = f"{self.client_address[0]} {format % args}"
            self._registry.log("".join(c if c.isprintable() else "?" for c in text))

    # ------------------------------------------------------------ who asks

    def _admit(self) -> None:
        # A web page that gave its own name our address must not speak to us through a browser.
        host = self.headers.get("Host", "")
        if self._registry.is_loopback and not is_loopback(host):
            raise Refusal(403, "DENIED", "this registry is for its own machine")
        allowed = self._registry.allowed
        if allowed is None:
            return
        kind, _, told = self.headers.get("Authorization", "").partition(" ")
        try:
            user, colon, password = base64.b64decode(told, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user, colon, password = "", "", ""
        if kind.lower() != "basic" or not colon or not allowed(user, password):
            raise Refusal(401, "UNAUTHORIZED", "log in first")

    # ------------------------------------------------------------ bodies and answers

    def _open_body(self) -> None:
        coding = self.headers.get("Transfer-Encoding", "").strip().lower()
        lengths = self.headers.get_all("Content-Length", [])
        if coding:
            if coding != "chunked" or lengths:
                raise self._unreadable("a body has a length or is chunked")
            self._chunked, self._left = True, None
        elif lengths:
            if len(lengths) > 1 or not re.fullmatch(r"[0-9]{1,18}", lengths[0].strip()):
                raise self._unreadable("Content-Length is no number")
            self._left = int(lengths[0])

    def _unreadable(self, message: str) -> Refusal:
        """Nobody knows where the next request would begin."""
        self.close_connection = True
        return Refusal(400, "SIZE_INVALID", message)

    def _body(self) -> Iterator[bytes]:
        """The request's body in pieces, each as it comes. A connection that breaks ends it by an error."""
        while self._left != 0:
            size = self._chunk_size() if self._chunked else self._left or 0
            if not size:
                self._left = 0
                return
            while size:
                self._slow.allow(_IDLE)
                data = self.rfile.read1(min(_CHUNK, size))
                if not data:
                    raise ConnectionError("the body broke off")
                size -= len(data)
                if not self._chunked:
                    self._left = size
                yield data
            if self._chunked:
                self.rfile.readline(_LONGEST_LINE)

    def _chunk_size(self) -> int:
        """The length of the next chunk; none after the last one (RFC 9112, section 7.1)."""
        self._slow.allow(_IDLE)
        line = self.rfile.readline(_LONGEST_LINE).partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9a-fA-F]{1,15}", line):
            raise ConnectionError("a chunk has no length")
        size = int(line, 16)
        while not size and self.rfile.readline(_LONGEST_LINE).strip():
            pass
        return size

    def _skip(self, most: int) -> None:
        """Read what is left of a body that nobody wants, but no more than ``most`` bytes."""
        for piece in self._body():
            most -= len(piece)
            if most < 0:
                self.close_connection = True
                return

    def _answer(self, status: int, headers: dict[str, str], data: bytes = b"") -> None:
        self.connection.settimeout(_IDLE)
        self.send_response(status)
        if self._left != 0 or self.close_connection:
            # Whoever sends what nobody reads begins anew.
            self.close_connection = True
            self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and status not in (204, 304):
            self.send_header("Content-Length", str(len(data)))
        self.send_header("Docker-Distribution-API-Version", "registry/2.0")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _refuse(self, error: Refusal) -> None:
        data = msgspec.json.encode({"errors": [{"code": error.code, "message": error.message}]})
        headers = {"Content-Type": "application/json", **error.headers}
        if error.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="sandcell", charset="UTF-8"'
        if self._left is not None and self._left <= _CHUNK:
            self._skip(_CHUNK)
        self._answer(error.status, headers, data)
        # A connection that is closed while its bytes come loses the answer on the way.
        self._skip(_LINGER)

    def _json(self, value: object, headers: dict[str, str]) -> None:
        self._answer(200, {"Content-Type": "application/json", **headers}, msgspec.json.encode(value))


class _Deadline(socket.SocketIO):
    """The reading side of a connection on which everything has to come until some moment."""

    def __init__(self, connection: socket.socket, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(connection, "r")
        self._connection = connection
        self._now = now
        self.allow(_IDLE)

    def allow(self, seconds: float) -> None:
        """What is read from now on has so long, all together."""
        self._until = self._now() + seconds

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        """As of any raw stream; ``TimeoutError`` when it is too late."""
        left = self._until - self._now()
        if left <= 0:
            raise TimeoutError("too slow")
        self._connection.settimeout(left)
        return super().readinto(buffer)
