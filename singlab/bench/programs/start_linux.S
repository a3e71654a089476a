# Start as a Linux user program, for the peer: print the result's bytes and exit.
    .globl _start
_start:
    call rounds_done
    addi sp, sp, -16
    sd   a0, 0(sp)
    li   a0, 1
    mv   a1, sp
    li   a2, 8
    li   a7, 64                 # write
    ecall
    li   a0, 0
    li   a7, 93                 # exit
    ecall
