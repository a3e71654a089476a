"""SIPs of several isolation settings in one system: they talk, hand things over, die and are audited, in each pair of settings."""

from __future__ import annotations

from functools import cache
from itertools import product

import pytest
from families import images as family_images
from programs import expected_total, hand_made, images, talk

from singlab.kernel import InstallError, System
from singlab.kernel import layout as at
from singlab.kernel.audit import check
from singlab.kernel.image import seal
from singlab.kernel.isolation import BESIDE, SETTINGS
from singlab.kernel.startup import KernelError

PAIRS = list(product(BESIDE, BESIDE))
ACCESS_OUTSIDE = 8
#: Pairs of which the first is kept out of what the second has: in physical memory nobody is kept out of anything.
APART = [(one, other) for one, other in PAIRS if SETTINGS[one].paged and (one != other or SETTINGS[one].own_domains)]

SOURCE = '''
Work = contract("""
contract Work {
    in  message Ask(ulong n);
    in  message Lend(Work.Imp:Start end);
    out message Answer(ulong n);
    out message Returned(Work.Imp:Start end);
    state Start: one { Ask? -> Answer! -> Start; Lend? -> Returned! -> Start; }
}
""")

@sip
def worker(ch: Work.Exp, base: u64) -> u64:
    done: u64 = 0
    while True:
        match ch.receive():
            case Work.Ask(n):
                ch.send(Work.Answer(n + base))
                done += 1
            case Work.Lend(end):
                end.send(Work.Ask(done))
                done += end.receive(Work.Answer)
                ch.send(Work.Returned(end))
            case ChannelClosed():
                return done

@sip
def lender(left: Work.Imp, right: Work.Imp) -> u64:
    """Lends its end of one channel over the other, and uses it again."""
    total: u64 = 0
    for i in range(3):
        imp, exp = new_channel(Work)
        left.send(Work.Lend(right))
        right = left.receive(Work.Returned)
        right.send(Work.Ask(i))
        total += right.receive(Work.Answer)
        imp.close()
        exp.close()
    right.close()
    return total

@sip(isolation="ring3-domains")
def shy() -> u64:
    me = process_id()
    yield_()
    return me + 0 * process_id()

@sip(isolation="ring3", extensions=[("worker", "Work")])
def parent() -> u64:
    imp, exp = new_channel(Work)
    child = create("worker", exp, 5)
    child.start()
    imp.send(Work.Ask(1))
    answer = imp.receive(Work.Answer)
    imp.close()
    return answer * 10 + child.join()

@sip
def threads() -> u64:
    done = event()
    t = thread(other, 7, done)
    done.wait()
    done.close()
    return join(t)

@function
def other(x: u64, done: Event) -> u64:
    for i in range(2000):
        x = x * 3 + 1
    done.set()
    return x
'''


@cache
def programs():
    from singlab.sing import build, programs_from_source

    return {name: build(program) for name, program in programs_from_source(SOURCE, "mixed").programs.items()}


def mixed(**options) -> System:
    return System(isolation="mixed", ram="4M", **options)


def pair(system: System, one: str, other: str, rounds: int = 3, size: int = 64):
    client = system.create(images()["client"], rounds=rounds, size=size, isolation=one)
    server = system.create(images()["server"], isolation=other)
    system.connect(client["ch"], server["ch"])
    return client, server


@pytest.mark.parametrize(("one", "other"), PAIRS)
@pytest.mark.parametrize("transfer", ["ownership", "copy"])
@pytest.mark.parametrize("size", [64, 5000])
def test_messages_and_blocks_go_both_ways(one, other, transfer, size):
    system = mixed(transfer=transfer)
    client, server = pair(system, one, other, size=size)
    assert (client.isolation, server.isolation) == (one, other)
    while not system.done:
        system.run(events=9)
        check(system)
    assert client.exit_value == expected_total(3) and server.end.state == "exit"
    assert all(set(p.holdings().values()) == {0} for p in (client, server))


@pytest.mark.parametrize("size", [64, 5000])
@pytest.mark.parametrize("isolation", BESIDE)
def test_copies_are_made_between_domains_and_nowhere_else(isolation, size):
    """What a SIP alone in its setting does costs what it costs; between two domains small data are copied twice a way."""
    def copies(one, other):
        system = mixed()
        pair(system, one, other, rounds=4, size=size)
        trace = system.run().trace
        return int((trace.events["kind"] == 22).sum())

    for other in BESIDE:
        together = isolation == other and not SETTINGS[isolation].own_domains
        assert copies(isolation, other) == (0 if together or size > at.LARGEST_BUCKET else 4 * 2 * 2)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_endpoints_travel(one, other):
    system = mixed()
    lender = system.create(programs()["lender"], isolation=one)
    left = system.create(programs()["worker"], base=100, isolation=other)
    right = system.create(programs()["worker"], name="right", base=1000, isolation=one)
    system.connect(lender["left"], left["ch"])
    system.connect(lender["right"], right["ch"])
    while not system.done:
        system.run(events=11)
        check(system)
    assert lender.exit_value == sum(i + 1000 for i in range(3))


@pytest.mark.parametrize(("one", "other"), PAIRS)
@pytest.mark.parametrize("size", [64, 5000])
def test_one_of_two_is_stopped_anywhere(one, other, size):
    system = mixed()
    both = pair(system, one, other, rounds=1, size=size)
    bystanders = [talk(system, rounds=6, size=100)[0], *(system.create(images()["hog"], name=f"hog {n}", turns=900, isolation=n) for n in BESIDE)]
    values = None
    whole = system.snapshot()
    system.run()
    values = [p.exit_value for p in bystanders]
    system.restore(whole)
    stopped = 0
    while not system.done:
        here = system.snapshot()
        system.step(211 + 2 * stopped)
        for victim in both:
            if victim.state == "running":
                now = system.snapshot()
                victim.stop()
                assert set(victim.holdings().values()) == {0}
                check(system)
                assert system.run().outcome == "finished"
                check(system)
                assert [p.exit_value for p in bystanders] == values
                system.restore(now)
                stopped += 1
        del here
    assert stopped > 10


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_preempted_anywhere_everybody_gets_on(one, other):
    """The shortest slices: threads of both rings are interrupted everywhere, in the kernel's way out too."""
    for quantum in (1, 2, 3):
        system = mixed(quantum_us=quantum)
        client, _ = pair(system, one, other, rounds=4, size=100)
        hogs = [system.create(images()["hog"], name=f"hog {name}", turns=2000, isolation=name) for name in (one, other)]
        threads = [system.create(programs()["threads"], name=f"threads {n}", isolation=name) for n, name in enumerate((one, other))]
        assert system.run().outcome == "finished"
        check(system)
        assert client.exit_value == expected_total(4) and len({hog.exit_value for hog in hogs}) == 1
        assert len({p.exit_value for p in threads}) == 1 and threads[0].exit_value


@pytest.mark.parametrize(("one", "other"), PAIRS)
@pytest.mark.parametrize("store", [False, True])
def test_walls_stand_between_domains_only(one, other, store):
    """Unverified code tries another's block: the page table of its own domain says whether it comes through."""
    system = mixed(allow_unverified=True)
    client, _ = pair(system, other, other, rounds=200, size=5000)
    system.run(events=300)
    block = system._load(client.record + at.P_BLOCKS)
    while not block:
        system.run(events=1)
        block = system._load(client.record + at.P_BLOCKS)
    place = system._load(block + at.B_DATA)
    rogue = system.create(hand_made("rogue", f"li t0, {place}\nli t1, 5\n{'sd t1, 64(t0)' if store else 'ld a0, 64(t0)'}\nabi exit"), isolation=one)
    before = system._load(place + 64)
    client.suspend()
    system.run(cycles=200_000)
    if (one, other) in APART:
        assert rogue.fault is not None and rogue.fault.code == ACCESS_OUTSIDE and system._load(place + 64) == before
    else:
        assert rogue.fault is None


def test_user_mode_keeps_out_of_the_kernel_and_ring_0_does_not():
    for isolation in BESIDE:
        system = mixed(allow_unverified=True)
        rogue = system.create(hand_made("rogue", f"li t0, {at.G_NEXT_CHANNEL}\nld a0, 0(t0)\nabi exit"), isolation=isolation)
        system.run()
        assert (rogue.fault is not None) == SETTINGS[isolation].ring3


def test_a_manifest_asks_for_a_setting_and_a_child_has_its_parents():
    system = mixed()
    shy, plain = system.create(programs()["shy"]), system.create(images()["chatty"])
    system.install(programs()["worker"])
    parent = system.create(programs()["parent"])
    moved = system.create(programs()["shy"], name="moved", isolation="domain")
    assert [p.isolation for p in (shy, plain, parent, moved)] == ["ring3-domains", "pages", "ring3", "domain"]
    system.run(cycles=60_000)
    system.run()
    assert parent.exit_value == 61 and [p.isolation for p in system.processes if p.installed.name == "worker"] == ["ring3"]
    assert (shy.exit_value, moved.exit_value) == (shy.number, moved.number)


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_children_that_ask_for_no_setting_of_their_own_have_their_parents(isolation):
    system = mixed()
    for name in ("worker", "foreman"):
        system.install(family_images()[name])
    chief = system.create(family_images()["chief"], rounds=1, size=5000, isolation=isolation)
    while not system.done:
        system.run(events=31)
        check(system)
    assert chief.exit_value
    assert {p.isolation for p in system.processes} == {isolation}


def test_a_named_domain_has_one_ring():
    system = mixed()
    system.create(images()["hog"], turns=1, domain="vault", isolation="ring3")
    again = system.create(images()["hog"], name="again", turns=1, domain="vault")
    assert again.isolation == "ring3"
    with pytest.raises(KernelError, match="not in the ring"):
        system.create(images()["hog"], name="third", turns=1, domain="vault", isolation="pages")
    assert system.run().outcome == "finished"
    assert system.create(images()["hog"], name="fourth", turns=1, domain="vault", isolation="pages").isolation == "pages"


def test_settings_that_cannot_be_in_a_system_are_refused():
    assert System(isolation="sip").settings() == ("sip",)
    assert System(isolation="domain").settings() == ("pages", "domain")
    for system, wanted in ((System(), "ring3"), (System(isolation="pages"), "ring3"), (System(isolation="pages"), "sip"),
                           (System(isolation="ring3"), "sip"), (mixed(), "unchecked"), (mixed(), "???")):  # fmt: skip
        with pytest.raises(KernelError, match="isolation"):
            system.create(images()["chatty"], isolation=wanted)
    system = System(isolation="ring3")
    assert system.create(images()["hog"], turns=2, isolation="ring3-domains").isolation == "ring3-domains"
    assert system.run().outcome == "finished"
    with pytest.raises(KernelError, match="has no domains"):
        mixed().create(images()["chatty"], isolation="sip", domain="vault")


def test_a_manifest_with_a_setting_that_no_sip_can_have_is_refused():
    from dataclasses import replace

    image = images()["chatty"]
    code = image.code
    bad = seal(replace(image.manifest, isolation="mixed"), code, image.tables)
    with pytest.raises(InstallError, match="no setting of a single SIP"):
        mixed().install(bad)


def test_what_a_setting_costs_is_its_own_in_a_mixed_system():
    """A ping-pong in ring 0 and one domain is the cheapest, in user mode and two domains the dearest; all of it is measured."""
    def cycles(isolation):
        found = []
        for rounds in (10, 60):
            system = mixed(trace=False)
            pair(system, isolation, isolation, rounds=rounds, size=8)
            found.append(system.run().cycles)
        return found[1] - found[0]

    ladder = {name: cycles(name) for name in BESIDE}
    assert ladder["pages"] < ladder["sip"] < ladder["ring3-domains"], "what is in physical memory pays for the kernel's table twice a call"
    assert ladder["pages"] < ladder["domain"] < ladder["ring3-domains"] and ladder["pages"] < ladder["ring3"] < ladder["ring3-domains"]


def test_in_physical_memory_nothing_is_translated():
    """A long computation over more pages than the buffers hold: a SIP on physical memory beside others walks no table."""
    from singlab.sing import build, programs_from_source

    source = '''
@sip
def wanderer(rounds: u64) -> u64:
    data = new(u64, 65536)
    total: u64 = 0
    for r in range(rounds):
        for i in range(128):
            data[i * 512] += i
            total += data[i * 512]
    free(data)
    return total
'''
    image = build(programs_from_source(source, "wanderer").programs["wanderer"])

    def counted(isolation):
        found = []
        for rounds in (20, 60):
            system = System(isolation="mixed", ram="8M", trace=False)
            process = system.create(image, rounds=rounds, isolation=isolation)
            assert system.run().outcome == "finished"
            found.append((system.machine.counters(), process.exit_value))
        assert found[0][1] < found[1][1]
        return {name: found[1][0][name] - found[0][0][name] for name in found[0][0]}

    physical, paged = counted("sip"), counted("pages")
    # what is left are the timer's interrupts, for which the kernel has its table
    assert physical["dtlb_misses"] < 40 < 128 * 40 <= paged["dtlb_misses"]
    assert physical["cycles"] < paged["cycles"] and physical["stall_walk"] < paged["stall_walk"]


def test_who_is_in_physical_memory_is_seen_by_the_audit():
    """A page of a SIP on physical memory belongs in no domain's table."""
    system = mixed()
    client, server = pair(system, "sip", "ring3", rounds=200, size=5000)
    system.run(events=100)
    check(system)
    domain = system._load(server.record + at.P_DOMAIN)
    assert system._load(client.record + at.P_DOMAIN) == system._load(client.record + at.P_SATP) == 0 != domain
    page = (system._load(client.record + at.P_CODE) - at.RAM_BASE) // at.PAGE
    leaf = system._load(system._load(domain + at.D_MIDDLE) + 8 * (page >> at.REGION_SHIFT)) >> 10 << at.PAGE_SHIFT
    system._store(leaf + 8 * (page & at.REGION_MASK), (page + at.FIRST_FRAME) << 10 | at.PTE_V | at.PTE_R | at.PTE_U)
    with pytest.raises(AssertionError, match="which is not its members'"):
        check(system)


def test_snapshots_and_slices_change_nothing():
    def system_of_all():
        system = mixed()
        for one in BESIDE:
            client = system.create(images()["client"], name=f"c {one}", rounds=2, size=70, isolation=one)
            server = system.create(images()["server"], name=f"s {one}", isolation="ring3-domains" if one == "pages" else "pages")
            system.connect(client["ch"], server["ch"])
        return system

    whole, sliced = system_of_all(), system_of_all()
    whole.run()
    while not sliced.done:
        sliced.run(cycles=997)
        here = sliced.snapshot()
        sliced.run(cycles=500)
        sliced.restore(here)
    assert sliced.trace.events.tobytes() == whole.trace.events.tobytes()
