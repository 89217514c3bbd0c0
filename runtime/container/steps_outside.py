"""The part of a plan that the monitor does: what stands around a container's first process."""

import msgspec

from sandcell.runtime.linux.cgroups_limits import Limits
from sandcell.runtime.linux.idmap import IdMap


class Step(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Base of all steps."""

    def describe(self) -> str:
        """One line in the words of the man pages."""
        return type(self).__name__


class MakeCgroup(Step, frozen=True, tag=True, array_like=True):
    """A control group of its own. cgroups(7)."""

    path: str
    limits: Limits = Limits()

    def describe(self) -> str:
        asked = self.limits
        words = [f"memory {asked.memory}"] if asked.memory is not None else []
        words += [f"cpu {asked.cpu_quota}/{asked.cpu_period} µs"] if asked.cpu_quota is not None else []
        words += [f"pids {asked.pids}"] if asked.pids is not None else []
        return f"make control group {self.path}" + (f" ({', '.join(words)})" if words else "")


class NewNamespaces(Step, frozen=True, tag=True, array_like=True):
    """clone3(2) the first process into new namespaces (names as in /proc/PID/ns), and into the ``pid``
    namespace at that path, where it is somebody else's."""

    names: tuple[str, ...]
    pid: str = ""

    def describe(self) -> str:
        shared = f", in the pid namespace {self.pid}" if self.pid else ""
        return "clone a process into new namespaces: " + " ".join(self.names) + shared


class Connect(Step, frozen=True, tag=True, array_like=True):
    """Connect the new network namespace to a bridge by a pair of virtual links. veth(4). ``six``: address,
    prefix and gateway of IPv6, empty for none."""

    bridge: str
    outside: str
    address: str
    prefix: int
    gateway: str
    mac: bytes
    inside: str = "eth0"
    others: tuple["Connect", ...] = ()
    six: tuple[str, int, str] = ("", 0, "")

    def describe(self) -> str:
        more = f", {self.six[0]}/{self.six[1]}" if self.six[0] else ""
        mine = f"{self.inside} ({self.address}/{self.prefix}{more}) to the bridge {self.bridge}"
        return "connect " + ", ".join((mine, *(other.describe()[8:] for other in self.others)))


class Slirp(Step, frozen=True, tag=True, array_like=True):
    """Give the new network namespace a way out by slirp4netns(1) or pasta(1), found at ``program``.
    ``run``: the container's run directory."""

    program: str
    run: str = ""

    def describe(self) -> str:
        return f"connect tap0 (10.0.2.100/24) by {self.program}"


class MapIds(Step, frozen=True, tag=True, array_like=True):
    """Give the new user namespace its id maps. user_namespaces(7)."""

    idmap: IdMap

    def describe(self) -> str:
        return "map ids " + ", ".join(f"{r.inside}→{r.outside} (×{r.size})" for r in self.idmap.uids)
