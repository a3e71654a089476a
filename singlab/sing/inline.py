"""Inlining: a small function's blocks in the place of a call of it."""

from __future__ import annotations

from singlab.sing.sil import Arms, Attempt, Block, Function, Instr, Module, Reg, callee, successors
from singlab.sing.sil_classes import called, reached_by
from singlab.sing.ssa import Maker, copied
from singlab.sing.stacktests import below, circles

#: Largest function that goes in wherever it is called, and where it is called once only; largest a caller may grow.
_SMALL, _ONCE, _MOST = 24, 120, 3000


def size(function: Function) -> int:
    """Return the number of instructions."""
    return sum(len(block.instrs) for block in function.blocks)


def inline(module: Module, shake: bool = True) -> None:
    """Inline what is worth it, callees first, and with ``shake`` drop the functions nobody calls any more."""
    end_calls_without_return(module)
    calls: dict[str, int] = {}
    for function in module.functions.values():
        for block in function.blocks:
            for instr in block.instrs:
                for name in reached_by(module, instr):
                    calls[name] = calls.get(name, 0) + 1
    order, recursive = callees_first(module)
    for name in order:
        caller = module.functions[name]
        grown = size(caller)
        maker = None
        todo = list(caller.blocks)
        while todo:
            block = todo.pop()
            for index, instr in enumerate(block.instrs):
                called = module.functions.get(callee(instr))
                if called is not None and called.name not in recursive and fits(called, caller) and size(called) <= (_ONCE if calls[called.name] == 1 else _SMALL) and grown < _MOST:
                    maker = maker or Maker(caller)
                    grown += size(called)
                    todo += insert(caller, block, index, called, maker)
                    break
    if not shake:
        return
    kept = reached(module)
    module.functions = {name: f for name, f in module.functions.items() if name in kept}


def fits(called: Function, caller: Function) -> bool:
    """Whether a ``raise`` means the same in both: in a function that is not declared ``raises`` it ends the process."""
    return called.raises or not caller.raises or not any(b.instrs[-1].op == "raise" for b in called.blocks)


def callees(module: Module, function: Function) -> list[str]:
    return [name for b in function.blocks for i in b.instrs for name in reached_by(module, i)]


def reached(module: Module) -> set[str]:
    """Return the functions the entry can get to."""
    found, todo = {module.entry}, [module.entry]
    while todo:
        for name in callees(module, module.functions[todo.pop()]):
            if name not in found:
                found.add(name)
                todo.append(name)
    return found


def callees_first(module: Module) -> tuple[list[str], frozenset[str]]:
    """Return the functions so that each stands after those it calls, and those that call themselves, directly or through others."""
    calls = {name: list(dict.fromkeys(callees(module, function))) for name, function in module.functions.items()}
    order, entered = circles(calls)
    return order, frozenset(name for name in below(calls, entered) if name in below(calls, calls[name])) if entered else frozenset()


def insert(caller: Function, block: Block, index: int, called: Function, maker: Maker) -> list[Block]:
    """Put a function in the place of a call; returns the block with what follows the call, if anything does.

    An attempted call has nothing behind it: returns become jumps to the block of one arm, raises to that of the other.
    """
    call = block.instrs[index]
    regs: dict[Reg, Reg] = {}
    labels = {b.label: maker.label() for b in called.blocks}
    if isinstance(call.extra, Attempt):
        after, ends = [], {"ret": call.extra.arms["returned"], "raise": call.extra.arms["raised"]}
    else:
        after = [Block(maker.label(), block.instrs[index + 1 :])]
        ends = {"ret": (call.results, after[0].label)}

    def own(reg: Reg | None) -> Reg | None:
        if reg is not None and reg not in regs:
            regs[reg] = maker.reg(reg.type, reg.name)
        return reg and regs[reg]

    moves = [Instr("mov", own(param), (value,), None, call.position) for param, value in zip(called.params, call.args)]
    block.instrs[index:] = [*moves, Instr("br", None, (), labels[called.blocks[0].label], call.position)]
    place = caller.blocks.index(block) + 1
    bodies = []
    for source in called.blocks:
        body = Block(labels[source.label])
        for instr in source.instrs:
            new = copied(instr, dest=own(instr.dest), more=tuple(map(own, instr.more)), args=tuple(map(own, instr.args)))
            if instr.op in ends:
                given, label = ends[instr.op]
                body.instrs += [Instr("mov", reg, (value,), None, instr.position) for reg, value in zip(given, new.args)]
                new = Instr("br", None, (), label, instr.position)
            elif instr.op == "br":
                new.extra = labels[instr.extra]
            elif instr.op == "cbr":
                new.extra = tuple(labels[label] for label in instr.extra)
            elif isinstance(instr.extra, Arms):
                new.extra = instr.extra.mapped(own, labels.__getitem__)
            body.instrs.append(new)
        bodies.append(body)
    caller.blocks[place:place] = bodies + after
    return after


def end_calls_without_return(module: Module) -> None:
    """End each block after a call that never comes back: what follows was not verified, for it is not reached."""
    returning: set[str] = set()
    waiting = list(module.functions.values())
    while found := {f.name for f in waiting if returns(module, f, returning)}:
        returning |= found
        waiting = [f for f in waiting if f.name not in found]
    for function in module.functions.values():
        cut(module, function, returning)


def never_back(module: Module, instr: Instr, returning: set[str]) -> bool:
    """Whether an instruction is a call after which nothing happens."""
    names = called(module, instr) if instr.op in ("call", "vcall") else []
    return bool(names) and returning.isdisjoint(names)


def returns(module: Module, function: Function, returning: set[str]) -> bool:
    """Whether a function can come to a return, of those it calls only some coming back."""
    blocks = {block.label: block for block in function.blocks}
    seen, todo = {function.blocks[0].label}, [function.blocks[0].label]
    while todo:
        block = blocks[todo.pop()]
        if any(never_back(module, instr, returning) for instr in block.instrs):
            continue
        if block.instrs[-1].op == "ret":
            return True
        for label in successors(block.instrs[-1]):
            if label not in seen:
                seen.add(label)
                todo.append(label)
    return False


def cut(module: Module, function: Function, returning: set[str]) -> None:
    """End each block after a call that never comes back."""
    for block in function.blocks:
        for index, instr in enumerate(block.instrs):
            if never_back(module, instr, returning):
                block.instrs[index + 1 :] = [Instr("fault", None, (), 4, instr.position)]
                break
