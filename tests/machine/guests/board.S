# Start on the board, and end by the test finisher with what run() returned.
    .section .text.start
    .globl _start
_start:
    la   sp, stack_top
    la   t0, lost
    csrw mtvec, t0
    call run
    slli a0, a0, 16
    li   t1, 0x3333
    or   a0, a0, t1
    srli t1, a0, 16
    bnez t1, 1f
    li   a0, 0x5555
1:  li   t0, 0x100000
    sw   a0, 0(t0)
2:  j    2b
    .balign 4
lost:
    li   t0, 0x100000
    li   a0, (99 << 16) | 0x3333
    sw   a0, 0(t0)
3:  j    3b
    .bss
    .balign 16
    .space 65536
stack_top:
