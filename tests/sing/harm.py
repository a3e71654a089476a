"""Whether a module that the verifier accepted does harm: it runs beside others, and everything it does is held against what it may."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from chance import Chance
from guard import run_guarded
from mutants import EXCEPTIONAL, RICH, SUBJECT
from mutants_endpoints import LAYOUTS, PASSING, SETS, THREADS
from running import image

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.abi import ABI_NUMBER, E_BAD_ARGUMENT
from singlab.sing import SipError, format_module, verify
from singlab.sing.build import seal_module
from singlab.sing.sil import Module
from singlab.sing.types import Endpoint
from singlab.trace.record import Kind

#: Cycles a system with a changed program runs.
CYCLES = 1_500_000
#: What ends a process although the verifier has accepted it: failed checks. 4 and 6 mean that the kernel refused what was proven.
_PROVEN = (4, 6)
_ENDPOINTS = (PASSING, SETS, THREADS)


class Beside:
    """A system with a good pair of processes in it, to which a changed program and its server come; made once and gone back to."""

    def __init__(self, isolation: str, source: str):
        self.system = System(isolation=isolation, ram="2M", quantum_us=20)
        self.good, self.good_server = self.system.create(image(SUBJECT), n=5), self.system.create(image(SUBJECT, "server"))
        self.system.connect(self.good["ch"], self.good_server["ch"])
        peer = image(source.replace("def server(", "def other_server("), "rich_server" if source == RICH else "other_server")
        self.peer = self.system.install(peer).name
        self.text = self.system.machine.read(at.TEXT_BASE, 0x1_0000)
        self.here = self.system.snapshot()


_beside = cache(Beside)


def run_among_others(module: Module, isolation: str, text: Callable[[], str], optimiser: bool, source: str = SUBJECT) -> None:
    """Run a module, with its server from a source, beside a good pair; nothing but its own state may show that it ran."""
    module.name = "mutant"  # two programs of one name cannot both be installed
    made = seal_module(module, verified=True, optimiser=optimiser)
    beside = _beside(isolation, source)
    system, good = beside.system, beside.good
    system.restore(beside.here)
    mutant, server = system.create(made, n=7), system.create(beside.peer)
    system.connect(mutant["ch"], server["ch"])
    code = {p.number: system.machine.read(p._field(at.P_CODE), p._field(at.P_CODE_BYTES)) for p in system.processes}
    places = {p.number: p._field(at.P_CODE) for p in system.processes}
    own = None  # sends of one end of a channel over the other, which the kernel refuses at run time
    if isolation == "sip":  # where nothing in the hardware would stop it, each of its accesses is looked at
        most = sum(isinstance(p.type, Endpoint) for p in module.functions[module.entry].params)
        _, seen = run_guarded(system, mutant, cycles=CYCLES, startup=most)
        own = seen.own_channel
    else:
        system.run(cycles=CYCLES)
    events = system.trace.events
    assert good.exit_value == 20 and beside.good_server.end.state == "exit", text()
    assert server.fault is None, text()
    # what the verifier proves: no stray access, no foreign block, no message out of turn, no stack overflow
    assert mutant.fault is None or (mutant._field(at.P_FAULT_PC) == 0 and mutant.fault.code not in _PROVEN) or mutant.fault.code in (
        1, 2, 3, 5, 9, 11, 20, 21, 22), f"{mutant.fault}\n{text()}"  # fmt: skip
    mine = events[events["process"] == mutant.number]
    refused_rightly(mine[mine["kind"] == Kind.REFUSED], own, text)
    assert system.machine.read(at.TEXT_BASE, 0x1_0000) == beside.text
    assert system.machine.read(places[mutant.number], len(code[mutant.number])) == code[mutant.number]
    for process in system.processes:
        if process.state == "stopped":
            assert set(process.holdings().values()) == {0}


def refused_rightly(refused, own: int | None, text: Callable[[], str]) -> None:
    """Check that the kernel refused nothing but what the verifier leaves to it.

    Whatever it refuses otherwise names an endpoint, set or block the process does not have, or a message out of turn.
    """
    over_itself = 0
    for event in refused:
        call, status = int(event["a"]), int(event["b"])
        if call == ABI_NUMBER["join_thread"]:
            continue
        over_itself += call == ABI_NUMBER["send"] and status == E_BAD_ARGUMENT
        name = next(name for name, number in ABI_NUMBER.items() if number == call)
        assert call == ABI_NUMBER["send"] and status == E_BAD_ARGUMENT, f"the kernel refused {name}: {status}\n{text()}"
    assert own is None or over_itself <= own, f"the kernel refused to send an endpoint\n{text()}"


def harmless(seed: int, isolation: str, optimiser: bool = True, text: str = SUBJECT) -> bool:
    """Change a module as a seed says and run it if the verifier accepts it; returns whether it ran."""
    chance = changed(seed, text)
    module = chance.subject.module
    try:
        verify(module)
    except SipError as error:
        assert error.rule and error.message
        return False
    run_among_others(module, isolation, lambda: f"seed {seed}\n{format_module(module)}", optimiser, text)
    return True


def changed(seed: int, text: str) -> Chance:
    """Return a changed module, as a seed says."""
    chance = Chance(seed, text)
    for _ in range(chance.random.randint(1, 3)):
        if text == EXCEPTIONAL and chance.random.random() < 0.3:
            chance.exceptional_step()
        elif text in _ENDPOINTS and chance.random.random() < 0.8:
            chance.about_endpoints()
        elif text == LAYOUTS and chance.random.random() < 0.6:
            chance.reference_to_another_class()
        else:
            chance.step()
    return chance
