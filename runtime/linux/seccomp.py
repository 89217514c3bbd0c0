"""System call filters: rules are compiled to classic BPF and handed to the kernel. seccomp(2).

A filter looks at the architecture, at the number and at the six arguments of a system call, and
answers with an action. Rules are compiled once, outside; a child
installs the bytes with one call (``seccomp_load``).

The program is a binary search over ranges of numbers that share an answer, so every call costs
about eight comparisons; since Linux 5.11 the kernel moreover tries a new filter on all numbers and
never runs it again for those it always allows. What a kernel could know that
``syscalls_table`` does not is answered with ENOSYS, as an older kernel would: the C library then
falls back, where EPERM would make it fail.
"""

import enum
import errno
from collections.abc import Iterable, Sequence

import msgspec

from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.linux.bpf import Assembler, Range, returns
from sandcell.runtime.linux.syscalls_table import X32_BIT, numbers

MAX_INSTRUCTIONS = 4096

# AUDIT_ARCH_… of linux/audit.h. x32 comes under x86-64's, with X32_BIT set in the number.
_AUDIT = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}

# struct seccomp_data
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

_ALL_ONES = (1 << 64) - 1


class Action(enum.IntEnum):
    """What becomes of a system call; the values are ``SECCOMP_RET_…`` of linux/seccomp.h."""

    KILL_PROCESS = 0x80000000
    KILL_THREAD = 0x00000000
    TRAP = 0x00030000
    ERRNO = 0x00050000
    USER_NOTIF = 0x7FC00000
    TRACE = 0x7FF00000
    LOG = 0x7FFC0000
    ALLOW = 0x7FFF0000


# Where the default is one of these, a call that the tables do not know gets ENOSYS instead.
_REFUSING = (Action.KILL_PROCESS, Action.KILL_THREAD, Action.TRAP, Action.ERRNO)


class Arg(msgspec.Struct, frozen=True):
    """A condition on argument ``index`` (0 to 5), compared as an unsigned 64-bit number.

    ``op``: EQ NE LT LE GT GE against ``value``, or MASKED_EQ: argument & ``value`` equals
    ``value_two``.
    """

    index: int
    op: str
    value: int
    value_two: int = 0


class Rule(msgspec.Struct, frozen=True):
    """``action`` for each of ``names`` when all of ``args`` hold. ``errno``: for ERRNO, the number
    that the caller sees; for TRACE, what the tracer is told."""

    names: tuple[str, ...]
    action: Action
    errno: int = errno.EPERM
    args: tuple[Arg, ...] = ()


class Program(bytes):
    """A compiled filter: an array of ``struct sock_filter``, eight bytes an instruction.

    ``ignored``: names in the rules that none of the architectures has, in order.
    """

    ignored: tuple[str, ...] = ()


# The conditions and the answer of one rule, with its place among the rules.
_Clause = tuple[int, tuple[Arg, ...], int]


def compile_filter(
    default_action: Action,
    default_errno: int,
    rules: Sequence[Rule],
    architectures: Sequence[str],
    *,
    unknown_architecture: Action = Action.KILL_PROCESS,
) -> Program:
    """The filter that answers every system call as ``rules`` say; install it with
    ``seccomp_load.install``.

    For each call the first rule that names it and whose conditions hold decides; with none the
    default does. ``architectures`` are names of ``syscalls_table``; a call made under another
    architecture gets ``unknown_architecture`` (``ERRNO`` means ENOSYS). ``InvalidOption`` for a
    condition that makes no sense, an unknown architecture, or more than 4096 instructions.
    """
    by_name: dict[str, list[_Clause]] = {}
    for place, rule in enumerate(rules):
        clause = (place, _checked(rule), _answer(rule.action, rule.errno))
        for name in rule.names:
            by_name.setdefault(name, []).append(clause)

    default = _answer(default_action, default_errno)
    unheard = _answer(Action.ERRNO, errno.ENOSYS) if default_action in _REFUSING else default
    foreign = _answer(unknown_architecture, errno.ENOSYS)

    assembler = Assembler()
    targets = {name: _clauses(assembler, clauses, default) for name, clauses in by_name.items()}
    entry = returns(foreign)
    known: set[str] = set()
    for token, members in reversed(_sections(architectures).items()):
        ranges: list[Range] = [(0, returns(foreign))]
        for architecture in members:
            table = numbers(architecture)
            known |= by_name.keys() & table.keys()
            ranges += _ranges(assembler, table, by_name, targets, default, unheard, architecture)
        if "x32" not in members and token == _AUDIT["x86_64"]:
            ranges.append((X32_BIT, returns(_answer(Action.ERRNO, errno.ENOSYS))))
        section = assembler.load(_NUMBER, assembler.search(ranges))
        entry = assembler.equal(token, section, entry)
    program = Program(assembler.finish(assembler.load(_ARCHITECTURE, entry)))
    if len(program) > 8 * MAX_INSTRUCTIONS:
        raise _refused(
            f"it would need {len(program) // 8} instructions and the kernel takes {MAX_INSTRUCTIONS}",
            "use fewer conditions on arguments",
        )
    program.ignored = tuple(name for name in by_name if name not in known)
    return program


def _answer(action: Action, data: int) -> int:
    if action in (Action.ERRNO, Action.TRACE):
        if not 0 <= data <= (4095 if action is Action.ERRNO else 0xFFFF):
            raise _refused(f"errno {data} is out of range", "give 0 to 4095")
        return action | data
    return int(action)


def _checked(rule: Rule) -> tuple[Arg, ...]:
    for arg in rule.args:
        if not 0 <= arg.index <= 5:
            raise _refused(f"a system call has no argument {arg.index}", "count from 0 to 5")
        if arg.op not in _HOLDS and arg.op != "MASKED_EQ":
            raise _refused(f"{arg.op} is no comparison", "use " + ", ".join([*_HOLDS, "MASKED_EQ"]))
        if not (0 <= arg.value <= _ALL_ONES and 0 <= arg.value_two <= _ALL_ONES):
            raise _refused("a value does not fit into 64 bits", "give 0 to 2**64 - 1")
    return rule.args


def _refused(cause: str, hint: str) -> InvalidOption:
    return InvalidOption("compile", "the system call filter", cause, hint)


def _sections(architectures: Iterable[str]) -> dict[int, list[str]]:
    sections: dict[int, list[str]] = {}
    for architecture in architectures:
        token = _AUDIT.get("x86_64" if architecture == "x32" else architecture)
        if token is None:
            raise _refused(f"no table for architecture {architecture}", "use " + ", ".join(_AUDIT))
        members = sections.setdefault(token, [])
        if architecture not in members:
            members.append(architecture)
    for members in sections.values():
        members.sort(reverse=True)  # x86_64 before x32: numbers ascend
    return sections


def _ranges(
    assembler: Assembler,
    table: dict[str, int],
    by_name: dict[str, list[_Clause]],
    targets: dict[str, int],
    default: int,
    unheard: int,
    architecture: str,
) -> list[Range]:
    """Where the answer changes as the number rises, for one architecture."""
    plain = returns(default)
    answers: dict[int, int] = {}
    names: dict[int, str] = {}
    for name, number in table.items():
        if name not in by_name:
            answers.setdefault(number, plain)
        elif number in names:  # one call under two names
            clauses = sorted(by_name[names[number]] + by_name[name])
            answers[number] = _clauses(assembler, clauses, default)
        else:
            answers[number] = targets[name]
            names[number] = name
    base = X32_BIT if architecture == "x32" else 0
    silent = returns(unheard)
    ranges = [(base, silent)]
    following = 0
    for number in sorted(answers):
        if number > following:
            ranges.append((base + following, silent))
        ranges.append((base + number, answers[number]))
        following = number + 1
    ranges.append((base + following, silent))
    return ranges


def _clauses(assembler: Assembler, clauses: Sequence[_Clause], default: int) -> int:
    """Code that tries ``clauses`` in order, the first that holds deciding."""
    if not clauses[0][1]:
        return returns(clauses[0][2])  # no condition: by far the most
    target = returns(default)
    last = len(clauses)
    for place, (_, args, answer) in enumerate(clauses):
        if not args:
            target, last = returns(answer), place
            break
    end = last
    while end:
        start = end - 1
        args = clauses[start][1]
        if len(args) == 1 and args[0].op != "MASKED_EQ":
            # Neighbours that look at the same argument become one search over its values.
            while start and _alike(clauses[start - 1][1], args[0]):
                start -= 1
            tests = [(given[0], answer) for _, given, answer in clauses[start:end]]
            target = _values(assembler, args[0].index, tests, target)
        else:
            answer = returns(clauses[start][2])
            for arg in reversed(args):
                answer = _test(assembler, arg, answer, target)
            target = answer
        end = start
    return target


def _alike(args: tuple[Arg, ...], other: Arg) -> bool:
    return len(args) == 1 and args[0].index == other.index and args[0].op != "MASKED_EQ"


def _test(assembler: Assembler, arg: Arg, holds: int, fails: int) -> int:
    offset = _ARGUMENTS + 8 * arg.index
    if arg.op == "MASKED_EQ":
        return assembler.masked_equal(offset, arg.value, arg.value_two, holds, fails)
    holding = _HOLDS[arg.op]
    starts = _starts([arg])
    return assembler.search_wide(
        offset, [(start, holds if holding(start, arg.value) else fails) for start in starts]
    )


def _values(assembler: Assembler, index: int, tests: list[tuple[Arg, int]], otherwise: int) -> int:
    ranges: list[Range] = []
    for start in _starts([arg for arg, _ in tests]):
        answer = next((a for arg, a in tests if _HOLDS[arg.op](start, arg.value)), None)
        ranges.append((start, otherwise if answer is None else returns(answer)))
    return assembler.search_wide(_ARGUMENTS + 8 * index, ranges)


def _starts(args: Iterable[Arg]) -> list[int]:
    """The values at which some comparison may change its mind, from 0 on."""
    starts = {0}
    for arg in args:
        starts.update((arg.value, arg.value + 1))
    return sorted(start for start in starts if start <= _ALL_ONES)


_HOLDS = {
    "EQ": int.__eq__,
    "NE": int.__ne__,
    "LT": int.__lt__,
    "LE": int.__le__,
    "GT": int.__gt__,
    "GE": int.__ge__,
}
