"""The primitives kernel functions may use: timed access to memory and devices through the machine, trace events, the clock, and calls of policies."""

from singlab.kernel.policycalls import (
    now,
    policy_admit,
    policy_collector,
    policy_fit,
    policy_growth,
    policy_nursery,
    policy_pages,
    policy_pick,
    policy_place,
    policy_quantum,
    policy_raised,
    policy_stop,
    policy_tenure,
    policy_trigger,
    policy_trouble,
)
from singlab.machine.access import ld8, ld16, ld32, ld64, ldio32, st8, st16, st32, st64, stio32
from singlab.trace.ring import emit, film_step

__all__ = ["now", "policy_admit", "policy_collector", "policy_fit", "policy_growth", "policy_nursery", "policy_pages", "policy_pick", "policy_place", "policy_quantum",
           "policy_raised", "policy_stop", "policy_tenure", "policy_trigger", "policy_trouble",
           "emit", "film_step", "ld8", "ld16", "ld32", "ld64", "ldio32", "st8", "st16", "st32", "st64", "stio32"]
