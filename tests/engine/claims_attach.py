"""What must hold on every rung of those who come to a container that runs already."""

import os
import signal
from pathlib import Path

import pytest

from sandcell.runtime import Engine
from sandcell.runtime.container.options import Options
from sandcell.runtime.container.running import Running
from sandcell.runtime.errors import ContainerNotFound, Corrupted, WrongState
from tests.engine.claims import IMAGE, background, claim, until


def _hear(running: Running, *wanted: bytes) -> bytes:
    """Listen until all of ``wanted`` was said; the streams come in any order, and in any pieces."""
    heard = b""
    for piece in running.output(timeout=60):
        heard += piece.data
        if all(word in heard for word in wanted):
            return heard
    raise AssertionError(heard)


@claim
def several_can_be_attached_and_all_hear_the_same(engine: Engine) -> None:
    script = 'while read x; do echo "out $x"; echo "err $x" >&2; done'
    with background(engine, script, interactive=True) as id:
        first, second = engine.attach(id), engine.attach(id)
        first.write(b"one\n")
        assert all(_hear(who, b"out one", b"err one") for who in (first, second))
        second.write(b"two\n")
        heard = [{piece.stream for piece in _pieces(who, 2)} for who in (first, second)]
        assert heard == [{"stdout", "stderr"}] * 2
        first.close()
        second.write(b"three\n")
        _hear(second, b"out three", b"err three")
        second.close_input()  # only theirs: the container's own stays open
        second.close()
        third = engine.attach(id)
        third.write(b"four\n")
        _hear(third, b"out four", b"err four")
        engine.kill(id)
        assert third.wait(60) == 137
        third.close()
        text = b"".join(piece.data for piece in engine.logs(id))
        assert [text.count(word) for word in (b"one", b"two", b"three", b"four")] == [2, 2, 2, 2]


def _pieces(running: Running, number: int) -> list[object]:
    found = []
    for piece in running.output(timeout=60):
        found.append(piece)
        if len(found) == number:
            break
    return found


def _says(running: Running, wanted: bytes) -> bool:
    """Is ``wanted`` among what is said within a moment? What is said in two pieces comes again."""
    return any(wanted in piece.data for piece in running.output(timeout=0.2))


@claim
def a_terminal_is_shared_by_who_is_attached(engine: Engine) -> None:
    script = "trap 'stty size' WINCH; while :; do read x && echo got $x; done"
    with background(engine, script, interactive=True, tty=True) as id:
        first, second = engine.attach(id), engine.attach(id)
        first.write(b"word\r")
        _hear(first, b"got word")
        _hear(second, b"got word")
        second.resize(11, 22)
        # A shell that hears a signal just before it begins to read does its trap after the next line.
        until(lambda: second.write(b"\r") == 1 and _says(first, b"11 22"), "the new size")
        first.detach()
        assert first.wait(60) is None
        assert first.detached
        engine.kill(id)
        assert second.wait(60) == 137
        first.close()
        second.close()


@claim
def who_starts_it_and_who_comes_later_hear_the_end(engine: Engine) -> None:
    mine = engine.launch(IMAGE, ("sh", "-c", "echo begun; read x; exit 6"), Options(interactive=True))
    _hear(mine, b"begun")
    guest = engine.attach(mine.container)
    assert not guest.typing  # its standard input is the pipe of who started it
    mine.write(b"\n")
    assert (mine.wait(60), guest.wait(60)) == (6, 6)
    assert list(guest.output()) == []
    mine.close()
    guest.close()
    with pytest.raises(WrongState, match="not running"):
        engine.attach(mine.container)
    engine.remove(mine.container)


@claim
def somebody_attached_who_stands_still_keeps_nobody_else(engine: Engine) -> None:
    # More than the pipes hold, less than the backlog: it ends, and they have not read it.
    script = "read x; dd if=/dev/zero bs=1M count=3 2>/dev/null"
    with background(engine, script, interactive=True) as id:
        guest = engine.attach(id)
        guest.write(b"\n")
        assert engine.wait(id, timeout=60) == 0
        engine.remove(id)
        with pytest.raises(ContainerNotFound):
            engine.container(id)
        assert sum(len(piece.data) for piece in guest.output(timeout=60)) == 3 << 20
        guest.close()


@claim
def a_client_that_stands_still_keeps_no_lock(engine: Engine) -> None:
    script = "dd if=/dev/zero bs=1M count=3 2>/dev/null"
    mine = engine.launch(IMAGE, ("sh", "-c", script))
    assert engine.wait(mine.container, timeout=60) == 0
    engine.start(mine.container)
    assert engine.wait(mine.container, timeout=60) == 0
    engine.remove(mine.container)
    assert sum(len(piece.data) for piece in mine.output(timeout=60)) == 3 << 20
    mine.close()


@claim
def a_guest_that_is_killed_or_talks_nonsense_is_forgotten(engine: Engine) -> None:
    from sandcell.runtime.container import guests

    with background(engine, "while read x; do echo $x; done", interactive=True) as id:
        for nonsense in (b"", b"\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x01x"):
            stranger = guests.call(engine.places.running(id))
            stranger.sendall(nonsense)
            stranger.close()
        pid = os.fork()
        if pid == 0:
            try:
                engine.attach(id)
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        guest = engine.attach(id)
        guest.write(b"still\n")
        _hear(guest, b"still")
        guest.close()


@claim
def a_record_that_cannot_be_read_costs_nobody_his_files(engine: Engine) -> None:
    made = engine.create(IMAGE, ("sh", "-c", "echo kept > /kept"))
    engine.start(made)
    engine.wait(made)
    home = Path(engine.places.container(made.id))
    until(lambda: (home / "state.json").exists(), "the clean-up")
    (home / "container.json").write_bytes(b"")
    os.utime(home, (1, 1))
    engine.prune()
    assert (home / "upper/kept").read_text() == "kept\n"
    with pytest.raises(Corrupted, match=r"container\.json cannot be read") as caught:
        engine.container(made.id[:12])
    assert str(home) in caught.value.hint
    assert engine.spoiled() == [made.id]
    engine.remove(made.id[:12], force=True)
    assert not home.exists()
