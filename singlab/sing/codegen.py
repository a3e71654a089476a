"""Code generation: verified SIL to RV64IM.

Every register of a type narrower than 64 bits holds its value extended by that type. Run-time checks
(bounds, division by zero, what the kernel answers) branch to fault stubs behind each function, which
end the process with the source line. A comparison used only by the branch after it becomes that branch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from singlab.kernel.abi import ABI_NUMBER, BLOCK_DATA, BLOCK_SIZE
from singlab.machine.asm import load_immediate
from singlab.sing import sil
from singlab.sing.channelcode import ChannelCode
from singlab.sing.childcode import ChildCode
from singlab.sing.errors import SipError
from singlab.sing.fieldcode import LOADS, STORES, FieldCode, power
from singlab.sing.handlecode import FAULTING as HANDLES_FAULTING
from singlab.sing.handlecode import HandleCode
from singlab.sing.heapcode import LENGTH, HeapCode
from singlab.sing.raisecode import FAULT_MEMORY, FAULT_SIZE, UNCAUGHT, RaiseCode
from singlab.sing.rawcode import RawCode
from singlab.sing.regalloc import CALLS, allocate, references_across, small_constants
from singlab.sing.sil import Function, Instr, Reg
from singlab.sing.stackcode import StackCode
from singlab.sing.types import Bool, Int, Struct, Type, Vector, bytes_of

if TYPE_CHECKING:
    from singlab.sing.modulecode import ModuleCode

RA, SP, T0, T1, T2, A0, A1, A2 = 1, 2, 5, 6, 7, 10, 11, 12

FAULT_BOUNDS, FAULT_DIVISION, FAULT_CLOSED, FAULT_CONTRACT, FAULT_OWNER = 1, 2, 3, 4, 6
FAULT_THREAD, FAULT_NO_THREAD = 14, 24

LARGEST_BLOCK = 16 * 1024 * 1024

_REGISTER_OP = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor"}
_IMMEDIATE_OP = {"add": "addi", "and": "andi", "or": "ori", "xor": "xori"}
_COMPARISONS = frozenset(sil.COMPARISONS)


#: Operations that may go to a fault stub, beside those that call anyway.
FAULTING = frozenset(("load", "store", "load_item", "store_item", "check", "div", "rem", "getf", "some", "as", "fault", "raise", *HANDLES_FAULTING))


class FunctionCode(ChannelCode, ChildCode, FieldCode, RaiseCode, HandleCode, HeapCode, RawCode, StackCode):
    """Generate one function."""

    def __init__(self, function: Function, module: ModuleCode):
        self.function, self.module, self.out = function, module, module.out
        self.constants = small_constants(function)
        self.place = allocate(function, self.constants, module.heap)
        self.across = references_across(function, self.constants) if module.heap else {}
        self.faults: dict[tuple[int, int], str] = {}
        self.uses: dict[Reg, int] = {}
        for block in function.blocks:
            for instr in block.instrs:
                for reg in instr.args:
                    self.uses[reg] = self.uses.get(reg, 0) + 1
        calls = any(i.op in CALLS or i.op in FAULTING for b in function.blocks for i in b.instrs)
        self.saved = ([RA] if calls else []) + self.place.saved
        slots = 1 + max(self.place.slots.values(), default=-1)
        self.frame = -(-8 * (slots + len(self.saved)) // 16) * 16
        self.save_base = 8 * slots
        if self.frame > 2000:
            raise SipError("size", f"{function.name} has too many variables alive at once", line=function.position.line,
                           hint="move a part of it into a @function")  # fmt: skip

    # ---- moving values ---------------------------------------------------------------------------------------

    def read(self, reg: Reg, scratch: int) -> int:
        """Return a machine register that holds a value, loading it into ``scratch`` if it is elsewhere."""
        if reg in self.constants:
            value = self.constants[reg]
            if value == 0:
                return 0
            self.out.ins("addi", scratch, 0, value)
            return scratch
        if reg in self.place.registers:
            return self.place.registers[reg]
        self.out.ins("ld", scratch, SP, 8 * self.place.slots[reg])
        return scratch

    def target(self, reg: Reg, scratch: int = T0) -> int:
        """Return the machine register to compute a destination in."""
        return self.place.registers.get(reg, scratch)

    def write(self, reg: Reg, at: int) -> None:
        """Put a computed value where its register lives; nothing if it is there already."""
        if reg in self.place.registers:
            self.move(self.place.registers[reg], at)
        elif reg in self.place.slots:
            self.out.ins("sd", at, SP, 8 * self.place.slots[reg])

    def move(self, rd: int, rs: int) -> None:
        if rd != rs:
            self.out.ins("addi", rd, rs, 0)

    def immediate(self, rd: int, value: int) -> None:
        """Load a constant."""
        for step in load_immediate(rd, value):
            self.out.ins(*step)

    def parallel(self, moves: list[tuple[int, int]]) -> None:
        """Move registers to registers, all at once; (destination, source)."""
        todo = [(d, s) for d, s in moves if d != s]
        while todo:
            sources = {s for _, s in todo}
            ready = next(((d, s) for d, s in todo if d not in sources), None)
            if ready is None:  # only cycles are left: open one through scratch
                d, s = todo[0]
                self.move(T0, s)
                todo = [(x, T0 if y == s else y) for x, y in todo]
                continue
            self.move(*ready)
            todo.remove(ready)

    def arguments(self, values: list[Reg | int]) -> None:
        """Bring values (registers, or integers) into a0, a1, ..."""
        moves, later = [], []
        for index, value in enumerate(values):
            if isinstance(value, Reg) and value in self.place.registers:
                moves.append((A0 + index, self.place.registers[value]))
            else:
                later.append((A0 + index, value))
        self.parallel(moves)
        for rd, value in later:
            if isinstance(value, Reg):
                self.move(rd, self.read(value, rd))
            else:
                self.immediate(rd, value)

    def normalise(self, rd: int, rs: int, type_: Int) -> None:
        """Extend the low bits of ``rs`` into ``rd`` as the type says."""
        if type_.bits == 64:
            self.move(rd, rs)
        elif type_.bits == 32 and type_.signed:
            self.out.ins("addiw", rd, rs, 0)
        elif type_.bits == 8 and not type_.signed:
            self.out.ins("andi", rd, rs, 255)
        else:
            self.out.ins("slli", rd, rs, 64 - type_.bits)
            self.out.ins("srai" if type_.signed else "srli", rd, rd, 64 - type_.bits)

    def fault(self, code: int, instr: Instr) -> str:
        """Return the label of the stub that ends the process with a fault at this line."""
        key = (code, instr.position.line)
        return self.instead.get(code) or self.faults.setdefault(key, f"{self.function.name}.fault{code}.{instr.position.line}")

    # ---- a function -----------------------------------------------------------------------------------------------

    def label(self, block_label: str) -> str:
        return f"{self.function.name}:{block_label}"

    def generate(self) -> None:
        """Emit the function."""
        out, blocks = self.out, self.function.blocks
        out.label(self.function.name)
        for index, block in enumerate(blocks):
            following = blocks[index + 1].label if index + 1 < len(blocks) else None
            start = len(out.items)
            out.label(self.label(block.label))
            if index == 0:
                out.line = self.function.position.line
                self.test_for_room()
                out.label(f"{self.function.name}.body")
                self.prologue()
            skip = self.fused(block.instrs)
            for instr in block.instrs:
                out.line = instr.position.line
                if instr is not skip:
                    first = len(out.items)
                    getattr(self, f"op_{instr.op}", self.op_other)(instr, following, skip)
                    if instr in self.across:
                        self.stack_map(instr, first)
            self.module.spans[self.function.name, block.label] = (start, len(out.items))
        for (code, line), label in self.faults.items():
            out.line = line
            out.label(label)
            if code == UNCAUGHT:
                out.ins("srli", A1, A0, 16)
                out.abi(ABI_NUMBER["fault"])
                continue
            self.immediate(A0, code)
            self.immediate(A1, line)
            out.abi(ABI_NUMBER["fault"])
        self.link_segment()
        if self.module.heap:
            self.heap_end()
        else:
            out.label(f"{self.function.name}:end")

    def stack_map(self, instr: Instr, first: int) -> None:
        """Note where references are while the calls stand that an instruction came to."""
        held = self.across[instr]
        registers = sum(1 << place for place in {self.place.registers[reg] for reg in held if reg in self.place.registers})
        words = tuple(sorted({self.place.slots[reg] for reg in held if reg in self.place.slots}))
        for item in self.out.items[first:]:
            if item.kind == "abi" or (item.kind == "jump" and item.args[0] == RA) or (item.kind == "ins" and item.args[:2] == ("jalr", RA)):
                self.module.tables.points.append((item, registers, words))

    def fused(self, instrs: list[Instr]) -> Instr | None:
        """Return the comparison that the block's branch can do itself."""
        if len(instrs) >= 2 and instrs[-1].op == "cbr" and instrs[-2].op in _COMPARISONS:
            if instrs[-2].dest is instrs[-1].args[0] and self.uses[instrs[-2].dest] == 1:
                return instrs[-2]
        return None

    def prologue(self) -> None:
        if self.frame:
            self.out.ins("addi", SP, SP, -self.frame)
        for index, reg in enumerate(self.saved):
            self.out.ins("sd", reg, SP, self.save_base + 8 * index)
        moves = []
        for index, param in enumerate(self.function.params):
            if param in self.place.registers:
                moves.append((self.place.registers[param], A0 + index))
            elif param in self.place.slots:
                self.out.ins("sd", A0 + index, SP, 8 * self.place.slots[param])
        self.parallel(moves)

    def op_ret(self, instr: Instr, following, skip) -> None:
        self.arguments(list(instr.args))
        if self.function.raises:
            self.move(T0, 0)
        self.epilogue()

    def epilogue(self) -> None:
        """Give the frame back and return."""
        for index, reg in enumerate(self.saved):
            self.out.ins("ld", reg, SP, self.save_base + 8 * index)
        if self.frame:
            self.out.ins("addi", SP, SP, self.frame)
        self.out.ins("jalr", 0, RA, 0)

    # ---- straight-line operations ---------------------------------------------------------------------------------

    def op_const(self, instr: Instr, following, skip) -> None:
        if instr.dest in self.constants:
            return
        rd = self.target(instr.dest)
        self.immediate(rd, instr.extra)
        self.write(instr.dest, rd)

    def op_pin(self, instr: Instr, following, skip) -> None:
        self.op_const(instr, following, skip)

    def op_mov(self, instr: Instr, following, skip) -> None:
        rd = self.target(instr.dest)
        self.move(rd, self.read(instr.args[0], rd))
        self.write(instr.dest, rd)

    def op_other(self, instr: Instr, following, skip) -> None:
        if instr.op in sil.ARITHMETIC:
            self.arithmetic(instr)
        elif instr.op in _COMPARISONS:
            self.comparison(instr)
        elif instr.op.startswith("raw_"):
            self.raw(instr)
        else:
            raise SipError("sil", f"unknown instruction {instr.op}", line=instr.position.line)

    def arithmetic(self, instr: Instr) -> None:
        out, op, type_ = self.out, instr.op, instr.dest.type
        a, b = instr.args
        bits = 64 if isinstance(type_, Bool) else type_.bits
        if op in ("add", "mul", "and", "or", "xor") and a in self.constants:
            a, b = b, a
        rd = self.target(instr.dest)
        constant = self.constants.get(b)
        if op in ("div", "rem"):
            self.division(instr, rd)
        elif op in ("shl", "shr"):
            self.shift(instr, rd, constant)
        else:
            ra = self.read(a, A0)
            word = "w" if bits == 32 and type_.signed and op in ("add", "sub", "mul") else ""
            if op == "sub" and constant is not None and constant > -2048:
                out.ins("addi" + word, rd, ra, -constant)
            elif op == "mul" and constant is not None and constant > 0 and constant & constant - 1 == 0:
                out.ins("slli", rd, ra, constant.bit_length() - 1)
            elif op in _IMMEDIATE_OP and constant is not None:
                out.ins(_IMMEDIATE_OP[op] + (word if op == "add" else ""), rd, ra, constant)
            else:
                out.ins(_REGISTER_OP[op] + word, rd, ra, self.read(b, A1))
            if instr.extra != "exact" and op in ("add", "sub", "mul") and bits < 64 and (not word or (op == "mul" and constant is not None)):
                self.normalise(rd, rd, type_)
        self.write(instr.dest, rd)

    def shift(self, instr: Instr, rd: int, constant: int | None) -> None:
        out, type_ = self.out, instr.dest.type
        ra = self.read(instr.args[0], A0)
        left = instr.op == "shl"
        name = "sll" if left else "sra" if type_.signed else "srl"
        if constant is not None:
            out.ins({"sll": "slli", "sra": "srai", "srl": "srli"}[name], rd, ra, constant & type_.bits - 1)
        else:
            rb = self.read(instr.args[1], A1)
            if type_.bits < 64:
                out.ins("andi", A1, rb, type_.bits - 1)
                rb = A1
            out.ins(name, rd, ra, rb)
        if left and type_.bits < 64 and instr.extra != "exact":
            self.normalise(rd, rd, type_)

    def division(self, instr: Instr, rd: int) -> None:
        """Quotient or remainder, rounded towards minus infinity; a zero divisor is a fault."""
        out, type_ = self.out, instr.dest.type
        divisor = self.constants.get(instr.args[1])
        power = divisor is not None and divisor > 0 and divisor & divisor - 1 == 0
        if power and (not type_.signed or instr.op == "div"):
            ra = self.read(instr.args[0], A0)
            if instr.op == "rem":
                out.ins("andi", rd, ra, divisor - 1)
            else:
                out.ins("srai" if type_.signed else "srli", rd, ra, divisor.bit_length() - 1)
            return
        a, b = self.read(instr.args[0], A0), self.read(instr.args[1], A1)
        if not divisor and instr.extra != "nonzero":
            out.branch("beq", b, 0, self.fault(FAULT_DIVISION, instr))
        if not type_.signed:
            out.ins("divu" if instr.op == "div" else "remu", rd, a, b)
            return
        out.ins("rem", T1, a, b)
        if instr.op == "div":
            out.ins("div", T2, a, b)
        done = self.module.fresh()
        out.branch("beq", T1, 0, done)
        out.ins("xor", T0, T1, b)
        out.branch("bge", T0, 0, done)
        out.ins(*(("addi", T2, T2, -1) if instr.op == "div" else ("add", T1, T1, b)))
        out.label(done)
        self.normalise(rd, T2 if instr.op == "div" else T1, type_)

    def comparison(self, instr: Instr) -> None:
        out, op = self.out, instr.op
        a, b = instr.args
        signed = getattr(a.type, "signed", False)
        rd = self.target(instr.dest)
        less = "slt" if signed else "sltu"
        if op in ("gt", "le"):
            a, b = b, a
            op = {"gt": "lt", "le": "ge"}[op]
        ra = self.read(a, A0)
        constant = self.constants.get(b)
        if op in ("eq", "ne"):
            if constant == 0:
                source = ra
            elif constant is not None:
                out.ins("xori", rd, ra, constant)
                source = rd
            else:
                out.ins("xor", rd, ra, self.read(b, A1))
                source = rd
            out.ins(*(("sltiu", rd, source, 1) if op == "eq" else ("sltu", rd, 0, source)))
        else:
            if constant is not None and (signed or constant >= 0):
                out.ins("slti" if signed else "sltiu", rd, ra, constant)
            else:
                out.ins(less, rd, ra, self.read(b, A1))
            if op == "ge":
                out.ins("xori", rd, rd, 1)
        self.write(instr.dest, rd)

    def op_not(self, instr: Instr, following, skip) -> None:
        rd = self.target(instr.dest)
        self.out.ins("xori", rd, self.read(instr.args[0], A0), 1)
        self.write(instr.dest, rd)

    def op_neg(self, instr: Instr, following, skip) -> None:
        rd = self.target(instr.dest)
        self.out.ins("sub", rd, 0, self.read(instr.args[0], A0))
        self.normalise(rd, rd, instr.dest.type)
        self.write(instr.dest, rd)

    def op_inv(self, instr: Instr, following, skip) -> None:
        rd = self.target(instr.dest)
        self.out.ins("xori", rd, self.read(instr.args[0], A0), -1)
        if not instr.dest.type.signed:
            self.normalise(rd, rd, instr.dest.type)
        self.write(instr.dest, rd)

    def op_cast(self, instr: Instr, following, skip) -> None:
        rd, source = self.target(instr.dest), instr.args[0]
        rs = self.read(source, A0)
        target = instr.dest.type
        fits = not isinstance(source.type, Int) or (
            target.minimum <= source.type.minimum and source.type.maximum <= target.maximum
        )
        if fits or target.bits == 64:
            self.move(rd, rs)
        else:
            self.normalise(rd, rs, target)
        self.write(instr.dest, rd)

    # ---- memory ---------------------------------------------------------------------------------------------------

    def element(self, instr: Instr) -> int:
        """Check bounds and leave the element's address in t1; returns log2 of its size."""
        out = self.out
        vector, index = self.read(instr.args[0], A0), self.read(instr.args[1], A1)
        element = instr.args[0].type.element
        size = power(element)
        out.ins("ld", T0, vector, BLOCK_SIZE)
        self.elements(T0, T0, element)
        out.branch("bgeu", index, T0, self.fault(FAULT_BOUNDS, instr))
        out.ins("ld", T1, vector, BLOCK_DATA)
        if size is None:
            self.immediate(T0, bytes_of(element))
            out.ins("mul", T0, index, T0)
            index = T0
        elif size:
            out.ins("slli", T0, index, size)
            index = T0
        out.ins("add", T1, T1, index)
        return size

    def op_load(self, instr: Instr, following, skip) -> None:
        if not isinstance(instr.args[0].type, Vector):
            return self.array_load(instr)
        size = self.element(instr)
        rd = self.target(instr.dest)
        self.out.ins(LOADS[instr.args[0].type.element.signed][size], rd, T1, 0)
        self.write(instr.dest, rd)

    def op_store(self, instr: Instr, following, skip) -> None:
        if not isinstance(instr.args[0].type, Vector):
            return self.array_store(instr)
        size = self.element(instr)
        self.out.ins(STORES[size], self.read(instr.args[2], A2), T1, 0)

    def op_check(self, instr: Instr, following, skip) -> None:
        index, size = self.read(instr.args[0], A0), self.read(instr.args[1], A1)
        self.out.branch("bgeu", index, size, self.fault(FAULT_BOUNDS, instr))

    def op_base(self, instr: Instr, following, skip) -> None:
        rd = self.target(instr.dest)
        self.out.ins("ld", rd, self.read(instr.args[0], A0), BLOCK_DATA)
        self.write(instr.dest, rd)

    def op_peek(self, instr: Instr, following, skip) -> None:
        element, offset = instr.extra
        rd = self.target(instr.dest)
        self.out.ins(LOADS[element.signed][power(element)], rd, self.read(instr.args[0], A0), offset)
        self.write(instr.dest, rd)

    def op_poke(self, instr: Instr, following, skip) -> None:
        element, offset = instr.extra
        address, value = self.read(instr.args[0], A0), self.read(instr.args[1], A1)
        self.out.ins(STORES[power(element)], value, address, offset)

    def op_len(self, instr: Instr, following, skip) -> None:
        rd = self.target(instr.dest)
        vector = isinstance(instr.args[0].type, Vector)
        self.out.ins("ld", rd, self.read(instr.args[0], A0), BLOCK_SIZE if vector else LENGTH)
        if vector:
            self.elements(rd, rd, instr.args[0].type.element)
        self.write(instr.dest, rd)

    def raw(self, instr: Instr) -> None:
        kind = instr.op[4:].rstrip("0123456789")
        width = instr.op[4 + len(kind) :]
        if kind == "load":
            rd = self.target(instr.dest)
            self.out.ins({"8": "lbu", "16": "lhu", "32": "lwu", "64": "ld"}[width], rd, *self.based(instr))
            self.write(instr.dest, rd)
        else:
            value = self.read(instr.args[1], A1)
            self.out.ins({"8": "sb", "16": "sh", "32": "sw", "64": "sd"}[width], value, *self.based(instr))

    def based(self, instr: Instr) -> tuple[int, int]:
        """Return base register and offset of a raw access."""
        return self.read(instr.args[0], A0), instr.extra or 0

    # ---- control ----------------------------------------------------------------------------------------------------

    def op_br(self, instr: Instr, following, skip) -> None:
        if instr.extra != following:
            self.out.jump(self.label(instr.extra))

    def op_cbr(self, instr: Instr, following, skip: Instr | None) -> None:
        yes, no = instr.extra
        if skip is None:
            op, ra, rb = "bne", self.read(instr.args[0], A0), 0
        else:
            a, b = skip.args
            signed = getattr(a.type, "signed", False)
            name = skip.op
            if name in ("gt", "le"):
                a, b, name = b, a, {"gt": "lt", "le": "ge"}[name]
            ra, rb = self.read(a, A0), self.read(b, A1)
            suffix = "" if name in ("eq", "ne") or signed else "u"
            op = "b" + name + suffix
        inverse = {"beq": "bne", "bne": "beq", "blt": "bge", "bge": "blt", "bltu": "bgeu", "bgeu": "bltu"}[op]
        if yes == following:
            self.out.branch(inverse, ra, rb, self.label(no))
        else:
            self.out.branch(op, ra, rb, self.label(yes))
            if no != following:
                self.out.jump(self.label(no))

    def op_fault(self, instr: Instr, following, skip) -> None:
        self.out.jump(self.fault(instr.extra, instr))

    def op_call(self, instr: Instr, following, skip) -> None:
        self.arguments(list(instr.args))
        self.out.jump(instr.extra, link=RA)
        self.arrive(instr.results)

    def arrive(self, regs: tuple[Reg, ...]) -> None:
        """Take values out of a0, a1, ... to where their registers live."""
        moves = []
        for index, reg in enumerate(regs):
            if reg in self.place.registers:
                moves.append((self.place.registers[reg], A0 + index))
            elif reg in self.place.slots:
                self.out.ins("sd", A0 + index, SP, 8 * self.place.slots[reg])
        self.parallel(moves)

    # ---- the ABI ------------------------------------------------------------------------------------------------------

    def abi(self, name: str, *values: Reg | int) -> None:
        self.arguments(list(values))
        self.out.abi(ABI_NUMBER[name])

    def op_new(self, instr: Instr, following, skip) -> None:
        self.room(instr.dest.type, instr, self.fault(FAULT_SIZE, instr))
        self.out.abi(ABI_NUMBER["allocate"])
        self.out.branch("beq", A0, 0, self.fault(FAULT_MEMORY, instr))
        self.write(instr.dest, A0)

    def room(self, type_: Type, instr: Instr, large: str) -> None:
        """Put into a0 how many bytes a new block wants; goes to ``large`` if there can be no such block."""
        if isinstance(type_, Struct):
            self.immediate(A0, type_.size)
            return
        size = power(type_.element)
        count = self.read(instr.args[0], A0)
        self.immediate(T0, LARGEST_BLOCK // bytes_of(type_.element))
        self.out.branch("bltu", T0, count, large)
        if size is None:
            self.immediate(T0, bytes_of(type_.element))
            self.out.ins("mul", A0, count, T0)
        elif size:
            self.out.ins("slli", A0, count, size)
        else:
            self.move(A0, count)

    def op_free(self, instr: Instr, following, skip) -> None:
        self.abi("free", instr.args[0])
        self.out.branch("bne", A0, 0, self.fault(FAULT_OWNER, instr))

    def op_print_text(self, instr: Instr, following, skip) -> None:
        content = instr.extra.encode()
        self.out.address(A0, self.module.text(content))
        self.immediate(A1, len(content))
        self.out.abi(ABI_NUMBER["print_text"])

    def op_print_int(self, instr: Instr, following, skip) -> None:
        self.abi("print_int", instr.args[0], int(getattr(instr.args[0].type, "signed", False)))

    def op_mark(self, instr: Instr, following, skip) -> None:
        self.abi("mark", instr.args[0])

    def op_yield(self, instr: Instr, following, skip) -> None:
        self.abi("yield")

    def op_spawn(self, instr: Instr, following, skip) -> None:
        self.start_thread(instr, instr.extra)
        self.out.branch("beq", A0, 0, self.fault(FAULT_NO_THREAD, instr))
        self.write(instr.dest, A0)

    def start_thread(self, instr: Instr, name: str) -> None:
        """Ask for a thread that runs a function; its number is in a0, 0 if there is none."""
        self.arguments([0, 0, *instr.args])
        self.out.address(A0, self.module.thread(name))
        self.immediate(A1, self.module.stack(name))
        self.out.abi(ABI_NUMBER["create_thread"])

    def op_join(self, instr: Instr, following, skip) -> None:
        self.abi("join_thread", instr.args[0])
        self.out.branch("bne", A0, 0, self.fault(FAULT_THREAD, instr))
        self.write(instr.dest, A1)

    def op_process_id(self, instr: Instr, following, skip) -> None:
        self.abi("get_process_id")
        self.write(instr.dest, A0)

    def op_cycles_per_second(self, instr: Instr, following, skip) -> None:
        self.abi("get_cycles_per_second")
        self.write(instr.dest, A0)
