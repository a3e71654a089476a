"""The kernel functions that the host or a policy calls by themselves, compiled for that when this module is imported.

All others are compiled inside the loop that runs the system (:mod:`singlab.kernel.gate`).
"""

from __future__ import annotations

from singlab.kernel.native import native
from singlab.kernel.policyslots import FUNCTIONS

#: What ``native.`` is followed by in this room.
CALLED = (
    "channel_admit", "channel_create", "kernel_collect", "open_create", "open_stop", "operator_ask", "operator_turn", "pages_alloc", "pages_free", "process_make",
    "process_start", "record_new", "schedule",
)  # fmt: skip

for _name in (*CALLED, *FUNCTIONS):
    getattr(native, _name)
