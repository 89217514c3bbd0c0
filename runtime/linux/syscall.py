"""System calls that Python's ``os`` module lacks, for x86-64 and aarch64.

Everything is resolved when the module is imported: a child that has entered a container may call
any of these functions without an import, a ``dlopen`` or a symbol look-up. Each raises ``OSError``
with the errno of the call; a kernel without the call gives ``ENOSYS``, which callers answer with
their fall-back. Numbers: ``unistd.h`` of the two architectures (calls from 424 on are the same).
"""

import ctypes
import errno
import os
import struct

MACHINE = os.uname().machine
_AARCH64 = MACHINE == "aarch64"

libc = ctypes.CDLL(None, use_errno=True)
_syscall = libc.syscall
_syscall.restype = ctypes.c_long

# Holds the interpreter lock: a clone3 that returns twice must not let go of it in the child.
_locked_syscall = ctypes.PyDLL(None, use_errno=True).syscall
_locked_syscall.restype = ctypes.c_long

NR = {
    "mmap": 222 if _AARCH64 else 9,
    "mprotect": 226 if _AARCH64 else 10,
    "brk": 214 if _AARCH64 else 12,
    "mremap": 216 if _AARCH64 else 25,
    "getcwd": 17 if _AARCH64 else 79,
    "pivot_root": 41 if _AARCH64 else 155,
    "rt_sigaction": 134 if _AARCH64 else 13,
    "rt_sigprocmask": 135 if _AARCH64 else 14,
    "setns": 268 if _AARCH64 else 308,
    "seccomp": 277 if _AARCH64 else 317,
    "execveat": 281 if _AARCH64 else 322,
    "capset": 91 if _AARCH64 else 126,
    "unshare": 97 if _AARCH64 else 272,
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "pidfd_open": 434,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}

# clone(2), unshare(2), setns(2)
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_PIDFD = 0x00001000
CLONE_INTO_CGROUP = 0x200000000

# openat2(2)
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4
CLOSE_RANGE_CLOEXEC = 4
_TRIES = 1000
FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6


def call(name: str, *args: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Do the system call ``name`` and give its result; ``OSError`` with its errno if it fails."""
    result: int = _syscall(ctypes.c_long(NR[name]), *(_argument(a) for a in args))
    if result < 0:
        fail(name)
    return result


def _argument(value: int | bytes | ctypes.Array[ctypes.c_char] | None) -> object:
    # A bare Python int is passed as a C int, which would cut 64-bit flags.
    return ctypes.c_long(value) if isinstance(value, int) else value


def fail(what: str) -> None:
    """Raise the ``OSError`` of the last call made through ctypes; ``what`` names it."""
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), what)


def openat2(dirfd: int, path: str | bytes, flags: int, mode: int = 0, resolve: int = RESOLVE_BENEATH) -> int:
    """A descriptor of ``path`` below ``dirfd``, resolved as ``resolve`` allows. openat2(2)."""
    name = os.fsencode(path)
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, resolve)
    for _ in range(_TRIES):
        try:
            return call("openat2", dirfd, name, how, len(how))
        except OSError as error:
            # A rename somewhere while ".." was looked up: the man page says try again. Not for ever,
            # for a container may rename as fast as it can.
            if error.errno != errno.EAGAIN:
                raise
    return call("openat2", dirfd, name, how, len(how))


def clone3(flags: int, exit_signal: int, cgroup: int = -1) -> tuple[int, int]:
    """Fork this single-threaded process. ``(0, -1)`` in the child, else ``(pid, pidfd)``.

    ``cgroup``: a descriptor of a v2 group the child shall be born in. The interpreter lock is
    held throughout, so both sides go on as after ``os.fork``; hooks of ``os.register_at_fork``
    are not run. clone3(2).
    """
    pidfd = ctypes.c_int(-1)
    into = cgroup if cgroup >= 0 else 0
    flags |= CLONE_PIDFD | (CLONE_INTO_CGROUP if cgroup >= 0 else 0)
    args = struct.pack("11Q", flags, ctypes.addressof(pidfd), 0, 0, exit_signal, 0, 0, 0, 0, 0, into)
    result = _locked_syscall(ctypes.c_long(NR["clone3"]), args, ctypes.c_long(len(args)))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "clone3")
    return result, pidfd.value


def unshare(flags: int) -> None:
    """Leave the namespaces named by ``flags`` for new ones. unshare(2)."""
    call("unshare", flags)


def setns(fd: int, flags: int) -> None:
    """Enter the namespaces of ``fd``: a namespace file or a pidfd. setns(2)."""
    call("setns", fd, flags)


def pidfd_open(pid: int) -> int:
    """A descriptor that stands for the process ``pid``, never for a later one; ``ProcessLookupError`` where
    it has ended. pidfd_open(2)."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        # Before Linux 6.9 also of one that is just being forgotten.
        if error.errno == errno.EINVAL:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from None
        raise


def pidfd_send_signal(pidfd: int, signum: int) -> None:
    """Send ``signum`` to the process of ``pidfd``; ``ProcessLookupError`` when it has ended."""
    call("pidfd_send_signal", pidfd, signum, None, 0)


def working_directory() -> bytes:
    """The path of the working directory below our root; "(unreachable)…" when it lies elsewhere, which
    libc's own getcwd(3) does not tell. getcwd(2)."""
    buffer = ctypes.create_string_buffer(4096)
    call("getcwd", buffer, len(buffer))
    return buffer.value


def pivot_root(new_root: bytes, put_old: bytes) -> None:
    """Make ``new_root`` the root of this mount namespace. pivot_root(2)."""
    call("pivot_root", new_root, put_old)


def open_tree(dirfd: int, path: bytes, flags: int) -> int:
    """A descriptor of a mount or, with OPEN_TREE_CLONE, of a detached copy. open_tree(2)."""
    return call("open_tree", dirfd, path, flags)


def move_mount(from_fd: int, to_fd: int, to_path: bytes) -> None:
    """Attach the detached mount ``from_fd`` at ``to_path`` below ``to_fd``. move_mount(2)."""
    call("move_mount", from_fd, b"", to_fd, to_path, MOVE_MOUNT_F_EMPTY_PATH)


def fsopen(fstype: bytes) -> int:
    """A descriptor in which a new file system is described. fsopen(2)."""
    return call("fsopen", fstype, FSOPEN_CLOEXEC)


def fsconfig(context: int, name: bytes, value: bytes | None) -> None:
    """Give the file system of ``context`` an option, as a flag where ``value`` is ``None``. fsconfig(2)."""
    command = _FSCONFIG_SET_FLAG if value is None else _FSCONFIG_SET_STRING
    call("fsconfig", context, command, name, value, 0)


def fsmount(context: int, attributes: int) -> int:
    """Make the file system of ``context``: a descriptor of its detached mount. fsmount(2)."""
    call("fsconfig", context, _FSCONFIG_CMD_CREATE, None, None, 0)
    return call("fsmount", context, FSMOUNT_CLOEXEC, attributes)


def mount_setattr(
    dirfd: int,
    path: bytes,
    flags: int,
    *,
    set: int = 0,
    clear: int = 0,
    propagation: int = 0,
    user_namespace: int = 0,
) -> None:
    """Change attributes of a mount (of a whole tree with AT_RECURSIVE). mount_setattr(2)."""
    attributes = struct.pack("QQQQ", set, clear, propagation, user_namespace)
    call("mount_setattr", dirfd, path, flags, attributes, len(attributes))


def close_range(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    """Close all descriptors from ``first`` to ``last``, or mark them close-on-exec."""
    try:
        call("close_range", first, last, flags)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL):
            raise
        for name in os.listdir("/proc/self/fd"):
            fd = int(name)
            if first <= fd <= last:
                try:
                    os.set_inheritable(fd, False) if flags & CLOSE_RANGE_CLOEXEC else os.close(fd)
                except OSError:
                    pass
