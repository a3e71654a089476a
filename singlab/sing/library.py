"""What the language does with text, written in the language itself.

A program that compares or joins text has these functions in it, verified like its own.
"""

from __future__ import annotations

from functools import cache

from singlab.sing.program import Program, programs_from_source

FILENAME = "<library>"

TEXT = '''
@function
def join(a: str, b: str) -> str:
    n = len(a)
    out = array(char, n + len(b))
    for i in range(n):
        out[i] = a[i]
    for i in range(len(b)):
        out[n + i] = b[i]
    return text(out)

@function
def part(a: str, first: u64, stop: u64) -> str:
    last = stop
    if last > len(a):
        last = len(a)
    if first >= last:
        return text(array(char, 0))
    out = array(char, last - first)
    for i in range(last - first):
        out[i] = a[first + i]
    return text(out)

@function
def equal(a: str, b: str) -> bool:
    if len(a) != len(b):
        return False
    for i in range(len(a)):
        if a[i] != b[i]:
            return False
    return True

@function
def less(a: str, b: str) -> bool:
    n = len(a)
    if len(b) < n:
        n = len(b)
    for i in range(n):
        if a[i] != b[i]:
            return a[i] < b[i]
    return len(a) < len(b)

@function
def digits(n: u64, minus: bool) -> str:
    count: u64 = 1
    rest = n // 10
    while rest > 0:
        count += 1
        rest = rest // 10
    if minus:
        count += 1
    out = array(char, count)
    rest = n
    first: u64 = 0
    if minus:
        out[0] = char(45)
        first = 1
    while count > first:
        count -= 1
        out[count] = char(48 + rest % 10)
        rest = rest // 10
    return text(out)

@function
def unsigned(n: u64) -> str:
    return digits(n, False)

@function
def signed(n: i64) -> str:
    if n < 0:
        return digits(u64(-n), True)
    return digits(u64(n), False)

@function
def single(c: char) -> str:
    out = array(char, 1)
    out[0] = c
    return text(out)

@function
def truth(b: bool) -> str:
    if b:
        return "True"
    return "False"
'''


@cache
def library() -> dict[str, Program]:
    """Return the functions by name."""
    return programs_from_source(TEXT, FILENAME).functions
