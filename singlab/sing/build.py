"""Building: source to SIL, verified, to code, sealed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from singlab.kernel.abi import ABI_VERSION
from singlab.kernel.heaplayout import WITH_BARRIER
from singlab.kernel.image import Manifest, Parameter, SealedImage, seal
from singlab.kernel.manifest import fingerprint
from singlab.sing import verifier
from singlab.sing.carried import named_contracts
from singlab.sing.declaration import Declaration, check_contracts, declaration, sides
from singlab.sing.errors import SipError
from singlab.sing.frontend import compile_program
from singlab.sing.lower import ModuleLowering
from singlab.sing.modulecode import Generated, generate
from singlab.sing.optimise import optimise
from singlab.sing.program import Program
from singlab.sing.sil import Module
from singlab.sing.sil_text import format_module
from singlab.sing.types import Endpoint


def build(
    program: Program, verify: bool = True, checks: bool = True, optimiser: bool = True, carry_sil: bool = False
) -> SealedImage:
    """Return the sealed image of a program.

    Parameters
    ----------
    program : Program
        A function decorated with ``@sip``.
    verify : bool
        Whether the verifier must accept it. An image built without is marked as not verified, and a sealed
        system refuses it.
    checks : bool
        Whether accesses to vectors are checked against their bounds, and the stack for room. Without, the image counts as not verified:
        for measuring what the checks cost. It goes with the verifier and the optimiser.
    optimiser : bool
        Whether the optimiser may shorten the code; it touches only what the verifier has accepted.
    carry_sil : bool
        Put the SIL into the image, so that ``install(system, image, reverify=True)`` need not believe that it was verified.

    Raises
    ------
    SipError
        If the program is refused; nothing is built.
    """
    module = compile_program(program)
    declared = declaration(program)
    check_contracts(program, module, declared)
    if verify:
        verifier.verify(module)
    image = seal_module(module, verify, checks, optimiser, declared, carry_sil)
    return replace(image, remarks=partial(_saving, program))


#: A card measures tree shaking, which builds the program a second time, for texts up to so many lines.
_QUICK_LINES = 2000


def _saving(program: Program) -> list[tuple[str, str]]:
    """Return what an image's card says about functions that were left out."""
    helpers = [other for other in list(program.names.values()) if isinstance(other, Program) and not other.entry]
    if not helpers or program.source.count("\n") > _QUICK_LINES:
        return []
    try:
        saved = tree_shaking(program)
    except SipError:
        return []  # a helper beside it does not compile; that is not this image's matter
    if not saved.functions:
        return []
    return [("left out", f"{', '.join(saved.functions)}: {saved.bytes_before:,} bytes of code would be there with all helpers, "
                         f"{saved.bytes_after:,} are")]  # fmt: skip


@dataclass(frozen=True)
class TreeShaking:
    """What leaving functions out of an image saves.

    Attributes
    ----------
    functions : tuple of str
        The helpers in the program's text that are not in its image: not called, or inlined wherever they are.
    bytes_before, bytes_after : int
        Code with all helpers, and as it is built.
    """

    functions: tuple[str, ...]
    bytes_before: int
    bytes_after: int


def tree_shaking(program: Program) -> TreeShaking:
    """Return which functions a program's image does without, and what that saves.

    Raises
    ------
    SipError
        If the program, or a helper beside it, is refused.
    """
    module = compile_program(program)
    verifier.verify(module)
    lowering = ModuleLowering(program)
    for other in list(program.names.values()):
        if isinstance(other, Program) and not other.entry:
            lowering.signature(other)
    whole = lowering.lower()
    shaken = optimise(module)
    missing = tuple(sorted(set(whole.functions) - set(shaken.functions)))
    return TreeShaking(missing, generate(optimise(whole, shake=False)).code.text_bytes, generate(shaken).code.text_bytes)


def compiled(module: Module, verified: bool = True, checks: bool = True, optimiser: bool = True, barrier: bool = False) -> Generated:
    """Return a module's code, optimised if the verifier has accepted it: the optimiser relies on that.

    ``barrier`` says whether stores of references into objects have a write barrier.
    """
    if not checks and not (verified and optimiser):
        raise ValueError("checks=False needs the verifier and the optimiser: leave verify and optimiser as they are")
    try:
        if verified and optimiser:
            try:
                return generate(optimise(module, checks), barrier, linked=checks)
            except SipError as error:
                if error.rule != "size":  # more values are alive at once than before: then as it stands
                    raise
        return generate(module, barrier)
    except SipError as error:
        raise error.at(module.filename, module.source) from None


def all_contracts(known: dict) -> dict:
    """Return contracts with those whose endpoints their messages carry."""
    found = {}
    for contract in known.values():
        found.update(named_contracts(contract, {**contract.known, **known}))
    return found


def whole_source(module: Module) -> str:
    """Return a program's text with those of its helpers in the lines that it leaves empty.

    A helper of another cell may have lines of the same numbers: these stay the program's.
    """
    lines = module.source.split("\n")
    for function in module.functions.values():
        if function.source and function.filename == module.filename and function.source != module.source:
            other = function.source.split("\n")
            lines += [""] * (len(other) - len(lines))
            lines = [mine or theirs for mine, theirs in zip(lines, [*other, *[""] * (len(lines) - len(other))])]
    return "\n".join(lines)


def seal_module(
    module: Module, verified: bool, checks: bool = True, optimiser: bool = True, declared: Declaration | None = None,
    carry_sil: bool = False,
) -> SealedImage:  # fmt: skip
    """Generate a module's code and seal it with its manifest and contract tables."""
    if not isinstance(module, Module):
        raise SipError("sil.malformed", f"SIL is sealed, this is {type(module).__name__}", filename="<sil>",
                       hint="write seal_module(module, verify(module).accepted), or build(program)")  # fmt: skip
    declared = declared or Declaration()
    module = replace(module, contracts=all_contracts({**declared.contracts, **module.contracts}))
    generated = compiled(module, verified, checks, optimiser, declared.collector in WITH_BARRIER)
    tables: list[np.ndarray] = []
    contracts, prints = {}, {}
    for name, contract in sorted(module.contracts.items()):
        table, description = contract.table(module.contracts), contract.describe()
        prints[name] = fingerprint(name, description)
        contracts[name] = {**description, "table": [sum(map(len, tables)), len(table)]}
        tables.append(table)
    imports, exports = sides(module, declared)
    parameters = []
    for reg in module.functions[module.entry].params:
        endpoint = reg.type if isinstance(reg.type, Endpoint) else None
        parameters.append(
            Parameter(reg.name, str(reg.type), endpoint and endpoint.contract, endpoint and endpoint.side)
        )  # fmt: skip
    manifest = Manifest(
        name=declared.name or module.name,
        abi_version=ABI_VERSION,
        entry=0,
        text_bytes=generated.code.text_bytes,
        stack_bytes=generated.stack_bytes,
        parameters=parameters,
        relocations=generated.code.relocations,
        contracts=contracts,
        lines=generated.code.lines,
        heap=generated.heap,
        unlink=generated.unlink,
        functions=generated.functions,
        verified=verified and checks,
        source=whole_source(module),
        exceptions={str(number): name for number, name in module.exceptions.items()},
        result=str(module.functions[module.entry].result or ""),
        version=declared.version,
        publisher=declared.publisher,
        category=declared.category,
        imports={name: prints[name] for name in imports},
        exports={name: prints[name] for name in exports},
        io_memory=declared.io_memory,
        interrupts=declared.interrupts,
        dma=declared.dma,
        isolation=declared.isolation,
        extensions=declared.extensions,
        provides=declared.provides,
        wants=declared.wants,
        collector=declared.collector,
        heap_bytes=declared.heap_bytes,
        sil=format_module(module) if carry_sil else "",
    )
    return seal(manifest, generated.code.text, np.concatenate(tables) if tables else np.zeros(0, np.uint64))
