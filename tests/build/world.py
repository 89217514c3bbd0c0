"""A store with one small base image, a context, and a runner that pretends: nothing here needs a right."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandcell.runtime.build.build import build
from sandcell.runtime.build.image_files import ImageFiles, LayerBlob
from sandcell.runtime.build.runner import OnOutput, Step, never
from sandcell.runtime.errors import HostRefused, StartFailed
from sandcell.runtime.events import Event, StepFinished
from sandcell.runtime.layer.tree import Entry
from sandcell.runtime.layer.whiteout import XattrFlavour
from sandcell.runtime.linux.idmap import HOST, IdMap
from sandcell.runtime.oci.config import History, ImageConfig, RootFs, RunConfig
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store
from sandcell.runtime.store.worker import Here, Worker

PASSWD = b"root:x:0:0::/root:/bin/sh\napp:x:1000:2000::/home/app:/bin/sh\n"
GROUP = b"root:x:0:\nstaff:x:50:\n"
BASE: tuple[tuple[Entry, bytes | None], ...] = (
    (Entry("bin", "symlink", 0o777, link="usr/bin"), None),
    (Entry("etc", "dir", 0o755), None),
    (Entry("etc/group", "file", 0o644, size=len(GROUP)), GROUP),
    (Entry("etc/passwd", "file", 0o644, size=len(PASSWD)), PASSWD),
    (Entry("srv", "dir", 0o750, 1000, 50), None),
    (Entry("tmp", "dir", 0o1777), None),
    (Entry("usr", "dir", 0o755), None),
    (Entry("usr/bin", "dir", 0o755), None),
    (Entry("usr/bin/sh", "file", 0o755, size=2), b"sh"),
)


WRITTEN = 1_600_000_000
"""When all that a pretended command writes was written."""


class Pretend:
    """A runner whose commands are ``write PATH TEXT``, ``say TEXT``, ``fail STATUS``, ``vanish``,
    ``refuse`` and ``stop``. What it writes is owned by who runs the tests.
    """

    idmap: IdMap = HOST
    flavour: XattrFlavour = "user"
    worker: Worker = Here()

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def __call__(self, step: Step, on_output: OnOutput, stopped: Callable[[], bool] = never) -> int:
        self.steps.append(step)
        verb, *words = step.argv[-1].split(maxsplit=2)
        if verb == "write":
            path = Path(step.upper, words[0].lstrip("/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(words[1] if len(words) > 1 else "")
            # Written again in the next second it shall be the same layer.
            for one in (path, *path.parents[: len(path.relative_to(step.upper).parts)]):
                os.utime(one, (WRITTEN, WRITTEN))
        elif verb == "say":
            on_output("stdout", words[0].encode())
        elif verb == "fail":
            return int(words[0])
        elif verb == "vanish":
            raise StartFailed("start", "container", "there is no such program", "look again", status=127)
        elif verb == "refuse":
            raise HostRefused("start", "container", "no namespaces here", "see the doctor")
        elif verb == "stop":
            raise KeyboardInterrupt
        return 0


class World:
    """What a test of builds needs; ``events`` and ``runner.steps`` are of the last build."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        self.context = folder / "context"
        self.context.mkdir()
        self.runner = Pretend()
        self.events: list[Event] = []
        self.base()

    def base(self, extra: tuple[tuple[Entry, bytes | None], ...] = (), **settings: Any) -> Image:
        """Make, or change, the image ``base``."""
        layer = self.store.layers.of_entries([*BASE, *extra])
        config = ImageConfig(
            architecture="amd64",
            os="linux",
            config=RunConfig(env=("PATH=/usr/bin",), **settings),
            rootfs=RootFs(),
        ).with_layer(layer.diff_id, History(created="2020-01-01T00:00:00Z", created_by="base"))
        image = self.store.write_image(config, (layer.descriptor,))
        self.store.names.set(Reference.parse("base"), image.descriptor)
        return image

    def write(self, path: str, content: str | bytes = "", mode: int = 0o644) -> Path:
        """A file of the context."""
        file = self.context / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(mode)
        return file

    def build(self, text: str, **options: Any) -> Image:
        """Build; a text without FROM is put on ``base``."""
        self.events = []
        self.runner.steps = []
        text = text if "FROM" in text else f"FROM base\n{text}"
        options.setdefault("context", self.context)
        options.setdefault("run_step", self.runner)
        options.setdefault("on_event", self.events.append)
        return build(text, store=self.store, find_image=self.find, **options).image

    def find(self, name: str, /, platform: str = "") -> Image:
        """An image of the store."""
        return self.store.image(name)

    def cached(self) -> str:
        """Of the last build a letter a step, without the first: h for a hit, M for a miss."""
        steps = [event for event in self.events if isinstance(event, StepFinished)]
        steps.sort(key=lambda event: event.number)
        return "".join("h" if step.cached else "M" for step in steps[1:])

    def files(self, image: Image) -> ImageFiles:
        """The files of an image."""
        layers = [LayerBlob(layer.descriptor, layer.diff_id) for layer in image.layers]
        return ImageFiles(self.store, layers, {})

    def top(self, image: Image) -> list[str]:
        """The entries of the uppermost layer: ``path mode uid:gid``, links with their target."""
        layer = image.layers[-1]
        files = ImageFiles(self.store, [LayerBlob(layer.descriptor, layer.diff_id)], {})
        return [_told(entry) for entry in files.tree.entries.values()]


def _told(entry: Entry) -> str:
    look = f"→ {entry.link}" if entry.kind == "symlink" else f"{entry.mode:o}"
    return f"{entry.path} {look} {entry.uid}:{entry.gid}"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A fresh world."""
    old = os.umask(0o022)
    yield World(tmp_path)
    os.umask(old)
