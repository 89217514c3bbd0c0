"""Whose certificates are believed, and which we show: TLS as docker and OpenSSL are set up for it.

Source: docker's "Verify repository client with certificates" (certs.d), containers-certs.d(5), and
openssl(7) for SSL_CERT_FILE and SSL_CERT_DIR.
"""

import functools
import os
from typing import TYPE_CHECKING, Any

import msgspec
from requests.adapters import HTTPAdapter

from sandcell.runtime.errors import HostRefused

if TYPE_CHECKING:
    import ssl


_BLOCK = 1 << 18


class Trust(msgspec.Struct, frozen=True):
    """``verify``: check certificates at all. ``only``: a file to believe instead of the system's; ``more``:
    files to believe besides. ``certificate`` and ``key``: files of what we show when we are asked."""

    verify: bool = True
    only: str = ""
    more: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""


def folders() -> tuple[str, ...]:
    """Where directories named after a registry's host hold certificates for it."""
    user = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return (
        f"{user}/containers/certs.d",
        f"{user}/docker/certs.d",
        "/etc/containers/certs.d",
        "/etc/docker/certs.d",
    )


def found(host: str, places: tuple[str, ...]) -> Trust:
    """What the first of the directories ``places`` that knows ``host`` says: ``*.crt`` are authorities,
    ``NAME.cert`` and ``NAME.key`` are ours. ``HostRefused`` where one is without the other."""
    for place in places:
        folder = f"{place}/{host}"
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        more = tuple(f"{folder}/{name}" for name in names if name.endswith(".crt"))
        ours = [name.removesuffix(".cert") for name in names if name.endswith(".cert")]
        keys = [name.removesuffix(".key") for name in names if name.endswith(".key")]
        for name in (*ours, *keys):
            if name not in ours or name not in keys:
                raise HostRefused("read", folder, f"of {name}.cert and {name}.key one is missing")
        certificate, key = (f"{folder}/{ours[0]}.cert", f"{folder}/{ours[0]}.key") if ours else ("", "")
        if more or ours:
            return Trust(more=more, certificate=certificate, key=key)
    return Trust()


@functools.cache
def context(trust: Trust) -> "ssl.SSLContext":
    """The TLS settings that ``trust`` asks for; ``HostRefused`` names a file that will not do."""
    import ssl

    if trust.only or not trust.verify:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        made = ssl.create_default_context()
    if not trust.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    path = ""
    try:
        for path in (trust.only, *trust.more):
            if path:
                made.load_verify_locations(path)
        path = trust.certificate
        if path:
            made.load_cert_chain(path, trust.key or None, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        cause = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise HostRefused("read certificate", path, str(cause)) from None
    return made


def _no_password() -> str:
    raise ValueError("its key wants a password")


class Wide(HTTPAdapter):
    """How ``requests`` connects to a host: with connections for all threads, and bodies in large pieces."""

    def __init__(self) -> None:
        super().__init__(pool_maxsize=16)

    def init_poolmanager(self, *positions: Any, **more: Any) -> None:
        """Connections straight there."""
        super().init_poolmanager(*positions, **more, blocksize=_BLOCK)


class Adapter(Wide):
    """The same to one host that is trusted so."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        super().__init__()

    def init_poolmanager(self, *positions: Any, **more: Any) -> None:
        """Connections straight there."""
        super().init_poolmanager(*positions, **more, ssl_context=context(self._trust))

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        """Connections by way of a proxy."""
        return super().proxy_manager_for(proxy, **more, ssl_context=context(self._trust))

    def cert_verify(self, conn: Any, *_: Any) -> None:
        """The context has it all."""
        conn.cert_reqs = "CERT_REQUIRED" if self._trust.verify else "CERT_NONE"
