"""The engine's verbs on containers that run: standing still and going on, files in and out, processes."""

from typing import TYPE_CHECKING, cast

from sandcell.runtime.engine import record
from sandcell.runtime.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandcell.runtime.container.running import Running
    from sandcell.runtime.engine.engine import Engine, Who
    from sandcell.runtime.engine.listening import Events
    from sandcell.runtime.engine.looking import ProcessEntry, Stats
    from sandcell.runtime.engine.record import Record
    from sandcell.runtime.engine.values import Container
    from sandcell.runtime.engine.watching import Watching
    from sandcell.runtime.events import ContainerEvent


class LivingVerbs:
    """The part of ``Engine`` that looks after containers while they run."""

    def pause(self, container: "Who") -> None:
        """Let all its processes stand still where they are, its memory kept. ``HostRefused`` without
        a control group, ``WrongState`` unless it runs."""
        from sandcell.runtime.engine import pausing

        who, tell = _who(self, container)
        pausing.pause(cast("Engine", self).places, who)
        tell("pause", who)

    def unpause(self, container: "Who") -> None:
        """Let a paused container go on."""
        from sandcell.runtime.engine import pausing

        who, tell = _who(self, container)
        pausing.unpause(cast("Engine", self).places, who)
        tell("unpause", who)

    def update(
        self,
        container: "Who",
        *,
        memory: int | None = None,
        cpus: float | None = None,
        pids_limit: int | None = None,
        memory_swap: int | None = None,
        cpu_shares: int | None = None,
        cpuset_cpus: str | None = None,
        cpuset_mems: str | None = None,
    ) -> "Container":
        """Give it other limits, as in ``Options``, at once if it runs, and for its next start. Those not
        given stay; -1 takes one of memory, processors or processes away. ``HostRefused`` without control
        groups."""
        from sandcell.runtime.engine import updating

        asked = {
            "memory": memory,
            "cpus": cpus,
            "pids_limit": pids_limit,
            "memory_swap": memory_swap,
            "cpu_shares": cpu_shares,
            "cpuset_cpus": cpuset_cpus,
            "cpuset_mems": cpuset_mems,
        }
        who, tell = _who(self, container)
        places = cast("Engine", self).places
        who = updating.update(
            places, who, {name: value for name, value in asked.items() if value is not None}
        )
        tell("update", who)
        return record.container(places, who)

    def relaunch(self, container: "Who") -> "Running":
        """Start a container that does not run, its output (and its input, if it was created
        ``interactive``) connected to us."""
        from sandcell.runtime.engine import birth, lifecycle

        engine = cast("Engine", self)
        who, tell = _who(self, container)
        birth.refuse_if_running(engine.places, who)
        lifecycle.settle(engine.places, who)
        running = birth.start(engine.nursery, who, engine.store.lowers_of(who), attach=True)
        tell("start", who)
        running.container = record.container(engine.places, who)
        return running

    def attach(self, container: "Who") -> "Running":
        """Listen to a running container, and type into it where it was created ``interactive`` and its
        standard input is nobody else's pipe. What it wrote before is in its log. Several may be
        attached at once; it goes on when we ``close`` or ``detach``. ``WrongState`` unless it runs."""
        from sandcell.runtime.engine import attaching

        engine = cast("Engine", self)
        who, tell = _who(self, container)
        running = attaching.attach(engine.places, who)
        tell("attach", who)
        running.container = record.container(engine.places, who)
        return running

    def events(self) -> "Events":
        """What befalls containers of this store from now on, whichever process does it: an iterator of
        ``ContainerEvent`` that waits for the next one. Close it, or use it with ``with``."""
        from sandcell.runtime.engine.listening import Events

        return Events(cast("Engine", self).places)

    def watch(self) -> "Watching":
        """Which containers changed, and whether image names did, from now on and whoever does it: for
        somebody who keeps a picture of the whole store. Close it, or use it with ``with``."""
        from sandcell.runtime.engine.watching import Watching

        engine = cast("Engine", self)
        assert engine.store  # the layout is there to be watched
        return Watching(engine.places)

    def past_events(self, since: float, until: float) -> "list[ContainerEvent]":
        """What is still known of the time between (seconds since the epoch), oldest first: the creation
        of the containers that are there, and the last start and end of each."""
        from sandcell.runtime.engine import listening

        return listening.past(cast("Engine", self).places, since, until)

    def top(self, container: "Who") -> "tuple[ProcessEntry, ...]":
        """The processes of a running container, with their numbers inside and outside."""
        from sandcell.runtime.engine import looking

        engine = cast("Engine", self)
        return looking.top(engine.places, engine._find(container))

    def stats(self, container: "Who") -> "Stats":
        """What a running container has used until now; two of them tell how much it uses."""
        from sandcell.runtime.engine import looking

        engine = cast("Engine", self)
        return looking.stats(engine.places, engine._find(container))

    def size(self, container: "Who") -> int:
        """Bytes of the files that it has added or changed."""
        changed = cast("Engine", self).diff(container)
        return sum(change.entry.size for change in changed if change.kind != "D")

    def copy(self, source: str, destination: str, *, follow: bool = False, keep_owner: bool = False) -> None:
        """Copy files between the host and a container, running or not: one of the two is ``NAME:PATH``.

        As docker-cp(1): into a directory that is there, else to that name; ``DIR/.`` is what is in the
        directory. Copies belong to root in a container and to us on the host, unless ``keep_owner``.
        ``follow``: of a link, what it leads to. ``NotFound``, ``Conflict``.
        """
        from sandcell.runtime.engine import copying

        engine = cast("Engine", self)
        (giver, path), (taker, place) = copying.parse_place(source), copying.parse_place(destination)
        if bool(giver) == bool(taker):
            raise InvalidOption("copy", source, "one side must be a container, the other not", "NAME:PATH")
        if giver:
            copying.copy_out(engine, engine._find(giver), path, place, follow=follow, keep=keep_owner)
        else:
            copying.copy_in(engine, engine._find(taker), path, place, follow=follow, keep=keep_owner)

    def read_archive(self, container: "Who", path: str, out: int, *, follow: bool = False) -> None:
        """Write ``path`` of the container, with all below it, as a tar to the descriptor ``out``."""
        from sandcell.runtime.engine import copying

        engine = cast("Engine", self)
        copying.read_archive(engine, engine._find(container), path, out, follow=follow)

    def write_archive(self, container: "Who", path: str, tar: int, *, keep_owner: bool = False) -> None:
        """Extract the tar that the descriptor ``tar`` gives in the directory ``path`` of the container."""
        from sandcell.runtime.engine import copying

        engine = cast("Engine", self)
        copying.write_archive(
            engine, engine._find(container), path, tar, kind="tar", name="", contents=False, keep=keep_owner
        )


def _who(verbs: LivingVerbs, container: "Who") -> "tuple[Record, Callable[[str, Record], None]]":
    engine = cast("Engine", verbs)
    return engine._find(container), engine._tell
