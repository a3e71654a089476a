"""The primitives kernel functions may use: timed memory access through the machine, and trace events."""

from singlab.machine.access import ld8, ld16, ld32, ld64, st8, st16, st32, st64
from singlab.trace.ring import emit

__all__ = ["emit", "ld8", "ld16", "ld32", "ld64", "st8", "st16", "st32", "st64"]
