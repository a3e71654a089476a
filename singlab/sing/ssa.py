"""Static single assignment: into it, out of it, and what of a graph must be so for that.

``phi d, a...`` with the labels of the predecessors in ``extra`` stands first in its block. Before the
form is made every loop has a block of its own in front of it, and no edge leads from a block with
several ways out to one with several ways in. Out of it each phi becomes copies through a register of
its own, and copies whose two sides are never alive together become one register.
"""

from __future__ import annotations

from singlab.sing import sil
from singlab.sing.flow import Flow
from singlab.sing.regalloc import defines, interference, liveness, small_constants
from singlab.sing.sil import Arms, Block, Function, Instr, Reg
from singlab.sing.types import Reference, Type


class Undefined(Exception):
    """A register is read where it may have no value; the verifier found that such a place is never reached."""


class Maker:
    """Fresh registers and labels of one function."""

    def __init__(self, function: Function):
        self.count = 1 + max((reg.number for reg in function.registers()), default=0)
        self.labels = {block.label for block in function.blocks}

    def reg(self, type_: Type, name: str | None = None) -> Reg:
        self.count += 1
        return Reg(self.count - 1, type_, name)

    def label(self) -> str:
        label = f"_{len(self.labels)}"
        self.labels.add(label)
        return label


def copied(instr: Instr, **changes) -> Instr:
    """Return an instruction of its own, with changes."""
    new = Instr(instr.op, instr.dest, instr.args, instr.extra, instr.position, instr.more)
    if isinstance(instr.extra, Arms):
        new.extra = instr.extra.mapped()
    for name, value in changes.items():
        setattr(new, name, value)
    return new


def redirect(instr: Instr, old: str, new: str) -> None:
    """Let a terminator go elsewhere."""
    if instr.op == "br":
        instr.extra = new if instr.extra == old else instr.extra
    elif instr.op == "cbr":
        instr.extra = tuple(new if label == old else label for label in instr.extra)
    elif isinstance(instr.extra, Arms):
        instr.extra = instr.extra.mapped(label=lambda label: new if label == old else label)


def prepare(function: Function, maker: Maker) -> None:
    """Drop what is not reached, put a block before each loop, split critical edges."""
    for block in function.blocks:
        last = block.instrs[-1]
        if last.op == "cbr" and last.extra[0] == last.extra[1]:
            block.instrs[-1] = Instr("br", None, (), last.extra[0], last.position)
        if isinstance(last.extra, Arms):  # each way out gets a block: its arguments are defined there
            last.extra = last.extra.mapped(label=lambda label, at=last: between(function, maker, label, at))
    flow = Flow(function)
    function.blocks = [flow.blocks[b.label] for b in function.blocks if b.label in flow.blocks]
    for head in flow.loops:
        middle = between(function, maker, head, flow.blocks[head].instrs[0])
        for label in flow.outside(head):
            redirect(flow.blocks[label].instrs[-1], head, middle)
    flow = Flow(function)
    for label, block in flow.blocks.items():
        if len(flow.successors[label]) > 1:
            for target in flow.successors[label]:
                if len(flow.predecessors[target]) > 1:
                    redirect(block.instrs[-1], target, between(function, maker, target, block.instrs[-1]))


def between(function: Function, maker: Maker, target: str, at: Instr) -> str:
    """Return the label of a new block that only goes to ``target``."""
    block = Block(maker.label(), [Instr("br", None, (), target, at.position)])
    function.blocks.append(block)
    return block.label


def into_ssa(function: Function, maker: Maker, flow: Flow) -> None:
    """Give each definition a register of its own; raises Undefined."""
    live_in, _ = liveness(function, {})
    homes: dict[Reg, list[str]] = {reg: [flow.entry] for reg in function.params}
    for block in function.blocks:
        for instr in block.instrs:
            for reg in defines(instr):
                homes.setdefault(reg, []).append(block.label)
        if isinstance(block.instrs[-1].extra, Arms):
            for regs, label in block.instrs[-1].extra.arms.values():
                for reg in regs:
                    homes[reg].append(label)
    several = {reg for reg, where in homes.items() if len(where) > 1}
    place_phis(flow, {reg: homes[reg] for reg in several}, live_in)
    versions: dict[Reg, list[Reg]] = {reg: [] for reg in several}
    for reg in function.params:
        if reg in several:
            versions[reg].append(reg)
    arriving: dict[str, list[tuple[Reg, Reg]]] = {}
    todo: list = [flow.entry]
    while todo:
        label = todo.pop()
        if isinstance(label, list):
            for reg in label:
                versions[reg].pop()
            continue
        made: list[Reg] = []
        todo.append(made)

        def fresh(reg: Reg, made=made) -> Reg:
            if reg not in several:
                return reg
            new = maker.reg(reg.type, reg.name)
            versions[reg].append(new)
            made.append(reg)
            return new

        def read(reg: Reg) -> Reg:
            if reg in several:
                if not versions[reg]:
                    raise Undefined
                return versions[reg][-1]
            if reg not in homes:
                raise Undefined
            return reg

        for reg, new in arriving.get(label, ()):
            versions[reg].append(new)
            made.append(reg)
        for instr in flow.blocks[label].instrs:
            if instr.op == "phi":
                instr.dest = fresh(instr.dest)
                continue
            instr.args = tuple(map(read, instr.args))
            if instr.dest is not None:
                instr.dest = fresh(instr.dest)
            instr.more = tuple(map(fresh, instr.more))
            if isinstance(instr.extra, Arms):
                for name, (regs, target) in instr.extra.arms.items():
                    new = tuple(maker.reg(r.type, r.name) if r in several else r for r in regs)
                    arriving[target] = [(r, n) for r, n in zip(regs, new) if r is not n]
                    instr.extra.arms[name] = (new, target)
        for target in flow.successors[label]:
            for instr in flow.blocks[target].instrs:
                if instr.op != "phi":
                    break
                place = instr.extra.index(label)
                origin = instr.args[place]
                instr.args = (*instr.args[:place], read(origin), *instr.args[place + 1 :])
        todo += flow.children[label]


def place_phis(flow: Flow, homes: dict[Reg, list[str]], live_in: dict[str, set[Reg]]) -> None:
    """Put a phi where definitions meet and the value is still wanted."""
    frontier: dict[str, set[str]] = {label: set() for label in flow.blocks}
    for label, sources in flow.predecessors.items():
        if len(sources) > 1:
            for source in sources:
                while source != flow.dominator[label]:
                    frontier[source].add(label)
                    source = flow.dominator[source]
    for reg in sorted(homes, key=lambda r: r.number):
        todo, done = list(homes[reg]), set()
        while todo:
            for label in frontier[todo.pop()]:
                if label not in done and reg in live_in[label]:
                    done.add(label)
                    todo.append(label)
                    sources = tuple(flow.predecessors[label])
                    block = flow.blocks[label]
                    block.instrs.insert(0, Instr("phi", reg, (reg,) * len(sources), sources, block.instrs[0].position))


def out_of_ssa(function: Function, maker: Maker) -> None:
    """Replace phis by copies and join what a copy keeps apart for nothing."""
    blocks = {block.label: block for block in function.blocks}
    for block in function.blocks:
        heads = []
        while block.instrs[0].op == "phi":
            phi = block.instrs.pop(0)
            through = maker.reg(phi.dest.type)
            heads.append(Instr("mov", phi.dest, (through,), None, phi.position))
            for label, reg in zip(phi.extra, phi.args):
                source = blocks[label].instrs
                source.insert(len(source) - 1, Instr("mov", through, (reg,), None, source[-1].position))
        block.instrs[:0] = heads
    coalesce(function)


def coalesce(function: Function) -> None:
    """Make one register of the two sides of a copy where they are never alive together."""
    constants = small_constants(function)
    conflicts, _ = interference(function, constants)
    depth = Flow(function).depths()
    leader: dict[Reg, Reg] = {}

    def find(reg: Reg) -> Reg:
        while reg in leader:
            reg = leader[reg]
        return reg

    copies = [(-depth[b.label], i, instr) for b in function.blocks for i, instr in enumerate(b.instrs) if instr.op == "mov"]
    for _, _, instr in sorted(copies, key=lambda c: c[:2]):
        one, other = find(instr.dest), find(instr.args[0])
        if one is other or one in constants or other in constants or not alike(one, other):
            continue
        if other in conflicts[one] or one in conflicts[other]:
            continue
        if one in function.params or (one.type != other.type and one.type.nullable):
            one, other = other, one
        if one in function.params or (other.type != one.type and not other.type.nullable):
            continue
        leader[one] = other
        for third in conflicts.pop(one):
            conflicts[third].discard(one)
            conflicts[third].add(other)
            conflicts[other].add(third)
    for block in function.blocks:
        kept = []
        for instr in block.instrs:
            instr.args = tuple(map(find, instr.args))
            instr.dest = instr.dest and find(instr.dest)
            instr.more = tuple(map(find, instr.more))
            if isinstance(instr.extra, Arms):
                instr.extra = instr.extra.mapped(find)
            if not (instr.op == "mov" and instr.dest is instr.args[0]):
                kept.append(instr)
        block.instrs = kept


def alike(one: Reg, other: Reg) -> bool:
    """Whether two registers have one type, but that one of them may hold None."""
    return one.type == other.type or (isinstance(one.type, Reference) and isinstance(other.type, Reference) and one.type.certain == other.type.certain)


def lay_out(function: Function) -> None:
    """Thread jumps, join blocks, put loop tests last, and order the blocks."""
    thread(function)
    rotate(function)
    thread(function)
    flow = Flow(function)
    depth = flow.depths()
    placed: dict[str, Block] = {}
    todo = [flow.entry]
    while todo:
        label = todo.pop()
        while label is not None and label not in placed:
            placed[label] = flow.blocks[label]
            targets = [t for t in flow.successors[label] if t not in placed]
            targets.sort(key=lambda t: depth[t])
            todo += targets[:-1]
            label = targets[-1] if targets else None
    function.blocks = list(placed.values())


def thread(function: Function) -> None:
    """Go around empty blocks; join a block to its only predecessor."""
    empty = {b.label: b.instrs[0].extra for b in function.blocks[1:] if b.instrs[0].op == "br"}
    for block in function.blocks:
        last = block.instrs[-1]
        for label in sil.successors(last):
            end, seen = label, {label}
            while end in empty and empty[end] not in seen:
                end = empty[end]
                seen.add(end)
            if end != label:
                redirect(last, label, end)
        if last.op == "cbr" and last.extra[0] == last.extra[1]:
            block.instrs[-1] = Instr("br", None, (), last.extra[0], last.position)
    flow = Flow(function)
    gone: set[str] = set()
    for label, block in flow.blocks.items():
        if label in gone:
            continue
        while block.instrs[-1].op == "br":
            target = block.instrs[-1].extra
            if len(flow.predecessors[target]) > 1 or target in (label, flow.entry):
                break
            block.instrs[-1:] = flow.blocks[target].instrs
            gone.add(target)
    function.blocks = [b for b in function.blocks if b.label in flow.blocks and b.label not in gone]


#: A loop's test is repeated at its end if it has at most so many instructions.
_TEST = 6


def rotate(function: Function) -> None:
    """Repeat a loop's short test at its end, so that a round takes one branch."""
    blocks = {block.label: block for block in function.blocks}
    for head, body in Flow(function).loops.items():
        test = blocks[head].instrs
        leaves = test[-1].op == "cbr" and any(label not in body for label in test[-1].extra)
        if not leaves or len(test) > _TEST or any(i.op in ("call", "vcall", "new", "new_struct", "newobj", "newarr", "send") for i in test):
            continue
        for label in sorted(body):
            last = blocks[label].instrs[-1]
            if last.op == "br" and last.extra == head and label != head:
                blocks[label].instrs[-1:] = [copied(instr) for instr in test]
