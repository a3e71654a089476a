"""Machine code to LLVM: one function of the guest becomes one function of the host.

What a translated function does to the state is what the interpreter (:mod:`singlab.machine.hart`) does, to
the last counter. Registers and counters live in the host's registers and are written back where the
function is left. It is left for calls and returns, for whatever the interpreter must do (system and
atomic instructions), and to look up. Cold paths call the interpreter's own helpers.

The text is in LLVM's assembly language; :mod:`singlab.machine.translator` compiles it.
"""

from __future__ import annotations

from collections import Counter

from singlab.machine import profile as _p
from singlab.machine import state as _s
from singlab.machine.instruction import Instruction, instruction_at
from singlab.machine.lifttext import WINDOW, ZEROS, Text, as_signed
from singlab.machine.profile import Profile

#: What a translated function returns: PC is to go on at; look up first; the interpreter goes on in this line;
#: it enters the line, for its page is not in the quick table.
NEXT, LOOK_UP, WITHIN, ENTER = 0, 1, 2, 3
#: PC is to go on at, within the line; RESUME says so too, for the interpreter.
BESIDE = 4

_FULL = (1 << 64) - 1
_BRANCHES = {"beq": "eq", "bne": "ne", "blt": "slt", "bge": "sge", "bltu": "ult", "bgeu": "uge"}
_LOADS = {"lb": (1, True), "lh": (2, True), "lw": (4, True), "ld": (8, True), "lbu": (1, False), "lhu": (2, False), "lwu": (4, False)}
_LOAD_FUNCT3 = {name: number for number, name in enumerate(("lb", "lh", "lw", "ld", "lbu", "lhu", "lwu"))}
_STORES = {"sb": 1, "sh": 2, "sw": 4, "sd": 8}
_SIMPLE = {"add": "add", "sub": "sub", "xor": "xor", "or": "or", "and": "and", "addi": "add", "xori": "xor", "ori": "or", "andi": "and"}
_SHIFTS = {"sll": "shl", "srl": "lshr", "sra": "ashr"}


#: How many places a function remembers it has reached.
_REMEMBERED = 4


class Function(Text):
    """The translation of the instructions in ``[first, end)``.

    Parameters
    ----------
    name : str
        Of the host's function.
    code : bytes
        The whole image.
    origin : int
        Virtual address of its first byte.
    first, end : int
        Virtual addresses.
    base : int
        What leads from pc/2 to slots of decoded instructions, as in the quick table.
    profile : Profile
    params : callable
        Gives a word of the state that does not change while the machine lives: where tags lie.
    """

    def __init__(self, name: str, code: bytes, origin: int, first: int, end: int, base: int, profile: Profile, params):
        self.name, self.base, self.profile, self.params = name, base, profile, params
        self.first, self.end = first, end
        self.timed = profile.timed
        self.shift = 6 if self.timed else 12
        super().__init__()
        self.instructions: dict[int, Instruction] = {}
        self.leaders: set[int] = {first}
        self.reached: dict[tuple[bool, int, int], int] = {}
        self._discover(code, origin)
        strided = self._strided() if self.timed else set()
        for _, i in sorted(self.instructions.items()):
            if (i.name in _LOADS or i.name in _STORES) and i.rs1 not in strided:
                what = self._place(i)
                if len(self.reached) < _REMEMBERED:
                    self.reached.setdefault(what, len(self.reached))
        used = {r for i in self.instructions.values() for r in (i.rs1, i.rs2 if i.name not in _LOADS else 0, i.rd) if 0 < r < 32}
        self.registers = sorted(used)
        self.written = sorted({i.rd for i in self.instructions.values() if i.rd})

    def _strided(self) -> set[int]:
        """Return the registers that move on by a line or more: where they led to last is not worth remembering."""
        return {i.rd for i in self.instructions.values() if i.name == "addi" and i.rd == i.rs1 != 2 and abs(i.imm) >= 64}

    def _discover(self, code: bytes, origin: int) -> None:
        """Find the instructions and where control may enter: targets of jumps, and what follows a jump."""
        todo = [self.first]
        while todo:
            pc = todo.pop()
            while self.first <= pc < self.end and pc not in self.instructions:
                found = instruction_at(code, pc - origin)
                if found is None:
                    break
                self.instructions[pc] = found
                if found.name == "illegal":
                    break  # nothing comes after it: gaps between sections are no code
                after = pc + found.size
                if found.name in _BRANCHES or found.name == "jal":
                    target = pc + found.imm
                    if self.first <= target < self.end:
                        self.leaders.add(target)
                        todo.append(target)
                if found.name in _BRANCHES or found.name in ("jal", "jalr") or found.interpreted:
                    if after < self.end:
                        self.leaders.add(after)
                pc = after
        self.leaders &= set(self.instructions)

    # ---- text ----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Write the instructions and known stalls of the block so far into the local counters."""
        self.count_up("t", self.pending + self.extra["muldiv"])
        self.count_up("divides", self.extra.pop("divides", 0))
        self.counted(**self.extra)
        self.begin()

    def begin(self) -> None:
        """Begin to count anew."""
        self.pending, self.extra = 0, Counter()

    def bring(self) -> None:
        """Bring the local counters into the state."""
        words = ", ".join(f"i64 {self._(f'load i64, ptr %{local}')}" for local in ("p", "q", "divides", "until"))
        left = self._(f"call preserve_mostcc i64 @bring_{'timed' if self.timed else 'plain'}(ptr %m, i64 {self.elapsed()}, {words})")
        self.put(f"store i64 {left}, ptr %left")
        self.put(f"store i64 {self._(f'sub i64 0, {left}')}, ptr %t")
        self.clear()

    def clear(self) -> None:
        """Set the local counters back."""
        for local, value in (*ZEROS.items(), ("divides", 0)):
            self.put(f"store i64 {value}, ptr %{local}")

    def leave(self, code: int, pc) -> None:
        """End the block: return ``code``, to go on at ``pc``; pending counts are settled."""
        self.put(f"store i64 {pc}, ptr %pc")
        self.put(f"store i64 {code}, ptr %code")
        self.put("br label %leave")

    def time_has_passed(self) -> None:
        """Take it into account that the state's cycles have grown."""
        due = self._(f"sub i64 {self._('load i64, ptr %until')}, {self.get(_s.CYCLES)}")
        left = self._(f"call i64 @llvm.smin.i64(i64 {due}, i64 {WINDOW})")
        moved = self._(f"sub i64 {self._('load i64, ptr %left')}, {left}")
        t = self._("load i64, ptr %t")
        self.put(f"store i64 {self._(f'add i64 {t}, {moved}')}, ptr %t")
        self.put(f"store i64 {left}, ptr %left")

    def elapsed(self) -> str:
        """Return the cycles since the books were brought up to date; t counts up from minus what was left then."""
        return self._(f"add i64 {self._('load i64, ptr %t')}, {self._('load i64, ptr %left')}")

    def check_time(self, pc: int) -> None:
        """Leave to look up, with ``pc`` next, if it is time."""
        due = self._(f"icmp sge i64 {self._('load i64, ptr %t')}, 0")
        bring, leave, on = self.fresh("bring"), self.fresh("look"), self.fresh("on")
        self.put(f"br i1 {due}, label %{bring}, label %{on}, !prof !0")
        self.label(bring)
        self.bring()
        due = self._(f"icmp sge i64 {self._('load i64, ptr %t')}, 0")
        self.put(f"br i1 {due}, label %{leave}, label %{on}, !prof !0")
        self.label(leave)
        self.leave(LOOK_UP, pc)
        self.label(on)

    # ---- fetching ------------------------------------------------------------------------------------------------

    def check_page(self, pc: int) -> None:
        """Leave unless the quick table has the page, where it was when the code was translated."""
        entry = self._(f"add i64 %fetches, {(pc >> 12 & _s.QUICK_ENTRIES - 1) << 1}")
        same = self._(f"icmp eq i64 {self.get(entry)}, {as_signed(pc & ~0xFFF)}")
        second = self._(f"add i64 {entry}, 1")
        here = self._(f"icmp eq i64 {self.get(second)}, {as_signed(self.base)}")
        on, leave = self.fresh("page"), self.fresh("nopage")
        self.put(f"br i1 {self._(f'and i1 {same}, {here}')}, label %{on}, label %{leave}, !prof !1")
        self.label(leave)
        self.leave(ENTER, pc)
        self.label(on)

    def charge_line(self, pc: int) -> None:
        """Charge the fetch of the line."""
        if not self.timed:
            return
        self.counted(lines=1)
        line = ((pc >> 1) + self.base & _FULL) * 2 + _s.RAM_BASE >> 6
        tag = self.params(_p.P_L1I_TAGS) + (line & self.params(_p.P_L1I_SETS) - 1)
        held = self.get(tag)
        hit = self._(f"icmp eq i64 {self._(f'lshr i64 {held}, 1')}, {line + 1}")
        miss, on = self.fresh("imiss"), self.fresh("ihit")
        self.put(f"br i1 {hit}, label %{on}, label %{miss}, !prof !1")
        self.label(miss)
        self.put(f"call preserve_mostcc void @keep_fetch(ptr %m, ptr %ram, i64 {line})")
        self.time_has_passed()
        self.put(f"br label %{on}")
        self.label(on)

    # ---- data ----------------------------------------------------------------------------------------------------

    def forget_lines(self) -> None:
        """Empty what the function remembers of pages or lines it has reached."""
        for key in self.reached.values():
            self.put(f"store i64 {_s.QUICK_EMPTY}, ptr %k{key}")

    def cold_call(self, call: str, rd: int) -> str:
        """Call a helper that may trap or want the books; returns its value where it went well."""
        self.bring()
        stalls = self.extra["muldiv"]
        if stalls:  # what is known of the block's stalls goes into the books before, so that a device sees the time
            self.more(_s.CYCLES, stalls)
            self.more(_s.C_STALL_MULDIV, stalls)
            self.count_up("t", -stalls)
            self.counted(muldiv=-stalls)
        if self.timed:
            self.counted(data=-1)  # the helper has counted it
        what = self._(call.format(n=self.pending))
        self.time_has_passed()
        self.forget_lines()
        value = self.get(_s.LOADED)
        done, other = self.fresh("done"), self.fresh("other")
        self.put(f"br i1 {self._(f'icmp eq i64 {what}, 0')}, label %{done}, label %{other}, !prof !1")
        self.label(other)
        if rd:
            trapped = self._(f"icmp eq i64 {what}, 1")
            self.set_reg(rd, self._(f"select i1 {trapped}, i64 {self.reg(rd)}, i64 {value}"))
        self.count_up("t", stalls)
        self.count_up("divides", self.extra["divides"])
        self.counted(**{name: amount for name, amount in self.extra.items() if name != "divides"})
        self.leave(LOOK_UP, self.get(_s.PC))
        self.label(done)
        return value

    def _place(self, i: Instruction) -> tuple[bool, int, int]:
        """Return what accesses have in common that often go to the same line or page."""
        return i.name in _STORES, i.rs1, i.imm >> self.shift

    def quick(self, i: Instruction, va: str, width: int, store: bool) -> tuple[str, str]:
        """Return the byte offset of an address, and the label of the slow way, to be written next.

        First what the function itself remembers: the line (without timing the page) that this register led to
        last, which is still the first of its set, for whatever changes that makes the function forget.
        """
        key = self.reached.get(self._place(i))
        ready, slow = self.fresh("ready"), self.fresh("slow")
        if self.timed:
            self.extra["data"] += 1
        if key is not None:
            near = self._(f"and i64 {va}, {as_signed((~63 if self.timed else ~0xFFF) | width - 1)}")
            look = self.fresh("table")
            same = self._(f"icmp eq i64 {self._(f'load i64, ptr %k{key}')}, {near}")
            first = self._(f"load i64, ptr %l{key}")
            self.put(f"br i1 {same}, label %{ready}b, label %{look}, !prof !2")
            self.label(f"{ready}b")
            self.put(f"br label %{ready}")
            self.label(look)
        page = self._(f"lshr i64 {va}, 11")
        entry = self._(f"add i64 %{'stores' if store else 'loads'}, {self._(f'and i64 {page}, {(_s.QUICK_ENTRIES - 1) << 1}')}")
        wanted = self._(f"and i64 {va}, {as_signed(~0xFFF | width - 1)}")
        known = self.fresh("known")
        self.put(f"br i1 {self._(f'icmp eq i64 {self.get(entry)}, {wanted}')}, label %{known}, label %{slow}, !prof !1")
        self.label(known)
        delta = self.get(self._(f"add i64 {entry}, 1"))
        if self.timed:
            at = self._(f"add i64 {va}, {delta}")
            line = self._(f"add i64 {self._(f'lshr i64 {at}, 6')}, {_s.RAM_BASE - _s.RAM_OFFSET >> 6}")
            slot = self._(f"and i64 {line}, {self.params(_p.P_L1D_SETS) - 1}")
            where = self.word(self._(f"add i64 {slot}, {self.params(_p.P_L1D_TAGS)}"))
            tag = self._(f"add i64 {line}, 1")
            there = self._(f"lshr i64 {self._(f'load i64, ptr {where}')}, 1")
            hit, miss = self.fresh("hit"), self.fresh("miss")
            self.put(f"br i1 {self._(f'icmp eq i64 {there}, {tag}')}, label %{hit}, label %{miss}, !prof !1")
            self.label(miss)
            if self.profile.l1d_ways > 1:  # in the second way so often that it is worth a look of its own
                next_way = self._(f"getelementptr i64, ptr {where}, i64 {self.params(_p.P_L1D_SETS)}")
                second, first_word = self._(f"load i64, ptr {next_way}"), self._(f"load i64, ptr {where}")
                swap, far = self.fresh("swap"), self.fresh("far")
                same = self._(f"icmp eq i64 {self._(f'lshr i64 {second}, 1')}, {tag}")
                self.put(f"br i1 {same}, label %{swap}, label %{far}")
                self.label(swap)
                self.put(f"store i64 {first_word}, ptr {next_way}")
                self.put(f"store i64 {second}, ptr {where}")
                self.forget_lines()
                self.put(f"br label %{hit}")
                self.label(far)
            self.put(f"call preserve_mostcc void @keep_touch(ptr %m, ptr %ram, i64 {at}, i64 {int(store)})")
            self.time_has_passed()
            self.forget_lines()
            self.put(f"br label %{hit}")
            self.label(hit)
            if store:
                # after a miss the line is there and dirty: writing the same once more changes nothing
                dirty = self._(f"shl i64 {tag}, 1")
                self.put(f"store i64 {self._(f'or i64 {dirty}, 1')}, ptr {where}")
        if key is not None:
            self.put(f"store i64 {near}, ptr %k{key}")
            self.put(f"store i64 {delta}, ptr %l{key}")
            self.put(f"br label %{ready}c")
            self.label(f"{ready}c")
            self.put(f"br label %{ready}")
            self.label(ready)
            delta = self._(f"phi i64 [ {first}, %{ready}b ], [ {delta}, %{ready}c ]")
        return self._(f"add i64 {va}, {delta}"), slow

    def load(self, pc: int, i: Instruction) -> None:
        width, signed = _LOADS[i.name]
        va = self._(f"add i64 {self.reg(i.rs1)}, {i.imm}")
        at, slow = self.quick(i, va, width, False)
        where = self._(f"getelementptr i8, ptr %ram, i64 {at}")
        value = self._(f"load i{width * 8}, ptr {where}, align 1")
        if width < 8:
            value = self._(f"{'sext' if signed else 'zext'} i{width * 8} {value} to i64")
        self.set_reg(i.rd, value)
        on = self.fresh("next")
        self.put(f"br label %{on}")
        self.label(slow)
        call = f"call preserve_mostcc i64 @keep_load(ptr %m, ptr %ram, i64 {_LOAD_FUNCT3[i.name]}, i64 {va}, i64 {as_signed(pc)}, i64 {as_signed(pc + i.size)}, i64 {{n}})"
        value = self.cold_call(call, i.rd)
        self.set_reg(i.rd, value)
        self.put(f"br label %{on}")
        self.label(on)

    def store(self, pc: int, i: Instruction) -> None:
        width = _STORES[i.name]
        va = self._(f"add i64 {self.reg(i.rs1)}, {i.imm}")
        value = self.reg(i.rs2)
        at, slow = self.quick(i, va, width, True)
        where = self._(f"getelementptr i8, ptr %ram, i64 {at}")
        narrow = value if width == 8 else self._(f"trunc i64 {value} to i{width * 8}")
        self.put(f"store i{width * 8} {narrow}, ptr {where}, align 1")
        on = self.fresh("next")
        self.put(f"br label %{on}")
        self.label(slow)
        funct3 = {1: 0, 2: 1, 4: 2, 8: 3}[width]
        call = f"call preserve_mostcc i64 @keep_store(ptr %m, ptr %ram, i64 {funct3}, i64 {va}, i64 {value}, i64 {as_signed(pc)}, i64 {as_signed(pc + i.size)}, i64 {{n}})"
        self.cold_call(call, 0)
        self.put(f"br label %{on}")
        self.label(on)

    # ---- arithmetic ----------------------------------------------------------------------------------------------

    def arithmetic(self, pc: int, i: Instruction) -> None:
        name = i.name
        if name == "fence":
            return
        if name == "lui":
            return self.set_reg(i.rd, i.imm)
        if name == "auipc":
            return self.set_reg(i.rd, as_signed(pc + i.imm))
        immediate = name.rstrip("w").endswith("i") or name.endswith(("iw", "iu")) and name != "mulhu"
        if not i.rd and not name.startswith(("mul", "div", "rem")):
            return None
        a = self.reg(i.rs1)
        b = str(i.imm) if immediate else self.reg(i.rs2)
        if name in _SIMPLE:
            value = self._(f"{_SIMPLE[name]} i64 {a}, {b}")
        elif name in ("slt", "slti", "sltu", "sltiu"):
            order = "ult" if "u" in name else "slt"
            value = self._(f"zext i1 {self._(f'icmp {order} i64 {a}, {b}')} to i64")
        elif name.rstrip("i") in _SHIFTS:
            amount = b if immediate else self._(f"and i64 {b}, 63")
            value = self._(f"{_SHIFTS[name.rstrip('i')]} i64 {a}, {amount}")
        elif name in ("addw", "subw", "addiw"):
            value = self.widened(self.low(self._(f"{'sub' if name == 'subw' else 'add'} i64 {a}, {b}")))
        elif name.rstrip("w").rstrip("i") in _SHIFTS:
            amount = b if immediate else self._(f"and i32 {self.low(b)}, 31")
            value = self.widened(self._(f"{_SHIFTS[name.rstrip('w').rstrip('i')]} i32 {self.low(a)}, {amount}"))
        else:
            value = self.muldiv(name, a, b)
        self.set_reg(i.rd, value)
        return None

    def muldiv(self, name: str, a: str, b: str) -> str:
        if self.timed:
            stall = self.profile.multiply_cycles if name.startswith("mul") else self.profile.divide_cycles
            self.extra["muldiv"] += stall
        self.extra["multiplies" if name.startswith("mul") else "divides"] += 1
        if name == "mul":
            return self._(f"mul i64 {a}, {b}")
        if name == "mulw":
            return self.widened(self._(f"mul i32 {self.low(a)}, {self.low(b)}"))
        if name.startswith("mulh"):
            wide_a = self._(f"{'zext' if name == 'mulhu' else 'sext'} i64 {a} to i128")
            wide_b = self._(f"{'sext' if name == 'mulh' else 'zext'} i64 {b} to i128")
            high = self._(f"lshr i128 {self._(f'mul i128 {wide_a}, {wide_b}')}, 64")
            return self._(f"trunc i128 {high} to i64")
        bits = 32 if name.endswith("w") else 64
        if bits == 32:
            a, b = self.low(a), self.low(b)
        signed = "u" not in name
        zero = self._(f"icmp eq i{bits} {b}, 0")
        odd = zero
        if signed:
            least = self._(f"icmp eq i{bits} {a}, {-(1 << bits - 1)}")
            minus = self._(f"icmp eq i{bits} {b}, -1")
            odd = self._(f"or i1 {zero}, {self._(f'and i1 {least}, {minus}')}")
        divisor = self._(f"select i1 {odd}, i{bits} 1, i{bits} {b}")
        kind = ("s" if signed else "u") + ("div" if name.startswith("div") else "rem")
        result = self._(f"{kind} i{bits} {a}, {divisor}")
        result = self._(f"select i1 {zero}, i{bits} {-1 if name.startswith('div') else a}, i{bits} {result}")
        return self.widened(result) if bits == 32 else result

    # ---- control -------------------------------------------------------------------------------------------------

    def jump(self, pc: int, target: int) -> None:
        """Go on at an address, as a taken jump from ``pc`` does."""
        if target not in self.leaders:
            if self.timed and target >> self.shift == pc >> self.shift:
                self.check_time(as_signed(target))
                self.beside(target, BESIDE)
            else:
                self.leave(NEXT, as_signed(target))
        elif target >> self.shift == pc >> self.shift:
            self.check_time(as_signed(target))
            self.put(f"br label %B{target:x}")
        elif target >> 12 == pc >> 12:
            self.put(f"br label %E{target:x}")
        else:
            self.put(f"br label %X{target:x}")

    def beside(self, pc: int, code: int) -> None:
        """Leave to go on at an address within the line that has been charged."""
        self.set(_s.RESUME, as_signed(pc + 1))
        self.set(_s.RESUME_BASE, as_signed(self.base))
        self.leave(code, as_signed(pc))

    def mispredicted(self) -> None:
        if self.timed and self.profile.branch_cycles:
            self.count_up("t", self.profile.branch_cycles)
            self.counted(branch=self.profile.branch_cycles)

    def branch(self, pc: int, i: Instruction) -> None:
        a, b = self.reg(i.rs1), self.reg(i.rs2)
        self.settle()
        taken, not_taken = self.fresh("taken"), self.fresh("not")
        self.put(f"br i1 {self._(f'icmp {_BRANCHES[i.name]} i64 {a}, {b}')}, label %{taken}, label %{not_taken}")
        self.label(taken)
        if self.timed:
            self.counted(taken=1)
        if i.imm >= 0:
            self.mispredicted()
        self.jump(pc, pc + i.imm)
        self.label(not_taken)
        if i.imm < 0:
            self.mispredicted()

    def block(self, leader: int) -> None:
        """Write the blocks of a leader: entered from outside, in a new line, and within one."""
        self.begin()
        self.label(f"X{leader:x}")
        self.check_page(leader)
        self.put(f"br label %E{leader:x}")
        self.label(f"E{leader:x}")
        self.check_time(as_signed(leader))
        self.charge_line(leader)
        self.put(f"br label %B{leader:x}")
        self.label(f"B{leader:x}")
        pc, before = leader, leader
        while True:
            i = self.instructions.get(pc)
            if pc != leader and (pc in self.leaders or i is None):
                self.settle()
                if i is None and pc >> self.shift == before >> self.shift:
                    self.beside(pc, BESIDE)
                elif i is None:
                    self.leave(NEXT, as_signed(pc))
                elif pc >> 12 != before >> 12:
                    self.put(f"br label %X{pc:x}")
                else:
                    self.put(f"br label %{'E' if pc >> self.shift != before >> self.shift else 'B'}{pc:x}")
                return
            if pc >> self.shift != before >> self.shift:
                self.settle()
                if pc >> 12 != before >> 12:
                    # where time is up before the page is looked at, the interpreter looks in the same order
                    self.check_time(as_signed(pc))
                    self.check_page(pc)
                else:
                    self.check_time(as_signed(pc))
                self.charge_line(pc)
            after = pc + i.size
            if i.interpreted or (i.size == 4 and pc & 0xFFF == 0xFFE):
                self.settle()
                self.beside(pc, WITHIN)
                return
            self.pending += 1
            if i.name in _LOADS:
                self.load(pc, i)
            elif i.name in _STORES:
                self.store(pc, i)
            elif i.name in _BRANCHES:
                self.branch(pc, i)
            elif i.name == "jal":
                self.set_reg(i.rd, as_signed(after))
                self.settle()
                self.jump(pc, pc + i.imm)
                return
            elif i.name == "jalr":
                target = self._(f"and i64 {self._(f'add i64 {self.reg(i.rs1)}, {i.imm}')}, -2")
                self.set_reg(i.rd, as_signed(after))
                self.settle()
                if i.rs1 != 1:
                    self.mispredicted()
                self.leave(NEXT, target)
                return
            else:
                self.arithmetic(pc, i)
            pc, before = after, pc

    def text(self) -> str:
        """Return the function."""
        self.lines.append(f"define i64 @{self.name}(ptr noalias %m, ptr noalias %ram, i64 %block) {{")
        self.label("entry")
        mark = len(self.lines)
        for register in self.registers:
            self.put(f"%x{register} = alloca i64")
        for local in ("t", "p", "q", "divides", "until", "left", "pc", "code"):
            self.put(f"%{local} = alloca i64")
            self.put(f"store i64 0, ptr %{local}")
        self.clear()
        for register in self.registers:
            self.set_reg(register, self.get(register))
        mode = self._(f"mul i64 {self.get(_s.MODE)}, {_s.QUICK_MODE}")
        for table, place in (("loads", 0), ("stores", 1), ("fetches", 2)):
            self.put(f"%{table} = add i64 {mode}, {_s.QUICK_BASE + place * _s.QUICK_TABLE}")
        self.put(f"store i64 {self.get(_s.UNTIL)}, ptr %until")
        self.time_has_passed()
        order = sorted(self.leaders)
        self.put(
            f"switch i64 %block, label %X{self.first:x} ["
            + " ".join(f"i64 {2 * k}, label %X{l:x} i64 {2 * k + 1}, label %B{l:x}" for k, l in enumerate(order))
            + "]"
        )
        for leader in order:
            self.block(leader)
        remembered = [f"  %{kind}{key} = alloca i64" for key in self.reached.values() for kind in "kl"]
        self.lines[mark:mark] = remembered + [
            f"  store i64 {_s.QUICK_EMPTY if kind == 'k' else 0}, ptr %{kind}{key}" for key in self.reached.values() for kind in "kl"
        ]
        self.label("leave")
        for register in self.written:
            self.set(register, self._(f"load i64, ptr %x{register}"))
        self.bring()
        self.set(_s.PC, self._("load i64, ptr %pc"))
        self.put(f"ret i64 {self._('load i64, ptr %code')}")
        self.lines.append("}")
        return "\n".join(self.lines)

    @property
    def entries(self) -> dict[int, int]:
        """Where control may enter: virtual address to the number of its block."""
        return {leader: 2 * k for k, leader in enumerate(sorted(self.leaders))}
