"""Kernel functions to RV64: the machine-word subset of Python, compiled by the lab's own compiler.

Reads the sources of the kernel's functions and gives the code they have on the simulated machine, and
with it the *points*: for each straight piece of source, where its code lies, how many instructions
it has and how many of them multiply; and the *branches*: which ways out of a condition the hart predicts wrongly.
The native form of the kernel charges these as it runs (:mod:`singlab.kernel.native`).

The hart predicts that backward branches are taken and forward ones are not. So what follows a condition only to return
stands behind the rest of its function: what goes on is the way that costs nothing. Where a condition holds for what generates
nothing alone, there is no branch: of what it asks, only calls are made.

Every value is an unsigned 64-bit word; ``and`` and ``or`` evaluate both sides; ``emit`` and what
else only the host looks at generate nothing; policies are called where they lie (:mod:`singlab.kernel.layout`). A point is named by the line of its statement and its role: entry, then, else, join, head, body, exit.
"""

from __future__ import annotations

import ast
import struct
from dataclasses import dataclass

from singlab.kernel.layout import CORE_TEXT, POLICY_BYTES, POLICY_TEXT
from singlab.kernel.policyslots import SLOTS
from singlab.sing import sil
from singlab.sing.expressions import _BINARY, _COMPARE
from singlab.sing.modulecode import ModuleCode
from singlab.sing.types import BOOL, U64

LOADS = {"ld8": "raw_load8", "ld16": "raw_load16", "ld32": "raw_load32", "ld64": "raw_load64", "ldio32": "raw_load32"}
STORES = {"st8": "raw_store8", "st16": "raw_store16", "st32": "raw_store32", "st64": "raw_store64", "stio32": "raw_store32"}


#: What generates nothing, and what is always 0 on the hart.
HOST_ONLY, HOST_WORDS = ("emit", "film_step", "policy_stop", "policy_raised"), ("policy_trouble",)
#: Policies' slots: their labels and places, as distances from the kernel's functions.
POLICY_SLOTS = tuple(SLOTS)
OUTSIDE = {f"policy_{name}": POLICY_TEXT + slot * POLICY_BYTES - CORE_TEXT for slot, name in enumerate(POLICY_SLOTS)}


class WordsError(Exception):
    """A kernel function uses what the subset does not have.

    Attributes
    ----------
    node : ast.AST
        Where.
    reason : str
    """

    def __init__(self, file: str, node: ast.AST, reason: str):
        super().__init__(f"{file}.py:{getattr(node, 'lineno', 0)}: {reason}")
        self.node, self.reason = node, reason


@dataclass
class Branch:
    """A condition of a kernel function: the block that ends with it, and the blocks it leads to."""

    key: str
    block: str
    yes: str
    no: str


class FunctionWords:
    """Lower one kernel function to SIL with keyed blocks."""

    def __init__(self, node: ast.FunctionDef, file: str, constants: dict[str, int], known: set[str]):
        self.node, self.file, self.constants, self.known = node, file, constants, known
        self.blocks: list[sil.Block] = []
        self.variables: dict[str, sil.Reg] = {}
        self.count = 0
        self.loops: list[tuple[str, str]] = []
        self.branches: list[Branch] = []
        self.last: list[sil.Block] = []  # what stands behind the rest

    def refuse(self, node: ast.AST, message: str) -> WordsError:
        return WordsError(self.file, node, message)

    def reg(self, type_=U64, name: str | None = None) -> sil.Reg:
        self.count += 1
        return sil.Reg(self.count - 1, type_, name)

    def begin(self, key: str) -> sil.Block:
        """Return a new block, placed later."""
        return sil.Block(key.replace(":", "_"), key=key)

    def place(self, block: sil.Block) -> None:
        """Put a block next in the layout and make it current."""
        self.blocks.append(block)
        self.block = block

    def emit(self, op: str, dest=None, args=(), extra=None):
        self.block.instrs.append(sil.Instr(op, dest, tuple(args), extra, sil.Position(self.node.lineno)))
        return dest

    def ended(self) -> bool:
        return bool(self.block.instrs) and self.block.instrs[-1].op in sil.TERMINATORS

    def go(self, block: sil.Block) -> None:
        if not self.ended():
            self.emit("br", extra=block.label)

    def lower(self) -> sil.Function:
        """Return the function's SIL."""
        params = []
        for argument in self.node.args.args[1:]:
            reg = self.reg(name=argument.arg)
            self.variables[argument.arg] = reg
            params.append(reg)
        self.place(self.begin(f"{self.node.lineno}:entry"))
        body = self.node.body[1:] if ast.get_docstring(self.node) else self.node.body
        self.statements(body)
        if not self.ended():
            zero = self.emit("const", self.reg(), extra=0)
            self.emit("ret", None, (zero,))
        self.blocks += self.last
        reached = self.reachable()
        return sil.Function(self.node.name, params, U64, [b for b in self.blocks if b.label in reached],
                            sil.Position(self.node.lineno))  # fmt: skip

    def reachable(self) -> set[str]:
        by_label = {block.label: block for block in self.blocks}
        reached, todo = {self.blocks[0].label}, [self.blocks[0].label]
        while todo:
            for label in sil.successors(by_label[todo.pop()].instrs[-1]):
                if label not in reached:
                    reached.add(label)
                    todo.append(label)
        return reached

    def statements(self, body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.If):
                self.if_(node)
            elif isinstance(node, ast.While):
                self.while_(node)
            elif isinstance(node, ast.Return):
                value = self.expr(node.value) if node.value else self.emit("const", self.reg(), extra=0)
                self.emit("ret", None, (value,))
            elif isinstance(node, (ast.Break, ast.Continue)) and not self.loops:
                raise self.refuse(node, f"{type(node).__name__.lower()} outside a loop")
            elif isinstance(node, (ast.Break, ast.Continue)):
                self.emit("br", extra=self.loops[-1][isinstance(node, ast.Break)])
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.assign(node.targets[0].id, self.expr(node.value))
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                left = ast.copy_location(ast.Name(node.target.id, ast.Load()), node)
                self.assign(node.target.id, self.expr(ast.copy_location(ast.BinOp(left, node.op, node.value), node)))
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                self.call(node.value)
            else:
                raise self.refuse(node, f"no {type(node).__name__} in kernel functions")

    def assign(self, name: str, value: sil.Reg) -> None:
        if name not in self.variables:
            self.variables[name] = self.reg(name=name)
        self.emit("mov", self.variables[name], (value,))

    def only_host(self, node: ast.If) -> bool:
        """Return whether what follows a condition generates nothing."""
        return not node.orelse and all(isinstance(one, ast.Expr) and isinstance(one.value, ast.Call) and one.value.func.id in HOST_ONLY for one in node.body)

    def calls_alone(self, node: ast.expr) -> None:
        """Make the calls of a condition that nobody branches on: a load takes its time, and a function may do something."""
        if isinstance(node, ast.Call):
            self.call(node)
            return
        for child in ast.iter_child_nodes(node):
            self.calls_alone(child)

    def if_(self, node: ast.If) -> None:
        if self.only_host(node):
            self.calls_alone(node.test)
            return
        line = node.lineno
        then, join = self.begin(f"{line}:then"), self.begin(f"{line}:join")
        other = self.begin(f"{line}:else") if node.orelse else join
        test = self.test(node.test)
        self.branches.append(Branch(f"{line}:if", self.block.label, then.label, other.label))
        self.emit("cbr", None, (test,), (then.label, other.label))
        first = len(self.blocks)
        self.place(then)
        self.statements(node.body)
        self.go(join)
        if isinstance(node.body[-1], ast.Return) and not node.orelse:
            self.last += self.blocks[first:]
            del self.blocks[first:]
        if node.orelse:
            self.place(other)
            self.statements(node.orelse)
            self.go(join)
        self.place(join)
        if not any(join.label in sil.successors(b.instrs[-1]) for b in self.blocks[:-1] if b.instrs):
            # both branches leave: nothing after this is reached
            zero = self.emit("const", self.reg(), extra=0)
            self.emit("ret", None, (zero,))

    def while_(self, node: ast.While) -> None:
        line = node.lineno
        head, body, leave = (self.begin(f"{line}:{role}") for role in ("head", "body", "exit"))
        self.go(head)
        self.place(head)
        test = self.test(node.test)
        self.branches.append(Branch(f"{line}:while", self.block.label, body.label, leave.label))
        self.emit("cbr", None, (test,), (body.label, leave.label))
        self.place(body)
        self.loops.append((head.label, leave.label))
        self.statements(node.body)
        self.loops.pop()
        self.go(head)
        self.place(leave)

    # ---- expressions ------------------------------------------------------------------------------------------

    def constant(self, node: ast.expr) -> int | None:
        """Return the value of a constant expression."""
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value
        if isinstance(node, ast.Name) and node.id not in self.variables and node.id in self.constants:
            return self.constants[node.id]
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            left, right = self.constant(node.left), self.constant(node.right)
            if left is not None and right is not None:
                from singlab.sing.expressions import ExpressionLowering

                return ExpressionLowering.fold(type(node.op), left, right)
        return None

    def test(self, node: ast.expr) -> sil.Reg:
        """Return a bool register for a condition."""
        if isinstance(node, ast.BoolOp):
            result = self.test(node.values[0])
            for value in node.values[1:]:
                other = self.test(value)
                result = self.emit("and" if isinstance(node.op, ast.And) else "or", self.reg(BOOL), (result, other))
            return result
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self.emit("not", self.reg(BOOL), (self.test(node.operand),))
        if isinstance(node, ast.Compare):
            if len(node.ops) != 1:
                raise self.refuse(node, "no chained comparisons in kernel functions")
            left, right = self.expr(node.left), self.expr(node.comparators[0])
            return self.emit(_COMPARE[type(node.ops[0])], self.reg(BOOL), (left, right))
        zero = self.emit("const", self.reg(), extra=0)
        return self.emit("ne", self.reg(BOOL), (self.expr(node), zero))

    def expr(self, node: ast.expr) -> sil.Reg:
        value = self.constant(node)
        if value is not None:
            value &= (1 << 64) - 1
            return self.emit("const", self.reg(), extra=value if value < 1 << 63 else value - (1 << 64))
        if isinstance(node, ast.Name):
            if node.id not in self.variables:
                raise self.refuse(node, f"{node.id} is not known")
            return self.variables[node.id]
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            op = _BINARY[type(node.op)]
            left, right = self.expr(node.left), self.expr(node.right)
            # no check of a zero divisor: what the hart gives then is a word like any other
            return self.emit(op, self.reg(), (left, right), "nonzero" if op in ("div", "rem") else None)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
            return self.emit("inv", self.reg(), (self.expr(node.operand),))
        if isinstance(node, (ast.Compare, ast.BoolOp)):
            return self.emit("cast", self.reg(), (self.test(node),))
        if isinstance(node, ast.Call):
            return self.call(node)
        raise self.refuse(node, f"no {type(node).__name__} in kernel functions")

    def address(self, node: ast.expr) -> tuple[sil.Reg, int]:
        """Return base and offset of an address, folding a small constant into the access."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            offset = self.constant(node.right)
            if offset is not None and offset < 2048:
                base, more = self.address(node.left)
                if more + offset < 2048:
                    return base, more + offset
                return self.expr(node.left), offset
        return self.expr(node), 0

    def call(self, node: ast.Call) -> sil.Reg | None:
        name = node.func.id
        if name in HOST_ONLY:
            return None
        if name in HOST_WORDS:
            return self.emit("const", self.reg(), extra=0)
        if name == "now":
            return self.emit("cycles", self.reg())
        if name in LOADS:
            base, offset = self.address(node.args[1])
            return self.emit(LOADS[name], self.reg(), (base,), offset)
        if name in STORES:
            base, offset = self.address(node.args[1])
            value = self.expr(node.args[2])
            return self.emit(STORES[name], None, (base, value), offset)
        if name not in self.known:
            raise self.refuse(node, f"{name} is no kernel function")
        arguments = [self.expr(a) for a in node.args[1:]]
        return self.emit("call", self.reg(), arguments, name)


@dataclass
class CoreImage:
    """The kernel's functions as code.

    Attributes
    ----------
    text : bytes
    functions : dict of str to (int, int)
        "file:name" to byte offset and size.
    points : dict of str to dict
        "file:name" to its points: "line:role" to [byte offset, instructions, multiplications, divisions].
    branches : dict of str to dict
        "file:name" to its conditions: "line:if" or "line:while" to [1 if the way in where it holds is predicted wrongly,
        the same where it does not].
    module : sil.Module
    """

    text: bytes
    functions: dict[str, tuple[int, int]]
    points: dict[str, dict[str, list[int]]]
    branches: dict[str, dict[str, list[int]]]
    module: sil.Module


def _long(text: bytes, offset: int, count: int) -> list[int]:
    """Return how many of ``count`` instructions multiply and how many divide."""
    words = [word for word in struct.unpack_from(f"<{count}I", text, offset) if word & 0x7F in (0x33, 0x3B) and word >> 25 == 1]
    divisions = sum(word >> 14 & 1 for word in words)
    return [len(words) - divisions, divisions]


def _wrongly(text: bytes, offset: int, count: int, yes: int, no: int) -> list[int]:
    """Return for both ways out of a block, at ``yes`` and ``no``, whether its conditional branch is predicted otherwise.

    The block ends with the branch, or with the branch and a jump that goes on for the way not taken, or for one too far away.
    """
    words = struct.unpack_from(f"<{count}I", text, offset)
    place = max(index for index, word in enumerate(words) if word & 0x7F == 0x63)
    word, at = words[place], offset + 4 * place
    distance = (word >> 7 & 1) << 11 | (word >> 25 & 0x3F) << 5 | (word >> 8 & 0xF) << 1
    backward = word >> 31 == 1
    ends = []
    for way in (at + distance - (4096 if backward else 0), at + 4):
        while offset <= way < offset + 4 * count:  # a jump of this block
            jump = words[(way - offset) // 4]
            if jump & 0x7F != 0x6F:
                raise AssertionError(f"the code at {way:#x} goes on after a branch with what is no jump")
            far = (jump >> 12 & 0xFF) << 12 | (jump >> 20 & 1) << 11 | (jump >> 21 & 0x3FF) << 1
            way += far - (1 << 20 if jump >> 31 else 0)
        ends.append(way)
    if sorted(ends) != sorted((yes, no)):
        raise AssertionError(f"the branch at {at:#x} leads to {ends}, not to {[yes, no]}")
    wrong = ends[1] if backward else ends[0]
    return [int(yes == wrong and yes != no), int(no == wrong and yes != no)]


def compile_core(sources: dict[str, str], constants: dict[str, dict[str, int]], outside: dict[str, int] = OUTSIDE,
                 trees: dict[str, ast.AST] | None = None) -> CoreImage:  # fmt: skip
    """Compile kernel functions.

    Parameters
    ----------
    sources : dict of str to str
        File name (without .py) to text, in the order in which they import each other.
    constants : dict of str to dict
        For each file the integer names its module sees.
    outside : dict of str to int
        Functions whose code lies elsewhere: distances in bytes from the first instruction.
    trees : dict of str to ast.FunctionDef, optional
        The functions themselves, where the texts' lines are not to count.
    """
    functions: dict[str, sil.Function] = {}
    conditions: dict[str, list[Branch]] = {}
    home: dict[str, str] = {}
    for file, text in sources.items():
        for node in [trees[file]] if trees else ast.parse(text).body:
            if isinstance(node, ast.FunctionDef):
                words = FunctionWords(node, file, constants[file], set(home) | {node.name} | set(outside))
                functions[node.name] = words.lower()
                conditions[node.name] = words.branches
                home[node.name] = file
    module = sil.Module("kernel", functions, "", {})
    generated = ModuleCode(module, start=False, outside=outside).generate()
    starts = {name: generated.code.labels[name] for name in functions}
    order = sorted(starts, key=starts.__getitem__)
    ends = dict(zip(order, [starts[n] for n in order[1:]] + [generated.code.text_bytes]))
    text = generated.code.text
    return CoreImage(
        text,
        {f"{home[n]}:{n}": (starts[n], ends[n] - starts[n]) for n in functions},
        {
            f"{home[n]}:{n}": {b.key: [*generated.blocks[n, b.label], *_long(text, *generated.blocks[n, b.label])] for b in f.blocks if b.key}
            for n, f in functions.items()
        },
        {
            f"{home[n]}:{n}": {
                one.key: _wrongly(text, *where[one.block], where[one.yes][0], where[one.no][0])
                for one in conditions[n]
                if one.block in (where := {b.label: generated.blocks[n, b.label] for b in f.blocks})
            }
            for n, f in functions.items()
        },
        module,
    )
