"""Rows: packing and unpacking a layer beside tar, committing a container and telling its changes beside
podman and buildah.

Trees lie on tmpfs, each in a fresh directory: ext4 would be measured at re-using inodes instead.
"""

import hashlib
import itertools
import os
import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from tests.bench.place import Place
from tests.bench.record import Bound
from tests.bench.row import Row, Side, Sides, attempt
from tests.bench.world import World, elapsed, load, version

FILES = 50_000
NEW = 10_000
_WRITE = f'i=0; while [ $i -lt {NEW} ]; do echo "$0 $i $1" > /srv/$i; i=$((i+1)); done'


def tree(world: World) -> str:
    """``FILES`` files of 1 to 8 KB, compressible like source text, in 1,000 directories. Made once."""
    top = Path(world.memory, "tree")
    if not top.exists():
        for number in range(FILES):
            folder = top / f"package_{number % 1000}"
            folder.mkdir(parents=True, exist_ok=True)
            words = hashlib.sha256(str(number).encode()).hexdigest()
            text = "".join(
                f"    value_{words[at % 60 : at % 60 + 4]} = {at * number}\n"
                for at in range(40 + number % 280)
            )
            (folder / f"module_{number}.py").write_text(text)
    return str(top)


def archive(world: World) -> str:
    """The tree as .tar.gz, by GNU tar. Made once."""
    path = f"{world.memory}/tree.tar.gz"
    if not os.path.exists(path):
        world.host.lap(world.host.find("tar"), "-C", tree(world), "-czf", path, ".")
    return path


class _Scratch:
    """Fresh paths on tmpfs; what was made there is deleted before the next one is given."""

    def __init__(self, world: World) -> None:
        self._above = world.memory
        self._numbers = itertools.count()
        self._last = ""

    def directory(self) -> str:
        path = self.name()
        os.mkdir(path)
        return path

    def name(self) -> str:
        shutil.rmtree(self._last, ignore_errors=True)
        if os.path.isfile(self._last):
            os.unlink(self._last)
        self._last = f"{self._above}/scratch-{id(self)}-{next(self._numbers)}"
        return self._last


def unpacking(world: World, stack: ExitStack) -> Sides:
    """Processor time of a .tar.gz into a directory; ours also computes the digest that a layer needs."""
    from sandcell.runtime.layer.compress import decompress
    from sandcell.runtime.layer.unpack import unpack

    source = archive(world)
    scratch = _Scratch(world)

    def sample() -> float:
        target = os.open(scratch.directory(), os.O_RDONLY | os.O_DIRECTORY)
        try:
            with open(source, "rb", buffering=0) as file:
                begin = time.process_time()
                unpack(decompress(file), target)
                return (time.process_time() - begin) * 1e3
        finally:
            os.close(target)

    peers = [attempt(it, _extract, world.host, it, source, _Scratch(world)) for it in ("tar", "bsdtar")]
    return Sides(Side(f"CPU of layer.unpack, {FILES} files, with digest, tmpfs", sample), peers)


def _extract(place: Place, program: str, source: str, scratch: _Scratch) -> Side:
    found, name = place.find(program), version(place, program)
    bound = Bound("ratio", 0.6) if program == "tar" else None
    return Side(
        f"CPU of {name} -xzf",
        lambda: place.lap(found, "-C", scratch.directory(), "-xzf", source).cpu,
        name,
        bound,
    )


def packing(world: World, stack: ExitStack) -> Sides:
    """A directory into a .tar.gz; ours also computes both digests."""
    from sandcell.runtime.layer.compress import compressor
    from sandcell.runtime.layer.pack import pack

    source = tree(world)
    scratch = _Scratch(world)

    class Sink:
        """Compresses into a file and hashes what it writes."""

        def __init__(self, file: BinaryIO) -> None:
            self._file = file
            self._compress = compressor("gzip")
            self._hasher = hashlib.sha256()

        def write(self, data: bytes, /) -> None:
            self._out(self._compress.compress(data))

        def finish(self) -> None:
            self._out(self._compress.flush())

        def _out(self, data: bytes) -> None:
            self._hasher.update(data)
            self._file.write(data)

    def sample() -> float:
        path = scratch.name()
        with elapsed() as took, open(path, "wb") as file:
            sink = Sink(file)
            pack(source, sink)
            sink.finish()
        return took.milliseconds

    def tar() -> Side:
        place, mine = world.host, _Scratch(world)
        found, name = place.find("tar"), version(place, "tar")
        argv = ("-C", source, "--sort=name", "-I", "gzip -1", "-cf")
        return Side(
            f"{name} --sort=name with gzip -1", lambda: place.lap(found, *argv, mine.name(), ".").run, name
        )

    return Sides(Side(f"layer.pack, {FILES} files, gzip, both digests, tmpfs", sample), [attempt("tar", tar)])


def _writing(numbers: "itertools.count[int]") -> tuple[str, ...]:
    """A command that makes ``NEW`` files of 0.9 KB, each time with another content."""
    return ("/bin/sh", "-c", "mkdir -p /srv; " + _WRITE, f"{next(numbers)}", "x" * 900)


def committing(world: World, stack: ExitStack) -> Sides:
    """A container with ``NEW`` new files becomes an image; every sample has files of its own. Deleting
    them waits for the end of the row: no sample is measured meanwhile."""
    engine, numbers = world.engine, itertools.count()

    def sample() -> float:
        made = engine.run(world.image, _writing(numbers)).container
        stack.callback(lambda: engine.remove(made, force=True))
        with elapsed() as took:
            engine.commit(made, "localhost/sandcell-bench:committed")
        return took.milliseconds

    def podman() -> Side:
        place = world.newest
        program, name = load(world, place), version(place, "podman")

        def sample() -> float:
            return place.lap(program, "commit", "--quiet", _container(world, stack, numbers)).run

        return Side(f"{name} commit", sample, name)

    def buildah() -> Side:
        place = world.newest
        load(world, place)
        program, name = place.find("buildah"), version(place, "buildah")

        def sample() -> float:
            made = place.lap(program, "from", world.image, output=True).output.split()[-1]
            stack.callback(lambda: place.lap(program, "rm", made))
            place.lap(program, "run", "--network", "none", made, "--", *_writing(numbers))
            return place.lap(program, "commit", "--quiet", made, "localhost/sandcell-bench:theirs").run

        return Side(f"{name} commit", sample, name, Bound("ratio", 0.3))

    ours = Side(f"engine.commit, {NEW} new files of 0.9 KB", sample)
    return Sides(ours, [attempt("buildah", buildah), attempt("podman", podman)])


def comparing(world: World, stack: ExitStack) -> Sides:
    """What a container with ``NEW`` new files changed."""
    engine, numbers = world.engine, itertools.count()
    made = engine.run(world.image, _writing(numbers)).container
    stack.callback(lambda: engine.remove(made, force=True))

    def sample() -> float:
        with elapsed() as took:
            engine.diff(made)
        return took.milliseconds

    def podman() -> Side:
        place = world.newest
        program, name = load(world, place), version(place, "podman")
        theirs = _container(world, stack, numbers)
        return Side(f"{name} diff", lambda: place.lap(program, "diff", theirs).run, name, Bound("ratio", 0.2))

    return Sides(Side(f"engine.diff, {NEW} new files", sample), [attempt("podman", podman)])


def _container(world: World, stack: ExitStack, numbers: "itertools.count[int]") -> str:
    """A container of podman's with ``NEW`` new files, which has ended."""
    place = world.newest
    podman = place.find("podman")
    run = place.lap(podman, "run", "-d", "--network", "none", world.image, *_writing(numbers), output=True)
    made = run.output.split()[-1]
    place.lap(podman, "wait", made)
    stack.callback(lambda: place.lap(podman, "rm", "--force", made))
    return made


ROWS = (
    Row("layer.unpack", unpacking, rounds=5, gaps=(0.0,)),
    Row("layer.pack", packing, rounds=4, gaps=(0.0,)),
    Row("layer.commit", committing, rounds=4, gaps=(0.0,)),
    Row("layer.diff", comparing, rounds=6, gaps=(0.0,)),
)
