"""Where a new process goes: into which ring and which protection domain, as the operator says, its manifest, or the system.

A base class of ``System``. The kernel decides (``domain_enter``); here is what the operator may ask of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from singlab.kernel import layout as at
from singlab.kernel.isolation import BESIDE, CHOICES, Isolation
from singlab.kernel.loader import Installed
from singlab.kernel.native import native
from singlab.kernel.startup import KernelError

if TYPE_CHECKING:
    from singlab.kernel.system import System

_W = np.uint64


class Placing:
    """What a system does to put a process where it belongs."""

    def settings(self: System) -> tuple[str, ...]:
        """Return the isolation settings that a SIP of this system can have."""
        if self._setting.mixed:
            return tuple(BESIDE)
        if not self._setting.paged:
            return (self.isolation,)
        return tuple(name for name, setting in BESIDE.items() if setting.paged and setting.ring3 == self._setting.ring3)

    def _chosen(self: System, isolation: str | None) -> Isolation | None:
        """Return the setting of a name, None if none is chosen."""
        if isolation is None:
            return None
        if isolation not in CHOICES:
            raise KernelError(f"isolation {isolation!r:.40} is not known; a SIP of this system can have {', '.join(self.settings())}")
        if isolation not in self.settings():
            here = "a SIP that shares the kernel's domain is in 'pages' here" if self._setting.mixed else "System(isolation='mixed') has SIPs of several"
            raise KernelError(f"isolation {isolation!r} cannot be in a system of {self.isolation!r}: its SIPs can have {', '.join(self.settings())}; {here}")
        return BESIDE.get(isolation)

    def _new_process(self: System, domain: str | None, isolation: str | None, installed: Installed) -> int:
        """Make a process of an image in the domain of a name, or in the one its setting says; returns its record, 0 = memory is exhausted."""
        setting = self._chosen(isolation)
        choice = setting.domain_kind if setting else 0
        if domain is not None:
            if not self._setting.paged:
                raise KernelError(f"isolation {self.isolation!r} has no domains; choose one with pages, such as 'pages' or 'ring3'")
            if setting and not setting.paged:
                raise KernelError(f"isolation {isolation!r} is physical memory, which has no domains; leave out domain={domain!r}, or choose one of {', '.join(name for name, one in BESIDE.items() if one.paged)}")
            there = self._domain(domain)
            if there and setting and (self._load(there + at.D_KIND) ^ setting.domain_kind) & at.KIND_RING3:
                raise KernelError(f"domain {domain!r} is not in the ring of isolation {isolation!r}; choose another name")
            choice = there or at.NEW_DOMAIN | choice
        self._store(at.G_CHOICE, choice)
        with self._kernel():
            record = int(native.process_make(self._m, _W(0), _W(installed.record)))
        if record == 0 and self._load(at.G_KERNEL_DUE):  # there may be room again, and the kernel's thread has had no turn
            self.collect_kernel()
            with self._kernel():
                record = int(native.process_make(self._m, _W(0), _W(installed.record)))
        self._store(at.G_CHOICE, 0)
        if domain is not None and record:
            joined = self._load(record + at.P_DOMAIN)
            self._host.domains[domain] = joined, self._load(joined + at.D_ID)
        return record

    def _domain(self: System, name: str) -> int:
        """Return the record of the domain with a name if it is still there, else 0."""
        record, number = self._host.domains.get(name, (0, 0))
        there = record and self._load(record + at.D_MAGIC) == at.MAGIC_DOMAIN and self._load(record + at.D_ID) == number
        return record if there else 0
