"""The types of the SIP language and of SIL.

Integers of all widths, bool, char, exchange-heap structs and vectors, channel endpoints and sets of them, and
references to what lives on the process's own heap: arrays, text and objects of classes. Structs, vectors,
endpoints and sets are linear: a register holds the only reference, and moving it away empties the register. References are
copied freely and never leave their process.

Enums belong to the language and to contracts; SIL has the integers they stand for (``Type.sil``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property


@dataclass(frozen=True)
class Type:
    """Base of all types; types are compared by value."""

    @property
    def linear(self) -> bool:
        """Whether a value of this type has exactly one owner."""
        return False

    @property
    def block(self) -> bool:
        """Whether a value of this type is owned as a block on the exchange heap is: to be sent, given back or handed on."""
        return False

    @property
    def sil(self) -> Type:
        """What SIL has for this type."""
        return self


@dataclass(frozen=True)
class Int(Type):
    """An integer of ``bits`` bits, two's complement if ``signed``."""

    bits: int
    signed: bool

    def __str__(self) -> str:
        return f"{'i' if self.signed else 'u'}{self.bits}"

    @property
    def minimum(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def maximum(self) -> int:
        return (1 << (self.bits - self.signed)) - 1


@dataclass(frozen=True)
class Char(Int):
    """One byte of a text: in SIL a number of 8 bits that is written and printed as a character."""

    bits: int = 8
    signed: bool = False

    def __str__(self) -> str:
        return "char"


@dataclass(frozen=True)
class Child(Type):
    """A child process: a handle, which only the kernel can tell from another number."""

    def __str__(self) -> str:
        return "Child"

    @property
    def sil(self) -> Type:
        return U64


@dataclass(frozen=True)
class Bool(Type):
    """True or false; 1 or 0 in a register."""

    def __str__(self) -> str:
        return "bool"


@dataclass(frozen=True)
class Enum(Type):
    """Named values of one kind.

    Attributes
    ----------
    name : str
    members : tuple of (str, int)
        In the order of their declaration; two names may have one value.
    integer : bool
        Whether members count as integers too, as Python's IntEnum has it. It makes no difference between types.
    """

    name: str
    members: tuple[tuple[str, int], ...]
    integer: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return self.name

    @property
    def sil(self) -> Int:
        """The narrowest integer that has all values, unsigned unless one is negative."""
        values = self.values()
        return next(t for t in INTS.values() if t.signed == (values[0] < 0) and t.minimum <= values[0] and values[-1] <= t.maximum)

    def values(self) -> list[int]:
        """Return the values, ascending, each once."""
        return sorted({value for _, value in self.members})

    def called(self, value: int) -> str:
        """Return a value's first name."""
        return next(f"{self.name}.{name}" for name, known in self.members if known == value)

    def __getattr__(self, name: str) -> Member:
        for known, value in self.__dict__.get("members", ()):
            if known == name:
                return Member(self, value)
        raise AttributeError(f"{self.__dict__.get('name')} has no member {name}")


@dataclass(frozen=True)
class Member:
    """One value of an enum, as a constant of the language."""

    type: Enum
    value: int

    def __repr__(self) -> str:
        return f"<{self.type.called(self.value)}: {self.value}>"


@dataclass(frozen=True)
class Struct(Type):
    """A block on the exchange heap with named fields: integers, bools and enums.

    Attributes
    ----------
    name : str
    fields : tuple of (str, Type)
        Each lies at the next multiple of its own size, in this order; the whole is a multiple of the largest.
    """

    name: str
    fields: tuple[tuple[str, Type], ...]

    def __str__(self) -> str:
        return self.name

    @property
    def linear(self) -> bool:
        return True

    @property
    def block(self) -> bool:
        return True

    @property
    def sil(self) -> Struct:
        return Struct(self.name, tuple((name, type_.sil) for name, type_ in self.fields))

    @cached_property
    def offsets(self) -> dict[str, int]:
        """Where each field begins, in bytes."""
        found, end = {}, 0
        for name, type_ in self.fields:
            size = bytes_of(type_)
            found[name] = end = -(-end // size) * size
            end += size
        return found

    @cached_property
    def size(self) -> int:
        """Bytes, those up to the next multiple of the largest field's size counted."""
        largest = max(bytes_of(type_) for _, type_ in self.fields)
        name, type_ = self.fields[-1]
        return -(-(self.offsets[name] + bytes_of(type_)) // largest) * largest


@dataclass(frozen=True)
class Vector(Type):
    """A vector of integers or structs on the exchange heap."""

    element: Int | Struct

    def __str__(self) -> str:
        return f"ExVec[{self.element}]"

    @property
    def sil(self) -> Vector:
        return Vector(self.element.sil)

    @property
    def linear(self) -> bool:
        return True

    @property
    def block(self) -> bool:
        return True


@dataclass(frozen=True)
class Tuple(Type):
    """Several values. SIL has them only as what a function returns, and there no tuple lies in another."""

    parts: tuple[Type, ...]

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.parts))})"

    @property
    def linear(self) -> bool:
        return any(part.linear for part in self.parts)

    @property
    def flat(self) -> tuple[Type, ...]:
        """The types of its values, those of inner tuples in their place."""
        return tuple(t for part in self.parts for t in (part.flat if isinstance(part, Tuple) else (part,)))

    @property
    def sil(self) -> Type:
        flat = tuple(t.sil for t in self.flat)
        return Tuple(flat) if len(flat) > 1 else flat[0]


@dataclass(frozen=True)
class Endpoint(Type):
    """One end of a channel; ``side`` is "Imp" or "Exp", ``contract`` a contract's name.

    ``state`` is set on the argument of a message: the state the endpoint is in when it travels, None for the
    contract's first. It is no part of the type: a register's states are followed by the verifier.
    """

    contract: str
    side: str
    state: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.contract}.{self.side}"

    @property
    def linear(self) -> bool:
        return True


@dataclass(frozen=True)
class Reference(Type):
    """Base of the types of what lives on a process's own heap; a ``nullable`` one may also hold None."""

    nullable: bool = False

    @property
    def name(self) -> str:
        """What it is called where None is no value of it."""
        return "?"

    def __str__(self) -> str:
        return self.name + "?" * self.nullable

    @property
    def certain(self):
        """The same type without None."""
        return replace(self, nullable=False)

    @property
    def perhaps(self):
        """The same type with None."""
        return replace(self, nullable=True)


@dataclass(frozen=True)
class Array(Reference):
    """An array: its length is fixed when it is made; elements of a reference type are None at first."""

    element: Type = Int(64, False)

    @property
    def name(self) -> str:
        return f"Array[{self.element}]"


@dataclass(frozen=True)
class Str(Reference):
    """Text: bytes that nobody changes, UTF-8 where they are no ASCII."""

    @property
    def name(self) -> str:
        return "str"


@dataclass(frozen=True)
class Object(Reference):
    """An object of a class, or of one that inherits from it; ``cls`` is the class's name."""

    cls: str = ""

    @property
    def name(self) -> str:
        return self.cls


@dataclass(frozen=True)
class EndpointSet(Type):
    """A set of endpoints of one side of a contract, all in one state of it. It has one owner, as a block has."""

    contract: str
    side: str
    state: str

    def __str__(self) -> str:
        return f"ESet[{self.contract}.{self.side}:{self.state}]"

    @property
    def linear(self) -> bool:
        return True

    @property
    def block(self) -> bool:
        return True

    @property
    def member(self) -> Endpoint:
        """The type of its members."""
        return Endpoint(self.contract, self.side, self.state)


INTS = {f"{'i' if signed else 'u'}{bits}": Int(bits, signed) for bits in (8, 16, 32, 64) for signed in (False, True)}
U8, U16, U32, U64 = INTS["u8"], INTS["u16"], INTS["u32"], INTS["u64"]
I8, I16, I32, I64 = INTS["i8"], INTS["i16"], INTS["i32"], INTS["i64"]
BOOL = Bool()

#: A field of a struct can be reached with the offset an instruction has room for.
LARGEST_STRUCT = 2040


def bytes_of(type_: Type) -> int:
    """Return the bytes a value has as a field or an element."""
    type_ = type_.sil
    return type_.size if isinstance(type_, Struct) else 1 if isinstance(type_, Bool) else type_.bits // 8


def checked_struct(name: str, fields: list[tuple[str, Type | str]]) -> Struct:
    """Return a struct; raises ValueError with what is wrong with it. A field's type is a text where it names none."""
    if not fields:
        raise ValueError(f"struct {name} has no fields")
    for index, (field_name, type_) in enumerate(fields):
        if isinstance(type_, str):
            raise ValueError(f"{name}.{field_name} is {type_}, which is no type of a field")
        if type_.linear:
            raise ValueError(f"{name}.{field_name} is {type_}: a struct cannot own another block")
        if isinstance(type_, Enum) and 0 not in type_.values():
            raise ValueError(f"{name}.{field_name} begins as 0, and {type_} has no member 0")
        if not isinstance(type_, (Int, Bool, Enum)):
            raise ValueError(f"{name}.{field_name} is {type_}, which is no type of a field")
        if field_name in dict(fields[:index]):
            raise ValueError(f"{name}.{field_name} stands twice")
    made = Struct(name, tuple(fields))
    if made.size > LARGEST_STRUCT:
        raise ValueError(f"struct {name} has {made.size} bytes, more than {LARGEST_STRUCT}")
    return made
CHILD = Child()
CHAR = Char()
STR = Str()
