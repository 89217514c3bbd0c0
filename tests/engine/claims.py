"""What must hold on every rung: each function checks one claim against a real engine.

They are run here as root, and by ``plain_user`` as somebody without rights; see ``test_claims``.
"""

import hashlib
import importlib
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sandcell.runtime import Engine, Options
from sandcell.runtime.container.options import ExecOptions
from sandcell.runtime.errors import (
    ImageNotFound,
    NameInUse,
    SandcellError,
    StartFailed,
    WrongState,
)

IMAGE = "claims:1"
TEXT = """
FROM host:tiny
RUN echo from-the-image > /file && mkdir /data && chmod 640 /file
ENV COLOUR=blue
WORKDIR /data
CMD ["sh", "-c", "echo from CMD in $PWD"]
"""

CLAIMS: list[Callable[[Engine], None]] = []


def claim(function: Callable[[Engine], None]) -> Callable[[Engine], None]:
    """Adds the function to the list that the tests go through."""
    CLAIMS.append(function)
    return function


def gather() -> None:
    """Import the files of claims beside this one, so that ``CLAIMS`` has them all. Those of the low rungs
    have a list of their own."""
    for path in sorted(Path(__file__).parent.glob("claims_*.py")):
        if path.stem != "claims_low":
            importlib.import_module(f"tests.engine.{path.stem}")


def prepare(engine: Engine) -> None:
    """Build the image that the claims use."""
    try:
        engine.image(IMAGE)
    except ImageNotFound:
        engine.build(TEXT, name=IMAGE)


def sh(engine: Engine, script: str, **options: object) -> str:
    """Run ``script`` in a new container that is thrown away; its output."""
    result = engine.run(IMAGE, ("sh", "-c", script), Options(remove=True, **options))  # type: ignore[arg-type]
    assert result.status == 0, (result.status, result.stdout, result.stderr)
    return result.stdout.decode()


@contextmanager
def background(engine: Engine, script: str = "sleep 1000", **options: object) -> Iterator[str]:
    """The id of a container that runs ``script``, removed in the end."""
    made = engine.create(IMAGE, ("sh", "-c", script), Options(**options), starts=True)  # type: ignore[arg-type]
    try:
        engine.start(made)
        yield made.id
    finally:
        engine.remove(made, force=True)


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for something that another process does; bounded."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.005)


def snapshot_of(engine: Engine) -> dict[str, tuple[int, int, int, str]]:
    """Every file of the image's unpacked layers: mode, size, time and content."""
    found = {}
    for layer in engine.store.lowers(engine.image(IMAGE)):
        for path in sorted(Path(layer).rglob("*")):
            info = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(info.st_mode) else ""
            found[str(path)] = (info.st_mode, info.st_size, info.st_mtime_ns, content)
    return found


@claim
def it_runs_a_command_and_tells_its_output_and_status(engine: Engine) -> None:
    result = engine.run(IMAGE, ("sh", "-c", "echo out; echo err >&2; exit 7"), Options(remove=True))
    assert (result.stdout, result.stderr, result.status) == (b"out\n", b"err\n", 7)


@claim
def without_a_command_the_image_says_what_runs(engine: Engine) -> None:
    assert engine.run(IMAGE, None, Options(remove=True)).stdout == b"from CMD in /data\n"


@claim
def environment_user_and_directory_come_from_the_image_and_the_options(engine: Engine) -> None:
    assert sh(engine, "echo $COLOUR $PWD $HOME") == "blue /data /root\n"
    assert sh(engine, "echo $COLOUR $PWD", env={"COLOUR": "a b=c"}, workdir="/tmp") == "a b=c /tmp\n"


@claim
def its_first_process_is_pid_1_in_namespaces_of_its_own(engine: Engine) -> None:
    assert sh(engine, "echo $$") == "1\n"
    with background(engine, hostname="inside") as id:
        pid = engine.container(id).pid
        assert pid is not None
        assert pid != 1
        for name in ("pid", "mnt", "net", "ipc", "uts"):
            assert os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"), name
        assert engine.exec(id, ("cat", "/proc/sys/kernel/hostname")).text == "inside\n"
    assert os.uname().nodename != "inside"


@claim
def it_sees_only_its_own_processes_and_files(engine: Engine) -> None:
    listed = sh(engine, "echo /proc/[0-9]*").split()
    assert listed == ["/proc/1"]
    marker = Path(engine.places.home) / "marker-of-the-host"
    marker.write_text("x")
    assert sh(engine, f"test -e {marker} && echo there || echo not there") == "not there\n"


@claim
def its_network_has_a_loopback_that_works_and_nothing_else(engine: Engine) -> None:
    assert [line.split(":")[0].strip() for line in sh(engine, "cat /proc/net/dev").splitlines()[2:]] == ["lo"]
    assert sh(engine, "cat /sys/class/net/lo/operstate /sys/class/net/lo/flags").split()[1] == "0x9"


@claim
def a_file_it_writes_is_neither_on_the_host_nor_in_the_image(engine: Engine) -> None:
    name = f"/written-{os.getpid()}"
    with background(engine, f"echo x > {name}; sleep 1000") as id:
        until(lambda: engine.exec(id, ("test", "-e", name)).status == 0, "the file")
        assert not os.path.exists(name)
        assert [(c.kind, c.path) for c in engine.diff(id)] == [("A", name[1:])]
    assert sh(engine, f"test -e {name} || echo gone") == "gone\n"


@claim
def the_whole_of_usr_may_be_deleted_and_is_there_again_in_the_next_one(engine: Engine) -> None:
    result = engine.run(IMAGE, ("sh", "-c", "rm -rf /usr /etc; echo still here"), Options(remove=True))
    assert result.stdout == b"still here\n"
    assert sh(engine, "ls -d /usr /etc") == "/etc\n/usr\n"


@claim
def the_mount_points_of_the_runtime_are_no_changes(engine: Engine) -> None:
    made = engine.create(IMAGE, ("true",), Options(files={"cell": b"x"}))
    try:
        engine.start(made)
        assert engine.wait(made) == 0
        assert engine.diff(made) == ()
    finally:
        engine.remove(made)


@claim
def files_placed_for_it_are_read_only_and_what_it_hands_out_can_be_read(engine: Engine) -> None:
    options = Options(files={"cell": b"#!/bin/sh\necho run; echo result > /run/sandcell/out/y\n"})
    running = engine.launch(IMAGE, ("/run/sandcell/cell",), options)
    output = b"".join(piece.data for piece in running.output())
    assert running.wait() == 0
    assert output == b"run\n"
    assert Path(engine.exchange(running), "y").read_bytes() == b"result\n"
    running.close()
    engine.remove(running.container)
    refused = engine.run(IMAGE, ("sh", "-c", "echo x > /run/sandcell/cell"), options)
    assert refused.status != 0
    engine.remove(refused.container)


@claim
def a_command_that_is_not_there_is_127_and_one_that_cannot_run_126(engine: Engine) -> None:
    for command, status in ((("no-such-command",), 127), (("/etc/passwd",), 126)):
        try:
            engine.run(IMAGE, command, Options(remove=True))
        except StartFailed as error:
            assert error.status == status
            assert error.hint
        else:
            raise AssertionError(command)


@claim
def stop_and_start_keep_its_files_and_a_fresh_one_has_none_of_them(engine: Engine) -> None:
    with background(engine, "trap 'exit 3' TERM; echo again >> /kept; while :; do sleep 0.02; done") as id:
        until(lambda: engine.exec(id, ("test", "-e", "/kept")).status == 0, "the first start")
        engine.stop(id, 60)
        assert engine.container(id).exit_status == 3
        engine.start(id)
        until(lambda: engine.exec(id, ("cat", "/kept")).text == "again\nagain\n", "the second start")
        engine.stop(id)
        engine.reset(id)
        engine.start(id)
        until(lambda: engine.exec(id, ("cat", "/kept")).text == "again\n", "the third start")


@claim
def the_log_has_all_that_it_wrote(engine: Engine) -> None:
    made = engine.create(IMAGE, ("sh", "-c", "echo one; echo two >&2; printf '\\377'"))
    engine.start(made)
    assert engine.wait(made) == 0
    assert b"".join(piece.data for piece in engine.logs(made, stderr=False)) == b"one\n\xff"
    assert b"".join(piece.data for piece in engine.logs(made, stdout=False)) == b"two\n"
    engine.remove(made)


@claim
def commit_makes_a_new_image_and_leaves_the_old_one(engine: Engine) -> None:
    old = engine.image(IMAGE)
    made = engine.create(IMAGE, ("sh", "-c", "echo new > /new; rm /file"))
    engine.start(made)
    engine.wait(made)
    image = engine.commit(made, "claims:committed", message="by a test")
    engine.remove(made)
    assert image.digest != old.digest
    assert engine.image(IMAGE).digest == old.digest
    assert image.config.config.cmd == old.config.config.cmd  # what this container ran is not what it runs
    assert [layer.diff_id for layer in image.layers[:-1]] == [layer.diff_id for layer in old.layers]
    result = engine.run("claims:committed", ("sh", "-c", "cat /new; ls /file"), Options(remove=True))
    assert result.stdout == b"new\n"
    assert result.status != 0
    engine.remove_image("claims:committed")


@claim
def exec_sees_the_same_world_and_its_signals_reach_only_its_own_processes(engine: Engine) -> None:
    with background(engine, "echo mine > /mine; sleep 1000") as id:
        until(lambda: engine.exec(id, ("test", "-e", "/mine")).status == 0, "the file")
        options = ExecOptions(files={"cell": b"trap '' INT\n(trap '' INT; sleep 999) &\necho ready\nwait\n"})
        running = engine.launch_in(id, ("sh", "{dir}/cell"), options)
        pieces = running.output()
        assert next(pieces).data == b"ready\n"
        running.signal(signal.SIGINT)
        assert running.wait(0.05) is None
        running.signal(signal.SIGKILL)
        assert running.wait(60) == 137
        running.close()
        assert engine.container(id).state == "running"
        assert (
            "999"
            not in engine.exec(id, ("sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")).text
        )


@claim
def exec_options_are_the_execs_alone(engine: Engine) -> None:
    with background(engine) as id:
        assert (
            engine.exec(id, ("sh", "-c", "echo $A $PWD"), ExecOptions(env={"A": "b"}, workdir="/tmp")).text
            == "b /tmp\n"
        )
        assert engine.exec(id, ("sh", "-c", "echo $A $PWD")).text == "/data\n"


@claim
def a_container_removed_at_its_end_leaves_nothing(engine: Engine) -> None:
    before = set(os.listdir(engine.places.containers))
    sh(engine, "true")
    until(lambda: set(os.listdir(engine.places.containers)) <= before, "the removal")


@claim
def verbs_in_the_wrong_state_are_refused_and_change_nothing(engine: Engine) -> None:
    with background(engine, name="busy") as id:
        pid = engine.container(id).pid
        assert engine.start(id).pid == pid  # as docker, one that runs goes on
        for verb in (engine.relaunch, engine.remove, engine.reset):
            try:
                verb(id)
            except WrongState as error:
                assert error.hint
            else:
                raise AssertionError(verb)
        try:
            engine.create(IMAGE, ("true",), Options(name="busy"))
        except NameInUse:
            pass
        else:
            raise AssertionError("a name twice")
        assert engine.container("busy").state == "running"
    made = engine.create(IMAGE, ("true",))
    try:
        engine.exec(made, ("true",))
    except WrongState:
        pass
    else:
        raise AssertionError("exec in a container that does not run")
    finally:
        engine.remove(made)


@claim
def bad_input_is_one_clear_error_each(engine: Engine) -> None:
    before = set(os.listdir(engine.places.containers))
    for make in (
        lambda: engine.run("no-such-image", ("true",)),
        lambda: engine.run("NOT A NAME", ("true",)),
        lambda: engine.run(IMAGE, ("true",), Options(user="nobody-here")),
        lambda: engine.run(IMAGE, ("true",), Options(volumes=("/no/such/place:/x",))),
        lambda: engine.run(IMAGE, ("true",), Options(memory=1)),
        lambda: engine.run(IMAGE, ("",)),
        lambda: engine.container("no-such-container"),
        lambda: engine.kill("no-such-container"),
    ):
        try:
            make()
        except SandcellError as error:
            assert str(error)
            assert error.hint, str(error)
        else:
            raise AssertionError("no error")
    # Those of earlier claims may just be removing themselves.
    assert set(os.listdir(engine.places.containers)) <= before


@claim
def a_terminal_is_a_terminal(engine: Engine) -> None:
    assert sh(engine, "test -t 1 && stty size >/dev/null; test -t 0 && tty", tty=True).strip() == "/dev/pts/0"
