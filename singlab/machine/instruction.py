"""One instruction out of code, with its fields named: what the translator reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from singlab.machine import state as _s
from singlab.machine.compressed import expand
from singlab.machine.decode import COMPRESSED, OPS, decode

_INTERPRETED = (
    "lr.", "sc.", "amo", "ecall", "ebreak", "sret", "mret", "wfi", "sfence.vma", "fence.i", "hook", "csrr", "illegal",
)  # fmt: skip


@dataclass(frozen=True)
class Instruction:
    """A decoded instruction: name, slots of its registers (0 for a destination that is x0), immediate, bytes."""

    name: str
    rd: int
    rs1: int
    rs2: int
    imm: int
    size: int

    @property
    def interpreted(self) -> bool:
        """Whether it is left to the interpreter."""
        return self.name.startswith(_INTERPRETED)


def instruction_at(data: bytes, offset: int) -> Instruction | None:
    """Return the instruction at an offset of code, None if it is cut off."""
    if offset + 2 > len(data):
        return None
    half = int.from_bytes(data[offset : offset + 2], "little")
    if half & 3 == 3:
        if offset + 4 > len(data):
            return None
        u = int(decode(np.uint64(int.from_bytes(data[offset : offset + 4], "little"))))
    else:
        u = int(decode(expand(np.uint64(half))) | COMPRESSED)
    rd = u >> 8 & 63
    imm = u >> 32
    return Instruction(
        OPS[(u & 255) - 1], 0 if rd == _s.X_DUMMY else rd, u >> 16 & 255, u >> 24 & 255, imm - (imm >> 31 << 32), 2 if half & 3 != 3 else 4
    )
