"""The words of the SIP language as Python objects, so that editors, type checkers and ``help`` know them.

Programs are compiled, never run by Python; each of these says so when it is called as Python.
"""

from __future__ import annotations

from singlab.sing.errors import SipError


def not_python(what: str):
    """Raise the error for language words called as ordinary Python."""
    raise SipError(
        "language",
        f"{what} belongs to the SIP language and was called as ordinary Python",
        hint="use it inside a function decorated with @sip or @function, and build() that",
    )


class _Word:
    """A word of the language that is written like a call."""

    def __init__(self, name: str, doc: str):
        self.__name__ = name
        self.__doc__ = doc

    def __call__(self, *args, **kwargs):
        not_python(f"{self.__name__}(...)")

    def __class_getitem__(cls, item):
        return cls

    def __getitem__(self, item):
        return self

    def __repr__(self) -> str:
        return f"<SIP language: {self.__name__}>"


u8, u16, u32, u64, i8, i16, i32, i64 = (
    _Word(f"{kind}{bits}", f"{'Unsigned' if kind == 'u' else 'Signed'} integer of {bits} bits; u8(x) keeps the low bits.")
    for kind in "ui"
    for bits in (8, 16, 32, 64)
)
ExVec = _Word("ExVec", "ExVec[u8]: a vector on the exchange heap; exactly one owner at a time.")
new = _Word("new", "new(u8, n): a zeroed vector of n elements on the exchange heap, owned by the caller.")
free = _Word("free", "free(v): give a vector back. It cannot be used afterwards.")
cycles = _Word("cycles", "cycles(): the machine's cycle counter, u64.")
yield_ = _Word("yield_", "yield_(): let the next ready thread run.")
thread = _Word("thread", "thread(f, a, b): start the @function f as another thread of this process; its number, u64. Its arguments are its own.")
join = _Word("join", "join(t): wait until thread t has ended; the u64 it returned, 0 if it returned nothing.")
mark = _Word("mark", "mark(v): put a mark with this value into the trace.")
process_id = _Word("process_id", "process_id(): the number of this process, u64.")


class ChannelClosed(Exception):
    """``case ChannelClosed():`` in a match on ``receive()``, or ``except ChannelClosed:``: the peer is gone and its messages are drained."""
