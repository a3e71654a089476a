"""Child processes: the only part of the ABI through which a process does something to another one.

A process can make children of the images its own manifest lists as extensions, give them their startup arguments,
start, suspend, resume and stop them, wait for their end, and let go of them. It names them by handles that mean
nothing to anybody else. All a child gets is checked against its own image; the parent's word counts for nothing.

Leaves out startup arguments that are text, and children that outlive their parent.
"""

from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.core.endpoints import endpoint_check, endpoint_give
from singlab.kernel.core.handles import handle_free, handle_object, handle_slot
from singlab.kernel.core.images import integer_fits
from singlab.kernel.core.processes import process_forget, process_start
from singlab.kernel.core.scheduler import schedule
from singlab.kernel.core.service import process_resume, process_suspend, service_ask
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    AWAITS_CHILD,
    AWAITS_SERVICE,
    AWAITS_SUSPENSION,
    BLOCKED,
    E_COUNT,
    E_HEAD,
    E_QUEUE,
    E_SET,
    E_SIDE,
    E_SLOTS,
    E_STATE,
    E_TABLE,
    E_TRAVELS,
    E_WAITER,
    G_CHECK,
    G_CURRENT,
    HANDLE_PROCESS,
    I_EXTENSION_COUNT,
    I_EXTENSIONS,
    I_PARAMETER_COUNT,
    I_PARAMETERS,
    P_BARRIER,
    P_EXIT,
    P_FAULT,
    P_GIVEN,
    P_HELD_ABOVE,
    P_ID,
    P_IMAGE,
    P_JOINER,
    P_STATE,
    P_STOPPED,
    P_THREADS,
    PARAMETER_INTEGER,
    REQUEST_BARRIER,
    REQUEST_CREATE,
    REQUEST_JOIN,
    REQUEST_STOP,
    SLOT_BYTES,
    STOPPED,
    STOPPING,
    SUSPENDED,
    SUSPENDING,
    SUSPENDING_RECURSIVE,
    T_A0,
    T_ID,
    T_PROCESS,
    T_REQUEST,
    T_STATE,
    T_TARGET,
    UNSTARTED,
)

THREAD_BLOCK = 9
REFUSED = 28

OK = 0
E_BAD_HANDLE = 1
E_NOT_OWNER = 2
E_CONTRACT = 3
E_BAD_ARGUMENT = 5
ENDED_ITSELF = 1
ENDED_BY_FAULT = 2
ENDED_BY_STOP = 3
ABI_CREATE_CHILD = ABI_NUMBER["create_child"]
ABI_SET_STARTUP_ENDPOINT = ABI_NUMBER["set_startup_endpoint"]
ABI_SET_STARTUP_ARGUMENT = ABI_NUMBER["set_startup_argument"]
ABI_START_CHILD = ABI_NUMBER["start_child"]
ABI_JOIN_CHILD = ABI_NUMBER["join_child"]
ABI_SUSPEND_CHILD = ABI_NUMBER["suspend_child"]
ABI_RESUME_CHILD = ABI_NUMBER["resume_child"]
ABI_SUSPEND_BARRIER = ABI_NUMBER["suspend_barrier"]
ABI_STOP_CHILD = ABI_NUMBER["stop_child"]
ABI_GET_CHILD_STATE = ABI_NUMBER["get_child_state"]
ABI_GET_EXIT_CODE = ABI_NUMBER["get_exit_code"]
ABI_GET_CHILD_ID = ABI_NUMBER["get_child_id"]
ABI_DISPOSE_CHILD = ABI_NUMBER["dispose_child"]


def child_named(m, handle):
    """Return the child that a handle of the calling process names, or 0."""
    return handle_object(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS), handle, HANDLE_PROCESS)


def told(m, function, status):
    """Return a status, after noting a refusal in the trace."""
    if status != OK:
        emit(m, REFUSED, function, status)
    return status


def answer(m, function, status, word):
    """Put a status and a word into the caller's result registers."""
    thread = ld64(m, G_CURRENT)
    st64(m, thread + T_A0, status)
    st64(m, thread + T_A0 + 8, word)
    told(m, function, status)
    return 0


def caller_waits(m, thread, awaited):
    """Let the calling thread wait for what it has asked."""
    number = ld64(m, thread + T_ID)
    st64(m, thread + T_STATE, BLOCKED)
    emit(m, THREAD_BLOCK, number, awaited)
    schedule(m, number)
    return 0


# ---- making a child ---------------------------------------------------------------------------------------------


def abi_create_child(m, extension):
    """Let the service thread make a child of one of the caller's extensions; the caller waits for it."""
    thread = ld64(m, G_CURRENT)
    image = ld64(m, ld64(m, thread + T_PROCESS) + P_IMAGE)
    known = 0
    if image != 0:
        if extension < ld64(m, image + I_EXTENSION_COUNT):
            known = ld64(m, ld64(m, image + I_EXTENSIONS) + extension * 8)
    if known == 0:
        answer(m, ABI_CREATE_CHILD, 0, E_BAD_ARGUMENT)
        emit(m, REFUSED, ABI_CREATE_CHILD, E_BAD_ARGUMENT)
        return 0
    service_ask(m, thread, REQUEST_CREATE, known, extension)
    caller_waits(m, thread, AWAITS_SERVICE)
    return 0


def parameter_of(m, child, index):
    """Return where a child's image says what its startup parameter is, or 0: none, given already, or it has started."""
    if (ld64(m, child + P_STATE) != UNSTARTED) or (index >= 64):
        return 0
    image = ld64(m, child + P_IMAGE)
    if image == 0:
        return 0
    if index >= ld64(m, image + I_PARAMETER_COUNT):
        return 0
    if ld64(m, child + P_GIVEN) >> index & 1 != 0:
        return 0
    return ld64(m, image + I_PARAMETERS) + index * 16


def parameter_put(m, child, index, value):
    """Give a child one of its startup arguments."""
    st64(m, ld64(m, child + P_THREADS) + T_A0 + index * 8, value)
    st64(m, child + P_GIVEN, ld64(m, child + P_GIVEN) | 1 << index)
    return 0


def waiting_is_plain(m, endpoint):
    """Return whether what waits at an endpoint carries no blocks and no endpoints: those would stay with its old owner."""
    table = ld64(m, endpoint + E_TABLE)
    at = ld64(m, endpoint + E_HEAD)
    left = ld64(m, endpoint + E_COUNT)
    while left != 0:
        message = ld64(m, endpoint + E_QUEUE + at * SLOT_BYTES)
        if ld64(m, table + 8 + message * 8) & 0xFF00FF00 != 0:
            return 0
        at += 1
        if at == ld64(m, endpoint + E_SLOTS):
            at = 0
        left -= 1
    return 1


def startup_endpoint_check(m, process, child, index, endpoint):
    """Return OK if a child can be given an endpoint of the caller as one of its startup arguments, or why not."""
    parameter = parameter_of(m, child, index)
    if parameter == 0:
        return E_BAD_ARGUMENT
    status = endpoint_check(m, endpoint, process)
    if status != OK:
        return status
    about = ld64(m, parameter)
    if (about & PARAMETER_INTEGER != 0) or (ld64(m, parameter + 8) != ld64(m, endpoint + E_TABLE)):
        return E_CONTRACT
    if ld64(m, endpoint + E_SIDE) != (about >> 8 & 1):
        return E_CONTRACT
    if (ld64(m, G_CHECK) != 0) and (ld64(m, endpoint + E_STATE) != 0):
        return E_CONTRACT
    if (ld64(m, endpoint + E_WAITER) != 0) or (ld64(m, endpoint + E_SET) != 0):
        return E_BAD_ARGUMENT
    if waiting_is_plain(m, endpoint) == 0:
        return E_BAD_ARGUMENT
    return OK


def abi_set_startup_endpoint(m, handle, index, endpoint):
    """Give a child that has not started an endpoint, which is the child's from then on."""
    child = child_named(m, handle)
    if child == 0:
        return told(m, ABI_SET_STARTUP_ENDPOINT, E_BAD_HANDLE)
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    status = startup_endpoint_check(m, process, child, index, endpoint)
    if status != OK:
        return told(m, ABI_SET_STARTUP_ENDPOINT, status)
    endpoint_give(m, endpoint, process, child)
    st64(m, endpoint + E_TRAVELS, 0)
    parameter_put(m, child, index, endpoint)
    return OK


def abi_set_startup_argument(m, handle, index, value):
    """Give a child that has not started a number."""
    child = child_named(m, handle)
    if child == 0:
        return told(m, ABI_SET_STARTUP_ARGUMENT, E_BAD_HANDLE)
    parameter = parameter_of(m, child, index)
    if parameter == 0:
        return told(m, ABI_SET_STARTUP_ARGUMENT, E_BAD_ARGUMENT)
    about = ld64(m, parameter)
    if about & PARAMETER_INTEGER == 0:
        return told(m, ABI_SET_STARTUP_ARGUMENT, E_CONTRACT)
    if integer_fits(m, about, value) == 0:
        return told(m, ABI_SET_STARTUP_ARGUMENT, E_BAD_ARGUMENT)
    parameter_put(m, child, index, value)
    return OK


def abi_start_child(m, handle):
    """Let a child run that has all its startup arguments."""
    child = child_named(m, handle)
    if child == 0:
        return told(m, ABI_START_CHILD, E_BAD_HANDLE)
    if (ld64(m, child + P_STATE) != UNSTARTED) or (ld64(m, child + P_HELD_ABOVE) != 0):
        return told(m, ABI_START_CHILD, E_BAD_ARGUMENT)
    if ld64(m, child + P_GIVEN) != (1 << ld64(m, ld64(m, child + P_IMAGE) + I_PARAMETER_COUNT)) - 1:
        return told(m, ABI_START_CHILD, E_BAD_ARGUMENT)
    process_start(m, child)
    return OK


# ---- suspending and stopping it ------------------------------------------------------------------------------------


def abi_suspend_child(m, handle, below):
    """Suspend a child, with all its own children if ``below`` is not 0."""
    child = child_named(m, handle)
    if child == 0:
        return told(m, ABI_SUSPEND_CHILD, E_BAD_HANDLE)
    return told(m, ABI_SUSPEND_CHILD, process_suspend(m, child, below))


def abi_resume_child(m, handle):
    """Let a suspended child go on."""
    child = child_named(m, handle)
    if child == 0:
        return told(m, ABI_RESUME_CHILD, E_BAD_HANDLE)
    return told(m, ABI_RESUME_CHILD, process_resume(m, child))


def abi_suspend_barrier(m, handle):
    """Wait until a child that is being suspended is."""
    thread = ld64(m, G_CURRENT)
    child = child_named(m, handle)
    if child == 0:
        return answer(m, ABI_SUSPEND_BARRIER, E_BAD_HANDLE, 0)
    state = ld64(m, child + P_STATE)
    if state == SUSPENDED:
        return answer(m, ABI_SUSPEND_BARRIER, OK, 0)
    if ((state != SUSPENDING) and (state != SUSPENDING_RECURSIVE)) or (ld64(m, child + P_BARRIER) != 0):
        return answer(m, ABI_SUSPEND_BARRIER, E_BAD_ARGUMENT, 0)
    st64(m, child + P_BARRIER, thread)
    st64(m, thread + T_REQUEST, REQUEST_BARRIER)
    st64(m, thread + T_TARGET, child)
    caller_waits(m, thread, AWAITS_SUSPENSION)
    return 0


def abi_stop_child(m, handle):
    """Let the service thread stop a child and all below it, whatever they are doing; the caller waits for it."""
    thread = ld64(m, G_CURRENT)
    child = child_named(m, handle)
    if child == 0:
        return answer(m, ABI_STOP_CHILD, E_BAD_HANDLE, 0)
    state = ld64(m, child + P_STATE)
    if state == STOPPED:
        return answer(m, ABI_STOP_CHILD, OK, 0)
    if state != UNSTARTED:
        st64(m, child + P_STATE, STOPPING)
    service_ask(m, thread, REQUEST_STOP, child, ld64(m, child + P_ID))
    caller_waits(m, thread, AWAITS_SERVICE)
    return 0


# ---- its end ---------------------------------------------------------------------------------------------------------


def abi_join_child(m, handle):
    """Wait for the end of a child and take its exit value, 0 if it did not end by itself."""
    thread = ld64(m, G_CURRENT)
    child = child_named(m, handle)
    if child == 0:
        return answer(m, ABI_JOIN_CHILD, E_BAD_HANDLE, 0)
    state = ld64(m, child + P_STATE)
    if state == STOPPED:
        return answer(m, ABI_JOIN_CHILD, OK, ld64(m, child + P_EXIT))
    if (state == UNSTARTED) or (ld64(m, child + P_JOINER) != 0):
        return answer(m, ABI_JOIN_CHILD, E_BAD_ARGUMENT, 0)
    st64(m, child + P_JOINER, thread)
    st64(m, thread + T_REQUEST, REQUEST_JOIN)
    st64(m, thread + T_TARGET, child)
    caller_waits(m, thread, AWAITS_CHILD)
    return 0


def abi_get_child_state(m, handle):
    """Return the state a child is in, 0 if there is none."""
    child = child_named(m, handle)
    if child == 0:
        told(m, ABI_GET_CHILD_STATE, E_BAD_HANDLE)
        return 0
    return ld64(m, child + P_STATE)


def abi_get_exit_code(m, handle):
    """Put how a child has ended and its exit value or fault into the caller's result registers; 0 while it has not."""
    child = child_named(m, handle)
    if child == 0:
        told(m, ABI_GET_EXIT_CODE, E_BAD_HANDLE)
        return answer(m, ABI_GET_EXIT_CODE, OK, 0)
    if ld64(m, child + P_STATE) != STOPPED:
        return answer(m, ABI_GET_EXIT_CODE, OK, 0)
    how = ENDED_ITSELF
    word = ld64(m, child + P_EXIT)
    if ld64(m, child + P_STOPPED) != 0:
        how = ENDED_BY_STOP
        word = 0
    elif ld64(m, child + P_FAULT) != 0:
        how = ENDED_BY_FAULT
        word = ld64(m, child + P_FAULT)
    thread = ld64(m, G_CURRENT)
    st64(m, thread + T_A0, how)
    st64(m, thread + T_A0 + 8, word)
    return 0


def abi_get_child_id(m, handle):
    """Return the number of a child, 0 if there is none."""
    child = child_named(m, handle)
    if child == 0:
        told(m, ABI_GET_CHILD_ID, E_BAD_HANDLE)
        return 0
    return ld64(m, child + P_ID)


def abi_dispose_child(m, handle):
    """Let go of a child that has ended; its handle names nothing any more."""
    slot = handle_slot(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS), handle, HANDLE_PROCESS)
    if slot == 0:
        return told(m, ABI_DISPOSE_CHILD, E_BAD_HANDLE)
    child = child_named(m, handle)
    # another thread of the caller may be in a call about it
    if ld64(m, child + P_STATE) != STOPPED:
        return told(m, ABI_DISPOSE_CHILD, E_BAD_ARGUMENT)
    handle_free(m, slot)
    process_forget(m, child)
    return OK
