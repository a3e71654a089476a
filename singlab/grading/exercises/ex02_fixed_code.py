"""Exercise 02: write the check that an image's code is closed.

The answer is a SIP that is handed images' texts and says of each whether it is closed, and if not, which word breaks
a rule. It sees a few practice images and, hidden, five hundred; half of them were altered in one place.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from singlab.grading.closedcode import CYCLE, RULES, call_target, shown
from singlab.grading.codeimages import ENTRIES, CodeImage, draw
from singlab.grading.conversation import converse, ending
from singlab.grading.examination import Examination, Handed, Part, Trial
from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.entry import STUB_BYTES, VECTOR

SOURCE = '''
Inspection = contract("""
contract Inspection {
    in  message Image(uint[]* in ExHeap text, ulong base, ulong vector, ulong entries);
    out message Closed();
    out message Open(ulong place);

    state Start: Image? -> (Closed! or Open!) -> Start;
}
""")

@sip
def loader(ch: Inspection.Imp, words: u64, vector: u64, entries: u64, closed: u64):
    images = new(u32, words)
    mark(words)
    at: u64 = 0
    while at < words:
        count = u64(images[at])
        base = u64(images[at + 1])
        at += 2
        text = new(u32, count)
        for i in range(count):
            text[i] = images[at + i]
        at += count
        ch.send(Inspection.Image(text, base, vector, entries))
        match ch.receive():
            case Inspection.Closed():
                mark(closed)
            case Inspection.Open(place):
                mark(place)
    free(images)
'''

#: What the client marks for Closed; no text has so many words.
CLOSED = 1 << 32
_PRACTICE_SEED, _HIDDEN_SEED = 172, 20_070_333
_PRACTICE, _HIDDEN = 64, 500
_TRIES = 400
#: Cycles a text may cost a word; the solution needs a tenth of it.
_CYCLES_A_WORD = 2_500


@cache
def practice() -> tuple[CodeImage, ...]:
    """Return the images of the visible checks: the first half as the compiler made them, each of the others altered."""
    # what the compiler makes changes with it; whatever it makes, practice shows each rule broken more than once,
    # and not only in every other image
    for seed in range(_PRACTICE_SEED, _PRACTICE_SEED + _TRIES):
        images = draw(seed, _PRACTICE)
        if all({i % 2 for i, image in enumerate(images) if image.rules == {rule}} == {0, 1} for rule in RULES):
            break
    return images


def _hidden() -> tuple[CodeImage, ...]:
    return draw(_HIDDEN_SEED, _HIDDEN)


@dataclass(frozen=True)
class _Verdicts:
    """What an answer said of images: by number the place it named, or CLOSED; and why it came no further, if it did not."""

    images: tuple[CodeImage, ...]
    marks: dict[int, int]
    broken: str

    def accepted(self, number: int) -> bool:
        """Whether an image was called closed."""
        return self.marks[number] == CLOSED

    @property
    def nothing_accepted(self) -> bool:
        """Whether every image was refused."""
        return CLOSED not in self.marks.values()


def _verdicts(handed: Handed, hidden: bool) -> _Verdicts:
    """Let the answer judge the images."""

    def find() -> _Verdicts:
        if hidden and (broken := _verdicts(handed, False).broken):
            return _Verdicts((), {}, broken)
        images = _hidden() if hidden else practice()
        # in an order that tells nothing: neither halves nor pairs
        order = random.Random(len(images)).sample(range(len(images)), len(images))
        data = b"".join(images[number].packed() for number in order)
        talk = converse(handed.images["inspector"], EXERCISE.image("loader"), data, limit=_CYCLES_A_WORD * (len(data) // 4), words=len(data) // 4,
                        vector=VECTOR, entries=ENTRIES, closed=CLOSED)  # fmt: skip
        broken = ending(talk, handed.places.line)
        if broken and not hidden and len(talk.marks) < len(images):
            broken += f" It happened on practice()[{order[len(talk.marks)]}]."
        return _Verdicts(images, dict(zip(order, talk.marks)), broken)

    return handed.once(("inspector", hidden), find)


EVERY_ONE = "You refuse every image, closed ones too."
#: What makes somebody accept what is not closed.
_MISSED = {
    "unknown": "an opcode alone does not make an instruction; look at funct3 and at the bits above, and refuse what is in no row of the table",
    "system": "of the system instructions only one word pattern is allowed, all of it but rd",
    "tp": "every instruction that has a destination register may have this one, reading the cycle counter too",
    "outside": "a target may lie before the first word, which a u64 shows as a huge number, and the first word after the end is outside too",
    "middle": "offsets are multiples of 2, instructions begin at multiples of 4; and nobody may jump to the second half of a call, where t0 "
              "holds whatever it held",
    "indirect": "jalr goes wherever its register says: only the exact word of a return and the second half of a call are harmless",
    "abi": "compute where a call leads, base and all: it must be vector + STEP * k with k < entries",
    "end": "a branch, a jal that links, and a call that comes back all go on behind the last word",
}  # fmt: skip


def _excuse(image: CodeImage, place: int) -> str:
    """Return why a word of a closed image breaks no rule, in words that hold of many images."""
    words = image.words
    if place >= len(words):
        return "The place you name lies behind the text."
    word, opcode = words[place], words[place] & 0x7F
    if opcode in (0x23, 0x63) and word >> 7 & 31 == 4:
        return "In a store or a branch, bits 7 to 11 are a part of the offset and name no register."
    if opcode == 0x73 and word >> 20 == CYCLE:
        return "Reading the cycle counter is allowed."
    if word == 0x0000_8067:
        return "A return is allowed, at the end of the text too."
    if call_target(words, image.base, place - 1) is not None or call_target(words, image.base, place) is not None:
        if place >= len(words) - 2:
            return "The text may end with a call of exit or fault, which never comes back."
        return ("This is a call of the ABI; it leads to an entry. Both immediates are signed: the address is base + 4 * index + the upper part, "
                "plus the lower part.")  # fmt: skip
    if opcode in (0x63, 0x6F):
        return "This jump leads to the beginning of an instruction. Its offset is signed: is it extended before it is added?"
    return "It is an instruction of RV64I or M, in a row of the table."


def _group(rules: tuple[str, ...], hidden: bool):
    """Return a judge over the images that break only these rules, and the images those were made of."""

    def judge(handed: Handed) -> str:
        found = _verdicts(handed, hidden)
        if found.broken:
            return found.broken
        for number, image in enumerate(found.images):
            if image.closed or not image.rules <= set(rules):
                continue
            if found.accepted(number):
                rule = image.broken[0].rule
                where = "" if hidden else f" practice()[{number}] is one: {shown(image.words, image.base, image.broken[0].index)}."
                return f"You accept code that is not closed, where {RULES[rule]}.{where} Look: {_MISSED[rule]}."
            if not found.accepted(image.origin):
                return _refusal(found, image.origin, hidden)
        return ""

    return judge


def _refusal(found: _Verdicts, number: int, hidden: bool) -> str:
    """Return feedback on a closed image that was refused."""
    image, place = found.images[number], found.marks[number]
    if found.nothing_accepted and hidden:
        return EVERY_ONE
    where = "" if hidden else f" practice()[{number}] is one. You point at word {place:,}" + (
        f" ({shown(image.words, image.base, place)})." if place < len(image.words) else f"; it has {len(image.words)}.")  # fmt: skip
    what = EVERY_ONE if found.nothing_accepted else "You refuse code that is closed."
    return f"{what}{where} {_excuse(image, place)}"


def _no_false_refusal(handed: Handed) -> str:
    found = _verdicts(handed, True)
    if found.broken:
        return found.broken
    if sum(bool(found.accepted(n)) for n, image in enumerate(found.images) if not image.closed) * 2 > sum(
        not i.closed for i in found.images
    ):
        return "You accept most of what is not closed; accepting is right only where you have looked."
    wrong = [n for n, image in enumerate(found.images) if image.closed and not found.accepted(n)]
    return f"{len(wrong)} of {sum(i.closed for i in found.images)}: " + _refusal(found, wrong[0], True) if wrong else ""


def _no_false_accept(handed: Handed) -> str:
    found = _verdicts(handed, True)
    if found.broken:
        return found.broken
    if found.nothing_accepted:
        return EVERY_ONE
    wrong = [image for n, image in enumerate(found.images) if not image.closed and found.accepted(n)]
    if not wrong:
        return ""
    return f"{len(wrong)} images that are not closed were accepted. For one of them: {RULES[wrong[0].broken[0].rule]}."


def _pointing(handed: Handed) -> str:
    """Judge the places named for images that are not closed and were refused."""
    found = _verdicts(handed, True)
    if found.broken:
        return found.broken
    if found.nothing_accepted:
        return EVERY_ONE
    if not (refused := [(n, image) for n, image in enumerate(found.images) if not image.closed and not found.accepted(n)]):
        return "You refuse nothing."
    wrong = [n for n, image in refused if found.marks[n] not in {finding.index for finding in image.broken}]
    if not wrong:
        return ""
    rule = found.images[wrong[0]].broken[0].rule
    return (f"In {len(wrong)} of {len(refused)} images you refuse, the word you name breaks no rule. Name the index of the word itself, "
            f"counted from 0: of the jump, not of its target; for the end, of the last word. One of them: {RULES[rule]}.")  # fmt: skip


def _trials() -> tuple[Trial, ...]:
    needs = ("inspector",)
    visible = (
        ("jumps land on instructions inside the text", ("outside", "middle")),
        ("no unknown, privileged or forbidden instruction", ("unknown", "system", "tp")),
        ("no way out but returns and calls of the ABI", ("indirect", "abi")),
        ("control does not run off the end", ("end",)),
    )
    secret = {
        "unknown": "unknown words", "system": "system instructions", "tp": "tp", "outside": "jumps out of the text",
        "middle": "jumps between instructions", "indirect": "indirect jumps", "abi": "calls of the ABI", "end": "the end of the text",
    }  # fmt: skip
    return (
        *(Trial(f"{title}, on the practice images", 1, needs, _group(rules, False)) for title, rules in visible),
        *(Trial(f"{title}, on 500 images", 1, needs, _group((rule,), True), hidden=True) for rule, title in secret.items()),
        Trial("no closed image is refused", 1, needs, _no_false_refusal, hidden=True),
        Trial("no image that is not closed is accepted", 2, needs, _no_false_accept, hidden=True),
        Trial("names a word that breaks a rule", 1, needs, _pointing, hidden=True),
    )


EXERCISE = Examination(
    name="ex02_fixed_code",
    source=SOURCE,
    constants={"STEP": STUB_BYTES, "EXIT": ABI_NUMBER["exit"], "FAULT": ABI_NUMBER["fault"]},
    parts=(Part("inspector", (("ch", "Inspection.Exp"),)),),
    trials=_trials(),
)
