"""The engine's verbs on named volumes."""

from typing import TYPE_CHECKING, cast

from sandcell.runtime.engine.places import Places

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine
    from sandcell.runtime.volumes.volumes import Volume


class VolumeVerbs:
    """The part of ``Engine`` that speaks of volumes: folders that outlive containers."""

    places: Places

    def create_volume(self, name: str, labels: dict[str, str] | None = None) -> "Volume":
        """The volume ``name``; made when there is none. It is filled from the image of the first
        container that mounts it (``-v NAME:DST``)."""
        from sandcell.runtime.engine import folders

        return folders.volumes(self.places).create(name, labels)

    def volumes(self) -> "tuple[Volume, ...]":
        """The named volumes, by name."""
        from sandcell.runtime.engine import folders

        return folders.volumes(self.places).all()

    def volume(self, name: str) -> "Volume":
        """That volume; ``NotFound`` with the nearest name."""
        from sandcell.runtime.engine import folders

        return folders.volumes(self.places).find(name)

    def remove_volume(self, name: str) -> None:
        """Remove the volume and its files; ``Conflict`` while a container, running or not, mounts it."""
        from sandcell.runtime.engine import folders, lifecycle

        engine = cast("Engine", self)
        folders.volumes(self.places).remove(
            name,
            lambda volume: folders.users(self.places, volume),
            lambda path: lifecycle.discard(engine.launcher, engine.idmap, path),
        )

    def unused_volumes(self) -> tuple[str, ...]:
        """The names of the volumes that no container, running or not, mounts."""
        from sandcell.runtime.engine import folders

        return tuple(one.name for one in self.volumes() if not folders.users(self.places, one.name))

    def prune_volumes(self) -> tuple[str, ...]:
        """Remove every volume that no container mounts, with its files; the names of those removed."""
        from sandcell.runtime.errors import Conflict, NotFound

        removed = []
        for name in self.unused_volumes():
            try:
                self.remove_volume(name)
            except (Conflict, NotFound):
                continue  # somebody was quicker, with a container or with `rm`
            removed.append(name)
        return tuple(removed)
