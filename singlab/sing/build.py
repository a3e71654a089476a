"""Building: source to SIL, verified, to code, sealed."""

from __future__ import annotations

import numpy as np

from singlab.kernel.abi import ABI_VERSION
from singlab.kernel.image import Manifest, Parameter, SealedImage, seal
from singlab.sing import verifier
from singlab.sing.errors import SipError
from singlab.sing.frontend import compile_program
from singlab.sing.modulecode import generate
from singlab.sing.program import Program
from singlab.sing.sil import Module
from singlab.sing.types import Endpoint


def build(program: Program, verify: bool = True) -> SealedImage:
    """Return the sealed image of a program.

    Parameters
    ----------
    program : Program
        A function decorated with ``@sip``.
    verify : bool
        Whether the verifier must accept it. An image built without is marked as not verified, and a sealed
        system refuses it.

    Raises
    ------
    SipError
        If the program is refused; nothing is built.
    """
    module = compile_program(program)
    if verify:
        verifier.verify(module)
    return seal_module(module, verified=verify)


def seal_module(module: Module, verified: bool) -> SealedImage:
    """Generate a module's code and seal it with its manifest and contract tables."""
    try:
        generated = generate(module)
    except SipError as error:
        raise error.at(module.filename, module.source) from None
    tables: list[np.ndarray] = []
    contracts = {}
    for name, contract in sorted(module.contracts.items()):
        table = contract.table()
        contracts[name] = {**contract.describe(), "table": [sum(map(len, tables)), len(table)]}
        tables.append(table)
    parameters = []
    for reg in module.functions[module.entry].params:
        endpoint = reg.type if isinstance(reg.type, Endpoint) else None
        parameters.append(
            Parameter(reg.name, str(reg.type), endpoint and endpoint.contract, endpoint and endpoint.side)
        )  # fmt: skip
    manifest = Manifest(
        name=module.name,
        abi_version=ABI_VERSION,
        entry=0,
        text_bytes=generated.code.text_bytes,
        stack_bytes=generated.stack_bytes,
        parameters=parameters,
        relocations=generated.code.relocations,
        contracts=contracts,
        lines=generated.code.lines,
        verified=verified,
        source=module.source,
        result=str(module.functions[module.entry].result or ""),
    )
    return seal(manifest, generated.code.text, np.concatenate(tables) if tables else np.zeros(0, np.uint64))
