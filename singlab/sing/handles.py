"""Lowering, regions and handles: vectors put apart, events and mutexes, time, and the hardware that a manifest declares."""

from __future__ import annotations

import ast

from singlab.sing import sil
from singlab.sing.declaration import declaration
from singlab.sing.objects import spoken
from singlab.sing.tuples import TupleValue
from singlab.sing.types import (
    BOOL,
    EVENT,
    HANDLES,
    INTERRUPT,
    IO_MEMORY,
    MUTEX,
    U8,
    U16,
    U32,
    U64,
    Endpoint,
    EndpointSet,
    Handle,
    Tuple,
    Type,
    Vector,
)

#: What the language calls the types of handles.
HANDLE_TYPES = {type_.called: type_ for type_ in HANDLES}
_MOST_WAITED = 4
_METHODS = {EVENT: "set, reset, wait, wait_until and close", MUTEX: "acquire, release, wait_until and close",
            INTERRUPT: "wait, wait_until, ack and close", IO_MEMORY: "read8, read16, read32, write8, write16 and write32"}  # fmt: skip
_WIDTHS = {"8": U8, "16": U16, "32": U32}


class HandleLowering:
    """The part of a function's lowering that deals with regions and handles."""

    # ---- regions -----------------------------------------------------------------------------------------------

    def whole_vector(self, node: ast.Call, name: str, count: int) -> sil.Reg:
        """Return the vector that a word puts apart."""
        self.arity(node, count, name)
        vector = self.expr(node.args[0], None)
        if not isinstance(vector.type, Vector):
            raise self.refuse("types", f"{name} works on exchange-heap vectors, not on {vector.type}", node, "give it a vector")
        return vector

    def call_split(self, node: ast.Call) -> TupleValue:
        """``split(v, n)``: the first n elements and the rest, without copying."""
        vector = self.whole_vector(node, "split", 2)
        count = self.coerce(self.count_of(node.args[1]), U64, node.args[1])
        parts = [self.reg(vector.type), self.reg(vector.type)]
        self.emit("split", node, parts[0], (vector, count), None, (parts[1],))
        return TupleValue(Tuple((vector.type, vector.type)), parts)

    def call_truncate(self, node: ast.Call) -> sil.Reg:
        """``truncate(v, n)``: the first n elements; the rest is gone."""
        vector = self.whole_vector(node, "truncate", 2)
        count = self.coerce(self.count_of(node.args[1]), U64, node.args[1])
        return self.emit("truncate", node, self.reg(vector.type), (vector, count))

    def call_share(self, node: ast.Call) -> TupleValue:
        """``share(v, first, stop)``: all of the vector and a part of it, over the same data, both only to be read."""
        vector = self.whole_vector(node, "share", 3)
        first, stop = (self.coerce(self.count_of(a), U64, a) for a in node.args[1:])
        type_ = Vector(vector.type.element, True)
        parts = [self.reg(type_), self.reg(type_)]
        self.emit("share", node, parts[0], (vector, first, stop), None, (parts[1],))
        return TupleValue(Tuple((type_, type_)), parts)

    def own_data(self, vector: sil.Reg, node: ast.AST) -> None:
        """Refuse to write to a vector whose data others read."""
        if vector.type.shared:
            raise self.refuse("owner.shared", f"{vector.name or 'this vector'} is {vector.type}, and others read the same data", node,
                              "write before share(...), or write to a copy: own = copy(v)")  # fmt: skip

    # ---- making handles ----------------------------------------------------------------------------------------

    def call_event(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 0, "event")
        return self.new_event(node, 0)

    def call_manual_event(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 0, "manual_event")
        return self.new_event(node, 1)

    def new_event(self, node: ast.Call, manual: int) -> sil.Reg:
        return self.emit("new_event", node, self.reg(EVENT), (self.emit("const", node, self.reg(BOOL), extra=manual),))

    def call_mutex(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 0, "mutex")
        return self.emit("new_mutex", node, self.reg(MUTEX))

    def declared_place(self, node: ast.Call, name: str, what: str) -> sil.Reg:
        """Return the place of a declared resource; one that the program's own manifest cannot have is refused now."""
        self.arity(node, 1, name)
        place = self.literal(node.args[0])
        if place is not None and self.program.entry:
            there = len(getattr(declaration(self.program), what))
            if not 0 <= place < there:
                example = {"io_memory": "io_memory=[(0x10000000, 0x100)]", "dma": "dma=[4096]"}.get(what, "interrupts=[10]")
                raise self.refuse("manifest", f"{name}({place}) names none of the {there} that the manifest declares", node,
                                  f"declare it: @sip({example}); the first one is {name}(0)")  # fmt: skip
        return self.coerce(self.count_of(node.args[0]), U64, node.args[0])

    def call_io_memory(self, node: ast.Call) -> sil.Reg:
        return self.emit("open_io", node, self.reg(IO_MEMORY), (self.declared_place(node, "io_memory", "io_memory"),))

    def call_dma_memory(self, node: ast.Call) -> sil.Reg:
        return self.emit("open_dma", node, self.reg(IO_MEMORY), (self.declared_place(node, "dma_memory", "dma"),))

    def call_dma_address(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 1, "dma_address")
        memory = self.expr(node.args[0], None)
        if memory.type != IO_MEMORY:
            raise self.refuse("types", f"{ast.unparse(node.args[0])} is {spoken(memory.type)}, and no device finds that", node, "give it what dma_memory(n) gives")
        return self.emit("dma_address", node, self.reg(U64), (memory,))

    def call_interrupt(self, node: ast.Call) -> sil.Reg:
        return self.emit("open_interrupt", node, self.reg(INTERRUPT), (self.declared_place(node, "interrupt", "interrupts"),))

    # ---- time and threads --------------------------------------------------------------------------------------

    def time(self, node: ast.expr) -> sil.Reg:
        return self.coerce(self.expr(node, U64), U64, node)

    def call_sleep_until(self, node: ast.Call) -> None:
        self.arity(node, 1, "sleep_until")
        self.emit("sleep", node, None, (self.time(node.args[0]),))

    def call_sleep(self, node: ast.Call) -> None:
        self.arity(node, 1, "sleep")
        span = self.time(node.args[0])
        now = self.emit("cycles", node, self.reg(U64))
        self.emit("sleep", node, None, (self.emit("add", node, self.reg(U64), (now, span)),))

    def call_thread_id(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 0, "thread_id")
        return self.emit("thread_id", node, self.reg(U64))

    def call_thread_state(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 1, "thread_state")
        return self.emit("thread_state", node, self.reg(U64), (self.time(node.args[0]),))

    def call_wait_any(self, node: ast.Call) -> sil.Reg:
        """``wait_any(a, b)``: which of them came first."""
        if not 1 <= len(node.args) <= _MOST_WAITED:
            raise self.refuse("types", f"wait_any takes one to {_MOST_WAITED} events, mutexes, interrupts, endpoints and sets, not {len(node.args)}", node,
                              "write wait_any(a, b)")  # fmt: skip
        handles = [self.waitable(argument) for argument in node.args]
        return self.wait(node, handles, self.emit("const", node, self.reg(U64), extra=(1 << 64) - 1))

    def waitable(self, node: ast.expr) -> sil.Reg:
        value = self.expr(node, None)
        if value.type not in (EVENT, MUTEX, INTERRUPT) and not isinstance(value.type, (Endpoint, EndpointSet)):
            raise self.refuse("types", f"{ast.unparse(node)} is {spoken(value.type)}, which cannot be waited for", node,
                              "give it an Event, a Mutex, an Interrupt, an endpoint or an ESet")  # fmt: skip
        return value

    def wait(self, node: ast.AST, handles: list[sil.Reg], until: sil.Reg) -> sil.Reg:
        return self.emit("wait", node, self.reg(U64), (until, *handles))

    # ---- methods -----------------------------------------------------------------------------------------------

    def handle_method(self, node: ast.Call, handle: sil.Reg) -> sil.Reg | None:
        """Lower a method of a handle."""
        what, type_ = node.func.attr, handle.type
        if type_ == IO_MEMORY:
            return self.register_access(node, handle, what)
        if what == "close":
            self.arity(node, 0, what)
            return self.emit("handle_close", node, None, (handle,))
        if what == "wait_until":
            self.arity(node, 1, what)
            place = self.wait(node, [handle], self.time(node.args[0]))
            return self.emit("eq", node, self.reg(BOOL), (place, self.emit("const", node, self.reg(U64), extra=0)))
        if what == ("acquire" if type_ == MUTEX else "wait"):
            self.arity(node, 0, what)
            self.wait(node, [handle], self.emit("const", node, self.reg(U64), extra=(1 << 64) - 1))
            return None
        op = {(EVENT, "set"): "event_set", (EVENT, "reset"): "event_reset", (MUTEX, "release"): "mutex_release",
              (INTERRUPT, "ack"): "interrupt_ack"}.get((type_, what))  # fmt: skip
        if op is None:
            raise self.no_method(node, type_, what)
        self.arity(node, 0, what)
        return self.emit(op, node, None, (handle,))

    def no_method(self, node: ast.Call, type_: Handle, what: str):
        name = type_.called
        return self.refuse("closed-api", f"{'an' if name[0] in 'EI' else 'a'} {name} has no operation {what}", node, f"it has {_METHODS[type_]}")

    def register_access(self, node: ast.Call, handle: sil.Reg, what: str) -> sil.Reg | None:
        way, width = what.rstrip("0123456789"), what.lstrip("abcdefghijklmnopqrstuvwxyz_")
        element: Type | None = _WIDTHS.get(width)
        if way not in ("read", "write") or element is None:
            raise self.no_method(node, handle.type, what)
        self.arity(node, 1 + (way == "write"), what)
        offset = self.coerce(self.count_of(node.args[0]), U64, node.args[0])
        if way == "read":
            return self.emit("io_read", node, self.reg(element), (handle, offset))
        value = self.coerce(self.expr(node.args[1], element), element, node.args[1])
        return self.emit("io_write", node, None, (handle, offset, value))
