"""What a process writes into its own heap by force, a collector survives: it may end the process, and changes nobody else's memory.

Verified programs cannot do this; unverified code in an address space of its own can.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from graphs import GRAPH, program

from singlab.experiments.heappictures import heap_picture
from singlab.kernel import System
from singlab.kernel import heaplayout as hp
from singlab.kernel import layout as at
from singlab.kernel.audit import audit

MARK, PLACED = 1 << 32, 1 << 33


@pytest.fixture(scope="module")
def expected() -> int:
    """Return what the other program comes to when it is alone."""
    system = System(ram="8M")
    other = system.create(program(GRAPH, "semispace", called="other"), n=990)
    system.run()
    return other.exit_value


def two(collector: str, draw: random.Random):
    """Return a system in which two programs have come some way: it, the one that is to be forged, and the other."""
    system = System(ram="8M", isolation="ring3-domains", quantum_us=20)
    other = system.create(program(GRAPH, "semispace", called="other"), n=990)
    process = system.create(program(GRAPH, collector), n=4_990)
    while not len(heap_words(system, process)):
        system.advance(1)
    system.run(cycles=draw.randrange(200_000))
    return system, process, other


def pages(system, tag: int) -> np.ndarray:
    """Return the addresses of the pages with a tag."""
    return at.RAM_BASE + np.flatnonzero(system.page_tags() == tag).astype(np.uint64) * np.uint64(at.PAGE)


def words(system, where: np.ndarray) -> np.ndarray:
    """Return the words of pages: address and content, shape (words, 2)."""
    parts = [np.column_stack((np.arange(page, page + np.uint64(at.PAGE), 8, dtype=np.uint64), np.frombuffer(system.machine.read(int(page), at.PAGE), np.uint64)))
             for page in where]  # fmt: skip
    return np.concatenate(parts) if parts else np.empty((0, 2), np.uint64)


def heap_words(system, process) -> np.ndarray:
    """Return those of a process's heap that are not 0."""
    found = words(system, pages(system, process.number << at.OWNER_SHIFT | at.TAG_HEAP))
    return found[found[:, 1] != 0]


def odd_words(system, process) -> list[int]:
    """Return the addresses of odd words in a process's code: to a compaction they would look like links of a list."""
    found = words(system, pages(system, process.number << at.OWNER_SHIFT | at.TAG_CODE))
    return found[found[:, 1] & np.uint64(1) != 0, 0].tolist()


def number(address: int) -> int:
    """Return an address as collectors keep it in headers."""
    return address - at.RAM_BASE >> 3


def settled(system, process, other, expected: int) -> None:
    """Let the forged heap be collected, and see to it that nobody else notices."""
    kept = pages(system, other.number << at.OWNER_SHIFT | at.TAG_CODE)
    before = words(system, kept)
    assert len(kept)
    system._store(at.G_COLLECT_EVERY, 1)
    system.run(cycles=2_000_000)
    system._store(at.G_COLLECT_EVERY, 0)
    assert other.end.state == "running", other
    assert (words(system, kept) == before).all()
    system.run(cycles=20_000_000)
    assert audit(system) == [] and other.exit_value == expected, other


@pytest.mark.parametrize("collector", hp.COLLECTORS[2:])
def test_a_heap_with_random_words_concerns_its_process_alone(collector, expected):
    ended = 0
    for seed in range(16):
        draw = random.Random(f"{collector} {seed}")
        system, process, other = two(collector, draw)
        used, theirs = heap_words(system, process).tolist(), odd_words(system, other)
        for address, word in draw.sample(used, min(len(used), draw.choice((1, 4, 40)))):
            near, far = draw.choice(used)[0], draw.choice(theirs)
            listed = number(draw.choice((near, far)))
            form = draw.choice((word & 0xFFFF, draw.randrange(1, 8)))
            page_end = (near | at.PAGE - 1) - draw.randrange(7)
            system.machine.store_u64(address, draw.choice((
                form | MARK, form | MARK | listed << 33, form | MARK | listed << 34, form | MARK | PLACED | listed << 34,
                near, near | draw.randrange(1, 8), page_end, far, far | 1, listed << 3 | 1, form, draw.getrandbits(64),
            )))  # fmt: skip
        settled(system, process, other, expected)
        ended += process.fault is not None
    assert ended > 4


@pytest.mark.parametrize("where", ["theirs", "behind memory"])
def test_a_forged_list_of_references_that_wait_is_not_followed_out_of_the_heap(where, expected):
    """Headers of objects say that these are marked and that a word elsewhere waits for their new place."""
    for seed in range(4):
        system, process, other = two("compact", random.Random(seed))
        listed = number(odd_words(system, other)[0]) if where == "theirs" else (1 << 30) - 1 - seed
        for address in heap_picture(process).objects["address"].tolist():
            system.machine.store_u64(address, system.machine.load_u64(address) & 0xFFFF_FFFF | MARK | listed << 34)
        settled(system, process, other, expected)
        assert process.fault is not None and process.fault.message == "its heap is not what its image says"


@pytest.mark.parametrize("collector", ["marksweep", "compact"])
def test_a_reference_across_the_end_of_a_page_is_no_reference(collector, expected):
    """It would be read from a page that can be anybody's."""
    system, process, other = two(collector, random.Random(1))
    heap = heap_words(system, process)
    last = int(heap[:, 0].max()) | at.PAGE - 1
    for address, word in heap.tolist():
        if word & 7 == 0 and word in set(heap[:, 0].tolist()):
            system.machine.store_u64(address, last - 2)
    settled(system, process, other, expected)
    assert process.fault is not None
