"""Mounting an overlay: read-only lower directories below one writable upper directory.

The features that let an upper directory refer to its lowers (``redirect_dir``, ``metacopy``,
``index``, ``xino``) are off: an upper must mean the same when it is packed as a layer or mounted
over a copy of its lowers. Kernel documentation, filesystems/overlayfs.rst.
"""

import os
from collections.abc import Sequence

from sandcell.runtime.linux.mounts import MS_RDONLY, mount

MAX_LOWERS = 127
_PAGE = 4096


def options(
    lowers: Sequence[str], upper: str, work: str, *, volatile: bool = False, userxattr: bool = False
) -> str:
    """The mount options; ``lowers`` from bottom to top, paths as they shall be looked up.

    ``volatile``: never sync; right for a writable layer that is thrown away. ``userxattr``: keep
    marks in ``user.*``, the only place a user namespace may write.
    """
    parts = [
        "lowerdir=" + ":".join(_escape(path) for path in reversed(lowers)),
        "upperdir=" + _escape(upper),
        "workdir=" + _escape(work),
    ]
    # Linux refuses redirect_dir and metacopy together with userxattr; there they are off anyway.
    parts += ["index=off", "xino=off"]
    parts += ["userxattr"] if userxattr else ["redirect_dir=off", "metacopy=off"]
    if volatile:
        parts.append("volatile")
    return ",".join(parts)


def mount_overlay(
    target: str,
    lowers: Sequence[str],
    upper: str,
    work: str,
    *,
    volatile: bool = False,
    userxattr: bool = False,
    flags: int = 0,
) -> None:
    """Mount the overlay at ``target`` with the MS_* ``flags``. Paths are absolute.

    The options of mount(2) must fit in one page, so when they do not, the lowers are named
    relative to their common directory; 127 short names fit. Changes the working directory then.
    """
    directory, text = fitting(lowers, upper, work, volatile=volatile, userxattr=userxattr)
    if directory:
        os.chdir(directory)
    mount(b"overlay", os.fsencode(target), b"overlay", flags, os.fsencode(text))


def fitting(
    lowers: Sequence[str], upper: str, work: str, *, volatile: bool, userxattr: bool
) -> tuple[str, str]:
    """The options of an overlay as they fit in a page, and the working directory, if not empty, that
    they need."""
    text = options(lowers, upper, work, volatile=volatile, userxattr=userxattr)
    if len(os.fsencode(text)) < _PAGE:
        return "", text
    common = os.path.commonpath(lowers)
    short = [os.path.relpath(path, common) for path in lowers]
    return common, options(short, upper, work, volatile=volatile, userxattr=userxattr)


def sweep(upper: str, work: str) -> None:
    """Remove the directories of an overlay that is not mounted any more, as far as nothing else is in them;
    what is there stays. Much of it is what the kernel made in ``work``."""
    inner = f"{work}/work"
    try:
        os.unlink(f"{inner}/incompat/volatile/dirty")
    except OSError:
        pass
    for path in (f"{inner}/incompat/volatile", f"{inner}/incompat", inner, work, upper):
        try:
            os.rmdir(path)
        except OSError:
            pass


def mount_lowers(target: str, lowers: Sequence[str], *, userxattr: bool = False) -> None:
    """Mount ``lowers`` (bottom first, two at least) at ``target``, only to be read.

    As for ``mount_overlay``, the working directory may change.
    """
    common = os.path.commonpath(lowers)
    os.chdir(common)
    names = ":".join(_escape(os.path.relpath(path, common)) for path in reversed(lowers))
    text = f"lowerdir={names},index=off,xino=off" + (",userxattr" if userxattr else "")
    mount(b"overlay", os.fsencode(target), b"overlay", MS_RDONLY, os.fsencode(text))


def _escape(path: str) -> str:
    # A colon parts lower directories and a comma parts options; a backslash quotes both.
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
