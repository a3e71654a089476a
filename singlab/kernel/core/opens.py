"""The kernel's side of the system calls of open processes: one function for each row of
:mod:`singlab.kernel.opencalls`; those of files and memory stand in files of their own.

Arguments are words, many of them addresses in the caller's memory; none is trusted as far as the kernel itself goes,
so no call harms the kernel. What a call does to the caller, or to another process, is another matter: that is what
it was asked for.
"""

from singlab.kernel.core.openfiles import sys_write
from singlab.kernel.core.pipes import file_new
from singlab.kernel.core.processes import process_exit, process_fault, process_start, process_stop
from singlab.kernel.core.scheduler import queue_put, schedule
from singlab.kernel.core.spaces import entry_own, entry_place, space_fork
from singlab.kernel.core.tasks import (
    bad,
    child_taken,
    files_inherit,
    image_find,
    name_take,
    open_block,
    own_task,
    task_end,
    task_find,
    task_load,
    task_new,
    thread_prepare,
)
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    F_REFS,
    FILE_CONSOLE,
    G_CURRENT,
    G_HERTZ,
    G_PREEMPTED_HEAD,
    G_PRINT_ADDRESS,
    G_PRINT_BYTES,
    G_TASKS,
    IMAGE_PROGRAM,
    K_ENDED,
    K_FILES,
    K_NEXT,
    K_NUMBER,
    K_PARENT,
    K_PROCESS,
    P_FAULT_ADDRESS,
    P_FAULT_CAUSE,
    P_FAULT_PC,
    P_TASK,
    P_THREADS,
    PTE_COPY,
    READY,
    T_A0,
    T_BUFFER,
    T_ID,
    T_PC,
    T_PROCESS,
    T_STATE,
    T_STATUS,
)
from singlab.kernel.opencalls import ECHILD, EFAULT, ENOENT, ENOMEM, ESRCH, STATUS_FAULT

THREAD_YIELD = 12
PRINT = 25
MARK = 26
ILLEGAL_INSTRUCTION = 7
ACCESS_OUTSIDE = 8
BAD_ABI_CALL = 10
OUT_OF_MEMORY = 22
CAUSE_ILLEGAL = 2
CAUSE_STORE_PAGE = 15


# ---- processes ----------------------------------------------------------------------------------------------------


def sys_exit(m, status):
    """End the calling process."""
    thread = ld64(m, G_CURRENT)
    number = ld64(m, thread + T_ID)
    process = ld64(m, thread + T_PROCESS)
    task_end(m, ld64(m, process + P_TASK), status)
    process_exit(m, process, status)
    schedule(m, number)
    return 0


def open_end(m, process, code, line):
    """End an open process for a fault; somebody else runs if it was running."""
    running = ld64(m, G_CURRENT)
    number = ld64(m, running + T_ID)
    task_end(m, ld64(m, process + P_TASK), STATUS_FAULT | code)
    process_fault(m, process, code, line)
    if ld64(m, G_CURRENT) == 0:
        schedule(m, number)
    return 0


def sys_abort(m, code, line):
    """End the calling process for a fault of its own."""
    code = code & 0xFFFF
    if code == 0:
        code = BAD_ABI_CALL
    open_end(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS), code, line & 0xFFFFFFFF)
    return 0


def open_stop(m, process, by):
    """End an open process from outside."""
    task_end(m, ld64(m, process + P_TASK), STATUS_FAULT)
    process_stop(m, process, by)
    return 0


def sys_kill(m, number):
    """End any process."""
    thread = ld64(m, G_CURRENT)
    own = ld64(m, thread + T_ID)
    task = task_find(m, number)
    if task == 0:
        st64(m, thread + T_A0, bad(m, ESRCH))
        return 0
    st64(m, thread + T_A0, 0)
    open_stop(m, ld64(m, task + K_PROCESS), ld64(m, own_task(m) + K_NUMBER))
    if ld64(m, G_CURRENT) == 0:
        schedule(m, own)
    return 0


def sys_fork(m):
    """Make a copy of the calling process."""
    thread = ld64(m, G_CURRENT)
    parent = own_task(m)
    child = task_new(m, parent)
    if child == 0:
        return bad(m, ENOMEM)
    process = ld64(m, child + K_PROCESS)
    files_inherit(m, parent, child)
    if space_fork(m, parent, child) == 0:
        st64(m, child + K_PARENT, 0)
        open_stop(m, process, 0)
        return bad(m, ENOMEM)
    other = ld64(m, process + P_THREADS)
    index = T_PC
    while index <= T_STATUS:
        st64(m, other + index, ld64(m, thread + index))
        index += 8
    st64(m, other + T_A0, 0)
    process_start(m, process)
    return ld64(m, child + K_NUMBER)


def open_create(m, image, word0, word1, word2, word3):
    """Return a new process that will run a program, its files the console, made by nobody; 0 = no memory."""
    task = task_new(m, 0)
    if task == 0:
        return 0
    process = ld64(m, task + K_PROCESS)
    file = file_new(m, FILE_CONSOLE, 0, 0)
    loaded = 0
    if file != 0:
        st64(m, file + F_REFS, 3)
        st64(m, task + K_FILES, file)
        st64(m, task + K_FILES + 8, file)
        st64(m, task + K_FILES + 16, file)
        loaded = task_load(m, task, image)
    if loaded == 0:
        open_stop(m, process, 0)
        return 0
    thread_prepare(m, ld64(m, process + P_THREADS), image, word0, word1, word2, word3)
    return process


def sys_execve(m, name, size, word0, word1, word2, word3):
    """Become another program."""
    thread = ld64(m, G_CURRENT)
    task = own_task(m)
    if name_take(m, task, name, size) == 0:
        st64(m, thread + T_A0, bad(m, EFAULT))
        return 0
    image = image_find(m, IMAGE_PROGRAM)
    if image == 0:
        st64(m, thread + T_A0, bad(m, ENOENT))
        return 0
    if task_load(m, task, image) == 0:
        # what it was is gone
        open_end(m, ld64(m, thread + T_PROCESS), OUT_OF_MEMORY, 0)
        return 0
    thread_prepare(m, thread, image, word0, word1, word2, word3)
    return 0


def sys_waitpid(m, number, address):
    """Wait until a child has ended."""
    thread = ld64(m, G_CURRENT)
    task = own_task(m)
    awaited = 0
    child = ld64(m, G_TASKS)
    while child != 0:
        if ld64(m, child + K_PARENT) == task:
            if (number == 0) or (ld64(m, child + K_NUMBER) == number):
                if ld64(m, child + K_ENDED) != 0:
                    st64(m, thread + T_A0, child_taken(m, child, task, address))
                    return 0
                awaited = child
        child = ld64(m, child + K_NEXT)
    if awaited == 0:
        st64(m, thread + T_A0, bad(m, ECHILD))
        return 0
    if number == 0:
        awaited = task
    st64(m, thread + T_BUFFER, address)
    open_block(m, thread, awaited)
    return 0


def sys_getpid(m):
    """Return the number of the calling process."""
    return ld64(m, own_task(m) + K_NUMBER)


def sys_getppid(m):
    """Return the number of the process that made the calling one."""
    parent = ld64(m, own_task(m) + K_PARENT)
    if parent == 0:
        return 0
    return ld64(m, parent + K_NUMBER)


def sys_sched_yield(m):
    """Let the next ready thread run; the caller goes to the end of the preempted queue."""
    thread = ld64(m, G_CURRENT)
    number = ld64(m, thread + T_ID)
    st64(m, thread + T_A0, 0)
    emit(m, THREAD_YIELD, number, 0)
    st64(m, thread + T_STATE, READY)
    queue_put(m, G_PREEMPTED_HEAD, thread)
    schedule(m, number)
    return 0


# ---- the rest -------------------------------------------------------------------------------------------------------


def sys_clock_getres(m):
    """Return the ticks of the clock in a second."""
    return ld64(m, G_HERTZ)


def sys_mark(m, value):
    """Put a mark into the trace."""
    emit(m, MARK, value, 0)
    return 0


def sys_print_text(m, address, size):
    """Write text to file 1."""
    return sys_write(m, 1, address, size)


def sys_print_int(m, value, signed):
    """Write a number to the console."""
    st64(m, G_PRINT_ADDRESS, value)
    st64(m, G_PRINT_BYTES, 1 << 63 | signed & 1)
    emit(m, PRINT, value, 1 << 63 | signed & 1)
    return 0


def open_fault(m, cause, address):
    """A trap that no system call explains: a page to be copied is, else the process ends that caused it."""
    thread = ld64(m, G_CURRENT)
    process = ld64(m, thread + T_PROCESS)
    task = ld64(m, process + P_TASK)
    code = ACCESS_OUTSIDE
    if cause == CAUSE_STORE_PAGE:
        place = entry_place(m, task, address)
        if place != 0:
            if ld64(m, place) & PTE_COPY != 0:
                if entry_own(m, task, place) != 0:
                    return 0
                code = OUT_OF_MEMORY
    if cause == CAUSE_ILLEGAL:
        code = ILLEGAL_INSTRUCTION
    st64(m, process + P_FAULT_PC, ld64(m, thread + T_PC))
    st64(m, process + P_FAULT_ADDRESS, address)
    st64(m, process + P_FAULT_CAUSE, cause)
    open_end(m, process, code, 0)
    return 0
