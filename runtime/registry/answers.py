"""What our own registry answers to each kind of request (distribution-spec, "API": end-1 to end-13)."""

import re
from urllib.parse import quote, urlencode, urlsplit

from sandcell.runtime.errors import BadInput, BlobNotFound
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.registry.exchange import Exchange, Refusal
from sandcell.runtime.registry.shelf import LARGEST_MANIFEST, Shelf, encoded_index, fitting
from sandcell.runtime.registry.uploads import Upload

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = rf"(?P<name>{_PART}(?:/{_PART})*)"
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LONGEST_NAME = 255
_LONGEST_PATH = 1024
_MOST_LISTED = 1000


class Handler(Exchange):
    """The table of routes, and one method for each."""

    @property
    def _shelf(self) -> Shelf:
        return self._registry.shelf

    def route(self, method: str, path: str) -> None:
        """Find the one that answers."""
        if len(path) > _LONGEST_PATH:
            raise Refusal(404, "NAME_INVALID", "no path of a registry is that long")
        possible: list[str] = []
        for wanted, pattern, answer in _ROUTES:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            possible += ("GET", "HEAD") if wanted == "GET" else (wanted,)
            given = match.groupdict()
            if len(given.get("name", "")) > _LONGEST_NAME:
                raise Refusal(400, "NAME_INVALID", f"a name has at most {_LONGEST_NAME} characters")
            if wanted == method:
                getattr(self, answer)(**given)
                return
        if possible:
            raise Refusal(405, "UNSUPPORTED", "this is not possible here", Allow=", ".join(possible))
        if path.startswith("/v2/"):
            raise Refusal(404, "NAME_INVALID", "this is the path of nothing that a registry has")
        raise Refusal(404, "NAME_UNKNOWN", "there is no such thing")

    def version(self) -> None:
        """end-1: yes, this is a registry."""
        self._json({}, {})

    def catalog(self) -> None:
        """All repositories, by the page."""
        page, headers = self._page(self._shelf.repositories())
        self._json({"repositories": page}, headers)

    def tags(self, name: str) -> None:
        """end-8: the tags of a repository, by the page."""
        found = self._shelf.tags(name)
        if found is None:
            raise Refusal(404, "NAME_UNKNOWN", f"there is no repository {name}")
        page, headers = self._page(found)
        self._json({"name": name, "tags": page}, headers)

    def _page(self, found: list[str]) -> tuple[list[str], dict[str, str]]:
        text = self._query.get("n", "")
        if text and not re.fullmatch(r"[0-9]{1,9}", text):
            raise Refusal(400, "UNSUPPORTED", "n is no number")
        count = min(int(text), _MOST_LISTED) if text else _MOST_LISTED
        rest = [one for one in found if one > self._query["last"]] if "last" in self._query else found
        page = rest[:count]
        if not page or len(page) == len(rest):
            return page, {}
        path = urlsplit(self.path).path
        return page, {"Link": f'<{path}?n={count}&last={quote(page[-1])}>; rel="next"'}

    def referrers(self, name: str, digest: str) -> None:
        """end-12: what belongs to a manifest, in as many answers as it takes, none larger than a manifest."""
        found = self._shelf.referrers(name, _digest(digest))
        headers = {"Content-Type": media_types.INDEX}
        kind = self._query.get("artifactType")
        if kind:
            found = [one for one in found if one.artifact_type == kind]
            headers["OCI-Filters-Applied"] = "artifactType"
        rest = [one for one in found if one.digest > self._query.get("last", "")]
        page = fitting(rest)
        if len(page) < len(rest):
            query = urlencode({"last": page[-1].digest, **({"artifactType": kind} if kind else {})})
            headers["Link"] = f'<{urlsplit(self.path).path}?{query}>; rel="next"'
        self._answer(200, headers, encoded_index(page))

    def manifest(self, name: str, wanted: str) -> None:
        """end-3: a manifest by tag or digest."""
        found = self._shelf.find(name, _wanted(wanted))
        if found is None:
            raise Refusal(404, "MANIFEST_UNKNOWN", f"{name} has no {wanted}")
        descriptor, data = found
        headers = {"Docker-Content-Digest": descriptor.digest, "ETag": f'"{descriptor.digest}"'}
        if self._has_it(descriptor.digest):
            self._answer(304, headers)
        else:
            self._answer(200, {"Content-Type": descriptor.media_type, **headers}, data)

    def put_manifest(self, name: str, wanted: str) -> None:
        """end-7: a manifest, after all that it names."""
        data = bytearray()
        for piece in self._body():
            data += piece
            if len(data) > LARGEST_MANIFEST:
                raise Refusal(413, "SIZE_INVALID", "a manifest has at most 4 MiB")
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip()
        try:
            digest, subject = self._shelf.put(name, _wanted(wanted), bytes(data), kind)
        except BlobNotFound as error:
            raise Refusal(404, "MANIFEST_BLOB_UNKNOWN", f"{error.object}: {error.cause}") from None
        headers = {"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": str(digest)}
        if subject is not None:
            headers["OCI-Subject"] = str(subject)
        self._answer(201, headers)

    def delete_manifest(self, name: str, wanted: str) -> None:
        """end-9: take a tag away, or a manifest with all its tags."""
        try:
            known = self._shelf.remove(name, _wanted(wanted))
        except PermissionError:
            cause = "an index names it: delete that first"
            raise Refusal(405, "UNSUPPORTED", cause, Allow="GET, HEAD, PUT") from None
        if not known:
            raise Refusal(404, "MANIFEST_UNKNOWN", f"{name} has no {wanted}")
        self._answer(202, {})

    def blob(self, name: str, digest: str) -> None:
        """end-2: a blob, or the part of it that Range asks for."""
        wanted = _digest(digest)
        blobs = self._shelf.store.blobs
        if not self._shelf.holds(name, wanted):
            raise Refusal(404, "BLOB_UNKNOWN", "it is not here")
        headers = {"Docker-Content-Digest": wanted, "ETag": f'"{wanted}"'}
        if self._has_it(wanted):
            self._answer(304, headers)
            return
        with blobs.open(wanted) as file:
            size = blobs.size(wanted)
            part = _range(self.headers.get("Range", ""), size) if self._wants_a_part(wanted) else None
            start, end = part or (0, size)
            headers["Content-Type"] = "application/octet-stream"
            headers["Content-Length"] = str(end - start)
            headers["Accept-Ranges"] = "bytes"
            if part is not None:
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
            self._answer(200 if part is None else 206, headers)
            if self.command != "HEAD" and end > start:
                self.wfile.flush()
                self.connection.sendfile(file, start, end - start)

    def _has_it(self, digest: Digest) -> bool:
        """Does who asks have these bytes already (RFC 9110, section 13.1.2)?"""
        told = self.headers.get("If-None-Match", "")
        return told.strip() == "*" or f'"{digest}"' in told

    def _wants_a_part(self, digest: Digest) -> bool:
        """Is Range meant for this request, and for these bytes (RFC 9110, sections 14.2 and 13.1.5)?"""
        return self.command == "GET" and self.headers.get("If-Range", f'"{digest}"').strip() == f'"{digest}"'

    def delete_blob(self, name: str, digest: str) -> None:
        """end-10: take a blob away that no manifest names."""
        try:
            known = self._shelf.drop(name, _digest(digest))
        except PermissionError:
            cause = "a manifest names it: delete that first"
            raise Refusal(405, "UNSUPPORTED", cause, Allow="GET, HEAD") from None
        if not known:
            raise Refusal(404, "BLOB_UNKNOWN", "it is not here")
        self._answer(202, {})

    def begin(self, name: str) -> None:
        """end-4 and end-11: a new upload, or nothing to send for a blob that is here."""
        if "mount" in self._query and self._mounted(name, self._query["mount"]):
            return
        told = self._query.get("digest")
        wanted = None if told is None else _digest(told)
        upload = self._registry.uploads.begin(name)
        if wanted is None:
            self._going(202, upload)
            return
        with upload.lock:
            self._finish(upload, wanted)

    def _mounted(self, name: str, told: str) -> bool:
        """What cannot be mounted is an upload like any other."""
        try:
            digest = Digest.parse(told)
        except BadInput:
            return False
        if not self._shelf.mount(name, digest, self._query.get("from", "")):
            return False
        self._stored(name, digest)
        return True

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
        wanted = _digest(self._query["digest"])
        with upload.lock:
            self._check_offset(upload)
            self._finish(upload, wanted)

    def cancel(self, name: str, id: str) -> None:
        """Give an upload up."""
        self._registry.uploads.end(self._upload(name, id))
        self._answer(204, {})

    def _finish(self, upload: Upload, wanted: Digest) -> None:
        upload.take(self._body())
        try:
            upload.finish(wanted)
            self._shelf.came(upload.repository, wanted)
        finally:
            self._registry.uploads.end(upload)
        self._stored(upload.repository, wanted)

    def _upload(self, name: str, id: str) -> Upload:
        upload = self._registry.uploads.find(name, id)
        if upload is None:
            raise Refusal(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload")
        return upload

    def _check_offset(self, upload: Upload) -> None:
        """Does the piece begin where the last one ended, and is it as long as it says?"""
        told = self.headers.get("Content-Range")
        if upload.closed:
            raise Refusal(404, "BLOB_UPLOAD_UNKNOWN", "it has ended meanwhile")
        if told is None:
            return
        match = re.fullmatch(r"(?:bytes )?([0-9]{1,18})-([0-9]{1,18})(?:/[0-9*]+)?", told.strip())
        if match is None or int(match[1]) != upload.offset:
            place = {"Location": _place(upload), "Range": _received(upload)}
            raise Refusal(416, "BLOB_UPLOAD_INVALID", f"the next byte is {upload.offset}", **place)
        if self._left is not None and int(match[2]) - int(match[1]) + 1 != self._left:
            raise Refusal(400, "SIZE_INVALID", "Content-Range and Content-Length tell two lengths")

    def _going(self, status: int, upload: Upload) -> None:
        headers = {
            "Location": _place(upload),
            "Range": _received(upload),
            "Docker-Upload-UUID": upload.id,
            "OCI-Chunk-Min-Length": "1",
        }
        self._answer(status, headers)

    def _stored(self, name: str, digest: Digest) -> None:
        headers = {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": str(digest)}
        self._answer(201, headers)


def _place(upload: Upload) -> str:
    return f"/v2/{upload.repository}/blobs/uploads/{upload.id}"


def _received(upload: Upload) -> str:
    return f"0-{max(0, upload.offset - 1)}"


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except BadInput as error:
        raise Refusal(400, "DIGEST_INVALID", error.cause) from None


def _wanted(text: str) -> str:
    """A tag or a digest."""
    if ":" in text:
        return _digest(text)
    if not _TAG.fullmatch(text):
        raise Refusal(404, "MANIFEST_UNKNOWN", "that is no tag")
    return text


def _range(told: str, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last (RFC 9110, section 14.1.2); ``None`` for the whole, which is
    also the answer to several ranges and to what is none."""
    match = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", told.strip())
    if match is None or not any(match.groups()):
        return None
    if match[1] and match[2] and int(match[2]) < int(match[1]):
        return None
    start = int(match[1]) if match[1] else max(0, size - int(match[2]))
    end = min(int(match[2]) + 1, size) if match[1] and match[2] else size
    if start >= size:
        place = {"Content-Range": f"bytes */{size}"}
        raise Refusal(416, "SIZE_INVALID", f"there are {size} bytes", **place)
    return start, end


def _route(method: str, path: str, answer: str) -> tuple[str, re.Pattern[str], str]:
    return method, re.compile(path), answer


_UPLOAD = rf"/v2/{_NAME}/blobs/uploads/(?P<id>[0-9a-f]{{32}})"
_MANIFEST = rf"/v2/{_NAME}/manifests/(?P<wanted>[^/]+)"
_ROUTES = (
    _route("GET", r"/v2/?", "version"),
    _route("GET", r"/v2/_catalog", "catalog"),
    _route("GET", rf"/v2/{_NAME}/tags/list", "tags"),
    _route("GET", rf"/v2/{_NAME}/referrers/(?P<digest>[^/]+)", "referrers"),
    _route("GET", _MANIFEST, "manifest"),
    _route("PUT", _MANIFEST, "put_manifest"),
    _route("DELETE", _MANIFEST, "delete_manifest"),
    _route("GET", rf"/v2/{_NAME}/blobs/(?P<digest>[^/]+)", "blob"),
    _route("DELETE", rf"/v2/{_NAME}/blobs/(?P<digest>[^/]+)", "delete_blob"),
    _route("POST", rf"/v2/{_NAME}/blobs/uploads/?", "begin"),
    _route("GET", _UPLOAD, "status"),
    _route("PATCH", _UPLOAD, "patch"),
    _route("PUT", _UPLOAD, "complete"),
    _route("DELETE", _UPLOAD, "cancel"),
)
