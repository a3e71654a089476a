"""Classes in SIL: inheritance, fields, methods, and which function a call can come to.

A module is closed, so everything there is to know about its classes is known when it is compiled: a class's
subclasses, the functions behind a method, one number for each class such that a class and its subclasses have
numbers in a row.
"""

from __future__ import annotations

from collections.abc import Iterator

from singlab.sing.sil import Class, Instr, Module, callee, started
from singlab.sing.types import Bool, Int, Object, Reference, Type

#: More classes, or more fields in one of them, than a program may have.
MOST_CLASSES, MOST_FIELDS = 400, 60
#: Arrays of arrays of arrays ... at most so deep.
MOST_NESTED_ARRAYS = 8


def ancestry(module: Module, name: str) -> Iterator[Class]:
    """Yield a class, its parent, and so on; ends after as many as there are, should they go round in a circle."""
    for _ in range(len(module.classes)):
        found = module.classes.get(name)
        if found is None:
            return
        yield found
        if found.parent is None:
            return
        name = found.parent


def inherits(module: Module, name: str, other: str) -> bool:
    """Whether a class is another one or inherits from it."""
    return any(c.name == other for c in ancestry(module, name))


def fields(module: Module, name: str) -> dict[str, Type]:
    """Return all fields of a class, those of its parents first."""
    found: dict[str, Type] = {}
    for c in reversed(list(ancestry(module, name))):
        found.update(c.fields)
    return found


def offset(module: Module, name: str, field: str) -> int:
    """Return where in an object a field lies, in bytes; the header is the first word."""
    return 8 + 8 * list(fields(module, name)).index(field)


def method(module: Module, name: str, called: str) -> str | None:
    """Return the function a class runs for a method."""
    return next((c.methods[called] for c in ancestry(module, name) if called in c.methods), None)


def subclasses(module: Module, name: str) -> list[str]:
    """Return a class and all that inherit from it, each before those that inherit from it."""
    below: dict[str, list[str]] = {}
    for c in module.classes.values():
        below.setdefault(c.parent or "", []).append(c.name)
    found, todo = [], [name]
    while todo and len(found) <= len(module.classes):
        found.append(todo.pop())
        todo += reversed(below.get(found[-1], []))
    return found


def numbers(module: Module) -> dict[str, tuple[int, int]]:
    """Return each class's number, from 1, and how many numbers in a row are its own and its subclasses'."""
    order = [name for root in module.classes.values() if root.parent is None for name in subclasses(module, root.name)]
    place = {name: number for number, name in enumerate(order, 1)}
    return {name: (place[name], len(subclasses(module, name))) for name in order}


def implementations(module: Module, name: str, called: str) -> list[str]:
    """Return the functions a virtual call on an object of a class can come to."""
    found = (method(module, each, called) for each in subclasses(module, name))
    return list(dict.fromkeys(f for f in found if f is not None))


def called(module: Module, instr: Instr) -> list[str]:
    """Return the functions an instruction can call."""
    if instr.op in ("vcall", "attempt_vcall") and instr.args and isinstance(instr.args[0].type, Object):
        return implementations(module, instr.args[0].type.cls, instr.extra if instr.op == "vcall" else instr.extra.function)
    name = callee(instr)
    return [] if name is None else [name]


def reached_by(module: Module, instr: Instr) -> list[str]:
    """Return the functions an instruction can call, or starts as a thread."""
    name = started(instr)
    return called(module, instr) if name is None else [name]


def is_subtype(module: Module, one: Type, other: Type) -> bool:
    """Whether every value of one type is a value of the other without conversion."""
    if one == other:
        return True
    if not isinstance(one, Reference) or not isinstance(other, Reference) or (one.nullable and not other.nullable):
        return False
    if isinstance(one, Object) and isinstance(other, Object):
        return inherits(module, one.cls, other.cls)
    return one.certain == other.certain


def is_element(type_: Type) -> bool:
    """Whether an array can have elements of a type, and an object a field of it."""
    return isinstance(type_, (Int, Bool, Reference))
