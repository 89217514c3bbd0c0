"""The claims about volumes, tmpfs and read-only roots."""

import os
import stat
from pathlib import Path

from sandcell.runtime import Engine, Options
from sandcell.runtime.errors import Conflict, ImageNotFound, InvalidOption, NotFound
from tests.engine.claims import background, claim, sh, until

IMAGE = "volumes:1"
TEXT = """
FROM host:tiny
RUN mkdir -p /seed/below /anonymous && echo first > /seed/file && chmod 640 /seed/file
RUN ln -s file /seed/link && ln /seed/file /seed/below/again && mkfifo -m 620 /seed/pipe
RUN echo deep > /seed/below/deep && echo gone > /seed/removed && echo mine > /anonymous/file
RUN rm /seed/removed && ln -s /seed /leads && ln -s /../../../../etc /out
VOLUME /anonymous /proc/1 relative
"""


def _sh(engine: Engine, script: str, **options: object) -> str:
    try:
        engine.image(IMAGE)
    except ImageNotFound:
        engine.build(TEXT, name=IMAGE)
    result = engine.run(IMAGE, ("sh", "-c", script), Options(remove=True, **options))  # type: ignore[arg-type]
    assert result.status == 0, (result.status, result.stdout, result.stderr)
    return result.stdout.decode()


@claim
def a_new_volume_has_the_images_files_and_keeps_what_is_written(engine: Engine) -> None:
    first = _sh(engine, "ls /v; cat /v/file; echo new > /v/file", volumes=("kept:/v",))
    assert first == ""  # nothing was at /v in the image, so nothing could be read; the write is kept
    assert _sh(engine, "cat /seed/file", volumes=("kept:/seed",)) == "new\n"
    look = "ls /seed; cat /seed/link; stat -c %a /seed/file; stat -c '%F %a' /seed/pipe"
    listed = _sh(engine, f"{look}; stat -c %h /seed/file", volumes=("filled:/seed",))
    assert listed == "below\nfile\nlink\npipe\nfirst\n640\nfifo 620\n2\n"
    _sh(engine, "rm -r /seed/*", volumes=("filled:/seed",))
    assert _sh(engine, "ls /seed", volumes=("filled:/seed",)) == ""  # emptied on purpose: stays so
    for name in ("kept", "filled"):
        engine.remove_volume(name)
    assert [volume.name for volume in engine.volumes()] == []


@claim
def filling_a_volume_follows_no_link_out_of_the_image(engine: Engine) -> None:
    assert _sh(engine, "cat /leads/below/deep", volumes=("linked:/leads/below",)) == "deep\n"
    of_image = _sh(engine, "ls /etc").split()
    of_host = [path.name for path in Path("/etc").iterdir() if path.is_dir() and path.name not in of_image]
    assert _sh(engine, f"ls /out/{of_host[0]}", volumes=(f"escaping:/out/{of_host[0]}",)) == ""
    for name in ("linked", "escaping"):
        engine.remove_volume(name)


@claim
def a_read_only_volume_can_be_read_only(engine: Engine) -> None:
    assert (
        _sh(engine, "echo x 2>/dev/null > /seed/no || cat /seed/file", volumes=("ro:/seed:ro",)) == "first\n"
    )
    assert _sh(engine, "ls /seed", volumes=("bare:/seed:nocopy",)) == ""
    for name in ("ro", "bare"):
        engine.remove_volume(name)


@claim
def an_images_volume_goes_with_its_container(engine: Engine) -> None:
    before = set(os.listdir(engine.places.containers))
    assert _sh(engine, "cat /anonymous/file; echo more > /anonymous/x; ls /anonymous") == "mine\nfile\nx\n"
    until(lambda: set(os.listdir(engine.places.containers)) <= before, "the removal")
    made = engine.create(IMAGE, ("sh", "-c", "echo x >> /anonymous/x; cat /anonymous/x"))
    engine.start(made)
    engine.wait(made)
    assert engine.diff(made) == ()  # a volume is no part of the writable layer
    engine.start(made)
    engine.wait(made)
    assert b"".join(piece.data for piece in engine.logs(made)) == b"x\nx\nx\n"
    engine.remove(made)
    assert set(os.listdir(engine.places.containers)) <= before


@claim
def a_volume_that_is_mounted_cannot_be_removed(engine: Engine) -> None:
    with background(engine, volumes=("busy:/v",)) as id:
        for verb in (engine.remove_volume, lambda name: engine.prune_volumes()):
            try:
                verb("busy")
            except Conflict as error:
                assert error.hint
        assert engine.volume("busy").name == "busy"
        engine.stop(id, 0)
    assert engine.prune_volumes() == ("busy",)
    try:
        engine.volume("busy")
    except NotFound as error:
        assert error.hint
    else:
        raise AssertionError("it is still there")


@claim
def a_tmpfs_is_empty_limited_and_gone(engine: Engine) -> None:
    script = "ls /seed; stat -f -c %T /seed; head -c 2000000 /dev/zero 2>/dev/null > /seed/big || echo full"
    assert _sh(engine, script, tmpfs=("/seed:size=1m",)) == "tmpfs\nfull\n"
    assert _sh(engine, "cat /seed/file") == "first\n"


@claim
def a_read_only_root_takes_nothing_but_its_volumes_do(engine: Engine) -> None:
    script = "echo x 2>/dev/null > /no || echo refused; echo y > /t/y; echo z > /v/z; cat /t/y /v/z"
    options = {"read_only": True, "tmpfs": ("/t",), "volumes": ("loose:/v",)}
    assert _sh(engine, script, **options) == "refused\ny\nz\n"
    engine.remove_volume("loose")


@claim
def volumes_that_make_no_sense_are_one_clear_error(engine: Engine) -> None:
    before = set(os.listdir(engine.places.containers))
    for options in (
        {"volumes": ("../up:/v",)},
        {"volumes": ("name",)},
        {"volumes": ("name:relative",)},
        {"volumes": ("name:/v:rx",)},
        {"volumes": ("name:/proc/sys",)},
        {"volumes": ("a:/v", "b:/v/")},
        {"tmpfs": ("/t:upperdir=/",)},
        {"tmpfs": ("relative",)},
    ):
        try:
            sh(engine, "true", **options)
        except InvalidOption as error:
            assert error.object
        else:
            raise AssertionError(options)
    assert set(os.listdir(engine.places.containers)) <= before
    assert stat.S_IMODE(os.stat(engine.places.home).st_mode) & 0o022 == 0
