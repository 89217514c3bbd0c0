"""What a bridge needs of the firewall: its containers may call out and be answered, and nobody
else begins a conversation with them. One table a bridge, so that it goes in one piece.

An accept in our own table cannot overrule a drop in another one: each base chain of the forward
hook has its say. So where a foreign chain drops by policy (docker, ufw) or by its last rule
(firewalld), two rules marked with our comment are put before its own. nft(8), "Base chains".
"""

import errno

import msgspec

from sandcell.runtime.linux import iptables_legacy
from sandcell.runtime.linux import nftables as nft

_OURS = "sandcell-"
_BRIDGE = "sandcell"


class Standing(msgspec.Struct, frozen=True):
    """How the firewall stands to a bridge. ``passed``: foreign chains with our two rules.
    ``obstacle``: who may drop its packets all the same, empty for nobody."""

    passed: tuple[str, ...] = ()
    obstacle: str = ""


def table_name(bridge: str) -> str:
    """The name of the table of that bridge."""
    return f"{_OURS}{bridge}"


def set_up(bridge: str, network: bytes, prefix: int, *, internal: bool = False) -> None:
    """The bridge's table for the family of ``network`` (4 or 16 bytes), made anew. ``internal``: nothing
    leaves the network, and nothing comes in.
    ``OSError`` when the kernel refuses, or has understood something else than was meant."""
    own = table_name(bridge)
    family = nft.IPV4 if len(network) == 4 else nft.IPV6
    from_bridge = nft.link_is(incoming=True, name=bridge)
    others = nft.link_is(incoming=True, name=bridge, equal=False)
    to_bridge = nft.link_is(incoming=False, name=bridge)
    away = nft.link_is(incoming=False, name=bridge, equal=False)
    drop = nft.verdict(nft.DROP)
    closed = (
        ("between", (*others, *to_bridge, *drop), "nobody comes in"),
        ("between", (*from_bridge, *away, *drop), "nobody leaves"),
    )
    masked = (*nft.source_in(network, prefix), *away, *nft.masquerade())
    opened = (
        ("outward", masked, "packets of containers get the host's address"),
        ("between", (*others, *to_bridge, *nft.unsolicited(), *drop), "nobody else begins a conversation"),
    )
    wanted = closed if internal else opened
    # Only where a crash has left one: a change that deletes waits for all processors.
    stale = [nft.delete_table(family, own)] if (family, own) in nft.tables() else []
    nft.change(
        [
            *stale,
            nft.table(family, own),
            nft.chain(family, own, "outward", "nat", nft.POSTROUTING, 100),
            nft.chain(family, own, "between", "filter", nft.FORWARD, 0),
            *(nft.rule(family, own, chain, does, comment) for chain, does, comment in wanted),
        ]
    )
    # Read back: a mask that means something else would let packets through and tell nobody.
    found = [rule for rule in nft.rules() if (rule.family, rule.table) == (family, own)]
    right = len(found) == len(wanted) and all(
        any(rule.chain == chain and rule.comment == comment and rule.does(does) for rule in found)
        for chain, does, comment in wanted
    )
    if not right:
        raise OSError(errno.EPROTO, "the rules of the firewall are not what was asked for")


def pass_others(bridge: str, *, six: bool = False) -> Standing:
    """Put our rules into foreign chains that would drop the bridge's packets, with ``six`` those of IPv6
    too; repeating it adds nothing."""
    families = (nft.INET, nft.IPV4, nft.IPV6) if six else (nft.INET, nft.IPV4)
    own = table_name(bridge)
    passing = [
        chain
        for chain in nft.chains()
        if chain.hook == nft.FORWARD
        and chain.family in families
        and chain.kind == "filter"
        and not chain.table.startswith(_OURS)
    ]
    rules = nft.rules() if passing else ()
    last = {(rule.family, rule.table, rule.chain): rule for rule in rules}
    closed = [
        chain
        for chain in passing
        if chain.policy == nft.DROP
        or ((end := last.get((chain.family, chain.table, chain.name))) is not None and end.refuses_all)
    ]
    marked = {(rule.family, rule.table, rule.chain) for rule in rules if rule.comment == own}
    for chain in closed:
        if (chain.family, chain.table, chain.name) not in marked:
            nft.change(
                nft.rule(
                    chain.family,
                    chain.table,
                    chain.name,
                    (*nft.link_is(incoming=incoming, name=bridge), *nft.verdict(nft.ACCEPT)),
                    own,
                    first=True,
                )
                for incoming in (True, False)
            )
    passed = tuple(dict.fromkeys(f"{chain.table} {chain.name}" for chain in closed))
    drops = iptables_legacy.forward_drops()
    return Standing(passed, f"{LEGACY_DROPS}; allow it: {legacy_accepts(bridge)}" if drops else "")


# Its rules are not among nftables', and only its own program should change them.
LEGACY_DROPS = "iptables-legacy drops what passes through (its FORWARD chain has the policy DROP)"


def legacy_accepts(bridge: str = f"{_BRIDGE}+") -> str:
    """The commands by which the old iptables lets that bridge, or any of ours, through."""
    return " && ".join(f"iptables-legacy -I FORWARD {way} {bridge} -j ACCEPT" for way in ("-i", "-o"))


def take_down(bridge: str) -> None:
    """Remove the bridge's table and our rules in others; what is gone already is no error."""
    own = table_name(bridge)
    doomed = [nft.delete_rule(rule) for rule in nft.rules() if rule.comment == own and rule.table != own]
    doomed += [nft.delete_table(family, name) for family, name in nft.tables() if name == own]
    if doomed:
        nft.change(doomed)
