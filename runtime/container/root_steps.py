"""Steps of the rungs where nothing can be mounted: another root directory, and rules that keep it so."""

from sandcell.runtime.container.steps_outside import Step


class ChangeRoot(Step, frozen=True, tag=True, array_like=True):
    """chroot(2) into the copy of the image's files, and go there."""

    path: str

    def describe(self) -> str:
        """Where to."""
        return f"chroot into {self.path}"


class KeepBelow(Step, frozen=True, tag=True, array_like=True):
    """Landlock: no file outside of the root directory, whatever leads there; where the kernel has it."""

    def describe(self) -> str:
        """In the words of the man page."""
        return "give up all files outside of the root directory (landlock), where the kernel can"
