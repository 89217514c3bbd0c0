"""What must hold on every rung of a container whose pid 1 is our small init."""

import os
import re
import time

import pytest

from sandcell.runtime import Engine
from sandcell.runtime.container.options import ExecOptions, Options
from sandcell.runtime.errors import StartFailed
from tests.engine.claims import IMAGE, background, claim, sh, until


@claim
def with_init_the_program_is_a_child_and_everything_else_the_same(engine: Engine) -> None:
    look = "echo $$ $(cat /proc/1/comm); tr '\\0' ' ' < /proc/1/cmdline; readlink /proc/1/exe"
    found = re.fullmatch(
        r"(\d+) init\nsandcell-init (\d+) /memfd:init \(deleted\)\n", sh(engine, look, init=True)
    )
    assert found
    assert found[1] == found[2] != "1"
    look = "cd /proc/1/fd; echo [0-9]*; cat ../environ ../maps; cat ../status"
    descriptors, *rest = sh(engine, look, init=True).splitlines()
    assert descriptors == "0 1 2"
    assert not [line for line in rest if "python" in line or "PATH" in line]
    _, *without = sh(engine, look).splitlines()
    assert _rights(rest) == _rights(without)


def _rights(status: list[str]) -> list[str]:
    return [line for line in status if line.startswith(("Cap", "NoNew", "Seccomp", "Uid", "Gid", "Groups"))]


@claim
def init_passes_on_status_and_signals(engine: Engine) -> None:
    for script, status in (("exit 7", 7), ("kill -9 $$", 137)):
        assert engine.run(IMAGE, ("sh", "-c", script), Options(remove=True, init=True)).status == status
    for command, code in ((("nothing-of-that-name",), 127), (("/etc",), 126)):
        with pytest.raises(StartFailed) as caught:
            engine.run(IMAGE, command, Options(remove=True, init=True))
        assert caught.value.status == code
    # Pid 1 itself ignores what it has no handler for; a child does not, so it stops at once.
    made = engine.create(IMAGE, ("sleep", "1000"), Options(init=True))
    engine.start(made)
    begun = time.monotonic()
    engine.stop(made, timeout=60)
    assert time.monotonic() - begun < 30
    assert engine.container(made).exit_status == 143
    engine.remove(made)


def _zombies(engine: Engine, id: str) -> int:
    return engine.exec(id, ("sh", "-c", "cat /proc/[0-9]*/stat")).text.count(") Z ")


def _sleeping(engine: Engine, id: str) -> int:
    return sum(one.command.startswith("sleep") for one in engine.top(id))


def _end_the_orphans(engine: Engine, id: str) -> None:
    until(lambda: _sleeping(engine, id) == 6, "all of them")
    orphans = [str(one.inside) for one in engine.top(id) if one.command == "sleep 900"]
    assert engine.exec(id, ("sh", "-c", f"kill {' '.join(orphans)}")).status == 0


@claim
def init_reaps_who_lost_its_parent(engine: Engine) -> None:
    orphans = "for i in 1 2 3 4 5; do (sleep 900 & ) ; done; exec sleep 1000"
    with background(engine, orphans, init=True) as id:
        _end_the_orphans(engine, id)
        until(lambda: _sleeping(engine, id) == 1 and _zombies(engine, id) == 0, "no zombie")
        engine.exec(id, ("sh", "-c", "(sleep 0.1 & ); (sleep 0.1 & )"))
        until(lambda: _sleeping(engine, id) == 1 and _zombies(engine, id) == 0, "no zombie")
        assert engine.exec(id, ("sh", "-c", "echo x 2>/dev/null > /proc/1/exe || echo no")).text == "no\n"
        assert engine.container(id).pid == engine.top(id)[0].pid
    with background(engine, orphans) as id:  # `sleep` reaps nobody
        _end_the_orphans(engine, id)
        until(lambda: _zombies(engine, id) == 5, "five zombies")


@claim
def init_leaves_the_terminal_to_the_program(engine: Engine) -> None:
    with engine.launch(
        IMAGE, ("sh",), Options(remove=True, init=True, tty=True, interactive=True, console_size=(11, 22))
    ) as running:
        running.write(b"tty; stty size; sleep 1000\r")
        seen = b""
        for piece in running.output(timeout=60):
            seen += piece.data
            if b"11 22" in seen:
                break
        assert b"/dev/pts/" in seen
        until(lambda: any(one.command == "sleep 1000" for one in engine.top(running.container)), "sleep")
        running.write(b"\x03exit 4\r")
        for piece in running.output(timeout=60):
            seen += piece.data
        assert running.wait(60) == 4
    until(lambda: not os.path.exists(engine.places.container(running.container.id)), "its removal")


@claim
def a_user_without_rights_has_an_init_without_rights(engine: Engine) -> None:
    with background(engine, "sleep 1000", init=True, user="7") as id:
        told = engine.exec(id, ("cat", "/proc/1/status"), ExecOptions(user="7")).text
        assert "CapEff:\t0000000000000000" in told
