"""Images that come from registries and go there."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sandcell.runtime.build.host_base import BASE_LABEL
from sandcell.runtime.errors import (
    ImageNotFound,
    InvalidDocument,
    InvalidOption,
    LoginNeeded,
    SandcellError,
    Unreachable,
)
from sandcell.runtime.events import Callback
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import DOCKER_HUB, Reference
from sandcell.runtime.registry import pull as pulling
from sandcell.runtime.registry import push as pushing
from sandcell.runtime.registry import settings
from sandcell.runtime.registry import users as htpasswd
from sandcell.runtime.registry.client import FAILURES, Client
from sandcell.runtime.registry.credentials import Credentials, Login
from sandcell.runtime.registry.server import Server
from sandcell.runtime.registry.users import known_users
from sandcell.runtime.store import Store

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine

_LARGEST_MANIFEST = 4 << 20
NOT_PORTABLE = "it stands on this machine's own programs (FROM host): elsewhere it may not run"


def pull(engine: "Engine", name: str, platform: str | None, on_event: Callback) -> Image:
    """Bring the image ``name`` into the store."""
    reference = Reference.parse(name)
    if reference.is_host:
        raise InvalidOption("pull", name, "host is this machine's own image: no registry has it")
    client = _client(reference.registry)
    try:
        wanted = _platform(platform) if platform else None
        return pulling.pull(client, reference, engine.store.store, platform=wanted, on_event=on_event)
    finally:
        client.close()


def push(engine: "Engine", name: str, on_event: Callback) -> tuple[Image, tuple[str, ...]]:
    """Send the image ``name`` to the registry in its name; with it, what to warn of."""
    reference = Reference.parse(name)
    if reference.is_host:
        hint = f"give it a name of yours: tag {name} REGISTRY/NAME"
        raise InvalidOption("push", name, "host is this machine's own image", hint)
    if reference.digest is not None:
        raise InvalidOption("push", name, "it is pushed under a tag", "leave the digest out")
    image = engine.image(name)
    client = _client(reference.registry)
    try:
        pushing.push(
            client,
            reference,
            image,
            engine.store.store,
            elsewhere=_elsewhere(engine, reference),
            on_event=on_event,
        )
    finally:
        client.close()
    warnings = (NOT_PORTABLE,) if BASE_LABEL in image.config.config.labels else ()
    return image, warnings


def send(engine: "Engine", reference: Reference, image: Image, on_event: Callback) -> None:
    """Let ``reference`` mean ``image`` there, whatever it is: a build cache travels as one."""
    client = _client(reference.registry)
    try:
        elsewhere = _elsewhere(engine, reference)
        pushing.push(client, reference, image, engine.store.store, elsewhere=elsewhere, on_event=on_event)
    finally:
        client.close()


def read_manifest(reference: Reference) -> bytes:
    """The bytes of the manifest that ``reference`` means there, of an image or anything else."""
    client = _client(reference.registry)
    try:
        with client.call(
            "GET",
            f"{reference.repository}/manifests/{reference.digest or reference.tag}",
            scopes=(f"repository:{reference.repository}:pull",),
            headers={"Accept": f"{media_types.MANIFEST}, {media_types.DOCKER_MANIFEST}"},
            accept=(404,),
            stream=True,
        ) as response:
            if response.status_code == 404:
                cause = f"{reference.registry} has nothing of that name"
                raise ImageNotFound("read", reference.familiar, cause)
            data: bytes = response.raw.read(_LARGEST_MANIFEST + 1, decode_content=False)
    finally:
        client.close()
    if len(data) > _LARGEST_MANIFEST:
        raise InvalidDocument("read", reference.familiar, "its manifest is larger than 4 MiB")
    return data


def bring_blob(reference: Reference, store: Store, descriptor: Descriptor) -> None:
    """Have one blob of that repository in the store, verified."""
    if store.blobs.touch(descriptor.digest):
        return
    client = _client(reference.registry)
    try:
        with (
            client.call(
                "GET",
                f"{reference.repository}/blobs/{descriptor.digest}",
                scopes=(f"repository:{reference.repository}:pull",),
                stream=True,
            ) as response,
            store.blobs.writer() as writer,
        ):
            try:
                while data := response.raw.read(1 << 18, decode_content=False):
                    writer.write(data)
            except FAILURES as error:
                raise Unreachable("pull", reference.registry, str(error)[:200]) from None
            writer.commit(descriptor.media_type, descriptor)
    finally:
        client.close()


def login(registry: str, user: str, password: str) -> str:
    """Try the login and keep it; tells where it is kept."""
    host = _registry(registry)
    client = _client(host)
    known = Login(user, password)
    try:
        client.login(known)
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


def _registry(text: str) -> str:
    """The registry host somebody typed; docker takes its Hub's old address too."""
    bare = text.partition("://")[2] if "://" in text else text
    host = bare.partition("/")[0]
    if not host:
        return DOCKER_HUB
    if "." not in host and ":" not in host and host != "localhost":
        raise InvalidOption("log in to", text, "it is no registry host", "for example localhost:5000")
    return Reference.parse(f"{host}/x").registry


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
