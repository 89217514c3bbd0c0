"""What systemd is told of a bundle: names of scopes and slices, and limits as properties."""

import pytest

from sandcell.runtime.container.bundle_systemd import bits, properties, scope
from sandcell.runtime.errors import InvalidDocument
from sandcell.runtime.oci.spec_linux import BlockIo, Cpu, DeviceRule, Memory, Pids, Resources

_INFINITY = 2**64 - 1


@pytest.mark.parametrize(
    ("path", "user", "name", "above"),
    [
        ("", False, "sandcell-oci-box.scope", "system.slice"),
        ("", True, "sandcell-oci-box.scope", "user.slice"),
        (":app:box", False, "app-box.scope", "system.slice"),
        (":app:box", True, "app-box.scope", "user.slice"),
        ("machine.slice:libpod:abc", False, "libpod-abc.scope", "machine.slice"),
        ("a-b-c.slice::box", False, "box.scope", "a-b-c.slice"),
        ("-.slice:app:a+b é", False, "app-a\\x2bb\\x20\\xc3\\xa9.scope", "-.slice"),
    ],
)
def test_a_cgroups_path_names_a_scope_in_a_slice(path: str, user: bool, name: str, above: str) -> None:
    found = scope(path, "box", user=user)
    assert (found.name, found.above) == (name, above)
    told = found.properties("words")
    assert told["Slice"] == ("s", above)
    assert told["Delegate"] == ("b", True)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/sys/box", "SLICE:PREFIX:NAME"),
        ("a:b", "SLICE:PREFIX:NAME"),
        ("a.slice:b:c:d", "SLICE:PREFIX:NAME"),
        ("a.slice:b:", "SLICE:PREFIX:NAME"),
        ("a:b:c", "no name of a slice"),
        ("a--b.slice:b:c", "no name of a slice"),
        ("-a.slice:b:c", "no name of a slice"),
        (".slice:b:c", "no name of a slice"),
        ("a/b.slice:b:c", "no name of a slice"),
        ("a.slice:b:pods.slice", "no slice"),
        ("a.slice:b:" + "c" * 300, "too long"),
    ],
)
def test_other_paths_are_refused(path: str, word: str) -> None:
    with pytest.raises(InvalidDocument, match=word):
        scope(path, "box", user=False)


def test_limits_become_properties_of_version_2() -> None:
    resources = Resources(
        memory=Memory(limit=100, swap=150, reservation=50),
        cpu=Cpu(shares=1024, quota=33_333, period=100_000, cpus="0-2,9", mems="0"),
        pids=Pids(5),
        block_io=BlockIo(weight=10),
        unified={"memory.high": "80", "memory.min": "max", "io.weight": "default 7", "misc.max": "x 1"},
    )
    assert properties(resources, unified=True) == {
        "MemoryMax": ("t", 100),
        "MemorySwapMax": ("t", 50),
        "MemoryLow": ("t", 50),
        "MemoryHigh": ("t", 80),
        "MemoryMin": ("t", _INFINITY),
        "CPUWeight": ("t", 100),
        "CPUQuotaPeriodUSec": ("t", 100_000),
        "CPUQuotaPerSecUSec": ("t", 340_000),  # what systemd keeps, in hundredths of a processor
        "AllowedCPUs": ("ay", b"\x07\x02"),
        "AllowedMemoryNodes": ("ay", b"\x01"),
        "TasksMax": ("t", 5),
        "IOWeight": ("t", 1),
    }


def test_minus_one_takes_a_limit_away() -> None:
    resources = Resources(memory=Memory(limit=-1, swap=-1, reservation=-1), cpu=Cpu(quota=-1), pids=Pids(-1))
    names = ("MemoryMax", "MemorySwapMax", "MemoryLow", "CPUQuotaPerSecUSec", "TasksMax")
    assert properties(resources, unified=True) == dict.fromkeys(names, ("t", _INFINITY))
    assert properties(Resources(memory=Memory(limit=9, swap=9)), unified=True)["MemorySwapMax"] == ("t", 0)
    assert properties(Resources(), unified=True) == {}
    alone = properties(Resources(memory=Memory(limit=-1)), unified=True)
    assert alone == dict.fromkeys(("MemoryMax", "MemorySwapMax"), ("t", _INFINITY))


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("cpu.max", "20000 50000", {"CPUQuotaPeriodUSec": 50_000, "CPUQuotaPerSecUSec": 400_000}),
        ("cpu.max", "max", {"CPUQuotaPerSecUSec": _INFINITY}),
        ("cpu.max", "nonsense", {}),
        ("cpu.weight", "7", {"CPUWeight": 7}),
        ("pids.max", "max", {"TasksMax": _INFINITY}),
        ("cpuset.cpus", "1", {"AllowedCPUs": b"\x02"}),
        ("memory.oom.group", "1", {}),
    ],
)
def test_files_of_version_2_that_systemd_writes_too(name: str, text: str, told: dict[str, object]) -> None:
    found = properties(Resources(unified={name: text}), unified=True)
    assert {name: value for name, (_, value) in found.items()} == told


def test_limits_become_properties_of_version_1() -> None:
    deny = DeviceRule(allow=False, access="rwm")
    one = DeviceRule(allow=True, type="c", major=10, minor=229, access="rw")
    resources = Resources(
        memory=Memory(limit=100), cpu=Cpu(shares=7), block_io=BlockIo(weight=300), devices=(deny, one)
    )
    found = properties(resources, unified=False)
    assert (found["MemoryLimit"], found["CPUShares"]) == (("t", 100), ("t", 7))
    assert found["BlockIOWeight"] == ("t", 300)
    assert found["DevicePolicy"] == ("s", "strict")
    allowed = found["DeviceAllow"][1]
    assert isinstance(allowed, list)
    assert ("/dev/char/10:229", "rw") in allowed
    assert ("char-pts", "rwm") in allowed
    # What cannot be said in systemd's words is said in the group's files only.
    several = DeviceRule(allow=True, type="c", major=10)
    for rules in ((one,), (deny, several), (deny, one, DeviceRule(allow=False, type="c", major=1))):
        assert "DevicePolicy" not in properties(Resources(devices=rules), unified=False)


def test_lists_of_processors_as_bits() -> None:
    assert bits("0,8") == b"\x01\x01"
    assert int.from_bytes(bits("3-5"), "little") == 0b111000
    for wrong in ("", "a", "5-3", "1-", "99999999"):
        with pytest.raises(InvalidDocument, match="no list of numbers"):
            bits(wrong)
