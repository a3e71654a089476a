"""The entry code of the open personality: traps of every kind, system calls, the switch between processes.

A conventional kernel does not know who made a program's code, so it saves every register at every entry and brings
every one back. The program's number of the call picks one of the pieces of code that stand in a row, one for each
call; what it returns goes into the thread's record, with which the registers come back. Where a call or a fault may
have changed what is mapped, remembered translations are forgotten before anybody runs again, and instructions too if
code may be new.
"""

from __future__ import annotations

from singlab.kernel import layout as at
from singlab.kernel.entry import STUB_BYTES, VECTOR
from singlab.kernel.opencalls import ENOSYS, OPEN_CALLS
from singlab.machine.asm import assemble

_SAVED = [r for r in range(1, 32) if r not in (4, 30)]


def _move(op: str, registers) -> str:
    return "\n".join(f"{op} x{r}, {at.T_CONTEXT + 8 * r}(tp)" for r in registers)


_FENCE = f"la t3, {at.G_FENCE}\nld t4, 0(t3)\nbnez t4, forget"

_SWITCH = f"""
trap:
    csrrw tp, sscratch, tp
{_move("sd", (*_SAVED, 30))}
    csrr t5, sscratch
    sd t5, {at.T_CONTEXT + 8 * 4}(tp)
    csrw sscratch, tp
    csrr t5, sstatus
    sd t5, {at.T_STATUS}(tp)
    csrr t6, sepc
    csrr t5, scause
    addi t4, t5, -8
    beqz t4, call
    sd t6, {at.T_PC}(tp)
    bltz t5, timer
    mv a0, t5
    csrr a1, stval
    hook {at.HOOK_OPEN_FAULT}
    j changed
timer:
    mv a0, t5
    csrr a1, cycle
    hook {at.HOOK_TIMER}
    j out
call:
    addi t6, t6, 4
    sd t6, {at.T_PC}(tp)
    sltiu t5, a7, {len(OPEN_CALLS)}
    beqz t5, unknown
    la t4, {VECTOR}
    slli t5, a7, {STUB_BYTES.bit_length() - 1}
    add t5, t5, t4
    jr t5
unknown:
    li t5, {-ENOSYS}
    sd t5, {at.T_A0}(tp)
    j out
changed:                            # what is mapped may be other than it was
    {_FENCE}
out:
    la t3, {at.G_CURRENT}
    ld t2, 0(t3)
switch_in:                          # tp = thread that stops; t2 = thread to run
    beqz t2, idle
    mv tp, t2
    csrw sscratch, tp
    ld t4, {at.T_PROCESS}(tp)
    ld t4, {at.P_SATP}(t4)
    csrr t5, satp
    bne t4, t5, other
same:
    la t3, {at.G_FRESH}
    ld t4, 0(t3)
    beqz t4, restore
    sd x0, 0(t3)
    ld t4, {at.G_QUANTUM - at.G_FRESH}(t3)
    csrr t5, cycle
    add t4, t4, t5
    csrw stimecmp, t4
restore:
    ld t4, {at.T_PC}(tp)
    csrw sepc, t4
    ld t4, {at.T_STATUS}(tp)
    csrw sstatus, t4
{_move("ld", (*_SAVED, 30))}
    ld tp, {at.T_CONTEXT + 8 * 4}(tp)
    sret
other:
    csrw satp, t4
    j same
forget:
    sd x0, 0(t3)
    sfence.vma
    andi t4, t4, 2
    beqz t4, out
    fence.i
    j out
idle:                               # in the kernel's own page table, for that of a process may go
    la t3, {at.G_SATP}
    ld t4, 0(t3)
    csrw satp, t4
    li t4, -1
    csrw stimecmp, t4
wait:
    wfi
    j wait
service:
"""


def _stub(number: int) -> str:
    """Return the entry of one system call."""
    call = OPEN_CALLS[number]
    result = "" if call.late else f"sd a0, {at.T_A0}(tp)"
    return f"hook {at.HOOK_OPEN + number}\n{result}\nj {'changed' if 'maps' in call.kind else 'out'}"


def open_entry_code() -> tuple[list[tuple[int, bytes]], dict[str, int]]:
    """Return the pieces of entry code with their addresses, and the labels of the switch code."""
    switch = assemble(_SWITCH, at.TEXT_BASE)
    if at.TEXT_BASE + len(switch.code) > VECTOR:
        raise AssertionError("the switch code has grown into the system calls")
    pieces = [(at.TEXT_BASE, switch.code)]
    for number in range(len(OPEN_CALLS)):
        base = VECTOR + number * STUB_BYTES
        pieces.append((base, assemble(_stub(number), base, switch.labels).code))
    return pieces, switch.labels
