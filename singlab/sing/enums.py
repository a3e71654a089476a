"""Lowering, enums: members, conversions, and ``match`` on a value.

An enum's value is an integer that the front end keeps apart from others. It holds a member wherever it
came in: a conversion, a received message and a startup argument are checked (fault 12), so a ``match``
that names every member needs no other case.
"""

from __future__ import annotations

import ast

from singlab.sing import sil
from singlab.sing.constants import UNKNOWN, declared, resolve, value_of
from singlab.sing.contracts import declaration
from singlab.sing.exceptions import VALUE
from singlab.sing.types import BOOL, I64, Enum, Int, Member, Type

#: How declared types are written.
DECLARE_ENUM = "an enum's members are integers: RED = 0, or auto()"
DECLARE_STRUCT = "a struct's fields are integers, bools and enums: length: u32; a block travels as an argument of its own"
#: What a number that is no member ends the process with.
FAULT_CONVERSION = 12


class EnumLowering:
    """The part of a function's lowering that deals with declared types, enums and matches on values."""

    # ---- names -------------------------------------------------------------------------------------------------

    def outside(self, node: ast.expr) -> object:
        """Return what a name or dotted name outside the function stands for, UNKNOWN for variables and the rest."""
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name) or root.id in self.variables:
            return UNKNOWN
        return resolve(node, self.program.names)

    def named_constant(self, node: ast.expr) -> int | bool | Member | None:
        """Return the constant a name stands for, None if it stands for none."""
        return value_of(self.outside(node)) if isinstance(node, (ast.Name, ast.Attribute)) else None

    def declared_type(self, node: ast.expr) -> Type | None:
        """Return the type a name declares, None if it declares none."""
        found = self.outside(node)
        try:
            type_ = declared(found)
        except ValueError as error:
            raise self.refuse("types", str(error), node, DECLARE_ENUM) from None
        return None if type_ is None else self.same(type_, node)

    def same(self, type_: Type, node: ast.AST) -> Type:
        """Return a declared type; a module has one of each name."""
        known = self.module.types.setdefault(type_.name, type_)
        if known != type_:
            raise self.refuse("types", f"there are two different types named {type_.name}: {declaration(known)} and {declaration(type_)}", node,
                              "rename one, or use the contract's own: Contract." + type_.name)  # fmt: skip
        return type_

    def member(self, member: Member, node: ast.AST) -> sil.Reg:
        """Return an enum's member as a value."""
        self.same(member.type, node)
        return self.emit("const", node, self.reg(member.type), extra=member.value)

    def ex_Attribute(self, node: ast.Attribute, want: Type | None) -> sil.Reg:
        constant = self.named_constant(node)
        if isinstance(constant, bool):
            return self.emit("const", node, self.reg(BOOL), extra=int(constant))
        if isinstance(constant, Member):
            return self.member(constant, node)
        type_ = self.declared_type(node.value)
        if isinstance(type_, Enum):
            raise self.refuse("types", f"{type_.name} has no member {node.attr}", node,
                              f"it has {', '.join(name for name, _ in type_.members)}")  # fmt: skip
        return self.attribute(node)

    def attribute(self, node: ast.Attribute) -> sil.Reg:
        """Return ``value.name``."""
        root = node.value
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name) and root.id not in self.variables:
            raise self.refuse("types", f"{ast.unparse(node)} has no value here", node,
                              "outside names can be constants, enum members, contracts and @function helpers")  # fmt: skip
        place = self.field(node)
        if place is not None:
            return self.load_field(place, node)
        value = self.expr(node.value, None)
        if isinstance(value.type, Enum) and node.attr == "value":
            return self.emit("cast", node, self.reg(value.type.sil), (value,))
        raise self.refuse("types", f"{value.type} has no attribute {node.attr}", node,
                          "c.value is an enum's number" if isinstance(value.type, Enum) else "use a variable of its own")  # fmt: skip

    # ---- conversions ---------------------------------------------------------------------------------------------

    def to_enum(self, node: ast.Call, type_: Enum) -> sil.Reg:
        """``Colour(n)``: the member with this number; there being none is a fault."""
        self.arity(node, 1, type_.name)
        value = self.literal(node.args[0])
        if value is not None:
            if value not in type_.values():
                raise self.refuse("types", f"{value} is no {type_.name}", node, f"it has {self.numbered(type_)}")
            return self.emit("const", node, self.reg(type_), extra=value)
        number = self.expr(node.args[0], None)
        if number.type == type_:
            return number
        if not isinstance(number.type, Int):
            raise self.refuse("types", f"{number.type} cannot become {type_.name}", node, "convert an integer")
        self.check_member(number, type_, node)
        return self.emit("cast", node, self.reg(type_), (number,))

    @staticmethod
    def numbered(type_: Enum) -> str:
        return ", ".join(f"{name} = {value}" for name, value in type_.members)

    def check_member(self, number: sil.Reg, type_: Enum, node: ast.AST) -> None:
        """End the process unless a number is one of an enum's values."""
        kind = number.type.sil
        values = [v for v in type_.values() if kind.minimum <= v <= kind.maximum]
        bad, good = self.new_block("none"), self.new_block("member")
        if values and values[-1] - values[0] == len(values) - 1:
            ends = [("lt", values[0])] * (values[0] > kind.minimum) + [("gt", values[-1])] * (values[-1] < kind.maximum)
            for op, end in ends:
                self.to_either(op, number, end, bad, None, node)
            self.emit("br", node, extra=good.label)
        else:
            for value in values:
                self.to_either("eq", number, value, good, None, node)
            self.emit("br", node, extra=bad.label)
        self.block = bad
        self.throw(VALUE, FAULT_CONVERSION, node)
        self.block = good

    def to_either(self, op: str, number: sil.Reg, value: int, yes: sil.Block, no: sil.Block | None, node: ast.AST) -> None:
        """Compare with a constant and branch; without ``no`` the comparison that fails goes on in a new block."""
        no = no or self.new_block("other")
        other = self.emit("const", node, self.reg(number.type), extra=value)
        test = self.emit(op, node, self.reg(BOOL), (number, other))
        self.emit("cbr", node, None, (test,), (yes.label, no.label))
        self.block = no

    def came_in(self, regs, node: ast.AST) -> None:
        """Check what came from another process or from outside: an enum holds a member."""
        for reg in regs:
            if isinstance(reg.type, Enum):
                self.check_member(reg, reg.type, node)

    def plain(self, value: sil.Reg, node: ast.AST) -> sil.Reg:
        """Return an IntEnum's value as an integer; others as they are."""
        if isinstance(value.type, Enum) and value.type.integer:
            wide = I64 if value.type.sil.maximum <= I64.maximum else value.type.sil
            return self.emit("cast", node, self.reg(wide), (value,))
        return value

    # ---- match on a value ----------------------------------------------------------------------------------------

    def match_value(self, node: ast.Match) -> None:
        """``match x:`` with constants as cases; the first that is equal is taken."""
        subject = self.held(self.expr(node.subject, None), node.subject)
        type_ = subject.type
        if not isinstance(type_, (Enum, Int)) and type_ != BOOL:
            raise self.refuse("language", f"match does not work on {type_}", node.subject,
                              "match a received message, an enum, an integer or a bool")  # fmt: skip
        left = set(type_.values()) if isinstance(type_, Enum) else {0, 1} if type_ == BOOL else None
        seen: set[int] = set()
        after, rest = self.new_block("after"), False
        for case in node.cases:
            if case.guard is not None:
                raise self.refuse("language", "a case with a condition", case.guard, "test it with if inside the case")
            if rest:
                raise self.refuse("language", "a case that is never reached", case.pattern, "put case _: last")
            pattern = case.pattern
            name = pattern.name if isinstance(pattern, ast.MatchAs) and pattern.pattern is None else ""
            if name != "":
                rest = True
                if name:
                    self.assign(name, subject, pattern)
            else:
                values = [self.case_value(part, type_) for part in (pattern.patterns if isinstance(pattern, ast.MatchOr) else [pattern])]
                again = next((v for v in values if v in seen), None)
                if again is not None:
                    what = type_.called(again) if isinstance(type_, Enum) else str(bool(again)) if type_ == BOOL else str(again)
                    raise self.refuse("language", f"{what} is handled twice", pattern, "remove one of the cases")
                seen |= set(values)
                body = self.new_block("case")
                if left is not None and left <= seen:
                    rest = True  # whatever is left is this case
                    self.emit("br", node, extra=body.label)
                    self.block = body
                else:
                    for value in values:
                        self.to_either("eq", subject, value, body, None, pattern)
                    following, self.block = self.block, body
            self.statements(case.body)
            self.go(after, node)
            if not rest:
                self.block = following
        if not rest:
            if isinstance(type_, Enum):
                missing = [type_.called(v) for v in sorted(left - seen)]
                raise self.refuse("language", f"this match does not handle {' and '.join(missing)}", node.subject,
                                  f"add: case {missing[0]}: or case _:")  # fmt: skip
            if type_ == BOOL:
                raise self.refuse("language", f"this match does not handle {bool(min(left - seen))}", node.subject, "add the case, or case _:")
            raise self.refuse("language", f"this match on {type_} leaves numbers out", node.subject, "end it with case _:")
        self.block = after

    def case_value(self, pattern: ast.pattern, type_: Type) -> int:
        """Return the number of a case's constant."""
        if isinstance(pattern, ast.MatchSingleton) and isinstance(pattern.value, bool):
            value = pattern.value
        elif isinstance(pattern, ast.MatchValue):
            value = self.literal(pattern.value)
            value = self.named_constant(pattern.value) if value is None else value
            if value is None and isinstance(pattern.value, ast.Attribute):
                self.ex_Attribute(pattern.value, None)  # says what the name is not
        else:
            value = None
        if isinstance(type_, Enum):
            if isinstance(value, Member) and value.type == type_:
                return value.value
            if type_.integer and type(value) is int and value in type_.values():
                return value
            wanted = f"case {type_.called(type_.values()[0])}:"
        elif type_ == BOOL:
            if isinstance(value, bool):
                return int(value)
            wanted = "case True:"
        else:
            if isinstance(value, Member) and value.type.integer:
                value = value.value
            if type(value) is int:
                if not type_.minimum <= value <= type_.maximum:
                    raise self.refuse("types", f"{value} does not fit {type_} ({type_.minimum} to {type_.maximum})", pattern,
                                      "remove the case: it is never taken")  # fmt: skip
                return value
            wanted = "case 1:"
        raise self.refuse("language", f"this case is no constant of {type_}", pattern, f"write {wanted} or case _:")
