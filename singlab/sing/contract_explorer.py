"""An explorer of contracts: every order in which two sides can act, followed one by one.

Each side walks the contract by itself, with its own state and a first-in first-out queue from the other
side; sending never blocks. That is all the explorer knows: none of the rules that make a contract
well-formed, so it is an independent check of what those rules promise, and it shows what becomes of a
contract that breaks them. What it finds comes with a run that can be replayed. A queue that can grow for
ever is proven by a cycle of steps that can be repeated for ever. (Two such sides are communicating
finite-state machines: Brand and Zafiropulo, "On Communicating Finite-State Machines", JACM 1983. Whether
any two of them deadlock is undecidable, so the search has a bound, and says when it has met it.)
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from singlab.sing.contracts import Contract, Protocol, parse_lenient
from singlab.sing.errors import SipError

SIDES = ("Imp", "Exp")
#: Configurations looked at before the search gives up, unless told otherwise.
MOST_CONFIGURATIONS = 20_000
#: Longest queue that is followed once it is known that queues grow for ever.
ROOM = 6
#: Findings of one kind that are kept.
_MOST_FINDINGS = 8


class Configuration(NamedTuple):
    """Where two sides stand: their states' numbers, and the messages waiting for each, oldest first."""

    imp: int = 0
    exp: int = 0
    to_imp: tuple[str, ...] = ()
    to_exp: tuple[str, ...] = ()


class Step(NamedTuple):
    """One act of one side: it sends or receives a message and is in state ``target`` from then on."""

    side: str
    act: str
    message: str
    target: int


def after(protocol: Protocol, here: Configuration, step: Step) -> Configuration:
    """Return the configuration a step leads to; raises ValueError if the step is not possible there."""
    if step not in steps_from(protocol, here):
        raise ValueError(f"{step.side} cannot {step.act} {step.message} here")
    return _after(here, step)


def _after(here: Configuration, step: Step) -> Configuration:
    imp, exp, to_imp, to_exp = here
    if step.side == "Imp":
        imp = step.target
        if step.act == "send":
            to_exp = (*to_exp, step.message)
        else:
            to_imp = to_imp[1:]
    else:
        exp = step.target
        if step.act == "send":
            to_imp = (*to_imp, step.message)
        else:
            to_exp = to_exp[1:]
    return Configuration(imp, exp, to_imp, to_exp)


def steps_from(protocol: Protocol, here: Configuration) -> list[Step]:
    """Return every step one of the sides can take: any message it may send, and its oldest one if it may receive it."""
    found = []
    for side, state, inbox in (("Imp", here.imp, here.to_imp), ("Exp", here.exp, here.to_exp)):
        for name, target in protocol.edges[state]:
            if protocol.messages[name].sender == side:
                found.append(Step(side, "send", name, target))
            elif inbox and inbox[0] == name:
                found.append(Step(side, "receive", name, target))
    return found


@dataclass(frozen=True)
class Run:
    """Steps of both sides from the start of a contract on. ``run[:n]`` is its first n steps.

    Attributes
    ----------
    protocol : Protocol
    steps : tuple of Step
    note : str
        What the run shows.
    """

    protocol: Protocol = field(repr=False)
    steps: tuple[Step, ...]
    note: str = ""

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, part: slice) -> Run:
        if not isinstance(part, slice) or part.start not in (None, 0) or part.step not in (None, 1):
            raise TypeError("a run is cut from its start on: run[:5]")
        whole = len(self.steps[part]) == len(self.steps)
        return Run(self.protocol, self.steps[part], self.note if whole else "")

    def replay(self) -> list[Configuration]:
        """Return where both sides stand before the first step and after each; raises ValueError at an impossible step."""
        places = [Configuration()]
        for step in self.steps:
            places.append(after(self.protocol, places[-1], step))
        return places

    @property
    def end(self) -> Configuration:
        """Where it leads."""
        return self.replay()[-1]

    def __str__(self) -> str:
        from singlab.sing.contract_runs import run_text

        return run_text(self)

    def _repr_pretty_(self, printer, cycle) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        from singlab.sing.contract_runs import run_html

        return run_html(self)


@dataclass(frozen=True)
class Growth:
    """A queue that grows for ever: after ``run``, the steps from number ``begin`` on can be repeated without end."""

    run: Run
    begin: int

    def repeated(self, times: int) -> Run:
        """Return the run with its cycle gone through so many times in all."""
        cycle = self.run.steps[self.begin :]
        return Run(self.run.protocol, self.run.steps + cycle * (times - 1), self.run.note)


class Behaviour:
    """What exploring a contract has found.

    Attributes
    ----------
    protocol : Protocol
    configurations : int
        How many were looked at.
    complete : bool
        Whether these are all there are; if not, numbers are lower bounds and what was not found may still exist.
    deadlocks : list of Run
        Neither side can do anything, and not because the conversation has ended in good order.
    unspecified : list of Run
        A side cannot send and is never going to receive the message that waits for it.
    waiting : dict of str to int or None
        By side, the most messages in its queue at once; None if it grows for ever.
    copies : dict of str to int or None
        By message, the same for copies of it.
    growth : dict of str to Growth
        By side, why its queue grows for ever.
    fullest : dict of str to Run
        By side and by message, the shortest run to the most of them.
    """

    def __init__(self, protocol: Protocol):
        self.protocol = protocol
        self.configurations = 0
        self.complete = True
        self.deadlocks: list[Run] = []
        self.unspecified: list[Run] = []
        self.waiting: dict[str, int | None] = dict.fromkeys(SIDES, 0)
        self.copies: dict[str, int | None] = dict.fromkeys(protocol.messages, 0)
        self.growth: dict[str, Growth] = {}
        self.fullest: dict[str, Run] = {name: Run(protocol, ()) for name in (*SIDES, *protocol.messages)}
        self._reached: dict[tuple[str, int], Run] = {}

    @property
    def sound(self) -> bool:
        """Whether everything was looked at, and nothing found that a contract must not have."""
        return self.complete and not (self.deadlocks or self.unspecified or self.growth)

    def overflow(self, side: str, slots: int) -> Run | None:
        """Return a run after which more than so many messages wait for a side, or None if there is none known."""
        if (run := self._reached.get((side, slots + 1))) is not None:
            return run
        growth, times = self.growth.get(side), 1
        while growth is not None:
            run = growth.repeated(times)
            for length, here in enumerate(run.replay()):
                if len(here.to_imp if side == "Imp" else here.to_exp) > slots:
                    return run[:length]
            times += 1
        return None

    def __str__(self) -> str:
        from singlab.sing.contract_runs import behaviour_text

        return behaviour_text(self)

    def _repr_pretty_(self, printer, cycle) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        from singlab.sing.contract_runs import behaviour_html

        return behaviour_html(self)


def as_protocol(what: Contract | Protocol | str) -> Protocol:
    """Return a contract, or a contract's text however ill-formed, as what can be explored."""
    if isinstance(what, Protocol):
        return what
    if isinstance(what, Contract):
        return Protocol(what.name, what.messages, what.states, [list(step.items()) for step in what.transitions])
    found = parse_lenient(what)
    if len(found) != 1:
        raise SipError("contract.syntax", f"{len(found)} contracts where one is expected", filename="<contract>",
                       hint="explore them one by one")  # fmt: skip
    return next(iter(found.values()))


def _pumps(inbox: tuple[str, ...], sent: list[str], received: list[str]) -> bool:
    """Return whether, with these messages waiting, sending and receiving these can go on for ever.

    What is received, repeated for ever, must be what waits and then what is sent, repeated for ever. Two
    such words agree for ever if they agree as far as the waiting and one of each go (Fine and Wilf).
    """
    if not received:
        return True
    if len(sent) < len(received):
        return False
    far = len(inbox) + len(sent) + len(received)
    arriving = list(inbox) + sent * (far // len(sent) + 1)
    leaving = received * (far // len(received) + 1)
    return arriving[:far] == leaving[:far]


class _Search:
    """Breadth first, so that what is found is shortest."""

    def __init__(self, protocol: Protocol, most: int, capacity: int | None):
        self.protocol, self.most, self.capacity = protocol, most, capacity
        self.came: dict[Configuration, tuple[Configuration, Step] | None] = {Configuration(): None}
        self.found = Behaviour(protocol)
        self.seen: set = set()
        self.sends = [any(protocol.messages[n].sender == s for n, _ in edges) for s in SIDES for edges in protocol.edges]

    def run(self, here: Configuration, note: str = "") -> Run:
        """Return the way to a configuration."""
        steps = []
        while (came := self.came[here]) is not None:
            here, step = came
            steps.append(step)
        return Run(self.protocol, tuple(reversed(steps)), note)

    def search(self) -> Behaviour:
        found, todo = self.found, deque(self.came)
        while todo:
            here = todo.popleft()
            found.configurations += 1
            self.look(here)
            steps = steps_from(self.protocol, here)
            if not steps:
                self.halted(here)
            for step in steps:
                there = _after(here, step)
                if there in self.came:
                    continue
                if self.capacity is not None and max(len(there.to_imp), len(there.to_exp)) > self.capacity:
                    found.complete = False
                    self.fuller(there, lambda h=here, s=step: Run(self.protocol, (*self.run(h).steps, s)))
                    continue
                if len(self.came) >= self.most:
                    found.complete = False
                    continue
                self.came[there] = here, step
                todo.append(there)
                if step.act == "send" and self.grows(there) and self.capacity is None:
                    self.capacity = max(ROOM, len(there.to_imp), len(there.to_exp))
        for side, growth in found.growth.items():
            found.waiting[side] = None
            found.fullest[side] = growth.run
        return found

    def look(self, here: Configuration) -> None:
        """Note how much waits, and whether a side is stuck with a message it does not know in its state."""
        self.fuller(here, lambda: self.run(here))
        for number, (side, state, inbox) in enumerate((("Imp", here.imp, here.to_imp), ("Exp", here.exp, here.to_exp))):
            if not inbox or self.sends[number * len(self.protocol.edges) + state]:
                continue
            if inbox[0] not in (name for name, _ in self.protocol.edges[state]) and self.fresh("unspecified", side, state, inbox[0]):
                self.found.unspecified.append(
                    self.run(here, f"{side} is in state {self.protocol.states[state]}, which never receives the {inbox[0]} that waits for it")
                )

    def halted(self, here: Configuration) -> None:
        """Note a configuration without a next step, if it is no good end."""
        edges = self.protocol.edges
        if (edges[here.imp] or edges[here.exp] or here.to_imp or here.to_exp) and self.fresh("deadlock", here.imp, here.exp):
            names = self.protocol.states
            self.found.deadlocks.append(self.run(here, f"neither side can go on: Imp in {names[here.imp]}, Exp in {names[here.exp]}"))

    def fresh(self, kind: str, *what) -> bool:
        """Return whether this is new and there is room to keep it."""
        key = (kind, *what)
        new = key not in self.seen and sum(k[0] == kind for k in self.seen) < _MOST_FINDINGS
        self.seen.add(key)
        return new

    def fuller(self, here: Configuration, run) -> None:
        """Note new heights of the queues."""
        found = self.found
        for side, inbox in (("Imp", here.to_imp), ("Exp", here.to_exp)):
            if found.waiting[side] < len(inbox):
                found.waiting[side] = len(inbox)
                found.fullest[side] = found._reached[side, len(inbox)] = run()
            for name in set(inbox):
                if found.copies[name] is not None and found.copies[name] < inbox.count(name):
                    found.copies[name] = inbox.count(name)
                    found.fullest[name] = run()

    def grows(self, here: Configuration) -> bool:
        """Note a cycle that ends here and can be repeated for ever with more waiting each time; return whether there is one."""
        if len(self.found.growth) == len(SIDES):
            return True
        sent, received = {s: [] for s in SIDES}, {s: [] for s in SIDES}
        back, length = here, 0
        while (came := self.came[back]) is not None:
            back, step = came
            length += 1
            side = step.side if step.act == "receive" else SIDES[step.side == "Imp"]
            (sent if step.act == "send" else received)[side].insert(0, step.message)
            if (back.imp, back.exp) != (here.imp, here.exp) or len(back.to_imp) > len(here.to_imp) or len(back.to_exp) > len(here.to_exp):
                continue
            if len(back.to_imp) + len(back.to_exp) == len(here.to_imp) + len(here.to_exp):
                continue
            if all(_pumps(inbox, sent[side], received[side]) for side, inbox in (("Imp", back.to_imp), ("Exp", back.to_exp))):
                for side in SIDES:
                    if len(sent[side]) > len(received[side]):
                        self.grown(side, here, length)
                        for name in set(sent[side]):
                            if sent[side].count(name) > received[side].count(name):
                                self.found.copies[name] = None
                                self.found.fullest[name] = self.run(here)
                return True
        return False

    def grown(self, side: str, here: Configuration, length: int) -> None:
        if side not in self.found.growth:
            run = self.run(here)
            last = f"the last {length} steps" if length > 1 else "the last step"
            self.found.growth[side] = Growth(
                Run(self.protocol, run.steps, f"{last} can be repeated for ever, and each time more messages wait for {side}"),
                len(run) - length,
            )


def explore_contract(what: Contract | Protocol | str, most: int = MOST_CONFIGURATIONS, capacity: int | None = None) -> Behaviour:
    """Follow every order in which the two sides of a contract can act.

    Parameters
    ----------
    what : Contract, Protocol or str
        A text is read leniently: it may break every rule about behaviour.
    most : int
        Configurations to look at before giving up.
    capacity : int, optional
        Do not follow runs on which more messages than this wait for one side. Without it there is no such limit until
        it is known that a queue grows for ever.

    Returns
    -------
    Behaviour

    Raises
    ------
    SipError
        If a text cannot be read as a contract.
    """
    return _Search(as_protocol(what), max(1, most), capacity).search()
