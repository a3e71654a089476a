"""Files of open processes: the system calls that read, write, make and name them.

What a call does with a file depends on what the file is; ``ioctl`` does whatever the file makes of a request.
"""

from singlab.kernel.core.pipes import file_drop, files_pair, pipe_get, pipe_put, pipe_room, pipe_serve
from singlab.kernel.core.scheduler import queue_put, schedule
from singlab.kernel.core.spaces import copy_in, word_out
from singlab.kernel.core.tasks import bad, open_block, own_task
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    F_IN,
    F_KIND,
    F_OUT,
    F_REFS,
    FILE_CONSOLE,
    G_CONSOLE,
    G_CURRENT,
    G_PAIR,
    G_PRINT_ADDRESS,
    G_PRINT_BYTES,
    K_FILES,
    MOST_FILES,
    OPEN_STACK,
    PAGE,
    Q_COUNT,
    Q_READ_FIRST,
    Q_READERS,
    Q_WRITE_FIRST,
    Q_WRITERS,
    T_A0,
    T_AWAITS,
    T_BUFFER,
    T_DONE,
    T_ID,
    T_LEFT,
)
from singlab.kernel.opencalls import EBADF, EFAULT, EINVAL, EMFILE, ENOMEM, EPIPE, IOCTL_STATUS, IOCTL_WAITING

PRINT = 25
ROWS = 25
COLUMNS = 80


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
        queue_put(m, pipe + Q_READ_FIRST, thread)
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
    queue_put(m, pipe + Q_WRITE_FIRST, thread)
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
