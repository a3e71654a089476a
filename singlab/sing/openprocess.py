"""Programs of open processes: the language with raw memory, addresses of code, and system calls.

The same typed functions, lines and errors as elsewhere, on the other side of the fence: any word may be used as an
address, any address may be called, and the kernel is reached by the system calls of
:mod:`singlab.kernel.opencalls`. Vectors, objects, channels and threads need a sealed system and are refused.

The verifier runs on a form in which every raw word stands as a constant, so it sees to uninitialised variables and to
types as a careful compiler would; of what the program does to memory it knows nothing, and nobody asks it.
"""

from __future__ import annotations

import ast
import struct

from singlab.kernel import layout as at
from singlab.kernel import opencalls
from singlab.kernel.abi import ABI
from singlab.kernel.opencalls import IOCTL_STATUS, IOCTL_WAITING, OPEN_CALLS, OPEN_NUMBER, STATUS_FAULT, OpenCall
from singlab.kernel.openprogram import OpenProgram
from singlab.machine.asm import encode
from singlab.sing import sil, verifier
from singlab.sing.callgraph import refuse_recursion
from singlab.sing.errors import SipError
from singlab.sing.lower import FunctionLowering, ModuleLowering
from singlab.sing.modulecode import ModuleCode
from singlab.sing.names import _Word, cycles, mark, u8, u16, u32, u64
from singlab.sing.program import Program, _capture
from singlab.sing.program import function as helper
from singlab.sing.types import BOOL, U64, Int

#: What the language's own words come to here.
_STANDS_FOR = {"exit": "exit", "fault": "abort", "print_text": "print_text", "print_int": "print_int", "mark": "mark", "yield": "sched_yield",
               "get_process_id": "getpid", "get_cycles_per_second": "clock_getres"}  # fmt: skip
#: System calls that are no words: the language has its own for them.
_HIDDEN = ("abort", "mark", "print_text", "print_int")
_SEALED_WORDS = ("new", "free", "len", "thread", "join", "receive", "new_channel", "array", "to_vector", "to_array", "copy", "fill", "str")
_MOST_ARGUMENTS = 6

READ, WRITE, EXEC = at.PROT_READ, at.PROT_WRITE, at.PROT_EXEC
PRIVATE, SHARED = 0, at.MAP_SHARED
TEXT, DATA, STACK = at.OPEN_TEXT, at.OPEN_DATA, at.OPEN_STACK
EPERM, ENOENT, ESRCH, EBADF, ECHILD, EAGAIN, ENOMEM, EFAULT, EINVAL, EMFILE, EPIPE, ENOSYS = (
    (1 << 64) - number for number in opencalls.ERRORS
)  # fmt: skip

load8, load16, load32, load64 = (
    _Word(f"load{bits}", f"load{bits}(address): the {bits // 8} byte{'s' * (bits > 8)} at an address, as a u64.") for bits in (8, 16, 32, 64)
)
store8, store16, store32, store64 = (
    _Word(f"store{bits}", f"store{bits}(address, value): write {bits // 8} byte{'s' * (bits > 8)} at an address.") for bits in (8, 16, 32, 64)
)
call = _Word("call", "call(address, a, b): call whatever lies at an address; what it leaves in a0, a u64.")
address_of = _Word("address_of", "address_of(f): where a @function of this program begins.")
text_at = _Word("text_at", 'text_at("abc"): where this constant text lies.')
fence_i = _Word("fence_i", "fence_i(): from here on what was written as data is fetched as code.")
failed = _Word("failed", "failed(result): whether a system call's result is one of the errors.")
globals().update({c.name: _Word(c.name, f"{c.name}({', '.join(c.arguments)}): {c.doc}") for c in OPEN_CALLS if c.name not in _HIDDEN})

__all__ = [
    "process", "build_process", "build_library", "helper", "load8", "load16", "load32", "load64", "store8", "store16", "store32", "store64",
    "call", "address_of", "text_at", "fence_i", "failed", "cycles", "mark", "u8", "u16", "u32", "u64", "READ", "WRITE", "EXEC", "PRIVATE",
    "SHARED", "TEXT", "DATA", "STACK", "EPERM", "ENOENT", "ESRCH", "EBADF", "ECHILD", "EAGAIN", "ENOMEM", "EFAULT", "EINVAL", "EMFILE",
    "EPIPE", "ENOSYS", "IOCTL_WAITING", "IOCTL_STATUS", "STATUS_FAULT",
    *(c.name for c in OPEN_CALLS if c.name not in _HIDDEN),
]  # fmt: skip


def process(function) -> Program:
    """Make a program of an open process of a typed function: up to four words come in, its result is the exit status.

    Examples
    --------
    >>> @process
    ... def hello(n: u64) -> u64:
    ...     print("hello", n)
    ...     return n
    """
    return _capture(function, False)


class OpenLowering(FunctionLowering):
    """Lower one function; raw words go in as stand-ins that the verifier knows."""

    def raw(self, node: ast.AST, op: str, args: tuple, extra=None, result: bool = True) -> sil.Reg:
        """Append a constant that becomes an operation once the rest is verified; returns its result."""
        held = tuple(self.emit("mov", node, self.reg(U64), (value,)) for value in args)
        dest = self.emit("const", node, self.reg(U64), extra=0)
        self.module.stand_ins.append((self.block.instrs[-1], op, held, extra, result))
        return dest

    def word(self, node: ast.expr) -> sil.Reg:
        """Return an argument as a u64."""
        value = self.expr(node, U64)
        if isinstance(value.type, Int) and value.type.signed:
            return self.emit("cast", node, self.reg(U64), (value,))
        return self.coerce(value, U64, node)

    def words(self, node: ast.Call, count: int, name: str) -> list[sil.Reg]:
        """Return the arguments of a call; a constant text is two, its address and its length."""
        found: list[sil.Reg] = []
        for argument in node.args:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                content = self.content(argument)
                found.append(self.raw(argument, "raw_text", (), content))
                found.append(self.emit("const", argument, self.reg(U64), extra=len(content)))
            else:
                found.append(self.word(argument))
        if len(found) != count:
            raise self.refuse("types", f"{name} takes {count} word{'s' * (count != 1)}, not {len(found)}", node,
                              "give exactly those; a text in quotes counts as two: where it lies and how long it is")  # fmt: skip
        return found

    def content(self, node: ast.expr) -> bytes:
        try:
            return node.value.encode()
        except UnicodeEncodeError:
            raise self.refuse("types", "half of a surrogate pair is no text", node, "write the whole character") from None

    def system_call(self, node: ast.Call, which: OpenCall) -> sil.Reg:
        return self.raw(node, "ecall", tuple(self.words(node, len(which.arguments), which.name)), which.number)

    def access(self, node: ast.Call, name: str) -> sil.Reg | None:
        """``load8`` to ``store64``."""
        if name.startswith("load"):
            return self.raw(node, f"raw_{name}", tuple(self.words(node, 1, name)), 0)
        self.raw(node, f"raw_{name}", tuple(self.words(node, 2, name)), 0, result=False)
        return None

    def call_call(self, node: ast.Call) -> sil.Reg:
        if not 1 <= len(node.args) <= 1 + _MOST_ARGUMENTS:
            raise self.refuse("types", f"call takes an address and up to {_MOST_ARGUMENTS} words", node, "write call(address, a, b)")
        return self.raw(node, "raw_call", tuple(self.word(argument) for argument in node.args))

    def call_address_of(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 1, "address_of")
        known = self.program.names.get(getattr(node.args[0], "id", ""))
        if not isinstance(known, Program) or known.entry:
            raise self.refuse("types", f"{ast.unparse(node.args[0])} is no function of this program", node, "name a @function or @helper")
        self.module.signature(known)
        return self.raw(node, "raw_function", (), self.module.label(known))

    def call_text_at(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 1, "text_at")
        if not (isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)):
            raise self.refuse("types", "text_at takes a text in quotes", node, 'write text_at("abc")')
        return self.raw(node, "raw_text", (), self.content(node.args[0]))

    def call_fence_i(self, node: ast.Call) -> None:
        self.arity(node, 0, "fence_i")
        self.raw(node, "raw_fence", (), result=False)

    def call_failed(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 1, "failed")
        least = self.emit("const", node, self.reg(U64), extra=(1 << 64) - 4096)
        return self.emit("gt", node, self.reg(BOOL), (self.word(node.args[0]), least))

    def call(self, node: ast.Call, want, statement: bool) -> sil.Reg | None:
        """Refuse what needs a sealed system, and say what there is instead."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        known = isinstance(self.program.names.get(name), Program)
        if not known and (name in _SEALED_WORDS or isinstance(node.func, ast.Attribute)):
            raise self.refuse("open", f"{ast.unparse(node.func)} belongs to sealed processes", node,
                              "an open process has memory of mmap, load64 and store64, and files to read and write")  # fmt: skip
        if not known and not node.keywords:
            if name in _ACCESSES:
                return self.access(node, name)
            if name in _CALLS:
                return self.system_call(node, _CALLS[name])
        try:
            return super().call(node, want, statement)
        except SipError as error:
            if error.rule == "closed-api":
                error.rule, error.message = "open", error.message.replace("a SIP", "an open process")
                error.hint = "an open process has load8 to store64, call, address_of, the system calls, and your own @helper functions"
            raise


_ACCESSES = frozenset(f"{way}{bits}" for way in ("load", "store") for bits in (8, 16, 32, 64))
_CALLS = {c.name: c for c in OPEN_CALLS if c.name not in _HIDDEN}


class OpenModule(ModuleLowering):
    """Lower functions of an open process and the helpers they call."""

    lowering = OpenLowering

    def __init__(self, program: Program):
        super().__init__(program)
        self.stand_ins: list[tuple] = []


def _compiled(programs: tuple[Program, ...], start: bool):
    """Return the code of functions, the first one started if asked for."""
    first = programs[0]
    try:
        lowering = OpenModule(first)
        for other in programs:
            lowering.signature(other)
        lowering.waiting = [other for other in lowering.waiting if other is not first]
        module = lowering.lower()
    except RecursionError:
        raise SipError("language", f"{first.name} is too deeply nested", filename=first.filename,
                       hint="split long expressions into several lines") from None  # fmt: skip
    for program in programs:
        entry = module.functions[lowering.label(program)]
        types = [*(param.type for param in entry.params), *([entry.result] if entry.result else [])]
        if any(not isinstance(type_, Int) and type_ != BOOL for type_ in types) or len(entry.params) > (4 if start else 8):
            raise SipError("types", f"{program.name} must take and return numbers, {'at most four' if start else 'at most eight'} of them",
                           line=entry.position.line, hint=f"write def {program.name}(n: u64) -> u64:").at(program.filename, program.source)  # fmt: skip
    verifier.verify(module)
    refuse_recursion(module)
    for instr, op, args, extra, result in lowering.stand_ins:
        instr.op, instr.args, instr.extra = op, args, extra
        if not result:
            instr.dest = None
    try:
        generated = ModuleCode(module, start, linked=False).generate()
    except SipError as error:
        raise error.at(module.filename, module.source) from None
    text = bytearray(generated.code.text)
    for relocation in generated.code.relocations:
        number = OPEN_NUMBER[_STANDS_FOR[ABI[relocation.value].name]]
        struct.pack_into("<II", text, relocation.offset, encode("addi", 17, 0, number), encode("ecall"))
    return lowering, generated.code, bytes(text)


def _checked(program) -> Program:
    if not isinstance(program, Program) or program.entry:
        raise SipError("open", f"{getattr(program, 'name', program)!r} is no function of an open process",
                       hint="write @process, or @helper, above a typed function")  # fmt: skip
    return program


def build_process(program: Program, name: str | None = None) -> OpenProgram:
    """Compile a program of an open process.

    Parameters
    ----------
    program : Program
        A function decorated with ``@process``.
    name : str, optional
        What ``execve`` finds it by; the function's name by default.

    Raises
    ------
    SipError
        If it is refused, at the line.
    """
    lowering, code, text = _compiled((_checked(program),), True)
    symbols = {label: at.OPEN_TEXT + code.labels[label] for label in lowering.labels if len(label.encode()) < at.OPEN_NAME_BYTES}
    return OpenProgram.of_code(
        name or program.name, text, symbols=symbols, lines=[(at.OPEN_TEXT + offset, line) for offset, line in code.lines],
        parameters=tuple(argument.arg for argument in program.node.args.args), source=program.source,
    )  # fmt: skip


def build_library(name: str, *programs: Program) -> OpenProgram:
    """Compile functions that open processes can load while they run.

    Parameters
    ----------
    name : str
        What ``dlopen`` finds it by.
    *programs : Program
        Functions decorated with ``@helper``; ``dlsym`` finds each by its name.

    Raises
    ------
    SipError
        If one is refused, at the line.
    """
    if not programs:
        raise SipError("open", f"library {name} has no functions", hint="give it one: build_library(name, function)")
    lowering, code, text = _compiled(tuple(_checked(program) for program in programs), False)
    symbols = {program.name: code.labels[lowering.label(program)] for program in programs}
    return OpenProgram.of_code(name, text, library=True, symbols=symbols, lines=code.lines, source=programs[0].source)
