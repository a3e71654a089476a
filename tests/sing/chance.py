"""Random changes of a valid module, one instruction at a time."""

from __future__ import annotations

import copy
import pickle
import random
from functools import cache

from chance_system import SystemChance
from mutants import OBJECTS, SUBJECT, Subject, again
from mutants_endpoints import LAYOUTS
from mutants_system import ATTEMPTS, HANDLES, REGIONS

from singlab.sing import sil
from singlab.sing.sil import Arms, Attempt, Block, Function, Instr, NewChannel, Receive, Reg, Select
from singlab.sing.types import (
    BOOL,
    I32,
    STR,
    U8,
    U16,
    U32,
    U64,
    Array,
    Endpoint,
    EndpointSet,
    Object,
    Reference,
    Vector,
)
from singlab.sing.types import (
    HANDLES as HANDLE_TYPES,
)

#: What makes, moves and ends what is owned, and threads.
_OWNING = ("send", "close", "mov", "free", "new", "set_new", "set_add", "set_close", "set_size", "spawn", "join", "call",
           "split", "truncate", "share", "give", "name_register", "name_connect", "principal", "peer_principal", "attempt_spawn")  # fmt: skip
#: What takes an operand of its own away.
_ENDING = ("send", "close", "free", "set_add", "set_close", "spawn", "call", "ret",
           "split", "truncate", "share", "give", "name_register", "name_connect", "attempt_spawn")  # fmt: skip


@cache
def _pickled(text: str) -> bytes:
    return pickle.dumps(Subject(text).module)


def subject(text: str) -> Subject:
    """Return a subject of its own, as ``Subject(text)``, without compiling the text again."""
    one = Subject.__new__(Subject)
    one.text, one.module, one.fresh = text, pickle.loads(_pickled(text)), 1000
    return one


class Chance(SystemChance):
    """Changes a module at random, one instruction at a time."""

    def __init__(self, seed: int, text: str = SUBJECT):
        self.random = random.Random(seed)
        self.subject = subject(text)
        structs = list(self.subject.module.structs.values())
        self.types = [U8, U64, I32, BOOL, Vector(U8), Vector(U64), Endpoint(next(iter(self.subject.module.contracts)), "Imp"),
                      *structs, *map(Vector, structs)]  # fmt: skip
        self.ops = [*sil.ARITHMETIC, *sil.COMPARISONS, "mov", "load", "len", "free", "neg", "cast", "new", "new_struct", "load_field", "load_item"]
        if text == REGIONS:
            self.types = [U8, U16, U64, Vector(U8), Vector(U16), Vector(U8, True), Vector(U16, True), Endpoint("Parts", "Imp")]
            self.ops = ["add", "mov", "load", "len", "free", "split", "truncate", "share", "store", "cast", "new"]
        if text == HANDLES:
            self.types = [U8, U16, U32, U64, BOOL, *HANDLE_TYPES]
            self.ops = ["mov", "add", "cast", "eq", "event_set", "event_reset", "mutex_release", "handle_close", "interrupt_ack", "wait", "sleep", "new_mutex",
                        "new_event", "thread_state", "thread_id", "open_io", "open_interrupt", "io_read", "io_write"]  # fmt: skip
        if text in (OBJECTS, LAYOUTS, ATTEMPTS):
            classes = [Object(cls=name) for name in sorted(self.subject.module.classes)]
            self.types = [U8, U64, STR, *classes, *(c.perhaps for c in classes), Array(element=U8), Array(element=U64), Array(element=classes[0])]
            self.ops = ["mov", "load", "len", "new", "newobj", "newarr", "getf", "putf", "none", "some", "as", "text", "eq", "cast"]

    def somewhere(self) -> tuple[Function, Block, int]:
        function = self.random.choice([f for n, f in self.subject.module.functions.items()])
        block = self.random.choice([b for b in function.blocks if b.instrs])
        return function, block, self.random.randrange(len(block.instrs))

    def another(self, reg: Reg, known: list[Reg], wild: float = 0.2) -> Reg:
        """Return a register of the same type, seldom one of any."""
        same = [r for r in known if r.type == reg.type]
        return self.random.choice(known if not same or self.random.random() < wild else same)

    def step(self) -> None:
        """Change one thing."""
        function, block, index = self.somewhere()
        instr = block.instrs[index]
        registers = function.registers()
        kind = self.random.randrange(16 if self.subject.module.structs else 12)
        if self.subject.module.classes and self.random.random() < 0.4:
            self.about_classes(instr)
        elif kind == 0 and len(block.instrs) > 1:
            del block.instrs[index]
        elif kind == 1:
            block.instrs.insert(index, copy.copy(instr))
        elif kind == 2:
            other = self.random.randrange(len(block.instrs))
            block.instrs[index], block.instrs[other] = block.instrs[other], block.instrs[index]
        elif kind == 3 and instr.args:
            at_ = self.random.randrange(len(instr.args))
            same = [r for r in registers if r.type == instr.args[at_].type] if self.random.random() < 0.8 else registers
            instr.args = (*instr.args[:at_], self.random.choice(same), *instr.args[at_ + 1 :])
        elif kind == 4 and instr.dest is not None:
            same = [r for r in registers if r.type == instr.dest.type] if self.random.random() < 0.8 else registers
            instr.dest = self.random.choice(same)
        elif kind == 5:
            instr.op = self.random.choice(self.ops)
        elif kind == 6 and instr.op in ("br", "cbr"):
            labels = [b.label for b in function.blocks]
            instr.extra = self.random.choice(labels) if instr.op == "br" else tuple(self.random.choices(labels, k=2))
        elif kind == 7 and instr.op == "const":
            instr.extra = self.random.choice([0, 1, 255, 1 << 31, (1 << 64) - 1, self.random.randrange(1 << 64)])
        elif kind == 8:
            self.random.choice(registers).type = self.random.choice(self.types)
        elif kind == 9:
            other_block = self.random.choice(function.blocks)
            other_block.instrs.insert(self.random.randrange(len(other_block.instrs)), copy.copy(instr))
        elif kind == 10 or instr.op == "receive":
            receives = [(f, i) for f in self.subject.module.functions.values() for b in f.blocks for i in b.instrs if i.op == "receive"]
            if not any(i.extra.arms for _, i in receives):
                return
            function, instr = self.random.choice([(f, i) for f, i in receives if i.extra.arms])
            registers = function.registers()
            labels = [b.label for b in function.blocks]
            arms = dict(instr.extra.arms)
            name = self.random.choice(sorted(arms))
            regs = tuple(self.another(reg, registers, 0) for reg in arms[name][0])
            arms[name] = (regs, self.random.choice([arms[name][1], *labels]))
            instr.extra = Receive(arms, self.random.choice([instr.extra.closed, None, *labels]))
        elif kind == 12:
            block.instrs.insert(index, Instr("free", None, (self.random.choice([r for r in registers if r.type.block] or registers),)))
        elif kind == 13:
            block_params = [i for i, p in enumerate(function.params) if p.type.block]
            if block_params:
                function.borrowed ^= {self.random.choice(block_params)}
        elif kind == 14:
            fields = [i for b in function.blocks for i in b.instrs if i.op in ("load_field", "store_field", "load_item", "store_item")]
            if fields:
                self.random.choice(fields).extra = self.random.choice(["length", "kind", "ok", "shift"])
        elif kind == 15:
            several = [i for b in function.blocks for i in b.instrs if i.more]
            if several:
                call = self.random.choice(several)
                call.more = tuple(self.random.choice([r for r in registers if r.type == reg.type]) for reg in call.more)
        else:
            rest = function.blocks[1:]
            self.random.shuffle(rest)
            function.blocks[1:] = rest

    def exceptional_step(self) -> None:
        """Change a way an exception takes."""
        function, block, _ = self.somewhere()
        registers = function.registers()
        labels = [b.label for b in function.blocks]
        kind = self.random.randrange(5)
        arms = [(i, b) for b in function.blocks for i in b.instrs if isinstance(i.extra, Attempt)]
        if kind == 0:
            function.raises = not function.raises
        elif kind == 1:
            numbers = [r for r in registers if r.type == U64] or registers
            block.instrs[-1] = Instr("raise", None, (self.random.choice(numbers),))
        elif kind == 2 and arms:
            instr, home = self.random.choice(arms)
            if instr.op == "attempt":  # called as if it did not raise
                regs, label = instr.extra.arms["returned"]
                home.instrs[-1:] = [Instr("call", regs[0] if regs else None, instr.args, instr.extra.function), Instr("br", extra=label)]
        elif arms:
            instr, _ = self.random.choice(arms)
            name = self.random.choice(["returned", "raised"])
            regs, label = instr.extra.arms[name]
            if kind == 3:
                label = self.random.choice(labels)
            elif regs:
                same = [r for r in registers if r.type == regs[0].type] if self.random.random() < 0.8 else registers
                regs = (self.random.choice(same),)
            instr.extra = Attempt({**instr.extra.arms, name: (regs, label)}, None, instr.extra.function)

    def about_classes(self, instr: Instr) -> None:
        """Change a class, or which field, method or class an instruction names."""
        classes = self.subject.module.classes
        one = self.random.choice(sorted(classes))
        kind = self.random.randrange(6)
        if self.random.random() < 0.6:
            self.another_reference()
        elif kind == 0:
            classes[one].fields[self.random.choice(sorted(classes[one].fields))] = self.random.choice(self.types)
        elif kind == 1:
            classes[one].methods["weight"] = self.random.choice(sorted(self.subject.module.functions))
        elif kind == 2:
            classes[one].parent = self.random.choice([None, *sorted(classes)])
        elif kind == 3:
            items = list(classes[one].fields.items())
            self.random.shuffle(items)
            classes[one].fields = dict(items)
        elif instr.op in ("getf", "putf"):
            instr.extra = self.random.choice(sorted({f for c in classes.values() for f in c.fields}))
        elif instr.op == "isinst":
            instr.extra = one

    def another_reference(self) -> None:
        """Let an instruction use another reference, of whatever type."""
        function = self.random.choice(list(self.subject.module.functions.values()))
        instrs = [i for b in function.blocks for i in b.instrs if any(isinstance(r.type, Reference) for r in i.args)]
        known = [r for r in function.registers() if isinstance(r.type, Reference)]
        if instrs:
            instr = self.random.choice(instrs)
            place = self.random.choice([k for k, r in enumerate(instr.args) if isinstance(r.type, Reference)])
            instr.args = (*instr.args[:place], self.random.choice(known), *instr.args[place + 1 :])

    def reference_to_another_class(self) -> None:
        """Let a reference become one of another kind: by a move in between, by a parameter's, field's or variable's type, by an argument."""
        module = self.subject.module
        function, block, index = self.somewhere()
        instr = block.instrs[index]
        known = [r for r in function.registers() if isinstance(r.type, Reference)]
        kind = self.random.randrange(4)
        if kind == 0 and known:
            block.instrs.insert(index, Instr("mov", self.random.choice(known), (self.random.choice(known),)))
        elif kind == 1 and known:
            one, other = self.random.choice(known), self.random.choice(known)
            one.type = other.type
        elif kind == 2 and instr.op in ("getf", "putf"):
            fields = [f for c in module.classes.values() for f in c.fields]
            instr.extra = self.random.choice(fields)
        elif any(isinstance(r.type, Reference) for r in instr.args):
            self.another_reference()

    # ---- endpoints, sets and threads ------------------------------------------------------------------------------------

    def about_endpoints(self) -> None:
        """Drop, double, move or exchange an instruction about what is owned, or change its operands, or a way out."""
        module = self.subject.module
        function = self.random.choice(list(module.functions.values()))
        owning = [(b, i) for b in function.blocks for i in b.instrs if i.op in _OWNING]
        everywhere = [(f, i) for f in module.functions.values() for b in f.blocks for i in b.instrs]
        ways = [(f, i) for f, i in everywhere if isinstance(i.extra, (Select, NewChannel, Receive))]
        selects = [(f, i) for f, i in ways if isinstance(i.extra, Select)]
        choice = self.random.random()
        if ways and choice < 0.3:
            self.about_ways(*self.random.choice(selects if selects and choice < 0.15 else ways))
            return
        if choice > 0.85:
            self.exchange(function)
            return
        if choice > 0.65:
            self.around_its_end()
            return
        if not owning:
            return
        block, instr = self.random.choice(owning)
        index = next(k for k, i in enumerate(block.instrs) if i is instr)
        registers = function.registers()
        kind = self.random.randrange(9)
        if kind == 0:
            del block.instrs[index]
        elif kind == 1:
            where = self.random.choice([block, block, self.random.choice(function.blocks)])
            where.instrs.insert(self.random.randrange(len(where.instrs)), again(instr))
        elif kind == 2:
            block.instrs.remove(instr)
            where = self.random.choice([block, self.random.choice(function.blocks)])
            where.instrs.insert(self.random.randrange(max(1, len(where.instrs))), instr)
        elif kind == 3 and instr.args:
            place = self.random.randrange(len(instr.args))
            instr.args = (*instr.args[:place], self.another(instr.args[place], registers), *instr.args[place + 1 :])
        elif kind == 4 and len(instr.args) > 1:
            one, other = self.random.sample(range(len(instr.args)), 2)
            args = list(instr.args)
            args[one], args[other] = args[other], args[one]
            instr.args = tuple(args)
        elif kind == 5:
            calls = [i for _, i in everywhere if i.op in ("spawn", "call")]
            if calls and self.random.random() < 0.6:
                instr = self.random.choice(calls)
                instr.op = "call" if instr.op == "spawn" else "spawn"
            elif calls:
                self.random.choice(calls).extra = self.random.choice(sorted(module.functions))
        elif kind == 6:
            self.insert_use(function, block, index + self.random.randint(0, instr is not block.instrs[-1]), instr.args)
        elif kind == 7:
            owned = [n for n, param in enumerate(function.params) if param.type.block]
            if owned:
                function.borrowed ^= {self.random.choice(owned)}
        else:
            sets = [r for r in registers if isinstance(r.type, EndpointSet)]
            if sets:
                one = self.random.choice(sets)
                states = module.contracts[one.type.contract].states
                one.type = EndpointSet(one.type.contract, self.random.choice(["Imp", "Exp"]), self.random.choice(states))

    def around_its_end(self) -> None:
        """Use something owned just before or after the instruction by which it goes."""
        ends = [(f, b, i, owned) for f in self.subject.module.functions.values() for b in f.blocks for i in b.instrs
                if i.op in _ENDING and (owned := [r for r in i.args[i.op == "send" :] if r.type.block or isinstance(r.type, Endpoint)])]  # fmt: skip
        if ends:
            travelling = [end for end in ends if any(isinstance(r.type, Endpoint) for r in end[3])]
            ends = travelling if travelling and self.random.random() < 0.7 else ends
            op = self.random.choice(sorted({i.op for _, _, i, _ in ends}))
            function, block, instr, owned = self.random.choice([end for end in ends if end[2].op == op])
            index = next(k for k, i in enumerate(block.instrs) if i is instr)
            self.insert_use(function, block, index + (instr is not block.instrs[-1]) * self.random.randint(0, 1), (self.random.choice(owned),))

    def exchange(self, function: Function) -> None:
        """From some place on, let two registers of one type that own something have each other's part."""
        owning = [r for r in function.registers() if isinstance(r.type, (Endpoint, EndpointSet)) or r.type.block]
        pairs = [(one, other) for one in owning for other in owning if one is not other and one.type == other.type]
        if not pairs:
            return
        one, other = self.random.choice(pairs)
        first = self.random.randrange(len(function.blocks))
        begin = self.random.randrange(len(function.blocks[first].instrs) or 1)
        swapped = {one: other, other: one}

        def mapped(reg: Reg) -> Reg:
            return swapped.get(reg, reg)

        for number, block in enumerate(function.blocks[first:]):
            for instr in block.instrs[0 if number else begin :]:
                instr.args, instr.more = tuple(map(mapped, instr.args)), tuple(map(mapped, instr.more))
                instr.dest = instr.dest and mapped(instr.dest)
                if isinstance(instr.extra, Arms):
                    instr.extra = instr.extra.mapped(mapped)

    def insert_use(self, function: Function, block: Block, index: int, near: tuple[Reg, ...]) -> None:
        """Use, end or hand on something that is owned, at one more place: mostly what the instruction there is about."""
        registers = function.registers()
        about = near if self.random.random() < 0.8 else registers
        sets = [r for r in registers if isinstance(r.type, EndpointSet)]
        ends = [r for r in registers if isinstance(r.type, Endpoint)]
        numbers = [r for r in registers if r.type == U64]
        made = []
        for reg in about:
            if isinstance(reg.type, Endpoint):
                messages = self.subject.module.contracts[reg.type.contract].messages.values()
                made += [Instr("close", None, (reg,)), *(Instr("set_add", None, (s, reg)) for s in sets if s.type.member == reg.type)]
                made += [Instr("mov", other, (reg,)) for other in ends if other is not reg and other.type == reg.type][:1]
                made += [Instr("send", None, (reg, self.random.choice(numbers)), m.name) for m in messages if numbers and [t for _, t in m.arguments] == [U64]]
                made += [Instr("send", None, (reg,), m.name) for m in messages if not m.arguments]
            elif isinstance(reg.type, EndpointSet):
                made += [Instr("set_close", None, (reg,)), *(Instr("set_size", n, (reg,)) for n in numbers[:1])]
                made += [Instr("set_add", None, (reg, e)) for e in ends if reg.type.member == e.type]
            elif reg.type == U64:
                made.append(Instr("join", reg, (reg,)))
            elif reg.type.block:
                made.append(Instr("free", None, (reg,)))
        if made:
            block.instrs.insert(index, self.random.choice(made))

    def about_ways(self, function: Function, instr: Instr) -> None:
        """Change where a receive, select or new_channel leads, what it waits for, or what it gives."""
        registers, labels = function.registers(), [b.label for b in function.blocks]
        table, kind = instr.extra, self.random.randrange(7)
        if not table.arms:
            return
        key = self.random.choice(list(table.arms))
        regs, label = table.arms[key]
        if kind == 0:
            table.arms[key] = (regs, self.random.choice(labels))
        elif kind == 1 and regs:
            place = self.random.randrange(len(regs))
            table.arms[key] = ((*regs[:place], self.another(regs[place], registers), *regs[place + 1 :]), label)
        elif kind == 2 and len(table.arms) > 1:
            del table.arms[key]
        elif kind == 3:
            table.closed = self.random.choice([None, *labels]) if not isinstance(table, NewChannel) else None
        elif kind == 4 and isinstance(table, Select):
            items = list(table.arms.items())
            self.random.shuffle(items)
            instr.extra = Select(dict(items), table.closed)
        elif kind == 5 and isinstance(table, Select):
            place = self.random.randrange(len(instr.args))
            instr.args = (*instr.args[:place], self.another(instr.args[place], registers), *instr.args[place + 1 :])
        elif isinstance(table, Select) and all(isinstance(arg.type, (Endpoint, EndpointSet)) for arg in instr.args):
            self.another_cell(instr, key)
        elif isinstance(table, NewChannel):
            table.contract = self.random.choice(sorted(self.subject.module.contracts))

    def another_cell(self, instr: Instr, key: tuple) -> None:
        """Let a row of a select ask for nothing at one of its operands, or for another message that gives as many values."""
        table = instr.extra
        regs, label = table.arms[key]
        place = self.random.randrange(len(key))
        parts = Select.split(key, regs)
        messages = self.subject.module.contracts[instr.args[place].type.contract].messages
        if key[place] is not None and self.random.random() < 0.4:
            cell, parts[place] = None, ()
        elif key[place] is not None:
            cell = (self.random.choice([*sorted(messages), sil.CLOSED]), key[place][1])
        else:
            cell = (sil.CLOSED, 0)
        cells = (*key[:place], cell, *key[place + 1 :])
        rows = [(cells, (tuple(r for part in parts for r in part), label)) if k == key else (k, way) for k, way in table.arms.items()]
        instr.extra = Select(dict(rows), table.closed)
