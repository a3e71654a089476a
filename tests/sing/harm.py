"""Whether a module that the verifier accepted does harm: it runs beside others, and everything it does is held against what it may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from chance import Chance
from guard import run_guarded
from mutants import EXCEPTIONAL, RICH, SUBJECT
from mutants_endpoints import LAYOUTS, PASSING, SETS, THREADS
from mutants_system import SYSTEM
from running import image

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.abi import (
    ABI,
    ABI_NUMBER,
    E_BAD_ARGUMENT,
    E_BAD_HANDLE,
    E_BUSY,
    E_CONTRACT,
    E_DENIED,
    E_NO_NAME,
    E_NOT_OWNER,
    E_REFUSED,
)
from singlab.kernel.audit import check
from singlab.sing import SipError, format_module, programs_from_source, verify
from singlab.sing.build import seal_module
from singlab.sing.declaration import Declaration, declaration
from singlab.sing.exceptions import FIRST_NUMBER
from singlab.sing.sil import Module
from singlab.sing.types import Endpoint
from singlab.trace.record import Kind

#: Cycles a system with a changed program runs.
CYCLES = 1_500_000
#: What ends a process although the verifier has accepted it: failed checks. 4 and 6 mean that the kernel refused what was proven.
_PROVEN = (4, 6)
_ENDPOINTS = (PASSING, SETS, THREADS)
_HANDLE, _CHILD = (E_BAD_HANDLE, E_NOT_OWNER, E_BAD_ARGUMENT), (E_BAD_HANDLE, E_BAD_ARGUMENT)
#: What the verifier leaves to the kernel, by call: a handle that was closed or is not in the state for it, a child that is none (its
#: handle is a number), a place that the manifest has not, a name that cannot be had, and what there is no room for.
_LEFT_TO_KERNEL = {
    **dict.fromkeys(("set_event", "reset_event", "release_mutex", "close_handle", "wait_one", "wait_any", "ack_interrupt"), _HANDLE),
    **dict.fromkeys(("start_child", "join_child", "suspend_child", "resume_child", "suspend_barrier", "stop_child", "get_child_state",
                     "get_exit_code", "get_child_id", "dispose_child"), _CHILD),
    **dict.fromkeys(("set_startup_argument", "set_startup_endpoint"), (*_CHILD, E_CONTRACT)),
    **dict.fromkeys(("create_event", "create_mutex", "get_io_memory", "get_dma_memory", "get_dma_address", "open_interrupt", "create_child", "create_thread"), (E_BAD_ARGUMENT,)),
    "register_name": (E_CONTRACT, E_DENIED, E_BAD_ARGUMENT), "connect_name": (E_NO_NAME, E_DENIED, E_CONTRACT, E_REFUSED, E_BUSY),
}  # fmt: skip


class Beside:
    """A system with a good pair of processes in it, to which a changed program and its server come; made once and gone back to."""

    def __init__(self, isolation: str, source: str):
        self.system = System(isolation=isolation, ram="2M", quantum_us=20)
        self.good, self.good_server = self.system.create(image(SUBJECT), n=5), self.system.create(image(SUBJECT, "server"))
        self.system.connect(self.good["ch"], self.good_server["ch"])
        peer = image(source.replace("def server(", "def other_server("), "rich_server" if source == RICH else "other_server")
        self.peer = self.system.install(peer).name
        if "def worker(" in source:
            self.system.install(image(source, "worker"))
        self.text = self.system.machine.read(at.TEXT_BASE, 0x1_0000)
        self.here = self.system.snapshot()


_beside = cache(Beside)


@cache
def declared(source: str) -> Declaration:
    """Return what a text's ``p`` declares."""
    return declaration(programs_from_source(source, "text").programs["p"])



def run_among_others(module: Module, isolation: str, text: Callable[[], str], optimiser: bool, source: str = SUBJECT) -> None:
    """Run a module, with its server from a source, beside a good pair; nothing but its own state may show that it ran."""
    module.name = "mutant"  # two programs of one name cannot both be installed
    made = seal_module(module, verified=True, optimiser=optimiser, declared=replace(declared(source), name="mutant"))
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
        assert not seen.unproven, f"{seen.unproven} is given what the verifier should have refused\n{text()}"
    else:
        system.run(cycles=CYCLES)
    events = system.trace.events
    assert good.exit_value == 20 and beside.good_server.end.state == "exit", text()
    assert server.fault is None, text()
    mine = events[events["process"] == mutant.number]
    refused = mine[mine["kind"] == Kind.REFUSED]
    # what the verifier proves: no stray access, no foreign block, no message out of turn, no stack overflow
    proven = mutant.fault is not None and mutant.fault.code in _PROVEN and not (raises_anything(module) and not len(refused))
    assert mutant.fault is None or (mutant._field(at.P_FAULT_PC) == 0 and not proven) or mutant.fault.code in (
        1, 2, 3, 5, 9, 11, 20, 21, 22) or by_a_device(mutant, module), f"{mutant.fault}\n{text()}"  # fmt: skip
    refused_rightly(refused, own, text, mutant.fault is not None and mutant.fault.code, source in SYSTEM.values())
    assert all(child.fault is None for child in mutant.children), text()
    check(system)
    assert system.machine.read(at.TEXT_BASE, 0x1_0000) == beside.text
    assert system.machine.read(places[mutant.number], len(code[mutant.number])) == code[mutant.number]
    for process in system.processes:
        if process.state == "stopped":
            assert set(process.holdings().values()) == {0}


def raises_anything(module: Module) -> bool:
    """Return whether a module raises numbers that are no exception's: nobody catches them, and the process ends as if by the fault of that number."""
    made = {i.dest for f in module.functions.values() for b in f.blocks for i in b.instrs if i.op == "const" and i.extra >= FIRST_NUMBER}
    return any(i.op == "raise" and i.args[0] not in made for f in module.functions.values() for b in f.blocks for i in b.instrs)


def by_a_device(process, module: Module) -> bool:
    """Return whether a process may have ended because a device has no register of that width at a place that is its process's own.

    In "sip" the guard has looked at the address before; in ring 3 its page table has.
    """
    place = process._field(at.P_FAULT_PC)
    word = int.from_bytes(process._system.machine.read(place, 4), "little") if place else 0
    wide = word & 127 in (0x03, 0x23) and word >> 12 & 3 in (1, 2)
    return process.fault.code == 8 and wide and any(i.op in ("io_read", "io_write") for f in module.functions.values() for b in f.blocks for i in b.instrs)


def refused_rightly(refused, own: int | None, text: Callable[[], str], fault: int, system: bool) -> None:
    """Check that the kernel refused nothing but what the verifier leaves to it.

    Whatever it refuses otherwise names an endpoint, set or block the process does not have, or a message out of turn.
    ``system`` says that the program is about more than messages and blocks.
    """
    over_itself = 0
    for event in refused:
        call, status = int(event["a"]), int(event["b"])
        if call == ABI_NUMBER["join_thread"]:
            continue
        over_itself += call == ABI_NUMBER["send"] and status == E_BAD_ARGUMENT
        name = ABI[call].name
        if system and (status in _LEFT_TO_KERNEL.get(name, ()) or (name in ("split", "share") and fault == 5 and status == E_BAD_ARGUMENT)):
            continue  # a vector that could not be put apart for want of memory has ended the process
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
    assert not any(i.op.startswith("raw_") for f in module.functions.values() for b in f.blocks for i in b.instrs), f"seed {seed}: a raw instruction"
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
        elif text in SYSTEM.values() and chance.random.random() < 0.8:
            chance.about_system()
        else:
            chance.step()
    return chance
