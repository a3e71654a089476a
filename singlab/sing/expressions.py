"""Lowering, expressions: values, calls, and how types meet.

Literals take the type they are used at. Otherwise both sides of an operation have one type, or the
narrower is widened where no value can change; anything else wants an explicit cast.
"""

from __future__ import annotations

import ast
import re
from types import FunctionType, ModuleType

from singlab.sing import sil
from singlab.sing.borrow import BorrowLowering
from singlab.sing.builtincalls import BuiltinLowering
from singlab.sing.constants import UNKNOWN
from singlab.sing.enums import EnumLowering
from singlab.sing.errors import SipError
from singlab.sing.handles import HandleLowering
from singlab.sing.heapcode import element_of
from singlab.sing.naming import NamingLowering
from singlab.sing.objects import spoken
from singlab.sing.program import Program
from singlab.sing.structs import StructLowering
from singlab.sing.tuples import TupleLowering, TupleValue, flat
from singlab.sing.types import (
    BOOL,
    I64,
    INTS,
    U64,
    Array,
    Bool,
    Char,
    Endpoint,
    EndpointSet,
    Enum,
    Int,
    Member,
    Reference,
    Str,
    Struct,
    Tuple,
    Type,
    Vector,
)

_BINARY = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.FloorDiv: "div", ast.Mod: "rem", ast.BitAnd: "and",
    ast.BitOr: "or", ast.BitXor: "xor", ast.LShift: "shl", ast.RShift: "shr",
}  # fmt: skip
_SENT = "objects stay in their process; send an exchange-heap vector: to_vector(s) makes one of text and of an Array[u8]"
#: What stands in place of Python's own functions.
_INSTEAD = {
    "max": "write a if a > b else b", "min": "write a if a < b else b", "abs": "write x if x >= 0 else -x", "sum": "add up in a loop",
    "divmod": "write a // b and a % b", "pow": "multiply in a loop", "input": "what a process works on comes as startup arguments and messages",
    "open": "there are no files: ask a service for them over a channel", "enumerate": "write for i in range(len(v)):", "zip": "write for i in range(len(v)):",
    "reversed": "write for i in range(len(v)): and use v[len(v) - 1 - i]", **dict.fromkeys(("list", "dict", "set", "sorted"), "use an array: array(u64, n)"),
    **dict.fromkeys(("hex", "bin", "oct", "format", "repr"), "str(n) and print(n) show a number in decimal"), "float": "use integers",
    **dict.fromkeys(("eval", "exec", "compile", "__import__", "getattr", "setattr"), "a sealed image cannot change: all its code is there before it starts"),
}  # fmt: skip
_COMPARE = {ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge"}


def widens(source: Type, target: Type) -> bool:
    """Whether every value of one type is a value of the other."""
    if isinstance(source, Enum) and source.integer:
        source = source.sil
    return (type(source) is Int and type(target) is Int
            and target.minimum <= source.minimum and source.maximum <= target.maximum)  # fmt: skip


class ExpressionLowering(BuiltinLowering, HandleLowering, NamingLowering, EnumLowering, StructLowering, TupleLowering, BorrowLowering):
    """The half of a function's lowering that deals with expressions."""

    def literal(self, node: ast.expr) -> int | None:
        """Return the value of a literal or a named integer constant, else None."""
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Invert)):
            inner = self.literal(node.operand)
            return None if inner is None else -inner if isinstance(node.op, ast.USub) else ~inner
        if isinstance(node, (ast.Name, ast.Attribute)):
            value = self.named_constant(node)
            return value if type(value) is int else None
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            left, right = self.literal(node.left), self.literal(node.right)
            if left is None or right is None:
                return None
            return self.fold(type(node.op), left, right)
        return None

    @staticmethod
    def fold(op: type, left: int, right: int) -> int | None:
        """Return the value of an operation on two literals, or None where it must be left to run time."""
        name = _BINARY[op]
        if name in ("div", "rem"):
            return None if right == 0 else left // right if name == "div" else left % right
        if name in ("shl", "shr"):
            return None if not 0 <= right < 64 or left.bit_length() > 64 else left << right if name == "shl" else left >> right
        return {"add": left + right, "sub": left - right, "mul": left * right, "and": left & right, "or": left | right,
                "xor": left ^ right}[name]  # fmt: skip

    def lookup(self, node: ast.Name) -> sil.Reg:
        """Return a variable's register."""
        if node.id not in self.variables:
            found = self.outside(node)
            if isinstance(found, Program):
                raise self.refuse("types", f"{node.id} is a function, not a value", node, f"call it: {node.id}(...)")
            type_ = self.declared_type(node)
            if type_ is not None:
                raise self.refuse("types", f"{node.id} is a type, not a value", node,
                                  f"write a member: {type_.called(type_.values()[0])}" if isinstance(type_, Enum) else "write a value of it")  # fmt: skip
            raise self.refuse("types", f"{node.id} has no value here", node,
                              "assign it first; outside names can be constants, enum members, contracts and @function helpers")  # fmt: skip
        return self.as_known(node.id, self.variables[node.id], node)

    def expr(self, node: ast.expr, want: Type | None) -> sil.Reg:
        """Lower an expression; ``want`` is the type it will be used at, for literals."""
        value = self.literal(node)
        if value is not None:
            return self.constant(value, want if type(want) is Int else I64, node)
        method = getattr(self, f"ex_{type(node).__name__}", None)
        if method is None:
            raise self.left_out(node)
        return method(node, want)

    def left_out(self, node: ast.AST) -> SipError:
        """Return the refusal of a construct the language does not have."""
        from singlab.sing.lower import LEFT_OUT

        kind = type(node).__name__
        name, instead = LEFT_OUT.get(kind) or LEFT_OUT.get(kind.removesuffix("From").removesuffix("Star")) or (
            kind.lower(), "write it with if, while, for and match, integers and calls")  # fmt: skip
        return self.refuse("language", f"the SIP language has no {name}", node, instead)

    def constant(self, value: int, type_: Int, node: ast.AST) -> sil.Reg:
        if not type_.minimum <= value <= type_.maximum:
            wider = [str(t) for t in INTS.values() if t.minimum <= value <= t.maximum]
            raise self.refuse("types", f"{value} does not fit {type_} ({type_.minimum} to {type_.maximum})", node,
                              f"use a type that has it: {', '.join(wider)}" if wider else "no integer of 64 bits has it; use a smaller one")  # fmt: skip
        return self.emit("const", node, self.reg(type_), extra=value)

    def coerce(self, value: sil.Reg, type_: Type, node: ast.AST, name: str = "") -> sil.Reg:
        """Return a value as a type, widening it if needed, or refuse."""
        if value.type == type_:
            return value
        if isinstance(value, TupleValue) and isinstance(type_, Tuple) and len(value.parts) == len(type_.parts):
            return TupleValue(type_, [self.coerce(part, t, node, name) for part, t in zip(value.parts, type_.parts)])
        if isinstance(type_, Reference):
            return self.refer(value, type_, node, name)
        if widens(value.type, type_):
            return self.emit("cast", node, self.reg(type_), (value,))
        cast = f"write {type_}(...) to keep its low bits" if isinstance(type_, Int) and isinstance(value.type, Int) else (
            f"a {type_} is needed here")  # fmt: skip
        if name and isinstance(type_, Int) and isinstance(value.type, Int):
            cast += f", or give {name} the wider type where it is first assigned: {name}: {value.type} = ..."
        elif isinstance(type_, Enum):
            first = type_.called(type_.values()[0])
            cast = f"write a member such as {first}" + (f", or {type_}(...) for the one with this number" if isinstance(value.type, Int) else "")
        elif name:
            cast = f"use another name for the {value.type}"
        what = f"{name} is {type_} and cannot take {value.type}" if name else f"{value.type} where {type_} is needed"
        raise self.refuse("types", what, node, cast)

    def pair(self, left: ast.expr, right: ast.expr, want: Type | None, node: ast.AST) -> tuple[sil.Reg, sil.Reg]:
        """Lower two operands to one type."""
        hint = want if type(want) is Int else None
        for one, other in ((left, right), (right, left)):
            if isinstance(one, ast.Constant) and isinstance(one.value, str) and not isinstance(other, ast.Constant):
                reg = self.held(self.expr(other, None), other)
                text = self.expr(one, reg.type)
                if isinstance(reg.type, (Char, Str)):
                    return (text, reg) if one is left else (reg, text)
                raise self.refuse("types", f"{spoken(reg.type)} and text in one operation", node, "str(...) makes text of a number")
        if self.literal(left) is not None and self.literal(right) is None:
            b = self.expr(right, hint)
            return self.expr(left, b.type), b
        a = self.as_wanted(self.expr(left, hint), hint, left)
        b = self.as_wanted(self.expr(right, a.type if self.literal(right) is not None else hint), hint, right)
        if a.type == b.type or (isinstance(a.type, Reference) and isinstance(b.type, Reference)):
            return a, b
        if widens(b.type, a.type):
            return a, self.coerce(b, a.type, right)
        if widens(a.type, b.type):
            return self.coerce(a, b.type, left), b
        kind = next((t for t in (a.type, b.type) if isinstance(t, Enum) and not t.integer), None)
        if kind is not None:
            other = b.type if kind == a.type else a.type
            raise self.refuse("types", f"{a.type} and {b.type} in one operation", node,
                              f"use a member of {kind}, such as {kind.called(kind.values()[0])}"
                              + (f", or its number: {kind.sil}(...)" if isinstance(other, Int) else ""))  # fmt: skip
        if {type(a.type), type(b.type)} == {Bool, Int}:
            raise self.refuse("types", f"{spoken(a.type)} and {spoken(b.type)} in one operation", node,
                              f"a bool is counted as 0 or 1 by a cast: {b.type if isinstance(b.type, Int) else a.type}(...)")  # fmt: skip
        names = [n.id for n in (left, right) if isinstance(n, ast.Name)]
        extra = f", or give {names[0]} that type where it is first assigned: {names[0]}: {b.type if names[0] == getattr(left, 'id', '') else a.type} = ..." if names else ""
        raise self.refuse("types", f"{spoken(a.type)} and {spoken(b.type)} in one operation", node,
                          "use values of one type" if not (isinstance(a.type, Int) and isinstance(b.type, Int)) else f"convert one: {b.type}(...) or {a.type}(...)" + extra)  # fmt: skip

    def as_wanted(self, value: sil.Reg, want: Type | None, node: ast.AST) -> sil.Reg:
        """Return an IntEnum's member in the type wanted, as a literal would be; others as they are."""
        return self.coerce(value, want, node) if want is not None and isinstance(value.type, Enum) and widens(value.type, want) else value

    # ---- kinds of expression ----------------------------------------------------------------------------------

    def ex_Constant(self, node: ast.Constant, want: Type | None) -> sil.Reg:
        if isinstance(node.value, bool):
            return self.emit("const", node, self.reg(BOOL), extra=int(node.value))
        raise self.refuse("language", f"{node.value!r} is no value of the SIP language", node,
                          "use integers; text goes to print only")  # fmt: skip

    def ex_Name(self, node: ast.Name, want: Type | None) -> sil.Reg:
        constant = self.named_constant(node)
        if isinstance(constant, bool):
            return self.emit("const", node, self.reg(BOOL), extra=int(constant))
        if isinstance(constant, Member):
            return self.member(constant, node)
        return self.lookup(node)

    def ex_BinOp(self, node: ast.BinOp, want: Type | None) -> sil.Reg:
        if isinstance(node.op, ast.Div):
            raise self.refuse("language", "/ makes fractions, which the SIP language does not have", node, "write // instead")
        op = _BINARY.get(type(node.op))
        if op is None:
            raise self.refuse("language", f"the SIP language has no operator {ast.unparse(node)}", node, "multiply in a loop")
        if op in ("shl", "shr"):
            left = self.plain(self.as_wanted(self.expr(node.left, want), want, node), node)
            right = self.plain(self.expr(node.right, left.type), node)
            self.integers(node, left, right)
            right = right if right.type == left.type else self.emit("cast", node, self.reg(left.type), (right,))
            return self.emit(op, node, self.reg(left.type), (left, right))
        left, right = self.pair(node.left, node.right, want, node)
        if isinstance(left.type, Str) and isinstance(right.type, Str) and op == "add":
            return self.join(left, right, node)
        if left.type == BOOL and op in ("and", "or", "xor"):
            return self.emit(op, node, self.reg(BOOL), (left, right))
        left, right = self.plain(left, node), self.plain(right, node)
        self.integers(node, left, right)
        return self.emit(op, node, self.reg(left.type), (left, right))

    def integers(self, node: ast.AST, *values: sil.Reg) -> None:
        for value in values:
            if isinstance(value.type, Char):
                raise self.refuse("types", "char in arithmetic", node, "ord(c) is the number of a char, char(n) the char of a number")
            if not isinstance(value.type, Int):
                raise self.refuse("types", f"{spoken(value.type)} in arithmetic", node, self.number_of(value.type) or "use integers")

    @staticmethod
    def number_of(type_: Type) -> str:
        """Return how to write an enum's number; empty for other types."""
        return f"write its number: {type_.sil}(...)" if isinstance(type_, Enum) else ""

    def ex_UnaryOp(self, node: ast.UnaryOp, want: Type | None) -> sil.Reg:
        if isinstance(node.op, ast.Not):
            value = self.expr(node.operand, BOOL)
            return self.emit("not", node, self.reg(BOOL), (self.coerce(value, BOOL, node.operand),))
        value = self.plain(self.as_wanted(self.expr(node.operand, want), want, node), node)
        self.integers(node, value)
        if isinstance(node.op, ast.UAdd):
            return value
        return self.emit("neg" if isinstance(node.op, ast.USub) else "inv", node, self.reg(value.type), (value,))

    def ex_Compare(self, node: ast.Compare, want: Type | None) -> sil.Reg:
        if len(node.ops) == 1:
            return self.comparison(node.left, node.ops[0], node.comparators[0], node)
        # a < b < c: b once, the second comparison only if the first holds
        return self.short_circuit_value(node)

    def comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr, node: ast.AST) -> sil.Reg:
        name, same = _COMPARE.get(type(op)), {ast.Is: "eq", ast.IsNot: "ne"}.get(type(op))
        if name is None and same is None:
            raise self.refuse("language", "the SIP language compares with == != < <= > >= only", node, "use one of them")
        try:
            a, b = self.pair(left, right, None, node)
            identical = isinstance(a.type, Enum)
        except SipError:
            if name is not None:
                raise
            identical = False
        if name is None and not identical:
            raise self.refuse("language", "is and is not compare members of an enum only", node, "use == or !=")
        name = name or same
        if isinstance(a.type, Enum) and not a.type.integer and name not in ("eq", "ne"):
            raise self.refuse("types", f"{a.type} has no order", node, f"{self.number_of(a.type)}, or declare it as an IntEnum")
        if isinstance(a.type, Tuple):
            raise self.refuse("types", "tuples cannot be compared", node, "compare their values: a[0] == b[0]")
        if isinstance(a.type, Reference):
            return self.compare_references(name, a, b, node)
        if a.type.linear or (a.type == BOOL and name not in ("eq", "ne")):
            raise self.refuse("types", f"{a.type} cannot be compared like this", node, "compare integers")
        return self.emit(name, node, self.reg(BOOL), (a, b))

    def ex_BoolOp(self, node: ast.BoolOp, want: Type | None) -> sil.Reg:
        return self.short_circuit_value(node)

    def short_circuit_value(self, node: ast.expr) -> sil.Reg:
        result = self.reg(BOOL)
        yes, no, after = self.new_block("true"), self.new_block("false"), self.new_block("after")
        self.condition(node, yes, no)
        for block, value in ((yes, 1), (no, 0)):
            self.block = block
            self.emit("const", node, result, extra=value)
            self.emit("br", node, extra=after.label)
        self.block = after
        return result

    def condition(self, node: ast.expr, yes: sil.Block, no: sil.Block) -> None:
        """Branch on a condition; ``and``, ``or`` and ``not`` become control flow."""
        if isinstance(node, ast.BoolOp):
            before, which = dict(self.narrowed), isinstance(node.op, ast.Or)
            for index, part in enumerate(node.values):
                if index == len(node.values) - 1:
                    self.condition(part, yes, no)
                    self.narrowed = before
                    return
                more = self.new_block("more")
                if isinstance(node.op, ast.And):
                    self.condition(part, more, no)
                else:
                    self.condition(part, yes, more)
                self.narrowed = {**self.narrowed, **self.facts(part)[which]}
                self.block = more
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.condition(node.operand, no, yes)
        elif isinstance(node, ast.Compare) and len(node.ops) > 1:
            left = self.once(node.left)
            for index, (op, right) in enumerate(zip(node.ops, node.comparators)):
                if index < len(node.ops) - 1:
                    right = self.once(right)
                test = self.comparison(left, op, right, node)
                last = index == len(node.ops) - 1
                more = yes if last else self.new_block("more")
                self.emit("cbr", node, None, (test,), (more.label, no.label))
                self.block = more if not last else self.block
                left = right
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            self.emit("br", node, extra=(yes if node.value else no).label)
        elif isinstance(constant := self.named_constant(node), bool):
            self.emit("br", node, extra=(yes if constant else no).label)
        else:
            value = self.expr(node, BOOL)
            if value.type != BOOL:
                raise self.refuse("types", f"a condition must be a bool, not {value.type}", node,
                                  f"compare it: {ast.unparse(node)} != 0")  # fmt: skip
            self.emit("cbr", node, None, (value,), (yes.label, no.label))

    def once(self, node: ast.expr) -> ast.expr:
        """Evaluate what is used twice now; returns a name for its value. Literals take their type where they are used."""
        if self.literal(node) is not None or isinstance(node, ast.Name):
            return node
        name = f"#{self.count}"
        self.variables[name] = self.expr(node, None)
        return ast.copy_location(ast.Name(name, ast.Load()), node)

    def ex_IfExp(self, node: ast.IfExp, want: Type | None) -> sil.Reg:
        yes, no, after = self.new_block("then"), self.new_block("else"), self.new_block("after")
        before, (holds, fails) = self.narrowed, self.facts(node.test)
        self.condition(node.test, yes, no)
        self.block, self.narrowed = yes, {**before, **holds}
        none = self.is_none(node.body) and want is None
        first = self.expr(node.body, self.type_of_name(node.orelse) if none else want)
        if first.type.linear:
            raise self.refuse("types", "a conditional expression over owned things", node, "use an if statement")
        joined = first.type
        if isinstance(joined, Reference):
            joined = want if isinstance(want, Reference) else joined.perhaps if self.is_none(node.orelse) else joined
        result = self.fresh(joined)
        self.move(result, self.coerce(first, joined, node.body), node)
        self.emit("br", node, extra=after.label)
        self.block, self.narrowed = no, {**before, **fails}
        second = self.coerce(self.expr(node.orelse, joined), joined, node.orelse)
        self.narrowed = before
        self.move(result, second, node)
        self.emit("br", node, extra=after.label)
        self.block = after
        return result

    def vector_of(self, node: ast.Subscript, vector: sil.Reg | None = None) -> sil.Reg:
        """Return the vector's register of ``v[i]``."""
        vector = self.certain(vector or self.expr(node.value, None), node.value)
        if isinstance(vector, TupleValue):
            raise self.refuse("types", "the values of a tuple cannot be changed", node, "make another one: t = (a, b)")
        if not isinstance(vector.type, (Vector, Array, Str)):
            raise self.refuse("types", f"{spoken(vector.type)} has no elements", node, "index an exchange-heap vector")
        if isinstance(node.slice, (ast.Slice, ast.Tuple)):
            raise self.refuse("language", "slices of vectors", node, "copy the elements in a loop")
        return vector

    def of_values(self, vector: sil.Reg, node: ast.AST) -> None:
        """Refuse an element that is a struct: it lies in the vector and has no value of its own."""
        if isinstance(vector.type.element, Struct):
            name = vector.type.element.fields[0][0]
            raise self.refuse("types", f"an element of {vector.type} is a struct and stays in its vector", node,
                              f"read or write one field of it, such as v[i].{name}")  # fmt: skip

    def index_of(self, node: ast.Subscript) -> sil.Reg:
        """Return the index's register of ``v[i]``."""
        value, name = self.literal(node.slice), ast.unparse(node.value)
        if value is not None and value < 0:
            raise self.refuse("types", f"an index counts from 0, and this is {value}", node.slice, f"write {name}[len({name}) - {-value}]")
        index = self.plain(self.expr(node.slice, U64), node.slice)
        if isinstance(index.type, Int) and index.type.signed and index.type.bits < 64:
            index = self.coerce(index, I64, node.slice)
        if index.type == I64:  # a negative index becomes huge, and the bounds check finds it
            index = self.emit("cast", node, self.reg(U64), (index,))
        return self.coerce(index, U64, node.slice)

    def ex_Subscript(self, node: ast.Subscript, want: Type | None) -> sil.Reg:
        if isinstance(node.slice, ast.Slice):
            value = self.certain(self.expr(node.value, None), node.value)
            return self.sliced(node, value)
        value = self.expr(node.value, None) if isinstance(node.value, (ast.Name, ast.Call, ast.Subscript, ast.Tuple)) else None
        if isinstance(value, TupleValue):
            return self.part(value, node)
        vector = self.vector_of(node, value)
        if isinstance(vector.type, Reference):
            vector = self.held(vector, node)
        else:
            self.of_values(vector, node)
        return self.emit("load", node, self.reg(element_of(vector.type)), (vector, self.index_of(node)))

    def ex_Call(self, node: ast.Call, want: Type | None) -> sil.Reg:
        value = self.call(node, want, statement=False)
        if value is None:
            raise self.refuse("types", f"{ast.unparse(node.func)}(...) has no value", node, "write it as a statement of its own")
        return value

    # ---- calls -------------------------------------------------------------------------------------------------

    def is_receive(self, node: ast.expr) -> bool:
        """Whether an expression is ``x.receive(...)``."""
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "receive"

    def endpoint(self, node: ast.expr) -> sil.Reg:
        """Return the register of an endpoint."""
        reg = self.expr(node, None)
        if not isinstance(reg.type, Endpoint):
            raise self.refuse("types", f"{ast.unparse(node)} is {reg.type}, not an endpoint", node,
                              "messages go over endpoint parameters, such as ch: C.Exp")  # fmt: skip
        return reg

    def call(self, node: ast.Call, want: Type | None, statement: bool) -> sil.Reg | None:
        """Lower any call; returns its value, or None where it has none."""
        if node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
            raise self.refuse("language", "named or starred arguments", node, "give the arguments in order")
        type_ = self.declared_type(node.func) if isinstance(node.func, (ast.Name, ast.Attribute)) else None
        if isinstance(type_, Enum):
            return self.to_enum(node, type_)
        if isinstance(type_, Struct):
            raise self.refuse("types", f"{type_} is a struct on the exchange heap", node, f"write new({type_}) and assign its fields")
        if isinstance(node.func, ast.Attribute):
            return self.method(node, statement)
        if not isinstance(node.func, ast.Name):
            raise self.refuse("language", f"{ast.unparse(node.func)} cannot be called", node, "call a function by its name")
        name = node.func.id
        if name in INTS or name == "int":
            return self.cast(node, INTS.get(name, I64))
        if isinstance(self.program.bindings.get(name), Int):
            return self.cast(node, self.program.bindings[name])
        known = self.class_named(name)
        if known is not None:
            return self.construct(node, known)
        builtin = getattr(self, f"call_{name}", None)
        if builtin is not None and not isinstance(self.program.names.get(name), Program):
            return builtin(node)
        helper = self.program.names.get(name)
        if isinstance(helper, type) or re.search(rf"^class {name}\b", self.program.source, re.MULTILINE):
            raise self.refuse("types", f"{name} is a class of Python, not of the SIP language", node, f"write @managed above class {name}")
        if not isinstance(helper, Program):
            if isinstance(helper, FunctionType) or re.search(rf"^def {name}\b", self.program.source, re.MULTILINE):
                raise self.refuse("closed-api", f"{name} is a function of Python, not of the SIP language", node, f"write @function above def {name}(...)")
            raise self.refuse("closed-api", f"{name} is not a function a SIP can call", node, _INSTEAD.get(name) or
                              "a sealed process has new, free, len, print, cycles, yield_, mark, process_id, casts such as "
                              "u8(x), and your own @function helpers")  # fmt: skip
        if helper.entry:
            raise self.refuse("closed-api", f"{name} is a SIP; processes are started by the system, not called", node,
                              "make it a @function to share its code")  # fmt: skip
        variables = self.type_variables(helper)
        if variables:
            helper, arguments = self.instance(helper, variables, node)
            types, result, borrowed = self.module.signature(helper)
        else:
            types, result, borrowed = self.module.signature(helper)
            self.arity(node, len(types), name)
            arguments = [self.coerce(self.expr(a, t), t, a) for a, t in zip(node.args, types)]
        for value, argument, lent in zip(arguments, node.args, borrowed):
            if lent:
                self.lend(value, argument, name)
        return self.emit_call(node, helper, arguments, result)

    def emit_call(self, node: ast.AST, helper: Program, arguments: list[sil.Reg], result: Type | None) -> sil.Reg | TupleValue | None:
        return self.called("call", node, arguments, result, self.module.label(helper))

    def called(self, op: str, node: ast.AST, arguments: list[sil.Reg], result: Type | None, name: str) -> sil.Reg | TupleValue | None:
        """Emit a call; returns its value, for several results a tuple."""
        made = None if result is None else self.fresh(result)
        dests = [] if made is None else flat([made])
        self.emit(op, node, dests[0] if dests else None, tuple(flat(arguments)), name, tuple(dests[1:]))
        return made

    def arity(self, node: ast.Call, count: int, name: str) -> None:
        if len(node.args) != count:
            raise self.refuse("types", f"{name} takes {count} argument{'s' * (count != 1)}, not {len(node.args)}", node,
                              "give exactly those")  # fmt: skip

    def cast(self, node: ast.Call, type_: Int) -> sil.Reg:
        self.arity(node, 1, str(type_))
        value = self.literal(node.args[0])
        if value is not None:
            low = value & (1 << type_.bits) - 1
            return self.constant(low - (1 << type_.bits) if type_.signed and low > type_.maximum else low, type_, node)
        reg = self.expr(node.args[0], None)
        if not isinstance(reg.type, (Int, Enum)) and reg.type != BOOL:
            raise self.refuse("types", f"{reg.type} cannot become {type_}", node, "convert integers only")
        return reg if reg.type == type_ else self.emit("cast", node, self.reg(type_), (reg,))

    def method(self, node: ast.Call, statement: bool) -> sil.Reg | None:
        what = node.func.attr
        if what in ("add", "close", "receive") and isinstance(self.expr(node.func.value, None).type, EndpointSet):
            return self.set_method(node, what)
        at = node.func.value
        strange = isinstance(at, ast.Name) and at.id not in self.variables and self.outside(at) is UNKNOWN and self.declared_type(at) is None
        if what not in ("send", "receive", "close") and (strange or isinstance(self.outside(at), ModuleType)):
            raise self.refuse("closed-api", f"{ast.unparse(node.func)} is nothing that a sealed program has: it brings all its code with it", node,
                              "write a @function of your own; constants of a module can be used")  # fmt: skip
        if what not in ("send", "receive", "close"):
            raise self.refuse("closed-api", f"there is no operation {what}", node, "an endpoint has send, receive and close")
        endpoint = self.endpoint(node.func.value)
        if what == "close":
            self.arity(node, 0, "close")
            self.emit("close", node, None, (endpoint,))
            return None
        if what == "receive":
            if not node.args:
                raise self.refuse("language", "receive() without a message", node,
                                  "write match ch.receive(): with a case for each message, or ch.receive(C.M) for one")  # fmt: skip
            values = self.receive_one(node)
            if len(values) > 1 and not statement:
                raise self.refuse("types", f"the message has {len(values)} arguments", node, "write a, b = ch.receive(C.M)")
            return values[0] if values else None
        self.arity(node, 1, "send")
        built = node.args[0]
        if not isinstance(built, ast.Call):
            raise self.refuse("language", "send takes a message", built, "write ch.send(C.M(values))")
        message = self.message(built.func, endpoint)
        if built.keywords or len(built.args) != len(message.arguments):
            raise self.refuse("contract.arguments", f"{message.name} carries {len(message.arguments)} "
                              f"argument{'s' * (len(message.arguments) != 1)}, not {len(built.args)}", built, f"the contract says: {message}")  # fmt: skip
        arguments = []
        for value_node, (name, type_) in zip(built.args, message.arguments):
            value = self.expr(value_node, type_)
            if value.type != type_ and not widens(value.type, type_):
                raise self.refuse("contract.arguments", f"argument {name} of {message.name} is {type_}, here {spoken(value.type)}",
                                  value_node, _SENT if isinstance(value.type, Reference) else f"convert it: {type_}(...)" if isinstance(type_, Int) and isinstance(value.type, Int)
                                  else f"the contract says: {message}")  # fmt: skip
            arguments.append(self.coerce(value, type_, value_node))
        self.emit("send", node, None, (endpoint, *arguments), message.name)
        return None

    def receive_one(self, node: ast.Call) -> list[sil.Reg]:
        """``ch.receive(C.M)``: that message and no other; returns its arguments."""
        endpoint = self.endpoint(node.func.value)
        self.arity(node, 1, "receive")
        message = self.message(node.args[0], endpoint)
        regs = tuple(self.reg(type_, None) for _, type_ in message.arguments)
        block = self.new_block("got")
        self.emit("receive", node, None, (endpoint,), sil.Receive({message.name: (regs, block.label)}, None))
        self.block = block
        self.came_in(regs, node)
        return list(regs)
