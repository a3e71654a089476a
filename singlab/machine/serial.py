"""The serial line's other end: what the UART has sent, and what is typed into it; the host's side, and no time."""

from __future__ import annotations

import numpy as np

from singlab.machine import devices as d


def uart_sent(m: np.ndarray) -> bytes:
    """Take what the UART has sent since the last look."""
    head, tail = int(m[d.TX_HEAD]), int(m[d.TX_TAIL])
    m[d.TX_TAIL] = head
    return bytes(int(m[d.TX + (i & d.TX_ROOM - 1)]) & 0xFF for i in range(tail, head))


def uart_type(m: np.ndarray, data: bytes) -> int:
    """Put bytes into the UART's input; returns how many there was room for."""
    room = d.RX_ROOM - (int(m[d.RX_HEAD]) - int(m[d.RX_TAIL]))
    for value in data[:room]:
        m[d.RX + (int(m[d.RX_HEAD]) & d.RX_ROOM - 1)] = value
        m[d.RX_HEAD] += 1
    d.uart_update(m)
    return min(room, len(data))
