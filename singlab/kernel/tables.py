"""Contract tables: which ones are the same, and how the kernel keeps them.

The kernel has one table of each contract, whichever images speak it, so that two endpoints speak the same contract
if their tables are one. What identifies a contract covers all that the two sides rely on.
"""

from __future__ import annotations

import hashlib
import json
import struct

from singlab.kernel.abi import MAX_MESSAGE_WORDS
from singlab.kernel.image import SealedImage
from singlab.kernel.manifest import canonical


def sound(about: tuple[int, ...]) -> bool:
    """Whether the words about a contract's messages can be: masks within the arguments, carried endpoints in their order."""
    carried = 0
    for word in about:
        count, blocks, ends = word & 0xFF, word >> 8 & 0xFF, word >> 24 & 0xFF
        if count > MAX_MESSAGE_WORDS or (blocks | ends) >> count or blocks & ends or word >> 32 != carried or word >> 17 & 0x7F:
            return False
        carried += ends.bit_count()
    return True


def _pieces(image: SealedImage) -> dict[str, tuple[str, tuple, list[str]]]:
    """Return of each contract what it says, its table without numbers of other contracts, and the contracts it names."""
    order = sorted(image.manifest.contracts)
    found = {}
    for name, about in image.manifest.contracts.items():
        offset, words = about["table"]
        table = struct.unpack_from(f"<{words}Q", image.tables, offset * 8)
        states, messages = table[0] & 0xFFFF, table[0] >> 16 & 0xFFFF
        ends = 1 + messages + states * messages
        text = json.dumps(canonical(name, about), sort_keys=True)
        named = [order[index] for index in table[ends + 1 :: 2]]
        found[name] = text, (table[:ends], table[ends::2], tuple(named)), named
    return found


def contract_keys(image: SealedImage) -> dict[str, str]:
    """Return for each contract of an image what identifies it: two images mean the same by it if these are equal.

    It covers names and types of messages and arguments, states and steps, and the same of every contract whose
    endpoints can be had over it: what one side sends must be what the other has been verified with.
    """
    pieces = _pieces(image)
    keys = {}
    for name in pieces:
        reached, todo = {name}, [name]
        while todo:
            for other in pieces[todo.pop()][2]:
                if other not in reached:
                    reached.add(other)
                    todo.append(other)
        whole = repr((name, [(n, pieces[n][:2]) for n in sorted(reached)]))
        keys[name] = hashlib.sha256(whole.encode()).hexdigest()
    return keys


def first_difference(one: SealedImage, other: SealedImage, contract: str) -> str:
    """Return the contract in which two images' views of a contract differ: itself, or one whose endpoints it carries."""
    ours, theirs = _pieces(one), _pieces(other)
    reached, todo = [contract], [contract]
    while todo:
        name = todo.pop(0)
        if name not in ours or name not in theirs or ours[name][:2] != theirs[name][:2]:
            return name
        for more in ours[name][2]:
            if more not in reached:
                reached.append(more)
                todo.append(more)
    return contract


def placed_tables(image: SealedImage, places: dict[str, int]) -> dict[str, bytes]:
    """Return each contract's table as the kernel keeps it: with the addresses of the tables it refers to."""
    order = sorted(image.manifest.contracts)
    found = {}
    for name, about in image.manifest.contracts.items():
        offset, words = about["table"]
        table = list(struct.unpack_from(f"<{words}Q", image.tables, offset * 8))
        states, messages = table[0] & 0xFFFF, table[0] >> 16 & 0xFFFF
        for index in range(2 + messages + states * messages, words, 2):
            table[index] = places[order[table[index]]]
        found[name] = struct.pack(f"<{words}Q", *table)
    return found
