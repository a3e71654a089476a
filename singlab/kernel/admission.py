"""Admission: everything the installer asks of an image before a byte of it can run.

The image comes from its bytes, whose seal is right; anybody can seal anything, so nothing in the manifest is
taken for true. Each refusal is one :class:`InstallError` that says what is wrong and what to do.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

from singlab.kernel import layout as at
from singlab.kernel.abi import ABI, ABI_VERSION, NO_STATE
from singlab.kernel.heaps import check_heap
from singlab.kernel.image import Manifest, SealedImage
from singlab.kernel.isolation import BESIDE
from singlab.kernel.manifest import NAME, SCALARS, VERSION, InstallError, difference, fingerprint
from singlab.kernel.resources import check_conflicts, check_dma, check_names, check_resources
from singlab.kernel.scan import scan
from singlab.kernel.tables import sound

#: A program has at most this many startup parameters: they arrive in registers.
MAX_PARAMETERS = 8
_AGAIN = "Build it again from its source."


def admit(image: SealedImage, installed: Mapping, allow_unverified: bool, ram_bytes: int) -> list[str]:
    """Refuse an image that must not be installed.

    Parameters
    ----------
    image : SealedImage
    installed : mapping of str to Installed
        What is there already, by name.
    allow_unverified : bool
        Take an image that does not say it was verified, without looking at its code.
    ram_bytes : int

    Returns
    -------
    list of str
        Notes: what is allowed but worth knowing.

    Raises
    ------
    InstallError
    """
    manifest = image.manifest
    check_identity(manifest)
    if not manifest.verified and not allow_unverified:
        raise InstallError(
            f"{image.name}: not verified, so a sealed system does not install it. Build it with verify=True, or "
            "boot with allow_unverified=True to see what unverified code can do."
        )
    calls = check_code(image, ram_bytes)
    check_contracts(image)
    check_parameters(manifest)
    if manifest.verified:
        scan(image.name, image.code, manifest.text_bytes, manifest.entry, calls)
    check_heap(image)
    check_resources(image.name, manifest.io_memory, manifest.interrupts, ram_bytes)
    check_dma(image.name, manifest.dma)
    if manifest.isolation and manifest.isolation not in BESIDE:
        raise InstallError(f"{image.name}: isolation {manifest.isolation!r:.40} is no setting of a single SIP. There are: {', '.join(BESIDE)}.")
    known = installed.get(image.name)
    if known is not None:
        raise InstallError(
            f"{image.name}: another program of this name is installed (seal {known.seal[:12]}…, not {image.seal[:12]}…). "
            f'Take that one out first, system.uninstall("{image.name}"), or name this one otherwise: @sip(name="...").'
        )
    check_conflicts(image.name, manifest.io_memory, manifest.interrupts, installed.values())
    check_names(image.name, manifest.provides, manifest.wants, installed.values())
    check_partners(manifest, installed)
    check_extensions(manifest, installed)
    return notes(manifest, installed)


def check_identity(manifest: Manifest) -> None:
    """Refuse another ABI version, and names that no program has."""
    name = f"{manifest.name:.64}" if manifest.name.isprintable() else "image"
    if manifest.abi_version != ABI_VERSION:
        raise InstallError(f"{name}: built for ABI version {manifest.abi_version}, this kernel has version {ABI_VERSION}. {_AGAIN}")
    if not NAME.fullmatch(manifest.name):
        raise InstallError(f"{name}: its name is not one: letters, digits and _ . + -, beginning with a letter, at most 64. {_AGAIN}")
    if not VERSION.fullmatch(manifest.version):
        raise InstallError(f'{name}: {manifest.version[:40]!r} is no version. Write numbers with points between them, such as "1.2".')
    for what in (manifest.publisher, manifest.category):
        if len(what) > 64 or not (what.isprintable()):
            raise InstallError(f"{name}: publisher and category are words of at most 64 printable characters. {_AGAIN}")


def check_code(image: SealedImage, ram_bytes: int) -> dict[int, int]:
    """Refuse code whose parts are not where the manifest says; returns its ABI call places."""
    manifest, size = image.manifest, len(image.code)
    if size % 8 or not 0 < manifest.text_bytes <= size or manifest.text_bytes % 4:
        raise InstallError(f"{image.name}: {manifest.text_bytes} bytes of text do not fit {size} bytes of code. {_AGAIN}")
    if manifest.entry % 4 or not 0 <= manifest.entry < manifest.text_bytes:
        raise InstallError(f"{image.name}: it starts at offset {manifest.entry}, which is not in its text. {_AGAIN}")
    if not 16 <= manifest.stack_bytes <= ram_bytes or manifest.stack_bytes % 16:
        raise InstallError(f"{image.name}: a stack of {manifest.stack_bytes} bytes is not possible here. {_AGAIN}")
    if manifest.unlink % 4 or not 0 <= manifest.unlink < manifest.text_bytes:
        raise InstallError(f"{image.name}: what gives stack back lies at offset {manifest.unlink}, which is not in its text. {_AGAIN}")
    before = -1
    for offset, line in manifest.lines:
        if not (before <= offset <= size and 0 <= line < 1 << 31):
            raise InstallError(f"{image.name}: its table of source lines is not in order. {_AGAIN}")
        before = offset
    calls = {}
    for relocation in manifest.relocations:
        if relocation.kind != "abi" or not 0 <= relocation.value < len(ABI):
            raise InstallError(f"{image.name}: calls {relocation.kind:.20} {relocation.value}, which is not in the ABI. {_AGAIN}")
        if relocation.offset % 4 or not 0 <= relocation.offset <= manifest.text_bytes - 8:
            raise InstallError(f"{image.name}: a call at offset {relocation.offset} lies outside its text. {_AGAIN}")
        if relocation.offset in calls:
            raise InstallError(f"{image.name}: two calls of the ABI overlap. {_AGAIN}")
        calls[relocation.offset] = relocation.value
    return calls


def check_contracts(image: SealedImage) -> None:
    """Refuse contracts that are not listed, not what their fingerprints say, or not what their tables say."""
    manifest = image.manifest
    if len(image.tables) % 8:
        raise InstallError(f"{image.name}: its contract tables are cut off. {_AGAIN}")
    listed = {**manifest.imports, **manifest.exports}
    for name in manifest.contracts:
        if name not in listed:
            raise InstallError(f"{image.name}: its code speaks contract {name:.64}, which its manifest neither imports nor exports. "
                               f"Declare it: @sip(imports=[...]) or @sip(exports=[...]). {_AGAIN}")  # fmt: skip
    for name in listed:
        if not NAME.fullmatch(name) or name not in manifest.contracts:
            raise InstallError(f"{image.name}: its manifest lists contract {name:.64} and does not say what it is. {_AGAIN}")
        if {manifest.imports.get(name), manifest.exports.get(name)} - {None} != {fingerprint(name, manifest.contracts[name])}:
            raise InstallError(f"{image.name}: contract {name} is not the one that its fingerprint stands for. {_AGAIN}")
    for name, contract in manifest.contracts.items():
        check_table(image, name, contract)


#: An argument that is an endpoint, as ``Contract.describe`` writes it: contract, side and state.
END = re.compile(r"([A-Za-z_]\w*)\.(Imp|Exp)(?::(\w+))? ")


def end_is(about: int, number: int, argument: str, image: SealedImage) -> bool:
    """Whether a table's two words about an endpoint that a message carries are what its description says."""
    found = END.match(argument)
    order = sorted(image.manifest.contracts)
    if found is None or number >= len(order) or order[number] != found[1]:
        return False
    states = image.manifest.contracts[found[1]]["states"]
    state = found[3] or (states[0] if states else None)
    return state in states and about == (found[2] == "Exp") | states.index(state) << 16


def check_table(image: SealedImage, name: str, contract: dict) -> None:
    """Refuse a contract's table, which the kernel goes by, unless it is the description's."""
    offset, words = contract["table"]
    if not 0 <= offset <= offset + words <= len(image.tables) // 8 or words < 1:
        raise InstallError(f"{image.name}: the table of contract {name} lies outside the image. {_AGAIN}")
    table = struct.unpack_from(f"<{words}Q", image.tables, offset * 8)
    states, messages, slots_imp, slots_exp = (table[0] >> shift & 0xFFFF for shift in (0, 16, 32, 48))
    about, first = table[1 : 1 + messages], 1 + messages + states * messages
    if words != first + 2 * sum((word >> 24 & 0xFF).bit_count() for word in about) or not sound(about):
        raise InstallError(f"{image.name}: the table of contract {name} has the wrong size. {_AGAIN}")
    expected = [NO_STATE] * (states * messages)
    same = states == len(contract["states"]) and messages == len(contract["messages"])
    if same:
        for state, message, target in contract["transitions"]:
            expected[state * messages + message] = target
        structs = {said[2] for said in (str(type_).split() for type_ in contract.get("types", ())) if said[:2] == ["rep", "struct"] and said[2:]}
        ends = list(zip(table[first::2], table[first + 1 :: 2]))
        for word, message in zip(about, contract["messages"]):
            same &= word & 0xFF == len(message["arguments"]) and word >> 16 & 1 == (message["direction"] == "!")
            for index, argument in enumerate(message["arguments"]):
                same &= word >> 8 >> index & 1 == (argument.startswith(("ExVec[", "Shared[")) or argument.rpartition(" ")[0] in structs)
                if word >> 24 >> index & 1:
                    same &= end_is(*ends.pop(0), argument, image)
                elif END.match(argument):
                    same = False
    if not same or list(table[1 + messages : first]) != expected:
        raise InstallError(f"{image.name}: the table of contract {name} is not that of its description. {_AGAIN}")
    if max(slots_imp, slots_exp) > at.MAX_SLOTS:
        raise InstallError(
            f"{image.name}: contract {name} lets {max(slots_imp, slots_exp)} messages be under way in one "
            f"direction; an endpoint has {at.MAX_SLOTS} slots. Add an answer from the other side in between."
        )


def check_parameters(manifest: Manifest) -> None:
    """Refuse startup parameters that cannot be given, and endpoints of contracts that are not listed."""
    if len(manifest.parameters) > MAX_PARAMETERS or len({p.name for p in manifest.parameters}) != len(manifest.parameters):
        raise InstallError(f"{manifest.name}: it has more than {MAX_PARAMETERS} startup parameters, or two of one name. {_AGAIN}")
    for parameter in manifest.parameters:
        if not (parameter.name.isidentifier() and len(parameter.name) <= 200):
            raise InstallError(f"{manifest.name}: a startup parameter has no name. {_AGAIN}")
        if parameter.contract is None:
            if parameter.type not in SCALARS or parameter.side is not None:
                raise InstallError(f"{manifest.name}: nothing can be given for startup parameter {parameter.name} "
                                   f"of type {parameter.type:.40}. {_AGAIN}")  # fmt: skip
            continue
        side = {"Imp": manifest.imports, "Exp": manifest.exports}.get(parameter.side or "")
        if side is None or parameter.type != f"{parameter.contract}.{parameter.side}":
            raise InstallError(f"{manifest.name}: startup parameter {parameter.name} is no side of a contract. {_AGAIN}")
        if parameter.contract not in side:
            verb = "imports" if parameter.side == "Imp" else "exports"
            raise InstallError(f"{manifest.name}: startup endpoint {parameter.name} speaks {parameter.type:.64}, but the manifest does "
                               f'not list {parameter.contract:.64} under {verb}. Declare it: @sip({verb}=["{parameter.contract:.64}"]).')  # fmt: skip


def check_partners(manifest: Manifest, installed: Mapping) -> None:
    """Refuse a contract that an installed image knows by the same name and not as the same contract."""
    for name, description in manifest.contracts.items():
        mine = fingerprint(name, description)
        for other in installed.values():
            theirs = other.image.manifest.contracts.get(name)
            if theirs is not None and fingerprint(name, theirs) != mine:
                raise InstallError(
                    f"{manifest.name}: its contract {name} is not {other.name}'s contract {name}: {difference(description, theirs)}. "
                    f'Build both from one contract; system.uninstall("{other.name}") takes the installed one out.'
                )


def check_extensions(manifest: Manifest, installed: Mapping) -> None:
    """Refuse extensions that are not installed or do not export the contract they are to be spoken to by."""
    for extension in manifest.extensions:
        name, contract = extension.image, extension.contract
        if not NAME.fullmatch(name) or name == manifest.name:
            raise InstallError(f"{manifest.name}: {name[:64]!r} cannot be its extension. Name another program's image.")
        if contract not in manifest.imports:
            raise InstallError(f"{manifest.name}: it starts {name} over contract {contract:.64}, which its manifest does not import. {_AGAIN}")
        child = installed.get(name)
        if child is None:
            raise InstallError(f"{manifest.name}: it starts {name} as an extension, which is not installed. Install that first.")
        if not any(p.contract == contract and p.side == "Exp" for p in child.image.manifest.parameters):
            raise InstallError(f"{manifest.name}: it starts {name} over contract {contract}, but {name} has no startup endpoint "
                               f"{contract}.Exp. Declare the contract that it exports, or another extension.")  # fmt: skip


def notes(manifest: Manifest, installed: Mapping) -> list[str]:
    """Return what is missing for the program to be of use: contracts whose other side nobody here plays yet."""
    found = []
    for name in manifest.imports:
        if not any(name in other.image.manifest.exports for other in installed.values()):
            found.append(f"imports {name}, which no installed program exports yet")
    for name in manifest.exports:
        if not any(name in other.image.manifest.imports for other in installed.values()):
            found.append(f"exports {name}, which no installed program imports yet")
    return found
