"""The interpreter as something that a container cannot write to.

Until a process that enters a container executes its command, ``/proc/PID/exe`` in there leads to
the host's interpreter, and who may open that for writing may change it for everybody
(CVE-2019-5736). So the spawner is started from a copy that nobody can write: sealed memory for a
small file (an interpreter that is all in its shared library), else a read-only clone of the file's
mount (opening for writing is EROFS), and sealed memory again where mounting is not allowed.
"""

import errno
import fcntl
import os
import sys

# Up to here a copy takes less time than the import of what makes a clone.
_SMALL = 1 << 20
_ADD_SEALS = 1033
_MFD_EXEC = 0x10
_SEAL, _SHRINK, _GROW, _WRITE = 1, 2, 4, 8


def open_program() -> int:
    """A descriptor of this interpreter, to be executed as ``/proc/self/fd/N``. The caller closes it."""
    path = os.path.realpath(sys.executable)
    if os.stat(path).st_size <= _SMALL:
        return _sealed_copy(path)
    try:
        return _read_only_clone(path)
    except OSError:
        return _sealed_copy(path)


def leave_program() -> None:
    """Make this process, as it runs, one of a copy that nobody can write to. ``OSError`` where the
    interpreter is not small, or the kernel does not let us."""
    path = os.readlink("/proc/self/exe")
    if os.stat(path).st_size > _SMALL:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    from sandcell.runtime.linux import exe_file

    writable = _sealed_copy(path)
    copy = os.open(f"/proc/self/fd/{writable}", os.O_RDONLY | os.O_CLOEXEC)
    os.close(writable)
    try:
        exe_file.replace(copy)
    finally:
        os.close(copy)


def sealed_memory(name: str, content: bytes) -> int:
    """A descriptor of ``content``, to be executed or mapped, that nobody can change. The caller closes it."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        memory = os.memfd_create(name, flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        memory = os.memfd_create(name, flags)  # Linux before 6.3
    os.write(memory, content)
    fcntl.fcntl(memory, _ADD_SEALS, _SEAL | _SHRINK | _GROW | _WRITE)
    return memory


def _read_only_clone(path: str) -> int:
    from sandcell.runtime.linux.mounts import MS_RDONLY, clone_tree, restrict

    tree = clone_tree(os.fsencode(path), recursive=False)
    if not restrict(tree, MS_RDONLY):
        os.close(tree)
        raise OSError(errno.ENOSYS, "mount_setattr")
    return tree


def _sealed_copy(path: str) -> int:
    copy = os.memfd_create("python3", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(path, "rb") as source:
        left = os.fstat(source.fileno()).st_size
        while left:
            left -= os.sendfile(copy, source.fileno(), None, left)
    fcntl.fcntl(copy, _ADD_SEALS, _SEAL | _SHRINK | _GROW | _WRITE)
    return copy
