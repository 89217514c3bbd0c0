"""Asking any registry as the specification puts it: one request, one answer."""

import http.client
import json
import secrets
from typing import Any

import msgspec

from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.digest import Digest

OCTETS = "application/octet-stream"


class Answer(msgspec.Struct):
    """Status, headers with names in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def codes(self) -> list[str]:
        return [one["code"] for one in self.json["errors"]]


class Registry:
    """One to be asked. ``version``: of the specification that it follows."""

    def __init__(self, address: str, version: str) -> None:
        self.address, self.version = address, version
        self.repository = f"org/{secrets.token_hex(4)}"

    def __call__(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        path = path.removeprefix(f"http://{self.address}")
        connection = http.client.HTTPConnection(self.address, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is None and method in ("POST", "PUT", "PATCH"):
            named["Content-Length"] = "0"
        connection.request(method, path if path.startswith("/") else f"{self.base}/{path}", body, named)
        reply = connection.getresponse()
        told = {name.lower(): value for name, value in reply.getheaders()}
        try:
            return Answer(reply.status, told, reply.read())
        finally:
            connection.close()

    @property
    def base(self) -> str:
        return f"/v2/{self.repository}"

    def begin(self) -> str:
        answer = self("POST", "blobs/uploads/")
        assert answer.status == 202
        return answer.headers["location"]

    def blob(self, data: bytes, digest: str = "") -> Digest:
        wanted = digest or Digest.of(data)
        answer = self("PUT", finishing(self.begin(), wanted), data, Content_Type=OCTETS)
        assert answer.status == 201
        return Digest(wanted)

    def manifest(self, **more: Any) -> bytes:
        """A new manifest whose blobs are there. Its config tells of no layer, as artifacts' do."""
        config, layer = secrets.token_bytes(20).hex().encode(), secrets.token_bytes(100)
        config = b'{"architecture":"amd64","os":"linux","author":"%b","rootfs":{"type":"layers"' % config
        config += b',"diff_ids":[]}}'
        document = {
            "schemaVersion": 2,
            "mediaType": media_types.MANIFEST,
            "config": self.described(config, media_types.CONFIG),
            "layers": [self.described(layer, media_types.LAYER_GZIP)],
            **more,
        }
        return json.dumps(document, indent=3).encode()

    def described(self, data: bytes, media_type: str) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": self.blob(data), "size": len(data)}

    def put(self, data: bytes, reference: str, media_type: str = media_types.MANIFEST) -> Answer:
        return self("PUT", f"manifests/{reference}", data, Content_Type=media_type)


def finishing(place: str, digest: str) -> str:
    return f"{place}{'&' if '?' in place else '?'}digest={digest}"
