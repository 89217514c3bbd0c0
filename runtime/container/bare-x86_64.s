# A first process without an interpreter: see bare.py, which holds these instructions as bytes.
# It is called as a function of C, begin(clone_args, size, first): clone3(2), which returns here once in
# the caller, and once in the child, who has a stack of its own and plays the calls from `first` on.
#
# rbx: the call that is played, rbp: the slots, which begin where the stack ends.
        .intel_syntax noprefix
        .globl  _start
_start: mov     eax, 435                # clone3(2)
        syscall
        test    rax, rax
        jz      child
        ret

child:  mov     rbx, rdx
        mov     rbp, rsp

play:   lea     rsi, [rbx+8]
        cmp     byte ptr [rbx+5], 0
        jns     plain
        add     rsi, 16                 # first the errors that it expects
plain:  movzx   r8d, word ptr [rbx+2]   # two bits for each operand: what kind it is
        mov     edi, r8d
        shr     edi, 12                 # and how many there are
        xor     ecx, ecx
operand:
        cmp     ecx, edi
        jae     loaded
        mov     rax, [rsi+rcx*8]
        mov     edx, r8d
        shr     r8d, 2
        and     edx, 3
        jz      have                    # 0: a number
        dec     edx
        jz      beside
        dec     edx
        jz      slot
        add     rax, rbp                # 3: an address, counted from the slots
        jmp     have
beside: add     rax, rbx                # 1: an address, counted from this call
        jmp     have
slot:   mov     rax, [rbp+rax*8]        # 2: what a slot holds
have:   mov     [rsp+rcx*8-48], rax
        inc     ecx
        jmp     operand
loaded: mov     rdi, [rsp-48]
        mov     rsi, [rsp-40]
        mov     rdx, [rsp-32]
        mov     r10, [rsp-24]
        mov     r8, [rsp-16]
        mov     r9, [rsp-8]

        movzx   ecx, byte ptr [rbx+5]
        and     ecx, 127
        dec     ecx
        js      kernel
        jz      load
        dec     ecx
        jz      expect
        mov     [rdi], rsi              # 3: store
        xor     eax, eax
        jmp     done
load:   movsxd  rax, dword ptr [rdi]    # 1: load, a negative number being an error
        jmp     done
expect: and     rdi, rsi                # 2: an error unless it is what it shall be
        mov     rax, r10
        neg     rax
        xor     ecx, ecx
        cmp     rdi, rdx
        cmove   rax, rcx
        jmp     done
kernel: movzx   eax, word ptr [rbx]     # 0: a system call
        syscall

done:   cmp     rax, -4095
        jae     failed
        movzx   ecx, byte ptr [rbx+4]
        mov     [rbp+rcx*8], rax
        movzx   ecx, word ptr [rbx+6]
        lea     rbx, [rbx+rcx*8]
        jmp     play

failed: neg     eax
        xor     ecx, ecx
        cmp     byte ptr [rbx+5], 0
        jns     fatal
try:    movzx   edx, word ptr [rbx+rcx*4+8]
        cmp     edx, eax
        je      allowed
        cmp     edx, 0xffff             # any
        je      allowed
        inc     ecx
        cmp     ecx, 3
        jb      try
fatal:  mov     [rbp], rax              # slots 0 and 1: the error, and the call that had it
        mov     [rbp+8], rbx
        mov     edi, 125
        mov     eax, 231                # exit_group(2)
        syscall
allowed:
        movzx   ecx, word ptr [rbx+rcx*4+10]
        lea     rbx, [rbx+rcx*8]
        jmp     play
