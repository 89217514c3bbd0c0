"""Whether this machine passes packets on between its links: switched on for our bridges, and put back
behind the last one where nobody else needs it. ip_forward of ip(7).
"""

import os

from sandcell.runtime.linux import network as kernel
from sandcell.runtime.linux import nftables as nft

_SWITCH = "/proc/sys/net/ipv4/ip_forward"
_NOTE = "forwarding"


def switch_on(directory: str) -> None:
    """Switch it on; in ``directory`` it is noted when it was off. ``OSError`` when that is refused."""
    with open(_SWITCH, "r+", encoding="ascii") as file:
        if file.read().strip() == "0":
            # Before the kernel is told: who clears up after a crash shall know.
            with open(f"{directory}/{_NOTE}", "w", encoding="ascii") as note:
                note.write("0\n")
            file.seek(0)
            file.write("1")


def put_back(directory: str) -> None:
    """Switch it off again where we switched it on, unless somebody else seems to rely on it by now:
    another bridge, or rules for packets that pass through. Then it stays on, for good."""
    try:
        os.unlink(f"{directory}/{_NOTE}")
    except FileNotFoundError:
        return
    try:
        if not _needed():
            with open(_SWITCH, "w", encoding="ascii") as file:
                file.write("0")
    except OSError:
        pass  # it stays on


def _needed() -> bool:
    through = any(chain.hook in (nft.FORWARD, nft.POSTROUTING) for chain in nft.chains())
    return through or any(link.kind == "bridge" for link in kernel.links())
