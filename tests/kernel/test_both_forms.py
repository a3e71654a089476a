"""The kernel's two forms, side by side through whole runs: each call of the kernel is made natively and as RV64 code on the hart.

What scenarios of all parts of the kernel, and calls with random words, come to is compared call by call: the same memory
afterwards, the same value, the same instructions retired, the same branches mispredicted; and cycles differ by what memory took,
no more: that is the frames of the stack, which the native form does not have, and what they throw out of the caches.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from functools import cache

import numpy as np
import pytest
import test_dma
import test_names
import test_wait_first
from families import family
from programs import expected_total, hand_made, images, talk

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.abi import ABI
from singlab.kernel.gate import STOP_EVENTS, system_run
from singlab.kernel.native import STOP_ENDED, STOP_PRINT
from singlab.kernel.native_files import CHARGES
from singlab.machine import state as _s
from singlab.machine.asm import encode
from singlab.machine.hart import STOP_HOOK, STOP_WFI, hart_run

#: Below the kernel's variables, where nothing is that the comparison looks at.
STACK = at.POLICY_TEXT + 8 * at.POLICY_BYTES - 64
RETURN = STACK + 16
_HOOKS = {at.HOOK_TIMER: "interrupts:interrupted", at.HOOK_FAULT: "calls:trap_fault", at.HOOK_SERVICE: "kernelcollecting:kernel_turn",
          at.HOOK_OPERATOR: "service:operator_turn", at.HOOK_IDLE: "interrupts:idle_over"}  # fmt: skip


@cache
def functions() -> dict[str, int]:
    """Return where each core function begins."""
    return {name: at.CORE_TEXT + about["offset"] for name, about in json.loads(CHARGES.read_text(encoding="utf-8"))["functions"].items()}


@cache
def entry_of(number: int) -> int:
    """Return where the function of a hook begins."""
    if number in _HOOKS:
        return functions()[_HOOKS[number]]
    return next(place for name, place in functions().items() if name.split(":")[1] == f"abi_{ABI[number].name}")


class BothForms:
    """A system whose kernel calls are all made twice."""

    def __init__(self, system: System):
        self.system, self.m = system, system.machine.m
        self.made: Counter[str] = Counter()
        self.native = self.hart = self.instructions = self.frames = 0
        self.twin = self.m.copy()
        self.uops = np.zeros_like(system.machine.uops)
        system.machine.write(RETURN, encode("hook", 4000).to_bytes(4, "little"))

    def on_the_hart(self) -> None:
        """Let the copy come to its hook and run the function there as the hart runs code."""
        m = self.twin
        assert hart_run(m, self.uops) == STOP_HOOK
        number, pc = int(m[_s.HOOK_NUMBER]), int(m[_s.PC])
        registers, mode, enabled = m[:32].copy(), m[_s.MODE], m[_s.SIE]
        begun, stalled = (int(m[_s.INSTRET]), int(m[_s.CYCLES])), self.stalls(m)
        self.stalled, branches = stalled, int(m[_s.C_STALL_BRANCH])
        self.reached_branches = branches
        m[_s.PC], m[_s.MODE], m[_s.SIE] = entry_of(number), _s.S, 0
        m[_s.X + 1], m[_s.X + 2] = RETURN, STACK
        limit, m[_s.STOP_CYCLE] = m[_s.STOP_CYCLE], np.uint64(int(m[_s.CYCLES]) + 50_000_000)
        assert hart_run(m, self.uops) == STOP_HOOK and int(m[_s.PC]) == RETURN, self.name(number)
        m[_s.STOP_CYCLE] = limit
        self.asked = self.stalls(m) - stalled
        self.branches = int(m[_s.C_STALL_BRANCH]) - branches
        self.retired, self.spent = int(m[_s.INSTRET]) - begun[0] - 1, int(m[_s.CYCLES]) - begun[1] - 1
        value = m[_s.X + 10]
        m[:32], m[_s.MODE], m[_s.SIE], m[_s.PC] = registers, mode, enabled, pc + 4
        if number not in _HOOKS and ABI[number].results and not ABI[number].by_record:
            m[_s.X + 10] = value
        self.number = number

    @staticmethod
    def stalls(m: np.ndarray) -> int:
        """Return the cycles that memory has taken."""
        return sum(int(m[counter]) for counter in (_s.C_STALL_FETCH, _s.C_STALL_LOAD, _s.C_STALL_STORE, _s.C_STALL_WALK))

    @staticmethod
    def name(number: int) -> str:
        return _HOOKS.get(number) or ABI[number].name

    def memory(self, m: np.ndarray) -> np.ndarray:
        first = (_s.RAM_OFFSET + at.GLOBALS - at.RAM_BASE) // 8
        return m[first : first + (int(m[_s.RAM_BYTES]) - (at.GLOBALS - at.RAM_BASE)) // 8]

    def call(self) -> int:
        """Go on to the next call of the kernel and make it in both forms."""
        self.twin[:] = self.m
        # code that was written in between is decoded anew
        self.uops[:] = 0
        m = self.m
        m[_s.STOP_EVENT] = 0
        m[_s.STOP_CYCLE] = int(m[_s.CYCLES]) + 100_000_000
        self.twin[_s.STOP_EVENT], self.twin[_s.STOP_CYCLE] = m[_s.STOP_EVENT], m[_s.STOP_CYCLE]
        kernel, cycles, before = int(m[_s.C_KERNEL_INSTRUCTIONS]), int(m[_s.CYCLES]), int(m[_s.INSTRET])
        reason = system_run(m, self.system.machine.uops)
        if reason not in (STOP_EVENTS, STOP_ENDED, STOP_PRINT):
            return reason
        charged = int(m[_s.C_KERNEL_INSTRUCTIONS]) - kernel
        twin_cycles = int(self.twin[_s.CYCLES])
        self.on_the_hart()
        name = self.name(self.number)
        assert self.retired == charged, f"{name}: {self.retired} instructions retired, {charged} charged"
        assert (self.memory(self.twin) == self.memory(m)).all(), f"{name}: memory"
        assert (self.twin[_s.X : _s.X + 32] == m[_s.X : _s.X + 32]).all(), f"{name}: registers"
        assert int(m[_s.PC]) == int(self.twin[_s.PC])
        self.made[name] += 1
        self.instructions += charged
        reached = int(self.twin[_s.CYCLES]) - self.spent - 1 - twin_cycles  # to the hook, alike for both
        native = int(m[_s.CYCLES]) - cycles - reached
        paid = self.stalls(m) - self.stalled
        assert int(m[_s.C_STALL_BRANCH]) - self.reached_branches == self.branches, f"{name}: mispredicted branches"
        assert self.spent - native == self.asked - paid, f"{name}: more differs than what memory takes"
        self.native += native
        self.hart += self.spent
        self.frames += self.asked - paid
        assert int(m[_s.INSTRET]) - before >= charged
        return reason

    def run(self, calls: int = 600) -> BothForms:
        system = self.system
        for process in list(system._host.unstarted.values()):
            system.start(process)
        while not system.done and sum(self.made.values()) < calls:
            if system._load(at.G_CURRENT) == 0 and system._ready():
                system._dispatch()
            reason = self.call()
            if reason == STOP_WFI:
                system.machine._sleep(int(self.m[_s.CYCLES]) + 10_000_000)
            elif reason == STOP_PRINT:
                system._print()
            system._serve_devices()
            system._adopt()
        return self


def scenes(isolation: str) -> dict[str, System]:
    """Return systems with all kinds of programs in them."""
    found = {"family": family(isolation, rounds=1, size=5000)[0]}
    for size in (64, 5000):
        found[f"talk {size}"] = System(isolation=isolation, ram="4M")
        talk(found[f"talk {size}"], rounds=2, size=size)
    found["disk"] = System(isolation=isolation, ram="4M", disk=test_dma.CONTENTS)
    test_dma.reading(found["disk"], 0, 2)
    found["either"] = test_wait_first.scene(isolation)[0]
    found["names"] = System(isolation=isolation, ram="4M")
    found["names"].create(test_names.programs()["server"], limit=1, pause=1)
    for number in range(2):
        found["names"].create(test_names.programs()["client"], name=f"client{number}", n=number)
    return found


@pytest.mark.parametrize("isolation", ["sip", "pages", "ring3-domains", "mixed"])
@pytest.mark.parametrize("scene", ["family", "talk 64", "talk 5000", "disk", "either", "names"])
def test_every_call_of_a_run_is_the_same_in_both_forms(isolation, scene):
    both = BothForms(scenes(isolation)[scene]).run()
    assert sum(both.made.values()) > 20 and both.instructions > 1000
    # here the stack's frames are never in the caches when a call begins; tests/sing/test_kernel_costs.py lets them be warm
    assert both.hart - both.native == both.frames and 0 <= both.frames <= 0.3 * both.hart, f"{both.native:,} cycles natively, {both.hart:,} on the hart"


@pytest.mark.parametrize(("one", "other"), [("sip", "sip"), ("sip", "pages"), ("ring3-domains", "sip")])
@pytest.mark.parametrize("size", [64, 5000])
def test_calls_from_physical_memory_are_the_same_in_both_forms(one, other, size):
    """The kernel has its own page table then, as the RV64 form must."""
    system = System(isolation="mixed", ram="4M")
    client = system.create(images()["client"], rounds=2, size=size, isolation=one)
    server = system.create(images()["server"], isolation=other)
    system.connect(client["ch"], server["ch"])
    both = BothForms(system).run()
    assert client.exit_value == expected_total(2) and sum(both.made.values()) > 20


WORDS = (0, 1, 2, 3, 5, 64, 4096, 5000, 2**32, 2**63, 2**64 - 1, at.GLOBALS, at.RAM_BASE + 4096 * 200, at.RAM_BASE + 512, at.KERNEL_PROCESS)


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
@pytest.mark.parametrize("seed", range(3))
def test_random_words_are_refused_alike(isolation, seed):
    """Every ABI function, with any words and with such as earlier calls have given."""
    rng = random.Random(seed)
    text = []
    for function in rng.sample([f for f in ABI if f.kind != "ends"], k=len([f for f in ABI if f.kind != "ends"])):
        for _ in range(2):
            # t-registers are lost; s1 to s6 keep what came back before
            for place in range(len(function.arguments)):
                text.append(f"mv a{place}, s{rng.randint(1, 6)}" if rng.random() < 0.4 else f"li a{place}, {rng.choice(WORDS)}")
            if function.name in ("wait_one", "sleep_until"):
                text.append(f"li a{1 if function.name == 'wait_one' else 0}, 0")
            if function.name in ("wait_any", "wait_first"):
                text.append("li a0, 0")
            text += [f"abi {function.name}", f"mv s{rng.randint(1, 6)}, a0"]
    text += ["li a0, 0", "abi exit"]
    system = System(isolation=isolation, ram="4M", allow_unverified=True)
    system.create(hand_made("rogue", "\n".join(text)))
    talk(system, rounds=1)
    both = BothForms(system).run()
    assert len(both.made) > len(ABI) // 2, sorted(both.made)
