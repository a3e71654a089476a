"""The primitives kernel functions may use: timed access to memory and devices through the machine, and trace events."""

from singlab.machine.access import ld8, ld16, ld32, ld64, ldio32, st8, st16, st32, st64, stio32
from singlab.trace.ring import emit

__all__ = ["emit", "ld8", "ld16", "ld32", "ld64", "ldio32", "st8", "st16", "st32", "st64", "stio32"]
