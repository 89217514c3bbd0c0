"""Whether this machine passes packets on between its links: switched on for our bridges, and put back
behind the last one where nobody else needs it. ip_forward of ip(7), and the kernel's ip-sysctl page.

A machine that forwards IPv6 no longer listens to routers (``accept_ra`` 1), by which it may have its own
address and way out; so its links are told to go on listening (2).
"""

import os

import msgspec

from sandcell.runtime.linux import network as kernel
from sandcell.runtime.linux import nftables as nft

_SWITCHES = {
    "forwarding": "/proc/sys/net/ipv4/ip_forward",
    "forwarding6": "/proc/sys/net/ipv6/conf/all/forwarding",
}
_LINKS = "/proc/sys/net/ipv6/conf"


def switch_on(directory: str, *, six: bool = False) -> None:
    """Switch it on, with ``six`` for IPv6 too; in ``directory`` it is noted when it was off. ``OSError``
    when that is refused."""
    for note, switch in _SWITCHES.items():
        if note == "forwarding" or six:
            _switch_on(f"{directory}/{note}", switch)


def _switch_on(note: str, switch: str) -> None:
    if _read(switch) != "0":
        return
    listening = []
    if switch.startswith(_LINKS):
        links = sorted(set(os.listdir(_LINKS)) - {"all", "default"})
        listening = [name for name in links if _read(f"{_LINKS}/{name}/accept_ra") == "1"]
    # Before the kernel is told: who clears up after a crash shall know.
    with open(note, "wb") as file:
        file.write(msgspec.json.encode(listening))
    for name in listening:
        _write(f"{_LINKS}/{name}/accept_ra", "2")
    _write(switch, "1")


def put_back(directory: str) -> None:
    """Switch it off again where we switched it on, unless somebody else seems to rely on it by now:
    another bridge, or rules for packets that pass through. Then it stays on, for good."""
    for note, switch in _SWITCHES.items():
        try:
            with open(f"{directory}/{note}", "rb") as file:
                listening = msgspec.json.decode(file.read(), type=list[str])
            os.unlink(f"{directory}/{note}")
            if not _needed():
                _write(switch, "0")
                for name in listening:
                    _write(f"{_LINKS}/{name}/accept_ra", "1")
        except (OSError, msgspec.MsgspecError):
            pass  # we have not; or it stays on


def _needed() -> bool:
    through = any(chain.hook in (nft.FORWARD, nft.POSTROUTING) for chain in nft.chains())
    return through or any(link.kind == "bridge" for link in kernel.links())


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""  # the link has gone


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
