// A first process without an interpreter: see bare.py, which holds these instructions as bytes.
// It is called as a function of C, begin(clone_args, size, first): clone3(2), which returns here once in
// the caller, and once in the child, who has a stack of its own and plays the calls from `first` on.
//
// x19: the call that is played, x20: the slots, which begin where the stack ends.
        .globl  _start
_start: mov     x8, 435                 // clone3(2)
        svc     0
        cbz     x0, child
        ret

child:  mov     x19, x2
        mov     x20, sp

play:   add     x12, x19, 8
        ldrb    w9, [x19, 5]
        tbz     w9, 7, plain
        add     x12, x12, 16            // first the errors that it expects
plain:  ldrh    w9, [x19, 2]            // two bits for each operand: what kind it is
        lsr     w15, w9, 12             // and how many there are
        mov     x10, 0
        sub     x11, x20, 48
operand:
        cmp     x10, x15
        b.hs    loaded
        ldr     x13, [x12, x10, lsl 3]
        and     w14, w9, 3
        lsr     w9, w9, 2
        cbz     w14, have               // 0: a number
        cmp     w14, 2
        b.lo    beside
        b.eq    slot
        add     x13, x13, x20           // 3: an address, counted from the slots
        b       have
beside: add     x13, x13, x19           // 1: an address, counted from this call
        b       have
slot:   ldr     x13, [x20, x13, lsl 3]  // 2: what a slot holds
have:   str     x13, [x11, x10, lsl 3]
        add     x10, x10, 1
        b       operand
loaded: ldp     x0, x1, [x11]
        ldp     x2, x3, [x11, 16]
        ldp     x4, x5, [x11, 32]

        ldrb    w9, [x19, 5]
        and     w9, w9, 127
        cbz     w9, kernel
        cmp     w9, 2
        b.lo    load
        b.eq    expect
        str     x1, [x0]                // 3: store
        mov     x0, 0
        b       done
load:   ldrsw   x0, [x0]                // 1: load, a negative number being an error
        b       done
expect: and     x0, x0, x1              // 2: an error unless it is what it shall be
        neg     x3, x3
        cmp     x0, x2
        csel    x0, xzr, x3, eq
        b       done
kernel: ldrh    w8, [x19]               // 0: a system call
        svc     0

done:   cmn     x0, 4095
        b.hs    failed
        ldrb    w9, [x19, 4]
        str     x0, [x20, x9, lsl 3]
        ldrh    w9, [x19, 6]
        add     x19, x19, x9, lsl 3
        b       play

failed: neg     x0, x0
        add     x10, x19, 8
        add     x11, x19, 20
        mov     w13, 0xffff
        ldrb    w9, [x19, 5]
        tbz     w9, 7, fatal
try:    ldrh    w9, [x10]
        ldrh    w12, [x10, 2]
        cmp     w9, w0
        b.eq    allowed
        cmp     w9, w13                 // any
        b.eq    allowed
        add     x10, x10, 4
        cmp     x10, x11
        b.lo    try
fatal:  stp     x0, x19, [x20]          // slots 0 and 1: the error, and the call that had it
        mov     x0, 125
        mov     x8, 94                  // exit_group(2)
        svc     0
allowed:
        add     x19, x19, x12, lsl 3
        b       play
