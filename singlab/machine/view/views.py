"""The views of one machine as methods, so that a notebook finds them by name."""

from __future__ import annotations

from singlab.machine import state as _s
from singlab.machine.view import render as r
from singlab.machine.view.cachesets import cache, caches
from singlab.machine.view.disassembly import code
from singlab.machine.view.hexdump import memory
from singlab.machine.view.paging import page_walk, tlbs
from singlab.machine.view.registerfile import csrs, registers
from singlab.machine.view.source import Symbols, address_of, mark, symbols_of
from singlab.machine.view.timing import counters, cycles


class Views(r.Shown):
    """Everything there is to see of a machine; by itself it shows registers, code and where the cycles went.

    Parameters
    ----------
    source : Machine or Board
    symbols : dict of str to int, optional
        Names of addresses, as an assembled text's ``labels``; a board's program brings its own.
    program : Elf, optional
        An executable, for its symbols and source lines.

    Examples
    --------
    ``machine.view.registers()``, ``board.view.code("main")``, ``board.view.page_walk("sp")``
    """

    style = r.STYLE

    def __init__(self, source, symbols: dict[str, int] | None = None, program=None):
        self._source = source
        self.machine = getattr(source, "machine", source)
        self.program = program if program is not None else getattr(source, "program", None)
        given = symbols if symbols is not None else getattr(program, "symbols", None)
        self.symbols = Symbols(given, getattr(self.program, "sizes", None)) if given is not None else symbols_of(source)

    registers = registers
    csrs = csrs
    code = code
    cycles = cycles
    counters = counters
    cache = cache
    caches = caches
    tlbs = tlbs
    page_walk = page_walk
    memory = memory
    mark = mark
    address = address_of

    @property
    def harts(self) -> int:
        """How many harts there are."""
        return int(self.machine.m[_s.HARTS])

    @property
    def hart(self) -> int:
        """The hart one sees (:meth:`Machine.look_at`)."""
        return int(self.machine.m[_s.HART])

    def look_at(self, hart: int | None = None) -> None:
        """See another hart; without a number, the one that is to go on."""
        self.machine.look_at(hart)

    def controls(self):
        """Return what steps this machine, forwards and back."""
        from singlab.machine.timetravel import TimeTravel

        return TimeTravel(self._source)

    def blocks(self) -> list[r.Block]:
        return [*self.registers().blocks(), *self.code().blocks(), *self.cycles().blocks()]
