"""System calls of open processes, each as it should be used and as it should not."""

from __future__ import annotations

import pytest
from openprograms import begin, run

from singlab.kernel import layout as at
from singlab.kernel.opencalls import ERRORS, OPEN_CALLS, OPEN_NUMBER
from singlab.sing.openprocess import (
    DATA,
    EBADF,
    ECHILD,
    EFAULT,
    EINVAL,
    EMFILE,
    ENOENT,
    ENOMEM,
    EPIPE,
    ESRCH,
    EXEC,
    IOCTL_STATUS,
    IOCTL_WAITING,
    PRIVATE,
    READ,
    SHARED,
    STACK,
    STATUS_FAULT,
    TEXT,
    WRITE,
    address_of,
    build_library,
    call,
    clock_getres,
    close,
    dlopen,
    dlsym,
    dup2,
    execve,
    exit,
    failed,
    fork,
    getpid,
    getppid,
    helper,
    ioctl,
    kill,
    load8,
    load16,
    load32,
    load64,
    mark,
    mmap,
    mprotect,
    munmap,
    pipe,
    process,
    process_read,
    process_write,
    read,
    sched_yield,
    shm_open,
    socketpair,
    store8,
    store16,
    store32,
    store64,
    text_at,
    u64,
    waitpid,
    write,
)
from singlab.trace.record import Kind

# Each program returns 0, or the number of the check that failed.


@helper
def check(number: u64, found: u64, expected: u64):
    if found != expected:
        print("check", number, "found", found, "expected", expected)
        exit(number)


@helper
def holds(number: u64, found: bool):
    if not found:
        exit(number)


@process
def memory() -> u64:
    check(1, mmap(0, 0, READ, PRIVATE), EINVAL)
    check(2, mmap(5, 4096, READ, PRIVATE), EINVAL)
    check(3, mmap(STACK, 4096, READ, PRIVATE), EINVAL)
    check(4, mmap(0, 1 << 62, READ, PRIVATE), EINVAL)
    check(5, mmap(STACK - 4096, 8192, READ, PRIVATE), EINVAL)
    check(6, mmap(DATA, 4096, READ, PRIVATE), ENOMEM)
    check(7, mmap(0, 3000 * 4096, READ, PRIVATE), ENOMEM)
    a = mmap(0, 5000, READ | WRITE, PRIVATE)
    store64(a + 8184, 77)
    check(8, load64(a + 8184), 77)
    b = mmap(0x8000000, 4096, READ | WRITE, PRIVATE)
    check(9, b, 0x8000000)
    check(10, load64(b), 0)
    check(11, munmap(b, 4096), 0)
    check(12, munmap(b, 4096), 0)
    check(13, munmap(3, 4096), EINVAL)
    check(14, mprotect(b, 4096, READ), ENOMEM)
    check(15, mprotect(a, 8192, READ), 0)
    check(16, load64(a + 8184), 77)
    check(17, mprotect(a, 8192, READ | WRITE), 0)
    store64(a, 5)
    check(18, read(0, a, 8), 0)
    check(19, write(1, 0, 8), EFAULT)
    check(20, write(1, 1 << 63, 8), EFAULT)
    check(21, munmap(1 << 62, 1 << 62), EINVAL)
    check(22, munmap(STACK - 8192, 4096), 0)
    return 0


@process
def widths() -> u64:
    store64(DATA, 0xFFEEDDCCBBAA9988)
    check(1, load8(DATA), 0x88)
    check(2, load16(DATA + 2), 0xBBAA)
    check(3, load32(DATA + 4), 0xFFEEDDCC)
    store8(DATA, 0x1FF)
    store16(DATA + 2, 0x12345)
    store32(DATA + 4, 0x100000001)
    check(4, load64(DATA), 0x00000001234599FF)
    check(5, load64(text_at("abcdefgh")), 0x6867666564636261)
    return 0


@process
def unmapped() -> u64:
    a = mmap(0, 4096, READ | WRITE, PRIVATE)
    store64(a, 1)
    munmap(a, 4096)
    return load64(a)


@process
def locked() -> u64:
    a = mmap(0, 4096, READ | WRITE, PRIVATE)
    store64(a, 1)
    mprotect(a, 4096, 0)
    check(1, write(1, a, 4), EFAULT)
    return load64(a)


@process
def files() -> u64:
    pair: u64 = DATA
    check(1, pipe(3), EFAULT)
    check(2, pipe(0), EFAULT)
    check(3, pipe(TEXT), EFAULT)
    check(4, pipe(pair), 0)
    r = load64(pair)
    w = load64(pair + 8)
    check(5, r, 3)
    check(6, w, 4)
    check(7, write(r, "no"), EBADF)
    check(8, read(w, DATA + 64, 8), EBADF)
    check(9, read(15, DATA, 8), EBADF)
    check(10, read(1 << 40, DATA, 8), EBADF)
    check(11, write(9, "x"), EBADF)
    check(12, write(w, "hello"), 5)
    check(13, read(r, DATA + 64, 3), 3)
    check(14, load8(DATA + 66), 108)
    check(15, ioctl(r, IOCTL_WAITING, DATA + 128), 0)
    check(16, load64(DATA + 128), 2)
    check(17, ioctl(r, IOCTL_STATUS, DATA + 128), 0)
    check(18, load64(DATA + 136), 4094)
    check(19, load64(DATA + 144), 1)
    check(20, ioctl(r, 77, DATA), EINVAL)
    check(21, ioctl(r, IOCTL_WAITING, 0), EFAULT)
    check(22, ioctl(1, IOCTL_STATUS, DATA + 128), 0)
    check(23, load64(DATA + 136), 80)
    check(24, ioctl(12, IOCTL_STATUS, DATA), EBADF)
    check(25, dup2(w, 9), 9)
    check(26, dup2(w, 16), EBADF)
    check(27, dup2(8, 9), EBADF)
    check(28, dup2(9, 9), 9)
    check(29, close(w), 0)
    check(30, close(w), EBADF)
    check(31, write(9, "!"), 1)
    check(32, read(r, 0, 8), EFAULT)
    check(33, read(r, TEXT, 8), EFAULT)
    check(34, read(r, 1 << 63, 8), EFAULT)
    check(35, read(r, DATA + 64, 8), 3)
    check(36, close(9), 0)
    check(37, read(r, DATA + 64, 8), 0)
    check(38, pipe(pair), 0)
    close(load64(pair))
    check(39, write(load64(pair + 8), "x"), EPIPE)
    check(40, write(load64(pair + 8), 0, 0), 0)
    made: u64 = 0
    while not failed(socketpair(pair)):
        made += 1
    check(41, socketpair(pair), EMFILE)
    check(42, made, 5)
    return 0


@process
def sockets() -> u64:
    pair: u64 = DATA
    check(1, socketpair(pair), 0)
    a = load64(pair)
    b = load64(pair + 8)
    big = mmap(0, 32768, READ | WRITE, PRIVATE)
    for i in range(4096):
        store64(big + 8 * i, i)
    check(2, write(a, big, 16384), 16384)
    check(3, write(b, "reply"), 5)
    check(4, read(a, DATA + 64, 100), 5)
    check(5, read(b, DATA + 64, 1), 1)
    check(6, read(b, big + 16384 + 1, 16384), 16383)
    check(7, load64(big + 16384 + 8), 1)
    check(8, load64(big + 32760), 2047)
    check(9, write(b, "x"), 1)
    close(b)
    check(10, read(a, DATA, 5), 1)
    check(11, read(a, DATA, 5), 0)
    check(12, write(a, "x"), EPIPE)
    return 0


@process
def streams(sockets: u64, amount: u64) -> u64:
    """A child writes more than there is room for, in one call; the parent reads it in odd pieces."""
    pair: u64 = DATA
    if sockets == 0:
        pipe(pair)
    else:
        socketpair(pair)
    big = mmap(0, amount, READ | WRITE, PRIVATE)
    child = fork()
    if child == 0:
        close(load64(pair))
        for i in range(amount // 8):
            store64(big + 8 * i, i * 3)
        exit(write(load64(pair + 8), big, amount))
    close(load64(pair + 8))
    got: u64 = 0
    part = read(load64(pair), big, 1000)
    while part != 0 and not failed(part):
        got += part
        part = read(load64(pair), big + got, 1777)
    check(1, part, 0)
    check(2, got, amount)
    for i in range(amount // 8):
        check(3, load64(big + 8 * i), i * 3)
    waitpid(child, DATA + 64)
    check(4, load64(DATA + 64), amount)
    return 0


@process
def reader_first() -> u64:
    """The parent waits in read before anything is written, and learns of the end although the child was killed."""
    pair: u64 = DATA
    pipe(pair)
    child = fork()
    if child == 0:
        close(load64(pair))
        sched_yield()
        write(load64(pair + 8), "ab")
        while True:
            sched_yield()
    close(load64(pair + 8))
    check(1, read(load64(pair), DATA + 64, 8), 2)
    check(2, kill(child), 0)
    check(3, read(load64(pair), DATA + 64, 8), 0)
    check(4, waitpid(child, DATA + 72), child)
    check(5, load64(DATA + 72), STATUS_FAULT)
    check(6, kill(child), ESRCH)
    return 0


@process
def writer_learns() -> u64:
    """A writer that waits for room learns that nobody will read."""
    pair: u64 = DATA
    pipe(pair)
    big = mmap(0, 8192, READ | WRITE, PRIVATE)
    child = fork()
    if child == 0:
        close(load64(pair + 8))
        sched_yield()
        exit(1)
    close(load64(pair))
    check(1, write(load64(pair + 8), big, 8192), 4096)
    check(2, write(load64(pair + 8), big, 1), EPIPE)
    return 0


@process
def bad_buffers() -> u64:
    """Who waits with a bad address gets an error when the bytes come, and nobody else suffers."""
    pair: u64 = DATA
    pipe(pair)
    child = fork()
    if child == 0:
        sched_yield()
        check(1, write(load64(pair + 8), "ab"), 2)
        exit(0)
    check(2, read(load64(pair), 0x5000, 8), EFAULT)
    check(3, read(load64(pair), DATA + 64, 8), 2)
    waitpid(child, 0)
    return 0


@process
def processes() -> u64:
    me = getpid()
    check(1, getppid(), 0)
    check(2, waitpid(0, 0), ECHILD)
    check(3, kill(12345), ESRCH)
    check(4, kill(1), ESRCH)
    check(5, sched_yield(), 0)
    holds(6, clock_getres() > 0)
    child = fork()
    if child == 0:
        check(7, getppid(), me)
        holds(8, getpid() != me)
        exit(9)
    check(10, waitpid(12345, 0), ECHILD)
    check(11, waitpid(child, TEXT), child)
    check(12, waitpid(child, 0), ECHILD)
    child = fork()
    if child == 0:
        kill(getpid())
        exit(1)
    check(13, waitpid(0, DATA), child)
    check(14, load64(DATA), STATUS_FAULT)
    check(15, execve(0, 5, 0, 0, 0, 0), EFAULT)
    check(16, execve("", 0, 0, 0, 0), EFAULT)
    check(17, execve("a name that is much too long for this", 0, 0, 0, 0), EFAULT)
    check(18, execve("nobody", 0, 0, 0, 0), ENOENT)
    check(19, execve("filters", 0, 0, 0, 0), ENOENT)
    mark(4711)
    return 0


@helper
def double(n: u64) -> u64:
    return n * 2


@helper
def bump(address: u64) -> u64:
    store64(address, load64(address) + 1)
    return double(load64(address))


@process
def loader() -> u64:
    check(1, dlopen("nobody"), ENOENT)
    check(2, dlopen("loader"), ENOENT)
    check(3, dlopen(0, 4), EFAULT)
    library = dlopen("filters")
    holds(4, not failed(library))
    check(5, dlsym(library, "nothing"), ENOENT)
    check(6, dlsym(library + 1, "double"), EINVAL)
    check(7, dlsym(0, "double"), EINVAL)
    check(8, dlsym(library, 0, 3), EFAULT)
    f = dlsym(library, "double")
    check(9, f, library)
    check(10, call(f, 21), 42)
    store64(DATA, 4)
    check(11, call(dlsym(library, "bump"), DATA), 10)
    check(12, load64(DATA), 5)
    check(13, call(address_of(double), 8), 16)
    other = dlopen("filters")
    holds(14, other != library)
    child = fork()
    if child == 0:
        exit(call(dlsym(other, "double"), 100))
    waitpid(child, DATA)
    check(15, load64(DATA), 200)
    loaded: u64 = 2
    while not failed(dlopen("filters")):
        loaded += 1
    check(16, loaded, 8)
    return 0


@process
def sharing() -> u64:
    check(1, shm_open("board", 0, READ | WRITE), EINVAL)
    check(2, shm_open("board", 65 * 4096, READ | WRITE), EINVAL)
    check(3, shm_open("", 4096, READ | WRITE), EFAULT)
    board = shm_open("board", 8192, READ | WRITE)
    mine = mmap(0, 4096, READ | WRITE, PRIVATE)
    ours = mmap(0, 4096, READ | WRITE, SHARED)
    child = fork()
    if child == 0:
        again = shm_open("board", 4096, READ)
        holds(4, again != board)
        store64(board, 1)
        store64(mine, 1)
        store64(ours, 1)
        check(5, load64(again), 1)
        exit(execve("stranger", 0, 0, 0, 0))
    waitpid(child, DATA)
    check(6, load64(DATA), 0)
    check(7, load64(board), 1)
    check(8, load64(mine), 0)
    check(9, load64(ours), 1)
    check(10, load64(board + 4096), 17)
    return 0


@process
def stranger() -> u64:
    board = shm_open("board", 4096, READ | WRITE)
    store64(board + 4096, 17)
    return 0


@process
def debugger() -> u64:
    store64(DATA, 1)
    child = fork()
    if child == 0:
        while load64(DATA) == 1:
            sched_yield()
        exit(load64(DATA))
    store64(DATA + 64, 42)
    check(1, process_write(child, DATA, DATA + 64, 8), 8)
    check(2, load64(DATA), 1)
    check(3, process_read(child, DATA, DATA + 72, 8), 8)
    check(4, load64(DATA + 72), 42)
    check(5, process_write(child, 0, DATA, 8), EFAULT)
    check(6, process_write(child, DATA, 0, 8), EFAULT)
    check(7, process_write(999, DATA, DATA, 8), ESRCH)
    check(8, process_read(child, 1 << 63, DATA, 8), EFAULT)
    check(9, process_read(child, DATA, DATA, 1 << 63), EFAULT)
    check(10, process_read(child, DATA, TEXT, 8), EFAULT)
    check(11, process_read(1, DATA, DATA, 8), ESRCH)
    check(12, waitpid(child, DATA + 80), child)
    check(13, load64(DATA + 80), 42)
    check(14, process_read(child, DATA, DATA + 72, 8), ESRCH)
    return 0


@helper
def answer() -> u64:
    return 1


@process
def patcher() -> u64:
    """A debugger writes into the code of another process: the other one's copy, and nobody else's."""
    child = fork()
    if child == 0:
        sched_yield()
        while answer() == 1:
            sched_yield()
        exit(answer())
    place = address_of(answer)
    check(1, answer(), 1)
    # li a0, 7; ret
    store32(DATA, 0x00700513)
    store32(DATA + 4, 0x00008067)
    sched_yield()
    sched_yield()
    check(2, process_write(child, place, DATA, 8), 8)
    waitpid(child, DATA + 8)
    check(3, load64(DATA + 8), 7)
    check(4, answer(), 1)
    return 0


@process
def compiler() -> u64:
    """Code made at run time; and a program that changes its own."""
    code = mmap(0, 4096, READ | WRITE, PRIVATE)
    store32(code, 0x00150513)  # addi a0, a0, 1
    store32(code + 4, 0x00008067)  # ret
    check(1, mprotect(code, 4096, READ | EXEC), 0)
    check(2, call(code, 4), 5)
    check(3, mprotect(code, 4096, READ | WRITE), 0)
    store32(code, 0x00250513)
    check(4, mprotect(code, 4096, READ | EXEC), 0)
    check(5, call(code, 4), 6)
    check(6, answer(), 1)
    check(7, mprotect(TEXT, 4096, READ | WRITE | EXEC), 0)
    store32(address_of(answer), 0x00900513)
    store32(address_of(answer) + 4, 0x00008067)
    check(8, mprotect(TEXT, 4096, READ | EXEC), 0)
    check(9, answer(), 9)
    return 0


@process
def bomb() -> u64:
    """Forks until there is no memory left, and holds what it has got."""
    made: u64 = 0
    while True:
        child = fork()
        if failed(child):
            check(1, child, ENOMEM)
            return made
        if child == 0:
            made = 0
            mmap(0, 40 * 4096, READ | WRITE, PRIVATE)
            pipe(DATA)
            read(load64(DATA), DATA, 8)
        made += 1
        sched_yield()


@process
def redirect() -> u64:
    pair: u64 = DATA
    pipe(pair)
    dup2(load64(pair + 8), 1)
    print("into the pipe")
    return read(load64(pair), DATA + 64, 100)


FILTERS = build_library("filters", double, bump)
CALLS = [memory, widths, files, sockets, reader_first, writer_learns, bad_buffers, processes, debugger, patcher, compiler]


@pytest.mark.parametrize("program", CALLS, ids=lambda program: program.name)
def test_calls(program):
    _, first = run(program, FILTERS)
    assert first.exit_value == 0, first.console + str(first)


@pytest.mark.parametrize("fork", ["on write", "at once"])
def test_libraries_and_shared_memory(fork):
    for program in (loader, sharing, debugger, patcher):
        system, first = run(program, FILTERS, stranger, fork=fork)
        assert first.exit_value == 0, first.console + str(first)
    assert system.shared_memory.empty


@pytest.mark.parametrize("sockets, amount", [(0, 8), (0, 4096), (0, 20_000), (1, 8), (1, 20_000)])
def test_streams_come_whole_and_in_order(sockets, amount):
    _, first = run(streams, sockets=sockets, amount=amount)
    assert first.exit_value == 0, first.console + str(first)


@pytest.mark.parametrize("program", [unmapped, locked], ids=lambda program: program.name)
def test_memory_that_is_not_there_any_more(program):
    _, first = run(program)
    assert first.end.state == "fault" and "tried to read" in str(first.fault)


def test_no_memory_is_an_error():
    system, first = begin(bomb, ram="2M")
    assert system.run().outcome == "deadlock"
    assert first.exit_value and first.exit_value > 1
    for one in system.processes:
        one.stop()
    assert not system.page_tags()[system.machine.load_u64(at.G_USER_FIRST) :].any()


def test_output_goes_where_file_1_leads():
    _, first = run(redirect)
    assert first.exit_value == len("into the pipe\n") and first.console == ""


def test_marks_reach_the_trace():
    system, _ = run(processes, FILTERS)
    events = system.trace.events
    assert 4711 in events["a"][events["kind"] == Kind.MARK]


def test_the_table_is_in_order():
    assert [c.number for c in OPEN_CALLS] == list(range(len(OPEN_CALLS)))
    assert len(OPEN_NUMBER) == len(OPEN_CALLS)
    assert all(len(c.arguments) <= 6 and c.doc for c in OPEN_CALLS)
    assert len(ERRORS) == 12
