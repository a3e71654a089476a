"""The verifier's rules: an identifier, what holds, why, and the smallest programs it refuses and accepts.

``docs/rules.md`` is this table as text, and the tests verify each of its programs. The language's front end
has further refusals of its own (``language``, ``syntax``, ``contract.*`` of a contract's text); what they let
through is still the verifier's to judge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes
    ----------
    name : str
        Identifier, as findings carry it.
    holds : str
        What is true of every accepted program.
    reason : str
        What could happen otherwise.
    refused, accepted : str
        SIL of a program it refuses, and of the same program repaired.
    """

    name: str
    holds: str
    reason: str
    refused: str
    accepted: str


_TALK = """contracts:
    contract Talk {
        in message Ask(ulong n);
        in message Give(byte[]* in ExHeap data);
        out message Answer(ulong n);
        out message Stop();
        state Start: one { Ask? -> (Answer! -> Start or Stop! -> End); Give? -> Answer! -> Start; }
        state End: ;
    }
"""


def _program(body: str, params: str = "%0.n: u64", result: str = " -> u64", more: str = "", classes: str = "") -> str:
    contracts = _TALK if "Talk" in params else _SERVICE if "Service" in params else ""
    lines = "\n".join(line if line.endswith(":") else f"  {line}" for line in (part.strip() for part in re.split(r";(?![^{]*\})", body)) if line)
    return f"sip p entry p\n{contracts}{classes}function p({params}){result}\nstart:\n{lines}\n{more}"


def _rule(name: str, holds: str, reason: str, refused: str, accepted: str, params: str = "%0.n: u64", result: str = " -> u64",
          more: str = "", repaired: str | None = None, classes: tuple[str, str] = ("", "")) -> Rule:  # fmt: skip
    return Rule(name, holds, reason, _program(refused, params, result, more, classes[0]),
                _program(accepted, params, result, more if repaired is None else repaired, classes[1]))  # fmt: skip


_SERVICE = """contracts:
    contract Work { in message Do(ulong n); out message Done(ulong n); state Start: Do? -> Done! -> Start; }
    contract Service { in message Take(Work.Imp:Start client); out message Ok(); state Start: Take? -> Ok! -> Start; }
"""
_WORK = "%0.s: Service.Imp, %9.n: u64"
_MADE = "new_channel Work { made(%1.imp: Work.Imp, %2.exp: Work.Exp) -> made }; made:; "
_HELD = "receive %2.exp { Do(%3: u64) -> held; closed -> held }; held:; close %2.exp; ret %9"
_IMP = "%0.ch: Talk.Imp, %9.n: u64"
_BLOCK = "%1.v: ExVec[u8] = new %0"
_WAIT = "receive %0.ch { Answer(%2: u64) -> end; Stop() -> end; closed -> end }; end:; ret %9"
_BORROWING = "function g(%0.v: &ExVec[u8]) -> u64\nentry:\n  %1: u64 = len %0.v\n  {after}\n  ret %1\n"
_LOOPING = "function f(%0: u64) -> u64\nentry:\n  %1: u64 = call {callee}, %0\n  ret %1\nfunction g(%0: u64) -> u64\nentry:\n  ret %0\n"
_ATTEMPT = "attempt f, %0 { returned(%1: u64) -> end; raised(%2: u64) -> end }; end:; ret %0"
_RAISING = "function f(%0: u64) -> u64 raises\nentry:\n  %1.v: ExVec[u8] = new %0\n{free}  raise %0\n"

_TRIED = "attempt f, %9 { returned(%1: u64) -> fine; raised(%2: u64) -> fine }; fine:; ret %9"
_LOSING = ("function f(%0: u64) -> u64 raises\nentry:\n  new_channel Work {{ made(%1.imp: Work.Imp, %2.exp: Work.Exp) -> made }}\nmade:\n"
           "  close %1.imp\n{close}  %3: u64 = const 8\n  raise %3\n")

RULES = (
    _rule("sil.malformed", "Blocks end in one terminator, labels and registers exist, and instructions have the operands they need.",
          "The code generator would otherwise make code for something that has no meaning.",
          "br nowhere", "br end; end:; ret %0"),
    _rule("types", "Every operand has the type its instruction wants.",
          "A number taken for a vector would be an address of the program's own making.",
          "%1: u8 = load %0, %0; ret %0", _BLOCK + "; %2: u8 = load %1, %0; free %1; ret %0"),
    _rule("init", "A register has a value on every path that leads to its use.",
          "What an earlier program left in the machine's registers would be read.",
          "%1: bool = lt %0, %0; cbr %1, some, end; some:; %2: u64 = const 7; br end; end:; ret %2",
          "%1: bool = lt %0, %0; %2: u64 = const 0; cbr %1, some, end; some:; %2: u64 = const 7; br end; end:; ret %2"),
    _rule("class", "Classes inherit without a circle, a class has each field once, and a method that stands for its parent's is called like that and raises if that may.",
          "Code that knows only the parent would look for a field where another one lies, or hand a method words it does not expect.",
          "ret %0", "ret %0", classes=("class A { x: u64 }\nclass B(A) { x: A? }\n", "class A { x: u64 }\nclass B(A) { y: A? }\n")),
    _rule("owner.use-after-send", "A vector is not used after it was sent.",
          "Its new owner may be reading, changing or freeing it at this moment; two processes would share memory.",
          "%1: u64 = const 8; %2.v: ExVec[u8] = new %1; send %0.ch, Give, %2.v; %3: u64 = len %2.v; mark %3; " + _WAIT.replace("%2:", "%4:"),
          "%1: u64 = const 8; %2.v: ExVec[u8] = new %1; %3: u64 = len %2.v; mark %3; send %0.ch, Give, %2.v; " + _WAIT.replace("%2:", "%4:"), _IMP),
    _rule("owner.use-after-free", "A vector is not used after it was freed.",
          "Its memory may belong to another process already.",
          _BLOCK + "; free %1.v; %2: u64 = len %1.v; ret %2", _BLOCK + "; %2: u64 = len %1.v; free %1.v; ret %2"),
    _rule("owner.use-after-move", "A vector is not used through a register it was moved out of, or after it was handed to a function.",
          "Two registers would own it, and one could free it behind the other's back.",
          _BLOCK + "; %2: ExVec[u8] = mov %1.v; %3: u64 = len %1.v; free %2; ret %3",
          _BLOCK + "; %2: ExVec[u8] = mov %1.v; %3: u64 = len %2; free %2; ret %3"),
    _rule("owner.borrow", "A borrowed vector is not sent, freed, returned or handed on, and not handed over in the call that lends it.",
          "The caller still owns it and uses it afterwards; a function that gave it away would leave two owners.",
          _BLOCK + "; %2: u64 = call g, %1.v; free %1.v; ret %2", _BLOCK + "; %2: u64 = call g, %1.v; free %1.v; ret %2",
          more=_BORROWING.format(after="free %0.v"), repaired=_BORROWING.format(after="mark %1")),
    _rule("owner.shared", "A vector that shares its data with others is not written.",
          "Its other owners, who may be other processes, would see their data change under their hands.",
          _BLOCK + "; %2: u64 = const 0; %3: Shared[u8], %4: Shared[u8] = share %1.v, %2, %2; %5: u8 = const 1; store %3, %2, %5; free %3; free %4; ret %0",
          _BLOCK + "; %2: u64 = const 0; %5: u8 = const 1; store %1.v, %2, %5; %3: Shared[u8], %4: Shared[u8] = share %1.v, %2, %2; free %3; free %4; ret %0"),
    _rule("owner.leak", "A vector is sent, freed or handed on before its register is used again and before its function ends.",
          "Nothing could ever give it back, and the exchange heap would run dry.",
          _BLOCK + "; ret %0", _BLOCK + "; free %1.v; ret %0"),
    _rule("owner.leak-on-raise", "When an exception leaves a function, the function owns no vector any more.",
          "The exception goes past everything that could have given the vector back.",
          _ATTEMPT, _ATTEMPT, more=_RAISING.format(free=""), repaired=_RAISING.format(free="  free %1.v\n")),
    _rule("owner.merge", "Paths that meet agree on who owns each vector.",
          "After they meet nobody could say whether the vector is still there.",
          _BLOCK + "; %2: bool = lt %0, %0; cbr %2, some, end; some:; free %1.v; br end; end:; ret %0",
          _BLOCK + "; %2: bool = lt %0, %0; cbr %2, some, other; some:; free %1.v; br end; other:; free %1.v; br end; end:; ret %0"),
    _rule("contract.send", "A message is sent only in a state of the contract in which this side may send it.",
          "The other side would find a message it has no case for, and its slots could overflow.",
          "send %0.ch, Ask, %9; send %0.ch, Ask, %9; " + _WAIT, "send %0.ch, Ask, %9; " + _WAIT, _IMP),
    _rule("contract.receive", "A program waits on an endpoint only where it is the other side's turn to send.",
          "Both sides would wait for each other for ever.",
          _WAIT, "send %0.ch, Ask, %9; " + _WAIT, _IMP),
    _rule("contract.exhaustive", "A receive has an arm for every message that can come.",
          "A message the contract allows would find no code.",
          "send %0.ch, Ask, %9; receive %0.ch { Answer(%2: u64) -> end; closed -> end }; end:; ret %9", "send %0.ch, Ask, %9; " + _WAIT, _IMP),
    _rule("contract.arguments", "A message carries exactly the arguments its contract declares.",
          "The receiver would take a word that was never sent.",
          "send %0.ch, Ask; " + _WAIT, "send %0.ch, Ask, %9; " + _WAIT, _IMP),
    _rule("contract.closed", "An endpoint is not used after it was closed, by this side or by the other.",
          "The channel's memory may serve another channel by then.",
          "close %0.ch; send %0.ch, Ask, %9; ret %9", "send %0.ch, Ask, %9; close %0.ch; ret %9", _IMP),
    _rule("contract.send-state", "An endpoint travels only in the state its message says, in which its own side is the next to send.",
          "A message could come to it while it changes hands, and its new owner would believe it in another state.",
          _MADE + "send %1.imp, Do, %9; send %0.s, Take, %1.imp; " + _HELD, _MADE + "send %0.s, Take, %1.imp; " + _HELD, _WORK),
    _rule("endpoint.moved", "An endpoint is not used after it was sent, moved to another register or put into a set.",
          "Its new owner speaks over it; two processes would be one side of the channel.",
          _MADE + "send %0.s, Take, %1.imp; send %1.imp, Do, %9; " + _HELD, _MADE + "send %0.s, Take, %1.imp; " + _HELD, _WORK),
    _rule("endpoint.leak", "An endpoint that was received or made is closed, sent or handed on before its register is used again and before its "
          "function ends.", "Its other side would wait for a message or the news of its end for ever.",
          _MADE + "send %0.s, Take, %1.imp; ret %9", _MADE + "send %0.s, Take, %1.imp; " + _HELD, _WORK),
    _rule("endpoint.leak-on-raise", "When an exception leaves a function, the function holds no endpoint any more but those it was lent.",
          "The exception goes past everything that could have closed the endpoint.",
          _TRIED, _TRIED, _WORK, more=_LOSING.format(close=""), repaired=_LOSING.format(close="  close %2.exp\n")),
    _rule("closed-api", "Only functions of the program itself are called.",
          "A sealed process has no other code: what it can ask of the system is the ABI, and each ABI call is an instruction.",
          "%1: u64 = call open_file, %0; ret %1", "%1: u64 = call g, %0; ret %1",
          more="function g(%0: u64) -> u64\nentry:\n  ret %0\n"),
    _rule("recursion", "A function may call itself; but nothing calls the SIP's own function, and calls nest at most 64 deep, a circle counted once.",
          "A stack grows as far as there is memory, but a process starts once, with endpoints that the kernel has given it; and deeper than that nobody looks.",
          "%1: u64 = call f, %0; ret %1", "%1: u64 = call f, %0; ret %1",
          more=_LOOPING.format(callee="p"), repaired=_LOOPING.format(callee="f")),
    _rule("privileged", "No instruction reaches memory by an address.",
          "This is what stands in for the page table: a program that cannot form an address cannot touch what it does not own.",
          "%1: u64 = raw_load64 %0; ret %1", _BLOCK + "; %2: u64 = const 0; %3: u8 = load %1, %2; %4: u64 = cast %3; free %1; ret %4"),
)  # fmt: skip

BY_NAME = {rule.name: rule for rule in RULES}


def document() -> str:
    """Return the documentation of the rules as Markdown."""
    out = [
        "# What the verifier proves",
        "",
        "Each rule has an identifier, which a refusal names. The programs are SIL ([the notation](sil.md)); the first is refused by the rule,",
        "the second is the same program repaired.",
        "",
    ]
    for rule in RULES:
        out += [f"## {rule.name}", "", rule.holds, "", f"Otherwise: {rule.reason}", "", "Refused:", "", "```", rule.refused.rstrip(), "```", "",
                "Accepted:", "", "```", rule.accepted.rstrip(), "```", ""]  # fmt: skip
    return "\n".join(out)
