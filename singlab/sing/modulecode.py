"""A module's code: the entry, every function one after the other, constant text, and the stack they need."""

from __future__ import annotations

from dataclasses import dataclass, field

from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.layout import HEADROOM
from singlab.kernel.manifest import CodeFrame
from singlab.sing.codegen import A0, RA, FunctionCode
from singlab.sing.emitter import Code, Emitter
from singlab.sing.expand import expanded
from singlab.sing.heapcode import GROW, GROW_FRAME, LIMIT, REMEMBER, REMEMBER_FRAME, STUB_FRAME, TOP, grow, makes_objects, remember
from singlab.sing.heaptables import HeapTables
from singlab.sing.sil import Module, Reg, started
from singlab.sing.sil_classes import called
from singlab.sing.stackcode import UNLINK, unlink
from singlab.sing.stacktests import Placement, circles, place


@dataclass
class Generated:
    """A module's code.

    Attributes
    ----------
    code : Code
    stack_bytes : int
        What the first segment of its stack must hold; without tests for room, all its call graph can need.
    blocks : dict
        (function, block label) to (byte offset, number of instructions).
    heap : dict of str to int
        Byte offsets of the tables a collector needs, how many ``types`` there are, and where room is asked for;
        empty for a program that makes no objects.
    unlink : int
        Byte offset of the code that gives a segment of the stack back, 0 if no function tests for room.
    functions : list of CodeFrame
    """

    code: Code
    stack_bytes: int
    blocks: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    heap: dict[str, int] = field(default_factory=dict)
    unlink: int = 0
    functions: list[CodeFrame] = field(default_factory=list)


#: Bytes of stack where nothing tests for room and functions call each other in a circle: what is beyond is somebody else's.
UNTESTED_STACK = 64 * 1024


class ModuleCode:
    """Generate a module: an entry that calls the SIP and exits with its value, then every function."""

    def __init__(self, module: Module, start: bool = True, outside: dict[str, int] | None = None, barrier: bool = False, linked: bool = True):
        self.module, self.start = expanded(module), start
        #: Whether functions test for room on their stack: there is a kernel that knows how to give more.
        self.linked = start and linked
        self.out = Emitter(outside)
        self.data: dict[str, bytes] = {}
        self.spans: dict[tuple[str, str], tuple[int, int]] = {}
        self.count = 0
        self.frames: dict[str, int] = {}
        self.placed = Placement({}, frozenset())
        self.heap = makes_objects(module)
        self.barrier = barrier and self.heap
        self.stubs: list[tuple[str, int, Reg, str]] = []  # of the function that is being generated: where the barrier's rare ways begin, which register, where back to
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
        self.placed = self.placement(parts)
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
        if self.placed.tests:
            unlink(self.out)
        code = self.out.finish(self.data, self.tables.finish(self.barrier) if self.heap else self.tables.data)
        if self.heap:
            heap = {"types": code.labels[".types"], "type_count": self.tables.count, "maps": code.labels[".maps"], "grow": code.labels[GROW],
                    "barrier": int(self.barrier)}  # fmt: skip
        code.text += bytes(-len(code.text) % 8)
        blocks = {}
        for key, (first, last) in self.spans.items():
            items = self.out.items[first:last]
            blocks[key] = (items[0].offset, sum(item.size for item in items) // 4)
        functions = [part.about(code.labels) for part in parts] if self.start else []
        if functions and self.heap:
            functions.append(CodeFrame("", code.labels[GROW], code.labels[GROW], code.labels[f"{GROW}.end"], code.labels[f"{GROW}.end"], GROW_FRAME, 0, 0))
        stack = self.stack(self.module.entry) if self.start else 0
        return Generated(code, stack, blocks, heap, code.labels[UNLINK] if self.placed.tests else 0, functions)

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
        """Return the bytes of stack with which a function can begin, with what is kept free at a stack's end."""
        return -(-(self.placed.bounds[name] + HEADROOM) // 16) * 16

    def placement(self, parts: list[FunctionCode]) -> Placement:
        """Return where functions test for room, or that none does."""
        callees = {name: list(dict.fromkeys(c for b in f.blocks for i in b.instrs for c in called(self.module, i)))
                   for name, f in self.module.functions.items()}  # fmt: skip
        runtime = max(GROW_FRAME, (STUB_FRAME + REMEMBER_FRAME) * self.barrier) * self.heap  # what a function of objects calls besides
        frames = {part.function.name: part.frame + runtime for part in parts}
        if not self.start:
            return Placement({}, frozenset())
        if self.linked:
            return place(frames, callees)
        order, entered = circles(callees)
        bounds: dict[str, int] = {}
        for name in order:
            bounds[name] = frames[name] + max((bounds.get(callee, 0) for callee in callees[name]), default=0)
        return Placement({name: UNTESTED_STACK if entered else bound for name, bound in bounds.items()}, frozenset())


def generate(module: Module, barrier: bool = False, linked: bool = True) -> Generated:
    """Return the code of a module; its first instruction is the entry.

    Parameters
    ----------
    module : Module
        The verifier has accepted it.
    barrier : bool
        Whether what is stored into objects is told to a collector.
    linked : bool
        Whether functions test for room on their stack where the call graph says so.
    """
    return ModuleCode(module, barrier=barrier, linked=linked).generate()
