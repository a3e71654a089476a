"""How singlab compiles: one decorator over numba, and where its cache lives.

Models nothing; it exists because numba's own cache has two traps: an edit of a helper in another
module leaves its cached callers stale, and the optimisation level is not part of the key. So the
cache folder is named by a hash over every compiled source and over the options, and an edit anywhere
starts a fresh folder.

Everything compiled in the lab goes through :func:`jit`: explicit signature, ``cache=True``, no object
mode. ``NUMBA_DISABLE_JIT=1`` turns every compiled function into the plain Python it was written as;
the tests use that to check both forms against each other.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path

# Level 1 runs the timed interpreter 1.5 times as fast as numba's default of 3 and compiles it faster.
# It only takes effect before numba is imported; a user's own setting wins.
if "numba" not in sys.modules:
    os.environ.setdefault("NUMBA_OPT", "1")

import numba
from numba.core import config
from platformdirs import user_cache_path

PACKAGE = Path(__file__).resolve().parent.parent

#: Folders whose sources end up in compiled code.
COMPILED_SOURCES = ("machine", "kernel", "runtime", "trace")


#: Called with a function's name before it is compiled or loaded; a progress bar hangs here.
listener = None


def cache_root() -> Path:
    """Return the folder that holds all of singlab's caches (``SINGLAB_CACHE`` overrides it)."""
    if chosen := os.environ.get("SINGLAB_CACHE"):
        return Path(chosen)
    return user_cache_path("singlab", appauthor=False)


#: Sources of the machine that compiled code takes nothing from: an edit there compiles nothing anew.
_APART = ("view", "asm.py", "board.py", "devicetree.py", "disk.py", "elf.py", "instruction.py", "lift.py", "linetable.py", "machine.py", "serial.py", "timetravel.py",
          "virtqueue.py", "virtiodevices.py")  # fmt: skip


#: Of the kernel, beside its core, what compiled code is made of.
_OF_KERNEL = ("core", "abi.py", "charges.json", "gate.py", "heaplayout.py", "layout.py", "native.py", "native_files.py", "opencalls.py", "policycalls.py", "policynative.py",
              "watching.py")  # fmt: skip


def _is_apart(path: Path) -> bool:
    parts = path.relative_to(PACKAGE).parts
    return parts[1] in _APART if parts[0] == "machine" else parts[0] == "kernel" and parts[1] not in _OF_KERNEL


def source_hash() -> str:
    """Return a short hash over every compiled source, numba's version and the options."""
    digest = hashlib.sha256()
    digest.update(f"{numba.__version__} {sys.version_info[:2]} opt={config.OPT}".encode())
    for room in COMPILED_SOURCES:
        for path in sorted((PACKAGE / room).rglob("*")):
            if path.suffix in (".py", ".json") and not _is_apart(path):
                digest.update(path.relative_to(PACKAGE).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Return the cache folder of exactly these sources, made if needed."""
    folder = cache_root() / source_hash()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        import tempfile

        folder = Path(tempfile.gettempdir()) / f"singlab-{source_hash()}"
        folder.mkdir(parents=True, exist_ok=True)
    return folder


CACHE = cache_folder()
if "NUMBA_CACHE_DIR" not in os.environ:
    config.CACHE_DIR = str(CACHE)

DISABLED = bool(config.DISABLE_JIT)


@contextlib.contextmanager
def _slots_as_they_are():
    """Keep numba from clearing, whenever a function begins, all that its calls might return through.

    Each call has two words on the stack for that, written by who is called before anybody reads them. A function that may
    call a hundred others cleared two hundred words and then made one call: that was a tenth of the time of a round trip. Only parts are compiled so: with the timed interpreter it does harm.
    """
    from numba.core import cgutils
    from numba.core.callconv import CPUCallConv

    call, usual = CPUCallConv.call_function, cgutils.alloca_once

    def slot(builder, type_, size=None, name="", zfill=False):
        with builder.goto_entry_block():
            return builder.alloca(type_, size=size, name=name)

    def call_function(convention, *arguments, **options):
        cgutils.alloca_once = slot
        try:
            return call(convention, *arguments, **options)
        finally:
            cgutils.alloca_once = usual

    CPUCallConv.call_function = call_function
    try:
        yield
    finally:
        CPUCallConv.call_function = call


def jit(signature=None, **options):
    """Compile a function for the host, eagerly where a signature is given, from the disk cache when it can.

    Parameters
    ----------
    signature : str or numba signature, optional
        Explicit signature, as every public entry point has. Without one the function is compiled for
        the types of its first caller (used for small helpers only).
    **options
        Passed on to :func:`numba.njit`.
    """
    options.setdefault("cache", True)
    options.setdefault("no_cfunc_wrapper", True)
    options.setdefault("_nrt", False)
    if DISABLED:
        return lambda function: function
    if signature is None:
        return numba.njit(**options)
    compile_now = numba.njit(signature, **options)

    def announced(function):
        if listener is not None:
            listener(function.__name__)
        return compile_now(function)

    return announced


_unfinished_depth = 0


@contextlib.contextmanager
def _unfinished():
    """Keep numba from optimising and emitting what is compiled meanwhile: its caller does that with all it calls, once."""
    global _unfinished_depth
    from numba.core.codegen import CPUCodeLibrary, JITCodeLibrary, JITCPUCodegen

    def finalize(library) -> None:
        library._raise_if_finalized()
        library._finalize_dynamic_globals()
        library._parts = list(dict.fromkeys(part for used in library._linking_libraries for part in (used, *getattr(used, "_parts", ()))))
        library._finalized = True

    # its environment lies in what is never emitted, and words need none
    parts = ((JITCodeLibrary, "finalize", finalize), (JITCPUCodegen, "set_env", lambda codegen, name, env: None))
    if not hasattr(CPUCodeLibrary, "_links_parts"):
        # who calls something unfinished links all that it calls in turn, each once
        link = CPUCodeLibrary.add_linking_library

        def add_linking_library(library, used) -> None:
            link(library, used)
            for part in getattr(used, "_parts", ()):
                link(library, part)

        CPUCodeLibrary.add_linking_library, CPUCodeLibrary._links_parts = add_linking_library, True
    _unfinished_depth += 1
    own = [(kind, name, kind.__dict__.get(name)) for kind, name, _ in parts] if _unfinished_depth == 1 else []
    for kind, name, part in parts if own else ():
        setattr(kind, name, part)
    try:
        yield
    finally:
        _unfinished_depth -= 1
        for kind, name, former in own:
            if former is None:
                delattr(kind, name)
            else:
                setattr(kind, name, former)


def inner():
    """Compile a function as a part of what calls it, for that caller's types; by itself it is neither kept nor can the host call it.

    numba optimises, emits and stores each function with all that it calls. In a deep call graph that is the square of the
    work: the kernel's 240 functions took 200 s, of which 2 s were type inference.
    """
    if DISABLED:
        return lambda function: function

    def decorate(function):
        dispatcher = numba.njit(no_cfunc_wrapper=True, no_cpython_wrapper=True, _nrt=False)(function)
        compile_now = dispatcher._compiler.compile

        def unfinished(*arguments):
            if listener is not None:
                listener(function.__name__)
            with _unfinished(), _slots_as_they_are():
                return compile_now(*arguments)

        dispatcher._compiler.compile = unfinished
        return dispatcher

    return decorate
