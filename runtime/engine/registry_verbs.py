"""The engine's verbs for registries: images come and go, and what is there is looked at."""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from sandcell.runtime.engine.values import RemoteManifest
from sandcell.runtime.events import Callback, ImageEvent

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine
    from sandcell.runtime.oci.descriptor import Descriptor
    from sandcell.runtime.oci.digest import Digest
    from sandcell.runtime.oci.image import Image
    from sandcell.runtime.registry.server import Server


class RegistryVerbs:
    """``pull``, ``push``, ``login``, ``logout``, ``registry`` and ``registry_…``."""

    on_event: Callback

    def pull(
        self,
        name: str,
        *,
        platform: str | None = None,
        all_platforms: bool = False,
        on_event: Callback | None = None,
    ) -> "Image":
        """Bring an image from the registry in its name (Docker Hub where it has none) and name it here.

        ``platform``: ``os/architecture[/variant]``, by default this machine's. ``all_platforms``: the whole
        index, so that ``push`` can send it on as it is. Hears ``TransferEvent``. What came before a failure
        need not come again. ``ImageNotFound``, ``LoginNeeded``, ``Corrupted``, ``RegistryRefused``,
        ``Unreachable``.
        """
        from sandcell.runtime.engine import registries

        image = registries.pull(
            cast("Engine", self), name, platform, on_event or self.on_event, all_platforms=all_platforms
        )
        self.on_event(ImageEvent(action="pull", name=name, digest=image.digest))
        return image

    def push(
        self, name: str, *, platform: str | None = None, on_event: Callback | None = None
    ) -> tuple[str, ...]:
        """Send the image to the registry in its name; where the name means an index, all of it or what it
        has for ``platform``. Gives warnings, such as of an image that stands on this machine's own
        programs. Errors as ``pull``."""
        from sandcell.runtime.engine import registries

        digest, warnings = registries.push(cast("Engine", self), name, platform, on_event or self.on_event)
        self.on_event(ImageEvent(action="push", name=name, digest=digest))
        return warnings

    def login(self, registry: str, user: str, password: str) -> str:
        """Try a name and a password at a registry and keep them as docker does; tells where.
        ``LoginNeeded`` when they are not right, and then nothing is kept."""
        from sandcell.runtime.engine import registries

        return registries.login(registry, user, password)

    def logout(self, registry: str) -> bool:
        """Forget the login for a registry; ``False`` when there was none."""
        from sandcell.runtime.engine import registries

        return registries.logout(registry)

    def registry(
        self,
        address: str = "127.0.0.1",
        port: int = 5000,
        *,
        users: str | None = None,
        tls: tuple[str, str] | None = None,
        log: Callable[[str], None] | None = None,
    ) -> "Server":
        """A registry over this store, to be used in a with statement and run by ``serve_forever``.

        ``port`` 0 is any free one. ``users``: a file that ``htpasswd -B`` wrote, or of ``NAME:PASSWORD``
        lines; without it everybody who reaches the address may read and write every image. ``tls``:
        certificate and key file.
        """
        from sandcell.runtime.engine import registries

        return registries.serve(cast("Engine", self), (address, port), users, tls, log)

    def registry_tags(self, name: str) -> tuple[str, ...]:
        """All tags in the repository of ``name`` in its registry, in the registry's order. Errors as
        ``pull``."""
        from sandcell.runtime.engine import registries

        return registries.tags(name)

    def registry_manifest(self, name: str) -> RemoteManifest:
        """What ``name`` means in its registry: a manifest or an index, verified, without its blobs."""
        from sandcell.runtime.engine import registries

        return registries.manifest(name)

    def registry_referrers(self, name: str, *, artifact_type: str = "") -> "tuple[Descriptor, ...]":
        """What says of itself that it belongs to ``name`` there: signatures, lists of contents and the like;
        ``artifact_type``: only those."""
        from sandcell.runtime.engine import registries

        return registries.refer_to(name, artifact_type)

    def registry_delete(self, name: str) -> "Digest":
        """Delete what ``name`` means in its registry, with all its tags; gives its digest. Nothing is
        deleted here. ``RegistryRefused`` where the registry lets nobody delete."""
        from sandcell.runtime.engine import registries

        return registries.delete(name)
