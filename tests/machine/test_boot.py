"""``singlab boot``: a guest on a terminal (a pseudo-terminal here), on a pipe, and what can go wrong before it starts."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from guestbuild import built
from typer.testing import CliRunner

from singlab.cli import app
from singlab.machine import Board
from singlab.machine import state as s
from singlab.machine.asm import assemble
from singlab.terminal import Escape, PosixKeyboard, Typist, WindowsKeyboard, converse, remarks

ROOT = Path(__file__).resolve().parent.parent.parent
IMAGE = random.Random(1).randbytes(64 * 512)
posix = pytest.mark.skipif(os.name != "posix", reason="needs pseudo-terminals")


@pytest.fixture
def image(tmp_path) -> Path:
    path = tmp_path / "fs.img"
    path.write_bytes(b"a first sector".ljust(512, b"\0") + IMAGE[512:])
    return path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "singlab", "boot", *map(str, arguments)]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb", "NO_COLOR": "1"}


class Terminal:
    """``singlab boot`` on a pseudo-terminal."""

    def __init__(self, *arguments: str):
        import pty
        import termios

        self._termios = termios
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            command(*arguments), stdin=self.slave, stdout=self.slave, stderr=self.slave, cwd=ROOT, env=ENVIRONMENT, start_new_session=True
        )
        self.seen = b""

    def until(self, text: bytes, seconds: float = 120) -> bytes:
        """Read until a text comes; returns what came before and with it."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 4096)
        at = self.seen.index(text) + len(text)
        found, self.seen = self.seen[:at], self.seen[at:]
        return found

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    @property
    def raw(self) -> bool:
        return not self._termios.tcgetattr(self.slave)[3] & self._termios.ECHO

    @property
    def restored(self) -> bool:
        return self._termios.tcgetattr(self.slave) == self.before


@pytest.fixture
def terminal():
    """A way to boot something on a pseudo-terminal."""
    made = []

    def start(*arguments: str) -> Terminal:
        made.append(Terminal(*arguments))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.wait()
        os.close(one.master)
        os.close(one.slave)


# ---- on a terminal ------------------------------------------------------------------------------------------------


@posix
def test_a_conversation_ended_by_the_guest(terminal, image):
    t = terminal(built("kernel"), "--disk", image)
    assert b"Ctrl-A X" in t.until(b"> ")
    assert t.raw
    t.type(b"reax\x7fd 0\r")
    assert b"reax\b \bd 0\r\na first sector\r\n" in t.until(b"> ")
    t.type(b"ticks\r")
    assert b"three ticks" in t.until(b"> ")
    t.type(b"\x03\x1a\x1c\r")  # what would end or stop us reaches the guest
    assert b"what?" in t.until(b"> ")
    t.type(b"exit 42\r")
    t.until(b"ended with code 42")
    assert t.process.wait(30) == 42 and t.restored


@posix
@pytest.mark.parametrize("busy", [False, True])
def test_ctrl_a_x_ends_it(terminal, busy):
    t = terminal(built("kernel"))
    t.until(b"> ")
    if busy:
        t.type(b"spin\r")
        t.until(b"spin")
    t.type(b"\x01h")
    assert b"Ctrl-A Ctrl-A" in t.until(b"shows this")
    t.type(b"\x01x")
    assert b"ended by Ctrl-A X" in t.until(b"instructions")
    assert t.process.wait(30) == 0 and t.restored


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_put_back(terminal, number):
    t = terminal(built("kernel"))
    t.until(b"> ")
    assert t.raw
    t.process.send_signal(number)
    assert t.process.wait(30) == 128 + number and t.restored


# ---- on a pipe ------------------------------------------------------------------------------------------------------


def piped(script: bytes, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(command(*arguments), input=script, capture_output=True, cwd=ROOT, env=ENVIRONMENT, timeout=300, check=False)


def test_a_script_is_typed_from_its_first_byte(image):
    """It is there before the driver clears its queue, and longer than the queue."""
    lines = b"".join(b"bogus %d\n" % i for i in range(60)) + b"read 0\nwrite 0 \x01x in a pipe\nread 0\nexit 3\n"
    done = piped(lines, built("kernel"), "--disk", image, "--virtio", "modern")
    assert done.returncode == 3, done.stderr
    text = done.stdout.replace(b"\r", b"")
    assert text.startswith(b"high 1234\ndisk 40\n> bogus 0\nwhat?\n> bogus 1\nwhat?\n") and text.count(b"what?") == 60
    assert b"a first sector\n" in text and b"> read 0\n\x01x in a pipe\n" in text
    assert b"--save" in done.stderr and image.read_bytes().startswith(b"a first sector")


def test_what_is_saved_stays(image):
    done = piped(b"write 2 kept\nexit 0\n", built("kernel"), "--disk", image, "--save")
    assert done.returncode == 0 and b"--save" not in done.stderr
    assert image.read_bytes()[1024:1030] == b"kept\0\0"
    assert b"> read 2\r\nkept\r\n" in piped(b"read 2\nexit 0\n", built("kernel"), "--disk", image).stdout.replace(b"\n", b"\r\n")


def test_a_limit(image):
    done = piped(b"", built("kernel"), "--disk", image, "--limit", "5000000")
    assert done.returncode == 124 and b"limit of 5,000,000 cycles" in done.stderr


# ---- without a process of its own --------------------------------------------------------------------------------------


class Keys:
    """A keyboard that is at its end at once, or types what it is given, one piece a look."""

    def __init__(self, *pieces: bytes, interactive: bool = False):
        self._pieces, self.interactive = list(pieces), interactive

    @property
    def at_end(self) -> bool:
        return not self._pieces

    def read(self, seconds: float = 0) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def small(text: str, **options) -> Board:
    """Return a board that runs a text."""
    made = Board(ram="1M", **options)
    made.machine.write(s.RAM_BASE, assemble(text, s.RAM_BASE).code)
    made.machine.m[s.PC] = s.RAM_BASE
    return made


#: Reads bytes by polling, prints each plus one, and ends with code 5 at a "q".
POLLING = """
        li   s0, 0x10000000
        li   s1, 0x100000
wait:   lbu  t0, 5(s0)
        andi t0, t0, 1
        beqz t0, wait
        lbu  a0, 0(s0)
        li   t1, 113
        beq  a0, t1, end
        addi a0, a0, 1
        sb   a0, 0(s0)
        j    wait
end:    li   t0, 0x53333
        sw   t0, 0(s1)
        j    end
"""


def test_a_polling_guest_gets_all_that_is_typed():
    text = bytes(random.Random(5).choices(b"abcdefgh", k=3000))
    made = small(POLLING)
    ended = converse(made, Keys(text[:7], text[7:2000], text[2000:], b"q"), print)
    assert (ended.reason, ended.code) == ("exit", 5)
    assert bytes(made.printed) == bytes(c + 1 for c in text)


def test_a_guest_that_waits_for_input_that_cannot_come():
    ended = converse(small("loop: wfi\nj loop"), Keys(b"abc"), print)
    assert ended.reason == "wfi" and "no more" in ended.message


def test_ctrl_a():
    shown = []
    assert converse(small("loop: j loop"), Keys(b"\x01h", b"ab\x01\x01\x01x", interactive=True), shown.append) is None
    assert len(shown) == 1 and "Ctrl-A X" in shown[0]
    assert Escape().split(b"a\x01\x01b\x01xyz") == (b"a\x01b", "x")
    escape = Escape()
    assert escape.split(b"a\x01") == (b"a", "") and escape.split(b"X") == (b"", "x"), "the two may come apart"
    assert Escape().split(b"\x01c\x01hd") == (b"d", "ch")


def test_time_passes_while_a_guest_waits():
    """A timer ten milliseconds ahead of a guest that waits: the host's clock moves the guest's."""
    text = "li t0, 0x80\ncsrw mie, t0\nli t0, 0x2004000\nli t1, 18000000\nsd t1, 0(t0)\nwait: wfi\ncsrr t2, mip\nandi t2, t2, 0x80\nbeqz t2, wait"
    made = small(f"{text}\nli t0, 0x5555\nli t1, 0x100000\nsw t0, 0(t1)\nend: j end")

    class Slow(Keys):
        at_end = False

        def read(self, seconds: float = 0) -> bytes:
            time.sleep(seconds / 3)  # wakes up early, as for a key
            return b""

    ended = converse(made, Slow(), print)
    assert (ended.reason, ended.code) == ("exit", 0)
    cycles = int(made.machine.m[s.CYCLES])
    assert 18_000_000 <= cycles < 19_000_000 and made.machine.counters()["stall_idle"] > 17_000_000


#: Counts fifty ticks of ten milliseconds each, waiting in between, then ends.
TICKING = """
        la   t0, tick
        csrw mtvec, t0
        li   t0, 0x80
        csrw mie, t0
        csrrsi zero, mstatus, 8
        li   s0, 0x2004000
        li   s1, 18000000
        li   s2, 50
        j    next
        .align 2
tick:   csrr t0, mcause
        addi s2, s2, -1
        beqz s2, end
next:   csrr t1, time
        add  t1, t1, s1
        sd   t1, 0(s0)
        csrrsi zero, mstatus, 8
wait:   wfi
        j    wait
end:    li   t0, 0x5555
        li   t1, 0x100000
        sw   t0, 0(t1)
        j    end
"""


def test_while_a_guest_waits_the_host_sleeps(monkeypatch):
    """Though it has a timer that ticks: of the guest's half second the host is asked to sleep all, but once a tick."""
    from singlab import terminal as module

    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    slept = []

    class Nobody(Keys):
        at_end = False

        def read(self, seconds: float = 0) -> bytes:
            if seconds:
                slept.append(seconds)
            clock[0] += seconds and seconds + 1e-6  # a sleep is never shorter than asked for
            return b""

    made = small(TICKING)
    ended = converse(made, Nobody(interactive=True), print)
    assert (ended.reason, ended.code) == ("exit", 0)
    assert sum(slept) == pytest.approx(0.5, rel=0.01) and len(slept) == pytest.approx(50, abs=5)


def test_waiting_for_a_timer_is_told_from_waiting_for_ever():
    made = small("loop: wfi\nj loop")
    assert made.run(wait=False).reason == "wfi" and made.seconds_to_timer() is None
    made.pass_seconds(1)
    assert int(made.machine.m[s.CYCLES]) > 1_800_000_000
    made.machine.m[s.SIE], made.machine.m[s.MTIMECMP] = 0x80, int(made.machine.m[s.CYCLES]) + 1_800_000
    assert made.run(cycles=1000, wait=False).message == "the program waits for its timer"
    assert made.seconds_to_timer() == pytest.approx(0.001, rel=0.01)
    made.pass_seconds(-5)
    assert made.seconds_to_timer() == pytest.approx(0.001, rel=0.01)
    made.pass_seconds(5)
    assert made.seconds_to_timer() == 0


def test_what_a_driver_throws_away_is_typed_again_from_a_script_only():
    for again, left in ((True, b"one two three"), (False, b" three")):
        made = small("loop: j loop")
        typist = Typist(made, again)
        typist.add(b"one two")
        typist.go_on()
        from singlab.machine import devices as d

        d.mmio_write(made.machine.m, d.UART + 2, 1, 7)
        typist.add(b" three")
        typist.go_on()
        got = b""
        while int(d.mmio_read(made.machine.m, d.UART + 5, 1)) & 1:
            got += bytes([int(d.mmio_read(made.machine.m, d.UART, 1))])
        assert got == left


def test_remarks_on_the_disk():
    assert remarks(small("wfi")) == []
    assert "--virtio modern" in remarks(small("wfi", disk=bytes(512)))[0]
    assert "--virtio legacy" in remarks(small("wfi", disk=bytes(512), virtio="modern"))[0]


class Console:
    """A Windows console with these keys waiting."""

    def __init__(self, keys: str):
        self._keys = list(keys)

    def kbhit(self) -> bool:
        return bool(self._keys)

    def getwch(self) -> str:
        return self._keys.pop(0)


def test_a_windows_console():
    with WindowsKeyboard(Console("aé\r\x03\xe0H\x00P\xe0?\x01x"), interactive=True) as keys:
        assert keys.read() == "aé\r\x03\x1b[A\x1b[B\x01x".encode()
        assert keys.read(0.02) == b"" and not keys.at_end


@posix
def test_a_pipe_read_by_a_thread(monkeypatch):
    """As on Windows."""
    read, write = os.pipe()
    here = os.read
    monkeypatch.setattr(os, "read", lambda file, count: here(read if file == 0 else file, count))
    with WindowsKeyboard(None, interactive=False) as keys:
        assert keys.read() == b""
        os.write(write, b"hello")
        assert keys.read(10) == b"hello"
        os.close(write)
        assert keys.read(10) == b"" and keys.at_end and keys.read(0.001) == b""
    os.close(read)


@posix
def test_a_closed_standard_input():
    keys = PosixKeyboard(987)
    with keys:
        assert keys.at_end and not keys.interactive and keys.read() == b""


# ---- before it starts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--disk", "{dir}/none.img"], ("no disk image", "none.img")), (["--disk", "{dir}"], ("not a file",)),
        (["--disk", "{dir}/odd.img"], ("1,000 bytes", "1,024 bytes")), (["--save"], ("--save", "--disk")), (["--virtio", "new"], ("'new'", "legacy or modern")),
        (["--ram", "much"], ("'much'",)), (["--profile", "z80"], ("'z80'", "athlon64")), ([], ("ELF",)),
    ],
)  # fmt: skip
def test_one_clear_message(tmp_path, options, words):
    (tmp_path / "odd.img").write_bytes(bytes(1000))
    (tmp_path / "kernel.elf").write_bytes(b"no kernel")
    result = CliRunner().invoke(app, ["boot", str(tmp_path / "kernel.elf"), *(o.format(dir=tmp_path) for o in options)])
    assert result.exit_code == 1, result.output
    assert all(word in result.output for word in words) and result.output.count("\n") == 1
