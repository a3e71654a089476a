"""A start that is not the first compiles nothing."""

import os
import subprocess
import sys

import pytest

from singlab.machine.jit import DISABLED, PACKAGE

_START = """
import sys
import singlab.machine.machine, singlab.machine.harts, singlab.kernel.native, singlab.trace.ring
missed = []
for name, module in list(sys.modules.items()):
    if name.startswith("singlab"):
        for value in vars(module).values():
            stats = getattr(value, "stats", None)
            if hasattr(value, "py_func") and stats is not None and stats.cache_misses:
                missed.append(f"{name}.{value.__name__}")
print(" ".join(sorted(set(missed))))
"""


@pytest.mark.skipif(DISABLED, reason="nothing is compiled")
def test_a_second_start_compiles_nothing():
    path = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))))

    def start():
        ended = subprocess.run([sys.executable, "-c", _START], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
        return ended.stdout.split()

    start()  # compiles what these sources have not been compiled for yet
    assert start() == []
