"""The stack view at every instruction, held against the calls and returns of the run itself."""

from __future__ import annotations

import pytest

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.stackview import UNLINK_BYTES, Functions
from singlab.machine import state as _s
from singlab.sing import build, programs_from_source

_JAL_RA, _RETURN = 0x0EF, 0x0000_8067


class Shadow:
    """What stands on each thread's stack, by what its instructions do: a jump with link into a function calls it, a return ends it."""

    def __init__(self, system, processes):
        self.system, self.m = system, system.machine.m
        self.images = {process._field(at.P_CODE): (process, Functions(process.installed.image), process.installed.image.manifest.unlink) for process in processes}
        self.stacks: dict[int, list[str]] = {}
        self.at = None
        self.look()

    def where(self, pc: int):
        """Return the process in whose code an address is, its functions, its unlinking code, and the byte."""
        for code, (process, functions, unlink) in self.images.items():
            if 0 <= pc - code < process._field(at.P_CODE_BYTES):
                return process, functions, unlink, pc - code
        return None

    def look(self) -> None:
        """Note what the hart is about to do."""
        pc = int(self.m[_s.PC])
        found = self.where(pc)
        self.at = None
        if found:
            word = int.from_bytes(self.system.machine.read(pc, 4), "little")
            self.at = self.system._load(at.G_CURRENT), word, *found

    def did(self) -> None:
        """Follow what the hart has done: where it is now, or where it was when it was interrupted."""
        before = self.at
        pc = int(self.m[_s.PC])
        if before and self.where(pc) is None:
            pc = int(self.m[_s.SEPC]) if pc == self.system._labels["trap"] else 0
        if before and pc:
            thread, word, process, functions, unlink, offset = before
            stack = self.stacks.setdefault(thread, [])
            target = pc - process._field(at.P_CODE)
            about = functions.at(target)
            if word & 0xFFF == _JAL_RA and target != offset and about is not None and about.start == target:
                stack.append(about.name or "room for an object")
            elif word == _RETURN and target != offset and functions.at(offset) is not None and not (unlink and unlink <= offset < unlink + UNLINK_BYTES):
                stack.pop()
        self.look()


TREES = """
@function
def down(n: u64, k: u64) -> u64:
    if n == 0:
        yield_()
        return k
    a = n * 3
    b = down(n - 1, k + 1)
    return a + b % 7

@function
def wide(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64, g: u64, n: u64) -> u64:
    if n == 0:
        return a + b + c + d + e + f + g
    x = wide(b, c, d, e, f, g, a, n - 1)
    return x + n * a + b

@function
def leaf(n: u64) -> u64:
    return n * n + 1

@function
def branch(n: u64) -> u64:
    if n < 2:
        return leaf(n) + leaf(n + 1)
    return branch(n - 1) + branch(n - 2)

@sip
def p(n: u64) -> u64:
    t = thread(down, 3, n)
    total = down(n, 1) + branch(4)
    total += wide(1, 2, 3, 4, 5, 6, 7, n)
    return total + join(t)
"""

OBJECTS = """
@managed
class Node:
    value: u64
    rest: "Node | None"

@function
def chain(n: u64) -> u64:
    first: "Node | None" = None
    total: u64 = 0
    kept = Node(0, None)
    for i in range(n):
        first = Node(i, first)
        kept.rest = first
        total += changed(kept, i)
    return total

@function
def changed(node: Node, i: u64) -> u64:
    node.rest = Node(i, node.rest)
    return node.value + i

@sip(COLLECTOR)
def p(n: u64) -> u64:
    return chain(n)
"""


def held_against(system, processes, most: int = 30_000) -> tuple[int, set[str]]:
    """Step through a run; at each instruction every thread's stack has the functions that were called and have not returned."""
    shadow, steps, seen = Shadow(system, processes), 0, set()
    while not system.done and steps < most:
        for process in processes:
            if process.state == "stopped":
                continue
            for thread in process.threads():
                number = system._load(thread + at.T_ID)
                view = process.stack(number)
                expected = shadow.stacks.get(thread, [])[::-1]
                where = f"instruction {steps} at {int(system.machine.m[_s.PC]):#x}, {process.name}, thread {number}:\n{view}\nand was {expected}"
                if system._load(thread + at.T_SEGMENTS):
                    assert view.functions == expected, where
                    assert "nothing can be said" not in view.rows[-1].what, where
                seen.update((view.rows[0].what, *view.functions))
        system.step(1)
        for process in system.processes:
            assert process in processes
        shadow.did()
        steps += 1
    return steps, seen


@pytest.mark.parametrize(("isolation", "optimiser"), [("sip", True), ("ring3", False), *(pytest.param(*one, marks=pytest.mark.slow) for one in (("sip", False), ("domain", True), ("mixed", True)))])
def test_every_instruction_of_calls_segments_and_threads(isolation, optimiser):
    system = System(isolation=isolation, ram="4M", quantum_us=1)
    image = build(programs_from_source(TREES, "text").programs["p"], optimiser=optimiser)
    processes = [system.create(image, n=n) for n in (120, 3)]
    steps, seen = held_against(system, processes)
    assert system.done and all(process.exit_value for process in processes)
    assert processes[0]._field(at.P_LINKS) > 0 and "is entering or leaving the kernel" in seen


@pytest.mark.parametrize("collector", ["semispace", "generational"])
def test_every_instruction_of_objects_and_write_barriers(collector):
    system = System(ram="4M", collector="semispace", quantum_us=1)
    text = OBJECTS.replace("COLLECTOR", f'collector="{collector}"')
    process = system.create(build(programs_from_source(text, "text").programs["p"]), n=12)
    system.start(process)
    system.collect_every = True
    steps, seen = held_against(system, [process])
    assert system.done and process.exit_value and "room for an object" in seen
    assert ("write barrier" in seen) == (collector == "generational")
