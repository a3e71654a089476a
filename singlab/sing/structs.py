"""Lowering, structs on the exchange heap: ``new(Packet)``, ``p.length`` and ``v[i].length``.

A struct is a block with named fields: integers of all widths, bools and enums, each at a multiple of its
own size, in the order of their declaration. It is owned, sent and freed as a vector is.

Leaves out fields that own other blocks: sending the outer block would have to change the owner of the
inner ones, and the kernel's records know no such nesting.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from singlab.sing import sil
from singlab.sing.constants import UNKNOWN, declared, resolve
from singlab.sing.parsing import parse
from singlab.sing.tuples import TupleValue
from singlab.sing.types import BOOL, INTS, Int, Struct, Tuple, Type, Vector, checked_struct


def struct_of(node: ast.ClassDef, names: Mapping) -> Struct | None:
    """Return the struct a class statement with ``@exchange`` declares, None if it declares none; raises ValueError."""
    marks = {d.attr if isinstance(d, ast.Attribute) else getattr(d, "id", "") for d in node.decorator_list}
    if "exchange" not in marks:
        return None
    if node.bases or node.keywords:
        raise ValueError(f"struct {node.name} has a base class")
    fields = []
    for part in node.body:
        if isinstance(part, ast.Pass) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)):
            continue
        if not isinstance(part, ast.AnnAssign) or not isinstance(part.target, ast.Name) or part.value is not None:
            raise ValueError(f"struct {node.name} has something beside fields: {ast.unparse(part).splitlines()[0]}")
        fields.append((part.target.id, field_type(part.annotation, names) or ast.unparse(part.annotation)))
    return checked_struct(node.name, fields)


def field_type(node: ast.expr, names: Mapping) -> Type | None:
    """Return the type a field's annotation names, None if it names none."""
    while isinstance(node, ast.Constant) and isinstance(node.value, str):  # a text in a text, where annotations are texts
        try:
            node = parse(node.value, mode="eval").body
        except (SyntaxError, ValueError):
            return None
    if isinstance(node, ast.Name) and node.id in INTS:
        return INTS[node.id]
    if isinstance(node, ast.Name) and node.id == "bool":
        return BOOL
    if isinstance(node, ast.Subscript) and getattr(node.value, "id", None) == "ExVec":
        element = field_type(node.slice, names)
        return Vector(element) if isinstance(element, (Int, Struct)) else None
    found = resolve(node, names)
    return None if found is UNKNOWN else declared(found)


def field_of_python(kind: object, names: Mapping) -> Type | str:
    """Return the type an annotation's value stands for, or its text if it stands for none."""
    if isinstance(kind, str):
        return field_type(ast.Constant(kind), names) or kind
    name = getattr(kind, "__name__", "")
    if kind is bool or (name in INTS and type(kind).__module__ == "singlab.sing.names"):
        return BOOL if kind is bool else INTS[name]
    return declared(kind) or str(name or kind)


def struct_of_python(cls: type, fields: list[tuple[str, Type | str]]) -> Struct:
    """Return the struct a Python class declares; raises ValueError."""
    if cls.__bases__ != (object,):
        raise ValueError(f"struct {cls.__name__} has a base class")
    beside = [name for name in cls.__dict__ if not (name.startswith("__") and name.endswith("__"))]
    if beside:
        raise ValueError(f"struct {cls.__name__} has something beside fields: {beside[0]}")
    return checked_struct(cls.__name__, fields)


@dataclass
class Place:
    """A field somewhere: the block, the index if the block is a vector, the field's name and type."""

    block: sil.Reg
    index: sil.Reg | None
    name: str
    type: Type


class StructLowering:
    """The part of a function's lowering that deals with structs."""

    def field(self, node: ast.Attribute) -> Place | None:
        """Return the field that ``p.length`` or ``v[i].length`` names, None if the value is no struct."""
        if isinstance(node.value, ast.Subscript):
            vector = self.expr(node.value.value, None)
            if isinstance(vector, TupleValue):
                vector = self.part(vector, node.value)
                return self.field_of(vector, None, node) if isinstance(vector.type, Struct) else None
            if not isinstance(vector.type, Vector):
                self.vector_of(node.value, vector)  # says that it has no elements
            if not isinstance(vector.type, Vector) or not isinstance(vector.type.element, Struct):  # an element of a text is a character
                return None
            return self.field_of(vector, self.index_of(node.value), node)
        value = self.expr(node.value, None)
        return self.field_of(value, None, node) if isinstance(value.type, Struct) else None

    def field_of(self, block: sil.Reg, index: sil.Reg | None, node: ast.Attribute) -> Place:
        struct = block.type if index is None else block.type.element
        type_ = dict(struct.fields).get(node.attr)
        if type_ is None:
            raise self.refuse("types", f"{struct.name} has no field {node.attr}", node, f"it has {', '.join(name for name, _ in struct.fields)}")
        return Place(block, index, node.attr, type_)

    def load_field(self, place: Place, node: ast.AST) -> sil.Reg:
        """Return a field's value."""
        reg = self.reg(place.type)
        if place.index is None:
            self.emit("load_field", node, reg, (place.block,), place.name)
        else:
            self.emit("load_item", node, reg, (place.block, place.index), place.name)
        self.came_in([reg], node)
        return reg

    def store_field(self, target: ast.Attribute, value_node: ast.expr, node: ast.AST) -> None:
        """``p.length = value``; as in Python the value comes before the place."""
        constant = self.named_constant(target)
        type_ = self.declared_type(target.value)
        if constant is not None or type_ is not None:
            raise self.refuse("language", f"{ast.unparse(target)} cannot be assigned to", target, "assign to a variable")
        want = self.peeked(target)
        value = self.held(self.expr(value_node, want), value_node)
        place = self.field(target)
        if place is None:
            raise self.refuse("language", f"{ast.unparse(target)} cannot be assigned to", target, "assign to a variable, an element or a field")
        if isinstance(value.type, (Struct, Vector)):
            raise self.refuse("types", f"a struct's field cannot hold {value.type}", value_node, "send the block as an argument of its own")
        value = self.coerce(value, place.type, value_node)
        if place.index is None:
            self.emit("store_field", node, None, (place.block, value), place.name)
        else:
            self.own_data(place.block, target)
            self.emit("store_item", node, None, (place.block, place.index, value), place.name)

    def peeked(self, node: ast.expr) -> Type | None:
        """Return the type of a place without evaluating anything, for literals; None if that cannot be said."""
        if isinstance(node, ast.Name):
            known = self.variables.get(node.id)
            return known and known.type
        owner = self.peeked(node.value) if isinstance(node, (ast.Attribute, ast.Subscript)) else None
        if isinstance(node, ast.Attribute):
            return dict(owner.fields).get(node.attr) if isinstance(owner, Struct) else None
        if isinstance(owner, Vector):
            return owner.element
        index = self.literal(node.slice) if isinstance(owner, Tuple) else None
        return owner.parts[index] if index is not None and -len(owner.parts) <= index < len(owner.parts) else None

    def augment_field(self, node: ast.AugAssign) -> None:
        """``v[i].length += 1``: the index is evaluated once."""
        owner = node.target.value
        known = self.peeked(owner)
        if known is not None and not isinstance(known, Struct):
            raise self.refuse("language", f"{ast.unparse(node.target)} cannot be assigned to", node, "assign to a variable, an element or a field")
        if isinstance(owner, ast.Subscript):
            owner = ast.copy_location(ast.Subscript(owner.value, self.once(owner.slice), ast.Load()), owner)
        place = ast.copy_location(ast.Attribute(owner, node.target.attr, ast.Load()), node.target)
        self.store_field(place, ast.copy_location(ast.BinOp(place, node.op, node.value), node), node)

    def new_struct(self, node: ast.Call) -> sil.Reg | None:
        """``new(Packet)``; None if the call names no struct, or a number of them."""
        type_ = self.declared_type(node.args[0]) if node.args and isinstance(node.args[0], (ast.Name, ast.Attribute)) else None
        if not isinstance(type_, Struct) or len(node.args) != 1:
            return None
        return self.emit("new_struct", node, self.reg(type_))
