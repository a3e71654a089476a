"""Waiting for several endpoints: random rows and arrivals against the pattern matrix followed by hand, and sets."""

from __future__ import annotations

import random

import pytest
from running import ISOLATIONS

from singlab.kernel import System
from singlab.machine.jit import DISABLED
from singlab.sing import build, programs_from_source

CONTRACT = """
C = contract('''
contract C {
    in  message Go();
    out message A();
    out message B();
    state Start: Go? -> (A! or B!) -> Start;
}
''')
"""
PATTERNS = {None: "_", "A": "C.A()", "B": "C.B()", "closed": "ChannelClosed()"}


def chosen(rows: list[tuple], heads: tuple) -> int | None:
    """Return the first satisfied row; None where none can be satisfied (all heads are there already)."""
    for index, row in enumerate(rows):
        if all(cell is None or cell == head for cell, head in zip(row, heads)):
            return index
    return None


def program(rows: list[tuple], heads: tuple, width: int) -> str:
    """Return a program that lets heads arrive at endpoints it made itself, and says which row was taken (99: none)."""
    lines = ["@sip", "def p() -> u64:"]
    for i in range(width):
        lines += [f"    i{i}, e{i} = new_channel(C)", f"    i{i}.send(C.Go())", f"    e{i}.receive(C.Go)"]
        lines.append(f"    e{i}.close()" if heads[i] == "closed" else f"    e{i}.send(C.{heads[i]}())")
    lines += ["    taken: u64 = 99", f"    match receive({', '.join(f'i{i}' for i in range(width))}):"]
    for index, row in enumerate(rows):
        lines += [f"        case ({', '.join(PATTERNS[cell] for cell in row)},):", f"            taken = {index}"]
    lines += ["        case Unsatisfiable():", "            pass"]
    for i in range(width):
        lines += [f"    i{i}.close()"] + ([f"    e{i}.close()"] if heads[i] != "closed" else [])
    return CONTRACT + "\n".join([*lines, "    return taken"]) + "\n"


def case(seed: int) -> tuple[list[tuple], tuple, int]:
    """Return random rows that ask at each endpoint, heads, and how many endpoints there are."""
    chance = random.Random(seed)
    width = chance.randint(1, 4)
    cells = [None, None, "A", "B", "closed"]
    rows = dict.fromkeys(tuple(chance.choice(cells) for _ in range(width)) for _ in range(chance.randint(1, 5)))
    rows = [row for row in rows if any(row)]
    for i in range(width):
        if all(row[i] is None for row in rows):
            rows.append(tuple("A" if i == j else None for j in range(width)))
    return list(dict.fromkeys(rows)), tuple(chance.choice(["A", "B", "closed"]) for _ in range(width)), width


@pytest.mark.parametrize("seed", range(6 if DISABLED else 40))
def test_the_row_is_that_of_the_pattern_matrix(seed):
    rows, heads, width = case(seed)
    text = program(rows, heads, width)
    system = System(ram="2M", isolation=ISOLATIONS[seed % 2])
    process = system.create(build(programs_from_source(text, "text").programs["p"], optimiser=seed % 3 > 0))
    assert system.run(cycles=1_000_000).outcome == "finished", text
    assert process.exit_value == (99 if chosen(rows, heads) is None else chosen(rows, heads)), f"{heads}\n{text}"
    assert set(process.holdings().values()) == {0}


def test_a_set_serves_who_has_waited_longest_and_counts_its_members():
    text = CONTRACT + """
@sip
def p() -> u64:
    s = ESet(C.Exp)
    a, x = new_channel(C)
    b, y = new_channel(C)
    s.add(x)
    s.add(y)
    b.send(C.Go())
    a.close()
    found: u64 = len(s)
    match s.receive():
        case (ep, C.Go()):
            found += 10
            ep.send(C.A())
            ep.close()
        case (ep, ChannelClosed()):
            ep.close()
    match s.receive():
        case (ep, C.Go()):
            ep.send(C.A())
            ep.close()
        case (ep, ChannelClosed()):
            found += 100
            ep.close()
    match s.receive():
        case (ep, C.Go()):
            ep.send(C.A())
            ep.close()
        case Unsatisfiable():
            found += 1000
    match b.receive():
        case C.A():
            pass
        case C.B():
            pass
    b.close()
    s.close()
    return found
"""
    for isolation in ISOLATIONS:
        system = System(ram="2M", isolation=isolation)
        process = system.create(build(programs_from_source(text, "text").programs["p"]))
        assert system.run(cycles=1_000_000).outcome == "finished"
        assert process.exit_value == 1112
        assert set(process.holdings().values()) == {0}
