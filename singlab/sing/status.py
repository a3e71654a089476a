"""The verifier, what it knows of a register: whether it has a value, and who owns its block."""

from __future__ import annotations

from dataclasses import dataclass

from singlab.sing.sil import Position, Reg


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
class Lent:
    """The register may use a vector that belongs to the function's caller."""

    position: Position


@dataclass(frozen=True)
class Torn:
    """Paths that met here disagreed on whether the register owns its vector."""

    position: Position


Status = bool | Owned | Lent | Gone | Torn | frozenset


def named(reg: Reg) -> str:
    """Return what to call a register in a message."""
    return f"'{reg.name}'" if reg.name else "a value without a name"
