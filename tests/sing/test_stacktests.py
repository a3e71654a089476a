"""Where functions test for room: on every path down from a test, or from the beginning, no more is used than was seen to."""

from __future__ import annotations

import random

import pytest

from singlab.kernel.layout import FIRST_SEGMENT, HEADROOM, PAGE, SMALL_NEED
from singlab.sing import build, programs_from_source
from singlab.sing.stacktests import Placement, below, circles, place


def graph(seed: int) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Return frames and calls of a random program; the first function is where it begins."""
    chance = random.Random(seed)
    names = [f"f{n}" for n in range(chance.randint(1, 12))]
    back = chance.random() < 0.6
    calls = {}
    for index, name in enumerate(names):
        known = names if back else names[index + 1 :]
        calls[name] = sorted(set(chance.choices(known, k=chance.randint(0, 3)))) if known else []
    return {name: 16 * chance.choice((0, 1, 2, 4, 10, 40, 120)) for name in names}, calls


def overdrawn(placement: Placement, frames: dict[str, int], calls: dict[str, list[str]]) -> str:
    """Go down every way from the beginning and from each test; returns where more is used than was seen to, or ""."""
    for start in ["f0", *placement.tests]:
        todo = [(start, frames[start], (start,))]
        while todo:
            name, used, path = todo.pop()
            if used > placement.bounds[start]:
                return f"{used} of {placement.bounds[start]} bytes on {path}"
            for callee in calls[name]:
                if callee in placement.tests:
                    continue
                if callee in path:
                    return f"a circle without a test: {path}, {callee}"
                todo.append((callee, used + frames[callee], (*path, callee)))
    return ""


@pytest.mark.parametrize("seed", range(300))
def test_nothing_is_used_that_was_not_seen_to(seed):
    frames, calls = graph(seed)
    placement = place(frames, calls)
    assert not overdrawn(placement, frames, calls)
    assert all(bound <= FIRST_SEGMENT for bound in placement.bounds.values()), "the next segment may be a page"
    again = below(calls, circles(calls)[1])
    for name in again:
        assert placement.bounds[name] <= frames[name] + SMALL_NEED, "a segment is not left half empty at each turn"


def test_a_test_less_is_found_out():
    """Each test is there for a reason: without it something is overdrawn, or was before another one was put in."""
    found = tests = 0
    for seed in range(100):
        frames, calls = graph(seed)
        placement = place(frames, calls)
        for name in placement.tests & below(calls, ["f0"]):
            tests += 1
            found += bool(overdrawn(Placement(placement.bounds, placement.tests - {name}), frames, calls))
    assert tests > 100 and found >= 0.9 * tests


@pytest.mark.parametrize("seed", range(100))
def test_what_fits_a_first_segment_tests_nowhere(seed):
    frames, calls = graph(seed)
    if not circles(calls)[1]:
        small = dict.fromkeys(frames, 16)
        assert place(small, calls).tests == frozenset()


CHAIN = """
@function
def last(n: u64) -> u64:
    yield_()
    return n
@function
def middle(n: u64) -> u64:
    x = last(n)
    y = last(x + 1)
    return x + y
@function
def again(n: u64) -> u64:
    if n == 0:
        return middle(n) + middle(n + 1)
    return again(n - 1) + n
@sip
def chain(n: u64) -> u64:
    return middle(n) + middle(n + 2)
@sip
def circle(n: u64) -> u64:
    return again(n) + middle(n) + last(n)
"""


def built(name: str):
    return build(programs_from_source(CHAIN, "text").programs[name], optimiser=False)


@pytest.mark.parametrize("name", ["chain", "circle"])
def test_only_circles_of_small_functions_test(name):
    manifest = built(name).manifest
    testing = {about.name for about in manifest.functions if about.need}
    assert testing == ({"again"} if name == "circle" else set())
    assert bool(manifest.unlink) == bool(testing)
    assert manifest.stack_bytes <= PAGE and manifest.stack_bytes % 16 == 0


def test_a_test_is_one_instruction_where_little_is_needed():
    """``bltu sp, gp`` before the frame is taken, and nothing else on the way."""
    sealed = built("circle")
    about = next(about for about in sealed.manifest.functions if about.name == "again")
    word = int.from_bytes(sealed.code[about.start : about.start + 4], "little")
    assert about.body == about.start + 4 and (word & 0x7F, word >> 12 & 7, word >> 15 & 31, word >> 20 & 31) == (0x63, 6, 2, 3)
    assert about.need <= SMALL_NEED and HEADROOM >= 32 * 8
