"""Kernel functions of students: read as text, compiled for the hart, called on a bare machine with tables in its memory.

    @kernel
    def lookup(caller, handle):
        ...

They are written in the subset of Python that the kernel itself is written in (:mod:`singlab.sing.words`): every value is an
unsigned 64-bit word, there are ``if``, ``while``, ``for`` over a range, arithmetic, helpers of one's own, and memory is reached
by ``ld8`` … ``ld64`` and ``st8`` … ``st64`` alone. Unlike in the kernel, ``and`` and ``or`` stop at what decides, so that a test
can stand before the load it protects.

The bed knows the whole of its memory: text and stack lie where a stray store is noticed, and what lies around the tables is
compared like the tables themselves. Leaves out traps, interrupts and every device.
"""

from __future__ import annotations

import ast
import copy
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from singlab.machine import Machine
from singlab.machine import state as _s
from singlab.machine.asm import encode
from singlab.sing import sil
from singlab.sing.errors import SipError
from singlab.sing.modulecode import ModuleCode
from singlab.sing.names import _Word
from singlab.sing.parsing import parse
from singlab.sing.program import Program, _capture, programs_from_source
from singlab.sing.subset import Subset
from singlab.sing.types import BOOL
from singlab.sing.words import FunctionWords, WordsError

# ---- where things lie on the bed --------------------------------------------------------------------------------
STACK_BYTES = 0x2000
TEXT = _s.RAM_BASE + STACK_BYTES
RETURN, TRAP = TEXT, TEXT + 8
CODE = TEXT + 16
MOST_CODE = 0xE000 - 16  #: bytes
DATA = _s.RAM_BASE + 0x1_0000
#: Cycles a call may take, unless an exercise says otherwise.
LIMIT_CYCLES = 200_000

#: How a function reaches memory; the kernel's own functions have words for devices too.
LOADS, STORES = ("ld8", "ld16", "ld32", "ld64"), ("st8", "st16", "st32", "st64")
_MOST_NODES = 20_000
_HINT = "there are if, while, for over range, return, arithmetic on words, comparisons, and, or, not, and calls"
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_MASK = (1 << 64) - 1
_CAUSES = {
    1: "fetches from {address:#x}, which is outside memory", 2: "is no instruction", 4: "loads from {address:#x}, which is not aligned",
    5: "loads from {address:#x}, which is outside memory", 6: "stores to {address:#x}, which is not aligned",
    7: "stores to {address:#x}, which is outside memory",
}  # fmt: skip


class KernelFunction(Program):
    """A kernel function as a student wrote it."""

    def __repr__(self) -> str:
        return f"<kernel function {self.name}, {self.filename}:{self.node.lineno}>"

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> None:
        return None


def kernel(function) -> KernelFunction:
    """Make a kernel function: its parameters and what it returns are 64-bit words.

    Examples
    --------
    >>> @kernel
    ... def is_open(endpoint):
    ...     return ld64(endpoint + E_CLOSED) == 0
    """
    found = _capture(function, False)
    return KernelFunction(found.name, found.node, found.source, found.filename, found.names, False)


def kernel_functions(text: str, filename: str, given: Mapping) -> dict[str, KernelFunction]:
    """Return the functions of a text that are decorated with ``@kernel``, executing nothing.

    Raises
    ------
    SipError
        If the text is no Python.
    """
    table: dict = dict(programs_from_source(text, filename, given).constants)
    found = {}
    for node in parse(text).body:
        if isinstance(node, ast.FunctionDef) and any(_called(one) == "kernel" for one in node.decorator_list):
            found[node.name] = KernelFunction(node.name, node, text, filename, table, False)
    table.update(found)
    table.update(given)
    return found


def _called(decorator: ast.expr) -> str | None:
    return decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", None)


# ---- reading ------------------------------------------------------------------------------------------------------


class _KernelWords(Subset):
    """Write a student's kernel function in the subset, or refuse what is not in it."""

    def __init__(self, function: KernelFunction, names: Mapping):
        super().__init__()
        self.function, self.names = function, names
        self.calls: dict[str, KernelFunction] = {}
        self.value = True

    def refuse(self, node: ast.AST, message: str, hint: str) -> SipError:
        line, column = getattr(node, "lineno", self.function.node.lineno), getattr(node, "col_offset", 0) + 1
        return SipError("kernel", message, hint=hint, line=line, column=column).at(self.function.filename, self.function.source)

    def body(self, body: list[ast.stmt]) -> list[ast.stmt]:
        kept = [one for one in body if not _text(one) and not isinstance(one, ast.Pass)]
        return super().body(kept) or ([_nothing(body[0])] if body else [])

    def visit_Raise(self, node: ast.Raise):
        raise self.refuse(node, "a kernel function raises nothing", "return an error code")

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        if not isinstance(node.value, ast.Call):
            raise self.refuse(node, "this does nothing", "write a statement")
        self.value = False
        return ast.copy_location(ast.Expr(self.visit(node.value)), node)

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        if len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            raise self.refuse(node, "one name at a time is assigned", "write name = value; memory is written by st64(address, value)")
        return self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        for op in node.ops:
            if not isinstance(op, _COMPARISONS):
                raise self.refuse(node, "words are compared by ==, !=, <, <=, > and >=", "both sides are unsigned words")
        parts = [node.left, *node.comparators]
        if any(isinstance(one, ast.Call) for part in parts[1:-1] for one in ast.walk(part)):
            raise self.refuse(node, "the middle of a chained comparison calls something", "give it a name first")
        pairs = [ast.copy_location(ast.Compare(self.visit(copy.deepcopy(a)), [op], [self.visit(copy.deepcopy(b))]), node)
                 for a, op, b in zip(parts, node.ops, parts[1:])]  # fmt: skip
        return pairs[0] if len(pairs) == 1 else ast.copy_location(ast.BoolOp(ast.And(), pairs), node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        if isinstance(node.op, ast.USub):
            return ast.copy_location(ast.BinOp(ast.copy_location(ast.Constant(0), node), ast.Sub(), self.visit(node.operand)), node)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if isinstance(node.ctx, ast.Load) and isinstance(self.names.get(node.id), Program):
            raise self.refuse(node, f"{node.id} is a function, not a value", f"call it: {node.id}(...)")
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        value, self.value = self.value, True
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        known = self.names.get(name)
        if name in WORDS:
            wanted = WORDS[name]
            if name in STORES and value:
                raise self.refuse(node, f"{name} gives nothing", "write it on a line of its own")
        elif isinstance(known, KernelFunction):
            wanted = tuple(argument.arg for argument in known.node.args.args)
            self.calls[name] = known
        else:
            why = f"{name} is no kernel function" if isinstance(known, Program) else f"{name} is nothing a kernel function can call"
            raise self.refuse(node, why, f"there are {', '.join(WORDS)}, and your own functions with @kernel above them")
        return self.called(node, name, wanted)

    def checked(self) -> ast.FunctionDef:
        """Return the function in the kernel's subset."""
        node = self.function.node
        if not isinstance(node, ast.FunctionDef):
            raise self.refuse(node, "a kernel function is a function", "write def name(word, word):")
        if sum(1 for _ in ast.walk(node)) > _MOST_NODES:
            raise self.refuse(node, f"{node.name} is too long", "split it into several functions")
        given = node.args
        if given.vararg or given.kwarg or given.kwonlyargs or given.defaults or given.posonlyargs or len(given.args) > 8:
            raise self.refuse(node, "a kernel function has up to eight parameters, each a word", f"write def {node.name}(a, b):")
        names = [argument.arg for argument in given.args]
        for name in names + [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]:
            if name in WORDS or name in ("range", "m") or name.startswith("_") or isinstance(self.names.get(name), Program):
                raise self.refuse(node, f"{name} is no name for a variable here", "choose another")
        body = node.body[1:] if ast.get_docstring(node) else node.body
        arguments = ast.arguments([], [ast.arg("m"), *(ast.arg(name) for name in names)], None, [], [], None, [])
        words = ast.FunctionDef(node.name, arguments, self.body(copy.deepcopy(body)) if body else [_nothing(node)], [])
        return ast.fix_missing_locations(ast.copy_location(words, node))


def _text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _nothing(node: ast.AST) -> ast.stmt:
    """Return a statement that does nothing, where one must stand."""
    return ast.copy_location(ast.Assign([ast.Name("_nothing", ast.Store())], ast.Constant(0)), node)


class _Lowering(FunctionWords):
    """Lower one function: with each instruction's own line, and ``and`` and ``or`` that stop at what decides."""

    def __init__(self, node: ast.FunctionDef, constants: dict[str, int], known: set[str]):
        super().__init__(node, node.name, constants, known)
        self.line = node.lineno
        self.forks = 0

    def statements(self, body: list[ast.stmt]) -> None:
        for node in body:
            self.line = node.lineno
            super().statements([node])

    def emit(self, op: str, dest=None, args=(), extra=None):
        self.block.instrs.append(sil.Instr(op, dest, tuple(args), extra, sil.Position(self.line)))
        return dest

    def test(self, node: ast.expr) -> sil.Reg:
        if not isinstance(node, ast.BoolOp):
            return super().test(node)
        self.forks += 1
        join = self.begin(f"decided{self.forks}")
        decided = self.reg(BOOL)
        for number, value in enumerate(node.values):
            self.emit("mov", decided, (self.test(value),))
            if number + 1 < len(node.values):
                more = self.begin(f"{join.label}_{number}")
                ways = (more.label, join.label) if isinstance(node.op, ast.And) else (join.label, more.label)
                self.emit("cbr", None, (decided,), ways)
                self.place(more)
        self.go(join)
        self.place(join)
        return decided

    def lower(self) -> sil.Function:
        function = super().lower()
        given = {argument.arg for argument in self.node.args.args}
        zeros = [sil.Instr("const", reg, (), 0, function.position) for name, reg in self.variables.items() if name not in given]
        function.blocks[0].instrs[:0] = zeros  # a variable that some way to its use has not set
        return function


@dataclass
class KernelCode:
    """Kernel functions as code.

    Attributes
    ----------
    text : bytes
    places : dict of str to int
        Byte offsets of the functions.
    lines : list of (int, int)
        (byte offset, source line), ascending.
    """

    text: bytes
    places: dict[str, int]
    lines: list[tuple[int, int]]

    def line(self, offset: int) -> int:
        """Return the source line of the instruction at a byte offset, 0 if it has none."""
        return next((line for at, line in reversed(self.lines) if at <= offset), 0)


def compile_kernel(function: KernelFunction, given: Mapping) -> KernelCode:
    """Compile a function with those it calls.

    Parameters
    ----------
    function : KernelFunction
    given : Mapping
        Constants that count, whatever the function's own surroundings say.

    Raises
    ------
    SipError
        If it is refused; the place is in the student's text.
    """
    lowered: dict[str, sil.Function] = {}
    todo, calls = {function.name: function}, {}
    while todo:
        name, one = todo.popitem()
        names = ChainMap(dict(given), one.names)
        words = _KernelWords(one, names)
        try:
            node = words.checked()
            used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            constants = {n: int(names[n]) for n in used if isinstance(names.get(n), (int, np.integer))}
            lowered[name] = _Lowering(node, constants, set(words.calls)).lower()
        except RecursionError:
            raise words.refuse(one.node, "this is too deeply nested", "split it into several statements") from None
        except WordsError as error:
            raise words.refuse(error.node, error.reason.replace("in kernel functions", "in a kernel function"), _HINT) from None
        except SipError as error:
            raise error.at(one.filename, one.source) from None
        calls[name] = set(words.calls)
        todo |= {n: f for n, f in words.calls.items() if n not in lowered}
        if name in _reached(calls, name):
            raise words.refuse(one.node, f"{name} calls itself", "write a loop: the kernel's stack is small, and what it walks may be long")
    try:
        generated = ModuleCode(sil.Module("kernel", lowered, "", {}), start=False).generate()
    except (SipError, RecursionError) as error:
        raise SipError("kernel", str(getattr(error, "message", "") or "this is too deeply nested"), line=function.node.lineno,
                       hint="make it shorter").at(function.filename, function.source) from None  # fmt: skip
    text = generated.code.text
    if len(text) > MOST_CODE:
        raise SipError("kernel", f"{function.name} and what it calls take {len(text):,} bytes of code", line=function.node.lineno,
                       hint=f"there is room for {MOST_CODE:,}; make it shorter").at(function.filename, function.source)  # fmt: skip
    return KernelCode(text, {name: generated.code.labels[name] for name in lowered}, generated.code.lines)


def _reached(calls: dict[str, set[str]], name: str) -> set[str]:
    """Return what a function calls, directly and indirectly, as far as it has been read."""
    found: set[str] = set()
    todo = list(calls[name])
    while todo:
        if (one := todo.pop()) not in found:
            found.add(one)
            todo += calls.get(one, ())
    return found


# ---- calling ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Called:
    """What a call came to.

    Attributes
    ----------
    value : int
        What it returned.
    broken : str
        Why it did not return, or what it did to the code; empty if it returned.
    line : int
        Where it broke, 0 if no line can be named.
    """

    value: int = 0
    broken: str = ""
    line: int = 0


@dataclass
class KernelBed:
    """A bare machine with kernel functions in it, and tables.

    Parameters
    ----------
    code : KernelCode
    words : int
        How many 64-bit words lie at ``DATA``.
    limit : int
        Cycles a call may take.

    Attributes
    ----------
    memory : ndarray of uint64, shape (words,)
        The words at ``DATA``, as they are.
    """

    code: KernelCode
    words: int
    limit: int = LIMIT_CYCLES
    memory: np.ndarray = field(init=False)

    def __post_init__(self):
        self.switch_on()

    def switch_on(self) -> None:
        """Begin with a new machine, whose tables are empty."""
        size = -(-(DATA - _s.RAM_BASE + 8 * self.words) // 4096) * 4096
        self.machine = machine = Machine(profile="teaching", ram=size)
        m = machine.m
        for place, number in ((RETURN, 1), (TRAP, 2)):
            machine.write(place, encode("hook", number).to_bytes(4, "little"))
        machine.write(CODE, self.code.text)
        m[_s.TRACE_ON] = 0
        m[_s.MTVEC] = TRAP
        first = _s.RAM_WORD + (DATA - _s.RAM_BASE) // 8
        self.memory = m[first : first + self.words]
        self._text = m[_s.RAM_WORD + STACK_BYTES // 8 : first]
        self._written = self._text.copy()

    def call(self, name: str, *arguments: int) -> Called:
        """Call a function; the memory stays as it leaves it."""
        m = self.machine.m
        m[_s.PC], m[_s.MODE] = CODE + self.code.places[name], _s.M_MODE
        m[_s.X + 1 : _s.X + 32] = 0
        m[_s.X + 1], m[_s.X + 2] = RETURN, TEXT
        for number, argument in enumerate(arguments):
            m[_s.X + 10 + number] = argument & _MASK
        reason = self.machine.run(cycles=self.limit)
        line = self.code.line(int(m[_s.PC]) - CODE)
        if reason == "hook" and int(m[_s.PC]) == TRAP:
            cause, address = int(m[_s.MCAUSE]), int(m[_s.MTVAL])
            line = self.code.line(int(m[_s.MEPC]) - CODE)
            ended = Called(0, _CAUSES.get(cause, "ends in trap {cause}").format(address=address, cause=cause), line)
        elif reason == "limit":
            ended = Called(0, f"finds no end: it was still computing after {self.limit:,} cycles", line)
        elif reason != "hook" or int(m[_s.PC]) != RETURN:
            ended = Called(0, "goes where no code is", 0)
        else:
            ended = Called(int(m[_s.X + 10]))
        if not np.array_equal(self._text, self._written):
            ended = Called(0, "writes over the kernel's own code", 0)
        if ended.broken:
            kept = self.memory.copy()
            self.switch_on()
            self.memory[:] = kept
        return ended


class Words:
    """Tables as words from ``DATA`` on; subclasses say how many there are and what they mean."""

    size = 0

    def __init__(self, words: np.ndarray | None = None):
        self.words = np.zeros(self.size, dtype=np.uint64) if words is None else words

    def copy(self):
        """Return a copy."""
        return type(self)(self.words.copy())

    def get(self, address: int) -> int:
        """Return the word at an address."""
        return int(self.words[(address - DATA) >> 3])

    def put(self, address: int, value: int) -> None:
        """Write the word at an address."""
        self.words[(address - DATA) >> 3] = value


def _words() -> dict[str, tuple[str, ...]]:
    return {**dict.fromkeys(LOADS, ("address",)), **dict.fromkeys(STORES, ("address", "value"))}


#: What a kernel function may call beside its own kind, and what each is given.
WORDS = _words()
ld8, ld16, ld32, ld64 = (_Word(name, f"{name}(address): load {name[2:]} bits, as a word.") for name in LOADS)
st8, st16, st32, st64 = (_Word(name, f"{name}(address, value): store the low {name[2:]} bits of a word.") for name in STORES)
__all__ = ["kernel", *WORDS]
