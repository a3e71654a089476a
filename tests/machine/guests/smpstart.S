        .section .start, "ax"
        .globl _start
_start: la      sp, stack           # 4 KB of it for each hart
        csrr    t0, mhartid
        slli    t1, t0, 12
        sub     sp, sp, t1
        la      t1, vector
        csrw    mtvec, t1
        bne     a0, t0, wrong       # a0 is the hart's number
        call    main
        li      t0, 0x100000        # only the first hart comes back
        li      t1, 0x5555
        sw      t1, 0(t0)
wrong:  j       wrong
        .align 2
vector: addi    sp, sp, -128
        sd      ra, 0(sp)
        sd      t0, 8(sp)
        sd      t1, 16(sp)
        sd      t2, 24(sp)
        sd      a0, 32(sp)
        sd      a1, 40(sp)
        sd      a2, 48(sp)
        sd      a3, 56(sp)
        sd      a4, 64(sp)
        sd      a5, 72(sp)
        sd      a6, 80(sp)
        sd      a7, 88(sp)
        sd      t3, 96(sp)
        sd      t4, 104(sp)
        sd      t5, 112(sp)
        sd      t6, 120(sp)
        csrr    a0, mcause
        csrr    a1, mhartid
        call    interrupt
        ld      ra, 0(sp)
        ld      t0, 8(sp)
        ld      t1, 16(sp)
        ld      t2, 24(sp)
        ld      a0, 32(sp)
        ld      a1, 40(sp)
        ld      a2, 48(sp)
        ld      a3, 56(sp)
        ld      a4, 64(sp)
        ld      a5, 72(sp)
        ld      a6, 80(sp)
        ld      a7, 88(sp)
        ld      t3, 96(sp)
        ld      t4, 104(sp)
        ld      t5, 112(sp)
        ld      t6, 120(sp)
        addi    sp, sp, 128
        mret
