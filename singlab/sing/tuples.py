"""Lowering, tuples: several values in several registers.

A tuple has no place of its own. A variable that holds one is a register for each value; a helper that
takes or returns one takes or returns its values, one after the other.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from singlab.sing import sil
from singlab.sing.types import Endpoint, Tuple, Type

#: Values a helper can return, for they travel in registers.
MOST_RESULTS = 8


@dataclass(eq=False)
class TupleValue:
    """A tuple's values; ``name`` is its variable's, as a register has it."""

    type: Tuple
    parts: list[sil.Reg | TupleValue]
    name: str | None = None


def flat(values) -> list[sil.Reg]:
    """Return the registers of values, those of tuples one after the other."""
    return [reg for value in values for reg in (flat(value.parts) if isinstance(value, TupleValue) else [value])]


class TupleLowering:
    """The part of a function's lowering that deals with tuples."""

    def tuple_type(self, node: ast.Subscript) -> Tuple:
        """``tuple[u64, bool]``."""
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        types = tuple(self.annotation(part) for part in parts)
        bad = next((i for i, t in enumerate(types) if isinstance(t, Endpoint)), None)
        if bad is not None:
            raise self.refuse("types", "an endpoint in a tuple", parts[bad], "hand it over as a parameter of its own")
        if not types:
            raise self.refuse("types", "a tuple without values", node, "write the types of its values: tuple[u64, bool]")
        return Tuple(types)

    def fresh(self, type_: Type, name: str | None = None) -> sil.Reg | TupleValue:
        """Return a register for a value of a type, or one for each of a tuple's."""
        if isinstance(type_, Tuple):
            return TupleValue(type_, [self.fresh(t, name and f"{name}_{i}") for i, t in enumerate(type_.parts)], name)
        return self.reg(type_, name)

    def move(self, to: sil.Reg | TupleValue, value: sil.Reg | TupleValue, node: ast.AST) -> None:
        """Move a value into a variable's register, or each of a tuple's."""
        for reg, source in zip(flat([to]), flat([value])):
            self.emit("mov", node, reg, (source,))

    def ex_Tuple(self, node: ast.Tuple, want: Type | None) -> TupleValue:
        if not node.elts:
            raise self.refuse("language", "a tuple without values", node, "write its values: (1, True)")
        wants = want.parts if isinstance(want, Tuple) and len(want.parts) == len(node.elts) else [None] * len(node.elts)
        parts = [self.kept(self.expr(part, wanted), part) for part, wanted in zip(node.elts, wants)]
        bad = next((n for n, part in zip(node.elts, parts) if isinstance(part.type, Endpoint)), None)
        if bad is not None:
            raise self.refuse("types", "an endpoint in a tuple", bad, "hand it over as a parameter of its own")
        return TupleValue(Tuple(tuple(part.type for part in parts)), parts)

    def kept(self, value: sil.Reg | TupleValue, node: ast.AST) -> sil.Reg | TupleValue:
        """Return a value that later assignments do not change; a block stays with its variable for now: (v, len(v))."""
        if isinstance(value, TupleValue):
            return TupleValue(value.type, [self.kept(part, node) for part in value.parts])
        return value if value.type.linear else self.held(value, node)

    def part(self, value: TupleValue, node: ast.Subscript) -> sil.Reg | TupleValue:
        """``t[0]``: which one is known when the program is built."""
        index, count = self.literal(node.slice), len(value.parts)
        if index is None:
            raise self.refuse("types", f"which value of the tuple {ast.unparse(node.slice)} names is not known before it runs", node.slice, "write a number, such as t[0]")
        if not -count <= index < count:
            raise self.refuse("types", f"{value.type} has no value {index}", node.slice, f"it has {count}: 0 to {count - 1}")
        return value.parts[index]

    def unpack(self, target: ast.Tuple, node: ast.Assign) -> None:
        """``a, b = ch.receive(C.M)`` or ``a, b = b, a``: every value is there before the first is assigned."""
        names = target.elts
        if not all(isinstance(place, (ast.Name, ast.Subscript, ast.Attribute)) for place in names):
            raise self.refuse("language", "only variables, elements and fields can be assigned together", node, "write one assignment a line")
        if self.is_call(node.value, "new_channel"):
            values, what = self.new_channel(node.value), "a channel has"
        elif self.is_receive(node.value):
            values, what = self.receive_one(node.value), "the message has"
        elif isinstance(node.value, ast.Tuple):
            known = [self.peeked(place) for place in names] + [None] * len(node.value.elts)
            values = [self.kept(self.expr(value, type_), node) for value, type_ in zip(node.value.elts, known)]
            values = [self.held(value, node) if value.type.linear else value for value in values]
            what = "on the right there are"
        elif isinstance(value := self.expr(node.value, None), TupleValue):
            values, what = [self.held(part, node) for part in value.parts], "the tuple has"
        else:
            raise self.refuse("language", f"{ast.unparse(node.value)} is one value, not {len(names)}", node,
                              "write a, b = ch.receive(C.M), or a, b = x, y")  # fmt: skip
        if len(values) != len(names):
            raise self.refuse("types", f"{what} {len(values)} {'arguments' if what.startswith('the message') else 'values'}, not {len(names)}", node,
                              "give one name for each")  # fmt: skip
        for place, value in zip(names, values):
            if isinstance(place, ast.Name):
                self.assign(place.id, value, node)
                continue
            name = f"{self.count}value"  # no variable of a student's begins with a digit
            self.variables[name] = value
            source = ast.copy_location(ast.Name(name, ast.Load()), place)
            (self.store_element if isinstance(place, ast.Subscript) else self.store_field)(place, source, node)
