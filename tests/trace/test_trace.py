"""The event ring and the trace: nothing is lost unnoticed, and every event has a sentence, whatever is in it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singlab.kernel import System
from singlab.machine import Machine
from singlab.machine import state as _s
from singlab.sing import build, programs_from_source
from singlab.trace.record import EVENT, FAULTS, OWNER_SHIFT, PAGE_TYPES, Kind
from singlab.trace.ring import emit, read_ring
from singlab.trace.trace import SENTENCES, Trace

RING = _s.RING_EVENTS
W = np.uint64
META = {
    "clock_hz": 1e9,
    "processes": {"2": {"name": "client", "image": "client"}, "3": {"name": "server", "image": "server"}},
    "threads": {"1": {"process": 2}, "2": {"process": 3}},
    "channels": {"5": {"contract": "Talk", "imp": 2, "exp": 3, "endpoints": [0, 0]}},
    "contracts": {"Talk": {"messages": [{"name": "Ask", "direction": "?", "arguments": ["u64 n"]},
                                        {"name": "Answer", "direction": "!", "arguments": []}],
                           "states": ["Start", "Asked"], "transitions": [[0, 0, 1], [1, 1, 0]]}},
}  # fmt: skip


def event(kind: int, a: int = 0, b: int = 0, process: int = 2, thread: int = 1, cycle: int = 10) -> np.ndarray:
    return np.array([(cycle, kind, process, thread, a, b)], dtype=EVENT)


def say(kind: Kind, a: int = 0, b: int = 0, process: int = 2) -> str:
    return Trace(event(kind, a, b, process), META).describe(0)


# ---- the ring ------------------------------------------------------------------------------------------------------


def filled(machine: Machine, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        emit(machine.m, W(Kind.MARK), W(number), W(number * 2))


def test_an_event_holds_what_was_written_and_who_was_running():
    machine = Machine(ram="64K")
    machine.m[_s.CYCLES], machine.m[_s.CURRENT_PROCESS], machine.m[_s.CURRENT_THREAD] = 1 << 40, 0xFFFF, 0xFFFF_FFFF
    emit(machine.m, W(Kind.ABI), W(2**64 - 1), W(2**63))
    events, lost = read_ring(machine.m, 0)
    assert lost == 0
    assert [int(events[0][name]) for name in EVENT.names] == [1 << 40, Kind.ABI, 0xFFFF, 0xFFFF_FFFF, 2**64 - 1, 2**63]


def test_writing_costs_the_machine_nothing_and_can_be_turned_off():
    machine = Machine(ram="64K")
    before = machine.counters()
    filled(machine, 3)
    assert machine.counters() == before
    machine.m[_s.TRACE_ON] = 0
    filled(machine, 3)
    assert len(read_ring(machine.m, 0)[0]) == 3 == int(machine.m[_s.EVENT_COUNT])


def test_a_full_ring_keeps_the_newest_and_counts_what_is_lost():
    machine = Machine(ram="64K")
    filled(machine, RING)
    events, lost = read_ring(machine.m, 0)
    assert lost == 0 and np.array_equal(events["a"], np.arange(RING))
    filled(machine, 100, RING)
    events, lost = read_ring(machine.m, 0)
    assert lost == 100 and np.array_equal(events["a"], np.arange(100, RING + 100))
    assert np.array_equal(events["b"], 2 * events["a"])
    events, lost = read_ring(machine.m, RING + 90)
    assert lost == 0 and events["a"].tolist() == list(range(RING + 90, RING + 100))
    assert len(read_ring(machine.m, RING + 100)[0]) == 0


def test_what_was_read_is_a_copy():
    machine = Machine(ram="64K")
    filled(machine, 2)
    events, _ = read_ring(machine.m, 0)
    filled(machine, RING, 1000)
    assert events["a"].tolist() == [0, 1]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 3 * RING), st.booleans()), min_size=1, max_size=5))
def test_reading_in_pieces_loses_exactly_what_was_overwritten(steps):
    """However writing and reading alternate: what is read and what is counted lost add up to what was written."""
    machine = Machine(ram="64K")
    written = read = lost = 0
    last = -1
    for count, reading in steps:
        machine.m[_s.EVENT_COUNT] += W(count)  # as if so many events had been written; each slot says which it was
        numbers = np.arange(max(0, written + count - RING), written + count)
        ring = machine.m[_s.RING_BASE : _s.RAM_WORD].view(EVENT)
        ring["a"][numbers % RING] = numbers
        written += count
        if reading:
            events, missing = read_ring(machine.m, read + lost)
            assert all(np.diff(events["a"].astype(np.int64)) == 1)
            if len(events):
                assert int(events["a"][0]) == last + 1 + missing
                last = int(events["a"][-1])
            else:
                last += missing
            read, lost = read + len(events), lost + missing
            assert read + lost == written


# ---- a system that writes more than the ring holds ---------------------------------------------------------------

SOURCE = """
@sip
def marker(count: u64):
    for i in range(count):
        mark(i)
"""


def test_a_long_run_loses_nothing():
    system = System(ram="2M")
    count = RING + RING // 2
    system.create(build(programs_from_source(SOURCE, "marker").programs["marker"]), count=count)
    trace = system.run().trace
    marks = trace.events[trace.events["kind"] == Kind.MARK]
    assert trace.lost == 0 and np.array_equal(marks["a"], np.arange(count))
    assert all(np.diff(trace.events["cycle"].astype(np.int64)) >= 0), "events have the order of time"


def test_events_written_while_nobody_read_are_counted_lost():
    system = System(ram="2M")
    assert [e["kind"] for e in system.trace.events] == [Kind.BOOT, Kind.PAGES_ALLOC, Kind.PAGES_ALLOC]  # the kernel's pages, and the segment of stack that it keeps back
    for number in range(RING + 10):
        emit(system.machine.m, W(Kind.MARK), W(number), W(0))
    trace = system.trace
    assert trace.lost == 10 and int(trace.events["a"][-1]) == RING + 9
    assert repr(trace) == f"<Trace of {len(trace):,} events, 10 lost>"


# ---- sentences --------------------------------------------------------------------------------------------------

SAID = {
    Kind.BOOT: ((1 << 24, 4096), "the system boots with 4096 pages of memory"),
    Kind.PROCESS_CREATE: ((2, 0), "client is created"),
    Kind.PROCESS_START: ((3, 0), "server starts"),
    Kind.PROCESS_EXIT: ((2, 7), "client ends with value 7"),
    Kind.PROCESS_STOP: ((3, 0), "server is stopped from outside"),
    Kind.PROCESS_FAULT: ((2, 1 | 12 << 16), "client ends by a fault: index out of bounds (line 12)"),
    Kind.THREAD_CREATE: ((1, 2), "thread 1 of client is made"),
    Kind.THREAD_RUN: ((2, 1), "thread 2 of server runs"),
    Kind.THREAD_BLOCK: ((1, 0x8000_0000), "thread 1 of client waits for a message"),
    Kind.THREAD_READY: ((2, 0), "thread 2 of server is ready"),
    Kind.THREAD_PREEMPT: ((1, 0), "thread 1 of client has used up its time slice"),
    Kind.THREAD_YIELD: ((1, 0), "thread 1 of client lets others run"),
    Kind.THREAD_EXIT: ((1, 0), "thread 1 of client is gone"),
    Kind.CHANNEL_CREATE: ((5, 2 | 3 << 32), "channel 5 (Talk) connects client and server"),
    Kind.CHANNEL_CLOSE: ((5, 1), "server closes its end of channel 5"),
    Kind.SEND: ((5 | 0 << 32, 9), "client sends Ask"),
    Kind.RECEIVE: ((5 | 0 << 32 | 1 << 56, 9), "server receives Ask"),
    Kind.CHANNEL_STATE: ((5 | 1 << 56, 1), "server is now in state Asked"),
    Kind.BLOCK_ALLOC: ((0x8020_0000, 64 | 2 << 32), "client gets a block of 64 bytes at 0x80200000"),
    Kind.BLOCK_OWNER: ((0x8020_0000, 3 | 2 << 32), "the block at 0x80200000 now belongs to server"),
    Kind.BLOCK_FREE: ((0x8020_0000, 64 | 3 << 32), "server gives back the block at 0x80200000"),
    Kind.BLOCK_COPY: ((0x8020_0000, 4096), "4096 bytes are copied"),
    Kind.PAGES_ALLOC: ((300, 2 | (2 << OWNER_SHIFT | 2) << 32), "pages 300 to 301 go to client (stack)"),
    Kind.PAGES_FREE: ((300, 2), "pages 300 to 301 are free again"),
    Kind.PRINT: ((0x8020_0000, 5), "client prints"),
    Kind.MARK: ((77, 0), "client marks 77"),
    Kind.DEADLOCK: ((2, 0), "deadlock: 2 processes wait for each other"),
    Kind.REFUSED: ((2, 3), "the kernel refuses a call of client"),
    Kind.CLOSED_SEEN: ((5 | 1 << 56, 0), "server learns that channel 5 is closed"),
    Kind.ABI: ((3, 0), "client calls the kernel"),
    Kind.CHANNEL_CONTRACT: ((5, 0x8003_0000), "channel 5 speaks Talk"),
    Kind.SERVICE_REQUEST: ((2, 3), "client asks the service thread to stop a process"),
    Kind.SERVICE_DONE: ((1, 0), "the service thread has done what it was asked: create a process"),
    Kind.PROCESS_SUSPENDED: ((3, 0), "server is suspended"),
    Kind.THREAD_HOLD: ((1, 0), "thread 1 of client is held"),
    Kind.PROCESS_SUSPEND: ((3, 4), "server is being suspended"),
    Kind.PROCESS_RESUME: ((3, 0), "server goes on"),
    Kind.POLICY_FAULT: ((2 | 1 << 8, 0), "the kernel puts the quantum policy out of force"),
    Kind.ENDPOINT_OWNER: ((5 | 1 << 56, 2 | 3 << 32), "the Exp end of channel 5 now belongs to client"),
    Kind.BLOCK_SIZE: ((0x8123_0000, 40 | 3 << 32), "the block of server at 0x81230000 has 40 bytes now"),
    Kind.OBJECT_NEW: ((0x8003_0000, 0), "client makes something to wait for at 0x80030000"),
    Kind.OBJECT_SIGNAL: ((0x8003_0000, 1), "client sets or resets the event at 0x80030000"),
    Kind.NAME_BIND: ((5, 3), "a name is provided over channel 5 by server"),
    Kind.NAME_CONNECT: ((5, 0), "a connection by name over channel 5 has its answer"),
    Kind.STACK_LINK: ((0x8123_0000, 1), "client gets a segment more for its stack, at 0x81230000"),
    Kind.STACK_UNLINK: ((0x8123_0000, 1), "client gives a segment of its stack back, at 0x81230000"),
    Kind.INTERRUPT: ((10, 0), "interrupt 10 comes"),
    Kind.GC_BEGIN: ((2 | 1 << 8, 65536), "a collection of client's heap begins"),
    Kind.GC_WORK: ((12, 640 | 1024 << 32), "the collector of client has found 12 roots"),
    Kind.GC_END: ((640, 4000), "the collection of client's heap ends after 4000 cycles"),
    Kind.GC_HEAP: ((3 | 1 << 8, 9 | 512 << 32), "the heap of client has 9 pages after its collection"),
    Kind.GC_AGE: ((2, 640), "640 bytes of the heap of client have survived 2 minor collections"),
    Kind.GC_STEP: ((0x8123_0000 | 4 << 56, 0x8124_0000), "the collector of client has come to an object"),
}


def test_every_kind_has_its_sentence():
    assert set(SENTENCES) == set(Kind) == set(SAID)


@pytest.mark.parametrize("kind", SAID, ids=lambda kind: kind.name)
def test_the_sentence_says_what_happened(kind):
    (a, b), words = SAID[kind]
    assert say(kind, a, b) == words


def test_one_page_is_not_several():
    assert say(Kind.PAGES_FREE, 300, 1) == "page 300 is free again"
    assert say(Kind.PAGES_ALLOC, 300, 1 | (3 << OWNER_SHIFT | 5) << 32) == "page 300 goes to server (code)"


@pytest.mark.parametrize("code", FAULTS)
def test_every_fault_code_has_its_words(code):
    assert say(Kind.PROCESS_FAULT, 2, code).endswith(FAULTS[code])


@pytest.mark.parametrize("number", range(16))
def test_page_types(number):
    sentence = say(Kind.PAGES_ALLOC, 1, 1 | (2 << OWNER_SHIFT | number) << 32)
    assert f"({PAGE_TYPES[number] if number < len(PAGE_TYPES) else '?'})" in sentence


WORD = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 8), st.sampled_from([2**63, 2**64 - 1, 5 | 99 << 32 | 1 << 56, 5 | 255 << 56]))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.integers(0, 2**16 - 1) | st.sampled_from(sorted(Kind)), WORD, WORD, st.integers(0, 2**16 - 1),
       st.sampled_from([META, {}, {"channels": {"5": {"contract": "Gone", "imp": 9, "exp": 8}}}]))  # fmt: skip
def test_unknown_numbers_have_a_sentence_too(kind, a, b, process, meta):
    trace = Trace(event(kind, a, b, process), meta)
    sentence = trace.describe(0)
    assert sentence and "{" not in sentence
    row = trace.frame().iloc[0]
    assert row["what"] == sentence and row["event"]


def test_names_of_processes():
    trace = Trace(event(Kind.MARK), META)
    assert [trace.process_name(n) for n in (0, 1, 2, 40)] == ["nobody", "the kernel", "client", "process 40"]


# ---- the trace as a whole ------------------------------------------------------------------------------------------


def several() -> Trace:
    return Trace(np.concatenate([event(Kind.MARK, n, cycle=1000 * n) for n in range(10)]), META, lost=4)


def test_slices_are_traces():
    trace = several()
    cut = trace[3:7]
    assert isinstance(cut, Trace) and len(cut) == 4 and cut.meta is trace.meta and cut.lost == 4
    assert cut.describe(0) == "client marks 3" == trace[-7:].describe(0)
    assert [int(e["a"]) for e in trace[::-2].events] == [9, 7, 5, 3, 1]
    assert len(trace[20:]) == 0
    for index in (3, "3", (1, 2)):
        with pytest.raises(TypeError, match="slices"):
            trace[index]


def test_the_table_has_a_row_an_event():
    frame = several().frame()
    assert list(frame.columns) == ["cycle", "microseconds", "event", "process", "what"]
    assert len(frame) == 10
    assert frame.iloc[3].tolist() == [3000, 3.0, "mark", "client", "client marks 3"]
    assert len(Trace(np.zeros(0, EVENT), {}).frame()) == 0
    assert list(Trace(event(Kind.BOOT, process=0), META).frame()["process"]) == [""]
    assert list(Trace(event(999), META).frame()["event"]) == ["999"]


def test_a_saved_trace_comes_back(tmp_path):
    trace = several()
    again = Trace.load(trace.save(tmp_path / "run.npz"))
    assert again.events.tobytes() == trace.events.tobytes() and again.events.dtype == EVENT
    assert again.meta == trace.meta and again.lost == 4 and repr(again) == repr(trace)


def test_what_is_no_trace_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(FileNotFoundError):
        Trace.load(path)
    whole = several().save(path).read_bytes()
    for length in range(0, len(whole), 41):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="not a saved trace"):
            Trace.load(path)
    np.savez(path, events=np.zeros(3), meta=np.array("{}"), lost=np.array(0))
    with pytest.raises(ValueError, match="another version"):
        Trace.load(path)
    np.savez(path, events=np.zeros(3, EVENT), meta=np.array("{not json"), lost=np.array(0))
    with pytest.raises(ValueError, match="not a saved trace"):
        Trace.load(path)


def test_the_names_a_system_gives_are_plain_data():
    system = System(ram="2M")
    system.create(build(programs_from_source(SOURCE, "marker").programs["marker"]), count=2)
    meta = system.run().trace.meta
    assert json.loads(json.dumps(meta)) == meta
    assert {"clock_hz", "cycles", "profile", "page_size", "pages", "ram_base", "processes", "threads", "channels", "contracts"} <= set(meta)
    sentences = [system.trace.describe(i) for i in range(len(system.trace))]
    assert [s for s in sentences if "marks" in s] == ["marker marks 0", "marker marks 1"]
    assert "marker ends with value 0" in sentences
