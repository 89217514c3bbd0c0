"""What a bridge needs of the firewall: its containers may call out and be answered, and nobody
else begins a conversation with them. One table a bridge, so that it goes in one piece.

An accept in our own table cannot overrule a drop in another one: each base chain of the forward
hook has its say. So where a foreign chain drops by policy (docker, ufw) or by its last rule
(firewalld), two rules marked with our comment are put before its own. nft(8), "Base chains".
"""

import msgspec

from sandcell.runtime.linux import nftables as nft

_FORWARD = "/proc/sys/net/ipv4/ip_forward"
_LEGACY = "/proc/net/ip_tables_names"
_REJECTING = ("firewalld",)


class Standing(msgspec.Struct, frozen=True):
    """How the firewall stands to a bridge. ``passed``: foreign chains with our two rules.
    ``obstacle``: who may drop its packets all the same, empty for nobody."""

    passed: tuple[str, ...] = ()
    obstacle: str = ""


def table_name(bridge: str) -> str:
    """The name of the table of that bridge."""
    return f"sandcell-{bridge}"


def set_up(bridge: str, network: bytes, prefix: int) -> None:
    """The bridge's table, made anew, and forwarding between links switched on."""
    own = table_name(bridge)
    others = nft.link_is(incoming=True, name=bridge, equal=False)
    to_bridge = nft.link_is(incoming=False, name=bridge)
    away = nft.link_is(incoming=False, name=bridge, equal=False)
    nft.change(
        [
            nft.table(nft.IPV4, own),
            nft.delete_table(nft.IPV4, own),
            nft.table(nft.IPV4, own),
            nft.chain(nft.IPV4, own, "outward", "nat", nft.POSTROUTING, 100),
            nft.chain(nft.IPV4, own, "between", "filter", nft.FORWARD, 0),
            nft.rule(
                nft.IPV4,
                own,
                "outward",
                (*nft.source_in(network, prefix), *away, *nft.masquerade()),
                "packets of containers get the host's address",
            ),
            nft.rule(
                nft.IPV4,
                own,
                "between",
                (*others, *to_bridge, *nft.unsolicited(), *nft.verdict(nft.DROP)),
                "nobody else begins a conversation",
            ),
        ]
    )
    with open(_FORWARD, "r+", encoding="ascii") as file:
        if file.read().strip() == "0":
            file.seek(0)
            file.write("1")


def pass_others(bridge: str) -> Standing:
    """Put our rules into foreign chains that would drop the bridge's packets; repeating it adds
    nothing."""
    own = table_name(bridge)
    closed = [
        chain
        for chain in nft.chains()
        if chain.hook == nft.FORWARD
        and chain.family in (nft.INET, nft.IPV4)
        and chain.kind == "filter"
        and (chain.policy == nft.DROP or chain.table in _REJECTING)
    ]
    rules = nft.rules() if closed else ()
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
    passed = tuple(f"{chain.table} {chain.name}" for chain in closed)
    return Standing(passed, _legacy())


def _legacy() -> str:
    """Rules of the old iptables are not among nftables' and only its own program can change them."""
    try:
        with open(_LEGACY, encoding="ascii") as file:
            loaded = "filter" in file.read().split()
    except OSError:
        return ""
    return "iptables-legacy has a filter table; if it drops: iptables-legacy -I FORWARD …" if loaded else ""


def take_down(bridge: str) -> None:
    """Remove the bridge's table and our rules in others; what is gone already is no error."""
    own = table_name(bridge)
    doomed = [nft.delete_rule(rule) for rule in nft.rules() if rule.comment == own and rule.table != own]
    if (nft.IPV4, own) in nft.tables():
        doomed.append(nft.delete_table(nft.IPV4, own))
    if doomed:
        nft.change(doomed)
