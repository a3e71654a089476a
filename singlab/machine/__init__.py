"""The hardware: a RISC-V computer with caches, translation buffers and a clock."""

from singlab.machine.machine import Machine
from singlab.machine.profile import PROFILES, Profile

__all__ = ["PROFILES", "Machine", "Profile"]
