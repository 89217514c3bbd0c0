"""Compiled filters against the plain meaning of their rules; nothing is installed here."""

import errno
from hashlib import sha256

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.linux.seccomp import Action, Arg, Rule, compile_filter
from sandcell.runtime.linux.syscalls_table import X32_BIT, numbers

from .bpf_machine import TOKENS, Run, meaning, well_formed

X86 = ("x86_64", "i386", "x32")
ARM = ("aarch64", "arm")
WORDS = (
    "read write close openat socket clone clone3 ioctl rt_sigaction execve personality cachestat file_setattr"
    " socketcall waitpid sync_file_range arm_sync_file_range sync_file_range2 set_tls uretprobe not_a_call"
)
NAMES = WORDS.split()
KNOWN = sorted({numbers(a)[name] for a in [*X86, *ARM] for name in NAMES if name in numbers(a)})
VALUES = [0, 1, 2, 12, 40, 0x7E020000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, (1 << 32) + 12]
VALUES += [0xFFFFFFFF00000000, (1 << 64) - 2, (1 << 64) - 1]

OPERATIONS = ["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"]

values = st.sampled_from(VALUES) | st.integers(0, (1 << 64) - 1)
args = st.builds(Arg, st.integers(0, 2), st.sampled_from(OPERATIONS), values, values)
actions = st.sampled_from(list(Action))
rules = st.builds(
    Rule,
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(tuple),
    actions,
    st.integers(0, 4095),
    st.lists(args, max_size=3).map(tuple),
)
architectures = st.lists(st.sampled_from([*X86, *ARM]), min_size=1, max_size=5, unique=True)


def calls(given: list[Rule], data: st.DataObject) -> tuple[int, int, tuple[int, ...]]:
    token = data.draw(st.sampled_from([*TOKENS.values(), 0x1234]))
    number = data.draw(st.sampled_from(KNOWN) | st.integers(0, 600) | st.integers(0, (1 << 32) - 1))
    if number < 1 << 16 and data.draw(st.booleans()):
        number += X32_BIT
    near = [(arg.value + step) % (1 << 64) for rule in given for arg in rule.args for step in (-1, 0, 1)]
    near += [arg.value_two for rule in given for arg in rule.args]
    given_args = data.draw(st.tuples(*[st.sampled_from([*VALUES, *near])] * 3))
    return token, number, given_args


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(rules, max_size=6), actions, st.integers(0, 4095), architectures, st.data())
def test_every_answer_is_the_one_the_rules_give(
    given_rules: list[Rule], default: Action, number: int, families: list[str], data: st.DataObject
) -> None:
    program = compile_filter(default, number, given_rules, families)
    assert well_formed(program)
    for _ in range(8):
        call = calls(given_rules, data)
        assert Run(program, *call).answer == meaning(default, number, given_rules, families, call), call


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(args, values)
@example(Arg(0, "LT", 0), 0)
@example(Arg(0, "GE", 0), 0)
@example(Arg(0, "GT", (1 << 64) - 1), (1 << 64) - 1)
@example(Arg(0, "LE", (1 << 64) - 1), (1 << 64) - 1)
@example(Arg(0, "MASKED_EQ", 0x7E020000, 0), 0x7E020000 << 32)
@example(Arg(0, "MASKED_EQ", 0xF0, 0x0F), 0x0F)
@example(Arg(0, "MASKED_EQ", 0, 0), 5)
def test_comparisons_are_of_64_bits(arg: Arg, value: int) -> None:
    given_rules = [Rule(("read",), Action.ALLOW, args=(arg,))]
    program = compile_filter(Action.ERRNO, errno.EPERM, given_rules, ["x86_64"])
    around = [(v + step) % (1 << 64) for v in (value, arg.value) for step in (-1, 0, 1)]
    for given_value in around:
        call = (TOKENS["x86_64"], numbers("x86_64")["read"], (given_value,) * 3)
        assert Run(program, *call).answer == meaning(Action.ERRNO, 1, given_rules, ["x86_64"], call)


@pytest.mark.slow
def test_jumps_beyond_255_instructions() -> None:
    """A different answer and a condition for every second call on three architectures."""
    given_rules = [
        Rule((name,), Action.ERRNO, place + 1, (Arg(place % 3, "GT", place << 30),))
        for place, name in enumerate(sorted(numbers("i386"))[::2])
    ]
    program = compile_filter(Action.ALLOW, 0, given_rules, X86)
    assert len(program) // 8 > 2000
    assert well_formed(program)
    for family in ("x86_64", "i386"):
        for number in range(480):
            for args in ((0, 0, 0), (1 << 63, 1 << 63, 1 << 63)):
                call = (TOKENS[family], number, args)
                assert Run(program, *call).answer == meaning(Action.ALLOW, 0, given_rules, X86, call)


def test_a_hot_call_costs_few_instructions_and_looks_at_nothing_but_its_number() -> None:
    """So the kernel's cache of always-allowed calls can hold it (SECCOMP_ARCH_NATIVE, 5.11)."""
    given_rules = [Rule(tuple(list(numbers("x86_64"))[::2]), Action.ALLOW)]
    program = compile_filter(Action.ERRNO, errno.EPERM, given_rules, X86)
    for number in range(0, 330, 2):
        run = Run(program, TOKENS["x86_64"], number)
        assert run.words == {0, 4}
        assert run.steps <= 16


def test_neighbours_on_one_argument_become_one_search() -> None:
    apart = [Rule(("socket",), Action.ALLOW, args=(Arg(0, "EQ", v),)) for v in range(40)]
    at_once = [Rule(("socket",), Action.ALLOW, args=(Arg(0, "LT", 40),))]
    programs = [compile_filter(Action.ERRNO, errno.EPERM, r, X86) for r in (apart, at_once)]
    assert programs[0] == programs[1]


def test_a_newer_call_than_the_table_knows_is_enosys() -> None:
    """Also gaps, and x32 where it was not asked for; with a permissive default nothing changes."""
    strict = compile_filter(Action.ERRNO, errno.EPERM, [], ["x86_64", "aarch64"])
    lenient = compile_filter(Action.ALLOW, 0, [], ["x86_64"])
    for number in (400, 500, 0x3FFFFFFF, X32_BIT, X32_BIT + 1, 0xFFFFFFFF):
        assert Run(strict, TOKENS["x86_64"], number).answer == Action.ERRNO | errno.ENOSYS
    assert Run(strict, TOKENS["x86_64"], 0).answer == Action.ERRNO | errno.EPERM
    assert Run(strict, TOKENS["aarch64"], 300).answer == Action.ERRNO | errno.ENOSYS
    assert Run(lenient, TOKENS["x86_64"], 500).answer == Action.ALLOW


def test_another_architecture_is_killed_or_told_enosys() -> None:
    for action, answer in (
        (Action.KILL_PROCESS, Action.KILL_PROCESS),
        (Action.ERRNO, Action.ERRNO | errno.ENOSYS),
    ):
        program = compile_filter(Action.ALLOW, 0, [], ["x86_64"], unknown_architecture=action)
        assert Run(program, TOKENS["i386"], 1).answer == answer


def test_names_that_no_table_knows_are_told() -> None:
    given_rules = [Rule(("read", "waitpid", "frobnicate"), Action.ALLOW), Rule(("zap",), Action.ALLOW)]
    assert compile_filter(Action.ERRNO, 1, given_rules, X86).ignored == ("frobnicate", "zap")
    assert compile_filter(Action.ERRNO, 1, given_rules, ["x86_64"]).ignored == (
        "waitpid",
        "frobnicate",
        "zap",
    )


@pytest.mark.parametrize(
    ("rule", "families", "cause"),
    [
        (Rule(("read",), Action.ALLOW, args=(Arg(6, "EQ", 0),)), X86, "no argument 6"),
        (Rule(("read",), Action.ALLOW, args=(Arg(0, "ABOUT", 0),)), X86, "ABOUT is no comparison"),
        (Rule(("read",), Action.ALLOW, args=(Arg(0, "EQ", 1 << 64),)), X86, "64 bits"),
        (Rule(("read",), Action.ERRNO, 5000), X86, "errno 5000"),
        (Rule(("read",), Action.ALLOW), ["vax"], "architecture vax"),
    ],
)
def test_senseless_rules_are_refused(rule: Rule, families: list[str], cause: str) -> None:
    with pytest.raises(InvalidOption, match=cause):
        compile_filter(Action.ERRNO, 1, [rule], families)


def test_more_than_the_kernel_takes_is_refused() -> None:
    given_rules = [
        Rule((name,), Action.ALLOW, args=tuple(Arg(i, "EQ", (p << 40) + p) for i in range(6)))
        for p, name in enumerate(numbers("i386"))
    ]
    with pytest.raises(InvalidOption, match="the kernel takes 4096"):
        compile_filter(Action.ERRNO, 1, given_rules, X86)


def test_the_bytes_stay_the_same() -> None:
    """When this fails, raise COMPILER in container/seccomp_kept.py: programs are kept on disk."""
    given_rules = [
        Rule(("read", "write", "openat", "close", "futex"), Action.ALLOW),
        Rule(("socket",), Action.ALLOW, args=(Arg(0, "LT", 12),)),
        Rule(("clone",), Action.ALLOW, args=(Arg(0, "MASKED_EQ", 0x7E020000, 0),)),
    ]
    programs = [compile_filter(Action.ERRNO, 1, given_rules, family) for family in (X86, ARM)]
    assert sha256(b"".join(programs)).hexdigest()[:16] == "d171e6d03f56c1ee"
