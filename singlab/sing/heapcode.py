"""Code generation for objects: allocation in line, fields, elements, virtual calls, constant text.

An object is a header word and its fields, a word each; an array or a text is a header word, a word with its
length, and its elements, padded to 8 bytes. The header's lower half is the number of the object's type, a row of
the image's type table (:mod:`singlab.sing.heaptables`); its upper half is for a collector.

s11 holds where the next object goes and s10 where the room for it ends: an allocation is an addition and a
comparison. Only when the room is used up does it call ``.grow``, which asks for more, and that may collect the heap; room
is zeroed, so nothing but the header has to be written. No other code touches the two registers, in a module that
makes objects. While it asks, ``.grow`` has the registers that calls preserve in its frame, where a collector finds what is
in them, and takes them from there. The address behind that call is passed whether or not it was made, so a process stopped there
is at the allocation, and its stack map is the one for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.heaplayout import AGAIN, DAMAGED
from singlab.sing.sil import Instr, Module, Reg
from singlab.sing.sil_classes import fields, method, numbers, offset, subclasses
from singlab.sing.types import CHAR, Bool, Int, Object, Reference, Str, Type

if TYPE_CHECKING:
    from singlab.sing.emitter import Emitter, Item

RA, SP, T0, T1, T2, A0, A1, A2 = 1, 2, 5, 6, 7, 10, 11, 12
LIMIT, TOP = 26, 27  #: s10 and s11
HEADER, LENGTH, ELEMENTS = 0, 8, 16  #: byte offsets in an array
GROW = ".grow"
#: What ``.grow`` keeps in its frame: the return address and s0 to s9; behind them the size asked for, the line, and a2.
GROW_KEEPS, _ASKED = (RA, 8, 9, *range(18, 26)), (T1, A1, A2)
GROW_FRAME = 8 * (len(GROW_KEEPS) + len(_ASKED))
LARGEST_ARRAY = 16 * 1024 * 1024

FAULT_SIZE, FAULT_NONE, FAULT_CLASS, FAULT_FULL, FAULT_NO_VALUE, FAULT_DAMAGED = 11, 20, 21, 22, 23, 40

_LOADS = {True: ("lb", "lh", "lw", "ld"), False: ("lbu", "lhu", "lwu", "ld")}
_STORES = ("sb", "sh", "sw", "sd")
#: Operations that make an object.
ALLOCATIONS = frozenset(("newobj", "newarr"))


def makes_objects(module: Module) -> bool:
    """Whether a module has a heap at all."""
    return any(allocates(i) for f in module.functions.values() for b in f.blocks for i in b.instrs)


def allocates(instr: Instr) -> bool:
    """Whether an instruction makes an object."""
    return instr.op in ALLOCATIONS or (instr.op == "attempt_new" and isinstance(instr.extra.arms["returned"][0][0].type, Reference))


def none_fault(type_: Reference) -> int:
    """Return the code of the fault where something of a type is wanted and None is there."""
    return FAULT_NONE if isinstance(type_, Object) else FAULT_NO_VALUE


def element_power(type_: Type) -> int:
    """Return log2 of the size in bytes of an array's element."""
    if isinstance(type_, Bool):
        return 0
    return (type_.bits // 8).bit_length() - 1 if isinstance(type_, Int) else 3


def element_of(type_: Type) -> Type:
    """Return the type of the elements of an array, a text or a vector."""
    return CHAR if isinstance(type_, Str) else type_.element


def grow(out: Emitter) -> Item:
    """Emit what an allocation calls when room is used up: t1 bytes are wanted; keeps t1 and a2. Returns the call of the kernel in it.

    Where there is no room that ends the process at the source line in a1, which is shifted left by one bit; if the bit
    is 1, t1 is 0 afterwards instead.
    """
    out.label(GROW)
    out.ins("addi", SP, SP, -GROW_FRAME)
    for place, reg in enumerate(GROW_KEEPS + _ASKED):
        out.ins("sd", reg, SP, 8 * place)
    out.label(".grow.ask")
    for place, reg in enumerate((T1, TOP, LIMIT, SP)):
        out.ins("addi", A0 + place, reg, 0)
    out.abi(ABI_NUMBER["get_room"])
    asked = out.items[-1]
    out.ins("ld", T1, SP, 8 * len(GROW_KEEPS))
    out.branch("bne", A0, 0, ".grow.none")
    out.ins("addi", TOP, A1, 0)
    out.ins("addi", LIMIT, A2, 0)
    out.label(".grow.back")
    for place, reg in enumerate(GROW_KEEPS):
        out.ins("ld", reg, SP, 8 * place)
    out.ins("ld", A2, SP, GROW_FRAME - 8)
    out.ins("addi", SP, SP, GROW_FRAME)
    out.ins("jalr", 0, RA, 0)
    out.label(".grow.none")
    out.ins("addi", T0, 0, AGAIN)
    out.branch("beq", A0, T0, ".grow.ask")
    out.ins("addi", T0, A0, 0)
    out.ins("ld", A1, SP, GROW_FRAME - 16)
    out.ins("addi", T1, 0, DAMAGED)
    out.ins("addi", A0, 0, FAULT_DAMAGED)
    out.branch("beq", T0, T1, ".grow.end_it")
    out.ins("addi", T1, 0, 0)
    out.ins("andi", T0, A1, 1)
    out.branch("bne", T0, 0, ".grow.back")
    out.ins("addi", A0, 0, FAULT_FULL)
    out.label(".grow.end_it")
    out.ins("srli", A1, A1, 1)
    out.abi(ABI_NUMBER["fault"])
    return asked


#: The write barrier's slow way, and what it keeps: all that a call of the kernel may change, but a0.
REMEMBER = ".remember"
_REMEMBER_KEEPS = (RA, 5, 6, 7, *range(11, 18), *range(28, 32))
#: What a function keeps where it calls that.
_STUB_KEEPS, STUB_FRAME = (RA, A0, A1), 32
REMEMBER_FRAME = 8 * len(_REMEMBER_KEEPS) + 8 * (len(_REMEMBER_KEEPS) % 2)


def remember(out: Emitter) -> None:
    """Emit what the write barrier calls: what is in a1 is about to be stored into the object in a0. It changes a0 alone."""
    out.label(REMEMBER)
    out.ins("addi", SP, SP, -REMEMBER_FRAME)
    for place, reg in enumerate(_REMEMBER_KEEPS):
        out.ins("sd", reg, SP, 8 * place)
    out.abi(ABI_NUMBER["remember"])
    for place, reg in enumerate(_REMEMBER_KEEPS):
        out.ins("ld", reg, SP, 8 * place)
    out.ins("addi", SP, SP, REMEMBER_FRAME)
    out.ins("jalr", 0, RA, 0)


class HeapCode:
    """The half of a function's code generation that deals with objects."""

    def barrier(self, target: Reg, value: Reg) -> None:
        """Before a reference is stored into an object: where its collector wants to know, it is told.

        An object says so by the upper half of its header, which is 1; a young one's is 0. Nobody wants to know of None.
        """
        if not self.module.barrier or not isinstance(value.type, Reference) or self.constants.get(value) == 0:
            return
        at, told, done = self.read(target, A0), self.module.fresh(), self.module.fresh()
        self.out.ins("lw", T0, at, HEADER + 4)
        self.out.ins("addi", T1, 0, 1)
        self.out.branch("beq", T0, T1, told)
        self.out.label(done)
        self.module.stubs.append((told, at, value, done))

    def heap_end(self) -> None:
        """Emit the rare ways of the function's write barriers, and note where it ends and how it keeps its caller's registers."""
        for label, at, value, done in self.module.stubs:
            self.out.label(label)
            self.out.ins("addi", SP, SP, -STUB_FRAME)
            for place, reg in enumerate(_STUB_KEEPS):
                self.out.ins("sd", reg, SP, 8 * place)
            if value in self.place.registers:
                self.parallel([(A0, at), (A1, self.place.registers[value])])
            else:
                self.move(A0, at)
                self.out.ins("ld", A1, SP, STUB_FRAME + 8 * self.place.slots[value])
            self.out.jump(REMEMBER, link=RA)
            for place, reg in enumerate(_STUB_KEEPS):
                self.out.ins("ld", reg, SP, 8 * place)
            self.out.ins("addi", SP, SP, STUB_FRAME)
            self.out.jump(done)
        self.module.stubs.clear()
        self.out.label(f"{self.function.name}:end")
        self.module.tables.function(self.function.name, f"{self.function.name}:end", self.frame, self.save_base, self.saved)

    def take_room(self, instr: Instr, full: str | None, size: int | None = None) -> None:
        """Go on where there is room for the object that would end at t0; its size is in t1, or known and put there if it is wanted.

        Without room the process ends, or control goes to ``full``. The one address behind the call serves both ways.
        """
        enough = self.module.fresh()
        if full is not None and size is not None:
            self.immediate(T1, size)
        self.out.branch("bgeu", LIMIT, T0, enough)
        if full is None and size is not None:
            self.immediate(T1, size)
        self.immediate(A1, instr.position.line << 1 if full is None else 1)
        self.out.jump(GROW, link=RA)
        self.out.label(enough)
        if full is not None:
            self.out.branch("beq", T1, 0, full)

    def op_newobj(self, instr: Instr, following, skip) -> None:
        self.make_object(instr, instr.dest)

    def op_newarr(self, instr: Instr, following, skip) -> None:
        self.make_array(instr, instr.dest, self.fault(FAULT_SIZE, instr))

    def make_object(self, instr: Instr, dest: Reg, full: str | None = None) -> None:
        """Make an object; where there is no room go to ``full`` if there is one."""
        size = 8 + 8 * len(fields(self.module.module, dest.type.cls))
        self.out.ins("addi", T0, TOP, size)
        self.take_room(instr, full, size)
        self.immediate(T1, self.module.tables.number(dest.type))
        self.out.ins("sd", T1, TOP, HEADER)
        rd = self.target(dest)
        self.move(rd, TOP)
        self.out.ins("addi", TOP, TOP, size)
        self.write(dest, rd)

    def make_array(self, instr: Instr, dest: Reg, large: str, full: str | None = None) -> None:
        """Make an array; go to ``large`` if there can be none of this length, and where there is no room to ``full`` if there is one."""
        out, size = self.out, element_power(dest.type.element)
        self.move(A2, self.read(instr.args[0], A2))
        self.immediate(T0, LARGEST_ARRAY >> size)
        out.branch("bltu", T0, A2, large)
        if size:
            out.ins("slli", T1, A2, size)
        out.ins("addi", T1, T1 if size else A2, ELEMENTS if size == 3 else ELEMENTS + 7)
        if size < 3:
            out.ins("andi", T1, T1, -8)
        out.ins("add", T0, TOP, T1)
        self.take_room(instr, full)
        self.immediate(T0, self.module.tables.number(dest.type))
        out.ins("sd", T0, TOP, HEADER)
        out.ins("sd", A2, TOP, LENGTH)
        rd = self.target(dest)
        self.move(rd, TOP)
        out.ins("add", TOP, TOP, T1)
        self.write(dest, rd)

    # ---- fields and elements -------------------------------------------------------------------------------------

    def filled(self, rd: int, type_: Type, instr: Instr) -> None:
        """Fault if a reference that was loaded must not be None and is."""
        if isinstance(type_, Reference) and not type_.nullable:
            self.out.branch("beq", rd, 0, self.fault(none_fault(type_), instr))

    def op_getf(self, instr: Instr, following, skip) -> None:
        rd = self.target(instr.dest)
        self.out.ins("ld", rd, self.read(instr.args[0], A0), offset(self.module.module, instr.args[0].type.cls, instr.extra))
        self.filled(rd, instr.dest.type, instr)
        self.write(instr.dest, rd)

    def op_putf(self, instr: Instr, following, skip) -> None:
        self.barrier(*instr.args)
        at, value = self.read(instr.args[0], A0), self.read(instr.args[1], A1)
        self.out.ins("sd", value, at, offset(self.module.module, instr.args[0].type.cls, instr.extra))

    def op_fetch(self, instr: Instr, following, skip) -> None:
        rd = self.target(instr.dest)
        self.out.ins("ld", rd, self.read(instr.args[0], A0), instr.extra)
        self.write(instr.dest, rd)

    def op_put(self, instr: Instr, following, skip) -> None:
        self.barrier(*instr.args)
        at, value = self.read(instr.args[0], A0), self.read(instr.args[1], A1)
        self.out.ins("sd", value, at, instr.extra)

    def array_element(self, instr: Instr, check: bool) -> tuple[int, int, int]:
        """Return log2 of the element's size, and base and offset of the element's address."""
        out, size = self.out, element_power(element_of(instr.args[0].type))
        array, index = self.read(instr.args[0], A0), instr.args[1]
        constant = self.constants.get(index)
        if check:
            index = self.read(index, A1)
            out.ins("ld", T0, array, LENGTH)
            out.branch("bgeu", index, T0, self.fault(1, instr))
        if constant is not None and 0 <= constant << size < 2000:
            return size, array, ELEMENTS + (constant << size)
        index = index if isinstance(index, int) else self.read(index, A1)
        if size:
            out.ins("slli", T1, index, size)
            index = T1
        out.ins("add", T1, array, index)
        return size, T1, ELEMENTS

    def array_load(self, instr: Instr, check: bool = True) -> None:
        element = element_of(instr.args[0].type)
        size, base, place = self.array_element(instr, check)
        rd = self.target(instr.dest)
        self.out.ins(_LOADS[getattr(element, "signed", False)][size], rd, base, place)
        if check:
            self.filled(rd, instr.dest.type, instr)
        self.write(instr.dest, rd)

    def array_store(self, instr: Instr, check: bool = True) -> None:
        self.barrier(instr.args[0], instr.args[2])
        size, base, place = self.array_element(instr, check)
        self.out.ins(_STORES[size], self.read(instr.args[2], A2), base, place)

    def op_aload(self, instr: Instr, following, skip) -> None:
        self.array_load(instr, check=False)

    def op_astore(self, instr: Instr, following, skip) -> None:
        self.array_store(instr, check=False)

    # ---- None and classes ----------------------------------------------------------------------------------------

    def op_none(self, instr: Instr, following, skip) -> None:
        if instr.dest not in self.constants:
            rd = self.target(instr.dest)
            self.move(rd, 0)
            self.write(instr.dest, rd)

    def op_some(self, instr: Instr, following, skip) -> None:
        at = self.read(instr.args[0], A0)
        if instr.extra != "known":
            self.out.branch("beq", at, 0, self.fault(none_fault(instr.dest.type), instr))
        rd = self.target(instr.dest)
        self.move(rd, at)
        self.write(instr.dest, rd)

    def distance(self, at: int, cls: str) -> int:
        """Leave in t0 how far an object's number is from a class's; returns how many numbers the class and those below it have."""
        first, count = numbers(self.module.module)[cls]
        self.out.ins("lw", T0, at, HEADER)
        self.out.ins("addi", T0, T0, -first)
        return count

    def op_isinst(self, instr: Instr, following, skip) -> None:
        at, rd = self.read(instr.args[0], A0), self.target(instr.dest, T1)
        done = self.module.fresh()
        if at == rd:
            self.move(A0, at)
            at = A0
        if instr.args[0].type.nullable:
            self.move(rd, 0)
            self.out.branch("beq", at, 0, done)
        self.out.ins("sltiu", rd, T0, self.distance(at, instr.extra))
        self.out.label(done)
        self.write(instr.dest, rd)

    def op_as(self, instr: Instr, following, skip) -> None:
        at, type_, done = self.read(instr.args[0], A0), instr.dest.type, self.module.fresh()
        if instr.args[0].type.nullable:
            self.out.branch("beq", at, 0, done if type_.nullable else self.fault(FAULT_NONE, instr))
        self.immediate(T1, self.distance(at, type_.cls))
        self.out.branch("bgeu", T0, T1, self.fault(FAULT_CLASS, instr))
        self.out.label(done)
        rd = self.target(instr.dest)
        self.move(rd, at)
        self.write(instr.dest, rd)

    def op_vcall(self, instr: Instr, following, skip) -> None:
        self.call_method(instr, instr.extra)
        self.arrive(instr.results)

    def call_method(self, instr: Instr, name: str) -> None:
        """Find the method by the number of the object's class, by halves, and call it: no jump goes where a register says."""
        module, cls = self.module.module, instr.args[0].type.cls
        self.arguments(list(instr.args))
        self.distance(A0, cls)
        below = [method(module, each, name) for each in subclasses(module, cls)]
        ways = [(n, label) for n, label in enumerate(below) if n == 0 or label != below[n - 1]]
        done = self.module.fresh()
        self.dispatch(ways, done)
        self.out.label(done)

    def dispatch(self, ways: list[tuple[int, str]], done: str) -> None:
        """Call the function of the last way whose number is not above t0."""
        if len(ways) == 1:
            self.out.jump(ways[0][1], link=RA)
            self.out.jump(done)
            return
        half, upper = len(ways) // 2, self.module.fresh()
        self.immediate(T1, ways[half][0])
        self.out.branch("bgeu", T0, T1, upper)
        self.dispatch(ways[:half], done)
        self.out.label(upper)
        self.dispatch(ways[half:], done)

    # ---- text ------------------------------------------------------------------------------------------------------

    def op_string(self, instr: Instr, following, skip) -> None:
        rd = self.target(instr.dest)
        self.out.address(rd, self.module.tables.string(instr.extra.encode()))
        self.write(instr.dest, rd)

    def op_text(self, instr: Instr, following, skip) -> None:
        at, rd = self.read(instr.args[0], A0), self.target(instr.dest, A1)
        self.immediate(T0, self.module.tables.number(instr.dest.type))
        self.out.ins("sw", T0, at, HEADER)
        self.move(rd, at)
        self.write(instr.dest, rd)

    def op_print_str(self, instr: Instr, following, skip) -> None:
        done = self.module.fresh()
        at = self.read(instr.args[0], A2)
        self.out.ins("ld", A1, at, LENGTH)
        self.out.branch("beq", A1, 0, done)
        self.out.ins("addi", A0, at, ELEMENTS)
        self.out.abi(ABI_NUMBER["print_text"])
        self.out.label(done)


