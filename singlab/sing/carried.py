"""Endpoints as arguments of messages: which contract, side and state, and the send-state rule.

An endpoint travels only in a state whose next action is a send of its own side. So nobody is about to put a
message into its slots while it changes hands, and its inbox is empty. (EuroSys 2006, section 2.) Contracts may
name each other; one that is not declared yet when a text is read is looked for when a program uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from singlab.sing.errors import SipError
from singlab.sing.types import Endpoint

RULE = "contract.send-state"


@dataclass(frozen=True)
class Carried:
    """An endpoint that a message carries, and where the contract's text says so."""

    message: str
    argument: str
    type: Endpoint
    filename: str
    line: int
    column: int
    source_line: str

    def refuse(self, rule: str, message: str, hint: str) -> SipError:
        """Return an error at this place."""
        return SipError(rule, message, hint=hint, filename=self.filename, line=self.line, column=self.column, source_line=self.source_line)


def find_contract(known: Mapping, name: str):
    """Return the contract of this name that a table of names has, under whatever key; None if there is none."""
    from singlab.sing.contracts import Contract, EndpointType

    candidates = [known.get(name), *reversed(list(known.values()))]
    found = (c.contract if isinstance(c, EndpointType) else c for c in candidates)
    return next((c for c in found if isinstance(c, Contract) and c.name == name), None)


def named_state(carried: Carried, other) -> int | None:
    """Return the number of the state a carried endpoint is in, None if its contract has no such state."""
    if carried.type.state is None:
        return 0
    return other.states.index(carried.type.state) if carried.type.state in other.states else None


def carried_by(contract) -> list[Carried]:
    """Return the endpoints a contract's messages carry, in the order of messages and arguments."""
    places = {(c.message, c.argument): c for c in contract.carried}
    return [
        places.get((m.name, name)) or Carried(m.name, name, type_, "<contract>", 0, 0, "")
        for m in contract.messages.values()
        for name, type_ in m.arguments
        if isinstance(type_, Endpoint)
    ]


def check_carried(contract, known: Mapping) -> None:
    """Check each endpoint a contract's messages carry against its own contract, where that is known."""
    for carried in carried_by(contract):
        other = find_contract(known, carried.type.contract)
        if other is not None:
            check_one(carried, other)


def check_one(carried: Carried, other) -> None:
    """Check one carried endpoint; raises SipError."""
    state = named_state(carried, other)
    if state is None:
        named = [name for name in other.states if "." not in name]
        raise carried.refuse("contract.states", f"contract {other.name} has no state {carried.type.state}", f"it has {', '.join(named)}")
    side = carried.type.side
    turn = other.turn(state)
    if turn == side:
        return
    good = [name for i, name in enumerate(other.states) if other.turn(i) == side and "." not in name]
    where = f"in state {other.states[state]} of {other.name}"
    what = f"the other side is to send {' or '.join(other.transitions[state])}" if turn else "the conversation is over"
    raise carried.refuse(
        RULE, f"{carried.message} hands over {other.name}.{side} {where}, where {what}: an endpoint travels only when it is its own turn to send",
        f"hand it over in a state in which {side} sends: {', '.join(f'{other.name}.{side}:{name}' for name in good)}" if good
        else f"give {other.name} a state in which its {side} sends",
    )  # fmt: skip


def named_contracts(contract, known: Mapping) -> dict[str, object]:
    """Return a contract and all that its messages' endpoints lead to, by name; raises SipError if one is not to be found."""
    found, todo = {contract.name: contract}, [contract]
    while todo:
        for carried in carried_by(todo.pop()):
            name = carried.type.contract
            if name in found:
                check_one(carried, found[name])
                continue
            other = find_contract(known, name)
            if other is None:
                raise carried.refuse("contract.types", f"{carried.message} carries an endpoint of {name}, which is no contract known here",
                                     f"declare contract {name}, in the same text or beside it")  # fmt: skip
            check_one(carried, other)
            found[name] = other
            todo.append(other)
    return found
