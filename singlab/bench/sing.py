"""How good the SIP compiler's code is, and how long compiling takes.

Five programs exist in the SIP language and in C. The C ones are compiled by the stock compiler at -O1 and
run on the board; the SIPs run on a system, with bounds checks and without. What counts is instructions
retired a round, the difference of two runs with other numbers of rounds, so that start, allocation and
kernel cost nothing. Both must compute the same. Then the time from text to installed SIP, in processor
seconds. What it leaves out: cycles, which depend on the machine's timing and not on the compiler alone.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from singlab.bench.harness import Row, repeat
from singlab.bench.sing_programs import PROGRAMS, c_text, long_text, sip_text

_PROGRAMS_FOLDER = Path(__file__).parent / "programs"
_COMPILER, _PEER = "riscv64-unknown-elf-gcc", "gcc -O1"
_FLAGS = ("-O1", "-march=rv64imac_zicsr_zifencei", "-mabi=lp64", "-mcmodel=medany", "-ffreestanding", "-nostdlib", "-static",
          "-Wl,--no-warn-rwx-segments", "-Wl,-nmagic", "-Wl,-Ttext=0x80000000")  # fmt: skip
#: Checks on or off, and the ratio to reach.
MODES = {"no bounds checks": (False, 1.5), "bounds checks": (True, 2.0)}
_FEW, _MANY = 1, 4


def ours(name: str, checks: bool) -> tuple[float, int]:
    """Return instructions a round, and the result of all rounds."""
    from singlab.kernel import System
    from singlab.sing import build, programs_from_source

    image = build(programs_from_source(sip_text(name), name).programs["p"], checks=checks)
    spent = []
    for rounds in (_FEW, _MANY):
        system = System(ram="4M", trace=False, allow_unverified=not checks)
        process = system.create(image, rounds=rounds)
        system.run()
        if process.end.state != "exit":
            raise RuntimeError(f"{name} did not end well: {process.end}")
        counters = system.machine.counters()
        spent.append(counters["instructions"] - counters["kernel_instructions"])
    return (spent[1] - spent[0]) / (_MANY - _FEW), int(process.end.value)


def theirs(folder: Path, name: str) -> tuple[float, int]:
    """Return instructions a round of the C program, and its result."""
    from singlab.machine import Board
    from singlab.machine import state as s

    source = folder / f"{name}.c"
    source.write_text(c_text(name), encoding="utf-8")
    spent = []
    for rounds in (_FEW, _MANY):
        binary = folder / f"{name}-{rounds}"
        files = (_PROGRAMS_FOLDER / "main.c", source, _PROGRAMS_FOLDER / "start_board.S")
        subprocess.run([_COMPILER, *_FLAGS, f"-DROUNDS={rounds}", *map(str, files), "-o", str(binary)], check=True, capture_output=True)
        board = Board(profile="untimed", ram="16M")
        board.load(binary)
        ended = board.run()
        if ended.reason != "exit" or ended.code != 0:
            raise RuntimeError(f"{name} did not end well: {ended.message}")
        spent.append(int(board.machine.m[s.INSTRET]))
    return (spent[1] - spent[0]) / (_MANY - _FEW), board.machine.load_u64(board.symbols["result"])


def _instructions() -> list[Row]:
    if shutil.which(_COMPILER) is None:
        print(f"bench: {_COMPILER} is not installed, so the compiler's code is compared with nothing", file=sys.stderr)
        return []
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        peers = {name: theirs(Path(folder), name) for name in PROGRAMS}
    for mode, (checks, goal) in MODES.items():
        both = []
        for name, (peer, expected) in peers.items():
            instructions, result = ours(name, checks)
            if result != expected:
                raise RuntimeError(f"{name}: {result:#x}, but C computes {expected:#x}")
            both.append((instructions, peer))
            rows.append(Row(f"{mode}: {name}", instructions, "instructions", (instructions,) * 2, _PEER, peer, goal))
        mean, peer = (math.exp(sum(math.log(pair[i]) for pair in both) / len(both)) for i in (0, 1))
        rows.append(Row(f"{mode}: geometric mean", mean, "instructions", (mean,) * 2, _PEER, peer, goal))
    return rows


def install_seconds(lines: int) -> float:
    """Return processor seconds from the text of a SIP of so many lines to the installed image."""
    from singlab.kernel import System
    from singlab.sing import build, programs_from_source

    text, system = long_text(lines), System(trace=False)
    before = time.process_time()
    system.install(build(programs_from_source(text, "long").programs["p"]))
    return time.process_time() - before


def _times() -> list[Row]:
    value, spread = repeat(lambda: install_seconds(200))
    rows = [Row("compile, verify and install 200 lines", value, "s", spread, goal=0.3)]
    for lines in (2500, 5000, 10_000):
        value = install_seconds(lines)
        goal = 10.0 if lines == 10_000 else None
        rows.append(Row(f"compile, verify and install {lines:,} lines", value, "s", (value, value), goal=goal))
        each = 1000 * value / lines
        rows.append(Row(f"each of {lines:,} lines", each, "ms", (each, each)))
    return rows


MEASUREMENTS = (_instructions, _times)
