"""Containers on hosts that refuse mounts, namespaces or overlays: the restrictions are really put on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.claims_low import LOW
from tests.linux.test_host import NO_MOUNT, NO_USER_NAMESPACE
from tests.plain_user import CHECKOUT, PlainUser

NAMES = [claim.__name__ for claim in LOW]
_DRIVER = """
import sys
from sandcell.runtime import Engine
from tests.engine import claims_low
with Engine(sys.argv[1] + "/home", sys.argv[1] + "/run") as engine:
    assert engine.host.rung == RUNG, engine.host
    claims_low.verdicts(engine)
"""
WITHOUT_SYS_ADMIN = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes rights from root")
pytestmark = [pytest.mark.kernel, pytest.mark.slow]


def verdicts(said: str) -> dict[str, str]:
    """Claim → why it does not hold, empty where it does."""
    found = {}
    for line in said.splitlines():
        word, _, rest = line.partition(" ")
        name, _, why = rest.partition(" ")
        found[name] = "" if word == "ok" else why.replace("\x1f", "\n")
    return found


def as_root(place: Path, code: str, *wrapper: str, timeout: float = 110, **env: str) -> str:
    """What Python ``code`` prints, begun through ``wrapper``."""
    argv = [*wrapper, sys.executable, "-c", code, str(place)]
    done = subprocess.run(
        argv, cwd=CHECKOUT, env={**os.environ, **env}, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def nomount(plain_user: PlainUser) -> dict[str, str]:
    """A plain user with no_new_privs, behind a filter that refuses mount(2): a hosted notebook."""
    code = f"{NO_MOUNT}RUNG = 'nomount'\n{_DRIVER}"
    return verdicts(plain_user.run(code, str(plain_user.directory("low")), no_new_privs=True, timeout=110))


@pytest.fixture(scope="module")
def chroot(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Root without CAP_SYS_ADMIN, behind a filter that refuses user namespaces: a usual container."""
    code = f"import sys\n{NO_USER_NAMESPACE}RUNG = 'chroot'\n{_DRIVER}"
    return verdicts(as_root(tmp_path_factory.mktemp("chroot"), code, *WITHOUT_SYS_ADMIN))


@pytest.mark.rootless
@pytest.mark.parametrize("name", NAMES)
def test_nomount(nomount: dict[str, str], name: str) -> None:
    assert nomount[name] == ""


@needs_root
@pytest.mark.parametrize("name", NAMES)
def test_chroot(chroot: dict[str, str], name: str) -> None:
    assert chroot[name] == ""


_SHORT = """
import sys
from sandcell.runtime import Engine, Options
from sandcell.runtime.container.options import ExecOptions
engine = Engine(sys.argv[1] + "/home", sys.argv[1] + "/run")
def run(*script, **options):
    result = engine.run("low", ("sh", "-c", *script), Options(**options))
    assert result.status == 0, result
    return result
"""


@needs_root
def test_a_store_on_an_overlay_has_copies_with_all_namespaces(tmp_path: Path) -> None:
    script = """
        (cd "$1" && mkdir l u w m && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w x m)
        cd "$2"
        shift 2
        exec "$@"
    """
    code = f"""{_SHORT}
assert (engine.host.rung, engine.host.copying) == ("root", True)
engine.build("FROM host:tiny\\nRUN echo built > /built && rm /welcome", name="low")
script = "echo $$; test -d /proc/1 && cat /built; echo x > /new; rm /built; test -e /welcome || echo gone"
result = run(script, memory=64 << 20)
assert result.text == "1\\nbuilt\\ngone\\n", result
changes = sorted((change.kind, change.path) for change in engine.diff(result.container))
assert changes == [("A", "new"), ("D", "built")], changes
engine.commit(result.container, "low:2")
assert engine.run("low:2", ("sh", "-c", "cat /new; test -e /built || echo gone")).text == "x\\ngone\\n"
assert run("cat /v/file", volumes=(sys.argv[1] + ":/v",)).text == "of the host\\n"
"""
    wrapper = (
        "unshare",
        "-m",
        "--propagation",
        "private",
        "sh",
        "-c",
        script,
        "sh",
        str(tmp_path),
        str(CHECKOUT),
    )
    first = "import sys\nopen(sys.argv[1] + '/file', 'w').write('of the host\\n')\n"
    as_root(tmp_path / "m", first + code, *wrapper)


@needs_root
@pytest.mark.rootless
def test_a_masked_proc_leaves_a_container_without_one(plain_user: PlainUser) -> None:
    code = f"""{_SHORT}
assert engine.host.rung == "rootless"
engine.build("FROM host:tiny\\nRUN echo built > /built", name="low")
result = run("echo $$; cat /built; ls /proc; echo x > /dev/null")
assert result.text == "1\\nbuilt\\n", result
assert [facet.name for facet in result.container.facets if "masked" in facet.reason] == ["processes"]
"""
    place = str(plain_user.directory("masked-proc"))
    plain_user.run(code, place, first="mount --bind /dev/null /proc/timer_list")


@pytest.mark.rootless
def test_where_nothing_is_allowed_plans_and_copies_are_left(plain_user: PlainUser) -> None:
    code = f"""{NO_USER_NAMESPACE}{_SHORT}
from sandcell.runtime.errors import BuildFailed, HostRefused
assert engine.host.rung == "none"
open(sys.argv[1] + "/hello", "w").write("hello")
image = engine.build("FROM host:tiny\\nCOPY hello /hello\\nENV A=b", name="low", context=sys.argv[1])
assert engine.history("low") and engine.images()
try:
    engine.build("FROM low\\nRUN true", name="no")
    raise SystemExit("a RUN was done")
except BuildFailed as error:
    assert "seccomp" in str(error), error
    assert error.hint
try:
    engine.run("low", ("true",))
    raise SystemExit("something ran")
except HostRefused as error:
    assert "seccomp" in error.cause and error.hint, error
assert "execute" in str(engine.explain("low", ("true",)))
assert not engine.containers(all=True)
"""
    plain_user.run(code, str(plain_user.directory("nothing-low")), no_new_privs=True)


@needs_root
def test_config_toml_asks_for_a_rung_and_the_environment_overrules_it(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    code = "import sys\nfrom sandcell.runtime import Engine\n"
    code += "print(Engine(sys.argv[1], sys.argv[1] + '/run').host.rung)"
    for text, env, expected in (
        ('rung = "nomount"', {}, "nomount"),
        ('rung = "chroot"', {}, "chroot"),
        ('rung = "nomount"', {"SANDCELL_RUNG": "rootless"}, "rootless"),
        ("[registries]", {}, "root"),
    ):
        config.write_text(text)
        assert as_root(tmp_path, code, SANDCELL_CONFIG=str(config), **env) == f"{expected}\n"
    for text, said in (("rung = 'attic'", "attic"), ("rung = ", "config.toml")):
        config.write_text(text)
        with pytest.raises(AssertionError, match=said):
            as_root(tmp_path, code, SANDCELL_CONFIG=str(config))
