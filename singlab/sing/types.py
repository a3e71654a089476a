"""The types of the SIP language and of SIL.

Integers of all widths, bool, char, exchange-heap vectors of integers, channel endpoints, and references
to what lives on the process's own heap: arrays, text and objects of classes. Vectors and endpoints are
linear: a register holds the only reference, and moving it away empties the register. References are
copied freely and never leave their process.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Type:
    """Base of all types; types are compared by value."""

    @property
    def linear(self) -> bool:
        """Whether a value of this type has exactly one owner."""
        return False

    @property
    def block(self) -> bool:
        """Whether a value of this type is a block on the exchange heap, to be sent, freed or handed on."""
        return False


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
class Bool(Type):
    """True or false; 1 or 0 in a register."""

    def __str__(self) -> str:
        return "bool"


@dataclass(frozen=True)
class Vector(Type):
    """A vector of integers on the exchange heap."""

    element: Int

    def __str__(self) -> str:
        return f"ExVec[{self.element}]"

    @property
    def linear(self) -> bool:
        return True

    @property
    def block(self) -> bool:
        return True


@dataclass(frozen=True)
class Endpoint(Type):
    """One end of a channel; ``side`` is "Imp" or "Exp", ``contract`` a contract's name."""

    contract: str
    side: str

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


INTS = {f"{'i' if signed else 'u'}{bits}": Int(bits, signed) for bits in (8, 16, 32, 64) for signed in (False, True)}
U8, U16, U32, U64 = INTS["u8"], INTS["u16"], INTS["u32"], INTS["u64"]
I8, I16, I32, I64 = INTS["i8"], INTS["i16"], INTS["i32"], INTS["i64"]
BOOL = Bool()
CHAR = Char()
STR = Str()
