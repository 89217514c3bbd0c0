"""Rows: images to and from Debian's docker-registry, beside podman and skopeo, and the memory it takes.

The registry's files lie on tmpfs and are deleted between samples: nothing is there already, nothing can be
mounted from elsewhere. Every pull, ours and theirs, is into a store of its own that has nothing, on the disk.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from tests.bench.layers import FILES, tree
from tests.bench.place import Unavailable
from tests.bench.record import Bound
from tests.bench.row import Row, Side, Sides, attempt
from tests.bench.world import World, elapsed, version

IMAGE = "sandcell-bench/files:1"
MEMORY = 150 + FILES * 100 / (1 << 20)
"""MB: what a pull with its unpacking may take."""


class Registry:
    """docker-registry on loopback, until the stack unwinds. ``name``: host and port."""

    def __init__(self, world: World, stack: ExitStack) -> None:
        if not shutil.which("docker-registry"):
            raise Unavailable("docker-registry is not installed")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.name = f"127.0.0.1:{port}"
        self._data = f"{world.memory}/registry-{port}"
        config = Path(f"{self._data}.yml")
        config.write_text(
            f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {self._data}}}}}\n"
            f"http: {{addr: '{self.name}'}}\n"
        )
        process = subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        stack.callback(lambda: shutil.rmtree(self._data, ignore_errors=True))
        stack.callback(process.wait)
        stack.callback(process.terminate)
        deadline = time.monotonic() + 10
        while not self._answers():
            if time.monotonic() > deadline:
                raise Unavailable("docker-registry does not answer")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://{self.name}/v2/", timeout=1).close()
        except OSError:
            return False
        return True

    def clear(self) -> None:
        """Nothing is there any more."""
        shutil.rmtree(self._data, ignore_errors=True)

    @property
    def image(self) -> str:
        return f"{self.name}/{IMAGE}"


def made(world: World, registry: Registry) -> str:
    """The image of one layer with ``FILES`` files, under the registry's name in our store."""
    if not any(entry.name == IMAGE for entry in world.engine.images()):
        world.engine.build("FROM scratch\nCOPY . /\nCMD ['/x']", name=IMAGE, context=tree(world))
    world.engine.tag(IMAGE, registry.image)
    return registry.image


def pulling(world: World, stack: ExitStack) -> Sides:
    """Pull into an empty store, and unpack."""
    from sandcell import Engine

    registry = Registry(world, stack)
    name = made(world, registry)
    world.engine.push(name)

    def sample() -> float:
        with Engine(world.store(), f"{world.memory}/run") as engine, elapsed() as took:
            engine.store.lowers(engine.pull(name))
        return took.milliseconds

    def podman() -> Side:
        place = world.newest
        program, what = place.find("podman"), version(place, "podman")

        def sample() -> float:
            store = ("--root", world.store(), "--storage-driver", "overlay")
            return place.lap(program, *store, "pull", "--quiet", "--tls-verify=false", name).run

        return Side(f"{what} pull", sample, what, Bound("ratio", 0.5))

    ours = Side(f"engine.pull and unpack, a layer of {FILES} files", sample)
    return Sides(ours, [attempt("podman", podman)])


def pushing(world: World, stack: ExitStack) -> Sides:
    """A tree becomes a compressed layer and goes to an empty registry."""
    registry = Registry(world, stack)
    name, source = made(world, registry), tree(world)

    def sample() -> float:
        registry.clear()
        with elapsed() as took:
            with world.engine.store.store.leases.working():
                world.engine.store.store.layers.of_upper(source)
            world.engine.push(name)
        return took.milliseconds

    def podman() -> Side:
        place = world.newest
        program, what = place.find("podman"), version(place, "podman")
        registry.clear()
        world.engine.push(name)
        place.lap(program, "pull", "--quiet", "--tls-verify=false", name)

        def sample() -> float:
            registry.clear()
            return place.lap(program, "push", "--quiet", "--tls-verify=false", name).run

        return Side(f"{what} push", sample, what, Bound("ratio", 0.5))

    ours = Side(f"pack, compress and engine.push, {FILES} files", sample)
    return Sides(ours, [attempt("podman", podman)])


def copying(world: World, stack: ExitStack) -> Sides:
    """A layer that is compressed already goes to an empty registry."""
    registry = Registry(world, stack)
    name = made(world, registry)

    def sample() -> float:
        registry.clear()
        with elapsed() as took:
            world.engine.push(name)
        return took.milliseconds

    def skopeo() -> Side:
        place = world.host
        program, what = place.find("skopeo"), version(place, "skopeo")
        source = f"oci:{world.engine.store.store.layout_path}:{IMAGE}"

        def sample() -> float:
            registry.clear()
            return place.lap(
                program, "copy", "--quiet", "--dest-tls-verify=false", source, f"docker://{name}"
            ).run

        return Side(f"{what} copy", sample, what, Bound("ratio", 1.0))

    return Sides(Side("engine.push, compressed already", sample), [attempt("skopeo", skopeo)])


_CHILD = """
import sys
from sandcell import Engine
home, run, name = sys.argv[1:]
with Engine(home, run) as engine:
    engine.store.lowers(engine.pull(name))
# Not ru_maxrss, which begins with what the parent had.
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024)
"""


def memory(world: World, stack: ExitStack) -> Sides:
    """The most memory that a process has taken which pulls and unpacks."""
    registry = Registry(world, stack)
    name = made(world, registry)
    world.engine.push(name)

    def sample() -> float:
        argv = [sys.executable, "-c", _CHILD, world.store(), f"{world.memory}/run", name]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, env={**os.environ})
        return float(done.stdout)

    ours = Side(f"peak of a process that pulls and unpacks {FILES} files", sample)
    return Sides(ours, [], Bound("ours", MEMORY))


ROWS = (
    Row("registry.pull", pulling, rounds=2, gaps=(0.0,)),
    Row("registry.push", pushing, rounds=2, gaps=(0.0,)),
    Row("registry.copy", copying, rounds=3, gaps=(0.0,)),
    Row("registry.memory", memory, rounds=2, gaps=(0.0,), unit="MB"),
)
