"""Decisions about a heap of objects that a policy may take: when it is collected, by what, how it grows, what is young.

Each function returns what the policy answers, or what the kernel would do without one. A policy can be limited to some
processes; about the heaps of all others the kernel decides.
"""

from singlab.kernel.core.policies import policy_fault
from singlab.kernel.core.words import (
    ld64,
    policy_collector,
    policy_growth,
    policy_nursery,
    policy_tenure,
    policy_trigger,
    policy_trouble,
)
from singlab.kernel.heaplayout import COLLECT_COMPACT, COLLECT_SEMISPACE, OLDEST, Z_PROCESS
from singlab.kernel.layout import (
    COLLECTOR,
    G_POLICIES,
    G_POLICIES_FOR,
    GROWTH,
    NONSENSE,
    NURSERY,
    P_POLICIES,
    PAGE,
    RAISED,
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
    answer = policy_trigger(m, heap)
    trouble = policy_trouble(m)
    if trouble != 0:
        policy_fault(m, TRIGGER, RAISED, trouble)
        return OPEN
    if answer > 1:
        policy_fault(m, TRIGGER, NONSENSE, answer)
        return OPEN
    return answer


def growth_chosen(m, heap, size, usual):
    """Return how many bytes a heap grows by in which an object of a size has no room."""
    if heap_decided(m, heap, GROWTH) == 0:
        return usual
    answer = policy_growth(m, heap, size)
    trouble = policy_trouble(m)
    if trouble != 0:
        policy_fault(m, GROWTH, RAISED, trouble)
        return usual
    if (answer < size) or (answer > MOST_BYTES):
        policy_fault(m, GROWTH, NONSENSE, answer)
        return usual
    return (answer + PAGE - 1) & ~(PAGE - 1)


def nursery_chosen(m, heap, usual):
    """Return how many bytes of young objects make a collection."""
    if heap_decided(m, heap, NURSERY) == 0:
        return usual
    answer = policy_nursery(m, heap)
    trouble = policy_trouble(m)
    if trouble != 0:
        policy_fault(m, NURSERY, RAISED, trouble)
        return usual
    if (answer < PAGE) or (answer > MOST_BYTES):
        policy_fault(m, NURSERY, NONSENSE, answer)
        return usual
    return answer


def tenure_chosen(m, heap, usual):
    """Return how many minor collections an object survives before it is old."""
    if heap_decided(m, heap, TENURE) == 0:
        return usual
    answer = policy_tenure(m, heap)
    trouble = policy_trouble(m)
    if trouble != 0:
        policy_fault(m, TENURE, RAISED, trouble)
        return usual
    if (answer == 0) or (answer > OLDEST):
        policy_fault(m, TENURE, NONSENSE, answer)
        return usual
    return answer


def collector_chosen(m, heap, usual):
    """Return which collector an adaptive heap is collected by now."""
    if heap_decided(m, heap, COLLECTOR) == 0:
        return usual
    answer = policy_collector(m, heap)
    trouble = policy_trouble(m)
    if trouble != 0:
        policy_fault(m, COLLECTOR, RAISED, trouble)
        return usual
    if (answer < COLLECT_SEMISPACE) or (answer > COLLECT_COMPACT):
        policy_fault(m, COLLECTOR, NONSENSE, answer)
        return usual
    return answer
