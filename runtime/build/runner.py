"""What a build needs of others, as Protocols: who finds images, who runs a command on a tree."""

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

import msgspec

from sandcell.runtime.layer.whiteout import XattrFlavour
from sandcell.runtime.linux.idmap import IdMap
from sandcell.runtime.oci.image import Image
from sandcell.runtime.store.worker import Worker

OnOutput: TypeAlias = Callable[[str, bytes], None]
"""Called with ``stdout`` or ``stderr`` and the bytes, as they come."""


class StepMount(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be seen at ``target`` (absolute, no link on the way) while a command runs.

    ``kind``: ``tree``, the part ``path`` of the stack ``lowers`` (two at least, lowest first), writable
    where there is an ``upper`` (kept where it is ``durable``); ``host``, the directory or socket
    ``source`` of this machine; ``tmpfs``, with at most ``size`` bytes, 0 for no limit; ``file``, one that
    holds ``content`` and lies on no disk.
    """

    kind: Literal["tree", "host", "tmpfs", "file"]
    target: str
    readonly: bool = False
    lowers: tuple[str, ...] = ()
    upper: str = ""
    work: str = ""
    durable: bool = False
    path: str = ""
    source: str = ""
    size: int = 0
    content: bytes = b""
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One command to run on the files so far.

    ``lowers``: directories in overlay form, lowest first, not to be changed; none for an empty image.
    ``upper``, ``work``: two empty directories on the store's file system; what changes is to be found
    in ``upper``, in overlay form. ``env``: ``NAME=value`` texts; HOME is the runner's to add, from the
    tree's own passwd. ``working_dir``: made if it is not there. ``user``: as in USER, empty is root.
    ``network``: default, none or host. ``files``: to be found below /run/sandcell while it runs, mode 0555.
    ``secret_env``: more variables, which must reach no disk. ``points``: a directory with a place for each
    of ``mounts``, to lie below ``lowers``; empty where there are none.
    """

    lowers: tuple[str, ...]
    upper: str
    work: str
    argv: tuple[str, ...]
    env: tuple[str, ...]
    working_dir: str
    user: str
    network: str
    files: dict[str, bytes] = {}
    secret_env: tuple[str, ...] = ()
    mounts: tuple[StepMount, ...] = ()
    points: str = ""


def never() -> bool:
    """The answer of somebody who stops nothing."""
    return False


class RunStep(Protocol):
    """Runs the commands of a build; knows how unpacked trees are owned and marked on this host."""

    @property
    def idmap(self) -> IdMap:
        """The ids that unpacked trees are owned by."""
        ...

    @property
    def flavour(self) -> XattrFlavour:
        """Where overlayfs keeps its marks."""
        ...

    @property
    def worker(self) -> Worker:
        """Who may handle such trees."""
        ...

    def __call__(self, step: Step, on_output: OnOutput, stopped: Callable[[], bool] = never) -> int:
        """Run it and give the exit status, 128+n for a signal.

        ``StartFailed`` if it never came to life. When ``stopped`` says so, asked a few times a second,
        it is killed. When this returns no process of it lives, nothing is
        mounted, and ``upper`` holds nothing that the runner itself put there (mount points,
        resolv.conf). On an exception, KeyboardInterrupt too, the first two hold as well.
        """
        ...


class FindImage(Protocol):
    """Gives the image of a familiar name (``host:latest``)."""

    def __call__(self, name: str, /, platform: str = "") -> Image:
        """The image, its blobs in the store; ``ImageNotFound``. ``platform``: empty is this machine's."""
        ...
