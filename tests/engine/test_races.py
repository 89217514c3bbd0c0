"""Two clients that do the same at once: one of them is told so, and nothing is done twice."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell.runtime import Engine, Options
from sandcell.runtime.errors import StartFailed
from tests.engine.aftermath import check_and_clear
from tests.engine.claims import until
from tests.engine.crafted import TINY

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

_CHECKOUT = Path(__file__).resolve().parents[2]


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
            elif verb == "update":
                engine.update(name, pids_limit=50)
            elif verb == "exec":
                engine.exec(name, ("true",))
            elif verb == "copy":
                engine.copy(f"{name}:/welcome", sys.argv[1] + "/../copied")
            else:
                getattr(engine, verb)(name)
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
    check_and_clear(base)


def test_of_two_clients_one_starts_it(base: Path, racers: "list[subprocess.Popen[str]]") -> None:
    with Engine(base / "home", base / "run") as engine:
        for number in range(10):
            made = engine.create(
                TINY, ("sh", "-c", "echo $$ >> /times; sleep 1000"), Options(name=f"s{number}")
            )
            answers = _race(racers, f"start s{number}", f"start s{number}")
            # Who comes later finds it running, which is no error; who comes at the same time is told.
            refused = [answer for answer in answers if answer != "done"]
            assert len(refused) < 2, answers
            assert all("running already" in answer for answer in refused), answers
            assert engine.container(made.id).state == "running"
            until(lambda: engine.exec(made, ("cat", "/times")).text == "1\n", "one start")  # noqa: B023
    check_and_clear(base)


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
    check_and_clear(base)


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
    check_and_clear(base)


def test_start_and_removal_by_force_at_once_leave_nothing(
    base: Path, racers: "list[subprocess.Popen[str]]"
) -> None:
    with Engine(base / "home", base / "run") as engine:
        for number in range(15):
            engine.create(TINY, ("sleep", "1000"), Options(name=f"f{number}"))
            answers = _race(racers, f"start f{number}", f"destroy f{number}")
            assert answers[1] == "done"
            assert engine.containers(all=True) == ()
    check_and_clear(base)


def test_a_new_name_and_new_limits_at_once_are_both_kept(
    base: Path, racers: "list[subprocess.Popen[str]]"
) -> None:
    with Engine(base / "home", base / "run") as engine:
        if not engine.nursery.cgroups:
            pytest.skip("no control groups here")
        for number in range(10):
            made = engine.create(TINY, ("true",), Options(name=f"u{number}"))
            answers = _race(racers, f"rename u{number}", f"update u{number}")
            found = engine.container(made.id)
            assert (answers[0], found.name) == ("done", f"u{number}x")
            # Who came second asked for a name that nobody has any more.
            assert (found.options.pids_limit == 50) is (answers[1] == "done"), answers
    check_and_clear(base)


@pytest.mark.parametrize("verb", ["exec", "copy", "pause", "top", "stats", "update", "diff"])
def test_what_is_asked_of_one_that_ends_is_answered_or_refused_as_such(
    base: Path, racers: "list[subprocess.Popen[str]]", verb: str
) -> None:
    with Engine(base / "home", base / "run") as engine:
        if not engine.nursery.cgroups:
            pytest.skip("no control groups here")
        for number in range(12):
            made = engine.create(TINY, ("sleep", "1000"), Options(name=f"e{number}", remove=number % 2 == 0))
            engine.start(made)
            _, answer = _race(racers, f"kill e{number}", f"{verb} e{number}")
            assert answer == "done" or answer.split()[1] in ("WrongState", "ContainerNotFound"), answer
            engine.remove(made, force=True)
    check_and_clear(base)


def test_one_that_removes_itself_and_could_not_start_can_be_looked_into(base: Path, tmp_path: Path) -> None:
    with Engine(base / "home", base / "run") as engine:
        engine.create(TINY, ("no-such-command",), Options(name="thrown", remove=True))
        for _ in range(2):
            with pytest.raises(StartFailed, match="no command"):
                engine.start("thrown")
            engine.copy("thrown:/welcome", str(tmp_path / "copied"))
        engine.remove("thrown")
    check_and_clear(base)


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
    check_and_clear(base)
