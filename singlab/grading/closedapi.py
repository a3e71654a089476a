"""A small kernel's tables and what its five calls do to them: the oracle of exercise 03.

A handle is the address of a slot and, above it, how often that slot has been used, as in the lab's kernel
(:mod:`singlab.kernel.core.handles`). Everything lies in one piece of memory, so that a call's whole effect can be compared.
Leaves out closing endpoints, receiving, and waiting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from singlab.grading.kernelcode import DATA, Words

PROCESS_COUNT, HANDLE_COUNT, ENDPOINT_COUNT = 4, 32, 8
_PROCESSES = DATA + 0x100
_ENDPOINTS = DATA + 0xC00
_BLOCKS = DATA + 0x1200
_MEMORY, MEMORY_BYTES = DATA + 0x2200, 0x200
WORDS = 0x3000 // 8  #: of all tables, and of what lies between and behind them

#: The names a student's functions may use.
LAYOUT = {
    "G_FREE": DATA, "G_PRINTED": DATA + 8,
    "P_FIRST": 8, "P_END": 16, "P_HELD": 24, "P_MOST": 32,
    "HANDLES": DATA + 0x300, "HANDLES_END": DATA + 0x300 + HANDLE_COUNT * 64, "SLOT_BYTES": 64,
    "S_KIND": 0, "S_OWNER": 8, "S_USES": 16, "S_OBJECT": 24, "S_NEXT": 32, "S_SIZE": 40, "S_NOTE": 48,
    "BLOCK": 1, "ENDPOINT": 2, "BLOCK_BYTES": 128,
    "E_PEER": 0, "E_OWNER": 8, "E_CLOSED": 16, "E_HEAD": 24, "E_COUNT": 32, "E_SLOTS": 40, "E_QUEUE": 64, "MESSAGE_BYTES": 16, "MESSAGES": 8,
    "CONSOLE": DATA + 0x1000, "CONSOLE_BYTES": 256,
    "OK": 0, "BAD_HANDLE": 1, "BAD_ARGUMENT": 2, "NO_ROOM": 3, "CLOSED": 4,
}  # fmt: skip
L = LAYOUT
CALLS = ("lookup", "allocate", "release", "send", "print_text")
ERRORS = {L[name]: name for name in ("BAD_HANDLE", "BAD_ARGUMENT", "NO_ROOM", "CLOSED")}
_MASK32 = (1 << 32) - 1
_PROCESS_BYTES, _ENDPOINT_BYTES = 64, 128
_QUEUE_PLACES = 4


def process(number: int) -> int:
    """Return the address of a process's record."""
    return _PROCESSES + number * _PROCESS_BYTES


def slot(number: int) -> int:
    """Return the address of a handle's slot."""
    return L["HANDLES"] + number * L["SLOT_BYTES"]


def endpoint(number: int) -> int:
    """Return the address of an endpoint's record."""
    return _ENDPOINTS + number * _ENDPOINT_BYTES


def piece(number: int) -> int:
    """Return the address of the memory that belongs to a slot."""
    return _BLOCKS + number * L["BLOCK_BYTES"]


def memory(number: int) -> int:
    """Return where a process's own memory begins."""
    return _MEMORY + number * MEMORY_BYTES


class Tables(Words):
    """All tables."""

    size = WORDS

    def handle(self, slot_: int) -> int:
        """Return the current handle of a slot."""
        return self.get(slot_ + L["S_USES"]) << 32 | slot_

    def slots(self, kind: int) -> list[int]:
        """Return the slots of a kind; 0 for the free ones."""
        return [slot(n) for n in range(HANDLE_COUNT) if self.get(slot(n)) == kind]

    def handles(self, process: int, kind: int) -> list[int]:
        """Return the current handles of a process that are of a kind."""
        return [self.handle(s) for s in self.slots(kind) if self.get(s + L["S_OWNER"]) == process]

    def _repr_html_(self) -> str:
        owners = {process(n): f"process {'ABCD'[n]}" for n in range(PROCESS_COUNT)}
        kinds = {0: "free", L["BLOCK"]: "BLOCK", L["ENDPOINT"]: "ENDPOINT"}
        rows = []
        for number in range(HANDLE_COUNT):
            at = slot(number)
            kind = self.get(at)
            owner, size, uses = (self.get(at + L[name]) for name in ("S_OWNER", "S_SIZE", "S_USES"))
            cells = (number, f"{at:#x}", kinds.get(kind, f"{kind:#x}"), owners.get(owner, f"{owner:#x}") if kind else "", uses,
                     size if kind == L["BLOCK"] else "", f"{self.handle(at):#x}" if kind else "")  # fmt: skip
            rows.append("<tr>" + "".join(f"<td style='text-align:left'>{cell}</td>" for cell in cells) + "</tr>")
        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in ("slot", "address", "S_KIND", "S_OWNER", "S_USES", "S_SIZE", "handle"))
        return f"<div style='max-height:340px;overflow:auto'><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"

    def __repr__(self) -> str:
        used = sum(1 for n in range(HANDLE_COUNT) if self.get(slot(n)))
        return f"<Tables: {used} of {HANDLE_COUNT} slots in use>"

    def meant(self) -> np.ndarray:
        """Return the words with those put to 0 that mean nothing as things stand."""
        words = self.words.copy()
        slots = words[(slot(0) - DATA) >> 3 : (slot(HANDLE_COUNT) - DATA) >> 3].reshape(HANDLE_COUNT, -1)
        free = slots[:, 0] == 0
        slots[np.ix_(free, [L["S_OWNER"] >> 3, L["S_SIZE"] >> 3])] = 0
        slots[~free, L["S_NEXT"] >> 3] = 0
        words[(piece(0) - DATA) >> 3 : (piece(HANDLE_COUNT) - DATA) >> 3].reshape(HANDLE_COUNT, -1)[free] = 0
        ends = words[(endpoint(0) - DATA) >> 3 : (endpoint(ENDPOINT_COUNT) - DATA) >> 3].reshape(ENDPOINT_COUNT, -1)
        places = np.arange(_QUEUE_PLACES, dtype=np.int64)
        head, count, size = (ends[:, L[name] >> 3].astype(np.int64)[:, None] for name in ("E_HEAD", "E_COUNT", "E_SLOTS"))
        empty = (places < size) & ((places - head) % np.maximum(size, 1) >= count)
        queues = ends[:, L["E_QUEUE"] >> 3 :].reshape(ENDPOINT_COUNT, _QUEUE_PLACES, 2)
        queues[empty] = 0
        ends[:, L["E_QUEUE"] >> 3 :] = queues.reshape(ENDPOINT_COUNT, -1)
        return words


# ---- what is wrong with a handle ------------------------------------------------------------------------------------


def fault_of(tables: Tables, caller: int, handle: int, kind: int) -> str:
    """Return what is wrong with a handle as a key of ``hostile.WORDS``; empty if nothing is."""
    at, uses = handle & _MASK32, handle >> 32
    if not L["HANDLES"] <= at < L["HANDLES_END"]:
        if at == L["HANDLES_END"]:
            return "end"
        if memory(0) <= at < memory(PROCESS_COUNT):
            return "forged"
        return "beside" if DATA <= at < DATA + 8 * WORDS else "wild"
    if (at - L["HANDLES"]) % L["SLOT_BYTES"]:
        return "misaligned"
    if uses != (current := tables.get(at + L["S_USES"])):
        return "stale" if uses < current else "uses"
    if tables.get(at) == 0:
        return "free"
    if tables.get(at + L["S_OWNER"]) != caller:
        return "foreign"
    return "" if tables.get(at) == kind else "kind"


# ---- the calls ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Right:
    """What a call must come to.

    Attributes
    ----------
    values : frozenset of int
        What it may return: of several errors that apply, any.
    why : tuple of str
        What is wrong with the arguments, as keys of ``hostile.WORDS``; empty if the call is legal.
    """

    values: frozenset[int]
    why: tuple[str, ...] = ()


def _refused(*found: tuple[str, str]) -> Right | None:
    """Return the refusal for (error, why) pairs, those without a reason left out; None if none is left."""
    wrong = [(error, why) for error, why in found if why]
    return Right(frozenset(L[error] for error, _ in wrong), tuple(why for _, why in wrong)) if wrong else None


def model(tables: Tables, name: str, arguments: tuple[int, ...]) -> Right:
    """Return what a call must come to, and do to the tables what it must do."""
    return _MODELS[name](tables, *arguments)


def _lookup(tables: Tables, caller: int, handle: int, kind: int) -> Right:
    why = fault_of(tables, caller, handle, kind)
    return Right(frozenset({0}), (why,)) if why else Right(frozenset({handle & _MASK32}))


def _allocate(tables: Tables, caller: int, size: int) -> Right:
    first = tables.get(L["G_FREE"])
    refused = _refused(
        ("BAD_ARGUMENT", "empty" if size == 0 else "size" if size > L["BLOCK_BYTES"] else ""),
        ("NO_ROOM", "quota" if tables.get(caller + L["P_HELD"]) >= tables.get(caller + L["P_MOST"]) else ""),
        ("NO_ROOM", "none" if first == 0 else ""),
    )
    if refused:
        return refused
    tables.put(L["G_FREE"], tables.get(first + L["S_NEXT"]))
    for field, value in (("S_KIND", L["BLOCK"]), ("S_OWNER", caller), ("S_SIZE", size)):
        tables.put(first + L[field], value)
    at = tables.get(first + L["S_OBJECT"])
    for offset in range(0, L["BLOCK_BYTES"], 8):
        tables.put(at + offset, 0)
    tables.put(caller + L["P_HELD"], tables.get(caller + L["P_HELD"]) + 1)
    return Right(frozenset({tables.handle(first)}))


def _release(tables: Tables, caller: int, handle: int) -> Right:
    if why := fault_of(tables, caller, handle, L["BLOCK"]):
        return Right(frozenset({L["BAD_HANDLE"]}), (why,))
    at = handle & _MASK32
    tables.put(at + L["S_KIND"], 0)
    tables.put(at + L["S_USES"], tables.get(at + L["S_USES"]) + 1)
    tables.put(at + L["S_NEXT"], tables.get(L["G_FREE"]))
    tables.put(L["G_FREE"], at)
    tables.put(caller + L["P_HELD"], tables.get(caller + L["P_HELD"]) - 1)
    return Right(frozenset({L["OK"]}))


def _send(tables: Tables, caller: int, handle: int, message: int, block: int) -> Right:
    bad = fault_of(tables, caller, handle, L["ENDPOINT"])
    found = [("BAD_HANDLE", bad), ("BAD_ARGUMENT", "message" if message >= L["MESSAGES"] else "")]
    if block:
        found.append(("BAD_HANDLE", (why := fault_of(tables, caller, block, L["BLOCK"])) and f"block {why}"))
    if not bad:
        peer = tables.get(tables.get((handle & _MASK32) + L["S_OBJECT"]) + L["E_PEER"])
        size, count = tables.get(peer + L["E_SLOTS"]), tables.get(peer + L["E_COUNT"])
        found += [("CLOSED", "closed" if tables.get(peer + L["E_CLOSED"]) else ""), ("NO_ROOM", "full" if count >= size else "")]
    if refused := _refused(*found):
        return refused
    if block:
        at, receiver = block & _MASK32, tables.get(peer + L["E_OWNER"])
        tables.put(at + L["S_OWNER"], receiver)
        tables.put(at + L["S_USES"], tables.get(at + L["S_USES"]) + 1)
        block = tables.handle(at)
        for who, more in ((caller, -1), (receiver, 1)):
            tables.put(who + L["P_HELD"], tables.get(who + L["P_HELD"]) + more)
    place = peer + L["E_QUEUE"] + (tables.get(peer + L["E_HEAD"]) + count) % size * L["MESSAGE_BYTES"]
    tables.put(place, message)
    tables.put(place + 8, block)
    tables.put(peer + L["E_COUNT"], count + 1)
    return Right(frozenset({L["OK"]}))


def _print_text(tables: Tables, caller: int, address: int, length: int) -> Right:
    first, end, printed = tables.get(caller + L["P_FIRST"]), tables.get(caller + L["P_END"]), tables.get(L["G_PRINTED"])
    why = ""
    if not (first <= address and address + length <= end):
        why = ("wrap" if address + length >= 1 << 64 else "past the end" if address + length == end + 1 and address >= first
               else "length" if first <= address <= end else "address")  # fmt: skip
    if refused := _refused(("BAD_ARGUMENT", why), ("NO_ROOM", "console" if printed + length > L["CONSOLE_BYTES"] else "")):
        return refused
    bytes_ = tables.words.view(np.uint8)
    source, target = address - DATA, L["CONSOLE"] - DATA + printed
    bytes_[target : target + length] = bytes_[source : source + length].copy()
    tables.put(L["G_PRINTED"], printed + length)
    return Right(frozenset({L["OK"]}))


_MODELS = {"lookup": _lookup, "allocate": _allocate, "release": _release, "send": _send, "print_text": _print_text}


# ---- names for what lies somewhere ----------------------------------------------------------------------------------

_FIELDS = {
    "process": {0: "P_NUMBER", **{L[n]: n for n in ("P_FIRST", "P_END", "P_HELD", "P_MOST")}},
    "slot": {**{L[n]: n for n in ("S_KIND", "S_OWNER", "S_USES", "S_OBJECT", "S_NEXT", "S_SIZE", "S_NOTE")}, 56: "S_NOTE + 8"},
    "endpoint": {L[n]: n for n in ("E_PEER", "E_OWNER", "E_CLOSED", "E_HEAD", "E_COUNT", "E_SLOTS")},
}


def place(address: int, exact: bool = True) -> str:
    """Return in words what lies at an address; ``exact`` tells which of several it is."""
    for what, start, size, count in (("process", process(0), _PROCESS_BYTES, PROCESS_COUNT), ("slot", slot(0), L["SLOT_BYTES"], HANDLE_COUNT),
                                     ("endpoint", endpoint(0), _ENDPOINT_BYTES, ENDPOINT_COUNT)):  # fmt: skip
        number, offset = divmod(address - start, size)
        if 0 <= number < count:
            field = _FIELDS[what].get(offset & ~7) or ("the queue" if what == "endpoint" and offset >= L["E_QUEUE"] else "an unused word")
            which = (f" {'ABCD'[number]}" if what == "process" else f" {number}") if exact else ""
            return f"{field} of {what}{which}" if exact else f"{field} of {'an' if what == 'endpoint' else 'a'} {what}"
    if piece(0) <= address < piece(HANDLE_COUNT):
        return f"the memory of block {(address - piece(0)) // L['BLOCK_BYTES']}" if exact else "the memory of a block"
    if memory(0) <= address < memory(PROCESS_COUNT):
        return f"the memory of process {'ABCD'[(address - memory(0)) // MEMORY_BYTES]}" if exact else "a process's own memory"
    if L["CONSOLE"] <= address < L["CONSOLE"] + L["CONSOLE_BYTES"]:
        return "the console"
    return {L["G_FREE"]: "G_FREE", L["G_PRINTED"]: "G_PRINTED"}.get(address & ~7, "memory that is in no table")
