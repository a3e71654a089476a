"""Isolation settings: the papers' ladder, from no checks at all to an address space for every SIP.

Each setting says how SIPs are kept apart and how they enter the kernel. What it costs follows from that: calls
or traps, tables to write and to walk, buffers that lose what they knew when the table changes.
Leaves out SIPs of different rings in one system.
"""

from __future__ import annotations

from dataclasses import dataclass


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
    """

    name: str
    doc: str
    ring3: bool = False
    paged: bool = False
    own_domains: bool = False
    checked: bool = True
    paper: str = ""
    open: bool = False


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
