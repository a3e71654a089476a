"""Images and installed images as a reader sees them: cards and machine code, as text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from singlab.kernel.abi import ABI
from singlab.machine.view import render as r
from singlab.machine.view.disassembly import read_instruction
from singlab.machine.view.source import Symbols

if TYPE_CHECKING:
    from singlab.kernel.image import Manifest, SealedImage
    from singlab.kernel.loader import Installed


def bytes_of(number: int) -> str:
    """Return a size as text."""
    return r.counted(number, "byte")


@dataclass(repr=False)
class ImageCard(r.Shown):
    """What a sealed image is: identity, sizes, contracts, resources, seal."""

    image: SealedImage

    def blocks(self) -> list[r.Block]:
        manifest = self.image.manifest
        verdict = r.Cell("accepted by the verifier", "good") if manifest.verified else r.Cell("NOT verified", "bad strong")
        parts = [("text", manifest.text_bytes), ("read-only data", len(self.image.code) - manifest.text_bytes),
                 ("contract tables", len(self.image.tables))]  # fmt: skip
        parts.append(("manifest and seal", len(self.image.data) - sum(size for _, size in parts)))
        rows = [
            ("verified", verdict),
            ("seal", r.Cell(f"SHA-256 {self.image.seal[:32]}…", "mono")),
            ("ABI", r.Cell(f"version {manifest.abi_version}, {r.counted(len(manifest.relocations), 'call place')}")),
            *interface_cells(manifest),
            ("size", r.Cell(f"{bytes_of(len(self.image.data))}: " + ", ".join(f"{name} {size:,}" for name, size in parts), "wrap")),
            ("stack", r.Cell(f"begins with {bytes_of(manifest.stack_bytes)}" + (", and grows where functions test for room" if manifest.unlink else ""))),
            *resource_cells(manifest),
        ]
        if manifest.sil:
            rows.append(("carries", r.Cell("its SIL, so an installer can verify it again", "wrap")))
        if self.image.remarks is not None:
            rows += [(name, r.Cell(text, "wrap")) for name, text in self.image.remarks()]
        blocks: list[r.Block] = [
            r.Heading(f"Sealed image {manifest.name}", identity(manifest)),
            r.Table((), [r.Row((r.Cell(name, "soft"), cell)) for name, cell in rows]),
        ]
        return blocks + contract_blocks(manifest)


@dataclass(repr=False)
class ManifestCard(r.Shown):
    """What a program says of itself: who it is, what it starts with, and all that it wants of the system."""

    manifest: Manifest

    def blocks(self) -> list[r.Block]:
        manifest = self.manifest
        rows = [("ABI", r.Cell(f"version {manifest.abi_version}")), *interface_cells(manifest), ("stack", r.Cell(f"{bytes_of(manifest.stack_bytes)} at most")),
                *(resource_cells(manifest) or [("resources", r.Cell("none"))])]  # fmt: skip
        table = r.Table((), [r.Row((r.Cell(name, "soft"), cell)) for name, cell in rows])
        return [r.Heading(f"Manifest of {manifest.name}", identity(manifest)), table, *contract_blocks(manifest)]


def identity(manifest) -> str:
    """Return who a program is, besides its name."""
    return ", ".join(filter(None, (f"version {manifest.version}", manifest.publisher, manifest.category)))


def interface_cells(manifest) -> list[tuple[str, r.Cell]]:
    """Return what a program starts with and returns."""
    return [("starts with", r.Cell(", ".join(f"{p.name}: {p.type}" for p in manifest.parameters) or "nothing", "mono")),
            ("returns", r.Cell(manifest.result or "nothing", "mono"))]  # fmt: skip


def resource_cells(manifest) -> list[tuple[str, r.Cell]]:
    """Return the resources and extensions a manifest declares."""
    return [
        *(("I/O memory", r.Cell(str(wanted), "mono")) for wanted in manifest.io_memory),
        *([("interrupts", r.Cell(", ".join(map(str, manifest.interrupts)), "mono"))] if manifest.interrupts else []),
        *([("DMA memory", r.Cell(", ".join(f"{size} bytes" for size in manifest.dma), "mono"))] if manifest.dma else []),
        *([("isolation", r.Cell(manifest.isolation))] if manifest.isolation else []),
        *(("provides", r.Cell(str(one), "mono")) for one in manifest.provides),
        *([("connects to", r.Cell(", ".join(manifest.wants), "mono"))] if manifest.wants else []),
        *(("extension", r.Cell(f"{e.image}, over {e.contract}")) for e in manifest.extensions),
    ]


def contract_blocks(manifest) -> list[r.Block]:
    """Return the contracts a manifest lists, with which side it plays and their fingerprints."""
    rows = []
    for verb, listed in (("imports", manifest.imports), ("exports", manifest.exports)):
        for name, print_ in listed.items():
            known = manifest.contracts.get(name, {})
            size = f"{r.counted(len(known.get('messages', ())), 'message')}, {r.counted(len(known.get('states', ())), 'state')}"
            rows.append(r.Row((r.Cell(verb), r.Cell(name, "strong"), r.Cell(size), r.Cell(f"{print_[:16]}…", "mono"))))
    return [r.Table(("side", "contract", "size", "fingerprint"), rows)] if rows else []


@dataclass(repr=False)
class InstalledCard(r.Shown):
    """Where an installed image lies and what it was given."""

    installed: Installed

    def blocks(self) -> list[r.Block]:
        installed, manifest = self.installed, self.installed.image.manifest
        rows = [
            ("lies at", r.Cell(f"{installed.address:#x}, {bytes_of(installed.bytes)} of the kernel's memory", "mono wrap")),
            ("sealed as", r.Cell(f"SHA-256 {installed.seal[:32]}…, looked at again before each start", "mono wrap")),
            ("verified", r.Cell("accepted by the verifier", "good") if manifest.verified else r.Cell("NOT verified", "bad strong")),
            *resource_cells(manifest),
        ]
        table = r.Table((), [r.Row((r.Cell(name, "soft"), cell)) for name, cell in rows])
        remarks = [r.Remark(f"Note: {note}.", "soft") for note in installed.notes]
        return [r.Heading(f"Installed: {installed.name}", f"version {manifest.version}"), table, *contract_blocks(manifest), *remarks]


@dataclass(frozen=True)
class CodeLine:
    """One instruction of an image, or one call of the ABI (8 bytes that the loader fills in)."""

    offset: int
    text: str
    line: int
    source: str


@dataclass(repr=False)
class CodeView(r.Shown):
    """The machine code of an image.

    Attributes
    ----------
    image : SealedImage
    rows : list of CodeLine
    """

    image: SealedImage
    rows: list[CodeLine] = field(init=False)

    def __post_init__(self):
        manifest, code = self.image.manifest, self.image.code
        calls = {relocation.offset: relocation.value for relocation in manifest.relocations}
        lines = dict(manifest.lines)
        source = manifest.source.splitlines()
        self.rows, offset, line = [], 0, 0
        while offset < manifest.text_bytes:
            line = lines.get(offset, line)
            if offset in calls:
                size, text = 8, f"abi     {ABI[calls[offset]].name if 0 <= calls[offset] < len(ABI) else calls[offset]}"
            else:
                size, mnemonic, operands, _ = read_instruction(code[offset : offset + 4], offset, Symbols({}))
                text = f"{mnemonic:<7} {operands}".rstrip()
            self.rows.append(CodeLine(offset, text, line, source[line - 1].strip() if 0 < line <= len(source) else ""))
            offset += size

    def blocks(self) -> list[r.Block]:
        lines: list[tuple[str, list[tuple[str, str]]]] = []
        before = 0
        for row in self.rows:
            if row.line and row.line != before:
                lines.append(("", [(f"{row.line:>4}  {row.source}", "comment")]))
                before = row.line
            mnemonic, _, operands = row.text.partition(" ")
            lines.append((f"{row.offset:04x}", [(f"{mnemonic:<7}", "word"), (f" {operands.lstrip()}", "strong" if mnemonic == "abi" else "")]))
        return [r.Heading(f"Machine code of {self.image.name}", bytes_of(self.image.manifest.text_bytes)), r.Listing(lines)]
