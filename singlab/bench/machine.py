"""How fast the simulated hart runs: five integer programs in C, beside qemu-riscv64 on the same programs, and Unicorn.

Each program is built twice with the stock compiler: for the board, where it maps memory and goes to supervisor mode
with Sv39 on, and as a Linux program for the peer. Times are processor seconds, so that other work on the
computer counts for nobody; the peer's own start is taken off. Speeds are in million instructions a second. Without the compiler there is nothing to run.
"""

from __future__ import annotations

import math
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from singlab.bench.harness import Row, repeat
from singlab.bench.start import fresh

PROGRAMS = ("sieve", "matrix", "sort", "hash", "automaton")
_SOURCES = Path(__file__).parent / "programs"
_COMPILER, _PEER = "riscv64-unknown-elf-gcc", "qemu-riscv64"
_FLAGS = ("-O2", "-march=rv64imac_zicsr_zifencei", "-mabi=lp64", "-mcmodel=medany", "-ffreestanding", "-nostdlib", "-static",
          "-Wl,--no-warn-rwx-segments")  # fmt: skip
#: Mode: profile, translated or not, rounds, ratio to reach.
MODES = {
    "interpreter, no timing": ("untimed", False, 60, 0.15),
    "interpreter, full timing": ("athlon64", False, 40, 0.08),
    "translator, no timing": ("untimed", True, 400, 2.0),
    "translator, full timing": ("athlon64", True, 150, 0.5),
}
_PEER_ROUNDS = 400
_RUNS = 3


def _build(folder: Path, program: str, board: bool, rounds: int) -> Path:
    """Compile a program, unless that has been done; returns its path."""
    out = folder / f"{program}-{'board' if board else 'linux'}-{rounds}"
    if out.exists():
        return out
    sources = [_SOURCES / "main.c", _SOURCES / f"{program}.c", _SOURCES / ("start_board.S" if board else "start_linux.S")]
    link = ("-Wl,-nmagic", "-Wl,-Ttext=0x80000000") if board else ()
    subprocess.run([_COMPILER, *_FLAGS, *link, f"-DROUNDS={rounds}", *map(str, sources), "-o", str(out)], check=True, capture_output=True)
    return out


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _result(folder: Path, program: str, rounds: int) -> int:
    """Return what the peer computes in so many rounds."""
    binary = _build(folder, program, False, rounds)
    return int.from_bytes(subprocess.run([_PEER, str(binary)], check=True, capture_output=True).stdout, "little")


def _peer(folder: Path, program: str) -> tuple[float, int] | None:
    """Return seconds a round, and the result, of the peer; None if it is not installed."""
    if shutil.which(_PEER) is None:
        return None

    def spent(rounds: int) -> tuple[float, int]:
        best, result = math.inf, 0
        for _ in range(_RUNS):
            before = _children()
            result = _result(folder, program, rounds)
            best = min(best, _children() - before)
        return best, result

    long, result = spent(_PEER_ROUNDS)
    return (long - spent(0)[0]) / _PEER_ROUNDS, result


def _ours(folder: Path, program: str, mode: str) -> tuple[float, float, int]:
    """Return seconds a round, instructions a round, and the result."""
    from singlab.machine import Board
    from singlab.machine import state as s

    profile, translated, rounds, _ = MODES[mode]
    binary, best, instructions, result = _build(folder, program, True, rounds), math.inf, 0, 0
    for _ in range(_RUNS):
        board = Board(profile=profile, ram="16M")
        board.load(binary)
        if translated:
            board.translate()
        before = time.process_time()
        ended = board.run()
        best = min(best, time.process_time() - before)
        if ended.reason != "exit" or ended.code != 0:
            raise RuntimeError(f"{program} did not end well: {ended.message}")
        instructions, result = int(board.machine.m[s.INSTRET]), board.machine.load_u64(board.symbols["result"])
    return best / rounds, instructions / rounds, result


def _instructions() -> list[Row]:
    if shutil.which(_COMPILER) is None:
        print(f"bench: {_COMPILER} is not installed, so the machine's speed is not measured", file=sys.stderr)
        return []
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peers = {program: _peer(folder, program) for program in PROGRAMS}
        for mode, (_, _, rounds, goal) in MODES.items():
            speeds, ratios = [], []
            for program in PROGRAMS:
                seconds, instructions, result = _ours(folder, program, mode)
                expected = _result(folder, program, rounds) if peers[program] else None
                if expected is not None and result != expected:
                    raise RuntimeError(f"{program}: {result:#x}, but the peer computes {expected:#x}")
                speeds.append(instructions / seconds / 1e6)
                peer = peers[program]
                theirs = instructions / peer[0] / 1e6 if peer else None
                ratios.append(speeds[-1] / theirs if theirs else None)
                rows.append(Row(f"{mode}: {program}", speeds[-1], "M/s", (speeds[-1],) * 2, _PEER if peer else None, theirs, None, False))
            mean = math.exp(sum(map(math.log, speeds)) / len(speeds))
            theirs = mean / math.exp(sum(map(math.log, ratios)) / len(ratios)) if all(ratios) else None
            rows.append(Row(f"{mode}: geometric mean", mean, "M/s", (min(speeds), max(speeds)), _PEER, theirs, goal, False))
    return rows


_INTERPRETER = "import time\nt = time.perf_counter()\nimport numba\nu = time.perf_counter()\nimport singlab.machine.hart\nprint(time.perf_counter() - u)\n"
_MEMORY = (
    "from singlab.machine import Machine\n"
    "from singlab.machine.asm import assemble\n"
    "m = Machine(ram='128M')\n"
    "m.write(0x80000000, assemble('loop: j loop', 0x80000000).code)\n"
    "m.run(cycles=1000)\n"
    "print(next(int(line.split()[1]) / 1024 for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
)


def _start() -> list[Row]:
    with tempfile.TemporaryDirectory() as cache:
        cold = fresh(_INTERPRETER, cache)
    warm, spread = repeat(lambda: fresh(_INTERPRETER))
    rows = [
        Row("compile the interpreter, cold cache", cold, "s", (cold, cold), goal=15.0),
        Row("load the interpreter from the disk cache", warm, "s", spread, goal=1.0),
    ]
    if Path("/proc/self/status").exists():
        memory = fresh(_MEMORY)
        rows.append(Row("a machine with 128 MB, resident", memory, "MB", (memory, memory), goal=300.0))
    return rows


MEASUREMENTS = (_instructions, _start)
