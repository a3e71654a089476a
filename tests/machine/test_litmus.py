"""What harts may see of each other's loads and stores: exactly what some interleaving of their instructions gives.

Small programs are run thousands of times side by side; an independent search lists the outcomes of all
interleavings. Nothing else may be seen (sequential consistency), and all of it must be, so that no race
stays hidden from students: a change of harts comes between any two instructions.
"""

from __future__ import annotations

import random

import pytest
from bench import BASE, DATA

from singlab.machine import Machine
from singlab.machine.asm import assemble

RESULTS = DATA + 0x20_0000
NAMES = "xyz"

#: For each hart its operations: W and a variable and a value, or R and a variable.
KNOWN = {
    "store buffering": [["Wx1", "Ry"], ["Wy1", "Rx"]],
    "message passing": [["Wx1", "Wy1"], ["Ry", "Rx"]],
    "load buffering": [["Rx", "Wy1"], ["Ry", "Wx1"]],
    "coherence": [["Wx1", "Wx2"], ["Rx", "Rx"]],
    "two and two writes": [["Wx1", "Wy2", "Rx"], ["Wy1", "Wx2", "Ry"]],
    "independent readers": [["Wx1"], ["Wy1"], ["Rx", "Ry"], ["Ry", "Rx"]],
    "causality": [["Wx1"], ["Rx", "Wy1"], ["Ry", "Rx"]],
}


def some_program(seed: int) -> list[list[str]]:
    """Return a random program of two or three harts."""
    draw = random.Random(seed)
    harts = draw.choice((2, 2, 3))
    return [
        [draw.choice((f"W{(v := draw.choice(NAMES[:2]))}{draw.randint(1, 3)}", f"R{v}")) for _ in range(draw.randint(1, 3 if harts == 2 else 2))]
        for _ in range(harts)
    ]


def outcomes(program: list[list[str]]) -> set[tuple]:
    """Return what each interleaving leaves: the values loaded by each hart, and the variables at the end."""
    found = set()

    def go_on(done: tuple[int, ...], memory: dict[str, int], seen: tuple[tuple[int, ...], ...]) -> None:
        if all(d == len(p) for d, p in zip(done, program, strict=True)):
            found.add((seen, tuple(memory[name] for name in NAMES)))
            return
        for hart, operations in enumerate(program):
            if done[hart] == len(operations):
                continue
            operation, after, now = operations[done[hart]], dict(memory), seen
            if operation[0] == "W":
                after[operation[1]] = int(operation[2:])
            else:
                now = tuple((*s, memory[operation[1]]) if h == hart else s for h, s in enumerate(seen))
            go_on(tuple(d + (h == hart) for h, d in enumerate(done)), after, now)

    go_on((0,) * len(program), dict.fromkeys(NAMES, 0), ((),) * len(program))
    return found


def text(program: list[list[str]], rounds: int) -> str:
    """Return the program for all harts: in each round they meet, then each does what is its own, on fresh variables."""
    lines = [f"li s0, {DATA}\nli s1, {DATA + 0x10_0000}\ncsrr s2, mhartid\nli s3, 0\nli s4, {rounds}\nli s5, {RESULTS}"]
    lines.append("li t0, 64\nmul t1, s2, t0\nadd s5, s5, t1")
    lines.append(f"again: li t0, 1\namoadd.d zero, t0, (s1)\naddi s3, s3, {len(program)}\nmeet: ld t0, (s1)\nblt t0, s3, meet")
    for hart in range(len(program)):
        lines.append(f"li t0, {hart}\nbeq s2, t0, hart{hart}")
    for hart, operations in enumerate(program):
        lines.append(f"hart{hart}:")
        values = sorted({int(o[2:]) for o in operations if o[0] == "W"})
        lines += [f"li t{value}, {value}" for value in values]
        loads = 0
        body, after = [], []
        for o in operations:
            at = 8 * NAMES.index(o[1])
            if o[0] == "W":
                body.append(f"sd t{o[2:]}, {at}(s0)")
            else:
                body.append(f"ld a{loads}, {at}(s0)")
                after.append(f"sd a{loads}, {8 * loads}(s5)")
                loads += 1
        lines += [*body, *after, "j over"]
    lines.append(f"over: addi s0, s0, 64\naddi s5, s5, {64 * len(program)}\naddi s4, s4, -1\nbnez s4, again\nwfi")
    return "\n".join(lines)


def seen(program: list[list[str]], seed: int, rounds: int, profile: str) -> set[tuple]:
    """Run a program so many times and return what came of it."""
    made = Machine(profile=profile, ram="8M", harts=len(program), seed=seed)
    made.write(BASE, assemble(text(program, rounds), BASE).code)
    assert made.run(cycles=100_000_000) == "wfi"
    found = set()
    for round_ in range(rounds):
        loaded = []
        for hart, operations in enumerate(program):
            at = RESULTS + 64 * (round_ * len(program) + hart)
            loaded.append(tuple(made.load_u64(at + 8 * k) for k in range(sum(o[0] == "R" for o in operations))))
        found.add((tuple(loaded), tuple(made.load_u64(DATA + 64 * round_ + 8 * k) for k in range(3))))
    return found


@pytest.mark.parametrize("profile", ["teaching", "untimed"])
@pytest.mark.parametrize("name", KNOWN)
def test_known_programs(name, profile):
    possible, found = outcomes(KNOWN[name]), set()
    for seed in range(20):
        found |= seen(KNOWN[name], seed, 2000, profile)
        if found >= possible:
            break
    assert found == possible


@pytest.mark.parametrize("case", range(12))
def test_random_programs(case):
    program = some_program(case)
    possible, found = outcomes(program), set()
    for seed in range(20):
        found |= seen(program, seed, 2000, "teaching")
        if found >= possible:
            break
    assert found == possible, program


def test_the_search_knows_what_cannot_be():
    assert (((0,), (0,)), (1, 1, 0)) not in outcomes(KNOWN["store buffering"])
    assert len(outcomes(KNOWN["store buffering"])) == 3
    assert (((), (1, 0)), (1, 1, 0)) not in outcomes(KNOWN["message passing"])
