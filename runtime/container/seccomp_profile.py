"""The default system call filter, and the way from a runtime-spec filter to a program.

The policy is the one that users of Docker know: what ordinary programs need is allowed by name,
what reaches beyond the container is allowed only with the capability that stands for it, and the
rest answers EPERM. Differences are meant to be none; the list follows Docker's documentation
("Seccomp security profiles") as of 2025, io_uring and the kernel's crypto sockets refused.
"""

from collections.abc import Iterable

from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.linux.seccomp import Action, Arg, Program, Rule, compile_filter
from sandcell.runtime.oci.spec_linux import Seccomp, SeccompArg, SeccompSyscall

EPERM, ENOSYS = 1, 38

_FILES = """
open openat openat2 creat close close_range read write readv writev pread64 pwrite64 preadv pwritev preadv2
pwritev2 lseek _llseek dup dup2 dup3 pipe pipe2 fcntl fcntl64 ioctl flock fsync fdatasync sync syncfs
sync_file_range truncate truncate64 ftruncate ftruncate64 fallocate fadvise64 fadvise64_64 readahead
copy_file_range sendfile sendfile64 splice tee vmsplice io_setup io_destroy io_submit io_cancel io_getevents
io_pgetevents io_pgetevents_time64
"""

_TREE = """
mkdir mkdirat rmdir link linkat symlink symlinkat readlink readlinkat unlink unlinkat rename renameat
renameat2 mknod mknodat chdir fchdir getcwd getdents getdents64 umask name_to_handle_at
stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat statx statfs statfs64 fstatfs fstatfs64
statmount listmount access faccessat faccessat2 chmod fchmod fchmodat fchmodat2 chown chown32 lchown lchown32
fchown fchown32 fchownat utime utimes futimesat utimensat utimensat_time64
setxattr lsetxattr fsetxattr setxattrat getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr
flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat
inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark
"""

_MEMORY = """
brk mmap mmap2 munmap mremap mprotect msync madvise mincore mlock mlock2 mlockall munlock munlockall mseal
remap_file_pages map_shadow_stack memfd_create memfd_secret cachestat membarrier pkey_alloc pkey_free
pkey_mprotect process_mrelease
"""

_PROCESSES = """
fork vfork execve execveat exit exit_group wait4 waitid waitpid getpid getppid gettid getpgid setpgid getpgrp
getsid setsid pidfd_open pidfd_send_signal prctl set_tid_address set_robust_list get_robust_list rseq
restart_syscall set_thread_area get_thread_area seccomp landlock_create_ruleset landlock_add_rule
landlock_restrict_self uretprobe
futex futex_time64 futex_waitv futex_wait futex_wake futex_requeue
kill tkill tgkill pause rt_sigaction rt_sigprocmask rt_sigpending rt_sigqueueinfo rt_tgsigqueueinfo
rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 sigaltstack sigprocmask sigreturn signalfd
signalfd4
sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam
sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval
sched_rr_get_interval_time64 getpriority setpriority ioprio_get ioprio_set getcpu
"""

_IDENTITY = """
getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 getresgid
getresgid32 getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32
setresuid setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32
capget capset getrlimit ugetrlimit setrlimit prlimit64 getrusage times sysinfo uname getrandom
"""

_TIME = """
time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 nanosleep clock_nanosleep
clock_nanosleep_time64 adjtimex clock_adjtime clock_adjtime64 alarm getitimer setitimer timer_create
timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
"""

# socketcall is the i386 way to all of these; it hides its arguments from a filter.
_TALK = """
socketpair socketcall bind listen accept accept4 connect shutdown getsockname getpeername getsockopt
setsockopt send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64
poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_create epoll_create1 epoll_ctl
epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2
ipc semget semctl semop semtimedop semtimedop_time64 shmget shmat shmdt shmctl msgget msgsnd msgrcv msgctl
mq_open mq_unlink mq_timedsend mq_timedsend_time64 mq_timedreceive mq_timedreceive_time64 mq_notify
mq_getsetattr
"""

_X86 = "arch_prctl modify_ldt"
_ARM = "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls"

_LOOK_INTO_OTHERS = " ptrace process_vm_readv process_vm_writev"

# What each capability opens. The kernel still checks the capability itself.
_WITH = {
    "CAP_SYS_ADMIN": """
        mount umount umount2 mount_setattr move_mount open_tree fsopen fsconfig fsmount fspick
        clone clone3 unshare setns sethostname setdomainname bpf perf_event_open syslog fanotify_init
        quotactl quotactl_fd lookup_dcookie lsm_get_self_attr lsm_set_self_attr lsm_list_modules
    """,
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise" + _LOOK_INTO_OTHERS,
    "CAP_SYS_MODULE": "init_module finit_module delete_module",
    "CAP_SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}

# CLONE_NEW… of mount, cgroup, uts, ipc, user, pid and network namespaces. clone(2)
_NEW_NAMESPACES = 0x7E020000

# PER_LINUX, PER_LINUX32, each also with UNAME26, and the question for the current one. personality(2)
_PERSONALITIES = (0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

# address_families(7): below 12 all, of the others those that a container may want. Left out are
# families that no kernel has any more, AF_ALG (38: large attack surface) and AF_VSOCK (40: it
# reaches the virtual machine's host and knows no namespaces).
_FAMILIES = (*range(13, 19), 21, 22, 24, *range(26, 34), 35, 36, 39, *range(41, 46))

_ARCHITECTURES = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "aarch64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
}

TABLE_OF = {
    "SCMP_ARCH_X86_64": "x86_64",
    "SCMP_ARCH_X86": "i386",
    "SCMP_ARCH_X32": "x32",
    "SCMP_ARCH_AARCH64": "aarch64",
    "SCMP_ARCH_ARM": "arm",
}

_OTHERS = """
MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X PARISC PARISC64 RISCV64
LOONGARCH64 M68K SH SHEB
"""
_ELSEWHERE = frozenset(_OTHERS.split())

ACTIONS = {
    "SCMP_ACT_KILL": Action.KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": Action.KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": Action.KILL_PROCESS,
    "SCMP_ACT_TRAP": Action.TRAP,
    "SCMP_ACT_ERRNO": Action.ERRNO,
    "SCMP_ACT_TRACE": Action.TRACE,
    "SCMP_ACT_ALLOW": Action.ALLOW,
    "SCMP_ACT_LOG": Action.LOG,
    "SCMP_ACT_NOTIFY": Action.USER_NOTIF,
}


# TIOCSTI and TIOCLINUX put words into the mouth of who sits at the terminal. ioctl_tty(2)
_PUSHING = (0x5412, 0x541C)


def default_profile(capabilities: Iterable[str], kernel: tuple[int, int], machine: str) -> Seccomp:
    """The filter for a container that may hold ``capabilities`` (its bounding set, ``CAP_…`` names).

    ``kernel``: version running, as (6, 12); before 4.8 ptrace could slip past a filter and needs
    CAP_SYS_PTRACE. ``machine``: as uname(2) tells it; ``InvalidOption`` for one without a table.
    """
    if machine not in _ARCHITECTURES:
        raise InvalidOption(
            "filter", "system calls", f"no table for machine {machine}", "use x86_64 or aarch64"
        )
    held = frozenset(capabilities)
    names = _FILES + _TREE + _MEMORY + _PROCESSES + _IDENTITY + _TIME + _TALK
    names += _X86 if machine == "x86_64" else _ARM
    names += _LOOK_INTO_OTHERS if kernel >= (4, 8) else ""
    for capability, opened in _WITH.items():
        if capability in held:
            names += " " + opened
    rules = [] if "CAP_SYS_ADMIN" in held else [_refuse_ioctl(number) for number in _PUSHING]
    rules.append(_allow(*dict.fromkeys(names.split())))
    rules.append(_allow("socket", arg=SeccompArg(index=0, value=12, op="SCMP_CMP_LT")))
    rules += [_allow("socket", arg=_equal(family)) for family in _FAMILIES]
    rules += [_allow("personality", arg=_equal(value)) for value in _PERSONALITIES]
    if "CAP_SYS_ADMIN" not in held:
        rules.append(_allow("clone", arg=SeccompArg(index=0, value=_NEW_NAMESPACES, op="SCMP_CMP_MASKED_EQ")))
        # Its flags stand in memory, where a filter cannot look: libc then uses clone.
        rules.append(SeccompSyscall(names=("clone3",), action="SCMP_ACT_ERRNO", errno_ret=ENOSYS))
    return Seccomp(
        default_action="SCMP_ACT_ERRNO",
        default_errno_ret=EPERM,
        architectures=_ARCHITECTURES[machine],
        # A filter need not slow speculation down; kernels before 5.16 do so unless told.
        flags=("SECCOMP_FILTER_FLAG_SPEC_ALLOW",),
        syscalls=tuple(rules),
    )


def compile_profile(profile: Seccomp, machine: str) -> Program:
    """The program of a runtime-spec filter: for ``machine``, and for those of its other architectures
    whose programs ``machine`` can run.

    Of several entries for one call the first whose conditions hold decides, and all conditions of
    an entry must hold. Names that no table knows are in ``.ignored``. ``InvalidOption`` for an
    action, comparison or architecture that the spec or this machine does not have.
    """
    rules = [
        Rule(entry.names, _action(entry.action), _errno(entry.errno_ret), tuple(map(_arg, entry.args)))
        for entry in profile.syscalls
    ]
    architectures = [machine, *filter(None, map(_table, profile.architectures))]
    default = _action(profile.default_action)
    return compile_filter(default, _errno(profile.default_errno_ret), rules, architectures)


def _allow(*names: str, arg: SeccompArg | None = None) -> SeccompSyscall:
    return SeccompSyscall(names=names, action="SCMP_ACT_ALLOW", args=(arg,) if arg else ())


def _refuse_ioctl(number: int) -> SeccompSyscall:
    # The kernel looks at the lower half of the number alone.
    arg = SeccompArg(index=1, value=0xFFFFFFFF, value_two=number, op="SCMP_CMP_MASKED_EQ")
    return SeccompSyscall(names=("ioctl",), action="SCMP_ACT_ERRNO", errno_ret=EPERM, args=(arg,))


def _equal(value: int) -> SeccompArg:
    return SeccompArg(index=0, value=value, op="SCMP_CMP_EQ")


def _action(name: str) -> Action:
    action = ACTIONS.get(name)
    if action is None:
        raise _unknown("action", name)
    return action


def _table(name: str) -> str:
    """Empty for a machine whose programs run on none that we run on: no call comes from it."""
    table = TABLE_OF.get(name, "")
    if not table and name.removeprefix("SCMP_ARCH_") not in _ELSEWHERE:
        raise _unknown("architecture", name)
    return table


def _arg(arg: SeccompArg) -> Arg:
    return Arg(arg.index, arg.op.removeprefix("SCMP_CMP_"), arg.value, arg.value_two)


def _errno(number: int | None) -> int:
    return EPERM if number is None else number


def _unknown(kind: str, name: str) -> InvalidOption:
    return InvalidOption(
        "filter", "system calls", f"there is no {kind} {name}", "see config-linux.md, section Seccomp"
    )
