"""A contract as a model for the model checker Spin: two processes, two channels.

A side's state is a label in its process, a message an element of a channel of as many places as the side
has slots. A send that finds its channel full is an assertion violated, and the process then goes round for
ever, so that it does not count as a deadlock as well. Look for messages too many with ``pan -E`` (no end is
an error), for deadlocks and messages that are never received with ``pan -A -q`` (no assertion is one, and
at the end channels must be empty). Nothing here knows the contract's rules, so the verdict is Spin's own.
Leaves out the messages' arguments: they do not change what can be sent.

Spin is described in G. J. Holzmann, "The Spin Model Checker", Addison-Wesley, 2003.
"""

from __future__ import annotations

from collections.abc import Mapping

from singlab.sing.contract_explorer import as_protocol
from singlab.sing.contracts import Contract, Protocol

#: Places of a channel where no slots are known.
_PLACES = 4


def promela(what: Contract | Protocol | str, slots: Mapping[str, int] | None = None, copies: Mapping[str, int] | None = None) -> str:
    """Return a Promela model of a contract.

    Parameters
    ----------
    what : Contract, Protocol or str
        A text is read leniently: it may break every rule about behaviour.
    slots : mapping of str to int, optional
        Places for messages waiting for "Imp" and "Exp"; a contract's own, by default.
    copies : mapping of str to int, optional
        By message, how many of it may wait at once; more violate an assertion.

    Raises
    ------
    SipError
        If a text cannot be read as a contract.
    """
    protocol = as_protocol(what)
    if slots is None:
        slots = what.slots if isinstance(what, Contract) else {"Imp": _PLACES, "Exp": _PLACES}
    copies = dict(copies or {})
    used = dict.fromkeys(name for edges in protocol.edges for name, _ in edges)
    lines = [
        f"/* contract {protocol.name}. Messages too many: spin -a, cc, pan -E. Deadlocks: pan -A -q. */",
        f"#define IMP_SLOTS {slots['Imp']}",
        f"#define EXP_SLOTS {slots['Exp']}",
        f"mtype = {{ {', '.join(f'm_{name}' for name in used) or 'm_none'} }};",
        "bool on;",
        "chan to_imp = [IMP_SLOTS] of { mtype };",
        "chan to_exp = [EXP_SLOTS] of { mtype };",
        *(f"byte waiting_{name};" for name in copies),
    ]
    for side in ("Imp", "Exp"):
        lines += ["", f"active proctype {side}()", "{"]
        for state, edges in enumerate(protocol.edges):
            lines.append(f"s{state}: /* {protocol.states[state]} */")
            if not edges:
                lines.append("    goto finished;")
                continue
            lines.append("    if")
            lines += [f"    {option}" for name, target in edges for option in _options(protocol, side, name, target, copies)]
            lines.append("    fi;")
        lines += ["overflow:", "    assert(false); /* more messages under way than there are slots */", "    do :: on = !on od;", "finished:", "    skip", "}"]
    return "\n".join(lines) + "\n"


def _options(protocol: Protocol, side: str, name: str, target: int, copies: dict[str, int]) -> list[str]:
    """Return what a side can do about one message in one state."""
    sender = protocol.messages[name].sender
    inbox = "exp" if sender == "Imp" else "imp"
    if sender != side:
        drop = f"; waiting_{name}--" if name in copies else ""
        return [f":: atomic {{ to_{inbox}?m_{name}{drop} }}; goto s{target}"]
    count = f"; waiting_{name}++; assert(waiting_{name} <= {copies[name]})" if name in copies else ""
    room = f"len(to_{inbox}) < {inbox.upper()}_SLOTS"
    return [f":: atomic {{ {room} -> to_{inbox}!m_{name}{count} }}; goto s{target}", f":: !({room}) -> goto overflow"]
