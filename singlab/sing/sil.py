"""SIL, the typed intermediate language between the front end, the verifier and the code generator.

A function is a graph of basic blocks over typed registers that may be assigned more than once. Each
block ends in exactly one terminator. Nothing in SIL can form an address: memory is reached only
through exchange-heap vectors, whose registers are linear (one owner at a time), and only checked
instructions touch them. The raw memory instructions exist for the kernel's own functions; the verifier
refuses them everywhere else (rule ``privileged``).

The instructions, with their operands and effects, are the rows of :mod:`singlab.sing.sil_table`; the text
form is :mod:`singlab.sing.sil_text`'s. Two further groups are known to the code generator only::

    -- kernel functions
    raw_load8|16|32|64 d, a     zero-extending load from the address in a
    raw_store8|16|32|64 a, b    store b to the address in a
    -- programs on the bare machine (singlab.sing.bare), which raw_load64 too is for
    ecall d?, number, a...      environment call of that number
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from singlab.sing.types import Tuple, Type

ARITHMETIC = ("add", "sub", "mul", "div", "rem", "and", "or", "xor", "shl", "shr")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
TERMINATORS = ("br", "cbr", "ret", "receive", "select", "new_channel", "fault", "attempt", "attempt_vcall", "attempt_new", "attempt_spawn", "attempt_op",
               "raise")  # fmt: skip


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
        Name in :data:`singlab.sing.sil_table.OPS`.
    dest : Reg or None
    args : tuple of Reg
        Source registers in the table's order.
    extra : Any
        What is not a register: ``const``: int; ``call``, ``spawn``: function name; ``send``: message name;
        ``getf``, ``putf``: field; ``vcall``: method; ``isinst``: class; ``string``: str;
        ``print_text``: str; ``br``: block label; ``cbr``: (label, label);
        ``receive``: ``Receive``; ``select``: ``Select``; ``new_channel``: ``NewChannel``; ``attempt`` and its kin: ``Attempt``; ``attempt_op``: ``Trial``;
        ``fault``: int code.
    position : Position
    more : tuple of Reg
        Further destinations, of a call of a function with several results.
    """

    op: str
    dest: Reg | None = None
    args: tuple[Reg, ...] = ()
    extra: Any = None
    position: Position = Position()
    more: tuple[Reg, ...] = ()

    @property
    def results(self) -> tuple[Reg, ...]:
        """Every destination."""
        return self.more if self.dest is None else (self.dest, *self.more)


@dataclass(eq=False)
class Arms:
    """The ways out of a terminator that gives values on its ways: for each arm, the registers it gives and its block's label.

    ``closed`` is one more way, which gives nothing.
    """

    arms: dict[Any, tuple[tuple[Reg, ...], str]]
    closed: str | None = None

    def ways(self) -> list[tuple[tuple[Reg, ...], str]]:
        """Return each way out: the registers it gives, and where it leads."""
        return [*self.arms.values(), *([((), self.closed)] if self.closed else [])]

    def mapped(self, regs: Callable[[Reg], Reg] = lambda reg: reg, label: Callable[[str], str] = lambda label: label):
        """Return arms of the same kind with other registers and labels."""
        arms = {key: (tuple(map(regs, given)), label(to)) for key, (given, to) in self.arms.items()}
        return replace(self, arms=arms, closed=self.closed and label(self.closed))


@dataclass(eq=False)
class Receive(Arms):
    """The arms of a ``receive``: message name to (argument registers, block label)."""


#: A cell of a ``select``: the other side has closed and everything is drained.
CLOSED = ""


@dataclass(eq=False)
class Select(Arms):
    """The rows of a ``select``, the first satisfied one wins: cells, one an operand, to (registers of all cells, block label).

    A cell is None (whatever is there) or a message's name (or CLOSED) and how many registers it gives; where the
    operand is a set, the first of these is the member. ``closed`` is where it goes when no row can be satisfied any more.
    """

    @staticmethod
    def split(cells: tuple, regs: tuple[Reg, ...]) -> list[tuple[Reg, ...]]:
        """Return the registers of each cell of a row."""
        out, rest = [], list(regs)
        for cell in cells:
            count = cell[1] if cell is not None else 0
            out.append(tuple(rest[:count]))
            del rest[:count]
        return out


@dataclass(eq=False)
class NewChannel(Arms):
    """The ways out of a ``new_channel``: "made" with its two ends, and perhaps "raised" with an exception; ``contract`` is the contract's name."""

    contract: str = ""


@dataclass(eq=False)
class Attempt(Arms):
    """The arms of an ``attempt``: ``returned`` with the result, ``raised`` with the exception; and the function or method that is called, if any."""

    function: str | None = None


@dataclass(eq=False)
class Trial(Attempt):
    """The arms of an ``attempt_op``: ``function`` names the instruction that is attempted, ``rest`` is what that has beside registers."""

    rest: Any = None

    def plain(self, instr: Instr) -> Instr:
        """Return the instruction that an ``attempt_op`` attempts."""
        regs, _ = self.arms["returned"]
        return Instr(self.function, regs[0] if regs else None, instr.args, self.rest, instr.position, regs[1:])


@dataclass(eq=False)
class Block:
    """A basic block; the last instruction is its terminator. ``key`` names the charge point, if any."""

    label: str
    instrs: list[Instr] = field(default_factory=list)
    key: str | None = None


@dataclass(eq=False)
class Function:
    """One function; ``blocks[0]`` is the entry. Parameters arrive in ``params``; file and source are for messages.

    ``result`` is None, a type, or a :class:`~singlab.sing.types.Tuple` for several results. ``borrowed`` has the
    numbers of the parameters whose blocks stay the caller's.
    ``raises`` says that it may end by ``raise`` and is called by ``attempt`` alone.
    """

    name: str
    params: list[Reg]
    result: Type | None
    blocks: list[Block]
    position: Position = Position()
    filename: str = ""
    source: str = ""
    raises: bool = False
    borrowed: frozenset[int] = frozenset()

    @property
    def results(self) -> tuple[Type, ...]:
        """The type of each result."""
        return () if self.result is None else self.result.parts if isinstance(self.result, Tuple) else (self.result,)

    def registers(self) -> list[Reg]:
        """Return every register of the function, parameters first, each once."""
        seen: dict[int, Reg] = {p.number: p for p in self.params}
        for block in self.blocks:
            for instr in block.instrs:
                found = [*instr.results, *instr.args]
                if isinstance(instr.extra, Arms):
                    found += [r for regs, _ in instr.extra.arms.values() for r in regs]
                for reg in found:
                    if reg is not None:
                        seen.setdefault(reg.number, reg)
        return list(seen.values())


@dataclass(eq=False)
class Class:
    """One class of objects.

    Attributes
    ----------
    name : str
    parent : str or None
    fields : dict of str to Type
        Its own, after those of its parent; each takes one word.
    methods : dict of str to str
        Method to the function that it runs on an object of this class; those of the parent are inherited.
    position : Position
    """

    name: str
    parent: str | None = None
    fields: dict[str, Type] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)
    position: Position = Position()


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
    exceptions : dict of int to str
        What the exceptions it can raise are called, by number.
    structs : dict of str to Struct
        The structs its registers and messages have, by name.
    classes : dict of str to Class
        Classes of the objects it makes, by name.
    """

    name: str
    functions: dict[str, Function]
    entry: str
    contracts: dict[str, Any]
    filename: str = "<sip>"
    source: str = ""
    exceptions: dict[int, str] = field(default_factory=dict)
    structs: dict[str, Any] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)

    def __str__(self) -> str:
        from singlab.sing.sil_text import format_module

        return format_module(self)

    def __repr__(self) -> str:
        size = sum(len(block.instrs) for function in self.functions.values() for block in function.blocks)
        return f"<SIL of {self.name}: {len(self.functions)} function{'s' * (len(self.functions) != 1)}, {size} instructions>"

    def _repr_html_(self) -> str:
        from singlab.sing.cards import ModuleCard

        return ModuleCard(self)._repr_html_()


def reachable(blocks: list[Block]) -> list[Block]:
    """Return the blocks that control can get to from the first, in their order."""
    by_label = {block.label: block for block in blocks}
    reached, todo = {blocks[0].label}, [blocks[0]]
    while todo:
        block = todo.pop()
        for label in successors(block.instrs[-1]) if block.instrs else []:
            if label not in reached:
                reached.add(label)
                todo.append(by_label[label])
    return [block for block in blocks if block.label in reached]


def callee(instr: Instr) -> str | None:
    """Return the name of the function an instruction calls, if it calls one."""
    if instr.op == "call":
        return instr.extra
    return instr.extra.function if instr.op == "attempt" else None


def started(instr: Instr) -> str | None:
    """Return the name of the function an instruction starts as a thread, if it does."""
    return instr.extra if instr.op == "spawn" else instr.extra.function if instr.op == "attempt_spawn" else None


def successors(instr: Instr) -> list[str]:
    """Return the labels of the blocks a terminator can go to."""
    if instr.op == "br":
        return [instr.extra]
    if instr.op == "cbr":
        return list(instr.extra)
    if isinstance(instr.extra, Arms):
        return [label for _, label in instr.extra.ways()]
    return []
