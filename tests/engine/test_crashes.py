"""kill -9 of anybody at any moment: the store opens, states are true, and all can be cleared away."""

import os
import random
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandcell.runtime import Engine, Options
from sandcell.runtime.container import state
from sandcell.runtime.engine import lifecycle, record
from sandcell.runtime.errors import WrongState
from tests.engine import crash_client
from tests.engine.aftermath import check_and_clear
from tests.engine.claims import until
from tests.engine.crafted import TINY

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

_CHECKOUT = Path(__file__).resolve().parents[2]
_ACTIONS = [action.__name__ for action in crash_client.ACTIONS]
# The promise says 200: this is 9 * (9 + 9 + 3 + 3) = 216. ``SANDCELL_CRASHES=10`` is ten times as many.
_TIMES = int(os.environ.get("SANDCELL_CRASHES", "1"))
# Whose death: how many clients, and strikes while each lives.
_STRIKES = {"spawner": (1, 9), "monitors": (1, 9), "client": (3, 1), "everything": (3, 1)}


class Client:
    """A process of its own that does ``action`` again and again."""

    def __init__(self, base: Path, action: str) -> None:
        self._output, said = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.dup2(os.open("/dev/null", os.O_WRONLY), 2)
                with open(said, "w", encoding="utf-8") as out:
                    crash_client.main(f"{base}/home", f"{base}/run", action, out)
            finally:
                os._exit(1)
        os.close(said)
        self._ended = os.pidfd_open(self.pid)
        self.said: list[str] = []
        self._half = b""
        try:
            # It may have done the first action by then, too.
            until(lambda: [*self.said, *self.hear()][:1] == ["ready"], "the client")
        except BaseException:
            self.end()
            raise

    def hear(self, patience: float = 0) -> list[str]:
        """What it has said since we heard it last, line by line."""
        new: list[str] = []
        while select.select([self._output], [], [], 0 if new else patience)[0]:
            data = os.read(self._output, 1 << 16)
            *lines, self._half = (self._half + data).split(b"\n")
            new += [line.decode() for line in lines]
            if not data:
                break
        self.said += new
        return new

    def live(self, seconds: float) -> None:
        """Let it work so long, or until it ends."""
        select.select([self._ended], [], [], seconds)

    def end(self) -> None:
        """Kill it, and hear what it said until then."""
        _kill(self.pid)
        os.waitid(os.P_PIDFD, self._ended, os.WEXITED)
        self.hear()
        os.close(self._ended)
        os.close(self._output)


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
    spawners = _children(client.pid)
    monitors = [pid for spawner in spawners for pid in _children(spawner)]
    if victim == "client":
        _kill(client.pid)
    elif victim == "spawner":
        _kill(*spawners)
    elif victim == "monitors":
        _kill(*monitors)
    else:
        everybody = [client.pid, *spawners, *monitors]
        random.shuffle(everybody)
        _kill(*everybody)


@pytest.mark.parametrize("victim", _STRIKES)
@pytest.mark.parametrize("action", _ACTIONS)
def test_killed_at_any_moment(base: Path, action: str, victim: str) -> None:
    moments = random.Random(f"{action} {victim}")
    clients, strikes = _STRIKES[victim]
    for _ in range(clients * _TIMES):
        client = Client(base, action)
        try:
            for _ in range(strikes):
                until(lambda: bool(_children(client.pid)), "the spawner")  # noqa: B023
                client.live(moments.uniform(0, 0.06))
                client.hear()
                _strike(client, victim)
                if strikes > 1:
                    _goes_on(client)
        finally:
            client.end()
        assert not [line for line in client.said if line.startswith("broken")], client.said
    check_and_clear(base)


def _goes_on(client: Client) -> None:
    """The client itself lives: after an action that was struck it begins another, which succeeds."""
    heard: list[str] = []
    while heard.count("done") < 2:
        new = client.hear(30)
        heard += new
        assert new, heard
        assert len(heard) - heard.count("done") < 8, heard


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
    check_and_clear(base)


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
    check_and_clear(base)


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
    check_and_clear(base)


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
    check_and_clear(base)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_container_ends_at_once_though_the_monitor_of_an_exec_was_killed(base: Path) -> None:
    # Its process belongs to the container, which cannot end before somebody has collected it; not every
    # first process of a machine does that soon.
    with Engine(base / "home", base / "run") as engine:
        made = engine.start(engine.create(TINY, ("sleep", "1000"), starts=True))
        inside = engine.launch_in(made, ("sleep", "1000"))
        _kill(_parent(inside.pid))
        until(lambda: not Path(f"/proc/{inside.pid}").exists(), "its end, collected by the spawner")
        engine.kill(made)
        assert engine.wait(made, 20) == 137
        inside.close()
    check_and_clear(base)


def test_stop_and_rm_do_not_wait_for_ever_for_what_does_not_end(base: Path) -> None:
    with Engine(base / "home", base / "run") as engine:
        made = engine.start(engine.create(TINY, ("sleep", "1000"), starts=True))
        inside = engine.launch_in(made, ("sleep", "1000"))
        stopped = _parent(inside.pid)
        os.kill(stopped, signal.SIGSTOP)  # nobody collects the process that it started
        engine.kill(made)
        who = record.find(engine.places, made.id)
        with pytest.raises(WrongState, match="killed 1 seconds ago and has not ended") as caught:
            lifecycle.await_end(engine.places, who, "stop", 1)
        assert "ps -eo" in caught.value.hint
        os.kill(stopped, signal.SIGCONT)
        assert engine.wait(made, 20) == 137
        inside.close()
    check_and_clear(base)


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
        _kill(_parent(pid))
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
    check_and_clear(base)


def _locked(base: Path, id: str) -> bool:
    """True when we could take the container's lock: its monitor has done all it had to."""
    lock = state.take_lock(str(base / "run/containers" / id), 0)
    if lock is not None:
        os.close(lock)
    return lock is not None
