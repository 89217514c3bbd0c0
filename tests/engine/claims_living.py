"""What must hold on every rung of containers that run: reading along, standing still, looking in."""

import time

from sandcell.runtime import Engine
from sandcell.runtime.container.options import ExecOptions, Options
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
        assert next(running.output()).data == b"11 22\r\n"
        running.detach()
        assert list(running.output()) == []
        assert running.wait() is None
        running.close()
        assert "sleep" in engine.exec(id, ("sh", "-c", "cat /proc/[0-9]*/cmdline")).text
        assert engine.container(id).state == "running"
