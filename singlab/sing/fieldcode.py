"""Code generation, structs: fields of structs, and of structs in vectors.

A field is reached at a constant offset from its struct's data; in a vector the struct is found first, by
its number times its size.
"""

from __future__ import annotations

from singlab.kernel.abi import BLOCK_DATA
from singlab.sing.sil import Instr
from singlab.sing.types import U8, Bool, Int, Struct, Type, bytes_of

T1, T2, A0, A2 = 6, 7, 10, 12
FAULT_MEMORY = 5
LOADS = {True: ("lb", "lh", "lw", "ld"), False: ("lbu", "lhu", "lwu", "ld")}
STORES = ("sb", "sh", "sw", "sd")


def power(element: Type) -> int | None:
    """Return log2 of an element's size in bytes, None if it is no power of two."""
    size = bytes_of(element)
    return None if size & size - 1 else size.bit_length() - 1


def memory(type_: Type) -> Int:
    """Return the integer that stands in memory for a field's value: a bool is a byte."""
    return U8 if isinstance(type_, Bool) else type_


class FieldCode:
    """The part of a function's code that deals with structs."""

    def elements(self, rd: int, rs: int, element: Type) -> None:
        """Divide bytes by an element's size."""
        size = power(element)
        if size is None:
            self.immediate(T2, bytes_of(element))
            self.out.ins("divu", rd, rs, T2)
        elif size:
            self.out.ins("srli", rd, rs, size)
        else:
            self.move(rd, rs)

    def op_load_field(self, instr: Instr, following, skip) -> None:
        struct = instr.args[0].type
        self.out.ins("ld", T1, self.read(instr.args[0], A0), BLOCK_DATA)
        self.from_field(struct, instr)

    def from_field(self, struct: Struct, instr: Instr) -> None:
        """Load a field of the struct at t1."""
        kind, rd = memory(instr.dest.type), self.target(instr.dest)
        self.out.ins(LOADS[kind.signed][power(kind)], rd, T1, struct.offsets[instr.extra])
        self.write(instr.dest, rd)

    def op_store_field(self, instr: Instr, following, skip) -> None:
        struct = instr.args[0].type
        self.out.ins("ld", T1, self.read(instr.args[0], A0), BLOCK_DATA)
        self.to_field(struct, instr)

    def to_field(self, struct: Struct, instr: Instr) -> None:
        """Store into a field of the struct at t1."""
        value = instr.args[-1]
        self.out.ins(STORES[power(memory(value.type))], self.read(value, A2), T1, struct.offsets[instr.extra])

    def op_load_item(self, instr: Instr, following, skip) -> None:
        self.element(instr)
        self.from_field(instr.args[0].type.element, instr)

    def op_store_item(self, instr: Instr, following, skip) -> None:
        self.element(instr)
        self.to_field(instr.args[0].type.element, instr)

    def op_new_struct(self, instr: Instr, following, skip) -> None:
        self.abi("allocate", instr.dest.type.size)
        self.out.branch("beq", A0, 0, self.fault(FAULT_MEMORY, instr))
        self.write(instr.dest, A0)
