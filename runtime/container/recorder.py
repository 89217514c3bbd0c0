"""A single id, and files that belong to many: whom a file shall belong to is written down beside it.

Where only one id is mapped the kernel refuses to give a file, or a process, to any other. So a filter
stops such system calls of a container, and a process of its monitor's answers them: chown(2) and its
like record the owner (``linux/ownership``), so that a layer packed from the files carries it; who has
called setuid(2) hears from getuid(2) that it is who it wanted to be (``pretence``). Files stay real:
stat(2) tells the one id, and what such a process makes belongs to it. Owners outside of the container's
own files, in volumes and tmpfs, are kept nowhere.

The process has the container's user namespace and its root directory, and is in no pid namespace of
its: nobody inside can see it. As for init: nothing is imported or looked up once it is in there.
"""

import errno
import os
import re
import select
import stat
import struct
from functools import lru_cache
from typing import Never

from sandcell.runtime.container.pretence import SAME, Pretence
from sandcell.runtime.linux import process, seccomp_notify
from sandcell.runtime.linux.ownership import OWNER, UNRECORDED, record, recorded, unrecorded
from sandcell.runtime.linux.seccomp_notify import Notification
from sandcell.runtime.linux.syscall import (
    AT_EMPTY_PATH,
    AT_SYMLINK_NOFOLLOW,
    CLONE_NEWUSER,
    MACHINE,
    pidfd_open,
    setns,
)
from sandcell.runtime.linux.syscalls_table import numbers

CHOWN = ("chown", "lchown", "fchown", "fchownat")
BECOME = ("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid")
TELL = ("getuid", "getgid", "geteuid", "getegid")
TELL_THREE = ("getresuid", "getresgid")
FILES = ("setfsuid", "setfsgid")
GROUPS = ("setgroups", "getgroups")

_INT = 0xFFFFFFFF
_HERE = -100 & _INT  # AT_FDCWD
_LISTING = re.compile(rb"mnt_id:\s*([0-9]+)")
_FAMILY = re.compile(rb"\nTgid:\s*([0-9]+)\n.*\nPPid:\s*([0-9]+)\n", re.DOTALL)
_MOST_GROUPS = 65536
_MOST_PRETENDERS = 400  # each takes a descriptor
# A process's own descriptors: in our eyes these would be ours.
_OWN = re.compile(rb"/(?:proc/(?:self|thread-self)/|dev/(?=fd/))(fd/[0-9]+|cwd|root)")
_PATIENCE = 5000  # milliseconds
_PATH = os.O_PATH | os.O_CLOEXEC
_LOST = frozenset((errno.EPERM, errno.ENOTSUP, errno.EACCES, errno.ENOSPC, errno.EDQUOT))


@lru_cache
def program() -> bytes:
    """The filter: it stops these calls, and no others."""
    from sandcell.runtime.linux.seccomp import Action, Rule, compile_filter

    rules = [Rule((*CHOWN, *BECOME, *TELL, *TELL_THREE, *FILES, *GROUPS), Action.USER_NOTIF)]
    made = compile_filter(Action.ALLOW, 0, rules, (MACHINE,), unknown_architecture=Action.ALLOW)
    return bytes(made)  # no subclass: it travels


def begin(listener: int, init: int) -> int:
    """Start the process that answers; its pid. It ends with the container, and with us. ``listener``
    is closed on our side."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            process.end_with(parent)
            _enter(listener, init, parent)
        finally:
            os._exit(0)
    os.close(listener)
    return pid


def _enter(listener: int, init: int, parent: int) -> Never:
    # Nobody inside may look into an interpreter of the host's: prctl(2).
    process.prctl(process.PR_SET_DUMPABLE, 0)
    target = pidfd_open(init)
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    process.keep_only({listener, target, proc})
    _join(target)
    process.prctl(process.PR_SET_DUMPABLE, 0)  # entering made it dumpable again
    process.end_with(parent)
    os.close(target)
    Recorder(listener, proc).serve()
    os._exit(0)


def _join(target: int) -> None:
    """Enter its user namespace. Until the process executes its program nobody may look into it, which
    entering takes: ptrace(2), "Ptrace access mode checking"."""
    ended = select.poll()
    ended.register(target, select.POLLIN)
    for _ in range(_PATIENCE):
        try:
            setns(target, CLONE_NEWUSER)
            return
        except PermissionError:
            if ended.poll(1):
                return
    setns(target, CLONE_NEWUSER)


class Recorder:
    """Answers the calls of one listener. ``proc``: the host's /proc."""

    def __init__(self, listener: int, proc: int) -> None:
        self._listener = listener
        self._proc = proc
        self._root: tuple[int, int] = (-1, -1)
        self._top = -1  # the container's own root directory
        self._mount = b""
        self._names = {number: name for name, number in numbers(MACHINE).items()}
        self._pretenders: dict[int, Pretence] = {}  # by process id
        self._descriptors: dict[int, int] = {}  # their pidfds, and whose they are
        self._poll = select.poll()

    def serve(self) -> None:
        """Answer until nobody is left who could call."""
        self._poll.register(self._listener, select.POLLIN)
        while True:
            for fd, events in self._poll.poll():
                if fd != self._listener:
                    self._forget(fd)
                elif not events & select.POLLIN:
                    return
                elif (call := seccomp_notify.receive(fd)) is not None:
                    self._settle(call)

    def _settle(self, call: Notification) -> None:
        name = self._names[call.number]
        try:
            value = 0
            if name in CHOWN:
                self._change(call, name)
            else:
                told = self._pretend(call, name)
                if told is None:
                    seccomp_notify.let_through(self._listener, call)
                    return
                value = told
        except OSError as error:
            seccomp_notify.answer(self._listener, call, refusal=error.errno or errno.EIO)
        else:
            seccomp_notify.answer(self._listener, call, value)

    def _pretend(self, call: Notification, name: str) -> int | None:
        """What a call of setuid(2)'s and getuid(2)'s families returns; ``None`` where the kernel knows."""
        asks = name.startswith("get")
        if asks and not self._pretenders:
            return None
        who, now = self._caller(call.thread)
        arguments = tuple(argument & _INT for argument in call.arguments)
        if not asks:
            if name in FILES:
                return (now.users if name.endswith("uid") else now.groups)[1]
            self._become(who, now, self._wanted(call, name, now, arguments))
            return 0
        if now.plain or (name == "getgroups" and now.others is None):
            return None
        if name in TELL:
            return now.told(name)
        if name in TELL_THREE:
            for address, id in zip(
                call.arguments, now.users if name.endswith("uid") else now.groups, strict=False
            ):
                self._write(call, address, struct.pack("=I", id))
            return 0
        others = now.others or ()
        if arguments[0]:
            if arguments[0] < len(others):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            self._write(call, call.arguments[1], struct.pack(f"={len(others)}I", *others))
        return len(others)

    def _wanted(self, call: Notification, name: str, now: Pretence, arguments: tuple[int, ...]) -> Pretence:
        if name != "setgroups":
            return now.after(name, arguments)
        count = arguments[0]
        if count > _MOST_GROUPS:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return now.with_groups(struct.unpack(f"={count}I", self._read(call, call.arguments[1], 4 * count)))

    def _caller(self, thread: int) -> tuple[int, Pretence]:
        """The process of that thread, and who it, or the one that it comes from, became."""
        first = 0
        number = thread
        while number:
            try:
                listing = os.open(f"{number}/status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
            except FileNotFoundError:
                break
            family = _FAMILY.search(os.read(listing, 4096))
            os.close(listing)
            if family is None:
                break
            leader, number = int(family[1]), int(family[2])
            first = first or leader
            if leader in self._pretenders:
                return first, self._pretenders[leader]
        return first, Pretence()

    def _become(self, who: int, now: Pretence, new: Pretence) -> None:
        if new == now and who in self._pretenders:
            return
        if who not in self._pretenders:
            if new.plain:
                return
            if len(self._pretenders) >= _MOST_PRETENDERS:
                self._forget(next(iter(self._descriptors)))
            fd = pidfd_open(who)
            self._descriptors[fd] = who
            self._poll.register(fd, select.POLLIN)
        self._pretenders[who] = new

    def _forget(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._pretenders.pop(self._descriptors.pop(fd), None)
        os.close(fd)

    def _read(self, call: Notification, address: int, size: int) -> bytes:
        memory = os.open(f"{call.thread}/mem", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            data = os.pread(memory, size, address)
        except OSError:
            data = b""
        finally:
            os.close(memory)
        if len(data) != size:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        return data

    def _write(self, call: Notification, address: int, data: bytes) -> None:
        memory = os.open(f"{call.thread}/mem", os.O_WRONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            if seccomp_notify.alive(self._listener, call):
                os.pwrite(memory, data, address)
        except OSError:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT)) from None
        finally:
            os.close(memory)

    def _change(self, call: Notification, name: str) -> None:
        one, two, three, four, five, _ = (argument & _INT for argument in call.arguments)
        who = f"{call.thread}"
        self._follow(who)
        if name == "fchown":
            found, uid, gid = self._descriptor(call, one), two, three
        elif name == "fchownat":
            found, uid, gid = self._at(call, one, call.arguments[1], five), three, four
        else:
            flags = AT_SYMLINK_NOFOLLOW if name == "lchown" else 0
            found, uid, gid = self._at(call, _HERE, call.arguments[0], flags), two, three
        try:
            if not seccomp_notify.alive(self._listener, call):
                raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
            os.fchdir(self._proc)
            self._record(found, uid, gid)
        finally:
            os.close(found)

    def _follow(self, who: str) -> None:
        """Stand below the root directory of the caller, so that its paths mean what they mean to it."""
        status = os.stat(f"{who}/root", dir_fd=self._proc)
        if (status.st_dev, status.st_ino) == self._root:
            return
        fd = os.open(f"{who}/root", _PATH, dir_fd=self._proc)
        os.fchdir(fd)
        os.chroot(".")
        self._root = status.st_dev, status.st_ino
        if self._top < 0:
            self._top, self._mount = fd, self._mount_of(fd)
        else:
            os.close(fd)

    def _descriptor(self, call: Notification, number: int) -> int:
        try:
            return os.open(f"{call.thread}/fd/{number}", _PATH, dir_fd=self._proc)
        except FileNotFoundError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None

    def _at(self, call: Notification, directory: int, address: int, flags: int) -> int:
        memory = os.open(f"{call.thread}/mem", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            path = seccomp_notify.text(memory, address)
        finally:
            os.close(memory)
        if not path:
            if not flags & AT_EMPTY_PATH:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            if directory != _HERE:
                return self._descriptor(call, directory)
            path = b"."
        if own := _OWN.fullmatch(path):
            return os.open(b"%d/%s" % (call.thread, own[1]), _PATH, dir_fd=self._proc)
        if not path.startswith(b"/"):
            here = (
                os.open(f"{call.thread}/cwd", _PATH, dir_fd=self._proc)
                if directory == _HERE
                else self._descriptor(call, directory)
            )
            try:
                os.fchdir(here)
            finally:
                os.close(here)
        return os.open(path, _PATH | (os.O_NOFOLLOW if flags & AT_SYMLINK_NOFOLLOW else 0))

    def _record(self, found: int, uid: int, gid: int) -> None:
        place = f"self/fd/{found}"
        os.chown(place, -1, -1)  # so far it is real: set-id bits go, a read-only file system refuses
        if self._mount_of(found) != self._mount:
            return
        before = recorded(place) or (0, 0, 0)
        uid, gid = (old if new == SAME else new for new, old in zip((uid, gid), before[:2], strict=True))
        if (uid, gid) == before[:2] and not before[2]:
            return
        status = os.stat(place)
        try:
            if (uid, gid) == (0, 0):
                os.removexattr(place, OWNER)
            else:
                # Of a directory the set-id bits stay.
                kept = before[2] if stat.S_ISDIR(status.st_mode) else 0
                os.setxattr(place, OWNER, record(uid, gid, stat.S_IMODE(status.st_mode) | kept))
        except OSError as error:
            if error.errno not in _LOST:
                raise
            top = f"self/fd/{self._top}"
            os.setxattr(top, UNRECORDED, b"%d" % (unrecorded(top) + 1))

    def _mount_of(self, fd: int) -> bytes:
        listing = os.open(f"self/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            told = _LISTING.search(os.read(listing, 4096))
        finally:
            os.close(listing)
        return told[1] if told else b""
