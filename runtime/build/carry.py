"""How each kind of step is done, and what its result depends on."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import msgspec

from sandcell.runtime.build.cache_folder import Stopped
from sandcell.runtime.build.carry_mounts import Given, Mounts, mount_key
from sandcell.runtime.build.image_files import ImageFiles, LayerBlob, resolve
from sandcell.runtime.build.image_sources import ImageSources, digest_of
from sandcell.runtime.build.ops import Configure, Enter, Execute, Place
from sandcell.runtime.build.owners import owner_ids
from sandcell.runtime.build.placing import Load, Placing
from sandcell.runtime.build.runner import OnOutput, RunStep, Step
from sandcell.runtime.build.scratch import Scratch
from sandcell.runtime.build.sources import ContextSources
from sandcell.runtime.build.spool import Spool
from sandcell.runtime.build.stage_state import Made, State, key, to_record
from sandcell.runtime.errors import BuildFailed, HostRefused, StartFailed
from sandcell.runtime.layer.tree import Tree
from sandcell.runtime.oci.image import Image, chain_ids
from sandcell.runtime.store import Store
from sandcell.runtime.store.layers import NewLayer

Work: TypeAlias = tuple[str, Callable[[], Made]]
"""The cache key of a step, and the doing of it."""

Remembered: TypeAlias = Callable[[str], Made | None]
"""What the cache knows of a key; ``None`` also where nothing is to be taken from it."""

_HINTS = {
    126: "the command was found but cannot be executed: is it a program, and is its mode right?",
    127: "the command was not found: is it in the image, and is its name right?",
    137: "it was killed, perhaps because memory ran out",
}


class Carrier:
    """Prepares steps of one build. ``epoch``: seconds that no time may pass, ``None`` for now."""

    def __init__(self, store: Store, run_step: RunStep | None, given: Given, epoch: int | None) -> None:
        self._store = store
        self._run_step = run_step
        self._given = given
        self._epoch = epoch
        self._layers = store.layers.compressed(given.compression)
        # What the bytes of a layer depend on beside its step.
        self._mark = epoch if given.compression == "gzip" else (epoch, given.compression)
        self._trees: dict[tuple[str, ...], Tree] = {}

    def configure(self, op: Configure, state: State) -> Work:
        """Only the time it was first done at is remembered."""
        found = key("configure", self._mark, state.chain, state.config.config, op.created_by, op.changes)
        return found, lambda: Made(created=self._now())

    def enter(self, op: Enter, state: State) -> Work:
        """A layer with the directory, where it is missing."""
        return key("enter", self._mark, state.chain, op.path, op.user), lambda: self._enter(op, state)

    def place(self, op: Place, state: State, sources: ContextSources, digest: str) -> Work:
        """A layer with files of the context."""

        def loads(owner: tuple[int, int], spool: Spool) -> Any:
            return sources.loads(owner, self._seconds(), spool)

        return self._place_key(op, state, digest), lambda: self._place(op, state, loads)

    def place_from(self, op: Place, state: State, source: State | Image, remembered: Remembered) -> Work:
        """A layer with files of another stage or image.

        Known first by the layers they lie in, then by what they are: a stage that was made again and is
        the same is copied from the cache.
        """
        if isinstance(source, Image):
            source = State(source.config, source.manifest.layers)
        sources = ImageSources(op, self._files(source.blobs))

        def do() -> Made:
            owner = owner_ids(op.owner, self._files(state.blobs).read)
            with Spool(self._store.litter) as spool:
                loads = list(sources.loads(owner, self._seconds(), spool))
                content = self._place_key(op, state, digest_of(loads))
                known = remembered(content)
                if known is None:
                    known = msgspec.structs.replace(self._put(op, state, owner, loads), content=content)
                    self._store.cache.put(content, to_record(known))
            return known

        return self._place_key(op, state, f"{source.chain} {list(op.sources)}"), do

    def execute(self, op: Execute, state: State, bases: Sequence[State | None], on_output: OnOutput) -> Work:
        """A layer with what a command changed."""
        inputs: list[Any] = [op.argv, sorted(op.env), op.working_dir, op.user, op.network]
        inputs += [sorted(op.files.items()), op.platform]
        if op.mounts:
            inputs.append(mount_key(op, bases))
        return (
            key("execute", self._mark, state.chain, *inputs),
            lambda: self._execute(op, state, bases, on_output),
        )

    def _place_key(self, op: Place, state: State, content: str) -> str:
        written = (op.destination, op.into, op.owner, op.mode, op.unpack, op.parents, op.exclude)
        # Linked files are a layer for themselves, whatever it is put on; but a name's ids are the image's.
        below = state.chain if not op.link or _named(op.owner) else "nothing"
        return key("place", self._mark, below, *written, op.link, content)

    def _enter(self, op: Enter, state: State) -> Made:
        files = self._files(state.blobs)
        entries = files.tree.entries
        place = resolve(entries, op.path)
        if not place or (place in entries and entries[place].kind == "dir"):
            return Made(created=self._now())
        placing = Placing(entries, owner_ids(op.user, files.read), self._seconds())
        placing.directory(op.path)
        return self._made(state, self._layers.of_entries(placing.entries(), source_date_epoch=self._epoch))

    def _place(self, op: Place, state: State, loads: Callable[[tuple[int, int], Spool], Any]) -> Made:
        owner = owner_ids(op.owner, self._files(state.blobs).read)
        with Spool(self._store.litter) as spool:
            return self._put(op, state, owner, loads(owner, spool))

    def _put(self, op: Place, state: State, owner: tuple[int, int], loads: Iterable[Load]) -> Made:
        entries = {} if op.link else self._files(state.blobs).tree.entries
        placing = Placing(entries, owner, self._seconds())
        placing.put_all(loads, op.destination, into=op.into)
        layer = self._layers.of_entries(placing.entries(), source_date_epoch=self._epoch)
        made = self._made(state, layer)
        return msgspec.structs.replace(made, chain="") if op.link else made

    def _execute(self, op: Execute, state: State, bases: Sequence[State | None], on_output: OnOutput) -> Made:
        run = self._run_step
        if run is None:
            cause = f"{op.text}: this host runs no containers, so nothing can be run for an image"
            raise BuildFailed("build", "", cause, "see: sandcell doctor", lines=op.lines, source=op.source)
        snapshots = self._store.snapshots.ensure(state.image(), run.idmap, run.flavour, run.worker)

        def files(of: State) -> ImageFiles:
            return self._files(of.blobs)

        with (
            Scratch(self._store, run.worker) as scratch,
            Mounts(self._store, run, self._given, op, bases, files) as mounts,
        ):
            mounts.prepare(state, scratch)
            step = Step(
                lowers=tuple(snapshot.path for snapshot in snapshots),
                upper=scratch.upper,
                work=scratch.work,
                argv=op.argv,
                env=op.env + op.passing_env,
                working_dir=op.working_dir,
                user=op.user,
                network=op.network,
                files=op.files,
                secret_env=tuple(mounts.environment),
                mounts=tuple(mounts.ready),
                points=mounts.points,
            )
            self._run(op, run, step, on_output)
            layer = self._layers.of_upper(
                scratch.upper,
                run.worker,
                source_date_epoch=self._epoch,
                recorded_owners=run.idmap.single,
            )
            made = self._made(state, layer)
            if self._epoch is None:
                # With an epoch the times in the layer are others than those on disk.
                chain = chain_ids((*state.config.rootfs.diff_ids, layer.diff_id))[-1]
                self._store.snapshots.adopt(
                    scratch.upper, chain, run.idmap, run.flavour, layer.size, layer.entries
                )
        return made

    def _run(self, op: Execute, run: RunStep, step: Step, on_output: OnOutput) -> None:
        try:
            status = run(step, on_output, self._given.stopped)
            if self._given.stopped():
                raise Stopped
            cause, hint = f"{op.text} ended with status {status}", _HINTS.get(status, "")
        except StartFailed as error:
            status, cause, hint = error.status, f"{op.text}: {error.cause}", error.hint
            if op.platform:
                hint = f"programs of {op.platform} run here only with an emulator in /proc/sys/fs/binfmt_misc"
        except HostRefused as error:
            cause = f"{op.text}: {error}"
            raise BuildFailed("build", "", cause, error.hint, lines=op.lines, source=op.source) from error
        if status:
            raise BuildFailed("build", "", cause, hint, status=status, lines=op.lines, source=op.source)

    def _made(self, state: State, layer: NewLayer) -> Made:
        chain = chain_ids((*state.config.rootfs.diff_ids, layer.diff_id))[-1]
        return Made(
            created=self._now(),
            layer=layer.descriptor,
            diff_id=layer.diff_id,
            size=layer.size,
            chain=chain,
            remark=layer.remark,
        )

    def _files(self, layers: tuple[LayerBlob, ...]) -> ImageFiles:
        return ImageFiles(self._store, layers, self._trees)

    def _seconds(self) -> int:
        return int(time.time()) if self._epoch is None else self._epoch

    def _now(self) -> str:
        """RFC 3339, as the history has it."""
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        fraction = f".{nanoseconds:09}"
        if self._epoch is not None:
            seconds, fraction = self._epoch, ""
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + fraction + "Z"


def _named(owner: str) -> bool:
    """Does an owner stand for ids that only the image's own files tell?"""
    return not all(part.isdecimal() for part in owner.split(":") if part)
