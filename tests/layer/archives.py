"""Archives for tests, made by Python's own tarfile where they are honest and by hand where not."""

import io
import os
import tarfile

from sandcell.runtime.layer import tar_write
from sandcell.runtime.layer.unpack import Unpacked, unpack

FLAVOUR = "trusted" if os.geteuid() == 0 else "user"


def entry(name: str, kind: str = "file", data: bytes = b"", **fields) -> tuple[tarfile.TarInfo, bytes]:
    """One member for ``archive``."""
    types = {
        "file": tarfile.REGTYPE,
        "dir": tarfile.DIRTYPE,
        "symlink": tarfile.SYMTYPE,
        "hardlink": tarfile.LNKTYPE,
        "char": tarfile.CHRTYPE,
        "block": tarfile.BLKTYPE,
        "fifo": tarfile.FIFOTYPE,
    }
    info = tarfile.TarInfo(name)
    info.type = types[kind]
    info.size = len(data)
    info.uid, info.gid = os.geteuid(), os.getegid()
    info.mode = fields.pop("mode", 0o755 if kind == "dir" else 0o644)
    info.linkname = fields.pop("link", "")
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def archive(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of ``members``."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def raw(
    name: bytes, kind: bytes = b"0", data: bytes = b"", *, size: int | None = None, link: bytes = b""
) -> bytes:
    """One entry written without any care; ``size`` may lie."""
    header = tar_write.header(name, kind, mode=0o644, size=len(data) if size is None else size, link=link)
    return header + data + bytes(-len(data) % 512)


def unpacked(data: bytes, target, *lowers, **options) -> Unpacked:
    """Unpack ``data`` into the new directory ``target`` over ``lowers``."""
    target.mkdir()
    fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (target, *lowers)]
    try:
        return unpack(io.BytesIO(data), fds[0], flavour=FLAVOUR, lowers=fds[1:], **options)
    finally:
        for fd in fds:
            os.close(fd)
