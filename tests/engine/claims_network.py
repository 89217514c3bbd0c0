"""The claims about networks that hold on every rung; for what only root may do see tests/network."""

import socket

from sandcell.runtime import Engine, Options
from sandcell.runtime.container import slirp
from sandcell.runtime.errors import HostRefused, SandcellError
from tests.engine.claims import claim, sh, until

_SERVER = "import socket\ns = socket.create_server(('', 80))\nwhile True: s.accept()[0].sendall(b'hello')"


def _greeting(port: int) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            return client.recv(5)
    except OSError:
        return b""


@claim
def a_published_port_leads_to_a_container_that_has_only_loopback(engine: Engine) -> None:
    made = engine.create("host", ("python3", "-c", _SERVER), Options(publish=("80",)))
    try:
        engine.start(made)
        (port,) = engine.ports(made)
        until(lambda: _greeting(port.host_port) == b"hello", "the greeting")
        engine.kill(made)
        engine.wait(made)
        until(lambda: _greeting(port.host_port) == b"", "the port is closed")
        assert engine.ports(made) == ()
    finally:
        engine.remove(made, force=True)


@claim
def a_plain_user_has_a_way_out_where_slirp_is_installed(engine: Engine) -> None:
    if engine.host.rung != "rootless":
        return  # for root it is a bridge
    if not slirp.find():
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
    try:
        sh(engine, "true", network="container:nobody")
    except SandcellError as error:
        assert error.hint
