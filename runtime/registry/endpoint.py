"""Where a registry is spoken to, and which addresses count as this machine's own."""

from urllib.parse import urlsplit

import msgspec

from sandcell.runtime.oci.reference import DOCKER_HUB
from sandcell.runtime.registry.settings import Settings
from sandcell.runtime.registry.trust import Trust
from sandcell.runtime.registry.trust import found as found_trust

_HUB_HOST = "registry-1.docker.io"


class Endpoint(msgspec.Struct, frozen=True):
    """A base address. ``trust``: whose certificates are believed there. ``loose``: nobody promised a safe
    way, so HTTP will do."""

    base: str
    trust: Trust = Trust()
    loose: bool = False

    def url(self, path: str) -> str:
        """The address of ``path``, which begins below ``/v2/``."""
        return f"{self.base}/v2/{path}"


def endpoints(registry: str, settings: Settings) -> tuple[Endpoint, ...]:
    """The addresses of a registry, to be tried in this order.

    Certificates are verified, except for hosts called insecure and for this machine itself, unless we
    were given an authority for them; these two may also speak plain HTTP.
    """
    told = settings.host(registry)
    host = _HUB_HOST if registry == DOCKER_HUB else registry
    if told.insecure or is_loopback(host):
        trust = _trust(host, settings, loose=True)
        return (Endpoint(f"https://{host}", trust, loose=True), Endpoint(f"http://{host}", trust, loose=True))
    return (Endpoint(f"https://{host}", _trust(host, settings, loose=False)),)


def mirrors(registry: str, settings: Settings) -> tuple[Endpoint, ...]:
    """The mirrors of a registry; one at an ``http:`` address was meant so."""
    found = []
    for base in settings.host(registry).mirrors:
        host = urlsplit(base).netloc
        insecure = settings.host(host).insecure
        trust = _trust(host, settings, loose=insecure)
        found.append(Endpoint(base.rstrip("/"), trust, insecure or base.startswith("http:")))
    return tuple(found)


def _trust(host: str, settings: Settings, *, loose: bool) -> Trust:
    """What config.toml says of a host, and then certs.d."""
    told = settings.host(DOCKER_HUB if host == _HUB_HOST else host)
    known = found_trust(host, settings.certs)
    if told.certificate:
        known = msgspec.structs.replace(known, certificate=told.certificate, key=told.key)
    if told.ca:
        known = msgspec.structs.replace(known, only=told.ca, more=())
    verify = not loose or bool(known.only or known.more)
    return msgspec.structs.replace(known, verify=verify)


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
