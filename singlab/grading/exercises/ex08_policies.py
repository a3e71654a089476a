"""Exercise 08: when a heap is collected, and by what, for programs that nobody has seen.

The answer is two policies. Programs live with them and, in the same run, with what the kernel does without policies; the 99th percentile
of their pauses and the cycles of the whole run are compared, and what is asked depends on how much there is to be won.
Feedback looks at the pause that was longest, and at what collections have given back.
"""

from __future__ import annotations

import re

import numpy as np

from singlab.grading.examination import Examination, Handed, Trial
from singlab.grading.heapattempts import attempt, programs  # noqa: F401 - what the notebook takes from here
from singlab.grading.heaplives import PATIENCE, Bed, Life, baseline, live
from singlab.grading.policyparts import PolicyPart

_K = 1024
#: Programs to practise on, and those that count: in little memory, and in much.
PRACTICE = (
    Bed("trees", 100 * _K, 0.65, 0.75, 2, (("depth", 10), ("rounds", 8))),
    Bed("cache", 252 * _K, 0.65, 0.75, 1, (("entries", 500), ("keys", 2000), ("requests", 9000))),
    Bed("churn", 348 * _K, 0.50, 0.45, 1, (("queues", 16), ("length", 120), ("rounds", 20000))),
    Bed("compiler", 512 * _K, 0.75, 0.85, 2, (("functions", 3), ("terms", 500))),
)
TIGHT = (
    Bed("churn", 120 * _K, 0.65, 0.75, 7, (("queues", 40), ("length", 60), ("rounds", 16000))),
    Bed("cache", 328 * _K, 0.65, 0.90, 5, (("entries", 900), ("keys", 4000), ("requests", 9000))),
    Bed("graph", 240 * _K, 0.65, 0.60, 1, (("nodes", 600), ("mutations", 6000))),
    Bed("trees", 440 * _K, 0.65, 0.60, 9, (("depth", 11), ("rounds", 6))),
)
ROOMY = (
    Bed("trees", 1100 * _K, 0.65, 0.50, 4, (("depth", 11), ("rounds", 12))),
    Bed("cache", 1200 * _K, 0.65, 0.60, 6, (("entries", 800), ("keys", 4000), ("requests", 16000))),
    Bed("graph", 800 * _K, 0.65, 0.50, 3, (("nodes", 700), ("mutations", 7000))),
    Bed("requests", 520 * _K, 0.60, 0.70, 8, (("users", 110), ("requests", 1200))),
    Bed("compiler", 700 * _K, 0.65, 0.85, 5, (("functions", 3), ("terms", 600))),
)

MEAN = "On average they are short{numbers}; but whoever waits, waits for the long ones, and an average does not show them."
COMPACTED = "The longest was a compaction: it walks over the heap three times, twice over what is dead as well. If there is no room for a copy, a sweep may do."
SWEPT = (
    "The longest was a sweep over all {heap:,} bytes of the heap, of which {live:,} were alive. Copying costs what is alive and not what is dead: "
    "is there room for it, if the collection comes early enough?"
)
SWEPT_FULL = "The longest was a sweep of a heap of {heap:,} bytes, {live:,} of them alive. A sweep costs what the heap has: collect before it is so large, if that does not cost too much."
COPIED = "The longest was a copy of {live:,} bytes. That is what was alive then: at another moment it is less, and where much of the heap lives a sweep is cheaper."
UNASKED = "Your trigger did not ask for it: memory was exhausted."
USELESS = "{count} collections, which gave back {freed:,.0f} bytes each: collecting is worth it when much has been made since the last one, and little of it lives."
DEAR = "{count} collections took {share:.0%} of the time. Is there memory that you leave unused, or a collector that does the same with less?"
ROOM = "A copy needs a second space as large as what is in use; heap_bytes(heap) and what threads were given must fit into heap_most(heap) together."
DIED = (
    "Memory was exhausted, though there was enough: what a sweep leaves free lies in pieces, and a large object needs one. Compaction makes one piece of them. "
    "Which collection is the last one before the end, your trigger knows: it is the one that it did not ask for."
)


def of(handed: Handed, bed: Bed) -> Life:
    """Return a bed's life with a student's policies."""
    return handed.once(bed, lambda: live(bed, tuple(handed.policies.values())))


def _failed(handed: Handed, bed: Bed, life: Life, hidden: bool) -> str:
    """Say what came before any measure: a policy that failed, no end, no result, too much memory."""
    name = bed.workload if hidden else str(bed)
    if life.trouble:
        return f"{name}: the policy " + re.sub(r"line (\d+)", lambda found: handed.places.line(int(found[1])), life.trouble) + "."
    if life.given_up:
        return f"{name}: given up after {PATIENCE} times the cycles that the kernel takes for it. {_worth(life)}"
    if life.died:
        return f"{name}: it came to no result. {DIED}"
    if life.peak > bed.room:
        much = f"{life.peak / bed.room:.2f} times" if hidden else f"{life.peak:,} bytes of the"
        return f"{name}: its heap took {much} {'the memory' if hidden else f'{bed.room:,}'} it may have. {ROOM}"
    return ""


def _worth(life: Life) -> str:
    """Say what collections were worth."""
    freed = life.pauses["freed"].mean() if len(life.pauses) else 0.0
    if len(life.pauses) and freed < 0.4 * life.pauses["heap"].mean():
        return USELESS.format(count=f"{len(life.pauses):,}", freed=freed)
    return DEAR.format(count=f"{len(life.pauses):,}", share=1 - life.statistics["share"])


def _long(bed: Bed, life: Life, hidden: bool) -> str:
    """Say what the longest pause was; of a hidden program without how many cycles it took."""
    worst = life.pauses.iloc[int(np.argmax(life.pauses["cycles"].to_numpy()))]
    half = worst["live"] * 4 <= bed.room
    text = {"compact": COMPACTED, "semispace": COPIED, "marksweep": SWEPT if half else SWEPT_FULL}[worst["active"]]
    said = [text.format(heap=worst["heap"], live=worst["live"])]
    theirs = baseline(bed).statistics["mean"]
    if life.statistics["mean"] <= bed.tail * theirs:
        numbers = "" if hidden else f", {life.statistics['mean']:,.0f} cycles against the kernel's {theirs:,.0f}"
        said.insert(0, MEAN.format(numbers=numbers))
    if worst["cause"] != "policy":
        said.append(UNASKED)
    return " ".join(said)


def tail_ratio(bed: Bed, life: Life) -> float:
    """Return how many times the kernel's 99th percentile a life's is."""
    return life.statistics["p99"] / max(1.0, baseline(bed).statistics["p99"])


def time_ratio(bed: Bed, life: Life) -> float:
    """Return how many times the kernel's cycles a life takes."""
    return life.cycles / baseline(bed).cycles


def _judge(beds: tuple[Bed, ...], measure: str, hidden: bool):
    ratio = tail_ratio if measure == "tail" else time_ratio

    def judge(handed: Handed) -> str:
        over = []
        for bed in beds:
            life = of(handed, bed)
            if said := _failed(handed, bed, life, hidden):
                return said
            over.append(ratio(bed, life) / getattr(bed, measure))
        at = int(np.argmax(over))
        if over[at] <= 1:
            return ""
        bed, life = beds[at], of(handed, beds[at])
        what = "the 99th percentile of pauses" if measure == "tail" else "the whole run"
        numbers = ""
        if not hidden:
            ours, theirs = (of_.statistics["p99"] if measure == "tail" else of_.cycles for of_ in (life, baseline(bed)))
            numbers = f", {ours:,.0f} cycles against {theirs:,.0f}"
        others = f" It is so in {sum(one > 1 for one in over)} of {len(over)} programs; in this one it is worst." if sum(one > 1 for one in over) > 1 else ""
        hint = _long(bed, life, hidden) if measure == "tail" else _worth(life)
        name = bed.workload if hidden else str(bed)
        return f"{name}: {what} is {ratio(bed, life):.2f} times the kernel's{numbers}; asked is {getattr(bed, measure):.2f} at most.{others} {hint}"

    return judge


_PARTS = ("trigger", "collector")
EXERCISE = Examination(
    name="ex08_policies",
    source="",
    constants={},
    parts=tuple(PolicyPart(slot) for slot in _PARTS),
    trials=(
        Trial("short pauses: the 99th percentile, in the four programs you know", 2, _PARTS, _judge(PRACTICE, "tail", False)),
        Trial("throughput: the whole run, in the four programs you know", 2, _PARTS, _judge(PRACTICE, "time", False)),
        Trial("short pauses in little memory", 3, _PARTS, _judge(TIGHT, "tail", True), hidden=True),
        Trial("throughput in little memory", 3, _PARTS, _judge(TIGHT, "time", True), hidden=True),
        Trial("short pauses in much memory", 3, _PARTS, _judge(ROOMY, "tail", True), hidden=True),
        Trial("throughput in much memory", 3, _PARTS, _judge(ROOMY, "time", True), hidden=True),
    ),
)
