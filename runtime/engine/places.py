"""Where things lie: the store, and the run state that must not be on a network file system."""

import os
import stat

import msgspec

from sandcell.runtime.errors import HostRefused
from sandcell.runtime.linux.inode_flags import spread
from sandcell.runtime.linux.temporary import temporary


class Places(msgspec.Struct, frozen=True):
    """``home``: images and containers. ``run``: states, locks and sockets of this boot."""

    home: str
    run: str

    def container(self, id: str) -> str:
        """The directory of a container's own files, its record and its log."""
        return f"{self.home}/containers/{id}"

    def running(self, id: str) -> str:
        """The directory of a container's run state."""
        return f"{self.run}/containers/{id}"

    @property
    def containers(self) -> str:
        """The parent of all containers' directories."""
        return f"{self.home}/containers"

    @property
    def mount_point(self) -> str:
        """Where each container mounts its root, in a mount namespace of its own: one serves all."""
        return f"{self.home}/rootfs"

    @property
    def skeleton(self) -> str:
        """A read-only layer of mount points that lies under every image."""
        return f"{self.home}/skeleton"


def find(home: str | os.PathLike[str] | None, run: str | os.PathLike[str] | None) -> Places:
    """The places for this user: as given, else by SANDCELL_HOME and SANDCELL_RUN, else the
    system's (root) or the XDG base directories'. They are made when missing; what another user
    owns is ``HostRefused``."""
    environ = os.environ
    root = os.geteuid() == 0
    home_path = os.fspath(home) if home is not None else environ.get("SANDCELL_HOME", "")
    if not home_path:
        data = environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        home_path = "/var/lib/sandcell" if root else f"{data}/sandcell"
    run_path = os.fspath(run) if run is not None else environ.get("SANDCELL_RUN", "")
    if not run_path:
        user = environ.get("XDG_RUNTIME_DIR") or ""
        session = f"{user}/sandcell" if user else f"{temporary()}/sandcell-{os.getuid()}"
        run_path = "/run/sandcell" if root else session
    places = Places(os.path.abspath(home_path), os.path.abspath(run_path))
    for path in (places.home, places.containers, places.run, f"{places.run}/containers"):
        _make(path)
    spread(places.containers)
    return places


def _make(path: str) -> None:
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = os.stat(path)
    except OSError as error:
        raise HostRefused(
            "use directory",
            path,
            os.strerror(error.errno or 0),
            "SANDCELL_HOME and SANDCELL_RUN choose others",
        ) from None
    # /tmp belongs to everybody: somebody else may have made our directory before us.
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
        raise HostRefused(
            "use directory",
            path,
            "it belongs to another user",
            "SANDCELL_HOME and SANDCELL_RUN choose others",
        )


def make_skeleton(places: Places) -> None:
    """The directory to mount on, and a layer of the mount points that images may lack; made once.

    The layer lies under the image's own layers, so whatever the image has wins, and mount points made in
    it are no change of the container. Repeating it does no harm.
    """
    path = places.skeleton
    if os.path.isdir(path):
        return
    os.makedirs(places.mount_point, mode=0o755, exist_ok=True)
    temporary = f"{path}.{os.urandom(4).hex()}"
    os.mkdir(temporary, 0o755)
    os.chmod(temporary, 0o755)
    for directory in ("proc", "sys", "dev", "run", "run/sandcell", "etc"):
        os.mkdir(f"{temporary}/{directory}", 0o755)
        os.chmod(f"{temporary}/{directory}", 0o755)
    for name in ("hostname", "hosts", "resolv.conf"):
        fd = os.open(f"{temporary}/etc/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.fchmod(fd, 0o644)
        os.close(fd)
    try:
        os.rename(temporary, path)
    except OSError:
        # Somebody else made it at the same time; ours is the same.
        from sandcell.runtime.linux import trees

        trees.remove(temporary)
