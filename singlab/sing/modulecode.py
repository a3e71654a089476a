"""A module's code: the entry, every function one after the other, constant text, and the stack they need."""

from __future__ import annotations

from dataclasses import dataclass, field

from singlab.kernel.abi import ABI_NUMBER
from singlab.sing.codegen import A0, RA, FunctionCode
from singlab.sing.emitter import Code, Emitter
from singlab.sing.errors import SipError
from singlab.sing.expand import expanded
from singlab.sing.heapcode import GROW, LIMIT, REMEMBER, TOP, grow, makes_objects, remember
from singlab.sing.heaptables import HeapTables
from singlab.sing.sil import Module, started
from singlab.sing.sil_classes import called


@dataclass
class Generated:
    """A module's code.

    Attributes
    ----------
    code : Code
    stack_bytes : int
        The most stack its call graph can need.
    blocks : dict
        (function, block label) to (byte offset, number of instructions).
    heap : dict of str to int
        Byte offsets of the tables a collector needs, how many ``types`` there are, and where room is asked for;
        empty for a program that makes no objects.
    """

    code: Code
    stack_bytes: int
    blocks: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    heap: dict[str, int] = field(default_factory=dict)


class ModuleCode:
    """Generate a module: an entry that calls the SIP and exits with its value, then every function."""

    def __init__(self, module: Module, start: bool = True, outside: dict[str, int] | None = None, barrier: bool = False):
        self.module, self.start = expanded(module), start
        self.out = Emitter(outside)
        self.data: dict[str, bytes] = {}
        self.spans: dict[tuple[str, str], tuple[int, int]] = {}
        self.count = 0
        self.frames: dict[str, int] = {}
        self.depths: dict[str, int] = {}
        self.heap = makes_objects(module)
        self.barrier = barrier and self.heap
        self.stubs: list[tuple[str, int, str]] = []  # of the function that is being generated: where the barrier's rare ways begin, which register, where back to
        self.tables = HeapTables(module)

    def fresh(self) -> str:
        """Return a new local label."""
        self.count += 1
        return f".L{self.count}"

    def text(self, content: bytes) -> str:
        """Return the label of constant text."""
        for label, known in self.data.items():
            if known == content:
                return label
        label = f".T{len(self.data)}"
        self.data[label] = content
        return label

    def generate(self) -> Generated:
        """Return the code."""
        entry = self.module.functions[self.module.entry] if self.start else None
        if entry is not None:
            self.out.line = entry.position.line
            if self.heap:
                self.no_room()
            self.out.jump(entry.name, link=RA)
            if entry.result is None:
                self.out.ins("addi", A0, 0, 0)
            self.out.abi(ABI_NUMBER["exit"])
        parts = [FunctionCode(function, self) for function in self.module.functions.values()]
        self.frames = {part.function.name: part.frame for part in parts}
        self.depths = self.deepest()
        self.threads()
        for part in parts:
            part.generate()
        heap = {}
        if self.heap:
            self.tables.points.append((grow(self.out), 0, ()))
            self.out.label(f"{GROW}.end")
            if self.barrier:
                remember(self.out)
                self.out.label(f"{REMEMBER}.end")
        code = self.out.finish(self.data, self.tables.finish(self.barrier) if self.heap else self.tables.data)
        if self.heap:
            heap = {"types": code.labels[".types"], "type_count": self.tables.count, "maps": code.labels[".maps"], "grow": code.labels[GROW],
                    "barrier": int(self.barrier)}  # fmt: skip
        code.text += bytes(-len(code.text) % 8)
        blocks = {}
        for key, (first, last) in self.spans.items():
            items = self.out.items[first:last]
            blocks[key] = (items[0].offset, sum(item.size for item in items) // 4)
        return Generated(code, self.stack(self.module.entry) if self.start else 0, blocks, heap)

    def no_room(self) -> None:
        """Let the first allocation of a thread ask for room."""
        self.out.ins("addi", LIMIT, 0, 0)
        self.out.ins("addi", TOP, 0, 0)

    def thread(self, name: str) -> str:
        """Return the label at which a thread begins that runs a function."""
        return f".thread.{name}"

    def threads(self) -> None:
        """Emit where threads begin: each calls its function and ends with its value."""
        starts = (started(i) for f in self.module.functions.values() for b in f.blocks for i in b.instrs)
        for name in dict.fromkeys(name for name in starts if name is not None):
            function = self.module.functions[name]
            self.out.line = function.position.line
            self.out.label(self.thread(name))
            if self.heap:
                self.no_room()
            self.out.jump(name, link=RA)
            if function.result is None:
                self.out.ins("addi", A0, 0, 0)
            self.out.abi(ABI_NUMBER["exit_thread"])

    def stack(self, name: str) -> int:
        """Return the bytes of stack that a function and all it calls can need, with headroom for an interrupt."""
        return -(-(self.depths[name] + 512) // 16) * 16

    def deepest(self) -> dict[str, int]:
        """Return the deepest stack of the call graph below each function; the graph has no cycles."""
        callees = {
            name: {c for b in f.blocks for i in b.instrs for c in called(self.module, i)} for name, f in self.module.functions.items()
        }
        depth: dict[str, int] = {}

        def deepest(name: str, above: tuple[str, ...]) -> int:
            if name in above:
                raise SipError("recursion", f"{name} calls itself", hint="write a loop: a SIP's stack is bounded before it starts")
            if name not in depth:
                depth[name] = self.frames[name] + max((deepest(c, (*above, name)) for c in callees[name]), default=0)
            return depth[name]

        if self.start:
            for name in self.module.functions:
                deepest(name, ())
        return depth


def generate(module: Module, barrier: bool = False) -> Generated:
    """Return the code of a verified module; its first instruction is the entry."""
    return ModuleCode(module, barrier=barrier).generate()

