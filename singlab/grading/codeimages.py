"""Images to judge: code of our own compiler, as it is and altered.

Programs are drawn at random, compiled, and placed at random addresses with their ABI calls filled in, as the loader
does it for ring 0. Two programs' texts one behind the other are a text too, so a few dozen programs make many images.
Half of the images are altered in one place. An alteration only intends to break a rule: what an altered image counts
as is found out afterwards, by :mod:`singlab.grading.closedcode`.
"""

from __future__ import annotations

import html
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from singlab.grading import closedcode
from singlab.grading.closedcode import Finding, call_target, findings, shown
from singlab.kernel import layout as at
from singlab.kernel.abi import ABI
from singlab.kernel.entry import STUB_BYTES, VECTOR
from singlab.kernel.loader import relocated
from singlab.machine.asm import encode
from singlab.sing import build, programs_from_source

ENTRIES = len(ABI)
#: Programs that are compiled; images are made of one or two.
_PROGRAMS = 48
_PAGES = 3000


@dataclass(frozen=True)
class CodeImage:
    """An image to judge.

    Attributes
    ----------
    words : tuple of int
        The text.
    base : int
        Where it runs.
    origin : int
        Which unaltered image it was made of; its own number if it is one.
    change : str
        What was altered, in words; empty if nothing was.
    broken : tuple of Finding
    """

    words: tuple[int, ...]
    base: int
    origin: int
    change: str
    broken: tuple[Finding, ...]

    @property
    def closed(self) -> bool:
        """Whether no rule is broken."""
        return not self.broken

    @property
    def rules(self) -> frozenset[str]:
        """The rules that are broken."""
        return frozenset(finding.rule for finding in self.broken)

    def packed(self) -> bytes:
        """Return what a client's block holds of it: number of words, base, the words."""
        return struct.pack(f"<{2 + len(self.words)}I", len(self.words), self.base, *self.words)

    def __str__(self) -> str:
        head = f"{len(self.words)} words at {self.base:#x}: {'closed' if self.closed else 'not closed'}"
        return "\n".join([head, *(f"  {shown(self.words, self.base, i)}" for i in range(len(self.words)))])

    def _repr_html_(self) -> str:
        why = {finding.index: closedcode.RULES[finding.rule] for finding in self.broken}
        rows = []
        for index in range(len(self.words)):
            place, _, code = shown(self.words, self.base, index).partition(": ")
            number, word = place.removeprefix("word ").split(", ")
            colour = ";color:#D55E00" if index in why else ""
            cells = (number, f"{self.base + 4 * index:#x}", word, code, why.get(index, ""))
            rows.append("<tr>" + "".join(f"<td style='text-align:left;font-family:monospace{colour}'>{html.escape(c)}</td>" for c in cells[:4])
                        + f"<td style='text-align:left{colour}'>{html.escape(cells[4])}</td></tr>")  # fmt: skip
        return (
            f"<div style='max-height:420px;overflow:auto'><b>{len(self.words)} words at {self.base:#x}: "
            f"{'closed' if self.closed else 'not closed'}</b><table><thead><tr><th>index</th><th>address</th><th>word</th>"
            f"<th style='text-align:left'>instruction</th><th></th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        )


# ---- programs ------------------------------------------------------------------------------------------------


def _expression(rng: random.Random, names: list[str], depth: int = 0, literal: bool = False) -> str:
    if depth == 2 or rng.random() < 0.3:
        return rng.choice([*names, str(rng.randrange(1, 5000))] if literal else names)
    op = rng.choice(["+", "-", "*", "&", "|", "^", "//", "%", ">>", "<<"])
    right = _expression(rng, names, depth + 1, True) if op in "+-*&|^" else str(rng.randrange(1, 30)) if op in ("<<", ">>") else rng.choice(
        [str(rng.randrange(2, 90)), *names])  # fmt: skip
    return f"({_expression(rng, names, depth + 1)} {op} {right})"


def _statements(rng: random.Random, names: list[str], indent: str, depth: int = 0) -> list[str]:
    lines = []
    for _ in range(rng.randrange(1, 4)):
        target = rng.choice(names)
        kind = rng.choice(("assign", "if", "while", "other", "vector") if depth < 2 else ("assign", "other", "vector"))
        if kind == "assign":
            lines.append(f"{indent}{target} = {_expression(rng, names)}")
        elif kind == "if":
            lines.append(f"{indent}if {target} {rng.choice(('<', '>=', '==', '!='))} {rng.choice(names)}:")
            lines += _statements(rng, names, indent + "    ", depth + 1)
            if rng.random() < 0.5:
                lines += [f"{indent}else:", *_statements(rng, names, indent + "    ", depth + 1)]
        elif kind == "while":
            lines += [f"{indent}while {target} > {rng.randrange(3, 40)}:", *_statements(rng, names, indent + "    ", depth + 1),
                      f"{indent}    {target} = {target} // {rng.randrange(2, 9)}"]  # fmt: skip
        elif kind == "vector":
            name = rng.choice(names)
            lines.append(f"{indent}v[{target} % {rng.randrange(5, 40)}] = {rng.choice(('u32', 'u16'))}({name})" if rng.random() < 0.5
                         else f"{indent}{name} = {name} + v[{target} & {rng.randrange(1, 31)}]")  # fmt: skip
        else:
            lines.append(indent + rng.choice((f"mark({target})", "yield_()", f"{target} = cycles()", f"print({target})",
                                              f"print(\"at\", {target})", f"{target} = help({target}, {rng.choice(names)})",
                                              f"{target} = process_id()")))  # fmt: skip
    return lines


def _program(seed: int) -> str:
    rng = random.Random(seed)
    names = ["a", "b", "n"][: rng.randrange(2, 4)]
    helper = _statements(rng, ["x", "y"], "    ")
    helper = [line for line in helper if "v[" not in line and "help(" not in line] or ["    x = x + y"]
    # a line left out may have been all there was in a branch
    helper = _filled(helper)
    result = rng.random() < 0.5
    lines = ["@function", "def help(x: u64, y: u64) -> u64:", *helper, "    return x ^ y", "", "@sip",
             "def p(a: u64, b: u64, n: u64)" + (" -> u64:" if result else ":"),
             f"    v = new(u32, {rng.randrange(20, 60)})", *_statements(rng, names, "    "), "    free(v)"]  # fmt: skip
    return "\n".join([*lines, *["    return a"] * result, ""])


def _filled(lines: list[str]) -> list[str]:
    """Return lines with a ``pass`` where a branch has none."""
    out = []
    for line, following in zip(lines, [*lines[1:], ""]):
        out.append(line)
        indent = len(line) - len(line.lstrip())
        if line.endswith(":") and len(following) - len(following.lstrip()) <= indent:
            out.append(" " * (indent + 4) + "pass")
    return out


@cache
def _sealed() -> tuple:
    """Return the built programs."""
    return tuple(build(programs_from_source(_program(seed)).programs["p"]) for seed in range(_PROGRAMS))


def _text(image, base: int) -> list[int]:
    size = image.manifest.text_bytes
    return list(struct.unpack(f"<{size // 4}I", relocated(image, base, ring3=False)[:size]))


# ---- alterations ---------------------------------------------------------------------------------------------

_PRIVILEGED = ("sret", "mret", "wfi", "ecall", "ebreak")
_CSRS = (0x100, 0x105, 0x140, 0x180, 0x300, 0x341, 0xB00, 0xC01, 0xC02)


def _jumps(words: list[int]) -> list[int]:
    return [i for i, w in enumerate(words) if w & 0x7F in (0x63, 0x6F)]


def _calls(words: list[int], base: int) -> list[int]:
    return [i for i in range(len(words)) if call_target(words, base, i) is not None]


def _retarget(words: list[int], index: int, target: int) -> bool:
    """Make a jump lead to a byte offset, if it reaches that far."""
    word, distance = words[index], target - 4 * index
    limit = 1 << (12 if word & 0x7F == 0x63 else 20)
    if not -limit <= distance < limit:
        return False
    if word & 0x7F == 0x63:
        name = {0: "beq", 1: "bne", 4: "blt", 5: "bge", 6: "bltu", 7: "bgeu"}[word >> 12 & 7]
        words[index] = encode(name, word >> 15 & 31, word >> 20 & 31, distance)
    else:
        words[index] = encode("jal", word >> 7 & 31, distance)
    return True


def _jump_out(words, base, rng):
    if not (jumps := _jumps(words)):
        return ""
    end = 4 * len(words)
    target = rng.choice((end, end, -4, -4, end + 4 * rng.randrange(1, 200), -4 * rng.randrange(1, 200), VECTOR - base))
    return "a jump leads elsewhere" if _retarget(words, rng.choice(jumps), target) else ""


def _jump_middle(words, base, rng):
    jumps, calls = _jumps(words), _calls(words, base)
    if not jumps or not calls:
        return ""
    target = 4 * rng.choice(calls) + 4 if rng.random() < 0.6 else 4 * rng.randrange(len(words)) + 2
    return "a jump leads elsewhere" if _retarget(words, rng.choice(jumps), target) else ""


def _jump_inside(words, base, rng):
    jumps = _jumps(words)
    return "a jump leads elsewhere" if jumps and _retarget(words, rng.choice(jumps), 4 * rng.randrange(len(words))) else ""


def _plain(words: list[int]) -> list[int]:
    """Return the places of arithmetic, loads and stores: replacing one changes nothing about its neighbours."""
    return [i for i, w in enumerate(words) if w & 0x7F in (0x13, 0x33, 0x03, 0x23)]


def _privileged(words, base, rng):
    name = rng.choice((*_PRIVILEGED, *("csr",) * 6, "sfence", "counter", "counter", "counter"))
    rd, rs = rng.choice((0, 10, 11, 18)), rng.choice((5, 10, 11))
    if name == "csr":
        word = encode(*rng.choice((("csrrw", rd, rng.choice(_CSRS), rs), ("csrrs", rd, rng.choice(_CSRS), 0), ("csrrw", rd, 0xC00, 0),
                                   ("csrrc", rd, 0xC00, 0), ("csrrwi", rd, 0xC00, 0), ("csrrsi", 0, 0x100, 2))))  # fmt: skip
    elif name == "counter":
        word = encode("csrrs", rd, 0xC00, rs)
    else:
        word = encode("sfence.vma", 0, 0) if name == "sfence" else encode(name)
    words[rng.choice(_plain(words))] = word
    return "an instruction is replaced"


def _unknown(words, base, rng):
    index = rng.choice(_plain(words))
    word = words[index]
    words[index] = rng.choice((
        0, word & ~1, word & ~2, word | 3 << 25 | 1 << 28, 0x0000_000B | rng.randrange(64) << 20, 0x0FF0_000F, 0x0000_100F,
        0x0000_202F | rng.getrandbits(20) << 12 & 0x01FF_8000, 0x0000_3007 | 10 << 15, 0x0200_7053, 0x0000_7003 | 10 << 7 | 10 << 15,
        0x0000_4023 | 11 << 20 | 10 << 15, 0x0000_2063 | 8 << 8, 0x0000_3063 | 8 << 8, 0x0000_1067, 0x4000_1033 | 10 << 7, 0x4000_7033 | 10 << 7,
        0x0200_101B | 10 << 7, 0x4000_1013 | 10 << 7, 0x0200_103B | 10 << 7, 0x0000_203B | 10 << 7, 0x8000_5013 | 10 << 7, 0xFFFF_FFFF,
        rng.getrandbits(32), rng.getrandbits(25) << 7 | 0x3B, rng.getrandbits(25) << 7 | 0x33, rng.getrandbits(25) << 7 | 0x1B,
    ))  # fmt: skip
    return "a word is replaced"


def _cut(words, base, rng):
    calls = _calls(words, base)
    keep = rng.choice(calls) + rng.choice((1, 2, 2)) if calls and rng.random() < 0.4 else len(words) - rng.randrange(1, min(12, len(words)))
    for index in _jumps(words):  # what jumped behind the new end goes to the beginning, so that the cut alone is judged
        if index < keep and not 0 <= _target(words, index) < 4 * keep:
            _retarget(words, index, 0)
    del words[keep:]
    return "the end is cut off"


def _appended(words, base, rng):
    here = 4 * len(words)
    to = 4 * rng.randrange(len(words))
    words.append(rng.choice((encode("jal", 1, to - here), encode("jal", 1, to - here), encode("jal", 0, to - here), encode("beq", 0, 0, -4),
                             encode("jalr", 0, 1, 0), encode("addi", 10, 10, 1))))  # fmt: skip
    if rng.random() < 0.3:
        words.pop()
        for step in (("auipc", 5, 0), ("jalr", 1, 5, 0)):
            words.append(encode(*step))
        _lead(words, base, len(words) - 2, VECTOR + STUB_BYTES * rng.randrange(ENTRIES))
    return "something is appended"


def _lead(words: list[int], base: int, index: int, target: int) -> None:
    """Make the call at an index lead to an address."""
    distance = target - base - 4 * index
    upper = (distance + 0x800) >> 12
    words[index : index + 2] = [encode("auipc", 5, upper & 0xFFFFF), encode("jalr", 1, 5, distance - (upper << 12))]


def _target(words: list[int], index: int) -> int:
    word = words[index]
    if word & 0x7F == 0x63:
        imm = (word >> 31) << 12 | (word >> 7 & 1) << 11 | (word >> 25 & 63) << 5 | (word >> 8 & 15) << 1
        return 4 * index + imm - (imm >> 12 << 13)
    imm = (word >> 31) << 20 | (word >> 12 & 255) << 12 | (word >> 20 & 1) << 11 | (word >> 21 & 1023) << 1
    return 4 * index + imm - (imm >> 20 << 21)


def _call_moved(words, base, rng):
    if not (calls := _calls(words, base)):
        return ""
    index = rng.choice(calls)
    known = VECTOR + STUB_BYTES * rng.randrange(ENTRIES)
    target = rng.choice((known, known + 4, known + 8, VECTOR + STUB_BYTES * ENTRIES, VECTOR - STUB_BYTES, known + 64, base, base + 4 * index,
                         VECTOR + STUB_BYTES * (ENTRIES + rng.randrange(9))))  # fmt: skip
    _lead(words, base, index, target)
    return "a call of the ABI leads elsewhere"


def _call_torn(words, base, rng):
    if not (calls := _calls(words, base)):
        return ""
    index = rng.choice(calls)
    first, second = words[index : index + 2]
    words[index : index + 2] = rng.choice((
        (encode("auipc", 6, first >> 12), second), (encode("lui", 5, first >> 12), second), (encode("addi", 0, 0, 0), second), (second, first),
        (first, second & ~(31 << 7) | 0 << 7), (first, second & ~(31 << 15) | 6 << 15), (first, encode("addi", 0, 0, 0)),
        (first, second & ~(31 << 7) | 5 << 7),
    ))  # fmt: skip
    return "half of a call of the ABI is replaced"


def _indirect(words, base, rng):
    words[rng.choice(_plain(words))] = rng.choice((
        encode("jalr", 0, 1, 0), encode("jalr", 0, 1, 4), encode("jalr", 0, 5, 0), encode("jalr", 1, 10, 0), encode("jalr", 0, 10, 0),
        encode("jalr", 1, 1, 0), encode("jalr", 1, 5, 0), encode("jalr", 10, 1, 0), encode("jalr", 0, 1, -4),
    ))  # fmt: skip
    return "an indirect jump is put in"


def _thread_pointer(words, base, rng):
    places = [i for i in _plain(words) if words[i] & 0x7F != 0x23]
    index = rng.choice(places)
    words[index] = words[index] & ~(31 << 7) | 4 << 7
    return "an instruction writes another register"


def _harmless(words, base, rng):
    index = rng.choice(_plain(words))
    if words[index] & 0x7F == 0x23:  # the same bits are part of a store's offset, and mean no register there
        words[index] = words[index] & ~(31 << 7) | 4 << 7
        return "a store goes elsewhere"
    words[index] = words[index] & ~(31 << 7) | rng.choice((5, 6, 10, 18)) << 7
    return "an instruction writes another register"


Alteration = Callable[[list[int], int, random.Random], str]
ALTERATIONS: tuple[Alteration, ...] = (
    _jump_out, _jump_middle, _jump_inside, _privileged, _unknown, _unknown, _cut, _appended, _call_moved, _call_torn, _indirect, _thread_pointer, _harmless,
)  # fmt: skip


# ---- images ----------------------------------------------------------------------------------------------------


def _image(words: list[int], base: int, origin: int, change: str) -> CodeImage:
    return CodeImage(tuple(words), base, origin, change, tuple(findings(words, base, VECTOR, ENTRIES, STUB_BYTES)))


def draw(seed: int, count: int) -> tuple[CodeImage, ...]:
    """Return images, the unaltered half first; number ``i`` of the second half was made of number ``i`` of the first."""
    rng = random.Random(seed)
    sealed = _sealed()
    whole: list[CodeImage] = []
    while len(whole) < count // 2:
        base = at.RAM_BASE + at.PAGE * rng.randrange(400, 400 + _PAGES)
        words = _text(rng.choice(sealed), base)
        if rng.random() < 0.5:
            words += _text(rng.choice(sealed), base + 4 * len(words))
        if len(words) <= 400:
            whole.append(_image(words, base, len(whole), ""))
    altered: list[CodeImage] = []
    for number, image in enumerate(whole):
        change = ""
        while not change:
            words = list(image.words)
            change = ALTERATIONS[(number + (rng.randrange(len(ALTERATIONS)) if number >= len(ALTERATIONS) else 0)) % len(ALTERATIONS)](
                words, image.base, rng
            )
        altered.append(_image(words, image.base, number, change))
    return (*whole, *altered)
