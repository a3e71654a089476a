"""SIL as text: written for reading, and read back.

``docs/sil.md`` has the notation. Reading checks only what is needed to have a module at all: the
grammar, that registers have one type, that operands are of the right kind. Everything else is the
verifier's, which trusts a module read from text as little as any other.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from lark import Lark, Token, Tree, UnexpectedInput

from singlab.sing.contracts import Contract, declaration, parse_contracts, parse_declarations
from singlab.sing.errors import SipError
from singlab.sing.sil import CLOSED, Arms, Attempt, Block, Class, Function, Instr, Module, NewChannel, Position, Receive, Reg, Select, Trial
from singlab.sing.sil_classes import MOST_NESTED_ARRAYS
from singlab.sing.sil_table import OPS
from singlab.sing.types import BOOL, CHAR, HANDLES, INTS, STR, Array, Endpoint, EndpointSet, Object, Struct, Tuple, Type, Vector

#: A text longer than this is refused unread.
LARGEST_TEXT = 64 * 1024 * 1024

# ---- writing -----------------------------------------------------------------------------------------------


#: Instructions whose name stands after the first register.
_SECOND = frozenset(("give", "send", "load_field", "store_field", "load_item", "store_item"))


#: Instructions with a constant text.
_TEXTS = ("print_text", "string", "name_register", "name_connect", "principal_is")


def _quoted(text: str) -> str:
    return json.dumps(text)


def _place(position: Position) -> str:
    return f" @{position.line}:{position.column}" if position.line else ""


def _given(regs) -> str:
    return ", ".join(f"{r}: {r.type}" for r in regs)


def _row(operands: tuple[Reg, ...], cells: tuple, regs: tuple[Reg, ...]) -> str:
    """Return a row of a ``select`` as text."""
    out = []
    for operand, cell, own in zip(operands, cells, Select.split(cells, regs)):
        if cell is None:
            out.append("_")
            continue
        member = ""
        if isinstance(operand.type, EndpointSet) and own:
            member, own = f"{own[0]}: {own[0].type} = ", own[1:]
        out.append(f"{member}closed" if cell[0] == CLOSED else f"{member}{cell[0]}({_given(own)})")
    return ", ".join(out)


def format_instr(instr: Instr) -> str:
    """Return one instruction as text, without its place."""
    parts = [str(a) for a in instr.args]
    table = ""
    if isinstance(instr.extra, Select):
        arms = [f"({_row(instr.args, cells, regs)}) -> {label}" for cells, (regs, label) in instr.extra.arms.items()]
        if instr.extra.closed:
            arms.append(f"otherwise -> {instr.extra.closed}")
        table = " { " + "; ".join(arms) + " }"
    elif isinstance(instr.extra, Arms):
        arms = [f"{name}({_given(regs)}) -> {label}" for name, (regs, label) in instr.extra.arms.items()]
        if instr.extra.closed:
            arms.append(f"closed -> {instr.extra.closed}")
        if isinstance(instr.extra, Attempt) and instr.extra.function is not None:
            parts.insert(0, instr.extra.function)
            if isinstance(instr.extra, Trial) and instr.extra.rest is not None:
                parts.insert(1, str(instr.extra.rest))
        table = " { " + "; ".join(arms) + " }"
        if isinstance(instr.extra, NewChannel):
            parts.append(instr.extra.contract)
    elif isinstance(instr.extra, tuple):
        parts += map(str, instr.extra)
    elif instr.op in _TEXTS:
        parts.append(_quoted(str(instr.extra)))
    elif instr.extra is not None:
        parts.insert(1 if instr.op in _SECOND else 0, str(instr.extra))
    left = ", ".join(f"{reg}: {reg.type}" for reg in instr.results) + " = " if instr.results else ""
    return f"{left}{instr.op} {', '.join(parts)}".rstrip() + table


def _contracts(module: Module) -> list[str]:
    structs = ["structs:", *(f"    {declaration(module.structs[name])}" for name in sorted(module.structs))] if module.structs else []
    texts = dict.fromkeys(one.text.rstrip().strip("\n") for contract in module.contracts.values() for one in contract.lineage)
    return structs + (["contracts:", *(f"    {line}".rstrip() for text in texts for line in text.splitlines())] if texts else [])


def format_signature(function: Function) -> str:
    """Return a function's parameters and results as text."""
    params = ", ".join(f"{p}: {'&' * (i in function.borrowed)}{p.type}" for i, p in enumerate(function.params))
    return f"({params})" + (f" -> {function.result}" if function.result else "") + " raises" * function.raises


def format_module(module: Module) -> str:
    """Return a module as text; :func:`parse_sil` reads it."""
    if not isinstance(module, Module):
        raise SipError("sil.malformed", f"SIL is written as text, this is {type(module).__name__}", filename="<sil>",
                       hint="write format_module(compile(program))")  # fmt: skip
    out = [f"sip {module.name} entry {module.entry} file {_quoted(module.filename)}", *_contracts(module)]
    if module.exceptions:
        out.append("exceptions: " + ", ".join(f"{number} {_quoted(name)}" for number, name in module.exceptions.items()))
    if module.classes:
        out.append("")
    for known in module.classes.values():
        members = [f"{name}: {type_}" for name, type_ in known.fields.items()] + [f"{name} = {label}" for name, label in known.methods.items()]
        inner = " " + ", ".join(members) + " " if members else ""
        out.append(f"class {known.name}{f'({known.parent})' if known.parent is not None else ''} {{{inner}}}{_place(known.position)}")
    for function in module.functions.values():
        file = f" file {_quoted(function.filename)}" if function.filename and function.filename != module.filename else ""
        out.append(f"\nfunction {function.name}{format_signature(function)}{_place(function.position)}{file}")
        for block in function.blocks:
            out.append(f"{block.label}:" + (f"  ; {block.key}" if block.key else ""))
            out += [f"  {format_instr(instr)}{_place(instr.position)}" for instr in block.instrs]
    return "\n".join(out) + "\n"


# ---- reading -----------------------------------------------------------------------------------------------


@cache
def _parser() -> Lark:
    grammar = (Path(__file__).parent / "sil.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=True)


class _Reader:
    """From a parse tree to a module."""

    def __init__(self, text: str, filename: str):
        self.text, self.filename = text, filename
        self.lines = text.splitlines()
        self.contracts: dict[str, Contract] = {}
        self.structs: dict[str, Struct] = {}
        self.registers: dict[int, Reg] = {}
        self.classes: set[str] = set()

    def refuse(self, message: str, where, hint: str) -> SipError:
        meta = where.meta if isinstance(where, Tree) else where
        return SipError("sil.syntax", message, hint=hint, line=getattr(meta, "line", 0) or 0, column=getattr(meta, "column", 0) or 0
                        ).at(self.filename, self.text)  # fmt: skip

    def module(self, tree: Tree) -> Module:
        name, entry, file, structs, contracts, exceptions, *parts = tree.children
        if structs is not None:
            self.read_structs(structs)
        functions = [part for part in parts if part.data == "function"]
        if contracts is not None:
            self.read_contracts(contracts)
        own = self.string(file.children[0]) if file is not None else None
        module = Module(str(name), {}, str(entry), self.contracts, own if own is not None else self.filename,
                        self.text if own is None else "", {}, self.structs)  # fmt: skip
        for part in exceptions.children if exceptions is not None else ():
            module.exceptions[self.integer(part.children[0])] = self.string(part.children[1])
        self.classes = {str(part.children[0]) for part in parts if part.data == "class"}
        for part in parts:
            if part.data == "class":
                self.klass(part, module, own)
        for part in functions:
            function = self.function(part, own)
            if function.name in module.functions:
                raise self.refuse(f"function {function.name} stands twice", part.children[0], "rename one of them")
            module.functions[function.name] = function
        return module

    def read_structs(self, token: Token) -> None:
        try:
            contracts, types = parse_declarations("\n".join(line[4:] for line in str(token).split("\n")[1:]), self.filename, token.line + 1)
        except SipError as error:
            error.column += 4 * bool(error.column)
            raise error.at(self.filename, self.text) from None
        if contracts or not all(isinstance(t, Struct) for t in types.values()):
            raise self.refuse("something is no struct", token, "declare structs: rep struct Packet { uint length; }")
        self.structs.update(types)

    def klass(self, tree: Tree, module: Module, file: str | None) -> None:
        name, parent, *members, place = tree.children
        if str(name) in module.classes:
            raise self.refuse(f"class {name} stands twice", name, "rename one of them")
        known = module.classes[str(name)] = Class(str(name), None if parent is None else str(parent), position=self.place(place, tree, file))
        for member in filter(None, members):
            word = str(member.children[0])
            if word in known.fields or word in known.methods:
                raise self.refuse(f"{word} stands twice in class {name}", member, "rename one of them")
            if member.data == "field":
                known.fields[word] = self.type(member.children[1])
            else:
                known.methods[word] = str(member.children[1])

    def read_contracts(self, token: Token) -> None:
        lines = str(token).split("\n")[1:]
        try:
            self.contracts.update(parse_contracts("\n".join(line[4:] for line in lines), self.filename, token.line + 1))
        except SipError as error:
            error.column += 4 * bool(error.column)
            raise error.at(self.filename, self.text) from None

    def string(self, token: Token) -> str:
        try:
            return json.loads(str(token))
        except ValueError:
            raise self.refuse(f"{token} is no text", token, 'write it as in JSON: "line\\n"') from None

    def integer(self, token: Token) -> int:
        if re.fullmatch(r"-?[0-9]{1,30}", str(token)) is None:
            raise self.refuse(f"{str(token)[:40]} is no number", token, "write it in decimal")
        return int(str(token))

    def type(self, tree: Tree, depth: int = 0) -> Type:
        word = str(tree.children[0])
        if tree.data == "endpoint":
            if str(tree.children[1]) in ("Imp", "Exp"):
                return Endpoint(word, str(tree.children[1]))
            word += f".{tree.children[1]}"
        elif tree.data == "set":
            words = [str(child) for child in tree.children]
            if word == "ESet" and words[2] in ("Imp", "Exp"):
                return EndpointSet(*words[1:])
            word += "[{}.{}:{}]".format(*words[1:])
        elif tree.data == "many":
            if depth > MOST_NESTED_ARRAYS:
                raise self.refuse("these are too many brackets", tree, f"arrays nest at most {MOST_NESTED_ARRAYS} deep")
            inner, perhaps = self.type(tree.children[1], depth + 1), tree.children[2] is not None
            if word == "Array":
                return Array(perhaps, inner)
            if word in ("ExVec", "Shared") and not perhaps and (inner in INTS.values() or isinstance(inner, Struct)):
                return Vector(inner, word == "Shared")
            word += f"[{inner}]" + "?" * perhaps
        elif tree.children[1] is not None:
            if word == "str" or word in self.classes:
                return STR.perhaps if word == "str" else Object(True, word)
            word += "?"
        else:
            plain = {**INTS, "bool": BOOL, "char": CHAR, "str": STR, **{str(handle): handle for handle in HANDLES if str(handle) not in self.classes}}
            if word in self.structs:
                return self.structs[word]
            if word in plain or word in self.classes:
                return plain[word] if word in plain else Object(False, word)
        raise self.refuse(f"{word} is no type", tree, "use u8 to u64, i8 to i64, bool, char, ExVec[u8], Array[u8], str, a class, or an endpoint such as C.Exp")

    def define(self, token: Token, type_: Type) -> None:
        """Note a register where it gets its value."""
        number, _, name = str(token)[1:].partition(".")
        reg = self.registers.setdefault(int(number), Reg(int(number), type_, name or None))
        if reg.type != type_:
            raise self.refuse(f"register %{number} is {reg.type} elsewhere and {type_} here", token, "a register has one type; use another number")

    def register(self, token: Token) -> Reg:
        number = int(str(token)[1:].partition(".")[0])
        if number not in self.registers:
            raise self.refuse(f"register %{number} is never given a value", token, "give it one, or make it a parameter")
        return self.registers[number]

    def place(self, token: Token | None, tree: Tree, file: str | None) -> Position:
        """Return the place in the source; without a source, that in this text."""
        if token is not None:
            line, column = str(token)[1:].split(":")
            return Position(int(line), int(column))
        return Position() if file is not None else Position(tree.meta.line, tree.meta.column)

    def function(self, tree: Tree, file: str | None) -> Function:
        name, *rest = tree.children
        params = [part for part in rest if isinstance(part, Tree) and part.data in ("parameter", "borrowed")]
        lines = [part for part in rest if isinstance(part, Tree) and part.data in ("label", "instr")]
        results = [part for part in rest if isinstance(part, Tree) and part.data in ("type", "many", "endpoint", "set")]
        place = next((part for part in rest if isinstance(part, Token) and part.type == "PLACE"), None)
        own = next((part for part in rest if isinstance(part, Tree) and part.data == "file"), None)
        file = self.string(own.children[0]) if own is not None else file
        self.registers = {}
        for part in [*params, *(p for line in lines for p in line.iter_subtrees() if p.data == "parameter")]:
            self.define(part.children[0], self.type(part.children[1]))
        blocks: list[Block] = []
        for line in lines:
            if line.data == "label":
                blocks.append(Block(str(line.children[0])))
            elif not blocks:
                raise self.refuse("an instruction stands before the first block", line, "begin with a label, such as entry:")
            else:
                blocks[-1].instrs.append(self.instr(line, file))
        raises = any(isinstance(part, Token) and part.type == "RAISES" for part in rest)
        borrowed = frozenset(i for i, part in enumerate(params) if part.data == "borrowed")
        types = tuple(map(self.type, results))
        result = Tuple(types) if len(types) > 1 else types[0] if types else None
        return Function(str(name), [self.register(p.children[0]) for p in params], result, blocks,
                        self.place(place, tree, file), file if file is not None else self.filename,
                        "" if file is not None else self.text, raises, borrowed)  # fmt: skip

    def instr(self, tree: Tree, file: str | None) -> Instr:
        result, word, *rest, arms, place = tree.children
        op, operands = str(word), [part.children[0] for part in rest if part is not None]
        if op not in OPS and not op.startswith("raw_"):  # these are the verifier's to refuse
            raise self.refuse(f"{op} is no instruction", word, "docs/sil.md has them all")
        args = tuple(self.register(o) for o in operands if o.type == "REG")
        others = [*(o for o in operands if o.type != "REG"), *([arms] if arms is not None else [])]
        extra = self.extra(op, others, tree)
        dest, *more = [self.register(part.children[0]) for part in result.children] if result is not None else [None]
        return Instr(op, dest, args, extra, self.place(place, tree, file), tuple(more))

    def extra(self, op: str, others: list, tree: Tree):
        """Return what an instruction has beside registers."""
        wanted = {"const": ["number"], "fault": ["number"], "call": ["name"], "spawn": ["name"], "send": ["name"], "br": ["name"], "cbr": ["name", "name"],
                  **dict.fromkeys(_TEXTS, ["text"]), **dict.fromkeys(_SECOND, ["name"]), "receive": ["arms"], "attempt": ["name", "arms"],
                  "attempt_new": ["arms"], "attempt_vcall": ["name", "arms"], "attempt_spawn": ["name", "arms"], "getf": ["name"],
                  "putf": ["name"], "isinst": ["name"], "vcall": ["name"], "select": ["arms"],
                  "new_channel": ["name", "arms"], "create": ["number"], "give": ["number"], "child": ["name"], "ask_child": ["name"]}.get(op, [])  # fmt: skip
        if op == "attempt_op":
            wanted = ["name", {"create": "number", "child": "name", "ask_child": "name", "give": "number"}.get(str(others[0]) if others else ""), "arms"]
            wanted = [kind for kind in wanted if kind is not None]
        kinds = {"number": ("WORD", "NEGATIVE"), "name": ("WORD",), "text": ("STRING",), "arms": ()}
        fits = len(others) == len(wanted) and all(
            isinstance(o, Tree) if kind == "arms" else isinstance(o, Token) and o.type in kinds[kind] for o, kind in zip(others, wanted)
        )
        if not fits:
            raise self.refuse(f"{op} has the wrong operands", tree, f"write {OPS[op].form}" if op in OPS else "give it registers")
        if not wanted:
            return None
        if op == "select":
            return self.rows(others[0])
        if wanted[-1] == "arms":
            if op == "attempt_op":
                rest = None if len(others) == 2 else self.integer(others[1]) if wanted[1] == "number" else str(others[1])
                return self.arms(others[-1], Trial({}, None, str(others[0]), rest))
            kind = {"receive": Receive({}), "new_channel": NewChannel({}, contract=str(others[0]))}
            return self.arms(others[-1], kind.get(op) or Attempt({}, None, str(others[0]) if op != "attempt_new" else None))
        if op == "cbr":
            return str(others[0]), str(others[1])
        if wanted == ["number"]:
            return self.integer(others[0])
        return self.string(others[0]) if wanted == ["text"] else str(others[0])

    def rows(self, tree: Tree) -> Select:
        """Return the rows of a ``select``."""
        table = Select({})
        for arm in tree.children:
            if arm is None:
                continue
            head, label = arm.children[0], str(arm.children[-1])
            if not isinstance(head, Tree):
                if len(arm.children) != 2 or str(head) != "otherwise" or table.closed is not None:
                    raise self.refuse(f"{head} is no row", arm, "write (cell, cell) -> block, or otherwise -> block once")
                table.closed = label
                continue
            cells, regs = [], []
            for cell in head.children:
                member, name, arguments = cell.children
                if member is None and arguments is None and str(name) == "_":
                    cells.append(None)
                    continue
                if (arguments is None) != (str(name) == "closed"):
                    raise self.refuse(f"{name} is no cell of a row", cell, "write _, closed, or a message with its registers")
                if member is not None and len(member.children) != 1:
                    raise self.refuse("a set gives one member at a time", cell, "write %1.ep: C.Exp = M(...)")
                given = [self.register(member.children[0].children[0])] if member is not None else []
                given += [self.register(part.children[0]) for part in arguments.children if part is not None] if arguments is not None else []
                cells.append((CLOSED if arguments is None else str(name), len(given)))
                regs += given
            if tuple(cells) in table.arms:
                raise self.refuse("a row stands twice", arm, "the first one wins; remove the other")
            table.arms[tuple(cells)] = tuple(regs), label
        return table

    def arms(self, tree: Tree, table: Arms) -> Arms:
        for arm in tree.children:
            if arm is None:
                continue
            if isinstance(arm.children[0], Tree):
                raise self.refuse("a row of a select stands here", arm, "write Message(registers) -> block")
            name = str(arm.children[0])
            if len(arm.children) == 2:
                if name != "closed" or table.closed is not None:
                    raise self.refuse(f"the arm {name} has no arguments" if name != "closed" else "closed stands twice", arm,
                                      "write Message(registers) -> block, or closed -> block once")  # fmt: skip
                table.closed = str(arm.children[1])
                continue
            if name in table.arms:
                raise self.refuse(f"message {name} stands twice", arm, "write one arm for each message")
            regs = tuple(self.register(part.children[0]) for part in arm.children[1].children if part is not None)
            table.arms[name] = (regs, str(arm.children[2]))
        return table


def parse_sil(text: str, filename: str = "<sil>") -> Module:
    """Read a module from text.

    Parameters
    ----------
    text : str
    filename : str
        For messages.

    Returns
    -------
    Module
        Not verified.

    Raises
    ------
    SipError
        If the text is no SIL; the message has the line of the text.
    """
    if not isinstance(text, str):
        raise SipError("sil.syntax", f"SIL is read from a text, this is {type(text).__name__}", filename=filename, hint="write parse_sil(str(module))")
    if len(text) > LARGEST_TEXT:
        raise SipError("sil.syntax", f"{len(text)} characters are too many", filename=filename, hint=f"a module has at most {LARGEST_TEXT}")
    try:
        tree = _parser().parse(text + "\n")
    except UnexpectedInput as error:
        lines = text.splitlines()
        line = min(max(1, getattr(error, "line", 1) or 1), max(1, len(lines)))
        column = max(1, getattr(error, "column", 1) or 1)
        token = getattr(error, "token", None)
        found = "the end of the text" if token is not None and token.type == "$END" else "the end of the line" if token is not None and (
            token.type == "_NL") else repr(str(token)[:40]) if token is not None else repr(lines[line - 1][column - 1 : column] if lines else "")  # fmt: skip
        raise SipError("sil.syntax", f"this cannot be read at {found}", line=line, column=column,
                       hint="one instruction a line, in the notation of docs/sil.md" if text.strip() else
                       'SIL begins: sip NAME entry main; print(compile(program)) shows one').at(filename, text) from None  # fmt: skip
    return _Reader(text, filename).module(tree)
