"""Carrying a plan out: layers, history, settings, events, failures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandcell.runtime.build import scratch
from sandcell.runtime.errors import (
    BadInput,
    BuildFailed,
    DockerfileError,
    ImageNotFound,
    InvalidOption,
    InvalidReference,
)
from sandcell.runtime.events import BuildFinished, BuildStarted, StepFinished, StepOutput, StepStarted
from sandcell.runtime.oci.config import History
from sandcell.runtime.store.worker import Here
from tests.build.world import World


def test_an_image_is_layers_and_a_config(world: World) -> None:
    world.write("app.py", "1")
    image = world.build(
        'MAINTAINER me\nENV a=1\nCOPY app.py /app\nRUN write /built yes\nUSER 1000\nEXPOSE 80\nCMD ["app"]',
        name="app:1",
    )
    assert world.store.image("app:1").digest == image.digest
    assert [layer.history.created_by for layer in image.layers if layer.history] == [
        "base",
        "COPY app.py /app",
        "RUN /bin/sh -c write /built yes",
    ]
    assert [entry.empty_layer for entry in image.config.history] == [
        False,
        True,
        True,
        False,
        False,
        True,
        True,
        True,
    ]
    config = image.config.config
    assert config.env == ("PATH=/usr/bin", "a=1")
    assert (config.user, config.cmd, list(config.exposed_ports)) == ("1000", ("app",), ["80/tcp"])
    assert image.config.author == "me"
    assert image.config.created == image.config.history[-1].created


def test_nothing_but_from_is_the_very_same_image(world: World) -> None:
    assert world.build("FROM base", name="mine").digest == world.store.image("base").digest


def test_from_scratch(world: World) -> None:
    world.write("app", "1", mode=0o755)
    image = world.build('FROM scratch\nCOPY app /\nENTRYPOINT ["/app"]')
    assert world.top(image) == ["app 755 0:0"]
    assert image.config.config.env[0].startswith("PATH=")
    assert (image.config.os, image.config.architecture) != ("", "")


def test_a_run_gets_its_surroundings(world: World) -> None:
    world.base(user="app", shell=("/bin/bash", "-c"))
    world.build("ARG a=1\nENV b=2\nWORKDIR /tmp\nRUN --network=none say x", build_args={"HTTP_PROXY": "p"})
    (step,) = world.runner.steps
    assert step.argv == ("/bin/bash", "-c", "say x")
    assert step.env == ("PATH=/usr/bin", "b=2", "a=1", "HTTP_PROXY=p")
    assert (step.working_dir, step.user, step.network) == ("/tmp", "app", "none")
    assert len(step.lowers) == 1
    assert not Path(step.upper).exists()


def test_a_script_with_its_own_interpreter_is_handed_in(world: World) -> None:
    world.runner.idmap = world.runner.idmap
    with pytest.raises(BuildFailed):
        world.build("RUN <<fail\n#!/bin/sh\nfail 3\nfail\nRUN fail 2")
    assert world.runner.steps[0].files == {"fail": b"#!/bin/sh\nfail 3\n"}
    assert world.runner.steps[0].argv == ("/run/sandcell/fail",)


def test_what_a_run_wrote_is_not_unpacked_again(world: World) -> None:
    world.build("RUN write /a 1\nRUN write /b 2")
    first, second = world.runner.steps
    assert len(first.lowers) == 1
    assert (Path(second.lowers[1]) / "a").read_text() == "1"


def test_events_tell_what_happens(world: World) -> None:
    world.build("RUN say hello\nENV a=1", name="x")
    kinds = [type(event) for event in world.events]
    assert kinds == [
        BuildStarted,
        *[StepStarted, StepFinished],
        *[StepStarted, StepOutput, StepFinished],
        *[StepStarted, StepFinished],
        BuildFinished,
    ]
    begun, output, done = world.events[3:6]
    assert isinstance(begun, StepStarted)
    assert (begun.number, begun.total, begun.text, begun.lines) == (2, 3, "RUN say hello", (2, 2))
    assert isinstance(output, StepOutput)
    assert (output.number, output.stream, output.data) == (2, "stdout", b"hello")
    assert isinstance(done, StepFinished)
    # An archive's end; and as a plain user the root directory, which is not root's.
    assert (done.cached, done.size) in ((False, 1024), (False, 1536))
    assert world.events[0].steps == ("FROM base", "RUN say hello", "ENV a=1")  # type: ignore[attr-defined]
    assert world.events[-1].name == "x:latest"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("command", "status", "cause", "hint"),
    [
        ("fail 3", 3, "RUN fail 3 ended with status 3", ""),
        ("fail 127", 127, "RUN fail 127 ended with status 127", "the command was not found"),
        ("fail 137", 137, "RUN fail 137 ended with status 137", "memory"),
        ("vanish", 127, "RUN vanish: there is no such program", "look again"),
        ("refuse", 0, "RUN refuse: start container: no namespaces here", "see the doctor"),
    ],
)
def test_a_command_that_fails(command: str, status: int, cause: str, hint: str, world: World) -> None:
    world.build("ENV a=1", name="x")
    before = world.store.image("x").digest
    with pytest.raises(BuildFailed) as caught:
        world.build(f"ENV a=2\nRUN \\\n  {command}", name="x")
    error = caught.value
    assert (error.status, error.lines, error.object) == (status, (3, 4), "x:latest")
    assert error.cause.split() == cause.split()
    assert hint in error.hint
    assert error.source.startswith("RUN ")
    assert world.store.image("x").digest == before
    assert os.listdir(f"{world.store.home}/scratch") == []


def test_an_interrupted_step_leaves_nothing(world: World) -> None:
    with pytest.raises(KeyboardInterrupt):
        world.build("RUN stop")
    assert os.listdir(f"{world.store.home}/scratch") == []
    assert os.listdir(f"{world.store.home}/tmp") == []


def test_without_a_runner_only_run_is_impossible(world: World) -> None:
    world.write("a", "1")
    world.build("COPY a /a\nWORKDIR /x\nENV a=1", run_step=None)
    with pytest.raises(BuildFailed, match="this host runs no containers"):
        world.build("RUN say x", run_step=None)
    world.build("RUN say x")
    world.build("RUN say x", run_step=None)
    assert world.cached() == "h"


@pytest.mark.parametrize(
    ("text", "options", "kind"),
    [
        ("# FROM", {}, DockerfileError),
        ("FROM nothere", {}, DockerfileError),
        ("FROM base\nRUN say x", {"name": "Upper"}, InvalidReference),
        ("FROM base", {"name": "host"}, InvalidOption),
        ("FROM base", {"name": "host:tiny"}, InvalidOption),
        ("FROM base", {"target": "x"}, InvalidOption),
        ("FROM base", {"build_args": {"a": "\0"}}, InvalidOption),
        ("FROM base", {"build_args": {"a=b": ""}}, InvalidOption),
        ("FROM base", {"context": "/nowhere"}, BadInput),
        ("FROM base", {"build_args": {"SOURCE_DATE_EPOCH": "now"}}, InvalidOption),
    ],
)
def test_bad_input_builds_nothing(text: str, options: dict, kind: type, world: World) -> None:
    with pytest.raises(kind):
        world.build(text, **options)
    assert world.runner.steps == []
    with pytest.raises((ImageNotFound, InvalidReference)):
        world.store.image("mine")


def test_the_environment_can_fix_the_times(world: World, tmp_path: Path) -> None:
    os.environ["SOURCE_DATE_EPOCH"] = "86400"
    try:
        image = world.build("ENV a=1")
    finally:
        del os.environ["SOURCE_DATE_EPOCH"]
    assert image.config.history[-1] == History(
        created="1970-01-02T00:00:00Z", created_by="ENV a=1", comment="sandcell", empty_layer=True
    )


def test_what_a_dead_build_left_is_cleared(world: World) -> None:
    """A builder that is killed cannot clean up; the next build, or prune, does."""
    script = (
        "import os, sys\n"
        "from sandcell.runtime.build.scratch import Scratch\n"
        "from sandcell.runtime.store import Store\n"
        "from sandcell.runtime.store.worker import Here\n"
        "scratch = Scratch(Store(sys.argv[1]), Here()).__enter__()\n"
        "open(scratch.upper + '/file', 'w').write('x')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, world.store.home], check=False)
    (left,) = os.listdir(f"{world.store.home}/scratch")
    with scratch.Scratch(world.store, Here()) as mine:
        assert scratch.clear(world.store, Here) == [left]
        assert Path(mine.upper).is_dir()
    world.store.prune()
    assert os.listdir(f"{world.store.home}/scratch") == os.listdir(f"{world.store.home}/tmp") == []


def test_the_modules_of_a_warm_build_stay_light(world: World) -> None:
    """A cached build needs none of what only a first one does."""
    script = (
        "import sys\n"
        "import sandcell.runtime.build.build\n"
        "heavy = 'dataclasses difflib tarfile subprocess pathlib json ssl'.split()\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
        check=True,
    )
    assert done.stdout.strip() == "[]"
