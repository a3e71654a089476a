"""What the kernel's functions cost: ``python -m singlab.sing.kernel_costs --write`` makes charges.json.

The file is made from the kernel's sources by the lab's compiler and committed; a test makes it again
and compares. Run this after any change to ``singlab/kernel/core`` or to the code generator.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys

from singlab.kernel.native_files import CHARGES, CORE, CORE_FILES
from singlab.sing.words import CoreImage, compile_core


def core_sources() -> dict[str, str]:
    """Return the kernel's sources by file, in order of import."""
    return {file: (CORE / f"{file}.py").read_text(encoding="utf-8") for file in CORE_FILES}


def core_constants() -> dict[str, dict[str, int]]:
    """Return the integer names each kernel file sees."""
    constants = {}
    for file in CORE_FILES:
        module = importlib.import_module(f"singlab.kernel.core.{file}")
        constants[file] = {n: v for n, v in vars(module).items() if type(v) is int}
    return constants


def core_image() -> CoreImage:
    """Return the kernel's functions as RV64 code."""
    return compile_core(core_sources(), core_constants())


def charges() -> str:
    """Return the text of charges.json."""
    image = core_image()
    digest = hashlib.sha256("".join(core_sources().values()).encode()).hexdigest()
    functions = {
        name: {"offset": offset, "bytes": size, "points": image.points[name], "branches": image.branches[name]}
        for name, (offset, size) in image.functions.items()
    }
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(about)}" for name, about in functions.items())
    return f'{{\n"source_hash": "{digest}",\n"text_bytes": {len(image.text)},\n"functions": {{\n{rows}\n}}\n}}\n'


def main(arguments: list[str]) -> int:
    """Write or check charges.json."""
    text = charges()
    if arguments == ["--write"]:
        CHARGES.write_text(text, encoding="utf-8")
        return 0
    if arguments == ["--check"]:
        same = CHARGES.exists() and CHARGES.read_text(encoding="utf-8") == text
        print("charges.json is up to date" if same else "charges.json is stale; run this with --write")
        return 0 if same else 1
    print("usage: python -m singlab.sing.kernel_costs --write | --check", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
