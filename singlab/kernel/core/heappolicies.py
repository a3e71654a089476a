"""Decisions about a heap of objects that a policy may take: when it is collected, by what, how it grows, what is young.

Each function returns what the policy answers, or what the kernel would do without one. A policy can be limited to some
processes; about the heaps of all others the kernel decides.
"""

from singlab.kernel.core.policies import answered
from singlab.kernel.core.words import (
    ld64,
    policy_collector,
    policy_growth,
    policy_nursery,
    policy_tenure,
    policy_trigger,
)
from singlab.kernel.heaplayout import COLLECT_COMPACT, COLLECT_SEMISPACE, OLDEST, Z_PROCESS
from singlab.kernel.layout import (
    COLLECTOR,
    G_POLICIES,
    G_POLICIES_FOR,
    GROWTH,
    NURSERY,
    P_POLICIES,
    PAGE,
    TENURE,
    TRIGGER,
)

MOST_BYTES = 1 << 40
OPEN = 2  # what trigger_chosen returns if the kernel is to decide


def heap_decided(m, heap, slot):
    """Return whether there is a policy that decides something about a heap."""
    if ld64(m, G_POLICIES) >> slot & 1 == 0:
        return 0
    process = ld64(m, heap + Z_PROCESS)
    if process == 0:  # the kernel's own
        return 0
    if ld64(m, G_POLICIES_FOR) >> slot & 1 == 0:
        return 1
    return ld64(m, process + P_POLICIES) >> slot & 1


def trigger_chosen(m, heap):
    """Return whether the policy wants a collection now; OPEN if it is the kernel that decides."""
    if heap_decided(m, heap, TRIGGER) == 0:
        return OPEN
    return answered(m, TRIGGER, policy_trigger(m, heap), 0, 1, OPEN)


def growth_chosen(m, heap, size, usual):
    """Return how many bytes a heap grows by in which an object of a size has no room."""
    if heap_decided(m, heap, GROWTH) == 0:
        return usual
    return (answered(m, GROWTH, policy_growth(m, heap, size), size, MOST_BYTES, usual) + PAGE - 1) & ~(PAGE - 1)


def nursery_chosen(m, heap, usual):
    """Return how many bytes of young objects make a collection."""
    if heap_decided(m, heap, NURSERY) == 0:
        return usual
    return answered(m, NURSERY, policy_nursery(m, heap), PAGE, MOST_BYTES, usual)


def tenure_chosen(m, heap, usual):
    """Return how many minor collections an object survives before it is old."""
    if heap_decided(m, heap, TENURE) == 0:
        return usual
    return answered(m, TENURE, policy_tenure(m, heap), 1, OLDEST, usual)


def collector_chosen(m, heap, usual):
    """Return which collector an adaptive heap is collected by now."""
    if heap_decided(m, heap, COLLECTOR) == 0:
        return usual
    return answered(m, COLLECTOR, policy_collector(m, heap), COLLECT_SEMISPACE, COLLECT_COMPACT, usual)
