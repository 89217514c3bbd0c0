"""What must hold where nothing can be mounted, and a container's files are a copy of its image's."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sandcell.runtime import Engine, Options
from sandcell.runtime.container.options import ExecOptions
from sandcell.runtime.errors import BuildFailed, HostRefused, SandcellError
from sandcell.runtime.linux import landlock
from tests.engine import claims, claims_archives, claims_copy, claims_living, claims_safety
from tests.engine.claims import IMAGE, background, sh, until

LOW: list[Callable[[Engine], None]] = [
    claims.it_runs_a_command_and_tells_its_output_and_status,
    claims.without_a_command_the_image_says_what_runs,
    claims.environment_user_and_directory_come_from_the_image_and_the_options,
    claims.a_file_it_writes_is_neither_on_the_host_nor_in_the_image,
    claims.the_whole_of_usr_may_be_deleted_and_is_there_again_in_the_next_one,
    claims.the_mount_points_of_the_runtime_are_no_changes,
    claims.a_command_that_is_not_there_is_127_and_one_that_cannot_run_126,
    claims.stop_and_start_keep_its_files_and_a_fresh_one_has_none_of_them,
    claims.the_log_has_all_that_it_wrote,
    claims.commit_makes_a_new_image_and_leaves_the_old_one,
    claims.exec_options_are_the_execs_alone,
    claims.a_container_removed_at_its_end_leaves_nothing,
    claims.verbs_in_the_wrong_state_are_refused_and_change_nothing,
    claims.bad_input_is_one_clear_error_each,
    claims_archives.an_exported_container_is_imported_as_it_was,
    claims_copy.files_are_copied_in_and_out_of_running_and_of_stopped_containers,
    claims_copy.links_lead_nowhere_but_inside,
    claims_living.input_goes_in_and_its_end_too,
    claims_living.what_it_uses_can_be_seen,
    claims_living.limits_can_be_changed_while_it_runs,
    claims_safety.no_way_of_writing_from_inside_changes_an_image_file,
    claims_safety.a_killed_monitor_ends_its_container_and_start_works_again,
    claims_safety.what_must_die_with_its_client_does,
    claims_safety.a_bad_memory_limit_or_a_real_one,
]


def low(function: Callable[[Engine], None]) -> Callable[[Engine], None]:
    """Adds the function to the list."""
    LOW.append(function)
    return function


@low
def its_card_says_what_is_not_real_and_why(engine: Engine) -> None:
    made = engine.create(IMAGE, ("true",))
    facets = {facet.name: facet for facet in made.facets}
    assert made.rung == engine.host.rung
    assert facets["files"].state == "emulated"
    assert "copy" in facets["files"].reason
    assert all(facet.reason for facet in facets.values())
    wanted = {"nomount": "emulated", "chroot": "shared"}[made.rung]
    assert facets["processes"].state == wanted
    assert ("network" in facets) is (made.rung == "chroot")
    engine.remove(made)


@low
def namespaces_are_its_own_where_they_can_be_made(engine: Engine) -> None:
    pid, hostname = sh(engine, "echo $$; uname -n", hostname="inside").split()
    if engine.host.rung == "nomount":
        assert (pid, hostname) == ("1", "inside")
        with background(engine) as id:
            theirs = f"/proc/{engine.container(id).pid}/ns"
            for kind in ("net", "ipc", "uts", "pid", "user"):
                assert os.readlink(f"{theirs}/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    else:
        assert (pid == "1", hostname) == (False, os.uname().nodename)


@low
def changes_are_found_however_they_are_made(engine: Engine) -> None:
    script = """
    cp -p /file /kept && printf x | dd of=/file conv=notrunc bs=1 count=1 2>/dev/null && touch -r /kept /file
    rm /kept; PATH=/usr/bin:/usr/moved; hash -r
    mv /usr/bin /usr/moved && mkdir /usr/bin && cp -a /usr/moved/. /usr/bin && rm -r /usr/moved; hash -r
    rm -r /data && mkdir -m 700 /data && echo x > /data/new; ln -s /nowhere /link; chmod 600 /welcome
    rm -r /srv; echo x > /srv
    """
    path = sh(engine, "command -v rm").strip()
    result = engine.run(IMAGE, ("sh", "-c", script))
    assert (result.status, result.stderr) == (0, b""), result
    changed = {change.path: change.kind for change in engine.diff(result.container)}
    for name, kind in (("file", "C"), ("data/new", "A"), ("link", "A"), ("welcome", "C"), ("data", "C")):
        assert changed.get(name) == kind, (name, changed)
    assert "srv" in changed
    # A file that is another one with the same content is no change.
    assert path[1:] not in changed
    image = engine.commit(result.container, "low:changed")
    said = sh(engine, "true")
    assert said == ""
    after = engine.run(
        "low:changed", ("sh", "-c", "head -c 1 /file; cat /data/new /srv; ls /data; stat -c %a /data")
    )
    assert after.text.split() == ["xx", "x", "new", "700"], after
    assert engine.diff(after.container) == ()
    for one in (result.container, after.container):
        engine.remove(one)
    assert image.digest


@low
def a_build_runs_its_steps_in_copies(engine: Engine) -> None:
    text = f"FROM {IMAGE}\nRUN echo one > /one && rm /file && chown 7:8 /one\n"
    text += "RUN cat /one && mkdir -p /a/b && echo x > /a/b/c\n"
    engine.build(text, name="low:built")
    said = sh_of(engine, "low:built", "cat /one /a/b/c; stat -c %u:%g /one; test -e /file || echo gone")
    owner = "7:8" if engine.host.rung == "chroot" else "0:0"  # with one id it is recorded, not seen
    assert said.split() == ["one", "x", owner, "gone"], said
    with pytest.raises(BuildFailed, match="status 3"):
        engine.build(f"FROM {IMAGE}\nRUN exit 3\n", name="low:no")
    assert os.listdir(f"{engine.places.home}/builds/containers") == []


def sh_of(engine: Engine, image: str, script: str) -> str:
    """What the script prints in a new container of ``image``."""
    result = engine.run(image, ("sh", "-c", script), Options(remove=True))
    assert result.status == 0, result
    return result.text


@low
def a_volume_that_an_image_declares_is_a_folder_of_the_copy(engine: Engine) -> None:
    engine.build(f"FROM {IMAGE}\nVOLUME /declared\n", name="low:volume")
    assert (
        sh_of(engine, "low:volume", "mkdir -p /declared && echo x > /declared/y && cat /declared/y") == "x\n"
    )


@low
def what_would_have_to_be_mounted_is_refused_in_a_sentence(engine: Engine) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for options in (
            Options(volumes=(f"{folder}:/v",)),
            Options(tmpfs=("/t",)),
            Options(read_only=True),
            Options(network="bridge"),
        ):
            with pytest.raises(HostRefused, match=engine.host.rung) as refused:
                engine.create(IMAGE, ("true",), options)
            assert "doctor" in refused.value.hint
    assert not [one for one in engine.containers(all=True) if one.state == "created"]


@low
def results_come_out_of_a_run_and_of_an_exec(engine: Engine) -> None:
    options = Options(files={"in/word": b"hello"})
    running = engine.launch(IMAGE, ("sh", "-c", "cp /run/sandcell/in/word /run/sandcell/out/got"), options)
    assert running.wait() == 0
    assert Path(engine.exchange(running), "got").read_bytes() == b"hello"
    running.close()
    script = "cat {dir}/in/word; cp {dir}/in/word $SANDCELL_OUT/back; ln -s /etc/passwd $SANDCELL_OUT/link"
    with background(engine) as id:
        inner = ExecOptions(files={"in/word": b"again"}, fetch=True)
        second = engine.launch_in(id, ("sh", "-c", script), inner)
        assert b"".join(piece.data for piece in second.output()) == b"again"
        assert second.wait() == 0
        place = Path(engine.exchange(second))
        second.close()
        assert (place / "back").read_bytes() == b"again"
        assert not (place / "link").exists()


@low
def nothing_it_started_outlives_it(engine: Engine) -> None:
    made = engine.create(IMAGE, ("sh", "-c", "(sleep 7301 &); setsid sleep 7302 & sleep 0.1"))
    engine.start(made)
    assert engine.wait(made, timeout=60) == 0
    until(lambda: not _running("7301") and not _running("7302"), "their end")
    engine.remove(made)
    with background(engine) as id:
        inner = engine.launch_in(id, ("sh", "-c", "sleep 7303 & echo ready; wait"))
        assert next(inner.output()).data == b"ready\n"
        engine.kill(id)
        status = inner.wait()
        assert status == 137, status
        inner.close()
    until(lambda: not _running("7303"), "its end")


def _running(argument: str) -> bool:
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and Path("/proc", name, "cmdline").read_bytes().endswith(
                f"\0{argument}\0".encode()
            ):
                return True
        except OSError:
            continue
    return False


@low
def links_of_an_image_lead_the_runtime_nowhere(engine: Engine) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        text = (
            f"FROM {IMAGE}\nRUN rm -rf /etc /run /dev && for n in etc run dev; do ln -s {folder} /$n; done\n"
        )
        engine.build(text, name="low:links")
        engine.run("low:links", ("true",), Options(remove=True))
        assert os.listdir(folder) == []


@low
def a_terminal_works_without_a_file_system_of_its_own(engine: Engine) -> None:
    options = {"tty": True, "console_size": (33, 44)}
    assert sh(engine, "test -t 0 && test -t 1 && stty size", **options) == "33 44\r\n"


@low
def it_holds_no_right_that_leads_out_of_a_chroot(engine: Engine) -> None:
    with background(engine) as id:
        status = Path(f"/proc/{engine.container(id).pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert not int(fields["CapBnd"], 16) >> 18 & 1  # CAP_SYS_CHROOT
    assert not int(fields["CapBnd"], 16) >> 27 & 1  # CAP_MKNOD
    assert (fields["NoNewPrivs"].strip(), fields["Seccomp"].strip()) == ("1", "2")
    if landlock.version() >= 2:
        # What is moved from one directory to another shows that the rules allow all that is below.
        assert sh(engine, "mkdir /x /y && echo 1 > /x/f && mv /x/f /y/f && cat /y/f") == "1\n"


@low
def it_signals_nobody_outside(engine: Engine) -> None:
    said = sh(engine, f"kill -0 {os.getpid()} 2> /dev/null && echo reached || echo refused")
    # With chroot(2) alone it has the host's process numbers, and only Landlock's scopes are in the way.
    assert said == "refused\n" or (engine.host.rung == "chroot" and landlock.version() < 6)


def verdicts(engine: Engine) -> None:
    """Print one line for each claim."""
    claims.prepare(engine)
    for claim in LOW:
        try:
            claim(engine)
            print("ok", claim.__name__, flush=True)
        except (Exception, SandcellError) as error:
            import traceback

            told = "".join(traceback.format_exception(error)).replace("\n", "\x1f")
            print("failed", claim.__name__, told, flush=True)
