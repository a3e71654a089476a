"""A contract as a notebook shows it: its state machine, its messages, and what each side needs room for."""

from __future__ import annotations

import html

from singlab.sing.contracts import type_text
from singlab.sing.errors import SipError
from singlab.trace.statemachine import COLOURS, state_machine

_CELL = 'style="text-align:left;padding:2px 14px 2px 0"'


def state_number(contract, state: int | str | None) -> int | None:
    """Return a state's number, given that or its name; raises ValueError if there is no such state."""
    if state is None:
        return None
    if isinstance(state, str):
        if state not in contract.states:
            raise ValueError(f"contract {contract.name} has no state {state}; it has {', '.join(contract.states)}")
        return contract.states.index(state)
    if not 0 <= state < len(contract.states):
        raise ValueError(f"contract {contract.name} has states 0 to {len(contract.states) - 1}, not {state}")
    return int(state)


class Drawing(str):
    """HTML that a notebook shows."""

    def _repr_html_(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return "<drawing of a contract>"


def draw(contract, state: int | str | None = None) -> Drawing:
    """Return a contract as HTML with one SVG drawing, and below it its messages and slots.

    Parameters
    ----------
    contract : Contract
    state : int or str, optional
        The number or the name of a state to mark.
    """
    if not hasattr(contract, "describe"):
        raise SipError("contract.syntax", f"a contract is drawn, this is {type(contract).__name__}", filename="<contract>",
                       hint='write draw(contract("""contract C { ... }"""))')  # fmt: skip
    name = html.escape(contract.name)
    base = f' <span style="opacity:.75">extends {html.escape(contract.base.name)}</span>' if contract.base else ""
    rows = []
    for message in contract.messages.values():
        arguments = ", ".join(f"{type_text(t)} {n}" for n, t in message.arguments) or "-"
        rows.append(
            f'<tr><td {_CELL}><span style="color:{COLOURS[message.direction]}">{html.escape(message.name)}{message.direction}</span></td>'
            f"<td {_CELL}>{'client (Imp)' if message.direction == '?' else 'server (Exp)'}</td>"
            f"<td {_CELL}>{html.escape(arguments)}</td><td {_CELL}>{contract.copies[message.name]}</td></tr>"
        )
    heads = "".join(f'<th {_CELL}>{head}</th>' for head in ("message", "sent by", "carries", "waiting at most"))
    return Drawing(
        f'<div><div><b>contract {name}</b>{base}</div><div style="overflow-x:auto">{state_machine(contract.name, contract.describe(), state_number(contract, state))}</div>'
        f'<div style="font-size:12px;opacity:.8;margin:4px 0">slots: {contract.slots["Imp"]} for the client (Imp), '
        f'{contract.slots["Exp"]} for the server (Exp)</div>'
        f'<details><summary style="cursor:pointer">{len(contract.messages)} messages</summary>'
        f'<table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></details></div>'
    )
