// The first process of a container with --init: see reaper.py, which holds these instructions as
// bytes. argv[1] is the pid of the program. It has no data of its own and calls only the kernel.
        .globl  _start
_start: ldr     x20, [sp, 16]           // argv[1]
        mov     w19, 0                  // w19: the program's pid
        mov     w21, 10
digit:  ldrb    w0, [x20], 1
        cbz     w0, named
        sub     w0, w0, 48
        madd    w19, w19, w21, w0
        b       digit

named:  mov     x0, 15                  // PR_SET_NAME
        adr     x1, name
        mov     x8, 167                 // prctl(2)
        svc     0

        mov     x0, -1
        stp     xzr, x0, [sp, -16]!     // [sp]: a status; [sp+8]: every signal
        mov     x0, 2                   // SIG_SETMASK
        add     x1, sp, 8
        mov     x2, 0
        mov     x3, 8
        mov     x8, 135                 // rt_sigprocmask(2)
        svc     0

        mov     x0, 3                   // the program waits for the end of a pipe that we hold
        mov     w1, -1
        mov     x2, 0
        mov     x8, 436                 // close_range(2)
        svc     0

reap:   mov     x0, -1
        mov     x1, sp
        mov     x2, 1                   // WNOHANG
        mov     x3, 0
        mov     x8, 260                 // wait4(2)
        svc     0
        cmp     w0, w19
        b.eq    ended
        cmp     w0, 0
        b.gt    reap

next:   add     x0, sp, 8
        mov     x1, 0
        mov     x2, 0
        mov     x3, 8
        mov     x8, 137                 // rt_sigtimedwait(2), without a time
        svc     0
        cmp     w0, 17                  // SIGCHLD
        b.eq    reap
        cmp     w0, 0
        b.le    next
        mov     w1, w0
        mov     w0, w19
        mov     x8, 129                 // kill(2)
        svc     0
        b       next

ended:  ldr     w1, [sp]
        ands    w0, w1, 127             // WTERMSIG
        b.ne    killed
        ubfx    w0, w1, 8, 8            // WEXITSTATUS
        b       leave
killed: add     w0, w0, 128
leave:  mov     x8, 94                  // exit_group(2)
        svc     0

        .balign 4
name:   .asciz  "init"
