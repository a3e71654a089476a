"""Isolation settings: what each keeps apart, from hand-made code that tries; what it gives back; what it costs."""

from __future__ import annotations

from functools import cache

import pytest
from programs import IMP, expected_total, hand_made, images, talk

from singlab.kernel import InstallError, KernelError, System
from singlab.kernel import layout as at
from singlab.kernel.isolation import SETTINGS

PAGED = tuple(name for name, setting in SETTINGS.items() if setting.paged)
APART = tuple(name for name, setting in SETTINGS.items() if setting.own_domains)
TOGETHER = tuple(name for name in SETTINGS if name not in APART)
ACCESS_OUTSIDE = 8

SOURCE = """
@sip
def keeper(size: u64):
    secret = new(u8, size)
    secret[0] = 77
    while True:
        yield_()

@sip
def total(n: u64) -> u64:
    v = new(u64, 100)
    t: u64 = 0
    for i in range(n):
        v[i] = i
        t += v[i]
    free(v)
    return t
"""


@cache
def programs():
    from singlab.sing import programs_from_source

    return programs_from_source(SOURCE, "isolation").programs


@cache
def keeper_image():
    from singlab.sing import build

    return build(programs()["keeper"])


def tables(system: System) -> int:
    """Count the pages of page tables, images' contract tables among them."""
    return int((system.page_tags() == at.TAG_TABLE).sum())


def free_pages(system: System) -> int:
    """Count the pages of the user zone that nobody has."""
    return int((system.page_tags()[system.machine.load_u64(at.G_USER_FIRST) :] == 0).sum())


# ---- everybody still works ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", SETTINGS)
@pytest.mark.parametrize("transfer", ["ownership", "copy"])
@pytest.mark.parametrize("size", [1, 100, 2048, 2049, 20_000])
def test_two_processes_talk_in_every_setting(isolation, transfer, size):
    system = System(isolation=isolation, transfer=transfer)
    client, server = talk(system, rounds=3, size=size)
    assert system.run().outcome == "finished"
    assert client.exit_value == expected_total(3) and server.end.state == "exit"
    assert all(set(p.holdings().values()) == {0} for p in (client, server))


@pytest.mark.parametrize("isolation", PAGED)
@pytest.mark.parametrize("profile", ["teaching", "modern", "untimed"])
def test_every_setting_works_on_every_machine(isolation, profile):
    """With tagged translation buffers and without, and where nothing is buffered."""
    system = System(isolation=isolation, profile=profile)
    pairs = [talk(system, rounds=3, size=size) for size in (100, 5000)]
    assert system.run().outcome == "finished"
    assert [client.exit_value for client, _ in pairs] == [expected_total(3)] * 2


@pytest.mark.parametrize("isolation", PAGED)
def test_slices_and_time_travel_change_nothing(isolation):
    whole, sliced = System(isolation=isolation), System(isolation=isolation)
    for system in (whole, sliced):
        talk(system, rounds=2, size=64)
    whole.run()
    while not sliced.done:
        sliced.run(cycles=997)
        here = sliced.snapshot()
        sliced.run(cycles=500)
        sliced.restore(here)
    assert sliced.trace.events.tobytes() == whole.trace.events.tobytes()


# ---- hostile code ------------------------------------------------------------------------------------------------


def victim(system: System, size: int, **choice):
    """Let a process keep a secret; returns it and addresses in its block, stack and code."""
    process = system.create(keeper_image(), size=size, **choice)
    system.run(cycles=60_000)
    block = system.machine.load_u64(process.record + at.P_BLOCKS)
    places = {"block": system.machine.load_u64(block + at.B_DATA), "code": system.machine.load_u64(process.record + at.P_CODE)}
    stack = int((system.page_tags() == (process.number << at.OWNER_SHIFT | at.TAG_STACK)).argmax())
    places["stack"] = at.RAM_BASE + stack * at.PAGE
    return process, places


def attack(system: System, text: str, **choice):
    """Run hand-made code for a while; returns its process."""
    rogue = system.create(hand_made("rogue", text), **choice)
    system.run(cycles=60_000)
    return rogue


@pytest.mark.parametrize("isolation", SETTINGS)
@pytest.mark.parametrize("place", ["block", "stack", "code"])
@pytest.mark.parametrize("size", [64, 5000])
@pytest.mark.parametrize("store", [False, True])
def test_only_hardware_keeps_unverified_code_out_of_another_domain(isolation, place, size, store):
    """One address space holds whoever the verifier has not seen; own domains hold nobody up but the faulting thread."""
    system = System(isolation=isolation, allow_unverified=True)
    process, places = victim(system, size)
    before = system.machine.load_u64(places[place])
    access = "sd t1, 0(t0)" if store else "ld a0, 0(t0)"
    rogue = attack(system, f"li t0, {places[place]}\nli t1, 123456789\nli a0, 0\n{access}\nabi exit")
    after = system.machine.load_u64(places[place])
    assert process.state == "running" or place == "code", "a code page that is written to may end its process"
    if isolation in APART:
        assert rogue.fault is not None and rogue.fault.code == ACCESS_OUTSIDE and after == before
    elif store and place == "code" and SETTINGS[isolation].paged:
        assert rogue.fault.code == ACCESS_OUTSIDE and after == before, "code is fixed, for everybody"
    else:
        assert rogue.fault is None, "nothing but the verifier could have stopped it"
        assert (after if store else rogue.exit_value) == (123456789 if store else before)


@pytest.mark.parametrize("isolation", ["pages", "ring3"])
def test_a_domain_can_be_chosen_for_a_single_process(isolation):
    system = System(isolation=isolation, allow_unverified=True)
    _, places = victim(system, 64, domain="vault")
    read = f"li t0, {places['block']}\nld a0, 0(t0)\nabi exit"
    assert attack(system, read).fault.code == ACCESS_OUTSIDE
    assert attack(system, read, domain="elsewhere").fault.code == ACCESS_OUTSIDE
    assert attack(system, read, domain="vault").exit_value == 77, "who is let in sees everything"


@pytest.mark.parametrize("isolation", ["ring3", "ring3-domains"])
def test_in_ring_3_the_kernels_memory_and_its_window_are_out_of_reach(isolation):
    for address in (at.G_NEXT_CHANNEL, at.PAGE_TAGS, at.TEXT_BASE, at.GLOBALS + at.WINDOW):
        for access in ("ld t1, 0(t0)", "sd t1, 0(t0)", "jr t0"):
            system = System(isolation=isolation, allow_unverified=True)
            assert attack(system, f"li t0, {address}\n{access}\nli a0, 0\nabi exit").fault.code == ACCESS_OUTSIDE


@pytest.mark.parametrize("isolation", PAGED)
def test_the_records_of_blocks_can_be_read_and_not_be_written(isolation):
    """The kernel relies on them: who could change the owner in a record would own every block."""
    text = "li a0, 64\nabi allocate\nmv s0, a0\nld s1, {0}(s0)\n{1}\nmv a0, s1\nabi exit"
    system = System(isolation=isolation, allow_unverified=True)
    rogue = attack(system, text.format(at.B_SIZE, ""))
    assert rogue.exit_value == 64
    system = System(isolation=isolation, allow_unverified=True)
    assert attack(system, text.format(at.B_SIZE, f"sd x0, {at.B_OWNER}(s0)")).fault.code == ACCESS_OUTSIDE


@pytest.mark.parametrize("isolation", PAGED)
def test_code_is_fixed_and_data_is_not_run(isolation):
    system = System(isolation=isolation, allow_unverified=True)
    assert attack(system, "auipc t0, 0\nsd x0, 0(t0)\nli a0, 0\nabi exit").fault.code == ACCESS_OUTSIDE
    system = System(isolation=isolation, allow_unverified=True)
    assert attack(system, "addi t0, sp, -64\njr t0\nli a0, 0\nabi exit").fault.code == ACCESS_OUTSIDE


def sender(system: System, text: str):
    """Connect hand-made code with a server that adds one to the first byte of what it is given; returns the code's process."""
    rogue = system.create(hand_made("rogue", "mv s0, a0\n" + text, [IMP], images()["client"]))
    server = system.create(images()["server"])
    system.connect(rogue["ch"], server["ch"])
    return rogue, server


@pytest.mark.parametrize("isolation", SETTINGS)
@pytest.mark.parametrize("profile", ["athlon64", "modern"])
@pytest.mark.parametrize("size", [64, 5000])
def test_what_was_sent_is_the_receivers_alone(isolation, profile, size):
    """The sender keeps the address and writes to it again before the receiver runs: only own domains make that harmless."""
    text = f"""li a0, {size}
        abi allocate
        mv s1, a0
        ld s2, {at.B_DATA}(s1)
        li t0, 41
        sb t0, 0(s2)
        mv a0, s0
        li a1, 1
        mv a2, s1
        abi send
        li t0, 99
        sb t0, 0(s2)
        mv a0, s0
        abi receive
        ld t0, {at.B_DATA}(a1)
        lbu a0, 0(t0)
        abi exit"""
    system = System(isolation=isolation, profile=profile, allow_unverified=True)
    rogue, server = sender(system, text)
    assert system.run().outcome == "finished" and server.fault is None
    if isolation in TOGETHER:
        assert rogue.exit_value == 100, "the store went into the receiver's block"
    elif size == 64:
        assert rogue.exit_value == 42, "the store went into data that is the sender's, and free"
    else:
        assert rogue.fault.code == ACCESS_OUTSIDE, "its pages are the receiver's; the buffers have forgotten them"


@pytest.mark.parametrize("isolation", APART)
def test_who_runs_out_of_data_it_overwrote_harms_nobody(isolation):
    """Free data holds nothing that the kernel relies on: writing to it after free leads the kernel nowhere."""
    text = f"""li s3, 20
        again:
        li a0, 64
        abi allocate
        mv s1, a0
        ld s2, {at.B_DATA}(s1)
        mv a0, s1
        abi free
        li t0, {at.GLOBALS}
        sd t0, 0(s2)
        addi s3, s3, -1
        bnez s3, again
        li a0, 0
        abi exit"""
    system = System(isolation=isolation, allow_unverified=True)
    rogue = system.create(hand_made("rogue", text))
    client, _ = talk(system, rounds=3, size=64)
    assert system.run().outcome == "finished" and rogue.fault is None
    assert client.exit_value == expected_total(3)


# ---- everything comes back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", PAGED)
@pytest.mark.parametrize("size", [100, 5000])
def test_stopping_a_process_at_any_event_gives_back_its_pages_and_tables(isolation, size):
    fresh = System(isolation=isolation)
    for name in ("client", "server"):
        fresh.install(images()[name])
    before = free_pages(fresh), tables(fresh)
    whole = System(isolation=isolation)
    talk(whole, rounds=1, size=size)
    events = len(whole.run().trace)
    for index in (0, 1):
        system = System(isolation=isolation)
        pair = talk(system, rounds=1, size=size)
        system.run(events=1)
        for _ in range(events):
            here = system.snapshot()
            victim_, other = pair[index], pair[1 - index]
            if victim_.state != "running":
                break
            victim_.stop()
            assert set(victim_.holdings().values()) == {0}
            assert system.run().outcome == "finished"
            assert set(other.holdings().values()) == {0}
            kept = int((system.page_tags()[system.machine.load_u64(at.G_USER_FIRST) :] == at.TAG_KERNEL_SHARED).sum())
            assert kept <= (size == 100), "the kernel's own heap keeps the page that blocks on their way had"
            assert (free_pages(system) + kept, tables(system)) == before
            system.restore(here)
            system.advance(events=1)


@pytest.mark.parametrize("isolation", ["sip", *PAGED])
def test_a_process_is_stopped_between_any_two_instructions(isolation):
    """The host steps in while user code runs, in whatever mode and domain that is."""
    for cycles in range(20_000, 20_400, 23):
        system = System(isolation=isolation)
        hog, other = (system.create(images()["hog"], name=f"hog{i}", turns=5000) for i in range(2))
        system.run(cycles=cycles)
        hog.stop()
        late = system.create(images()["chatty"])
        assert system.run().outcome == "finished"
        assert hog.end.state == "stopped" and other.exit_value is not None and late.end.state == "exit"


@pytest.mark.parametrize("isolation", PAGED)
def test_running_out_of_memory_for_tables_is_a_refusal(isolation):
    system = System(ram="4M", isolation=isolation)
    with pytest.raises(KernelError, match="RAM"):
        for _ in range(10_000):
            system.create(images()["hog"], turns=3)
    assert system.run().outcome == "finished"
    system.create(images()["hog"], turns=3)
    assert system.run().outcome == "finished"


def test_a_domain_ends_with_the_last_process_in_it_and_its_name_can_be_used_again():
    system = System(isolation="pages")
    system.install(images()["hog"])
    empty = tables(system)
    for _ in range(2):
        hogs = [system.create(images()["hog"], domain="x", turns=5) for _ in range(3)]
        assert len({system.machine.load_u64(hog.record + at.P_DOMAIN) for hog in hogs}) == 1
        assert tables(system) > empty
        system.run()
        assert tables(system) == empty


def test_a_domain_that_cannot_be_is_refused():
    with pytest.raises(KernelError, match="has no domains"):
        System().create(images()["hog"], domain="x", turns=1)
    with pytest.raises(ValueError, match="1024M"):
        System(isolation="pages", ram="2048M")


# ---- no checks ---------------------------------------------------------------------------------------------------


def test_images_without_run_time_checks_are_for_the_unchecked_setting():
    from singlab.sing import build

    image = build(programs()["total"], checks=False)
    for isolation in SETTINGS:
        if isolation != "unchecked":
            with pytest.raises(InstallError, match="not verified"):
                System(isolation=isolation).install(image)
    cycles = {}
    for isolation, built in (("unchecked", image), ("sip", build(programs()["total"]))):
        system = System(isolation=isolation)
        process = system.create(built, n=100)
        cycles[isolation] = system.run().cycles
        assert process.exit_value == 4950
    assert cycles["unchecked"] < cycles["sip"]


# ---- costs come from the machine ---------------------------------------------------------------------------------


def spent(isolation: str, profile: str, size: int = 64, rounds: int = 40) -> dict[str, float]:
    """Return counters a round of conversation, the ends left out."""
    found = []
    for count in (10, 10 + rounds):
        system = System(isolation=isolation, profile=profile, trace=False)
        talk(system, rounds=count, size=size)
        found.append(system.run().counters)
    return {name: (found[1][name] - found[0][name]) / rounds for name in found[0]}


def test_switching_domains_empties_buffers_without_tags_and_not_with():
    walks = {(isolation, profile): spent(isolation, profile)["page_walks"] for isolation in ("pages", "domain") for profile in ("athlon64", "modern")}
    assert walks["pages", "athlon64"] < 1 and walks["pages", "modern"] < 1
    assert walks["domain", "athlon64"] > 4
    assert walks["domain", "modern"] < 1


def test_a_large_block_that_crosses_is_remapped_and_not_copied():
    few, many = (spent("ring3-domains", "modern", size=size)["instructions"] for size in (4096, 65536))
    within = [spent("ring3", "modern", size=size)["instructions"] for size in (4096, 65536)]
    crossing = (many - few) - (within[1] - within[0])
    # there and back, 15 pages more: some dozens of instructions a page for its two entries, not the thousands of a copy
    assert 0 < crossing < 2 * 15 * 100


def test_the_first_setting_walks_no_tables_and_the_others_do():
    for isolation in SETTINGS:
        system = System(isolation=isolation)
        talk(system)
        assert (system.run().counters["page_walks"] > 0) == SETTINGS[isolation].paged
