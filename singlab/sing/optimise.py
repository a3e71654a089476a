"""The optimiser: verified SIL to SIL that computes the same in fewer instructions.

Order: small functions are inlined; each function goes into SSA form, is simplified, its loops are
emptied of what does not change, addresses step, checks that cannot fail are dropped; then it leaves
the form and its blocks are laid out. A program that faults still faults with the same code at the same
line, after the same output. Five instructions come in that no program can say (``d`` destination)::

    check a, b          fault with code 1 unless a < b, both u64
    base d, a           d = address of the elements of vector a (u64)
    peek d, a           d = element at address a + offset; extra is (element type, offset)
    poke a, b           element at address a + offset = b
    pin d, value        d = value, in a register even if it is small

and four for objects, which :mod:`singlab.sing.plainobjects` has.

What it leaves out: moving checks out of loops, scheduling, and functions of the kernel, whose charges
follow from their code as it is.
"""

from __future__ import annotations

from singlab.sing import sil
from singlab.sing.expand import expanded
from singlab.sing.flow import Flow
from singlab.sing.inline import inline
from singlab.sing.loops import Loops
from singlab.sing.plainobjects import devirtualise, make_plain
from singlab.sing.ranges import use_ranges
from singlab.sing.sil import Block, Function, Module, Reg
from singlab.sing.simplify import Simplifier, remove_dead
from singlab.sing.ssa import Maker, Undefined, copied, into_ssa, lay_out, out_of_ssa, prepare


def optimise(module: Module, checks: bool = True, shake: bool = True) -> Module:
    """Return an optimised copy of a verified module.

    Parameters
    ----------
    module : Module
        The verifier has accepted it.
    checks : bool
        Whether accesses to vectors are checked. Without, the program is not safe: for measuring only.
    shake : bool
        Whether functions that are not called, or only where they were inlined, are left out.
    """
    module = expanded(module)
    functions = {name: duplicate(function) for name, function in module.functions.items()}
    new = Module(module.name, functions, module.entry, module.contracts, module.filename, module.source, module.exceptions, module.structs,
                 module.classes)  # fmt: skip
    devirtualise(new)
    inline(new, shake)
    new.functions = {name: optimised(function, checks, new) for name, function in new.functions.items()}
    return new


def duplicate(function: Function) -> Function:
    """Return a copy whose blocks and instructions are its own; registers are shared."""
    blocks = [Block(b.label, [copied(i) for i in b.instrs], b.key) for b in function.blocks]
    return Function(function.name, function.params, function.result, blocks, function.position, function.filename, function.source,
                    function.raises, function.borrowed)  # fmt: skip


def optimised(function: Function, checks: bool, module: Module) -> Function:
    """Return a function after all passes; a copy as it is if some value may be undefined."""
    plain = duplicate(function)
    maker = Maker(function)
    make_plain(function, module, maker)
    prepare(function, maker)
    try:
        into_ssa(function, maker, Flow(function))
    except Undefined:
        return plain
    for _ in range(2):
        Simplifier(function, maker, Flow(function), checks).run()
        remove_dead(function)
        Loops(function, maker, Flow(function)).hoist()
    Loops(function, maker, Flow(function)).step_addresses()
    Simplifier(function, maker, Flow(function), checks).run()
    use_ranges(function, Flow(function))
    remove_dead(function)
    Loops(function, maker, Flow(function)).pin_constants()
    fuse(function)
    out_of_ssa(function, maker)
    lay_out(function)
    return function


def fuse(function: Function) -> None:
    """Put a comparison right before the branch that is its only use."""
    uses: dict[Reg, int] = {}
    for block in function.blocks:
        for instr in block.instrs:
            for reg in instr.args:
                uses[reg] = uses.get(reg, 0) + 1
    for block in function.blocks:
        last = block.instrs[-1]
        test = next((i for i in block.instrs if i.op in sil.COMPARISONS and i.dest is last.args[0]), None) if last.op == "cbr" else None
        if test is not None and uses[test.dest] == 1:
            block.instrs.remove(test)
            block.instrs.insert(len(block.instrs) - 1, test)
