"""What the kernel's functions cost: charges.json is what the compiler makes of their sources, and it is what they retire.

The RV64 form of a kernel function is put where the kernel's text lies and run by the hart, on one of two
equal machines; the native form runs on the other. Both must retire as many instructions, return the same
word and leave the same memory.
"""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from running import SERVER, TALK, image

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.native import native
from singlab.kernel.native_files import CHARGES, CORE_CODE
from singlab.machine import state as _s
from singlab.machine.access import kernel_books
from singlab.machine.asm import encode
from singlab.sing import kernel_costs
from singlab.sing.words import WordsError, compile_core

RETURN = at.CORE_TEXT - 16
STACK = at.CORE_TEXT - 64


def test_charges_are_up_to_date(capsys):
    assert kernel_costs.charges() == CHARGES.read_text(encoding="utf-8"), "run python -m singlab.sing.kernel_costs --write"
    assert core().text == bytes.fromhex(CORE_CODE.read_text(encoding="utf-8")), "what boot puts in place is what was measured"
    assert kernel_costs.main(["--check"]) == 0
    assert kernel_costs.main(["--nonsense"]) == 2
    assert "usage" in capsys.readouterr().err


def test_a_stale_file_is_noticed_and_written_anew(tmp_path, monkeypatch):
    path, code = tmp_path / "charges.json", tmp_path / "core_code.hex"
    monkeypatch.setattr(kernel_costs, "CHARGES", path)
    monkeypatch.setattr(kernel_costs, "CORE_CODE", code)
    assert kernel_costs.main(["--check"]) == 1, "there is no file"
    assert kernel_costs.main(["--write"]) == 0 and kernel_costs.main(["--check"]) == 0
    path.write_text(path.read_text().replace(": [", ": [ ", 1))
    assert kernel_costs.main(["--check"]) == 1
    assert kernel_costs.main(["--write"]) == 0 and kernel_costs.main(["--check"]) == 0
    code.write_text(code.read_text().replace("0", "1", 1))
    assert kernel_costs.main(["--check"]) == 1


@cache
def core():
    return kernel_costs.core_image()


def test_points_cover_the_text_of_each_function_once():
    """Every instruction of a function belongs to exactly one point."""
    stored = json.loads(CHARGES.read_text(encoding="utf-8"))
    assert stored["text_bytes"] == len(core().text) <= at.GLOBALS - at.CORE_TEXT, "the text ends before the kernel's variables"
    for name, about in stored["functions"].items():
        pieces = sorted(tuple(p) for p in about["points"].values() if p[1])
        place = about["offset"]
        for offset, count, *_ in pieces:
            assert offset == place, name
            place += 4 * count
        assert 0 <= about["offset"] + about["bytes"] - place < 8, f"{name}: only padding may be left over"


class Twins:
    """Two machines in the same state: kernel functions run natively on one, as RV64 code on the other."""

    def __init__(self, isolation: str = "sip", profile: str = "athlon64", policies=()):
        text = TALK + SERVER + "@sip\ndef c(ch: Talk.Imp):\n    ch.send(Talk.Ask(1))\n    mark(ch.receive(Talk.Answer))\n"
        self.systems = []
        for _ in range(2):
            system = System(ram="2M", isolation=isolation, profile=profile, policies=policies)
            client, server = system.create(image(text, "c")), system.create(image(text, "server"))
            system.connect(client["ch"], server["ch"])
            self.systems.append(system)
        self.process, self.other = client.record, server.record
        self.table = system.machine.load_u64(client.values["ch"] + at.E_TABLE)
        hart = self.systems[1].machine
        hart.write(at.CORE_TEXT, core().text)
        hart.write(RETURN, encode("hook", 4000).to_bytes(4, "little"))

    def call(self, name: str, *arguments: int) -> int:
        """Run a function on both; returns its value."""
        word = np.uint64
        natively, hart = (system.machine for system in self.systems)
        before = natively.counters()
        value = int(getattr(native, name.split(":")[1])(natively.m, *map(word, arguments)))
        kernel_books(natively.m)
        charged = natively.counters()["instructions"] - before["instructions"]
        paid = {cause: natively.counters()[cause] - before[cause] for cause in before}
        assert natively.counters()["kernel_instructions"] - before["kernel_instructions"] == charged
        m = hart.m
        offset, _ = core().functions[name]
        m[_s.PC], m[_s.MODE], m[_s.SIE] = at.CORE_TEXT + offset, _s.S, 0
        m[_s.X + 1], m[_s.X + 2] = RETURN, STACK
        for index, argument in enumerate(arguments):
            m[_s.X + 10 + index] = argument
        begun = hart.counters()
        start = begun["instructions"]
        assert hart.run(cycles=3_000_000) == "hook" and int(m[_s.PC]) == RETURN
        retired = hart.counters()["instructions"] - start - 1  # the hook itself
        assert int(m[_s.X + 10]) == value, f"{name}: value"
        assert retired == charged, f"{name}: {retired} instructions retired, {charged} charged"
        asked = {cause: hart.counters()[cause] - begun[cause] for cause in begun}
        for cause in ("stall_branch", "stall_muldiv", "multiplies", "divides"):
            assert paid[cause] == asked[cause], f"{name}: {cause}"
        self.paid, self.asked = paid, asked
        assert int(m[_s.X + 2]) == STACK
        assert self.memory(natively) == self.memory(hart), f"{name}: memory"
        return value

    @staticmethod
    def memory(machine) -> bytes:
        """Return all of RAM above the kernel's text."""
        size = int(machine.m[_s.RAM_BYTES])
        return machine.read(at.GLOBALS, at.RAM_BASE + size - at.GLOBALS)


@pytest.mark.parametrize("count", [1, 3, 17, 10_000])
def test_pages(count):
    twins = Twins()
    address = twins.call("pages:pages_alloc", at.ZONE_USER, count, 9 << at.OWNER_SHIFT | at.TAG_NONGC)
    assert bool(address) == (count < 1000)
    if address:
        hole = twins.call("pages:pages_alloc", at.ZONE_USER, 2, 9 << at.OWNER_SHIFT | at.TAG_NONGC)
        twins.call("pages:pages_free", address, count)
        assert twins.call("pages:pages_alloc", at.ZONE_USER, 1, 8 << at.OWNER_SHIFT | at.TAG_NONGC) == address
        user = twins.systems[0].machine.load_u64(at.G_USER_FIRST)
        twins.call("pages:pages_free_owner", 9, user, user + 200)
        assert twins.call("pages:pages_alloc", at.ZONE_USER, 2, 8 << at.OWNER_SHIFT | at.TAG_NONGC) in (address + at.PAGE, hole)


@pytest.mark.parametrize("size", [0, 1, 16, 17, 100, 2048, 2049, 4096, 20_000, 1 << 24])
def test_blocks(size):
    twins = Twins()
    block = twins.call("heap:block_alloc", twins.process, size)
    assert bool(block) == (size < 1 << 24)
    if not block:
        return
    second = twins.call("heap:block_alloc", twins.process, size)
    for twin in twins.systems:
        data = twin.machine.load_u64(block + at.B_DATA)
        twin.machine.write(data, bytes(i * 7 & 255 for i in range(size)))
    assert twins.call("heap:block_check", block, twins.process) == 0
    assert twins.call("heap:block_check", block, twins.other) != 0
    assert twins.call("heap:block_check", block + 8, twins.process) != 0
    twins.call("heap:block_give", block, twins.process, twins.other)
    copied = twins.call("heap:block_copy", block, twins.process)
    twins.call("heap:block_free", block, twins.other)
    machine = twins.systems[1].machine
    assert machine.read(machine.load_u64(copied + at.B_DATA), size) == bytes(i * 7 & 255 for i in range(size))
    for one in (second, copied):
        twins.call("heap:block_free", one, twins.process)
    again = twins.call("heap:block_alloc", twins.process, size)
    assert again in (copied, second)


def test_domains():
    """Page tables are written, walked and given back alike by both forms of the kernel."""
    twins = Twins("ring3-domains")
    domain = twins.call("domains:domain_new", at.KIND_RING3 | at.KIND_OWN)
    assert domain and twins.systems[0].machine.load_u64(domain + at.D_MAGIC) == at.MAGIC_DOMAIN
    data = twins.call("pages:pages_alloc", at.ZONE_USER, 3, at.TAG_KERNEL_SHARED)
    assert twins.call("domains:domain_reserve", domain, data, 3) == 1
    assert twins.call("domains:domain_map", domain, data, 3, at.TAG_SHARED) == 1
    twins.call("domains:domain_unmap", domain, data, 1)
    twins.call("domains:domain_free", domain)
    own = twins.call("domains:process_pages_alloc", twins.process, 2, at.TAG_STACK)
    assert own == data + at.PAGE, "what the domain still mapped came back with it"
    twins.call("domains:process_pages_free", twins.process)


@pytest.mark.parametrize("size", [1, 100, 2048, 4096, 20_000])
def test_blocks_cross_domains(size):
    twins = Twins("ring3-domains")
    block = twins.call("heap:block_alloc", twins.process, size)
    for twin in twins.systems:
        data = twin.machine.load_u64(block + at.B_DATA)
        twin.machine.write(data, bytes(i * 7 & 255 for i in range(size)))
    given = twins.call("crossing:block_prepare", block, twins.process, twins.other)
    assert (given == block) == (size > at.LARGEST_BUCKET), "large data moves, small data is copied"
    if given == block:
        twins.call("heap:block_give", block, twins.process, twins.other)
    else:
        twins.call("heap:block_free", block, twins.process)
        twins.call("crossing:block_arrive", given)
    machine = twins.systems[1].machine
    assert machine.read(machine.load_u64(given + at.B_DATA), size) == bytes(i * 7 & 255 for i in range(size))
    assert twins.call("heap:block_check", given, twins.other) == 0
    twins.call("heap:block_free", given, twins.other)


def test_channels():
    twins = Twins()
    imp = twins.call("endpoints:channel_create", twins.table, twins.process, twins.other)
    exp = twins.systems[0].machine.load_u64(imp + at.E_PEER)
    assert twins.call("endpoints:endpoint_check", imp, twins.process) == 0
    assert twins.call("endpoints:endpoint_check", imp, twins.other) != 0
    send = "channels:message_send"
    assert twins.call(send, twins.process, imp, 0, 77, 0, 0, 0) == 0
    assert twins.call(send, twins.process, imp, 0, 78, 0, 0, 0) == 3, "it is not its turn"
    assert twins.call(send, twins.process, imp, 99, 0, 0, 0, 0) == 3, "there is no such message"
    block = twins.call("heap:block_alloc", twins.process, 64)
    second = twins.call("endpoints:channel_create", twins.table, twins.process, twins.other)
    give = (twins.process, second, 1, block, 0, 0, 0)
    assert twins.call(send, *give) == 0
    assert twins.call(send, *give) == 3
    assert twins.call("channels:endpoint_close", imp, twins.process) == 0
    assert twins.call("channels:endpoint_close", exp, twins.other) == 0
    assert twins.call("endpoints:endpoint_check", imp, twins.process) != 0


@pytest.mark.parametrize("profile", ["athlon64", "teaching"])
def test_the_native_kernel_takes_as_long_as_the_one_on_the_hart(profile):
    """Over many calls, caches warm: the same cycles but for the traffic of stack frames, and for what that throws out of caches."""
    twins = Twins(profile=profile)
    imp = twins.call("endpoints:channel_create", twins.table, twins.process, twins.other)
    natively = twins.systems[0].machine
    exp = natively.load_u64(imp + at.E_PEER)
    thread = natively.load_u64(twins.other + at.P_THREADS)
    native_cycles = hart_cycles = frames = caches = 0
    for turn in range(60):
        calls = [("channels:message_send", twins.process, imp, 0, turn, 0, 0, 0), ("waiting:message_deliver", exp, thread)]
        calls += [("scheduler:thread_wake", thread, imp), ("scheduler:queue_take", at.G_UNBLOCKED_HEAD), ("heap:block_alloc", twins.process, 64)]
        calls += [("pages:pages_alloc", at.ZONE_USER, 3, 9 << at.OWNER_SHIFT | at.TAG_NONGC)]
        for call in calls:
            value = twins.call(*call)
            if turn >= 10:
                paid, asked = twins.paid, twins.asked
                native_cycles += paid["cycles"]
                hart_cycles += asked["cycles"] - 1  # the hook itself
                frames += asked["l1d_accesses"] - paid["l1d_accesses"]
                caches += sum(asked[cause] - paid[cause] for cause in ("stall_fetch", "stall_load", "stall_store", "stall_walk"))
            if call[0] == "heap:block_alloc":
                twins.call("heap:block_free", value, twins.process)
            elif call[0] == "pages:pages_alloc":
                twins.call("pages:pages_free", value, 3)
        for system in twins.systems:
            for end in (imp, exp):
                system.machine.store_u64(end + at.E_STATE, 0)
    assert hart_cycles == native_cycles + caches, "only what caches do differs"
    assert frames > 0 and abs(hart_cycles - native_cycles) <= 0.15 * hart_cycles


def test_what_only_returns_stands_behind_the_rest():
    """The hart predicts that forward branches are not taken: a check that holds costs one instruction and no stall."""
    image = compile_core({"core": "def f(m, a):\n    if a == 0:\n        return 1\n    while a < 10:\n        a += a * a\n    return 2\n"}, {"core": {}})
    points = image.points["core:f"]
    assert points["2:then"][0] > points["2:join"][0] and points["4:body"][2] == 1
    assert image.branches["core:f"] == {"2:if": [1, 0], "4:while": [0, 1]}


def test_what_only_writes_an_event_has_no_branch_and_no_loads():
    """Nobody watches on the hart: neither is there a branch around it, nor does the native form read for it."""
    source = "def f(m, a):\n    if a == 3:\n        emit(m, 1, ld64(m, a), a)\n    return a\n"
    image = compile_core({"core": source}, {"core": {}})
    assert set(image.points["core:f"]) == {"1:entry"} and image.branches["core:f"] == {}
    bare = compile_core({"core": "def f(m, a):\n    return a\n"}, {"core": {}})
    assert image.text == bare.text
    # what the condition itself reads is read in both forms
    asking = compile_core({"core": source.replace("a == 3", "(ld64(m, a) == 3) and (ld32(m, a) < a)")}, {"core": {}}).text
    words = [int.from_bytes(asking[place : place + 4], "little") for place in range(0, len(asking), 4)]
    assert [word >> 12 & 7 for word in words if word & 0x7F == 0x03] == [3, 6] and not [word for word in words if word & 0x7F == 0x63]


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_who_watches_changes_no_count(isolation):
    """With a trace and without one: the same cycles, accesses and misses."""
    counted = []
    for trace in (True, False):
        system = System(ram="2M", isolation=isolation, trace=trace)
        text = TALK + SERVER + "@sip\ndef c(ch: Talk.Imp):\n    for i in range(5):\n        ch.send(Talk.Ask(1))\n        mark(ch.receive(Talk.Answer))\n"
        client, server = system.create(image(text, "c")), system.create(image(text, "server"))
        system.connect(client["ch"], server["ch"])
        assert system.run().outcome == "finished"
        counted.append(system.machine.counters())
    assert counted[0] == counted[1] and counted[0]["l1d_accesses"] > 1000


def test_the_subset_refuses_what_the_two_forms_would_not_agree_on():
    """Chained comparisons, loops over ranges and unknown names have no RV64 form; the message names file and line."""
    for body in ("    return 1 < m < 3", "    for i in m:\n        return i", "    return unknown", "    return m.x", "    m.x = 1",
                 "    return elsewhere(m)", "    with m:\n        return 1"):  # fmt: skip
        with pytest.raises(WordsError, match=r"core\.py:2"):
            compile_core({"core": f"def f(m):\n{body}\n"}, {"core": {}})


def test_conditions_evaluate_both_sides():
    """``and`` and ``or`` cost the same whatever their sides are: one path through the condition, one point."""
    source = "def f(m, a, b):\n    if (a < b) and (b < 10) or (a == 7):\n        return 1\n    return 2\n"
    points = compile_core({"core": source}, {"core": {}}).points["core:f"]
    assert set(points) == {"1:entry", "2:then", "2:join"}


def test_what_the_host_calls_is_compiled_with_the_rest():
    """Warming up leaves nothing that the first student's first run would have to compile."""
    import re

    from singlab.kernel.hostcalls import CALLED

    room = CHARGES.parent
    called = {name for path in room.glob("*.py") for name in re.findall(r"\bnative\.([a-z_]+)\(", path.read_text(encoding="utf-8"))}
    assert called - {"inside"} == set(CALLED)
