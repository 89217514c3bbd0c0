"""What all rows share: scratch directories, the engine, the places where peers run, and the image.

Everything is made when first asked for and undone by ``close``, in reverse order.
"""

import fcntl
import itertools
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tests.bench import machine, trixie
from tests.bench.leftovers import groups, remove_tree, sweep
from tests.bench.place import Mounts, Place, Unavailable
from tests.bench.record import Machine

if TYPE_CHECKING:
    from sandcell import Engine, Options

T = TypeVar("T")
IMAGE = "localhost/sandcell-bench:base"
_DOCKERFILE = """\
FROM host:tiny
RUN echo two > /two
RUN echo three > /three
CMD ["/bin/true"]
"""


class World:
    """``disk``: a fresh directory for stores, ``memory``: one on tmpfs for run state, for ours and peers."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._numbers = itertools.count(1)
        self._refused: dict[str, Unavailable] = {}
        self._stack.callback(sweep, groups())
        above = self._scratch("/var/tmp")
        spread(above)
        self.disk = tempfile.mkdtemp(dir=above)
        spread(self.disk)
        self.memory = self._scratch("/dev/shm") if Path("/dev/shm").is_dir() else self._scratch("/var/tmp")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Undo everything: peers' processes and mounts first, directories last."""
        self._stack.close()

    def _scratch(self, above: str) -> str:
        path = tempfile.mkdtemp(prefix="sandcell-bench.", dir=above)
        self._stack.callback(remove_tree, path)
        return path

    def undo(self, action: Callable[[], object]) -> None:
        """Call ``action`` at the end, before what was made earlier is undone."""
        self._stack.callback(action)

    def fresh(self) -> str:
        """Path below ``disk`` that nobody used, not created."""
        return f"{self.disk}/{next(self._numbers)}"

    def store(self) -> str:
        """Path for a store that is filled in one sample: far from all others (see ``spread``), and nobody
        pays for what others left to be written. It is deleted when all rows are done."""
        os.sync()
        return self._apart(f"{next(self._numbers)}")

    def _apart(self, name: str) -> str:
        # Equal names begin at the same place of the disk, also in the next run.
        return f"{self.disk}/{name}-{os.urandom(4).hex()}"

    @cached_property
    def machine(self) -> Machine:
        return machine.this(self.disk)

    # Ours

    @cached_property
    def environment(self) -> dict[str, str]:
        """The process environment that leads sandcell to this bench's store."""
        return {"SANDCELL_HOME": self._apart("home"), "SANDCELL_RUN": f"{self.memory}/run"}

    @cached_property
    def engine(self) -> "Engine":
        """Ours, with a store of its own."""
        from sandcell import Engine

        where = self.environment
        engine = Engine(home=where["SANDCELL_HOME"], run=where["SANDCELL_RUN"])
        self.undo(engine.close)
        return engine

    @cached_property
    def image(self) -> str:
        """Name of an image of three layers over the host's smallest userland. Built at the first use, and
        started once: what a first start makes is there."""
        self.engine.build(_DOCKERFILE, name=IMAGE)
        self.engine.run(IMAGE, ("/bin/true",), self.options)
        return IMAGE

    @cached_property
    def archive(self) -> str:
        """The same image as an OCI archive, for the peers."""
        path = f"{self.disk}/image.tar"
        self.engine.save(self.image, path)
        return path

    @cached_property
    def options(self) -> "Options":
        """Options of the measured containers: removed afterwards, no network beside loopback."""
        from sandcell import Options

        return Options(remove=True, network="none")

    def sandcell(self, *arguments: str) -> list[str]:
        """Command line of our program: the installed script, else the module."""
        script = Path(sys.executable).with_name("sandcell")
        program = [str(script)] if script.exists() else [sys.executable, "-m", "sandcell.runtime.cli"]
        return [*program, *arguments]

    # Where peers run

    @cached_property
    def host(self) -> Place:
        """This machine as it is, with our store in the environment."""
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return self._place("host", lambda: Place(None, {**inherited, **self.environment}))

    @cached_property
    def installed(self) -> Place:
        """The programs installed here, with private mounts and no hybrid cgroup branch."""
        return self._place("installed", lambda: Place(self._mounts(), self._settings("installed")))

    @cached_property
    def newest(self) -> Place:
        """The programs of Debian's next release, in their own root."""

        def make() -> Place:
            root = str(trixie.ensure(trixie.cache()))
            return Place(self._mounts(root), self._settings("newest"))

        return self._place("newest", make)

    def newest_once_more(self) -> Place:
        """Another place like ``newest``, for peers that run beside it; the caller closes it."""
        return Place(self._mounts(str(trixie.ensure(trixie.cache()))))

    def _mounts(self, root: str | None = None) -> Mounts:
        """Run state, locks and temporary files of the peers are their own and vanish with the place."""
        return Mounts(
            hide=tuple(machine.hidden(Path("/proc/self/mountinfo").read_text())),
            root=root,
            binds=("/proc", "/sys", "/dev"),
            covers=("/run", "/tmp", "/var/tmp", "/dev/shm"),
            keep=(self.disk, self.memory),
        )

    def _place(self, name: str, make: Callable[[], Place]) -> Place:
        if name in self._refused:
            raise self._refused[name]
        try:
            place = make()
        except Unavailable as reason:
            self._refused[name] = reason
            raise
        self.undo(place.close)
        return place

    def _settings(self, name: str) -> dict[str, str]:
        """podman and buildah: stores of their own on the same file systems as ours, no systemd."""
        folder = Path(self._apart(f"containers-{name}"))
        folder.mkdir()
        files = {
            "CONTAINERS_CONF": (
                '[containers]\ndefault_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]\n'
                'log_driver = "k8s-file"\n[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            ),
            "CONTAINERS_STORAGE_CONF": (
                f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/graph"\n'
                f'runroot = "{self.memory}/{name}"\n'  # podman refuses more than 50 characters
            ),
        }
        for variable, text in files.items():
            (folder / variable).write_text(text)
        return {variable: str(folder / variable) for variable in files}


def spread(folder: str) -> None:
    """Have ext4 begin each directory in ``folder`` in another part of the disk (chattr(1), ``T``).

    ext4 passes over every inode that was freed in the last minutes, one by one, for each file it makes: a
    tree of 50,000 files, made where such a tree was just deleted, takes 40 s instead of two. Other file
    systems know nothing of this, and need it not.
    """
    get, set, top = 0x80086601, 0x40086602, 0x00020000  # linux/fs.h: FS_IOC_…FLAGS, FS_TOPDIR_FL
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        (flags,) = struct.unpack("l", fcntl.ioctl(descriptor, get, bytes(struct.calcsize("l"))))
        fcntl.ioctl(descriptor, set, struct.pack("l", flags | top))
    except OSError:
        pass
    finally:
        os.close(descriptor)


class Elapsed:
    """Filled when the block that it was given to ends. ``milliseconds``: wall time."""

    milliseconds: float = 0.0


@contextmanager
def elapsed() -> Iterator[Elapsed]:
    """Time a block on the monotonic clock."""
    took = Elapsed()
    begin = time.perf_counter()
    yield took
    took.milliseconds = (time.perf_counter() - begin) * 1e3


def version(place: Place, program: str) -> str:
    """``crun 1.21``: the name and the first word of ``--version`` that has a digit first.
    Raises Unavailable."""
    said = place.lap(place.find(program), "--version", output=True).output.replace(",", " ").split()
    number: Any = next((word for word in said if word[:1].isdigit()), "")
    return f"{program} {number.split('+')[0]}"


def load(world: World, place: Place) -> str:
    """Give podman's store at ``place`` our image. Returns podman's path. Raises Unavailable."""
    podman = place.find("podman")
    if IMAGE not in place.lap(podman, "images", "--format", "{{.Repository}}:{{.Tag}}", output=True).output:
        place.lap(podman, "load", "--input", world.archive)
    return podman
