"""Which devices the processes of a v2 group may use: a small eBPF program that the kernel asks.

Version 1 had files for it; version 2 lets whoever made the group attach a program of type
BPF_PROG_TYPE_CGROUP_DEVICE, run at every open and mknod of a device. bpf(2), cgroup-v2 in the
kernel's docs ("Device controller").
"""

import ctypes
import errno
import os
import struct
from collections.abc import Sequence

from sandcell.runtime.errors import HostRefused, InvalidOption
from sandcell.runtime.linux.syscall import MACHINE, fail, libc
from sandcell.runtime.linux.syscalls_table import numbers

# One rule: allow or deny, and which, as v1's devices.allow takes it: "c 1:3 rwm", "b *:* m", "a *:* rwm".
Rules = Sequence[tuple[bool, str]]

_PROG_LOAD, _PROG_ATTACH = 5, 8
_CGROUP_DEVICE_PROGRAM, _CGROUP_DEVICE_ATTACH = 15, 6
_ALLOW_MULTI = 2

_KINDS = {"b": 1, "c": 2, "a": 0}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_ANY_ACCESS = 7

# linux/bpf_common.h and linux/bpf.h
_LOAD_WORD, _MOVE, _MOVE_NUMBER = 0x61, 0xBF, 0xB7
_AND, _SHIFT_RIGHT = 0x57, 0x77
_IF_EQUAL, _IF_NOT_EQUAL, _EXIT = 0x15, 0x55, 0x95

# Registers
_RESULT, _CONTEXT, _KIND, _WANTED, _MAJOR, _MINOR = 0, 1, 2, 3, 4, 5

_syscall = libc["syscall"]
_syscall.restype = ctypes.c_long
_BPF = ctypes.c_long(numbers(MACHINE)["bpf"]) if MACHINE in ("x86_64", "aarch64") else ctypes.c_long(-1)


def restrict(directory: str, rules: Rules) -> None:
    """Attach ``rules`` to the group: of those that fit the last one decides, with none the device is
    allowed. Rules that the group or a parent already has must allow too.

    ``HostRefused`` when the kernel takes no such program from us.
    """
    code = program(rules)
    try:
        loaded = _load(code)
        try:
            group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                attach = struct.pack("4I", group, loaded, _CGROUP_DEVICE_ATTACH, _ALLOW_MULTI)
                _bpf(_PROG_ATTACH, attach, "attach a program")
            finally:
                os.close(group)
        finally:
            os.close(loaded)
    except OSError as error:
        cause = f"the kernel refuses to {error.filename}: {os.strerror(error.errno or errno.EIO)}"
        raise HostRefused("limit", "devices", cause, "CAP_SYS_ADMIN or CAP_BPF is needed") from None


def program(rules: Rules) -> bytes:
    """The rules as an array of ``struct bpf_insn``; ``InvalidOption`` for one that cannot be read."""
    code = [
        _instruction(_LOAD_WORD, _KIND, _CONTEXT, offset=0),
        _instruction(_MOVE, _WANTED, _KIND),
        _instruction(_SHIFT_RIGHT, _WANTED, number=16),
        _instruction(_AND, _KIND, number=0xFFFF),
        _instruction(_LOAD_WORD, _MAJOR, _CONTEXT, offset=4),
        _instruction(_LOAD_WORD, _MINOR, _CONTEXT, offset=8),
    ]
    for allow, text in reversed(rules):
        tests = _tests(allow, *_parsed(text))
        code += [
            # Each test that fails jumps over the rest of its rule, the two last instructions included.
            _instruction(operation, register, offset=len(tests) - place + 1, number=value)
            if jumps
            else _instruction(operation, register, _WANTED if operation == _MOVE else 0, number=value)
            for place, (operation, register, value, jumps) in enumerate(tests)
        ]
        code += _answer(allow)
        if not tests:
            break  # it fits everything, so no earlier rule can matter
    else:
        code += _answer(True)
    return b"".join(code)


def _parsed(text: str) -> tuple[int, int | None, int | None, int]:
    try:
        kind, place, access = text.split(" ")
        major, minor = (None if part == "*" else int(part) for part in place.split(":"))
        return _KINDS[kind], major, minor, sum(_ACCESS[letter] for letter in set(access))
    except (ValueError, KeyError):
        raise InvalidOption(
            "limit", "devices", f"{text!r} is no rule for devices", "as 'c 1:3 rwm' or 'a *:* rwm'"
        ) from None


def _tests(
    allow: bool, kind: int, major: int | None, minor: int | None, access: int
) -> list[tuple[int, int, int, bool]]:
    """(operation, register, number, does it jump to the next rule)."""
    tests = [(_IF_NOT_EQUAL, _KIND, kind, True)] if kind else []
    if access != _ANY_ACCESS:
        # To allow, all that is wanted must be allowed; to deny, one of it is enough.
        bits, missing = (_ANY_ACCESS & ~access, _IF_NOT_EQUAL) if allow else (access, _IF_EQUAL)
        tests += [(_MOVE, _CONTEXT, 0, False), (_AND, _CONTEXT, bits, False), (missing, _CONTEXT, 0, True)]
    tests += [(_IF_NOT_EQUAL, _MAJOR, major, True)] if major is not None else []
    tests += [(_IF_NOT_EQUAL, _MINOR, minor, True)] if minor is not None else []
    return tests


def _answer(allow: bool) -> list[bytes]:
    return [_instruction(_MOVE_NUMBER, _RESULT, number=int(allow)), _instruction(_EXIT)]


def _instruction(
    operation: int, target: int = 0, source: int = 0, *, offset: int = 0, number: int = 0
) -> bytes:
    return struct.pack("BBhi", operation, source << 4 | target, offset, number)


def _load(code: bytes) -> int:
    instructions = ctypes.create_string_buffer(code, len(code))
    license = ctypes.create_string_buffer(b"BSD")
    attributes = struct.pack(
        "IIQQ32x",
        _CGROUP_DEVICE_PROGRAM,
        len(code) // 8,
        ctypes.addressof(instructions),
        ctypes.addressof(license),
    )
    return _bpf(_PROG_LOAD, attributes, "load a program")


def _bpf(command: int, attributes: bytes, what: str) -> int:
    result: int = _syscall(_BPF, ctypes.c_long(command), attributes, ctypes.c_long(len(attributes)))
    if result < 0:
        fail(what)
    return result
