"""What must hold of networks with IPv6: each function checks one thing with real packets, see ``checks``."""

import os
import shutil
import socket
import subprocess

from sandcell.runtime import Engine, Options
from sandcell.runtime.errors import Conflict, InvalidOption
from sandcell.runtime.linux import network as kernel
from sandcell.runtime.linux.nftables import IPV6, tables
from tests.engine.claims import IMAGE, background, until
from tests.network.checks import check, nothing_left, pid_of, reaches, server_in, socket_in
from tests.network.checks_naming import hosts_of, refused

_SIX = socket.AF_INET6
_DROPPING = "table ip6 outer { chain f { type filter hook forward priority 0; policy drop; }; }"


def six_in(pid: int | None) -> socket.socket:
    """An IPv6 socket of that process's network namespace."""
    return socket_in(pid, family=_SIX)


def forwarding() -> tuple[str, str]:
    """The switch of IPv6, and what loopback makes of routers' words."""
    found = []
    for name in ("all/forwarding", "lo/accept_ra"):
        with open(f"/proc/sys/net/ipv6/conf/{name}", encoding="ascii") as file:
            found.append(file.read().strip())
    return found[0], found[1]


@check
def containers_reach_each_other_by_ipv6_and_are_found_by_name(engine: Engine) -> None:
    before = forwarding()
    engine.create_network("six", subnet6="fd00:5::/64")
    with (
        background(engine, network="six", name="one") as one,
        background(engine, network="six", name="two", ip6="fd00:5::77") as two,
    ):
        network = engine.network("six")
        assert (network.subnet6, network.gateway6) == ("fd00:5::/64", "fd00:5::1")
        assert network.members6 == {"one": "fd00:5::2", "two": "fd00:5::77"}
        for id in (one, two):
            assert "fd00:5::2\tone" in hosts_of(engine, id)
            assert "fd00:5::77\ttwo" in hosts_of(engine, id)
        with server_in(pid_of(engine, two), 5000, _SIX):
            assert reaches(six_in(pid_of(engine, one)), "fd00:5::77", 5000)
            assert reaches(socket.socket(_SIX), "fd00:5::77", 5000)
        with socket.create_server(("::", 5001), family=_SIX):
            assert reaches(six_in(pid_of(engine, one)), network.gateway6, 5001)
        told = engine.inspect(two)["NetworkSettings"]["Networks"]["six"]
        assert told["GlobalIPv6Address"] == "fd00:5::77"
        taken = engine.create(IMAGE, ("true",), Options(network="six", ip6="fd00:5::77"))
        assert "fd00:5::77" in refused(Conflict, engine.start, taken)
        engine.remove(taken)
        assert forwarding() == ("1", "2")
    until(lambda: nothing_left(engine), "all gone")
    assert forwarding() == before
    for wrong in ({"network": "six", "ip6": "fd00:6::1"}, {"network": "bridge", "ip6": "fd00:5::9"}):
        refused(InvalidOption, engine.create, IMAGE, ("true",), Options(**wrong))  # type: ignore[arg-type]
    refused(InvalidOption, engine.create_network, "wrong", subnet6="fd00:5::/120")
    refused(InvalidOption, engine.create_network, "wrong", subnet6="fd00:5::/64", gateway6="fd00:6::1")
    engine.remove_network("six")


@check
def a_running_container_comes_to_a_network_with_ipv6_and_leaves_it(engine: Engine) -> None:
    engine.create_network("club", ipv6=True)
    with background(engine, name="guest") as guest, background(engine, network="club", name="host") as host:
        engine.connect_network("club", guest)
        address = engine.network("club").members6["guest"]
        assert address.startswith("fd")
        with server_in(pid_of(engine, guest), 5000, _SIX):
            assert reaches(six_in(pid_of(engine, host)), address, 5000)
        engine.disconnect_network("club", guest)
        assert address not in hosts_of(engine, host)
    engine.remove_network("club")
    until(lambda: nothing_left(engine), "all gone")


@check
def a_published_port_leads_to_ipv6_and_to_who_listens_at_one_kind_only(engine: Engine) -> None:
    engine.create_network("six", ipv6=True)
    with background(engine, network="six", publish=("7000", "[::1]:0:7000")) as id:
        four, six = engine.ports(id)
        address = engine.network("six").members6[engine.container(id).name]
        for family in (_SIX, socket.AF_INET):
            with server_in(pid_of(engine, id), 7000, family) as server:
                for host, port in (("127.0.0.1", four.host_port), ("::1", six.host_port)):
                    with socket.create_connection((host, port), 5) as client:
                        met, _ = server.accept()
                        with met:
                            assert (met.getsockname()[0] == address) == (family == _SIX)
                            client.sendall(b"question")
                            assert met.recv(8, socket.MSG_WAITALL) == b"question"
    engine.remove_network("six")
    until(lambda: nothing_left(engine), "all gone")


@check
def beside_a_policy_of_dropping_containers_call_out_by_ipv6_and_nobody_calls_in(engine: Engine) -> None:
    nft = shutil.which("nft")
    engine.create_network("six", subnet6="fd00:5::/64")
    engine.create_network("inner", subnet6="fd00:6::/64", internal=True)
    world = subprocess.Popen(["unshare", "-n", "sleep", "1000"])
    try:
        until(lambda: os.readlink(f"/proc/{world.pid}/ns/net") != os.readlink("/proc/self/ns/net"), "a world")
        kernel.make_bridge("wan0", "", "192.0.2.1", 24)
        kernel.add_address6("wan0", "2001:db8::1", 64)
        mac = bytes.fromhex("025d00000001")
        way = ("2001:db8::2", 64, "2001:db8::1")
        kernel.connect(world.pid, "wan0", "wan1", "eth0", mac, "192.0.2.2", 24, "192.0.2.1", way)
        if nft:
            subprocess.run([nft, "-f", "-"], input=_DROPPING, text=True, check=True)
        with (
            background(engine, network="six", name="caller") as id,
            background(engine, network="inner", name="closed") as closed,
        ):
            pid = pid_of(engine, id)
            with server_in(world.pid, 5000, _SIX) as server, six_in(pid) as client:
                client.connect(("2001:db8::2", 5000))
                met, (caller, *_) = server.accept()
                met.close()
                assert caller == "2001:db8::1", "not masqueraded"
                assert not reaches(six_in(pid_of(engine, closed)), "2001:db8::2", 5000, 0.3)
            with server_in(pid, 5000, _SIX):
                assert not reaches(six_in(world.pid), engine.network("six").members6["caller"], 5000, 0.3)
            if nft:
                assert engine.network("six").passed == ("outer f",)
                shown = subprocess.run([nft, "list", "ruleset"], capture_output=True, text=True, check=True)
                assert "ip6 saddr fd00:5::/64 oifname" in shown.stdout
                subprocess.run([nft, "delete", "table", "ip6", "outer"], check=True)
    finally:
        world.kill()
        world.wait()
        for name in ("wan0", "wan1"):  # the second would go with its namespace, but later
            kernel.delete_link(name)
    for name in ("six", "inner"):
        engine.remove_network(name)
    until(lambda: nothing_left(engine), "all gone")
    assert not [name for family, name in tables() if family == IPV6]
