"""Words after flags: what they mean, and the one error for those that mean nothing."""

from typing import Any

import msgspec
import pytest

from sandcell.runtime.container import rights
from sandcell.runtime.container.compose import CAPABILITIES
from sandcell.runtime.container.flag_words import (
    Device,
    parse_device,
    parse_host,
    parse_mount,
    parse_ulimit,
    resolver,
)
from sandcell.runtime.container.options import Options
from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.oci.spec import Rlimit

_MOST = 2**64 - 1


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("nofile=1024", Rlimit("RLIMIT_NOFILE", hard=1024, soft=1024)),
        ("nofile=1024:2048", Rlimit("RLIMIT_NOFILE", hard=2048, soft=1024)),
        ("core=0:-1", Rlimit("RLIMIT_CORE", hard=_MOST, soft=0)),
        ("nproc=-1", Rlimit("RLIMIT_NPROC", hard=_MOST, soft=_MOST)),
    ],
)
def test_ulimits(text: str, limit: Rlimit) -> None:
    assert parse_ulimit(text) == limit


@pytest.mark.parametrize(
    "text", ["nofile", "nofile=", "nofile=a", "nofile=2:1", "files=1", "nofile=1:2:3", "="]
)
def test_no_ulimits(text: str) -> None:
    with pytest.raises(InvalidOption):
        parse_ulimit(text)


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("/dev/fuse", Device("/dev/fuse", "/dev/fuse")),
        ("/dev/fuse:/dev/other", Device("/dev/fuse", "/dev/other")),
        ("/dev/fuse:r", Device("/dev/fuse", "/dev/fuse", "r")),
        ("/dev/fuse:/dev/other:rw", Device("/dev/fuse", "/dev/other", "rw")),
    ],
)
def test_devices(text: str, device: Device) -> None:
    assert parse_device(text) == device


@pytest.mark.parametrize("text", ["fuse", "/dev/fuse:/etc/x", "/dev/fuse:/dev/../etc", "/dev/a:/dev/b:x", ""])
def test_no_devices(text: str) -> None:
    with pytest.raises(InvalidOption):
        parse_device(text)


def test_hosts_and_resolvers() -> None:
    assert parse_host("db:10.0.0.1") == "10.0.0.1\tdb"
    assert parse_host("db=::1") == parse_host("db:[::1]") == "::1\tdb"
    for text in ("db", "db:x", ":1.2.3.4", "a b:1.2.3.4", "db:1.2.3.4\n6.6.6.6 x"):
        with pytest.raises(InvalidOption):
            parse_host(text)
    before = "nameserver 192.0.2.1\nsearch old\n"
    assert resolver(("192.0.2.9",), ("a", "b"), ("ndots:2",), before) == (
        "nameserver 192.0.2.9\nsearch a b\noptions ndots:2\n"
    )
    assert resolver((), (".",), (), before) == "nameserver 192.0.2.1\n"
    with pytest.raises(InvalidOption):
        resolver(("name",), (), (), "")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("type=bind,source=/a,target=/b", ("volume", "/a:/b")),
        ("type=bind,src=/a,dst=/b,readonly", ("volume", "/a:/b:ro")),
        ("type=bind,src=/a,dst=/b,ro=false", ("volume", "/a:/b")),
        ("type=volume,source=v,target=/b,volume-nocopy", ("volume", "v:/b:nocopy")),
        ("source=v,destination=/b", ("volume", "v:/b")),
        ("type=volume,target=/b", ("volume", "/b")),
        ("type=tmpfs,target=/t", ("tmpfs", "/t")),
        ("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700", ("tmpfs", "/t:size=1m,mode=700")),
    ],
)
def test_mounts(text: str, meaning: tuple[str, str]) -> None:
    assert parse_mount(text) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "type=bind,source=/a",
        "type=bind,source=a,target=/b",
        "type=volume,source=/a,target=/b",
        "type=tmpfs,source=/a,target=/b",
        "type=npipe,source=/a,target=/b",
        "type=bind,source=/a:x,target=/b",
        "type=volume,target=/b,readonly",
        "targt=/b",
        "type=bind,source=/a,target=/b,bind-propagation=rshared",
        "type=bind,source=/a,target=/b,bind-recursive=disabled",
        "type=bind,source=/a,target=/b,consistency=nonsense",
    ],
)
def test_no_mounts(text: str) -> None:
    with pytest.raises(InvalidOption):
        parse_mount(text)


def test_capabilities_are_added_and_taken() -> None:
    assert rights.bounding(CAPABILITIES, (), ()) == CAPABILITIES
    assert set(rights.bounding(CAPABILITIES, ("net_admin",), ("CAP_CHOWN",))) == {
        *CAPABILITIES,
        "CAP_NET_ADMIN",
    } - {"CAP_CHOWN"}
    assert rights.bounding(CAPABILITIES, ("SYS_TIME",), ("all",)) == ("CAP_SYS_TIME",)
    every = set(rights.bounding(CAPABILITIES, ("ALL",), ("SYS_ADMIN",)))
    assert "CAP_SYS_ADMIN" not in every
    assert every > set(CAPABILITIES)
    with pytest.raises(InvalidOption):
        rights.bounding((), ("NO_SUCH",), ())


def test_security_words() -> None:
    assert rights.parse_security(()) == rights.Security()
    assert (
        rights.parse_security(("no-new-privileges:false", "apparmor=unconfined")).no_new_privileges is False
    )
    assert rights.parse_security(("seccomp=/a=b",)).seccomp == "/a=b"
    for word in ("apparmor=x", "seccomp=", "no-new-privileges=maybe", "x"):
        with pytest.raises(InvalidOption):
            rights.parse_security((word,))


def test_a_profile_in_dockers_form_is_made_for_this_machine() -> None:
    text: dict[str, Any] = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": None},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.1"}},
            {"names": ["modify_ldt"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
            {"names": ["sync_file_range2"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        ],
    }
    data = msgspec.json.encode(text)
    made = rights.read_profile(data, "p", "x86_64", ("CAP_SYS_ADMIN",), (6, 1))
    assert [rule.names[0] for rule in made.syscalls] == ["read", "mount", "ptrace", "modify_ldt"]
    assert made.architectures == ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")
    made = rights.read_profile(data, "p", "aarch64", (), (4, 4))
    assert [rule.names[0] for rule in made.syscalls] == ["read", "sync_file_range2", "clone"]
    for bad in (b"", b"[]", b"{}", b'{"defaultAction": 1}', b'{"defaultAction": "x", "syscalls": [1]}'):
        with pytest.raises(InvalidOption, match="not a profile"):
            rights.read_profile(bad, "p", "x86_64", (), (6, 1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"ipc": "shared"},
        {"uts": "container:x"},
        {"pid": "container:"},
        {"oom_score_adj": 1001},
        {"shm_size": 0},
        {"sysctls": {"../x": "1"}},
        {"uts": "host", "hostname": "h"},
        {"stop_timeout": -2},
        {"annotations": {"a": "\0"}},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        Options(**wrong).check()
