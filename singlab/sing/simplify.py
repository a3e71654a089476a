"""Simplification in SSA form: one walk down the dominator tree.

Copies vanish, operations on constants are done here, what was computed before is not computed again,
branches that are decided are taken. Accesses to vectors become a check and a plain access at base plus
offset: size and data address of a vector do not change while a register owns it, so they are values like
any other. A check that was made before, or that a branch has made, is left out.
"""

from __future__ import annotations

from singlab.sing import sil
from singlab.sing.fieldcode import memory, power
from singlab.sing.flow import Flow
from singlab.sing.heapcode import element_of
from singlab.sing.regalloc import defines
from singlab.sing.sil import Function, Instr, Position, Reg
from singlab.sing.ssa import Maker
from singlab.sing.types import BOOL, I64, U64, Bool, Int, Reference, Type, Vector, bytes_of

_COMMUTE = frozenset(("add", "mul", "and", "or", "xor"))
_SWAPPED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le", "eq": "eq", "ne": "ne"}
OPPOSITE = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt", "eq": "ne", "ne": "eq"}
#: Values that depend on their operands alone and cannot fault; ``div`` and ``rem`` are if the divisor is a constant.
PURE = frozenset((*sil.ARITHMETIC, *sil.COMPARISONS, "const", "mov", "not", "neg", "inv", "cast", "len", "base", "none")) - {"div", "rem"}


def wrap(value: int, type_: Type) -> int:
    """Return the value a type keeps of an integer."""
    if isinstance(type_, Bool):
        return value & 1
    low = value & (1 << type_.bits) - 1
    return low - (1 << type_.bits) if type_.signed and low > type_.maximum else low


def compute(op: str, type_: Type, values: list[int], bits: int) -> int | None:
    """Return the value of an operation on constants, None where it faults."""
    if op in ("div", "rem") and values[1] == 0:
        return None
    a, b = (*values, 0)[:2]
    found = {
        "add": lambda: a + b, "sub": lambda: a - b, "mul": lambda: a * b, "and": lambda: a & b, "or": lambda: a | b,
        "xor": lambda: a ^ b, "div": lambda: a // b, "rem": lambda: a % b, "shl": lambda: a << b % bits,
        "shr": lambda: a >> b % bits, "eq": lambda: a == b, "ne": lambda: a != b, "lt": lambda: a < b, "le": lambda: a <= b,
        "gt": lambda: a > b, "ge": lambda: a >= b, "not": lambda: not a, "neg": lambda: -a, "inv": lambda: ~a, "cast": lambda: a,
    }[op]()  # fmt: skip
    return wrap(int(found), type_)


class Simplifier:
    """Simplify one function in SSA form.

    Attributes
    ----------
    checks : bool
        Whether accesses to vectors are checked.
    """

    def __init__(self, function: Function, maker: Maker, flow: Flow, checks: bool):
        self.function, self.maker, self.flow, self.checks = function, maker, flow, checks
        self.alias: dict[Reg, Reg] = {}
        self.made: dict[Reg, Instr] = {}
        self.known: dict[tuple, Reg] = {}
        self.less: dict[tuple[Reg, Reg], bool] = {}
        self.there: dict[tuple[Reg, ...], bool] = {}
        self.out: list[Instr] = []
        self.log: list[tuple[dict, tuple]] = []

    def run(self) -> None:
        """Walk; afterwards the graph may have lost edges, so a new Flow is wanted."""
        todo: list = [self.flow.entry]
        while todo:
            label = todo.pop()
            if isinstance(label, int):
                while len(self.log) > label:
                    table, key = self.log.pop()
                    del table[key]
                continue
            todo.append(len(self.log))
            block = self.flow.blocks[label]
            self.arrive(label)
            self.out = []
            for instr in block.instrs:
                self.visit(instr)
            block.instrs = self.out
            todo += self.flow.children[label]
        for block in self.flow.blocks.values():
            for instr in block.instrs:
                instr.args = tuple(map(self.find, instr.args))
        self.prune()

    def find(self, reg: Reg) -> Reg:
        while reg in self.alias:
            reg = self.alias[reg]
        return reg

    def constant(self, reg: Reg) -> int | None:
        """Return the value of a register that is a constant."""
        instr = self.made.get(reg)
        return wrap(instr.extra, reg.type) if instr is not None and instr.op == "const" and isinstance(reg.type, (Int, Bool)) else None

    def note(self, table: dict, key: tuple, value) -> None:
        """Remember something for the blocks below this one."""
        if key not in table:
            table[key] = value
            self.log.append((table, key))

    def arrive(self, label: str) -> None:
        """Learn what the branch to this block has found out."""
        sources = self.flow.predecessors[label]
        if len(sources) != 1:
            return
        last = self.flow.blocks[sources[0]].instrs[-1]
        test = self.made.get(last.args[0]) if last.op == "cbr" else None
        if test is not None and test.op in sil.COMPARISONS and test.args[0].type == U64:
            op = test.op if last.extra[0] == label else OPPOSITE[test.op]
            a, b = test.args
            if op == "gt":
                a, b, op = b, a, "lt"
            if op == "lt":
                self.note(self.less, (a, b), True)
        elif test is not None and test.op in ("eq", "ne") and isinstance(test.args[0].type, Reference):
            a, b = test.args
            made = self.made.get(a), self.made.get(b)
            if (test.op == "ne") == (last.extra[0] == label) and any(m is not None and m.op == "none" for m in made):
                self.note(self.there, (a if made[1] is not None and made[1].op == "none" else b,), True)

    # ---- values ----------------------------------------------------------------------------------------------

    def number(self, value: int, type_: Type, at: Position) -> Reg:
        """Return a constant's register."""
        if type_ == U64 and value >= 1 << 63:
            value -= 1 << 64
        return self.keep(Instr("const", None, (), value, at), type_)

    def keep(self, instr: Instr, type_: Type, dest: Reg | None = None) -> Reg:
        """Emit a pure instruction, unless its value is known already; returns the value's register."""
        key = (instr.op, type_, instr.args, instr.extra)
        found = self.known.get(key)
        if found is not None:
            return found
        instr.dest = dest or self.maker.reg(type_)
        if instr.op not in sil.COMPARISONS:  # a branch does its own comparison
            self.note(self.known, key, instr.dest)
        self.made[instr.dest] = instr
        self.out.append(instr)
        return instr.dest

    def value(self, op: str, type_: Type, args: tuple[Reg, ...], at: Position, dest: Reg | None = None) -> Reg:
        """Return the register of a pure operation's value."""
        values = [self.constant(a) for a in args]
        if op == "len":
            made = self.made.get(args[0])
            if made is not None and made.op in ("new", "newarr", "attempt_new"):
                return made.args[0]
        elif args and op != "base" and None not in values:
            folded = compute(op, type_, values, getattr(type_, "bits", 64))
            if folded is not None:
                return self.number(folded, type_, at)
        if op in _COMMUTE and values[0] is not None:
            args, values = args[::-1], values[::-1]
        elif op in sil.COMPARISONS and values[0] is not None and values[1] is None:
            args, values, op = args[::-1], values[::-1], _SWAPPED[op]
        if len(args) == 2 and isinstance(type_, Int) and values[1] is not None:
            simple = self.with_constant(op, type_, args, values[1], at)
            if simple is not None:
                return simple
        if op == "cast" and args[0].type == type_:
            return args[0]
        return self.keep(Instr(op, None, args, None, at), type_, dest)

    def with_constant(self, op: str, type_: Int, args: tuple[Reg, ...], c: int, at: Position) -> Reg | None:
        """Return the value of an operation whose second operand is a constant, if there is a simpler way to it."""
        a = args[0]
        if a.type == type_ and ((c == 0 and op in ("add", "sub", "or", "xor", "shl", "shr")) or (c == 1 and op in ("mul", "div"))):
            return a
        if c == 0 and op in ("mul", "and"):
            return self.number(0, type_, at)
        if type_ == U64:
            if op == "sub":
                return self.value("add", type_, (a, self.number(-c & (1 << 64) - 1, type_, at)), at)
            made = self.made.get(a)
            inner = self.constant(made.args[1]) if made is not None and made.op == op == "add" else None
            if inner is not None:
                return self.value("add", type_, (made.args[0], self.number(inner + c & (1 << 64) - 1, type_, at)), at)
        return None

    # ---- instructions -------------------------------------------------------------------------------------------

    def visit(self, instr: Instr) -> None:
        """Simplify one instruction into ``out``."""
        op, dest, at = instr.op, instr.dest, instr.position
        if op == "phi":
            self.phi(instr)
            return
        instr.args = args = tuple(map(self.find, instr.args))
        if op == "mov":
            self.alias[dest] = args[0]
        elif op == "const":
            self.alias[dest] = self.number(wrap(instr.extra, dest.type), dest.type, at)
        elif op in PURE or (op in ("div", "rem") and self.constant(args[1])):
            found = self.value(op, dest.type, args, at, dest)
            if found is not dest:
                self.alias[dest] = found
        elif op in ("load", "store", "load_item", "store_item"):
            self.access(instr)
        elif op in ("load_field", "store_field"):
            base = self.value("base", U64, (args[0],), at)
            self.touch(instr, base, args[0].type.offsets[instr.extra])
        elif op == "some":
            self.some(instr)
        elif op == "string":
            found = self.keep(Instr(op, None, (), instr.extra, at), dest.type, dest)
            if found is not dest:
                self.alias[dest] = found
        elif op == "check":
            self.check(args[0], args[1], at)
        else:
            if op == "cbr":
                self.branch(instr)
            for reg in defines(instr):
                self.made[reg] = instr
            self.out.append(instr)

    def phi(self, instr: Instr) -> None:
        instr.args = tuple(map(self.find, instr.args))
        others = {reg for reg in instr.args if reg is not instr.dest}
        if len(others) == 1:
            self.alias[instr.dest] = others.pop()
        else:
            self.made[instr.dest] = instr
            self.out.append(instr)

    def branch(self, instr: Instr) -> None:
        value = self.constant(instr.args[0])
        made = self.made.get(instr.args[0])
        while value is None and made is not None and made.op == "not":
            instr.args, instr.extra = made.args, instr.extra[::-1]
            made = self.made.get(instr.args[0])
        if value is not None:
            instr.op, instr.args, instr.extra = "br", (), instr.extra[not value]

    def access(self, instr: Instr) -> None:
        """A load or store: a check, an address, and the access at it."""
        vector, index = instr.args[:2]
        at, element = instr.position, element_of(vector.type)
        if self.checks:
            self.check(index, self.value("len", U64, (vector,), at), at)
        if not isinstance(vector.type, Vector):
            new = Instr("a" + instr.op, instr.dest, instr.args, None, at)
            if instr.dest is not None:
                self.made[instr.dest] = new
            self.out.append(new)
            return
        stride, size = bytes_of(element), power(element)
        field = element.offsets[instr.extra] if instr.op.endswith("_item") else 0
        base = self.value("base", U64, (vector,), at)
        root, offset = index, 0
        made = self.made.get(index)
        if made is not None and made.op == "add" and (c := self.constant(made.args[1])) is not None:
            distance = wrap(c * stride, I64)
            if distance >= -2048 and distance + field < 2048:
                root, offset = made.args[0], distance
        c = self.constant(root)
        if c is not None and offset + c * stride + field < 2048:
            address, offset = base, offset + c * stride
        else:
            scaled = root
            if size is None:
                scaled = self.value("mul", U64, (root, self.number(stride, U64, at)), at)
            elif size:
                scaled = self.value("shl", U64, (root, self.number(size, U64, at)), at)
            address = self.value("add", U64, (base, scaled), at)
        self.touch(instr, address, offset + field)

    def touch(self, instr: Instr, address: Reg, offset: int) -> None:
        """The access of a load or store at an address."""
        at = instr.position
        if instr.dest is not None:
            new = Instr("peek", instr.dest, (address,), (memory(instr.dest.type), offset), at)
            self.made[instr.dest] = new
        else:
            value, element = instr.args[-1:], memory(instr.args[-1].type)
            made = self.made.get(value[0])
            while (
                made is not None
                and made.op == "cast"
                and made.args[0].type != BOOL
                and min(made.dest.type.bits, made.args[0].type.bits) >= element.bits
            ):
                value = made.args  # the element's low bits are those of the value before the conversion
                made = self.made.get(value[0])
            new = Instr("poke", None, (address, *value), (element, offset), at)
        self.out.append(new)

    def some(self, instr: Instr) -> None:
        """A reference that must not be None, unless that is known."""
        (value,) = instr.args
        key = ("some", None, (value,), None)
        found = value if not value.type.nullable else self.known.get(key)
        if found is not None:
            self.alias[instr.dest] = found
            return
        if (value,) in self.there:
            instr.extra = "known"
        self.note(self.known, key, instr.dest)
        self.made[instr.dest] = instr
        self.out.append(instr)

    def check(self, index: Reg, size: Reg, at: Position) -> None:
        """An index below a size, unless that is known."""
        values = self.constant(index), self.constant(size)
        if (index, size) in self.less or (None not in values and values[0] < values[1]):
            return
        self.out.append(Instr("check", None, (index, size), None, at))
        self.note(self.less, (index, size), True)

    def prune(self) -> None:
        """Drop blocks that are not reached any more, and their arguments of phis."""
        flow = Flow(self.function)
        for label, block in flow.blocks.items():
            for instr in block.instrs:
                if instr.op != "phi":
                    break
                kept = [i for i, source in enumerate(instr.extra) if source in flow.predecessors[label]]
                instr.args, instr.extra = tuple(instr.args[i] for i in kept), tuple(instr.extra[i] for i in kept)
        self.function.blocks = [b for b in self.function.blocks if b.label in flow.blocks]


def remove_dead(function: Function) -> None:
    """Drop values nobody uses."""
    made: dict[Reg, Instr] = {}
    live: set[Reg] = set()
    todo: list[Reg] = []
    for block in function.blocks:
        for instr in block.instrs:
            if removable(instr):
                made[instr.dest] = instr
            else:
                todo += instr.args
    while todo:
        reg = todo.pop()
        if reg not in live:
            live.add(reg)
            if reg in made:
                todo += made[reg].args
    for block in function.blocks:
        block.instrs = [i for i in block.instrs if not removable(i) or i.dest in live]


_REMOVABLE = frozenset(("phi", "peek", "cycles", "fetch", "aload", "string", "isinst"))


def removable(instr: Instr) -> bool:
    """Whether an instruction has no effect but its value."""
    return instr.op in PURE or instr.op in _REMOVABLE or (instr.op == "some" and instr.extra == "known")


def definitions(function: Function) -> dict[Reg, Instr]:
    """Return the instruction that makes each register of a function in SSA form."""
    return {reg: i for b in function.blocks for i in b.instrs for reg in defines(i)}
