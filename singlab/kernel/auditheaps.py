"""Audit of heaps: that extents account for pages of objects, and that the kernel's references name its objects.

The part of :mod:`singlab.kernel.audit` that knows heaps. What a process's own objects are is nothing the kernel's tables say; what
the kernel's are they do: each word that holds a reference is looked for by itself, not by the kernel's table of its roots.
"""

from __future__ import annotations

from collections import Counter

from singlab.kernel import heaplayout as hp
from singlab.kernel import kernelobjects as ko
from singlab.kernel import layout as at


class HeapsAudit:
    """One look at the heaps of a system."""

    def look_at_heaps(self) -> None:
        """The extents of a heap with a collector are its owner's pages of objects, each once."""
        load = self.load
        for number, record in self.processes.items():
            if heap := load(record + at.P_OBJECT_HEAP):
                self.live["heap"].add(heap)
                self.need(load(heap + hp.Z_MAGIC) == at.MAGIC_HEAP and load(heap + hp.Z_PROCESS) == record, f"the heap of process {number} is not its own")
                pages = self.extents(heap, f"process {number}", hp.EXTENT_LISTS)
                own = {page for page in range(self.user, self.pages) if self.tags[page] == number << at.OWNER_SHIFT | at.TAG_HEAP}
                self.need(pages <= own, f"extents of process {number} lie in pages that are not its objects'")
        pages = self.extents(at.KERNEL_HEAP, "the kernel", hp.EXTENT_LISTS[:1])
        own = {page for page in range(self.pages) if self.tags[page] == at.TAG_KERNEL_HEAP}
        self.need(pages == own, f"of the kernel's pages of objects {sorted(pages ^ own)[:5]} are not accounted for")
        self.need(not load(at.KERNEL_HEAP + hp.Z_TROUBLE), f"the kernel's collector has found {load(at.KERNEL_HEAP + hp.Z_TROUBLE):#x}, which is no object")
        self.look_at_kernel_objects()

    def extents(self, heap: int, whose: str, lists: tuple[int, ...]) -> set[int]:
        """Look at the extents of a heap; returns their pages."""
        load, pages, total = self.load, Counter[int](), 0
        for head in lists:
            for extent in self.list(heap + head, hp.X_NEXT, f"the extents of {whose}"):
                self.live["extent"].add(extent)
                start, end, top = load(extent + hp.X_START), load(extent + hp.X_END), load(extent + hp.X_TOP)
                self.need(start <= top <= end and not (start | end) % at.PAGE, f"extent {extent:#x} of {whose} has its ends in a wrong order")
                pages.update(range((start - at.RAM_BASE) // at.PAGE, (end - at.RAM_BASE) // at.PAGE))
                total += end - start
        self.need(total == load(heap + hp.Z_BYTES), f"the heap of {whose} counts {load(heap + hp.Z_BYTES)} bytes and has {total}")
        self.need(set(pages.values()) <= {1}, f"two extents of {whose} have a page in common")
        return set(pages)

    def look_at_kernel_objects(self) -> None:
        """What the kernel's records and objects name are whole objects of the type they should be, and no two overlap."""
        load = self.load
        found: dict[int, int] = {}
        extents = self.list(at.KERNEL_HEAP + hp.Z_EXTENTS, hp.X_NEXT, "the kernel's extents")
        self.used = [(load(extent + hp.X_START), load(extent + hp.X_TOP)) for extent in extents]

        def text(reference: int, what: str) -> None:
            if reference:
                size = -(-(ko.TX_BYTES + load(reference + ko.TX_LENGTH)) // 8) * 8
                if self.whole(reference, ko.TEXT, size, what):
                    found[reference] = size

        for number, record in self.processes.items():
            principal = load(record + at.P_PRINCIPAL)
            self.need(not principal or load(record + at.P_STATE) != at.STOPPED, f"process {number} has ended and still has a principal")
            text(principal, f"the principal of process {number}")
        for name in self.list(at.G_NAMES, ko.N_NEXT, "the list of names"):
            if self.whole(name, ko.NAME, ko.NAME_BYTES, "a name"):
                found[name] = ko.NAME_BYTES
                self.need(load(name + ko.N_TEXT) and load(name + ko.N_RULE), f"name {name:#x} has no text, or no rule")
                text(load(name + ko.N_TEXT), "a name's text")
                text(load(name + ko.N_RULE), "a name's rule")
        places = sorted(found.items())
        self.need(all(one + size <= other for (one, size), (other, _) in zip(places, places[1:])), "two objects of the kernel overlap")
        top, end = load(at.G_KERNEL_TOP), load(at.G_KERNEL_END)
        self.need(top <= end and all(one + size <= top or one >= end for one, size in places), "an object of the kernel lies in the room for the next ones")

    def whole(self, reference: int, number: int, size: int, what: str) -> bool:
        """Whether an address is that of an object of a type and a size, in what the kernel has used of its extents."""
        inside = any(start <= reference and reference + size <= top for start, top in self.used)
        return self.need(reference % 8 == 0 and inside and self.load(reference) == number, f"{what} is said to lie at {reference:#x}, where no such object is")
