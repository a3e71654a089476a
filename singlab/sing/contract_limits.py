"""How large contracts can be: the kernel's tables count in 16 bits, and what is written must be checked in bounded time and memory."""

from __future__ import annotations

#: By what is counted: how many there can be, and what to do instead.
MOST = {
    "messages": (500, "split it into several contracts: a message can carry another's endpoint"),
    "states": (2000, "split it into several contracts: a message can carry another's endpoint"),
    "contracts it extends": (50, "write what it has in one contract"),
    "contracts before it in this text": (200, "declare them in several cells"),
}


def within(builder, what: str, count: int, token) -> None:
    """Refuse one more of something where a contract has as many as it can have."""
    most, instead = MOST[what]
    if count >= most:
        raise builder.refuse("size", f"contract {builder.name} has more than {most} {what}", token, instead)
