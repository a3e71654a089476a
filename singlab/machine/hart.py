"""The hart: the interpreter of decoded instructions, with full timing.

Unprivileged specification, RV64IMAC. One cycle an instruction; stalls as the profile says, each counted
under its cause, so that CYCLES is always INSTRET plus the stalls. pc and the instructions since the
last book-keeping are locals; the fetch is looked at once a line. Interrupts and limits are looked at
where control may leave a line: on each new line and each jump.

Leaves out floating point, and more than one hart.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import profile as _p
from singlab.machine import state as _s
from singlab.machine.atomic import atomic
from singlab.machine.caches import l1d, l1i
from singlab.machine.decode import OP
from singlab.machine.devices import is_device, mmio_read, mmio_write
from singlab.machine.fetch import fetch, forget
from singlab.machine.jit import jit
from singlab.machine.muldiv import muldiv
from singlab.machine.privileged import AT_HOOK, AT_WFI, deadline, system, take_interrupt, trap
from singlab.machine.state import raw_ld8, raw_ld16, raw_ld32, raw_ld64, raw_st8, raw_st16, raw_st32, raw_st64
from singlab.machine.translate import FETCH, LOAD, NO_ADDRESS, STORE, translate

#: Why :func:`hart_run` returned.
STOP_LIMIT, STOP_HOOK, STOP_WFI = 0, 1, 3
STOP_DEVICE = 4  #: a device wants the host: its queue is full, or the guest has ended
STOP_LOST = 5  #: a trap whose handler lies outside memory: nothing more can happen

_W = np.uint64
_I = np.int64
_0, _1, _2, _3, _4, _6, _8, _12, _13, _16, _24, _32 = (_W(v) for v in (0, 1, 2, 3, 4, 6, 8, 12, 13, 16, 24, 32))
_FULL = _W(0xFFFF_FFFF_FFFF_FFFF)
_EVEN = _W(0xFFFF_FFFF_FFFF_FFFE)
_FF, _MASK32, _31, _63 = _W(0xFF), _W(0xFFFF_FFFF), _W(31), _W(63)
_SIGN32 = _I(32)
PC, MODE, INSTRET, CYCLES, SATP, STOP_CYCLE = _s.PC, _s.MODE, _s.INSTRET, _s.CYCLES, _s.SATP, _s.STOP_CYCLE
SSTATUS, SIE, MIP, MTIMECMP, EXTERNAL = _s.SSTATUS, _s.SIE, _s.MIP, _s.MTIMECMP, _s.EXTERNAL
MMIO_ADDRESS, TOHOST, MEMORY_CYCLES = _s.MMIO_ADDRESS, _s.TOHOST, _p.P_MEMORY_CYCLES
_MPRV = _W(1 << 17)
TIMECMP, RAM_BYTES, FAULT_CAUSE, STOP = _s.TIMECMP, _s.RAM_BYTES, _s.FAULT_CAUSE, _s.STOP
RAM_BASE, RAM_OFFSET = _W(_s.RAM_BASE), _W(_s.RAM_OFFSET)
C_STALL_FETCH, C_STALL_LOAD, C_STALL_STORE = _s.C_STALL_FETCH, _s.C_STALL_LOAD, _s.C_STALL_STORE
C_STALL_BRANCH, C_STALL_MULDIV, C_TAKEN = _s.C_STALL_BRANCH, _s.C_STALL_MULDIV, _s.C_BRANCHES_TAKEN
BRANCH_CYCLES = _p.P_BRANCH_CYCLES

_LAST_LOAD, _LAST_STORE, _LAST_BRANCH = _W(OP["lwu"]), _W(OP["sd"]), _W(OP["bgeu"])
_FIRST_SC, _LAST_LR, _LAST_ATOMIC = _W(OP["sc.w"]), _W(OP["lr.d"]), _W(OP["amomaxu.d"])
_LR_D, _SC_D, _FIRST_AMO_D = _W(OP["lr.d"]), _W(OP["sc.d"]), _W(OP["amoswap.d"])
_FIRST_MULDIV, _LAST_MULDIV = _W(OP["mul"]), _W(OP["remuw"])
(LB, LH, LW, LD, LBU, LHU, SB, SH, SW, BEQ, BNE, BLT, BGE, BLTU, BGEU, JAL, JALR, ADDI, SLTI, SLTIU, XORI, ORI, ANDI,
 SLLI, SRLI, SRAI, ADDIW, SLLIW, SRLIW, SRAIW, ADD, SUB, SLL, SLT, SLTU, XOR, SRL, SRA, OR, AND, ADDW, SUBW, SLLW,
 SRLW, SRAW, LUI, AUIPC, FENCE, FENCEI) = (
    _W(OP[n]) for n in (
        "lb", "lh", "lw", "ld", "lbu", "lhu", "sb", "sh", "sw", "beq", "bne", "blt", "bge", "bltu", "bgeu", "jal",
        "jalr", "addi", "slti", "sltiu", "xori", "ori", "andi", "slli", "srli", "srai", "addiw", "slliw", "srliw",
        "sraiw", "add", "sub", "sll", "slt", "sltu", "xor", "srl", "sra", "or", "and", "addw", "subw", "sllw", "srlw",
        "sraw", "lui", "auipc", "fence", "fence.i",
    )
)  # fmt: skip


@jit("uint64(uint64)", forceinline=True)
def sext32(value):
    """Sign-extend the low 32 bits."""
    return _W(_I(np.int32(np.uint32(value & _MASK32))))


@jit("uint64(uint64[::1], uint64, uint64, uint64)")
def data_address(m, va, width, kind):
    """Return the state's byte offset of a load or store, charging it.

    0 if it traps (cause set), 1 if it goes to a device (address set); a device takes as long as memory.
    """
    pa = va
    if m[SATP] != _0 and (m[MODE] != _3 or m[SSTATUS] & _MPRV != _0):
        pa = translate(m, va, kind)
        if pa == NO_ADDRESS:
            return _0
        # an access that crosses into the next page needs that page too
        if (va & _W(0xFFF)) + width > _W(4096):
            other = translate(m, va + width - _1, kind)
            if other == NO_ADDRESS:
                return _0
            if other != pa + width - _1:
                m[FAULT_CAUSE] = _6 if kind == STORE else _4
                return _0
    at = pa - RAM_BASE
    if at > m[RAM_BYTES] - width:
        if is_device(pa) and pa & (width - _1) == _0:
            m[MMIO_ADDRESS] = pa
            m[C_STALL_STORE if kind == STORE else C_STALL_LOAD] += m[MEMORY_CYCLES]
            m[CYCLES] += m[MEMORY_CYCLES]
            return _1
        m[FAULT_CAUSE] = _W(7) if kind == STORE else _W(5)
        return _0
    stall = l1d(m, pa, kind)
    if stall != _0:
        m[CYCLES] += stall
        if kind == STORE:
            m[C_STALL_STORE] += stall
        else:
            m[C_STALL_LOAD] += stall
    return at + RAM_OFFSET


@jit("uint64(uint64, uint64)")
def extended(op, value):
    """Return a loaded value as the load's width and sign have it."""
    if op == LB:
        return _W(_I(np.int8(np.uint8(value & _FF))))
    if op == LBU:
        return value & _FF
    if op == LH:
        return _W(_I(np.int16(np.uint16(value & _W(0xFFFF)))))
    if op == LHU:
        return value & _W(0xFFFF)
    if op == LW:
        return sext32(value)
    return value if op == LD else value & _MASK32


@jit("int64(uint64[::1], uint64[::1])")
def hart_run(m, uops):
    """Run until the limit, a hook, or nothing to wait for; see the STOP constants.

    Parameters
    ----------
    m : ndarray of uint64
        The computer.
    uops : ndarray of uint64
        Decoded instructions (:mod:`singlab.machine.fetch`).
    """
    pc = m[PC]
    n = _0  # instructions since the books were last brought up to date
    line = _FULL
    base = _0  # slot of a micro-operation is pc/2 + base
    while True:
        # ---- a new line, a jump, or the start: look at limits, interrupts and the fetch ----------------
        m[INSTRET] += n
        m[CYCLES] += n
        n = _0
        m[PC] = pc
        if m[CYCLES] >= m[STOP_CYCLE]:
            return STOP_LIMIT
        if (m[CYCLES] >= m[TIMECMP] or (m[MIP] | m[EXTERNAL]) & m[SIE] != _0 or m[CYCLES] >= m[MTIMECMP]) and take_interrupt(m):
            pc = m[PC]
        until = deadline(m)
        pa = pc
        if m[SATP] != _0 and m[MODE] != _3:
            pa = translate(m, pc, FETCH)
        if pa == NO_ADDRESS or pa - RAM_BASE > m[RAM_BYTES] - _2:
            trap(m, _12 if pa == NO_ADDRESS else _1, pc, pc)
            pc = m[PC]
            if pc - RAM_BASE > m[RAM_BYTES] - _2 and (m[SATP] == _0 or m[MODE] == _3):
                return STOP_LOST
            continue
        stall = l1i(m, pa)
        if stall != _0:
            m[C_STALL_FETCH] += stall
            m[CYCLES] += stall
        line = pc >> _6
        base = ((pa - RAM_BASE) >> _1) - (pc >> _1)
        while True:
            u = uops[(pc >> _1) + base]
            if u == _0:
                m[PC] = pc
                u = fetch(m, uops, pc, (pc >> _1) + base)
                if u == _0:
                    m[INSTRET] += n
                    m[CYCLES] += n
                    n = _0
                    trap(m, m[FAULT_CAUSE], pc + _2, pc)
                    pc = m[PC]
                    break
            op = u & _FF
            rd = u >> _8 & _63
            step = _4 - (u >> _13 & _2)
            a = m[u >> _16 & _FF]
            imm = _W(_I(u) >> _SIGN32)
            n += _1
            if op <= _LAST_LOAD:
                va = a + imm
                width = _8
                if op == LW or op > LHU:
                    width = _4
                elif op == LB or op == LBU:
                    width = _1
                elif op == LH or op == LHU:
                    width = _2
                at = data_address(m, va, width, LOAD)
                if at == _0:
                    m[INSTRET] += n - _1
                    m[CYCLES] += n
                    m[_s.C_STALL_TRAP] += _1
                    n = _0
                    trap(m, m[FAULT_CAUSE], va, pc)
                    pc = m[PC]
                    break
                if at == _1:
                    # other registers of the device may follow from this one, so the books must be up to date
                    m[INSTRET] += n
                    m[CYCLES] += n
                    n = _0
                    m[rd] = extended(op, mmio_read(m, m[MMIO_ADDRESS], width))
                    pc += step
                    break
                if op == LD:
                    value = raw_ld64(m, at)
                elif op == LBU:
                    value = raw_ld8(m, at)
                elif op == LW:
                    value = sext32(raw_ld32(m, at))
                elif op == LB:
                    value = _W(_I(np.int8(np.uint8(raw_ld8(m, at)))))
                elif op == LH:
                    value = _W(_I(np.int16(np.uint16(raw_ld16(m, at)))))
                elif op == LHU:
                    value = raw_ld16(m, at)
                else:
                    value = raw_ld32(m, at)
                m[rd] = value
                pc += step
            elif op <= _LAST_STORE:
                va = a + imm
                b = m[u >> _24 & _FF]
                width = _8
                if op == SB:
                    width = _1
                elif op == SH:
                    width = _2
                elif op == SW:
                    width = _4
                at = data_address(m, va, width, STORE)
                if at == _0:
                    m[INSTRET] += n - _1
                    m[CYCLES] += n
                    m[_s.C_STALL_TRAP] += _1
                    n = _0
                    trap(m, m[FAULT_CAUSE], va, pc)
                    pc = m[PC]
                    break
                if at == _1:
                    m[INSTRET] += n
                    m[CYCLES] += n
                    n = _0
                    mmio_write(m, m[MMIO_ADDRESS], width, b)
                    pc += step
                    if m[STOP] != _0:
                        m[PC] = pc
                        return STOP_DEVICE
                    break
                if width == _8:
                    raw_st64(m, at, b)
                elif width == _1:
                    raw_st8(m, at, b)
                elif width == _4:
                    raw_st32(m, at, b)
                else:
                    raw_st16(m, at, b)
                pc += step
                if at == m[TOHOST]:
                    m[INSTRET] += n
                    m[CYCLES] += n
                    m[PC] = pc
                    m[STOP] = _1
                    return STOP_DEVICE
            elif op <= _LAST_BRANCH:
                b = m[u >> _24 & _FF]
                if op == BEQ:
                    taken = a == b
                elif op == BNE:
                    taken = a != b
                elif op == BLT:
                    taken = _I(a) < _I(b)
                elif op == BGE:
                    taken = _I(a) >= _I(b)
                elif op == BLTU:
                    taken = a < b
                else:
                    taken = a >= b
                # static prediction: backward taken, forward not taken
                if taken != (_I(imm) < _I(0)):
                    m[C_STALL_BRANCH] += m[BRANCH_CYCLES]
                    m[CYCLES] += m[BRANCH_CYCLES]
                if taken:
                    m[C_TAKEN] += _1
                    pc += imm
                    if pc >> _6 != line or m[CYCLES] + n >= until:
                        break
                    continue
                pc += step
            elif op == JAL:
                m[rd] = pc + step
                pc += imm
                if pc >> _6 != line or m[CYCLES] + n >= until:
                    break
                continue
            elif op == JALR:
                m[rd] = pc + step
                if u >> _16 & _FF != _1:  # returns are predicted, other indirect jumps are not
                    m[C_STALL_BRANCH] += m[BRANCH_CYCLES]
                    m[CYCLES] += m[BRANCH_CYCLES]
                pc = (a + imm) & _EVEN
                break
            elif op == ADDI:
                m[rd] = a + imm
                pc += step
            elif op == ADD:
                m[rd] = a + m[u >> _24 & _FF]
                pc += step
            elif op == SUB:
                m[rd] = a - m[u >> _24 & _FF]
                pc += step
            elif op == SLTI:
                m[rd] = _1 if _I(a) < _I(imm) else _0
                pc += step
            elif op == SLTIU:
                m[rd] = _1 if a < imm else _0
                pc += step
            elif op == XORI:
                m[rd] = a ^ imm
                pc += step
            elif op == ORI:
                m[rd] = a | imm
                pc += step
            elif op == ANDI:
                m[rd] = a & imm
                pc += step
            elif op == SLLI:
                m[rd] = a << imm
                pc += step
            elif op == SRLI:
                m[rd] = a >> imm
                pc += step
            elif op == SRAI:
                m[rd] = _W(_I(a) >> _I(imm))
                pc += step
            elif op == ADDIW:
                m[rd] = sext32(a + imm)
                pc += step
            elif op == SLLIW:
                m[rd] = sext32(a << imm)
                pc += step
            elif op == SRLIW:
                m[rd] = sext32((a & _MASK32) >> imm)
                pc += step
            elif op == SRAIW:
                m[rd] = _W(_I(sext32(a)) >> _I(imm))
                pc += step
            elif op == SLL:
                m[rd] = a << (m[u >> _24 & _FF] & _63)
                pc += step
            elif op == SLT:
                m[rd] = _1 if _I(a) < _I(m[u >> _24 & _FF]) else _0
                pc += step
            elif op == SLTU:
                m[rd] = _1 if a < m[u >> _24 & _FF] else _0
                pc += step
            elif op == XOR:
                m[rd] = a ^ m[u >> _24 & _FF]
                pc += step
            elif op == SRL:
                m[rd] = a >> (m[u >> _24 & _FF] & _63)
                pc += step
            elif op == SRA:
                m[rd] = _W(_I(a) >> _I(m[u >> _24 & _FF] & _63))
                pc += step
            elif op == OR:
                m[rd] = a | m[u >> _24 & _FF]
                pc += step
            elif op == AND:
                m[rd] = a & m[u >> _24 & _FF]
                pc += step
            elif op == ADDW:
                m[rd] = sext32(a + m[u >> _24 & _FF])
                pc += step
            elif op == SUBW:
                m[rd] = sext32(a - m[u >> _24 & _FF])
                pc += step
            elif op == SLLW:
                m[rd] = sext32(a << (m[u >> _24 & _FF] & _31))
                pc += step
            elif op == SRLW:
                m[rd] = sext32((a & _MASK32) >> (m[u >> _24 & _FF] & _31))
                pc += step
            elif op == SRAW:
                m[rd] = _W(_I(sext32(a)) >> _I(m[u >> _24 & _FF] & _31))
                pc += step
            elif op == LUI:
                m[rd] = imm
                pc += step
            elif op == AUIPC:
                m[rd] = pc + imm
                pc += step
            elif op == FENCE:
                pc += step
            elif op <= _LAST_ATOMIC:
                width = _8 if op == _LR_D or op == _SC_D or op >= _FIRST_AMO_D else _4
                kind = LOAD if op <= _LAST_LR else STORE
                at = _0
                if a & (width - _1) != _0:
                    m[FAULT_CAUSE] = _4 if op <= _LAST_LR else _6
                else:
                    at = data_address(m, a, width, kind)
                if at <= _1:
                    if at == _1:  # devices take no atomic operations
                        m[FAULT_CAUSE] = _W(5) if op <= _LAST_LR else _W(7)
                    m[INSTRET] += n - _1
                    m[CYCLES] += n
                    m[_s.C_STALL_TRAP] += _1
                    n = _0
                    trap(m, m[FAULT_CAUSE], a, pc)
                    pc = m[PC]
                    break
                atomic(m, op, rd, at, m[u >> _24 & _FF])
                pc += step
            elif op <= _LAST_MULDIV:
                stall = muldiv(m, op, rd, a, m[u >> _24 & _FF])
                m[C_STALL_MULDIV] += stall
                m[CYCLES] += stall
                pc += step
            elif op == FENCEI:
                forget(uops, m[RAM_BYTES])
                pc += step
                break
            else:
                m[INSTRET] += n
                m[CYCLES] += n
                n = _0
                m[PC] = pc
                what = system(m, op, u)
                if what == AT_HOOK:
                    return STOP_HOOK
                if what == AT_WFI:
                    return STOP_WFI
                pc = m[PC]
                break
            if pc >> _6 != line:
                break
