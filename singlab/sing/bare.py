"""Measuring programs: the language on a bare machine, where no kernel is.

The same typed functions, with four words of their own: ``load`` reads any address of the arena, ``cycles``
reads the clock and ``trap`` goes into the supervisor and back, both by ``ecall``; ``note`` hands two numbers to
whoever runs the program. The program runs in user mode behind a page table, so the hardware keeps it to its
memory; the verifier still sees to values, types and recursion, on a form in which the new words stand as
harmless instructions. Everything that needs a kernel (vectors, messages, printing) is refused.
"""

from __future__ import annotations

import ast
import struct
from dataclasses import dataclass

from singlab.machine.asm import encode
from singlab.sing import sil, verifier
from singlab.sing.callgraph import refuse_recursion
from singlab.sing.errors import SipError
from singlab.sing.lower import FunctionLowering, ModuleLowering
from singlab.sing.modulecode import generate
from singlab.sing.names import _Word
from singlab.sing.program import Program
from singlab.sing.types import BOOL, U64, Int, Type

#: Numbers of the environment calls; a program's end and its run-time faults keep their ABI numbers (0 and 10).
TRAP, CLOCK, NOTE = 100, 101, 102

load = _Word("load", "load(address): read eight bytes of the arena at this address, u64.")
trap = _Word("trap", "trap(): a system call that does nothing: into the supervisor and straight back.")
note = _Word("note", "note(a, b): hand two numbers to whoever runs the program.")

_KERNEL_WORDS = ("new", "free", "len", "print", "mark", "yield_", "process_id", "cycles_per_second", "thread", "join", "copy", "fill",
                 "array", "str", "to_vector", "to_array", "new_channel", "receive", "ESet", "create",
                 "split", "truncate", "share", "event", "manual_event", "mutex", "wait_any", "sleep", "sleep_until", "thread_id", "thread_state",
                 "io_memory", "interrupt", "dma_memory", "dma_address", "register", "connect", "principal", "peer_principal", "speaks_for")  # fmt: skip
_INSTEAD = "use load, cycles, trap and arithmetic; note(a, b) shows you two numbers"
#: Instructions that ask a kernel for something, and what they are to a student, for whoever comes to one by no word.
_KERNEL_OPERATIONS = {
    **dict.fromkeys(("string", "print_text", "print_str", "text"), "text"), **dict.fromkeys(("newobj", "newarr", "none"), "an object"),
    **dict.fromkeys(("new", "new_struct", "attempt_new"), "a block"), **dict.fromkeys(("spawn", "attempt_spawn"), "a thread"),
    **dict.fromkeys(("new_channel", "set_new", "receive", "select", "send", "close"), "a channel"),
}  # fmt: skip


class BareLowering(FunctionLowering):
    """Lower one function; the new words go in as stand-ins that the verifier knows."""

    def stand_in(self, node: ast.Call, op: str, dest: sil.Reg | None, args: tuple, real: tuple) -> sil.Reg | None:
        """Append a harmless instruction that becomes ``real`` (operation, extra, keeps its result) once verified."""
        self.emit(op, node, dest, args)
        self.module.stand_ins.append((self.block.instrs[-1], real))
        return dest

    def append(self, op: str, node: ast.AST, dest: sil.Reg | None = None, args: tuple = (), extra=None,
               more: tuple = ()) -> sil.Reg | None:  # fmt: skip
        """Refuse whatever would ask a kernel for something."""
        if op in _KERNEL_OPERATIONS:
            raise self.refuse("bare", f"{_KERNEL_OPERATIONS[op]} needs a kernel, and this machine has none", node, _INSTEAD)
        return super().append(op, node, dest, args, extra, more)

    def reference(self, node: ast.expr) -> Type | None:
        """Refuse the types of what lives on a process's own heap."""
        if super().reference(node) is not None:
            raise self.refuse("bare", f"{ast.unparse(node)} lives on the heap of a process, and this machine has no kernel to give one", node, _INSTEAD)
        return None

    def text_of(self, exception: sil.Reg, node: ast.AST) -> sil.Reg:
        raise self.refuse("bare", "text lives on the heap of a process, and this machine has no kernel to give one", node, _INSTEAD)

    def word(self, node: ast.expr) -> sil.Reg:
        """Return an argument as a u64."""
        value = self.expr(node, U64)
        if isinstance(value.type, Int) and value.type.signed:
            return self.emit("cast", node, self.reg(U64), (value,))
        return self.coerce(value, U64, node)

    def call_load(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 1, "load")
        return self.stand_in(node, "mov", self.reg(U64), (self.word(node.args[0]),), ("raw_load64", 0, True))

    def call_cycles(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 0, "cycles")
        return self.stand_in(node, "cycles", self.reg(U64), (), ("ecall", CLOCK, True))

    def call_trap(self, node: ast.Call) -> None:
        self.arity(node, 0, "trap")
        self.stand_in(node, "yield", None, (), ("ecall", TRAP, False))

    def call_note(self, node: ast.Call) -> None:
        self.arity(node, 2, "note")
        values = tuple(self.word(argument) for argument in node.args)
        self.stand_in(node, "eq", self.reg(BOOL), values, ("ecall", NOTE, False))

    def call(self, node: ast.Call, want, statement: bool) -> sil.Reg | None:
        """Refuse what needs a kernel, and say what there is instead."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        known = isinstance(self.program.names.get(name), Program)
        if self.class_named(name) is not None:
            raise self.refuse("bare", f"an object of class {name} needs a kernel, and this machine has none", node, _INSTEAD)
        if not known and (name in _KERNEL_WORDS or isinstance(node.func, ast.Attribute)):
            raise self.refuse("bare", f"{ast.unparse(node.func)} needs a kernel, and this machine has none", node,
                              _INSTEAD)  # fmt: skip
        try:
            return super().call(node, want, statement)
        except SipError as error:
            if error.rule == "closed-api":
                error.rule, error.hint = "bare", "a measuring program has load, cycles, trap, note, casts such as u64(x), and your own @function helpers"  # fmt: skip
            raise


class BareModule(ModuleLowering):
    """Lower a measuring program and the helpers it calls."""

    lowering = BareLowering

    def __init__(self, program: Program):
        super().__init__(program)
        self.stand_ins: list[tuple[sil.Instr, tuple]] = []


@dataclass(frozen=True)
class BareCode:
    """A measuring program's code.

    Attributes
    ----------
    name : str
    text : bytes
        Position-independent; its first instruction is the entry.
    stack_bytes : int
    lines : list of (int, int)
        (byte offset, source line), ascending.
    functions : frozenset of str
        Names of the functions in it, its own among them.
    """

    name: str
    text: bytes
    stack_bytes: int
    lines: list[tuple[int, int]]
    functions: frozenset[str] = frozenset()

    def line(self, offset: int) -> int:
        """Return the source line of the instruction at a byte offset, 0 if it has none."""
        return next((line for at, line in reversed(self.lines) if at <= offset), 0)


def build_bare(program: Program) -> BareCode:
    """Compile a measuring program: a ``@function`` without parameters that returns an integer.

    Raises
    ------
    SipError
        If it is refused.
    """
    if not isinstance(program, Program) or program.entry:
        raise SipError("bare", f"{getattr(program, 'name', program)!r} is no measuring program",
                       hint="write it as def name() -> u64: with @function above")  # fmt: skip
    try:
        lowering = BareModule(program)
        module = lowering.lower()
    except RecursionError:
        raise SipError("language", f"{program.name} is too deeply nested", filename=program.filename,
                       hint="split long expressions into several lines") from None  # fmt: skip
    entry = module.functions[module.entry]
    if entry.params or not isinstance(entry.result, Int):
        raise SipError("types", f"{program.name} must take nothing and return a number", line=entry.position.line,
                       hint=f"write def {program.name}() -> u64:").at(program.filename, program.source)  # fmt: skip
    verifier.verify(module)
    refuse_recursion(module)
    for instr, (op, extra, keeps) in lowering.stand_ins:
        instr.op, instr.extra = op, extra
        if not keeps:
            instr.dest = None
    try:
        generated = generate(module, linked=False)
    except SipError as error:
        raise error.at(module.filename, module.source) from None
    text = bytearray(generated.code.text)
    for relocation in generated.code.relocations:
        struct.pack_into("<II", text, relocation.offset, encode("addi", 17, 0, relocation.value), encode("ecall"))
    return BareCode(program.name, bytes(text), generated.stack_bytes, generated.code.lines, frozenset(module.functions))
