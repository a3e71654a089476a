"""The install-time translator: a whole image to native code, for code that cannot change.

:mod:`singlab.machine.lift` writes LLVM's text, function by function; here it is compiled, kept on disk
under a hash of all that goes into it, and run: a loop in native code calls translated functions for as
long as there are any for where the guest is, and the interpreter for everything else. Both do the same
to the state, so one can take over from the other at any time.

Code that is written to while it is translated is interpreted from then on, and ``Translation.reason`` says why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
from numba import carray, cfunc, types

from singlab.machine import lift, lifttext
from singlab.machine import state as _s
from singlab.machine.caches import l1i_slow
from singlab.machine.hart import STOP_CODE, STOP_DEVICE, hart_run, touch
from singlab.machine.instruction import instruction_at
from singlab.machine.jit import CACHE, DISABLED, jit, source_hash
from singlab.machine.lift import BESIDE, ENTER, LOOK_UP, NEXT, Function
from singlab.machine.lifttext import bring_text
from singlab.machine.memory import load_slow, store_slow

_POINTER, _WORD = types.CPointer(types.uint64), types.uint64
_RAM_BYTES, _RAM_WORD = _s.RAM_BYTES, _s.RAM_WORD
_CYCLES, _C_FETCH = _s.CYCLES, _s.C_STALL_FETCH
#: Functions longer than this, in bytes, are translated in parts.
_LONGEST = 2048
#: Functions in one module for LLVM.
_TOGETHER = 64


@jit("void(uint64[::1], uint64)")
def fetch_line(m, line):
    """Charge the fetch of a line that is not first in its set."""
    stall = l1i_slow(m, line)
    m[_C_FETCH] += stall
    m[_CYCLES] += stall


@cache
def _helpers() -> dict[str, object]:
    """Return what translated code calls, as C functions; kept here, for they must not be collected."""

    def state(pointer):
        return None

    del state
    c = {}

    def helper(name, result, words):
        def wrap(function):
            c[name] = cfunc(result(_POINTER, _POINTER, *[_WORD] * words), cache=True)(function)
            return c[name]

        return wrap

    @helper("load_slow", _WORD, 5)
    def c_load_slow(p, ram, funct3, va, pc, after, n):
        m = carray(p, (_RAM_WORD + carray(p, (64,))[_RAM_BYTES] // 8,))
        return load_slow(m, funct3, va, pc, after, n)

    @helper("store_slow", _WORD, 6)
    def c_store_slow(p, ram, funct3, va, value, pc, after, n):
        m = carray(p, (_RAM_WORD + carray(p, (64,))[_RAM_BYTES] // 8,))
        return store_slow(m, funct3, va, value, pc, after, n)

    @helper("touch_line", types.void, 2)
    def c_touch_line(p, ram, at, dirty):
        m = carray(p, (_RAM_WORD + carray(p, (64,))[_RAM_BYTES] // 8,))
        touch(m, at, dirty)

    @helper("fetch_line", types.void, 1)
    def c_fetch_line(p, ram, line):
        m = carray(p, (_RAM_WORD + carray(p, (64,))[_RAM_BYTES] // 8,))
        fetch_line(m, line)

    @helper("interpret", types.int64, 0)
    def c_interpret(p, uops):
        size = carray(p, (64,))[_RAM_BYTES]
        m = carray(p, (_RAM_WORD + size // 8,))
        return hart_run(m, carray(uops, (size // 2 + 1 + 2 * (size // 4096),)))

    return c


_DECLARATIONS = """
declare i64 @load_slow(ptr, ptr, i64, i64, i64, i64, i64)
declare i64 @store_slow(ptr, ptr, i64, i64, i64, i64, i64, i64)
declare void @touch_line(ptr, ptr, i64, i64)
declare void @fetch_line(ptr, ptr, i64)
declare i64 @interpret(ptr, ptr)
declare i64 @llvm.smin.i64(i64, i64)
; what is called seldom keeps the caller's registers, so that they need not lie in memory around it
define internal preserve_mostcc i64 @keep_load(ptr %m, ptr %ram, i64 %a0, i64 %a1, i64 %a2, i64 %a3, i64 %a4) noinline cold {
  %r = call i64 @load_slow(ptr %m, ptr %ram, i64 %a0, i64 %a1, i64 %a2, i64 %a3, i64 %a4)
  ret i64 %r
}
define internal preserve_mostcc i64 @keep_store(ptr %m, ptr %ram, i64 %a0, i64 %a1, i64 %a2, i64 %a3, i64 %a4, i64 %a5) noinline cold {
  %r = call i64 @store_slow(ptr %m, ptr %ram, i64 %a0, i64 %a1, i64 %a2, i64 %a3, i64 %a4, i64 %a5)
  ret i64 %r
}
define internal preserve_mostcc void @keep_touch(ptr %m, ptr %ram, i64 %a0, i64 %a1) noinline cold {
  call void @touch_line(ptr %m, ptr %ram, i64 %a0, i64 %a1)
  ret void
}
define internal preserve_mostcc void @keep_fetch(ptr %m, ptr %ram, i64 %a0) noinline cold {
  call void @fetch_line(ptr %m, ptr %ram, i64 %a0)
  ret void
}
!0 = !{!"branch_weights", i32 1, i32 2000}
!1 = !{!"branch_weights", i32 2000, i32 1}
!2 = !{!"branch_weights", i32 20, i32 1}
"""

#: The loop: a table gives function and block for each halfword of the image.
_DRIVER = f"""
define i64 @drive(ptr %m, ptr %uops, ptr %table, i64 %first, i64 %bytes) {{
entry:
  %pcp = getelementptr i64, ptr %m, i64 {_s.PC}
  %resume = getelementptr i64, ptr %m, i64 {_s.RESUME}
  %flag = getelementptr i64, ptr %m, i64 {_s.INTERPRET}
  %stop = getelementptr i64, ptr %m, i64 {_s.STOP}
  br label %interpreter
interpreter:
  %force = phi i64 [ 0, %entry ], [ %forced, %other ], [ 1, %missing ]
  store i64 %force, ptr %flag
  %reason = call i64 @interpret(ptr %m, ptr %uops)
  %mine = icmp eq i64 %reason, {STOP_CODE}
  br i1 %mine, label %look, label %out
out:
  store i64 0, ptr %flag
  ret i64 %reason
look:
  %beside = phi i64 [ 0, %interpreter ], [ %isbeside, %again ]
  %pc = load i64, ptr %pcp
  %offset = sub i64 %pc, %first
  %inside = icmp ult i64 %offset, %bytes
  br i1 %inside, label %dispatch, label %missing
missing:
  br label %interpreter
dispatch:
  %slot = and i64 %offset, -2
  %entrance = getelementptr i64, ptr %table, i64 %slot
  %function = load ptr, ptr %entrance
  %none = icmp eq ptr %function, null
  br i1 %none, label %missing, label %go
go:
  store i64 0, ptr %resume
  %second = getelementptr i64, ptr %entrance, i64 1
  %number = load i64, ptr %second
  %block = or i64 %number, %beside
  %how = call i64 %function(ptr %m, ptr %m, i64 %block)
  %isnext = icmp eq i64 %how, {NEXT}
  %isin = icmp eq i64 %how, {BESIDE}
  %isbeside = zext i1 %isin to i64
  %goon = or i1 %isnext, %isin
  br i1 %goon, label %again, label %wanted
again:
  br label %look
wanted:
  %stopped = load i64, ptr %stop
  %isstop = icmp ne i64 %stopped, 0
  %lookup = icmp eq i64 %how, {LOOK_UP}
  %device = and i1 %isstop, %lookup
  br i1 %device, label %host, label %other
host:
  ret i64 {STOP_DEVICE}
other:
  %entering = icmp eq i64 %how, {ENTER}
  %forced = zext i1 %entering to i64
  br label %interpreter
}}
"""


@cache
def _prepare() -> None:
    """Make LLVM ready, once."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for name, function in _helpers().items():
        llvm.add_symbol(name, function.address)


def _target():
    """Return LLVM's description of this computer; an engine owns the one it is made with."""
    _prepare()
    features = llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple().create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=2, jit=True)


def _object(text: str) -> bytes:
    """Compile LLVM's text to an object file."""
    module = llvm.parse_assembly(text)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    target = _target()
    builder = llvm.create_pass_builder(target, options)
    builder.getModulePassManager().run(module, builder)
    return target.emit_object(module)


def called(code: bytes, origin: int) -> set[int]:
    """Return the addresses in an image that it calls: functions begin there, whether or not a symbol says so."""
    found, at = set(), 0
    while at < len(code):
        i = instruction_at(code, at)
        if i is None or i.name == "illegal":
            at += 2
            continue
        if i.name == "jal" and i.rd == 1 and 0 <= at + i.imm < len(code):
            found.add(origin + at + i.imm)
        at += i.size
    return found


class Translation:
    """An image translated for one machine's timing.

    Parameters
    ----------
    machine : Machine
        Holds the image in its RAM.
    address : int
        Physical address of the image's first byte.
    size : int
        Bytes.
    entries : iterable of int
        Addresses where functions begin, as the guest sees them (symbols of an ELF file); the first byte is always one.
    virtual : int, optional
        Where the guest sees the image; at its physical address if not given.

    Attributes
    ----------
    reason : str or None
        Why the image is interpreted after all.
    from_disk : bool
        Whether it had been compiled before.
    """

    def __init__(self, machine, address: int, size: int, entries: Iterable[int] = (), virtual: int | None = None):
        self.code = machine.read(address, size)
        self.address, self.size = address, size
        self.virtual = address if virtual is None else virtual
        self.reason: str | None = "numba is switched off" if DISABLED else None
        if machine.m[_s.HARTS] > 1:
            self.reason = "translated code knows the caches of one hart, and this machine has several"
        self.from_disk = True
        base = ((address - _s.RAM_BASE >> 1) - (self.virtual >> 1)) & 0xFFFF_FFFF_FFFF_FFFF
        known = {e for e in entries if self.virtual <= e < self.virtual + size}
        starts = sorted({self.virtual, *known, *called(self.code, self.virtual)})
        ends = [*starts[1:], self.virtual + size]
        parts = [(a, min(a + _LONGEST, end)) for start, end in zip(starts, ends, strict=True) for a in range(start, end, _LONGEST)]
        profile = machine.profile
        self.table = np.zeros(size // 2 * 2 + 2, dtype=np.uint64)
        if self.reason is None:
            self._build(parts, base, profile, lambda index: int(machine.m[index]))

    def _build(self, parts, base, profile, params) -> None:
        written = b"".join(Path(module.__file__).read_bytes() for module in (lift, lifttext))
        digest = hashlib.sha256(written + repr((source_hash(), llvm.llvm_version_info, llvm.get_host_cpu_name(), profile, self.virtual, base, parts)).encode())
        digest.update(self.code)
        folder = CACHE / "translated" / digest.hexdigest()[:32]
        groups = [parts[k : k + _TOGETHER] for k in range(0, len(parts), _TOGETHER)]
        _prepare()
        empty = llvm.parse_assembly(f'target triple = "{llvm.get_process_triple()}"\n')
        self.engine = llvm.create_mcjit_compiler(empty, _target())
        found: list[tuple[str, dict[int, int]]] = []
        for number, group in enumerate([None, *groups]):
            functions = []
            for first, end in group or ():
                function = Function(f"f_{first:x}", self.code, self.virtual, first, end, base, profile, params)
                if function.first in function.instructions:
                    functions.append(function)
                    found.append((function.name, function.entries))
            stored = folder / f"{number}.o"
            try:
                data = stored.read_bytes()
            except OSError:
                self.from_disk = False
                data = _object(_DECLARATIONS + (_DRIVER if group is None else "\n".join([bring_text(profile.timed), *(f.text() for f in functions)])))
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                    partial = stored.with_suffix(f".{id(self)}")
                    partial.write_bytes(data)
                    partial.replace(stored)
                except OSError:
                    pass  # a full or locked disk costs the next start some seconds, nothing more
            self.engine.add_object_file(llvm.ObjectFileRef.from_data(data))
        self.engine.finalize_object()
        import ctypes

        for name, entries in found:
            where = self.engine.get_function_address(name)
            for pc, block in entries.items():
                slot = pc - self.virtual & ~1
                self.table[slot], self.table[slot + 1] = where, block
        drive = self.engine.get_function_address("drive")
        self.drive = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_uint64] * 5)(drive)

    def intact(self, machine) -> bool:
        """Whether the image is still what was translated; says the reason if not."""
        if self.reason is None and machine.read(self.address, self.size) != self.code:
            self.reason = "the code in memory is not what was translated"
        return self.reason is None

    def attach(self, m: np.ndarray) -> None:
        """Tell the state where the translated code lies."""
        m[_s.CODE], m[_s.CODE_BYTES] = self.virtual, self.size
        m[_s.CODE_AT] = self.address - _s.RAM_BASE + _s.RAM_OFFSET

    def run(self, machine) -> int:
        """Run as :func:`singlab.machine.hart.hart_run` does."""
        m, uops = machine.m, machine.uops
        return self.drive(m.ctypes.data, uops.ctypes.data, self.table.ctypes.data, self.virtual, self.size)
