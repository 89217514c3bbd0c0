"""How each kind of step is done, and what its result depends on."""

import time
from collections.abc import Callable
from typing import Any, TypeAlias

from sandcell.runtime.build.image_files import ImageFiles, LayerBlob, resolve
from sandcell.runtime.build.ops import Configure, Enter, Execute, Place
from sandcell.runtime.build.owners import owner_ids
from sandcell.runtime.build.placing import Placing
from sandcell.runtime.build.runner import OnOutput, RunStep, Step
from sandcell.runtime.build.scratch import Scratch
from sandcell.runtime.build.sources import ContextSources, ImageSources
from sandcell.runtime.build.spool import Spool
from sandcell.runtime.build.stage_state import Made, State, key
from sandcell.runtime.errors import BuildFailed, HostRefused, StartFailed
from sandcell.runtime.layer.tree import Tree
from sandcell.runtime.oci.image import Image, chain_ids
from sandcell.runtime.store import Store
from sandcell.runtime.store.layers import NewLayer

Work: TypeAlias = tuple[str, Callable[[], Made]]
"""The cache key of a step, and the doing of it."""

_HINTS = {
    126: "the command was found but cannot be executed: is it a program, and is its mode right?",
    127: "the command was not found: is it in the image, and is its name right?",
    137: "it was killed, perhaps because memory ran out",
}


class Carrier:
    """Prepares steps of one build. ``epoch``: seconds that no time may pass, ``None`` for now."""

    def __init__(self, store: Store, run_step: RunStep | None, epoch: int | None) -> None:
        self._store = store
        self._run_step = run_step
        self._epoch = epoch
        self._trees: dict[tuple[str, ...], Tree] = {}

    def configure(self, op: Configure, state: State) -> Work:
        """Only the time it was first done at is remembered."""
        found = key("configure", self._epoch, state.chain, state.config.config, op.created_by, op.changes)
        return found, lambda: Made(created=self._now())

    def enter(self, op: Enter, state: State) -> Work:
        """A layer with the directory, where it is missing."""
        return key("enter", self._epoch, state.chain, op.path, op.user), lambda: self._enter(op, state)

    def place(self, op: Place, state: State, sources: ContextSources, digest: str) -> Work:
        """A layer with files of the context."""

        def loads(owner: tuple[int, int], spool: Spool) -> Any:
            return sources.loads(owner, self._seconds(), spool)

        return self._place_key(op, state, digest), lambda: self._place(op, state, loads)

    def place_from(self, op: Place, state: State, source: State | Image) -> Work:
        """A layer with files of another stage or image; its layers stand for their content."""
        if isinstance(source, Image):
            source = State(source.config, source.manifest.layers)
        sources = ImageSources(op, self._files(source.blobs))
        return self._place_key(op, state, source.chain), lambda: self._place(op, state, sources.loads)

    def execute(self, op: Execute, state: State, on_output: OnOutput) -> Work:
        """A layer with what a command changed."""
        inputs = (op.argv, sorted(op.env), op.working_dir, op.user, op.network, sorted(op.files.items()))
        return key("execute", self._epoch, state.chain, *inputs), lambda: self._execute(op, state, on_output)

    def _place_key(self, op: Place, state: State, content: str) -> str:
        sources = op.sources if op.from_stage is not None or op.from_image else ()
        written = (op.destination, op.into, op.owner, op.mode, op.unpack)
        return key("place", self._epoch, state.chain, *written, sources, content)

    def _enter(self, op: Enter, state: State) -> Made:
        files = self._files(state.blobs)
        entries = files.tree.entries
        place = resolve(entries, op.path)
        if not place or (place in entries and entries[place].kind == "dir"):
            return Made(created=self._now())
        placing = Placing(entries, owner_ids(op.user, files.read), self._seconds())
        placing.directory(op.path)
        return self._made(
            state, self._store.layers.of_entries(placing.entries(), source_date_epoch=self._epoch)
        )

    def _place(self, op: Place, state: State, loads: Callable[[tuple[int, int], Spool], Any]) -> Made:
        files = self._files(state.blobs)
        owner = owner_ids(op.owner, files.read)
        with Spool(self._store.litter) as spool:
            placing = Placing(files.tree.entries, owner, self._seconds())
            placing.put_all(loads(owner, spool), op.destination, into=op.into)
            layer = self._store.layers.of_entries(placing.entries(), source_date_epoch=self._epoch)
        return self._made(state, layer)

    def _execute(self, op: Execute, state: State, on_output: OnOutput) -> Made:
        run = self._run_step
        if run is None:
            cause = f"{op.text}: this host runs no containers, so nothing can be run for an image"
            raise BuildFailed("build", "", cause, "see: sandcell doctor", lines=op.lines, source=op.source)
        snapshots = self._store.snapshots.ensure(state.image(), run.idmap, run.flavour, run.worker)
        with Scratch(self._store, run.worker) as scratch:
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
            )
            self._run(op, run, step, on_output)
            layer = self._store.layers.of_upper(
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
            status = run(step, on_output)
            cause, hint = f"{op.text} ended with status {status}", _HINTS.get(status, "")
        except StartFailed as error:
            status, cause, hint = error.status, f"{op.text}: {error.cause}", error.hint
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
