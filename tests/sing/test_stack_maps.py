"""Stack maps: with all objects moving at every allocation, programs do what they do; a map that leaves something out is found out."""

from __future__ import annotations

import pytest
from oracle_objects import run_as_python
from stress import Wrong, run_moving
from test_objects_differential import Objects

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.roots import NoMap, StackMaps, roots
from singlab.machine.jit import DISABLED
from singlab.sing import build, programs_from_source
from singlab.sing.codegen import FunctionCode

pytestmark = pytest.mark.skipif(DISABLED, reason="one instruction at a time: too slow uncompiled")
ENDS = {1: "bounds", 2: "division", 20: "none"}


def moved(seed: int, isolation: str = "sip", optimiser: bool = True) -> int:
    """Run a random program with its objects moving; returns how many moved. It must do what Python does."""
    text = Objects(seed).program()
    system = System(isolation=isolation, ram="8M", trace=False)
    process = system.create(build(programs_from_source(text, "text").programs["p"], optimiser=optimiser), n=5)
    mover = run_moving(system, process, 20_000_000)
    found = process.exit_value if process.fault is None else ENDS.get(process.fault.code, process.fault)
    assert (found, process.console) == run_as_python(text, 5), f"seed {seed}\n{text}"
    return mover.moved


@pytest.mark.parametrize(("isolation", "optimiser", "seeds"), [("sip", True, range(40)), ("ring3", True, range(40, 50)), ("sip", False, range(50, 70))])
def test_programs_do_the_same_while_their_objects_move(isolation, optimiser, seeds):
    assert sum(moved(seed, isolation, optimiser) for seed in seeds) > 1000


def found_out(monkeypatch, change) -> bool:
    """Whether some program misbehaves when what each function says of its references is changed."""
    plain = FunctionCode.__init__

    def init(self, *arguments):
        plain(self, *arguments)
        self.across = {instr: change(instr, held) for instr, held in self.across.items()}

    monkeypatch.setattr(FunctionCode, "__init__", init)
    for seed in range(60):
        try:
            moved(seed)
        except (AssertionError, RuntimeError):
            return True
    return False


CHANGES = {
    "a reference is left out at each point": lambda instr, held: held[1:],
    "nothing alive over a call": lambda instr, held: [] if instr.op in ("call", "vcall") else held,
    "nothing alive over the making of an array": lambda instr, held: [] if instr.op == "newarr" else held,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_map_that_leaves_something_out_is_found_out(change, monkeypatch):
    assert found_out(monkeypatch, CHANGES[change])


WAITING = '''
Talk = contract("""
contract Talk {
    in  message Ask(ulong n);
    out message Answer(ulong n);
    state Start: Ask? -> Answer! -> Start;
}
""")
@managed
class Node:
    value: u64
    next: "Node | None"
@function
def wait(ch: Talk.Imp, a: Node) -> u64:
    ch.send(Talk.Ask(1))
    n = ch.receive(Talk.Answer)
    return n + a.value
@sip
def p(ch: Talk.Imp) -> u64:
    a = Node(1, None)
    b = Node(2, a)
    c = Node(3, None)
    x = wait(ch, c) + wait(ch, b)
    return x + a.value + b.value
@sip
def silent(ch: Talk.Exp) -> u64:
    match ch.receive():
        case Talk.Ask(n):
            yield_()
        case ChannelClosed():
            pass
    while True:
        yield_()
    return 0
'''


@pytest.mark.parametrize("isolation", ["sip", "ring3"])
@pytest.mark.parametrize("optimiser", [True, False])
def test_the_roots_of_a_process_that_waits(isolation, optimiser):
    """While ``wait`` waits for the first time, it still needs c, and its caller a and b; nobody needs anything else."""
    programs = programs_from_source(WAITING, "text").programs
    system = System(isolation=isolation, ram="4M")
    process = system.create(build(programs["p"], optimiser=optimiser))
    other = system.create(build(programs["silent"]))
    system.connect(process["ch"], other["ch"])
    system.run(cycles=200_000)
    load = system.machine.load_u64
    assert {load(root.value + 8) for root in roots(process)} == {1, 2, 3}
    for root in roots(process):
        assert root.address and load(root.address) == root.value, "a thread that waits has all its registers in memory"


def test_a_thread_between_two_points_has_no_roots_that_are_known():
    programs = programs_from_source(WAITING, "text").programs
    system = System(ram="4M")
    process, other = system.create(build(programs["p"])), system.create(build(programs["silent"]))
    system.connect(process["ch"], other["ch"])
    thread = system.machine.load_u64(process.record + at.P_THREADS)
    maps = StackMaps.of(process.installed.image)
    inside = next(f.start + 4 for f in maps.frames if f.start + 4 not in maps.points)
    system.machine.store_u64(thread + at.T_PC, process._field(at.P_CODE) + inside + 4)
    with pytest.raises(NoMap, match="no stack map"):
        list(roots(process))
    assert StackMaps.of(other.installed.image) is None and list(roots(other)) == []


def test_a_wrong_word_in_a_map_is_found_out(monkeypatch):
    plain = FunctionCode.stack_map

    def stack_map(self, instr, first):
        before = len(self.module.tables.points)
        plain(self, instr, first)
        for index in range(before, len(self.module.tables.points)):
            item, registers, words = self.module.tables.points[index]
            self.module.tables.points[index] = item, registers | 1 << 8 | 1 << 9, words

    monkeypatch.setattr(FunctionCode, "stack_map", stack_map)
    with pytest.raises(Wrong, match="is no reference"):
        for seed in range(20):
            moved(seed)
