"""config.md, "POSIX-platform Hooks", and the steps of runtime.md, "Lifecycle", that call them."""

import json
import os
from typing import Any

import pytest

from tests.oci_cli.world import World

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

RUNTIME = ("prestart", "createRuntime", "poststart", "poststop")
MOMENTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def hook(world: World, name: str, *, then: str = "", inside: bool = False) -> dict[str, Any]:
    """One that writes a line: its name, its mount and pid namespaces, its root, and the state it got."""
    log = "/out/hooks" if inside else f"{world.folder}/hooks"
    script = f'printf "%s\\t%s\\t%s\\t%s\\t%s\\n" {name} "$(readlink /proc/self/ns/mnt)" '
    script += f'"$(readlink /proc/self/ns/net)" "$ENTRY" "$(cat)" >> {log}; {then}'
    return {
        "path": "/bin/sh",
        "args": ["sh", "-c", script],
        "env": ["PATH=/usr/bin:/bin", "ENTRY=given"],
        "timeout": 10,
    }


def called(world: World) -> list[list[str]]:
    """The lines, split."""
    log = world.folder / "hooks"
    return [line.split("\t") for line in log.read_text().splitlines()] if log.exists() else []


def test_hooks_must_be_called_in_order_in_their_namespaces_with_the_state(world: World) -> None:
    world.mount(world.folder, "/out", "bind")
    world.config["annotations"] = {"a": "b"}
    world.config["hooks"] = {
        moment: [hook(world, f"{moment}-{n}", inside=moment == "startContainer") for n in (1, 2)]
        for moment in MOMENTS
    }
    world.create("hooked", "sh", "-c", "echo program >> /out/hooks; sleep 100")
    # runc of Debian 12 calls the poststart hooks now already.
    assert [line[0] for line in called(world)][:6] == [f"{m}-{n}" for m in MOMENTS[:3] for n in (1, 2)]
    pid = world.status("hooked")["pid"]
    # Held: the number of one that is gone is given to the next, and crun calls hooks in one of its own.
    with open(f"/proc/{pid}/ns/mnt"), open(f"/proc/{pid}/ns/net"):
        namespace, network = (os.readlink(f"/proc/{pid}/ns/{name}") for name in ("mnt", "net"))
        world.run("start", "hooked")
        world.until(lambda: "program" in [line[0] for line in called(world)])
        world.end("hooked")
        world.run("delete", "hooked")
    lines = [line for line in called(world) if line != ["program"]]
    everyone = [f"{moment}-{n}" for moment in MOMENTS for n in (1, 2)]
    assert sorted(line[0] for line in lines) == sorted(everyone)
    if world.runtime.ours:
        assert [line[0] for line in lines] == everyone
    order = [line[0] for line in called(world)]
    assert order.index("startContainer-2") < order.index("program") < order.index("poststop-1")
    statuses = {}
    for name, mounts, net, entry, text in lines:
        moment, state = name.partition("-")[0], json.loads(text)
        assert entry == "given", name
        assert (net == network) == (moment not in RUNTIME), name
        if world.runtime.ours or moment in RUNTIME:
            assert (mounts == namespace) == (moment not in RUNTIME), name
        assert state["id"] == "hooked"
        if world.runtime.ours:
            assert state["bundle"] == str(world.bundle)
            assert state.get("pid", 0) == (pid if moment != "poststop" else 0)
        assert state["ociVersion"] and state["annotations"]["a"] == "b"
        statuses[moment] = state["status"]
    if world.runtime.ours:
        assert list(statuses.values()) == ["creating"] * 3 + ["created", "running", "stopped"]


@pytest.mark.parametrize("moment", ["prestart", "createRuntime", "createContainer"])
def test_a_failing_hook_of_create_must_stop_and_destroy_the_container(world: World, moment: str) -> None:
    if world.runtime.name == "crun" and moment == "createContainer":
        pytest.skip("crun of Debian 12 leaves it")
    world.config["hooks"] = {
        moment: [hook(world, "fails", then="exit 3"), hook(world, "never")],
        "poststop": [hook(world, "poststop")],
    }
    world.create("unlucky", "true", status=1)
    assert "never" not in [line[0] for line in called(world)]
    world.refused("state", "unlucky")
    if world.runtime.ours:
        assert [line[0] for line in called(world)] == ["fails", "poststop"]


def test_a_failing_start_container_hook_must_stop_and_destroy_the_container(our_world: World) -> None:
    our_world.mount(our_world.folder, "/out", "bind")
    our_world.config["hooks"] = {
        "startContainer": [hook(our_world, "fails", then="exit 3", inside=True)],
        "poststop": [hook(our_world, "poststop")],
    }
    our_world.create("unlucky", "sh", "-c", "echo program > /out/hooks")
    assert "startContainer hook" in our_world.refused("start", "unlucky")
    our_world.refused("state", "unlucky")
    assert [line[0] for line in called(our_world)] == ["fails", "poststop"]


def test_a_failing_poststart_hook_is_warned_of_before_version_1_2_1(our_world: World) -> None:
    log = our_world.folder / "log"
    our_world.config["hooks"] = {
        "poststart": [hook(our_world, "fails", then="exit 3"), hook(our_world, "later")]
    }
    our_world.create("lucky", "sleep", "100")
    our_world.run("--log", str(log), "start", "lucky")
    assert "warning: call poststart hook /bin/sh: it ended with 3" in log.read_text()
    assert our_world.status("lucky")["status"] == "running"
    assert [line[0] for line in called(our_world)] == ["fails", "later"]


def test_a_failing_poststart_hook_must_destroy_the_container_since_version_1_2_1(our_world: World) -> None:
    our_world.config["ociVersion"] = "1.2.1"
    our_world.config["hooks"] = {
        "poststart": [hook(our_world, "fails", then="exit 3"), hook(our_world, "never")],
        "poststop": [hook(our_world, "poststop")],
    }
    our_world.create("unlucky", "sleep", "100")
    pid = our_world.status("unlucky")["pid"]
    assert "poststart hook" in our_world.refused("start", "unlucky")
    our_world.gone(pid)
    our_world.refused("state", "unlucky")
    assert [line[0] for line in called(our_world)] == ["fails", "poststop"]


def test_a_failing_poststop_hook_is_warned_of_and_the_rest_goes_on(our_world: World) -> None:
    log = our_world.folder / "log"
    our_world.config["hooks"] = {
        "poststop": [hook(our_world, "fails", then="exit 3"), hook(our_world, "second")]
    }
    our_world.create("over", "true")
    our_world.run("--log", str(log), "delete", "--force", "over")
    assert "warning: call poststop hook /bin/sh: it ended with 3" in log.read_text()
    assert [line[0] for line in called(our_world)] == ["fails", "second"]
    our_world.refused("state", "over")


def test_a_hook_that_takes_too_long_is_aborted(our_world: World) -> None:
    our_world.config["hooks"] = {
        "createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]
    }
    assert "it took longer than 1 s" in our_world.create("slow", "true", status=1)


def test_a_hook_that_is_not_there_must_fail(world: World) -> None:
    world.config["hooks"] = {"createRuntime": [{"path": "/no/such/hook"}]}
    world.create("lost", "true", status=1)


def test_hooks_of_the_runtime_are_called_in_the_bundle(world: World) -> None:
    script = {"path": "/bin/sh", "args": ["sh", "-c", "pwd >> here"], "env": ["PATH=/bin"]}
    moments = ("createRuntime", "createContainer", "poststart", "poststop")
    theirs = moments[:1]  # the others differ
    world.config["hooks"] = {moment: [script] for moment in (moments if world.runtime.ours else theirs)}
    world.output("true")
    told = (world.bundle / "here").read_text().split()
    assert told == [str(world.bundle)] * len(world.config["hooks"])
