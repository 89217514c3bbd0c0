"""What config.toml says of registries: mirrors, hosts without good TLS, certificates.

::

    [registries."docker.io"]
    mirrors = ["https://mirror.example.org"]
    [registries."lab:5000"]
    insecure = true
    [registries."registry.example.org"]
    ca = "/etc/ssl/example.pem"
    certificate = "/etc/ssl/me.pem"
    key = "/etc/ssl/me.key"
    chunk = 10_000_000
"""

from typing import Annotated

import msgspec

from sandcell.runtime.errors import BadInput
from sandcell.runtime.known import known
from sandcell.runtime.registry.config_file import paths
from sandcell.runtime.registry.trust import folders

Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^/?#@]+(/[^?#]*)?$")]


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One registry. ``mirrors``: asked first when pulling, in this order. ``insecure``: any certificate
    will do, and plain HTTP. ``ca``: a file of certificates to trust instead of the system's.
    ``certificate`` and ``key``: what we show where a registry wants to see one. ``chunk``: most bytes in
    one request when pushing, for what stands before a registry and takes no more; 0 is all at once."""

    mirrors: tuple[Url, ...] = ()
    insecure: bool = False
    ca: str = ""
    certificate: str = ""
    key: str = ""
    chunk: Annotated[int, msgspec.Meta(ge=0)] = 0


class Settings(msgspec.Struct, frozen=True):
    """The registries by host; of those that are not named the defaults hold. ``certs``: directories as
    docker's certs.d."""

    registries: dict[str, Host] = {}
    certs: tuple[str, ...] = ()

    def host(self, name: str) -> Host:
        """What is said of the registry ``name``."""
        return self.registries.get(name, Host())


def read() -> Settings:
    """The settings of this user; ``BadInput`` names the place of a fault."""
    settings = Settings()
    for path in paths():
        try:
            with open(path, "rb") as file:
                settings = parse(file.read(), path)
            break
        except FileNotFoundError:
            continue
        except OSError as error:
            raise BadInput("read", path, str(error.strerror)) from None
    return msgspec.structs.replace(settings, certs=settings.certs or folders())


def parse(data: bytes, path: str) -> Settings:
    """The settings written in ``data``."""
    import tomllib  # most have no such file

    try:
        return msgspec.convert(tomllib.loads(data.decode()), known(Settings))
    except (ValueError, msgspec.ValidationError) as error:
        raise BadInput("read", path, str(error)) from None
