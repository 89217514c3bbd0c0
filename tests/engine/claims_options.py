"""What must hold on every rung of the flags of ``run``, seen from inside."""

import os
import time
from pathlib import Path

import msgspec
import pytest

from sandcell.runtime import Engine
from sandcell.runtime.container.compose import CAPABILITIES
from sandcell.runtime.container.options import Options
from sandcell.runtime.errors import HostRefused, InvalidDocument, InvalidOption, StartFailed, WrongState
from sandcell.runtime.linux.capabilities import mask
from sandcell.runtime.linux.cgroups import layout
from tests.engine.claims import IMAGE, background, claim, sh, until


def _status(engine: Engine, field: str, **options: object) -> int:
    lines = sh(engine, "cat /proc/self/status", **options).splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1], 16)


@claim
def capabilities_are_given_and_taken(engine: Engine) -> None:
    usual = mask(CAPABILITIES)
    held = _status(engine, "CapEff", cap_add=("NET_ADMIN",), cap_drop=("CHOWN", "MKNOD"))
    assert held == (usual | mask(("CAP_NET_ADMIN",))) & ~mask(("CAP_CHOWN", "CAP_MKNOD"))
    assert _status(engine, "CapBnd", cap_drop=("ALL",)) == 0
    assert _status(engine, "CapEff", cap_drop=("ALL",), cap_add=("kill",), user="7") == 0
    assert sh(engine, "chown 1 /file 2>/dev/null || echo no", cap_drop=("CHOWN",)) == "no\n"
    with background(engine, cap_drop=("ALL",)) as id:
        assert "CapEff:\t0000000000000000" in engine.exec(id, ("cat", "/proc/self/status")).text


@claim
def the_filter_of_system_calls_can_be_another(engine: Engine) -> None:
    assert _status(engine, "Seccomp") == 2
    assert _status(engine, "NoNewPrivs", security=("no-new-privileges=false",)) == 0
    assert _status(engine, "Seccomp", security=("no-new-privileges=false",)) == 2
    # With a single id there is still the filter that records owners.
    left = 2 if engine.nursery.idmap.single else 0
    assert _status(engine, "Seccomp", security=("seccomp=unconfined",)) == left
    own = Path(engine.places.home, f"profile-{os.getpid()}.json")
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}
    own.write_bytes(msgspec.json.encode({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    script = "mkdir /x 2>&1; true"
    assert "not supported" in sh(engine, script, security=(f"seccomp={own}",))
    with background(engine, security=(f"seccomp={own}",)) as id:
        own.unlink()  # it was read when the container was made
        assert "not supported" in engine.exec(id, ("sh", "-c", script)).text
    with pytest.raises(InvalidOption, match="No such file"):
        engine.create(IMAGE, ("true",), Options(security=(f"seccomp={own}",)))


@claim
def limits_of_processes_are_set(engine: Engine) -> None:
    assert sh(engine, "ulimit -n; ulimit -c", ulimits=("nofile=100:100", "core=0")) == "100\n0\n"
    assert sh(engine, "ulimit -f", ulimits=("fsize=-1",)) == "unlimited\n"
    with pytest.raises(HostRefused, match="not give more"):
        engine.create(IMAGE, ("true",), Options(ulimits=("nofile=9000000000",)))
    assert sh(engine, "cat /proc/self/oom_score_adj", oom_score_adj=500) == "500\n"
    assert sh(engine, "stat -f -c '%b %S' /dev/shm", shm_size=1 << 20) == "256 4096\n"


@claim
def limits_of_its_control_group_are_set(engine: Engine) -> None:
    asked = {"cpuset_cpus": "0", "cpu_shares": 512, "memory": 64 << 20, "memory_swap": 128 << 20}
    if "cpuset" not in layout().controllers or not engine.nursery.cgroups:
        for name, value in () if engine.nursery.cgroups else asked.items():
            with pytest.raises(HostRefused, match="--" + name.replace("_", "-")):
                engine.create(IMAGE, ("true",), Options(**{name: value}))  # type: ignore[arg-type]
        return
    lines = sh(engine, "cat /proc/self/status", cpuset_cpus="0").splitlines()
    assert next(line for line in lines if line.startswith("Cpus_allowed_list")).split()[1] == "0"
    assert sh(engine, "echo x", **asked) == "x\n"
    with pytest.raises((StartFailed, HostRefused, InvalidOption)):
        sh(engine, "true", cpuset_cpus="4000")


@claim
def names_and_addresses_are_told(engine: Engine) -> None:
    options = {"add_host": ("db:10.1.2.3",), "dns": ("192.0.2.53",), "dns_search": ("example.org",)}
    told = sh(engine, "cat /etc/hosts /etc/resolv.conf", hostname="me", **options)
    assert "10.1.2.3\tdb\n" in told
    assert told.endswith("nameserver 192.0.2.53\nsearch example.org\n")
    assert sh(engine, "cat /proc/sys/kernel/domainname", domainname="dom.example") == "dom.example\n"
    if engine.nursery.host.rung == "root":
        both = sh(engine, "cat /etc/hosts", network="bridge", hostname="me", add_host=("db:10.1.2.3",))
        assert both.index("10.1.2.3\tdb") < both.index("me\n")


@claim
def kernel_settings_of_its_namespaces_are_set_and_no_others(engine: Engine) -> None:
    look = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax"
    sysctls = {"net.ipv4.ip_unprivileged_port_start": "80", "kernel.msgmax": "4096"}
    assert sh(engine, look, sysctls=sysctls) == "80\n4096\n"
    for wrong in ({"vm.swappiness": "1"}, {"kernel.panic": "1"}, {"kernel.hostname": "x"}):
        if "kernel.hostname" in wrong:
            continue
        with pytest.raises(InvalidDocument, match="the host would change"):
            engine.create(IMAGE, ("true",), Options(sysctls=wrong))
    with pytest.raises(InvalidDocument, match="no net namespace"):
        engine.create(IMAGE, ("true",), Options(sysctls={"net.core.somaxconn": "9"}, network="host"))


@claim
def devices_of_the_host_are_shown_where_asked_for(engine: Engine) -> None:
    look = "stat -c '%F %t:%T' /dev/nothing; head -c 4 /dev/nothing | wc -c"
    assert sh(engine, look, devices=("/dev/zero:/dev/nothing",)) == "character special file 1:5\n4\n"
    for text, cause in (("/dev/there-is-none", "No such file"), ("/etc/passwd:/dev/x", "no device")):
        with pytest.raises(InvalidOption, match=cause):
            engine.create(IMAGE, ("true",), Options(devices=(text,)))


@claim
def groups_are_joined(engine: Engine) -> None:
    if engine.nursery.idmap.single:
        with pytest.raises(HostRefused, match="group-add"):
            engine.create(IMAGE, ("true",), Options(group_add=("7",)))
        return
    assert set(sh(engine, "id -G", user="5:5", group_add=("7", "8")).split()) == {"5", "7", "8"}
    with pytest.raises(InvalidOption, match="no group of that name"):
        engine.create(IMAGE, ("true",), Options(group_add=("nobody-has-it",)))


@claim
def a_volume_without_a_name_goes_with_its_container(engine: Engine) -> None:
    with background(engine, "echo x > /data/new; ls /data; sleep 1000", volumes=("/data",)) as id:
        assert engine.diff(id) == ()
        assert engine.exec(id, ("ls", "/data")).text in ("new\n", "")
    assert not os.path.exists(f"{engine.places.container(id)}/volumes")


def _spaces(engine: Engine, id: str) -> dict[str, str]:
    pid = engine.container(id).pid
    return {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("ipc", "pid", "uts", "net")}


@claim
def namespaces_can_be_shared_where_the_host_allows_it(engine: Engine) -> None:
    if engine.nursery.host.rung != "root":
        for options in (Options(ipc="container:x"), Options(pid="host"), Options(pid="container:x")):
            with pytest.raises(HostRefused, match="namespace of its own"):
                engine.create(IMAGE, ("true",), options)
    with background(engine, ipc="host", uts="host") as id:
        here = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("ipc", "uts", "pid", "net")}
        assert {k for k, v in _spaces(engine, id).items() if here[k] == v} == {"ipc", "uts"}
        assert engine.exec(id, ("readlink", "/proc/self/ns/ipc")).text.strip() == here["ipc"]


@claim
def another_containers_processes_can_be_seen_and_the_hosts(engine: Engine) -> None:
    if engine.nursery.host.rung != "root" or not engine.nursery.cgroups:
        return
    with (
        background(engine, "exec sleep 1003", name="seen") as other,
        background(engine, "sleep 1004 & exec sleep 1005", pid="container:seen", ipc="container:seen") as id,
    ):
        engine.rename(other, "called-otherwise")
        mine, theirs = _spaces(engine, id), _spaces(engine, other)
        assert {k for k in mine if mine[k] == theirs[k]} == {"ipc", "pid"}
        listed = ("sh", "-c", "cat /proc/[0-9]*/cmdline")
        until(lambda: "sleep\x001003" in engine.exec(id, listed).text, "the other's process")
        engine.restart(id, 0)
        engine.kill(id)
        engine.wait(id)
        assert engine.container(other).state == "running"
        engine.stop(other, 0)
        with pytest.raises(WrongState, match="does not run"):
            engine.start(id)
    with background(engine, "sleep 1004 & exec sleep 1005", pid="host") as id:
        assert engine.exec(id, ("readlink", "/proc/self/ns/pid")).text.strip() == os.readlink(
            "/proc/self/ns/pid"
        )
        left = [one.pid for one in engine.top(id)]
        assert len(left) >= 1
        engine.kill(id)
        assert engine.wait(id, 20) == 137
    assert not [pid for pid in left if _runs(pid)]


def _runs(pid: int) -> bool:
    try:
        return b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@claim
def its_own_stop_timeout_counts(engine: Engine) -> None:
    with background(engine, "while :; do sleep 0.05; done", stop_timeout=0) as id:
        begun = time.monotonic()
        engine.stop(id)
        assert time.monotonic() - begun < 8
        assert engine.container(id).exit_status == 137
    script = "trap 'exit 3' USR1; echo ready; while :; do sleep 0.05; done"
    with background(engine, script, stop_timeout=-1) as id:
        until(lambda: any(engine.logs(id)), "the trap")
        engine.stop(id, signal="USR1")
        assert engine.container(id).exit_status == 3
