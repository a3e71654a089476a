"""The hardware: a RISC-V computer with caches, translation buffers, devices and a clock."""

from singlab.machine.board import Board, Ended
from singlab.machine.elf import ElfError
from singlab.machine.machine import Machine
from singlab.machine.profile import PROFILES, Profile
from singlab.machine.timetravel import TimeTravel

__all__ = ["PROFILES", "Board", "ElfError", "Ended", "Machine", "Profile", "TimeTravel"]
