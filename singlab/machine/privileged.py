"""Traps, interrupts, and the instructions that only privileged code may use.

Privileged specification: machine, supervisor and user level, with delegation of traps to the supervisor,
direct and vectored handlers, and the stimecmp register (the Sstc extension). The time that timers are
compared with goes on with every cycle.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import profile as _p
from singlab.machine import state as _s
from singlab.machine.csr import (
    MEIP,
    MIE,
    MPIE,
    MPP,
    MPP_SHIFT,
    MPRV,
    MSIP,
    MTIP,
    SEIP,
    SIE,
    SPIE,
    SPP,
    SSIP,
    SSTATUS_BITS,
    STCE,
    TSR,
    TVM,
    TW,
    csr_exists,
    csr_read,
    csr_stored,
    csr_write,
    pending,
    sooner,
)
from singlab.machine.decode import OP
from singlab.machine.jit import jit
from singlab.machine.state import raw_ld16
from singlab.machine.translate import FETCH, NO_ADDRESS, tlb_flush, translate

_W = np.uint64
_0, _1, _2, _3 = _W(0), _W(1), _W(2), _W(3)
PC, MODE, INSTRET, CYCLES, STVEC = _s.PC, _s.MODE, _s.INSTRET, _s.CYCLES, _s.STVEC
SEPC, SCAUSE, STVAL, STATUS, IE, MTIMECMP = _s.SEPC, _s.SCAUSE, _s.STVAL, _s.SSTATUS, _s.SIE, _s.MTIMECMP
MTVEC, MEPC, MCAUSE, MTVAL, MEDELEG, MIDELEG = _s.MTVEC, _s.MEPC, _s.MCAUSE, _s.MTVAL, _s.MEDELEG, _s.MIDELEG
TIMECMP, HOOK_NUMBER, STOP_CYCLE, RESERVATION, MIP = _s.TIMECMP, _s.HOOK_NUMBER, _s.STOP_CYCLE, _s.RESERVATION, _s.MIP
EXTERNAL, CODE_BYTES = _s.EXTERNAL, _s.CODE_BYTES
SATP, RAM_BYTES, MENVCFG, HANDLER = _s.SATP, _s.RAM_BYTES, _s.MENVCFG, _s.HANDLER
RAM_BASE, RAM_OFFSET = _W(_s.RAM_BASE), _W(_s.RAM_OFFSET)
C_TRAPS, C_INTERRUPTS, C_STALL_TRAP = _s.C_TRAPS, _s.C_INTERRUPTS, _s.C_STALL_TRAP
TRAP_CYCLES, RETURN_CYCLES = _p.P_TRAP_CYCLES, _p.P_RETURN_CYCLES

_INTERRUPT = _W(1 << 63)
_ILLEGAL = _W(2)
_SSTATUS_NUMBER, _SSCRATCH_NUMBER = _W(0x100), _W(0x140)
SSCRATCH = _s.SSCRATCH
_VECTOR_BASE = _W(0xFFFF_FFFF_FFFF_FFFC)
_TIMER_S, _TIMER_M = _W(5), _W(7)

O_ECALL, O_EBREAK, O_SRET, O_MRET, O_WFI, O_SFENCE, O_HOOK = (
    _W(OP[n]) for n in ("ecall", "ebreak", "sret", "mret", "wfi", "sfence.vma", "hook")
)  # fmt: skip
O_CSRRW, O_CSRRS, O_CSRRC, O_CSRRWI, O_CSRRSI, O_CSRRCI = (
    _W(OP[n]) for n in ("csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci")
)

#: What :func:`system` tells the hart.
GO_ON, AT_HOOK, AT_WFI = 0, 1, 3


@jit("uint64(uint64, uint64)")
def handler(vector, cause):
    """Return the address of a trap's handler: the base, or for an interrupt its place in the table."""
    base = vector & _VECTOR_BASE
    if vector & _1 != _0 and cause & _INTERRUPT != _0:
        base += (cause & _W(63)) << _2
    return base


@jit("void(uint64[::1], uint64, uint64, uint64)")
def trap(m, cause, value, pc):
    """Take a trap from ``pc``: save where and why, go to the level it belongs to with interrupts off."""
    status, mode = m[STATUS], m[MODE]
    delegated = m[MIDELEG] if cause & _INTERRUPT != _0 else m[MEDELEG]
    if mode != _3 and delegated >> (cause & _W(63)) & _1 != _0:
        m[SEPC], m[SCAUSE], m[STVAL] = pc, cause, value
        after = status & ~(SPP | SPIE | SIE)
        if status & SIE != _0:
            after |= SPIE
        if mode != _0:
            after |= SPP
        m[MODE] = _1
        m[PC] = handler(m[STVEC], cause)
    else:
        m[MEPC], m[MCAUSE], m[MTVAL] = pc, cause, value
        after = status & ~(MPP | MPIE | MIE) | mode << MPP_SHIFT
        if status & MIE != _0:
            after |= MPIE
        m[MODE] = _3
        m[PC] = handler(m[MTVEC], cause)
    m[STATUS] = after
    m[HANDLER] = m[PC] + _1
    if cause & _INTERRUPT != _0:
        m[C_INTERRUPTS] += _1
    else:
        m[C_TRAPS] += _1
    m[C_STALL_TRAP] += m[TRAP_CYCLES]
    m[CYCLES] += m[TRAP_CYCLES]


@jit("uint64(uint64[::1])")
def takeable(m):
    """Return which interrupts the hart would take in its present mode if they were pending."""
    status, mode, delegated = m[STATUS], m[MODE], m[MIDELEG]
    found = _0
    if mode != _3 or status & MIE != _0:
        found |= ~delegated
    if mode == _0 or (mode == _1 and status & SIE != _0):
        found |= delegated
    return found & m[IE]


@jit("boolean(uint64[::1], uint64)")
def lost(m, pc):
    """Whether nothing more can happen where ``pc`` cannot be fetched.

    A trap has come to this handler, the next would come to it again, and no interrupt would be taken. Below the
    machine level with translation something may: another page may appear.
    """
    if m[HANDLER] != pc + _1 or takeable(m) != _0:
        return False
    if m[MODE] == _3:
        return pc == handler(m[MTVEC], _1)
    return m[MODE] == _1 and m[SATP] == _0 and m[MEDELEG] & _2 != _0 and pc == handler(m[STVEC], _1)


@jit("boolean(uint64[::1])")
def take_interrupt(m):
    """Take the most urgent interrupt that is pending and enabled; returns whether there was one."""
    found = pending(m) & takeable(m)
    if found == _0:
        return False
    own = found & ~m[MIDELEG]
    if own != _0:
        found = own
    # most urgent first: external, software, timer; the machine's before the supervisor's
    number = _TIMER_S
    if found & MEIP != _0:
        number = _W(11)
    elif found & MSIP != _0:
        number = _3
    elif found & MTIP != _0:
        number = _TIMER_M
    elif found & SEIP != _0:
        number = _W(9)
    elif found & SSIP != _0:
        number = _1
    trap(m, _INTERRUPT | number, _0, m[PC])
    return True


@jit("uint64(uint64[::1])")
def deadline(m):
    """Return the cycle at which the hart must look up again: its limit, or a timer it would take."""
    at = m[STOP_CYCLE]
    enabled = takeable(m)
    if enabled >> _TIMER_S & _1 != _0 and m[MENVCFG] & STCE != _0:
        at = sooner(m, m[CYCLES], at, m[TIMECMP])
    if enabled >> _TIMER_M & _1 != _0:
        at = sooner(m, m[CYCLES], at, m[MTIMECMP])
    return at


@jit("void(uint64[::1], boolean)")
def come_back(m, machine_level):
    """Return from a trap, as sret or mret does."""
    status = m[STATUS]
    if machine_level:
        mode = status >> MPP_SHIFT & _3
        after = status & ~(MPP | MIE) | MPIE
        if status & MPIE != _0:
            after |= MIE
        m[PC] = m[MEPC]
    else:
        mode = _1 if status & SPP != _0 else _0
        after = status & ~(SPP | SIE) | SPIE
        if status & SPIE != _0:
            after |= SIE
        m[PC] = m[SEPC]
    if mode != _3:
        after &= ~MPRV
    m[MODE] = mode
    m[STATUS] = after
    m[RESERVATION] = _0
    m[C_STALL_TRAP] += m[RETURN_CYCLES]
    m[CYCLES] += m[RETURN_CYCLES]


@jit("uint64(uint64[::1], uint64)")
def halfword(m, pc):
    """Return the two bytes of code at an address, 0 if they cannot be fetched."""
    pa = pc
    if m[SATP] != _0 and m[MODE] != _3:
        pa = translate(m, pc, FETCH)
    if pa == NO_ADDRESS or pa - RAM_BASE > m[RAM_BYTES] - _2:
        return _0
    return raw_ld16(m, pa - RAM_BASE + RAM_OFFSET)


@jit("void(uint64[::1])")
def illegal(m):
    """Trap for an illegal instruction at m[PC], which has been counted; its bits go to mtval or stval."""
    pc = m[PC]
    bits = halfword(m, pc)
    if bits & _3 == _3:
        bits |= halfword(m, pc + _2) << _W(16)
    m[INSTRET] -= _1
    m[C_STALL_TRAP] += _1  # the instruction did not retire, yet its cycle has passed
    trap(m, _ILLEGAL, bits, pc)


@jit("boolean(uint64[::1], uint64)", forceinline=True)
def of_door(m, u):
    """Return whether a csrrsi or csrrci is that by which a supervisor opens or shuts the door to interrupts."""
    return u >> _W(32) == _SSTATUS_NUMBER and m[MODE] == _1 and u >> _W(24) & _W(31) == SIE


@jit("boolean(uint64[::1], uint64)", forceinline=True)
def shuts(m, u):
    """Execute a csrrci by which a supervisor shuts the door to interrupts; returns False, and does nothing, if it is another one."""
    if not of_door(m, u):
        return False
    status = m[STATUS]
    m[STATUS] = status & ~SIE
    m[u >> _W(8) & _W(0x3F)] = status & SSTATUS_BITS | _W(2 << 32)
    return True


@jit("boolean(uint64[::1], uint64)", forceinline=True)
def opens(m, u):
    """Execute a csrrsi by which a supervisor opens the door to interrupts, if none but a timer can be behind it; else returns False."""
    if not of_door(m, u) or (m[MIP] | m[EXTERNAL]) & m[IE] != _0 or m[CODE_BYTES] != _0:
        return False
    status = m[STATUS]
    m[STATUS] = status | SIE
    m[u >> _W(8) & _W(0x3F)] = status & SSTATUS_BITS | _W(2 << 32)
    return True


@jit("boolean(uint64[::1], uint64)", forceinline=True)
def exchanges(m, u):
    """Execute a csrrw of a supervisor's sscratch; returns False, and does nothing, if it is another one."""
    if u >> _W(32) != _SSCRATCH_NUMBER or m[MODE] != _1:
        return False
    value = m[u >> _W(24) & _W(31)]
    m[u >> _W(8) & _W(0x3F)] = m[SSCRATCH]
    m[SSCRATCH] = value
    return True


@jit("int64(uint64[::1], uint64, uint64)")
def system(m, op, u):
    """Execute a system instruction at m[PC], which has been counted; returns GO_ON, AT_HOOK or AT_WFI.

    Sets m[PC] to the next instruction or to the trap handler. A hook leaves it where it is.
    """
    pc = m[PC]
    mode, status = m[MODE], m[STATUS]
    imm = u >> _W(32)
    if op == O_HOOK:
        if mode != _0:
            m[HOOK_NUMBER] = imm
            return AT_HOOK
    elif op == O_ECALL:
        m[INSTRET] -= _1  # neither this nor ebreak retires
        m[C_STALL_TRAP] += _1
        trap(m, _W(8) + mode, _0, pc)
        return GO_ON
    elif op == O_EBREAK:
        m[INSTRET] -= _1
        m[C_STALL_TRAP] += _1
        trap(m, _3, pc, pc)
        return GO_ON
    elif op == O_SRET:
        if mode == _3 or (mode == _1 and status & TSR == _0):
            come_back(m, False)
            return GO_ON
    elif op == O_MRET:
        if mode == _3:
            come_back(m, True)
            return GO_ON
    elif op == O_WFI:
        if mode == _3 or (mode == _1 and status & TW == _0):
            m[PC] = pc + _W(4)
            # a pending interrupt ends the wait whether or not it would be taken
            return GO_ON if pending(m) & m[IE] != _0 else AT_WFI
    elif op == O_SFENCE:
        if mode == _3 or (mode == _1 and status & TVM == _0):
            tlb_flush(m, _0)
            m[PC] = pc + _W(4)
            return GO_ON
    elif op >= O_CSRRW and op <= O_CSRRCI:
        field = u >> _W(24) & _W(31)
        writes = op == O_CSRRW or op == O_CSRRWI or field != _0
        if csr_exists(m, imm, writes):
            old = csr_read(m, imm)
            value = field if op >= O_CSRRWI else m[field]
            if op == O_CSRRS or op == O_CSRRSI:
                value = csr_stored(m, imm, old) | value
            elif op == O_CSRRC or op == O_CSRRCI:
                value = csr_stored(m, imm, old) & ~value
            if writes:
                csr_write(m, imm, value)
            m[u >> _W(8) & _W(0x3F)] = old
            m[PC] = pc + _W(4)
            return GO_ON
    illegal(m)
    return GO_ON
