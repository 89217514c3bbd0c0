"""The RUN steps of a build: containers without a record, thrown away when their command ends."""

import os
from typing import TYPE_CHECKING

import msgspec

from sandcell.runtime.build.runner import OnOutput, Step
from sandcell.runtime.container import jobs, running
from sandcell.runtime.container.compose import compose
from sandcell.runtime.container.options import Options
from sandcell.runtime.container.plan import Rootfs, plan
from sandcell.runtime.engine import birth, filters, lifecycle, record
from sandcell.runtime.engine.places import Places, make_skeleton
from sandcell.runtime.engine.work import Worker
from sandcell.runtime.errors import Conflict
from sandcell.runtime.layer.whiteout import XattrFlavour
from sandcell.runtime.linux import trees
from sandcell.runtime.linux.idmap import IdMap
from sandcell.runtime.oci.config import RunConfig

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine

# docker's build gives a network; without a bridge of our own that is the host's.
_NETWORKS = {"default": "host", "host": "host", "none": "none"}


class Builder:
    """Runs the commands of a build in containers of their own."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    @property
    def idmap(self) -> IdMap:
        """The ids that unpacked layers are owned by."""
        return self._engine.idmap

    @property
    def flavour(self) -> XattrFlavour:
        """Where overlay marks are kept."""
        return self._engine.store.flavour

    @property
    def worker(self) -> Worker:
        """Who handles the unpacked layers."""
        return self._engine.store.worker

    def __call__(self, step: Step, on_output: OnOutput) -> int:
        """Run it to its end, and until its last mount is gone. It dies with us."""
        options = Options(network=_NETWORKS[step.network], remove=True, die_with_client=True)
        nursery = self._nursery()
        birth.check(nursery, options)
        id = record.new_id()
        places = nursery.places
        config = RunConfig(env=step.env, user=step.user, working_dir=step.working_dir)
        facts = birth.setting(nursery, id, options, config, step.lowers)
        spec = compose(config, step.argv, options, facts)
        try:
            birth.furnish(places, id, msgspec.structs.replace(options, files=step.files), spec)
            make_skeleton(self._engine.places)
            rootfs = Rootfs(
                self._engine.places.mount_point,
                (self._engine.places.skeleton, *step.lowers),
                step.upper,
                step.work,
                volatile=True,
                userxattr=self.idmap.user_namespace,
            )
            steps = plan(spec, rootfs, filters.compiler(self._engine.places), birth.cgroup_mounts(nursery))
            job = jobs.Run(
                id=id,
                plan=steps,
                home=places.container(id),
                run=places.running(id),
                die_with_client=True,
            )
            return self._carry_out(job, step, on_output)
        finally:
            lifecycle.settle_at(places.running(id))
            _remove_group(facts.cgroups_path)
            try:
                trees.remove(places.container(id))
            except PermissionError:  # it left files of other ids in its place for results
                lifecycle.discard(self._engine.launcher, facts.idmap, places.container(id))
            trees.remove(places.running(id))

    def _carry_out(self, job: jobs.Run, step: Step, on_output: OnOutput) -> int:
        started = running.begin(
            self._engine.launcher, job, lambda _: list, "the build step", step.argv, listen=True
        )
        try:
            for piece in started.output():
                on_output(piece.stream, piece.data)
            status = started.wait()
        finally:
            started.close()
        assert status is not None
        return status

    def _nursery(self) -> birth.Nursery:
        # Beside the containers that are listed, so that nobody takes a build step for one.
        own = self._engine.places
        places = Places(f"{own.home}/builds", f"{own.run}/builds")
        for path in (places.containers, f"{places.run}/containers"):
            os.makedirs(path, mode=0o700, exist_ok=True)
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
