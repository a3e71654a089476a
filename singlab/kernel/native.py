"""The kernel's functions, compiled for the host and charging what they cost.

Reads the sources in :mod:`singlab.kernel.core`, puts a charge at the start of each basic block (how
many instructions the RV64 form of that block has and where it lies in the kernel's text, its multiplications, and
the branch that led there against the hart's prediction; all from ``charges.json``), hoists every constant to a 64-bit word, and compiles the result with numba. So the
native kernel retires the instructions, fetches the lines and touches the memory that the RV64 kernel
would. Each loop also looks whether the call has gone on for longer than any can whose tables are in order, and ends then (see
KERNEL_MOST in :mod:`singlab.machine.state`): the host never hangs in a damaged list. What an event says is read only where events
are written, and at no cost: on the hart nobody reads it. The instrumented source is kept in the cache folder, where numba can find it again.

What it leaves out: the memory traffic of the functions' stack frames.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import sys

from singlab.kernel.abi import ABI
from singlab.kernel.layout import (
    CORE_TEXT,
    G_PRINT_BYTES,
    HOOK_FAULT,
    HOOK_IDLE,
    HOOK_OPEN,
    HOOK_OPEN_FAULT,
    HOOK_OPERATOR,
    HOOK_SERVICE,
    HOOK_TIMER,
    RAM_BASE,
)
from singlab.kernel.native_files import CHARGES, CORE_FILES, module_name, source_path
from singlab.kernel.opencalls import OPEN_CALLS
from singlab.machine.jit import CACHE, jit
from singlab.machine.state import DUE_0, KERNEL_MOST, RAM_OFFSET, TRACE_ON

#: Reasons for the host to look: text was printed, a process or thread has ended.
STOP_PRINT = 20
STOP_ENDED = 21

#: The kernel's own tables are damaged: a loop over them had no end, or led out of memory.
STOP_DAMAGED = 23

#: Calls that are asked for first, in this order; the rest follow by number.
_OFTEN = ("send", "receive", "yield", "allocate", "free", "close", "select")

_HEADER = '''"""Made from singlab.kernel.core and charges.json; see singlab.kernel.native."""
import numpy as np

from singlab.kernel.core.words import *
from singlab.kernel.watching import look32, look64
from singlab.machine.access import charge_block, charge_divisions, charge_multiplications, charge_wrong_way
from singlab.machine.jit import inner
from singlab.machine.state import raw_ld64

_word = np.uint64
'''


#: What only writes to the trace, and what its arguments are read with in place of the kernel's loads.
_EVENTS, _LOOKS = ("emit", "film_step"), {"ld64": "look64", "ld32": "look32"}


def _call(name: str, *words: ast.expr) -> ast.stmt:
    """Return a statement that calls a function of the machine."""
    return ast.Expr(ast.Call(ast.Name(name, ast.Load()), [ast.Name("m", ast.Load()), *words], []))


class Instrument(ast.NodeTransformer):
    """Turn one core function into its host form; its loops are ``bounded`` unless whoever asks for it sees to that."""

    def __init__(self, constants: dict[str, int], about: dict, pool: dict[int, str], base: int = CORE_TEXT, bounded: bool = True):
        self.constants, self.base, self.bounded = constants, base, bounded
        self.points, self.branches = about["points"], about["branches"]
        self.pool = pool

    def word(self, value: int) -> ast.Name:
        """Return the name of a hoisted 64-bit constant."""
        value &= (1 << 64) - 1
        return ast.Name(self.pool.setdefault(value, f"_c{value:x}"), ast.Load())

    def charge(self, line: int, role: str) -> list[ast.stmt]:
        """Return the statement that charges a block, or nothing where the block is empty."""
        point = self.points.get(f"{line}:{role}")
        if point is None or point[1] == 0:
            return []
        offset, count, multiplications, divisions = point
        calls = [("charge_block", self.word(self.base + offset), self.word(count))]
        if multiplications:
            calls.append(("charge_multiplications", self.word(multiplications)))
        if divisions:
            calls.append(("charge_divisions", self.word(divisions)))
        return [_call(*call) for call in calls]

    def ways(self, line: int, kind: str) -> list[list[ast.stmt]]:
        """Return what to charge on the two ways out of a condition, where it holds and where it does not."""
        return [[_call("charge_wrong_way")] if wrong else [] for wrong in self.branches.get(f"{line}:{kind}", (0, 0))]

    def bound(self, line: int) -> list[ast.stmt]:
        """Return the statement that leaves a loop whose head has retired more than any loop over tables in order does."""
        if not self.bounded:
            return []
        due = f"m[{DUE_0 + (self.base + self.points[f'{line}:head'][0] >> 4 & 3)}]"
        return ast.parse(f"if {due} > m[{KERNEL_MOST}]:\n    m[{KERNEL_MOST}] = _word(0)\n    break").body

    def statements(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Instrument a statement list: what follows an ``if`` or ``while`` is a block of its own."""
        out: list[ast.stmt] = []
        for statement in body:
            if isinstance(statement, ast.If):
                line = statement.lineno
                yes, no = self.ways(line, "if")
                then = yes + self.charge(line, "then") + self.statements(statement.body)
                other = no + (self.charge(line, "else") + self.statements(statement.orelse) if statement.orelse else [])
                out.append(ast.If(self.test(statement.test), then, other))
                out += self.charge(line, "join")
            elif isinstance(statement, ast.While):
                line = statement.lineno
                yes, no = self.ways(line, "while")
                leave = ast.If(ast.UnaryOp(ast.Not(), self.test(statement.test)), [*no, ast.Break()], [])
                inner = self.charge(line, "head") + [leave, *self.bound(line), *yes] + self.charge(line, "body")
                out.append(ast.While(ast.Constant(True), inner + self.statements(statement.body), []))
                out += self.charge(line, "exit")
            else:
                out.append(self.visit(statement))
        return out

    def test(self, node: ast.expr) -> ast.expr:
        """Instrument a condition; and/or evaluate both sides, as the RV64 form does."""
        if isinstance(node, ast.BoolOp):
            operator = ast.BitAnd() if isinstance(node.op, ast.And) else ast.BitOr()
            result = self.test(node.values[0])
            for value in node.values[1:]:
                result = ast.BinOp(result, operator, self.test(value))
            return result
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ast.UnaryOp(ast.Not(), self.test(node.operand))
        if isinstance(node, ast.Compare):
            return ast.Compare(self.visit(node.left), node.ops, [self.visit(c) for c in node.comparators])
        return ast.Compare(self.visit(node), [ast.NotEq()], [self.word(0)])

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        return ast.Call(ast.Name("_word", ast.Load()), [self.test(node)], [])

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        return ast.Call(ast.Name("_word", ast.Load()), [self.test(node)], [])

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return self.word(node.value) if isinstance(node.value, int) else node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load) and node.id in self.constants:
            return self.word(self.constants[node.id])
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        call = self.generic_visit(node).value
        if not (isinstance(call, ast.Call) and call.func.id in _EVENTS):
            return node
        loads = [one for argument in call.args for one in ast.walk(argument) if isinstance(one, ast.Call)]
        for load in loads:
            if load.func.id != "_word":
                load.func.id = _LOOKS[load.func.id]
        return ast.If(ast.parse(f"m[{TRACE_ON}] != 0").body[0].value, [node], []) if loads else node

    def function(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Return the host form of a core function."""
        documentation = [node.body[0]] if ast.get_docstring(node) else []
        body = self.charge(node.lineno, "entry") + self.statements(node.body[len(documentation) :])
        if not isinstance(body[-1], ast.Return):
            body.append(ast.Return(self.word(0)))
        decorator = ast.Call(ast.Name("inner", ast.Load()), [], [])
        return ast.FunctionDef(node.name, node.args, documentation + body, [decorator], lineno=node.lineno)


def dispatcher() -> str:
    """Return the source of ``dispatch(m, number)``, which runs the kernel function of a hook with the hart's registers."""
    often = {name: place for place, name in enumerate(_OFTEN)}
    lines = ["@inner()", "def dispatch(m, number):"]
    word = "if"
    for function in sorted(ABI, key=lambda function: (often.get(function.name, len(often)), function.number)):
        words = "".join(f", m[{10 + place}]" for place in range(len(function.arguments) + (function.kind == "timed")))
        call = f"abi_{function.name}(m{words})"
        lines.append(f"    {word} number == _word({function.number}):")
        lines.append(f"        {call}" if function.by_record or not function.results else f"        m[10] = {call}")
        if function.kind in ("ends", "retires"):
            lines.append(f"        return {STOP_ENDED}")
        elif function.kind == "prints":
            lines.append(f"        if m[10] == _word(0):\n            return {STOP_PRINT}")
        word = "elif"
    lines.append(f"    elif number == _word({HOOK_TIMER}):\n        interrupted(m, m[10], m[11])")
    lines.append(f"    elif number == _word({HOOK_IDLE}):\n        idle_over(m, m[10], m[11])")
    lines.append(f"    elif number == _word({HOOK_FAULT}):\n        trap_fault(m, m[10], m[11])\n        return {STOP_ENDED}")
    for hook, name in ((HOOK_SERVICE, "kernel_turn"), (HOOK_OPERATOR, "operator_turn")):
        lines.append(f"    elif number == _word({hook}):\n        {name}(m)\n        return {STOP_ENDED}")
    lines.append(f"    elif number >= _word({HOOK_OPEN_FAULT}):\n        return dispatch_open(m, number)")
    return "\n".join([*lines, "    return 0"]) + "\n"


def open_dispatcher() -> str:
    """Return the source of ``dispatch_open(m, number)``, which does the same for the system calls and faults of open processes."""
    lines = ["@inner()", "def dispatch_open(m, number):"]
    word = "if"
    for call in OPEN_CALLS:
        words = "".join(f", m[{10 + place}]" for place in range(len(call.arguments)))
        made = f"sys_{call.name}(m{words})"
        lines.append(f"    {word} number == _word({HOOK_OPEN + call.number}):\n        {made if call.late else f'm[10] = {made}'}")
        if "prints" in call.kind:
            printed = RAM_OFFSET + G_PRINT_BYTES - RAM_BASE
            lines.append(f"        if raw_ld64(m, _word({printed})) != _word(0):\n            return {STOP_PRINT}")
        word = "elif"
    lines.append(f"    elif number == _word({HOOK_OPEN_FAULT}):\n        open_fault(m, m[10], m[11])")
    return "\n".join([*lines, "    return 0"]) + "\n"


def host_source() -> str:
    """Return the instrumented source of all core functions as one module."""
    charges = json.loads(CHARGES.read_text(encoding="utf-8"))["functions"]
    pool: dict[int, str] = {}
    functions = []
    for file in CORE_FILES:
        source = source_path(file).read_text(encoding="utf-8")
        module = importlib.import_module(module_name(file))
        constants = {n: v for n, v in vars(module).items() if isinstance(v, int) and not isinstance(v, bool)}
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef):
                instrument = Instrument(constants, charges[f"{file}:{node.name}"], pool)
                functions.append(ast.unparse(ast.fix_missing_locations(instrument.function(node))))
    words = "\n".join(f"{name} = _word({value:#x})" for value, name in pool.items())
    return _HEADER + words + "\n\n\n" + "\n\n\n".join([*functions, open_dispatcher(), dispatcher()])


class Native:
    """The kernel's functions as the host and policies call them: each compiled for that when it is first asked for.

    Among each other they are called by the dispatcher, which is compiled whole.
    """

    def __init__(self, module):
        self._module = module

    def inside(self, name: str):
        """Return a function for compiled code to call."""
        return getattr(self._module, name)

    def __getattr__(self, name: str):
        function = getattr(self._module, name)
        if hasattr(function, "py_func"):
            words = function.py_func.__code__.co_argcount - 1
            function = jit(f"uint64({', '.join(['uint64[::1]'] + ['uint64'] * words)})")(function.py_func)
        setattr(self, name, function)
        return function


def _load():
    """Import the instrumented module from the cache folder, made there if these sources have none yet."""
    name = "singlab_kernel_native"
    path = CACHE / f"{name}.py"
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(host_source(), encoding="utf-8")
        os.replace(part, path)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return Native(module)


native = _load()
