"""Warming up: compile everything once, with a progress bar, so that nothing waits later.

The hart and the kernel compile in two processes side by side; each writes to the disk cache, and a
last pass loads both from it. Leaves out the student's programs, which compile in milliseconds.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

_CHILD = (
    "import importlib, singlab.machine.jit as jit\n"
    "jit.listener = lambda name: print(name, flush=True)\n"
    "importlib.import_module({module!r})\n"
)
#: What compiles side by side: the loop that runs hart and kernel, and the kernel's functions that the host calls.
_MODULES = ("singlab.kernel.gate", "singlab.kernel.hostcalls")
#: Where what compiles lies.
_ROOMS = ("machine", "trace", "kernel", "runtime")


def _mark() -> Path:
    """Return the file that says that these sources have been compiled: for this place and these times, by which numba finds what it has compiled."""
    from singlab.machine import jit

    files = sorted(file for room in _ROOMS for file in (jit.PACKAGE / room).rglob("*.py"))
    times = "".join(f"{file}{file.stat().st_mtime_ns}" for file in files)
    return jit.CACHE / f"warm-{hashlib.sha256(times.encode()).hexdigest()[:16]}"


def is_warm() -> bool:
    """Return whether these sources have been compiled on this computer, where they lie, already."""
    from singlab.machine.jit import DISABLED

    return DISABLED or _mark().exists()


def warm_up(progress: bool = True) -> float:
    """Compile what is not in the disk cache yet; returns the seconds it took.

    Raises
    ------
    RuntimeError
        If a part does not compile; the message holds the reason.
    """
    start = time.perf_counter()
    if not is_warm():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("Compiling once for this computer"), BarColumn(), TextColumn("{task.fields[what]}"), TimeElapsedColumn())  # fmt: skip
        with Progress(*columns, disable=not progress, console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=_count(), what="")
            _compile(lambda name: bar.update(task, advance=1, what=name))
            _load()
            bar.update(task, completed=_count(), what="done")
        _mark().touch()
    return time.perf_counter() - start


def _count() -> int:
    """Return how many functions there are to compile."""
    from singlab.kernel.native_files import CORE_FILES, source_path
    from singlab.machine.jit import PACKAGE

    files = [*(PACKAGE / "machine").glob("*.py"), *(PACKAGE / "trace").glob("*.py"), PACKAGE / "kernel" / "gate.py"]
    marked = sum(file.read_text(encoding="utf-8").count('@jit("') for file in files)
    return marked + sum(source_path(name).read_text(encoding="utf-8").count("\ndef ") for name in CORE_FILES)


def _compile(tick) -> None:
    from singlab.machine.jit import PACKAGE

    seen: set[str] = set()
    failures = []

    def follow(module: str) -> None:
        command = [sys.executable, "-c", _CHILD.format(module=module)]
        path = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as child:
            for line in child.stdout:
                if line.strip() not in seen:
                    seen.add(line.strip())
                    tick(line.strip())
            problem = child.stderr.read()
        if child.returncode:
            failures.append(problem.strip().splitlines()[-1] if problem.strip() else f"exit code {child.returncode}")

    threads = [threading.Thread(target=follow, args=(module,)) for module in _MODULES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"the lab could not be compiled: {failures[0]}")


def _load() -> None:
    """Import everything in this process: what is left (little) compiles, the rest comes from the cache."""
    import singlab.kernel.hostcalls
    import singlab.kernel.system  # noqa: F401
