"""Constants and declared types: what a name outside a program's functions stands for.

Nothing is executed: in a notebook the names' values are there already, in a text the expressions are
worked out here. A constant is an integer, a bool or a member of an enum; a declared type is an enum
or a struct, a Python class or a contract's.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Mapping
from functools import lru_cache
from types import ModuleType

from singlab.sing.contracts import Contract
from singlab.sing.types import Enum, Member, Struct, Type

#: What a name stands for that stands for nothing.
UNKNOWN = object()
#: No constant has more bits than that.
_MOST_BITS = 256

_INTEGERS = {
    ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b if b else None, ast.Mod: lambda a, b: a % b if b else None,
    ast.BitAnd: lambda a, b: a & b, ast.BitOr: lambda a, b: a | b, ast.BitXor: lambda a, b: a ^ b,
    ast.LShift: lambda a, b: a << b if 0 <= b < _MOST_BITS else None, ast.RShift: lambda a, b: a >> b if 0 <= b < _MOST_BITS else None,
    ast.Pow: lambda a, b: a**b if 0 <= b < _MOST_BITS and a.bit_length() * b <= _MOST_BITS else None,
}  # fmt: skip
_COMPARISONS = {
    ast.Eq: lambda a, b: a == b, ast.NotEq: lambda a, b: a != b, ast.Lt: lambda a, b: a < b, ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b, ast.GtE: lambda a, b: a >= b,
}  # fmt: skip


@lru_cache(maxsize=256)
def python_enum(cls: type) -> Enum:
    """Return the language's form of a Python enum; raises ValueError with what is wrong with it."""
    members = tuple((name, member.value) for name, member in cls.__members__.items())
    return checked_enum(cls.__name__, members, issubclass(cls, int))


def checked_enum(name: str, members: tuple[tuple[str, int], ...], integer: bool) -> Enum:
    """Return an enum; raises ValueError with what is wrong with it."""
    if not members:
        raise ValueError(f"enum {name} has no members")
    for member, value in members:
        if type(value) is not int:
            raise ValueError(f"{name}.{member} is {value!r}, not an integer")
    made = Enum(name, members, integer)
    values = made.values()
    if values[0] < -(1 << 63) or values[-1] > ((1 << 63) - 1 if values[0] < 0 else (1 << 64) - 1):
        raise ValueError(f"no integer of 64 bits has all values of {name}")
    return made


def declared(found: object) -> Type | None:
    """Return the type an object declares, None if it declares none; raises ValueError with what is wrong with it."""
    if isinstance(found, (Enum, Struct)):
        return found
    if isinstance(found, type) and isinstance(found.__dict__.get("__sing_struct__"), Struct):
        return found.__dict__["__sing_struct__"]
    if isinstance(found, type) and issubclass(found, enum.Enum):
        if issubclass(found, enum.Flag):
            raise ValueError(f"{found.__name__} is a set of flags, which the SIP language does not have")
        return python_enum(found)
    return None


def value_of(found: object) -> int | bool | Member | None:
    """Return the constant an object is, None if it is none."""
    if isinstance(found, enum.Enum):
        try:
            type_ = declared(type(found))
        except ValueError:
            return None
        return Member(type_, found.value) if isinstance(type_, Enum) else None
    return found if type(found) in (int, bool, Member) else None


def resolve(node: ast.expr, names: Mapping) -> object:
    """Return what a name, or a dotted name such as ``limits.MOST``, ``Colour.RED`` and ``Talk.Colour``, stands for; else UNKNOWN."""
    if isinstance(node, ast.Name):
        return names.get(node.id, UNKNOWN)
    if not isinstance(node, ast.Attribute):
        return UNKNOWN
    owner = resolve(node.value, names)
    if isinstance(owner, ModuleType):
        return vars(owner).get(node.attr, UNKNOWN)
    if isinstance(owner, Contract):
        return owner.types.get(node.attr, UNKNOWN)
    member = value_of(owner)
    if isinstance(member, Member):
        return member.value if node.attr == "value" else UNKNOWN
    try:
        type_ = declared(owner)
    except ValueError:
        return UNKNOWN
    found = dict(type_.members).get(node.attr) if isinstance(type_, Enum) else None
    return UNKNOWN if found is None else Member(type_, found)


def evaluate(node: ast.expr, names: Mapping) -> int | bool | Member | None:
    """Return the value of a constant expression, None if it is none."""
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) in (int, bool) else None
    if isinstance(node, (ast.Name, ast.Attribute)):
        return value_of(resolve(node, names))
    if isinstance(node, ast.UnaryOp):
        value = evaluate(node.operand, names)
        if isinstance(node.op, ast.Not):
            return not value if type(value) is bool else None
        if type(value) is not int:
            return None
        return -value if isinstance(node.op, ast.USub) else ~value if isinstance(node.op, ast.Invert) else value
    if isinstance(node, ast.BinOp):
        operation, a, b = _INTEGERS.get(type(node.op)), evaluate(node.left, names), evaluate(node.right, names)
        if operation is None or type(a) is not int or type(b) is not int:
            return None
        value = operation(a, b)
        return None if value is None or value.bit_length() > _MOST_BITS else value
    if isinstance(node, ast.Compare):
        values = [evaluate(part, names) for part in (node.left, *node.comparators)]
        tests = [_COMPARISONS.get(type(op)) for op in node.ops]
        if None in tests or any(type(v) is not int for v in values):
            return None
        return all(test(a, b) for test, a, b in zip(tests, values, values[1:]))
    if isinstance(node, ast.BoolOp):
        values = [evaluate(part, names) for part in node.values]
        if any(type(v) is not bool for v in values):
            return None
        return all(values) if isinstance(node.op, ast.And) else any(values)
    return None


def enum_of(node: ast.ClassDef, names: Mapping) -> Enum | None:
    """Return the enum a class statement declares, None if it declares none; raises ValueError with what is wrong with it."""
    bases = {base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases}
    if not bases & {"Enum", "IntEnum"}:
        return None
    members: dict[str, int] = {}
    for part in node.body:
        if isinstance(part, ast.Pass) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)):
            continue
        if not (isinstance(part, ast.Assign) and len(part.targets) == 1 and isinstance(part.targets[0], ast.Name)):
            raise ValueError(f"enum {node.name} has something beside members: {ast.unparse(part).splitlines()[0]}")
        name = part.targets[0].id
        called = getattr(part.value, "func", None)
        if getattr(called, "id", getattr(called, "attr", "")) == "auto":
            value = 1 + next(reversed(members.values()), 0)
            if members and value <= max(members.values()):
                raise ValueError(f"auto() after smaller numbers: write the value of {node.name}.{name}")
        else:
            value = evaluate(part.value, {**names, **members})
        if type(value) is not int:
            raise ValueError(f"{node.name}.{name} is {ast.unparse(part.value)}, not an integer")
        if name in members:
            raise ValueError(f"{node.name}.{name} stands twice")
        members[name] = value
    return checked_enum(node.name, tuple(members.items()), "IntEnum" in bases)
