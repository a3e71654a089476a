"""Lowering, the words of the language that are written like calls: new, free, len, print, thread and the others."""

from __future__ import annotations

import ast

from singlab.sing import sil
from singlab.sing.objects import spoken
from singlab.sing.program import Program
from singlab.sing.tuples import flat
from singlab.sing.types import (
    BOOL,
    INTS,
    U64,
    Char,
    EndpointSet,
    Int,
    Reference,
    Str,
    Struct,
    Tuple,
    Vector,
)


class BuiltinLowering:
    """The part of a function's lowering that deals with the language's own words."""

    def call_new(self, node: ast.Call) -> sil.Reg:
        struct = self.new_struct(node)
        if struct is not None:
            return struct
        self.arity(node, 2, "new")
        element = INTS.get(getattr(node.args[0], "id", ""))
        if element is None and isinstance(node.args[0], (ast.Name, ast.Attribute)):
            declared = self.declared_type(node.args[0])
            element = declared if isinstance(declared, Struct) else None
        if element is None:
            raise self.refuse("types", f"{ast.unparse(node.args[0])} is no type a vector can have elements of", node,
                              "write the element type first, u8 to u64 or i8 to i64: new(u8, n)")  # fmt: skip
        count = self.coerce(self.count_of(node.args[1]), U64, node.args[1])
        return self.emit("new", node, self.reg(Vector(element)), (count,))

    def count_of(self, node: ast.expr) -> sil.Reg:
        value = self.expr(node, U64)
        # a negative count becomes huge and is refused when it runs
        return self.emit("cast", node, self.reg(U64), (value,)) if isinstance(value.type, Int) and value.type.signed else value

    def vector(self, node: ast.Call, name: str, *others: type) -> sil.Reg:
        self.arity(node, 1, name)
        value = self.expr(node.args[0], None)
        if not isinstance(value.type, (Vector, *others)):
            hint = "give it a vector"
            if name == "free" and isinstance(value.type, (Reference, EndpointSet)):
                hint = "remove the line: nobody has to give an object back" if isinstance(value.type, Reference) else f"write {value.name or 's'}.close()"
            raise self.refuse("types", f"{name} works on exchange-heap vectors, not on {value.type}", node, hint)
        return value

    def call_free(self, node: ast.Call) -> None:
        self.emit("free", node, None, (self.vector(node, "free", Struct),))

    def call_len(self, node: ast.Call) -> sil.Reg:
        if len(node.args) == 1 and isinstance((ends := self.expr(node.args[0], None)).type, EndpointSet):
            return self.emit("set_size", node, self.reg(U64), (ends,))
        return self.emit("len", node, self.reg(U64), (self.vector(node, "len"),))

    def call_cycles(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 0, "cycles")
        return self.emit("cycles", node, self.reg(U64))

    def call_process_id(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 0, "process_id")
        return self.emit("process_id", node, self.reg(U64))

    def call_cycles_per_second(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 0, "cycles_per_second")
        return self.emit("cycles_per_second", node, self.reg(U64))

    def call_yield_(self, node: ast.Call) -> None:
        self.arity(node, 0, "yield_")
        self.emit("yield", node)

    def call_thread(self, node: ast.Call) -> sil.Reg:
        """``thread(f, a...)``: a helper that runs beside its caller; what it is given is its own."""
        helper = self.program.names.get(getattr(node.args[0], "id", "")) if node.args else None
        if not isinstance(helper, Program) or helper.entry:
            raise self.refuse("types", "a thread runs a @function", node, "write thread(f, a, b): f and what it is called with")
        types, result, borrowed = self.module.signature(helper)
        for place, type_ in enumerate(types):
            if isinstance(type_, Reference):
                argument = node.args[place + 1] if place + 1 < len(node.args) else node
                raise self.refuse("types", f"thread {helper.name} is given {spoken(type_)}, and threads share no objects", argument,
                                  "hand it an exchange-heap vector: to_vector(s) makes one of text and of an Array[u8]")  # fmt: skip
        if any(borrowed):
            raise self.refuse("owner.borrow", f"thread {helper.name} borrows a block and may use it longer than its caller owns it", node,
                              "hand the block over: a parameter without Borrowed[...]")  # fmt: skip
        if sum(len(t.flat) if isinstance(t, Tuple) else 1 for t in types) > 4:
            raise self.refuse("language", f"{helper.name} has {len(types)} parameters; a thread is given at most 4", node, "send it the rest in a message")
        if result not in (None, U64):
            raise self.refuse("types", f"{helper.name} returns {result}; a thread ends with a u64 or nothing", node, f"let {helper.name} return u64")
        if len(node.args) - 1 != len(types):
            raise self.refuse("types", f"{helper.name} takes {len(types)} argument{'s' * (len(types) != 1)}, not {len(node.args) - 1}", node,
                              "give exactly those")  # fmt: skip
        arguments = [self.coerce(self.expr(a, t), t, a) for a, t in zip(node.args[1:], types)]
        return self.emit("spawn", node, self.reg(U64), flat(arguments), self.module.label(helper))

    def call_join(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 1, "join")
        return self.emit("join", node, self.reg(U64), (self.coerce(self.expr(node.args[0], U64), U64, node.args[0]),))

    def call_mark(self, node: ast.Call) -> None:
        self.arity(node, 1, "mark")
        value = self.expr(node.args[0], U64)
        self.integers(node, value)
        self.emit("mark", node, None, (value,))

    def call_print(self, node: ast.Call) -> None:
        """Text and numbers with a space between them and a new line at the end, as Python prints them."""
        text = ""
        arguments = [(index, part) for index, argument in enumerate(node.args)
                     for part in (self.pieces(argument) if isinstance(argument, ast.JoinedStr) else [argument])]  # fmt: skip
        last = 0
        for index, argument in arguments:
            text += " " if index != last else ""
            last = index
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                if any("\ud800" <= letter <= "\udfff" for letter in argument.value):
                    raise self.refuse("types", "half of a surrogate pair cannot be printed", argument, "write the whole character")
                text += argument.value
                continue
            value = self.to_say(argument)
            if isinstance(value.type, (Str, Char)):
                if text:
                    self.emit("print_text", node, extra=text)
                self.print_value(value, argument)
                text = ""
                continue
            value = self.plain(value, argument)
            if not isinstance(value.type, Int) and value.type != BOOL:
                raise self.refuse("types", f"{spoken(value.type)} cannot be printed", argument, "print its elements in a loop" if isinstance(value.type, Vector) else
                                  "print its fields" if isinstance(value.type, Struct) else self.number_of(value.type) or "print texts, integers and bools")  # fmt: skip
            if text:
                self.emit("print_text", node, extra=text)
            self.emit("print_int", argument, None, (value,))
            text = ""
        self.emit("print_text", node, extra=text + "\n")
