"""What the kernel's functions cost: ``python -m singlab.sing.kernel_costs --write`` makes charges.json and core_code.hex.

The files are made from the kernel's sources by the lab's compiler and committed; a test makes them again
and compares. Run this after any change to ``singlab/kernel/core`` or to the code generator.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys

from singlab.kernel.native_files import CHARGES, CORE_CODE, CORE_FILES, module_name, source_path
from singlab.sing.words import CoreImage, compile_core


def core_sources() -> dict[str, str]:
    """Return the kernel's sources by file, in order of import."""
    return {file: source_path(file).read_text(encoding="utf-8") for file in CORE_FILES}


def core_constants() -> dict[str, dict[str, int]]:
    """Return the integer names each kernel file sees."""
    constants = {}
    for file in CORE_FILES:
        module = importlib.import_module(module_name(file))
        constants[file] = {n: v for n, v in vars(module).items() if type(v) is int}
    return constants


def core_image() -> CoreImage:
    """Return the kernel's functions as RV64 code."""
    return compile_core(core_sources(), core_constants())


def charges(image: CoreImage | None = None) -> str:
    """Return the text of charges.json."""
    image = image or core_image()
    digest = hashlib.sha256("".join(core_sources().values()).encode()).hexdigest()
    functions = {
        name: {"offset": offset, "bytes": size, "points": image.points[name], "branches": image.branches[name]}
        for name, (offset, size) in image.functions.items()
    }
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(about)}" for name, about in functions.items())
    return f'{{\n"source_hash": "{digest}",\n"text_bytes": {len(image.text)},\n"functions": {{\n{rows}\n}}\n}}\n'


def code(image: CoreImage) -> str:
    """Return the text of core_code.hex: the functions' code, 64 bytes a line."""
    return "".join(f"{image.text[place : place + 64].hex()}\n" for place in range(0, len(image.text), 64))


def main(arguments: list[str]) -> int:
    """Write or check charges.json and core_code.hex."""
    image = core_image()
    text = charges(image)
    if arguments == ["--write"]:
        CHARGES.write_text(text, encoding="utf-8")
        CORE_CODE.write_text(code(image), encoding="utf-8")
        return 0
    if arguments == ["--check"]:
        same = CHARGES.exists() and CHARGES.read_text(encoding="utf-8") == text
        same = same and CORE_CODE.exists() and CORE_CODE.read_text(encoding="utf-8") == code(image)
        print("charges.json and core_code.hex are up to date" if same else "charges.json or core_code.hex is stale; run this with --write")
        return 0 if same else 1
    print("usage: python -m singlab.sing.kernel_costs --write | --check", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
