"""The board's devices: CLINT, PLIC, a 16550 UART and the test finisher, where QEMU's virt board has them.

Registers and queues are words of the state, so a snapshot has the devices too. A device that needs the
host (its output queue is full, the guest has ended) sets STOP. Interrupt lines are level-triggered.
The virtio slots' registers are in :mod:`singlab.machine.virtio`.

Characters take no time on the UART's line: whatever is sent is gone at once, and what was typed waits, so that only loopback
can lose a byte. Leaves out parity, framing, break, and changes of the modem's lines, which no interrupt tells of.

Specifications: RISC-V PLIC 1.0, the SiFive CLINT as in QEMU, National Semiconductor 16550A.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import state as _s
from singlab.machine.headers import place, time_now
from singlab.machine.jit import jit
from singlab.machine.virtio import FIRST_IRQ, SLOT_BYTES, SLOTS, virtio_lines, virtio_read, virtio_write

_W = np.uint64
_0, _1, _2, _3, _4, _8, _32 = (_W(v) for v in (0, 1, 2, 3, 4, 8, 32))
_FF, _MASK32 = _W(0xFF), _W(0xFFFF_FFFF)
MIP, MTIMECMP, EXTERNAL, STOP, EXIT, TIME_OFFSET, HARTS = _s.MIP, _s.MTIMECMP, _s.EXTERNAL, _s.STOP, _s.EXIT, _s.TIME_OFFSET, _s.HARTS
_NONE = _W(0xFFFF_FFFF_FFFF_FFFF)

FINISHER, CLINT, PLIC, UART, VIRTIO = 0x0010_0000, 0x0200_0000, 0x0C00_0000, 0x1000_0000, 0x1000_1000
FINISHER_BYTES, CLINT_BYTES, PLIC_BYTES, UART_BYTES, VIRTIO_BYTES = 0x1000, 0x1_0000, 0x60_0000, 0x100, SLOTS * SLOT_BYTES
UART_IRQ = 10
#: What EXIT holds if the guest asked the finisher for a reset: no exit code + 1.
RESET = 0x2_0000

_FINISHER, _CLINT, _PLIC, _UART, _VIRTIO = _W(FINISHER), _W(CLINT), _W(PLIC), _W(UART), _W(VIRTIO)
_FINISHER_BYTES, _CLINT_BYTES, _PLIC_BYTES, _UART_BYTES, _VIRTIO_BYTES = (
    _W(v) for v in (FINISHER_BYTES, CLINT_BYTES, PLIC_BYTES, UART_BYTES, VIRTIO_BYTES)
)

# UART: registers, then queues (heads count what was ever put in, tails what was ever taken out)
U = _s.DEVICE_BASE
IER, LCR, MCR, SCR, DLL, DLM, FCR, THRE, RX_HEAD, RX_TAIL, TX_HEAD, TX_TAIL = range(U, U + 12)
CLEARED = U + 12  #: bytes of input the guest threw away unread when it cleared its queue
OVERRUN = U + 13  #: a byte was lost in loopback, and the guest has not read so yet
RX, RX_ROOM = U + 64, 256
TX, TX_ROOM = U + 320, 1024
_RX, _TX, _RX_MASK, _TX_MASK = _W(RX), _W(TX), _W(RX_ROOM - 1), _W(TX_ROOM - 1)

_LOOP = _W(16)  #: in MCR: what is sent is received
_FIFO_BYTES = _W(16)

_COMPARES = _W(0x4000)  #: where the CLINT has the first of its mtimecmp

# PLIC: 31 sources, for each hart two contexts: its machine level, then its supervisor
P = _s.DEVICE_BASE + 1400
PRIORITY = P
PENDING, CLAIMED, LINES = P + 32, P + 33, P + 34
ENABLE, THRESHOLD = P + 36, P + 44
_SOURCES = 32
_ENABLES, _THRESHOLDS, _CLAIMS = _W(0x2000), _W(0x20_0000), _W(0x20_0004)  #: where the registers of context 0 are

#: The lines of the virtio slots.
_VIRTIO_LINES = _W(((1 << SLOTS) - 1) << FIRST_IRQ)


@jit("boolean(uint64)")
def is_device(pa):
    """Whether a physical address belongs to a device."""
    return (
        pa - _UART < _UART_BYTES or pa - _CLINT < _CLINT_BYTES or pa - _PLIC < _PLIC_BYTES or pa - _VIRTIO < _VIRTIO_BYTES
        or pa - _FINISHER < _FINISHER_BYTES
    )  # fmt: skip


@jit("uint64(uint64[::1], uint64)")
def most_urgent(m, context):
    """Return the pending source a context would claim, 0 if none: the highest priority, then the lowest number."""
    best, rank = _0, m[_W(THRESHOLD) + context]
    wanted = m[PENDING] & m[_W(ENABLE) + context]
    if wanted == _0:
        return _0
    for source in range(1, _SOURCES):
        if wanted >> _W(source) & _1 != _0 and m[PRIORITY + source] > rank:
            best, rank = _W(source), m[PRIORITY + source]
    return best


@jit("void(uint64[::1])")
def plic_update(m):
    """Take over the interrupt lines and tell the harts."""
    # a request once taken over stays, even if its line falls again before it is claimed
    m[PENDING] = (m[PENDING] | m[LINES]) & ~m[CLAIMED]
    for number in range(m[HARTS]):
        hart, found = _W(number), _0
        if most_urgent(m, _2 * hart) != _0:
            found |= _W(1 << 11)
        if most_urgent(m, _2 * hart + _1) != _0:
            found |= _W(1 << 9)
        m[place(m, hart, _W(EXTERNAL))] = found


@jit("uint64(uint64[::1], uint64, uint64, uint64)")
def context_of(m, offset, first, size):
    """Return whose register is at an offset, if each context has ``size`` bytes from ``first`` on; no context has all ones."""
    context = (offset - first) // size
    return context if offset >= first and context < _2 * m[HARTS] and (offset - first) & (size - _1) == _0 else _NONE


@jit("void(uint64[::1])")
def uart_update(m):
    """Set the UART's interrupt line: a lost byte, something to read, or room to write, that nobody has been told of."""
    high = (
        (m[IER] & _4 != _0 and m[OVERRUN] != _0) or (m[IER] & _1 != _0 and m[RX_HEAD] != m[RX_TAIL])
        or (m[IER] & _2 != _0 and m[THRE] != _0)
    )  # fmt: skip
    line = _W(1 << UART_IRQ)
    m[LINES] = m[LINES] | line if high else m[LINES] & ~line
    plic_update(m)


@jit("void(uint64[::1])")
def virtio_update(m):
    """Set the virtio slots' interrupt lines."""
    m[LINES] = m[LINES] & ~_VIRTIO_LINES | virtio_lines(m)
    plic_update(m)


@jit("void(uint64[::1])")
def uart_clear(m):
    """Throw away what was received."""
    m[CLEARED] += m[RX_HEAD] - m[RX_TAIL]
    m[RX_TAIL] = m[RX_HEAD]
    uart_update(m)


@jit("uint64(uint64[::1])")
def uart_identify(m):
    """Read the interrupt identification: the most urgent of the UART's interrupts, and whether there are FIFOs."""
    fifo = _W(0xC0) if m[FCR] & _1 != _0 else _0
    if m[IER] & _4 != _0 and m[OVERRUN] != _0:
        return fifo | _W(6)
    if m[IER] & _1 != _0 and m[RX_HEAD] != m[RX_TAIL]:
        level = m[FCR] >> _W(6) & _3  # of 1, 4, 8 or 14 bytes; fewer are told of when nothing more comes, here at once
        level = _W(14) if level == _3 else _4 * level
        return fifo | (_W(12) if fifo != _0 and m[RX_HEAD] - m[RX_TAIL] < level else _4)
    if m[IER] & _2 != _0 and m[THRE] != _0:
        m[THRE] = _0  # reading it is being told
        uart_update(m)
        return fifo | _2
    return fifo | _1


@jit("void(uint64[::1], uint64)")
def uart_loop(m, value):
    """Receive what was sent; beyond the room of the FIFO, or of the one byte without it, a byte is lost."""
    held = m[RX_HEAD] - m[RX_TAIL]
    if held < (_FIFO_BYTES if m[FCR] & _1 != _0 else _1):
        m[_RX + (m[RX_HEAD] & _RX_MASK)] = value
        m[RX_HEAD] += _1
        return
    m[OVERRUN] = _1
    if m[FCR] & _1 == _0:  # the FIFO keeps what it has, the one byte is written over
        m[_RX + (m[RX_HEAD] - _1 & _RX_MASK)] = value


@jit("uint64(uint64[::1], uint64)")
def uart_read(m, register):
    """Read a UART register."""
    if m[LCR] & _W(0x80) != _0 and register < _2:
        return m[DLL] if register == _0 else m[DLM]
    if register == _0:
        if m[RX_HEAD] == m[RX_TAIL]:
            return _0
        value = m[_RX + (m[RX_TAIL] & _RX_MASK)]
        m[RX_TAIL] += _1
        uart_update(m)
        return value
    if register == _1:
        return m[IER]
    if register == _2:
        return uart_identify(m)
    if register == _3:
        return m[LCR]
    if register == _4:
        return m[MCR]
    if register == _W(5):
        status = _W(0x60) | (_1 if m[RX_HEAD] != m[RX_TAIL] else _0) | m[OVERRUN] << _1
        if m[OVERRUN] != _0:
            m[OVERRUN] = _0
            uart_update(m)
        return status
    if register == _W(6):
        if m[MCR] & _LOOP == _0:
            return _W(0xB0)
        # DTR, RTS, OUT1, OUT2 come back as DSR, CTS, RI, DCD
        return (m[MCR] & _1) << _W(5) | (m[MCR] & _2) << _3 | (m[MCR] & _W(12)) << _4
    return m[SCR]


@jit("void(uint64[::1], uint64, uint64)")
def uart_write(m, register, value):
    """Write a UART register."""
    value &= _FF
    if m[LCR] & _W(0x80) != _0 and register < _2:
        if register == _0:
            m[DLL] = value
        else:
            m[DLM] = value
    elif register == _0:
        if m[MCR] & _LOOP != _0:
            uart_loop(m, value)
        else:
            m[_TX + (m[TX_HEAD] & _TX_MASK)] = value
            m[TX_HEAD] += _1
            if m[TX_HEAD] - m[TX_TAIL] >= _W(TX_ROOM):
                m[STOP] = _1
        m[THRE] = _1
        uart_update(m)
    elif register == _1:
        if m[IER] & _2 == _0 and value & _2 != _0:
            m[THRE] = _1
        m[IER] = value & _W(15)
        uart_update(m)
    elif register == _2:
        turned = (m[FCR] ^ value) & _1  # turning the FIFOs on or off empties them
        m[FCR] = value
        if value & _2 != _0 or turned != _0:
            uart_clear(m)
    elif register == _3:
        m[LCR] = value
    elif register == _4:
        m[MCR] = value & _W(31)
    elif register == _W(7):
        m[SCR] = value


@jit("uint64(uint64[::1], uint64)")
def plic_read(m, offset):
    """Read a word of the PLIC; reading a claim register claims."""
    if offset < _W(4 * _SOURCES):
        return m[_W(PRIORITY) + (offset >> _2)]
    if offset == _W(0x1000):
        return m[PENDING]
    context = context_of(m, offset, _ENABLES, _W(0x80))
    if context != _NONE:
        return m[_W(ENABLE) + context]
    context = context_of(m, offset, _THRESHOLDS, _W(0x1000))
    if context != _NONE:
        return m[_W(THRESHOLD) + context]
    context = context_of(m, offset, _CLAIMS, _W(0x1000))
    if context != _NONE:
        source = most_urgent(m, context)
        m[CLAIMED] |= _1 << source & _W(0xFFFF_FFFE)
        m[PENDING] &= ~m[CLAIMED]
        plic_update(m)
        return source
    return _0


@jit("void(uint64[::1], uint64, uint64)")
def plic_write(m, offset, value):
    """Write a word of the PLIC; writing a claim register completes."""
    enable = context_of(m, offset, _ENABLES, _W(0x80))
    threshold = context_of(m, offset, _THRESHOLDS, _W(0x1000))
    context = context_of(m, offset, _CLAIMS, _W(0x1000))
    if offset != _0 and offset < _W(4 * _SOURCES):
        m[_W(PRIORITY) + (offset >> _2)] = value & _W(7)
    elif enable != _NONE:
        m[_W(ENABLE) + enable] = value & _W(0xFFFF_FFFE)
    elif threshold != _NONE:
        m[_W(THRESHOLD) + threshold] = value & _W(7)
    elif context != _NONE and value < _W(_SOURCES):
        m[CLAIMED] &= ~(_1 << value & m[_W(ENABLE) + context])  # of another context's source it means nothing
    plic_update(m)


@jit("uint64(uint64, uint64, uint64, uint64)")
def half_written(word, offset, width, value):
    """Return an eight-byte word after a store to it or to one of its halves; narrower stores mean nothing."""
    if width == _8:
        return value
    if width != _4:
        return word
    return word & _MASK32 | value << _32 if offset & _4 != _0 else word & ~_MASK32 | value & _MASK32


@jit("uint64(uint64[::1], uint64)")
def clint_read(m, offset):
    """Return the eight-byte word of the CLINT around an offset."""
    if offset == _W(0xBFF8):
        return time_now(m)
    if offset >= _COMPARES and offset < _COMPARES + _8 * m[HARTS]:
        return m[place(m, (offset - _COMPARES) >> _3, _W(MTIMECMP))]
    word = _0
    for number in range(2):  # the software interrupts of two harts
        hart = (offset >> _2) + _W(number)
        if hart < m[HARTS]:
            word |= (m[place(m, hart, _W(MIP))] >> _3 & _1) << _32 * _W(number)
    return word


@jit("void(uint64[::1], uint64, uint64, uint64)")
def clint_write(m, offset, width, value):
    """Write a register of the CLINT, or half of one."""
    if offset & ~_4 == _W(0xBFF8):
        now = time_now(m)
        m[TIME_OFFSET] += half_written(now, offset, width, value) - now
    elif offset >= _COMPARES and offset < _COMPARES + _8 * m[HARTS]:
        at = place(m, (offset - _COMPARES) >> _3, _W(MTIMECMP))
        m[at] = half_written(m[at], offset, width, value)
    else:
        for number in range(2 if width == _8 else 1):
            hart = (offset >> _2) + _W(number)
            if width >= _4 and hart < m[HARTS]:
                at = place(m, hart, _W(MIP))
                m[at] = m[at] & ~_8 | (value >> _32 * _W(number) & _1) << _3


@jit("uint64(uint64[::1], uint64, uint64)")
def mmio_read(m, pa, width):
    """Load from a device."""
    if pa - _UART < _UART_BYTES:
        return uart_read(m, pa & _W(7))
    if pa - _CLINT < _CLINT_BYTES:
        offset = pa - _CLINT
        return clint_read(m, offset & ~_W(7)) >> (_8 * (offset & _W(7)))
    if pa - _PLIC < _PLIC_BYTES:
        return plic_read(m, (pa - _PLIC) & ~_3) if width == _4 else _0
    if pa - _VIRTIO < _VIRTIO_BYTES:
        return virtio_read(m, pa - _VIRTIO, width)
    return _0


@jit("void(uint64[::1], uint64, uint64, uint64)")
def mmio_write(m, pa, width, value):
    """Store to a device."""
    if pa - _UART < _UART_BYTES:
        uart_write(m, pa & _W(7), value)
    elif pa - _CLINT < _CLINT_BYTES:
        clint_write(m, pa - _CLINT, width, value)
    elif pa - _PLIC < _PLIC_BYTES:
        if width == _4:
            plic_write(m, (pa - _PLIC) & ~_3, value & _MASK32)
    elif pa - _VIRTIO < _VIRTIO_BYTES:
        if virtio_write(m, pa - _VIRTIO, width, value):
            virtio_update(m)
    elif pa - _FINISHER < _FINISHER_BYTES and pa == _FINISHER:
        what = value & _W(0xFFFF)
        if what == _W(0x5555):
            m[EXIT] = _1
            m[STOP] = _1
        elif what == _W(0x3333):
            m[EXIT] = (value >> _W(16) & _W(0xFFFF)) + _1
            m[STOP] = _1
        elif what == _W(0x7777):
            m[EXIT] = _W(RESET)
            m[STOP] = _1
