"""What a program declares about itself: the arguments of ``@sip(...)``, which become its image's manifest.

They are read as literals from the source, like everything of a program, and nothing is run for it. A wrong one is
refused at its place. Which contracts a program speaks need not be declared, since its types say so; where they are
declared, the program must speak these and no others.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from singlab.kernel.heaplayout import COLLECTORS, SMALLEST_HEAP
from singlab.kernel.manifest import LARGEST_DMA, MOST_DMA, NAME, PATH, PATTERN, SIP_SETTINGS, VERSION, Extension, IoMemoryRange, Provision
from singlab.sing.contracts import Contract
from singlab.sing.errors import SipError
from singlab.sing.types import Endpoint

if TYPE_CHECKING:
    from singlab.sing.program import Program
    from singlab.sing.sil import Module

#: What @sip takes, and how each is written.
EXAMPLES = {
    "name": 'name="disk"', "version": 'version="1.2"', "publisher": 'publisher="MSR"', "category": 'category="driver"',
    "io_memory": "io_memory=[(0x10001000, 0x1000)]", "interrupts": "interrupts=[1]", "dma": "dma=[4096]", "isolation": 'isolation="ring3-domains"', "imports": 'imports=["Disk"]',
    "exports": 'exports=["Files"]', "provides": 'provides=["/dev/disk"]', "wants": 'wants=["/dev/disk"]', "extensions": 'extensions=[("plugin", "WebApp")]',
    "collector": 'collector="semispace"', "heap_bytes": "heap_bytes=65536",
}  # fmt: skip


@dataclass
class Declaration:
    """What a program declares.

    Attributes
    ----------
    name, version, publisher, category : str
        ``name`` is empty where the function's is meant.
    io_memory : list of IoMemoryRange
    interrupts : list of int
    dma : list of int
    isolation : str
    extensions : list of Extension
    provides : list of Provision
    wants : list of str
    collector : str
        Empty: the system's.
    heap_bytes : int
        0: no bound.
    imports, exports : list of str, or None
        None: as the program's types say.
    contracts : dict of str to Contract
        Those that its extensions export, by name.
    places : dict of str to ast.expr
        Where each was declared, for messages.
    """

    name: str = ""
    version: str = "1.0"
    publisher: str = ""
    category: str = ""
    io_memory: list[IoMemoryRange] = field(default_factory=list)
    interrupts: list[int] = field(default_factory=list)
    dma: list[int] = field(default_factory=list)
    isolation: str = ""
    extensions: list[Extension] = field(default_factory=list)
    provides: list[Provision] = field(default_factory=list)
    wants: list[str] = field(default_factory=list)
    collector: str = ""
    heap_bytes: int = 0
    imports: list[str] | None = None
    exports: list[str] | None = None
    contracts: dict[str, Contract] = field(default_factory=dict)
    places: dict[str, ast.expr] = field(default_factory=dict)


def _decorator(node: ast.FunctionDef) -> ast.Call | None:
    """Return the call ``@sip(...)`` above a function, if it is a call."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call):
            called = decorator.func
            if (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)) in ("sip", "function"):
                return decorator
    return None


class _Reader:
    """Read one program's declaration."""

    def __init__(self, program: Program):
        self.program = program

    def refuse(self, message: str, node: ast.AST, hint: str) -> SipError:
        """Return an error at a node; Python counts columns in bytes, a reader in characters."""
        column = getattr(node, "col_offset", 0)
        lines = self.program.source.splitlines()
        line = getattr(node, "lineno", 0)
        if 0 < line <= len(lines) and not lines[line - 1].isascii():
            column = len(lines[line - 1].encode()[:column].decode(errors="ignore"))
        return SipError("manifest", message, hint=hint, line=line, column=column + 1).at(self.program.filename, self.program.source)

    def read(self) -> Declaration:
        call = _decorator(self.program.node)
        found = Declaration()
        if call is None:
            return found
        if not self.program.entry:
            raise self.refuse("a helper has no manifest", call, "write @function without arguments; a program's are those of @sip(...)")
        if call.args:
            raise self.refuse("@sip takes its arguments by name", call.args[0], f"write @sip({EXAMPLES['name']})")
        for keyword in call.keywords:
            if keyword.arg not in EXAMPLES:
                at = keyword if keyword.arg else keyword.value
                hints = {"io_ports": "this machine has no I/O ports: declare the device's registers with " + EXAMPLES["io_memory"],
                         "io_dma": "memory that a device is to read and write is declared with " + EXAMPLES["dma"]}  # fmt: skip
                raise self.refuse(f"a manifest has no {keyword.arg or 'arguments with **'}", at,
                                  hints.get(keyword.arg or "", f"there are {', '.join(EXAMPLES)}"))  # fmt: skip
            if keyword.arg in found.places:
                raise self.refuse(f"{keyword.arg} is declared twice", keyword.value, "remove one")
            found.places[keyword.arg] = keyword.value
            setattr(found, keyword.arg, getattr(self, keyword.arg, self.names)(keyword.value, keyword.arg))
        for extension, node in zip(found.extensions, getattr(found.places.get("extensions"), "elts", ())):
            contract = self.program.names.get(extension.contract)
            if not isinstance(contract, Contract):
                raise self.refuse(f"{extension.contract} is no contract", node.elts[1],
                                  f'declare it first: {extension.contract} = contract("""...""")')  # fmt: skip
            found.contracts[contract.name] = contract
        found.extensions = [Extension(e.image, self.program.names[e.contract].name) for e in found.extensions]
        return found

    # ---- one method a kind of value -----------------------------------------------------------------------------

    def text(self, node: ast.expr, what: str, pattern=None) -> str:
        value = getattr(node, "value", None)
        if not (isinstance(node, ast.Constant) and isinstance(value, str)):
            raise self.refuse(f"{what} is not a text in the program", node,
                              f"write it out: {EXAMPLES[what]}; a manifest is read without running anything")  # fmt: skip
        if pattern is not None and not pattern.fullmatch(value) or len(value) > 64 or not value.isprintable():
            raise self.refuse(f"{value[:64]!r} is no {what}", node,
                              {"version": f"write numbers with points between them: {EXAMPLES['version']}"}.get(
                                  what, f"write letters, digits and _ . + -, at most 64: {EXAMPLES[what]}"))  # fmt: skip
        return value

    def name(self, node: ast.expr, what: str) -> str:
        return self.text(node, what, NAME)

    def version(self, node: ast.expr, what: str) -> str:
        return self.text(node, what, VERSION)

    publisher = category = text

    def items(self, node: ast.expr, what: str) -> list[ast.expr]:
        if not isinstance(node, (ast.List, ast.Tuple)):
            raise self.refuse(f"{what} is not a list", node, f"write {EXAMPLES[what]}")
        return node.elts

    def number(self, node: ast.expr, what: str) -> int:
        if not (isinstance(node, ast.Constant) and type(node.value) is int and node.value < 1 << 64):
            raise self.refuse(f"{ast.unparse(node)[:64]} is not a number of at most 64 bits", node,
                              f"write it out: {EXAMPLES[what]}; a manifest is read without running anything")  # fmt: skip
        return node.value

    def pair(self, node: ast.expr, what: str) -> list[ast.expr]:
        if not (isinstance(node, (ast.Tuple, ast.List)) and len(node.elts) == 2):
            raise self.refuse(f"{ast.unparse(node)[:64]} is not a pair", node, f"write {EXAMPLES[what]}")
        return node.elts

    def io_memory(self, node: ast.expr, what: str) -> list[IoMemoryRange]:
        found = []
        for item in self.items(node, what):
            start, size = (self.number(part, what) for part in self.pair(item, what))
            if size == 0 or start + size > 1 << 64:
                raise self.refuse(f"{size} bytes from {start:#x} on are no range of addresses", item, f"write {EXAMPLES[what]}")
            for other in found:
                if start < other.start + other.size and other.start < start + size:
                    raise self.refuse(f"two ranges of I/O memory overlap: {other} and {IoMemoryRange(start, size)}", item,
                                      "declare each register once")  # fmt: skip
            found.append(IoMemoryRange(start, size))
        return found

    def interrupts(self, node: ast.expr, what: str) -> list[int]:
        found = []
        for item in self.items(node, what):
            line = self.number(item, what)
            if line in found:
                raise self.refuse(f"interrupt {line} is declared twice", item, "remove one")
            found.append(line)
        return found

    def dma(self, node: ast.expr, what: str) -> list[int]:
        """Bytes of each piece of memory for devices."""
        found = [self.number(item, what) for item in self.items(node, what)]
        for item, size in zip(self.items(node, what), found):
            if not 0 < size <= LARGEST_DMA:
                raise self.refuse(f"{size} bytes of memory for devices cannot be had", item, f"declare 1 to {LARGEST_DMA} bytes: {EXAMPLES[what]}")
        if len(found) > MOST_DMA:
            raise self.refuse(f"it declares {len(found)} pieces of memory for devices, and a program can have {MOST_DMA}", node, "declare fewer, larger ones")
        return found

    def isolation(self, node: ast.expr, what: str) -> str:
        value = self.text(node, what)
        if value not in SIP_SETTINGS:
            raise self.refuse(f"{value!r} is no isolation setting of a single SIP", node, f"there are {', '.join(SIP_SETTINGS)}")
        return value

    def names(self, node: ast.expr, what: str) -> list[str]:
        """The names of contracts."""
        found = []
        for item in self.items(node, what):
            name = self.text(item, what, NAME)
            contract = self.program.names.get(name)
            if not isinstance(contract, Contract):
                raise self.refuse(f"{name} is no contract", item, f'declare it first: {name} = contract("""...""")')
            found.append(contract.name)
        return found

    def provides(self, node: ast.expr, what: str) -> list[Provision]:
        """Names, or pairs of a name and the pattern that the principal of who connects must match."""
        found = []
        for item in self.items(node, what):
            parts = self.pair(item, what) if isinstance(item, (ast.Tuple, ast.List)) else [item]
            found.append(Provision(self.text(parts[0], what, PATH), self.text(parts[1], what, PATTERN) if len(parts) > 1 else "*"))
        return found

    def wants(self, node: ast.expr, what: str) -> list[str]:
        return [self.text(item, what, PATTERN) for item in self.items(node, what)]

    def collector(self, node: ast.expr, what: str) -> str:
        value = self.text(node, what)
        if value not in COLLECTORS[1:]:
            raise self.refuse(f"there is no collector {value!r}", node, f"choose one of {', '.join(COLLECTORS[1:])}")
        return value

    def heap_bytes(self, node: ast.expr, what: str) -> int:
        value = self.number(node, what)
        if not SMALLEST_HEAP <= value < 1 << 40:
            raise self.refuse(f"a heap of {value} bytes cannot be", node, f"it has at least {SMALLEST_HEAP} bytes, a page: write {EXAMPLES[what]}")
        return value

    def extensions(self, node: ast.expr, what: str) -> list[Extension]:
        return [Extension(*(self.text(part, what, NAME) for part in self.pair(item, what))) for item in self.items(node, what)]


def declaration(program: Program) -> Declaration:
    """Return what a program declares in ``@sip(...)``.

    Raises
    ------
    SipError
        If it is not written as literals, or says what no manifest can; rule ``manifest``.
    """
    return _Reader(program).read()


def _spoken(module: Module) -> dict[str, set[str]]:
    """Return the contracts a program can hold an endpoint of, by side."""
    found: dict[str, set[str]] = {"Imp": set(), "Exp": set()}
    for function in module.functions.values():
        for reg in function.registers():
            if isinstance(reg.type, Endpoint):
                found[reg.type.side].add(reg.type.contract)
    return found


def sides(module: Module, declared: Declaration) -> tuple[list[str], list[str]]:
    """Return the contracts a program imports and exports, as declared or as its types say."""
    spoken = _spoken(module)
    imports = {*spoken["Imp"], *declared.contracts} if declared.imports is None else {*declared.imports}
    exports = spoken["Exp"] if declared.exports is None else {*declared.exports}
    # a contract it knows without ever holding an end of it, in messages that it passes on
    return sorted(imports | (set(module.contracts) - exports - imports if declared.imports is None else set())), sorted(exports)


def check_contracts(program: Program, module: Module, declared: Declaration) -> None:
    """Refuse a program that speaks a contract its declaration leaves out, or declares one it does not speak."""
    spoken, reader = _spoken(module), _Reader(program)
    for side, verb, listed in (("Imp", "imports", declared.imports), ("Exp", "exports", declared.exports)):
        if listed is None:
            continue
        node = declared.places[verb]
        used = spoken[side] | (set(declared.contracts) if side == "Imp" else set())
        for name in sorted(used - set(listed)):
            raise reader.refuse(f"{program.name} holds {name}.{side}, but does not list {name} under {verb}", node,
                                f"write {verb}={sorted(used)}, or leave {verb} out: the program's types say it")  # fmt: skip
        for name in sorted(set(listed) - used):
            raise reader.refuse(f"{program.name} lists {name} under {verb}, but never holds {name}.{side}", node,
                                f"write {verb}={sorted(used)}, or leave {verb} out: the program's types say it")  # fmt: skip
