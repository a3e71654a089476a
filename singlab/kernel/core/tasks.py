"""Open processes: made as copies or from a program, ended, waited for; what they are made of is named memory.

A task record stands beside the process record and holds what only an open process has: address space, open files,
loaded libraries, parent. It stays, as what UNIX calls a zombie, until the parent has asked how the process ended.

Leaves out signals that can be caught, users and permissions, and several threads in a process.
"""

from singlab.kernel.core.pages import pages_alloc
from singlab.kernel.core.pipes import file_drop
from singlab.kernel.core.processes import process_create
from singlab.kernel.core.records import record_free, record_new
from singlab.kernel.core.scheduler import queue_remove, schedule, thread_wake
from singlab.kernel.core.spaces import (
    copy_in,
    frame_count,
    map_frame,
    map_zeros,
    page_zero,
    rights_flags,
    space_clear,
    space_free,
    space_new,
    unmap,
    word_out,
)
from singlab.kernel.core.words import emit, ld64, st32, st64
from singlab.kernel.layout import (
    BLOCKED,
    F_REFS,
    G_CURRENT,
    G_FREE_SHARED,
    G_FREE_TASKS,
    G_NAME,
    G_PROGRAMS,
    G_SHARED,
    G_STATUS,
    G_TASKS,
    G_WINDOW,
    K_ENDED,
    K_FILES,
    K_LIBRARIES,
    K_MAGIC,
    K_NEXT,
    K_NEXT_MAP,
    K_NUMBER,
    K_PARENT,
    K_PROCESS,
    K_STATUS,
    MAGIC_TASK,
    MOST_FILES,
    MOST_LIBRARIES,
    OPEN_MAP,
    OPEN_NAME_BYTES,
    OPEN_STACK,
    P_ID,
    P_PROGRAM,
    P_SATP,
    P_TASK,
    P_THREADS,
    PAGE_SHIFT,
    PG_ENTRY,
    PG_KIND,
    PG_NAME,
    PG_NEXT,
    PG_SEGMENT_COUNT,
    PG_SEGMENTS,
    PG_SYMBOL_COUNT,
    PG_SYMBOLS,
    PROT_WRITE,
    PTE_COPY,
    PTE_SHARED,
    PTE_W,
    Q_READ_FIRST,
    Q_WRITE_FIRST,
    SEGMENT_BYTES,
    SH_FRAMES,
    SH_NAME,
    SH_NEXT,
    SH_PAGES,
    SHARED_BYTES,
    SYMBOL_BYTES,
    T_A0,
    T_AWAITS,
    T_BUFFER,
    T_FULL,
    T_ID,
    T_PC,
    T_PROCESS,
    T_STATE,
    T_STATUS,
    TAG_KERNEL_SHARED,
    TAG_KERNEL_SYSTEM,
    TASK_BYTES,
    ZONE_KERNEL,
    ZONE_USER,
)

THREAD_BLOCK = 9

# ---- names --------------------------------------------------------------------------------------------------------


def name_take(m, task, address, size):
    """Put a name out of a task's memory where the next search looks for it; returns whether it is one."""
    if (size == 0) or (size >= OPEN_NAME_BYTES):
        return 0
    st64(m, G_NAME, 0)
    st64(m, G_NAME + 8, 0)
    st64(m, G_NAME + 16, 0)
    st64(m, G_NAME + 24, 0)
    return copy_in(m, task, address, G_NAME, size) == size


def named(m, place):
    """Return whether the name at a place is the one searched for."""
    differs = ld64(m, place) ^ ld64(m, G_NAME) | ld64(m, place + 8) ^ ld64(m, G_NAME + 8)
    return differs | ld64(m, place + 16) ^ ld64(m, G_NAME + 16) | ld64(m, place + 24) ^ ld64(m, G_NAME + 24) == 0


def image_find(m, kind):
    """Return the newest image of a kind that has the name searched for, or 0."""
    image = ld64(m, G_PROGRAMS)
    while image != 0:
        if ld64(m, image + PG_KIND) == kind:
            if named(m, image + PG_NAME) != 0:
                return image
        image = ld64(m, image + PG_NEXT)
    return 0


def symbol_find(m, image):
    """Return where the function of the name searched for lies in an image, or 0."""
    place = ld64(m, image + PG_SYMBOLS)
    end = place + ld64(m, image + PG_SYMBOL_COUNT) * SYMBOL_BYTES
    while place < end:
        if named(m, place) != 0:
            return ld64(m, place + OPEN_NAME_BYTES)
        place += SYMBOL_BYTES
    return 0


def shared_find(m, pages):
    """Return the shared memory of the name searched for, made with so many pages if there is none; 0 = no memory."""
    shared = ld64(m, G_SHARED)
    while shared != 0:
        if named(m, shared + SH_NAME) != 0:
            return shared
        shared = ld64(m, shared + SH_NEXT)
    shared = record_new(m, G_FREE_SHARED, SHARED_BYTES, ZONE_KERNEL, TAG_KERNEL_SYSTEM)
    if shared == 0:
        return 0
    # its pages lie in a row, so that one address says where they are
    frames = pages_alloc(m, ZONE_USER, pages, TAG_KERNEL_SHARED)
    if frames == 0:
        record_free(m, G_FREE_SHARED, shared)
        return 0
    index = 0
    while index < pages:
        frame = frames + (index << PAGE_SHIFT)
        st32(m, frame_count(m, frame), 1)
        page_zero(m, frame + ld64(m, G_WINDOW))
        index += 1
    st64(m, shared + SH_PAGES, pages)
    st64(m, shared + SH_FRAMES, frames)
    st64(m, shared + SH_NAME, ld64(m, G_NAME))
    st64(m, shared + SH_NAME + 8, ld64(m, G_NAME + 8))
    st64(m, shared + SH_NAME + 16, ld64(m, G_NAME + 16))
    st64(m, shared + SH_NAME + 24, ld64(m, G_NAME + 24))
    st64(m, shared + SH_NEXT, ld64(m, G_SHARED))
    st64(m, G_SHARED, shared)
    return shared


def frames_map(m, task, address, frames, pages, flags):
    """Map pages in a row; returns whether all could be, nothing is mapped else."""
    done = 0
    while done < pages:
        if map_frame(m, task, address + (done << PAGE_SHIFT), frames + (done << PAGE_SHIFT), flags) == 0:
            unmap(m, task, address, done)
            return 0
        done += 1
    return 1


def zeros_map(m, task, address, pages, flags):
    """Map zeroed pages; returns whether all could be, nothing is mapped else."""
    done = map_zeros(m, task, address, pages, flags)
    if done != pages:
        unmap(m, task, address, done)
        return 0
    return 1


def shared_map(m, task, shared, address, rights):
    """Map shared memory; returns whether that could be."""
    return frames_map(m, task, address, ld64(m, shared + SH_FRAMES), ld64(m, shared + SH_PAGES), rights_flags(m, rights) | PTE_SHARED)


# ---- programs ------------------------------------------------------------------------------------------------------


def image_map(m, task, image, base):
    """Map an image's segments, from a base on; returns whether that could be. What can be written is copied when it is."""
    segment = ld64(m, image + PG_SEGMENTS)
    end = segment + ld64(m, image + PG_SEGMENT_COUNT) * SEGMENT_BYTES
    while segment < end:
        address = ld64(m, segment) + base
        frames = ld64(m, segment + 8)
        pages = ld64(m, segment + 16)
        rights = ld64(m, segment + 24)
        flags = rights_flags(m, rights)
        if frames == 0:
            if zeros_map(m, task, address, pages, flags) == 0:
                return 0
        else:
            if rights & PROT_WRITE != 0:
                flags = flags ^ PTE_W | PTE_COPY
            if frames_map(m, task, address, frames, pages, flags) == 0:
                return 0
        segment += SEGMENT_BYTES
    return 1


def thread_prepare(m, thread, image, word0, word1, word2, word3):
    """Let a thread begin a program: where, on which stack, with which words, and nothing else in its registers."""
    place = thread + T_PC
    while place < thread + T_STATUS:
        st64(m, place, 0)
        place += 8
    st64(m, thread + T_PC, ld64(m, image + PG_ENTRY))
    st64(m, thread + T_PC + 16, OPEN_STACK)
    st64(m, thread + T_STATUS, ld64(m, G_STATUS))
    st64(m, thread + T_FULL, 1)
    st64(m, thread + T_A0, word0)
    st64(m, thread + T_A0 + 8, word1)
    st64(m, thread + T_A0 + 16, word2)
    st64(m, thread + T_A0 + 24, word3)
    return 0


def task_load(m, task, image):
    """Put a program into an address space instead of what was there; returns whether that could be."""
    space_clear(m, task)
    index = 0
    while index < MOST_LIBRARIES * 16:
        st64(m, task + K_LIBRARIES + index, 0)
        index += 8
    st64(m, task + K_NEXT_MAP, OPEN_MAP)
    st64(m, ld64(m, task + K_PROCESS) + P_PROGRAM, image)
    return image_map(m, task, image, 0)


# ---- tasks -------------------------------------------------------------------------------------------------------------


def task_new(m, parent):
    """Return a new task whose process has not started and has nothing in its memory; 0 = no memory."""
    task = record_new(m, G_FREE_TASKS, TASK_BYTES, ZONE_KERNEL, TAG_KERNEL_SYSTEM)
    if task == 0:
        return 0
    satp = space_new(m, task)
    if satp == 0:
        record_free(m, G_FREE_TASKS, task)
        return 0
    process = process_create(m, 0, 0)  # whose child it is the task says; it does not end with its parent
    if process == 0:
        space_free(m, task)
        record_free(m, G_FREE_TASKS, task)
        return 0
    st64(m, process + P_TASK, task)
    st64(m, process + P_SATP, satp)
    st64(m, task + K_MAGIC, MAGIC_TASK)
    st64(m, task + K_PROCESS, process)
    st64(m, task + K_NUMBER, ld64(m, process + P_ID))
    st64(m, task + K_PARENT, parent)
    st64(m, task + K_NEXT_MAP, OPEN_MAP)
    st64(m, task + K_NEXT, ld64(m, G_TASKS))
    st64(m, G_TASKS, task)
    return task


def task_find(m, number):
    """Return the task of a process number that has not ended, or 0."""
    task = ld64(m, G_TASKS)
    while task != 0:
        if ld64(m, task + K_NUMBER) == number:
            if ld64(m, task + K_ENDED) != 0:
                return 0
            return task
        task = ld64(m, task + K_NEXT)
    return 0


def task_forget(m, task):
    """Give the record of a task back that has ended."""
    at = G_TASKS
    while ld64(m, at) != task:
        at = ld64(m, at) + K_NEXT
    st64(m, at, ld64(m, task + K_NEXT))
    st64(m, ld64(m, task + K_PROCESS) + P_TASK, 0)
    st64(m, task + K_MAGIC, 0)
    record_free(m, G_FREE_TASKS, task)
    return 0


def child_taken(m, child, parent, address):
    """Tell a parent how a child ended, and forget the child; returns its number."""
    number = ld64(m, child + K_NUMBER)
    if address != 0:
        word_out(m, parent, address, ld64(m, child + K_STATUS))
    task_forget(m, child)
    return number


def parent_tell(m, task, parent):
    """A child has ended: if its parent waits for that, it goes on."""
    thread = ld64(m, ld64(m, parent + K_PROCESS) + P_THREADS)
    if ld64(m, thread + T_STATE) != BLOCKED:
        return 0
    awaited = ld64(m, thread + T_AWAITS)
    if (awaited != task) and (awaited != parent):
        return 0
    st64(m, thread + T_AWAITS, 0)
    st64(m, thread + T_A0, child_taken(m, task, parent, ld64(m, thread + T_BUFFER)))
    thread_wake(m, thread, 0)
    return 0


def children_leave(m, task):
    """The children of a task that ends have no parent any more; nobody will ask for those that have ended."""
    child = ld64(m, G_TASKS)
    while child != 0:
        following = ld64(m, child + K_NEXT)
        if ld64(m, child + K_PARENT) == task:
            st64(m, child + K_PARENT, 0)
            if ld64(m, child + K_ENDED) != 0:
                task_forget(m, child)
        child = following
    return 0


def task_end(m, task, status):
    """Take everything back from an open process; its threads and its process record are ended by the caller, right after."""
    thread = ld64(m, ld64(m, task + K_PROCESS) + P_THREADS)
    awaited = ld64(m, thread + T_AWAITS)
    if (ld64(m, thread + T_STATE) == BLOCKED) and (awaited != 0):
        if ld64(m, awaited) != MAGIC_TASK:
            queue_remove(m, awaited + Q_READ_FIRST, thread)
            queue_remove(m, awaited + Q_WRITE_FIRST, thread)
    index = 0
    while index < MOST_FILES:
        file = ld64(m, task + K_FILES + index * 8)
        if file != 0:
            st64(m, task + K_FILES + index * 8, 0)
            file_drop(m, file)
        index += 1
    space_free(m, task)
    children_leave(m, task)
    parent = ld64(m, task + K_PARENT)
    st64(m, task + K_ENDED, 1)
    st64(m, task + K_STATUS, status)
    if parent == 0:
        task_forget(m, task)
    else:
        parent_tell(m, task, parent)
    return 0


def files_inherit(m, parent, child):
    """Let a child have its parent's open files and libraries."""
    index = 0
    while index < MOST_FILES:
        file = ld64(m, parent + K_FILES + index * 8)
        if file != 0:
            st64(m, file + F_REFS, ld64(m, file + F_REFS) + 1)
            st64(m, child + K_FILES + index * 8, file)
        index += 1
    index = 0
    while index < MOST_LIBRARIES * 16:
        st64(m, child + K_LIBRARIES + index, ld64(m, parent + K_LIBRARIES + index))
        index += 8
    st64(m, child + K_NEXT_MAP, ld64(m, parent + K_NEXT_MAP))
    st64(m, ld64(m, child + K_PROCESS) + P_PROGRAM, ld64(m, ld64(m, parent + K_PROCESS) + P_PROGRAM))
    return 0


# ---- the calling one ---------------------------------------------------------------------------------------------------


def own_task(m):
    """Return the task of the calling process."""
    return ld64(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS) + P_TASK)


def bad(m, error):
    """Return what a call returns that fails."""
    return 0 - error


def open_block(m, thread, awaited):
    """Let the calling thread wait for a pipe or task, and somebody else run."""
    number = ld64(m, thread + T_ID)
    st64(m, thread + T_AWAITS, awaited)
    st64(m, thread + T_STATE, BLOCKED)
    emit(m, THREAD_BLOCK, number, 0)
    schedule(m, number)
    return 0
