"""Ranges of integers in SSA form, and the checks and extensions they make needless.

Each value has a smallest and a largest value it can take, from where it is computed; where a branch or
a check has compared it, what that said holds in all blocks it dominates. Loops are followed to a fixed
point, widened to the type's ends where a bound keeps moving and then narrowed again.
"""

from __future__ import annotations

from singlab.sing import sil
from singlab.sing.flow import Flow
from singlab.sing.sil import Function, Instr, Reg
from singlab.sing.simplify import OPPOSITE, definitions
from singlab.sing.types import U64, Int

Range = tuple[int, int]
#: Rounds before bounds are widened, and before the analysis gives up.
_WIDEN, _MOST = 3, 12
_LARGEST_BLOCK = 16 << 20


class Ranges:
    """The ranges of one function."""

    def __init__(self, function: Function, flow: Flow):
        self.function, self.flow = function, flow
        self.made = definitions(function)
        self.range: dict[Reg, Range] = {}
        #: What comparisons said about a register: (block in which it holds, comparison, other register).
        self.facts: dict[Reg, list[tuple[str, str, Reg]]] = {}
        self.solved = False
        self.collect()
        self.solve()
        self.solved = True

    def collect(self) -> None:
        for label, block in self.flow.blocks.items():
            last = block.instrs[-1]
            test = self.made.get(last.args[0]) if last.op == "cbr" else None
            if test is not None and test.op in sil.COMPARISONS and isinstance(test.args[0].type, Int):
                for target, op in zip(last.extra, (test.op, OPPOSITE[test.op])):
                    if self.flow.predecessors[target] == [label]:
                        self.learn(target, op, *test.args)
            for instr in block.instrs:
                if instr.op == "check":
                    for child in self.flow.children[label]:
                        self.learn(child, "lt", *instr.args)

    def learn(self, label: str, op: str, a: Reg, b: Reg) -> None:
        swapped = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}.get(op, op)
        self.facts.setdefault(a, []).append((label, op, b))
        self.facts.setdefault(b, []).append((label, swapped, a))

    def holding(self, reg: Reg, label: str) -> list[tuple[str, Reg]]:
        """Return the comparisons of a register that hold in a block."""
        return [(op, other) for where, op, other in self.facts.get(reg, ()) if self.flow.dominates(where, label)]

    @staticmethod
    def whole(reg: Reg) -> Range:
        return (reg.type.minimum, reg.type.maximum) if isinstance(reg.type, Int) else (0, 1)

    def solve(self) -> None:
        order = [(label, i) for label, b in self.flow.blocks.items() for i in b.instrs if i.dest is not None and not i.dest.type.linear]
        for round_ in range(_MOST):
            changed = False
            for label, instr in order:
                old, new = self.range.get(instr.dest), self.transfer(instr, label)
                if new is None or new == old:
                    continue
                if old is not None:
                    low, high = min(old[0], new[0]), max(old[1], new[1])
                    ends = self.whole(instr.dest)
                    if round_ >= _WIDEN:
                        low, high = (ends[0] if low < old[0] else low), (ends[1] if high > old[1] else high)
                    new = low, high
                if new != old:
                    self.range[instr.dest] = new
                    changed = True
            if not changed:
                break
        else:
            self.range = {}
            return
        for _ in range(2):
            for label, instr in order:
                new = self.transfer(instr, label)
                if new is not None:
                    old = self.range[instr.dest]
                    self.range[instr.dest] = max(old[0], new[0]), min(old[1], new[1])

    def at(self, reg: Reg, label: str) -> Range | None:
        """Return a register's range in a block, None while nothing reaches it."""
        found = self.range.get(reg)
        if found is None:
            if not self.solved and reg in self.made and self.made[reg].dest is reg:
                return None
            found = self.whole(reg)
        low, high = found
        for op, other in self.holding(reg, label):
            ends = self.range.get(other, self.whole(other))
            if op in ("lt", "le"):
                high = min(high, ends[1] - (op == "lt"))
            elif op in ("gt", "ge"):
                low = max(low, ends[0] + (op == "gt"))
            elif op == "eq":
                low, high = max(low, ends[0]), min(high, ends[1])
            elif ends[0] == ends[1] == low:
                low += 1
        return (low, high) if low <= high else found

    def transfer(self, instr: Instr, label: str) -> Range | None:
        """Return the range of what an instruction makes."""
        op, dest = instr.op, instr.dest
        whole = self.whole(dest)
        if op == "const":
            value = instr.extra + (1 << 64) if dest.type == U64 and instr.extra < 0 else instr.extra
            return value, value
        if op == "phi":
            parts = [r for reg, source in zip(instr.args, instr.extra) if (r := self.at(reg, source)) is not None]
            return (min(p[0] for p in parts), max(p[1] for p in parts)) if parts else None
        if op == "len":
            return 0, _LARGEST_BLOCK
        if op not in (*sil.ARITHMETIC, "cast") or not isinstance(dest.type, Int):
            return whole
        ranges = [self.at(reg, label) for reg in instr.args]
        if None in ranges:
            return None
        found = self.exact(op, dest.type, ranges)
        return found if found is not None and whole[0] <= found[0] and found[1] <= whole[1] else whole

    @staticmethod
    def exact(op: str, type_: Int, ranges: list[Range]) -> Range | None:
        """Return the range of an operation on integers without end, None if nothing is known of it."""
        (a, b), (c, d) = (*ranges, (0, 0))[:2]
        if op == "cast":
            return a, b
        if op == "add":
            if type_ == U64 and c == d >= 1 << 63:
                c = d = c - (1 << 64)
            return a + c, b + d
        if op == "sub":
            return a - d, b - c
        if op == "mul":
            ends = (a * c, a * d, b * c, b * d)
            return min(ends), max(ends)
        if op == "and" and (c >= 0 or a >= 0):
            return 0, min(high for low, high in ranges if low >= 0)
        if op in ("or", "xor") and a >= 0 and c >= 0:
            return 0, (1 << max(b, d).bit_length()) - 1
        if c == d and op in ("shl", "shr"):
            c %= type_.bits
            return (a << c, b << c) if op == "shl" else (a >> c, b >> c)
        if c == d > 0 and op in ("div", "rem"):
            return (a // c, b // c) if op == "div" else (0, min(c - 1, b) if a >= 0 else c - 1)
        return None

    # ---- what follows ----------------------------------------------------------------------------------------

    def below(self, index: Reg, size: Reg, label: str) -> bool:
        """Whether an index is surely less than a size in a block."""
        least = self.at(size, label)[0]
        if self.at(index, label)[1] < least:
            return True
        for op, other in self.holding(index, label):
            if op == "lt" and (other is size or self.at(other, label)[1] <= least):
                return True
        made = self.made.get(index)
        if made is not None and made.op == "add" and made.dest.type == U64:
            step = self.range.get(made.args[1], (0, 1))
            back = (1 << 64) - step[0]
            if step[0] == step[1] and back < 1 << 63 and self.at(made.args[0], label)[0] >= back:
                return self.below(made.args[0], size, label)
        return False


    def nonzero(self, reg: Reg, label: str) -> bool:
        """Whether a value is surely not zero in a block."""
        low, high = self.at(reg, label)
        return low > 0 or high < 0 or any(op == "ne" and self.range.get(other) == (0, 0) for op, other in self.holding(reg, label))


def use_ranges(function: Function, flow: Flow) -> None:
    """Drop checks that cannot fail, and mark arithmetic: "exact" if it cannot leave its type, "nonzero" if its divisor is not zero."""
    ranges = Ranges(function, flow)
    for label, block in flow.blocks.items():
        kept = []
        for instr in block.instrs:
            if instr.op == "check" and ranges.below(*instr.args, label):
                continue
            if instr.op in ("add", "sub", "mul", "shl") and isinstance(instr.dest.type, Int) and instr.dest.type.bits < 64:
                found = ranges.exact(instr.op, instr.dest.type, [ranges.at(r, label) for r in instr.args])
                if found is not None and instr.dest.type.minimum <= found[0] and found[1] <= instr.dest.type.maximum:
                    instr.extra = "exact"
            elif instr.op in ("div", "rem") and ranges.nonzero(instr.args[1], label):
                instr.extra = "nonzero"
            kept.append(instr)
        block.instrs = kept
