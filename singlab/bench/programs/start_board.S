# Start on the board: the lowest 16 MB of RAM mapped to themselves in 4 KB pages, then supervisor mode with Sv39 on.
    .globl _start
_start:
    la   sp, stack_top
    la   t0, root
    la   t1, middle
    srli t2, t1, 12
    slli t2, t2, 10
    ori  t2, t2, 1
    sd   t2, 16(t0)             # third gigabyte: RAM
    la   t3, leaves
    li   t4, 8                  # eight tables of 512 pages
1:  srli t2, t3, 12
    slli t2, t2, 10
    ori  t2, t2, 1
    sd   t2, 0(t1)
    addi t1, t1, 8
    li   t5, 4096
    add  t3, t3, t5
    addi t4, t4, -1
    bnez t4, 1b
    la   t3, leaves
    li   t1, 0x80000000 >> 12
    slli t1, t1, 10
    ori  t1, t1, 0xcf           # V R W X A D
    li   t4, 4096
2:  sd   t1, 0(t3)
    addi t3, t3, 8
    addi t1, t1, 1024
    addi t4, t4, -1
    bnez t4, 2b
    srli t0, t0, 12
    li   t1, 8
    slli t1, t1, 60
    or   t0, t0, t1
    csrw satp, t0
    li   t0, -1                 # the supervisor may reach all of memory
    csrw pmpaddr0, t0
    li   t0, 0x1f
    csrw pmpcfg0, t0
    li   t0, 1 << 11            # MPP = supervisor
    csrw mstatus, t0
    la   t0, 3f
    csrw mepc, t0
    mret
3:  call rounds_done
    la   t0, result
    sd   a0, 0(t0)
    li   t1, 1
    la   t0, tohost
    sd   t1, 0(t0)
4:  j    4b

    .section .tohost, "aw", @progbits
    .balign 4096
    .globl tohost, result
tohost: .dword 0
result: .dword 0
    .bss
    .balign 4096
root:   .space 4096
middle: .space 4096
leaves: .space 8 * 4096
    .space 65536
stack_top:
