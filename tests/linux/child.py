"""Run a function in a forked child, because what it does cannot be undone."""

import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Died(Exception):
    """The child ended without an answer. ``status``: exit status, negative for a signal."""

    def __init__(self, status: int) -> None:
        super().__init__(f"child ended with status {status}")
        self.status = status


def open_below(folder: Path) -> list[str]:
    """What this process holds open in ``folder``; what else it has, others may close meanwhile."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return [path for path in found if path.startswith(str(folder))]


def in_child(function: Callable[..., Any], *args: Any) -> Any:
    """What ``function(*args)`` gives in a child of its own, through JSON; ``Died`` if it is killed."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            try:
                answer = json.dumps({"value": function(*args)})
            except BaseException:
                answer = json.dumps({"failed": traceback.format_exc()})
            with open(writer, "wb") as stream_out:
                stream_out.write(answer.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        told = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not told:
        raise Died(status)
    answer = json.loads(told)
    assert "failed" not in answer, answer["failed"]
    return answer["value"]
