"""One request to our own registry, and its answer (distribution-spec, "API": end-1 to end-13)."""

import base64
import binascii
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, quote, urlsplit

import msgspec

from sandcell.runtime.errors import BadInput, BlobNotFound, Corrupted, SandcellError, StoreFull
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.registry.endpoint import is_loopback
from sandcell.runtime.registry.shelf import LARGEST_MANIFEST, encoded_index
from sandcell.runtime.registry.uploads import Upload

if TYPE_CHECKING:
    from sandcell.runtime.registry.server import Server

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = rf"(?P<name>{_PART}(?:/{_PART})*)"
_CHUNK = 1 << 18
_MOST_LISTED = 1000
_LONGEST_LINE = 1 << 12


class Refusal(Exception):
    """An answer that is an error: status, code of the spec, and words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Handler(BaseHTTPRequestHandler):
    """Reads one request after the other from one connection."""

    protocol_version = "HTTP/1.1"
    server_version = "sandcell"
    sys_version = ""
    timeout = 60
    disable_nagle_algorithm = True

    @property
    def _registry(self) -> "Server":
        return cast("Server", self.server)

    def do_GET(self) -> None:
        """Answer GET, and below every other method, by the table of routes."""
        self._left: int | None = 0
        self._chunked = False
        parts = urlsplit(self.path)
        self._query = {key: values[-1] for key, values in parse_qs(parts.query, True).items()}
        try:
            self._open_body()
            self._admit()
            method = "GET" if self.command == "HEAD" else self.command
            known = False
            for wanted, pattern, answer in _ROUTES:
                match = pattern.fullmatch(parts.path)
                if match is not None:
                    known = True
                    if wanted == method:
                        getattr(self, answer)(**match.groupdict())
                        self._drain()
                        return
            if known:
                raise Refusal(405, "UNSUPPORTED", "this is not possible here")
            raise Refusal(
                404, "NAME_INVALID" if "/v2/" in parts.path else "NAME_UNKNOWN", "there is no such thing"
            )
        except Refusal as error:
            self._refuse(error)
        except BlobNotFound as error:
            self._refuse(Refusal(404, "MANIFEST_BLOB_UNKNOWN", str(error)))
        except Corrupted as error:
            self._refuse(Refusal(400, "DIGEST_INVALID", str(error)))
        except BadInput as error:
            self._refuse(Refusal(400, "MANIFEST_INVALID", str(error)))
        except StoreFull:
            self._refuse(Refusal(507, "SIZE_INVALID", "the disk is full"))
        except SandcellError as error:
            self._refuse(Refusal(500, "UNKNOWN", error.cause))

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def setup(self) -> None:
        """Do a TLS handshake here, within the time limit, in the connection's own thread."""
        self.request.settimeout(self.timeout)
        if hasattr(self.request, "do_handshake"):
            self.request.do_handshake()
        super().setup()

    def log_message(self, format: str, *args: object) -> None:
        """One line for who listens."""
        if self._registry.log is not None:
            text = f"{self.client_address[0]} {format % args}"
            self._registry.log("".join(c if c.isprintable() else "?" for c in text))

    # ------------------------------------------------------------ who asks

    def _admit(self) -> None:
        # A web page that gave its own name our address must not speak to us through a browser.
        host = self.headers.get("Host", "")
        bound = str(self._registry.server_address[0])
        if (bound.startswith("127.") or bound == "::1") and not is_loopback(host):
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
        length = self.headers.get("Content-Length")
        if coding:
            if coding != "chunked" or length is not None:
                self.close_connection = True
                raise Refusal(400, "SIZE_INVALID", "a body has a length or is chunked")
            self._chunked, self._left = True, None
        elif length is not None:
            if not length.isdecimal() or len(self.headers.get_all("Content-Length", [])) > 1:
                self.close_connection = True
                raise Refusal(400, "SIZE_INVALID", "Content-Length is no number")
            self._left = int(length)

    def _body(self) -> Iterator[bytes]:
        """The request's body in pieces. A connection that breaks ends it by an error."""
        if not self._chunked:
            while self._left:
                data = self.rfile.read(min(_CHUNK, self._left))
                if not data:
                    raise ConnectionError("the body broke off")
                self._left -= len(data)
                yield data
            return
        while self._left is None:
            line = self.rfile.readline(_LONGEST_LINE).partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9a-fA-F]{1,15}", line):
                raise ConnectionError("a chunk has no length")
            size = int(line, 16)
            if not size:
                while self.rfile.readline(_LONGEST_LINE).strip():
                    pass
                self._left = 0
                return
            while size:
                data = self.rfile.read(min(_CHUNK, size))
                if not data:
                    raise ConnectionError("the body broke off")
                size -= len(data)
                yield data
            self.rfile.readline(_LONGEST_LINE)

    def _drain(self) -> None:
        if self._left != 0:
            # Whoever sends what nobody reads begins anew.
            self.close_connection = True

    def _answer(self, status: int, headers: dict[str, str], data: bytes = b"") -> None:
        self.send_response(status)
        if self._left != 0:
            self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.send_header("Docker-Distribution-API-Version", "registry/2.0")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _refuse(self, error: Refusal) -> None:
        data = msgspec.json.encode({"errors": [{"code": error.code, "message": error.message}]})
        headers = {"Content-Type": "application/json"}
        if error.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="sandcell", charset="UTF-8"'
        self._drain()
        self._answer(error.status, headers, data)

    def _json(self, value: object, headers: dict[str, str]) -> None:
        self._answer(200, {"Content-Type": "application/json", **headers}, msgspec.json.encode(value))

    # ------------------------------------------------------------ routes

    def version(self) -> None:
        """end-1: yes, this is a registry."""
        self._json({}, {})

    def catalog(self) -> None:
        """All repositories, by the page."""
        page, headers = self._page(self._registry.shelf.repositories())
        self._json({"repositories": page}, headers)

    def tags(self, name: str) -> None:
        """end-8: the tags of a repository, by the page."""
        found = self._registry.shelf.tags(name)
        if not found:
            raise Refusal(404, "NAME_UNKNOWN", f"there is no repository {name}")
        page, headers = self._page(found)
        self._json({"name": name, "tags": page}, headers)

    def _page(self, found: list[str]) -> tuple[list[str], dict[str, str]]:
        text = self._query.get("n", "")
        if text and not re.fullmatch(r"[0-9]{1,9}", text):
            raise Refusal(400, "PAGINATION_NUMBER_INVALID", "n is no number")
        count = min(int(text), _MOST_LISTED) if text else _MOST_LISTED
        rest = [one for one in found if one > self._query["last"]] if "last" in self._query else found
        page = rest[:count]
        if not page or len(page) == len(rest):
            return page, {}
        path = urlsplit(self.path).path
        return page, {"Link": f'<{path}?n={count}&last={quote(page[-1])}>; rel="next"'}

    def referrers(self, name: str, digest: str) -> None:
        """end-12: what belongs to a manifest."""
        found = self._registry.shelf.referrers(name, _digest(digest))
        headers = {"Content-Type": media_types.INDEX}
        kind = self._query.get("artifactType")
        if kind:
            found = [one for one in found if one.artifact_type == kind]
            headers["OCI-Filters-Applied"] = "artifactType"
        self._answer(200, headers, encoded_index(found))

    def manifest(self, name: str, wanted: str) -> None:
        """end-3: a manifest by tag or digest."""
        found = self._registry.shelf.find(name, _wanted(wanted))
        if found is None:
            raise Refusal(404, "MANIFEST_UNKNOWN", f"{name} has no {wanted}")
        descriptor, data = found
        headers = {"Content-Type": descriptor.media_type, "Docker-Content-Digest": descriptor.digest}
        self._answer(200, headers, data)

    def put_manifest(self, name: str, wanted: str) -> None:
        """end-7: a manifest, after all that it names."""
        data = b""
        for piece in self._body():
            data += piece
            if len(data) > LARGEST_MANIFEST:
                raise Refusal(413, "SIZE_INVALID", "a manifest has at most 4 MiB")
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip()
        digest, subject = self._registry.shelf.put(name, _wanted(wanted), data, kind)
        headers = {"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": str(digest)}
        if subject is not None:
            headers["OCI-Subject"] = str(subject)
        self._answer(201, headers)

    def delete_manifest(self, name: str, wanted: str) -> None:
        """end-9: take a tag away, or a manifest with all its tags."""
        if not self._registry.shelf.remove(name, _wanted(wanted)):
            raise Refusal(404, "MANIFEST_UNKNOWN", f"{name} has no {wanted}")
        self._answer(202, {})

    def blob(self, name: str, digest: str) -> None:  # noqa: ARG002 - one table, one signature
        """end-2: a blob, or the part of it that Range asks for."""
        wanted = _digest(digest)
        blobs = self._registry.shelf.store.blobs
        if not blobs.touch(wanted):
            raise Refusal(404, "BLOB_UNKNOWN", "it is not here")
        with blobs.open(wanted) as file:
            size = blobs.size(wanted)
            start, end = _range(self.headers.get("Range", ""), size)
            headers = {
                "Content-Type": "application/octet-stream",
                "Docker-Content-Digest": wanted,
                "Content-Length": str(end - start),
                "Accept-Ranges": "bytes",
            }
            status = 200
            if (start, end) != (0, size):
                status = 206
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
            self._answer(status, headers)
            if self.command != "HEAD" and end > start:
                self.wfile.flush()
                self.connection.sendfile(file, start, end - start)

    def begin(self, name: str) -> None:
        """end-4 and end-11: a new upload, or nothing to send for a blob that is here."""
        shelf = self._registry.shelf
        if "mount" in self._query and shelf.store.blobs.touch(_digest(self._query["mount"])):
            self._stored(name, self._query["mount"])
            return
        upload = self._registry.uploads.begin(name)
        if "digest" in self._query:
            with upload.lock:
                self._finish(upload, self._query["digest"])
            return
        self._going(202, upload)

    def status(self, name: str, id: str) -> None:
        """end-13: how much of an upload is here."""
        self._going(204, self._upload(name, id))

    def patch(self, name: str, id: str) -> None:
        """end-5: the next piece."""
        upload = self._upload(name, id)
        with upload.lock:
            self._check_offset(upload)
            upload.take(self._body())
        self._going(202, upload)

    def complete(self, name: str, id: str) -> None:
        """end-6: the last piece, perhaps an empty one, and the digest."""
        upload = self._upload(name, id)
        if "digest" not in self._query:
            raise Refusal(400, "DIGEST_INVALID", "the digest is missing")
        with upload.lock:
            self._check_offset(upload)
            self._finish(upload, self._query["digest"])

    def cancel(self, name: str, id: str) -> None:
        """Give an upload up."""
        self._registry.uploads.end(self._upload(name, id))
        self._answer(204, {})

    def _finish(self, upload: Upload, told: str) -> None:
        wanted = _digest(told)
        upload.take(self._body())
        try:
            upload.finish(wanted)
        finally:
            self._registry.uploads.end(upload)
        self._stored(upload.repository, wanted)

    def _upload(self, name: str, id: str) -> Upload:
        upload = self._registry.uploads.find(name, id)
        if upload is None:
            raise Refusal(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload")
        return upload

    def _check_offset(self, upload: Upload) -> None:
        told = self.headers.get("Content-Range", "")
        if told and told.removeprefix("bytes ").partition("-")[0] != str(upload.offset):
            raise Refusal(416, "BLOB_UPLOAD_INVALID", f"the next byte is {upload.offset}")

    def _going(self, status: int, upload: Upload) -> None:
        headers = {
            "Location": f"/v2/{upload.repository}/blobs/uploads/{upload.id}",
            "Range": f"0-{max(0, upload.offset - 1)}",
            "Docker-Upload-UUID": upload.id,
        }
        self._answer(status, headers)

    def _stored(self, name: str, digest: str) -> None:
        headers = {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": str(digest)}
        self._answer(201, headers)


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except BadInput as error:
        raise Refusal(400, "DIGEST_INVALID", error.cause) from None


def _wanted(text: str) -> str:
    return _digest(text) if ":" in text else text


def _range(told: str, size: int) -> tuple[int, int]:
    """First byte and the one after the last (RFC 9110, section 14.1.2); several ranges are the whole."""
    match = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", told.strip())
    if match is None or not any(match.groups()):
        return 0, size
    if not match[1]:
        return max(0, size - int(match[2])), size
    start = int(match[1])
    end = min(int(match[2]) + 1, size) if match[2] else size
    if start >= size or end <= start:
        raise Refusal(416, "BLOB_UNKNOWN", f"there are {size} bytes")
    return start, end


def _route(method: str, path: str, answer: str) -> tuple[str, re.Pattern[str], str]:
    return method, re.compile(path), answer


_UPLOAD = rf"/v2/{_NAME}/blobs/uploads/(?P<id>[0-9a-f]{{32}})"
_MANIFEST = rf"/v2/{_NAME}/manifests/(?P<wanted>[A-Za-z0-9_][A-Za-z0-9_.:-]{{0,200}})"
_ROUTES = (
    _route("GET", r"/v2/?", "version"),
    _route("GET", r"/v2/_catalog", "catalog"),
    _route("GET", rf"/v2/{_NAME}/tags/list", "tags"),
    _route("GET", rf"/v2/{_NAME}/referrers/(?P<digest>[^/]+)", "referrers"),
    _route("GET", _MANIFEST, "manifest"),
    _route("PUT", _MANIFEST, "put_manifest"),
    _route("DELETE", _MANIFEST, "delete_manifest"),
    _route("GET", rf"/v2/{_NAME}/blobs/(?P<digest>[^/]+)", "blob"),
    _route("POST", rf"/v2/{_NAME}/blobs/uploads/?", "begin"),
    _route("GET", _UPLOAD, "status"),
    _route("PATCH", _UPLOAD, "patch"),
    _route("PUT", _UPLOAD, "complete"),
    _route("DELETE", _UPLOAD, "cancel"),
)
