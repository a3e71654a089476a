"""Stopped at every instruction around a link and an unlink, a process gives all back; and its stack can be read there."""

from __future__ import annotations

import pytest

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.audit import audit
from singlab.kernel.native import native
from singlab.machine import state as _s
from singlab.sing import build, programs_from_source

TEXT = """
@function
def down(n: u64) -> u64:
    if n == 0:
        return 0
    return down(n - 1) + 1
@sip
def p(n: u64) -> u64:
    return down(n)
"""
DEPTH = 260
STACKS = ("down", "p")


def started(isolation: str, **options):
    program = programs_from_source(TEXT, "text").programs["p"]
    system = System(isolation=isolation, ram="2M", **options)
    process = system.create(build(program), n=DEPTH)
    system.start(process)
    return system, process


def moments(isolation: str, **options) -> list[int]:
    """Return after how many instructions the stack has grown, and after how many it has shrunk again."""
    system, process = started(isolation, **options)
    found, ran = [], 0
    for field in (at.P_LINKS, at.P_UNLINKS):
        while process.state == "running" and not process._field(field):
            here = system.snapshot()
            if not system.step(64):
                return found
            ran += 64
        if not process._field(field):
            return found
        system.restore(here)
        ran -= 64
        while not process._field(field):
            ran += system.step(1)
        found.append(ran)
    return found


@pytest.mark.parametrize("isolation", ["sip", "pages", "ring3", "ring3-domains"])
def test_a_process_stopped_around_a_link_and_an_unlink_gives_all_back(isolation):
    seen = set()
    for moment in moments(isolation):
        system, process = started(isolation)
        first = system.snapshot()
        process.stop()
        system.run()
        clean = sorted(int(tag) for tag in system.page_tags() if tag)  # without its domain's page tables too
        system.restore(first)
        system.step(moment - 45)
        count = None
        for _ in range(70):
            view = process.stack()
            names = view.functions
            if not system.in_kernel():  # where it is, the stack may just be changing hands
                assert set(names) <= set(STACKS) and "nothing can be said" not in view.rows[-1].what, view
                assert count is None or abs(len(names) - count) <= 1, view
                count = len(names)
            assert sum(segment.bytes for segment in view.segments) == at.PAGE * len(view.segments)
            here = system.snapshot()
            seen.add(len(view.segments))
            assert audit(system) == []
            process.stop()
            assert system.run().outcome == "finished" and process.state == "stopped"
            assert audit(system) == [] and set(process.holdings().values()) == {0}
            assert sorted(int(tag) for tag in system.page_tags() if tag) == clean
            system.restore(here)
            system.step(1)
        assert system.run().outcome == "finished" and process.exit_value == DEPTH
    assert seen == {1, 2}


def test_stopped_on_the_kernels_own_segment():
    """Where there is no memory the thread stands on it for a few instructions; whoever stops it then gives it back to the kernel."""
    system, process = started("ring3-domains", stack_limit="4K")
    while not system._load(at.G_RESERVED):
        assert system.step(16) and process.state == "running"
        if process.state != "running":
            break
        here = system.snapshot()
    assert audit(system) == [] and "the kernel's own" in str(process.stack())
    process.stop()
    system.run()
    assert audit(system) == [] and not system._load(at.G_RESERVED)
    system.restore(here)
    system.run()
    assert str(process.fault) == "stack overflow (line 6)" and audit(system) == [] and not system._load(at.G_RESERVED)


def test_what_the_six_calls_say_of_a_stack():
    system, process = started("sip")
    system.step(moments("sip")[0] + 200)
    thread = process._field(at.P_THREADS)
    assert system._load(at.G_CURRENT) == thread
    word = system.machine.m.dtype.type

    def results(call: str, *words: int) -> list[int]:
        getattr(native, call)(system._m, *map(word, words))
        return [system._load(thread + at.T_A0 + 8 * place) for place in range(4)]

    here = system.snapshot()
    newest, first = process.stack().segments
    assert results("abi_walk_stack", 0) == [newest.base, newest.bytes, newest.link, newest.back]
    assert results("abi_walk_stack", 1) == [first.base, first.bytes, 0, 0]
    assert results("abi_walk_stack", 2) == results("abi_walk_stack", 1 << 63) == [0, 0, 0, 0]
    assert results("abi_get_stack_usage") == [2, 2, 1, 0]
    code, unlink = process._field(at.P_CODE), process.installed.image.manifest.unlink
    assert results("abi_get_unlink_stack_range")[:2] == [code + unlink, code + unlink + 20]
    native.abi_free_stack_segment(system._m)
    assert system._load(thread + at.T_PC) == newest.back and results("abi_get_stack_usage") == [1, 1, 1, 1]
    before = system._load(thread + at.T_PC)
    native.abi_free_stack_segment(system._m)  # the first one stays
    assert system._load(thread + at.T_PC) == before and results("abi_get_stack_usage") == [1, 1, 1, 1]
    for need in (1 << 16, (1 << 64) - 1):
        assert int(native.abi_allocate_stack_segment(system._m, word(need), word(0))) == 5
    system.restore(here)
    assert int(system.machine.m[_s.X + 3]) == newest.base + at.HEADROOM + at.SMALL_NEED, "gp says where the newest segment ends"
    assert system.run().outcome == "finished" and process.exit_value == DEPTH


def test_a_stack_shows_itself_as_text_and_as_a_page():
    system, process = started("ring3")
    system.step(moments("ring3")[0] + 100)
    view = process.stack()
    text, page = str(view), view._repr_html_()
    for said in ("segment 2 of 2", "link: the stack goes on in segment 1", "times", "where the thread begins", "2 segments of 8,192 bytes together"):
        assert said in text and said in page
    assert len(view.frame()) == len(view.rows) > 230
    with pytest.raises(Exception, match="no thread 99"):
        process.stack(99)
