"""What the host keeps beside a system's machine; a snapshot copies it with the machine's state."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from singlab.kernel import layout as at
from singlab.kernel.loader import Installed
from singlab.kernel.policies import PolicyFunction
from singlab.kernel.process import Process


class HostSide:
    """What the host keeps beside the machine: names, images, events already read, consoles."""

    def __init__(self):
        self.installed: dict[str, Installed] = {}
        self.processes: dict[int, Process] = {}
        self.unstarted: dict[int, Process] = {}
        self.channels: dict[str, dict] = {}
        self.contracts: dict[str, dict] = {}
        self.domains: dict[str, tuple[int, int]] = {}
        self.tables: dict[str, int] = {}
        self.directories: dict[str, int] = {}
        self.speaks: dict[int, str] = {}
        self.described: dict[int, dict] = {}
        self.policies: dict[str, PolicyFunction] = {}
        self.console: dict[int, str] = defaultdict(str)
        self.threads: dict[str, dict] = {str(at.SERVICE_NUMBER): {"process": at.KERNEL_OWNER}}
        self.images: dict[int, Installed] = {}
        self.children: dict[int, int] = {}
        self.parents: dict[int, int] = {}
        self.retired: dict[int, bytes] = {}
        self.newest = self.forgotten = 0
        self.serial = bytearray()
        self.chunks: list[np.ndarray] = []
        self.read = 0
        self.lost = 0
        self.deadlock_told = False

    def copy(self) -> HostSide:
        other = HostSide()
        for name in ("installed", "tables", "directories", "speaks", "described", "processes", "unstarted", "channels", "contracts", "domains",
                     "policies", "console", "threads", "images", "children", "parents", "retired"):  # fmt: skip
            getattr(other, name).update(getattr(self, name))
        other.serial[:] = self.serial
        other.chunks = list(self.chunks)
        other.read, other.lost, other.deadlock_told = self.read, self.lost, self.deadlock_told
        other.newest, other.forgotten = self.newest, self.forgotten
        return other
