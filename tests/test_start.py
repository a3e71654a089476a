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


def test_being_warm_is_said_of_sources_where_they_lie(monkeypatch, tmp_path):
    """Compiled functions are found by place and time of their source: another copy of the same sources, or a newer file, is not warm."""
    from singlab import warmup
    from singlab.machine import jit

    places = [tmp_path / name for name in ("one", "other")]
    for place in places:
        (place / "kernel").mkdir(parents=True)
        (place / "kernel" / "gate.py").write_text("pass\n")
        os.utime(place / "kernel" / "gate.py", (1, 1))
    monkeypatch.setattr(jit, "DISABLED", False)
    monkeypatch.setattr(jit, "CACHE", tmp_path)
    monkeypatch.setattr(jit, "PACKAGE", places[0])
    assert not warmup.is_warm()
    warmup._mark().touch()
    assert warmup.is_warm()
    os.utime(places[0] / "kernel" / "gate.py", (2, 2))
    assert not warmup.is_warm()
    monkeypatch.setattr(jit, "PACKAGE", places[1])
    assert not warmup.is_warm()
