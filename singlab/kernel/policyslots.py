"""The slots for policies: what each function is given and answers, and what comes out of its text.

Data alone: the language makes :class:`PolicyCode` of a student's function, the kernel (:mod:`singlab.kernel.policies`)
takes it in.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from singlab.trace.record import POLICIES

#: What each slot's function is given, and what it answers.
SLOTS = {
    "pick": (("previous",), "the thread to run: one that is ready"),
    "place": (("thread", "by"), "0 = end of the unblocked queue, 1 = end of the preempted queue, 2 = front of the unblocked queue"),
    "quantum": (("thread",), "cycles, from 1,000 to 2 ** 40"),
    "fit": (("size",), "bytes, at least size"),
    "pages": (("zone", "first", "last", "count"), "the first of count free pages in a row, from first to before last; 0 leaves it to the kernel"),
    "admit": (("contract", "importer", "exporter"), "1 = they may be connected, 0 = not"),
    "trigger": (("heap",), "1 = collect it now, 0 = not yet"),
    "growth": (("heap", "size"), "bytes, from size to 2 ** 40"),
    "nursery": (("heap",), "bytes, from 4,096 to 2 ** 40"),
    "tenure": (("heap",), "minor collections, from 1 to 15"),
    "collector": (("heap",), "2 = semispace, 3 = marksweep, 4 = compact"),
}
assert tuple(SLOTS) == POLICIES
#: Those that are about one heap of objects, and so can be limited to some processes.
HEAP_SLOTS = ("trigger", "growth", "nursery", "tenure", "collector")
#: What a policy may call: kernel functions in core/policies.py; beside them the clock, now().
FUNCTIONS = (
    "first_unblocked", "first_preempted", "next_thread", "is_ready", "thread_number", "process_number", "thread_note",
    "set_thread_note", "note", "set_note", "random_word", "page_free", "page_owner",
    "heap_process", "heap_bytes", "heap_live", "heap_freed", "heap_made", "heap_limit", "heap_most", "heap_count", "heap_cycles", "heap_pause",
    "heap_collector", "heap_survivors", "heap_note", "set_heap_note",
)  # fmt: skip
#: Turns that all loops of a policy may take together in one call.
MOST_TURNS = 1_000_000


@dataclass(frozen=True)
class PolicyCode:
    """A policy compiled for the hart, and what its native form is made from.

    Attributes
    ----------
    slot, name : str
    place : str
        File and line of its definition.
    text : bytes
        Its RV64 form, which lies in the kernel's text.
    node : ast.FunctionDef
        The function in the kernel's subset of Python, with the machine's state as its first parameter.
    constants : dict of str to int
        The integers its text names.
    charges : dict
        Its points and branches, as in ``charges.json``.
    """

    slot: str
    name: str
    place: str
    text: bytes
    node: ast.FunctionDef
    constants: dict[str, int]
    charges: dict

    @property
    def number(self) -> int:
        """Number of the slot."""
        return POLICIES.index(self.slot)
