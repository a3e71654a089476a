"""A booted system on this computer's terminal: keys go to the guest, what it prints is shown.

The terminal gives every key as it is pressed, Ctrl-C included; Ctrl-A is kept back for us, as in QEMU. A
pipe or a file as standard input is typed in, too. While the guest waits, this process sleeps: until a
key, or until the guest's timer in real time. A busy guest's clock is slower than the real one.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager

from singlab.machine import devices as d
from singlab.machine.board import Board, Ended

_CTRL_A = 1
HELP = "Ctrl-A X ends the machine, Ctrl-A Ctrl-A sends Ctrl-A, Ctrl-A H shows this."
#: Cycles of the first slice, and how long a slice shall take (seconds): short enough for keys to feel quick.
_FIRST_SLICE, _SLICE_SECONDS = 1_000_000, 0.02
#: Longest sleep, so that signals are seen.
_NAP = 0.5


class PosixKeyboard:
    """Standard input, if it is a terminal in raw mode; a context manager that puts it back.

    Attributes
    ----------
    interactive : bool
        Whether somebody sits there.
    at_end : bool
        Nothing more will come.
    """

    def __init__(self, file: int = 0):
        self._file = file
        self.at_end = False
        try:
            self.interactive = os.isatty(file)
            os.fstat(file)
        except OSError:
            self.interactive, self.at_end = False, True
        self._saved = None

    def __enter__(self) -> PosixKeyboard:
        if self.interactive:
            import termios as t

            self._saved = t.tcgetattr(self._file)
            mode = t.tcgetattr(self._file)
            mode[0] &= ~(t.IGNBRK | t.BRKINT | t.PARMRK | t.ISTRIP | t.INLCR | t.IGNCR | t.ICRNL | t.IXON)
            mode[3] &= ~(t.ECHO | t.ECHONL | t.ICANON | t.IEXTEN | t.ISIG)
            mode[6][t.VMIN], mode[6][t.VTIME] = 1, 0
            t.tcsetattr(self._file, t.TCSADRAIN, mode)
        return self

    def __exit__(self, *_) -> None:
        if self._saved is not None:
            import termios

            termios.tcsetattr(self._file, termios.TCSADRAIN, self._saved)
            self._saved = None

    def read(self, seconds: float = 0) -> bytes:
        """Return what has been typed, waiting so long for it; nothing at the end of the input."""
        import select

        if self.at_end:
            time.sleep(seconds)
            return b""
        if not select.select([self._file], [], [], seconds)[0]:
            return b""
        try:
            data = os.read(self._file, 4096)
        except OSError:
            data = b""  # the terminal has gone away
        self.at_end = not data
        return data


class WindowsKeyboard:
    """The same where there is no termios: the console's keys one by one, or a pipe read by a thread."""

    #: What terminals send for the arrows and for Home, End and Delete.
    _KEYS = {"H": b"\x1b[A", "P": b"\x1b[B", "M": b"\x1b[C", "K": b"\x1b[D", "G": b"\x1b[H", "O": b"\x1b[F", "S": b"\x1b[3~"}
    _LOOK = 0.01

    def __init__(self, console, interactive: bool):
        self._console = console  # the module msvcrt
        self.interactive, self.at_end = interactive, False
        self._read: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def __enter__(self) -> WindowsKeyboard:
        if not self.interactive:
            threading.Thread(target=self._follow, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        pass  # the console's mode was not changed

    def _follow(self) -> None:
        try:
            while data := os.read(0, 4096):
                self._read.put(data)
        except OSError:
            pass
        self._read.put(b"")

    def read(self, seconds: float = 0) -> bytes:
        """Return what has been typed, waiting so long for it; nothing at the end of the input."""
        if self.at_end:
            time.sleep(seconds)
            return b""
        if not self.interactive:
            try:
                data = self._read.get(timeout=seconds) if seconds else self._read.get_nowait()
            except queue.Empty:
                return b""
            self.at_end = not data
            return data
        until = time.monotonic() + seconds
        while not self._console.kbhit():
            if time.monotonic() >= until:
                return b""
            time.sleep(self._LOOK)
        data = b""
        while self._console.kbhit():
            key = self._console.getwch()
            data += self._KEYS.get(self._console.getwch(), b"") if key in "\x00\xe0" else key.encode()
        return data


def keyboard() -> PosixKeyboard | WindowsKeyboard:
    """Return the standard input of this process."""
    if os.name != "nt":
        return PosixKeyboard()
    import msvcrt

    return WindowsKeyboard(msvcrt, sys.stdin is not None and sys.stdin.isatty())


class Escape:
    """Takes what Ctrl-A means out of what is typed."""

    def __init__(self) -> None:
        self._armed = False

    def split(self, data: bytes) -> tuple[bytes, str]:
        """Return what is for the guest and the letters (lower case) that followed Ctrl-A, up to an "x"."""
        out, commands = bytearray(), ""
        for value in data:
            if self._armed:
                self._armed = False
                if value == _CTRL_A:
                    out.append(value)
                else:
                    commands += chr(value).lower()
                    if commands[-1] == "x":
                        break
            elif value == _CTRL_A:
                self._armed = True
            else:
                out.append(value)
        return bytes(out), commands


class Typist:
    """Types into a board's UART as it has room.

    What a driver throws away when it clears its queue at the start is typed again if ``again`` is set: a
    script in a pipe is there before the guest is.
    """

    def __init__(self, board: Board, again: bool):
        self._board, self._again = board, again
        self._waiting, self._typed = bytearray(), bytearray()
        self._cleared = int(board.machine.m[d.CLEARED])

    def add(self, data: bytes) -> None:
        """Take what shall be typed."""
        self._waiting += data

    def go_on(self) -> bool:
        """Type what there is room for; returns whether anything was typed."""
        cleared = int(self._board.machine.m[d.CLEARED])
        if self._again and cleared != self._cleared:
            self._waiting[:0] = self._typed[-(cleared - self._cleared) :]
        self._cleared = cleared
        if not self._waiting:
            return False
        count = self._board.type(bytes(self._waiting[: d.RX_ROOM]))
        self._typed = (self._typed + self._waiting[:count])[-d.RX_ROOM :]
        del self._waiting[:count]
        return count > 0


def converse(board: Board, keys, show: Callable[[str], None], limit: int | None = None) -> Ended | None:
    """Run a board with a keyboard until the guest ends; returns None if Ctrl-A X ended it.

    Parameters
    ----------
    board : Board
    keys : PosixKeyboard or WindowsKeyboard
    show : callable
        Shows a line of ours.
    limit : int, optional
        Cycles.
    """
    from singlab.machine import state as s

    escape, typist = Escape(), Typist(board, again=not keys.interactive)
    m, slice_ = board.machine.m, _FIRST_SLICE
    last = None if limit is None else int(m[s.CYCLES]) + limit
    wait = 0.0
    while True:
        start = time.monotonic()
        data, commands = keys.read(wait), ""
        if wait:
            board.pass_seconds(time.monotonic() - start)
        if keys.interactive:
            data, commands = escape.split(data)
        if "x" in commands:
            return None
        if "h" in commands:
            show(HELP)
        typist.add(data)
        typed = typist.go_on()
        left = slice_ if last is None else min(slice_, last - int(m[s.CYCLES]))
        if left <= 0:
            return Ended("limit", None, f"stopped at the limit of {limit:,} cycles")
        start = time.monotonic()
        ended = board.run(cycles=left, wait=False)
        seconds, wait = time.monotonic() - start, 0.0
        if ended.reason == "wfi":
            timer = board.seconds_to_timer()
            if timer is None and keys.at_end and not typed:
                return Ended("wfi", None, "the program waits for input, and there is no more")
            wait = 0.0 if typed else min(_NAP, _NAP if timer is None else timer)
        elif ended.reason != "limit":
            return ended
        elif seconds < _SLICE_SECONDS / 2:
            slice_ *= 2
        elif seconds > _SLICE_SECONDS * 2:
            slice_ = max(slice_ // 2, 10_000)


@contextmanager
def _ended_by_signals():
    """Let the signals that end a process end it through its ``finally`` blocks, so that the terminal is put back."""

    def stop(number, _frame):
        raise SystemExit(128 + number)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), stop) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def boot(board: Board, show: Callable[[str], None], limit: int | None = None) -> int:
    """Run a loaded board on this terminal; returns the exit code of the command."""
    with _ended_by_signals(), keyboard() as keys:
        if keys.interactive:
            show(HELP)
        ended = converse(board, keys, show, limit)
    if board.printed and not board.printed.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
    instructions = board.machine.counters()["instructions"]
    show(f"{ended.message if ended else 'ended by Ctrl-A X'}; {instructions:,} instructions")
    for line in remarks(board):
        show(line)
    if ended is None:
        return 0
    if ended.reason != "exit":
        return 124 if ended.reason == "limit" else 70
    return min(ended.code or 0, 255)


def remarks(board: Board) -> list[str]:
    """Return what the user should know of the disk: it was not touched, or what was written is lost."""
    if board.disk is None:
        return []
    device, disk = board.slots.devices["disk"], board.disk
    if not device.used and not device.ready:
        now, other = ("legacy (version 1)", "modern") if device.version == 1 else ("modern (version 2)", "legacy")
        return [f"the guest did not use its disk, which is {now}; if it wants the other, add: --virtio {other}"]
    if disk.written and disk.path is not None and not disk.writable:
        return [f"{disk.path} is as it was: the guest wrote to a copy in memory; to keep what it writes, add: --save"]
    return []
