"""The installer: images into the kernel's memory and out again, and the tables of what is there.

A base class of ``System``, apart because it is a mechanism of its own. What is asked of an image stands in
:mod:`singlab.kernel.admission`; here it is kept once it has been admitted.
"""

from __future__ import annotations

import numpy as np

from singlab.kernel import kernelobjects as ko
from singlab.kernel import layout as at
from singlab.kernel.admission import admit
from singlab.kernel.damage import links, over_tables
from singlab.kernel.image import SealedImage, open_image
from singlab.kernel.loader import IMAGE_TAG, TABLE_TAG, Installed, InstallError, image_lead, image_record, record_bytes
from singlab.kernel.native import native
from singlab.kernel.resources import declared_table, resource_rows
from singlab.kernel.tables import contract_keys, placed_tables
from singlab.machine import state as _s

_W = np.uint64


class Installing:
    """What a system does with images."""

    def install(self, image: SealedImage) -> Installed:
        """Check an image and keep it in the kernel's memory; installing the same image again changes nothing.

        Raises
        ------
        InstallError
            Before anything runs, if the image is refused.
        SealError
            If it is not what was sealed.
        """
        if not isinstance(image, SealedImage):
            raise InstallError(f"{image!r:.80} is no sealed image. build(program) makes one, SealedImage.load(path) reads one.")
        known = self._host.installed.get(image.name)
        if known is not None and known.image.data == image.data:
            return known
        image = open_image(image.data, image.name)  # what its bytes say, whatever the object says
        notes = admit(image, self._host.installed, self.allow_unverified, int(self._m[_s.RAM_BYTES]))
        record, before, table = record_bytes(image, self._setting), image_lead(image), declared_table(image.manifest)
        whole = before + len(image.data) + len(record) + len(table)
        pages = self._kernel_pages(whole, IMAGE_TAG)
        try:
            tables, directory = self._tables(image)
        except InstallError:
            self._free_kernel_pages(pages, whole)
            raise
        self.machine.write(pages + before, image.data)
        installed = Installed(image, pages + before, len(image.data), image.seal, tables, directory, notes, pages, whole)
        installed.record = pages + before + len(image.data)
        installed.resources = installed.record + len(record)
        self.machine.write(installed.resources, table)
        children = [self._host.installed[extension.image].record for extension in image.manifest.extensions]
        self.machine.write(installed.record, image_record(installed, children, self._setting))
        self._host.installed[image.name] = installed
        self._host.images[installed.record] = installed
        return installed

    def _tables(self, image: SealedImage) -> tuple[dict[str, int], int]:
        """Put the contract tables that are not known yet into the kernel; returns where all are, and where these addresses are.

        They stay there: an open endpoint goes by its contract's table.
        """
        host, contracts = self._host, image.manifest.contracts
        if not contracts:
            return {}, 0
        keys = contract_keys(image)
        fresh = [name for name in contracts if keys[name] not in host.tables]
        whole = " ".join(keys[name] for name in sorted(contracts))
        if whole in host.directories:
            return {name: host.tables[keys[name]] for name in contracts}, host.directories[whole]
        directory = host.directories[whole] = self._kernel_pages(8 * len(contracts) + sum(8 * contracts[name]["table"][1] for name in fresh), TABLE_TAG)
        place = directory + 8 * len(contracts)
        for name in fresh:
            host.tables[keys[name]], host.speaks[place] = place, name
            host.described[place] = {key: value for key, value in contracts[name].items() if key != "table"}
            place += 8 * contracts[name]["table"][1]
        places = {name: host.tables[keys[name]] for name in contracts}
        tables = placed_tables(image, places)
        for name in fresh:
            self.machine.write(places[name], tables[name])
        for index, name in enumerate(sorted(contracts)):
            self.machine.store_u64(directory + 8 * index, places[name])
        return places, directory

    def uninstall(self, name: str) -> None:
        """Take an installed image out again; its resources are free for another.

        Raises
        ------
        InstallError
            If there is no such image, a process of it has not ended, or an installed image starts it as an extension.
        """
        installed = self._host.installed.get(name)
        if installed is None:
            raise InstallError(f"no image {name!r:.80} is installed; there are: {', '.join(self._host.installed) or 'none'}")
        alive = [p for p in self.processes if p.installed is installed and p.state != "stopped"]
        if alive:
            raise InstallError(f"{name}: process {alive[0].number} of it is {alive[0].state}. Let it end, or stop it: "
                               f"system.processes[{self.processes.index(alive[0])}].stop()")  # fmt: skip
        for other in self._host.installed.values():
            if any(extension.image == name for extension in other.image.manifest.extensions):
                raise InstallError(f'{name}: {other.name} starts it as an extension. Take that out first: system.uninstall("{other.name}")')
        del self._host.installed[name], self._host.images[installed.record]
        self._free_kernel_pages(installed.pages, installed.whole)

    @property
    def installed(self):
        """What is installed, one row an image: identity, contracts, resources, where it lies (a pandas DataFrame)."""
        import pandas as pd

        columns = ("name", "version", "publisher", "category", "verified", "imports", "exports", "I/O memory", "interrupts", "DMA", "isolation", "provides", "wants",
                   "extensions",
                   "address", "bytes", "seal")  # fmt: skip
        return pd.DataFrame([image.row() for image in self._host.installed.values()], columns=columns).set_index("name")

    @property
    def resources(self):
        """The machine's devices and which image has each one's registers and interrupt (a pandas DataFrame)."""
        import pandas as pd

        return pd.DataFrame(resource_rows(self._host.installed.values())).set_index("device")

    @property
    @over_tables
    def namespace(self):
        """Which names are bound, who provides each and for whom, and who takes over connections (a pandas DataFrame)."""
        import pandas as pd

        load, text = self.machine.load_u64, self._kernel_text
        rows = []
        for name in links(self.machine, load(at.G_NAMES), ko.N_NEXT):
            exp = load(load(name + ko.N_IMP) + at.E_PEER)
            owner = self._host.processes.get(load(exp + at.E_OWNER))
            contract, about = self.contract_of(exp)
            service = about["messages"][0]["arguments"][0].rpartition(" ")[0]
            rows.append({"name": text(load(name + ko.N_TEXT)), "provider": owner.name if owner else "", "service": service,
                         "for": text(load(name + ko.N_RULE)), "contract": contract,
                         "open": not load(exp + at.E_CLOSED)})  # fmt: skip
        return pd.DataFrame(sorted(rows, key=lambda row: row["name"]), columns=["name", "provider", "service", "for", "contract", "open"]).set_index("name")

    def _kernel_pages(self, size: int, tag: int) -> int:
        with self._kernel():
            address = int(native.pages_alloc(self._m, _W(at.ZONE_KERNEL), _W(-(-size // at.PAGE)), _W(tag)))
        if address == 0:
            raise InstallError("the kernel zone has no room for another image; give the machine more RAM")
        return address

    def _free_kernel_pages(self, address: int, size: int) -> None:
        with self._kernel():
            native.pages_free(self._m, _W(address), _W(-(-size // at.PAGE)))
