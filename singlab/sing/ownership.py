"""What the verifier knows of a register that owns something, and how its messages call it."""

from __future__ import annotations

from dataclasses import dataclass

from singlab.sing.sil import Position, Reg
from singlab.sing.types import EndpointSet

#: What happened to something owned, by the instruction that took it: rule against using it then, and in words.
GONE = {"send": ("owner.use-after-send", "was sent"), "free": ("owner.use-after-free", "was freed"),
         "call": ("owner.use-after-move", "was handed to a function"),
        "attempt": ("owner.use-after-move", "was handed to a function"), "mov": ("owner.use-after-move", "was moved"),
         "ret": ("owner.use-after-move", "was returned"), "set_close": ("owner.use-after-free", "was closed")}  # fmt: skip


@dataclass(frozen=True)
class Owned:
    """The register owns a vector, acquired at a position."""

    position: Position


@dataclass(frozen=True)
class Gone:
    """The register owned a vector that left by an operation at a position."""

    by: str
    position: Position


@dataclass(frozen=True)
class Torn:
    """Paths that met here disagreed on whether the register owns its vector."""

    position: Position


Status = bool | Owned | Gone | Torn | frozenset


def named(reg: Reg) -> str:
    """Return what to call a register in a message."""
    return f"'{reg.name}'" if reg.name else "a value without a name"


def what(reg: Reg) -> str:
    """Return what kind of owned thing a register holds, in a message."""
    return "set" if isinstance(reg.type, EndpointSet) else "block"


def give_back(reg: Reg) -> str:
    """Return how an owned thing is given back, in a hint."""
    if isinstance(reg.type, EndpointSet):
        return f"hand it on or {reg.name or '...'}.close()"
    return f"send it or free({reg.name or '...'})"
