"""The equal of our container for an OCI runtime: our config.json, and our layers below an overlay."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.place import Lap, Place, Unavailable
from tests.bench.world import World


class Recipe(NamedTuple):
    """``config``: the config.json that our engine composed, as a dict; ``lowers``: unpacked layers, the
    bottom one first."""

    config: dict[str, Any]
    lowers: tuple[str, ...]


def for_peer(config: dict[str, Any], root: str, stand_in: Callable[[str], str]) -> dict[str, Any]:
    """``config`` as another runtime can use it: its own control group name, ``root`` as root directory.

    Everything that costs time stays: namespaces, mounts, masked and read-only paths, capabilities,
    limits and the seccomp filter. A bind mount whose source only our engine makes gets the path that
    ``stand_in`` gives for its destination.
    """
    linux = {key: value for key, value in config.get("linux", {}).items() if key != "cgroupsPath"}
    mounts = []
    for it in config.get("mounts", ()):
        absent = _is_bind(it) and not Path(it.get("source", "")).exists()
        mounts.append({**it, "source": stand_in(it["destination"])} if absent else it)
    return {**config, "root": {**config.get("root", {}), "path": root}, "mounts": mounts, "linux": linux}


def dated(config: dict[str, Any]) -> dict[str, Any]:
    """``config`` without what runtimes of 2023 refuse: the specification's newer version number and
    the flags of the seccomp filter."""
    linux = dict(config.get("linux", {}))
    if "seccomp" in linux:
        linux["seccomp"] = {key: value for key, value in linux["seccomp"].items() if key != "flags"}
    return {**config, "ociVersion": "1.0.2", "linux": linux}


def _is_bind(mount: dict[str, Any]) -> bool:
    return mount.get("type") == "bind" or bool({"bind", "rbind"} & {*mount.get("options", ())})


def overlay(lowers: Sequence[str], folder: str) -> str:
    """Options of an overlay mount of ``lowers`` (bottom first) with its writable part in ``folder``;
    volatile, as ours is for a container that is removed afterwards."""
    above = ":".join(reversed(lowers))
    return f"lowerdir={above},upperdir={folder}/upper,workdir={folder}/work,volatile"


class Bundle:
    """A bundle directory below the world's disk, and the ways to run it with crun or runc."""

    def __init__(self, world: World, place: Place, program: str, recipe: Recipe) -> None:
        self._world = world
        self._place = place
        self._program = program if program.startswith("/") else place.find(program)
        self._lowers = recipe.lowers
        self.folder = world.fresh()
        self.root = f"{self.folder}/rootfs"
        Path(self.root).mkdir(parents=True)
        self._binds = Path(self.folder, "binds")
        config = for_peer(recipe.config, self.root, self._stand_in)
        Path(self.folder, "config.json").write_text(json.dumps(config))
        self._state = f"{world.memory}/{Path(program).name}-{Path(self.folder).name}"

    def _stand_in(self, destination: str) -> str:
        """A file for what is bound into /etc, else a directory, empty; but what is bound below another
        stand-in has its mount point there already."""
        source = self._binds / destination.strip("/")
        if destination.startswith("/etc/"):
            source.parent.mkdir(parents=True, exist_ok=True)
            source.touch()
        else:
            source.mkdir(parents=True)
        return str(source)

    def run(self) -> Lap:
        """One ``crun run``, start to exit, on an overlay mounted for it and unmounted after it."""
        folder = self._world.fresh()
        made = [folder, f"{folder}/upper", f"{folder}/work"]
        mount = {"target": self.root, "options": overlay(self._lowers, folder)}
        argv = (self._program, "--root", self._state, "run", "--bundle", self.folder, self._name())
        return self._place.lap(*argv, mkdir=made, overlay=mount)

    def stand(self) -> None:
        """Mount an overlay once; ``run_standing`` then uses it again and again."""
        folder = Path(self._world.fresh())
        for name in ("upper", "work"):
            (folder / name).mkdir(parents=True)
        self._place.mount(self.root, overlay(self._lowers, str(folder)))

    def run_standing(self) -> Lap:
        """One ``crun run`` alone."""
        return self._ask("run", "--bundle", self.folder, self._name())

    def live(self) -> float:
        """Milliseconds of one create, one start and one delete: the three processes of the runtime. The
        first deletes that come before the container has ended are not counted."""
        name = self._name()
        took = self._ask("create", "--bundle", self.folder, name).run + self._ask("start", name).run
        while True:
            try:
                return took + self._ask("delete", name).run
            except Unavailable as refused:
                if "not stopped" not in str(refused) and " state" not in str(refused):
                    raise

    def start(self) -> str:
        """Start the container on the standing overlay, and give its name."""
        name = self._name()
        self._ask("run", "--detach", "--bundle", self.folder, name)
        return name

    def enter(self, name: str, *command: str) -> Lap:
        """One ``crun exec``."""
        return self._ask("exec", name, *command)

    def delete(self, name: str) -> None:
        """End and remove it."""
        self._ask("delete", "--force", name)

    def _ask(self, *arguments: str) -> Lap:
        return self._place.lap(self._program, "--root", self._state, *arguments)

    def _name(self) -> str:
        return f"sandcell-bench-{Path(self._world.fresh()).name}"
