"""What must hold of builds on every rung: what is mounted for a RUN, and stages side by side."""

import os
import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sandcell.runtime import BuildOptions, Engine
from sandcell.runtime.errors import BuildFailed, DockerfileError, SandcellError
from sandcell.runtime.events import StepFinished, StepOutput
from tests.engine.claims import IMAGE, claim, until


def output(engine: Engine, text: str, **more: Any) -> str:
    """What the commands of a build print; nothing of it comes from the cache."""
    said: list[bytes] = []

    def on_event(event: object) -> None:
        if isinstance(event, StepOutput):
            said.append(event.data)

    more.setdefault("no_cache", True)
    engine.build(text, on_event=on_event, **more)
    return b"".join(said).decode()


def names(engine: Engine, image: Any) -> list[str]:
    """All paths of the uppermost layer."""
    from sandcell.runtime.build.image_files import ImageFiles, LayerBlob

    layer = image.layers[-1]
    files = ImageFiles(engine.store.store, [LayerBlob(layer.descriptor, layer.diff_id)], {})
    return list(files.tree.entries)


def refused(build: Callable[[], object]) -> SandcellError:
    """The error that a build ends with."""
    try:
        build()
    except SandcellError as error:
        return error
    raise AssertionError("it was built")


@claim
def what_is_mounted_for_a_step_is_no_part_of_the_image(engine: Engine) -> None:
    image = engine.build(
        f"FROM {IMAGE} AS tools\nRUN mkdir /out && echo tool > /out/t\nFROM {IMAGE}\n"
        "RUN --mount=type=bind,from=tools,source=/out,target=/mnt/tools,rw"
        " --mount=type=tmpfs,target=/scratch --mount=type=cache,target=/new/cache"
        " --mount=type=secret,id=s --mount=type=bind,from=tools,source=/out/t,target=/one"
        " cat /mnt/tools/t /one /run/secrets/s && echo 1 >/mnt/tools/n && echo 2 >/scratch/n"
        " && echo 3 >/new/cache/n && echo kept >/new/kept",
        options=BuildOptions(secrets={"s": b"secret\n"}),
        no_cache=True,
    )
    assert names(engine, image) == ["new", "new/kept"], names(engine, image)
    # What was written to the stage's files is gone too.
    said = output(
        engine,
        f"FROM {IMAGE} AS t\nRUN mkdir /out\nFROM {IMAGE}\n"
        "RUN --mount=from=t,source=/out,target=/o,rw echo x >/o/x; ls /o\n"
        "RUN --mount=from=t,source=/out,target=/o ls /o; touch /o/x 2>&1; true",
    )
    assert said.startswith("x\n"), said
    assert said.count("x\n") == 1 and "Read-only file system" in said, said


@claim
def the_context_can_be_mounted_and_not_changed(engine: Engine) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a").write_text("content\n")
        Path(folder, "x.log").write_text("log")
        Path(folder, ".dockerignore").write_text("*.log")
        os.symlink("/etc/hostname", f"{folder}/evil")
        text = (
            f"FROM {IMAGE}\nRUN --mount=target=/src cat /src/a; ls /src; readlink /src/evil; id -u"
            "\nRUN --mount=target=/src,rw echo changed >/src/a; cat /src/a"
        )
        said = output(engine, text, context=folder)
        assert said == "content\na\nevil\n/etc/hostname\n0\nchanged\n", said
        assert Path(folder, "a").read_text() == "content\n"
        # It is part of what a step depends on; what is ignored is not.
        finished: list[bool] = []

        def on_event(event: object) -> None:
            if isinstance(event, StepFinished):
                finished.append(event.cached)

        Path(folder, "x.log").write_text("other")
        engine.build(text, context=folder, on_event=on_event)
        assert finished == [True] * 3, finished
        Path(folder, "a").write_text("other\n")
        assert output(engine, text, context=folder, no_cache=False).startswith("other\n")


@claim
def a_cache_lasts_and_is_no_key(engine: Engine) -> None:
    mount = "RUN --mount=type=cache,target=/c,id=lasts"
    text = f"FROM {IMAGE}\n{mount} echo x >>/c/n; cat /c/n | tr -d '\\n'; ls -ld /c | cut -c1-10"
    assert output(engine, text) == "xdrwxr-xr-x\n"
    assert output(engine, text) == "xxdrwxr-xr-x\n"
    assert output(engine, text, no_cache=False) == ""
    assert output(engine, f"FROM {IMAGE}\n{mount},mode=0700,sharing=locked cat /c/n") == "x\nx\n"
    assert output(engine, f"FROM {IMAGE}\nRUN --mount=type=cache,target=/c,id=other ls /c") == ""
    # It goes with the rest of the build cache, and not before.
    engine.prune()
    assert any(name.startswith("cache mount ") for name in engine.prune(cache=True, dry_run=True).removed)
    assert output(engine, text) == "xxxdrwxr-xr-x\n"
    engine.prune(cache=True)
    assert output(engine, text) == "xdrwxr-xr-x\n"
    # Begins with the files of an image, which it never changes.
    based = f"FROM {IMAGE}\nRUN --mount=type=cache,target=/c,id=based,from={IMAGE},source=/ cat /c/file"
    assert output(engine, f"{based}; echo y >/c/file") == "from-the-image\n"
    assert output(engine, based) == "y\n"
    assert output(engine, f"FROM {IMAGE}\nRUN cat /file") == "from-the-image\n"


@claim
def a_secret_is_seen_by_its_step_only(engine: Engine) -> None:
    options = BuildOptions(secrets={"token": b"hunter2-of-the-test", "other": b"o"})
    text = (
        f"FROM {IMAGE}\nRUN --mount=type=secret,id=token,target=/t,mode=0440"
        " --mount=type=secret,id=other,env=V cat /t; ls -l /t | cut -c1-10; echo $V;"
        " ls /run/secrets 2>&1 | head -1; echo x >/t || echo refused"
    )
    said = output(engine, text, options=options)
    assert said.startswith("hunter2-of-the-test-r--r-----\no\n"), said
    assert "refused" in said, said
    # Another value is no reason to do it again; a missing one is none to fail, unless it is required.
    assert output(engine, text, options=BuildOptions(secrets={"token": b"x"}), no_cache=False) == ""
    plain = f"FROM {IMAGE}\nRUN --mount=type=secret,id=none test ! -e /run/secrets/none && echo without"
    assert output(engine, plain) == "without\n"
    error = refused(lambda: engine.build(f"FROM {IMAGE}\nRUN --mount=type=secret,id=none,required true"))
    assert "the secret none is required" in error.cause, error
    assert isinstance(error, DockerfileError) and error.lines == (2, 2)
    for base, _, files in os.walk(engine.places.home):
        for name in files:
            path = os.path.join(base, name)
            with suppress(FileNotFoundError):  # what the steps ran in is just being removed
                if os.path.isfile(path) and os.access(path, os.R_OK):
                    assert b"hunter2-of-the-test" not in Path(path).read_bytes(), path


@claim
def an_agent_is_reached_by_its_step_only(engine: Engine) -> None:
    with tempfile.TemporaryDirectory() as folder:
        agent = socket.socket(socket.AF_UNIX)
        agent.bind(f"{folder}/agent")
        agent.listen()

        def answer() -> None:
            for _ in range(2):
                client, _ = agent.accept()
                client.sendall(b"identities of " + client.recv(100))
                client.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        script = (
            "import os, socket, stat; p = os.environ['SSH_AUTH_SOCK']; s = socket.socket(socket.AF_UNIX);"
            "s.connect(p); s.sendall(b'me'); print(s.recv(100).decode(), p)"
        )
        options = BuildOptions(agents={"default": (f"{folder}/agent",), "two": (f"{folder}/agent",)})
        for mount, place in (("", "/run/buildkit/ssh_agent.0"), (",id=two,target=/s", "/s")):
            said = output(
                engine,
                f'FROM host\nRUN --mount=type=ssh{mount} ["python3", "-c", "{script}"]',
                options=options,
            )
            assert said == f"identities of me {place}\n", said
        thread.join(10)
        agent.close()
        missing = f"FROM {IMAGE}\nRUN --mount=type=ssh,id=no,required=true true"
        assert "the ssh agent no is required" in refused(lambda: engine.build(missing)).cause
        wrong = BuildOptions(agents={"default": (__file__, folder)})
        assert refused(lambda: engine.build(f"FROM {IMAGE}", options=wrong)) is not None


@claim
def a_mount_leads_nowhere_else(engine: Engine) -> None:
    """Links in the image or in the source of a mount stay within the container."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "host-file").write_text("of the host")
        text = (
            f"FROM {IMAGE} AS evil\nRUN ln -s / /up && ln -s {folder} /abs\n"
            f"RUN ln -s ../../../..{folder} /out\n"
            f"FROM {IMAGE}\nRUN ln -s {folder} /target && ln -s /file /link\n"
        )
        for source in ("/out", "/abs", f"/up{folder}"):
            error = refused(
                lambda: engine.build(f"{text}RUN --mount=from=evil,source={source},target=/x ls /x")  # noqa: B023
            )
            assert "is not in stage 0" in error.cause, (source, error)
        said = output(
            engine, f"{text}RUN --mount=type=tmpfs,target=/target/in touch /target/in/x; ls {folder}"
        )
        assert said == "in\n", said
        assert os.listdir(folder) == ["host-file"]
        said = output(
            engine, f"{text}RUN --mount=from=evil,source=/file,target=/link,rw echo x >/file; cat /link"
        )
        assert said == "x\n", said
        error = refused(lambda: engine.build(f"{text}RUN --mount=type=tmpfs,target=/file ls /file"))
        assert "/file is a file in the image" in error.cause, error


@claim
def stages_run_side_by_side_and_one_that_fails_stops_the_others(engine: Engine) -> None:
    meet = (
        "RUN --mount=type=cache,target=/c,id=meet touch /c/{0}; n=0; while [ ! -e /c/{1} ]; do"
        " n=$((n+1)); [ $n -lt 3000 ] || exit 9; sleep 0.02; done"
    )
    text = (
        f"FROM {IMAGE} AS a\n{meet.format('a', 'b')}\nFROM {IMAGE} AS b\n{meet.format('b', 'a')}\n"
        f"FROM {IMAGE}\nCOPY --from=a /file /a\nCOPY --from=b /file /b"
    )
    engine.build(text, no_cache=True)
    text = (
        f"FROM {IMAGE} AS a\nRUN sleep 1000\nFROM {IMAGE} AS b\nRUN sleep 0.2; exit 5\n"
        f"FROM {IMAGE}\nCOPY --from=a / /\nCOPY --from=b / /"
    )
    error = refused(lambda: engine.build(text, no_cache=True))
    assert isinstance(error, BuildFailed) and error.status == 5 and error.lines == (4, 4), error
    builds = Path(engine.places.home, "builds", "containers")
    until(lambda: not builds.exists() or not any(builds.iterdir()), "every step is cleaned up")


@claim
def a_step_without_a_network_has_none(engine: Engine) -> None:
    text = f"FROM {IMAGE}\nRUN {{}} cat /proc/net/dev | wc -l"
    alone = int(output(engine, text.format("--network=none")))
    assert alone == 3, alone
    assert int(output(engine, text.format(""), options=BuildOptions(network="none"))) == 3
    assert int(output(engine, text.format("--network=host"))) >= alone
