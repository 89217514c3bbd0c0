"""What must hold on every rung of containers that run: reading along, standing still, looking in."""

import os
import time

import pytest

from sandcell.runtime import Engine
from sandcell.runtime.container.options import ExecOptions, Options
from sandcell.runtime.errors import ContainerNotFound, HostRefused, InvalidOption, WrongState
from tests.engine.claims import IMAGE, background, claim, until


@claim
def logs_can_be_followed_to_the_end(engine: Engine) -> None:
    with background(engine, "echo one; echo two; read x; echo $x >&2", interactive=True, tty=True) as id:
        until(lambda: b"two" in b"".join(p.data for p in engine.logs(id)), "the lines")
        seen = b""
        for piece in engine.logs(id, follow=True, tail=1):
            seen += piece.data
            if seen == b"two\r\n":
                engine.kill(id)
        assert seen == b"two\r\n"
        assert b"".join(p.data for p in engine.logs(id, follow=True)) == b"one\r\ntwo\r\n"


@claim
def logs_can_be_chosen_by_time(engine: Engine) -> None:
    with background(engine, "echo one; sleep 1000") as id:
        until(lambda: any(engine.logs(id)), "a line")
        now = time.time()
        assert [p.data for p in engine.logs(id, until=now)] == [b"one\n"]
        assert not any(engine.logs(id, since=now))
        assert not any(engine.logs(id, until=now - 60))
        assert not any(engine.logs(id, until=now - 60, follow=True))


@claim
def input_goes_in_and_its_end_too(engine: Engine) -> None:
    running = engine.launch(IMAGE, ("cat",), Options(remove=True, interactive=True))
    running.write(b"typed")
    running.close_input()
    assert b"".join(piece.data for piece in running.output()) == b"typed"
    assert running.wait() == 0
    running.close()
    # Without anybody who could type, the end is there at once.
    assert engine.run(IMAGE, ("cat",), Options(remove=True, interactive=True)).status == 0


@claim
def who_leaves_lets_it_run_on(engine: Engine) -> None:
    with background(engine) as id:
        options = ExecOptions(interactive=True, tty=True, console_size=(11, 22))
        running = engine.launch_in(id, ("sh", "-c", "stty size; sleep 1000"), options)
        said = b""  # a terminal hands on a line and its end apart when it likes
        for piece in running.output(timeout=60):
            said += piece.data
            if said == b"11 22\r\n":
                break
        assert said == b"11 22\r\n"
        running.detach()
        assert list(running.output()) == []
        assert running.wait() is None
        running.close()
        assert "sleep" in engine.exec(id, ("sh", "-c", "cat /proc/[0-9]*/cmdline")).text
        assert engine.container(id).state == "running"


def _counts(engine: Engine, id: str) -> int:
    return sum(len(piece.data) for piece in engine.logs(id))


def _silent(engine: Engine, id: str) -> bool:
    before = _counts(engine, id)
    assert engine.wait(id, timeout=0.1) is None
    return _counts(engine, id) == before


@claim
def a_paused_container_stands_still_and_goes_on(engine: Engine) -> None:
    with background(engine, "while :; do echo x; sleep 0.01; done") as id:
        if not engine.nursery.cgroups:
            with pytest.raises(HostRefused, match="pause"):
                engine.pause(id)
            return
        until(lambda: _counts(engine, id) > 0, "a line")
        engine.pause(id)
        assert engine.container(id).state == "paused"
        assert [one.state for one in engine.containers() if one.id == id] == ["paused"]
        for verb in (engine.pause, lambda who: engine.exec(who, ("true",))):
            with pytest.raises(WrongState, match="paused"):
                verb(id)
        engine.commit(id)
        until(lambda: _silent(engine, id), "the end of what it had said before")
        before = _counts(engine, id)
        assert _silent(engine, id)
        assert engine.container(id).state == "paused"
        engine.unpause(id)
        assert engine.container(id).state == "running"
        until(lambda: _counts(engine, id) > before, "one more line")
        with pytest.raises(WrongState, match="not paused"):
            engine.unpause(id)


@claim
def a_paused_container_can_be_ended(engine: Engine) -> None:
    if not engine.nursery.cgroups:
        return
    script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done"
    with background(engine, script) as id:
        until(lambda: any(engine.logs(id)), "the trap")
        engine.pause(id)
        engine.stop(id, 60)
        assert engine.container(id).exit_status in (5, 143)
        engine.start(id)
        assert engine.container(id).state == "running"
        engine.pause(id)
        engine.kill(id)
        assert engine.wait(id, timeout=60) == 137
        engine.start(id)
        engine.pause(id)
    running = engine.launch(IMAGE, ("sleep", "1000"), Options(die_with_client=True))
    engine.pause(running.container)
    running.close()
    assert engine.wait(running.container, timeout=60) == 137
    engine.remove(running.container)


@claim
def processes_have_a_number_inside_and_one_outside(engine: Engine) -> None:
    with background(engine, "sleep 1001 & exec sleep 1002", user="7") as id:
        until(lambda: [p.command for p in engine.top(id)] == ["sleep 1002", "sleep 1001"], "both")
        first, second = engine.top(id)
        assert (first.inside, first.parent, second.parent) == (1, 0, 1)
        assert first.pid == engine.container(id).pid
        assert os.readlink(f"/proc/{second.pid}/ns/pid") == os.readlink(f"/proc/{first.pid}/ns/pid")
        assert (first.user, second.user) == (7, 7)
        assert first.memory > 0
        assert abs(first.started - time.time()) < 60
    with pytest.raises(ContainerNotFound):
        engine.top(id)


@claim
def what_it_uses_can_be_seen(engine: Engine) -> None:
    with background(engine, "while :; do :; done") as id:
        before = engine.stats(id)
        until(lambda: engine.stats(id).cpu > before.cpu + 0.02, "processor time")
        now = engine.stats(id)
        assert 0 < now.percent(before) < 1000
        assert now.memory > 0
        assert now.pids == 1
        assert now.counted == ("control group" if engine.nursery.cgroups else "processes")
        engine.kill(id)
        engine.wait(id)
        for verb in (engine.stats, engine.top):
            with pytest.raises(WrongState):
                verb(id)


@claim
def limits_can_be_changed_while_it_runs(engine: Engine) -> None:
    with background(engine) as id:
        if not engine.nursery.cgroups:
            with pytest.raises(HostRefused, match="update"):
                engine.update(id, pids_limit=10)
            return
        with pytest.raises(InvalidOption):
            engine.update(id)
        for size in (64 << 20, 256 << 20, 32 << 20):
            engine.update(id, memory=size)
            assert engine.stats(id).memory_limit == size
        engine.update(id, cpus=0.5, pids_limit=7)
        script = ("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 9 & done")
        assert engine.exec(id, script).status != 0
        options = engine.update(id, memory=-1, cpus=-1, pids_limit=-1).options
        assert (options.memory, options.cpus, options.pids_limit) == (None, None, -1)
        assert engine.stats(id).memory_limit is None
        assert engine.exec(id, script).status == 0
        engine.update(id, cpus=0.5, pids_limit=7)
        engine.kill(id)
        engine.wait(id)
        engine.update(id, memory=48 << 20)
        engine.start(id)
        assert engine.stats(id).memory_limit == 48 << 20
        options = engine.container(id).options
        assert (options.memory, options.cpus, options.pids_limit) == (48 << 20, 0.5, 7)


@claim
def it_can_be_started_again_with_its_output_and_input(engine: Engine) -> None:
    made = engine.create(IMAGE, ("cat",), Options(interactive=True))
    for word in (b"one", b"two"):
        running = engine.relaunch(made)
        running.write(word)
        running.close_input()
        assert b"".join(piece.data for piece in running.output()) == word
        assert running.wait() == 0
        running.close()
    engine.remove(made)


@claim
def what_happens_can_be_heard(engine: Engine) -> None:
    journal = f"{engine.places.run}/events"
    with engine.events() as first, engine.events() as second:
        made = engine.create(IMAGE, ("sh", "-c", "exit 6"), Options(name="heard"))
        engine.start(made)
        engine.wait(made)
        heard = []
        while "die" not in [event.action for event in heard]:
            heard += first.next(timeout=60)
        engine.remove(made)
        while "remove" not in [event.action for event in heard]:
            heard += first.next(timeout=60)
        told = [(event.action, event.status) for event in heard if event.id == made.id]
        assert sorted(told, key=str) == [("create", None), ("die", 6), ("remove", None), ("start", None)]
        assert {event.name for event in heard if event.id == made.id} == {"heard"}
        also = []  # containers of earlier claims may just be ending
        while not [event for event in also if event.id == made.id]:
            also += second.next(timeout=60)
        assert next(event.action for event in also if event.id == made.id) == "create"
        assert os.path.exists(journal)
    assert not os.path.exists(journal)


@claim
def it_stands_still_while_it_is_committed_and_whoever_was_killed_left_it_paused(engine: Engine) -> None:
    if not engine.nursery.cgroups:
        return
    with background(engine, "truncate -s 4g /big; while :; do echo x; sleep 0.01; done") as id:
        until(lambda: _counts(engine, id) > 0, "the big file")
        pid = os.fork()
        if pid == 0:
            try:
                engine.commit(id)
            finally:
                os._exit(0)  # whatever happens: no second run of the tests goes on from here
        until(lambda: engine.container(id).state == "paused", "the commit")
        os.kill(pid, 9)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
        assert engine.container(id).state == "paused"
        engine.unpause(id)
        before = _counts(engine, id)
        until(lambda: _counts(engine, id) > before, "it goes on")
        engine.exec(id, ("rm", "/big"))
        engine.commit(id)
        assert engine.container(id).state == "running"
