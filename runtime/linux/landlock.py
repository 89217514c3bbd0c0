"""Landlock: a process gives up files and signals outside of its own, without any right. landlock(7)."""

import os
import struct

from sandcell.runtime.linux import syscall

_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH = 1
_SCOPES = 0b11  # abstract sockets and signals

# Version → rights over files that it knows, all of them: thirteen, then moving between directories,
# truncating and ioctl on devices.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_SIGNALS_SINCE = 6


def version() -> int:
    """Of Landlock's interface; 0 where the kernel has none, has it switched off, or a filter refuses."""
    try:
        return syscall.call("landlock_create_ruleset", None, 0, _VERSION)
    except OSError:
        return 0


def keep_below(root: int) -> bool:
    """From now on this process, and all that it starts, uses files below the open directory ``root``
    alone, and since version 6 signals only what has this rule too. What is open stays open.

    ``no_new_privs`` must be set, or the process hold CAP_SYS_ADMIN. False where the kernel cannot do it;
    before version 2 it could, but then no file could be moved to another directory.
    """
    known = version()
    if known < 2:
        return False
    rights = (1 << _RIGHTS.get(known, _RIGHTS[5])) - 1
    attributes = struct.pack("QQQ", rights, 0, _SCOPES if known >= _SIGNALS_SINCE else 0)
    # The kernel refuses a longer structure than it knows only where the rest is not zero.
    rules = syscall.call("landlock_create_ruleset", attributes, len(attributes), 0)
    try:
        beneath = struct.pack("=Qi", rights, root)
        syscall.call("landlock_add_rule", rules, _PATH_BENEATH, beneath, 0)
        syscall.call("landlock_restrict_self", rules, 0)
    finally:
        os.close(rules)
    return True
