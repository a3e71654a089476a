"""Objects made plain for the optimiser: fields become offsets, tests for None their own instruction, calls direct.

A virtual call that can come to one function only becomes a call of it, for a module is closed. Further
instructions that no program can say (``d`` destination)::

    fetch d, a          d = the word at offset ``extra`` of object a, None or not
    put a, b            that word = b
    aload d, a, b       d = element b of array or text a, which is known to be there
    astore a, b, c      that element = c

``some`` with "known" as its extra tests nothing: a branch has. It stays an instruction, so that nothing that
needs the object moves to where the branch has not been yet.
"""

from __future__ import annotations

from dataclasses import replace

from singlab.sing.sil import Function, Instr, Module
from singlab.sing.sil_classes import called, offset
from singlab.sing.ssa import Maker
from singlab.sing.types import Reference, Vector


def devirtualise(module: Module) -> None:
    """Make direct calls of virtual ones that can come to one function only."""
    for function in module.functions.values():
        for block in function.blocks:
            for instr in block.instrs:
                if instr.op in ("vcall", "attempt_vcall") and len(names := called(module, instr)) == 1:
                    if instr.op == "vcall":
                        instr.op, instr.extra = "call", names[0]
                    else:
                        instr.op, instr.extra = "attempt", replace(instr.extra, function=names[0])


def make_plain(function: Function, module: Module, maker: Maker) -> None:
    """Put offsets in the place of fields, and take the test for None out of what loads a reference."""
    for block in function.blocks:
        out: list[Instr] = []
        for instr in block.instrs:
            if instr.op in ("getf", "putf"):
                place = offset(module, instr.args[0].type.cls, instr.extra)
                instr.op, instr.extra = {"getf": "fetch", "putf": "put"}[instr.op], place
            out.append(instr)
            array = instr.op == "load" and not isinstance(instr.args[0].type, Vector)
            loaded = instr.dest.type if array or instr.op == "fetch" else None
            if isinstance(loaded, Reference) and not loaded.nullable:
                found = instr.dest
                instr.dest = maker.reg(loaded.perhaps)
                out.append(Instr("some", found, (instr.dest,), None, instr.position))
        block.instrs = out
