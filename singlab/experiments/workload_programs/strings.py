"""String building: lines put together from pieces, kept for a page's length, and joined.

Nearly everything allocated is text that dies at once, and the longest texts are far longer than the shortest.
"""

from __future__ import annotations

from singlab.sing import array, function, mark, sip, u64


@function
def hash_of(text: str) -> u64:
    h: u64 = 14695981039346656037
    for i in range(len(text)):
        h = (h ^ u64(ord(text[i]))) * 1099511628211
    return h


@function
def line_of(number: u64, seed: u64) -> str:
    """A line of a report, of words that depend on the seed."""
    line = f"{number}: "
    state = seed + number
    for _ in range(4 + number % 5):
        state = state * 6364136223846793005 + 1442695040888963407
        word = state >> 60
        if word < 4:
            line = line + "sealed "
        elif word < 8:
            line = line + "channel "
        elif word < 12:
            line = line + f"page {state >> 48 & 255} "
        else:
            line = line + "x"
    return line


@sip
def strings(lines: u64, rounds: u64, seed: u64) -> u64:
    """Pages of lines; each page is joined into one text, a line at a time, and hashed."""
    total: u64 = 0
    kept = array(str, lines, "")
    for r in range(rounds):
        for i in range(lines):
            kept[i] = line_of(r * lines + i, seed)
        page = ""
        for i in range(lines):
            page = page + kept[i] + "\n"
        total = total * 31 + hash_of(page)
        mark(r)
    return total
