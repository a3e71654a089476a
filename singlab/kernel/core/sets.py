"""Sets of endpoints: many channels of one kind, waited for together.

A set is a record of its own on its owner's list. Its members stay their owner's endpoints; what comes to one of
them puts it into the set's queue, so the one at which something has waited longest is served first. Taking a
member out of the set comes before receiving from it.
"""

from singlab.kernel.core.channels import endpoint_close
from singlab.kernel.core.endpoints import endpoint_check, endpoint_link, endpoint_unlink, record_check
from singlab.kernel.core.records import record_free, record_new
from singlab.kernel.core.waiting import endpoint_head, endpoint_ready, set_first, set_leave
from singlab.kernel.core.words import ld64, st64
from singlab.kernel.layout import (
    E_COUNT,
    E_MAGIC,
    E_MEMBER_NEXT,
    E_MEMBER_PREVIOUS,
    E_OWNER,
    E_PROCESS,
    E_READY,
    E_SET,
    E_WAITER,
    ENDPOINT_BYTES,
    G_FREE_ENDPOINTS,
    MAGIC_SET,
    P_ID,
    S_MEMBERS,
    TAG_KERNEL_SYSTEM,
    ZONE_KERNEL,
)

OK = 0
E_BAD_ARGUMENT = 5
NO_MESSAGE = 0xFFFE


def set_new(m, process):
    """Return a new empty set of a process, or 0."""
    ends = record_new(m, G_FREE_ENDPOINTS, ENDPOINT_BYTES, ZONE_KERNEL, TAG_KERNEL_SYSTEM)
    if ends == 0:
        return 0
    st64(m, ends + E_MAGIC, MAGIC_SET)
    st64(m, ends + E_OWNER, ld64(m, process + P_ID))
    st64(m, ends + E_PROCESS, process)
    endpoint_link(m, ends, process)
    return ends


def set_add(m, process, ends, endpoint):
    """Put an endpoint of a process into one of its sets; returns OK, or why not."""
    status = record_check(m, ends, process, MAGIC_SET)
    if status != OK:
        return status
    status = endpoint_check(m, endpoint, process)
    if status != OK:
        return status
    if (ld64(m, endpoint + E_SET) != 0) or (ld64(m, endpoint + E_WAITER) != 0):
        return E_BAD_ARGUMENT
    first = ld64(m, ends + S_MEMBERS)
    st64(m, endpoint + E_MEMBER_NEXT, first)
    st64(m, endpoint + E_MEMBER_PREVIOUS, 0)
    if first != 0:
        st64(m, first + E_MEMBER_PREVIOUS, endpoint)
    st64(m, ends + S_MEMBERS, endpoint)
    st64(m, ends + E_COUNT, ld64(m, ends + E_COUNT) + 1)
    st64(m, endpoint + E_SET, ends)
    st64(m, endpoint + E_READY, 0)
    if endpoint_head(m, endpoint) != NO_MESSAGE:
        endpoint_ready(m, endpoint)
    return OK


def set_take(m, process, ends):
    """Take the member at which something has waited longest out of a set and return it, 0 if nothing waits at any."""
    if record_check(m, ends, process, MAGIC_SET) != OK:
        return 0
    member = set_first(m, ends)
    if member != 0:
        set_leave(m, member)
    return member


def set_waited(m, ends):
    """Return whether a thread waits at a set, or at a member of it behind its back."""
    if ld64(m, ends + E_WAITER) != 0:
        return 1
    member = ld64(m, ends + S_MEMBERS)
    while member != 0:
        if ld64(m, member + E_WAITER) != 0:
            return 1
        member = ld64(m, member + E_MEMBER_NEXT)
    return 0


def set_close(m, ends, process):
    """Close a set and every member of it."""
    member = ld64(m, ends + S_MEMBERS)
    while member != 0:
        set_leave(m, member)
        endpoint_close(m, member, process)
        member = ld64(m, ends + S_MEMBERS)
    endpoint_unlink(m, ends, process)
    record_free(m, G_FREE_ENDPOINTS, ends)
    return 0
