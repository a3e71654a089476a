"""Text in LLVM's assembly language, as :mod:`singlab.machine.lift` writes it, and the counters of a translated function.

Counters of a function live in words of its own until they are brought to the state; several share a word.
"""

from __future__ import annotations

from singlab.machine import state as _s

_FULL = (1 << 64) - 1
#: Counters of a function share words of its own, each with 21 bits: data accesses, lines entered and branches taken in
#: one, stalls of branches and of multiplication, and multiplications, in another. Instructions are the cycles without the stalls.
FIELDS = {"data": ("p", 0), "lines": ("p", 21), "taken": ("p", 42), "branch": ("q", 0), "muldiv": ("q", 21), "multiplies": ("q", 42)}
_FIELD = (1 << 21) - 1
#: What a field has at first, for it may become negative for a while: a helper counts what is counted here later.
_ZERO = 1 << 20
ZEROS = {word: sum(_ZERO << shift for w, shift in FIELDS.values() if w == word) for word in ("p", "q")}
#: Cycles after which they are brought to the state at the latest, so that no field overflows.
WINDOW = 1 << 18


class Text:
    """Lines of a function, with fresh names."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0

    def _(self, text: str) -> str:
        """Write an instruction with a result; returns the result's name."""
        self.count += 1
        name = f"%t{self.count}"
        self.lines.append(f"  {name} = {text}")
        return name

    def put(self, text: str) -> None:
        self.lines.append("  " + text)

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def fresh(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def word(self, index) -> str:
        """Return a pointer to a word of the state, by constant or by value."""
        return self._(f"getelementptr i64, ptr %m, i64 {index}")

    def get(self, index) -> str:
        return self._(f"load i64, ptr {self.word(index)}")

    def set(self, index, value) -> None:
        self.put(f"store i64 {value}, ptr {self.word(index)}")

    def more(self, index, value) -> None:
        """Add to a word of the state."""
        where = self.word(index)
        old = self._(f"load i64, ptr {where}")
        self.put(f"store i64 {self._(f'add i64 {old}, {value}')}, ptr {where}")

    def reg(self, number: int) -> str:
        return "0" if number == 0 else self._(f"load i64, ptr %x{number}")

    def set_reg(self, number: int, value) -> None:
        if number:
            self.put(f"store i64 {value}, ptr %x{number}")

    def count_up(self, local: str, value: int) -> None:
        """Add to a local counter."""
        if value != 0:
            old = self._(f"load i64, ptr %{local}")
            self.put(f"store i64 {self._(f'add i64 {old}, {as_signed(value)}')}, ptr %{local}")

    def counted(self, **amounts: int) -> None:
        """Add to counters that share words."""
        words = {"p": 0, "q": 0}
        for name, amount in amounts.items():
            word, shift = FIELDS[name]
            words[word] += amount << shift
        for word, amount in words.items():
            self.count_up(word, amount)

    def low(self, value: str) -> str:
        return value if value.lstrip("-").isdigit() else self._(f"trunc i64 {value} to i32")

    def widened(self, value: str) -> str:
        return self._(f"sext i32 {value} to i64")


def bring_text(timed: bool) -> str:
    """Return the function that brings a translated function's counters into the state.

    It takes cycles since the last time, the words of counters, divisions, and when to look up; its result is how
    many cycles are left until then, at most a window.
    """
    f = Text()
    f.lines = [
        f"define internal preserve_mostcc i64 @bring_{'timed' if timed else 'plain'}(ptr %m, i64 %cycles, i64 %p, i64 %q, i64 %divides, i64 %until) noinline cold {{",
        "entry:",
    ]
    part = {}
    for name, (word, shift) in FIELDS.items():
        field = f._(f"and i64 {f._(f'lshr i64 %{word}, {shift}')}, {_FIELD}")
        part[name] = f._(f"sub i64 {field}, {_ZERO}")
    stalls = f._(f"add i64 {part['branch']}, {part['muldiv']}")
    f.more(_s.INSTRET, f._(f"sub i64 %cycles, {stalls}"))
    f.more(_s.CYCLES, "%cycles")
    f.more(_s.C_MULTIPLIES, part["multiplies"])
    f.more(_s.C_DIVIDES, "%divides")
    if timed:
        counters = {
            "lines": _s.C_L1I_ACCESSES,
            "data": _s.C_L1D_ACCESSES,
            "taken": _s.C_BRANCHES_TAKEN,
            "branch": _s.C_STALL_BRANCH,
            "muldiv": _s.C_STALL_MULDIV,
        }
        for name, counter in counters.items():
            f.more(counter, part[name])
        paged = f._(f"icmp ne i64 {f.get(_s.SATP)}, 0")
        below = f._(f"icmp ne i64 {f.get(_s.MODE)}, 3")
        f.more(_s.C_DTLB_ACCESSES, f._(f"select i1 {f._(f'and i1 {paged}, {below}')}, i64 {part['data']}, i64 0"))
    due = f._(f"sub i64 %until, {f.get(_s.CYCLES)}")
    f.put(f"ret i64 {f._(f'call i64 @llvm.smin.i64(i64 {due}, i64 {WINDOW})')}")
    f.lines.append("}")
    return "\n".join(f.lines)


def as_signed(value: int) -> int:
    """Return a word of 64 bits as a signed number."""
    value &= _FULL
    return value - (value >> 63 << 64)
