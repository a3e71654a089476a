"""Hand-made, unverified code against the kernel: whatever it asks, nobody else's state changes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import IMP, expected_total, hand_made, images, talk

from singlab.kernel import System
from singlab.kernel import layout as at

NUMBERS = st.one_of(
    st.integers(0, 2**64 - 1),
    st.integers(0, 64),
    st.integers(at.RAM_BASE, at.RAM_BASE + (16 << 20)).map(lambda a: a & ~7),
    st.integers(at.RAM_BASE, at.RAM_BASE + (16 << 20)).map(lambda a: a & ~511),
    st.sampled_from([2**63, 2**64 - 1, at.GLOBALS, at.PAGE_TAGS]),
)
CALLS = ("send", "receive", "close", "allocate", "free", "print_text", "yield", "mark")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(CALLS), st.lists(NUMBERS, min_size=6, max_size=6)), min_size=1, max_size=12),
    st.sampled_from(["sip", "ring3"]),
)
def test_hostile_arguments_change_nobody_else(calls, isolation):
    text = []
    for name, words in calls:
        text += [f"li a{i}, {word}" for i, word in enumerate(words)] + [f"abi {name}"]
    text += ["li a0, 0", "abi exit"]
    system = System(isolation=isolation, allow_unverified=True)
    client, server = talk(system, rounds=5, size=3000)
    rogue = system.create(hand_made("rogue", "\n".join(text)))
    run = system.run()
    assert run.outcome == "finished"
    assert client.exit_value == expected_total(5)
    assert server.fault is None
    assert set(rogue.holdings().values()) == {0}


@pytest.mark.parametrize("isolation", ["sip", "ring3"])
def test_an_endpoint_of_somebody_else_is_refused(isolation):
    """The rogue guesses the very handle the client uses, and gets "not the owner"."""
    system = System(isolation=isolation, allow_unverified=True)
    client, _ = talk(system, rounds=2)
    handle = client.values["ch"]
    rogue = system.create(hand_made("rogue", f"li a0, {handle}\nli a1, 0\nli a2, 7\nabi send\nabi exit"))
    system.run()
    assert rogue.exit_value == 2
    assert client.exit_value == expected_total(2)


def test_a_message_against_the_contract_is_refused_at_run_time():
    text = "mv s0, a0\nli a1, 0\nli a2, 1\nabi send\nmv a0, s0\nli a1, 0\nli a2, 2\nabi send\nabi exit"
    rogue_image = hand_made("rogue", text, [IMP], images()["client"])
    system = System(allow_unverified=True)
    rogue = system.create(rogue_image)
    server = system.create(images()["server"])
    system.connect(rogue["ch"], server["ch"])
    system.run()
    assert rogue.exit_value == 3
    assert server.fault is None


def test_without_the_check_the_slots_still_hold():
    """With contract checking off an illegal burst meets full slots, not memory that is somebody else's."""
    burst = "\n".join("mv a0, s0\nli a1, 0\nli a2, 1\nabi send" for _ in range(40))
    rogue_image = hand_made("rogue", f"mv s0, a0\n{burst}\nabi exit", [IMP], images()["client"])
    system = System(allow_unverified=True, check_contracts=False)
    rogue = system.create(rogue_image)
    server = system.create(images()["server"])
    system.connect(rogue["ch"], server["ch"])
    system.run()
    assert rogue.exit_value == 4


@pytest.mark.parametrize("isolation", ["sip", "ring3"])
@pytest.mark.parametrize(
    ("text", "code"),
    [
        (".word 0", 7),
        ("li t0, 0\nld t0, 0(t0)", 8),
        ("li t0, 0\njr t0", 8),
        ("li t0, -8\nsd t0, 0(t0)", 8),
    ],
)
def test_a_trap_ends_only_its_process(isolation, text, code):
    system = System(isolation=isolation, allow_unverified=True)
    client, _ = talk(system, rounds=2)
    rogue = system.create(hand_made("rogue", text))
    assert system.run().outcome == "finished"
    assert rogue.fault.code == code
    assert client.exit_value == expected_total(2)


def test_ring3_keeps_unverified_code_out_of_the_kernel_and_ring0_does_not():
    """Why sealing needs the verifier: in ring 0 nothing but the verifier stands in the way of this store."""
    text = f"li t0, {at.G_NEXT_CHANNEL}\nli t1, 77\nsd t1, 0(t0)\nli a0, 0\nabi exit"
    outcome = {}
    for isolation in ("sip", "ring3"):
        system = System(isolation=isolation, allow_unverified=True)
        rogue = system.create(hand_made("rogue", text))
        system.run()
        outcome[isolation] = (rogue.end.state, system.machine.load_u64(at.G_NEXT_CHANNEL))
    assert outcome == {"sip": ("exit", 77), "ring3": ("fault", 1)}


def test_ecall_with_a_number_outside_the_abi_is_a_fault():
    system = System(isolation="ring3", allow_unverified=True)
    rogue = system.create(hand_made("rogue", "li a7, 9999\necall"))
    system.run()
    assert rogue.fault.code == 10
