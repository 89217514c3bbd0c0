"""A machine for classic BPF as seccomp uses it, and the plain meaning of rules beside it."""

import errno
import struct
from collections.abc import Sequence

from sandcell.runtime.linux.seccomp import Action, Arg, Rule
from sandcell.runtime.linux.syscalls_table import X32_BIT, numbers

TOKENS = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}


class Run:
    """What one run of a filter gave: ``answer``, the ``steps`` it took, the ``words`` it loaded."""

    def __init__(self, program: bytes, token: int, number: int, args: Sequence[int] = ()) -> None:
        values = (*args, 0, 0, 0, 0, 0, 0)[:6]
        data = struct.pack("<iIQ6Q", number - (1 << 32) if number >> 31 else number, token, 0, *values)
        code = list(struct.iter_unpack("HBBI", program))
        self.steps, self.words = 0, set[int]()
        at, accumulator = 0, 0
        while True:
            operation, then, otherwise, k = code[at]
            self.steps += 1
            at += 1
            if operation == 0x06:  # ret
                self.answer = k
                return
            if operation == 0x20:  # ld
                assert k % 4 == 0
                self.words.add(k)
                accumulator = struct.unpack_from("<I", data, k)[0]
            elif operation == 0x54:  # and
                accumulator &= k
            elif operation == 0x05:  # ja
                at += k
            else:
                holds = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}
                at += then if holds[operation] else otherwise


def well_formed(program: bytes) -> bool:
    """What the kernel checks: jumps stay inside, the last instruction is a return."""
    code = list(struct.iter_unpack("HBBI", program))
    for at, (operation, then, otherwise, k) in enumerate(code):
        room = len(code) - at - 1
        if (operation == 0x05 and k >= room) or (operation & 7 == 5 and max(then, otherwise) >= room):
            return False
    return 0 < len(code) <= 4096 and code[-1][0] == 0x06


def holds(arg: Arg, args: Sequence[int]) -> bool:
    """Does the condition hold?"""
    given = args[arg.index]
    return {
        "EQ": given == arg.value,
        "NE": given != arg.value,
        "LT": given < arg.value,
        "LE": given <= arg.value,
        "GT": given > arg.value,
        "GE": given >= arg.value,
        "MASKED_EQ": given & arg.value == arg.value_two,
    }[arg.op]


def meaning(
    default: Action,
    default_errno: int,
    rules: Sequence[Rule],
    architectures: Sequence[str],
    call: tuple[int, int, Sequence[int]],
) -> int:
    """The answer to ``call`` (token, number, arguments), read off the rules one by one."""
    token, number, args = call
    names = {token: name for name, token in TOKENS.items()}
    architecture = names.get(token, "?")
    if architecture == "x86_64" and number >= X32_BIT:
        if "x32" not in architectures and "x86_64" in architectures:
            return Action.ERRNO | errno.ENOSYS
        architecture, number = "x32", number - X32_BIT
    if architecture not in architectures:
        return Action.KILL_PROCESS
    called = {name for name, its in numbers(architecture).items() if its == number}
    refuses = default in (Action.ERRNO, Action.KILL_PROCESS, Action.KILL_THREAD, Action.TRAP)
    if not called and refuses:
        return Action.ERRNO | errno.ENOSYS
    for rule in rules:
        if called & set(rule.names) and all(holds(arg, args) for arg in rule.args):
            return _answer(rule.action, rule.errno)
    return _answer(default, default_errno)


def _answer(action: Action, data: int) -> int:
    return action | (data if action in (Action.ERRNO, Action.TRACE) else 0)
