"""The types of the SIP language and of SIL.

Integers of all widths, bool, exchange-heap vectors of integers, channel endpoints and sets of them. Vectors,
endpoints and sets are linear: a register holds the only reference, and moving it away empties the register.
"""

from __future__ import annotations

from dataclasses import dataclass, field


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
