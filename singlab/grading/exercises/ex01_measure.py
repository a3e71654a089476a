"""Exercise 01: find out by measuring what a machine's caches, translation buffer and traps are like."""

from __future__ import annotations

from singlab.experiments.testbed import PRACTICE, random_bed
from singlab.grading.measuring import Measuring, Quantity

#: Seeds of the machines of the hidden checks.
_SEEDS = (7102, 7103, 7104, 7105, 7106)

EXERCISE = Measuring(
    name="ex01_measure",
    quantities=(
        Quantity("trap_cost", "cycles"),
        Quantity("l1_bytes", "bytes", "line"),
        Quantity("l2_hit_cost", "cycles", "line"),
        Quantity("l2_bytes", "bytes", "line"),
        Quantity("memory_cost", "cycles", "line"),
        Quantity("tlb_entries", "pages", "page"),
        Quantity("tlb_miss_cost", "cycles", "page"),
    ),
    practice=PRACTICE,
    hidden=tuple(random_bed(seed) for seed in _SEEDS),
    points=(0.5, 1.5),
)
