"""How functions are compiled: what numba is kept from doing, and that it is as before afterwards."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from singlab.machine.jit import DISABLED, inner, jit

if DISABLED:
    pytest.skip("nothing is compiled", allow_module_level=True)

_TEXT = """
def low(m, a):
    at = a
    while at < m[0]:
        m[1] += at * m[2]
        at += m[2]
    return m[1]

def high(m, a):
    if a == 1:
        return low(m, m[4])
    if a == 2:
        return low(m, m[5]) + low(m, m[6])
    return low(m, a) + low(m, m[7])

def top(m, a):
    return high(m, a)
"""


def made(part):
    """Return a function that calls another, which calls a third several times, these two decorated with ``part``."""
    names: dict = {}
    exec(_TEXT, names)
    names["low"], names["high"] = part(names["low"]), part(names["high"])
    return jit("uint64(uint64[::1], uint64)", cache=False)(names["top"])


def test_a_part_does_not_clear_what_its_calls_return_through(monkeypatch):
    """The slots of exceptions, of which each call has one, are cleared by numba and not by us; what is computed is the same."""
    from llvmlite import ir

    cleared = []
    store = ir.IRBuilder.store

    def noted(builder, value, pointer, *arguments, **options):
        if pointer.name.startswith("excinfo") and getattr(value, "constant", 1) is None:
            cleared.append(builder.function.name)
        return store(builder, value, pointer, *arguments, **options)

    monkeypatch.setattr(ir.IRBuilder, "store", noted)
    theirs = made(numba.njit)
    assert sum("high" in name for name in cleared) >= 5, "where numba no longer does it, nothing need be kept from it"
    cleared.clear()
    ours = made(inner())
    assert not [name for name in cleared if "high" in name]
    m = np.array([20, 5, 3, 0, 9, 10, 11, 12], dtype=np.uint64)
    n = m.copy()
    for a in (1, 2, 3):
        assert ours(m, np.uint64(a)) == theirs(n, np.uint64(a)) and (m == n).all()


def test_numba_is_as_before_when_something_is_compiled_and_when_it_cannot_be():
    from numba.core import cgutils
    from numba.core.callconv import CPUCallConv

    before = CPUCallConv.call_function, cgutils.alloca_once
    made(inner())

    def unknown(m, a):
        return nowhere(m, a)  # noqa: F821

    part = inner()(unknown)
    with pytest.raises(Exception, match="nowhere"):

        @jit("uint64(uint64[::1], uint64)", cache=False)
        def caller(m, a):
            return part(m, a)

    assert (CPUCallConv.call_function, cgutils.alloca_once) == before
