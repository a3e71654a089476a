"""Random changes about regions, handles and devices, names, children and attempts."""

from __future__ import annotations

from singlab.sing.attempted import ATTEMPTED
from singlab.sing.childcode import ASK, DO
from singlab.sing.sil import Attempt, Block, Function, Instr, Reg, Trial
from singlab.sing.types import BOOL, EVENT, INTERRUPT, IO_MEMORY, MUTEX, U8, U16, U32, U64, Endpoint, Handle, Type, Vector

RAW = ("raw_load8", "raw_load32", "raw_load64", "raw_store8", "raw_store32", "raw_store64", "raw_call", "raw_function", "raw_fence")
_CONSTANTS = (0, 1, 2, 3, 7, 64, 255, 256, (1 << 63) - 1, (1 << 64) - 1)
#: Instructions with other ways to write what they are about.
_TEXTS = {"name_register": ("/near", "/extra", "/far", "/"), "name_connect": ("/far", "/near", "/nobody"), "principal_is": ("*", "mutant", "*server*")}


class SystemChance:
    """What :class:`chance.Chance` changes in a module of these families."""

    def about_system(self) -> None:
        """Change one thing: an operand, what an instruction names, a type, a way out; or put a few instructions in."""
        if not {"Disk", "Trials"}.isdisjoint(self.subject.module.contracts) and self.random.random() < 0.25:
            return self.used_after_trial()
        choice = self.random.random()
        if choice < 0.03:
            self.raw()
        elif choice < 0.35:
            self.put_in()
        elif choice < 0.5:
            self.other_operand()
        elif choice < 0.55:
            self.other_name()
        elif choice < 0.6:
            self.tried()
        elif choice < 0.72:
            self.other_type()
        elif choice < 0.85 and self.subject.module.classes:
            self.another_way()
        else:
            self.about_endpoints()

    # ---- operands ------------------------------------------------------------------------------------------------------

    def any_of(self, function: Function, *types: Type, wild: float = 0.05) -> Reg:
        """Return a register of one of some types, seldom of any other; one that has no value if there is none."""
        known = function.registers()
        same = [r for r in known if r.type in types]
        if same and self.random.random() > wild:
            return self.random.choice(same)
        return self.random.choice(known) if known and self.random.random() < 0.5 else self.subject.reg(types[0])

    def number(self, function: Function, made: list[Instr]) -> Reg:
        """Return a number: a register's, or a constant that is made before."""
        if self.random.random() < 0.4:
            return self.any_of(function, U64)
        known = _CONSTANTS[:5] if self.random.random() < 0.7 else _CONSTANTS
        made.append(Instr("const", self.subject.reg(U64), (), self.random.choice(known)))
        return made[-1].dest

    def end_of(self, function: Function) -> Reg:
        """Return an endpoint, or whatever there is."""
        known = function.registers()
        return self.random.choice([r for r in known if isinstance(r.type, Endpoint)] or known or [self.subject.reg(U64)])

    # ---- whole instructions --------------------------------------------------------------------------------------------

    def put_in(self) -> None:
        """Put a few instructions in that belong together, one of them left out, doubled or moved at times."""
        function, block, index = self.somewhere()
        made: list[Instr] = []
        self.random.choice([self.of_regions, self.of_handles, self.of_devices, self.of_names, self.of_children, self.of_memory][self.kinds()])(function, made)
        if made and self.random.random() < 0.3:
            which, how = self.random.randrange(len(made)), self.random.randrange(3)
            if how == 0:
                del made[which]
            elif how == 1:
                made.insert(self.random.randint(0, len(made)), made[which])
            else:
                made.insert(self.random.randrange(len(made)), made.pop(which))
        if self.random.random() < 0.25:  # at the very end, where nothing follows that could mind
            ends = [b for b in function.blocks if b.instrs and b.instrs[-1].op == "ret"]
            block = self.random.choice(ends or [block])
            index = len(block.instrs) - 1
        block.instrs[index:index] = [Instr(i.op, i.dest, i.args, i.extra, i.position, i.more) for i in made]

    def kinds(self) -> slice:
        """Return which kinds of instructions are put in: mostly those of the module's own family."""
        own = next((place for contract, place in (("Parts", 0), ("Files", 3), ("Work", 4), ("Disk", 5), ("Trials", 0)) if contract in self.subject.module.contracts), None)
        if self.subject.module.classes or self.random.random() < 0.2:
            return slice(0, 5)
        return slice(1, 3) if own is None else slice(own, own + 1)

    def of_regions(self, function: Function, made: list[Instr]) -> None:
        vectors = [r for r in function.registers() if isinstance(r.type, Vector)]
        kind = self.random.choice([0, 0, 1, 2, 3])
        lent = [function.params[i] for i in sorted(function.borrowed)]
        own = not vectors or self.random.random() < (0.7 if kind == 2 and not lent else 0.1)
        vector = self.subject.reg(Vector(U8)) if own else self.random.choice(vectors)
        if own:
            size = Instr("const", self.subject.reg(U64), (), 8)
            made += [size, Instr("new", vector, (size.dest,))]
        if kind == 0:
            same = self.random.random() < (0.2 if vector in lent else 0.6)
            first, rest = vector if same else self.subject.reg(vector.type), self.subject.reg(vector.type)
            made.append(Instr("split", first, (vector, self.number(function, made)), None, more=(rest,)))
            made += [*self.used(function, rest), *(Instr("free", None, (part,)) for part in (rest, first) if part is not vector)]
        elif kind == 1:
            made.append(Instr("truncate", vector, (vector, self.number(function, made))))
        elif kind == 2:
            parts = [self.subject.reg(Vector(vector.type.element, self.random.random() < 0.8)) for _ in range(2)]
            bounds = [self.number(function, made), self.number(function, made)]
            if self.random.random() < 0.7:
                bounds = [self.subject.reg(U64), self.subject.reg(U64)]
                made += [Instr("const", bounds[0], (), self.random.randrange(2)), Instr("const", bounds[1], (), self.random.choice([3, 7, 8]))]
            made.append(Instr("share", parts[0], (vector, *bounds), None, more=(parts[1],)))
            made += [*(i for part in (*parts, *parts) for i in self.used(function, part)), *(Instr("free", None, (part,)) for part in parts)]
        else:
            made += self.used(function, vector)

    def used(self, function: Function, vector: Reg) -> list[Instr]:
        """Return a read or a write of a vector's element."""
        if not isinstance(vector.type.element, type(U8)):
            return [Instr("len", self.subject.reg(U64), (vector,))]
        made: list[Instr] = []
        place, value = self.number(function, made), self.subject.reg(vector.type.element)
        if self.random.random() < 0.5:
            return [*made, Instr("load", value, (vector, place))]
        return [*made, Instr("const", value, (), 3), Instr("store", None, (vector, place, value))]

    def of_handles(self, function: Function, made: list[Instr]) -> None:
        kind = self.random.randrange(7)
        handle = self.any_of(function, EVENT, MUTEX, INTERRUPT)
        if kind == 0:
            manual = Instr("const", self.subject.reg(BOOL), (), self.random.randrange(2))
            fresh = self.subject.reg(EVENT)
            made += [manual, Instr("new_event", fresh, (manual.dest,)), Instr("event_set", None, (fresh,)), Instr("handle_close", None, (fresh,))]
        elif kind == 1:
            fresh = self.subject.reg(MUTEX)
            made += [Instr("new_mutex", fresh), Instr("wait", self.subject.reg(U64), (self.number(function, made), fresh)), Instr("mutex_release", None, (fresh,))]
        elif kind == 2:
            others = [self.any_of(function, EVENT, MUTEX, INTERRUPT) for _ in range(self.random.randint(0, 4))]
            made.append(Instr("wait", self.subject.reg(U64), (self.number(function, made), handle, *others)))
        elif kind == 3:
            made.append(Instr(self.random.choice(["event_set", "event_reset"]), None, (self.any_of(function, EVENT),)))
        elif kind == 4:
            made.append(Instr("mutex_release", None, (self.any_of(function, MUTEX),)))
        elif kind == 5:
            made.append(Instr("handle_close", None, (handle,)))
        else:
            made.append(Instr("sleep", None, (self.number(function, made),)))

    def of_devices(self, function: Function, made: list[Instr]) -> None:
        kind, width = self.random.randrange(5), self.random.choice([U8, U16, U32, U32, U64])
        device = self.any_of(function, IO_MEMORY)
        if kind == 0:
            device = self.subject.reg(IO_MEMORY)
            made.append(Instr("open_io", device, (self.number(function, made),)))
        if kind <= 2:
            made.append(Instr("io_read", self.subject.reg(width), (device, self.number(function, made))))
        elif kind == 3:
            value = Instr("const", self.subject.reg(width), (), self.random.choice([0, 1, 2, 7, 255]))
            made += [value, Instr("io_write", None, (device, self.number(function, made), value.dest))]
        else:
            line = self.subject.reg(INTERRUPT)
            made += [Instr("open_interrupt", line, (self.number(function, made),)), Instr("interrupt_ack", None, (line,))]

    def of_memory(self, function: Function, made: list[Instr]) -> None:
        """Memory for devices, registers, where a device finds them, and waits for more than handles."""
        kind, device = self.random.randrange(6), self.any_of(function, IO_MEMORY)
        if kind <= 1:
            device = self.subject.reg(IO_MEMORY)
            made.append(Instr("open_dma", device, (self.number(function, made),)))
        if kind in (1, 2):
            made.append(Instr("dma_address", self.subject.reg(U64), (device,)))
        elif kind in (0, 3):
            width = self.random.choice([U8, U16, U32, U32, U64])
            if self.random.random() < 0.5:
                made.append(Instr("io_read", self.subject.reg(width), (device, self.number(function, made))))
            else:
                value = Instr("const", self.subject.reg(width), (), self.random.choice([0, 1, 255]))
                made += [value, Instr("io_write", None, (device, self.number(function, made), value.dest))]
        elif kind == 4:
            line = self.any_of(function, EVENT, INTERRUPT)
            ends = [self.random.choice([self.end_of(function), line]) for _ in range(self.random.randint(1, 4))]
            made.append(Instr("wait", self.subject.reg(U64), (self.number(function, made), *ends)))
        else:
            self.of_devices(function, made)

    def of_names(self, function: Function, made: list[Instr]) -> None:
        kind, text = self.random.randrange(4), self.subject.reg(Vector(U8))
        if kind == 0:
            made += [Instr("peer_principal", text, (self.end_of(function),)), Instr("free", None, (text,))]
        elif kind == 1:
            made += [Instr("principal", text), Instr("free", None, (text,))]
        elif kind == 2:
            made.append(Instr("principal_is", self.subject.reg(BOOL), (self.end_of(function),), self.random.choice(_TEXTS["principal_is"])))
        else:
            op = self.random.choice(["name_register", "name_connect"])
            made.append(Instr(op, self.subject.reg(BOOL), (self.end_of(function),), self.random.choice(_TEXTS[op])))

    def of_children(self, function: Function, made: list[Instr]) -> None:
        kind = self.random.randrange(4)
        child = self.number(function, made)
        if kind == 0:
            child = self.subject.reg(U64)
            made.append(Instr("create", child, (), self.random.choice([0, 0, 0, 1, 65535])))
        if kind <= 1:
            given = self.end_of(function) if self.random.random() < 0.6 else self.any_of(function, U64, BOOL, U8)
            made.append(Instr("give", None, (child, given), self.random.choice([0, 0, 1, 2, 63])))
        elif kind == 2:
            made.append(Instr("child", None, (child,), self.random.choice(sorted(DO))))
        else:
            made.append(Instr("ask_child", self.subject.reg(U64), (child,), self.random.choice(sorted(ASK))))

    def raw(self) -> None:
        """Put in an instruction that reaches memory by an address."""
        function, block, index = self.somewhere()
        op, made = self.random.choice(RAW), []
        address = self.number(function, made)
        if op.startswith("raw_load"):
            made.append(Instr(op, self.subject.reg(U64), (address,)))
        elif op.startswith("raw_store"):
            made.append(Instr(op, None, (address, self.any_of(function, U64))))
        elif op == "raw_call":
            made.append(Instr(op, self.subject.reg(U64), (address,)))
        else:
            made.append(Instr(op, self.subject.reg(U64) if op == "raw_function" else None, (), function.name))
        block.instrs[index:index] = made

    # ---- parts of instructions -----------------------------------------------------------------------------------------

    def everywhere(self) -> list[tuple[Function, Block, Instr]]:
        return [(f, b, i) for f in self.subject.module.functions.values() for b in f.blocks for i in b.instrs]

    def other_operand(self) -> None:
        """Let an instruction about a handle, a vector or a child use another register, mostly of the same kind."""
        kinds = (Handle, Vector, Endpoint)
        found = [(f, i) for f, _, i in self.everywhere() if any(isinstance(r.type, kinds) for r in i.args) or i.op in ("child", "ask_child", "give")]
        if not found:
            return
        function, instr = self.random.choice(found)
        place = self.random.choice([k for k, r in enumerate(instr.args) if isinstance(r.type, kinds)] or range(len(instr.args)))
        known = function.registers()
        if self.random.random() < 0.6:
            known = [r for r in known if type(r.type) is type(instr.args[place].type)]
        instr.args = (*instr.args[:place], self.random.choice(known), *instr.args[place + 1 :])

    def other_name(self) -> None:
        """Let an instruction name another name, extension, startup argument or thing to do."""
        known = {"create": (0, 1, 2), "give": (0, 1, 2), "child": sorted(DO), "ask_child": sorted(ASK), **_TEXTS}
        found = [i for _, _, i in self.everywhere() if i.op in known]
        if found:
            instr = self.random.choice(found)
            if instr.op in ("name_register", "name_connect") and self.random.random() < 0.3:
                instr.op = "name_connect" if instr.op == "name_register" else "name_register"
            instr.extra = self.random.choice(known[instr.op])

    def other_type(self) -> None:
        """Let a vector be shared or not, a handle be another kind of handle or a number, an endpoint be of the other side."""
        known = [r for f in self.subject.module.functions.values() for r in f.registers() if isinstance(r.type, (Vector, Handle, Endpoint))]
        if not known:
            return
        reg = self.random.choice(known)
        if isinstance(reg.type, Vector):
            reg.type = Vector(reg.type.element, not reg.type.shared)
        elif isinstance(reg.type, Handle):
            reg.type = self.random.choice([EVENT, MUTEX, INTERRUPT, IO_MEMORY, U64])
        else:
            reg.type = Endpoint(reg.type.contract, "Exp" if reg.type.side == "Imp" else "Imp")

    def another_way(self) -> None:
        """Let a method stand for another, raise or not; a call that is attempted be made as if it did not fail, or the other way round."""
        module = self.subject.module
        kind = self.random.randrange(6)
        if kind == 5:
            self.use_after_attempt()
        elif kind == 0:
            having = [c for c in module.classes.values() if c.methods]
            methods = self.random.choice(having).methods
            methods[self.random.choice(sorted(methods))] = self.random.choice(sorted(m for c in having for m in c.methods.values()))
        elif kind == 1:
            methods = [m for c in module.classes.values() for m in c.methods.values()]
            function = module.functions[self.random.choice(methods)]
            function.raises = not function.raises
            for block in function.blocks:  # one that does not raise returns instead, and the other way round
                last = block.instrs[-1]
                if last.op == "raise" and not function.raises:
                    block.instrs[-1] = Instr("fault", None, (), 20)
        elif kind == 2:
            attempts = [(b, i) for _, b, i in self.everywhere() if i.op in ("attempt_vcall", "attempt_spawn", "attempt")]
            if attempts:
                block, instr = self.random.choice(attempts)
                regs, label = instr.extra.arms["returned"]
                op = {"attempt_vcall": "vcall", "attempt_spawn": "spawn"}.get(instr.op, "call")
                block.instrs[-1:] = [Instr(op, regs[0] if regs else None, instr.args, instr.extra.function, more=tuple(regs[1:])), Instr("br", extra=label)]
        elif kind == 3:
            calls = [(f, b, i) for f, b, i in self.everywhere() if i.op in ("vcall", "spawn")]
            if calls:
                self.attempted(*self.random.choice(calls))
        else:
            self.exceptional_step()

    def use_after_attempt(self) -> None:
        """On one way out of a call that is attempted, use a block that it was given."""
        found = [(f, i, r) for f, _, i in self.everywhere() if i.op.startswith("attempt") for r in i.args if isinstance(r.type, Vector)]
        if found:
            function, instr, vector = self.random.choice(found)
            label = self.random.choice(list(instr.extra.arms.values()))[1]
            where = next(b for b in function.blocks if b.label == label).instrs
            made = [Instr("free", None, (vector,))] if self.random.random() < 0.3 else self.used(function, vector)
            place = self.random.randrange(len(where))
            where[place:place] = made

    def tried(self) -> None:
        """Let an instruction that can fail be attempted; if it does, what follows is done all the same."""
        found = [(f, b, i) for f, b, i in self.everywhere() if i.op in ATTEMPTED]
        if found:
            function, block, instr = self.random.choice(found)
            index = next(k for k, i in enumerate(block.instrs) if i is instr)
            rest = Block(f"rest{self.random.randrange(1 << 30)}", block.instrs[index + 1 :])
            way = self.random.choice([rest.label, *(b.label for b in function.blocks[1:])])
            arms = {"returned": (tuple(instr.results), rest.label), "raised": ((self.subject.reg(U64),), way)}
            block.instrs[index:] = [Instr("attempt_op", None, instr.args, Trial(arms, None, instr.op, instr.extra), instr.position)]
            function.blocks.append(rest)

    def used_after_trial(self) -> None:
        """On one way out of an instruction that is attempted, use what it was given or was to make."""
        found = [(f, i, r) for f, _, i in self.everywhere() if i.op == "attempt_op"
                 for r in (*i.args, *(r for regs, _ in i.extra.arms.values() for r in regs)) if isinstance(r.type, (Vector, Handle))]  # fmt: skip
        if found:
            function, instr, reg = self.random.choice(found)
            made: list[Instr] = []
            if isinstance(reg.type, Vector):
                made += [Instr("free", None, (reg,))] if self.random.random() < 0.3 else self.used(function, reg)
            elif reg.type == IO_MEMORY:
                made.append(Instr("io_read", self.subject.reg(U32), (reg, self.number(function, made))))
            else:
                made.append(Instr("wait", self.subject.reg(U64), (self.number(function, made), reg)))
            label = self.random.choice(list(instr.extra.arms.values()))[1]
            where = next(b for b in function.blocks if b.label == label).instrs
            place = self.random.randrange(len(where))
            where[place:place] = made
            if instr.extra.function.startswith("open_") and self.random.random() < 0.5:  # in vain: the manifest has no such place
                block = next(b for b in function.blocks if b.instrs[-1] is instr)
                block.instrs.insert(-1, Instr("const", self.subject.reg(U64), (), 9))
                instr.args = (block.instrs[-2].dest,)

    def attempted(self, function: Function, block: Block, instr: Instr) -> None:
        """Let a call be attempted; if it fails, what follows is done all the same."""
        index = next(k for k, i in enumerate(block.instrs) if i is instr)
        rest = Block(f"rest{self.random.randrange(1 << 30)}", block.instrs[index + 1 :])
        arms = {"returned": (tuple(instr.results), rest.label), "raised": ((self.subject.reg(U64),), rest.label)}
        block.instrs[index:] = [Instr(f"attempt_{instr.op}", None, instr.args, Attempt(arms, None, instr.extra), instr.position)]
        function.blocks.append(rest)
