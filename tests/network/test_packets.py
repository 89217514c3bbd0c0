"""The checks with real packets, in a network namespace that the test makes for itself: links, rules
and settings of this machine are never touched."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandcell.runtime import Engine
from tests.network import checks, checks_firewall, checks_naming, checks_six  # noqa: F401

CHECKOUT = Path(__file__).resolve().parents[2]
CHECKS = checks.CHECKS
NAMES = [function.__name__ for function in CHECKS]

_DRIVER = """
import sys, traceback
from sandcell.runtime import Engine
from sandcell.runtime.linux.namespaces import loopback_up
from tests.engine import claims
from tests.network.test_packets import CHECKS
loopback_up()
with Engine(sys.argv[1], sys.argv[2]) as engine:
    claims.prepare(engine)
    for check in CHECKS:
        try:
            check(engine)
            print("ok", check.__name__, flush=True)
        except Exception:
            print("failed", check.__name__, traceback.format_exc().replace("\\n", "\\x1f"), flush=True)
"""


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    base = tmp_path_factory.mktemp("network")
    with Engine(base / "home", base / "run") as engine:
        if engine.host.rung != "root":
            pytest.skip(f"this user has the rung {engine.host.rung}")
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare here to make a network namespace with")
    argv = ["unshare", "-n", sys.executable, "-c", _DRIVER, str(base / "home"), str(base / "run")]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=300)
    found = {}
    for line in done.stdout.splitlines():
        word, _, rest = line.partition(" ")
        which, _, why = rest.partition(" ")
        found[which] = "" if word == "ok" else why.replace("\x1f", "\n")
    found["stderr"] = done.stderr
    return found


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.timeout(330)
@pytest.mark.parametrize("name", NAMES)
def test_packets(verdicts: dict[str, str], name: str) -> None:
    assert verdicts.get(name, verdicts["stderr"]) == ""
