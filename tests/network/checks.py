"""What must hold of networks: each function checks one thing with real packets. They are run by a
process that has a network namespace of its own (see ``test_packets``), which stands for the machine.

Containers only sleep: the test opens its sockets in their network namespaces itself.
"""

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable

from sandcell.runtime import Engine, Options
from sandcell.runtime.container import state
from sandcell.runtime.engine import record
from sandcell.runtime.errors import Conflict, InvalidOption, NotFound, StartFailed, WrongState
from sandcell.runtime.linux import network as kernel
from sandcell.runtime.linux import nftables
from sandcell.runtime.linux.syscall import CLONE_NEWNET, setns
from tests.engine.claims import IMAGE, background, prepare, until

CHECKS: list[Callable[[Engine], None]] = []


def check(function: Callable[[Engine], None]) -> Callable[[Engine], None]:
    """Adds the function to the list."""
    CHECKS.append(function)
    return function


def socket_in(pid: int | None, kind: int = socket.SOCK_STREAM, family: int = socket.AF_INET) -> socket.socket:
    """A socket of the network namespace of that process."""
    mine = os.open("/proc/self/ns/net", os.O_RDONLY)
    theirs = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        setns(theirs, CLONE_NEWNET)
        made = socket.socket(family, kind)
        setns(mine, CLONE_NEWNET)
    finally:
        os.close(mine)
        os.close(theirs)
    made.settimeout(5)
    return made


def server_in(pid: int | None, port: int, family: int = socket.AF_INET) -> socket.socket:
    """A listening socket in there, of that family alone."""
    server = socket_in(pid, family=family)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind(("", port))
    server.listen(8)
    return server


def reaches(client: socket.socket, address: str, port: int, seconds: float = 5) -> bool:
    """True when a connection comes to be."""
    client.settimeout(seconds)
    with client:
        try:
            client.connect((address, port))
        except OSError:
            return False
    return True


def nothing_left(engine: Engine) -> bool:
    """No link, table or file of ours is there."""
    links = [link.name for link in kernel.links() if link.name.startswith("sc") or "sandcell" in link.name]
    tables = [name for _, name in nftables.tables() if "sandcell" in name]
    marked = [rule for rule in nftables.rules() if "sandcell" in rule.comment]
    run = f"{engine.places.run}/networks"
    files = [name for name in os.listdir(run) if name.endswith(".json")] if os.path.isdir(run) else []
    return not (links or tables or marked or files)


def pid_of(engine: Engine, id: str) -> int | None:
    """Its first process, on the host."""
    return engine.container(id).pid


@check
def containers_of_a_network_reach_each_other_and_the_host_by_name(engine: Engine) -> None:
    with background(engine, network="bridge", name="one") as one:
        with background(engine, network="bridge", name="two", hostname="second") as two:
            members = engine.network("bridge").members
            with server_in(pid_of(engine, one), 5000) as server:
                client = socket_in(pid_of(engine, two))
                client.connect((members["one"], 5000))
                met, (caller, _) = server.accept()
                assert caller == members["two"]
                client.sendall(b"x" * 3000)
                assert met.recv(3000, socket.MSG_WAITALL) == b"x" * 3000
                client.close()
                met.close()
                assert reaches(socket.socket(), members["one"], 5000)
            with socket.create_server(("", 5001)):
                assert reaches(socket_in(pid_of(engine, one)), engine.network("bridge").gateway, 5001)
            for id in (one, two):
                text = engine.exec(id, ("cat", "/etc/hosts")).text
                assert f"{members['one']}\tone" in text
                assert f"{members['two']}\ttwo second" in text
        assert "second" not in engine.exec(one, ("cat", "/etc/hosts")).text
    until(lambda: nothing_left(engine), "all gone")


@check
def published_ports_carry_megabytes_both_ways_and_close_by_halves(engine: Engine) -> None:
    data = os.urandom(3_000_000)
    with background(engine, network="bridge", publish=("7000", "[::1]:0:7000", "7001/udp")) as id:
        pid = pid_of(engine, id)
        four, six, datagrams = engine.ports(id)
        with server_in(pid, 7000) as server, socket_in(pid, socket.SOCK_DGRAM) as inner:

            def echo() -> None:
                for _ in range(2):
                    met, _ = server.accept()
                    with met:
                        got = b"".join(iter(lambda: met.recv(1 << 20), b""))  # noqa: B023
                        met.sendall(got[::-1])

            echoing = threading.Thread(target=echo)
            echoing.start()
            for address, port in (("127.0.0.1", four.host_port), ("::1", six.host_port)):
                with socket.create_connection((address, port), 5) as client:
                    client.sendall(data)
                    client.shutdown(socket.SHUT_WR)
                    assert b"".join(iter(lambda: client.recv(1 << 20), b"")) == data[::-1]
            echoing.join(5)
            inner.bind(("", 7001))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(5)
                client.sendto(b"question", ("127.0.0.1", datagrams.host_port))
                question, caller = inner.recvfrom(100)
                inner.sendto(question.upper(), caller)
                assert client.recv(100) == b"QUESTION"
        # Nobody listens any more: the caller hears the end, and the port goes on working.
        with socket.create_connection(("127.0.0.1", four.host_port), 5) as client:
            try:
                assert client.recv(1) == b""
            except ConnectionResetError:
                pass
        with server_in(pid, 7000):
            assert reaches(socket.socket(), "127.0.0.1", four.host_port)
    assert not reaches(socket.socket(), "127.0.0.1", four.host_port)


@check
def a_port_that_is_taken_is_one_error_and_leaves_nothing(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        try:
            engine.run(IMAGE, ("true",), Options(network="bridge", remove=True, publish=(f"{port}:80",)))
        except StartFailed as error:
            assert str(port) in str(error)
            assert "any free one" in error.hint
        else:
            raise AssertionError("no error")
    until(lambda: nothing_left(engine), "all gone")


@check
def networks_are_apart(engine: Engine) -> None:
    engine.create_network("front")
    engine.create_network("back", subnet="10.77.0.0/24")
    with (
        background(engine, network="front", name="f") as front,
        background(engine, network="back", name="b") as back,
    ):
        address = engine.network("back").members["b"]
        assert address.startswith("10.77.0.")
        with server_in(pid_of(engine, back), 5000):
            assert not reaches(socket_in(pid_of(engine, front)), address, 5000, 0.3)
            assert reaches(socket.socket(), address, 5000)
        try:
            engine.remove_network("back")
        except Conflict as error:
            assert "b" in error.cause
        else:
            raise AssertionError("removed under a container")
    for name in ("front", "back"):
        engine.remove_network(name)
    assert [network.name for network in engine.networks()] == ["none", "host", "bridge"]
    for refused, error in (("bridge", InvalidOption), ("front", NotFound)):
        try:
            engine.remove_network(refused)
        except error:
            pass
        else:
            raise AssertionError(refused)
    until(lambda: nothing_left(engine), "all gone")


@check
def beside_a_policy_of_dropping_containers_call_out_and_nobody_calls_in(engine: Engine) -> None:
    nft = shutil.which("nft")
    world = subprocess.Popen(["unshare", "-n", "sleep", "1000"])
    try:
        until(lambda: os.readlink(f"/proc/{world.pid}/ns/net") != os.readlink("/proc/self/ns/net"), "a world")
        kernel.make_bridge("wan0", "", "192.0.2.1", 24)
        mac = bytes.fromhex("025d00000001")
        kernel.connect(world.pid, "wan0", "wan1", "eth0", mac, "192.0.2.2", 24, "192.0.2.1")
        if nft:
            kind = "{ type filter hook forward priority 0; policy drop; }"
            rules = f"add table inet outer\nadd chain inet outer f {kind}\n"
            subprocess.run([nft, "-f", "-"], input=rules, text=True, check=True)
        with background(engine, network="bridge", name="caller") as id:
            pid = pid_of(engine, id)
            with server_in(world.pid, 5000) as server, socket_in(pid) as client:
                client.connect(("192.0.2.2", 5000))
                met, (caller, _) = server.accept()
                met.close()
                assert caller == "192.0.2.1", "not masqueraded"
            with server_in(pid, 5000):
                address = engine.network("bridge").members["caller"]
                assert not reaches(socket_in(world.pid), address, 5000, 0.3)
            if nft:
                shown = subprocess.run([nft, "list", "ruleset"], capture_output=True, text=True, check=True)
                assert 'ip saddr 10.211.0.0/24 oifname != "sandcell0" masquerade' in shown.stdout
                assert shown.stdout.count('accept comment "sandcell-sandcell0"') == 2
        until(lambda: nothing_left(engine), "all gone")
        if nft:
            subprocess.run([nft, "delete", "table", "inet", "outer"], check=True)
    finally:
        world.kill()
        world.wait()
        for name in ("wan0", "wan1"):  # the second would go with its namespace, but later
            kernel.delete_link(name)


@check
def the_plan_names_the_network_and_makes_nothing(engine: Engine) -> None:
    text = str(engine.explain(IMAGE, ("true",), Options(network="bridge")))
    assert "connect eth0 (the next free address/24)" in text
    assert "wait for the network" in text
    assert nothing_left(engine)


@check
def a_container_can_share_the_network_of_another(engine: Engine) -> None:
    with background(engine, network="bridge", name="owner") as owner:
        with background(engine, network="container:owner") as guest:
            spaces = [os.readlink(f"/proc/{pid_of(engine, id)}/ns/net") for id in (owner, guest)]
            assert spaces[0] == spaces[1]
            assert engine.exec(guest, ("cat", "/etc/hosts")).text.count("\towner") == 1
            engine.stop(guest, 0)
            engine.rename(owner, "renamed")
            engine.start(guest)
            assert "\trenamed" in engine.exec(guest, ("cat", "/etc/hosts")).text
            assert os.readlink(f"/proc/{pid_of(engine, guest)}/ns/net") == spaces[0]
            engine.rename(owner, "owner")
        engine.stop(owner, 0)
        made = engine.create(IMAGE, ("true",), Options(network="container:owner"))
        try:
            engine.start(made)
        except WrongState as error:
            assert error.hint
        else:
            raise AssertionError("started without a network")
        engine.remove(made)


@check
def a_container_that_starts_again_is_reached_again(engine: Engine) -> None:
    with background(engine, network="bridge", name="again", publish=("7000",)) as id:
        for _ in range(2):
            port = engine.ports(id)[0].host_port
            with server_in(pid_of(engine, id), 7000):
                assert reaches(socket.socket(), "127.0.0.1", port)
            engine.restart(id, 0)
    until(lambda: nothing_left(engine), "all gone")


@check
def killed_monitors_leave_what_prune_clears(engine: Engine) -> None:
    with background(engine, network="bridge", publish=("7000",)) as id:
        port = engine.ports(id)[0].host_port
        now = state.read(engine.places.running(id), engine.places.container(id))
        assert now.monitor is not None
        os.kill(now.monitor.pid, signal.SIGKILL)
        until(lambda: engine.container(id).state == "exited", "the end")
        until(lambda: not reaches(socket.socket(), "127.0.0.1", port), "the port is free")
        assert not nothing_left(engine)
        engine.prune()
        assert nothing_left(engine)
    assert record.every(engine.places) == []


@check
def who_deletes_the_records_leaves_no_bridge(engine: Engine) -> None:
    home = f"{engine.places.home}-short"
    with Engine(home, f"{home}-run") as short:
        prepare(short)
        assert short.run(IMAGE, ("true",), Options(network="bridge", remove=True)).status == 0
        until(lambda: not short.containers(all=True), "it is removed")
        shutil.rmtree(f"{home}-run/networks")
        until(lambda: nothing_left(engine), "all gone")
        for delete, what in ((os.unlink, "/bridge.json"), (shutil.rmtree, "")):
            with background(short, network="bridge"):
                delete(f"{home}-run/networks{what}")
            until(lambda: nothing_left(engine), "all gone, also when it ran")
        assert not os.path.exists(f"{home}-run/networks")
    shutil.rmtree(home)


@check
def many_at_once_leave_nothing(engine: Engine) -> None:
    failures: list[BaseException] = []

    def cycle() -> None:
        try:
            for _ in range(4):
                done = engine.run(IMAGE, ("true",), Options(network="bridge", remove=True, publish=("80",)))
                assert done.status == 0
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=cycle) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    until(lambda: nothing_left(engine), "all gone")
