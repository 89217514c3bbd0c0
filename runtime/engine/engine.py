"""The engine: one method per verb, the same words as the magics and the command line.

Verbs load what they need when they are called: ``sandcell ps`` has 100 ms, interpreter included.
``warm`` loads everything ahead.
"""

import os
from _thread import RLock
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from sandcell.runtime.container import journal, output, state
from sandcell.runtime.container.options import ExecOptions, Options
from sandcell.runtime.engine import places, record
from sandcell.runtime.engine.image_verbs import ImageVerbs
from sandcell.runtime.engine.layer_verbs import LayerVerbs
from sandcell.runtime.engine.living_verbs import LivingVerbs
from sandcell.runtime.engine.look_verbs import LookVerbs
from sandcell.runtime.engine.network_verbs import NetworkVerbs
from sandcell.runtime.engine.registry_verbs import RegistryVerbs
from sandcell.runtime.engine.values import Container, ContainerPlan, Result
from sandcell.runtime.engine.volume_verbs import VolumeVerbs
from sandcell.runtime.errors import ContainerNotFound, Corrupted, SandcellError
from sandcell.runtime.events import Callback, ContainerEvent, silent
from sandcell.runtime.linux import idmap

if TYPE_CHECKING:
    from sandcell.runtime.container.launcher import Launcher
    from sandcell.runtime.container.running import Running
    from sandcell.runtime.engine.birth import Nursery
    from sandcell.runtime.layer.compress import Compression
    from sandcell.runtime.layer.tree import Change
    from sandcell.runtime.linux.host_model import Host
    from sandcell.runtime.oci.image import Image
    from sandcell.runtime.oci.spec import Spec
    from sandcell.runtime.store.prune import Pruned

Who = Container | str


class Engine(ImageVerbs, LookVerbs, LayerVerbs, RegistryVerbs, VolumeVerbs, NetworkVerbs, LivingVerbs):
    """Images and containers of one store.

    ``home``: the store (default SANDCELL_HOME, else /var/lib/sandcell for root and the XDG data
    directory for others). ``run``: locks and states of this boot (SANDCELL_RUN, /run/sandcell).
    ``on_event`` hears of everything that is done through this engine. Several engines, in several
    processes, may use one store at once. Safe to use from several threads.

    Verbs take a container as a ``Container``, a name, an id or the beginning of one. Every error
    is a ``SandcellError``.
    """

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        run: str | os.PathLike[str] | None = None,
        *,
        on_event: Callback = silent,
    ) -> None:
        self.places = places.find(home, run)
        self.on_event = on_event
        self._lock = RLock()
        self._tied: dict[str, Running] = {}
        self._launcher: Launcher | None = None
        self._host: Host | None = None
        self._nursery: Nursery | None = None

    # ------------------------------------------------------------ the host and this engine

    @property
    def host(self) -> "Host":
        """What this host allows; probed at the first use."""
        with self._lock:
            if self._host is None:
                from sandcell.runtime.engine import preferences
                from sandcell.runtime.linux.host import probe

                self._host = probe(self.places.home, self.places.run, rung=preferences.rung())
            return self._host

    def warm(self) -> None:
        """Start the helper process that makes containers, and load what making them takes, so that
        the first one is quick too."""
        from sandcell.runtime.engine import birth, collect, images, lifecycle, visit  # noqa: F401

        self.launcher.start()

    def close(self) -> None:
        """End the helper process. Containers go on; the engine may be used again."""
        if self._launcher is not None:
            self._launcher.close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def nursery(self) -> "Nursery":
        """What births need, found once."""
        from sandcell.runtime.engine import birth

        with self._lock:
            if self._nursery is None:
                self._nursery = birth.Nursery(self.places, self.host, self.launcher, self.idmap)
            return self._nursery

    # ------------------------------------------------------------ containers: life

    def create(
        self,
        image: str,
        command: tuple[str, ...] | None = None,
        options: Options = Options(),
        *,
        starts: bool = False,
    ) -> Container:
        """A new container that does not run yet. It is on the disk when this returns, unless it is removed
        at its end, or ``starts``: it is to be started at once, and what runs it sees to that."""
        born = self._create(image, command, options)[0]
        if not starts and not options.remove:
            try:
                record.keep(self.places, born.id)
            except SandcellError:
                self._give_up(born)
                raise
        return self._value(born)

    def _create(
        self, image: str, command: tuple[str, ...] | None, options: Options
    ) -> "tuple[record.Record, Spec, tuple[str, ...]]":
        from sandcell.runtime.engine import allowed, birth
        from sandcell.runtime.engine.images import PRUNING

        if options.replace and options.name:
            self._make_room(options.name)
        allowed.check(self.nursery, options)
        # Until the record stands, nobody can see that the image is needed: keep `prune` out.
        with self.store.store.lock(PRUNING, shared=True):
            found = self.store.find(image)
            lowers = self.store.lowers(found)
            born, spec = birth.create(
                self.nursery, self.store.familiar(image), found.digest, found.config, lowers, command, options
            )
        self._tell("create", born)
        return born, spec, lowers

    def _make_room(self, name: str) -> None:
        try:
            found = self._find(name)
            if found.options.name == name:  # not one whose id begins so
                self.remove(found.id, force=True)
        except SandcellError:
            pass  # there is none to replace; what else is wrong shows when it is created

    def start(self, container: Who) -> Container:
        """Start a container that does not run, in the background; one that runs goes on, as docker's."""
        from sandcell.runtime.engine import birth, lifecycle

        if birth.runs(self.places, who := self._find(container)):
            return self._value(who)
        lifecycle.settle(self.places, who)
        begun = birth.start(self.nursery, who, self.store.lowers_of(who), attach=False)
        if who.options.die_with_client:
            self._tied[who.id] = begun  # hanging up would end it
        else:
            begun.close()
        self._tell("start", who)
        return self._value(who)

    def launch(
        self, image: str, command: tuple[str, ...] | None = None, options: Options = Options()
    ) -> "Running":
        """Create a container and start it with its output connected to us.

        The container is ``running.container``. If it cannot be started the container stays,
        created, unless ``options.remove``.
        """
        from sandcell.runtime.engine import birth

        born, spec, lowers = self._create(image, command, options)
        try:
            running = birth.start(self.nursery, born, lowers, attach=True, spec=spec)
        except BaseException:
            if options.remove:
                self._give_up(born)
            raise
        self._tell("start", born)
        running.container = self._value(born)
        return running

    def _give_up(self, born: "record.Record") -> None:
        try:
            self.remove(born.id, force=True)
        except SandcellError:
            pass  # the error that led here says more

    def launch_in(
        self, container: Who, command: tuple[str, ...], options: ExecOptions = ExecOptions()
    ) -> "Running":
        """Start another process in a running container, its output connected to us."""
        from sandcell.runtime.engine import visit

        who = self._find(container)
        running = visit.enter(self.nursery, who, self.store.lowers_of(who), command, options)
        self._tell("exec", who)
        running.container = self._value(who)
        return running

    def run(
        self,
        image: str,
        command: tuple[str, ...] | None = None,
        options: Options = Options(),
        *,
        on_output: output.Listener | None = None,
    ) -> Result:
        """Create, start, wait: all of a command's output and its status."""
        from sandcell.runtime.engine.collect import collect

        return collect(self.launch(image, command, options), on_output)

    def exec(
        self,
        container: Who,
        command: tuple[str, ...],
        options: ExecOptions = ExecOptions(),
        *,
        on_output: output.Listener | None = None,
    ) -> Result:
        """Run a command in a running container and wait for it."""
        from sandcell.runtime.engine.collect import collect

        return collect(self.launch_in(container, command, options), on_output)

    def exchange(self, running: "Running") -> str:
        """The host's directory that the process sees as /run/sandcell/out (or SANDCELL_OUT)."""
        if running.exchange and not self.host.mounting:
            from sandcell.runtime.engine import lower

            lower.fetch(self.launcher, self.idmap, running.exchange)
        return running.exchange

    def wait(self, container: Who, timeout: float | None = None) -> int | None:
        """The exit status, when it has ended; ``None`` after ``timeout`` seconds, or when the status
        is not known because the monitor was killed."""
        from sandcell.runtime.engine import lifecycle

        ended = lifecycle.wait(self.places, self._find(container), timeout)
        return ended.exit_status if ended is not None else None

    def kill(self, container: Who, signal: str | int = "KILL") -> None:
        """Send a signal to its first process."""
        from sandcell.runtime.engine import lifecycle

        who = self._find(container)
        lifecycle.send(self.places, who, lifecycle.parse_signal(signal))
        self._tell("kill", who)

    def stop(self, container: Who, timeout: float | None = None, *, signal: str | int = "") -> None:
        """Ask it to end by ``signal``, or its own stop signal, and make it after ``timeout`` seconds, by
        itself those it was created with, or 10; -1 waits for ever."""
        from sandcell.runtime.engine import lifecycle

        who = self._find(container)
        word = signal or who.options.stop_signal or self.store.stop_signal(who) or "TERM"
        patience = who.options.stop_timeout if timeout is None else timeout
        lifecycle.stop(self.places, who, lifecycle.parse_signal(word), 10 if patience is None else patience)
        self._tell("stop", who)

    def restart(self, container: Who, timeout: float | None = None, *, signal: str | int = "") -> Container:
        """Stop it if it runs, and start it again with the files it has."""
        self.stop(container, timeout, signal=signal)
        return self.start(container)

    def remove(self, container: Who, *, force: bool = False) -> None:
        """Remove it with its writable layer and its log; ``force`` kills it first, and then a value
        whose container is gone meanwhile is no error."""
        from sandcell.runtime.engine import lifecycle

        try:
            who = self._find(container)
        except ContainerNotFound:
            if force and isinstance(container, Container):
                return
            raise
        except Corrupted:
            if not force:
                raise
            lifecycle.clear(self.places, self.launcher, str(container), self.idmap)
            return
        lifecycle.remove(self.places, self.launcher, who, force=force)
        self._tell("remove", who)

    def rename(self, container: Who, name: str) -> Container:
        """Give it another name; ``NameInUse`` when that one is taken, also by itself."""
        from sandcell.runtime.engine import names

        old = self._find(container)
        who = names.rename(self.places, old, name)
        if who.options.network not in ("none", "host"):
            from sandcell.runtime.engine import wiring

            wiring.renamed(self.places, who, old.name)
        self._tell("rename", who)
        return self._value(who)

    # ------------------------------------------------------------ containers: looking

    def containers(self, *, all: bool = False) -> tuple[Container, ...]:
        """Those that run, newest first; with ``all`` the others too. One whose record cannot be read is
        none of them: see ``spoiled``."""
        found = [self._value(who) for who in record.every(self.places)]
        return tuple(
            value
            for value in found
            # One that is removed at its end is as good as gone when it has ended.
            if value.state in (state.RUNNING, state.PAUSED) or (all and not _going(value))
        )

    def container(self, name_or_id: Who) -> Container:
        """How that container stands now; ``ContainerNotFound`` with the nearest name."""
        return self._value(self._find(name_or_id))

    def logs(
        self,
        container: Who,
        *,
        stdout: bool = True,
        stderr: bool = True,
        tail: int | None = None,
        follow: bool = False,
        since: float | None = None,
        until: float | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Iterator[output.Output]:
        """What it wrote, in pieces with stream and time; ``tail``: only the last so many lines.
        ``since``, ``until``: seconds since the epoch. ``follow``: also what it writes from now on,
        until it ends, or until ``stop``, asked every two seconds, says so."""
        from sandcell.runtime.engine import logs

        streams = {output.STDOUT: stdout, output.STDERR: stderr}
        wanted = logs.Wanted(tuple(name for name, on in streams.items() if on), tail, since, until)
        return logs.read(self.places, self._find(container), wanted, follow=follow, stop=stop)

    def diff(self, container: Who) -> "tuple[Change, ...]":
        """Files it added (A), changed (C) and deleted (D) against its image."""
        from sandcell.runtime.engine import changes

        return changes.diff(self, self._find(container))

    def commit(
        self,
        container: Who,
        name: str | None = None,
        *,
        message: str = "",
        compression: "Compression" = "gzip",
        author: str = "",
        changes: Sequence[str] = (),
        pause: bool = True,
    ) -> "Image":
        """A new image: the container's image and its writable layer on top. ``compression``: of the new
        layer. ``changes``: Dockerfile instructions for its settings, as ``CMD ["sh"]``. The container,
        which stands still meanwhile unless ``pause`` is off, and its image stay as they are."""
        from sandcell.runtime.engine import changes as change

        who = self._find(container)
        image = change.commit(
            self,
            who,
            name,
            message=message,
            compression=compression,
            author=author,
            changes=changes,
            pause=pause,
        )
        self._tell("commit", who)
        return image

    def export(self, container: Who, out: str | os.PathLike[str] | BinaryIO) -> None:
        """Write all its files, the image's and its own, as one tar to a path or an open binary file."""
        from sandcell.runtime.engine import archives

        archives.export(
            self, self._find(container), os.fspath(out) if isinstance(out, str | os.PathLike) else out
        )

    def reset(self, container: Who) -> None:
        """Throw the writable layer away: its files are the image's again. ``WrongState`` while it
        runs."""
        from sandcell.runtime.engine import changes

        who = self._find(container)
        changes.reset(self, who)
        self._tell("reset", who)

    def explain(
        self, image: str, command: tuple[str, ...] | None = None, options: Options = Options()
    ) -> ContainerPlan:
        """The config.json and the steps that ``run`` would make; nothing is executed."""
        from sandcell.runtime.engine import birth

        options.check()
        found = self.store.find(image)
        lowers = self.store.lowers(found)
        return birth.explain(self.nursery, found, lowers, command, options)

    def prune(self, *, cache: bool = False, dry_run: bool = False) -> "Pruned":
        """Remove what nothing needs any more: blobs, unpacked layers, the rests of crashes.
        Containers, running or not, and named images stay. ``cache``: what build steps made goes too,
        unless an image has it. ``dry_run``: only tell what would go."""
        from sandcell.runtime.engine import pruning

        return pruning.prune(self, cache=cache, dry_run=dry_run)

    # ------------------------------------------------------------

    @property
    def launcher(self) -> "Launcher":
        """The client's side of the helper process."""
        from sandcell.runtime.container.launcher import Launcher

        with self._lock:
            if self._launcher is None:
                self._launcher = Launcher(self.idmap)
            return self._launcher

    @property
    def idmap(self) -> idmap.IdMap:
        """The ids that containers have here: the host's for root, else mapped ones."""
        return idmap.HOST if self.host.rung in ("root", "chroot") else idmap.mine(ranges=self.host.many_ids)

    def _find(self, container: Who) -> record.Record:
        return record.find(self.places, container.id if isinstance(container, Container) else container)

    def _value(self, who: record.Record) -> Container:
        return record.container(self.places, who)

    def _tell(self, action: str, who: record.Record, status: int | None = None) -> None:
        self.on_event(ContainerEvent(action=action, id=who.id, name=who.name, image=who.image, status=status))
        journal.tell(self.places.run, action, who.id, name=who.name, image=who.image)


def _going(container: Container) -> bool:
    return container.options.remove and container.state == state.EXITED
