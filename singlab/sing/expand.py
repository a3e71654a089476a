"""Waiting for several endpoints in terms of waiting for one: what a ``select`` is in the code.

Verified programs only. Two instructions come in that no program can say::

    d = heads a, b...   what waits at endpoints and sets b..., 16 bits each; waits while that is a (all u64)
    d = set_take a      the member of set a at which something has waited longest, taken out

A select asks what waits where, goes through its rows, and receives what the chosen one names: so no message is
taken before a row is satisfied, and each endpoint's messages keep their order. While a row can still be satisfied
by what has not come yet, it waits for something new.
"""

from __future__ import annotations

from dataclasses import replace

from singlab.kernel.abi import CHANNEL_CLOSED, NO_MESSAGE
from singlab.sing.sil import CLOSED, Block, Function, Instr, Module, Receive, Reg, Select
from singlab.sing.types import BOOL, U16, U64, EndpointSet

#: What ends a process that waits for what can never come.
FAULT_UNSATISFIABLE = 24


def expanded(module: Module) -> Module:
    """Return a module without selects; the same one if it has none."""
    if not any(block.instrs[-1].op == "select" for f in module.functions.values() for block in f.blocks):
        return module
    functions = {name: expand(function, module) for name, function in module.functions.items()}
    return replace(module, functions=functions)


def expand(function: Function, module: Module) -> Function:
    """Return a function without selects."""
    blocks: list[Block] = []
    maker = _Maker(function)
    for block in function.blocks:
        if block.instrs[-1].op == "select":
            blocks += _Selection(block, module, maker).blocks
        else:
            blocks.append(block)
    return replace(function, blocks=blocks)


class _Maker:
    """Fresh registers and labels."""

    def __init__(self, function: Function):
        self.count = 1 + max((reg.number for reg in function.registers()), default=0)
        self.labels = {block.label for block in function.blocks}
        self.made = 0

    def reg(self, type_) -> Reg:
        self.count += 1
        return Reg(self.count - 1, type_)

    def label(self) -> str:
        while f"select{self.made}" in self.labels:
            self.made += 1
        self.made += 1
        return f"select{self.made - 1}"


class _Selection:
    """The blocks of one select."""

    def __init__(self, block: Block, module: Module, maker: _Maker):
        self.module, self.maker = module, maker
        self.select = block.instrs[-1]
        self.blocks = [Block(block.label, list(block.instrs[:-1]))]
        self.at = self.blocks[0]
        self.lower()

    def emit(self, op: str, dest: Reg | None = None, args: tuple = (), extra=None) -> Reg | None:
        self.at.instrs.append(Instr(op, dest, args, extra, self.select.position))
        return dest

    def begin(self, label: str) -> None:
        self.at = Block(label)
        self.blocks.append(self.at)

    def number(self, value: int, type_) -> Reg:
        return self.emit("const", self.maker.reg(type_), (), value)

    def field(self, heads: Reg, index: int) -> Reg:
        """Return 16 bits of a word."""
        if index:
            heads = self.emit("shr", self.maker.reg(U64), (heads, self.number(16 * index, U64)))
        return self.emit("cast", self.maker.reg(U16), (heads,))

    def lower(self) -> None:
        table: Select = self.select.extra
        operands = self.select.args
        look, still, wait, never = (self.maker.label() for _ in range(4))
        rows = list(table.arms.items())
        tests = [self.maker.label() for _ in rows] + [still]
        chosen = [self.maker.label() for _ in rows]
        seen = self.maker.reg(U64)
        self.emit("const", seen, (), sum(NO_MESSAGE << 16 * i for i in range(4)))
        self.emit("br", extra=look)
        self.begin(look)
        heads = self.emit("heads", self.maker.reg(U64), (seen, *operands))
        fields = [self.field(heads, index) for index in range(len(operands))]
        self.emit("br", extra=tests[0])
        for index, (cells, _) in enumerate(rows):
            self.begin(tests[index])
            self.every(cells, fields, chosen[index], tests[index + 1], None)
        # nobody is satisfied: is there one who still can be?
        hopes = [self.maker.label() for _ in rows[1:]] + [never]
        self.begin(still)
        for index, (cells, _) in enumerate(rows):
            self.every(cells, fields, wait, hopes[index], NO_MESSAGE)
            if index + 1 < len(rows):
                self.begin(hopes[index])
        self.begin(wait)
        self.emit("mov", seen, (heads,))
        self.emit("br", extra=look)
        self.begin(never)
        if table.closed:
            self.emit("br", extra=table.closed)
        else:
            self.emit("fault", extra=FAULT_UNSATISFIABLE)
        for label, (cells, (regs, target)) in zip(chosen, rows):
            self.begin(label)
            self.take(cells, regs, target)

    def every(self, cells: tuple, fields: list[Reg], yes: str, no: str, besides: int | None) -> None:
        """Go to ``yes`` if every cell is satisfied, or what waits there is ``besides``; else to ``no``."""
        asked = [(i, cell) for i, cell in enumerate(cells) if cell is not None]
        for place, (index, cell) in enumerate(asked):
            onward = yes if place == len(asked) - 1 else self.maker.label()
            other = no
            if besides is not None:
                other = self.maker.label()
            self.compare(fields[index], self.tag(index, cell), onward, other)
            if besides is not None:
                self.begin(other)
                self.compare(fields[index], besides, onward, no)
            if onward != yes:
                self.begin(onward)

    def compare(self, field: Reg, value: int, yes: str, no: str) -> None:
        test = self.emit("eq", self.maker.reg(BOOL), (field, self.number(value, U16)))
        self.emit("cbr", None, (test,), (yes, no))

    def tag(self, index: int, cell: tuple) -> int:
        """Return the number by which a cell's message is known."""
        if cell[0] == CLOSED:
            return CHANNEL_CLOSED
        return self.module.contracts[self.select.args[index].type.contract].messages[cell[0]].index

    def take(self, cells: tuple, regs: tuple[Reg, ...], target: str) -> None:
        """Receive what a satisfied row names."""
        asked = [(o, c, own) for o, c, own in zip(self.select.args, cells, Select.split(cells, regs)) if c is not None]
        for place, (operand, cell, own) in enumerate(asked):
            following = target if place == len(asked) - 1 else self.maker.label()
            if isinstance(operand.type, EndpointSet):
                operand, own = self.emit("set_take", own[0], (operand,)), own[1:]
            arms = Receive({}, following) if cell[0] == CLOSED else Receive({cell[0]: (own, following)})
            self.emit("receive", None, (operand,), arms)
            if following != target:
                self.begin(following)
