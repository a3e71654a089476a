"""Contracts, types: what a message can carry, and enums and exchange-heap structs declared before the contracts."""

from __future__ import annotations

from lark import Token, Tree

from singlab.sing.types import BOOL, I8, I16, I32, I64, U8, U16, U32, U64, Endpoint, Enum, Int, Struct, Type, Vector, checked_struct

#: Sing#'s type names.
SCALARS: dict[str, Type] = {
    "byte": U8, "sbyte": I8, "short": I16, "ushort": U16, "int": I32, "uint": U32, "long": I64, "ulong": U64,
    "bool": BOOL, "char": U16,
}  # fmt: skip
NAMES = {type_: name for name, type_ in reversed(SCALARS.items())}


def type_text(type_: Type) -> str:
    """Return a type in the contract's notation."""
    if isinstance(type_, Vector):
        return f"{'shared ' * type_.shared}{NAMES.get(type_.element, str(type_.element))}[]* in ExHeap"
    if isinstance(type_, Struct):
        return f"{type_.name}* in ExHeap"
    if isinstance(type_, Endpoint):
        return f"{type_}:{type_.state}" if type_.state else str(type_)
    return NAMES.get(type_, str(type_))


def declaration(type_: Enum | Struct) -> str:
    """Return how a type is declared, in the contract's notation."""
    if isinstance(type_, Enum):
        return f"enum {type_.name} {{ {', '.join(f'{name} = {value}' for name, value in type_.members)} }}"
    return f"rep struct {type_.name} {{ {' '.join(f'{type_text(t)} {name};' for name, t in type_.fields)} }}"


class TypeBuilder:
    """The part of a contract's reading that deals with types."""

    def type(self, tree: Tree) -> Type:
        token = tree.children[0]
        if tree.data == "endpoint":
            return Endpoint(*map(str, tree.children))
        type_ = SCALARS.get(str(token)) or self.types.get(str(token))
        if type_ is None:
            raise self.refuse("contract.types", f"{token} is no type", token, f"use one of {', '.join([*SCALARS, *self.types])}")
        if tree.data == "pointer":
            if not isinstance(type_, Struct):
                raise self.refuse("contract.types", f"{token}* in ExHeap is no pointer to a struct", token,
                                  f"write {token}, or declare a struct: rep struct S {{ uint length; }}")  # fmt: skip
            return type_
        if tree.data not in ("vector", "shared") and isinstance(type_, Struct):
            raise self.refuse("contract.types", f"the struct {token} travels as a pointer", token, f"write {token}* in ExHeap")
        if tree.data in ("vector", "shared"):
            if not isinstance(type_, (Int, Struct)):
                raise self.refuse("contract.types", f"an exchange-heap vector of {token} is not possible", token,
                                  "use byte, ushort, uint or ulong elements, or a struct")  # fmt: skip
            return Vector(type_, tree.data == "shared")
        return type_

    def declaration(self) -> Type:
        """Return the type a declaration makes."""
        name, *parts = self.tree.children
        if str(name) in SCALARS:
            raise self.refuse("contract.types", f"{name} is a type already", name, "rename it")
        if self.tree.data == "struct":
            held = next((part for part in parts if part.children[0].data == "endpoint"), None)
            if held is not None:
                raise self.refuse("contract.types", f"struct {name} cannot hold endpoints", held, "hand the endpoint over as an argument of its own")
            try:
                made = checked_struct(str(name), [(str(part.children[1]), self.type(part.children[0])) for part in parts])
            except ValueError as error:
                raise self.refuse("contract.types", str(error), name, "fields are integers, bools and enums: uint length;") from None
            return self.once(made, name)
        members: dict[str, int] = {}
        for part in parts:
            member = str(part.children[0])
            if member in members:
                raise self.refuse("contract.types", f"{name}.{member} stands twice", part, "rename one of them")
            given = part.children[1] if len(part.children) > 1 else None
            members[member] = 1 + next(reversed(members.values()), -1) if given is None else int(str(given), 0)
        made = Enum(str(name), tuple(members.items()))
        values = made.values()
        if values[0] < -(1 << 63) or values[-1] > ((1 << 63) - 1 if values[0] < 0 else (1 << 64) - 1):
            raise self.refuse("contract.types", f"no integer of 64 bits has all values of {name}", name, "use smaller numbers")
        return self.once(made, name)

    def once(self, made: Type, name: Token) -> Type:
        """Return a declared type unless the text has another one of its name."""
        if self.types.get(made.name, made) != made:
            raise self.refuse("contract.types", f"type {name} is declared twice, and differently", name, "rename one of them")
        return made
