        .section .start, "ax"
        .globl _start
_start: la      sp, stack
        call    main
        li      a1, 0x100000        # main's value is the exit code
        li      a2, 0x5555
        beqz    a0, 1f
        slli    a0, a0, 16
        li      a2, 0x3333
        or      a2, a2, a0
1:      sw      a2, 0(a1)
        j       1b
