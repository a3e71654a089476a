"""Contracts that extend others: what they have, where their bases come from, and what they are told."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from running import marked
from test_contract_slots import texts

from singlab.kernel import System
from singlab.sing import SipError, build, contract, format_module, parse_contracts, parse_sil, programs_from_source
from singlab.sing.frontend import compile_program
from singlab.sing.magic import load_ipython_extension

DEVICE = """
contract Device {
    in  message GetInfo();
    out message Info(uint kind);
    in  message Shutdown();
    out message Ack();

    state Start: one { GetInfo? -> Info! -> Start; Shutdown? -> Ack! -> Done; }
    state Done: ;
}
"""
DISK = """
contract Disk : Device {
    in  message Read(ulong sector);
    in  message Late();
    out message Data(ulong word);
    out message Failed(int why);

    state Start: Read? -> (Data! or Failed!) -> Start;
    state Done: Late? -> Failed! -> Done;
}
"""


def test_a_derived_contract_has_all_of_its_base_and_its_own():
    both = parse_contracts(DEVICE + DISK)
    device, disk = both["Device"], both["Disk"]
    assert disk.base is device and disk.lineage == [device, disk] and device.base is None
    named = {disk.states[s]: {m: disk.states[t] for m, t in step.items()} for s, step in enumerate(disk.transitions)}
    assert named == {
        "Start": {"GetInfo": "Start.1", "Shutdown": "Start.2", "Read": "Start.3"},
        "Start.1": {"Info": "Start"},
        "Start.2": {"Ack": "Done"},
        "Start.3": {"Data": "Start", "Failed": "Start"},
        "Done": {"Late": "Done.1"},
        "Done.1": {"Failed": "Done"},
    }
    assert list(disk.messages)[: len(device.messages)] == list(device.messages)
    assert disk.states[: len(device.states)] == device.states, "states keep their numbers"
    assert {m.contract for m in disk.messages.values()} == {"Disk"} and device.GetInfo.contract == "Device"
    assert device.transitions[device.states.index("Done")] == {}, "the base is not touched"


def test_slots_are_computed_on_the_whole():
    text = """
    contract B { in message A(); in message D(); out message X(); state S: A? -> T; state T: D? -> X! -> S; }
    contract E : B { in message Again(); state T: Again? -> A? -> X! -> S; }
    """
    both = parse_contracts(text)
    assert both["B"].slots == {"Imp": 1, "Exp": 2} and both["E"].slots == {"Imp": 1, "Exp": 3}
    assert both["B"].copies["A"] == 1 and both["E"].copies == {"A": 2, "D": 1, "X": 1, "Again": 1}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(texts(), texts())
def test_whatever_the_base_allows_is_allowed(one, other):
    """States and messages keep their names and numbers, and no step of the base is lost or changed."""
    other = other.replace("contract C", "contract D : C", 1).replace("message ", "message N")
    for name in "ABCXYZ":
        other = other.replace(f" {name}?", f" N{name}?").replace(f" {name}!", f" N{name}!").replace(f"({name}", f"(N{name}")
    try:
        base = contract(one)
        derived = contract(other, known={"C": base})
    except SipError as error:
        assert error.rule in ("contract.finite", "contract.turn"), str(error)
        return
    assert derived.states[: len(base.states)] == base.states
    assert list(derived.messages)[: len(base.messages)] == list(base.messages)
    for before, after in zip(base.transitions, derived.transitions, strict=False):
        assert before.items() <= after.items()
    assert all(derived.slots[side] >= base.slots[side] for side in ("Imp", "Exp"))


# Each text has a mark ^ where the refusal has to point; the base is DEVICE.
REFUSED = {
    "base unknown": ("contract.base", "contract Disk : ^Devise { }"),
    "itself": ("contract.base", "contract Disk : ^Disk { state S: ; }"),
    "base further down": ("contract.base", "contract Disk : ^Block { }\ncontract Block { state S: ; }"),
    "message of the base": ("contract.messages", "contract Disk : Device {\n in message ^GetInfo();\n}"),
    "sequence of the base": ("contract.deterministic", "contract Disk : Device {\n state Start: ^GetInfo? -> Info! -> Done;\n}"),
    "turn of the base": ("contract.turn", "contract Disk : Device {\n out message Ready();\n state ^Start: Ready! -> Start;\n}"),
    "cycle with the base": ("contract.finite", "contract Disk : Device {\n in message Seek();\n state ^Start: Seek? -> Start;\n}"),
    "state twice": ("contract.states", "contract Disk : Device {\n state Done: ;\n state ^Done: ;\n}"),
    "unreachable": ("contract.reachable", "contract Disk : Device {\n state ^Ready: GetInfo? -> Info! -> Ready;\n}"),
    "nothing after the colon": ("contract.syntax", "contract Disk : ^{ state S: ; }"),
    "two bases": ("contract.syntax", "contract Disk : Device^, Block { state S: ; }"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_point_into_the_derived_text(case):
    rule, text = REFUSED[case]
    text, line, column = marked(text)
    with pytest.raises(SipError) as caught:
        parse_contracts(text, "somewhere", known=parse_contracts(DEVICE))
    error = caught.value
    assert (error.rule, error.line, error.column) == (rule, line, column), str(error)
    assert error.hint and error.source_line == text.splitlines()[line - 1].rstrip()


def test_an_extension_may_add_nothing():
    both = parse_contracts(DEVICE + "contract Plain : Device { }")
    assert both["Plain"].transitions == both["Device"].transitions


def test_three_generations():
    known = parse_contracts(DEVICE + DISK)
    fast = contract("contract Fast : Disk { in message Trim(); state Start: Trim? -> Ack! -> Start; }", known=known)
    assert [c.name for c in fast.lineage] == ["Device", "Disk", "Fast"]
    assert fast.copies["Ack"] == 1 and "Trim" in fast.transitions[0]


def test_bases_are_found_among_the_variables_where_it_is_called():
    Device = contract(DEVICE)
    assert contract(DISK).base is Device
    Renamed = Device
    del Device
    assert contract(DISK).base is Renamed, "by the contract's own name too"


def test_the_notebook_magic_finds_contracts_of_earlier_cells():
    magics, names = {}, {}
    shell = SimpleNamespace(
        register_magic_function=lambda f, kind, name: magics.update({(kind, name): f}), push=names.update, user_ns=names
    )
    load_ipython_extension(shell)
    magics["cell", "contract"]("", DEVICE)
    magics["cell", "contract"]("", DISK)
    assert names["Disk"].base is names["Device"]


PROGRAM = f'''
Device = contract("""{DEVICE}""")
Disk = contract("""{DISK}""")

@sip
def disk(ch: Disk.Exp) -> u64:
    reads: u64 = 0
    while True:
        match ch.receive():
            case Device.GetInfo():
                ch.send(Disk.Info(7))
            case Disk.Read(sector):
                reads += 1
                if sector < 100:
                    ch.send(Disk.Data(sector * 3))
                else:
                    ch.send(Disk.Failed(-1))
            case Disk.Shutdown():
                ch.send(Device.Ack())
            case Disk.Late():
                ch.send(Disk.Failed(-2))
            case ChannelClosed():
                return reads

@sip
def user(ch: Disk.Imp) -> u64:
    ch.send(Device.GetInfo())
    total: u64 = u64(ch.receive(Device.Info))
    ch.send(Disk.Read(5))
    match ch.receive():
        case Disk.Data(word):
            total += word
        case Disk.Failed(why):
            total = 0
        case ChannelClosed():
            return 0
    ch.send(Device.Shutdown())
    ch.receive(Device.Ack)
    ch.send(Disk.Late())
    match ch.receive():
        case Disk.Failed(why):
            total += 1000
        case ChannelClosed():
            return 0
    return total
'''


@pytest.mark.parametrize("isolation", ["sip", "ring3"])
def test_both_sides_of_a_derived_contract_run(isolation):
    unit = programs_from_source(PROGRAM)
    system = System(isolation=isolation)
    user, disk = (system.create(build(unit.programs[name])) for name in ("user", "disk"))
    system.connect(user["ch"], disk["ch"])
    assert system.run().outcome == "finished"
    assert (user.exit_value, disk.exit_value) == (7 + 15 + 1000, 1)


def test_a_message_of_another_contract_is_still_refused():
    other = PROGRAM.replace('@sip\ndef user', 'Other = contract("contract Other { in message GetInfo(); state S: GetInfo? -> T; state T: ; }")\n@sip\ndef user', 1)
    with pytest.raises(SipError, match="speaks contract Disk, not Other"):
        compile_program(programs_from_source(other.replace("ch.send(Device.GetInfo())", "ch.send(Other.GetInfo())")).programs["user"])


def test_sil_text_carries_the_base():
    module = compile_program(programs_from_source(PROGRAM).programs["disk"])
    text = format_module(module)
    again = parse_sil(text)
    assert again.contracts["Disk"].describe() == module.contracts["Disk"].describe()
    assert again.contracts["Disk"].base.name == "Device" and format_module(again) == text


def test_every_truncation_is_refused_in_its_place():
    text = DEVICE + DISK
    end = text.rindex("}")
    for length in range(text.index("contract Disk") + 1, end, 3):
        with pytest.raises(SipError) as caught:
            parse_contracts(text[:length])
        assert caught.value.line and caught.value.hint
