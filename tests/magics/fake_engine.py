"""An engine without containers: values in memory, processes of the host for output.

It keeps the signatures of the real one. What a container would find in ``/run/sandcell`` stands in a
directory of the test; a command that names a file there gets the real path. Nothing is isolated.
"""

import os
import secrets
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sandcell.runtime.container.options import ExecOptions, Options
from sandcell.runtime.container.output import Output
from sandcell.runtime.container.ports import Publish
from sandcell.runtime.engine.looking import ProcessEntry, Stats
from sandcell.runtime.engine.places import Places
from sandcell.runtime.engine.values import Container, ContainerPlan, HistoryEntry, ImageEntry, Removed, Result
from sandcell.runtime.errors import (
    BuildFailed,
    ContainerNotFound,
    DockerfileError,
    ImageNotFound,
    NameInUse,
    StartFailed,
    WrongState,
)
from sandcell.runtime.events import BuildFinished, BuildStarted, Event, StepFinished, StepOutput, StepStarted
from sandcell.runtime.layer.tree import Change, Entry
from sandcell.runtime.linux.host_model import Check, Facet, Host
from sandcell.runtime.oci.config import History, ImageConfig, RootFs, RunConfig
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.manifest import Manifest
from sandcell.runtime.oci.reference import Reference

HOST = Host(
    "rootless",
    (
        Facet("files", "real"),
        Facet("network", "shared", "pasta and slirp4netns are not installed", "apt install passt"),
    ),
    "6.1.0",
    "x86_64",
    (Check("newuidmap", ok=False, errno=1, layer="tool", detail="newuidmap is not installed"),),
)


def image(*steps: tuple[str, int], config: RunConfig | None = None) -> Image:
    """An image value with one layer for each (instruction, compressed size)."""
    kind = "application/vnd.oci.image."
    digests = [Digest.of(text.encode("utf-8", "replace")) for text, _ in steps]
    layers = tuple(
        Descriptor(kind + "layer.v1.tar+gzip", digest, size)
        for digest, (_, size) in zip(digests, steps, strict=True)
    )
    document = ImageConfig(
        architecture="amd64",
        os="linux",
        config=config or RunConfig(),
        rootfs=RootFs(diff_ids=tuple(Digest.of(b"diff" + digest.encode()) for digest in digests)),
        history=tuple(History(created_by=text) for text, _ in steps),
    )
    digest = Digest.of(repr((steps, config)).encode())
    manifest = Manifest(config=Descriptor(kind + "config.v1+json", Digest.of(b"config"), 300), layers=layers)
    return Image(Descriptor(kind + "manifest.v1+json", digest, 700), manifest, document)


def change(kind: Any, path: str, size: int = 0, what: Any = "file") -> Change:
    """One changed file."""
    return Change(kind, path, Entry(path, what, 0o644, size=size))


class Running:
    """A process of the host, seen as the engine shows a run."""

    def __init__(
        self, command: tuple[str, ...], env: Mapping[str, str], exchange: str, on_end: Callable[[int], None]
    ) -> None:
        self.exchange = exchange
        self.oom = False
        self.container: Any = None
        self.closed = False
        self.sent: list[int] = []
        self._on_end = on_end
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **env},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._open = {self._process.stdout.fileno(): "stdout", self._process.stderr.fileno(): "stderr"}

    @property
    def pid(self) -> int:
        return self._process.pid

    def output(self, timeout: float | None = None) -> Iterator[Output]:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._open:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select(list(self._open), [], [], left)
            if not ready:
                return
            for fd in ready:
                data = os.read(fd, 65536)
                if data:
                    yield Output(self._open[fd], data, time.time())
                else:
                    del self._open[fd]

    def wait(self, timeout: float | None = None) -> int | None:
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        status = code if code >= 0 else 128 - code
        self._on_end(status)
        return status

    def signal(self, signum: int) -> None:
        self.sent.append(signum)
        try:
            os.killpg(self._process.pid, signum)
        except ProcessLookupError:
            pass

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait()
            for stream in (self._process.stdout, self._process.stderr):
                assert stream is not None
                stream.close()


class FakeEngine:
    """The contract's engine over a directory of the test. ``calls`` lists the verbs that were used;
    ``changes`` is what every container changed; ``build_error`` makes the next build fail."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.places = Places(str(room / "home"), str(room / "run"))
        self.host = HOST
        self.calls: list[tuple[Any, ...]] = []
        self.changes: tuple[Change, ...] = ()
        self.build_error: Exception | None = None
        self.runs: list[Running] = []
        self.closed = False
        self.logged: dict[str, list[Output]] = {}
        self.spoiled: Callable[[], list[str]] = list
        self._images: dict[str, Image] = {"host:latest": image(("FROM host", 61_000_000))}
        self._containers: dict[str, Container] = {}

    def warm(self) -> None:
        self.calls.append(("warm",))

    def close(self) -> None:
        self.closed = True

    def build(
        self,
        text: str,
        *,
        name: str | None = None,
        context: Any = None,
        build_args: Any = None,
        target: str | None = None,
        no_cache: bool = False,
        pull: bool = False,
        options: Any = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> Image:
        self.options = options
        self.calls.append(("build", name, context, build_args, target, no_cache, pull))
        steps = self._steps(text)
        tell = on_event or (lambda event: None)
        tell(BuildStarted(name=name or "", steps=steps))
        for number, step in enumerate(steps, 1):
            tell(StepStarted(number=number, total=len(steps), text=step, lines=(number, number)))
            if step.startswith("RUN"):
                tell(StepOutput(number=number, stream="stdout", data=b"working\rdone\n"))
            if step.startswith("RUN false"):
                raise BuildFailed(
                    "build",
                    f"{name}",
                    f"{step}: exit status 1",
                    status=1,
                    lines=(number, number),
                    source=step,
                )
            if self.build_error is not None:
                error, self.build_error = self.build_error, None
                raise error
            tell(StepFinished(number=number, cached=number == 1, size=number * 1000, duration=0.01))
        made = image(*((step, 1000) for step in steps))
        self._images[Reference.parse(name or "x").familiar] = made
        tell(BuildFinished(name=name or "", digest=made.digest))
        return made

    def plan(self, text: str, **asked: Any) -> str:
        self.calls.append(("plan", asked))
        return "\n".join(self._steps(text))

    def _steps(self, text: str) -> tuple[str, ...]:
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        for number, line in enumerate(text.splitlines(), 1):
            word = line.split(maxsplit=1)[0] if line.strip() else ""
            if word.isupper() and word not in ("FROM", "RUN", "CMD", "COPY", "ENV"):
                raise DockerfileError(
                    "build",
                    "",
                    f"unknown instruction {word}",
                    "did you mean RUN?",
                    lines=(number, number),
                    source=line,
                )
        return tuple(lines)

    def images(self, filters: tuple[str, ...] = ()) -> tuple[ImageEntry, ...]:
        return tuple(
            ImageEntry(name=name, digest=i.digest, created="", size=i.size, layers=len(i.layers))
            for name, i in self._images.items()
        )

    def image(self, name: str) -> Image:
        for known, value in self._images.items():
            if name in (known, known.removesuffix(":latest"), value.digest):
                return value
        raise ImageNotFound("find image", name, "there is none of that name", "did you mean host?")

    def history(self, name: str) -> tuple[HistoryEntry, ...]:
        return tuple(
            HistoryEntry(
                created="",
                created_by=layer.history.created_by if layer.history else "",
                size=layer.descriptor.size,
                digest=layer.descriptor.digest,
                empty_layer=False,
            )
            for layer in reversed(self.image(name).layers)
        )

    def tag(self, source: str, target: str) -> None:
        self._images[Reference.parse(target).familiar] = self.image(source)

    def remove_image(self, name: str, *, force: bool = False) -> Removed:
        self.calls.append(("remove_image", name, force))
        found = self.image(name)
        familiar = Reference.parse(name).familiar
        del self._images[familiar]
        return Removed((familiar,), (found.digest,))

    # containers

    def create(self, image: str, command: Any = None, options: Options = Options(), **_: Any) -> Container:
        self.calls.append(("create", image, command, options))
        found = self.image(image)
        if options.name and any(one.name == options.name for one in self._containers.values()):
            if not options.replace:
                raise NameInUse("create", options.name, "another container has that name", "--replace")
            del self._containers[self.container(options.name).id]
        id = secrets.token_hex(32)
        made = Container(
            id=id,
            name=options.name or id[:12],
            image=Reference.parse(image).familiar,
            image_digest=found.digest,
            command=tuple(command or found.config.config.cmd),
            created=time.time(),
            state="created",
            labels=options.labels,
            options=msgspec.structs.replace(options, files={}),
        )
        self._containers[id] = made
        return made

    def start(self, container: Any, *, attach: bool = False) -> Container:
        self.calls.append(("start", self.container(container).name))
        return self._set(self.container(container), state="running", pid=4711)

    def launch(self, image: str, command: Any = None, options: Options = Options()) -> Running:
        made = self.create(image, command, options)
        return self._run(made, made.command, options.env, options.files, Path("run"), owned=True)

    def launch_in(self, container: Any, command: tuple[str, ...], options: ExecOptions) -> Running:
        found = self.container(container)
        self.calls.append(("exec", found.name, command, options))
        if found.state != "running":
            raise WrongState("exec in", found.name, f"it is {found.state}, not running", "start it")
        return self._run(found, command, options.env, options.files, Path("exec"), owned=False)

    def _run(
        self,
        container: Container,
        command: tuple[str, ...],
        env: Mapping[str, str],
        files: Mapping[str, bytes],
        where: Path,
        *,
        owned: bool,
    ) -> Running:
        room = self.room / where / secrets.token_hex(4)
        (room / "out").mkdir(parents=True)
        for name, data in files.items():
            (room / name).parent.mkdir(exist_ok=True)
            (room / name).write_bytes(data)
            (room / name).chmod(0o555)

        def real(text: str) -> str:
            return text.replace("{dir}", str(room)).replace("/run/sandcell", str(room))

        def ended(status: int) -> None:
            if owned and container.id in self._containers:
                self._set(container, state="exited", exit_status=status, pid=None)
                if container.options.remove:
                    del self._containers[container.id]

        variables = {key: real(value) for key, value in env.items()}
        if not owned:
            variables |= {"SANDCELL_DIR": str(room), "SANDCELL_OUT": str(room / "out")}
        try:
            running = Running(tuple(real(word) for word in command), variables, str(room / "out"), ended)
        except (FileNotFoundError, PermissionError):
            raise StartFailed(
                "start", container.name, f"no command {command[0]!r} in the container", status=127
            ) from None
        running.container = self._set(container, state="running", pid=running.pid) if owned else container
        self.runs.append(running)
        return running

    def run(self, image: str, command: Any = None, options: Options = Options()) -> Result:
        running = self.launch(image, command, options)
        out = {"stdout": b"", "stderr": b""}
        for piece in running.output():
            out[piece.stream] += piece.data
        status = running.wait() or 0
        running.close()
        return Result(status=status, duration=0.0, container=running.container, **out)

    def exchange(self, running: Running) -> str:
        return running.exchange

    def wait(self, container: Any, timeout: float | None = None) -> int | None:
        return self.container(container).exit_status

    def kill(self, container: Any, signal: str | int = "KILL") -> None:
        self.calls.append(("kill", self.container(container).name, signal))
        self._set(self.container(container), state="exited", exit_status=137, pid=None)

    def pause(self, container: Any) -> None:
        self._set(self.container(container), state="paused")

    def unpause(self, container: Any) -> None:
        self._set(self.container(container), state="running")

    def rename(self, container: Any, name: str) -> Container:
        return self._set(self.container(container), name=name)

    def ports(self, _: Any) -> tuple[Publish, ...]:
        return (Publish(80, 8080), Publish(53, 5353, "::1", "udp"))

    def copy(self, source: str, destination: str, *, follow: bool, keep_owner: bool) -> None:
        self.calls.append(("copy", source, destination, follow, keep_owner))

    def top(self, container: Any) -> tuple[ProcessEntry, ...]:
        self.container(container)
        told: dict[str, Any] = {
            "cpu": 1.5,
            "memory": 4096,
            "state": "S",
            "started": 0.0,
            "command": "sleep 1",
        }
        return (ProcessEntry(pid=4711, inside=1, parent=0, user=7, **told),)

    def stats(self, container: Any) -> Stats:
        found = self.container(container)
        told: dict[str, Any] = {"memory_limit": None, "received": 0, "sent": 0, "counted": "processes"}
        return Stats(id=found.id, name=found.name, time=1.0, cpu=2.5, memory=4096, pids=3, **told)

    def stop(self, container: Any, timeout: float | None = 10, **_: str) -> None:
        self.calls.append(("stop", self.container(container).name, timeout))
        self._set(self.container(container), state="exited", exit_status=143, pid=None)

    def restart(self, container: Any, timeout: float | None = 10, **_: str) -> Container:
        self.stop(container, timeout)
        return self.start(container)

    def remove(self, container: Any, *, force: bool = False) -> None:
        found = self.container(container)
        self.calls.append(("remove", found.name, force))
        if found.state == "running" and not force:
            raise WrongState("remove", found.name, "it is running", "stop it first")
        del self._containers[found.id]

    def containers(self, *, all: bool = False) -> tuple[Container, ...]:
        found = reversed(self._containers.values())
        return tuple(one for one in found if all or one.state == "running")

    def container(self, name_or_id: Any) -> Container:
        wanted = name_or_id.id if isinstance(name_or_id, Container) else name_or_id
        for one in sorted(self._containers.values(), key=lambda one: one.name != wanted):
            if wanted == one.name or (wanted and one.id.startswith(wanted)):
                return one
        raise ContainerNotFound("find container", wanted, "there is none of that name")

    def logs(self, container: Any, *, tail: int | None = None, **_: Any) -> Iterator[Output]:
        return iter(self.logged.get(self.container(container).name, [])[None if tail is None else -tail :])

    def diff(self, container: Any) -> tuple[Change, ...]:
        self.container(container)
        return self.changes

    def commit(self, container: Any, name: str | None = None, *, message: str = "") -> Image:
        base = self.image(self.container(container).image)
        steps = [(one.history.created_by if one.history else "", one.descriptor.size) for one in base.layers]
        made = image(*steps, (message or "commit", 500))
        if name:
            self._images[Reference.parse(name).familiar] = made
        return made

    def reset(self, container: Any) -> None:
        self.calls.append(("reset", self.container(container).name))

    def explain(self, image: str, command: Any = None, options: Options = Options()) -> ContainerPlan:
        self.image(image)
        return ContainerPlan({}, "mount the overlay\n" + " ".join(command or ("sh",)))

    def inspect(self, name: str) -> dict[str, Any]:
        return {"Id": name}

    def _set(self, container: Container, **changes: Any) -> Container:
        self._containers[container.id] = msgspec.structs.replace(self._containers[container.id], **changes)
        return self._containers[container.id]
