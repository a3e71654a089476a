"""The verifier on modules no compiler makes: each of these changes must be refused, and by nothing but a SipError."""

from __future__ import annotations

import pytest
from mutants import SUBJECT, Subject, again, change
from running import ISOLATIONS, image

from singlab.kernel import System
from singlab.sing import SipError, verify
from singlab.sing.build import seal_module
from singlab.sing.sil import Block, Function, Instr, Module, Reg
from singlab.sing.types import BOOL, I64, U8, U16, U64, Endpoint, Int, Vector

BLOCK, IMP = Vector(U8), Endpoint("Talk", "Imp")


def arm(s: Subject, name: str = "Back", regs=None, label=None) -> None:
    """Change the case of a message."""
    arms = s.at("receive").extra.arms
    old = arms["Back"]
    arms[name] = (old[0] if regs is None else regs, old[1] if label is None else label)


def over_an_owned_block(s: Subject) -> None:
    (taken,), _ = s.at("receive").extra.arms["Back"]
    s.before(s.at("receive"), Instr("new", taken, s.at("new").args))


def dropped_result(s: Subject) -> None:
    n, v = s.reg(U64), s.reg(BLOCK)
    s.start(Instr("const", n, (), 4), Instr("new", v, (n,)), Instr("new", v, (n,)), Instr("free", None, (v,)))


def in_one_message_twice(s: Subject) -> None:
    contract = s.module.contracts["Talk"]
    message = contract.messages["Give"]
    contract.messages["Give"] = type(message)("Talk", "Give", message.index, "?", message.arguments * 2)
    change(s.at("send"), args=(*s.at("send").args, s.at("send").args[1]))


def on_one_path(s: Subject) -> None:
    """The variable t has a value where the answer came, and none where the channel was closed."""
    first, _, last = [i for b in s.function().blocks for i in b.instrs if i.op == "mov" and i.dest.name == "t"]
    s.remove(first)
    s.remove(last)


OWNERSHIP = {
    "a free is deleted": ("owner.leak", lambda s: s.remove(s.at("free", 0, "total"))),
    "a free is doubled": ("owner.use-after-free", lambda s: s.after(s.at("free", 0, "total"), again(s.at("free", 0, "total")))),
    "a send is doubled": ("owner.use-after-send", lambda s: s.after(s.at("send"), again(s.at("send")))),
    "a send is deleted": ("contract.receive", lambda s: s.remove(s.at("send"))),
    "a store comes after the send": ("owner.use-after-send", lambda s: s.after(s.at("send"), again(s.at("store")))),
    "the source of a move is used": ("owner.use-after-move", lambda s: s.after(
        s.at("mov"), Instr("len", s.reg(U64), s.at("mov").args))),
    "a block is made and forgotten": ("owner.leak", lambda s: s.after(
        s.at("new"), Instr("new", s.reg(BLOCK), s.at("new").args))),
    "a block is overwritten": ("owner.leak", dropped_result),
    "an argument overwrites an owned block": (None, over_an_owned_block),
    "a block is in one message twice": ("owner.use-after-send", in_one_message_twice),
    "a call is doubled": ("owner.use-after-move", lambda s: s.after(s.at("call", -1), again(s.at("call", -1)))),
    "a helper keeps what it was given": ("owner.leak", lambda s: s.function("add").params.append(Reg(50, BLOCK, "kept"))
                                         or change(s.at("call"), args=(*s.at("call").args, s.held))),
}  # fmt: skip

TYPES = {
    "an integer stands for a block": lambda s: change(s.at("store"), args=(s.number, *s.at("store").args[1:])),
    "a block is an index": lambda s: change(s.at("store"), args=(s.held, s.held, s.at("store").args[2])),
    "a byte is an index": lambda s: change(s.at("store"), args=(s.held, s.at("store").args[2], s.at("store").args[2])),
    "a wide element is stored": lambda s: change(s.at("store"), args=(*s.at("store").args[:2], s.number)),
    "an element is loaded too wide": lambda s: change(s.at("load", 0, "total"), dest=s.reg(U16)),
    "a block becomes a number": lambda s: s.before(s.at("store"), Instr("cast", s.reg(U64), (s.held,))),
    "an endpoint becomes a number": lambda s: s.start(Instr("cast", s.reg(U64), (s.endpoint,))),
    "a number becomes a block": lambda s: s.start(Instr("cast", s.reg(BLOCK), (s.number,))),
    "a number moves to a block": lambda s: s.start(Instr("mov", s.reg(BLOCK), (s.number,))),
    "a constant is a block": lambda s: s.start(Instr("const", s.reg(BLOCK), (), 0x8000_0000)),
    "a constant is an endpoint": lambda s: s.start(Instr("const", s.reg(IMP), (), 0x8000_0000)),
    "a block gets other elements": lambda s: s.after(s.at("store"), Instr("mov", s.reg(Vector(U64)), (s.held,))),
    "an endpoint changes sides": lambda s: s.start(Instr("mov", s.reg(Endpoint("Talk", "Exp")), (s.endpoint,))),
    "blocks are added": lambda s: s.after(s.at("store"), Instr("add", s.held, (s.held, s.held))),
    "blocks are compared": lambda s: s.after(s.at("store"), Instr("eq", s.reg(BOOL), (s.held, s.held))),
    "a block's address is printed": lambda s: s.after(s.at("store"), Instr("print_int", None, (s.held,))),
    "an endpoint's address is marked": lambda s: s.start(Instr("mark", None, (s.endpoint,))),
    "an endpoint is freed": lambda s: s.start(Instr("free", None, (s.endpoint,))),
    "a number is freed": lambda s: s.start(Instr("free", None, (s.number,))),
    "a message goes to a number": lambda s: change(s.at("send"), args=(s.number, s.at("send").args[1])),
    "a number is sent for a block": lambda s: change(s.at("send"), args=(s.endpoint, s.number)),
    "another message takes the block": lambda s: change(s.at("send"), extra="Ask"),
    "a received block is a number": lambda s: arm(s, regs=(s.reg(U64),)),
    "a constant is too large": lambda s: s.start(Instr("const", s.reg(U8), (), 256)),
    "a constant is negative": lambda s: s.start(Instr("const", s.reg(U64), (), -1)),
    "a constant is no integer": lambda s: s.start(Instr("const", s.reg(U64), (), 1.5)),
    "a constant is True": lambda s: s.start(Instr("const", s.reg(U64), (), True)),
    "a branch asks a number": lambda s: change(s.at("cbr"), args=(s.number,)),
    "a sum of two widths": lambda s: change(s.at("add"), args=(s.number, s.at("store").args[2])),
    "a shift of a bool": lambda s: s.start(Instr("shl", b := s.reg(BOOL), (b, b))),
    "a result of another type": lambda s: change(s.function(), result=I64),
    "no result where one is promised": lambda s: change(s.at("ret"), args=()),
    "a call with too few arguments": lambda s: change(s.at("call"), args=s.at("call").args[:1]),
    "a call with a block for a number": lambda s: change(s.at("call"), args=(s.held, s.at("call").args[1])),
    "a call that drops the result": lambda s: change(s.at("call"), dest=None),
    "a count that is a byte": lambda s: change(s.at("new"), args=(s.reg(U8),)),
}  # fmt: skip

MEANING = {
    "a register without a value": ("init", lambda s: change(s.at("print_int"), args=(s.reg(U64),))),
    "a block without a value": ("init", lambda s: s.start(Instr("free", None, (s.held,)))),
    "a value on one path only": ("init", on_one_path),
    "memory is read": ("privileged", lambda s: s.start(Instr("raw_load64", s.reg(U64), (s.number,)))),
    "memory is written": ("privileged", lambda s: s.start(Instr("raw_store8", None, (s.number, s.number)))),
    "an unknown raw operation": ("privileged", lambda s: s.start(Instr("raw_anything"))),
    "an ABI function is called by name": ("closed-api", lambda s: s.start(Instr("call", None, (), "exit"))),
    "an ABI function is called by number": ("closed-api", lambda s: change(s.at("call"), extra=3)),
    "a function is gone": ("closed-api", lambda s: s.module.functions.pop("ask")),
    "a helper calls the SIP": ("recursion", lambda s: s.before(
        s.at("send", 0, "ask"), Instr("call", s.reg(U64), tuple(s.function("ask").params), "p"))),
    "a message the contract does not have": ("contract.send", lambda s: change(s.at("send"), extra="Take")),
    "a message of the other side": ("contract.send", lambda s: change(s.at("send"), extra="Back")),
    "a message with too few arguments": ("contract.arguments", lambda s: change(s.at("send"), args=s.at("send").args[:1])),
    "a case is missing": ("contract.exhaustive", lambda s: s.at("receive").extra.arms.pop("Back")),
    "a case of an unknown message": ("contract.receive", lambda s: arm(s, "Never")),
    "a case with too few registers": ("contract.arguments", lambda s: arm(s, regs=())),
    "the endpoint is of the other side": (None, lambda s: change(s.endpoint, type=Endpoint("Talk", "Exp"))),
    "the endpoint is of an unknown contract": (None, lambda s: change(s.endpoint, type=Endpoint("Walk", "Imp"))),
    "the endpoint is closed before": ("contract.closed", lambda s: s.start(Instr("close", None, (s.endpoint,)))),
    "the endpoint is closed twice": ("contract.closed", lambda s: s.before(
        s.at("ret"), Instr("close", None, (s.endpoint,)), Instr("close", None, (s.endpoint,)))),
}  # fmt: skip


def nine_arguments(s: Subject) -> None:
    """The ninth argument would travel in a register in which the caller keeps its block."""
    numbers = [Reg(i, U64, f"a{i}") for i in range(9)]
    s.module.functions["nine"] = Function("nine", numbers, U64, [Block("e", [Instr("ret", None, (numbers[8],))])])
    made = [s.reg(U64) for _ in range(9)]
    s.before(s.at("store"), *(Instr("const", r, (), 0x8003_0000) for r in made), Instr("call", s.reg(U64), tuple(made), "nine"))


def twins(s: Subject) -> None:
    """Two functions share a name under different keys, and the second frees its block twice."""
    v, zero = Reg(0, BLOCK, "v"), Reg(1, U64)
    body = [Instr("free", None, (v,)), Instr("free", None, (v,)), Instr("const", zero, (), 0), Instr("ret", None, (zero,))]
    s.module.functions["other"] = Function("total", [v], U64, [Block("e", body)])


def called(s: Subject, name: str) -> None:
    """Call a function whose name is a label the code generator makes for itself."""
    s.module.functions[name] = Function(name, [], None, [Block("e", [Instr("ret")])])
    s.start(Instr("call", None, (), name))


def elements(s: Subject, element) -> None:
    v, n = s.reg(Vector(element)), s.reg(U64)
    s.start(Instr("const", n, (), 4), Instr("new", v, (n,)), Instr("load", s.reg(element), (v, n)), Instr("free", None, (v,)))


SHAPE = {
    "a branch leads nowhere": lambda s: change(s.at("cbr"), extra=("nowhere", s.at("cbr").extra[1])),
    "a jump leads nowhere": lambda s: change(s.at("br"), extra="nowhere"),
    "a jump leads into another function": lambda s: change(s.at("br"), extra=s.function("total").blocks[2].label),
    "a jump leads back to the entry": lambda s: change(s.at("br"), extra=s.function().blocks[0].label),
    "a case leads nowhere": lambda s: arm(s, label="nowhere"),
    "a closed channel leads nowhere": lambda s: change(s.at("receive").extra, closed="nowhere"),
    "a block has no end": lambda s: s.remove(s.at("ret")),
    "a block has two ends": lambda s: s.before(s.at("ret"), again(s.at("ret"))),
    "a block is empty": lambda s: s.function().blocks[1].instrs.clear(),
    "two blocks have one label": lambda s: change(s.function().blocks[2], label=s.function().blocks[1].label),
    "a block is gone": lambda s: s.function().blocks.pop(),
    "a register is two things": lambda s: change(s.at("print_int"), args=(Reg(s.number.number, U8),)),
    "a register of another function": lambda s: change(s.at("print_int"), args=(s.at("add", 0, "add").dest,)),
    "an operand is a number": lambda s: change(s.at("print_int"), args=(5,)),
    "an operand is missing": lambda s: change(s.at("store"), args=s.at("store").args[:2]),
    "an operand is too many": lambda s: change(s.at("free", 0, "total"), args=s.at("free", 0, "total").args * 2),
    "a store has a result": lambda s: change(s.at("store"), dest=s.reg(U8)),
    "an operation does not exist": lambda s: change(s.at("store"), op="poke"),
    "a fault without a code": lambda s: change(s.at("ret"), op="fault", args=(), extra=0),
    "a fault with a code too large": lambda s: change(s.at("ret"), op="fault", args=(), extra=0x10000),
    "a text is a number": lambda s: change(s.at("print_text"), extra=7),
    "a text that has no bytes": lambda s: change(s.at("print_text"), extra="\ud800"),
    "an argument is taken twice": lambda s: arm(s, regs=s.at("receive").extra.arms["Back"][0] * 2),
    "a receive without cases": lambda s: change(s.at("receive"), extra=None),
    "a parameter stands twice": lambda s: change(s.function("add"), params=s.function("add").params[:1] * 2),
    "the entry does not exist": lambda s: change(s.module, entry="main"),
    "the entry takes a block": lambda s: change(s.module, entry="total"),
    "a helper has nine parameters": nine_arguments,
    "a function gives back an endpoint": lambda s: change(s.function("add"), result=IMP),
    "a function is none": lambda s: s.module.functions.update(add=None),
    "a function's name is not its key": lambda s: change(s.function("add"), name="plus"),
    "two functions have one name": twins,
    "a function is named like a text": lambda s: called(s, ".T0"),
    "a function is named like a label": lambda s: called(s, ".L1"),
    "a function is named like a block": lambda s: called(s, "p:" + s.function().blocks[1].label),
    "an integer of 24 bits": lambda s: s.start(Instr("const", s.reg(Int(24, False)), (), 0)),
    "an integer of 128 bits": lambda s: s.start(Instr("const", s.reg(Int(128, False)), (), 1 << 100)),
    "an integer of no bits": lambda s: s.start(Instr("const", s.reg(Int(0, False)), (), 0)),
    "a width that is text": lambda s: s.start(Instr("const", s.reg(Int("8", False)), (), 0)),
    "a block of bools": lambda s: elements(s, BOOL),
    "a block of 128 bits": lambda s: elements(s, Int(128, False)),
    "a block of 4 bits": lambda s: elements(s, Int(4, False)),
    "a side that is none": lambda s: s.function().params.append(Reg(900, Endpoint("Talk", "Side"), "side")),
    "a contract that is none": lambda s: s.function().params.append(Reg(900, Endpoint("Walk", "Imp"), "side")),
    "operands in a list": lambda s: change(s.at("store"), args=list(s.at("store").args)),
    "an operation that is a list": lambda s: change(s.at("store"), op=["store"]),
    "a message that is a list": lambda s: change(s.at("send"), extra=["Give"]),
    "a jump to a list": lambda s: change(s.at("br"), extra=["after"]),
    "a branch to lists": lambda s: change(s.at("cbr"), extra=(["a"], ["b"])),
    "a label that is a list": lambda s: change(s.function().blocks[1], label=["a"]),
    "a case of another shape": lambda s: s.at("receive").extra.arms.update(Back=7),
    "parameters that are none": lambda s: change(s.function("add"), params=None),
    "a position that is none": lambda s: change(s.at("store"), position=None, op="poke"),
}  # fmt: skip

MUTATIONS = {
    **OWNERSHIP, **MEANING, **{name: ("types", c) for name, c in TYPES.items()}, **{name: (None, c) for name, c in SHAPE.items()},
}  # fmt: skip


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_the_module_is_good_before_it_is_changed(isolation):
    subject = Subject()
    verify(subject.module)
    system = System(isolation=isolation, ram="2M")
    client, server = system.create(seal_module(subject.module, verified=True), n=5), system.create(image(SUBJECT, "server"))
    system.connect(client["ch"], server["ch"])
    system.run()
    assert client.exit_value == 1 + 7 + (5 + 1) + (5 + 1) and client.console == "hi 6\n"


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_change_is_refused(name):
    rule, mutate = MUTATIONS[name]
    subject = Subject()
    mutate(subject)
    with pytest.raises(SipError) as caught:
        verify(subject.module)
    error = caught.value
    assert error.rule == (rule or error.rule), str(error)
    assert error.message and error.hint
    report = verify(subject.module, collect=True)
    assert not report.accepted and error.rule in {finding.rule for finding in report.findings}


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_loop_to_the_entry_is_refused_or_runs_like_any_other(isolation):
    """The entry block also sets up the frame; going round it again must not do that again."""
    n, one, zero, more = Reg(0, U64, "n"), Reg(1, U64), Reg(2, U64), Reg(3, BOOL)
    body = [Instr("const", one, (), 1), Instr("const", zero, (), 0), Instr("sub", n, (n, one)), Instr("mark", None, (n,)),
            Instr("ne", more, (n, zero)), Instr("cbr", None, (more,), ("entry", "out"))]  # fmt: skip
    function = Function("p", [n], U64, [Block("entry", body), Block("out", [Instr("ret", None, (n,))])])
    module = Module("p", {"p": function}, "p", {})
    if not verify(module, collect=True).accepted:
        return
    system = System(isolation=isolation, ram="2M")
    process = system.create(seal_module(module, verified=True), n=5)
    assert system.run(cycles=100_000).outcome == "finished"
    assert process.exit_value == 0
