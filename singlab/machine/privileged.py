"""Traps, control and status registers, and the instructions that only privileged code may use.

Privileged specification, supervisor level: all traps go to the supervisor at stvec (direct mode). The
machine level is only where the hart starts; it has no registers of its own here. Besides the
standard registers there is stimecmp (the Sstc extension), against which the cycle counter is compared.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import profile as _p
from singlab.machine import state as _s
from singlab.machine.decode import OP
from singlab.machine.jit import jit
from singlab.machine.translate import tlb_flush

_W = np.uint64
_0, _1, _2 = _W(0), _W(1), _W(2)
PC, MODE, INSTRET, CYCLES, SATP, STVEC = _s.PC, _s.MODE, _s.INSTRET, _s.CYCLES, _s.SATP, _s.STVEC
SSCRATCH, SEPC, SCAUSE, STVAL, SSTATUS, SIE = _s.SSCRATCH, _s.SEPC, _s.SCAUSE, _s.STVAL, _s.SSTATUS, _s.SIE
TIMECMP, HOOK_NUMBER = _s.TIMECMP, _s.HOOK_NUMBER
C_TRAPS, C_INTERRUPTS, C_STALL_TRAP = _s.C_TRAPS, _s.C_INTERRUPTS, _s.C_STALL_TRAP
TRAP_CYCLES, RETURN_CYCLES = _p.P_TRAP_CYCLES, _p.P_RETURN_CYCLES

SSTATUS_SIE, SSTATUS_SPIE, SSTATUS_SPP = _W(2), _W(0x20), _W(0x100)
SSTATUS_WRITABLE = _W(2 | 0x20 | 0x100 | 1 << 18 | 1 << 19)
_UXL = _W(2 << 32)
STIE = _W(1 << 5)
_INTERRUPT = _W(1 << 63)
_TIMER_CAUSE = _W(1 << 63 | 5)
_ILLEGAL = _W(2)
_ALIGN = _W(0xFFFF_FFFF_FFFF_FFFC)
_EVEN = _W(0xFFFF_FFFF_FFFF_FFFE)
_SATP_MODE = _W(60)

O_ECALL, O_EBREAK, O_SRET, O_WFI, O_SFENCE, O_HOOK = (
    _W(OP[n]) for n in ("ecall", "ebreak", "sret", "wfi", "sfence.vma", "hook")
)  # fmt: skip
O_CSRRW, O_CSRRS, O_CSRRC, O_CSRRWI, O_CSRRSI, O_CSRRCI = (
    _W(OP[n]) for n in ("csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci")
)

#: What :func:`system` tells the hart.
GO_ON, AT_HOOK, AT_WFI = 0, 1, 3


@jit("void(uint64[::1], uint64, uint64, uint64)")
def trap(m, cause, value, pc):
    """Take a trap from ``pc``: save where and why, go to the supervisor with interrupts off."""
    m[SEPC] = pc
    m[SCAUSE] = cause
    m[STVAL] = value
    status = m[SSTATUS] & ~(SSTATUS_SPP | SSTATUS_SPIE | SSTATUS_SIE)
    if m[SSTATUS] & SSTATUS_SIE != _0:
        status |= SSTATUS_SPIE
    if m[MODE] != _0:
        status |= SSTATUS_SPP
    m[SSTATUS] = status
    m[MODE] = _1
    m[PC] = m[STVEC] & _ALIGN
    if cause & _INTERRUPT != _0:
        m[C_INTERRUPTS] += _1
    else:
        m[C_TRAPS] += _1
    m[C_STALL_TRAP] += m[TRAP_CYCLES]
    m[CYCLES] += m[TRAP_CYCLES]


@jit("boolean(uint64[::1])")
def timer_enabled(m):
    """Whether the hart would take a timer interrupt now if it were due."""
    return m[SIE] & STIE != _0 and (m[MODE] == _0 or (m[MODE] == _1 and m[SSTATUS] & SSTATUS_SIE != _0))


@jit("boolean(uint64[::1])")
def take_timer(m):
    """Take the timer interrupt if it is due and enabled; returns whether it was."""
    if m[CYCLES] >= m[TIMECMP] and timer_enabled(m):
        trap(m, _TIMER_CAUSE, _0, m[PC])
        return True
    return False


@jit("uint64(uint64[::1], uint64)")
def csr_index(m, number):
    """Return the state word that holds a CSR as it is, or 0 for those that need care or do not exist."""
    if number == _W(0x140):
        return _W(SSCRATCH)
    if number == _W(0x141):
        return _W(SEPC)
    if number == _W(0x142):
        return _W(SCAUSE)
    if number == _W(0x143):
        return _W(STVAL)
    if number == _W(0x105):
        return _W(STVEC)
    if number == _W(0x14D):
        return _W(TIMECMP)
    if number == _W(0x104):
        return _W(SIE)
    if number == _W(0x180):
        return _W(SATP)
    if number == _W(0x100):
        return _W(SSTATUS)
    if number == _W(0xC00) or number == _W(0xC01):
        return _W(CYCLES)
    if number == _W(0xC02):
        return _W(INSTRET)
    return _0


@jit("void(uint64[::1], uint64, uint64)")
def csr_write(m, index, value):
    """Write a CSR, keeping to the values it may hold."""
    if index == _W(SSTATUS):
        m[index] = value & SSTATUS_WRITABLE
    elif index == _W(SEPC):
        m[index] = value & _EVEN
    elif index == _W(STVEC):
        m[index] = value & _ALIGN
    elif index == _W(SIE):
        m[index] = value & STIE
    elif index == _W(SATP):
        mode = value >> _SATP_MODE
        if mode == _0:
            m[index] = _0
            tlb_flush(m, _1)
        elif mode == _W(8):
            m[index] = value
            tlb_flush(m, _1)
    else:
        m[index] = value


@jit("int64(uint64[::1], uint64, uint64)")
def system(m, op, u):
    """Execute a system instruction at m[PC], which has been counted; returns GO_ON, AT_HOOK or AT_WFI.

    Sets m[PC] to the next instruction or to the trap handler. A hook leaves it where it is.
    """
    pc = m[PC]
    mode = m[MODE]
    imm = u >> _W(32)
    if op == O_HOOK:
        if mode != _0:
            m[HOOK_NUMBER] = imm
            return AT_HOOK
    elif op == O_ECALL:
        trap(m, _W(8) + mode, _0, pc)
        return GO_ON
    elif op == O_EBREAK:
        trap(m, _W(3), pc, pc)
        return GO_ON
    elif op == O_SRET:
        if mode != _0:
            status = m[SSTATUS]
            m[MODE] = _1 if status & SSTATUS_SPP != _0 else _0
            after = status & ~(SSTATUS_SPP | SSTATUS_SIE)
            if status & SSTATUS_SPIE != _0:
                after |= SSTATUS_SIE
            m[SSTATUS] = after | SSTATUS_SPIE
            m[PC] = m[SEPC]
            m[C_STALL_TRAP] += m[RETURN_CYCLES]
            m[CYCLES] += m[RETURN_CYCLES]
            return GO_ON
    elif op == O_WFI:
        if mode != _0:
            m[PC] = pc + _W(4)
            # a pending interrupt ends the wait whether or not it is enabled
            if m[SIE] & STIE != _0 and m[CYCLES] >= m[TIMECMP]:
                return GO_ON
            return AT_WFI
    elif op == O_SFENCE:
        if mode != _0:
            tlb_flush(m, _0)
            m[PC] = pc + _W(4)
            return GO_ON
    elif op >= O_CSRRW and op <= O_CSRRCI:
        index = csr_index(m, imm)
        field = u >> _W(24) & _W(31)
        writes = op == O_CSRRW or op == O_CSRRWI or field != _0
        level = imm >> _W(8) & _W(3)
        if index != _0 and mode >= level and not (writes and imm >> _W(10) == _W(3)):
            old = m[index]
            if index == _W(SSTATUS):
                old |= _UXL
            value = field if op >= O_CSRRWI else m[field]
            if op == O_CSRRS or op == O_CSRRSI:
                value = old | value
            elif op == O_CSRRC or op == O_CSRRCI:
                value = old & ~value
            if writes:
                csr_write(m, index, value)
            m[u >> _W(8) & _W(0xFF)] = old
            m[PC] = pc + _W(4)
            return GO_ON
    m[INSTRET] -= _1
    m[C_STALL_TRAP] += _1  # the instruction did not retire, yet its cycle has passed
    trap(m, _ILLEGAL, _0, pc)
    return GO_ON
