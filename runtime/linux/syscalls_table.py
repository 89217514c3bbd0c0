"""Numbers of the system calls of every architecture that a filter here may meet.

Each table is text: a line begins with the number of its first name, the names that follow count on
from there. They were made from the kernel's own headers and are compared with the installed ones by
a test: ``asm/unistd_64.h``, ``unistd_32.h``, ``unistd_x32.h`` of Linux 6.1 for x86, and for the two
ARMs the preprocessor's list of ``#define __NR_…`` over ``asm/unistd.h`` of the same release. Calls
that came later (cachestat and following, up to Linux 6.17) are added by hand: since Linux 5.1 a new
call gets the same number on every architecture, so they stand once, in ``_EVERYWHERE``. To add
some, lengthen that table's last line.

Names are the kernel's (``newfstatat``, ``_newselect``). x32 numbers are given without bit 30, which
marks them in a register (``__X32_SYSCALL_BIT``).
"""

_EVERYWHERE = """
424 pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig
432 fsmount fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2
442 mount_setattr quotactl_fd landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret
448 process_mrelease futex_waitv set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake
455 futex_wait futex_requeue statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal
463 setxattrat getxattrat listxattrat removexattrat open_tree_attr file_getattr file_setattr
"""

_X86_64 = """
0 read write open close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask
15 rt_sigreturn ioctl pread64 pwrite64 readv writev access pipe select sched_yield mremap msync mincore
28 madvise shmget shmat shmctl dup dup2 pause nanosleep getitimer alarm setitimer getpid sendfile socket
42 connect accept sendto recvfrom sendmsg recvmsg shutdown bind listen getsockname getpeername socketpair
54 setsockopt getsockopt clone fork vfork execve exit wait4 kill uname semget semop semctl shmdt msgget
69 msgsnd msgrcv msgctl fcntl flock fsync fdatasync truncate ftruncate getdents getcwd chdir fchdir rename
83 mkdir rmdir creat link unlink symlink readlink chmod fchmod chown fchown lchown umask gettimeofday
97 getrlimit getrusage sysinfo times ptrace getuid syslog getgid setuid setgid geteuid getegid setpgid
110 getppid getpgrp setsid setreuid setregid getgroups setgroups setresuid getresuid setresgid getresgid
121 getpgid setfsuid setfsgid getsid capget capset rt_sigpending rt_sigtimedwait rt_sigqueueinfo
130 rt_sigsuspend sigaltstack utime mknod uselib personality ustat statfs fstatfs sysfs getpriority
141 setpriority sched_setparam sched_getparam sched_setscheduler sched_getscheduler sched_get_priority_max
147 sched_get_priority_min sched_rr_get_interval mlock munlock mlockall munlockall vhangup modify_ldt
155 pivot_root _sysctl prctl arch_prctl adjtimex setrlimit chroot sync acct settimeofday mount umount2
167 swapon swapoff reboot sethostname setdomainname iopl ioperm create_module init_module delete_module
177 get_kernel_syms query_module quotactl nfsservctl getpmsg putpmsg afs_syscall tuxcall security gettid
187 readahead setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
197 removexattr lremovexattr fremovexattr tkill time futex sched_setaffinity sched_getaffinity
205 set_thread_area io_setup io_destroy io_getevents io_submit io_cancel get_thread_area lookup_dcookie
213 epoll_create epoll_ctl_old epoll_wait_old remap_file_pages getdents64 set_tid_address restart_syscall
220 semtimedop fadvise64 timer_create timer_settime timer_gettime timer_getoverrun timer_delete
227 clock_settime clock_gettime clock_getres clock_nanosleep exit_group epoll_wait epoll_ctl tgkill utimes
236 vserver mbind set_mempolicy get_mempolicy mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify
245 mq_getsetattr kexec_load waitid add_key request_key keyctl ioprio_set ioprio_get inotify_init
254 inotify_add_watch inotify_rm_watch migrate_pages openat mkdirat mknodat fchownat futimesat newfstatat
263 unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat pselect6 ppoll unshare set_robust_list
274 get_robust_list splice tee sync_file_range vmsplice move_pages utimensat epoll_pwait signalfd
283 timerfd_create eventfd fallocate timerfd_settime timerfd_gettime accept4 signalfd4 eventfd2
291 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo perf_event_open recvmmsg
300 fanotify_init fanotify_mark prlimit64 name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg
308 setns getcpu process_vm_readv process_vm_writev kcmp finit_module sched_setattr sched_getattr renameat2
317 seccomp getrandom memfd_create kexec_file_load bpf execveat userfaultfd membarrier mlock2
326 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx io_pgetevents rseq uretprobe
"""

_X32_OWN = """
512 rt_sigaction rt_sigreturn ioctl readv writev recvfrom sendmsg recvmsg execve ptrace rt_sigpending
523 rt_sigtimedwait rt_sigqueueinfo sigaltstack timer_create mq_notify kexec_load waitid set_robust_list
531 get_robust_list vmsplice move_pages preadv pwritev rt_tgsigqueueinfo recvmmsg sendmmsg process_vm_readv
540 process_vm_writev setsockopt getsockopt io_setup io_submit execveat preadv2 pwritev2
"""

_I386 = """
0 restart_syscall exit fork read write open close waitpid creat link unlink execve chdir time mknod chmod
16 lchown break oldstat lseek getpid mount umount setuid getuid stime ptrace alarm oldfstat pause utime stty
32 gtty access nice ftime sync kill rename mkdir rmdir dup pipe times prof brk setgid getgid signal geteuid
50 getegid acct umount2 lock ioctl fcntl mpx setpgid ulimit oldolduname umask chroot ustat dup2 getppid
65 getpgrp setsid sigaction sgetmask ssetmask setreuid setregid sigsuspend sigpending sethostname setrlimit
76 getrlimit getrusage gettimeofday settimeofday getgroups setgroups select symlink oldlstat readlink uselib
87 swapon reboot readdir mmap munmap truncate ftruncate fchmod fchown getpriority setpriority profil statfs
100 fstatfs ioperm socketcall syslog setitimer getitimer stat lstat fstat olduname iopl vhangup idle vm86old
114 wait4 swapoff sysinfo ipc fsync sigreturn clone setdomainname uname modify_ldt adjtimex mprotect
126 sigprocmask create_module init_module delete_module get_kernel_syms quotactl getpgid fchdir bdflush
135 sysfs personality afs_syscall setfsuid setfsgid _llseek getdents _newselect flock msync readv writev
147 getsid fdatasync _sysctl mlock munlock mlockall munlockall sched_setparam sched_getparam
156 sched_setscheduler sched_getscheduler sched_yield sched_get_priority_max sched_get_priority_min
161 sched_rr_get_interval nanosleep mremap setresuid getresuid vm86 query_module poll nfsservctl setresgid
171 getresgid prctl rt_sigreturn rt_sigaction rt_sigprocmask rt_sigpending rt_sigtimedwait rt_sigqueueinfo
179 rt_sigsuspend pread64 pwrite64 chown getcwd capget capset sigaltstack sendfile getpmsg putpmsg vfork
191 ugetrlimit mmap2 truncate64 ftruncate64 stat64 lstat64 fstat64 lchown32 getuid32 getgid32 geteuid32
202 getegid32 setreuid32 setregid32 getgroups32 setgroups32 fchown32 setresuid32 getresuid32 setresgid32
211 getresgid32 chown32 setuid32 setgid32 setfsuid32 setfsgid32 pivot_root mincore madvise getdents64
221 fcntl64
224 gettid readahead setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr
234 flistxattr removexattr lremovexattr fremovexattr tkill sendfile64 futex sched_setaffinity
242 sched_getaffinity set_thread_area get_thread_area io_setup io_destroy io_getevents io_submit io_cancel
250 fadvise64
252 exit_group lookup_dcookie epoll_create epoll_ctl epoll_wait remap_file_pages set_tid_address
259 timer_create timer_settime timer_gettime timer_getoverrun timer_delete clock_settime clock_gettime
266 clock_getres clock_nanosleep statfs64 fstatfs64 tgkill utimes fadvise64_64 vserver mbind get_mempolicy
276 set_mempolicy mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr kexec_load waitid
286 add_key request_key keyctl ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch
294 migrate_pages openat mkdirat mknodat fchownat futimesat fstatat64 unlinkat renameat linkat symlinkat
305 readlinkat fchmodat faccessat pselect6 ppoll unshare set_robust_list get_robust_list splice
314 sync_file_range tee vmsplice move_pages getcpu epoll_pwait utimensat signalfd timerfd_create eventfd
324 fallocate timerfd_settime timerfd_gettime signalfd4 eventfd2 epoll_create1 dup3 pipe2 inotify_init1
333 preadv pwritev rt_tgsigqueueinfo perf_event_open recvmmsg fanotify_init fanotify_mark prlimit64
341 name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg setns process_vm_readv
348 process_vm_writev kcmp finit_module sched_setattr sched_getattr renameat2 seccomp getrandom memfd_create
357 bpf execveat socket socketpair bind connect listen accept4 getsockopt setsockopt getsockname getpeername
369 sendto sendmsg recvfrom recvmsg shutdown userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2
380 pkey_mprotect pkey_alloc pkey_free statx arch_prctl io_pgetevents rseq
393 semget semctl shmget shmctl shmat shmdt msgget msgsnd msgrcv msgctl clock_gettime64 clock_settime64
405 clock_adjtime64 clock_getres_time64 clock_nanosleep_time64 timer_gettime64 timer_settime64
410 timerfd_gettime64 timerfd_settime64 utimensat_time64 pselect6_time64 ppoll_time64
416 io_pgetevents_time64 recvmmsg_time64 mq_timedsend_time64 mq_timedreceive_time64 semtimedop_time64
421 rt_sigtimedwait_time64 futex_time64 sched_rr_get_interval_time64
"""

_AARCH64 = """
0 io_setup io_destroy io_submit io_cancel io_getevents setxattr lsetxattr fsetxattr getxattr lgetxattr
10 fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr getcwd lookup_dcookie
19 eventfd2 epoll_create1 epoll_ctl epoll_pwait dup dup3 fcntl inotify_init1 inotify_add_watch
28 inotify_rm_watch ioctl ioprio_set ioprio_get flock mknodat mkdirat unlinkat symlinkat linkat renameat
39 umount2 mount pivot_root nfsservctl statfs fstatfs truncate ftruncate fallocate faccessat chdir fchdir
51 chroot fchmod fchmodat fchownat fchown openat close vhangup pipe2 quotactl getdents64 lseek read write
65 readv writev pread64 pwrite64 preadv pwritev sendfile pselect6 ppoll signalfd4 vmsplice splice tee
78 readlinkat newfstatat fstat sync fsync fdatasync sync_file_range timerfd_create timerfd_settime
87 timerfd_gettime utimensat acct capget capset personality exit exit_group waitid set_tid_address unshare
98 futex set_robust_list get_robust_list nanosleep getitimer setitimer kexec_load init_module delete_module
107 timer_create timer_gettime timer_getoverrun timer_settime timer_delete clock_settime clock_gettime
114 clock_getres clock_nanosleep syslog ptrace sched_setparam sched_setscheduler sched_getscheduler
121 sched_getparam sched_setaffinity sched_getaffinity sched_yield sched_get_priority_max
126 sched_get_priority_min sched_rr_get_interval restart_syscall kill tkill tgkill sigaltstack rt_sigsuspend
134 rt_sigaction rt_sigprocmask rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigreturn setpriority
141 getpriority reboot setregid setgid setreuid setuid setresuid getresuid setresgid getresgid setfsuid
152 setfsgid times setpgid getpgid getsid setsid getgroups setgroups uname sethostname setdomainname
163 getrlimit setrlimit getrusage umask prctl getcpu gettimeofday settimeofday adjtimex getpid getppid
174 getuid geteuid getgid getegid gettid sysinfo mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify
185 mq_getsetattr msgget msgctl msgrcv msgsnd semget semctl semtimedop semop shmget shmctl shmat shmdt
198 socket socketpair bind listen accept connect getsockname getpeername sendto recvfrom setsockopt
209 getsockopt shutdown sendmsg recvmsg readahead brk munmap mremap add_key request_key keyctl clone execve
222 mmap fadvise64 swapon swapoff mprotect msync mlock munlock mlockall munlockall mincore madvise
234 remap_file_pages mbind get_mempolicy set_mempolicy migrate_pages move_pages rt_tgsigqueueinfo
241 perf_event_open accept4 recvmmsg
260 wait4 prlimit64 fanotify_init fanotify_mark name_to_handle_at open_by_handle_at clock_adjtime syncfs
268 setns sendmmsg process_vm_readv process_vm_writev kcmp finit_module sched_setattr sched_getattr
276 renameat2 seccomp getrandom memfd_create bpf execveat userfaultfd membarrier mlock2 copy_file_range
286 preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx io_pgetevents rseq kexec_file_load
"""

_ARM = """
0 restart_syscall exit fork read write open close
8 creat link unlink execve chdir
14 mknod chmod lchown
19 lseek getpid mount
23 setuid getuid
26 ptrace
29 pause
33 access nice
36 sync kill rename mkdir rmdir dup pipe times
45 brk setgid getgid
49 geteuid getegid acct umount2
54 ioctl fcntl
57 setpgid
60 umask chroot ustat dup2 getppid getpgrp setsid sigaction
70 setreuid setregid sigsuspend sigpending sethostname setrlimit
77 getrusage gettimeofday settimeofday getgroups setgroups
83 symlink
85 readlink uselib swapon reboot
91 munmap truncate ftruncate fchmod fchown getpriority setpriority
99 statfs fstatfs
103 syslog setitimer getitimer stat lstat fstat
111 vhangup
114 wait4 swapoff sysinfo
118 fsync sigreturn clone setdomainname uname
124 adjtimex mprotect sigprocmask
128 init_module delete_module
131 quotactl getpgid fchdir bdflush sysfs personality
138 setfsuid setfsgid _llseek getdents _newselect flock msync readv writev getsid fdatasync _sysctl mlock
151 munlock mlockall munlockall sched_setparam sched_getparam sched_setscheduler sched_getscheduler
158 sched_yield sched_get_priority_max sched_get_priority_min sched_rr_get_interval nanosleep mremap
164 setresuid getresuid
168 poll nfsservctl setresgid getresgid prctl rt_sigreturn rt_sigaction rt_sigprocmask rt_sigpending
177 rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend pread64 pwrite64 chown getcwd capget capset sigaltstack
187 sendfile
190 vfork ugetrlimit mmap2 truncate64 ftruncate64 stat64 lstat64 fstat64 lchown32 getuid32 getgid32
201 geteuid32 getegid32 setreuid32 setregid32 getgroups32 setgroups32 fchown32 setresuid32 getresuid32
210 setresgid32 getresgid32 chown32 setuid32 setgid32 setfsuid32 setfsgid32 getdents64 pivot_root mincore
220 madvise fcntl64
224 gettid readahead setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr
234 flistxattr removexattr lremovexattr fremovexattr tkill sendfile64 futex sched_setaffinity
242 sched_getaffinity io_setup io_destroy io_getevents io_submit io_cancel exit_group lookup_dcookie
250 epoll_create epoll_ctl epoll_wait remap_file_pages
256 set_tid_address timer_create timer_settime timer_gettime timer_getoverrun timer_delete clock_settime
263 clock_gettime clock_getres clock_nanosleep statfs64 fstatfs64 tgkill utimes arm_fadvise64_64
271 pciconfig_iobase pciconfig_read pciconfig_write mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify
279 mq_getsetattr waitid socket bind connect listen accept getsockname getpeername socketpair send sendto
291 recv recvfrom shutdown setsockopt getsockopt sendmsg recvmsg semop semget semctl msgsnd msgrcv msgget
304 msgctl shmat shmdt shmget shmctl add_key request_key keyctl semtimedop vserver ioprio_set ioprio_get
316 inotify_init inotify_add_watch inotify_rm_watch mbind get_mempolicy set_mempolicy openat mkdirat mknodat
325 fchownat futimesat fstatat64 unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat pselect6
336 ppoll unshare set_robust_list get_robust_list splice arm_sync_file_range tee vmsplice move_pages getcpu
346 epoll_pwait kexec_load utimensat signalfd timerfd_create eventfd fallocate timerfd_settime
354 timerfd_gettime signalfd4 eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev
363 rt_tgsigqueueinfo perf_event_open recvmmsg accept4 fanotify_init fanotify_mark prlimit64
370 name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg setns process_vm_readv
377 process_vm_writev kcmp finit_module sched_setattr sched_getattr renameat2 seccomp getrandom memfd_create
386 bpf execveat userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc
396 pkey_free statx rseq io_pgetevents migrate_pages kexec_file_load
403 clock_gettime64 clock_settime64 clock_adjtime64 clock_getres_time64 clock_nanosleep_time64
408 timer_gettime64 timer_settime64 timerfd_gettime64 timerfd_settime64 utimensat_time64 pselect6_time64
414 ppoll_time64
416 io_pgetevents_time64 recvmmsg_time64 mq_timedsend_time64 mq_timedreceive_time64 semtimedop_time64
421 rt_sigtimedwait_time64 futex_time64 sched_rr_get_interval_time64
983041 breakpoint cacheflush usr26 usr32 set_tls get_tls
"""

# Calls of x86-64 that x32 has not, beside those to which it gives numbers of their own.
_NOT_X32 = """
uselib _sysctl create_module get_kernel_syms query_module nfsservctl set_thread_area get_thread_area
epoll_ctl_old epoll_wait_old vserver uretprobe
"""

X32_BIT = 0x40000000


def _parse(text: str) -> dict[str, int]:
    table: dict[str, int] = {}
    for line in text.split("\n"):
        first, *names = line.split() or ("0",)
        number = int(first)
        for name in names:
            table[name] = number
            number += 1
    return table


def _x86_64() -> dict[str, int]:
    return _parse(_X86_64) | _parse(_EVERYWHERE)


def _i386() -> dict[str, int]:
    return _parse(_I386) | _parse(_EVERYWHERE)


def _x32() -> dict[str, int]:
    table = _x86_64()
    for name in _NOT_X32.split():
        del table[name]
    return table | _parse(_X32_OWN)


def _aarch64() -> dict[str, int]:
    return _parse(_AARCH64) | _parse(_EVERYWHERE)


def _arm() -> dict[str, int]:
    table = _parse(_ARM) | _parse(_EVERYWHERE)
    del table["memfd_secret"]
    # The same call under the name that other architectures have for it.
    table["sync_file_range2"] = table["arm_sync_file_range"]
    return table


_MAKERS = {"x86_64": _x86_64, "i386": _i386, "x32": _x32, "aarch64": _aarch64, "arm": _arm}
_made: dict[str, dict[str, int]] = {}

ARCHITECTURES = tuple(_MAKERS)


def numbers(architecture: str) -> dict[str, int]:
    """Name → number for one of ``ARCHITECTURES``; ``KeyError`` for another. Do not change it.

    Read once and kept: the first call costs about 0.1 ms.
    """
    table = _made.get(architecture)
    if table is None:
        table = _made[architecture] = _MAKERS[architecture]()
    return table


def newest() -> int:
    """The highest number that is the same everywhere; the kernel may have calls above it that
    this table has never heard of."""
    return max(_parse(_EVERYWHERE).values())
