"""The claims about a first process without an interpreter: nobody inside can tell which one there was."""

import errno
import re

import pytest

from sandcell.runtime import Engine, Options
from sandcell.runtime.container import sealed
from sandcell.runtime.container.options import ExecOptions
from sandcell.runtime.errors import StartFailed
from tests.engine.claims import IMAGE, background, claim, sh

_LOOK = """
cat /proc/self/mountinfo /proc/self/limits /proc/self/status /proc/self/uid_map
pwd; umask; ls -l /dev /proc/self/fd /run; ls -ld /proc/acpi /proc/bus /sys/firmware
for file in /proc/kcore /proc/keys /proc/timer_list /proc/sys/net/ipv4/ip_forward; do wc -c < $file; done
read a b c d session rest < /proc/self/stat; echo $session
echo "$COLOUR $HOME"; : > /dev/stdout && echo writes to it
"""
_TOLD = ("Umask", "Uid", "Gid", "Groups", "NS", "Sig", "Shd", "Cap", "NoNew", "Seccomp", "Cpus")
# Below this limit a first process always has an interpreter: see ``sealed``.
_LITTLE, _ENOUGH = sealed._LITTLE - (1 << 20), sealed._LITTLE


def _seen(engine: Engine, memory: int, **options: object) -> list[str]:
    lines = []
    for line in sh(engine, _LOOK, memory=memory, **options).splitlines():
        line = re.sub(r"[0-9a-f]{12,64}|pipe:\[\d+\]", "*", line)
        words = line.split()
        if re.match(r"\d+ \d+ \d+:\d+ ", line):  # a mount: neither its ids nor its peer groups
            line = " ".join(re.sub(r"\d+", "", word) if word[0] in "sm" else word for word in words[3:])
        elif re.match(r"[-a-z]{10} ", line):  # a file: not its time
            line = " ".join(words[:4] + (words[-3:] if "->" in words else words[-1:]))
        elif re.match(r"[A-Za-z_]+:\t", line) and not line.startswith(_TOLD):
            continue
        lines.append(line)
    return lines


@claim
def it_is_the_same_with_and_without_an_interpreter(engine: Engine) -> None:
    if not engine.nursery.cgroups:
        return
    for options in (
        {},
        {"user": "1000:1000", "read_only": True, "cap_add": ("NET_ADMIN",), "group_add": ("50",)}
        if engine.host.rung == "root"
        else {"read_only": True},
        {
            "sysctls": {"net.ipv4.ip_forward": "1"},
            "ulimits": ("nofile=100:200",),
            "tmpfs": ("/x/y",),
            "hostname": "here",
            "domainname": "there",
            "workdir": "/new/one",
            "security": ("seccomp=unconfined", "no-new-privileges=false"),
        },
    ):
        few, enough = (_seen(engine, memory, **options) for memory in (_LITTLE, _ENOUGH))
        assert few == enough


@claim
def what_fails_is_told_in_the_same_words(engine: Engine) -> None:
    if not engine.nursery.cgroups:
        return
    for command, options in (
        (("nonesuch",), {}),
        (("/data",), {}),
        (("true",), {"workdir": "/file"}),
        (("true",), {"tmpfs": ("/file/below",)}),
    ):
        told = []
        for memory in (_LITTLE, _ENOUGH):
            with pytest.raises(StartFailed) as refused:
                engine.run(IMAGE, command, Options(remove=True, name="refused", memory=memory, **options))  # type: ignore[arg-type]
            told.append((str(refused.value), refused.value.hint, refused.value.status))
        assert told[0] == told[1]
    with background(engine) as id:
        with pytest.raises(StartFailed) as refused:
            engine.exec(id, ("/data",))
        assert "ermission" in str(refused.value), errno.EACCES
        assert engine.exec(id, ("sh", "-c", "exit 3"), ExecOptions(workdir="/")).status == 3
