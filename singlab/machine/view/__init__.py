"""Views of the hardware for notebooks: what is in the registers, the caches, the page table, memory, and where the time went.

Each is a function of a machine (or a board, or a snapshot) that returns plain data which shows itself. All of
them only read: no counter, no cache, no translation buffer notices. ``machine.view`` has the same as methods.
"""

from singlab.machine.view.cachesets import cache, caches
from singlab.machine.view.disassembly import code
from singlab.machine.view.hexdump import memory
from singlab.machine.view.paging import page_walk, tlbs
from singlab.machine.view.registerfile import cause_text, csrs, registers
from singlab.machine.view.source import Symbols, mark
from singlab.machine.view.timing import counters, cycles
from singlab.machine.view.views import Views

__all__ = [
    "Symbols", "Views", "cache", "caches", "cause_text", "code", "counters", "csrs", "cycles", "mark", "memory", "page_walk",
    "registers", "tlbs",
]  # fmt: skip
