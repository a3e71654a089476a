"""Arguments to try a closed API with: legal ones, and those a hostile program would pass.

A hostile argument has one thing wrong with it and everything else right, so that each check a kernel forgets is found out by
itself: a foreign handle is current and of the right kind, a forged slot says all that a true one says.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from singlab.grading import closedapi as api
from singlab.grading.closedapi import DATA, LAYOUT, Tables, endpoint, memory, piece, process, slot

L = LAYOUT
_TOP = 1 << 64
_PROCESSES = range(api.PROCESS_COUNT)

#: What may be wrong with an argument, and what to look at.
WORDS = {
    "wild": ("a word that is no address of the table", "any 64-bit word may be passed; compare it with HANDLES and HANDLES_END before you load from it"),
    "beside": ("the address of something that only looks like a slot and lies outside the table",
               "what lies beside the table may hold anything; both ends must be compared"),
    "end": ("the address at which the table ends", "the last slot begins at HANDLES_END - SLOT_BYTES; HANDLES_END itself is outside"),
    "forged": ("the address of a slot forged in the caller's own memory", "a program can write what it likes there, kind, owner and all; only the table counts"),
    "misaligned": ("an address in the middle of a slot", "S_SIZE and S_NOTE hold what a program chose, and read as a slot they may look right; "
                   "the distance from HANDLES must be a multiple of SLOT_BYTES"),
    "stale": ("a stale handle: its slot has been given back since, and used again",
              "the high half must be what S_USES says now; after a block has been released or sent away, S_USES must have grown"),
    "uses": ("a handle with junk in its high half", "compare all of the high half with S_USES"),
    "free": ("a handle of a slot that is free", "S_KIND says whether a slot is in use; what else it holds is left over"),
    "foreign": ("another process's handle", "S_OWNER must be the caller: that a handle is right does not make it the caller's"),
    "kind": ("a handle of the wrong kind", "S_KIND must be the kind that is asked for"),
    "empty": ("size 0", "a block has at least one byte"),
    "size": ("a size larger than BLOCK_BYTES", "sizes are unsigned: negative ones are huge, and one comparison finds both"),
    "quota": ("an allocation beyond P_MOST", "a process that holds P_MOST blocks gets no more, or it takes everybody's"),
    "none": ("an allocation when no slot is free", "G_FREE is 0 then, and 0 is the address of no slot"),
    "message": ("a message number that the contract does not have", "numbers go from 0 to MESSAGES - 1"),
    "closed": ("a send to an endpoint that is closed", "look at E_CLOSED of the peer"),
    "full": ("a send into a queue that is full", "the peer's E_COUNT says how many messages wait, its E_SLOTS how many may"),
    "wrap": ("a length so large that address + length wraps around to a small number",
             "address + length has 64 bits and no more; compare length with P_END - address instead, once address is known to be inside"),
    "past the end": ("a text that ends one byte behind the caller's memory", "the last byte of a text is at address + length - 1, and must be below P_END"),
    "length": ("a text that goes on behind the caller's memory", "the whole text must be the caller's, not only its first byte"),
    "address": ("an address outside the caller's memory", "it must be at least P_FIRST, and at most P_END; what is printed would tell others' secrets"),
    "console": ("a text for which the console has no room", "it has CONSOLE_BYTES in all, and G_PRINTED of them are used"),
}  # fmt: skip
HANDLE_FAULTS = ("wild", "beside", "end", "forged", "misaligned", "stale", "uses", "free", "foreign", "kind")


def draw(seed: int) -> Tables:
    """Return tables with processes, blocks, endpoints, and what looks like them."""
    rng = random.Random(seed)
    tables = Tables()
    for offset in range(0, api.WORDS * 8, 8):
        tables.put(DATA + offset, rng.getrandbits(64))
    for number in _PROCESSES:
        record = process(number)
        for offset, value in ((0, number + 1), (L["P_FIRST"], memory(number)), (L["P_END"], memory(number) + api.MEMORY_BYTES - 8 * rng.randrange(3))):
            tables.put(record + offset, value)
    numbers = rng.sample(range(api.HANDLE_COUNT), api.HANDLE_COUNT)
    for number in numbers:
        _slot(tables, slot(number), 0, process(rng.choice(_PROCESSES)), rng.randrange(2, 9), piece(number), rng)
    _endpoints(tables, numbers, rng)
    blocks = [numbers.pop() for _ in range(12)]
    for turn, number in enumerate(blocks):
        tables.put(slot(number) + L["S_KIND"], L["BLOCK"])
        tables.put(slot(number) + L["S_OWNER"], process(turn % api.PROCESS_COUNT))
        tables.put(slot(number) + L["S_NEXT"], rng.choice((0, slot(rng.choice(numbers)))))
    _free_list(tables, numbers)
    _queues(tables, rng)
    for number in _PROCESSES:
        held = sum(tables.get(s + L["S_OWNER"]) == process(number) for s in tables.slots(L["BLOCK"]))
        tables.put(process(number) + L["P_HELD"], held)
        tables.put(process(number) + L["P_MOST"], held + rng.choice((0, 2, 3, 3)) if seed % 2 else held + 4)
        _slot(tables, memory(number) + 64 * rng.randrange(1, 6), L["BLOCK"], process(number), 1, piece(rng.randrange(api.HANDLE_COUNT)), rng)
    for number in (-4, -3, -2, -1, 0, 1, 2, 3):
        start = slot(0) if number < 0 else L["HANDLES_END"]
        _slot(tables, start + number * 64, L["BLOCK"], process(number % api.PROCESS_COUNT), 1, piece(rng.randrange(api.HANDLE_COUNT)), rng)
    tables.put(L["G_PRINTED"], rng.choice((0, 100, 200)))
    return tables


def _slot(tables: Tables, at: int, kind: int, owner: int, uses: int, memory_at: int, rng: random.Random) -> None:
    """Write a slot whose second half, read as a slot, is one of the same owner."""
    for name, value in (("S_KIND", kind), ("S_OWNER", owner), ("S_USES", uses), ("S_OBJECT", memory_at), ("S_NEXT", 0),
                        ("S_SIZE", rng.choice((1, 1, 2, 24, 128))), ("S_NOTE", owner)):  # fmt: skip
        tables.put(at + L[name], value)
    tables.put(at + L["S_NOTE"] + 8, rng.randrange(1, 9))


def _endpoints(tables: Tables, numbers: list[int], rng: random.Random) -> None:
    """Make four channels, one of them half closed; takes the endpoints' slots off ``numbers``."""
    for number in range(api.ENDPOINT_COUNT):
        record, closed = endpoint(number), number == api.ENDPOINT_COUNT - 1
        owner = process(number // 2 if number % 2 == 0 else (number // 2 + 1) % api.PROCESS_COUNT)
        size = rng.randrange(1, 5)
        for name, value in (("E_PEER", endpoint(number ^ 1)), ("E_OWNER", owner), ("E_CLOSED", closed), ("E_HEAD", rng.randrange(size)),
                            ("E_COUNT", 0), ("E_SLOTS", size)):  # fmt: skip
            tables.put(record + L[name], value)
        if not closed:
            at = slot(numbers.pop())
            for name, value in (("S_KIND", L["ENDPOINT"]), ("S_OWNER", owner), ("S_OBJECT", record)):
                tables.put(at + L[name], value)


def _free_list(tables: Tables, numbers: list[int]) -> None:
    following = 0
    for number in numbers:
        tables.put(slot(number) + L["S_NEXT"], following)
        following = slot(number)
    tables.put(L["G_FREE"], following)


def _queues(tables: Tables, rng: random.Random) -> None:
    """Put messages into queues; a block in one is its receiver's already."""
    for number in range(api.ENDPOINT_COUNT):
        record = endpoint(number)
        size, head = tables.get(record + L["E_SLOTS"]), tables.get(record + L["E_HEAD"])
        count = rng.choice((0, 0, size, rng.randrange(size + 1)))
        mine = [s for s in tables.slots(L["BLOCK"]) if tables.get(s + L["S_OWNER"]) == tables.get(record + L["E_OWNER"])]
        for turn in range(count):
            place = record + L["E_QUEUE"] + (head + turn) % size * L["MESSAGE_BYTES"]
            tables.put(place, rng.randrange(L["MESSAGES"]))
            tables.put(place + 8, tables.handle(rng.choice(mine)) if mine and rng.random() < 0.5 else 0)
        tables.put(record + L["E_COUNT"], count)


# ---- handles --------------------------------------------------------------------------------------------------------


def handles(tables: Tables, caller: int, kind: int, fault: str, rng: random.Random) -> Iterator[int]:
    """Give handles that have one fault, or none if it is empty."""
    used = tables.slots(L["BLOCK"]) + tables.slots(L["ENDPOINT"])
    mine = [s for s in used if tables.get(s + L["S_OWNER"]) == caller and tables.get(s) == kind]
    near = [slot(n) for n in (-4, -3, -2, -1, *range(api.HANDLE_COUNT, api.HANDLE_COUNT + 4))]
    if fault == "":
        yield from map(tables.handle, mine)
    elif fault == "wild":
        words = (0, 1, 7, 64, _TOP - 1, _TOP - 64, 1 << 63, (1 << 63) + slot(0) % 64, 0x1234_5678_0000_0000, 1 << 31, L["G_FREE"] - 64)
        yield from words
        yield from (rng.getrandbits(64) | 1 << 31 for _ in range(4))
    elif fault == "beside":
        yield from (1 << 32 | at for at in near if at != L["HANDLES_END"] and tables.get(at + L["S_OWNER"]) == caller)
        yield from (at + (1 << 32) for at in (process(0), endpoint(0), piece(3), L["CONSOLE"]))
    elif fault == "end":
        tables.put(L["HANDLES_END"] + L["S_OWNER"], caller)
        tables.put(L["HANDLES_END"] + L["S_KIND"], kind)
        yield 1 << 32 | L["HANDLES_END"]
    elif fault == "forged":
        own = memory((caller - process(0)) // 64)
        for at in range(own, own + api.MEMORY_BYTES, 64):
            if tables.get(at + L["S_OWNER"]) == caller:
                tables.put(at, kind)
                yield 1 << 32 | at
    elif fault == "misaligned":
        for at in (slot(n) + L["S_SIZE"] for n in range(api.HANDLE_COUNT - 1)):
            if tables.get(at) == kind and tables.get(at + L["S_OWNER"]) == caller:
                yield tables.get(at + L["S_USES"]) << 32 | at
        yield from (tables.handle(s) + step for s in mine for step in (1, 8, 32))
    elif fault == "stale":
        yield from (tables.handle(s) - (rng.randrange(1, tables.get(s + L["S_USES"])) << 32) for s in mine if tables.get(s + L["S_USES"]) > 1)
    elif fault == "uses":
        yield from (tables.handle(s) + (1 << 32 + shift) & _TOP - 1 for s in mine for shift in (0, 4, 8, 16, 31))
    elif fault == "free":
        yield from (tables.handle(s) for s in tables.slots(0) if tables.get(s + L["S_OWNER"]) == caller)
    elif fault == "foreign":
        yield from (tables.handle(s) for s in used if tables.get(s) == kind and tables.get(s + L["S_OWNER"]) != caller)
    elif fault == "kind":
        yield from (tables.handle(s) for s in used if tables.get(s) != kind and tables.get(s + L["S_OWNER"]) == caller)


# ---- calls ----------------------------------------------------------------------------------------------------------


def calls(tables: Tables, name: str, fault: str, rng: random.Random) -> Iterator[tuple[int, ...]]:
    """Give a call's arguments that have a fault, or none if it is empty; the tables may be changed to make it possible."""
    for caller in map(process, rng.sample(_PROCESSES, api.PROCESS_COUNT)):
        yield from ((caller, *rest) for rest in _CALLS[name](tables, caller, fault, rng))


def _lookup(tables, caller, fault, rng):
    for kind in (L["BLOCK"], L["ENDPOINT"]):
        yield from ((handle, kind) for handle in handles(tables, caller, kind, fault, rng))


def _allocate(tables, caller, fault, rng):
    if fault in ("empty", "size"):
        sizes = (0,) if fault == "empty" else (L["BLOCK_BYTES"] + 1, 4096, 1 << 32, 1 << 63, _TOP - 1, _TOP - 64)
        yield from ((size,) for size in sizes)
        return
    if fault == "quota":
        tables.put(caller + L["P_MOST"], tables.get(caller + L["P_HELD"]))
    else:
        tables.put(caller + L["P_MOST"], tables.get(caller + L["P_HELD"]) + 3)
    if fault == "none":
        tables.put(L["G_FREE"], 0)
    yield from ((size,) for size in (1, 24, L["BLOCK_BYTES"]))


def _release(tables, caller, fault, rng):
    yield from ((handle,) for handle in handles(tables, caller, L["BLOCK"], fault, rng))


def _send(tables, caller, fault, rng):
    about_block = fault.startswith("block ")
    blocks = list(handles(tables, caller, L["BLOCK"], fault.removeprefix("block ") if about_block else "", rng))
    block = lambda: rng.choice([0, *blocks] if not about_block else blocks)  # noqa: E731
    if about_block and not blocks:
        return
    for handle in handles(tables, caller, L["ENDPOINT"], fault if fault in HANDLE_FAULTS else "", rng):
        if fault in HANDLE_FAULTS:
            yield handle, rng.randrange(L["MESSAGES"]), block()
            continue
        peer = tables.get(tables.get((handle & (1 << 32) - 1) + L["S_OBJECT"]) + L["E_PEER"])
        size = tables.get(peer + L["E_SLOTS"])
        tables.put(peer + L["E_COUNT"], size if fault == "full" else rng.randrange(size))
        if bool(tables.get(peer + L["E_CLOSED"])) != (fault == "closed"):
            continue
        numbers = (L["MESSAGES"], L["MESSAGES"] + 1, 255, 1 << 32, _TOP - 1) if fault == "message" else rng.sample(range(L["MESSAGES"]), 3)
        for number in numbers:
            yield handle, number, blocks[0] if fault in ("message", "full", "closed") and blocks else block()
        for one in blocks if about_block else ():
            yield handle, rng.randrange(L["MESSAGES"]), one


def _print_text(tables, caller, fault, rng):
    first, end = tables.get(caller + L["P_FIRST"]), tables.get(caller + L["P_END"])
    if fault == "":
        tables.put(L["G_PRINTED"], rng.randrange(200))
        room = L["CONSOLE_BYTES"] - tables.get(L["G_PRINTED"])
        yield from ((first, 1), (end - 1, 1), (end, 0), (first, 0), (first, room), (end - room, room), (first + 3, 17))
    elif fault == "wrap":
        for address in (first + 16, first + 40, end - 8, end):
            yield from ((address, _TOP - address + first + more) for more in (0, 8))
        yield from ((first + 16, _TOP - 1), (first + 200, _TOP - 200))
    elif fault == "past the end":
        yield from ((end - more, more + 1) for more in (0, 1, 7, 20))
    elif fault == "length":
        yield from ((end - 8, 9 + more) for more in (8, 40))
        yield from ((end, 30), (end - 1, 50))
    elif fault == "address":
        others = [memory(n) + 8 for n in _PROCESSES if process(n) != caller]
        yield from ((address, 8) for address in (first - 1, first - 8, end + 1, end + 64, slot(0), piece(2), L["CONSOLE"], *others, 0, _TOP - 8, 1 << 63))
        yield from ((address, 0) for address in (first - 1, end + 1, 0))
    elif fault == "console":
        tables.put(L["G_PRINTED"], 200)
        yield from ((first, 57), (first, 300), (end - 100, 100))
        tables.put(L["G_PRINTED"], L["CONSOLE_BYTES"])
        yield first, 1


_CALLS = {"lookup": _lookup, "allocate": _allocate, "release": _release, "send": _send, "print_text": _print_text}
FAULTS = {
    "lookup": HANDLE_FAULTS, "allocate": ("empty", "size", "quota", "none"), "release": HANDLE_FAULTS,
    "send": (*HANDLE_FAULTS, *(f"block {fault}" for fault in HANDLE_FAULTS), "message", "closed", "full"),
    "print_text": ("wrap", "past the end", "length", "address", "console"),
}  # fmt: skip
