"""A kernel in a container, driven as Jupyter drives it; what must hold for root and for a plain user.

It runs in a process of its own, whose user, store and Jupyter folders are those that are tried.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from sandcell.runtime import Engine
from sandcell.runtime.cli import main

_LOOK = """\
import os, pathlib
print(sorted(os.listdir("/sys/class/net")), os.getppid(), "JPY_PARENT_PID" in os.environ, os.environ["GIVEN"])
print(pathlib.Path("note.txt").read_text(), os.getcwd(), open("/proc/self/uid_map").read().split()[0])
"""


def until(what: Callable[[], Any]) -> None:
    """Wait, bounded, for something another process does."""
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def said(client: BlockingKernelClient, code: str, **more: Any) -> tuple[str, str]:
    """The status of a cell, and what it printed or the name of its error."""
    heard: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        content = message["content"]
        heard.append(content.get("text") or content.get("ename") or "")

    reply = client.execute_interactive(code, output_hook=hear, timeout=60, **more)
    return reply["content"]["status"], "".join(heard)


def drive(engine: Engine, folder: Path, transport: str) -> None:
    """The whole life of a kernel."""
    manager = KernelManager(
        kernel_name="boxed", transport=transport, connection_file=f"{folder}/{transport}.json"
    )
    manager.start_kernel(cwd=str(folder))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=50)
    status, text = said(client, _LOOK)
    assert status == "ok", text
    assert text == "['lo'] 1 False value\nof the folder /work 0\n", text
    assert (
        said(client, "print(len(input()))", stdin_hook=lambda _: client.input("x" * 70_000))[1] == "70000\n"
    )

    def interrupt(message: dict[str, Any]) -> None:
        if message["content"].get("text") == "begun\n":
            manager.interrupt_kernel()

    code = 'import time; print("begun", flush=True); time.sleep(600)'
    reply = client.execute_interactive(code, output_hook=interrupt, timeout=60)
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    before = (manager.shell_port, manager.hb_port, manager.ip)
    manager.restart_kernel(now=True)
    client.wait_for_ready(timeout=50)
    assert (manager.shell_port, manager.hb_port, manager.ip) == before
    assert said(client, "print('status' in dir())") == ("ok", "False\n")
    until(lambda: len(engine.containers()) == 1)
    if transport == "tcp":
        os.kill(manager.provisioner.process.pid, signal.SIGKILL)
        until(lambda: not engine.containers(all=True))
    client.stop_channels()
    manager.shutdown_kernel(now=transport == "tcp")
    until(lambda: not engine.containers(all=True))


def try_all(base: str) -> None:
    """Everything, in the empty folder ``base``."""
    folder = Path(base)
    os.environ.update(
        {name: f"{base}/{name.lower()}" for name in ("SANDCELL_HOME", "SANDCELL_RUN", "JUPYTER_DATA_DIR")}
    )
    (folder / "note.txt").write_text("of the folder")
    folder.chmod(0o755)
    with Engine() as engine:
        # Its user is not ours, and still must be heard.
        engine.build('FROM host:kernel\nUSER learner\nENTRYPOINT ["false"]\n', name="boxed")
        assert (
            main(
                ["kernel", "install", "--name", "boxed", "--mount", "-e", "GIVEN=value", "boxed"],
                engine=engine,
            )
            == 0
        )
        for transport in ("tcp", "ipc"):
            drive(engine, folder, transport)
        engine.build("FROM host:tiny\n", name="bare")
        assert main(["kernel", "install", "bare"], engine=engine) == 1
    print("all well")
