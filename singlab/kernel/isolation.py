"""Isolation settings: the papers' ladder, from no checks at all to an address space for every SIP.

Each setting says how SIPs are kept apart and how they enter the kernel. What it costs follows from that: calls
or traps, tables to write and to walk, buffers that lose what they knew when the table changes.
In the setting "mixed" each SIP has one of five: physical memory, the kernel domain of ring 0, a domain of its own there, the shared
user domain, a user domain of its own. For one in physical memory nothing is translated as long as it runs; the kernel, which
reaches everything through a window that only a page table gives it, translates while it works for it too.
"""

from __future__ import annotations

from dataclasses import dataclass

from singlab.kernel.layout import KIND_OWN, KIND_PHYSICAL, KIND_RING0, KIND_RING3
from singlab.kernel.manifest import SIP_SETTINGS


@dataclass(frozen=True)
class Isolation:
    """One setting.

    Attributes
    ----------
    name : str
    doc : str
    ring3 : bool
        SIPs run in user mode and enter the kernel by a trap; otherwise in ring 0, by a call.
    paged : bool
        Addresses are translated, in pages of 4 KB.
    own_domains : bool
        Each SIP gets an address space of its own where nothing else is chosen; otherwise all share one.
    checked : bool
        Only images that the verifier has accepted, run-time checks and all, are installed.
    paper : str
        The configuration of MSPC 2006 it corresponds to; empty if to none.
    open : bool
        The processes are open ones, with system calls instead of the ABI.
    mixed : bool
        SIPs of both rings; the kernel is entered by call and by trap.
    """

    name: str
    doc: str
    ring3: bool = False
    paged: bool = False
    own_domains: bool = False
    checked: bool = True
    paper: str = ""
    open: bool = False
    mixed: bool = False

    @property
    def user_pages(self) -> bool:
        """Whether there are pages that user mode may reach, and the kernel as well."""
        return self.ring3 or self.mixed

    @property
    def domain_kind(self) -> int:
        """The kind of domain (``layout.KIND_...``) of a SIP in this setting."""
        return (KIND_RING3 if self.ring3 else KIND_RING0) | (KIND_OWN if self.own_domains else 0) if self.paged else KIND_PHYSICAL


#: Not of the ladder: open processes, as :mod:`singlab.kernel.opensystem` has them.
OPEN = Isolation("open", "user mode, an address space for each open process, system calls by trap", ring3=True, paged=True, open=True)

#: In the order of the ladder.
SETTINGS = {
    setting.name: setting
    for setting in (
        Isolation("unchecked", "ring 0, physical memory, ABI by call, images without run-time checks allowed", checked=False),
        Isolation("sip", "ring 0, physical memory, ABI by call", paper="SIP-Phys"),
        Isolation("pages", "ring 0, 4 KB pages, one domain, ABI by call", paged=True, paper="SIP-Page"),
        Isolation("domain", "ring 0, each SIP in its own domain, ABI by call", paged=True, own_domains=True, paper="HIP-R0"),
        Isolation("ring3", "user mode, 4 KB pages, one user domain, ABI by trap", ring3=True, paged=True),
        Isolation("ring3-domains", "user mode, each SIP in its own domain, ABI by trap", ring3=True, paged=True, own_domains=True,
                  paper="HIP-R3"),
    )
}  # fmt: skip

#: Not of the ladder either: each SIP has the setting that it, its image or its parent chooses; without a choice it is in "pages".
MIXED = Isolation("mixed", "for each SIP its own ring and its own domain, or physical memory, ABI by call or trap", paged=True, mixed=True)

#: All that a sealed system can be booted with.
CHOICES = {**SETTINGS, MIXED.name: MIXED}
#: The settings that SIPs of one system can have beside each other, by name and by kind of domain.
BESIDE = {name: SETTINGS[name] for name in SIP_SETTINGS}
BY_KIND = {setting.domain_kind: name for name, setting in BESIDE.items()}
