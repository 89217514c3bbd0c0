"""The RUN steps of a build: containers without a record, thrown away when their command ends."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from sandcell.runtime.build.runner import OnOutput, Step, StepMount, never
from sandcell.runtime.container import jobs, running
from sandcell.runtime.container import steps as s
from sandcell.runtime.container import view_steps as v
from sandcell.runtime.container.compose import compose
from sandcell.runtime.container.options import Options
from sandcell.runtime.container.plan import Rootfs, View, plan
from sandcell.runtime.container.sealed import seal
from sandcell.runtime.engine import allowed, birth, filters, lifecycle, lower, record
from sandcell.runtime.engine.places import Places, make_skeleton
from sandcell.runtime.errors import Conflict, HostRefused
from sandcell.runtime.linux import mounts, trees
from sandcell.runtime.linux.idmap import IdMap
from sandcell.runtime.linux.inode_flags import spread
from sandcell.runtime.oci.config import RunConfig

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine

_PAUSE = 0.2
_KILLED = 137
# docker's build gives a network; without a bridge of our own that is the host's.
_NETWORKS = {"default": "host", "host": "host", "none": "none"}


class StepContainer:
    """Runs the commands of a build in containers of their own."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def __call__(self, step: Step, on_output: OnOutput, stopped: Callable[[], bool] = never) -> int:
        """Run it to its end, and until its last mount is gone. It dies with us."""
        options = Options(network=_NETWORKS[step.network], remove=True, die_with_client=True)
        nursery = self._nursery()
        allowed.check(nursery, options)
        id = record.new_id()
        places = nursery.places
        config = RunConfig(env=step.env, user=step.user, working_dir=step.working_dir)
        facts = birth.setting(nursery, id, options, config, step.lowers)
        spec = compose(config, step.argv, options, facts)
        try:
            birth.furnish(
                places,
                id,
                msgspec.structs.replace(options, files=step.files),
                spec,
                alone=facts.owners.user_namespace,
            )
            make_skeleton(self._engine.places)
            points = (step.points,) if step.points else ()
            rootfs = Rootfs(
                self._engine.places.mount_point,
                (*points, self._engine.places.skeleton, *step.lowers),
                step.upper,
                step.work,
                volatile=True,
                userxattr=self._engine.idmap.user_namespace,
            )
            if nursery.host.copying:
                rootfs = self._copied(step, places.container(id), facts.idmap)
            if step.secret_env and spec.process is not None:
                # Only now: the document lies on the disk.
                process = msgspec.structs.replace(spec.process, env=spec.process.env + step.secret_env)
                spec = msgspec.structs.replace(spec, process=process)
            steps = plan(
                spec,
                rootfs,
                filters.compiler(self._engine.places),
                birth.cgroup_mounts(nursery),
                views=tuple(self._view(mount) for mount in step.mounts),
            )
            job = jobs.Run(
                id=id,
                plan=seal(steps),
                home=places.container(id),
                run=places.running(id),
                die_with_client=True,
            )
            status = self._carry_out(job, step, on_output, stopped)
            if nursery.host.copying:
                lifecycle.settle_at(places.running(id))
                base, mounting = places.container(id), nursery.host.mounting
                work = {"path": step.upper}
                self._engine.store.worker.run("sandcell.runtime.layer.tasks.remove_tree", work)
                lower.compare(self._engine.launcher, facts.idmap, base, step.upper, mounting=mounting)
            return status
        finally:
            lifecycle.settle_at(places.running(id))
            _remove_group(facts.cgroups_path)
            try:
                trees.remove(places.container(id))
            except PermissionError:  # it left files of other ids in its place for results
                lifecycle.discard(self._engine.launcher, facts.idmap, places.container(id))
            trees.remove(places.running(id))

    def _copied(self, step: Step, base: str, ids: IdMap) -> Rootfs:
        host = self._engine.host
        if step.mounts and not host.mounting:
            cause = f"on rung {host.rung} nothing can be mounted, so RUN --mount has no place"
            raise HostRefused("build", "the step", cause, "use COPY instead; see `sandcell doctor`")
        points = (step.points,) if step.points else ()
        lower.furnish(self._engine.launcher, host, ids, self._engine.places, base, (*points, *step.lowers))
        return Rootfs(lower.root(base))

    def _carry_out(self, job: jobs.Run, step: Step, on_output: OnOutput, stopped: Callable[[], bool]) -> int:
        started = running.begin(
            self._engine.launcher, job, lambda _: list, "the build step", step.argv, listen=True
        )
        try:
            status = None
            while status is None and not stopped():
                for piece in started.output(_PAUSE):
                    on_output(piece.stream, piece.data)
                    if stopped():
                        break
                if not started.flowing:
                    status = started.wait(_PAUSE)
        finally:
            started.close()  # it dies with its listener
        return _KILLED if status is None else status

    def _view(self, mount: StepMount) -> View:
        """A mount of a step in the words of the container's plan."""
        flags = mounts.MS_NOSUID | mounts.MS_NODEV | (mounts.MS_RDONLY if mount.readonly else 0)
        at = self._engine.places.mount_point
        if mount.kind == "host":
            return View(s.OpenTree(0, mount.source, flags), mount.target, flags)
        if mount.kind == "file":
            opened = v.OpenFile(0, at, mount.content, mount.mode, mount.uid, mount.gid)
            return View(opened, mount.target, flags)
        if mount.kind == "tmpfs":
            data = "mode=1777" + (f",size={mount.size}" if mount.size else "")
            return View(s.OpenKernel(0, "tmpfs", "tmpfs", flags, data), mount.target, flags)
        return View(
            v.OpenOverlay(
                0,
                at,
                mount.lowers,
                mount.upper,
                mount.work,
                mount.path,
                flags,
                volatile=not mount.durable,
                userxattr=self._engine.idmap.user_namespace,
            ),
            mount.target,
            flags,
        )

    def _nursery(self) -> birth.Nursery:
        # Beside the containers that are listed, so that nobody takes a build step for one.
        own = self._engine.places
        places = Places(f"{own.home}/builds", f"{own.run}/builds")
        for path in (places.containers, f"{places.run}/containers"):
            os.makedirs(path, mode=0o700, exist_ok=True)
        spread(places.containers)
        return msgspec.structs.replace(self._engine.nursery, places=places)


def _remove_group(path: str) -> None:
    """Where the step's monitor was killed its control group is still there."""
    group = birth.group(path)
    if group is not None:
        try:
            group.kill()
            group.remove()
        except Conflict:
            pass  # something in it does not end; prune will try again
