"""What the default filter lets through: the profile itself, without a kernel."""

import msgspec
import pytest

from sandcell.runtime.container.seccomp_kept import cache_key, filter_flags
from sandcell.runtime.container.seccomp_profile import (
    compile_profile,
    default_profile,
)
from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.oci.spec_linux import Seccomp, SeccompSyscall

DOCKER_TEXT = """
CAP_CHOWN CAP_DAC_OVERRIDE CAP_FSETID CAP_FOWNER CAP_MKNOD CAP_NET_RAW CAP_SETGID CAP_SETUID CAP_SETFCAP
CAP_SETPCAP CAP_NET_BIND_SERVICE CAP_SYS_CHROOT CAP_KILL CAP_AUDIT_WRITE
"""
DOCKER = DOCKER_TEXT.split()

ORDINARY = """
read write openat openat2 execve fork vfork wait4 futex mmap memfd_create statx renameat2 epoll_wait accept4
chown mknod chroot ptrace process_vm_readv seccomp landlock_restrict_self getrandom rseq close_range
faccessat2 fchmodat2 futex_waitv prctl capset sched_setscheduler adjtimex io_submit copy_file_range
setxattrat mseal name_to_handle_at pidfd_open process_mrelease
"""

BEYOND = """
mount umount2 unshare setns pivot_root swapon swapoff reboot kexec_load kexec_file_load init_module
finit_module delete_module create_module acct settimeofday clock_settime stime bpf perf_event_open
userfaultfd keyctl add_key request_key io_uring_setup io_uring_enter io_uring_register nfsservctl quotactl
syslog sethostname setdomainname iopl ioperm kcmp pidfd_getfd process_madvise vhangup open_by_handle_at
fanotify_init lookup_dcookie mbind set_mempolicy move_pages migrate_pages uselib ustat sysfs _sysctl vm86
vm86old fsopen move_mount open_tree mount_setattr open_tree_attr
"""
KERNEL = (6, 12)

PLAIN = default_profile(DOCKER, KERNEL, "x86_64")


def decide(profile: Seccomp, name: str, *args: int) -> str | int:
    """ALLOW, or the errno."""
    for entry in profile.syscalls:
        if name not in entry.names:
            continue
        for arg in entry.args:
            given = args[arg.index]
            holds = {
                "SCMP_CMP_EQ": given == arg.value,
                "SCMP_CMP_LT": given < arg.value,
                "SCMP_CMP_MASKED_EQ": given & arg.value == arg.value_two,
            }[arg.op]
            if not holds:
                break
        else:
            return "ALLOW" if entry.action == "SCMP_ACT_ALLOW" else entry.errno_ret or 0
    assert profile.default_action == "SCMP_ACT_ERRNO"
    return profile.default_errno_ret or 0


@pytest.mark.parametrize("name", ORDINARY.split())
def test_ordinary_calls_pass(name: str) -> None:
    assert decide(PLAIN, name) == "ALLOW"


@pytest.mark.parametrize("name", BEYOND.split())
def test_what_reaches_beyond_the_container_is_not_permitted(name: str) -> None:
    assert decide(PLAIN, name, 0) == 1


@pytest.mark.parametrize(
    ("capability", "names"),
    [
        ("CAP_SYS_ADMIN", "mount umount2 unshare setns clone3 bpf sethostname fsopen move_mount quotactl"),
        ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
        ("CAP_SYS_MODULE", "init_module finit_module delete_module"),
        ("CAP_SYS_TIME", "settimeofday clock_settime stime clock_settime64"),
        ("CAP_SYS_BOOT", "reboot"),
        ("CAP_SYS_CHROOT", "chroot"),
        ("CAP_SYS_NICE", "mbind set_mempolicy get_mempolicy set_mempolicy_home_node"),
        ("CAP_SYS_PACCT", "acct"),
        ("CAP_SYS_RAWIO", "iopl ioperm"),
        ("CAP_SYS_TTY_CONFIG", "vhangup"),
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
        ("CAP_BPF", "bpf"),
        ("CAP_PERFMON", "perf_event_open"),
        ("CAP_SYSLOG", "syslog"),
    ],
)
def test_a_capability_opens_its_calls(capability: str, names: str) -> None:
    without = default_profile((), KERNEL, "x86_64")
    with_it = default_profile([capability], KERNEL, "x86_64")
    for name in names.split():
        assert decide(without, name, 0) != "ALLOW"
        assert decide(with_it, name, 0) == "ALLOW"


def test_new_namespaces_only_with_the_right_capability() -> None:
    thread, namespaces = 0x003D0F00, [1 << bit for bit in (17, 25, 26, 27, 28, 29, 30)]
    assert decide(PLAIN, "clone", thread) == "ALLOW"
    assert [decide(PLAIN, "clone", thread | flag) for flag in namespaces] == [1] * 7
    powerful = default_profile(["CAP_SYS_ADMIN"], KERNEL, "x86_64")
    assert decide(powerful, "clone", 1 << 28) == "ALLOW"


def test_clone3_is_unknown_so_that_libc_falls_back() -> None:
    assert decide(PLAIN, "clone3") == 38


def test_socket_families() -> None:
    allowed = {family for family in range(64) if decide(PLAIN, "socket", family) == "ALLOW"}
    assert {1, 2, 10, 16, 17} <= allowed  # unix, inet, inet6, netlink, packet
    assert not allowed & {38, 40}  # alg, vsock
    assert max(allowed) == 45


def test_personalities() -> None:
    tried = [*range(0x40), *range(0x20000, 0x20040), 0x40000, 0x80008, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF]
    allowed = {value for value in tried if decide(PLAIN, "personality", value) == "ALLOW"}
    assert allowed == {0, 8, 0x20000, 0x20008, 0xFFFFFFFF}


def test_before_linux_4_8_tracing_needs_its_capability() -> None:
    assert decide(default_profile(DOCKER, (4, 4), "x86_64"), "ptrace") == 1
    assert decide(default_profile(["CAP_SYS_PTRACE"], (4, 4), "x86_64"), "ptrace") == "ALLOW"


def test_each_machine_has_its_own_calls_and_its_other_entries() -> None:
    arm = default_profile(DOCKER, KERNEL, "aarch64")
    assert decide(PLAIN, "arch_prctl") == "ALLOW"
    assert decide(arm, "arch_prctl") == 1
    assert decide(arm, "cacheflush") == "ALLOW"
    assert PLAIN.architectures == ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32")
    assert arm.architectures == ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM")
    with pytest.raises(InvalidOption, match="machine s390x"):
        default_profile(DOCKER, KERNEL, "s390x")


def test_the_order_of_capabilities_does_not_matter() -> None:
    assert default_profile(DOCKER[::-1], KERNEL, "x86_64") == PLAIN


def test_every_name_is_a_call_somewhere() -> None:
    """Names of one machine's profile that none of its tables has are calls of other machines."""
    everywhere = {"recv", "send"}  # not on x86
    assert set(compile_profile(PLAIN, "x86_64").ignored) <= everywhere
    arm = default_profile(DOCKER, KERNEL, "aarch64")
    of_x86 = {"time", "alarm", "utime", "select", "waitpid", "socketcall", "ipc", "uretprobe", "fadvise64_64"}
    of_x86 |= {"set_thread_area", "get_thread_area", "epoll_ctl_old", "epoll_wait_old"}
    assert set(compile_profile(arm, "aarch64").ignored) <= of_x86


def test_the_program_is_small() -> None:
    assert len(compile_profile(PLAIN, "x86_64")) // 8 < 500


def test_cache_keys_tell_programs_apart() -> None:
    other = default_profile([*DOCKER, "CAP_SYS_ADMIN"], KERNEL, "x86_64")
    keys = {cache_key(PLAIN, "x86_64"), cache_key(other, "x86_64"), cache_key(PLAIN, "aarch64")}
    assert len(keys) == 3
    assert cache_key(default_profile(DOCKER, KERNEL, "x86_64"), "x86_64") in keys
    assert all(len(key) == 32 and key.isalnum() for key in keys)


def test_flags() -> None:
    assert filter_flags(PLAIN) == 4  # SPEC_ALLOW
    assert filter_flags(Seccomp(default_action="SCMP_ACT_ALLOW", listener_path="/run/agent")) == 8
    with pytest.raises(InvalidOption, match="no flag SECCOMP_FILTER_FLAG_MAGIC"):
        filter_flags(Seccomp(default_action="SCMP_ACT_ALLOW", flags=("SECCOMP_FILTER_FLAG_MAGIC",)))


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"default_action": "SCMP_ACT_MAYBE"}, "no action SCMP_ACT_MAYBE"),
        ({"architectures": ("SCMP_ARCH_VAX",)}, "no architecture SCMP_ARCH_VAX"),
        ({"syscalls": (SeccompSyscall(names=("read",), action="NO"),)}, "no action NO"),
    ],
)
def test_unknown_words_are_refused(changes: dict[str, object], cause: str) -> None:
    with pytest.raises(InvalidOption, match=cause):
        compile_profile(msgspec.structs.replace(PLAIN, **changes), "x86_64")
