"""Exercise 06: two stages of a pipeline through which blocks go by ownership, never by copy.

Blocks are drawn by our source from a linear congruential generator; the same generator here says what becomes of each,
whatever the schedule. That nothing was copied, and that nothing is left, is read from the kernel's events.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from singlab.grading.examination import Examination, Handed, Part, Trial
from singlab.grading.pipeline import LIMIT_CYCLES, Passage, Schedule, run_pipelines

_MULTIPLIER, _INCREMENT = 6364136223846793005, 1442695040888963407
_MASK = (1 << 64) - 1

#: Kinds of block, in the first byte; every other value is noise.
DATA, ECHO = 0, 1
#: A block with fewer bytes has no room for a stamp, and something to stamp.
SHORTEST = 3
#: Marks of the source: the block was taken, the block came back (with its digest), the channel was closed.
TAKEN, BACK, CLOSED = 0, 1 << 60, 1 << 61
#: The sink sends every block back whose length is a multiple of this.
_REFUSES = 7

SOURCE = f'''
Blocks = contract("""
contract Blocks {{
    in  message Block(byte[]* in ExHeap data);
    out message Taken();
    out message Back(byte[]* in ExHeap data);

    state Start: Block? -> (Taken! or Back!) -> Start;
}}
""")

@function
def digest(data: ExVec[u8]) -> u64:
    sum: u64 = 0
    for i in range(len(data)):
        sum = (sum * 31 + data[i]) & 0xFFFFFFFF
    if len(data) > 1:
        sum = sum | u64(data[1]) << 32
    sum = sum | len(data) << 40
    free(data)
    return sum

@sip
def source(output: Blocks.Imp, seed: u64, blocks: u64, size: u64, noise: u64):
    state: u64 = seed
    for number in range(blocks):
        state = state * {_MULTIPLIER} + {_INCREMENT}
        n = (state >> 33) % (size + 1)
        data = new(u8, n)
        for i in range(n):
            state = state * {_MULTIPLIER} + {_INCREMENT}
            data[i] = u8(state >> 56)
        if n > 0:
            if data[0] < 130:
                data[0] = {DATA}
            elif data[0] < 190:
                data[0] = {ECHO}
        if noise > 0 and number % noise == 0:
            yield_()
        output.send(Blocks.Block(data))
        match output.receive():
            case Blocks.Taken():
                mark({TAKEN})
            case Blocks.Back(returned):
                mark({BACK} | digest(returned))
            case ChannelClosed():
                mark({CLOSED})
                return

@sip
def sink(input: Blocks.Exp, takes: u64, noise: u64):
    count: u64 = 0
    while takes == 0 or count < takes:
        match input.receive():
            case Blocks.Block(data):
                count += 1
                if noise > 0 and count % noise == 0:
                    yield_()
                if len(data) % {_REFUSES} == 0:
                    mark(0)
                    input.send(Blocks.Back(data))
                else:
                    mark(digest(data))
                    input.send(Blocks.Taken())
            case ChannelClosed():
                return
'''


# ---- what is right ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fate:
    """What becomes of a block.

    Attributes
    ----------
    data : bytes
        As the source sends it.
    what : str
        In words, what kind of block it is.
    source, sink : int or None
        What the source and the sink mark for it; None if the sink does not see it.
    final : bytes
        What it holds in the end.
    """

    data: bytes
    what: str
    source: int
    sink: int | None
    final: bytes


def digest(data: bytes) -> int:
    """Return what source and sink make of a block's contents."""
    value = 0
    for byte in data:
        value = (value * 31 + byte) & 0xFFFF_FFFF
    return value | (data[1] << 32 if len(data) > 1 else 0) | len(data) << 40


def fates(schedule: Schedule, stages: tuple[str, ...]) -> list[Fate]:
    """Return what becomes of each block the source sends, up to the one at which it finds its channel closed."""
    state, taken, found = schedule.seed, 0, []

    def draw() -> int:
        nonlocal state
        state = (state * _MULTIPLIER + _INCREMENT) & _MASK
        return state

    for _ in range(schedule.blocks):
        data = bytearray(draw() >> 56 for _ in range((draw() >> 33) % (schedule.size + 1)))
        if data:
            data[0] = DATA if data[0] < 130 else ECHO if data[0] < 190 else data[0]
        fate = _fate(bytes(data), stages, bool(schedule.takes) and taken == schedule.takes)
        taken += fate.sink is not None
        found.append(fate)
        if fate.source == CLOSED:
            break
    return found


def _fate(data: bytes, stages: tuple[str, ...], gone: bool) -> Fate:
    """Return what becomes of one block; ``gone`` tells whether the sink has ended."""
    held = bytearray(data)
    if "gate" in stages:
        if not data or data[0] > ECHO:
            return Fate(data, "noise" if data else "an empty block, which is noise", TAKEN, None, data)
        if data[0] == ECHO:
            return Fate(data, "an echo", BACK | digest(data), None, data)
    if "stamp" in stages:
        if len(data) < SHORTEST:
            return Fate(data, "a block too short for a stamp", BACK | digest(data), None, data)
        held[1] = sum(data[2:]) & 255
    final = bytes(held)
    if gone:
        return Fate(data, "a block for a stage that has ended", CLOSED, None, final)
    if len(data) % _REFUSES == 0:
        return Fate(data, "a block that the sink sends back", BACK | digest(final), 0, final)
    return Fate(data, "a block for the sink", TAKEN, digest(final), final)


# ---- schedules ----------------------------------------------------------------------------------------------------

BOTH = ("gate", "stamp")
_ALONE = Schedule(blocks=24, size=9, seed=6)
_VISIBLE = (
    Schedule(seed=1), Schedule(seed=2, profile="teaching", quantum_us=4), Schedule(seed=3, isolation="ring3", noise=1),
    Schedule(seed=4, size=300, quantum_us=7, noise=2), Schedule(seed=6, profile="modern", blocks=40, size=8),
)  # fmt: skip
_VISIBLE_EARLY = (Schedule(seed=8, takes=3), Schedule(seed=9, takes=1, noise=1), Schedule(seed=10, blocks=0), Schedule(seed=11, blocks=3))


def _random(seed: int, count: int) -> list[Schedule]:
    rng = random.Random(seed)
    return [
        Schedule(rng.choice(("athlon64", "teaching", "modern")), rng.choice(("sip", "ring3")), rng.choice((2, 3, 5, 11, 40, 10_000)),
                 rng.getrandbits(40), rng.randrange(5, 40), rng.choice((2, 5, 16, 60, 250)), rng.choice((0, 1, 2, 3)))
        for _ in range(count)
    ]  # fmt: skip


def _hidden() -> list[Schedule]:
    return _random(20_061, 20)


def _hidden_early() -> list[Schedule]:
    return [replace(schedule, takes=1 + n % 6) for n, schedule in enumerate(_random(20_062, 12))]


def _kills() -> list[Schedule]:
    rng = random.Random(20_063)
    victims = ("source", "sink", "gate", "stamp")
    return [replace(schedule, blocks=30, kill=(victims[n % 4], rng.randrange(24, 600))) for n, schedule in enumerate(_random(20_064, 24))]


# ---- runs -----------------------------------------------------------------------------------------------------------


def _pipeline(handed: Handed, schedule: Schedule, stages: tuple[str, ...], suffix: str = ""):
    """Return one pipeline with the answer's stages."""
    first = {"seed": schedule.seed, "blocks": schedule.blocks, "size": schedule.size, "noise": schedule.noise}
    return [
        (f"source{suffix}", EXERCISE.image("source"), first),
        *((f"{name}{suffix}", handed.images[name], {}) for name in stages),
        (f"sink{suffix}", EXERCISE.image("sink"), {"takes": schedule.takes, "noise": schedule.noise}),
    ]


def _passage(handed: Handed, schedule: Schedule, stages: tuple[str, ...]) -> Passage:
    """Run one pipeline; a second one, undisturbed, stands beside it where somebody is to be stopped."""

    def find() -> Passage:
        pipelines = [_pipeline(handed, schedule, stages)]
        if schedule.kill is not None:
            pipelines.append(_pipeline(handed, schedule, stages, "2"))
        return run_pipelines(pipelines, schedule)

    return handed.once((schedule, stages), find)


def _broken(handed: Handed, passage: Passage, stages: tuple[str, ...]) -> str:
    """Return what is wrong with how a run ended."""
    for name in passage.ends:
        fault = passage.ends[name].fault
        stage = name.rstrip("2")
        if stage in stages and fault is not None:
            hint = " Write match and case ChannelClosed(): wherever you receive, on both sides." if fault.code == 3 else ""
            return f"The kernel ended your {stage}: {fault.message} ({handed.places.line(fault.line)}).{hint}"
    if passage.outcome == "limit":
        busy = [name for name in stages if passage.ends[name].state == "running"]
        return (f"No end: after {LIMIT_CYCLES:,} cycles {' and '.join(busy) or 'the pipeline'} had not ended. Look for a loop that goes on when "
                "a channel is closed, or whose condition never becomes false.")  # fmt: skip
    if passage.outcome == "deadlock":
        return f"Deadlock: nobody can go on. A stage ends when a channel of its is closed.\n{passage.report}"
    return ""


def _shown(fate: Fate) -> str:
    """Return a block in words."""
    data = " ".join(map(str, fate.data[:6])) + (" ..." if len(fate.data) > 6 else "")
    return f"{fate.what} ({len(fate.data)} {'byte' if len(fate.data) == 1 else 'bytes'}{': ' + data if data else ''})"


def _answer(mark: int) -> str:
    return "Taken" if mark == TAKEN else "ChannelClosed" if mark == CLOSED else "Back"


def _results(passage: Passage, expected: list[Fate], show: bool, suffix: str = "", prefix: bool = False) -> str:
    """Return what is wrong with what source and sink saw; with ``prefix`` they may have seen less."""
    source, sink = passage.marks[f"source{suffix}"], passage.marks[f"sink{suffix}"]
    reached = [fate for fate in expected if fate.sink is not None]
    for number, (fate, got) in enumerate(zip(expected, source)):
        if got == fate.source or (prefix and got == CLOSED):
            continue
        which = f"Block {number} is {_shown(fate)}." if show else f"There is {fate.what}."
        if _answer(got) != _answer(fate.source):
            return f"{which} The source must get {_answer(fate.source)}, and got {_answer(got)}. {_cause(fate, got)}"
        if (problem := _contents(fate, got & ~BACK)) and not (fate.sink is not None and "stamp" in problem):
            return f"{which} It came back to the source altered. {problem}"
    for number, (fate, got) in enumerate(zip(reached, sink)):
        if got == fate.sink:
            continue
        if got == 0 or fate.sink == 0 or got >> 40 != len(fate.final):
            return ("The sink gets another block than it should: " + (f"number {number} should be {_shown(fate)}." if show else "") +
                    " Only blocks of kind 0 go on, each once and in order.")  # fmt: skip
        which = f"The sink's block {number} is {_shown(fate)}." if show else "The sink gets a block with wrong contents."
        return f"{which} {_contents(fate, got)}"
    for fate, got in zip(expected, source):
        if got != fate.source and not (prefix and got == CLOSED):
            return f"A block came back to the source altered. {_contents(fate, got & ~BACK)}"
    if not prefix and (len(source) != len(expected) or len(sink) != len(reached)):
        return (f"The source had an answer to {len(source)} of {len(expected)} blocks, and the sink got {len(sink)} of {len(reached)}. A stage goes on "
                "until a channel of its is closed: is there a return inside your loop?")  # fmt: skip
    return ""


def _cause(fate: Fate, got: int) -> str:
    """Return a guess at why the source got another answer."""
    if got == CLOSED:
        return "A stage ended although both its channels were open."
    if fate.source == CLOSED:
        return "When the next stage has ended, a stage ends too: then its sender sees ChannelClosed."
    if fate.what == "an echo":
        return "A block whose first byte is 1 is the sender's own: send it Back, and nobody else sees it."
    if "noise" in fate.what:
        return "Noise is freed where it is, and its sender gets Taken."
    if "too short" in fate.what:
        return f"A block of fewer than {SHORTEST} bytes goes Back to its sender."
    if "sends back" in fate.what:
        return "What the next stage sends Back is passed back: wait for its answer before you answer."
    return "The answer of the next stage is your answer."


def _contents(fate: Fate, got: int) -> str:
    """Return what is wrong with a block's contents, by its digest; empty if nothing is."""
    if got == digest(fate.final):
        return ""
    length, stamp = got >> 40, got >> 32 & 255
    if length != len(fate.final):
        return f"Its length is {length}, not {len(fate.final)}: pass on the block itself."
    right = fate.final[1] if len(fate.final) > 1 else 0
    if stamp == right:
        return "A byte other than the stamp was changed."
    guesses = {
        "byte 1 too": sum(fate.data[1:]) & 255, "all bytes, the old stamp and the kind too": sum(fate.data) & 255,
        "the kind too": (fate.data[0] + sum(fate.data[2:])) & 255, "all but the last byte": sum(fate.data[2:-1]) & 255,
        "the bytes from 3 on": sum(fate.data[3:]) & 255,
    }  # fmt: skip
    for what, value in guesses.items():
        if stamp == value and value != right:
            return f"The stamp is wrong: it seems to add {what}. It is the sum of the bytes from 2 on, in 8 bits."
    if len(fate.data) > 1 and stamp == fate.data[1]:
        return "The stamp is missing: byte 1 is as the source sent it."
    return "The stamp is wrong. It is the sum of the bytes from 2 on, in 8 bits, and stands in byte 1."


# ---- judges --------------------------------------------------------------------------------------------------------


def _right(schedules: Callable[[], list[Schedule]], stages: tuple[str, ...], show: bool) -> Callable[[Handed], str]:
    """Return a judge of what source and sink saw."""

    def judge(handed: Handed) -> str:
        for schedule in schedules():
            passage = _passage(handed, schedule, stages)
            if wrong := _results(passage, fates(schedule, stages), show) if passage.outcome == "finished" else "":
                fault = _broken(handed, passage, stages)
                return fault or wrong
            if wrong := _broken(handed, passage, stages):
                return wrong
        return ""

    return judge


def _no_copies(schedules: Callable[[], list[Schedule]], show: bool) -> Callable[[Handed], str]:
    """Return a judge of where blocks came from and went, by the kernel's events."""

    def judge(handed: Handed) -> str:
        for schedule in schedules():
            passage = _passage(handed, schedule, BOTH)
            if wrong := _broken(handed, passage, BOTH):
                return wrong
            for stage in BOTH:
                if count := passage.allocated.get(stage, 0):
                    return (f"Your {stage} allocated {count} block{'s' * (count > 1)}. No stage needs a block of its own: who receives a block "
                            "owns it, may change it, and passes on the very same.")  # fmt: skip
            made = passage.made.get("source", [])
            expected = fates(schedule, BOTH)
            if passage.alive > 2:
                return (f"{passage.alive} blocks were alive at once. Answer a sender only when the next stage has answered you: that is what keeps "
                        "blocks from piling up.")  # fmt: skip
            if wrong := _results(passage, expected, show):
                return f"Not all blocks come out as they must. {wrong}"
            if passage.arrived.get("sink", []) != [made[n] for n, fate in enumerate(expected) if fate.sink is not None and n < len(made)]:
                return "What comes out is not what went in: the sink must get the source's own blocks, each once and in order."
            if passage.arrived.get("source", []) != [made[n] for n, fate in enumerate(expected) if fate.source & BACK and n < len(made)]:
                return "What comes back to the source is not the block it sent."
            if passage.left or passage.holdings:
                return f"{passage.left} blocks were left when all had ended."
        return ""

    return judge


def _survivors(handed: Handed) -> str:
    """Judge runs in which somebody is stopped from outside."""
    for schedule in _kills():
        passage = _passage(handed, schedule, BOTH)
        victim = schedule.kill[0]
        role = "a neighbour of a stage" if victim in ("source", "sink") else "a stage"
        if passage.outcome != "finished":
            return f"When {role} was stopped from outside, others did not end. {_broken(handed, passage, BOTH)}"
        if wrong := _broken(handed, passage, BOTH):
            return f"When {role} was stopped from outside: {wrong}"
        expected = fates(schedule, BOTH)
        if wrong := _results(passage, expected, False, prefix=True):
            return f"When {role} was stopped from outside, what had gone through before was wrong. {wrong}"
        if wrong := _results(passage, expected, False, "2"):
            return f"When {role} was stopped from outside, a pipeline beside it was harmed. {wrong}"
        if passage.left or passage.holdings:
            return f"When {role} was stopped from outside, {passage.left} blocks were left over."
        if stage := next((name for name in ("gate", "stamp", "gate2", "stamp2") if passage.allocated.get(name)), ""):
            return f"Your {stage.rstrip('2')} allocates blocks."
    return ""


EXERCISE = Examination(
    name="ex06_ownership",
    source=SOURCE,
    constants={},
    parts=tuple(Part(name, (("input", "Blocks.Exp"), ("output", "Blocks.Imp"))) for name in BOTH),
    trials=(
        Trial("the gate alone: each kind of block goes where it belongs", 1, ("gate",), _right(lambda: [_ALONE], ("gate",), True)),
        Trial("the stamp alone: stamps, and sends back what is too short", 1, ("stamp",), _right(lambda: [_ALONE], ("stamp",), True)),
        Trial("both, on five schedules", 1, BOTH, _right(lambda: list(_VISIBLE), BOTH, True)),
        Trial("nothing is copied, and no blocks pile up", 1, BOTH, _no_copies(lambda: list(_VISIBLE), True)),
        Trial("ends in order when source or sink end early", 1, BOTH, _right(lambda: list(_VISIBLE_EARLY), BOTH, True)),
        Trial("both, on twenty random schedules", 2, BOTH, _right(_hidden, BOTH, False), hidden=True),
        Trial("nothing is copied, and no blocks pile up, on random schedules", 2, BOTH, _no_copies(_hidden, False), hidden=True),
        Trial("ends in order when the sink ends early, on random schedules", 1, BOTH, _right(_hidden_early, BOTH, False), hidden=True),
        Trial("somebody is stopped at any time: nothing leaks, nobody else is harmed", 2, BOTH, _survivors, hidden=True),
    ),
)
