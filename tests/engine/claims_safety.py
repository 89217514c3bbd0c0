"""The claims about safety: what a container cannot reach, and what survives when something is killed."""

import fcntl
import os
import signal
from pathlib import Path

from sandcell.runtime import Engine, Options
from sandcell.runtime.container import state
from sandcell.runtime.container.options import ExecOptions
from sandcell.runtime.engine import record
from sandcell.runtime.errors import (
    SandcellError,
)
from sandcell.runtime.linux.process import alive
from tests.engine.claims import IMAGE, background, claim, sh, snapshot_of, until

_GET_SEALS, _SEAL_WRITE = 1034, 8  # fcntl(2)


@claim
def no_way_of_writing_from_inside_changes_an_image_file(engine: Engine) -> None:
    before = snapshot_of(engine)
    with background(
        engine,
        "echo more >> /file; : > /file; chmod 777 /file; touch -d @1 /file; mv /file /moved;"
        " rm -rf /data /bin/cat /etc/passwd; ln /moved /linked; echo done > /done; sleep 1000",
    ) as id:
        root = ExecOptions(workdir="/")
        until(lambda: engine.exec(id, ("test", "-e", "/done"), root).status == 0, "the writes")
        changed = {(c.kind, c.path) for c in engine.diff(id)}
        assert {("D", "file"), ("A", "moved"), ("A", "linked"), ("D", "data")} <= changed
    assert snapshot_of(engine) == before
    for layer in engine.image(IMAGE).layers:
        engine.store.verify(layer.descriptor.digest)
    assert sh(engine, "cat /file; stat -c %a /file") == "from-the-image\n640\n"


@claim
def a_volume_shows_the_hosts_files_and_read_only_is_read_only(engine: Engine) -> None:
    folder = Path(engine.places.home, f"volume-{os.getpid()}")
    folder.mkdir(exist_ok=True)
    (folder / "in").write_text("of the host\n")
    assert sh(engine, "cat /v/in; echo back > /v/out", volumes=(f"{folder}:/v",)) == "of the host\n"
    assert (folder / "out").read_text() == "back\n"
    assert (
        sh(engine, "echo x 2>/dev/null > /v/no || echo refused", volumes=(f"{folder}:/v:ro",)) == "refused\n"
    )


@claim
def it_cannot_do_what_would_reach_the_host(engine: Engine) -> None:
    script = """
    mount -t tmpfs none /mnt 2>/dev/null && echo mounted
    mknod /dev/sda b 8 0 2>/dev/null && cat /dev/sda > /dev/null 2>&1 && echo disk
    echo 1 2>/dev/null > /proc/sys/kernel/panic && echo sysctl
    cat /proc/kcore 2>/dev/null | head -c 1 | grep -q . && echo kcore
    echo c 2>/dev/null > /proc/sysrq-trigger && echo sysrq
    hostname other 2>/dev/null && echo hostname
    echo checked
    """
    assert sh(engine, script) == "checked\n"


@claim
def capabilities_no_new_privs_and_the_filter_are_as_promised(engine: Engine) -> None:
    status = dict(
        line.split(":", 1) for line in sh(engine, "cat /proc/self/status").splitlines() if ":" in line
    )
    assert int(status["CapBnd"], 16) == 0xA80425FB  # docker's fourteen
    assert int(status["CapEff"], 16) == 0xA80425FB
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"


@claim
def a_killed_monitor_ends_its_container_and_start_works_again(engine: Engine) -> None:
    with background(engine) as id:
        who = record.find(engine.places, id)
        now = state.read(engine.places.running(id), engine.places.container(id))
        assert now.monitor is not None
        assert now.init is not None
        os.kill(now.monitor.pid, signal.SIGKILL)
        monitor, init = now.monitor, now.init
        until(lambda: not alive(monitor), "the monitor's end")
        found = engine.container(id)
        assert (found.state, found.exit_status) == ("exited", None)
        assert "unknown" in found.error
        until(lambda: not alive(init), "init's end")
        engine.start(id)
        assert engine.container(id).state == "running"
        assert who.id == id


@claim
def a_killed_spawner_is_replaced_and_nothing_else_ends(engine: Engine) -> None:
    with background(engine) as id:
        for _ in range(5):  # its children may have a moment longer to live, and take no job any more
            spawner = engine.launcher.pid
            assert spawner is not None
            os.kill(spawner, signal.SIGKILL)
            assert sh(engine, "echo alive") == "alive\n"
        assert engine.container(id).state == "running"


@claim
def closing_the_engine_leaves_containers_running(engine: Engine) -> None:
    with background(engine) as id:
        engine.close()
        with Engine(engine.places.home, engine.places.run) as other:
            assert other.container(id).state == "running"
            assert other.exec(id, ("echo", "hi")).text == "hi\n"


@claim
def what_must_die_with_its_client_does(engine: Engine) -> None:
    running = engine.launch(IMAGE, ("sleep", "1000"), Options(die_with_client=True))
    running.close()
    until(lambda: engine.container(running.container.id).state == "exited", "its end")
    engine.remove(running.container)


@claim
def images_files_cannot_run_in_the_runtime_on_the_way_in(engine: Engine) -> None:
    # House rule 1: the tree of an image holds the very paths that Python would import from.
    import encodings

    folder = os.path.dirname(os.path.abspath(encodings.__file__))
    engine.build(
        f"FROM {IMAGE}\nRUN mkdir -p {folder} && for n in idna __init__ aliases utf_8 ascii; do"
        f" echo \"open('/owned', 'w')\" > {folder}/$n.py; done",
        name="claims:hostile",
    )
    result = engine.run(
        "claims:hostile", ("sh", "-c", "test -e /owned && echo owned; echo $$"), Options(remove=True)
    )
    assert result.stdout == b"1\n"
    with background(engine) as id:
        assert engine.exec(id, ("ls", "/")).status == 0
    engine.remove_image("claims:hostile")


@claim
def the_runtimes_program_cannot_be_written_from_inside(engine: Engine) -> None:
    # House rule 2: between pivot_root and execve /proc/self/exe is the host's interpreter; a
    # command that is a link to it would execute it inside.
    result = engine.run(IMAGE, ("sh", "-c", "true"), Options(entrypoint=("/proc/self/exe",), remove=True))
    assert result.status != 0  # the interpreter finds no library, or is not there
    pid = engine.launcher.pid
    assert pid is not None
    try:
        os.close(os.open(f"/proc/{pid}/exe", os.O_WRONLY))
    except OSError as error:
        assert error.errno in (30, 26, 1, 13), error  # EROFS, ETXTBSY, EPERM, EACCES
    else:
        raise AssertionError("the interpreter could be opened for writing")
    # ETXTBSY holds only as long as somebody runs it: what we run from can never be written.
    with open(f"/proc/{pid}/exe", "rb") as file:
        sealed = fcntl.fcntl(file, _GET_SEALS) if os.readlink(f"/proc/{pid}/exe").startswith("/memfd:") else 0
        assert sealed & _SEAL_WRITE or os.fstatvfs(file.fileno()).f_flag & os.ST_RDONLY


@claim
def a_bad_memory_limit_or_a_real_one(engine: Engine) -> None:
    if not engine.nursery.cgroups:
        try:
            sh(engine, "true", memory=64 << 20)
        except SandcellError as error:
            assert error.hint
            return
        raise AssertionError("a limit that nobody keeps was accepted")
    script = "head -c 300m /dev/zero | tail > /dev/null"
    result = engine.run(IMAGE, ("sh", "-c", script), Options(memory=32 << 20, remove=True))
    assert result.status == 137, result
    forked = engine.run(
        IMAGE,
        ("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait"),
        Options(pids_limit=4, remove=True),
    )
    assert b"fork" in forked.stderr.lower()


@claim
def a_signal_to_an_exec_finds_what_hides_its_mark_and_spares_what_is_not_its_own(engine: Engine) -> None:
    with background(engine, "sleep 901 & (sleep 902 &); sleep 1000") as id:
        script = "env -i sleep 903 & (env -i sleep 904 &) ; (sleep 905 & ); echo ready; wait"
        running = engine.launch_in(id, ("sh", "-c", script))
        assert next(running.output()).data == b"ready\n"
        listed = ("sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
        until(
            lambda: all(f"sleep {n}" in engine.exec(id, listed).text for n in range(901, 906)), "all of them"
        )
        running.signal(signal.SIGKILL)
        assert running.wait(60) == 137
        running.close()
        until(
            lambda: not any(f"sleep {n}" in engine.exec(id, listed).text for n in (903, 904, 905)),
            "their end",
        )
        assert all(f"sleep {n}" in engine.exec(id, listed).text for n in (901, 902))
