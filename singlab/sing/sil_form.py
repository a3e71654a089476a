"""Well-formed SIL: what a type and a register are, and what is said where something is neither."""

from __future__ import annotations

from singlab.sing.sil import Instr, Module, Position, Reg
from singlab.sing.sil_classes import MOST_NESTED_ARRAYS, is_element
from singlab.sing.types import CHAR, Array, Bool, Char, Endpoint, EndpointSet, Int, Object, Reference, Str, Struct, Type, Vector


class Malformed(Exception):
    """A finding of this pass."""

    def __init__(self, rule: str, message: str, position: Position, hint: str = "docs/sil.md says what each instruction takes"):
        self.rule, self.message, self.position, self.hint = rule, message, position, hint
        super().__init__(message)


def is_type(type_, module: Module, depth: int = 0) -> bool:
    """Whether something is a type SIL has."""
    if isinstance(type_, Reference):
        if type(type_.nullable) is not bool or depth > MOST_NESTED_ARRAYS:
            return False
        if type(type_) is Array:
            return is_element(type_.element) and is_type(type_.element, module, depth + 1)
        return type(type_) is Str or (type(type_) is Object and isinstance(type_.cls, str) and type_.cls in module.classes)
    if type(type_) is Char:
        return type_ == CHAR
    if isinstance(type_, Int):
        return type(type_.bits) is int and type_.bits in (8, 16, 32, 64) and type(type_.signed) is bool
    if isinstance(type_, Vector):
        return type(type_.element) in (Int, Struct) and is_type(type_.element, module)
    if isinstance(type_, Struct):
        return isinstance(type_.name, str) and module.structs.get(type_.name) == type_
    if isinstance(type_, Endpoint):
        return isinstance(type_.contract, str) and type_.contract in module.contracts and type_.side in ("Imp", "Exp")
    if isinstance(type_, EndpointSet):
        return is_type(type_.member, module) and isinstance(type_.state, str) and type_.state in module.contracts[type_.contract].states
    return isinstance(type_, Bool)


def need(condition, message: str, position: Position, rule: str = "sil.malformed") -> None:
    if not condition:
        raise Malformed(rule, message, position)


def register(reg, known: dict[int, Reg], module: Module, position: Position) -> None:
    need(isinstance(reg, Reg) and type(reg.number) is int and is_type(reg.type, module), f"{reg!r} is no register", position)
    need(known.setdefault(reg.number, reg) is reg, f"register {reg.number} is two things", position)


_KINDS = {
    Int: "an integer", Vector: "a vector", Struct: "a struct", (Vector, Struct): "a block", Endpoint: "an endpoint", Object: "an object",
    (Vector, Struct, Array, Object, EndpointSet): "a block, an array, an object or a set",
    Array: "an array", Reference: "a reference", EndpointSet: "a set of endpoints",
}  # fmt: skip


def of_type(reg: Reg, wanted, instr: Instr) -> None:
    """Check a register's type: a type, a kind of type, or a tuple of kinds."""
    good = reg.type == wanted if isinstance(wanted, Type) else isinstance(reg.type, wanted)
    name = str(wanted) if isinstance(wanted, Type) else _KINDS.get(wanted, "an integer or a bool")
    need(good, f"{instr.op}: {reg} is {reg.type} where {name} is needed", instr.position, "types")
