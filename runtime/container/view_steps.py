"""Steps that open what a build step sees beside its root: trees of images, and files that lie nowhere.

Both are opened as detached mounts while the host's tree is in sight, and attached after the root was
changed, as all other mounts are (see ``plan``).
"""

from sandcell.runtime.container.steps_outside import Step


class OpenOverlay(Step, frozen=True, tag=True, array_like=True):
    """Stack layers, of which ``path`` is to be attached by ``AttachTree``; links in it stay within it.

    ``lowers``: lowest first, two at least. Without ``upper`` it can only be read. ``at``: an empty
    directory to mount it on meanwhile.
    """

    key: int
    at: str
    lowers: tuple[str, ...]
    upper: str
    work: str
    path: str
    flags: int
    volatile: bool
    userxattr: bool

    def describe(self) -> str:
        """What is opened."""
        return f"open /{self.path} of {len(self.lowers)} layers"


class OpenFile(Step, frozen=True, tag=True, array_like=True):
    """Make a file in memory that is on no disk, to be attached by ``AttachTree``."""

    key: int
    at: str
    content: bytes
    mode: int
    uid: int
    gid: int

    def describe(self) -> str:
        """What is made; never what it holds."""
        return f"make a file in memory ({len(self.content)} bytes)"
