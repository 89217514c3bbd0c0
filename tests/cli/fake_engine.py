"""An engine without isolation: containers are records, their programs plain processes of the host.

It keeps the promises of the real engine's signatures that the command line builds on: names, ids
and states, errors, output in pieces, exit statuses, signals to the whole program.
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from sandcell.runtime.cli import main
from sandcell.runtime.container.options import ExecOptions, Options
from sandcell.runtime.container.output import Output
from sandcell.runtime.engine.values import Container, HistoryEntry, ImageEntry, Removed
from sandcell.runtime.errors import (
    ContainerNotFound,
    DockerfileError,
    ImageNotFound,
    NameInUse,
    StartFailed,
    WrongState,
)
from sandcell.runtime.events import (
    BuildFinished,
    BuildStarted,
    Callback,
    StepFinished,
    StepOutput,
    StepStarted,
)
from sandcell.runtime.oci.digest import Digest

CHILD = """
import sys
from sandcell.runtime.cli import main
sys.path.insert(0, "tests")
from cli.fake_engine import FakeEngine
sys.exit(main(sys.argv[1:], engine=FakeEngine()))
"""
"""A program that is the ``sandcell`` command over a fake engine, to be run in the checkout."""

CREATED = "2024-05-01T10:00:00Z"


class Change(msgspec.Struct, frozen=True):
    """One line of a diff."""

    kind: str
    path: str


def record(id: str, name: str, image: str = "tiny:latest", **more: Any) -> Container:
    """A container of that id and name, made an hour ago."""
    more = {"command": ("sh",), "created": time.time() - 3600, "state": "created", **more}
    return Container(id=id, name=name, image=image, image_digest=Digest("sha256:" + "a" * 64), **more)


def entry(name: str, figure: str) -> ImageEntry:
    """An image of that name whose digest repeats one figure."""
    digest = Digest("sha256:" + figure * 64)
    return ImageEntry(name=name, digest=digest, created=CREATED, size=64_200_000, layers=2)


class Running:
    """A program with its two pipes."""

    def __init__(self, container: Container, command: tuple[str, ...], env: dict[str, str]) -> None:
        self.container = container
        self.closed = False
        self.signals: list[int] = []
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **env},
                start_new_session=True,
                bufsize=0,
            )
        except FileNotFoundError:
            raise StartFailed("run", command[0], "no such command", status=127) from None
        except PermissionError:
            raise StartFailed("run", command[0], "it is not executable", status=126) from None
        self.pid = self._process.pid
        self._open = {self._process.stdout: "stdout", self._process.stderr: "stderr"}

    def output(self, timeout: float | None = None) -> Iterator[Output]:
        with selectors.DefaultSelector() as ready:
            for pipe in self._open:
                assert pipe is not None
                ready.register(pipe, selectors.EVENT_READ)
            while self._open:
                for key, _ in ready.select(timeout):
                    data = os.read(key.fd, 65536)
                    if data:
                        yield Output(self._open[key.fileobj], data)  # type: ignore[index]
                    else:
                        ready.unregister(key.fileobj)
                        del self._open[key.fileobj]  # type: ignore[arg-type]

    def wait(self, timeout: float | None = None) -> int:
        status = self._process.wait(timeout)
        return 128 - status if status < 0 else status

    def signal(self, number: int) -> None:
        self.signals.append(number)
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass

    def close(self) -> None:
        self.closed = True
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()


class FakeEngine:
    """Holds what a test puts in ``records``, ``image_records`` and ``changes``."""

    def __init__(self) -> None:
        self.records: dict[str, Container] = {}
        self.image_records = {"tiny:latest": entry("tiny:latest", "a")}
        self.broken: list[str] = []
        self.changes: tuple[Change, ...] = ()
        self.output: list[Output] = []
        self.asked: dict[str, Any] = {}
        self.running: Running | None = None

    # images

    def images(self, filters: tuple[str, ...] = ()) -> tuple[ImageEntry, ...]:
        return tuple(self.image_records.values())

    def image(self, name: str) -> ImageEntry:
        full = name if ":" in name else f"{name}:latest"
        if full not in self.image_records:
            raise ImageNotFound("find image", name, "there is none here", "did you mean 'tiny'?")
        return self.image_records[full]

    def build(self, text: str, *, on_event: Callback, **asked: Any) -> ImageEntry:
        self.asked = {"text": text, **asked}
        lines = text.splitlines()
        for number, line in enumerate(lines, 1):
            if line.split()[0] not in ("FROM", "RUN", "CMD"):
                raise DockerfileError(
                    "build",
                    f"line {number}",
                    f"there is no instruction {line.split()[0]}",
                    "did you mean RUN?",
                    lines=(number, number),
                    source=line,
                )
        on_event(BuildStarted(name="x", steps=tuple(lines)))
        for number, line in enumerate(lines, 1):
            on_event(StepStarted(number=number, total=len(lines), text=line, lines=(number, number)))
            if line.startswith("RUN"):
                on_event(StepOutput(number=number, stream="stdout", data=b"one\rtwo\nthr"))
                on_event(StepOutput(number=number, stream="stdout", data=b"ee"))
            on_event(StepFinished(number=number, cached=number == 1, size=1500, duration=0.25))
        image = entry(asked["name"] or "", "b")
        self.image_records[image.name] = image
        on_event(BuildFinished(name=image.name, digest=image.digest, duration=0.5))
        return image

    def plan(self, text: str, **asked: Any) -> str:
        self.asked = {"text": text, **asked}
        return f"plan of {text!r} in {asked['context']}"

    def tag(self, source: str, target: str) -> None:
        self.image_records[target] = msgspec.structs.replace(self.image(source), name=target)

    def history(self, name: str) -> tuple[HistoryEntry, ...]:
        self.image(name)
        return (
            HistoryEntry(created=CREATED, created_by='CMD ["sh"]', size=0, digest=None, empty_layer=True),
            HistoryEntry(
                created=CREATED,
                created_by="RUN make\n   everything",
                size=1500,
                digest=Digest("sha256:" + "c" * 64),
                empty_layer=False,
                comment="a note",
            ),
        )

    def remove_image(self, name: str, *, force: bool = False) -> Removed:
        image = self.image(name)
        del self.image_records[image.name]
        return Removed((image.name,), (image.digest,))

    def save(self, names: tuple[str, ...], out: Any, *, form: str, compression: str) -> None:
        self.asked = {"names": names, "form": form, "compression": compression}
        for name in names:
            self.image(name)
        if isinstance(out, str):
            with open(out, "wb") as file:
                file.write(b"tar")

    # containers

    def create(self, image: str, command: tuple[str, ...] | None, options: Options, **_: bool) -> Container:
        found = self.image(image)
        options.check()
        name = options.name or f"c{len(self.records)}"
        if name in self.records:
            raise NameInUse("create", name, "there is one of that name", "use --replace")
        number = f"{len(self.records):064x}"
        made = record(number[::-1], name, found.name, command=command or ("sh",), options=options)
        self.records[name] = made
        return made

    def launch(self, image: str, command: tuple[str, ...] | None, options: Options) -> Running:
        record = self.create(image, command, options)
        self.running = Running(record, record.command, options.env)
        return self.running

    def launch_in(self, container: str, command: tuple[str, ...], options: ExecOptions) -> Running:
        record = self.container(container)
        if record.state != "running":
            raise WrongState("exec", container, "it is not running", f"sandcell start {container}")
        self.running = Running(record, command, options.env)
        return self.running

    def container(self, name: str) -> Container:
        for record in self.records.values():
            if record.name == name or record.id.startswith(name):
                return record
        raise ContainerNotFound("find container", name, "there is none of that name or id")

    def spoiled(self) -> list[str]:
        return self.broken

    def containers(self, *, all: bool = False) -> tuple[Container, ...]:
        found = reversed(self.records.values())
        return tuple(record for record in found if all or record.state in ("running", "paused"))

    def _become(self, container: str, **changes: Any) -> Container:
        record = self.container(container)
        self.records[record.name] = msgspec.structs.replace(record, **changes)
        return self.records[record.name]

    def start(self, container: str | Container) -> Container:
        name = container if isinstance(container, str) else container.name
        return self._become(name, state="running", started=time.time())

    def stop(self, container: str, timeout: float | None = 10, **_: str) -> Container:
        self.asked = {"timeout": timeout}
        return self._become(container, state="exited", exit_status=128 + signal.SIGTERM, finished=time.time())

    def restart(self, container: str, timeout: float | None = 10, **_: str) -> Container:
        self.stop(container, timeout)
        return self.start(container)

    def kill(self, container: str, signal: str = "KILL") -> None:
        self.asked = {"signal": signal}
        self._become(container, state="exited", exit_status=137, finished=time.time())

    def wait(self, container: str, timeout: float | None = None) -> int:
        return self.container(container).exit_status or 0

    def remove(self, container: str, *, force: bool = False) -> None:
        record = self.container(container)
        if record.state == "running" and not force:
            raise WrongState("remove", container, "it is running", "stop it first, or use -f")
        del self.records[record.name]

    def rename(self, container: str, name: str) -> None:
        self._become(container, name=name)
        self.records = {record.name: record for record in self.records.values()}

    def diff(self, container: str) -> tuple[Change, ...]:
        self.container(container)
        return self.changes

    def commit(
        self, container: str, name: str | None, *, message: str = "", compression: str = "gzip", **_: Any
    ) -> ImageEntry:
        self.container(container)
        self.asked = {"message": message, "compression": compression}
        image = entry(name or "", "d")
        self.image_records[image.name] = image
        return image

    def logs(self, container: str, *, tail: int | None = None, **_: Any) -> Iterator[Output]:
        self.container(container)
        self.asked = {"tail": tail}
        yield from self.output

    def inspect(self, name: str) -> dict[str, Any]:
        record = self.container(name)
        return {"Id": record.id, "Name": record.name}


def command(engine: FakeEngine, *words: str) -> int:
    """``sandcell WORDS`` in this process, over ``engine``; its exit status."""
    return main(words, engine=cast(Any, engine))
