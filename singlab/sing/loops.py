"""Loops in SSA form: what does not change leaves them, and addresses step instead of being computed.

An address that grows by the same amount each round becomes a value of its own that is added to. A
constant that an instruction in a loop cannot hold is loaded before the loop.
"""

from __future__ import annotations

from singlab.sing import sil
from singlab.sing.flow import Flow
from singlab.sing.regalloc import defines
from singlab.sing.sil import Arms, Function, Instr, Reg
from singlab.sing.simplify import PURE, definitions
from singlab.sing.ssa import Maker, copied
from singlab.sing.types import I64, U64, Int

#: Addresses that step, in one loop at most.
_MOST_POINTERS = 6


class Loops:
    """Improve the loops of one function."""

    def __init__(self, function: Function, maker: Maker, flow: Flow):
        self.function, self.maker, self.flow = function, maker, flow
        self.made = definitions(function)
        self.home = {reg: b.label for b in function.blocks for i in b.instrs for reg in defines(i)}
        for block in function.blocks:
            if isinstance(block.instrs[-1].extra, Arms):
                for regs, label in block.instrs[-1].extra.arms.values():
                    self.home.update(dict.fromkeys(regs, label))

    def constant(self, reg: Reg) -> int | None:
        made = self.made.get(reg)
        return made.extra if made is not None and made.op == "const" else None

    def before(self, head: str) -> list[Instr] | None:
        """Return the instructions of the block in front of a loop."""
        outside = self.flow.outside(head)
        if len(outside) != 1:
            return None
        instrs = self.flow.blocks[outside[0]].instrs
        return instrs if instrs[-1].op == "br" else None

    def put(self, head: str, instr: Instr) -> Reg:
        """Put an instruction in front of a loop."""
        instrs = self.before(head)
        instrs.insert(len(instrs) - 1, instr)
        self.made[instr.dest], self.home[instr.dest] = instr, self.flow.outside(head)[0]
        return instr.dest

    # ---- what does not change -----------------------------------------------------------------------------------

    def hoist(self) -> None:
        """Take what does not change out of each loop, inner loops first."""
        for head, body in self.flow.loops.items():
            if self.before(head) is None:
                continue
            for label in sorted(body, key=self.flow.order.__getitem__):
                kept = []
                for instr in self.flow.blocks[label].instrs:
                    if self.pure(instr) and all(self.home.get(r) not in body for r in instr.args):
                        self.put(head, instr)
                    else:
                        kept.append(instr)
                self.flow.blocks[label].instrs = kept

    def pure(self, instr: Instr) -> bool:
        return instr.op in PURE or (instr.op in ("div", "rem") and bool(self.constant(instr.args[1])))

    # ---- addresses --------------------------------------------------------------------------------------------------

    def step_addresses(self) -> None:
        """Let addresses in innermost loops step."""
        for head, body in self.flow.loops.items():
            if any(other != head and other in body for other in self.flow.loops):
                continue
            latches = [label for label in self.flow.predecessors[head] if label in body]
            if self.before(head) is not None and len(latches) == 1:
                self.step(head, body, latches[0])

    def step(self, head: str, body: set[str], latch: str) -> None:
        counters: dict[Reg, tuple[Reg, Reg]] = {}
        for instr in self.flow.blocks[head].instrs:
            if instr.op == "phi" and instr.dest.type in (U64, I64):
                first = next(a for a, s in zip(instr.args, instr.extra) if s not in body)
                again = self.made.get(next(a for a, s in zip(instr.args, instr.extra) if s == latch))
                if again is not None and again.op == "add" and again.args[0] is instr.dest and self.home.get(again.args[1]) not in body:
                    counters[instr.dest] = first, again.args[1]
        if not counters:
            return
        pointers: dict[Reg, Reg] = {}
        for label in sorted(body, key=self.flow.order.__getitem__):
            for instr in self.flow.blocks[label].instrs:
                if instr.op not in ("peek", "poke"):
                    continue
                address = instr.args[0]
                if address not in pointers and len(pointers) < _MOST_POINTERS:
                    found = self.linear(address, body, counters)
                    if found is not None and found[0] is not None and self.cost(address, body) > 1:
                        pointers[address] = self.pointer(address, found, head, body, latch, counters)
                if address in pointers:
                    instr.args = (pointers[address], *instr.args[1:])

    def linear(self, reg: Reg, body: set[str], counters: dict) -> tuple[Reg | None, int] | None:
        """Return the counter and the factor by which a value follows it; (None, 0) if it does not change."""
        if reg in counters:
            return reg, 1
        if self.home.get(reg) not in body:
            return None, 0
        made = self.made[reg]
        if made.op == "cast" and made.args[0].type in (I64, U64) and reg.type in (I64, U64):
            return self.linear(made.args[0], body, counters)
        if made.op not in ("add", "sub", "mul", "shl") or reg.type not in (I64, U64):
            return None
        parts = [self.linear(a, body, counters) for a in made.args]
        if None in parts:
            return None
        (one, m), (other, n) = parts
        if made.op in ("add", "sub"):
            if one is not None and other is not None and one is not other:
                return None
            factor = m + n if made.op == "add" else m - n
            return (one or other, factor) if factor else None
        constant = self.constant(made.args[1])
        if constant is None or other is not None:
            return None
        return one, m * constant if made.op == "mul" else m << constant % 64

    def cost(self, reg: Reg, body: set[str]) -> int:
        """Return how many instructions a round spends on a value."""
        made = self.made.get(reg)
        if made is None or self.home.get(reg) not in body or made.op in ("phi", "const"):
            return 0
        return (made.op != "cast") + sum(self.cost(a, body) for a in made.args)

    def pointer(self, address: Reg, follows: tuple, head: str, body: set[str], latch: str, counters: dict) -> Reg:
        """Return the register of an address that steps."""
        counter, factor = follows
        first, step = counters[counter]
        start = self.clone(address, head, body, {counter: first})
        at = self.made[address].position
        constant = self.constant(step)
        if constant is not None:
            amount = constant * factor & (1 << 64) - 1
            step = self.put(head, Instr("const", self.maker.reg(U64), (), amount - (amount >> 63 << 64), at))
        elif factor != 1:
            scale = self.put(head, Instr("const", self.maker.reg(U64), (), factor, at))
            step = self.put(head, Instr("mul", self.maker.reg(U64), (step, scale), None, at))
        here, following = self.maker.reg(U64), self.maker.reg(U64)
        outside = self.flow.outside(head)[0]
        self.flow.blocks[head].instrs.insert(0, Instr("phi", here, (start, following), (outside, latch), at))
        instrs = self.flow.blocks[latch].instrs
        instrs.insert(len(instrs) - 1, Instr("add", following, (here, step), None, at))
        return here

    def clone(self, reg: Reg, head: str, body: set[str], known: dict[Reg, Reg]) -> Reg:
        """Compute a value in front of the loop, for the counter's first value."""
        if reg in known or self.home.get(reg) not in body:
            return known.get(reg, reg)
        made = self.made[reg]
        new = copied(made, args=tuple(self.clone(a, head, body, known) for a in made.args), dest=self.maker.reg(reg.type))
        known[reg] = self.put(head, new)
        return known[reg]

    # ---- constants ----------------------------------------------------------------------------------------------------

    def pin_constants(self) -> None:
        """Load before the outermost loop what an instruction in it cannot hold as an immediate."""
        outermost: dict[str, str] = {}
        for head, body in self.flow.loops.items():  # inner loops first, so that outer ones win
            if self.before(head) is not None:
                outermost.update(dict.fromkeys(body, head))
        pins: dict[tuple[str, int], Reg] = {}
        for label in sorted(outermost, key=self.flow.order.__getitem__):  # a set has another order in each process
            head = outermost[label]
            for instr in self.flow.blocks[label].instrs:
                for index in self.held(instr):
                    value = self.constant(instr.args[index])
                    if value and -2048 <= value < 2048:
                        pin = pins.get((head, value))
                        if pin is None:
                            new = Instr("pin", self.maker.reg(instr.args[index].type), (), value, instr.position)
                            pin = pins[head, value] = self.put(head, new)
                        instr.args = (*instr.args[:index], pin, *instr.args[index + 1 :])

    def held(self, instr: Instr) -> tuple[int, ...]:
        """Return which operands of an instruction must be in registers."""
        if instr.op == "check" or instr.op in sil.COMPARISONS:
            return 0, 1
        if instr.op == "poke":
            return (1,)
        value = self.constant(instr.args[1]) if len(instr.args) == 2 else None
        if instr.op in ("mul", "div", "rem") and value is not None and value & value - 1 and isinstance(instr.dest.type, Int):
            return (1,)
        return ()
