"""What is mounted for a RUN: each ``--mount`` made ready for the runner, and undone afterwards."""

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import msgspec

from sandcell.runtime.build.cache_folder import cache_folder
from sandcell.runtime.build.context import Context, ContextError
from sandcell.runtime.build.dockerfile import did_you_mean
from sandcell.runtime.build.image_files import ImageFiles, resolve
from sandcell.runtime.build.mounting import Mount
from sandcell.runtime.build.ops import Execute, Mounted
from sandcell.runtime.build.runner import RunStep, StepMount
from sandcell.runtime.build.scratch import Scratch
from sandcell.runtime.build.stage_state import State
from sandcell.runtime.layer.compress import Compression
from sandcell.runtime.layer.tree import Entry
from sandcell.runtime.store import Store

_SECRET = 0o400
_SOCKET = 0o600


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller hands to a build beside its text.

    ``contexts``: by name, the main one under the empty name. ``secrets``: contents by id. ``agents``:
    sockets of ssh agents by id. ``compression``: of new layers. ``stopped``: shall the build end?
    """

    contexts: Mapping[str, Context] = {}
    secrets: Mapping[str, bytes] = {}
    agents: Mapping[str, str] = {}
    compression: Compression = "gzip"
    stopped: Callable[[], bool] = lambda: False


class Mounts:
    """The mounts of one step, as long as the with statement lasts. ``bases``: what stage, image or context
    each of them begins with."""

    def __init__(
        self,
        store: Store,
        run: RunStep,
        given: Given,
        op: Execute,
        bases: Sequence[State | None],
        files: Callable[[State], ImageFiles],
    ) -> None:
        self._store = store
        self._run = run
        self._given = given
        self._op = op
        self._bases = bases
        self._files = files
        self._held = ExitStack()
        self.ready: list[StepMount] = []
        self.environment: list[str] = []
        self.points = ""

    def __enter__(self) -> "Mounts":
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def prepare(self, state: State, scratch: Scratch) -> None:
        """Make them all ready. ``ContextError`` where a source or a required secret is missing."""
        if not self._op.mounts:
            return
        tree = self._files(state).tree.entries
        self.points = scratch.directory("points")
        for number, (mounted, base) in enumerate(zip(self._op.mounts, self._bases, strict=True)):
            place = scratch.directory(f"mount-{number}")
            made = self._one(mounted, base, place)
            if made is not None:
                target = resolve(tree, made.target)
                self._point(tree, target, is_directory=self._is_directory(made, base))
                self.ready.append(msgspec.structs.replace(made, target=f"/{target}"))
        self.ready.sort(key=lambda one: one.target.count("/"))

    def _one(self, mounted: Mounted, base: State | None, place: str) -> StepMount | None:
        mount = mounted.mount
        if mount.type == "tmpfs":
            return StepMount(kind="tmpfs", target=mount.target, readonly=mount.readonly, size=mount.size)
        if mount.type == "secret":
            return self._secret(mount)
        if mount.type == "ssh":
            return self._agent(mount, place)
        if mount.type == "cache":
            return self._cache(mount, base, place)
        assert base is not None
        path = self._source(mounted, base)
        for name in () if mount.readonly else ("upper", "work"):
            os.mkdir(f"{place}/{name}", 0o755)
        return StepMount(
            kind="tree",
            target=mount.target,
            readonly=mount.readonly,
            lowers=self._lowers(base, place),
            upper="" if mount.readonly else f"{place}/upper",
            work="" if mount.readonly else f"{place}/work",
            path=path,
        )

    def _source(self, mounted: Mounted, base: State) -> str:
        """Where the source lies in the files of ``base``."""
        if mounted.context is not None:
            return "source"  # where the solver put what was asked for
        written = mounted.mount.source
        entries = self._files(base).tree.entries
        path = resolve(entries, written)
        if path and path not in entries:
            place = mounted.from_image or f"stage {mounted.from_stage}"
            near = did_you_mean(path, [one for one in entries if one.count("/") == path.count("/")])
            raise ContextError(f"{written} of the mount at {mounted.mount.target} is not in {place}", near)
        return path

    def _lowers(self, base: State, place: str) -> tuple[str, ...]:
        run = self._run
        found = self._store.snapshots.ensure(base.image(), run.idmap, run.flavour, run.worker)
        lowers = tuple(snapshot.path for snapshot in found)
        # Without a writable directory an overlay wants two others.
        empty = [f"{place}/empty", f"{place}/none"][: 1 if lowers else 2]
        for path in empty:
            os.mkdir(path, 0o755)
        return (*empty, *lowers)

    def _cache(self, mount: Mount, base: State | None, place: str) -> StepMount:
        # Two overlays may not write to one directory at a time.
        shown = mount
        if base is not None and mount.sharing == "shared":
            shown = msgspec.structs.replace(mount, sharing="locked")
        chain = base.chain if base is not None else ""
        folder = self._held.enter_context(
            cache_folder(self._store, self._run.worker, shown, chain, self._run.idmap, self._given.stopped)
        )
        if base is None:
            return StepMount(
                kind="host", target=mount.target, readonly=mount.readonly, source=f"{folder}/upper"
            )
        return StepMount(
            kind="tree",
            target=mount.target,
            readonly=mount.readonly,
            lowers=self._lowers(base, place),
            upper=f"{folder}/upper",
            work=f"{folder}/work",
            durable=True,
            path=resolve(self._files(base).tree.entries, mount.source),
        )

    def _secret(self, mount: Mount) -> StepMount | None:
        content = self._given.secrets.get(mount.id)
        if content is None:
            if mount.required:
                hint = did_you_mean(mount.id, list(self._given.secrets))
                hint = hint or f"give it with --secret id={mount.id},src=FILE"
                raise ContextError(f"the secret {mount.id} is required and was not given", hint)
            return None
        if mount.env:
            try:
                text = content.decode()
            except UnicodeDecodeError:
                text = "\0"
            if "\0" in text:
                raise ContextError(f"the secret {mount.id} is no text, so it cannot be a variable")
            self.environment.append(f"{mount.env}={text}")
        if not mount.target:
            return None
        mode = _SECRET if mount.mode is None else mount.mode
        return StepMount(
            kind="file", target=mount.target, readonly=True, content=content, mode=mode, uid=mount.uid,
            gid=mount.gid,
        )  # fmt: skip

    def _agent(self, mount: Mount, place: str) -> StepMount | None:
        agent = self._given.agents.get(mount.id)
        if agent is None:
            if mount.required:
                raise ContextError(
                    f"the ssh agent {mount.id} is required and was not given",
                    f"give it with --ssh {mount.id}",
                )
            return None
        if not _is_socket(agent):
            raise ContextError(f"{agent} is no socket of an ssh agent", "is ssh-agent running?")
        from sandcell.runtime.build.agent import AgentSocket

        mode = _SOCKET if mount.mode is None else mount.mode
        here = AgentSocket(place, agent, mode=mode, owner=(mount.uid, mount.gid))
        self._held.enter_context(here)
        self.environment.append(f"SSH_AUTH_SOCK={mount.target}")
        return StepMount(kind="host", target=mount.target, readonly=True, source=here.path)

    def _is_directory(self, made: StepMount, base: State | None) -> bool:
        if made.kind in ("tmpfs", "file"):
            return made.kind == "tmpfs"
        if made.kind == "host":
            return os.path.isdir(made.source)
        assert base is not None
        entry = self._files(base).tree.entries.get(made.path)
        return not made.path or (entry is not None and entry.kind == "dir")

    def _point(self, tree: dict[str, Entry], target: str, *, is_directory: bool) -> None:
        """A place to mount on, where the image has none; it lies below the image's own files."""
        there = tree.get(target)
        if there is not None and (there.kind == "dir") != is_directory:
            kind, other = ("directory", "file") if is_directory else ("file", "directory")
            raise ContextError(f"/{target} is a {other} in the image, and a {kind} is mounted there")
        parts = target.split("/")
        folders = parts if is_directory else parts[:-1]
        path = self.points
        for part in folders:
            path = f"{path}/{part}"
            if not os.path.isdir(path):
                os.mkdir(path)
                os.chmod(path, 0o755)
        if not is_directory and not os.path.lexists(f"{path}/{parts[-1]}"):
            with open(f"{path}/{parts[-1]}", "xb"):
                pass


def mount_key(op: Execute, bases: Sequence[State | None]) -> list[Any]:
    """What a step's result depends on of its mounts: never what a secret or a cache holds."""
    return [
        (msgspec.to_builtins(one.mount), base.chain if base is not None else "")
        for one, base in zip(op.mounts, bases, strict=True)
    ]


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False
