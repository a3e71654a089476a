"""Register allocation: liveness, interference, and colouring by weight.

Values that live across a call get registers a call preserves (s0 to s11) or a place on the stack; the
others may take t3 to t6, a6 and a7 as well. A move's two sides get the same register where nothing
forbids it. Registers a0 to a5 and t0 to t2 are never allocated: they carry arguments and serve as
scratch.
"""

from __future__ import annotations

from dataclasses import dataclass

from singlab.sing import sil
from singlab.sing.flow import Flow
from singlab.sing.sil import Arms, Function, Instr, Reg
from singlab.sing.types import Reference

SAVED = (8, 9, *range(18, 28))
SHORT = (28, 29, 30, 31, 16, 17)

#: Operations during which caller-saved registers are lost.
CALLS = frozenset(
    ("call", "new", "new_struct", "free", "send", "close", "receive", "print_text", "print_int", "process_id", "yield", "mark",
     "cycles_per_second",
     "ecall", "raw_call", "attempt", "attempt_vcall", "attempt_new", "attempt_spawn", "attempt_op", "spawn", "join", "newobj", "newarr", "vcall", "print_str",
     "new_channel", "heads", "set_new", "set_add", "set_size", "set_take", "set_close", "create", "give", "child", "ask_child",
     "split", "truncate", "share", "new_event", "new_mutex", "event_set", "event_reset", "mutex_release", "handle_close", "wait", "sleep",
     "thread_id", "thread_state", "open_io", "open_dma", "dma_address", "open_interrupt", "interrupt_ack", "name_register", "name_connect", "principal", "peer_principal", "principal_is")
)  # fmt: skip


@dataclass
class Allocation:
    """Where each register lives: a machine register's number, or a stack slot's index."""

    registers: dict[Reg, int]
    slots: dict[Reg, int]

    @property
    def saved(self) -> list[int]:
        """Preserved registers in use."""
        return sorted({r for r in self.registers.values() if r in SAVED})


def uses(instr: Instr) -> tuple[Reg, ...]:
    """Return the registers an instruction reads."""
    return instr.args


def defines(instr: Instr) -> list[Reg]:
    """Return the registers an instruction writes."""
    found = list(instr.results)
    if isinstance(instr.extra, Arms):
        found += [r for regs, _ in instr.extra.arms.values() for r in regs]
    return found


def small_constants(function: Function) -> dict[Reg, int]:
    """Return registers that are only ever one constant of 12 bits: they become immediates."""
    count: dict[Reg, int] = {}
    value: dict[Reg, int] = {}
    for param in function.params:
        count[param] = 1
    for block in function.blocks:
        for instr in block.instrs:
            for reg in defines(instr):
                count[reg] = count.get(reg, 0) + 1
            if instr.op == "const" and -2048 <= instr.extra < 2048:
                value[instr.dest] = instr.extra
            elif instr.op == "none":
                value[instr.dest] = 0
    return {reg: v for reg, v in value.items() if count[reg] == 1}


def loop_depths(function: Function) -> dict[str, int]:
    """Return how many loops each block lies in."""
    found = Flow(function).depths()
    return {block.label: found.get(block.label, 0) for block in function.blocks}


def liveness(function: Function, skip: dict[Reg, int]) -> tuple[dict[str, set[Reg]], dict[str, set[Reg]]]:
    """Return the registers live at the beginning and at the end of each block.

    The arguments of a message are written on the way to their case, so at the end of a block that receives
    they are not live yet, unless another case needs an older value of theirs.
    """
    use: dict[str, set[Reg]] = {}
    kill: dict[str, set[Reg]] = {}
    for block in function.blocks:
        used: set[Reg] = set()
        killed: set[Reg] = set()
        for instr in block.instrs:
            used |= {r for r in uses(instr) if r not in killed and r not in skip}
            killed.update(instr.results)
        use[block.label], kill[block.label] = used, killed
    live_in = {block.label: set(use[block.label]) for block in function.blocks}
    live_out: dict[str, set[Reg]] = {block.label: set() for block in function.blocks}
    changed = True
    while changed:
        changed = False
        for block in reversed(function.blocks):
            out: set[Reg] = set()
            last = block.instrs[-1]
            if isinstance(last.extra, Arms):
                for regs, label in last.extra.ways():
                    out |= live_in[label] - set(regs)
            else:
                for label in sil.successors(last):
                    out |= live_in[label]
            if out != live_out[block.label]:
                live_out[block.label] = out
                live_in[block.label] = use[block.label] | (out - kill[block.label])
                changed = True
    return live_in, live_out


def interference(function: Function, constants: dict[Reg, int]) -> tuple[dict[Reg, set[Reg]], set[Reg]]:
    """Return which registers are alive together, and which are alive across a call."""
    live_in, live_out = liveness(function, constants)
    conflicts: dict[Reg, set[Reg]] = {}
    across: set[Reg] = set()
    for param in function.params:
        conflicts.setdefault(param, set())
    for block in function.blocks:
        live = set(live_out[block.label])
        for instr in reversed(block.instrs):
            made = [r for r in defines(instr) if r not in constants]
            for reg in made:
                others = live.union(made) - {reg} if instr.more else live - {reg}
                if instr.op == "mov":
                    others -= set(instr.args)
                conflicts.setdefault(reg, set()).update(others)
                for other in others:
                    conflicts.setdefault(other, set()).add(reg)
            if isinstance(instr.extra, Arms):
                for regs, label in instr.extra.ways():
                    for reg in set(regs) - set(constants):
                        others = (live_in[label] | set(regs)) - {reg} - set(constants)
                        conflicts.setdefault(reg, set()).update(others)
                        for other in others:
                            conflicts.setdefault(other, set()).add(reg)
                across |= live
            else:
                live -= set(made)
                if instr.op in CALLS:
                    across |= live
            for reg in uses(instr):
                if reg not in constants:
                    live.add(reg)
                    conflicts.setdefault(reg, set())
    # parameters arrive together
    entry = function.params
    for param in entry:
        conflicts[param] |= set(entry) - {param}
    for block in function.blocks[:1]:
        live = set(live_out[block.label])
        for instr in reversed(block.instrs):
            live.difference_update(instr.results)
            live |= {r for r in uses(instr) if r not in constants}
        for param in entry:
            for other in live - {param}:
                conflicts[param].add(other)
                conflicts.setdefault(other, set()).add(param)
    return conflicts, across


def weights(function: Function, constants: dict[Reg, int]) -> tuple[dict[Reg, float], dict[Reg, set[Reg]]]:
    """Return how often each register is used, a loop counted ten times, and which a copy connects."""
    depth = loop_depths(function)
    weight: dict[Reg, float] = dict.fromkeys(function.params, 1)
    friends: dict[Reg, set[Reg]] = {}
    for block in function.blocks:
        scale = 10.0 ** min(depth[block.label], 6)
        for instr in block.instrs:
            for reg in (*defines(instr), *uses(instr)):
                weight[reg] = weight.get(reg, 0) + scale
            if instr.op in ("mov", "some", "as", "text") and instr.dest not in constants and instr.args[0] not in constants:
                friends.setdefault(instr.dest, set()).add(instr.args[0])
                friends.setdefault(instr.args[0], set()).add(instr.dest)
    return weight, friends


def references_across(function: Function, constants: dict[Reg, int]) -> dict[Instr, list[Reg]]:
    """Return for each call which references are alive while it stands."""
    _, live_out = liveness(function, constants)
    found: dict[Instr, list[Reg]] = {}
    for block in function.blocks:
        live = set(live_out[block.label])
        for instr in reversed(block.instrs):
            live.discard(instr.dest)
            if instr.op in CALLS or isinstance(instr.extra, Arms):
                found[instr] = [reg for reg in live if isinstance(reg.type, Reference)]
            live |= {r for r in uses(instr) if r not in constants}
    return found


def allocate(function: Function, constants: dict[Reg, int], heap: bool = False) -> Allocation:
    """Return where each register of a function lives; with a heap, s10 and s11 say where objects go."""
    preserved = SAVED[:-2] if heap else SAVED
    conflicts, across = interference(function, constants)
    weight, friends = weights(function, constants)
    registers: dict[Reg, int] = {}
    slots: dict[Reg, int] = {}
    for reg in sorted(conflicts, key=lambda r: (-weight.get(r, 0), r.number)):
        taken = {registers[o] for o in conflicts[reg] if o in registers}
        pool = preserved if reg in across else (*SHORT, *preserved)
        liked = [registers[f] for f in sorted(friends.get(reg, ()), key=lambda r: r.number) if f in registers]
        choice = next((r for r in (*liked, *pool) if r not in taken and r in pool), None)
        if choice is not None:
            registers[reg] = choice
        else:
            used = {slots[o] for o in conflicts[reg] if o in slots}
            slots[reg] = next(i for i in range(len(used) + 1) if i not in used)
    return Allocation(registers, slots)
