"""What must hold beside the firewalls that people have: each in its own style, with what they drop."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from sandcell.runtime import Engine
from sandcell.runtime.engine.doctor import examined, report
from sandcell.runtime.linux import network as kernel
from sandcell.runtime.linux import nftables
from tests.engine.claims import background, until
from tests.network.checks import check, nothing_left, pid_of, reaches, server_in, socket_in

_FORWARD = "/proc/sys/net/ipv4/ip_forward"

# As `iptables-nft` writes what dockerd asks for.
_DOCKER = """
table ip filter {
  chain DOCKER-USER { counter return; }
  chain DOCKER { iifname != "docker0" oifname "docker0" counter drop; }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    counter jump DOCKER-USER
    oifname "docker0" ct state related,established counter accept
    oifname "docker0" counter jump DOCKER
    iifname "docker0" oifname != "docker0" counter accept
  }
}
"""
_FIREWALLD = """
table inet firewalld {
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    iifname "lo" accept
    ct state invalid drop
    reject with icmpx admin-prohibited
  }
}
"""
_UFW = """
table ip filter {
  chain ufw-before-forward { ct state related,established counter accept; ip protocol icmp counter accept; }
  chain ufw-reject-forward { counter; }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    counter jump ufw-before-forward
    counter jump ufw-reject-forward
  }
}
"""
_PLAIN = (
    "table inet outer { chain f { type filter hook forward priority 0; policy accept; tcp dport 1 drop; }; }"
)


@contextmanager
def _world() -> Iterator[int]:
    """A machine elsewhere, with the address 192.0.2.2; its pid."""
    world = subprocess.Popen(["unshare", "-n", "sleep", "1000"])
    try:
        until(lambda: os.readlink(f"/proc/{world.pid}/ns/net") != os.readlink("/proc/self/ns/net"), "a world")
        kernel.make_bridge("wan0", "", "192.0.2.1", 24)
        mac = bytes.fromhex("025d00000001")
        kernel.connect(world.pid, "wan0", "wan1", "eth0", mac, "192.0.2.2", 24, "192.0.2.1")
        yield world.pid
    finally:
        world.kill()
        world.wait()
        for name in ("wan0", "wan1"):  # the second would go with its namespace, but later
            kernel.delete_link(name)


def _run(*argv: str, text: str = "") -> str:
    done = subprocess.run(argv, input=text, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _beside(engine: Engine, rules: str, chains: tuple[str, ...]) -> None:
    if shutil.which("nft") is None:
        return
    before = ""
    with _world() as world:
        _run("nft", "-f", "-", text=rules)
        try:
            before = _run("nft", "-s", "list", "ruleset")
            with (
                background(engine, network="bridge", name="caller") as id,
                background(engine, network="bridge", name="other") as other,
            ):
                network = engine.network("bridge")
                assert (network.passed, network.obstacle) == (chains, "")
                with server_in(world, 5000) as server, socket_in(pid_of(engine, id)) as client:
                    client.connect(("192.0.2.2", 5000))
                    met, (caller, _) = server.accept()
                    met.close()
                    assert caller == "192.0.2.1", "not masqueraded"
                with server_in(pid_of(engine, id), 5000):
                    assert not reaches(socket_in(world), network.members["caller"], 5000, 0.3)
                    assert reaches(socket_in(pid_of(engine, other)), network.members["caller"], 5000)
            until(lambda: nothing_left(engine), "all gone")
            assert _run("nft", "-s", "list", "ruleset") == before, "rules of others were changed"
        finally:
            for family, name in nftables.tables():
                nftables.change([nftables.delete_table(family, name)])


@check
def beside_dockers_rules(engine: Engine) -> None:
    _beside(engine, _DOCKER, ("filter FORWARD",))


@check
def beside_firewallds_rules(engine: Engine) -> None:
    _beside(engine, _FIREWALLD, ("firewalld filter_FORWARD",))


@check
def beside_ufws_rules(engine: Engine) -> None:
    _beside(engine, _UFW, ("filter FORWARD",))


@check
def beside_rules_that_let_it_pass_none_are_added(engine: Engine) -> None:
    _beside(engine, _PLAIN, ())


@check
def what_only_the_old_iptables_could_allow_is_told(engine: Engine) -> None:
    tool = shutil.which("iptables-legacy")
    if tool is None or subprocess.run([tool, "-P", "FORWARD", "DROP"], capture_output=True).returncode:
        return  # this kernel has no old iptables
    try:
        with background(engine, network="bridge") as id:
            obstacle = engine.network("bridge").obstacle
            assert "iptables-legacy -I FORWARD -i sandcell0 -j ACCEPT" in obstacle
            (facet,) = [one for one in engine.container(id).facets if one.name == "network"]
            assert facet.fix in report(examined(engine.host)).replace("\n" + " " * 16, " ")
            assert "FORWARD -i sandcell+ -j ACCEPT" in facet.fix
    finally:
        _run(tool, "-P", "FORWARD", "ACCEPT")
    with background(engine, network="bridge"):
        assert engine.network("bridge").obstacle == ""
        assert examined(engine.host) == engine.host
    until(lambda: nothing_left(engine), "all gone")


@check
def rules_are_what_was_meant_for_every_size_of_network(engine: Engine) -> None:
    for prefix in (9, 16, 20, 23, 27, 29):
        engine.create_network("sized", subnet=f"10.128.0.0/{prefix}")
        with background(engine, network="sized"):
            if nft := shutil.which("nft"):
                shown = _run(nft, "list", "ruleset")
                assert f"ip saddr 10.128.0.0/{prefix} oifname" in shown, shown
        engine.remove_network("sized")
    until(lambda: nothing_left(engine), "all gone")


@check
def forwarding_is_put_back_behind_the_last_network(engine: Engine) -> None:
    def forwarding() -> str:
        with open(_FORWARD, encoding="ascii") as file:
            return file.read().strip()

    with open(_FORWARD, "w", encoding="ascii") as file:
        file.write("0")
    with background(engine, network="bridge"):
        assert forwarding() == "1"
    until(lambda: forwarding() == "0", "put back")
    with background(engine, network="bridge"):
        kernel.make_bridge("theirs0", "", "198.51.100.1", 24)
    until(lambda: nothing_left(engine), "all gone")
    assert forwarding() == "1", "another bridge may need it"
    kernel.delete_link("theirs0")
    with background(engine, network="bridge"):
        pass
    until(lambda: nothing_left(engine), "all gone")
    assert forwarding() == "1", "somebody had it on before us"
    assert socket.if_nameindex()
