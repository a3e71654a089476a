"""Calls from the compiled kernel into policies: functions of students, compiled apart from it.

A word of the machine's header holds where the function of a slot lies in the host's memory, so an edit compiles that
function alone and the kernel stays as it is. Compiled, it is a call through a pointer to a C function of words;
uncompiled, the word is a number in a table of Python functions.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from singlab.machine import state as _s
from singlab.machine.jit import jit
from singlab.machine.state import CYCLES, DUE_0, DUE_1, DUE_2, DUE_3

_W = np.uint64
_0 = _W(0)
_TROUBLE, _STOP = _s.POLICY_TROUBLE, _s.POLICY_STOP
_CODE, KERNEL_MOST = _W(_s.POLICY_CODE), _s.KERNEL_MOST

#: Policies when nothing is compiled: the word in the header is a place in this list, + 1.
UNCOMPILED: list = []


@jit("uint64(uint64[::1])")
def no_policy(m):
    """Note that the kernel's tables name a policy where there is none: they are damaged."""
    m[KERNEL_MOST] = _0
    return _0


def call_policy(m, slot, words):
    """Call the function of a slot with a tuple of words; returns its word."""
    code = int(m[_s.POLICY_CODE + int(slot)])
    return _W(UNCOMPILED[code - 1](m, *words)) if code else no_policy(m)


@intrinsic
def _call(typingctx, m, slot, words):
    word = ir.IntType(64)

    def codegen(context, builder, signature, args):
        array = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=args[0])
        given = cgutils.unpack_tuple(builder, args[2])
        place = builder.add(args[1], ir.Constant(word, _s.POLICY_CODE))
        code = builder.load(builder.gep(array.data, [place]))
        form = ir.FunctionType(word, [array.data.type, word] + [word] * len(given))
        return builder.call(builder.inttoptr(code, form.as_pointer()), [array.data, array.nitems, *given])

    return types.uint64(m, types.uint64, words), codegen


@overload(call_policy, inline="never")
def _call_overload(m, slot, words):
    return lambda m, slot, words: _call(m, slot, words) if m[_CODE + slot] != _0 else no_policy(m)


@jit("uint64(uint64[::1], uint64)")
def policy_pick(m, last):
    """Call the policy that picks the thread to run."""
    return call_policy(m, _W(0), (last,))


@jit("uint64(uint64[::1], uint64, uint64)")
def policy_place(m, thread, by):
    """Call the policy that places a thread which has become ready."""
    return call_policy(m, _W(1), (thread, by))


@jit("uint64(uint64[::1], uint64)")
def policy_quantum(m, thread):
    """Call the policy that says how long a thread may run."""
    return call_policy(m, _W(2), (thread,))


@jit("uint64(uint64[::1], uint64)")
def policy_fit(m, size):
    """Call the policy that says how many bytes a block takes."""
    return call_policy(m, _W(3), (size,))


@jit("uint64(uint64[::1], uint64, uint64, uint64, uint64)")
def policy_pages(m, zone, first, last, count):
    """Call the policy that chooses pages."""
    return call_policy(m, _W(4), (zone, first, last, count))


@jit("uint64(uint64[::1], uint64, uint64, uint64)")
def policy_admit(m, contract, importer, exporter):
    """Call the policy that lets two processes be connected."""
    return call_policy(m, _W(5), (contract, importer, exporter))


@jit("uint64(uint64[::1], uint64)")
def policy_trigger(m, heap):
    """Call the policy that says whether a heap is collected now."""
    return call_policy(m, _W(6), (heap,))


@jit("uint64(uint64[::1], uint64, uint64)")
def policy_growth(m, heap, size):
    """Call the policy that says by how many bytes a heap grows."""
    return call_policy(m, _W(7), (heap, size))


@jit("uint64(uint64[::1], uint64)")
def policy_nursery(m, heap):
    """Call the policy that says how many bytes of young objects make a collection."""
    return call_policy(m, _W(8), (heap,))


@jit("uint64(uint64[::1], uint64)")
def policy_tenure(m, heap):
    """Call the policy that says how many minor collections make an object old."""
    return call_policy(m, _W(9), (heap,))


@jit("uint64(uint64[::1], uint64)")
def policy_collector(m, heap):
    """Call the policy that chooses what an adaptive heap is collected by."""
    return call_policy(m, _W(10), (heap,))


@jit("uint64(uint64[::1])")
def policy_trouble(m):
    """Return why the policy that ran has no result, 0 if it has one."""
    trouble = m[_TROUBLE]
    m[_TROUBLE] = _0
    return trouble


@jit("void(uint64[::1], uint64)")
def policy_raised(m, why):
    """Note that a policy has no result; the first reason counts."""
    if m[_TROUBLE] == _0:
        m[_TROUBLE] = why


@jit("void(uint64[::1])")
def policy_stop(m):
    """Ask the host to look: a policy was put out of force."""
    m[_STOP] = _W(1)


@jit("uint64(uint64[::1])")
def now(m):
    """Return the cycle counter."""
    return m[CYCLES] + m[DUE_0] + m[DUE_1] + m[DUE_2] + m[DUE_3]
