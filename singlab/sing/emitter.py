"""Emitting machine code: instructions, labels and branches, laid out and encoded.

Branches are short until the layout shows that one cannot reach; then it becomes a short branch around
a jump. ABI call sites are two empty instructions with a relocation for the loader.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from singlab.kernel.image import Relocation
from singlab.machine.asm import encode

_INVERSE = {"beq": "bne", "bne": "beq", "blt": "bge", "bge": "blt", "bltu": "bgeu", "bgeu": "bltu"}
_NOP = encode("addi", 0, 0, 0)


@dataclass
class Item:
    """One thing to lay out: an instruction, a label, a branch, a jump, an address or an ABI call site."""

    kind: str
    args: tuple
    line: int
    far: bool = False
    offset: int = 0

    @property
    def size(self) -> int:
        """Bytes."""
        if self.kind == "label":
            return 0
        return 8 if self.far or self.kind in ("la", "abi") else 4


@dataclass
class Code:
    """Laid-out code.

    Attributes
    ----------
    text : bytes
        Code, then read-only data.
    labels : dict of str to int
        Byte offsets.
    text_bytes : int
        Bytes of code alone.
    relocations : list of Relocation
    lines : list of (int, int)
        (byte offset, source line), ascending.
    """

    text: bytes
    labels: dict[str, int]
    text_bytes: int = 0
    relocations: list[Relocation] = field(default_factory=list)
    lines: list[tuple[int, int]] = field(default_factory=list)


class Emitter:
    """Collects items and lays them out."""

    def __init__(self, outside: dict[str, int] | None = None):
        self.items: list[Item] = []
        self.line = 0
        self.outside = outside or {}  #: labels of code that lies elsewhere, by its distance from here

    def ins(self, mnemonic: str, *operands: int) -> None:
        """Add one instruction."""
        self.items.append(Item("ins", (mnemonic, *operands), self.line))

    def label(self, name: str) -> None:
        """Put a label here."""
        self.items.append(Item("label", (name,), self.line))

    def branch(self, condition: str, rs1: int, rs2: int, label: str) -> None:
        """Add a conditional branch."""
        self.items.append(Item("branch", (condition, rs1, rs2, label), self.line))

    def jump(self, label: str, link: int = 0) -> None:
        """Add a jump, or with ``link`` = 1 a call."""
        self.items.append(Item("jump", (link, label), self.line))

    def address(self, rd: int, label: str) -> None:
        """Put a label's address into a register."""
        self.items.append(Item("la", (rd, label), self.line))

    def abi(self, number: int) -> None:
        """Add a call of an ABI function."""
        self.items.append(Item("abi", (number,), self.line))

    def finish(self, data: dict | None = None, aligned: dict | None = None) -> Code:
        """Lay out and encode; ``data`` is placed after the text under its labels, before it ``aligned`` to words.

        What is no bytes but has a size and a method ``make`` gets the labels' places once all have one.
        """
        aligned = aligned or {}
        data = data or {}
        while True:
            offset, labels = 0, dict(self.outside)
            for item in self.items:
                item.offset = offset
                if item.kind == "label":
                    labels[item.args[0]] = offset
                offset += item.size
            end = offset
            for name, content in aligned.items():
                labels[name] = end = -(-end // 8) * 8
                end += len(content)
            for name, content in data.items():
                labels[name] = end
                end += len(content)
            stretched = False
            for item in self.items:
                if item.kind == "branch" and not item.far and not -4096 <= labels[item.args[3]] - item.offset < 4096:
                    item.far = stretched = True
            if not stretched:
                break
        words: list[int] = []
        code = Code(b"", labels)
        for item in self.items:
            if item.size and item.line and (not code.lines or code.lines[-1][1] != item.line):
                code.lines.append((item.offset, item.line))
            words += self.encode(item, labels, code)
        code.text_bytes = 4 * len(words)
        code.text = struct.pack(f"<{len(words)}I", *words)
        for content in aligned.values():
            code.text += bytes(-len(code.text) % 8) + (content if isinstance(content, bytes) else content.make(labels))
        code.text += b"".join(data.values())
        return code

    @staticmethod
    def encode(item: Item, labels: dict[str, int], code: Code) -> list[int]:
        """Return the words of one item."""
        if item.kind == "ins":
            return [encode(*item.args)]
        if item.kind == "label":
            return []
        if item.kind == "abi":
            code.relocations.append(Relocation(item.offset, "abi", item.args[0]))
            return [_NOP, _NOP]
        if item.kind == "branch":
            condition, rs1, rs2, label = item.args
            distance = labels[label] - item.offset
            if not item.far:
                return [encode(condition, rs1, rs2, distance)]
            return [encode(_INVERSE[condition], rs1, rs2, 8), encode("jal", 0, distance - 4)]
        distance = labels[item.args[1]] - item.offset
        if item.kind == "jump":
            return [encode("jal", item.args[0], distance)]
        upper = distance + 0x800 >> 12
        return [encode("auipc", item.args[0], upper), encode("addi", item.args[0], item.args[0], distance - (upper << 12))]
