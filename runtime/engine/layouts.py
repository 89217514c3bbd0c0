"""A directory that is an OCI image layout (image-spec, image-layout.md): read from, and written to."""

import os
from typing import Any

import msgspec

from sandcell.runtime.errors import BadInput, BlobNotFound
from sandcell.runtime.layer.disk import refused
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.decode import decode, encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.manifest import Index
from sandcell.runtime.store import Store
from sandcell.runtime.store.load import take

_CHUNK = 1 << 20
_MARKER = b'{"imageLayoutVersion":"1.0.0"}'


def split(text: str) -> tuple[str, str]:
    """Path and reference of ``PATH[:TAG][@DIGEST]``; the reference is a tag or a digest, or empty."""
    path, _, digest = text.partition("@")
    head, colon, tag = path.rpartition(":")
    if colon and "/" not in tag:
        path = head
    else:
        tag = ""
    return path, digest or tag


class Layout:
    """The layout at ``path``."""

    def __init__(self, path: str) -> None:
        self.path = path

    def find(self, reference: str) -> Descriptor:
        """The entry of that tag or digest, or the only one; ``BadInput``."""
        try:
            with open(f"{self.path}/index.json", "rb") as file:
                index = decode(Index, file.read(), object="index.json")
        except OSError as error:
            cause = f"it is no OCI image layout: {error.strerror}"
            raise BadInput("read layout", self.path, cause) from None
        found = [
            one
            for one in index.manifests
            if not reference or reference in (one.digest, one.annotations.get(media_types.REF_NAME))
        ]
        if len(found) != 1 and not (reference and found):
            cause = f"it has {len(found) or 'no'} entries" + (f" {reference}" if reference else "")
            raise BadInput("read layout", self.path, cause, "name one as PATH:TAG or PATH@DIGEST")
        return found[-1]

    def fetch(self, store: Store, descriptor: Descriptor) -> None:
        """Bring a blob into the store, verified."""
        digest = descriptor.digest
        if store.blobs.touch(digest):
            return
        try:
            file = open(f"{self.path}/blobs/{digest.algorithm}/{digest.hex}", "rb")  # noqa: SIM115
        except OSError:
            raise BlobNotFound("read layout", digest, f"{self.path} does not hold it") from None
        with file, store.blobs.writer() as writer:
            while data := file.read(_CHUNK):
                writer.write(data)
            writer.commit(descriptor.media_type, descriptor)

    def take(self, store: Store, reference: str) -> Digest:
        """Bring the image of that reference into the store, without a name; its digest."""
        return take(store, self.find(reference), lambda one: self.fetch(store, one)).digest

    def write(self, store: Store, descriptor: Descriptor, blobs: list[Descriptor], tag: str) -> None:
        """Let ``tag`` mean the manifest ``descriptor`` here; it and ``blobs`` are copied where missing."""
        try:
            os.makedirs(f"{self.path}/blobs/sha256", exist_ok=True)
            for one in (*blobs, descriptor):
                self._copy(store, one.digest)
            index = self._index()
            kept = [
                one
                for one in index["manifests"]
                if one.get("annotations", {}).get(media_types.REF_NAME) != tag
            ]
            entry = msgspec.json.decode(
                encode(msgspec.structs.replace(descriptor, annotations={media_types.REF_NAME: tag}))
            )
            index["manifests"] = [*kept, entry]
            self._put("oci-layout", _MARKER)
            self._put("index.json", msgspec.json.encode(index))
        except OSError as error:
            raise refused(error, "write", self.path) from error

    def _index(self) -> dict[str, Any]:
        try:
            with open(f"{self.path}/index.json", "rb") as file:
                index = msgspec.json.decode(file.read(), type=dict[str, Any])
        except FileNotFoundError:
            index = {}
        except msgspec.MsgspecError:
            raise BadInput("write layout", self.path, "its index.json is no index") from None
        return {"schemaVersion": 2, "mediaType": media_types.INDEX, "manifests": [], **index}

    def _copy(self, store: Store, digest: Digest) -> None:
        name = f"blobs/{digest.algorithm}/{digest.hex}"
        if os.path.exists(f"{self.path}/{name}"):
            return
        half = f"{self.path}/{name}.{os.urandom(4).hex()}"
        with store.blobs.open(digest) as source, open(half, "xb") as out:
            while data := source.read(_CHUNK):
                out.write(data)
        os.rename(half, f"{self.path}/{name}")

    def _put(self, name: str, data: bytes) -> None:
        half = f"{self.path}/{name}.{os.urandom(4).hex()}"
        with open(half, "xb") as file:
            file.write(data)
        os.rename(half, f"{self.path}/{name}")
