"""One engine used by many threads, and what is left open after many runs."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandcell.runtime import Engine, Options
from sandcell.runtime.container.options import ExecOptions
from sandcell.runtime.errors import StartFailed
from tests.engine.claims import until
from tests.engine.crafted import TINY

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "home", tmp_path / "run") as engine:
        yield engine


def _at_once(count: int, function: Callable[[int], None]) -> None:
    failed: list[BaseException] = []
    gate = threading.Barrier(count)

    def body(number: int) -> None:
        try:
            gate.wait(20)
            function(number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=body, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert failed == []


def test_a_fresh_engine_may_be_used_by_many_threads_at_once(engine: Engine) -> None:
    spawners: set[int | None] = set()

    def run(number: int) -> None:
        result = engine.run(TINY, ("sh", "-c", f"echo {number}; exit {number}"), Options(remove=True))
        assert (result.text, result.status) == (f"{number}\n", number)
        spawners.add(engine.launcher.pid)

    _at_once(12, run)
    assert len(spawners) == 1


def test_many_threads_run_and_exec_without_taking_each_others_output(engine: Engine) -> None:
    made = engine.create(TINY, ("sleep", "1000"))
    engine.start(made)
    word = "x" * 20_000

    def both(number: int) -> None:
        for turn in range(4):
            mark = f"{number}-{turn}-"
            options = ExecOptions(files={"f": f"echo {mark}{word}".encode()})
            assert engine.exec(made, ("sh", "{dir}/f"), options).text == f"{mark}{word}\n"
            result = engine.run(TINY, ("sh", "-c", f"echo {mark}; echo e{mark} >&2"), Options(remove=True))
            assert (result.stdout, result.stderr) == (f"{mark}\n".encode(), f"e{mark}\n".encode())

    _at_once(8, both)
    assert engine.container(made).state == "running"
    engine.remove(made, force=True)


def _open(pid: int | str = "self") -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_no_descriptor_process_or_directory_is_left_by_many_runs(engine: Engine) -> None:
    made = engine.create(TINY, ("sleep", "1000"))
    engine.start(made)

    def turn() -> None:
        assert engine.run(TINY, ("echo", "x"), Options(remove=True)).text == "x\n"
        assert engine.exec(made, ("echo", "x"), ExecOptions(files={"f": b"x"}, fetch=True)).text == "x\n"
        with pytest.raises(StartFailed):
            engine.run(TINY, ("no-such-command",), Options(remove=True))
        with pytest.raises(StartFailed):
            engine.exec(made, ("no-such-command",), ExecOptions(files={"f": b"x"}))

    for _ in range(3):
        turn()
    spawner = engine.launcher.pid
    assert spawner is not None
    status = Path(f"/proc/{engine.container(made).pid}/status").read_text()
    monitor = int(next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1])
    before = (_open(), _open(spawner), _open(monitor))
    for _ in range(50):
        turn()
    until(lambda: len(_children(spawner)) <= 3, "the end of finished monitors")
    # Some of what was open before was just being closed.
    until(lambda: _open() <= before[0] and _open(monitor) <= before[2], "no more open than before")
    # The pipes to the children in reserve come and go.
    until(lambda: _open(spawner) <= before[1] + 2, "no more open than before")
    until(lambda: not [pid for pid in _children(spawner) if _state(pid) == "Z"], "no zombie")
    placed = f"{engine.places.container(made.id)}/shared/exec"
    until(lambda: os.listdir(placed) == [], "the removal of placed files")
    until(lambda: os.listdir(engine.places.containers) == [made.id], "the removal of the others")
    engine.remove(made, force=True)


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_monitor_serves_one_container_after_another_and_may_be_killed_in_between(engine: Engine) -> None:
    served: list[int] = []

    def serve() -> bool:
        made = engine.start(engine.create(TINY, ("sleep", "1000"), Options(remove=True)))
        assert made.pid is not None
        status = Path(f"/proc/{made.pid}/status").read_text()
        served.append(int(next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1]))
        engine.remove(made, force=True)
        return served.count(served[-1]) > 1

    until(serve, "a monitor that comes back")
    with contextlib.suppress(ProcessLookupError):  # one of many in reserve may be let go
        os.kill(served[-1], signal.SIGKILL)
    assert engine.run(TINY, ("echo", "on"), Options(remove=True)).text == "on\n"
