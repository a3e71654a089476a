"""Instructions that an ``attempt_op`` attempts: what they end a process with when they fail, and which exception that is inside a ``try``.

What cannot be made is another class than what is not what it should be: so who catches the first knows that nothing was handed over.
Of several startup arguments some are the child's already when it does not take one: the front end lets go of the others then, and
of the child, so who catches that knows that everything has been handed over (:mod:`singlab.sing.childlowering`).
"""

from __future__ import annotations

from singlab.sing.childcode import FAULT_CHILD, FAULT_CREATE, FAULT_GIVE

_MEMORY, _THREAD, _HANDLE, _DEVICE = 5, 14, 26, 27

#: Instruction: the fault's code, and the name of the exception's class.
ATTEMPTED = {
    "create": (FAULT_CREATE, "OSError"), "child": (FAULT_CHILD, "ValueError"), "ask_child": (FAULT_CHILD, "ValueError"),
    "give": (FAULT_GIVE, "ValueError"),
    **dict.fromkeys(("split", "share", "new_event", "new_mutex", "principal", "peer_principal"), (_MEMORY, "MemoryError")),
    **dict.fromkeys(("open_io", "open_dma", "open_interrupt"), (_DEVICE, "OSError")), "dma_address": (_DEVICE, "ValueError"), "join": (_THREAD, "ValueError"),
    **dict.fromkeys(("wait", "event_set", "event_reset", "mutex_release", "handle_close", "interrupt_ack"), (_HANDLE, "ValueError")),
}  # fmt: skip
