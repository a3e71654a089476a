"""Contracts as graphs: two independent ways to see what they allow.

The explorer plays both sides of a contract against each other, breadth first over their states and the messages under
way, and so finds by trying what may wait, what is reached and what goes wrong. The comparison walks through two
contracts at once and finds the shortest conversation only one of them allows; names of states do not matter to it.

A table here is what exercise 05 hands to a checker: for each state and message the next state, or none; state 0 is the
start; each message has one direction, "?" from the importing side to the exporting one, "!" the other way.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

#: In a table: this message is not allowed in this state.
NONE = 0xFFFF_FFFF


@dataclass(frozen=True, eq=False)
class Table:
    """A contract's transitions.

    Attributes
    ----------
    directions : tuple of str
        "?" or "!" of each message.
    steps : tuple of dict of int to int
        For each state, message to next state.
    """

    directions: tuple[str, ...]
    steps: tuple[dict[int, int], ...]

    def words(self) -> np.ndarray:
        """Return it as an array of uint32: states, messages, a word a message (1 = "!"), then next states row by row."""
        rows = [step.get(m, NONE) for step in self.steps for m in range(len(self.directions))]
        head = [len(self.steps), len(self.directions), *(int(d == "!") for d in self.directions)]
        return np.array(head + rows, dtype="<u4")

    def marks(self, state: int) -> set[str]:
        """Return the directions of a state's messages."""
        return {self.directions[m] for m in self.steps[state]}

    def text(self, run: Sequence[int]) -> str:
        """Return a run in words: messages with their marks, and the states between."""
        out, state = ["state 0"], 0
        for message in run:
            state = self.steps[state].get(message, -1) if 0 <= message < len(self.directions) else -1
            if state < 0:
                out.append(f"message {message}, which is not allowed there")
                break
            out.append(f"{message}{self.directions[message]} -> {state}")
        return ", ".join(out)

    def __str__(self) -> str:
        lines = []
        for state, step in enumerate(self.steps):
            moves = "; ".join(f"{m}{self.directions[m]} -> {t}" for m, t in sorted(step.items()))
            lines.append(f"state {state}: {moves or 'nothing more is said'}")
        return "\n".join(lines)

    __repr__ = __str__

    @cached_property
    def truth(self) -> Explored:
        """What playing it finds."""
        return explore(self)

    @cached_property
    def reached(self) -> frozenset[int]:
        """The states some run leads to."""
        seen, todo = {0}, [0]
        while todo:
            for target in self.steps[todo.pop()].values():
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        return frozenset(seen)


@dataclass(frozen=True)
class Explored:
    """What playing a contract found.

    Attributes
    ----------
    unreachable : tuple of int
        States neither side was ever in.
    both_send : tuple of int or None
        The shortest run to a state where both sides may send.
    endless : tuple of int or None
        The shortest run in which one side has sent more messages than there are states, and the other received none of them.
    slots : tuple of int
        The most messages that waited, in the importing side's inbox and in the exporting side's.
    """

    unreachable: tuple[int, ...]
    both_send: tuple[int, ...] | None
    endless: tuple[int, ...] | None
    slots: tuple[int, int]

    @property
    def sound(self) -> bool:
        """Whether nothing went wrong."""
        return not self.unreachable and self.both_send is None and self.endless is None

    @property
    def defects(self) -> frozenset[str]:
        """What is wrong: "unreachable", "both", "endless"."""
        found = {"unreachable": bool(self.unreachable), "both": self.both_send is not None, "endless": self.endless is not None}
        return frozenset(name for name, holds in found.items() if holds)


def explore(table: Table) -> Explored:
    """Play both sides of a contract, breadth first, until nothing new can happen.

    A side may send what its state allows, and receives what is first in its inbox. A side that could send without end
    is stopped once more messages wait than there are states: by then it has been in one state twice.
    """
    states = len(table.steps)
    start = (0, 0, (), ())
    seen: dict[tuple, tuple] = {start: ()}
    todo = deque([start])
    met: set[int] = set()
    both: tuple[int, ...] | None = None
    endless: tuple[int, ...] | None = None
    most = [0, 0]
    while todo:
        here = todo.popleft()
        imp, exp, to_imp, to_exp = here
        run = seen[here]
        met |= {imp, exp}
        most = [max(most[0], len(to_imp)), max(most[1], len(to_exp))]
        if max(len(to_imp), len(to_exp)) > states:
            endless = endless if endless is not None else run
            continue
        if imp == exp and not to_imp and not to_exp and len(table.marks(imp)) == 2:
            both = both if both is not None else run
            # from here on the two may cross; what is reached beyond is looked at as if only one of them spoke
        following = []
        for message, target in table.steps[imp].items():
            if table.directions[message] == "?" and not to_imp:
                following.append(((target, exp, to_imp, (*to_exp, message)), (*run, message)))
        for message, target in table.steps[exp].items():
            if table.directions[message] == "!" and not to_exp:
                following.append(((imp, target, (*to_imp, message), to_exp), (*run, message)))
        if to_imp:
            following.append(((table.steps[imp][to_imp[0]], exp, to_imp[1:], to_exp), run))
        if to_exp:
            following.append(((imp, table.steps[exp][to_exp[0]], to_imp, to_exp[1:]), run))
        for state, way in following:
            if state not in seen:
                seen[state] = way
                todo.append(state)
    return Explored(tuple(s for s in range(states) if s not in met), both, endless, tuple(most))


# ---- counterexamples -------------------------------------------------------------------------------------------


def replay(table: Table, run: Sequence[int]) -> tuple[list[int], str]:
    """Walk a run through a table; returns the states it goes through, and what stopped it (empty if nothing did)."""
    states = [0]
    for place, message in enumerate(run):
        if not 0 <= message < len(table.directions):
            return states, f"at place {place} it has {message}, and there are only messages 0 to {len(table.directions) - 1}"
        if message not in table.steps[states[-1]]:
            return states, f"at place {place} it has message {message}, which is not allowed in state {states[-1]}"
        states.append(table.steps[states[-1]][message])
    return states, ""


def both_may_send(table: Table, run: Sequence[int]) -> str:
    """Return why a run is no proof that both sides may send at once; empty if it is."""
    states, stopped = replay(table, run)
    if stopped:
        return stopped
    return "" if len(table.marks(states[-1])) == 2 else f"it leads to state {states[-1]}, where only one side may send"


def never_ends(table: Table, run: Sequence[int]) -> str:
    """Return why a run is no proof that one side may send without end; empty if it is.

    It is one if somewhere in it one side sends so many messages in a row that it comes back to a state of that row. Then
    the explorer's two sides are made to do it: the sender goes round until more messages wait than there are states.
    """
    states, stopped = replay(table, run)
    if stopped:
        return stopped
    for first in range(len(run)):
        for last in range(first + 1, len(states)):
            if table.directions[run[last - 1]] != table.directions[run[first]]:
                break
            if states[last] == states[first]:
                assert _overflows(table, states[first], run[first:last])
                return ""
    return "in no row of messages of one side does a state come twice"


def _overflows(table: Table, state: int, cycle: Sequence[int]) -> bool:
    """Whether a side that goes round a cycle leaves more messages waiting than there are states."""
    waiting = 0
    while waiting <= len(table.steps):
        for message in cycle:
            state = table.steps[state][message]
            waiting += 1
    return True


# ---- random tables ----------------------------------------------------------------------------------------------


def random_table(rng: random.Random, states: int, messages: int, mixed: bool = False) -> Table:
    """Return a table of which nothing is known; ``mixed`` gives one state messages of both sides, if it can."""
    directions = tuple(rng.choice("?!") for _ in range(messages))
    turn = [rng.choice("?!") for _ in range(states)]
    steps = []
    odd = rng.randrange(states) if mixed else -1
    for state in range(states):
        mine = [m for m in range(messages) if directions[m] == turn[state] or state == odd]
        chosen = rng.sample(mine, min(len(mine), rng.choice((0, 1, 1, 1, 2, 2, 3))))
        steps.append({m: rng.choice((state + 1, rng.randrange(states))) % states for m in chosen})
    return Table(directions, tuple(steps))


def without_unreachable(table: Table) -> Table:
    """Return a table's reachable part, its states numbered anew."""
    number = {state: n for n, state in enumerate(sorted(table.reached))}
    return Table(table.directions, tuple({m: number[t] for m, t in table.steps[s].items()} for s in number))


def draw(seed: int, count: int, most_states: int = 9) -> tuple[Table, ...]:
    """Return tables, half of them without a defect, and of each single defect as many as of the others."""
    rng = random.Random(seed)
    quotas = {frozenset(): count // 2, **{frozenset({d}): count // 6 for d in ("unreachable", "both", "endless")}}
    found: list[Table] = []
    while wanted := [defects for defects, left in quotas.items() if left]:
        aim = rng.choice(wanted)
        table = random_table(rng, rng.randrange(2, most_states + 3), rng.randrange(2, 8), "both" in aim)
        if "unreachable" not in aim:
            table = without_unreachable(table)
        if len(table.steps) > most_states:
            continue
        seen = table.truth
        if quotas.get(seen.defects) and (seen.defects or max(seen.slots) > 1 or rng.random() < 0.1):
            quotas[seen.defects] -= 1
            found.append(table)
    rng.shuffle(found)
    return tuple(found)


# ---- comparing contracts ------------------------------------------------------------------------------------------


def differences(mine: Sequence[dict[str, int]], other: Sequence[dict[str, int]]) -> Iterator[tuple[tuple[str, ...], str, int, bool]]:
    """Yield where two contracts part: the run before, the message, the state of ``other``, and whether only ``mine`` has it.

    Breadth first, so the first of each kind is a shortest. Beyond a difference nothing is compared.
    """
    seen = {(0, 0)}
    todo = deque([((), 0, 0)])
    while todo:
        run, a, b = todo.popleft()
        for message in sorted({*mine[a], *other[b]}):
            if message in mine[a] and message in other[b]:
                pair = (mine[a][message], other[b][message])
                if pair not in seen:
                    seen.add(pair)
                    todo.append(((*run, message), *pair))
            else:
                yield run, message, b, message in mine[a]


def allows(steps: Sequence[dict[str, int]], run: Sequence[str]) -> int:
    """Return how many messages of a run a contract allows, from its beginning."""
    state = 0
    for place, message in enumerate(run):
        if message not in steps[state]:
            return place
        state = steps[state][message]
    return len(run)
