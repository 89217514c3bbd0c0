"""Rows inside a running Jupyter kernel: loading the extension, and what ``%%container`` adds."""

import os
import subprocess
import time
from contextlib import ExitStack
from typing import Any, Self

from tests.bench.place import Unavailable
from tests.bench.record import Bound
from tests.bench.row import Row, Side, Sides
from tests.bench.world import World

_LOAD = """\
import time as _time
_begin = _time.perf_counter()
get_ipython().run_line_magic("load_ext", {name!r})
print((_time.perf_counter() - _begin) * 1e3)
"""
_PREPARE = """\
import time as _time
from sandcell import Engine as _Engine, Options as _Options
get_ipython().run_line_magic("load_ext", "sandcell")
_image = {image!r}
_engine = _Engine()
_options = _Options(files=dict(cell=b"true\\n"), network="none", remove=True)
def _call():
    return _engine.run(_image, ("/bin/sh", "/run/sandcell/cell"), _options)
def _magic():
    get_ipython().run_cell_magic("container", _image + " --rm --network none", "true\\n")
def _time_of(action):
    begin = _time.perf_counter()
    action()
    return (_time.perf_counter() - begin) * 1e3
"""


class Kernel:
    """A Jupyter kernel as a notebook has it, with our store in its environment. Raises Unavailable."""

    def __init__(self, environment: dict[str, str], name: str = "python3", folder: str = "") -> None:
        """``folder``: where the kernelspec ``name`` is, if Jupyter does not know of it."""
        try:
            from jupyter_client.manager import KernelManager
        except ImportError:
            raise Unavailable("jupyter_client is not installed") from None
        self._manager: Any = KernelManager(kernel_name=name)
        if folder:
            self._manager.kernel_spec_manager.kernel_dirs.insert(0, folder)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._manager.start_kernel(env={**os.environ, **environment}, **quiet)
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the kernel."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=False)

    def execute(self, code: str) -> str:
        """What the cell printed. RuntimeError with its traceback when it failed."""
        printed: list[str] = []

        def hook(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                printed.append(message["content"]["text"])

        reply = self._client.execute_interactive(code, store_history=False, output_hook=hook, timeout=120)
        if reply["content"]["status"] != "ok":
            raise RuntimeError("\n".join(reply["content"].get("traceback", ["the cell failed"])))
        return "".join(printed)


def loading(world: World, stack: ExitStack) -> Sides:
    """Each sample in a kernel of its own, beside an extension that does nearly nothing."""

    def load(name: str) -> float:
        with Kernel(world.environment) as kernel:
            kernel.execute("pass")
            return float(kernel.execute(_LOAD.format(name=name)).split()[-1])

    peer = Side("%load_ext autoreload (of IPython)", lambda: load("autoreload"), "autoreload")
    return Sides(
        Side("%load_ext sandcell, fresh kernel", lambda: load("sandcell")), [peer], Bound("ours", 150)
    )


def boxed(world: World, stack: ExitStack) -> Sides:
    """From nothing until a client has its first answer."""
    from sandcell.runtime.cli import kernelspecs
    from sandcell.runtime.engine import kernels

    kernels.check(world.engine, "host:kernel")
    prefix = world.fresh()
    kernelspecs.write(kernelspecs.folder(prefix), "boxed", "host:kernel", "boxed", [])
    folder = str(kernelspecs.folder(prefix))

    def start(name: str) -> float:
        begin = time.perf_counter()
        with Kernel(world.environment, name, folder):
            return (time.perf_counter() - begin) * 1e3

    peer = Side("the same ipykernel on the host", lambda: start("python3"), "host", Bound("ratio", 1.5))
    return Sides(Side("a kernel in a container", lambda: start("boxed")), [peer])


def overhead(world: World, stack: ExitStack) -> Sides:
    """The magic and the plain engine call take turns in one kernel; both run ``true`` by a shell."""
    kernel = stack.enter_context(Kernel(world.environment))
    kernel.execute(_PREPARE.format(image=world.image))

    def sample(action: str) -> float:
        return float(kernel.execute(f"print(_time_of({action}))").split()[-1])

    plain = Side("engine.run of the same", lambda: sample("_call"), "engine.run", Bound("difference", 10))
    return Sides(Side("%%container --rm with one line", lambda: sample("_magic")), [plain])


ROWS = (
    Row("kernel.load_ext", loading, rounds=6, gaps=(0.0,)),
    Row("kernel.container", overhead, rounds=20),
    Row("kernel.boxed", boxed, rounds=8, gaps=(0.0,)),
)
