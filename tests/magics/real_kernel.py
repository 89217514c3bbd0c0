"""A real Jupyter kernel with the magics, as a front end talks to it: for tests, no assertions."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

CHECKOUT = Path(__file__).resolve().parents[2]


class Message(msgspec.Struct):
    """One message of a cell. ``at``: seconds after the cell was sent; ``kind``: stream,
    display_data, update_display_data, execute_result or error."""

    at: float
    kind: str
    content: dict[str, Any]


class Answer(msgspec.Struct):
    """Everything a cell answered. ``metadata``: of its reply."""

    messages: list[Message]

    def stream(self, name: str = "stdout") -> str:
        """The text of one stream."""
        return "".join(
            m.content["text"] for m in self.messages if m.kind == "stream" and m.content["name"] == name
        )

    @property
    def plain(self) -> str:
        """The plain text of what was displayed, updates in the place of what they update."""
        return "\n".join(m.content["data"]["text/plain"] for m in self.messages if "data" in m.content)

    @property
    def error(self) -> str:
        """The traceback, ``""`` when the cell succeeded."""
        return "\n".join("\n".join(m.content["traceback"]) for m in self.messages if m.kind == "error")


class Kernel:
    """A kernel whose store is in ``home``; ``env`` is added to its environment. ``python``: whose it is."""

    def __init__(
        self, home: Path, run: Path, env: Mapping[str, str] | None = None, python: str = sys.executable
    ) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.kernel_spec.argv[0] = python
        self._env = {
            **os.environ,
            "SANDCELL_HOME": str(home),
            "SANDCELL_RUN": str(run),
            "PYTHONPATH": str(CHECKOUT),
            **(env or {}),
        }
        self.manager.start_kernel(env=self._env)
        self.client = self._connect()

    def _connect(self) -> BlockingKernelClient:
        client = self.manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        return client

    def __call__(
        self,
        code: str,
        *,
        cell_id: str = "",
        heard: Callable[[Message], None] | None = None,
        timeout: float = 60,
    ) -> Answer:
        """Run a cell to its end; ``heard`` is called with each message as it comes."""
        return Answer(self.follow(self.send(code, cell_id), heard, timeout))

    def send(self, code: str, cell_id: str = "") -> str:
        """Send a cell and return the id of the request."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        metadata = {"cellId": cell_id} if cell_id else {}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        request: str = message["header"]["msg_id"]
        return request

    def follow(
        self, request: str, heard: Callable[[Message], None] | None = None, timeout: float = 60
    ) -> list[Message]:
        """The messages of a request until the kernel is idle again."""
        began = time.monotonic()
        messages: list[Message] = []
        while True:
            got = self.client.get_iopub_msg(timeout=timeout)
            if got["parent_header"].get("msg_id") != request:
                continue
            kind, content = got["header"]["msg_type"], got["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return messages
            if kind in ("status", "execute_input"):
                continue
            message = Message(time.monotonic() - began, kind, content)
            messages.append(message)
            if heard is not None:
                heard(message)

    def value(self, expression: str) -> Any:
        """What an expression is in the kernel, by way of ``repr`` and ``ast.literal_eval``."""
        import ast

        answer = self(expression)
        (result,) = [m for m in answer.messages if m.kind == "execute_result"]
        return ast.literal_eval(result.content["data"]["text/plain"])

    def completions(self, cell: str) -> list[str]:
        """What the cell may become when Tab is pressed at its end."""
        request = self.client.complete(cell)
        while True:
            reply = self.client.get_shell_msg(timeout=60)
            if reply["parent_header"].get("msg_id") == request:
                content = reply["content"]
                before, after = cell[: content["cursor_start"]], cell[content["cursor_end"] :]
                return [f"{before}{match}{after}" for match in content["matches"]]

    def interrupt(self) -> None:
        """What the stop button does."""
        self.manager.interrupt_kernel()

    def restart(self) -> None:
        """What the restart button does: the kernel is killed and a new one comes."""
        self.client.stop_channels()
        self.manager.restart_kernel(now=True, env=self._env)
        self.client = self._connect()

    def close(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
