"""The doctor's text is for people: it names every facet, every refusal and every way out."""

import re
from pathlib import Path

import pytest

from sandcell.runtime.engine.doctor import LAYERS, RUNGS, report
from sandcell.runtime.linux import host_blame
from sandcell.runtime.linux.host import Check, Facet, Host, Rung

_SOURCE = Path(host_blame.__file__).read_text()
LONG = "the kernel gives a fresh /proc only where the old one is whole, and here parts of it are hidden"
HOST = Host(
    "rootless",
    (
        Facet("files", "real"),
        Facet("users", "emulated", "one user only", "as root: apt-get install uidmap"),
    ),
    "6.1.0-18-amd64",
    "x86_64",
    (Check("mount", True), Check("proc", False, 1, "masked /proc", LONG, "start it unmasked")),
)


def test_the_whole_text() -> None:
    assert report(HOST) == (
        "rung rootless: containers run without root, in a user namespace\n"
        "Linux 6.1.0-18-amd64, x86_64\n"
        "\n"
        "A container's own …\n"
        "  files         real\n"
        "  users         something like it\n"
        "                one user only\n"
        "                to get it: as root: apt-get install uidmap\n"
        "\n"
        "Refused here\n"
        "  proc, by masked /proc\n"
        f"                {LONG[:84]}\n"
        "                are hidden\n"
        "                what to do: start it unmasked\n"
        "\n"
        "Who refused\n"
        "  masked /proc\n"
        "                parts of /proc were covered when this session was started\n"
    )


@pytest.mark.parametrize("rung", list(RUNGS))
def test_every_rung_is_explained(rung: Rung) -> None:
    text = report(Host(rung, (), "6.1", "x86_64", ()))
    assert text.startswith(f"rung {rung}: ")
    assert text.endswith("Nothing was refused.\n")


def test_every_layer_that_may_be_blamed_is_explained() -> None:
    known = set(re.findall(r'(?:Blame|Check)\(\s*(?:name, False, [^,]+, )?"([^"]+)"', _SOURCE))
    assert {"seccomp", "sysctl", "capabilities"} <= known
    assert known - {"cgroups", "probe"} <= set(LAYERS) | {"kernel"}


def test_this_machine_has_a_report(host: Host) -> None:
    text = report(host)
    assert all(facet.name in text for facet in host.facets)
    assert all(check.fix.split()[0] in text for check in host.refused if check.fix)
