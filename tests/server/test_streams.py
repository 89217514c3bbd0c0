"""Streams over real WebSockets: what changes in the store, and a log as it is written."""

import json
from typing import Any

import pytest

from sandcell import Engine, Options

pytestmark = [pytest.mark.slow, pytest.mark.kernel]


async def heard(socket: Any, wanted: Any) -> Any:
    """The first message that is wanted."""
    while True:
        text = await socket.read_message()
        assert text is not None, "the server hung up"
        message = json.loads(text)
        if wanted(message):
            return message


async def test_the_state_first_and_then_what_changes(jp_ws_fetch: Any, room: Any, clean: Engine) -> None:
    socket = await jp_ws_fetch("sandcell", "api", "events")
    first = await heard(socket, lambda message: "state" in message)
    assert "small:latest" in {name for image in first["state"]["images"].values() for name in image["names"]}
    made = clean.create("small", None, Options(name="seen"))
    patch = await heard(socket, lambda message: made.id in message.get("patch", {}).get("containers", {}))
    assert patch["patch"]["containers"][made.id]["state"] == "created"
    assert list(patch["patch"]) == ["containers"]
    clean.start(made)
    await heard(
        socket,
        lambda m: (m.get("patch", {}).get("containers", {}).get(made.id) or {}).get("state") == "running",
    )
    await socket.write_message(json.dumps({"watch": [made.id]}))
    sample = await heard(socket, lambda message: "stats" in message)
    assert sample["stats"][0]["id"] == made.id
    clean.tag("small", "another")
    tagged = await heard(socket, lambda message: message.get("patch", {}).get("images"))
    assert any("another:latest" in image["names"] for image in tagged["patch"]["images"].values())
    clean.remove_image("another")
    clean.remove(made, force=True)
    gone = await heard(socket, lambda m: made.id in m.get("patch", {}).get("containers", {"": 0})
                       and m["patch"]["containers"][made.id] is None)  # fmt: skip
    assert made.id in gone["touched"]
    socket.close()


async def test_nonsense_is_passed_over(jp_ws_fetch: Any, room: Any, clean: Engine) -> None:
    socket = await jp_ws_fetch("sandcell", "api", "events")
    for nonsense in ("{", "[]", '{"watch": 3}', '{"watch": ["nobody"]}', "null"):
        await socket.write_message(nonsense)
    await heard(socket, lambda message: "state" in message)
    made = clean.create("small", None)
    await heard(socket, lambda message: made.id in message.get("patch", {}).get("containers", {}))
    socket.close()


async def test_a_log_as_it_is_written(jp_ws_fetch: Any, room: Any, clean: Engine) -> None:
    made = clean.create("small", ("sh", "-c", "echo begin; sleep 0.3; echo end >&2"), Options(name="talks"))
    clean.start(made)
    socket = await jp_ws_fetch("sandcell", "api", "containers", made.id, "log", "stream")
    told = []
    while (text := await socket.read_message()) is not None:
        told.append(json.loads(text))
    assert "".join(one["text"] for one in told) == "begin\nend\n"
    assert told[-1]["stream"] == "stderr"


async def test_the_log_of_nobody(jp_ws_fetch: Any, room: Any, clean: Engine) -> None:
    socket = await jp_ws_fetch("sandcell", "api", "containers", "nobody", "log", "stream")
    assert json.loads(await socket.read_message())["error"]["kind"] == "ContainerNotFound"
    assert await socket.read_message() is None
