"""The networks that people made: one small file each. ``bridge`` is always there and has none."""

import os
import re
import time

import msgspec

from sandcell.runtime.errors import InvalidOption, NameInUse, NotFound
from sandcell.runtime.known import known
from sandcell.runtime.linux.durable import sync_directory
from sandcell.runtime.network import addresses, addresses6

DEFAULT = "bridge"
RESERVED = (DEFAULT, "none", "host")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """A network. ``subnet``: as asked for, empty where a free one is taken at each first use.
    ``gateway``: the bridge's address, empty for the subnet's first. ``subnet6``, ``gateway6``: the same of
    IPv6, empty for a network without. ``internal``: nothing leaves it."""

    name: str
    subnet: str = ""
    gateway: str = ""
    subnet6: str = ""
    gateway6: str = ""
    internal: bool = False
    created: float = 0.0
    labels: dict[str, str] = {}


class Networks:
    """The definitions below one directory, which is made with the first."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def all(self) -> tuple[Network, ...]:
        """``bridge`` and those that people made, by name."""
        names = os.listdir(self.directory) if os.path.isdir(self.directory) else []
        found = [self._read(name[:-5]) for name in sorted(names) if name.endswith(".json")]
        return (Network(name=DEFAULT), *(network for network in found if network is not None))

    def find(self, name: str) -> Network:
        """That network; ``NotFound`` with the nearest name."""
        if name == DEFAULT:
            return Network(name=DEFAULT)
        network = self._read(name) if _NAME.fullmatch(name) else None
        if network is None:
            from difflib import get_close_matches

            near = get_close_matches(name, [other.name for other in self.all()], 1)
            hint = f"did you mean {near[0]}?" if near else f"make it: network create {name}"
            raise NotFound("find network", name, "there is none of that name", hint)
        return network

    def create(
        self,
        name: str,
        subnet: str = "",
        labels: dict[str, str] | None = None,
        *,
        gateway: str = "",
        subnet6: str = "",
        gateway6: str = "",
        internal: bool = False,
    ) -> Network:
        """A new network. ``NameInUse`` when there is one of that name."""
        if not _NAME.fullmatch(name) or name in RESERVED:
            cause = "that name has a meaning of its own" if name in RESERVED else "not a name"
            raise InvalidOption(
                "name network", name, cause, "letters, digits, _ . - and a letter or digit first"
            )
        for given, of in ((gateway, subnet), (gateway6, subnet6)):
            if given and not of:
                raise InvalidOption("use", f"--gateway {given}", "no --subnet to be in", "give both")
        if subnet6:
            parsed6 = addresses6.parse(subnet6)
            if gateway6:
                addresses6.within(parsed6, "--gateway", gateway6)
        if subnet:
            parsed = addresses.parse(subnet)
            if gateway:
                addresses.within(parsed, "--gateway", gateway)
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        network = Network(
            name=name,
            subnet=subnet,
            gateway=gateway,
            subnet6=subnet6,
            gateway6=gateway6,
            internal=internal,
            created=time.time(),
            labels=labels or {},
        )
        half = f"{self.directory}/.{os.urandom(8).hex()}"
        with open(half, "wb") as file:
            file.write(msgspec.json.encode(network))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(half, f"{self.directory}/{name}.json")
        except FileExistsError:
            raise NameInUse(
                "create network", name, "there is one already", "`network ls` lists them"
            ) from None
        finally:
            os.unlink(half)
        sync_directory(self.directory)
        return network

    def forget(self, name: str) -> None:
        """Remove the definition."""
        os.unlink(f"{self.directory}/{name}.json")

    def _read(self, name: str) -> Network | None:
        try:
            with open(f"{self.directory}/{name}.json", "rb") as file:
                return msgspec.json.decode(file.read(), type=known(Network))
        except (FileNotFoundError, msgspec.MsgspecError):
            return None
