"""The audit finds what is made wrong by hand: one word of the kernel's tables changed, anywhere that matters."""

from __future__ import annotations

import pytest
from families import family

from singlab.kernel import heaplayout as hp
from singlab.kernel import layout as at
from singlab.kernel.audit import AuditError, audit, check


def busy(isolation: str):
    """Return a system in the middle of its work: children, blocks, a message that waits, free records, somebody suspended."""
    system, chief, bystander = family(isolation, rounds=3, size=5000)
    system.run(events=230)
    for _ in range(3000):
        waits = [end for end in endpoints(system) if system._load(end + at.E_COUNT)]
        if waits and system._load(at.G_UNBLOCKED_HEAD) and any(p._field(at.P_BLOCKS) for p in system.processes):
            break
        system.step(20)
    assert audit(system) == []
    return system


def endpoints(system):
    for process in system.processes:
        end = process._field(at.P_ENDPOINTS)
        while end:
            yield end
            end = system._load(end + at.E_NEXT)


def block(system) -> int:
    return next(b for p in system.processes if (b := p._field(at.P_BLOCKS)))


def waiting(system) -> int:
    return next(end for end in endpoints(system) if system._load(end + at.E_COUNT))


def page_of(system, kind: int) -> int:
    """Return the address of the tag of a page of a process."""
    tags = system.page_tags()
    return next(at.PAGE_TAGS + 4 * page for page, tag in enumerate(tags) if int(tag) & 0xF == kind and int(tag) >> at.OWNER_SHIFT > 1)


def add(system, place: int, by: int = 1) -> None:
    system._store(place, system._load(place) + by)


def retag(system, place: int, tag: int) -> None:
    system.machine.write(place, tag.to_bytes(4, "little"))


def child(system) -> int:
    return next(p.record for p in system.processes if p.parent)


WRONGS = {
    "one process too many counted": lambda s: add(s, at.G_LIVE),
    "a process without the one before it": lambda s: add(s, s.processes[0].record + at.P_PREVIOUS, 8),
    "a child of somebody else": lambda s: s._store(child(s) + at.P_PARENT, s.processes[1].record),
    "a child nobody has a handle of": lambda s: s._store(s.processes[0]._field(at.P_HANDLES) + at.HANDLE_BYTES + at.H_KIND, 0),
    "a process that is held and runs": lambda s: s._store(s.processes[1].record + at.P_HELD, 1),
    "a ready thread that is said to be blocked": lambda s: s._store(s._load(at.G_UNBLOCKED_HEAD) + at.T_STATE, at.BLOCKED),
    "a principal that is no text": lambda s: add(s, s.processes[0].record + at.P_PRINCIPAL, 8),
    "a principal of a length that cannot be": lambda s: add(s, s.processes[0]._field(at.P_PRINCIPAL) + 8, 1 << 20),
    "a kernel's heap of more pages than it has": lambda s: add(s, at.KERNEL_HEAP + hp.Z_BYTES, at.PAGE),
    "an object of the kernel in the room for the next": lambda s: s._store(at.G_KERNEL_TOP, s.processes[0]._field(at.P_PRINCIPAL)),
    "a queue without its tail": lambda s: s._store(at.G_UNBLOCKED_HEAD + 8, 0),
    "a thread that runs and is not the running one": lambda s: s._store(at.G_CURRENT, s.processes[1].threads()[0])
    if s._load(at.G_CURRENT) != s.processes[1].threads()[0] else s._store(at.G_CURRENT, 0),
    "the service thread asleep with work to do": lambda s: s._store(at.G_SERVICE_HEAD, s.processes[1].threads()[0]),
    "an endpoint whose peer is another": lambda s: s._store(waiting(s) + at.E_PEER, waiting(s)),
    "more messages than slots": lambda s: add(s, waiting(s) + at.E_COUNT, 20),
    "an endpoint of two owners": lambda s: s._store(waiting(s) + at.E_OWNER, 99),
    "an endpoint that travels in no message": lambda s: s._store(waiting(s) + at.E_TRAVELS, 1),
    "a message the contract does not have": lambda s: s._store(
        waiting(s) + at.E_QUEUE + at.SLOT_BYTES * s._load(waiting(s) + at.E_HEAD), 4000),
    "a waiter that does not wait": lambda s: s._store(waiting(s) + at.E_WAITER, s.processes[1].threads()[0]),
    "a block of somebody else": lambda s: add(s, block(s) + at.B_OWNER),
    "a block on no list": lambda s: s._store(next(p.record for p in s.processes if p._field(at.P_BLOCKS)) + at.P_BLOCKS, 0),
    "a block whose data are another's": lambda s: add(s, block(s) + at.B_DATA, -at.PAGE),
    "a block's record that is free too": lambda s: s._store(at.G_FREE_RECORDS, block(s) + s._load(at.G_WINDOW)),
    "free endpoints lost": lambda s: s._store(at.G_FREE_ENDPOINTS, 0),
    "free threads lost": lambda s: s._store(at.G_FREE_THREADS, 0),
    "a free record in a circle": lambda s: s._store(s._load(at.G_FREE_THREADS), s._load(at.G_FREE_THREADS)),
    "a stack's page free": lambda s: retag(s, page_of(s, at.TAG_STACK), 0),
    "a page of code of another process": lambda s: retag(s, page_of(s, at.TAG_CODE), 77 << at.OWNER_SHIFT | at.TAG_CODE),
    "a page of nobody in the exchange heap": lambda s: retag(s, at.PAGE_TAGS + 4 * (s._load(at.G_PAGES) - 1), at.TAG_KERNEL_SHARED),
    "a page of handles that is nobody's": lambda s: retag(s, page_of(s, at.TAG_HANDLES), 77 << at.OWNER_SHIFT | at.TAG_HANDLES),
}  # fmt: skip


@pytest.fixture(scope="module", params=["sip", "ring3-domains"])
def system(request):
    return busy(request.param)


@pytest.mark.parametrize("wrong", WRONGS)
def test_the_audit_finds_a_wrong_word(system, wrong):
    here = system.snapshot()
    WRONGS[wrong](system)
    assert audit(system), wrong
    with pytest.raises(AuditError):
        check(system)
    system.restore(here)
    assert audit(system) == []


def test_the_audit_finds_a_page_mapped_in_a_domain_that_must_not_see_it():
    system = busy("ring3-domains")
    victim, thief = (p for p in system.processes[:2])
    page = (victim._field(at.P_CODE) - at.RAM_BASE) // at.PAGE
    middle = system._load(thief._field(at.P_DOMAIN) + at.D_MIDDLE)
    leaf = system._load(middle + 8 * (page >> at.REGION_SHIFT)) >> 10 << at.PAGE_SHIFT
    system._store(leaf + 8 * (page & at.REGION_MASK), (page + at.FIRST_FRAME) << 10 | 0xD7)
    assert any("mapped in two domains" in finding or "not its members'" in finding for finding in audit(system))
    system._store(leaf + 8 * (page & at.REGION_MASK), 0)
    assert audit(system) == []
