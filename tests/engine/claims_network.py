"""The claims about networks that hold on every rung; for what only root may do see tests/network."""

import os
import signal
import socket

from sandcell.runtime import Engine, Options
from sandcell.runtime.container import state
from sandcell.runtime.container.descendants import parents
from sandcell.runtime.engine import wiring
from sandcell.runtime.errors import HostRefused, SandcellError
from tests.engine.claims import background, claim, sh, until

_SERVER = "import socket\ns = socket.create_server(('', 80))\nwhile True: s.accept()[0].sendall(b'hello')"


def _greeting(port: int) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            return client.recv(5)
    except OSError:
        return b""


def _children(engine: Engine, id: str) -> int:
    """How many processes its monitor has begun: the container's first, and who serves its ports."""
    now = state.read(engine.places.running(id), engine.places.container(id))
    assert now.monitor is not None
    return list(parents().values()).count(now.monitor.pid)


@claim
def a_published_port_leads_to_a_container_that_has_only_loopback(engine: Engine) -> None:
    made = engine.create("host", ("python3", "-c", _SERVER), Options(publish=("80",)))
    try:
        engine.start(made)
        (port,) = engine.ports(made)
        before = _children(engine, made.id)
        until(lambda: _greeting(port.host_port) == b"hello", "the greeting")
        # After a second there is one more for a moment, who brings its records to the disk.
        until(lambda: _children(engine, made.id) == before + 1, "only now somebody serves it")
        engine.kill(made)
        engine.wait(made)
        until(lambda: _greeting(port.host_port) == b"", "the port is closed")
        assert engine.ports(made) == ()
    finally:
        engine.remove(made, force=True)


@claim
def a_plain_user_has_a_way_out_by_pasta_or_slirp(engine: Engine) -> None:
    if engine.host.rung != "rootless":
        return  # for root it is a bridge
    if not wiring.way_out():
        try:
            sh(engine, "true", network="bridge")
        except HostRefused as error:
            assert "slirp4netns" in error.hint
        return
    script = "cat /proc/net/route /etc/resolv.conf /etc/hosts"
    told = sh(engine, script, network="bridge", hostname="alone")
    assert "tap0\t00000000\t0202000A" in told
    assert "nameserver 10.0.2.3" in told
    assert "10.0.2.100\talone" in told
    with background(engine, network="bridge", publish=("80",)) as id:
        (facet,) = [one for one in engine.container(id).facets if one.name == "network"]
        assert os.path.basename(wiring.way_out()) in facet.reason
        init = engine.container(id).pid
        # While it comes up it has helpers for a moment, which look the same.
        until(lambda: len(_ways_out(init)) == 1, "one way out")
        running = _ways_out(init)
        now = state.read(engine.places.running(id), engine.places.container(id))
        assert now.monitor is not None
        os.kill(now.monitor.pid, signal.SIGKILL)
        until(lambda: engine.container(id).state == "exited", "the end")
        # What serves its port holds its lock for a moment more than its monitor, and then it is not swept.
        until(lambda: _ends(engine, running[0]), "its way out has ended too")
    try:
        sh(engine, "true", network="container:nobody")
    except SandcellError as error:
        assert error.hint


def _ways_out(init: int | None) -> list[str]:
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and _is_way_out(pid, init)]


def _ends(engine: Engine, pid: str) -> bool:
    engine.prune()
    return not os.path.exists(f"/proc/{pid}")


def _is_way_out(pid: str, init: int | None) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().decode(errors="replace").split("\0")
    except OSError:
        return False
    # It may be there in several forms for several processors: pasta.avx2.
    name = os.path.basename(words[0]).partition(".")[0]
    return name == os.path.basename(wiring.way_out()) and str(init) in words
