"""SIL, the typed intermediate language between the front end, the verifier and the code generator.

A function is a graph of basic blocks over typed registers that may be assigned more than once. Each
block ends in exactly one terminator. Nothing in SIL can form an address: memory is reached only
through exchange-heap vectors, whose registers are linear (one owner at a time), and only checked
instructions touch them. The raw memory instructions at the end of the table exist for the kernel's
own functions; the verifier refuses them everywhere else (rule ``privileged``).

Instructions (``d`` destination register, ``a b c`` source registers)::

    const d, value              d = value
    mov d, a                    d = a; moves ownership when a is linear
    add|sub|mul|div|rem|and|or|xor|shl|shr d, a, b
                                arithmetic in d's type, wrapping; div and rem round towards minus
                                infinity and fault when b is zero; shifts take b modulo the width
    eq|ne|lt|le|gt|ge d, a, b   comparison of two registers of one type, d is bool
    not d, a                    logical not of a bool
    neg|inv d, a                two's complement, bitwise complement
    cast d, a                   to d's type, keeping the low bits (sign or zero extended)
    call d?, function, a...     call; linear arguments are consumed, a linear result is owned
    new d, a                    d = fresh zeroed vector of a elements
    free a                      consumes a
    load d, a, b                d = a[b], bounds checked
    store a, b, c               a[b] = c, bounds checked
    len d, a                    d = number of elements (u64)
    send a, message, b...       send message on endpoint a; linear arguments are consumed
    close a                     close endpoint a; consumes it
    print_text text             constant text to the console
    print_int a
    cycles d                    d = the machine's cycle counter (u64)
    process_id d
    yield
    mark a
    -- terminators
    br B
    cbr a, B, C                 to B when the bool a is true, else to C
    ret a?
    receive a, {message: (registers, B)}, closed
                                wait on endpoint a, then go to the block of the message that came, its
                                arguments in the registers; closed names the block for ChannelClosed,
                                or is None: then a closed channel is a fault
    fault code                  end the process
    -- kernel functions only
    raw_load8|16|32|64 d, a     zero-extending load from the address in a
    raw_store8|16|32|64 a, b    store b to the address in a
    -- programs on the bare machine only (singlab.sing.bare), which raw_load64 too is for
    ecall d?, number, a...      environment call of that number
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from singlab.sing.types import Type

ARITHMETIC = ("add", "sub", "mul", "div", "rem", "and", "or", "xor", "shl", "shr")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
TERMINATORS = ("br", "cbr", "ret", "receive", "fault")


@dataclass(eq=False)
class Reg:
    """A typed register; ``name`` is the student's name for it, or None for a temporary."""

    number: int
    type: Type
    name: str | None = None

    def __repr__(self) -> str:
        return f"%{self.number}" + (f".{self.name}" if self.name else "")


@dataclass(frozen=True)
class Position:
    """Where in the student's source an instruction comes from."""

    line: int = 0
    column: int = 0


@dataclass(eq=False)
class Instr:
    """One instruction.

    Attributes
    ----------
    op : str
        Name in the module's table.
    dest : Reg or None
    args : tuple of Reg
        Source registers in the table's order.
    extra : Any
        What is not a register: ``const``: int; ``call``: function name; ``send``: message name;
        ``print_text``: str; ``br``: block label; ``cbr``: (label, label);
        ``receive``: ``Receive``; ``fault``: int code.
    position : Position
    """

    op: str
    dest: Reg | None = None
    args: tuple[Reg, ...] = ()
    extra: Any = None
    position: Position = Position()


@dataclass(eq=False)
class Receive:
    """The arms of a ``receive``: message name to (argument registers, block label)."""

    arms: dict[str, tuple[tuple[Reg, ...], str]]
    closed: str | None = None


@dataclass(eq=False)
class Block:
    """A basic block; the last instruction is its terminator. ``key`` names the charge point, if any."""

    label: str
    instrs: list[Instr] = field(default_factory=list)
    key: str | None = None


@dataclass(eq=False)
class Function:
    """One function; ``blocks[0]`` is the entry. Parameters arrive in ``params``; file and source are for messages."""

    name: str
    params: list[Reg]
    result: Type | None
    blocks: list[Block]
    position: Position = Position()
    filename: str = ""
    source: str = ""

    def registers(self) -> list[Reg]:
        """Return every register of the function, parameters first, each once."""
        seen: dict[int, Reg] = {p.number: p for p in self.params}
        for block in self.blocks:
            for instr in block.instrs:
                found = [instr.dest, *instr.args]
                if isinstance(instr.extra, Receive):
                    found += [r for regs, _ in instr.extra.arms.values() for r in regs]
                for reg in found:
                    if reg is not None:
                        seen.setdefault(reg.number, reg)
        return list(seen.values())


@dataclass(eq=False)
class Module:
    """A whole program: the entry function first, then what it calls.

    Attributes
    ----------
    name : str
        The SIP's name.
    functions : dict of str to Function
    entry : str
    contracts : dict of str to Contract
        Contracts of the endpoints it uses, by name.
    filename : str
        For messages.
    source : str
        The student's text, for messages and the explorer view.
    """

    name: str
    functions: dict[str, Function]
    entry: str
    contracts: dict[str, Any]
    filename: str = "<sip>"
    source: str = ""


def successors(instr: Instr) -> list[str]:
    """Return the labels of the blocks a terminator can go to."""
    if instr.op == "br":
        return [instr.extra]
    if instr.op == "cbr":
        return list(instr.extra)
    if instr.op == "receive":
        labels = [label for _, label in instr.extra.arms.values()]
        return labels + ([instr.extra.closed] if instr.extra.closed else [])
    return []


def format_instr(instr: Instr) -> str:
    """Return the text form of one instruction."""
    parts: list[str] = [str(a) for a in instr.args]
    if instr.op == "receive":
        arms = [f"{name}({', '.join(map(str, regs))}) -> {label}" for name, (regs, label) in instr.extra.arms.items()]
        if instr.extra.closed:
            arms.append(f"closed -> {instr.extra.closed}")
        parts.append("{ " + "; ".join(arms) + " }")
    elif instr.op == "cbr":
        parts += list(instr.extra)
    elif instr.op == "print_text":
        parts.append(repr(instr.extra))
    elif instr.op in ("call", "send"):
        parts.insert(0 if instr.op == "call" else 1, str(instr.extra))
    elif instr.extra is not None:
        parts.append(str(instr.extra))
    left = f"{instr.dest}: {instr.dest.type} = " if instr.dest is not None else ""
    return f"{left}{instr.op} {', '.join(parts)}".rstrip()


def format_module(module: Module) -> str:
    """Return the text form of a module."""
    out = [f"sip {module.name}"]
    for function in module.functions.values():
        params = ", ".join(f"{p}: {p.type}" for p in function.params)
        out.append(f"\nfunction {function.name}({params})" + (f" -> {function.result}" if function.result else "") + ":")
        for block in function.blocks:
            out.append(f"  {block.label}:" + (f"  ; {block.key}" if block.key else ""))
            for instr in block.instrs:
                line = f"  ; line {instr.position.line}" if instr.position.line else ""
                out.append(f"    {format_instr(instr)}{line}")
    return "\n".join(out) + "\n"
