"""Pipes and sockets of open processes: bytes are copied into the kernel and out of it again.

A pipe has a page of buffer. What is written to one side of a socket pair travels as packets, each with a record and,
if it is large, a page of its own, as it would through a network's layers. Who finds nothing to read, or no room,
waits in the pipe's queue; who changes that moves the waiting one's bytes and wakes it.

Leaves out file systems, atomic writes, and layers of protocols above the packets.
"""

from singlab.kernel.core.pages import pages_alloc, pages_free
from singlab.kernel.core.records import record_free, record_new
from singlab.kernel.core.scheduler import queue_remove, thread_wake
from singlab.kernel.core.spaces import copy_in, copy_out
from singlab.kernel.core.words import ld64, st64
from singlab.kernel.layout import (
    F_IN,
    F_KIND,
    F_MAGIC,
    F_OUT,
    F_REFS,
    FILE_BYTES,
    FILE_STREAM,
    G_FREE_FILES,
    G_FREE_PACKETS,
    G_FREE_PIPES,
    MAGIC_FILE,
    MAGIC_PIPE,
    P_TASK,
    PACKET_BYTES,
    PACKET_ROOM,
    PAGE,
    PIPE_BYTES,
    PK_COUNT,
    PK_DATA,
    PK_NEXT,
    PK_PAGE,
    PK_START,
    Q_COUNT,
    Q_HEAD,
    Q_LAST_PACKET,
    Q_MAGIC,
    Q_PACKETS,
    Q_PAGE,
    Q_READ_FIRST,
    Q_READERS,
    Q_WRITE_FIRST,
    Q_WRITERS,
    SOCKET_ROOM,
    T_A0,
    T_AWAITS,
    T_BUFFER,
    T_DONE,
    T_LEFT,
    T_PROCESS,
    TAG_KERNEL_SYSTEM,
    ZONE_KERNEL,
)

NO_READER = (1 << 64) - 32
BAD_ADDRESS = (1 << 64) - 14


def pipe_new(m, buffered):
    """Return a new pipe without files, with a buffer or for packets; 0 = no memory."""
    pipe = record_new(m, G_FREE_PIPES, PIPE_BYTES, ZONE_KERNEL, TAG_KERNEL_SYSTEM)
    if pipe == 0:
        return 0
    if buffered != 0:
        page = pages_alloc(m, ZONE_KERNEL, 1, TAG_KERNEL_SYSTEM)
        if page == 0:
            record_free(m, G_FREE_PIPES, pipe)
            return 0
        st64(m, pipe + Q_PAGE, page)
    st64(m, pipe + Q_MAGIC, MAGIC_PIPE)
    return pipe


def packet_free(m, packet):
    """Give a packet back."""
    page = ld64(m, packet + PK_PAGE)
    if page != 0:
        pages_free(m, page, 1)
    record_free(m, G_FREE_PACKETS, packet)
    return 0


def pipe_free(m, pipe):
    """Give a pipe back, and what nobody has read."""
    packet = ld64(m, pipe + Q_PACKETS)
    while packet != 0:
        following = ld64(m, packet + PK_NEXT)
        packet_free(m, packet)
        packet = following
    page = ld64(m, pipe + Q_PAGE)
    if page != 0:
        pages_free(m, page, 1)
    st64(m, pipe + Q_MAGIC, 0)
    record_free(m, G_FREE_PIPES, pipe)
    return 0


# ---- bytes --------------------------------------------------------------------------------------------------------


def pipe_room(m, pipe):
    """Return how many bytes there is room for."""
    if ld64(m, pipe + Q_PAGE) != 0:
        return PAGE - ld64(m, pipe + Q_COUNT)
    return SOCKET_ROOM - ld64(m, pipe + Q_COUNT)


def buffer_put(m, pipe, task, address, size):
    """Copy bytes of a task into a pipe's buffer, as far as there is room; returns how many."""
    done = 0
    while done < size:
        count = ld64(m, pipe + Q_COUNT)
        if count == PAGE:
            return done
        at = (ld64(m, pipe + Q_HEAD) + count) & (PAGE - 1)
        part = PAGE - at
        if PAGE - count < part:
            part = PAGE - count
        if size - done < part:
            part = size - done
        got = copy_in(m, task, address + done, ld64(m, pipe + Q_PAGE) + at, part)
        st64(m, pipe + Q_COUNT, count + got)
        done += got
        if got != part:
            return done
    return done


def buffer_get(m, pipe, task, address, size):
    """Copy bytes out of a pipe's buffer into a task's memory; returns how many."""
    done = 0
    while done < size:
        count = ld64(m, pipe + Q_COUNT)
        if count == 0:
            return done
        head = ld64(m, pipe + Q_HEAD)
        part = PAGE - head
        if count < part:
            part = count
        if size - done < part:
            part = size - done
        got = copy_out(m, task, address + done, ld64(m, pipe + Q_PAGE) + head, part)
        st64(m, pipe + Q_HEAD, (head + got) & (PAGE - 1))
        st64(m, pipe + Q_COUNT, count - got)
        done += got
        if got != part:
            return done
    return done


def packet_put(m, pipe, task, address, size):
    """Send bytes of a task as one packet; returns how many it took."""
    packet = record_new(m, G_FREE_PACKETS, PACKET_BYTES, ZONE_KERNEL, TAG_KERNEL_SYSTEM)
    if packet == 0:
        return 0
    data = packet + PK_DATA
    if size > PACKET_ROOM:
        data = pages_alloc(m, ZONE_KERNEL, 1, TAG_KERNEL_SYSTEM)
        if data == 0:
            record_free(m, G_FREE_PACKETS, packet)
            return 0
        st64(m, packet + PK_PAGE, data)
        if size > PAGE:
            size = PAGE
    got = copy_in(m, task, address, data, size)
    if got == 0:
        packet_free(m, packet)
        return 0
    st64(m, packet + PK_COUNT, got)
    last = ld64(m, pipe + Q_LAST_PACKET)
    if last == 0:
        st64(m, pipe + Q_PACKETS, packet)
    else:
        st64(m, last + PK_NEXT, packet)
    st64(m, pipe + Q_LAST_PACKET, packet)
    st64(m, pipe + Q_COUNT, ld64(m, pipe + Q_COUNT) + got)
    return got


def packets_put(m, pipe, task, address, size):
    """Send bytes of a task as packets, as far as there is room; returns how many."""
    done = 0
    while done < size:
        part = size - done
        room = SOCKET_ROOM - ld64(m, pipe + Q_COUNT)
        if room < part:
            part = room
        if part == 0:
            return done
        got = packet_put(m, pipe, task, address + done, part)
        if got == 0:
            return done
        done += got
    return done


def packets_get(m, pipe, task, address, size):
    """Copy the oldest packets' bytes into a task's memory; returns how many."""
    done = 0
    while done < size:
        packet = ld64(m, pipe + Q_PACKETS)
        if packet == 0:
            return done
        count = ld64(m, packet + PK_COUNT)
        part = count
        if size - done < part:
            part = size - done
        data = ld64(m, packet + PK_PAGE)
        if data == 0:
            data = packet + PK_DATA
        start = ld64(m, packet + PK_START)
        got = copy_out(m, task, address + done, data + start, part)
        st64(m, pipe + Q_COUNT, ld64(m, pipe + Q_COUNT) - got)
        st64(m, packet + PK_START, start + got)
        st64(m, packet + PK_COUNT, count - got)
        done += got
        if got == count:
            following = ld64(m, packet + PK_NEXT)
            st64(m, pipe + Q_PACKETS, following)
            if following == 0:
                st64(m, pipe + Q_LAST_PACKET, 0)
            packet_free(m, packet)
        if got != part:
            return done
    return done


def pipe_put(m, pipe, task, address, size):
    """Copy bytes of a task into a pipe or socket, as far as there is room; returns how many."""
    if ld64(m, pipe + Q_PAGE) != 0:
        return buffer_put(m, pipe, task, address, size)
    return packets_put(m, pipe, task, address, size)


def pipe_get(m, pipe, task, address, size):
    """Copy bytes out of a pipe or socket into a task's memory; returns how many."""
    if ld64(m, pipe + Q_PAGE) != 0:
        return buffer_get(m, pipe, task, address, size)
    return packets_get(m, pipe, task, address, size)


# ---- waiting --------------------------------------------------------------------------------------------------------


def wait_over(m, queue, thread, result):
    """Let a thread that waited go on with the result of its call."""
    queue_remove(m, queue, thread)
    st64(m, thread + T_AWAITS, 0)
    st64(m, thread + T_A0, result)
    thread_wake(m, thread, 0)
    return 0


def reader_serve(m, pipe):
    """Let the first reader that waits have what there is; returns whether one went on."""
    thread = ld64(m, pipe + Q_READ_FIRST)
    if thread == 0:
        return 0
    result = 0
    if ld64(m, pipe + Q_COUNT) != 0:
        result = pipe_get(m, pipe, ld64(m, ld64(m, thread + T_PROCESS) + P_TASK), ld64(m, thread + T_BUFFER), ld64(m, thread + T_LEFT))
        if result == 0:
            result = BAD_ADDRESS
    elif ld64(m, pipe + Q_WRITERS) != 0:
        return 0
    wait_over(m, pipe + Q_READ_FIRST, thread, result)
    return 1


def writer_serve(m, pipe):
    """Let the first writer that waits put in what there is room for; returns whether it got further."""
    thread = ld64(m, pipe + Q_WRITE_FIRST)
    if thread == 0:
        return 0
    done = ld64(m, thread + T_DONE)
    if ld64(m, pipe + Q_READERS) == 0:
        if done == 0:
            done = NO_READER
        wait_over(m, pipe + Q_WRITE_FIRST, thread, done)
        return 1
    if pipe_room(m, pipe) == 0:
        return 0
    left = ld64(m, thread + T_LEFT)
    put = pipe_put(m, pipe, ld64(m, ld64(m, thread + T_PROCESS) + P_TASK), ld64(m, thread + T_BUFFER), left)
    st64(m, thread + T_BUFFER, ld64(m, thread + T_BUFFER) + put)
    st64(m, thread + T_LEFT, left - put)
    st64(m, thread + T_DONE, done + put)
    if (put == left) or (put == 0):
        wait_over(m, pipe + Q_WRITE_FIRST, thread, done + put)
    return 1


def pipe_serve(m, pipe):
    """Let those that wait at a pipe go on as far as they can."""
    more = 1
    while more != 0:
        more = reader_serve(m, pipe) | writer_serve(m, pipe)
    return 0


# ---- files ------------------------------------------------------------------------------------------------------------


def file_new(m, kind, reads, writes):
    """Return a new open file that reads from one pipe and writes to another, 0 = neither; 0 if there is no memory."""
    file = record_new(m, G_FREE_FILES, FILE_BYTES, ZONE_KERNEL, TAG_KERNEL_SYSTEM)
    if file == 0:
        return 0
    st64(m, file + F_MAGIC, MAGIC_FILE)
    st64(m, file + F_KIND, kind)
    st64(m, file + F_REFS, 1)
    st64(m, file + F_IN, reads)
    st64(m, file + F_OUT, writes)
    if reads != 0:
        st64(m, reads + Q_READERS, ld64(m, reads + Q_READERS) + 1)
    if writes != 0:
        st64(m, writes + Q_WRITERS, ld64(m, writes + Q_WRITERS) + 1)
    return file


def pipe_leave(m, pipe, field):
    """One file less reads from a pipe, or writes to it; it goes with the last."""
    if pipe == 0:
        return 0
    st64(m, pipe + field, ld64(m, pipe + field) - 1)
    if ld64(m, pipe + Q_READERS) + ld64(m, pipe + Q_WRITERS) == 0:
        pipe_free(m, pipe)
    else:
        pipe_serve(m, pipe)
    return 0


def file_drop(m, file):
    """One file number less means this file; it closes with the last."""
    refs = ld64(m, file + F_REFS) - 1
    st64(m, file + F_REFS, refs)
    if refs == 0:
        pipe_leave(m, ld64(m, file + F_IN), Q_READERS)
        pipe_leave(m, ld64(m, file + F_OUT), Q_WRITERS)
        st64(m, file + F_MAGIC, 0)
        record_free(m, G_FREE_FILES, file)
    return 0


def files_pair(m, place, buffered):
    """Make two files that read what the other writes, a pipe's one way only; puts them at a place, returns whether it could."""
    one = pipe_new(m, buffered)
    other = 0
    if buffered == 0:
        other = pipe_new(m, 0)
        if (other == 0) and (one != 0):
            pipe_free(m, one)
            one = 0
    if one == 0:
        if other != 0:
            pipe_free(m, other)
        return 0
    first = file_new(m, FILE_STREAM, one, other)
    second = file_new(m, FILE_STREAM, other, one)
    if (first != 0) and (second != 0):
        st64(m, place, first)
        st64(m, place + 8, second)
        return 1
    # whichever there is takes the pipes with it
    if first != 0:
        file_drop(m, first)
    elif second != 0:
        file_drop(m, second)
    else:
        pipe_free(m, one)
        if other != 0:
            pipe_free(m, other)
    return 0
