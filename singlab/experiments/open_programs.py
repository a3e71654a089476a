"""What the open processes of :mod:`singlab.experiments.open_and_sealed` are: programs with faults that programs have."""

from __future__ import annotations

from singlab.sing.openprocess import (
    DATA,
    EXEC,
    IOCTL_STATUS,
    READ,
    TEXT,
    WRITE,
    address_of,
    call,
    close,
    dlopen,
    dlsym,
    exit,
    fork,
    helper,
    ioctl,
    load8,
    load64,
    mark,
    mprotect,
    pipe,
    process,
    process_write,
    read,
    sched_yield,
    shm_open,
    store8,
    store32,
    store64,
    u64,
    waitpid,
    write,
)


@helper
def fee(amount: u64) -> u64:
    return amount // 100


@process
def patches_itself() -> u64:
    """Ask for a fee, write two instructions over the function that computes it, ask again."""
    mark(fee(5000))
    mprotect(TEXT, 4096, READ | WRITE | EXEC)
    store32(address_of(fee), 0x00000513)  # li a0, 0
    store32(address_of(fee) + 4, 0x00008067)  # ret
    mprotect(TEXT, 4096, READ | EXEC)
    mark(fee(5000))
    return fee(5000)


@helper
def rate(amount: u64) -> u64:
    return amount // 100


@helper
def new_rate(amount: u64) -> u64:
    return amount // 2


@process
def asks_its_library() -> u64:
    """Load the library of rates anew for each customer, as a program does that runs for months."""
    for _customer in range(2):
        mark(call(dlsym(dlopen("rates"), "rate"), 5000))
        sched_yield()
    return 0


@helper
def brighten(pixels: u64, count: u64) -> u64:
    for i in range(count + 1):  # one too many
        store8(pixels + i, load8(pixels + i) + 10)
    return count


@process
def viewer() -> u64:
    """A picture of 64 bytes, and behind it how much is in the till; a plug-in of somebody else brightens the picture."""
    till: u64 = DATA + 64
    store64(till, 1000)
    call(dlsym(dlopen("brighten"), "brighten"), DATA, 64)
    return load64(till)


@process
def keeps_prices(turns: u64) -> u64:
    """Write a price into eight words that others see: all are the same, but for a moment."""
    board = shm_open("prices", 4096, READ | WRITE)
    for price in range(turns):
        for place in range(8):
            store64(board + 8 * place, price)
    store64(board + 64, 1)
    return turns


@process
def reads_prices() -> u64:
    """Read the first and the last of the prices until the writer is done; return how often the two were not the same."""
    board = shm_open("prices", 4096, READ)
    torn: u64 = 0
    while load64(board + 64) == 0:
        if load64(board) != load64(board + 56):
            torn += 1
    return torn


@process
def bank() -> u64:
    """Pay for each word that comes through a pipe; a customer has the other end, and so has whoever is made after it."""
    orders: u64 = DATA
    pipe(orders)
    customer = fork()
    if customer == 0:
        store64(DATA + 64, 100)
        write(load64(orders + 8), DATA + 64, 8)
        exit(0)
    stranger = fork()
    if stranger == 0:
        store64(DATA + 64, 900)
        write(load64(orders + 8), DATA + 64, 8)
        exit(0)
    close(load64(orders + 8))
    paid: u64 = 0
    while read(load64(orders), DATA + 64, 8) == 8:
        paid += load64(DATA + 64)
    waitpid(customer, 0)
    waitpid(stranger, 0)
    return paid


@process
def victim() -> u64:
    """Count to a limit that stands in its own memory."""
    store64(DATA, 10)
    count: u64 = 0
    while count < load64(DATA):
        count += 1
        sched_yield()
    return count


@process
def debugger(target: u64) -> u64:
    """Write into the memory of another process."""
    sched_yield()
    store64(DATA, 3)
    return process_write(target, DATA, DATA, 8)


@process
def asks_for_status() -> u64:
    """Ask how full a pipe is. The answer was one word when this was written; today it is four."""
    balance: u64 = DATA + 72
    pipe(DATA)
    store64(balance, 1000)
    ioctl(load64(DATA), IOCTL_STATUS, DATA + 64)
    return load64(balance)
