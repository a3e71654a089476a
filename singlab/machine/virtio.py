"""The registers of eight virtio-mmio slots, as a driver sees them.

Virtio 1.2, sections 2.1 to 2.4 and 4.2, with both register layouts: Version 2, which the specification
calls modern, and Version 1, the legacy one (section 4.2.4). Registers are words of the state; a notify
sets STOP, for the queues are worked on by the host (:mod:`singlab.machine.virtqueue`).

Leaves out: packed queues, queue reset, shared memory regions (their length reads -1, as for one that is
not there), notification data. Configuration space is read-only.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import state as _s
from singlab.machine.jit import jit

_W = np.uint64
_0, _1, _2, _3, _4, _8, _32 = (_W(v) for v in (0, 1, 2, 3, 4, 8, 32))
_MASK32 = _W(0xFFFF_FFFF)
_HIGH32 = _W(0xFFFF_FFFF_0000_0000)
STOP = _s.STOP

SLOTS, QUEUES = 8, 2
SLOT_BYTES = 0x1000
FIRST_IRQ = 1
LEGACY, MODERN = 1, 2
#: Entries a queue may have.
QUEUE_SIZE = 1024
_QUEUE_SIZE = _W(QUEUE_SIZE)

# ---- where it lies in the state -----------------------------------------------------------------------------

#: One bit a queue that the driver has notified: slot * QUEUES + queue.
NOTIFIED = _s.DEVICE_BASE + 1456
SLOT_BASE = _s.DEVICE_BASE + 1472
SLOT_WORDS = 64
#: Words of a slot. What the board gives it:
KIND, VERSION, OFFERED, QUEUE_COUNT = range(4)
#: what the driver sets once, for drivers do so before they reset the device:
PAGE_SIZE = 4
#: what the driver sets, and a reset clears:
ACCEPTED, OFFERED_SELECT, ACCEPTED_SELECT, QUEUE_SELECT, STATUS, INTERRUPTS = range(5, 11)
CONFIG, CONFIG_WORDS = 16, 8
QUEUE_BASE, QUEUE_WORDS = 32, 16
#: Words of a queue; the last two are the device's own: descriptor chains taken, and chains given back.
NUMBER, READY, DESCRIPTORS, AVAILABLE, USED, ALIGN, FRAME, TAKEN, GIVEN = range(9)

_NOTIFIED, _SLOT_BASE, _SLOT_WORDS = _W(NOTIFIED), _W(SLOT_BASE), _W(SLOT_WORDS)
_QUEUE_BASE, _QUEUE_WORDS, _CONFIG = _W(QUEUE_BASE), _W(QUEUE_WORDS), _W(CONFIG)
(_KIND, _VERSION, _OFFERED, _QUEUE_COUNT, _PAGE_SIZE, _ACCEPTED, _OFFERED_SELECT, _ACCEPTED_SELECT, _QUEUE_SELECT, _STATUS,
 _INTERRUPTS) = (_W(v) for v in range(11))  # fmt: skip
_NUMBER, _READY, _DESCRIPTORS, _AVAILABLE, _USED, _ALIGN, _FRAME = (_W(v) for v in range(7))

# ---- numbers of the specification -------------------------------------------------------------------------------

#: Device numbers (section 5).
NET, BLOCK, ENTROPY = 1, 2, 4
#: Status bits (section 2.1).
DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 2, 4, 8, 64, 128
_FEATURES_OK, _NEEDS_RESET, _STATUS_BITS = _W(FEATURES_OK), _W(NEEDS_RESET), _W(1 | 2 | 4 | 8 | 128)
#: Interrupt bits: buffers used, configuration changed.
USED_BUFFERS, CONFIG_CHANGED = 1, 2
#: Features every device has a say in (section 6).
INDIRECT, VERSION_1 = 28, 32
ANY_LAYOUT = 27
_VERSION_1 = _W(1 << VERSION_1)

_MAGIC, _VENDOR = _W(0x7472_6976), _W(0x554D_4551)
(R_MAGIC, R_VERSION, R_DEVICE, R_VENDOR, R_OFFERED, R_OFFERED_SELECT, R_ACCEPTED, R_ACCEPTED_SELECT, R_PAGE_SIZE, R_QUEUE_SELECT,
 R_QUEUE_MAX, R_QUEUE_NUMBER, R_QUEUE_ALIGN, R_QUEUE_FRAME, R_QUEUE_READY, R_NOTIFY, R_INTERRUPTS, R_ACKNOWLEDGE, R_STATUS,
 R_GENERATION) = (
    _W(v) for v in (0, 4, 8, 0xC, 0x10, 0x14, 0x20, 0x24, 0x28, 0x30, 0x34, 0x38, 0x3C, 0x40, 0x44, 0x50, 0x60, 0x64, 0x70, 0xFC)
)  # fmt: skip
_R_ADDRESSES, _R_ADDRESSES_END, _R_SHARED, _R_SHARED_END, _R_CONFIG = _W(0x80), _W(0xA8), _W(0xB0), _W(0xC0), _W(0x100)
_PAGE = _W(4096)


@jit("uint64(uint64[::1], uint64, uint64)")
def config_read(m, slot, at):
    """Return eight bytes of a slot's configuration space from any offset on; beyond its end there are zeros."""
    word = at >> _3
    shift = _8 * (at & _W(7))
    low = m[slot + _CONFIG + word] if word < _W(CONFIG_WORDS) else _0
    if shift == _0:
        return low
    high = m[slot + _CONFIG + word + _1] if word + _1 < _W(CONFIG_WORDS) else _0
    return low >> shift | high << (_W(64) - shift)


@jit("uint64(uint64[::1], uint64, uint64)")
def virtio_read(m, offset, width):
    """Load from the slots' registers; ``offset`` counts from the first slot's beginning."""
    slot = _SLOT_BASE + (offset >> _W(12)) * _SLOT_WORDS
    register = offset & _W(0xFFF)
    if register >= _R_CONFIG:
        return config_read(m, slot, register - _R_CONFIG)
    if width != _4:
        return _0
    if register == R_MAGIC:
        return _MAGIC
    if register == R_VERSION:
        return m[slot + _VERSION] if m[slot + _VERSION] != _0 else _2
    if register == R_DEVICE:
        return m[slot + _KIND]
    if register == R_VENDOR:
        return _VENDOR
    if m[slot + _KIND] == _0:
        return _0
    modern = m[slot + _VERSION] == _2
    if register == R_OFFERED:
        select = m[slot + _OFFERED_SELECT]
        return m[slot + _OFFERED] >> (_32 * select) & _MASK32 if select < _2 else _0
    if register == R_INTERRUPTS:
        return m[slot + _INTERRUPTS]
    if register == R_STATUS:
        return m[slot + _STATUS]
    if modern and register >= _R_SHARED and register < _R_SHARED_END:
        return _MASK32
    if m[slot + _QUEUE_SELECT] >= m[slot + _QUEUE_COUNT]:
        return _0
    queue = slot + _QUEUE_BASE + m[slot + _QUEUE_SELECT] * _QUEUE_WORDS
    if register == R_QUEUE_MAX:
        return _QUEUE_SIZE
    if register == R_QUEUE_READY and modern:
        return m[queue + _READY]
    if register == R_QUEUE_FRAME and not modern:
        return m[queue + _FRAME]
    return _0


@jit("void(uint64[::1], uint64, uint64)")
def virtio_reset(m, slot, number):
    """Forget all that the driver has set; ``slot`` is the index of the slot's first word."""
    for word in range(ACCEPTED, CONFIG):
        m[slot + _W(word)] = _0
    for word in range(QUEUE_BASE, SLOT_WORDS):
        m[slot + _W(word)] = _0
    m[_NOTIFIED] &= ~(_3 << (_2 * number))


@jit("void(uint64[::1], uint64)")
def forget_queue(m, queue):
    """Forget how far the device has come in a queue."""
    for word in range(TAKEN, QUEUE_WORDS):
        m[queue + _W(word)] = _0


@jit("void(uint64[::1], uint64, uint64, uint64)")
def queue_write(m, slot, register, value):
    """Write a register that belongs to the queue selected."""
    if m[slot + _QUEUE_SELECT] >= m[slot + _QUEUE_COUNT]:
        return
    queue = slot + _QUEUE_BASE + m[slot + _QUEUE_SELECT] * _QUEUE_WORDS
    if register == R_QUEUE_NUMBER:
        if value <= _QUEUE_SIZE:
            m[queue + _NUMBER] = value
    elif m[slot + _VERSION] == _2:
        if register == R_QUEUE_READY:
            if value & _1 != m[queue + _READY]:
                forget_queue(m, queue)
            m[queue + _READY] = value & _1
        elif register >= _R_ADDRESSES and register < _R_ADDRESSES_END and register & _W(0xF) < _8:
            part = queue + _DESCRIPTORS + (register - _R_ADDRESSES >> _4)
            if register & _4 == _0:
                m[part] = m[part] & _HIGH32 | value
            else:
                m[part] = m[part] & _MASK32 | value << _32
    elif register == R_QUEUE_ALIGN:
        m[queue + _ALIGN] = value
    elif register == R_QUEUE_FRAME:
        # the three parts lie one behind the other; frame 0 takes the queue away
        forget_queue(m, queue)
        m[queue + _FRAME] = value
        m[queue + _READY] = _1 if value != _0 else _0
        align = m[queue + _ALIGN] if m[queue + _ALIGN] != _0 else _PAGE
        m[queue + _DESCRIPTORS] = value * m[slot + _PAGE_SIZE]
        m[queue + _AVAILABLE] = m[queue + _DESCRIPTORS] + _W(16) * m[queue + _NUMBER]
        end = m[queue + _AVAILABLE] + _W(6) + _2 * m[queue + _NUMBER]
        m[queue + _USED] = (end + align - _1) // align * align


@jit("void(uint64[::1], uint64, uint64)")
def status_write(m, slot, value):
    """Write the device status, which is not 0; a set of features that will not do is not agreed to."""
    before = m[slot + _STATUS]
    value &= _STATUS_BITS
    if m[slot + _VERSION] == _2 and value & _FEATURES_OK != _0 and before & _FEATURES_OK == _0:
        accepted = m[slot + _ACCEPTED]
        if accepted & ~m[slot + _OFFERED] != _0 or accepted & _VERSION_1 == _0:
            value &= ~_FEATURES_OK
    m[slot + _STATUS] = value | before & _NEEDS_RESET


@jit("boolean(uint64[::1], uint64, uint64, uint64)")
def virtio_write(m, offset, width, value):
    """Store to the slots' registers; returns whether an interrupt line may have changed."""
    number = offset >> _W(12)
    slot = _SLOT_BASE + number * _SLOT_WORDS
    register = offset & _W(0xFFF)
    if width != _4 or register >= _R_CONFIG or m[slot + _KIND] == _0:
        return False
    value &= _MASK32
    if register == R_OFFERED_SELECT:
        m[slot + _OFFERED_SELECT] = value
    elif register == R_ACCEPTED_SELECT:
        m[slot + _ACCEPTED_SELECT] = value
    elif register == R_ACCEPTED:
        select = m[slot + _ACCEPTED_SELECT]
        if m[slot + _VERSION] != _2:
            if select == _0:
                m[slot + _ACCEPTED] = value & m[slot + _OFFERED]
        elif select < _2 and m[slot + _STATUS] & _FEATURES_OK == _0:
            m[slot + _ACCEPTED] = m[slot + _ACCEPTED] & ~(_MASK32 << (_32 * select)) | value << (_32 * select)
    elif register == R_QUEUE_SELECT:
        m[slot + _QUEUE_SELECT] = value
    elif register == R_PAGE_SIZE:
        m[slot + _PAGE_SIZE] = value
    elif register == R_NOTIFY:
        if value < m[slot + _QUEUE_COUNT]:
            m[_NOTIFIED] |= _1 << (_2 * number + value)
            m[STOP] = _1
    elif register == R_ACKNOWLEDGE:
        m[slot + _INTERRUPTS] &= ~value
        return True
    elif register == R_STATUS:
        if value & _W(0xFF) == _0:
            virtio_reset(m, slot, number)
            return True
        status_write(m, slot, value)
    else:
        queue_write(m, slot, register, value)
    return False


@jit("uint64(uint64[::1])")
def virtio_lines(m):
    """Return the interrupt lines the slots hold up, as bits of the PLIC's sources."""
    lines = _0
    for number in range(SLOTS):
        if m[_SLOT_BASE + _W(number) * _SLOT_WORDS + _INTERRUPTS] != _0:
            lines |= _W(1) << _W(FIRST_IRQ + number)
    return lines
