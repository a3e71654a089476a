"""Exercise 05: design a contract from a description, and write the checker of contracts.

The design is compared with the description's own contract by walking through both at once; what its states are called,
and how many there are, does not matter. The checker is a SIP that is handed tables and must say what two sides played
against each other find out; a counterexample of its must replay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from singlab.grading.contractgraph import Explored, Table, allows, both_may_send, differences, draw, never_ends
from singlab.grading.conversation import converse, ending
from singlab.grading.examination import Examination, Handed, Part, Trial
from singlab.sing.contracts import Contract, Message, parse_contracts

#: The messages of the printer, as the exercise gives them.
MESSAGES = """
    out message Hello(ulong version);
    in  message Job(ulong copies);
    out message Accepted();
    out message Refused(ulong reason);
    in  message Front(byte[]* in ExHeap page);
    in  message Back(byte[]* in ExHeap page);
    out message Printed();
    out message Jam(ulong tray);
    in  message Retry();
    in  message Cancel();
    out message Cancelled(ulong sheets);
    in  message End();
    out message Receipt(ulong sheets);
    in  message Status();
    out message Ink(ulong level);
    in  message Bye();
"""
#: What may be said when: for each state, message to next state. The tests hold it against the master solution.
STEPS = (
    {"Hello": 1}, {"Job": 2, "Status": 3, "Bye": 4}, {"Accepted": 5, "Refused": 1}, {"Ink": 1}, {}, {"Front": 6, "Cancel": 7}, {"Back": 8},
    {"Cancelled": 1}, {"Printed": 9, "Jam": 10}, {"Front": 6, "Cancel": 7, "End": 11}, {"Retry": 8, "Cancel": 7}, {"Receipt": 1},
)  # fmt: skip

SOURCE = '''
Review = contract("""
contract Review {
    in  message Table(uint[]* in ExHeap table);
    out message Sound(ulong imp_slots, ulong exp_slots);
    out message Unreachable(ulong number);
    out message BothSend(uint[]* in ExHeap run);
    out message Endless(uint[]* in ExHeap run);

    state Start: Table? -> (Sound! or Unreachable! or BothSend! or Endless!) -> Start;
}
""")

@sip
def author(ch: Review.Imp, words: u64):
    tables = new(u32, words)
    mark(words)
    at: u64 = 0
    while at < words:
        count = u64(tables[at])
        at += 1
        table = new(u32, count)
        for i in range(count):
            table[i] = tables[at + i]
        at += count
        ch.send(Review.Table(table))
        match ch.receive():
            case Review.Sound(imp_slots, exp_slots):
                mark(0)
                mark(imp_slots)
                mark(exp_slots)
            case Review.Unreachable(state):
                mark(1)
                mark(state)
            case Review.BothSend(run):
                mark(2)
                mark(len(run))
                i: u64 = 0
                while i < len(run) and i < 256:
                    mark(run[i])
                    i += 1
                free(run)
            case Review.Endless(again):
                mark(3)
                mark(len(again))
                i = 0
                while i < len(again) and i < 256:
                    mark(again[i])
                    i += 1
                free(again)
    free(tables)
'''
#: The longest run that is looked at; those of the solution have at most twice as many messages as there are states.
LONGEST = 256
_PRACTICE_SEED, _HIDDEN_SEED = 21, 20_060_418
_PRACTICE, _HIDDEN = 24, 180
#: Cycles a table may cost, with its client.
_CYCLES_A_TABLE = 1_500_000


# ---- the design -------------------------------------------------------------------------------------------------

#: The sentences of the description, by the number they have in the notebook.
SENTENCES = {
    1: "the printer speaks first: Hello, once",
    2: "while there is no job, a client may send Job, Status or Bye",
    3: "Status is answered by Ink, and belongs outside jobs",
    4: "Job is answered by Accepted or Refused; after Refused all is as before",
    5: "a sheet is Front, directly followed by Back, and answered once, by Printed or Jam",
    6: "after a Jam there is Retry, answered as a sheet is, or Cancel",
    7: "End is possible when the last sheet is printed, and a job has at least one; its answer is Receipt, and the job is over",
    8: "a job can be cancelled whenever the client has the word in it, but not between Front and Back; the answer is Cancelled, and the job is over",
    9: "after Bye nobody says anything",
}  # fmt: skip
_SENTENCE = {"Hello": 1, "Job": 2, "Bye": 2, "Status": 3, "Ink": 3, "Accepted": 4, "Refused": 4, "Front": 5, "Back": 5, "Printed": 5, "Jam": 5,
             "Retry": 6, "Cancel": 8, "Cancelled": 8, "End": 7, "Receipt": 7}  # fmt: skip
#: After which message everything said is said too late.
_JOB = "Hello Job Accepted"
#: Conversations of the visible checks: must be possible to the end.
REQUIRED = (
    "Hello Status Ink Status Ink Bye",
    "Hello Job Refused Job Refused Status Ink",
    f"{_JOB} Front Back Printed End Receipt Bye",
    f"{_JOB} Front Back Printed Front Back Printed End Receipt Job Accepted",
    f"{_JOB} Cancel Cancelled Status Ink",
    f"{_JOB} Front Back Jam Retry Jam Retry Printed Front Back Printed End Receipt",
    f"{_JOB} Front Back Printed Front Back Jam Cancel Cancelled Bye",
)  # fmt: skip
#: And those whose last message must not be possible, all before it being so, with the sentence that says so.
FORBIDDEN = (
    ("Job", 1),
    ("Hello Hello", 1),
    (f"{_JOB} End", 7),
    (f"{_JOB} Status", 3),
    (f"{_JOB} Front Printed", 5),
    (f"{_JOB} Front Cancel", 8),
    (f"{_JOB} Front Back Jam Front", 6),
    (f"{_JOB} Front Back Jam End", 7),
    ("Hello Bye Job", 9),
)


@cache
def messages() -> dict[str, Message]:
    """Return the messages of the printer by name."""
    return parse_contracts(f"contract Printer {{{MESSAGES} state Start: ; }}")["Printer"].messages


def _sentence(number: int) -> str:
    return f"Sentence {number}: {SENTENCES[number]}."


def _said(run: Sequence[str]) -> str:
    """Return a run in the contract's notation."""
    return ", ".join(name + messages()[name].direction for name in run) or "the very beginning"


def _messages_differ(design: Contract) -> str:
    """Return feedback if the messages are not the given ones."""
    wanted = {str(message) for message in messages().values()}
    found = {str(message) for message in design.messages.values()}
    if wanted == found:
        return ""
    odd = sorted(wanted - found) or sorted(found - wanted)
    return f"Keep the messages as they are given; only the states are yours. Compare: {odd[0]}"


def follow(design: Contract, conversation: str) -> str:
    """Return how far a contract lets a conversation go, such as ``follow(Printer, "Hello Status Ink")``."""
    run = conversation.split()
    unknown = [name for name in run if name not in design.messages]
    if unknown:
        return f"the contract has no message {unknown[0]}"
    far = allows(design.transitions, run)
    said = ", ".join(name + design.messages[name].direction for name in run[:far]) or "the very beginning"
    return f"possible: {said}" if far == len(run) else f"after {said} there is no {run[far]}{design.messages[run[far]].direction}"


def _required(handed: Handed) -> str:
    design = handed.contracts["Printer"]
    if wrong := _messages_differ(design):
        return wrong
    for text in REQUIRED:
        run = text.split()
        if (far := allows(design.transitions, run)) < len(run):
            return (f"This conversation must be possible, and your contract stops it: after {_said(run[:far])} there is no "
                    f"{_said(run[far:far + 1])}. {_sentence(_missing_sentence(run[:far], run[far]))}")  # fmt: skip
    return ""


def _forbidden(handed: Handed) -> str:
    design = handed.contracts["Printer"]
    if wrong := _messages_differ(design):
        return wrong
    if allows(design.transitions, REQUIRED[0].split()) < len(REQUIRED[0].split()) and (stopped := _required(handed)):
        return f"Forbidding is right only where the rest is possible. {stopped}"
    for text, number in FORBIDDEN:
        run = text.split()
        far = allows(design.transitions, run)
        if far == len(run):
            return f"After {_said(run[:-1])} your contract allows {_said(run[-1:])}, and it must not. {_sentence(number)}"
    return ""


def _missing_sentence(run: Sequence[str], message: str) -> int:
    """Return which sentence asks for a message after a run."""
    if message in ("Printed", "Jam") and "Retry" in run[-1:]:
        return 6
    if run and run[-1] == "Refused":
        return 4
    return _SENTENCE[message]


def _extra_sentence(run: Sequence[str], message: str) -> int:
    """Return which sentence forbids a message after a run."""
    if "Bye" in run:
        return 9
    if not run or message == "Hello":
        return 1
    if run[-1] == "Jam":
        return 7 if message == "End" else 6
    if run[-1] == "Front":
        return 8 if message == "Cancel" else 5
    return _SENTENCE[message]


def _compared(handed: Handed) -> Iterator[tuple[tuple[str, ...], str, int, bool]]:
    return differences(handed.contracts["Printer"].transitions, STEPS)


def _all_allowed(handed: Handed) -> str:
    if wrong := _messages_differ(handed.contracts["Printer"]):
        return wrong
    missing = sorted({_missing_sentence(run, message) for run, message, _, extra in _compared(handed) if not extra})
    return f"Some conversation is described and your contract stops it. {_sentence(missing[0])}" if missing else ""


def _no_other(handed: Handed) -> str:
    if wrong := _messages_differ(handed.contracts["Printer"]):
        return wrong
    if _required(handed):
        return "Looked at only once the conversations that must be possible are."
    extra = sorted({_extra_sentence(run, message) for run, message, _, extra in _compared(handed) if extra})
    return f"Some conversation is possible that is not described. {_sentence(extra[0])}" if extra else ""


# ---- the checker ------------------------------------------------------------------------------------------------


@cache
def practice() -> tuple[Table, ...]:
    """Return the tables of the visible checks."""
    return draw(_PRACTICE_SEED, _PRACTICE, most_states=5)


@cache
def _hidden() -> tuple[Table, ...]:
    return draw(_HIDDEN_SEED, _HIDDEN)


@dataclass(frozen=True)
class _Reviews:
    """What a checker said of tables: for each its verdict (kind, then numbers), as far as it came, and why no further."""

    tables: tuple[Table, ...]
    verdicts: list[tuple[int, list[int]]]
    broken: str


KINDS = ("Sound", "Unreachable", "BothSend", "Endless")


def _parsed(marks: list[int]) -> list[tuple[int, list[int]]]:
    """Return verdicts out of marks; one that is not whole is left out."""
    verdicts, at = [], 0
    while at + 1 < len(marks):
        kind, first = marks[at], marks[at + 1]
        length = 2 if kind == 0 else 1 if kind == 1 else 1 + min(first, LONGEST)
        if at + 1 + length > len(marks):
            break
        numbers = marks[at + 1 : at + 1 + length]
        verdicts.append((kind, numbers if kind < 2 else numbers[1:] if first <= LONGEST else [*numbers[1:], *[-1] * 1]))
        at += 1 + length
    return verdicts


def _reviews(handed: Handed, hidden: bool) -> _Reviews:
    """Let the answer review tables."""

    def find() -> _Reviews:
        if hidden and (broken := _reviews(handed, False).broken):
            return _Reviews((), [], broken)
        tables = _hidden() if hidden else practice()
        data = b"".join(len(words := table.words()).to_bytes(4, "little") + words.tobytes() for table in tables)
        talk = converse(
            handed.images["reviewer"], EXERCISE.image("author"), data, limit=_CYCLES_A_TABLE * len(tables), words=len(data) // 4
        )
        verdicts, broken = _parsed(talk.marks), ending(talk, handed.places.line)
        if broken and not hidden:
            broken += f" It happened on practice()[{len(verdicts)}]."
        return _Reviews(tables, verdicts, broken)

    return handed.once(("reviewer", hidden), find)


def _claim(table: Table, kind: int, numbers: list[int], show: bool) -> str:
    """Return what is wrong with a verdict; empty if it is right."""
    truth = table.truth
    if kind == 0:
        return _soundness(table, truth, numbers, show)
    if kind == 1:
        state = numbers[0]
        if state >= len(table.steps):
            return f"You say that state {state} cannot be reached; states are numbered from 0 to {len(table.steps) - 1}." if show else (
                "You name a state that the table does not have.")  # fmt: skip
        if state not in truth.unreachable:
            return "You say that a state cannot be reached which can be." + (f" It is state {state}." if show else "")
        return ""
    stopped = both_may_send(table, numbers) if kind == 2 else never_ends(table, numbers)
    if not stopped:
        return ""
    if numbers[-1:] == [-1]:
        return f"Your run has more than {LONGEST} messages; there is a shorter one."
    shown = f" Your run {numbers}: {table.text(numbers)}." if show else ""
    reason = f": {stopped}" if show else ""
    hint = _run_hint(table, numbers)
    return f"Your counterexample to {KINDS[kind]} does not replay{reason}.{shown}{hint}" + (
        " This table is sound." if truth.sound and show else ""
    )


def _run_hint(table: Table, numbers: list[int]) -> str:
    """Return a guess at what a run that does not replay lists."""
    if not numbers:
        return " A run lists the messages from state 0 on."
    state, walked = 0, numbers[0] == 0
    for following in numbers[1:]:
        walked = walked and following in table.steps[state].values()
        if not walked:
            break
        state = following
    if walked and len(numbers) > 1:
        return " It looks like a list of states: a run lists messages."
    if numbers[0] not in table.steps[0]:
        return " A run begins in state 0; does yours begin where the defect is, or is it the wrong way round?"
    return ""


def _soundness(table: Table, truth: Explored, numbers: list[int], show: bool) -> str:
    """Return what is wrong with the verdict Sound and its slots."""
    if "unreachable" in truth.defects:
        return "You call a table sound in which a state cannot be reached." + (
            f" No run leads to state {truth.unreachable[0]}." if show else ""
        )
    if "both" in truth.defects:
        return "You call a table sound in which both sides may send at once." + (
            f" See where this run ends: {table.text(truth.both_send)}." if show else ""
        )
    if "endless" in truth.defects:
        return ("You call a table sound in which one side may send without end: a cycle of messages of one direction, which may have more than "
                "one state." + (f" See how this run ends: {table.text(truth.endless)}." if show else ""))  # fmt: skip
    if tuple(numbers) == truth.slots:
        return ""
    text = "Wrong slots." + (f" You say {numbers[0]} for the Imp's inbox and {numbers[1]} for the Exp's; it is {truth.slots[0]} and {truth.slots[1]}."
                             if show else "")  # fmt: skip
    if tuple(numbers[::-1]) == truth.slots:
        return f'{text} They are swapped: "!" messages (direction 1) wait in the Imp\'s inbox.'
    if tuple(numbers) == (sum(d == "!" for d in table.directions), sum(d == "?" for d in table.directions)):
        return f"{text} That is how many different messages there are; asked is how many can wait, the same one perhaps more than once."
    if tuple(max(n, 1) for n in truth.slots) == tuple(numbers):
        return f"{text} If a side never receives anything, nothing waits: 0."
    if any(n < right for n, right in zip(numbers, truth.slots)):
        return f"{text} Too few: the longest row of messages of one direction may begin in any state, and go through states that other ways lead to."
    return f"{text} Too many: once the direction changes, everything sent before has been received. Which row did you count?"


def _reviewed(defect: str, hidden: bool) -> Callable[[Handed], str]:
    """Return a judge over the tables with one defect, or with none, and over those that are said to have it."""

    claimed = ("none", "unreachable", "both", "endless").index(defect) if defect else -1

    def judge(handed: Handed) -> str:
        found = _reviews(handed, hidden)
        if found.broken:
            return found.broken
        for number, (table, (kind, numbers)) in enumerate(zip(found.tables, found.verdicts, strict=True)):
            if table.truth.defects != ({defect} if defect else set()) and kind != claimed:
                continue
            if wrong := _claim(table, kind, numbers, not hidden):
                return wrong if hidden else f"practice()[{number}]: {wrong}"
        return ""

    return judge


def _trials() -> tuple[Trial, ...]:
    kinds = {"": "sound tables and their slots", "unreachable": "states that cannot be reached", "both": "states where both may send",
             "endless": "sending without end"}  # fmt: skip
    return (
        Trial("the printer: what must be possible is", 1, ("Printer",), _required),
        Trial("the printer: what must not be possible is not", 1, ("Printer",), _forbidden),
        *(Trial(f"the checker: {what}, practice", 1, ("reviewer",), _reviewed(defect, False)) for defect, what in kinds.items()),
        Trial("the printer: every conversation that is described", 2, ("Printer",), _all_allowed, hidden=True),
        Trial("the printer: no other conversation", 2, ("Printer",), _no_other, hidden=True),
        *(Trial(f"the checker: {what}, {_HIDDEN} tables", 2, ("reviewer",), _reviewed(defect, True), hidden=True) for defect, what in kinds.items()),
    )  # fmt: skip


EXERCISE = Examination(
    name="ex05_contracts",
    source=SOURCE,
    constants={"NONE": 0xFFFF_FFFF},
    parts=(Part("Printer"), Part("reviewer", (("ch", "Review.Exp"),))),
    trials=_trials(),
)
