"""kill -9 of anybody at any moment: the store opens, states are true, and all can be cleared away."""

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell.runtime import Engine, Options
from sandcell.runtime.container import state
from sandcell.runtime.engine.values import Container
from sandcell.runtime.errors import SandcellError
from tests import leftovers
from tests.engine.claims import until
from tests.engine.crafted import TINY

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

_CHECKOUT = Path(__file__).resolve().parents[2]
_ACTIONS = ("create", "start", "run", "throw_away", "execute", "commit", "build", "unpack", "remove")
_VICTIMS = ("client", "spawner", "monitors", "everything")
# ``SANDCELL_CRASHES=200`` is what the promise says; every run of the tests does fewer.
_MOMENTS = -(-int(os.environ.get("SANDCELL_CRASHES", "72")) // (len(_ACTIONS) * len(_VICTIMS)))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Home and run directory of a store that holds ``host:tiny``."""
    place: Path = tmp_path_factory.mktemp("crash")
    with Engine(place / "home", place / "run") as engine:
        engine.image(TINY)
    yield place


class Client:
    """A process of its own that does ``action`` again and again."""

    def __init__(self, base: Path, action: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.engine.crash_client", f"{base}/home", f"{base}/run", action],
            cwd=_CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.line() == "ready"

    def line(self) -> str:
        """The next line it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> list[str]:
        """Kill it; what it said until then."""
        self.process.kill()
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            said = stream.read().splitlines()
        self.process.wait(30)
        return said


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _kill(*pids: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def _strike(client: Client, victim: str) -> None:
    spawners = _children(client.process.pid)
    monitors = [pid for spawner in spawners for pid in _children(spawner)]
    if victim == "client":
        client.process.kill()
    elif victim == "spawner":
        _kill(*spawners)
    elif victim == "monitors":
        _kill(*monitors)
    else:
        everybody = [client.process.pid, *spawners, *monitors]
        random.shuffle(everybody)
        _kill(*everybody)


def _ids(base: Path) -> set[str]:
    found: set[str] = set()
    for folder in ("home/containers", "run/containers", "home/builds/containers", "run/builds/containers"):
        if (base / folder).is_dir():
            found |= set(os.listdir(base / folder))
    return found


def _age(base: Path) -> None:
    """Let everything be old enough for ``prune``."""
    for folder in ("containers", "builds/containers"):
        for root in ("home", "run"):
            for path in (base / root / folder).glob("*"):
                with contextlib.suppress(FileNotFoundError):
                    os.utime(path, (1, 1))


def _check_and_clear(base: Path) -> None:
    """A fresh engine opens the store, tells the truth, and clears everything away."""
    ids = _ids(base)
    with Engine(base / "home", base / "run") as engine:
        assert engine.run(TINY, ("echo", "works"), Options(remove=True)).text == "works\n"
        for found in engine.containers(all=True):
            if found.state == "running":
                _runs_truly(engine, found)
            engine.remove(found, force=True)
        for image in engine.images():
            engine.image(image.name)
            if image.name != TINY:
                engine.remove_image(image.name, force=True)
        _age(base)
        engine.prune()
        until(lambda: _pruned(engine, base), "an empty store")
    assert leftovers.after_they_end("SANDCELL_NOBODY=", str(base), 30) == {}
    assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(base) in line]
    groups = [place for place, _, _ in os.walk("/sys/fs/cgroup") if os.path.basename(place) in ids]
    assert groups == []


def _runs_truly(engine: Engine, found: Container) -> None:
    assert found.pid is not None
    try:
        assert Path(f"/proc/{found.pid}").exists()
        assert engine.exec(found, ("echo", "true")).text == "true\n"
    except (AssertionError, SandcellError):
        # A short one may have ended since it was listed; then it is listed so no more.
        listed = {one.id: one.state for one in engine.containers(all=True)}
        if listed.get(found.id) == "running":
            raise


def _pruned(engine: Engine, base: Path) -> bool:
    if _ids(base):
        _age(base)
        engine.prune()
    return not _ids(base) and not os.listdir(base / "home" / "names")


@pytest.mark.parametrize("victim", _VICTIMS)
@pytest.mark.parametrize("action", _ACTIONS)
def test_killed_at_any_moment(base: Path, action: str, victim: str) -> None:
    moments = random.Random(f"{action} {victim}")
    for _ in range(_MOMENTS):
        client = Client(base, action)
        said = []
        try:
            until(lambda: bool(_children(client.process.pid)), "the spawner")  # noqa: B023
            with contextlib.suppress(subprocess.TimeoutExpired):
                client.process.wait(moments.uniform(0, 0.06))
            _strike(client, victim)
            while victim in ("spawner", "monitors") and "done" not in said[1:]:
                # The client itself lives and goes on.
                assert len(said) < 8, said
                said.append(client.line())
        finally:
            said += client.end()
        assert not [line for line in said if line.startswith("broken")], said
    _check_and_clear(base)


def test_a_killed_client_leaves_what_runs_in_the_background_and_takes_what_is_tied_to_it(base: Path) -> None:
    code = """if True:
        import sys, time
        from sandcell.runtime import Engine, Options
        engine = Engine(sys.argv[1], sys.argv[2])
        stays = engine.start(engine.create("host:tiny", ("sleep", "1000"), Options(name="stays")))
        goes = engine.launch("host:tiny", ("sleep", "1000"), Options(name="goes", die_with_client=True))
        tied = Options(name="tied", die_with_client=True)
        engine.start(engine.create("host:tiny", ("sleep", "1000"), tied))
        time.sleep(0.2)
        engine.exec("tied", ("true",))
        print(engine.container("tied").state, flush=True)
        time.sleep(1000)
    """
    client = subprocess.Popen(
        [sys.executable, "-c", code, f"{base}/home", f"{base}/run"],
        cwd=_CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdout is not None
    with client, client.stdout:
        assert client.stdout.readline() == "running\n"
        client.kill()
    with Engine(base / "home", base / "run") as engine:
        until(lambda: engine.container("goes").state == "exited", "the end of what is tied")
        until(lambda: engine.container("tied").state == "exited", "the end of what is tied")
        assert engine.container("stays").state == "running"
        assert "stays" in [found.name for found in engine.containers()]
        assert engine.exec("stays", ("echo", "hi")).text == "hi\n"
    _check_and_clear(base)


def test_whoever_waits_for_the_end_of_a_clients_output_does_not_wait_for_its_containers(base: Path) -> None:
    code = """if True:
        import sys
        from sandcell.runtime import Engine, Options
        with Engine(sys.argv[1], sys.argv[2]) as engine:
            engine.start(engine.create("host:tiny", ("sleep", "1000")))
    """
    done = subprocess.run(
        [sys.executable, "-c", code, f"{base}/home", f"{base}/run"],
        cwd=_CHECKOUT,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    _check_and_clear(base)


def _early(spawner: int) -> list[int]:
    return [early for pid in _children(spawner) for early in _children(pid)]


def test_idle_children_in_reserve_may_be_killed(base: Path) -> None:
    with Engine(base / "home", base / "run") as engine:
        assert engine.run(TINY, ("true",), Options(remove=True)).status == 0
        spawner = engine.launcher.pid
        assert spawner is not None
        for _ in range(4):
            until(lambda: len(_early(spawner)) >= 2, "the reserve with its early children")
            _kill(*_early(spawner))
            assert engine.run(TINY, ("echo", "on"), Options(remove=True)).text == "on\n"
            _kill(*_children(spawner))
            try:
                assert engine.run(TINY, ("echo", "on"), Options(remove=True)).text == "on\n"
            except Exception as error:
                assert "again" in str(getattr(error, "hint", "")), error
    _check_and_clear(base)


def _parent(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1])


def test_a_container_whose_monitor_was_killed_is_dead_at_once_and_can_be_started(base: Path) -> None:
    with Engine(base / "home", base / "run") as engine:
        for options in (Options(), Options(user="1000:1000"), Options(remove=True, name="thrown")):
            made = engine.create(TINY, ("sh", "-c", "echo x >> /kept; sleep 1000"), options)
            if options.user:
                made = engine.create(TINY, ("sleep", "1000"), options)
            engine.start(made)
            pid = engine.container(made.id).pid
            assert pid is not None
            _kill(_parent(pid))
            until(lambda: not _runs(pid), "the end of its first process")  # type: ignore[arg-type]  # noqa: B023
            found = engine.container(made.id)
            assert (found.state, found.exit_status) == ("exited", None)
            assert engine.start(made).state == "running"
    _check_and_clear(base)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


# ------------------------------------------------------------ races between clients

_RACE = """if True:
    import sys
    from sandcell.runtime import Engine, Options
    from sandcell.runtime.errors import SandcellError
    engine = Engine(sys.argv[1], sys.argv[2])
    engine.warm()
    engine.nursery
    print("ready", flush=True)
    for line in sys.stdin:
        verb, name = line.split()
        try:
            if verb == "create":
                engine.create("host:tiny", ("sleep", "1000"), Options(name=name))
            elif verb == "replace":
                engine.create("host:tiny", ("sleep", "1000"), Options(name=name, replace=True))
            elif verb == "start":
                engine.start(name)
            elif verb == "remove":
                engine.remove(name)
            elif verb == "destroy":
                engine.remove(name, force=True)
            elif verb == "rename":
                engine.rename(name, name + "x")
            print("done", flush=True)
        except SandcellError as error:
            print("refused", type(error).__name__, error, flush=True)
        except Exception as error:
            print("broken", type(error).__name__, error, flush=True)
"""


@pytest.fixture
def racers(base: Path) -> Iterator[list["subprocess.Popen[str]"]]:
    """Two clients that wait for the word."""
    both = [
        subprocess.Popen(
            [sys.executable, "-c", _RACE, f"{base}/home", f"{base}/run"],
            cwd=_CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for one in both:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    yield both
    for one in both:
        with one:
            assert one.stdin is not None
            one.stdin.close()


def _race(racers: "list[subprocess.Popen[str]]", *orders: str) -> list[str]:
    for one, order in zip(racers, orders, strict=True):
        assert one.stdin is not None
        one.stdin.write(order + "\n")
        one.stdin.flush()
    answers = [one.stdout.readline().strip() for one in racers]  # type: ignore[union-attr]
    assert not [answer for answer in answers if answer.startswith("broken")], answers
    return answers


def test_of_two_clients_one_gets_the_name(base: Path, racers: "list[subprocess.Popen[str]]") -> None:
    for number in range(15):
        answers = _race(racers, f"create n{number}", f"create n{number}")
        assert sorted(answer.split()[0] for answer in answers) == ["done", "refused"], answers
        assert "NameInUse" in "".join(answers)
    with Engine(base / "home", base / "run") as engine:
        assert len(engine.containers(all=True)) == 15
    _check_and_clear(base)


def test_of_two_clients_one_starts_it(base: Path, racers: "list[subprocess.Popen[str]]") -> None:
    with Engine(base / "home", base / "run") as engine:
        for number in range(10):
            made = engine.create(
                TINY, ("sh", "-c", "echo $$ >> /times; sleep 1000"), Options(name=f"s{number}")
            )
            answers = _race(racers, f"start s{number}", f"start s{number}")
            assert sorted(answer.split()[0] for answer in answers) == ["done", "refused"], answers
            assert "running already" in "".join(answers)
            assert engine.container(made.id).state == "running"
            until(lambda: engine.exec(made, ("cat", "/times")).text == "1\n", "one start")  # noqa: B023
    _check_and_clear(base)


@pytest.mark.parametrize("verb", ["remove", "destroy"])
def test_of_two_clients_one_removes_it(base: Path, racers: "list[subprocess.Popen[str]]", verb: str) -> None:
    with Engine(base / "home", base / "run") as engine:
        for number in range(10):
            made = engine.create(TINY, ("sleep", "1000"), Options(name=f"r{number}"))
            if verb == "destroy":
                engine.start(made)
            answers = _race(racers, f"{verb} r{number}", f"{verb} r{number}")
            assert "done" in answers
            assert engine.containers(all=True) == ()
    _check_and_clear(base)


def test_start_and_remove_at_once_leave_it_running_or_gone(
    base: Path, racers: "list[subprocess.Popen[str]]"
) -> None:
    with Engine(base / "home", base / "run") as engine:
        for number in range(15):
            engine.create(TINY, ("sleep", "1000"), Options(name=f"b{number}"))
            _race(racers, f"start b{number}", f"remove b{number}")
            left = [found for found in engine.containers(all=True) if found.name == f"b{number}"]
            assert [found.state for found in left] in ([], ["running"]), left
            for found in left:
                assert engine.exec(found, ("ls", "/bin/sh")).status == 0
    _check_and_clear(base)


def test_replacing_and_renaming_at_once_never_give_a_name_twice(
    base: Path, racers: "list[subprocess.Popen[str]]"
) -> None:
    with Engine(base / "home", base / "run") as engine:
        for number in range(8):
            engine.create(TINY, ("sleep", "1000"), Options(name=f"w{number}"))
            _race(racers, f"replace w{number}", f"replace w{number}")
            _race(racers, f"rename w{number}", f"rename w{number}")
            names = [found.name for found in engine.containers(all=True)]
            assert len(set(names)) == len(names), names
    _check_and_clear(base)


def test_after_the_machine_was_started_again_what_ran_has_exited(base: Path) -> None:
    with Engine(base / "home", base / "run") as engine:
        ran = engine.create(TINY, ("sh", "-c", "echo x > /kept; sleep 1000"), Options(name="ran"))
        engine.start(ran)
        until(lambda: engine.exec(ran, ("test", "-e", "/kept")).status == 0, "the file")
        ended = engine.create(TINY, ("sh", "-c", "exit 7"), Options(name="ended"))
        engine.start(ended)
        assert engine.wait(ended) == 7
        pid = engine.container(ran).pid
        assert pid is not None
        status = Path(f"/proc/{pid}/status").read_text()
        monitor = int(next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1])
        _kill(monitor)
        until(lambda: not _runs(pid), "its end")  # type: ignore[arg-type]
        until(lambda: _locked(base, ended.id), "the clean-up")
    # What lies on a tmpfs is gone after a boot.
    subprocess.run(["rm", "-rf", str(base / "run")], check=True)
    with Engine(base / "home", base / "run") as engine:
        found = engine.container("ran")
        assert (found.state, found.exit_status) == ("exited", None)
        assert (engine.container("ended").state, engine.container("ended").exit_status) == ("exited", 7)
        engine.start("ran")
        assert engine.exec("ran", ("cat", "/kept")).text == "x\n"
    _check_and_clear(base)


def _locked(base: Path, id: str) -> bool:
    """True when we could take the container's lock: its monitor has done all it had to."""
    lock = state.take_lock(str(base / "run/containers" / id), 0)
    if lock is not None:
        os.close(lock)
    return lock is not None
