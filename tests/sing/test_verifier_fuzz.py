"""The verifier against chance: random graphs checked by following every path, random changes of a good module run.

The first part decides by brute force whether any path through a graph misuses a block or an endpoint,
and wants the verifier's verdict to be the same. The second changes a good module at random; what the
verifier still accepts must run without touching anything that is not its own: each access is looked at (``guard.py``), each
call the kernel refuses, and what it still owns when it returns (``harm.py``).
"""

from __future__ import annotations

import copy
import random

import pytest
from chance import Chance, subject
from harm import changed, harmless
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants import EXCEPTIONAL, OBJECTS, RICH
from mutants_endpoints import LAYOUTS, PASSING, SETS, THREADS
from mutants_system import ATTEMPTS, CHILDREN, HANDLES, NAMES, REGIONS, SYSTEM
from mutants_trials import MEMORY, TRIALS

from singlab.sing import contract, format_module, sil, verify
from singlab.sing.sil import Arms, Block, Function, Instr, Module, Receive, Reg
from singlab.sing.types import BOOL, U8, U64, Endpoint, Tuple, Vector

TALK = contract("""
contract Talk {
    in  message Ask(ulong n);
    in  message Give(byte[]* in ExHeap data);
    out message Answer(ulong n);
    out message Back(byte[]* in ExHeap data);
    out message Stop();
    state Start: one { Ask? -> (Answer! -> Start or Stop! -> End); Give? -> Back! -> Start; }
    state End: ;
}
""")

GONE, LENT, CLOSED, PEER_CLOSED = "gone", "lent", -1, -2


#: Which of the blocks a call names its helper takes for good.
TAKES = {"look": lambda used: [], "take": lambda used: used, "pair": lambda used: [], "both": lambda used: used[1:]}


def helpers() -> dict[str, Function]:
    """Return the helpers of a graph: ``look`` borrows, ``take`` takes, ``pair`` makes, ``both`` borrows one, takes one and makes two."""
    v, w, n, x = Reg(0, Vector(U8), "v"), Reg(1, Vector(U8), "w"), Reg(2, U64, "n"), Reg(3, Vector(U8), "x")
    look = [Instr("len", n, (v,)), Instr("ret", None, (n,))]
    take = [Instr("free", None, (v,)), Instr("ret")]
    pair = [Instr("new", v, (n,)), Instr("ret", None, (v, n))]
    both = [Instr("len", n, (v,)), Instr("new", x, (n,)), Instr("ret", None, (x, w))]
    return {
        "look": Function("look", [v, n], U64, [Block("e", look)], borrowed=frozenset({0})),
        "take": Function("take", [v], None, [Block("e", take)]),
        "pair": Function("pair", [n], Tuple((Vector(U8), U64)), [Block("e", pair)]),
        "both": Function("both", [v, w], Tuple((Vector(U8), Vector(U8))), [Block("e", both)], borrowed=frozenset({0})),
    }


class Graph:
    """A random function over blocks of memory and an endpoint, and what happens on each of its paths.

    One of the blocks may be lent to it by its caller; its helpers borrow, take and make blocks.
    """

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.channel = Reg(0, Endpoint("Talk", "Imp"), "ch")
        self.number, self.bool, self.size = Reg(1, U64, "n"), Reg(2, BOOL), Reg(3, U64)
        self.memory = [Reg(10, Vector(U8), "v"), Reg(11, Vector(U8), "w")]
        self.labels = [f"b{i}" for i in range(self.random.randint(1, 6))]
        # many graphs are about one thing only: so more of them are right, or wrong by a hair
        self.about = self.random.choice(["one block", "blocks", "messages", "everything"])
        self.lends = self.random.random() < 0.5
        if self.lends:
            self.memory.append(Reg(12, Vector(U8), "x"))
        start = [Instr("const", self.size, (), 8), Instr("const", self.bool, (), 1)]
        start += [Instr("new", v, (self.size,)) for v in self.memory[: self.random.randint(0, 1 + (self.about != "one block"))]
                  if v.number < 12]  # fmt: skip
        blocks = [Block("start", [*start, Instr("br", extra=self.labels[0])])]
        blocks += [Block(label, self.straight() + [self.end()]) for label in self.labels]
        lent = self.memory[2:]
        self.function = Function("f", [self.channel, self.number, *lent], U64, blocks, borrowed=frozenset({2} if lent else ()))
        self.module = Module("p", {"p": self.caller(), "f": self.function, **helpers()}, "p", {"Talk": TALK})

    def caller(self) -> Function:
        """Return the entry, which calls the function and lends it a block."""
        ch, n, x = Reg(0, Endpoint("Talk", "Imp"), "ch"), Reg(1, U64, "n"), Reg(2, Vector(U8), "x")
        made, gone = ([Instr("new", x, (n,))], [Instr("free", None, (x,))]) if self.lends else ([], [])
        call = Instr("call", n, (ch, n, x)[: 2 + self.lends], "f")
        return Function("p", [ch, n], U64, [Block("start", [*made, call, *gone, Instr("ret", None, (n,))])])

    def straight(self) -> list[Instr]:
        """Return what a block does before its end."""
        (v, w), ch, n = self.random.sample(self.memory, 2), self.channel, self.number
        if self.about == "one block":
            v = w = self.random.choice([self.memory[0], self.memory[-1]])
        calls = [Instr("call", n, (v, n), "look"), Instr("call", None, (v,), "take"), Instr("call", v, (self.size,), "pair", more=(n,)),
                 Instr("call", n, (v, n), "look")]  # fmt: skip
        if v is not w:
            calls.append(Instr("call", v, (v, self.random.choice([v, w])), "both", more=(w,)))
        blocks = [*calls, Instr("new", v, (self.size,)), Instr("free", None, (v,)), Instr("free", None, (v,)), Instr("len", n, (v,)),
                  Instr("mov", v, (w,))]  # fmt: skip
        messages = [Instr("send", None, (ch, n), "Ask"), Instr("send", None, (ch, n), "Ask"), Instr("close", None, (ch,))]
        choice = {"messages": messages, "everything": [*blocks, *messages, Instr("send", None, (ch, v), "Give")]}.get(self.about, blocks)
        return [copy.copy(i) for i in self.random.sample(choice, self.random.choice([0, 0, 1, 1, 2]))]

    def end(self) -> Instr:
        """Return the end of a block."""
        choice = self.random.random()
        one, other, third, fourth = self.random.choices(self.labels, k=4)
        if choice < 0.2:
            return Instr("ret", None, (self.number,))
        if choice < 0.3:
            return Instr("br", extra=one)
        if choice < 0.75 or "block" in self.about:
            return Instr("cbr", None, (self.bool,), (one, other))
        arms = {"Answer": ((self.number,), one), "Stop": ((), other), "Back": ((self.random.choice(self.memory),), third)}
        kept = {name: arm for name, arm in arms.items() if self.random.random() < 0.9}
        return Instr("receive", None, (self.channel,), Receive(kept, self.random.choice([None, fourth])))

    def wrong_paths(self) -> bool:
        """Return whether some path misuses something, or two that meet disagree on who owns a block."""
        # a state: who owns v, who owns w (True, GONE or None before), and the endpoint's state
        start = ("start", None, None, *([LENT] if self.lends else []), 0)
        seen, todo = {start}, [start]
        while todo:
            label, *owns, state = todo.pop()
            block = next(b for b in self.function.blocks if b.label == label)
            ways = self.follow(block, owns, state)
            if ways is None:
                return True
            todo += [w for w in ways if w not in seen]
            seen.update(ways)
        entered = {}
        for label, *owns, _ in seen:
            entered.setdefault(label, set()).add(tuple(own is True for own in owns))
        return any(len(owners) > 1 for owners in entered.values())

    def follow(self, block: Block, owns: list, state: int):
        """Return the states after a block, or None where it misuses something."""
        owns = list(owns)
        for instr in block.instrs[:-1]:
            used = [self.memory.index(r) for r in instr.args if r in self.memory]
            if any(owns[i] not in (True, LENT) for i in used):
                return None
            takes = [i for i in used if instr.op in ("free", "send")] if instr.op != "call" else TAKES[instr.extra](used)
            if any(owns[i] is LENT for i in takes) or len(set(takes)) < len(takes) or (instr.extra == "both" and used[0] == used[1]):
                return None
            moved = owns[used[0]] if instr.op == "mov" else True
            if instr.op == "close":
                if state == CLOSED:
                    return None
                state = CLOSED
            if instr.op == "send":
                step = TALK.transitions[state] if state >= 0 else {}
                if instr.extra not in step or TALK.messages[instr.extra].sender != "Imp":
                    return None
                state = step[instr.extra]
            for i in used if instr.op == "mov" else takes:
                owns[i] = GONE
            for i in [self.memory.index(reg) for reg in instr.results if reg in self.memory]:
                if owns[i] is True:
                    return None
                owns[i] = moved
        last = block.instrs[-1]
        if last.op == "ret":
            return None if True in owns else []
        if last.op != "receive":
            return [(label, *owns, state) for label in sil.successors(last)]
        if state < 0 or TALK.turn(state) == "Imp" or (TALK.turn(state) is None and last.extra.closed is None):
            return None
        ways = [] if last.extra.closed is None else [(last.extra.closed, *owns, PEER_CLOSED)]
        for name, target in TALK.transitions[state].items():
            if name not in last.extra.arms:
                return None
            regs, label = last.extra.arms[name]
            after = list(owns)
            for reg in regs:
                if reg in self.memory:
                    if after[self.memory.index(reg)] is True:
                        return None
                    after[self.memory.index(reg)] = True
            ways.append((label, *after, target))
        return ways


@settings(max_examples=3000, deadline=None, derandomize=True)
@given(st.integers(0, 10**9))
def test_the_verdict_is_that_of_following_every_path(seed):
    graph = Graph(seed)
    report = verify(graph.module, collect=True)
    assert report.accepted == (not graph.wrong_paths()), f"{format_module(graph.module)}\n{report}"


# ---- random changes ------------------------------------------------------------------------------------------------

WILD = "the changes are so wild that nothing is left to run"


@pytest.mark.parametrize(("isolation", "seeds"), [("sip", range(1000)), ("ring3", range(1000, 2000))])
def test_what_is_accepted_after_random_changes_harms_nobody(isolation, seeds):
    accepted = sum(harmless(seed, isolation) for seed in seeds)
    assert accepted > 60, WILD


@pytest.mark.parametrize(("isolation", "seeds"), [("sip", range(400)), ("ring3", range(400, 700))])
def test_what_is_accepted_with_exceptions_changed_harms_nobody(isolation, seeds):
    accepted = sum(harmless(seed, isolation, text=EXCEPTIONAL) for seed in seeds)
    assert accepted > 20, WILD


@pytest.mark.parametrize(("isolation", "seeds"), [("sip", range(400)), ("ring3", range(400, 700))])
def test_what_is_accepted_with_structs_and_lent_blocks_changed_harms_nobody(isolation, seeds):
    accepted = sum(harmless(seed, isolation, text=RICH) for seed in seeds)
    assert accepted > 20, WILD


@pytest.mark.parametrize(("isolation", "seeds", "optimiser"), [("sip", range(600), True), ("sip", range(600, 1000), False), ("ring3", range(1000, 1300), True)])
def test_what_is_accepted_of_objects_harms_nobody(isolation, seeds, optimiser):
    accepted = sum(harmless(seed, isolation, optimiser, OBJECTS) for seed in seeds)
    assert accepted > len(seeds) // 20, WILD


NEW = {"endpoints that come and go": PASSING, "sets": SETS, "threads": THREADS, "classes of many layouts": LAYOUTS}


@pytest.mark.parametrize(("isolation", "seeds", "optimiser"), [("sip", range(250), True), ("sip", range(250, 350), False), ("ring3", range(350, 450), True)])
@pytest.mark.parametrize("about", NEW)
def test_what_is_accepted_of_the_rest_harms_nobody(about, isolation, seeds, optimiser):
    accepted = sum(harmless(seed, isolation, optimiser, NEW[about]) for seed in seeds)
    assert accepted > len(seeds) // 20, WILD


@pytest.mark.parametrize(("isolation", "seeds", "optimiser"), [("sip", range(60), True), ("sip", range(60, 90), False), ("ring3", range(90, 130), True)])
@pytest.mark.parametrize("about", SYSTEM)
def test_what_is_accepted_about_the_system_harms_nobody(about, isolation, seeds, optimiser):
    accepted = sum(harmless(seed, isolation, optimiser, SYSTEM[about]) for seed in seeds)
    assert accepted > len(seeds) // 20, WILD


@pytest.mark.parametrize("about", SYSTEM)
def test_raw_instructions_are_always_refused(about):
    """Wherever one is put into a good program: a verifier that follows no path to it refuses it too."""
    for seed in range(40):
        chance = Chance(seed, SYSTEM[about])
        chance.raw()
        report = verify(chance.subject.module, collect=True)
        assert [f.rule for f in report.findings] == ["privileged"], f"seed {seed}\n{format_module(chance.subject.module)}\n{report}"


@pytest.mark.parametrize(("text", "ops"), [
    (REGIONS, {"split", "truncate", "share", "free", "store", "send"}),
    (HANDLES, {"new_event", "new_mutex", "event_set", "event_reset", "mutex_release", "handle_close", "wait", "sleep", "open_io", "io_read",
               "io_write", "open_interrupt", "interrupt_ack"}),
    (NAMES, {"name_register", "name_connect", "principal", "peer_principal", "principal_is"}),
    (CHILDREN, {"create", "give", "child", "ask_child"}),
    (MEMORY, {"open_dma", "dma_address", "io_read", "io_write", "wait", "attempt_op"}),
    (TRIALS, {"attempt_op", "split", "free", "store"}),
    (ATTEMPTS, {"attempt_vcall", "attempt_spawn", "vcall", "raise"}),
    (PASSING, {"select", "new_channel", "send", "close", "mov"}),
    (SETS, {"select", "set_new", "set_add", "set_size", "set_close"}),
    (THREADS, {"spawn", "join", "set_add", "close"}),
])  # fmt: skip
def test_changes_of_each_kind_are_accepted_and_refused(text, ops):
    """Of each instruction of a family some changed one is accepted and some is refused."""
    good = instructions(subject(text).module)
    found = {True: set(), False: set()}
    for seed in range(1000):
        module = changed(seed, text).subject.module
        now = instructions(module)
        found[verify(module, collect=True).accepted] |= {op for op in {*good, *now} if good.get(op) != now.get(op)}
        if all(seen >= ops for seen in found.values()):
            return
    raise AssertionError({verdict: ops - seen for verdict, seen in found.items()})


def instructions(module: Module) -> dict[str, list]:
    """Return where each operation of a module stands, with its operands as text."""
    where: dict[str, list] = {}
    for function in module.functions.values():
        for block in function.blocks:
            for place, instr in enumerate(block.instrs):
                ways = [*instr.extra.arms.items(), instr.extra.closed] if isinstance(instr.extra, Arms) else instr.extra
                where.setdefault(instr.op, []).append((function.name, block.label, place, repr((instr.dest, instr.args, ways))))
    return where


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_twenty_thousand_programs_with_structs_and_lent_blocks_changed_harm_nobody(part):
    assert sum(harmless(seed, "sip", text=RICH) for seed in range(5_000 * (part + 1), 5_000 * (part + 2))) > 300


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
def test_ten_thousand_programs_with_exceptions_changed_harm_nobody(part):
    assert sum(harmless(seed, "sip", text=EXCEPTIONAL) for seed in range(5_000 * (part + 1), 5_000 * (part + 2))) > 300


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
def test_fifty_thousand_changed_programs_with_objects_harm_nobody(part):
    accepted = sum(harmless(seed, "sip", text=OBJECTS) for seed in range(10_000 * (part + 1), 10_000 * (part + 2)))
    assert accepted > 500


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("about", NEW)
def test_forty_thousand_changed_programs_of_the_rest_harm_nobody(about, part):
    accepted = sum(harmless(seed, "sip", text=NEW[about]) for seed in range(2_500 * (part + 1), 2_500 * (part + 2)))
    assert accepted > 150


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_a_hundred_thousand_changed_programs_harm_nobody(part):
    accepted = sum(harmless(seed, "sip") for seed in range(10_000 * (part + 1), 10_000 * (part + 2)))
    assert accepted > 600


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("about", SYSTEM)
def test_fifty_thousand_changed_programs_about_the_system_harm_nobody(about, part):
    accepted = sum(harmless(seed, "sip", seed % 2 == 0, SYSTEM[about]) for seed in range(2_500 * (part + 1), 2_500 * (part + 2)))
    assert accepted > 250
