"""Every claim on every rung that this machine has: root here, rootless as a plain user with one id
and, where newuidmap allows, with ranges."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell.runtime import Engine
from tests.engine import claims
from tests.plain_user import PlainUser

claims.gather()
NAMES = [function.__name__ for function in claims.CLAIMS]

_DRIVER = """
import sys, traceback
from sandcell.runtime import Engine
from tests.engine import claims
claims.gather()
with Engine(sys.argv[1], sys.argv[2]) as engine:
    claims.prepare(engine)
    assert engine.host.rung == "rootless", engine.host.rung
    for claim in claims.CLAIMS:
        try:
            claim(engine)
            print("ok", claim.__name__, flush=True)
        except Exception:
            print("failed", claim.__name__, traceback.format_exc().replace("\\n", "\\x1f"), flush=True)
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    base: Path = tmp_path_factory.mktemp("root")
    with Engine(base / "home", base / "run") as engine:
        claims.prepare(engine)
        yield engine


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_root(engine: Engine, name: str) -> None:
    if engine.host.rung != "root":
        pytest.skip(f"this user has the rung {engine.host.rung}")
    claim = next(function for function in claims.CLAIMS if function.__name__ == name)
    claim(engine)


def _rootless(plain_user: PlainUser, name: str, *, ranges: bool) -> dict[str, str]:
    base = plain_user.directory(name)
    printed = plain_user.run(_DRIVER, f"{base}/home", f"{base}/run", ranges=ranges, timeout=110)
    verdicts = {}
    for line in printed.splitlines():
        word, _, rest = line.partition(" ")
        which, _, why = rest.partition(" ")
        verdicts[which] = "" if word == "ok" else why.replace("\x1f", "\n")
    return verdicts


@pytest.fixture(scope="module")
def single(plain_user: PlainUser) -> dict[str, str]:
    return _rootless(plain_user, "claims-single", ranges=False)


@pytest.fixture(scope="module")
def ranges(plain_user: PlainUser) -> dict[str, str]:
    return _rootless(plain_user, "claims-ranges", ranges=True)


@pytest.mark.rootless
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_rootless_with_one_id(single: dict[str, str], name: str) -> None:
    assert single[name] == "", single[name]


@pytest.mark.rootless
@pytest.mark.slow
@pytest.mark.peer("newuidmap")
@pytest.mark.parametrize("name", NAMES)
def test_rootless_with_id_ranges(ranges: dict[str, str], name: str) -> None:
    assert ranges[name] == "", ranges[name]
