"""Going back: a restored snapshot runs on exactly as before, however the run is cut into slices."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bench import BASE, machine

from singlab.machine import Machine
from singlab.machine import state as s

#: A loop that multiplies, stores and loads, so that every part of the state moves.
LOOP = """
        li   s0, 0x80100000
        li   a0, 12345
        li   a1, 6364136223846793005
again:  mul  a0, a0, a1
        addi a0, a0, 1442
        srli t0, a0, 50
        slli t0, t0, 3
        add  t0, t0, s0
        ld   t1, 0(t0)
        add  t1, t1, a0
        sd   t1, 0(t0)
        j    again
"""


def digest(made: Machine) -> str:
    """Return a hash of the whole state but for the limit of the run."""
    state = made.m.copy()
    state[s.STOP_CYCLE] = 0
    return hashlib.sha256(state.tobytes()).hexdigest()


def test_a_restored_machine_goes_the_same_way():
    made = machine(LOOP, profile="teaching")
    made.run(cycles=5000)
    kept, ends = made.snapshot(), []
    for _ in range(3):
        made.restore(kept)
        made.run(cycles=20_000)
        ends.append(digest(made))
    assert len(set(ends)) == 1


def test_slices_make_no_difference():
    whole = machine(LOOP)
    whole.run(cycles=30_000)
    end = int(whole.m[s.CYCLES])
    for slice_ in (1, 7, 100, 9999):
        made = machine(LOOP)
        while int(made.m[s.CYCLES]) < end:
            made.run(cycles=min(slice_, end - int(made.m[s.CYCLES])))
        assert digest(made) == digest(whole)


def test_a_saved_machine_goes_on_in_another_process(tmp_path):
    made = machine(LOOP)
    made.run(cycles=5000)
    path = made.save(tmp_path / "machine.npz")
    made.run(cycles=5000)
    code = (
        "import sys, hashlib; from singlab.machine import Machine, state as s\n"
        "m = Machine.load(sys.argv[1]); m.run(cycles=5000); m.m[s.STOP_CYCLE] = 0\n"
        "print(hashlib.sha256(m.m.tobytes()).hexdigest())"
    )
    root = Path(__file__).resolve().parent.parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    found = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.strip() == digest(made)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a file of ours" * 100])
def test_a_file_that_is_no_machine(tmp_path, content):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a saved machine"):
        Machine.load(path)
    np.savez(path, m=np.zeros(5, dtype=np.uint64), profile=np.array("athlon64"))
    with pytest.raises(ValueError, match="not a saved machine"):
        Machine.load(path)


def test_a_snapshot_of_another_size_is_refused():
    with pytest.raises(ValueError, match="RAM"):
        Machine(ram="1M").restore(Machine(ram="2M").snapshot())


def test_memory_outside_ram_is_refused():
    made = Machine(ram="1M")
    for address, count in ((0, 8), (BASE - 1, 1), (BASE + (1 << 20) - 4, 8), (BASE, -1)):
        with pytest.raises(ValueError, match="outside RAM"):
            made.read(address, count)


@pytest.mark.parametrize("seed", range(3))
def test_the_uncompiled_hart_does_the_same(seed):
    """With NUMBA_DISABLE_JIT the same code runs as plain Python and leaves the same state, bit for bit."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import warnings; warnings.simplefilter('ignore')\n"
        "from bench import machine, random_program\nfrom test_snapshot import digest\n"
        "code, registers = random_program(int(sys.argv[2]), 300)\n"
        "made = machine(code, profile='teaching', ram='2M', **{f'x{n}': v for n, v in registers.items()})\n"
        "made.run(cycles=100000)\nprint(digest(made))"
    )
    here = Path(__file__).resolve().parent
    found = []
    for disabled in ("0", "1"):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": disabled, "PYTHONPATH": str(here.parent.parent)}
        out = subprocess.run([sys.executable, "-c", code, str(here), str(seed)], capture_output=True, text=True, env=environment, check=False)
        assert out.returncode == 0, out.stderr[-2000:]
        found.append(out.stdout.strip())
    assert found[0] == found[1]


def test_random_bytes_never_leave_the_machine():
    """Whatever runs in whatever mode, the host lives, RAM alone changes, and the same start has the same end."""
    draw = random.Random(11)
    for _ in range(120):
        code, mode = draw.randbytes(4096), draw.choice((s.U, s.S, s.M_MODE))
        satp = draw.choice((0, 8 << 60 | BASE >> 12, 8 << 60 | draw.randrange(1 << 44)))
        registers = {f"x{i}": draw.choice((draw.getrandbits(64), BASE + draw.randrange(1 << 21))) for i in range(1, 32)}
        ends = []
        for _ in range(2):
            made = machine(code, profile="teaching", ram="2M", mode=mode, **registers)
            made.m[s.SATP], made.m[s.STVEC], made.m[s.SIE] = satp, BASE + 512, 0x20
            for _ in range(20):
                reason = made.run(cycles=2000)
                if reason == "hook":
                    made.m[s.PC] += 4
            ends.append(digest(made))
            assert int(made.m[0]) == 0, "x0 was written"
            assert int(made.m[s.RAM_BYTES]) == 2 << 20 and len(made.m) == s.RAM_WORD + (2 << 20) // 8
            total = sum(v for name, v in made.counters().items() if name.startswith("stall_"))
            assert int(made.m[s.CYCLES]) == int(made.m[s.INSTRET]) + total
        assert ends[0] == ends[1]
