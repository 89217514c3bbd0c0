"""What must hold of containers that come to networks, are called by names there, and leave again."""

import io
import os
import socket
import subprocess
from contextlib import redirect_stdout

from sandcell.runtime import Engine, Options
from sandcell.runtime.cli import main
from sandcell.runtime.errors import Conflict, InvalidOption, NotFound, SandcellError
from tests.engine.claims import IMAGE, background, until
from tests.network.checks import check, nothing_left, pid_of, reaches, server_in, socket_in


def refused(kind: type[SandcellError], function: object, *arguments: object, **named: object) -> str:
    """What the error says that the call must raise; it must have a hint."""
    try:
        function(*arguments, **named)  # type: ignore[operator]
    except kind as error:
        assert error.hint, error
        return str(error)
    raise AssertionError("no error")


def hosts_of(engine: Engine, id: str) -> str:
    """/etc/hosts as it is inside."""
    return engine.exec(id, ("cat", "/etc/hosts")).text


def routes_of(pid: int | None) -> list[list[str]]:
    """Its routes: interface, destination and gateway as in /proc/net/route."""
    with open(f"/proc/{pid}/net/route", encoding="ascii") as file:
        return [line.split()[:3] for line in file.readlines()[1:]]


@check
def a_container_has_the_address_and_the_names_that_were_asked_for(engine: Engine) -> None:
    engine.create_network("fixed", subnet="10.78.0.0/24", gateway="10.78.0.9")
    asked: dict[str, object] = {"network": "fixed", "ip": "10.78.0.77", "network_aliases": ("db", "store")}
    with background(engine, name="first", **asked) as first, background(engine, network="fixed") as second:
        assert engine.network("fixed").members["first"] == "10.78.0.77"
        assert "10.78.0.77\tfirst" in hosts_of(engine, second)
        assert " db store\n" in hosts_of(engine, second)
        assert ["eth0", "00000000", "09004E0A"] in routes_of(pid_of(engine, first))
        with server_in(pid_of(engine, first), 5000):
            assert reaches(socket_in(pid_of(engine, second)), "10.78.0.77", 5000)
            assert reaches(socket.socket(), "10.78.0.77", 5000)
        taken = engine.create(IMAGE, ("true",), Options(**asked))  # type: ignore[arg-type]
        assert "10.78.0.77" in refused(Conflict, engine.start, taken)
        engine.remove(taken)
        engine.rename(first, "renamed")
        assert "10.78.0.77\trenamed" in hosts_of(engine, second)
    elsewhere = Options(network="fixed", ip="10.79.0.1")
    refused(InvalidOption, engine.create, IMAGE, ("true",), elsewhere)
    refused(InvalidOption, engine.create, IMAGE, ("true",), Options(network="bridge", ip="10.211.0.7"))
    refused(InvalidOption, engine.create, IMAGE, ("true",), Options(network="none", ip="10.211.0.7"))
    refused(InvalidOption, engine.create_network, "wrong", subnet="10.78.1.0/24", gateway="10.78.0.1")
    engine.remove_network("fixed")
    until(lambda: nothing_left(engine), "all gone")


@check
def a_container_is_on_several_networks_and_leads_nobody_through(engine: Engine) -> None:
    for name in ("left", "right"):
        engine.create_network(name)
    both: dict[str, object] = {"network": "left", "more_networks": ("right",)}
    with (
        background(engine, name="middle", **both) as middle,
        background(engine, network="left", name="l") as left,
        background(engine, network="right", name="r") as right,
    ):
        for id, network in ((left, "left"), (right, "right")):
            address = engine.network(network).members["middle"]
            assert f"{address}\tmiddle" in hosts_of(engine, id)
            with server_in(pid_of(engine, middle), 5000):
                assert reaches(socket_in(pid_of(engine, id)), address, 5000)
        told = hosts_of(engine, middle)
        assert "\tl " in told
        assert "\tr " in told
        with server_in(pid_of(engine, right), 5000):
            assert not reaches(
                socket_in(pid_of(engine, left)), engine.network("right").members["r"], 5000, 0.3
            )
        engine.restart(middle, 0)
        assert [row[0] for row in routes_of(pid_of(engine, middle))] == ["eth0", "eth0", "eth1"]
        refused(Conflict, engine.remove_network, "right")
    for name in ("left", "right"):
        engine.remove_network(name)
    until(lambda: nothing_left(engine), "all gone")


@check
def a_running_container_comes_to_a_network_and_leaves_it(engine: Engine) -> None:
    engine.create_network("club")
    with background(engine, name="guest") as guest, background(engine, network="club", name="host") as host:
        assert "club" not in hosts_of(engine, guest)
        engine.connect_network("club", guest, aliases=("visitor",))
        refused(Conflict, engine.connect_network, "club", guest)
        address = engine.network("club").members["guest"]
        assert f"{address}\tguest" in hosts_of(engine, host)
        assert "visitor" in hosts_of(engine, host)
        with server_in(pid_of(engine, guest), 5000):
            assert reaches(socket_in(pid_of(engine, host)), address, 5000)
        engine.connect_network("bridge", guest)
        assert len([row for row in routes_of(pid_of(engine, guest)) if row[1] == "00000000"]) == 1
        engine.disconnect_network("club", guest)
        refused(NotFound, engine.disconnect_network, "club", guest)
        # The way out was by the network that it left.
        assert [row[0] for row in routes_of(pid_of(engine, guest)) if row[1] == "00000000"] == ["eth1"]
        assert "guest" not in hosts_of(engine, host)
        assert "host" not in hosts_of(engine, guest).replace("localhost", "")
        engine.stop(guest, 0)
        engine.disconnect_network("bridge", guest)
        engine.connect_network("club", guest)
        engine.start(guest)
        assert "guest" in hosts_of(engine, host)
        until(lambda: "guest" in engine.network("club").members, "it is back")
    engine.remove_network("club")
    until(lambda: nothing_left(engine), "all gone")


@check
def nothing_leaves_an_internal_network(engine: Engine) -> None:
    engine.create_network("inner", internal=True)
    world = subprocess.Popen(["unshare", "-n", "sleep", "1000"])
    try:
        until(lambda: os.readlink(f"/proc/{world.pid}/ns/net") != os.readlink("/proc/self/ns/net"), "a world")
        with (
            background(engine, network="inner", name="a") as one,
            background(engine, network="inner", name="b") as two,
            background(engine, network="bridge", name="c") as outer,
        ):
            members = engine.network("inner").members
            assert not [row for row in routes_of(pid_of(engine, one)) if row[1] == "00000000"]
            with server_in(pid_of(engine, two), 5000), server_in(pid_of(engine, outer), 5000):
                assert reaches(socket_in(pid_of(engine, one)), members["b"], 5000)
                assert not reaches(socket_in(pid_of(engine, outer)), members["b"], 5000, 0.3)
                engine.exec(one, ("true",))
    finally:
        world.kill()
        world.wait()
    engine.remove_network("inner")
    until(lambda: nothing_left(engine), "all gone")


@check
def ports_come_in_ranges_and_from_the_image(engine: Engine) -> None:
    engine.build(f"FROM {IMAGE}\nEXPOSE 7100 7101/udp\n", name="exposes:1")
    with socket.create_server(("127.0.0.1", 7300)):
        made = engine.create(
            "exposes:1",
            ("sleep", "1000"),
            Options(publish=("7200-7202:80-82", "7300-7305:90"), publish_all=True),
        )
        try:
            engine.start(made)
            found = {(port.port, port.protocol): port.host_port for port in engine.ports(made)}
            assert [found[port, "tcp"] for port in (80, 81, 82)] == [7200, 7201, 7202]
            assert found[90, "tcp"] == 7301
            assert found[7100, "tcp"]
            assert found[7101, "udp"]
            with redirect_stdout(io.StringIO()) as told:
                main(("ps",), engine=engine)
            assert "127.0.0.1:7200->80/tcp, 127.0.0.1:7201->81/tcp, " in told.getvalue()
            there = engine.inspect(made)["NetworkSettings"]["Ports"]
            assert there["80/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": "7200"}]
            with server_in(pid_of(engine, made.id), 82):
                assert reaches(socket.socket(), "127.0.0.1", 7202)
        finally:
            engine.remove(made, force=True)
    engine.remove_image("exposes:1")
