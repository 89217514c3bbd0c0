"""Where a registry is spoken to, and which addresses count as this machine's own."""

from urllib.parse import urlsplit

import msgspec

from sandcell.runtime.oci.reference import DOCKER_HUB
from sandcell.runtime.registry.settings import Settings

_HUB_HOST = "registry-1.docker.io"


class Endpoint(msgspec.Struct, frozen=True):
    """A base address. ``verify``: as ``requests`` takes it: check certificates, or the file to trust.

    ``loose``: nobody promised a safe way, so HTTP will do.
    """

    base: str
    verify: bool | str = True
    loose: bool = False

    def url(self, path: str) -> str:
        """The address of ``path``, which begins below ``/v2/``."""
        return f"{self.base}/v2/{path}"


def endpoints(registry: str, settings: Settings) -> tuple[Endpoint, ...]:
    """The addresses of a registry, to be tried in this order.

    Certificates are verified, except for hosts called insecure and for this machine itself; these
    two may also speak plain HTTP.
    """
    told = settings.host(registry)
    host = _HUB_HOST if registry == DOCKER_HUB else registry
    if told.insecure or is_loopback(host):
        verify: bool | str = told.ca or False
        return (
            Endpoint(f"https://{host}", verify, loose=True),
            Endpoint(f"http://{host}", verify, loose=True),
        )
    return (Endpoint(f"https://{host}", told.ca or True),)


def mirrors(registry: str, settings: Settings) -> tuple[Endpoint, ...]:
    """The mirrors of a registry; one at an ``http:`` address was meant so."""
    found = []
    for base in settings.host(registry).mirrors:
        told = settings.host(urlsplit(base).netloc)
        loose = told.insecure or base.startswith("http:")
        found.append(Endpoint(base.rstrip("/"), told.ca or not told.insecure, loose))
    return tuple(found)


def is_loopback(host: str) -> bool:
    """Is it this machine's own address? ``host`` may have a port."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and ":" in host else host
    return name in ("localhost", "[::1]") or (name.startswith("127.") and name.replace(".", "").isdecimal())


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what a password may be sent to again."""
    parts = urlsplit(url)
    return (
        parts.scheme,
        (parts.hostname or "").lower(),
        parts.port or (443 if parts.scheme == "https" else 80),
    )
