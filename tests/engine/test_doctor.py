"""The doctor's text is for people: it names every facet, every refusal and every way out."""

import json
import re
from pathlib import Path

import pytest

from sandcell.runtime.engine.doctor import LAYERS, RUNGS, facets, report
from sandcell.runtime.engine.ladder import ladder
from sandcell.runtime.engine.remedies import AUDIENCES, LAYERS_WITH_REMEDIES, remedies
from sandcell.runtime.linux import host_blame
from sandcell.runtime.linux.host import Check, Facet, Host, Rung
from tests.engine.test_low_rungs import WITHOUT_SYS_ADMIN, as_root, needs_root
from tests.linux.test_host import NO_MOUNT, NO_USER_NAMESPACE
from tests.plain_user import PlainUser

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
        "The ladder\n"
        "   x root      you are not root\n"
        "  -> rootless  you are here\n"
        "     nomount\n"
        "     chroot\n"
        "     none\n"
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
        "                your own laptop: in a container: docker run --security-opt systempaths=unconfined\n"
        "                JupyterHub's administrator: c.KubeSpawner.container_security_context = "
        '{"procMount":\n'
        '                "Unmasked"}\n'
        "                Kubernetes: securityContext: {procMount: Unmasked}, with hostUsers: false\n"
        "                Binder: nothing; Binder sets this for everybody. The lessons know this rung and go\n"
        "                on\n"
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


def test_every_layer_has_a_remedy_for_every_audience() -> None:
    assert set(LAYERS_WITH_REMEDIES) == set(LAYERS)
    for layer in LAYERS:
        found = remedies(layer)
        assert [remedy.audience for remedy in found] == list(AUDIENCES)
        assert all(len(remedy.help) > 20 for remedy in found)
    assert remedies("unknown") == ()


def test_where_no_container_runs_its_sides_are_not_told_one_by_one() -> None:
    why = "no container runs on this host"
    sides = tuple(Facet(name, "shared", why) for name in ("files", "processes", "users"))
    text = report(Host("none", sides, "6.1", "x86_64", ()))
    assert text.count(why) == 1
    assert "  everything    the host's own\n" in text


REFUSED = Check("user namespace", False, 1, "seccomp", "unshare is refused", "another profile")
NO_ROOT = Check("mount as root", False, 1, "capabilities", "no CAP_SYS_ADMIN", "keep it")


@pytest.mark.parametrize(
    ("rung", "checks", "whys"),
    [
        ("root", (), []),
        ("rootless", (NO_ROOT,), ["capabilities refuses: mount as root"]),
        ("nomount", (Check("mount", False, 1, "AppArmor"),), ["you are not root", "AppArmor refuses: mount"]),
        (
            "chroot",
            (NO_ROOT, REFUSED),
            ["capabilities refuses: mount as root", *["seccomp refuses: user namespace"] * 2],
        ),
        (
            "none",
            (REFUSED,),
            ["you are not root", *["seccomp refuses: user namespace"] * 2, "you are not root"],
        ),
        ("none", (Check("mount as root", True),), ["rung none was asked for"] * 4),
    ],
)
def test_the_ladder_says_what_keeps_us_from_each_rung(
    rung: Rung, checks: tuple[Check, ...], whys: list[str]
) -> None:
    steps = ladder(Host(rung, (), "6.1", "x86_64", checks))
    assert [step.rung for step in steps] == list(RUNGS)
    assert [step.why for step in steps if step.place == "above"] == whys
    assert [step.rung for step in steps if step.place == "here"] == [rung]


_DOCTOR = """
import os, sys
os.environ.update(SANDCELL_HOME=sys.argv[1] + "/home", SANDCELL_RUN=sys.argv[1] + "/run")
from sandcell.runtime.cli import main
sys.exit(main(["doctor", "--format", "json"]))
"""


def told(said: str) -> tuple[list[tuple[str, str]], dict[str, dict[str, str]]]:
    """The ladder, and the remedies of who refused, as ``sandcell doctor --format json`` tells them."""
    lines = [json.loads(line) for line in said.splitlines()]
    steps = [(line["Place"], line["Why"]) for line in lines if "Step" in line]
    return steps, {line["RefusedBy"]: line["Remedies"] for line in lines if "RefusedBy" in line}


@pytest.mark.kernel
@pytest.mark.rootless
@pytest.mark.slow
@pytest.mark.parametrize(
    ("filter", "steps"),
    [
        (NO_MOUNT, [("above", "you are not root"), ("above", "seccomp refuses: mount"), ("here", "")]),
        (
            NO_USER_NAMESPACE,
            [("above", "you are not root"), *[("above", "seccomp refuses: user namespace")] * 2],
        ),
    ],
    ids=["mount", "namespaces"],
)
def test_a_filter_that_is_really_on_is_blamed(
    plain_user: PlainUser, filter: str, steps: list[tuple[str, str]]
) -> None:
    place = str(plain_user.directory(f"doctor-{len(filter)}"))
    found, helps = told(plain_user.run(filter + _DOCTOR, place, no_new_privs=True))
    assert found[: len(steps)] == steps
    assert set(helps["seccomp"]) == set(AUDIENCES)
    assert "seccomp" in helps["seccomp"]["kubernetes"]


@pytest.mark.kernel
@pytest.mark.slow
@needs_root
def test_missing_capabilities_are_blamed(tmp_path: Path) -> None:
    found, helps = told(as_root(tmp_path, f"import sys\n{NO_USER_NAMESPACE}{_DOCTOR}", *WITHOUT_SYS_ADMIN))
    assert found[0] == ("above", "capabilities refuses: mount as root")
    assert found[3] == ("here", "")
    assert {"capabilities", "seccomp"} <= set(helps)


def test_this_machine_has_a_report(host: Host) -> None:
    text = report(host)
    assert all(facet.name in text for facet in facets(host))
    assert all(check.fix.split()[0] in text for check in host.refused if check.fix)
