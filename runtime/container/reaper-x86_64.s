# The first process of a container with --init: see reaper.py, which holds these instructions as
# bytes. argv[1] is the pid of the program. It has no data of its own and calls only the kernel.
        .intel_syntax noprefix
        .globl  _start
_start: mov     rbx, [rsp+16]           # argv[1]
        xor     ebp, ebp                # ebp: the program's pid
digit:  movzx   eax, byte ptr [rbx]
        test    al, al
        jz      named
        imul    ebp, ebp, 10
        lea     ebp, [rbp+rax-48]
        inc     rbx
        jmp     digit

named:  lea     rsi, [rip+name]
        mov     edi, 15                 # PR_SET_NAME
        mov     eax, 157                # prctl(2)
        syscall

        push    -1                      # [rsp+8]: every signal
        push    0                       # [rsp]: a status
        xor     edx, edx
        lea     rsi, [rsp+8]
        mov     edi, 2                  # SIG_SETMASK
        mov     r10d, 8
        mov     eax, 14                 # rt_sigprocmask(2)
        syscall

        mov     edi, 3                  # the program waits for the end of a pipe that we hold
        mov     esi, -1
        xor     edx, edx
        mov     eax, 436                # close_range(2)
        syscall

reap:   mov     edi, -1
        mov     rsi, rsp
        mov     edx, 1                  # WNOHANG
        xor     r10d, r10d
        mov     eax, 61                 # wait4(2)
        syscall
        cmp     eax, ebp
        je      ended
        test    eax, eax
        jg      reap

next:   lea     rdi, [rsp+8]
        xor     esi, esi
        xor     edx, edx
        mov     r10d, 8
        mov     eax, 128                # rt_sigtimedwait(2), without a time
        syscall
        cmp     eax, 17                 # SIGCHLD
        je      reap
        test    eax, eax
        jle     next
        mov     esi, eax
        mov     edi, ebp
        mov     eax, 62                 # kill(2)
        syscall
        jmp     next

ended:  mov     eax, [rsp]
        mov     edi, eax
        and     edi, 127                # WTERMSIG
        jnz     killed
        movzx   edi, ah                 # WEXITSTATUS
        jmp     leave
killed: add     edi, 128
leave:  mov     eax, 231                # exit_group(2)
        syscall

name:   .asciz  "init"
