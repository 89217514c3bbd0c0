"""Images that come from registries and go there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandcell.runtime.build.host_base import BASE_LABEL
from sandcell.runtime.engine.values import RemoteManifest
from sandcell.runtime.errors import ImageNotFound, InvalidOption, InvalidReference, LoginNeeded, SandcellError
from sandcell.runtime.events import Callback
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.manifest import Index, decode_manifest
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import DOCKER_HUB, Reference
from sandcell.runtime.registry import pull as pulling
from sandcell.runtime.registry import push as pushing
from sandcell.runtime.registry import referrers, remote, settings
from sandcell.runtime.registry import users as htpasswd
from sandcell.runtime.registry.client import Client
from sandcell.runtime.registry.credentials import Credentials, Login
from sandcell.runtime.registry.documents import fetch_document
from sandcell.runtime.registry.fetch import Fetcher
from sandcell.runtime.registry.server import Server
from sandcell.runtime.registry.users import known_users
from sandcell.runtime.store import Store

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine

NOT_PORTABLE = "it stands on this machine's own programs (FROM host): elsewhere it may not run"


def pull(
    engine: "Engine", name: str, platform: str | None, on_event: Callback, *, all_platforms: bool = False
) -> Image:
    """Bring the image ``name`` into the store."""
    reference = Reference.parse(name)
    if reference.is_host:
        raise InvalidOption("pull", name, "host is this machine's own image: no registry has it")
    client = _client(reference.registry)
    try:
        wanted = _platform(platform) if platform else None
        return pulling.pull(
            client,
            reference,
            engine.store.store,
            platform=wanted,
            all_platforms=all_platforms,
            manner=engine.store.manner,
            on_event=on_event,
        )
    finally:
        client.close()


def push(
    engine: "Engine", name: str, platform: str | None, on_event: Callback
) -> tuple[Digest, tuple[str, ...]]:
    """Send what ``name`` means to the registry in its name; its digest, and what to warn of."""
    reference = Reference.parse(name)
    if reference.is_host:
        hint = f"give it a name of yours: tag {name} REGISTRY/NAME"
        raise InvalidOption("push", name, "host is this machine's own image", hint)
    if reference.digest is not None:
        raise InvalidOption("push", name, "it is pushed under a tag", "leave the digest out")
    root, image = _meant(engine.store.store, reference, platform)
    client = _client(reference.registry)
    try:
        pushing.push(
            client,
            reference,
            root,
            engine.store.store,
            elsewhere=_elsewhere(engine, reference),
            on_event=on_event,
        )
    finally:
        client.close()
    stands_here = image is not None and BASE_LABEL in image.config.config.labels
    return root.digest, (NOT_PORTABLE,) if stands_here else ()


def _meant(store: Store, reference: Reference, platform: str | None) -> tuple[Descriptor, Image | None]:
    """What a name means here: an index with all it names, or one image; with it the image, if it is one
    for this machine or for ``platform``."""
    named = store.names.get(reference)
    if named is None:
        image = store.image(reference)  # tells which names there are
        return image.descriptor, image
    document = decode_manifest(store.blobs.read(named.digest), object=named.digest)
    if not isinstance(document, Index):
        return named, store.load(named)
    chosen = document.choose(_platform(platform) if platform else Platform.here())
    if platform is None:
        return named, store.load(chosen) if chosen is not None else None
    if chosen is None:
        raise ImageNotFound("push", reference.familiar, f"it has no image for {platform}")
    return chosen, store.load(chosen)


def send(engine: "Engine", reference: Reference, image: Image, on_event: Callback) -> None:
    """Let ``reference`` mean ``image`` there, whatever it is: a build cache travels as one."""
    client = _client(reference.registry)
    try:
        elsewhere = _elsewhere(engine, reference)
        pushing.push(
            client, reference, image.descriptor, engine.store.store, elsewhere=elsewhere, on_event=on_event
        )
    finally:
        client.close()


def read_manifest(reference: Reference) -> bytes:
    """The bytes of the manifest that ``reference`` means there, of an image or anything else."""
    client = _client(reference.registry)
    try:
        return fetch_document(client, reference, str(reference.digest or reference.tag)).data
    finally:
        client.close()


def bring_blob(reference: Reference, store: Store, descriptor: Descriptor) -> None:
    """Have one blob of that repository in the store, verified."""
    client = _client(reference.registry)
    try:
        Fetcher(client, reference.repository, store).fetch(descriptor)
    finally:
        client.close()


def login(registry: str, user: str, password: str) -> str:
    """Try the login and keep it; tells where it is kept."""
    host = _registry(registry)
    client = _client(host)
    try:
        known = client.login(Login(user, password))
    except LoginNeeded as error:
        raise LoginNeeded("log in to", host, error.cause, "are the name and the password right?") from None
    finally:
        client.close()
    return Credentials().put(host, known)


def logout(registry: str) -> bool:
    """Forget the login; ``False`` where there was none."""
    return Credentials().erase(_registry(registry))


def serve(
    engine: "Engine",
    address: tuple[str, int],
    users: str | None,
    tls: tuple[str, str] | None,
    log: Callable[[str], None] | None,
) -> Server:
    """A registry over the engine's store."""
    allowed = known_users(htpasswd.read(users)) if users is not None else None
    return Server(engine.store.store, address, allowed=allowed, tls=tls, log=log)


def tags(name: str) -> tuple[str, ...]:
    """The tags of the repository that ``name`` is in."""
    with _asked(name) as (client, reference):
        return remote.tags(client, reference)


def manifest(name: str) -> RemoteManifest:
    """What ``name`` means in its registry, without pulling it."""
    with _asked(name) as (client, reference):
        found = fetch_document(client, reference, str(reference.digest or reference.tag), doing="look at")
        return RemoteManifest(
            digest=found.descriptor.digest, media_type=found.descriptor.media_type, data=found.data
        )


def refer_to(name: str, kind: str) -> tuple[Descriptor, ...]:
    """What says of itself that it belongs to ``name``."""
    with _asked(name) as (client, reference):
        return referrers.listed(client, reference, remote.digest_of(client, reference), kind)


def delete(name: str) -> Digest:
    """Delete ``name`` in its registry."""
    with _asked(name) as (client, reference):
        return remote.delete(client, reference)


@contextmanager
def _asked(name: str) -> Iterator[tuple[Client, Reference]]:
    reference = Reference.parse(name)
    if reference.is_host:
        raise InvalidOption("ask for", name, "host is this machine's own image: no registry has it")
    client = _client(reference.registry)
    try:
        yield client, reference
    finally:
        client.close()


def _registry(text: str) -> str:
    """The registry host somebody typed; docker takes its Hub's old address too."""
    if not text:
        return DOCKER_HUB
    bare = text.partition("://")[2] if "://" in text else text
    host = bare.partition("/")[0]
    wrong = InvalidOption("log in to", text, "it is no registry host", "for example localhost:5000")
    # A password must never go to the Hub because the host was left out.
    if "." not in host and ":" not in host and host != "localhost":
        raise wrong
    try:
        return Reference.parse(f"{host}/x").registry
    except InvalidReference:
        raise wrong from None


def _client(registry: str) -> Client:
    return Client(registry, settings.read(), Credentials())


def _platform(text: str) -> Platform:
    parts = text.split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise InvalidOption("pull", f"--platform {text}", "write os/architecture, for example linux/arm64")
    return Platform(parts[1], parts[0], variant=parts[2] if len(parts) > 2 else "")


def _elsewhere(engine: "Engine", target: Reference) -> dict[Digest, str]:
    """Which other repositories of the registry probably hold which blobs: those we have names of."""
    store = engine.store.store
    found: dict[Digest, str] = {}
    for name, descriptor in store.names.all().items():
        try:
            reference = Reference.parse(name)
            if reference.registry != target.registry or reference.repository == target.repository:
                continue
            manifest = store.load(descriptor).manifest
        except SandcellError:  # a name of another tool's, or damage: a hint less
            continue
        for blob in (manifest.config, *manifest.layers):
            found.setdefault(blob.digest, reference.repository)
    return found
