"""Damaged kernel tables: how the host goes along the kernel's lists, and what it says when they make no sense.

Code that runs without checks in ring 0 can write into the kernel's own tables. Then a list may lead back into itself, or
out of memory. Kernel code ends at once there (KERNEL_MOST in :mod:`singlab.machine.state` says how it notices); the host's
own walks notice that they have been somewhere before. Both end in :class:`TablesDamaged`: the system is at
its end, and only :meth:`System.restore` of an earlier snapshot helps.

Leaves out damage that nobody comes upon: a number that is wrong and looks like a right one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import wraps
from typing import TYPE_CHECKING

from singlab.kernel.startup import KernelError
from singlab.machine import state as _s

if TYPE_CHECKING:
    from singlab.machine import Machine

#: What damaged tables make the host's own reading of them raise.
_NONSENSE = (ValueError, LookupError, ArithmeticError, TypeError, AttributeError, MemoryError, StopIteration)


class TablesDamaged(KernelError):
    """The kernel's own tables make no sense: somebody has written into them. The system cannot go on."""

    def __init__(self, how: str):
        super().__init__(f"the kernel's own tables are damaged: {how}. Code without checks can write there; this system is at its end, "
                         "go back to a snapshot of it or boot another")  # fmt: skip


def look_for_damage(machine: Machine) -> None:
    """Raise TablesDamaged if kernel code has come upon damage."""
    m = machine.m
    if m[_s.KERNEL_MOST]:
        return
    if address := int(m[_s.KERNEL_FAULT]):
        raise TablesDamaged(f"they led the kernel to address {address:#x}, where no memory is")
    raise TablesDamaged("one of its lists has no end")


def links(machine: Machine, record: int, link: int) -> Iterator[int]:
    """Go along a list of the kernel's: yield the addresses of records from a first one on (0 = none), linked at an offset."""
    seen = set()
    while record not in seen:
        if not record:
            return
        seen.add(record)
        yield record
        try:
            record = machine.load_u64(record + link)
        except ValueError as error:
            raise TablesDamaged(f"a list leads to address {record:#x}, where no memory is") from error
    raise TablesDamaged("one of its lists has no end")


def over_tables(function):
    """Let a method of a system, or of a process, that reads kernel tables say so where they make no sense.

    Only where code without checks can run: anywhere else an error of that kind is one of the host's own and stays what it is.
    """

    @wraps(function)
    def looking(self, *arguments, **options):
        system = getattr(self, "_system", self)
        try:
            return function(self, *arguments, **options)
        except _NONSENSE as error:
            if not system.allow_unverified:
                raise
            raise TablesDamaged(f"what stands there cannot be ({type(error).__name__}: {error})") from error

    return looking
