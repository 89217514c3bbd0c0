"""Images that come from registries and go there."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sandcell.runtime.build.host_base import BASE_LABEL
from sandcell.runtime.errors import InvalidOption, LoginNeeded, SandcellError
from sandcell.runtime.events import Callback
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import DOCKER_HUB, Reference
from sandcell.runtime.registry import pull as pulling
from sandcell.runtime.registry import push as pushing
from sandcell.runtime.registry import settings
from sandcell.runtime.registry import users as htpasswd
from sandcell.runtime.registry.client import Client
from sandcell.runtime.registry.credentials import Credentials, Login
from sandcell.runtime.registry.server import Server
from sandcell.runtime.registry.users import known_users

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine

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
