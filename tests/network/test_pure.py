"""Addresses, names and ports as values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandcell.runtime.container.options import Options
from sandcell.runtime.container.ports import Publish, parse_publish
from sandcell.runtime.errors import HostRefused, InvalidOption, NameInUse, NotFound
from sandcell.runtime.network import addresses, names
from sandcell.runtime.network.networks import Networks

subnets = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 32)).map(
    lambda pair: (pair[0] >> (32 - pair[1]) << (32 - pair[1]), pair[1])
)


@given(st.lists(subnets, max_size=30))
def test_a_free_subnet_touches_nothing_that_is_taken(taken: list[addresses.Subnet]) -> None:
    try:
        found = addresses.free_subnet(taken)
    except HostRefused:
        return
    assert not any(addresses.overlap(found, other) for other in taken)
    assert addresses.parse(addresses.show(found)) == found


def test_when_all_is_taken_that_is_said() -> None:
    with pytest.raises(HostRefused, match="free network"):
        addresses.free_subnet([(0, 1), (1 << 31, 1)])


def test_addresses_go_round_and_are_never_given_twice() -> None:
    subnet = addresses.parse("10.5.0.0/29")
    taken = [addresses.number("10.5.0.1")]
    last = 0
    for _ in range(5):
        last = addresses.free_address(subnet, taken, last)
        taken.append(last)
    assert [addresses.dotted(address) for address in taken[1:]] == [f"10.5.0.{n}" for n in range(2, 7)]
    with pytest.raises(HostRefused, match="all 5"):
        addresses.free_address(subnet, taken, last)
    taken.remove(addresses.number("10.5.0.3"))
    assert addresses.free_address(subnet, taken, last) == addresses.number("10.5.0.3")


@pytest.mark.parametrize(
    "text", ["", "10.5.0.0", "10.5.0.1/24", "10.5.0.0/31", "10.5.0.0/4", "x/24", "::/64"]
)
def test_what_is_no_subnet_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption):
        addresses.parse(text)


def test_hosts_keeps_what_stands_above_our_mark() -> None:
    head = "127.0.0.1\tlocalhost\n1.2.3.4\tmine\n"
    one = names.hosts(head, "a", ["10.0.0.2\tweb"])
    assert names.hosts(one, "a", ["10.0.0.3\tdb"]) == f"{head}{names.MARK}a\n10.0.0.3\tdb\n"
    both = names.hosts(one, "ab", ["10.1.0.2\tcache"])
    assert names.hosts(both, "a", ()) == f"{head}{names.MARK}ab\n10.1.0.2\tcache\n"
    assert names.hosts(names.hosts(both, "ab", ()), "a", ()) == head


def test_a_resolver_on_the_hosts_loopback_is_not_handed_on() -> None:
    stub = "# stub\nnameserver 127.0.0.53\nsearch example.org\n"
    behind = "nameserver 192.0.2.1\n"
    files = {"/etc/resolv.conf": stub, "/run/systemd/resolve/resolv.conf": behind}
    assert names.resolver(lambda path: files.get(path, "")) == behind
    assert names.resolver({"/etc/resolv.conf": behind}.__getitem__) == behind
    alone = names.resolver(lambda path: stub if path == "/etc/resolv.conf" else "")
    assert alone == "# stub\nsearch example.org\n"
    mixed = "nameserver fe80::1%eth0\nnameserver ::1\nnameserver 2001:db8::53\nnameserver\n"
    assert names.resolver(lambda path: mixed if path == "/etc/resolv.conf" else "") == (
        "nameserver 2001:db8::53\nnameserver\n"
    )


@pytest.mark.parametrize(
    ("text", "six", "cause"),
    [
        ("nameserver 192.0.2.1\n", False, ""),
        ("nameserver 2001:db8::53\nnameserver 192.0.2.1\n", False, ""),
        ("nameserver 2001:db8::53\n", True, ""),
        ("nameserver 2001:db8::53\n", False, "the network has not"),
        ("search example.org\n", True, "no name server"),
        ("", False, "no name server"),
    ],
)
def test_who_would_ask_nobody_is_told(text: str, six: bool, cause: str) -> None:
    told = names.unanswered(text, six=six)
    assert cause in told if cause else told == ""


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("8080:80", Publish(80, 8080)),
        ("80", Publish(80, 0)),
        (":80", Publish(80, 0)),
        ("0.0.0.0:8080:80", Publish(80, 8080, "0.0.0.0")),
        ("127.0.0.1::80", Publish(80, 0)),
        ("53:53/udp", Publish(53, 53, protocol="udp")),
        ("[::1]:8080:80", Publish(80, 8080, "::1")),
        ("[::]:8080:80/tcp", Publish(80, 8080, "::")),
        ("8000-8010:80", Publish(80, 8000, last=8010)),
    ],
)
def test_published_ports_are_read_as_dockers(text: str, meant: Publish) -> None:
    assert parse_publish(text) == (meant,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "80:0",
        "0",
        "1:2:3",
        "70000:80",
        "80/sctp",
        "[::1:8080:80",
        "a:1:2",
        "1:2:3:4",
        "-1:80",
        "٣:80",
        "80-79:80-79",
        "80-82:80-81",
        "80-:80",
        "0-5:80-85",
        "80:80-90",
    ],
)
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption):
        parse_publish(text)


@given(st.text(max_size=30))
def test_any_text_is_a_port_or_one_error(text: str) -> None:
    try:
        assert all(0 < one.port < 65536 for one in parse_publish(text))
    except InvalidOption as error:
        assert error.hint


def test_ranges_are_many_ports() -> None:
    assert parse_publish("0.0.0.0:3000-3002:80-82/udp") == tuple(
        Publish(80 + step, 3000 + step, "0.0.0.0", "udp") for step in range(3)
    )
    assert parse_publish("80-81") == (Publish(80), Publish(81))


def test_ports_need_a_network_of_the_containers_own() -> None:
    for network in ("host", "container:other"):
        with pytest.raises(InvalidOption, match="publish"):
            Options(network=network, publish=("80",)).check()
    Options(network="bridge", publish=("80",)).check()


def test_networks_are_made_once_and_found_by_name(tmp_path_factory: pytest.TempPathFactory) -> None:
    networks = Networks(str(tmp_path_factory.mktemp("networks") / "below"))
    assert [network.name for network in networks.all()] == ["bridge"]
    networks.create("front", "10.5.0.0/24", {"a": "b"})
    with pytest.raises(NameInUse):
        networks.create("front")
    for name in ("bridge", "none", "host", "../x", ""):
        with pytest.raises(InvalidOption):
            networks.create(name)
    assert networks.find("front").subnet == "10.5.0.0/24"
    with pytest.raises(NotFound) as caught:
        networks.find("frnt")
    assert "front" in caught.value.hint
    networks.forget("front")
    assert [network.name for network in networks.all()] == ["bridge"]
