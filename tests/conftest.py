"""What every test may use, when a test is skipped, and the check that nothing is left behind."""

import functools
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from sandcell.runtime.linux.host import Host, probe
from tests import leftovers
from tests.jupyter_lab import Lab, serving
from tests.plain_user import PlainUser

# The fixtures of tests/server; pytest takes them only here.
pytest_plugins = ["pytest_jupyter.jupyter_server"]

# A shell that starts us in the background lets us ignore Ctrl-C, and our children with us: kernels and
# containers are interrupted here.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is not a fault of the code; and a submission is judged by the same examples twice.
_JUDGED = bool(os.environ.get("CI") or os.environ.get("SANDCELL_TEST_ALONE"))
settings.register_profile("here", deadline=None, derandomize=_JUDGED)
settings.load_profile("here")

LEFT = pytest.StashKey[list[str]]()
_SESSION = f"SANDCELL_TEST_SESSION={secrets.token_hex(8)}"


@pytest.fixture
def jp_asyncio_loop() -> None:
    """The plugin would give every test an event loop and a server; only those of tests/server need them."""


@pytest.fixture
def jp_server_cleanup() -> None:
    """See `jp_asyncio_loop`."""


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    """A folder for the whole run, with a short path: sockets live in it."""
    folder = Path(tempfile.mkdtemp(prefix="sandcell-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind(
    session_folder: Path, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[None]:
    """Fails the run when it leaves a mount, control group, namespace, link or process.

    Control groups, namespaces and links cannot be told from those of somebody else who uses the
    machine at the same time, so they are compared only when ``SANDCELL_TEST_ALONE`` says that
    there is nobody else.
    """
    name, _, value = _SESSION.partition("=")
    os.environ[name] = value
    # No test may touch the store of whoever runs them.
    os.environ["SANDCELL_HOME"] = str(session_folder / "home")
    os.environ["SANDCELL_RUN"] = str(session_folder / "run")
    # Tools that we compare with keep logins there, where another user's may be in the way.
    own = session_folder / "xdg"
    own.mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(own)
    # Nor the history of IPython, which is one file for all that run at the same time.
    os.environ["IPYTHONDIR"] = str(session_folder / "ipython")
    marks = (str(session_folder), str(tmp_path_factory.getbasetemp()))
    before = leftovers.look(marks)
    yield
    left: dict[int, str] = {}
    for mark in marks:
        left |= leftovers.after_they_end(_SESSION, mark, 30)
    found = [f"process {pid}: {what}" for pid, what in left.items()]
    alone = bool(os.environ.get("SANDCELL_TEST_ALONE"))

    def new() -> list[str]:
        lines = leftovers.new(before, leftovers.look(marks))
        return [line for line in lines if alone or line.startswith("mounts")]

    # The kernel takes links away some time after the last process of their namespace.
    found += leftovers.until(new, 30)
    pytestconfig.stash[LEFT] = found
    assert not found, "the tests left behind:\n" + "\n".join(found)


@pytest.fixture(scope="session")
def host() -> Host:
    """What this machine allows the user who runs the tests."""
    return _this_host()


@pytest.fixture(scope="session")
def lab(session_folder: Path) -> Iterator[Lab]:
    """One JupyterLab for all tests that need no other, with a store of its own."""
    place = session_folder / "lab"
    (place / "notebooks").mkdir(parents=True)
    with serving(place, place / "notebooks") as lab:
        yield lab


@pytest.fixture(scope="session")
def plain_user(session_folder: Path) -> PlainUser:
    """Somebody without any rights; see ``tests/plain_user.py``."""
    folder = session_folder / "plain"
    folder.mkdir()
    session_folder.chmod(0o711)
    return PlainUser(folder)


@pytest.fixture
def store_home(tmp_path: Path) -> Path:
    """An empty place for a store of one test's own."""
    return tmp_path / "home"


@pytest.fixture
def run_home(tmp_path: Path) -> Path:
    """An empty place for run state (sockets, locks) of one test's own."""
    return tmp_path / "run"


@functools.cache
def _this_host() -> Host:
    with tempfile.TemporaryDirectory(prefix="sandcell-probe-") as folder:
        return probe(folder, folder)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep what was left behind for ``tests/again.py``."""
    if session.config.pluginmanager.hasplugin("cacheprovider") and session.config.cache is not None:
        session.config.cache.set("sandcell/left", session.config.stash.get(LEFT, []))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what the host refuses, with the reason it gives."""
    if item.get_closest_marker("kernel") is not None:
        here = _this_host()
        if here.copying:
            first = here.refused[0] if here.refused else None
            why = f"{first.name}: {first.layer}: {first.detail}" if first else f"rung {here.rung}"
            pytest.skip(f"this host refuses: {why}")
    if item.get_closest_marker("rootless") is not None:
        _needs_plain_user()
    for mark in item.iter_markers("peer"):
        _needs_tools(*mark.args)
    if item.get_closest_marker("notebook") is not None:
        for name in ("ipykernel", "nbclient", "nbformat"):
            pytest.importorskip(name)
    if item.get_closest_marker("browser") is not None:
        _needs_tools("chromium")


def _needs_plain_user() -> None:
    if os.geteuid() != 0:
        rung = _this_host().rung
        if rung != "rootless":
            pytest.skip(f"this host gives a plain user the rung {rung}")
        return
    _needs_tools("setpriv", "unshare")
    if _this_host().rung != "root":
        pytest.skip("only root with CAP_SYS_ADMIN can become another user with files of its own")
    check = _this_host().check("user namespace")
    if check is not None and not check.ok:
        pytest.skip(f"this host refuses user namespaces: {check.layer}: {check.detail}")


def _needs_tools(*names: str) -> None:
    for name in names:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed (./dev test installs it as root)")
