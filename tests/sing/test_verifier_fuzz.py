"""The verifier against chance: random graphs checked by following every path, random changes of a good module run.

The first part decides by brute force whether any path through a graph misuses a block or an endpoint,
and wants the verifier's verdict to be the same. The second changes a good module at random; what the
verifier still accepts must run without touching anything that is not its own: each access is looked at (``guard.py``).
"""

from __future__ import annotations

import copy
import random

import pytest
from guard import run_guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants import EXCEPTIONAL, OBJECTS, RICH, SUBJECT, Subject
from running import image

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.machine.jit import DISABLED
from singlab.sing import SipError, contract, format_module, sil, sil_types, verify
from singlab.sing.build import seal_module
from singlab.sing.sil import Attempt, Block, Function, Instr, Module, Receive, Reg
from singlab.sing.types import BOOL, I32, STR, U8, U64, Array, Endpoint, Object, Reference, Tuple, Vector
from singlab.sing.verifier import FunctionFlow

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


class Chance:
    """Changes a module at random, one instruction at a time."""

    def __init__(self, seed: int, text: str = SUBJECT):
        self.random = random.Random(seed)
        self.subject = Subject(text)
        structs = list(self.subject.module.structs.values())
        self.types = [U8, U64, I32, BOOL, Vector(U8), Vector(U64), Endpoint(next(iter(self.subject.module.contracts)), "Imp"),
                      *structs, *map(Vector, structs)]  # fmt: skip
        self.ops = [*sil.ARITHMETIC, *sil.COMPARISONS, "mov", "load", "len", "free", "neg", "cast", "new", "new_struct", "load_field", "load_item"]
        if text is OBJECTS:
            node, leaf = Object(cls="Node"), Object(cls="Leaf")
            self.types = [U8, U64, STR, node, leaf, node.perhaps, leaf.perhaps, Array(element=U8), Array(element=U64), Array(element=node)]
            self.ops = ["mov", "load", "len", "new", "newobj", "newarr", "getf", "putf", "none", "some", "as", "text", "eq", "cast"]

    def somewhere(self) -> tuple[Function, Block, int]:
        function = self.random.choice([f for n, f in self.subject.module.functions.items()])
        block = self.random.choice([b for b in function.blocks if b.instrs])
        return function, block, self.random.randrange(len(block.instrs))

    def step(self) -> None:
        """Change one thing."""
        function, block, index = self.somewhere()
        instr = block.instrs[index]
        registers = function.registers()
        kind = self.random.randrange(16 if self.subject.module.structs else 12)
        if self.subject.module.classes and self.random.random() < 0.4:
            self.about_classes(instr)
        elif kind == 0 and len(block.instrs) > 1:
            del block.instrs[index]
        elif kind == 1:
            block.instrs.insert(index, copy.copy(instr))
        elif kind == 2:
            other = self.random.randrange(len(block.instrs))
            block.instrs[index], block.instrs[other] = block.instrs[other], block.instrs[index]
        elif kind == 3 and instr.args:
            at_ = self.random.randrange(len(instr.args))
            same = [r for r in registers if r.type == instr.args[at_].type] if self.random.random() < 0.8 else registers
            instr.args = (*instr.args[:at_], self.random.choice(same), *instr.args[at_ + 1 :])
        elif kind == 4 and instr.dest is not None:
            same = [r for r in registers if r.type == instr.dest.type] if self.random.random() < 0.8 else registers
            instr.dest = self.random.choice(same)
        elif kind == 5:
            instr.op = self.random.choice(self.ops)
        elif kind == 6 and instr.op in ("br", "cbr"):
            labels = [b.label for b in function.blocks]
            instr.extra = self.random.choice(labels) if instr.op == "br" else tuple(self.random.choices(labels, k=2))
        elif kind == 7 and instr.op == "const":
            instr.extra = self.random.choice([0, 1, 255, 1 << 31, (1 << 64) - 1, self.random.randrange(1 << 64)])
        elif kind == 8:
            self.random.choice(registers).type = self.random.choice(self.types)
        elif kind == 9:
            other_block = self.random.choice(function.blocks)
            other_block.instrs.insert(self.random.randrange(len(other_block.instrs)), copy.copy(instr))
        elif kind == 10 or instr.op == "receive":
            function, instr = self.random.choice([(f, i) for f in self.subject.module.functions.values() for b in f.blocks for i in b.instrs
                                                  if i.op == "receive"])  # fmt: skip
            registers = function.registers()
            labels = [b.label for b in function.blocks]
            arms = dict(instr.extra.arms)
            name = self.random.choice(sorted(arms))
            same = [r for r in registers if r.type == arms[name][0][0].type]
            arms[name] = ((self.random.choice(same),), self.random.choice([arms[name][1], *labels]))
            instr.extra = Receive(arms, self.random.choice([instr.extra.closed, None, *labels]))
        elif kind == 12:
            block.instrs.insert(index, Instr("free", None, (self.random.choice([r for r in registers if r.type.block] or registers),)))
        elif kind == 13:
            block_params = [i for i, p in enumerate(function.params) if p.type.block]
            if block_params:
                function.borrowed ^= {self.random.choice(block_params)}
        elif kind == 14:
            fields = [i for b in function.blocks for i in b.instrs if i.op in ("load_field", "store_field", "load_item", "store_item")]
            if fields:
                self.random.choice(fields).extra = self.random.choice(["length", "kind", "ok", "shift"])
        elif kind == 15:
            several = [i for b in function.blocks for i in b.instrs if i.more]
            if several:
                call = self.random.choice(several)
                call.more = tuple(self.random.choice([r for r in registers if r.type == reg.type]) for reg in call.more)
        else:
            rest = function.blocks[1:]
            self.random.shuffle(rest)
            function.blocks[1:] = rest

    def exceptional_step(self) -> None:
        """Change a way an exception takes."""
        function, block, _ = self.somewhere()
        registers = function.registers()
        labels = [b.label for b in function.blocks]
        kind = self.random.randrange(5)
        arms = [(i, b) for b in function.blocks for i in b.instrs if isinstance(i.extra, Attempt)]
        if kind == 0:
            function.raises = not function.raises
        elif kind == 1:
            numbers = [r for r in registers if r.type == U64] or registers
            block.instrs[-1] = Instr("raise", None, (self.random.choice(numbers),))
        elif kind == 2 and arms:
            instr, home = self.random.choice(arms)
            if instr.op == "attempt":  # called as if it did not raise
                regs, label = instr.extra.arms["returned"]
                home.instrs[-1:] = [Instr("call", regs[0] if regs else None, instr.args, instr.extra.function), Instr("br", extra=label)]
        elif arms:
            instr, _ = self.random.choice(arms)
            name = self.random.choice(["returned", "raised"])
            regs, label = instr.extra.arms[name]
            if kind == 3:
                label = self.random.choice(labels)
            elif regs:
                same = [r for r in registers if r.type == regs[0].type] if self.random.random() < 0.8 else registers
                regs = (self.random.choice(same),)
            instr.extra = Attempt({**instr.extra.arms, name: (regs, label)}, None, instr.extra.function)

    def about_classes(self, instr: Instr) -> None:
        """Change a class, or which field, method or class an instruction names."""
        classes = self.subject.module.classes
        one = self.random.choice(sorted(classes))
        kind = self.random.randrange(6)
        if self.random.random() < 0.6:
            self.another_reference()
        elif kind == 0:
            classes[one].fields[self.random.choice(sorted(classes[one].fields))] = self.random.choice(self.types)
        elif kind == 1:
            classes[one].methods["weight"] = self.random.choice(sorted(self.subject.module.functions))
        elif kind == 2:
            classes[one].parent = self.random.choice([None, *sorted(classes)])
        elif kind == 3:
            items = list(classes[one].fields.items())
            self.random.shuffle(items)
            classes[one].fields = dict(items)
        elif instr.op in ("getf", "putf"):
            instr.extra = self.random.choice(["value", "next", "small", "cells", "name"])
        elif instr.op == "isinst":
            instr.extra = one

    def another_reference(self) -> None:
        """Let an instruction use another reference, of whatever type."""
        function = self.random.choice(list(self.subject.module.functions.values()))
        instrs = [i for b in function.blocks for i in b.instrs if any(isinstance(r.type, Reference) for r in i.args)]
        known = [r for r in function.registers() if isinstance(r.type, Reference)]
        if instrs:
            instr = self.random.choice(instrs)
            place = self.random.choice([k for k, r in enumerate(instr.args) if isinstance(r.type, Reference)])
            instr.args = (*instr.args[:place], self.random.choice(known), *instr.args[place + 1 :])


def run_among_others(module: Module, isolation: str, text: str, optimiser: bool, source: str = SUBJECT) -> None:
    """Run a module, with its server from a source, beside a good pair; nothing but its own state may show that it ran."""
    system = System(isolation=isolation, ram="4M", quantum_us=20)
    good, good_server = system.create(image(SUBJECT), n=5), system.create(image(SUBJECT, "server"))
    system.connect(good["ch"], good_server["ch"])
    module.name = "mutant"  # two programs of one name cannot both be installed
    peer = image(source.replace("def server(", "def other_server("), "rich_server" if source == RICH else "other_server")
    mutant, server = system.create(seal_module(module, verified=True, optimiser=optimiser), n=7), system.create(peer)
    system.connect(mutant["ch"], server["ch"])
    kernel_text = system.machine.read(at.TEXT_BASE, 0x1_0000)
    code = {p.number: system.machine.read(p._field(at.P_CODE), p._field(at.P_CODE_BYTES)) for p in system.processes}
    places = {p.number: p._field(at.P_CODE) for p in system.processes}
    if isolation == "sip":  # where nothing in the hardware would stop it, each of its accesses is looked at
        run_guarded(system, mutant, cycles=1_500_000)
    else:
        system.run(cycles=1_500_000)
    assert good.exit_value == 20 and good_server.end.state == "exit", text
    assert server.fault is None, text
    # what the verifier proves: no stray access, no foreign block, no message out of turn, no stack overflow
    assert mutant.fault is None or mutant.fault.code in (1, 2, 3, 5, 11, 20, 21, 22) or (
        mutant._field(at.P_FAULT_PC) == 0 and mutant.fault.code not in (4, 6)), f"{mutant.fault}\n{text}"  # fmt: skip
    assert system.machine.read(at.TEXT_BASE, 0x1_0000) == kernel_text
    assert system.machine.read(places[mutant.number], len(code[mutant.number])) == code[mutant.number]
    for process in system.processes:
        if process.state == "stopped":
            assert set(process.holdings().values()) == {0}


def harmless(seed: int, isolation: str, optimiser: bool = True, text: str = SUBJECT) -> bool:
    """Change a module as a seed says and run it if the verifier accepts it; returns whether it ran."""
    chance = Chance(seed, text)
    for _ in range(chance.random.randint(1, 3)):
        if text == EXCEPTIONAL and chance.random.random() < 0.3:
            chance.exceptional_step()
        else:
            chance.step()
    try:
        verify(chance.subject.module)
    except SipError as error:
        assert error.rule and error.message
        return False
    run_among_others(chance.subject.module, isolation, f"seed {seed}\n{format_module(chance.subject.module)}", optimiser,
                     chance.subject.text)  # fmt: skip
    return True


@pytest.mark.parametrize(("isolation", "seeds"), [("sip", range(1000)), ("ring3", range(1000, 2000))])
def test_what_is_accepted_after_random_changes_harms_nobody(isolation, seeds):
    accepted = sum(harmless(seed, isolation) for seed in seeds)
    assert accepted > 60, "the changes are so wild that nothing is left to run"


@pytest.mark.parametrize(("isolation", "seeds"), [("sip", range(400)), ("ring3", range(400, 700))])
def test_what_is_accepted_with_exceptions_changed_harms_nobody(isolation, seeds):
    accepted = sum(harmless(seed, isolation, text=EXCEPTIONAL) for seed in seeds)
    assert accepted > 20, "the changes are so wild that nothing is left to run"


@pytest.mark.parametrize(("isolation", "seeds"), [("sip", range(400)), ("ring3", range(400, 700))])
def test_what_is_accepted_with_structs_and_lent_blocks_changed_harms_nobody(isolation, seeds):
    accepted = sum(harmless(seed, isolation, text=RICH) for seed in seeds)
    assert accepted > 20, "the changes are so wild that nothing is left to run"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_twenty_thousand_programs_with_structs_and_lent_blocks_changed_harm_nobody(part):
    assert sum(harmless(seed, "sip", text=RICH) for seed in range(5_000 * (part + 1), 5_000 * (part + 2))) > 300


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
def test_ten_thousand_programs_with_exceptions_changed_harm_nobody(part):
    assert sum(harmless(seed, "sip", text=EXCEPTIONAL) for seed in range(5_000 * (part + 1), 5_000 * (part + 2))) > 300


@pytest.mark.parametrize(("isolation", "seeds", "optimiser"), [("sip", range(600), True), ("sip", range(600, 1000), False), ("ring3", range(1000, 1300), True)])
def test_what_is_accepted_of_objects_harms_nobody(isolation, seeds, optimiser):
    accepted = sum(harmless(seed, isolation, optimiser, OBJECTS) for seed in seeds)
    assert accepted > len(seeds) // 20, "the changes are so wild that nothing is left to run"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
def test_fifty_thousand_changed_programs_with_objects_harm_nobody(part):
    accepted = sum(harmless(seed, "sip", text=OBJECTS) for seed in range(10_000 * (part + 1), 10_000 * (part + 2)))
    assert accepted > 500


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_a_hundred_thousand_changed_programs_harm_nobody(part):
    accepted = sum(harmless(seed, "sip") for seed in range(10_000 * (part + 1), 10_000 * (part + 2)))
    assert accepted > 600


# ---- the fuzz can fail: a rule that is switched off is missed ---------------------------------------------------------


def silent(*rules: str):
    """Return the verifier's way to report, deaf to some rules."""
    report = FunctionFlow.error

    def error(self, rule: str, *rest) -> None:
        if rule not in rules:
            report(self, rule, *rest)

    return FunctionFlow, "error", error


WEAKENED = {
    "a vector may be used after it has gone": silent("owner.use-after-free", "owner.use-after-send", "owner.use-after-move"),
    "a register may be used before it has a value": silent("init"),
    "a borrowed block may be given away": silent("owner.borrow"),
    "messages may be sent in any state": silent("contract.send"),
    "operands may have any type": (sil_types, "_type", lambda *_: None),
}


WEAKENED_OBJECTS = {
    "None is an object": (sil_types, "_certain", lambda *_: None),
    "operands may have any type": (sil_types, "_type", lambda *_: None),
    "a method may stand for any other": (sil_types, "_methods", lambda *_: None),
}


@pytest.mark.skipif(DISABLED, reason="many programs run: too slow uncompiled")
@pytest.mark.parametrize("rule", WEAKENED_OBJECTS)
def test_a_verifier_weak_on_objects_is_found_out(rule, monkeypatch):
    monkeypatch.setattr(*WEAKENED_OBJECTS[rule])
    for seed in range(1500):
        try:
            harmless(seed, "sip", optimiser=False, text=OBJECTS)
        except AssertionError:
            return
        except (AttributeError, KeyError, TypeError, IndexError, ValueError, SipError):
            continue  # what was let through makes no code at all
    raise AssertionError("1500 programs, and none did harm")


@pytest.mark.skipif(DISABLED, reason="many programs run: too slow uncompiled")
@pytest.mark.parametrize("rule", WEAKENED)
def test_a_weakened_verifier_is_found_out(rule, monkeypatch):
    monkeypatch.setattr(*WEAKENED[rule])
    for seed in range(2000):
        try:
            harmless(seed, "sip", False, (SUBJECT, RICH)[seed % 2])
        except AssertionError:
            return
        except (AttributeError, KeyError, TypeError, IndexError, SipError):
            continue  # what was let through makes no code at all
    raise AssertionError("2000 programs, and none did harm")
