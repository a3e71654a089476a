"""Regions: blocks that share one region's data, from the language and from hand-made code, in every isolation setting."""

from __future__ import annotations

from functools import cache

import pytest
from programs import hand_made

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.isolation import SETTINGS
from singlab.trace.record import Kind

SOURCE = '''
Pipe = contract("""
contract Pipe {
    in message Head(byte[]* in ExHeap data);
    in message Body(byte[]* in ExHeap data);
    in message Look(shared byte[]* in ExHeap data);
    out message Sum(ulong n);
    state Start: one { Head? -> Sum! -> Start; Body? -> Sum! -> Start; Look? -> Sum! -> Start; }
}
""")

@function
def total(data: Borrowed[ExVec[u8]]) -> u64:
    found: u64 = 0
    for i in range(len(data)):
        found += data[i]
    return found

@sip
def server(ch: Pipe.Exp) -> u64:
    answered: u64 = 0
    while True:
        match ch.receive():
            case Pipe.Head(data):
                ch.send(Pipe.Sum(total(data)))
                free(data)
            case Pipe.Body(data):
                head, rest = split(data, 1)
                head[0] = 0
                ch.send(Pipe.Sum(total(rest)))
                free(head)
                free(rest)
            case Pipe.Look(seen):
                found: u64 = 0
                for i in range(len(seen)):
                    found += seen[i]
                ch.send(Pipe.Sum(found))
                free(seen)
            case ChannelClosed():
                return answered
        answered += 1

@sip
def client(ch: Pipe.Imp, size: u64, at: u64) -> u64:
    data = new(u8, size)
    fill(data, 1)
    head, rest = split(data, at)
    rest[0] = 5
    ch.send(Pipe.Head(head))
    first = ch.receive(Pipe.Sum)
    whole, part = share(rest, 0, 2)
    ch.send(Pipe.Look(part))
    second = ch.receive(Pipe.Sum)
    own = copy(whole)
    free(whole)
    ch.send(Pipe.Body(own))
    third = ch.receive(Pipe.Sum)
    return first * 100000000 + second * 100000 + third
'''


@cache
def programs():
    from singlab.sing import build, programs_from_source

    return {name: build(program) for name, program in programs_from_source(SOURCE, "regions").programs.items()}


@pytest.mark.parametrize("isolation", SETTINGS)
@pytest.mark.parametrize("transfer", ["ownership", "copy"])
@pytest.mark.parametrize(("size", "at_"), [(64, 14), (9000, 4096), (9000, 5)])
def test_parts_travel_and_come_back(isolation, transfer, size, at_):
    system = System(isolation=isolation, transfer=transfer, ram="4M")
    client, server = system.create(programs()["client"], size=size, at=at_), system.create(programs()["server"])
    system.connect(client["ch"], server["ch"])
    assert system.run().outcome == "finished"
    rest = size - at_
    assert client.exit_value == at_ * 100_000_000 + (5 + 1) * 100_000 + rest - 1
    assert server.exit_value == 3
    for process in (client, server):
        assert set(process.holdings().values()) == {0}


def test_nothing_is_copied_within_a_domain():
    system = System(isolation="sip")
    client, server = system.create(programs()["client"], size=9000, at=14), system.create(programs()["server"])
    system.connect(client["ch"], server["ch"])
    assert Kind.BLOCK_COPY not in system.run().trace.events["kind"].tolist()


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_the_last_block_gives_the_region_back(isolation):
    """Pages of a large region stay while one part of it is there, whichever that is, and go with it."""
    text = "\n".join([
        "li a0, 8192", "abi allocate", "mv s0, a0",
        "mv a0, s0", "li a1, 100", "abi split", "mv s1, a1",
        "mv a0, s1", "li a1, 0", "li a2, 50", "abi share", "mv s2, a1",
        "{order}", "mv a0, {last}", "abi get_size", "mv s3, a0",
        "mv a0, {last}", "abi free", "mv a0, s3", "abi exit",
    ])  # fmt: skip
    sizes = {"s0": 100, "s1": 8092, "s2": 50}
    for last, size in sizes.items():
        order = "\n".join(f"mv a0, {reg}\nabi free" for reg in sizes if reg != last)
        system = System(isolation=isolation, allow_unverified=True, ram="4M")
        rogue = system.create(hand_made("parts", text.format(order=order, last=last)))
        seen = []
        while not system.done:
            system.advance(1)
            seen.append(int(((system.page_tags() & 15) == at.TAG_SHARED)[system.machine.load_u64(at.G_USER_FIRST):].sum()))
        assert rogue.exit_value == size
        assert max(seen) == 2 and seen[-1] == 0, last


@pytest.mark.parametrize(("calls", "expected"), [
    ("mv a0, s0\nli a1, 65\nabi split", 0),
    ("mv a0, s0\nli a1, -1\nabi split", 0),
    ("mv a0, s0\nli a1, 3\nli a2, 2\nabi share", 0),
    ("mv a0, s0\nli a1, 0\nli a2, 65\nabi share", 0),
    ("mv a0, s0\nli a1, 65\nabi truncate", 0),
    ("mv a0, s0\nabi free\nmv a0, s0\nli a1, 1\nabi split", 0),
    ("mv a0, s0\nabi free\nmv a0, s0\nabi get_size", 0),
    ("li a0, 12345\nabi get_type", 0),
    ("mv a0, s0\nli a1, 77\nabi set_type\nmv a0, s0\nabi get_type", 77),
    ("mv a0, s0\nli a1, 77\nabi set_type\nmv a0, s0\nli a1, 9\nabi split\nmv a0, a1\nabi get_type", 77),
    ("mv a0, s0\nli a1, 64\nabi split\nmv a0, a1\nabi get_size", 0),
    ("mv a0, s0\nli a1, 10\nabi truncate\nmv a0, s0\nabi get_size", 10),
])  # fmt: skip
@pytest.mark.parametrize("isolation", ["sip", "ring3"])
def test_bounds_and_stale_handles(isolation, calls, expected):
    system = System(isolation=isolation, allow_unverified=True)
    process = system.create(hand_made("parts", f"li a0, 64\nabi allocate\nmv s0, a0\n{calls}\nabi exit"))
    system.run()
    assert process.exit_value == expected
    assert set(process.holdings().values()) == {0}


def test_a_stopped_process_gives_all_parts_back_and_others_keep_theirs():
    """A region of which two processes have parts outlives one of them."""
    source = SOURCE + '''
@sip
def holder(ch: Pipe.Exp) -> u64:
    match ch.receive():
        case Pipe.Head(data):
            ch.send(Pipe.Sum(0))
            for i in range(400):
                yield_()
            n = total(data)
            free(data)
            return n
        case Pipe.Body(data):
            free(data)
            ch.send(Pipe.Sum(0))
            return 0
        case Pipe.Look(seen):
            free(seen)
            ch.send(Pipe.Sum(0))
            return 0
        case ChannelClosed():
            return 0

@sip
def giver(ch: Pipe.Imp):
    data = new(u8, 9000)
    fill(data, 3)
    head, rest = split(data, 10)
    ch.send(Pipe.Head(head))
    n = ch.receive(Pipe.Sum)
    while True:
        yield_()
    free(rest)
'''
    from singlab.sing import build, programs_from_source

    built = {name: build(program) for name, program in programs_from_source(source, "regions").programs.items()}
    for isolation in ("sip", "ring3", "ring3-domains"):
        system = System(isolation=isolation, ram="4M")
        giver, holder = system.create(built["giver"]), system.create(built["holder"])
        system.connect(giver["ch"], holder["ch"])
        system.run(events=60)
        giver.stop()
        assert set(giver.holdings().values()) == {0}
        assert system.run().outcome == "finished"
        assert holder.exit_value == 30
        assert set(holder.holdings().values()) == {0}


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_the_kernels_tables_agree_all_the_while(isolation):
    from singlab.kernel.audit import check

    system = System(isolation=isolation, ram="4M")
    client, server = system.create(programs()["client"], size=9000, at=14), system.create(programs()["server"])
    system.connect(client["ch"], server["ch"])
    while not system.done:
        system.run(events=20)
        check(system)
