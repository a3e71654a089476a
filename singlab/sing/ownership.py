"""The verifier, what its messages say of a register that owns something: what happened to it, and how it is given back."""

from __future__ import annotations

from singlab.sing.sil import Reg
from singlab.sing.types import EndpointSet

#: What happened to something owned, by the instruction that took it: rule against using it then, and in words.
GONE = {"send": ("owner.use-after-send", "was sent"), "free": ("owner.use-after-free", "was freed"),
         "call": ("owner.use-after-move", "was handed to a function"), "vcall": ("owner.use-after-move", "was handed to a function"),
         "attempt": ("owner.use-after-move", "was handed to a function"), "attempt_vcall": ("owner.use-after-move", "was handed to a function"),
         "mov": ("owner.use-after-move", "was moved"),
         "spawn": ("owner.use-after-move", "was handed to a thread"), "attempt_spawn": ("owner.use-after-move", "was handed to a thread"),
         "ret": ("owner.use-after-move", "was returned"), "set_close": ("owner.use-after-free", "was closed")}  # fmt: skip


def what(reg: Reg) -> str:
    """Return what kind of owned thing a register holds, in a message."""
    return "set" if isinstance(reg.type, EndpointSet) else "block"


def give_back(reg: Reg) -> str:
    """Return how an owned thing is given back, in a hint."""
    if isinstance(reg.type, EndpointSet):
        return f"hand it on or {reg.name or '...'}.close()"
    return f"send it or free({reg.name or '...'})"
