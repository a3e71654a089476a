"""Lowering, arrays and text: what is made, indexed, joined, compared, converted and printed."""

from __future__ import annotations

import ast
from collections.abc import Callable

from singlab.sing import sil
from singlab.sing.heapcode import element_of
from singlab.sing.library import FILENAME, library
from singlab.sing.objects import ObjectLowering, spoken
from singlab.sing.types import BOOL, CHAR, I64, STR, U8, U64, Array, Bool, Char, Int, Reference, Str, Type, Vector

#: Characters of a text that a name outside the program stands for, at most.
_LONGEST_CONSTANT = 65536
#: What a length is measured on.
_SEQUENCES = (Vector, Array, Str)


class TextLowering(ObjectLowering):
    """The part of a function's lowering that deals with arrays and text."""

    def run(self, name: str, node: ast.AST, *arguments: sil.Reg) -> sil.Reg:
        """Call a function of the language's library."""
        program = library()[name]
        _, result, _ = self.module.signature(program)
        return self.emit("call", node, self.reg(result), arguments, self.module.label(program))

    # ---- arrays ------------------------------------------------------------------------------------------------------

    def call_array(self, node: ast.Call) -> sil.Reg:
        """``array(T, n)`` or ``array(T, n, value)``."""
        if len(node.args) not in (2, 3):
            raise self.refuse("types", f"array takes 2 or 3 arguments, not {len(node.args)}", node, "write array(u64, n), or array(u64, n, value)")
        type_ = self.reference(ast.copy_location(ast.Subscript(ast.Name("Array", ast.Load()), node.args[0], ast.Load()), node))
        count = self.coerce(self.count_of(node.args[1]), U64, node.args[1])
        if len(node.args) == 2:
            return self.emit("newarr", node, self.reg(type_), (count,))
        count = self.held(count, node)
        value = self.held(self.coerce(self.expr(node.args[2], type_.element), type_.element, node.args[2]), node)
        made = self.emit("newarr", node, self.reg(type_), (count,))
        self.counted(node, count, lambda i: self.append("store", node, None, (made, i, value)))
        return made

    def counted(self, node: ast.AST, limit: sil.Reg, body: Callable[[sil.Reg], object]) -> None:
        """Emit a loop over the numbers below a limit."""
        counter = self.emit("const", node, self.reg(U64), extra=0)
        head, inner, after = (self.new_block(n) for n in ("for", "body", "after"))
        self.emit("br", node, extra=head.label)
        self.block = head
        going = self.emit("lt", node, self.reg(BOOL), (counter, limit))
        self.emit("cbr", node, None, (going,), (inner.label, after.label))
        self.block = inner
        body(counter)
        one = self.emit("const", node, self.reg(U64), extra=1)
        self.emit("add", node, counter, (counter, one))
        self.emit("br", node, extra=head.label)
        self.block = after

    def copied_into(self, node: ast.AST, source: sil.Reg, made: sil.Reg, count: sil.Reg) -> sil.Reg:
        """Copy all elements of one sequence of bytes into another."""

        def one(i: sil.Reg) -> None:
            value = self.element(node, self.reg(element_of(source.type)), source, i)
            element = made.type.element
            if value.type != element:
                value = self.emit("cast", node, self.reg(element), (value,))
            self.append("store", node, None, (made, i, value))

        self.counted(node, count, one)
        return made

    def bytes_of(self, node: ast.expr, what: str) -> sil.Reg:
        """Return a sequence of bytes that can be copied."""
        value = self.certain(self.expr(node, None), node)
        good = isinstance(value.type, Str) or (isinstance(value.type, (Array, Vector)) and element_of(value.type) in (CHAR, U8))
        if not good or (isinstance(value.type, Vector) and value.name is None):
            raise self.refuse("types", f"{what} cannot be made of {spoken(value.type)}", node,
                              "give it a str, an Array[char], an Array[u8], or a variable that holds an ExVec[u8]")  # fmt: skip
        return self.held(value, node) if isinstance(value.type, Reference) else value

    def call_to_vector(self, node: ast.Call) -> sil.Reg:
        """``to_vector(s)``: the bytes as an exchange-heap vector, to be sent."""
        self.arity(node, 1, "to_vector")
        source = self.bytes_of(node.args[0], "a vector")
        count = self.emit("len", node, self.reg(U64), (source,))
        return self.copied_into(node, source, self.emit("new", node, self.reg(Vector(U8)), (count,)), count)

    def call_to_array(self, node: ast.Call) -> sil.Reg:
        """``to_array(s)``: the bytes as an array."""
        self.arity(node, 1, "to_array")
        source = self.bytes_of(node.args[0], "an array")
        count = self.emit("len", node, self.reg(U64), (source,))
        return self.copied_into(node, source, self.emit("newarr", node, self.reg(Array(element=U8)), (count,)), count)

    def vector(self, node: ast.Call, name: str, *others: type) -> sil.Reg:
        """Return what ``len`` or ``free`` is asked of."""
        if name == "len":
            self.arity(node, 1, name)
            value = self.certain(self.expr(node.args[0], None), node)
            if isinstance(value.type, _SEQUENCES):
                return value
            raise self.refuse("types", f"{name} works on exchange-heap vectors, not on {spoken(value.type)}", node, "give it a vector")
        return super().vector(node, name, *others)

    # ---- text ------------------------------------------------------------------------------------------------------------

    def string(self, text: str, node: ast.AST) -> sil.Reg:
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise self.refuse("types", "half of a surrogate pair is no text", node, "write the whole character")
        return self.emit("string", node, self.reg(STR), extra=text)

    def expr(self, node: ast.expr, want: Type | None) -> sil.Reg:
        if isinstance(node, (ast.Name, ast.Attribute)) and not getattr(node, "id", "").startswith("__"):
            text = self.outside(node)
            if type(text) is str:
                if len(text) > _LONGEST_CONSTANT:
                    raise self.refuse("size", f"{ast.unparse(node)} has {len(text)} characters", node, f"a constant text has at most {_LONGEST_CONSTANT}")
                return self.ex_Constant(ast.copy_location(ast.Constant(text), node), want)
        return super().expr(node, want)

    def ex_Constant(self, node: ast.Constant, want: Type | None) -> sil.Reg:
        if node.value is None:
            if not isinstance(want, Reference):
                raise self.refuse("types", "it cannot be told what this None may become", node,
                                  "give the variable its type: x: Node | None = None")  # fmt: skip
            return self.emit("none", node, self.reg(want.perhaps))
        if isinstance(node.value, str):
            if isinstance(want, Char):
                return self.character(node)
            return self.string(node.value, node)
        return super().ex_Constant(node, want)

    def character(self, node: ast.Constant) -> sil.Reg:
        content = node.value.encode(errors="replace")
        if len(content) != 1:
            raise self.refuse("types", f"{node.value!r} is not one char", node, "a char is one byte: one ASCII character")
        return self.emit("const", node, self.reg(CHAR), extra=content[0])

    def call_char(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 1, "char")
        argument = node.args[0]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            return self.character(argument)
        value = self.literal(argument)
        if value is not None:
            return self.emit("const", node, self.reg(CHAR), extra=value & 255)
        reg = self.expr(argument, None)
        if not isinstance(reg.type, Int):
            raise self.refuse("types", f"{spoken(reg.type)} cannot become a char", node, "char(n) is the character with number n")
        return self.emit("cast", node, self.reg(CHAR), (reg,))

    def call_ord(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 1, "ord")
        value = self.expr(node.args[0], CHAR)
        if not isinstance(value.type, Char):
            raise self.refuse("types", f"ord of {spoken(value.type)}", node, "ord(c) is the number of a char")
        return self.emit("cast", node, self.reg(U64), (value,))

    def call_text(self, node: ast.Call) -> sil.Reg:
        """A word of the library alone: an array of chars becomes text where it is."""
        if self.program.filename != FILENAME:
            raise self.refuse("closed-api", "text is not a function a SIP can call", node, "str(a) makes text of an array")
        return self.emit("text", node, self.reg(STR), (self.expr(node.args[0], None),))

    def call_str(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 1, "str")
        argument = node.args[0]
        if self.literal(argument) is None and not isinstance(argument, ast.Constant):
            value = self.expr(argument, None)
            if isinstance(value.type, (Array, Vector)):
                return self.of_bytes(node, value)
            return self.shown(value, argument)
        return self.shown(self.expr(argument, None), argument)

    def of_bytes(self, node: ast.Call, value: sil.Reg) -> sil.Reg:
        source = self.certain(value, node)
        if element_of(source.type) not in (CHAR, U8) or (isinstance(source.type, Vector) and source.name is None):
            raise self.refuse("types", f"text cannot be made of {spoken(source.type)}", node,
                              "give it an Array[char], an Array[u8], or a variable that holds an ExVec[u8]")  # fmt: skip
        source = self.held(source, node) if isinstance(source.type, Array) else source
        count = self.emit("len", node, self.reg(U64), (source,))
        made = self.copied_into(node, source, self.emit("newarr", node, self.reg(Array(element=CHAR)), (count,)), count)
        return self.emit("text", node, self.reg(STR), (made,))

    def shown(self, value: sil.Reg, node: ast.AST) -> sil.Reg:
        """Return the text of a value."""
        value = self.certain(value, node)
        if isinstance(value.type, Str):
            return value
        if isinstance(value.type, Char):
            return self.run("single", node, value)
        if isinstance(value.type, Bool):
            return self.run("truth", node, value)
        if isinstance(value.type, Int):
            wide = I64 if value.type.signed else U64
            value = value if value.type == wide else self.emit("cast", node, self.reg(wide), (value,))
            return self.run("signed" if value.type.signed else "unsigned", node, value)
        raise self.refuse("types", f"{spoken(value.type)} has no text", node, "text is made of numbers, bools, chars and text")

    def pieces(self, node: ast.JoinedStr) -> list[ast.expr]:
        """Return the parts of a formatted text."""
        found: list[ast.expr] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                if part.format_spec is not None or part.conversion not in (-1, 115):
                    raise self.refuse("language", "a format inside formatted text", node, "write {value} alone")
                found.append(part.value)
            else:
                found.append(part)
        return found

    def ex_JoinedStr(self, node: ast.JoinedStr, want: Type | None) -> sil.Reg:
        parts = [self.shown(self.held(self.to_say(part), part), part) for part in self.pieces(node)]
        if not parts:
            return self.string("", node)
        whole = parts[0]
        for part in parts[1:]:
            whole = self.run("join", node, whole, part)
        return whole

    def join(self, left: sil.Reg, right: sil.Reg, node: ast.AST) -> sil.Reg:
        return self.run("join", node, self.certain(left, node), self.certain(right, node))

    def compare_references(self, name: str, a: sil.Reg, b: sil.Reg, node: ast.AST) -> sil.Reg:
        """Compare text by what it says, objects by which they are."""
        if isinstance(a.type, Str) and isinstance(b.type, Str):
            a, b = self.certain(a, node), self.certain(b, node)
            if name in ("eq", "ne"):
                found = self.run("equal", node, a, b)
                return found if name == "eq" else self.emit("not", node, self.reg(BOOL), (found,))
            if name in ("gt", "le"):
                a, b = b, a
            found = self.run("less", node, a, b)
            return found if name in ("lt", "gt") else self.emit("not", node, self.reg(BOOL), (found,))
        if isinstance(a.type, Array) or isinstance(b.type, Array) or name not in ("eq", "ne") or isinstance(a.type, Str) or isinstance(b.type, Str):
            raise self.refuse("types", f"{spoken(a.type)} and {spoken(b.type)} cannot be compared like this", node,
                              "compare their elements or fields; a is b asks whether they are one object")  # fmt: skip
        return self.emit(name, node, self.reg(BOOL), (a, b))

    def sliced(self, node: ast.Subscript, value: sil.Reg) -> sil.Reg:
        """``s[a:b]`` of a text; what lies outside is left away, as in Python."""
        if not isinstance(value.type, Str):
            raise self.refuse("language", "slices of vectors", node, "copy the elements in a loop")
        if node.slice.step is not None:
            raise self.refuse("language", "a slice with a step", node, "write s[a:b]")
        value = self.held(value, node)
        ends = []
        for end in (node.slice.lower, node.slice.upper):
            number = None if end is None else self.literal(end)
            if end is None or (number is not None and number < 0):
                size = self.emit("len", node, self.reg(U64), (value,))
                ends.append(size if end is None else self.before_end(node, size, -number))
            else:
                ends.append(self.held(self.coerce(self.expr(end, U64), U64, end), end))
        if node.slice.lower is None:
            ends[0] = self.emit("const", node, self.reg(U64), extra=0)
        return self.run("part", node, value, *ends)

    def before_end(self, node: ast.AST, size: sil.Reg, distance: int) -> sil.Reg:
        """Return so much less than a size, or 0."""
        by = self.constant(distance, U64, node)
        found = self.reg(U64)
        self.emit("const", node, found, extra=0)
        more, after = self.new_block("more"), self.new_block("after")
        self.emit("cbr", node, None, (self.emit("gt", node, self.reg(BOOL), (size, by)),), (more.label, after.label))
        self.block = more
        self.emit("sub", node, found, (size, by))
        self.emit("br", node, extra=after.label)
        self.block = after
        return found

    # ---- printing --------------------------------------------------------------------------------------------------------------

    def print_value(self, value: sil.Reg, node: ast.AST) -> None:
        """Print text or a character."""
        self.emit("print_str", node, None, (self.shown(value, node),))
