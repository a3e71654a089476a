"""Well-formed SIL: the verifier's first pass, over what a module declares and the shape of its functions.

Checks that blocks end in one terminator, labels and registers exist and are one thing each, and that every
instruction is well-formed (:mod:`singlab.sing.sil_operands`). Whatever is handed in,
the answer is a finding or silence.
"""

from __future__ import annotations

import re

from singlab.sing import sil
from singlab.sing.carried import RULE, carried_by, check_one
from singlab.sing.errors import SipError
from singlab.sing.exceptions import FIRST_NUMBER, LAST_NUMBER
from singlab.sing.sil import Arms, Block, Class, Function, Instr, Module, Position, Reg
from singlab.sing.sil_classes import (
    MOST_CLASSES,
    MOST_FIELDS,
    ancestry,
    inherits,
    is_element,
    method,
)
from singlab.sing.sil_form import Malformed, is_type, need, register
from singlab.sing.sil_operands import check_instruction
from singlab.sing.types import (
    INTS,
    Bool,
    Endpoint,
    Handle,
    Object,
    Reference,
    Struct,
    Tuple,
    checked_struct,
)

#: Names of functions and labels of blocks; the code generator's own labels look otherwise.
_FUNCTION_NAME = re.compile(r"[A-Za-z_]\w*(~\w+)*")
_LABEL = re.compile(r"\w+")
#: Parameters that travel in registers.
_MOST_PARAMETERS = _MOST_RESULTS = 8


def check_module(module: Module) -> None:
    """Check what functions there are and how they are called; raises Malformed."""
    nowhere = Position()
    need(isinstance(module.functions, dict) and isinstance(module.contracts, dict), "a module has no functions", nowhere)
    need(isinstance(module.structs, dict), "a module has no structs", nowhere)
    for key, struct in module.structs.items():
        _struct(key, struct, module, nowhere)
    need(isinstance(module.exceptions, dict) and all(
        type(number) is int and FIRST_NUMBER <= number <= LAST_NUMBER and isinstance(name, str) for number, name in module.exceptions.items()),
        f"exceptions have numbers from {FIRST_NUMBER} to {LAST_NUMBER}, and names", nowhere)  # fmt: skip
    _classes(module, nowhere)
    for key, function in module.functions.items():
        need(isinstance(function, Function), f"{key!r} is no function", nowhere)
        need(isinstance(function.position, Position), f"{key!r} has no place", nowhere)
        name = function.name
        need(isinstance(name, str) and name == key and _FUNCTION_NAME.fullmatch(name), f"{name!r} is no name of a function", function.position)
        need(isinstance(function.params, list) and len(function.params) <= _MOST_PARAMETERS,
              f"{name} has more than {_MOST_PARAMETERS} parameters, or none at all", function.position)  # fmt: skip
        for param in function.params:
            need(isinstance(param, Reg) and is_type(param.type, module), f"{name}: {param!r} is no parameter", function.position)
        borrowed = function.borrowed
        need(isinstance(borrowed, frozenset) and all(type(i) is int and 0 <= i < len(function.params) and function.params[i].type.block for i in borrowed),
              f"{name} borrows what is no block", function.position)  # fmt: skip
        need(type(function.raises) is bool, f"{name} neither raises nor does not", function.position)
        result = function.result
        several = isinstance(result, Tuple)
        need(not several or (isinstance(result.parts, tuple) and 1 < len(result.parts) <= _MOST_RESULTS),
              f"{name} has more than {_MOST_RESULTS} results, or less than two as several", function.position)  # fmt: skip
        for part in function.results:
            need(is_type(part, module) and not (several and isinstance(part, Endpoint)), f"{name}: a result of no known type", function.position)
    entry = module.functions.get(module.entry) if isinstance(module.entry, str) else None
    need(entry is not None, f"the entry {module.entry!r} is no function", nowhere)
    need(not entry.raises, "nobody could catch what the entry raises", entry.position)
    startup = [*(p.type for p in entry.params), *entry.results]
    need(len(entry.results) < 2, "a process ends with one value", entry.position)
    need(not any(t.block for t in startup), "a process starts and ends without blocks and sets", entry.position)
    need(not any(isinstance(t, Reference) for t in startup), "a process starts and ends without objects", entry.position)
    need(not any(isinstance(t, Handle) for t in startup), "a process starts and ends without handles", entry.position)
    _methods(module)
    need(not isinstance(entry.result, Endpoint), "a process ends without an endpoint", entry.position)
    _check_contracts(module)


def _check_contracts(module: Module) -> None:
    """Check that the contracts are there whose endpoints messages carry, and that these travel by the send-state rule."""
    nowhere = Position()
    for name, contract in module.contracts.items():
        need(contract.name == name, f"contract {contract.name} stands under the name {name!r}", nowhere)
        for carried in carried_by(contract):
            other = module.contracts.get(carried.type.contract)
            need(other is not None, f"{name}.{carried.message} carries an endpoint of contract {carried.type.contract}, which is not declared",
                  nowhere, RULE)  # fmt: skip
            try:
                check_one(carried, other)
            except SipError as error:
                raise Malformed(RULE, error.message, nowhere, error.hint) from None


def _struct(key, struct, module: Module, nowhere: Position) -> None:
    """Check a declared struct: its fields have room and a type each."""
    good = isinstance(struct, Struct) and struct.name == key and isinstance(key, str) and _LABEL.fullmatch(key) and isinstance(struct.fields, tuple)
    need(good and key not in (*INTS, "bool", "char", "str") and key not in module.classes, f"{key!r} is no struct", nowhere)
    for field in struct.fields:
        need(isinstance(field, tuple) and len(field) == 2 and isinstance(field[0], str) and _LABEL.fullmatch(field[0])
              and (isinstance(field[1], Bool) or field[1] in INTS.values()), f"struct {key} has a field of no known type", nowhere)  # fmt: skip
    try:
        checked_struct(key, list(struct.fields))
    except ValueError as error:
        need(False, str(error), nowhere)


_NAME = re.compile(r"[A-Za-z_]\w*")


def _classes(module: Module, nowhere: Position) -> None:
    """Check that classes inherit without a circle, and that each begins as its parent does."""
    need(isinstance(module.classes, dict) and len(module.classes) <= MOST_CLASSES, f"a module has at most {MOST_CLASSES} classes", nowhere)
    for key, known in module.classes.items():
        good = isinstance(known, Class) and isinstance(known.position, Position) and isinstance(key, str) and known.name == key and _FUNCTION_NAME.fullmatch(key)
        need(good and isinstance(known.fields, dict) and isinstance(known.methods, dict), f"{key!r} is no class", nowhere, "class")
    for name, known in module.classes.items():
        need(known.parent is None or (isinstance(known.parent, str) and known.parent in module.classes),
              f"{name} inherits from {known.parent!r}, which is no class", known.position, "class")  # fmt: skip
    for name in module.classes:
        above = list(ancestry(module, name))
        place = above[0].position
        need(above[-1].parent is None, f"{name} inherits from itself", place, "class")
        seen: set[str] = set()
        for field, type_ in [pair for c in above for pair in c.fields.items()]:
            need(isinstance(field, str) and _NAME.fullmatch(field) and field not in seen, f"{name} has a field {field!r} twice, or of no name",
                  place, "class")  # fmt: skip
            need(is_type(type_, module) and is_element(type_), f"field {field} of {name} has a type no field can have", place, "class")
            seen.add(field)
        need(len(seen) <= MOST_FIELDS, f"{name} has more than {MOST_FIELDS} fields", place, "class")


def _methods(module: Module) -> None:
    """Check that a method takes an object of its class, and is called like the parent's that it stands for."""
    for name, known in module.classes.items():
        for called, label in known.methods.items():
            need(isinstance(called, str) and _NAME.fullmatch(called) and isinstance(label, str) and label in module.functions,
                  f"method {called!r} of {name} is no function", known.position, "class")  # fmt: skip
            function = module.functions[label]
            own = function.params[0].type if function.params else None
            need(isinstance(own, Object) and not own.nullable and inherits(module, name, own.cls),
                  f"method {called} of {name} does not take an object of its class first", function.position, "class")  # fmt: skip
            above = method(module, known.parent, called) if known.parent is not None else None
            if above is not None and above in module.functions:
                other = module.functions[above]
                same = function.result == other.result and function.borrowed == other.borrowed and [p.type for p in function.params[1:]] == [p.type for p in other.params[1:]]
                need(function.raises == other.raises, f"method {called} of {name} and the one of {known.parent} it stands for must both raise exceptions, or neither",
                     function.position, "class")  # fmt: skip
                need(same, f"method {called} of {name} is called in another way than the one of {known.parent} it stands for", function.position, "class")


def check_function(function: Function, module: Module) -> None:
    """Check one function of a checked module; raises Malformed."""
    start = function.position
    need(isinstance(function.blocks, list) and function.blocks, "a function has no blocks", start)
    for block in function.blocks:
        need(isinstance(block, Block) and isinstance(block.label, str) and _LABEL.fullmatch(block.label), "something is no block", start)
    labels = {block.label for block in function.blocks}
    need(len(labels) == len(function.blocks), "two blocks have one label", start)
    known: dict[int, Reg] = {}
    for param in function.params:
        register(param, known, module, start)
    need(len({id(p) for p in function.params}) == len(function.params), "a parameter stands twice", start)
    lent = {id(p) for p in function.params if isinstance(p.type, Endpoint)}
    for block in function.blocks:
        need(isinstance(block.instrs, list) and block.instrs, f"block {block.label} is empty", start)
        for index, instr in enumerate(block.instrs):
            need(isinstance(instr, Instr) and isinstance(instr.op, str) and isinstance(instr.position, Position),
                  "something is no instruction", start)  # fmt: skip
            last = index == len(block.instrs) - 1
            need((instr.op in sil.TERMINATORS) == last, f"block {block.label} does not end in exactly one terminator", instr.position)
            # the entry block also receives the parameters, so nothing may jump to it
            check_instruction(instr, function, module, labels - {function.blocks[0].label}, known)
            given = [*instr.results, *(r for regs, _ in instr.extra.arms.values() for r in regs)] if isinstance(instr.extra, Arms) else instr.results
            # what a function leaves in its parameters is its caller's
            need(not any(id(reg) in lent for reg in given), "an endpoint parameter is given another endpoint", instr.position)


