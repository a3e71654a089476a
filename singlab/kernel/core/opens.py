"""The kernel's side of the system calls of open processes: one function for each row of :mod:`singlab.kernel.opencalls`.

Arguments are words, many of them addresses in the caller's memory; none is trusted as far as the kernel itself goes,
so no call harms the kernel. What a call does to the caller, or to another process, is another matter: that is what
it was asked for.
"""

from singlab.kernel.core.pipes import file_drop, file_new, files_pair, pipe_get, pipe_put, pipe_room, pipe_serve, wait_put
from singlab.kernel.core.processes import process_exit, process_fault, process_start, process_stop
from singlab.kernel.core.scheduler import queue_put, schedule
from singlab.kernel.core.spaces import (
    FORCE,
    copy_between,
    copy_in,
    entry_own,
    entry_place,
    fence,
    mapped,
    protect,
    rights_flags,
    space_fork,
    unmap,
    word_out,
)
from singlab.kernel.core.tasks import (
    child_taken,
    files_inherit,
    image_find,
    image_map,
    name_take,
    shared_find,
    shared_map,
    symbol_find,
    task_end,
    task_find,
    task_load,
    task_new,
    thread_prepare,
    zeros_map,
)
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    BLOCKED,
    F_IN,
    F_KIND,
    F_OUT,
    F_REFS,
    FILE_CONSOLE,
    G_CONSOLE,
    G_CURRENT,
    G_HERTZ,
    G_PAIR,
    G_PREEMPTED_HEAD,
    G_PRINT_ADDRESS,
    G_PRINT_BYTES,
    G_TASKS,
    H_PAGES,
    I_PAGES,
    IMAGE_LIBRARY,
    IMAGE_PROGRAM,
    K_ENDED,
    K_FILES,
    K_LIBRARIES,
    K_NEXT,
    K_NEXT_MAP,
    K_NUMBER,
    K_PARENT,
    K_PROCESS,
    MAP_SHARED,
    MOST_FILES,
    MOST_LIBRARIES,
    MOST_SHARED_PAGES,
    OPEN_STACK,
    P_FAULT_ADDRESS,
    P_FAULT_CAUSE,
    P_FAULT_PC,
    P_TASK,
    P_THREADS,
    PAGE,
    PAGE_SHIFT,
    PTE_COPY,
    PTE_SHARED,
    Q_COUNT,
    Q_READ_FIRST,
    Q_READERS,
    Q_WRITE_FIRST,
    Q_WRITERS,
    READY,
    T_A0,
    T_AWAITS,
    T_BUFFER,
    T_DONE,
    T_ID,
    T_LEFT,
    T_PC,
    T_PROCESS,
    T_STATE,
    T_STATUS,
)
from singlab.kernel.opencalls import (
    EBADF,
    ECHILD,
    EFAULT,
    EINVAL,
    EMFILE,
    ENOENT,
    ENOMEM,
    EPIPE,
    ESRCH,
    IOCTL_STATUS,
    IOCTL_WAITING,
    STATUS_FAULT,
)

THREAD_BLOCK = 9
THREAD_YIELD = 12
PRINT = 25
MARK = 26
ILLEGAL_INSTRUCTION = 7
ACCESS_OUTSIDE = 8
BAD_ABI_CALL = 10
OUT_OF_MEMORY = 22
CAUSE_ILLEGAL = 2
CAUSE_STORE_PAGE = 15
MOST_MAPPED = 4096  #: pages of one call
ROWS = 25
COLUMNS = 80


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


# ---- files ----------------------------------------------------------------------------------------------------------


def file_of(m, task, number):
    """Return the open file of a number, or 0."""
    if number >= MOST_FILES:
        return 0
    return ld64(m, task + K_FILES + number * 8)


def number_free(m, task, number):
    """Return the first free file number from one on, MOST_FILES if there is none."""
    while number < MOST_FILES:
        if ld64(m, task + K_FILES + number * 8) == 0:
            return number
        number += 1
    return number


def files_open(m, address, buffered):
    """Make two connected files of the calling process and tell their numbers in its memory."""
    task = own_task(m)
    one = number_free(m, task, 0)
    other = number_free(m, task, one + 1)
    if other >= MOST_FILES:
        return bad(m, EMFILE)
    if (word_out(m, task, address, one) == 0) or (word_out(m, task, address + 8, other) == 0):
        return bad(m, EFAULT)
    # put into two words that stand side by side, then where they belong
    if files_pair(m, G_PAIR, buffered) == 0:
        return bad(m, ENOMEM)
    st64(m, task + K_FILES + one * 8, ld64(m, G_PAIR))
    st64(m, task + K_FILES + other * 8, ld64(m, G_PAIR + 8))
    return 0


def sys_pipe(m, address):
    """Make a pipe."""
    return files_open(m, address, 1)


def sys_socketpair(m, address):
    """Make a pair of sockets."""
    return files_open(m, address, 0)


def sys_read(m, number, address, size):
    """Read from a file, or wait until that is possible."""
    thread = ld64(m, G_CURRENT)
    task = own_task(m)
    file = file_of(m, task, number)
    pipe = 0
    if file != 0:
        pipe = ld64(m, file + F_IN)
    if pipe == 0:
        result = bad(m, EBADF)
        if file != 0:
            if ld64(m, file + F_KIND) == FILE_CONSOLE:  # nobody types
                result = 0
        st64(m, thread + T_A0, result)
        return 0
    if (size == 0) or (address >= OPEN_STACK):
        result = 0
        if size != 0:
            result = bad(m, EFAULT)
        st64(m, thread + T_A0, result)
        return 0
    if ld64(m, pipe + Q_COUNT) == 0:
        if ld64(m, pipe + Q_WRITERS) == 0:
            st64(m, thread + T_A0, 0)
            return 0
        st64(m, thread + T_BUFFER, address)
        st64(m, thread + T_LEFT, size)
        wait_put(m, pipe + Q_READ_FIRST, thread)
        open_block(m, thread, pipe)
        return 0
    got = pipe_get(m, pipe, task, address, size)
    if got == 0:
        got = bad(m, EFAULT)
    st64(m, thread + T_A0, got)
    if ld64(m, pipe + Q_WRITE_FIRST) != 0:
        pipe_serve(m, pipe)
    return 0


def console_write(m, task, address, size):
    """Hand text to the host, up to a page; returns how much."""
    if size > PAGE:
        size = PAGE
    page = ld64(m, G_CONSOLE)
    got = copy_in(m, task, address, page, size)
    if got == 0:
        return bad(m, EFAULT)
    st64(m, G_PRINT_ADDRESS, page)
    st64(m, G_PRINT_BYTES, got)
    emit(m, PRINT, page, got)
    return got


def sys_write(m, number, address, size):
    """Write to a file, or wait until all of it is written."""
    thread = ld64(m, G_CURRENT)
    task = own_task(m)
    file = file_of(m, task, number)
    if file == 0:
        st64(m, thread + T_A0, bad(m, EBADF))
        return 0
    if size == 0:
        st64(m, thread + T_A0, 0)
        return 0
    if address >= OPEN_STACK:
        st64(m, thread + T_A0, bad(m, EFAULT))
        return 0
    if ld64(m, file + F_KIND) == FILE_CONSOLE:
        st64(m, thread + T_A0, console_write(m, task, address, size))
        return 0
    pipe = ld64(m, file + F_OUT)
    result = bad(m, EBADF)
    if pipe != 0:
        result = bad(m, EPIPE)
        if ld64(m, pipe + Q_READERS) != 0:
            result = 0
    if result != 0:
        st64(m, thread + T_A0, result)
        return 0
    done = 0
    room = 0
    if ld64(m, pipe + Q_WRITE_FIRST) == 0:  # who waits already writes first
        room = pipe_room(m, pipe)
    if room != 0:
        done = pipe_put(m, pipe, task, address, size)
        if done == 0:
            st64(m, thread + T_A0, bad(m, EFAULT))
            return 0
        if ld64(m, pipe + Q_READ_FIRST) != 0:
            pipe_serve(m, pipe)
    if (done == size) or (done < room):
        st64(m, thread + T_A0, done)
        return 0
    st64(m, thread + T_BUFFER, address + done)
    st64(m, thread + T_LEFT, size - done)
    st64(m, thread + T_DONE, done)
    st64(m, thread + T_AWAITS, pipe)
    wait_put(m, pipe + Q_WRITE_FIRST, thread)
    # a reader that waited may have made room again
    pipe_serve(m, pipe)
    if ld64(m, thread + T_AWAITS) == 0:
        # all is written, and it stands in the queue of those that can run
        schedule(m, ld64(m, thread + T_ID))
        return 0
    open_block(m, thread, pipe)
    return 0


def sys_close(m, number):
    """Give a file number back."""
    task = own_task(m)
    file = file_of(m, task, number)
    if file == 0:
        return bad(m, EBADF)
    st64(m, task + K_FILES + number * 8, 0)
    file_drop(m, file)
    return 0


def sys_dup2(m, number, other):
    """Let another number mean the same file."""
    task = own_task(m)
    file = file_of(m, task, number)
    if (file == 0) or (other >= MOST_FILES):
        return bad(m, EBADF)
    if number == other:
        return other
    before = ld64(m, task + K_FILES + other * 8)
    st64(m, file + F_REFS, ld64(m, file + F_REFS) + 1)
    st64(m, task + K_FILES + other * 8, file)
    if before != 0:
        file_drop(m, before)
    return other


def sys_ioctl(m, number, request, address):
    """Do what a file makes of a request. The caller must know how much it writes at the address: nobody checks that."""
    task = own_task(m)
    file = file_of(m, task, number)
    if file == 0:
        return bad(m, EBADF)
    pipe = ld64(m, file + F_IN)
    if pipe == 0:
        pipe = ld64(m, file + F_OUT)
    fits = 1
    if pipe == 0:
        if request != IOCTL_STATUS:
            return bad(m, EINVAL)
        fits = word_out(m, task, address, ROWS) & word_out(m, task, address + 8, COLUMNS)
    elif request == IOCTL_WAITING:
        fits = word_out(m, task, address, ld64(m, pipe + Q_COUNT))
    elif request == IOCTL_STATUS:
        fits = word_out(m, task, address, ld64(m, pipe + Q_COUNT)) & word_out(m, task, address + 8, pipe_room(m, pipe))
        fits = fits & word_out(m, task, address + 16, ld64(m, pipe + Q_READERS))
        fits = fits & word_out(m, task, address + 24, ld64(m, pipe + Q_WRITERS))
    else:
        return bad(m, EINVAL)
    if fits == 0:
        return bad(m, EFAULT)
    return 0


# ---- memory -----------------------------------------------------------------------------------------------------------


def pages_of(m, address, size):
    """Return how many pages some bytes from the beginning of a page need; 0 if a process cannot have them."""
    if (size == 0) or (size > MOST_MAPPED * PAGE) or (address & (PAGE - 1) != 0) or (address >= OPEN_STACK):
        return 0
    pages = (size + PAGE - 1) >> PAGE_SHIFT
    if address + (pages << PAGE_SHIFT) > OPEN_STACK:
        return 0
    return pages


def sys_mmap(m, address, size, rights, flags):
    """Map new memory."""
    task = own_task(m)
    place = address
    if address == 0:
        place = ld64(m, task + K_NEXT_MAP)
    pages = pages_of(m, place, size)
    if pages == 0:
        return bad(m, EINVAL)
    bits = rights_flags(m, rights)
    if flags & MAP_SHARED != 0:
        bits = bits | PTE_SHARED
    if zeros_map(m, task, place, pages, bits) == 0:
        return bad(m, ENOMEM)
    if address == 0:
        st64(m, task + K_NEXT_MAP, place + (pages << PAGE_SHIFT))
    return place


def sys_munmap(m, address, size):
    """Take memory out of the calling process."""
    pages = pages_of(m, address, size)
    if pages == 0:
        return bad(m, EINVAL)
    unmap(m, own_task(m), address, pages)
    return 0


def sys_mprotect(m, address, size, rights):
    """Change what may be done with memory."""
    pages = pages_of(m, address, size)
    if pages == 0:
        return bad(m, EINVAL)
    task = own_task(m)
    if mapped(m, task, address, pages) == 0:
        return bad(m, ENOMEM)
    protect(m, task, address, pages, rights)
    return 0


def sys_shm_open(m, name, name_size, size, rights):
    """Map shared memory of a name."""
    task = own_task(m)
    place = ld64(m, task + K_NEXT_MAP)
    pages = pages_of(m, place, size)
    if (pages == 0) or (pages > MOST_SHARED_PAGES):
        return bad(m, EINVAL)
    if name_take(m, task, name, name_size) == 0:
        return bad(m, EFAULT)
    shared = shared_find(m, pages)
    if shared == 0:
        return bad(m, ENOMEM)
    if shared_map(m, task, shared, place, rights) == 0:
        return bad(m, ENOMEM)
    st64(m, task + K_NEXT_MAP, place + (ld64(m, shared + H_PAGES) << PAGE_SHIFT))
    return place


def sys_process_read(m, number, there, address, size):
    """Read another process's memory."""
    task = task_find(m, number)
    if task == 0:
        return bad(m, ESRCH)
    if (size > MOST_MAPPED * PAGE) or (there >= OPEN_STACK) or (address >= OPEN_STACK):
        return bad(m, EFAULT)
    done = copy_between(m, task, there, own_task(m), address, size, 0)
    if (done == 0) and (size != 0):
        return bad(m, EFAULT)
    return done


def sys_process_write(m, number, there, address, size):
    """Write into another process's memory, whatever its rights say."""
    task = task_find(m, number)
    if task == 0:
        return bad(m, ESRCH)
    if (size > MOST_MAPPED * PAGE) or (there >= OPEN_STACK) or (address >= OPEN_STACK):
        return bad(m, EFAULT)
    done = copy_between(m, own_task(m), address, task, there, size, FORCE)
    if (done == 0) and (size != 0):
        return bad(m, EFAULT)
    return done


# ---- libraries ------------------------------------------------------------------------------------------------------


def sys_dlopen(m, name, size):
    """Load a library into the calling process."""
    task = own_task(m)
    if name_take(m, task, name, size) == 0:
        return bad(m, EFAULT)
    image = image_find(m, IMAGE_LIBRARY)
    if image == 0:
        return bad(m, ENOENT)
    place = task + K_LIBRARIES
    while place < task + K_LIBRARIES + MOST_LIBRARIES * 16:
        if ld64(m, place) == 0:
            break
        place += 16
    base = ld64(m, task + K_NEXT_MAP)
    pages = ld64(m, image + I_PAGES)
    if (place == task + K_LIBRARIES + MOST_LIBRARIES * 16) or (pages_of(m, base, pages << PAGE_SHIFT) == 0):
        return bad(m, ENOMEM)
    if image_map(m, task, image, base) == 0:
        unmap(m, task, base, pages)
        return bad(m, ENOMEM)
    st64(m, place, base)
    st64(m, place + 8, image)
    st64(m, task + K_NEXT_MAP, base + (pages << PAGE_SHIFT))
    return base


def sys_dlsym(m, library, name, size):
    """Return where a function of a loaded library lies."""
    task = own_task(m)
    if name_take(m, task, name, size) == 0:
        return bad(m, EFAULT)
    place = task + K_LIBRARIES
    while place < task + K_LIBRARIES + MOST_LIBRARIES * 16:
        if (ld64(m, place) == library) and (library != 0):
            offset = symbol_find(m, ld64(m, place + 8))
            if offset == 0:
                return bad(m, ENOENT)
            return library + offset - 1  # in the table they count from 1, for 0 says that there is none
        place += 16
    return bad(m, EINVAL)


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
                    fence(m, 1)
                    return 0
                code = OUT_OF_MEMORY
    if cause == CAUSE_ILLEGAL:
        code = ILLEGAL_INSTRUCTION
    st64(m, process + P_FAULT_PC, ld64(m, thread + T_PC))
    st64(m, process + P_FAULT_ADDRESS, address)
    st64(m, process + P_FAULT_CAUSE, cause)
    open_end(m, process, code, 0)
    return 0
