"""The build cache carried elsewhere and back: ``--cache-to`` and ``--cache-from``.

What travels is a manifest like an image's: its layers are those that steps made, its configuration tells
which step made which (``inline``: an annotation of the image itself does). Its form is our own, as the
keys of steps are. Layers are brought only when a step needs them, and verified like all others.
"""

import csv
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from sandcell.runtime.build.options import BuildOptions
from sandcell.runtime.build.solve import Solved
from sandcell.runtime.build.stage_state import Made, from_record, to_record
from sandcell.runtime.engine import registries
from sandcell.runtime.engine.layouts import Layout
from sandcell.runtime.errors import InvalidDocument, InvalidOption, SandcellError
from sandcell.runtime.events import BuildWarning, Callback
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.config import ImageConfig, RootFs
from sandcell.runtime.oci.decode import decode, encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.manifest import Manifest, decode_manifest
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine

CONFIG = "application/vnd.sandcell.buildcache.config.v1+json"
"""Media type of the document that tells which step made which layer."""
ANNOTATION = "io.sandcell.buildcache"
"""The same as an annotation of an image's manifest."""

_KNOWN = {
    "registry": {"type", "ref", "mode"},
    "local": {"type", "src", "dest", "tag", "digest", "mode"},
    "inline": {"type"},
}
_LARGEST = 32 << 20


class _Steps(msgspec.Struct, frozen=True):
    form: int
    steps: dict[str, dict[str, Any]]


class _Source(Protocol):
    """Where blobs come from."""

    def bring(self, store: Store, descriptor: Descriptor) -> None:
        """Have the blob in the store, verified."""
        ...


class Caches:
    """The caches of one build. What cannot be read is warned of; what cannot be written is an error."""

    def __init__(self, engine: "Engine", options: BuildOptions, on_event: Callback) -> None:
        self._engine = engine
        self._store = engine.store.store
        self._on_event = on_event
        self._known: dict[str, tuple[Made, _Source]] = {}
        self._targets = [_read(text, "--cache-to") for text in options.cache_to]
        for text in options.cache_from:
            wanted = _read(text, "--cache-from")
            try:
                self._import(wanted)
            except SandcellError as error:
                told = f"the cache {text} could not be read: {error.cause}"
                on_event(BuildWarning(rule="CacheImport", text=told))

    # ------------------------------------------------------------ from

    def imported(self, key: str) -> Made | None:
        """What a cache from elsewhere knows of a step; its layer is brought here."""
        found = self._known.get(key)
        if found is None:
            return None
        made, source = found
        try:
            if made.layer is not None and not self._store.blobs.touch(made.layer.digest):
                source.bring(self._store, made.layer)
        except SandcellError as error:
            self._on_event(BuildWarning(rule="CacheImport", text=f"a cached layer is lost: {error.cause}"))
            return None
        return made

    def _import(self, wanted: dict[str, str]) -> None:
        source: _Source
        if wanted["type"] == "local":
            layout = Layout(wanted.get("src") or _missing("--cache-from", "src"))
            source = _FromLayout(layout)
            descriptor = layout.find(wanted.get("digest") or wanted.get("tag", "latest"))
            layout.fetch(self._store, descriptor)
            data = self._store.blobs.read(descriptor.digest)
        else:
            reference = Reference.parse(wanted.get("ref") or _missing("--cache-from", "ref"))
            source = _FromRegistry(reference)
            data = source.manifest()
        manifest = decode_manifest(data, object="cache manifest")
        if not isinstance(manifest, Manifest):
            raise InvalidDocument("read", "cache manifest", "it is an index")
        text = manifest.annotations.get(ANNOTATION, "").encode()
        if manifest.config.media_type == CONFIG:
            if manifest.config.size > _LARGEST:
                raise InvalidDocument("read", "cache manifest", "its configuration is too large")
            source.bring(self._store, manifest.config)
            text = self._store.blobs.read(manifest.config.digest)
        if not text:
            raise InvalidDocument("read", "cache manifest", "it is no build cache of ours")
        for key, record in decode(_Steps, text, object="build cache").steps.items():
            made = from_record(record)
            if made is not None:
                self._known.setdefault(key, (made, source))

    # ------------------------------------------------------------ to

    def annotations(self, used: dict[str, Made], layers: Iterable[Descriptor]) -> dict[str, str]:
        """What the image itself says of its steps, where ``type=inline`` is asked for."""
        if not any(target["type"] == "inline" for target in self._targets):
            return {}
        return {ANNOTATION: _document(_lasting(used, layers)).decode()}

    def export(self, solved: Solved) -> None:
        """Write the caches that are asked for."""
        for target in self._targets:
            if target["type"] == "inline":
                continue
            used = solved.used
            if target.get("mode", "min") != "max":
                used = _lasting(used, solved.image.manifest.layers)
            self._export(target, used)

    def _export(self, target: dict[str, str], used: dict[str, Made]) -> None:
        layers = tuple({made.layer.digest: made.layer for made in used.values() if made.layer}.values())
        config = self._store.blobs.put_bytes(_document(used), CONFIG)
        manifest = Manifest(artifact_type=CONFIG, config=config, layers=layers)
        descriptor = self._store.blobs.put_bytes(encode(manifest), media_types.MANIFEST)
        if target["type"] == "local":
            path = target.get("dest") or _missing("--cache-to", "dest")
            Layout(path).write(self._store, descriptor, [config, *layers], target.get("tag", "latest"))
            return
        reference = Reference.parse(target.get("ref") or _missing("--cache-to", "ref"))
        unused = ImageConfig(architecture="", os="", rootfs=RootFs())
        registries.send(self._engine, reference, Image(descriptor, manifest, unused), self._on_event)


class _FromLayout:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def bring(self, store: Store, descriptor: Descriptor) -> None:
        self._layout.fetch(store, descriptor)


class _FromRegistry:
    def __init__(self, reference: Reference) -> None:
        self._reference = reference

    def manifest(self) -> bytes:
        return registries.read_manifest(self._reference)

    def bring(self, store: Store, descriptor: Descriptor) -> None:
        registries.bring_blob(self._reference, store, descriptor)


def _document(used: dict[str, Made]) -> bytes:
    steps: dict[str, dict[str, Any]] = {key: to_record(made) for key, made in sorted(used.items())}
    return msgspec.json.encode(_Steps(1, steps))


def _lasting(used: dict[str, Made], layers: Iterable[Descriptor]) -> dict[str, Made]:
    """The steps that made no layer, or one of these."""
    kept: set[Digest] = {layer.digest for layer in layers}
    return {key: made for key, made in used.items() if made.layer is None or made.layer.digest in kept}


def _read(text: str, flag: str) -> dict[str, str]:
    """``type=registry,ref=…`` as a map; a name alone is one in a registry."""
    try:
        fields = next(csv.reader([text], strict=True))
    except (csv.Error, StopIteration):
        raise InvalidOption("build", f"{flag} {text}", "it is no list of fields") from None
    found: dict[str, str] = {}
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals and len(fields) == 1:
            return {"type": "registry", "ref": name}
        if not equals or not value:
            raise InvalidOption("build", f"{flag} {text}", f"{field!r} is no NAME=VALUE")
        found[name] = value
    kind = found.setdefault("type", "registry")
    asked = f"{flag} {text}"
    if kind not in _KNOWN:
        hint = "there are registry, local and inline"
        raise InvalidOption("build", asked, f"there is no cache of type {kind!r}", hint)
    unknown = sorted(set(found) - _KNOWN[kind])
    if unknown:
        hint = f"it has {', '.join(sorted(_KNOWN[kind]))}"
        raise InvalidOption("build", asked, f"type {kind} has no option {unknown[0]!r}", hint)
    if found.get("mode", "min") not in ("min", "max"):
        raise InvalidOption("build", asked, "mode is min or max")
    return found


def _missing(flag: str, name: str) -> str:
    raise InvalidOption("build", flag, f"it needs {name}", f"for example {flag} type=local,{name}=DIR")
