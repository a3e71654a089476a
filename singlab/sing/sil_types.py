"""Well-formed SIL: the verifier's first pass, over instructions one by one.

Checks that blocks end in one terminator, labels and registers exist and are one thing each, and every
instruction has the operands and types its row in :mod:`singlab.sing.sil_table` says. Whatever is handed in,
the answer is a finding or silence.
"""

from __future__ import annotations

import re

from singlab.kernel.layout import SELECT_MOST
from singlab.sing import sil
from singlab.sing.carried import RULE, carried_by, check_one
from singlab.sing.errors import SipError
from singlab.sing.exceptions import FIRST_NUMBER, LAST_NUMBER
from singlab.sing.sil import CLOSED, Arms, Attempt, Block, Class, Function, Instr, Module, NewChannel, Position, Receive, Reg, Select
from singlab.sing.sil_classes import (
    MOST_CLASSES,
    MOST_FIELDS,
    MOST_NESTED_ARRAYS,
    ancestry,
    fields,
    inherits,
    is_element,
    is_subtype,
    method,
)
from singlab.sing.sil_table import TABLE
from singlab.sing.types import (
    BOOL,
    CHAR,
    INTS,
    STR,
    U64,
    Array,
    Bool,
    Char,
    Endpoint,
    EndpointSet,
    Int,
    Object,
    Reference,
    Str,
    Struct,
    Tuple,
    Type,
    Vector,
    checked_struct,
)


class Malformed(Exception):
    """A finding of this pass."""

    def __init__(self, rule: str, message: str, position: Position, hint: str = "docs/sil.md says what each instruction takes"):
        self.rule, self.message, self.position, self.hint = rule, message, position, hint
        super().__init__(message)


#: Names of functions and labels of blocks; the code generator's own labels look otherwise.
_FUNCTION_NAME = re.compile(r"[A-Za-z_]\w*(~\w+)*")
_LABEL = re.compile(r"\w+")
#: Parameters that travel in registers.
_MOST_PARAMETERS = _MOST_RESULTS = 8
#: Parameters of a function that is started as a thread.
_MOST_THREAD_PARAMETERS = 4


def check_module(module: Module) -> None:
    """Check what functions there are and how they are called; raises Malformed."""
    nowhere = Position()
    _need(isinstance(module.functions, dict) and isinstance(module.contracts, dict), "a module has no functions", nowhere)
    _need(isinstance(module.structs, dict), "a module has no structs", nowhere)
    for key, struct in module.structs.items():
        _struct(key, struct, module, nowhere)
    _need(isinstance(module.exceptions, dict) and all(
        type(number) is int and FIRST_NUMBER <= number <= LAST_NUMBER and isinstance(name, str) for number, name in module.exceptions.items()),
        f"exceptions have numbers from {FIRST_NUMBER} to {LAST_NUMBER}, and names", nowhere)  # fmt: skip
    _classes(module, nowhere)
    for key, function in module.functions.items():
        _need(isinstance(function, Function), f"{key!r} is no function", nowhere)
        _need(isinstance(function.position, Position), f"{key!r} has no place", nowhere)
        name = function.name
        _need(isinstance(name, str) and name == key and _FUNCTION_NAME.fullmatch(name), f"{name!r} is no name of a function", function.position)
        _need(isinstance(function.params, list) and len(function.params) <= _MOST_PARAMETERS,
              f"{name} has more than {_MOST_PARAMETERS} parameters, or none at all", function.position)  # fmt: skip
        for param in function.params:
            _need(isinstance(param, Reg) and _is_type(param.type, module), f"{name}: {param!r} is no parameter", function.position)
        borrowed = function.borrowed
        _need(isinstance(borrowed, frozenset) and all(type(i) is int and 0 <= i < len(function.params) and function.params[i].type.block for i in borrowed),
              f"{name} borrows what is no block", function.position)  # fmt: skip
        _need(type(function.raises) is bool, f"{name} neither raises nor does not", function.position)
        result = function.result
        several = isinstance(result, Tuple)
        _need(not several or (isinstance(result.parts, tuple) and 1 < len(result.parts) <= _MOST_RESULTS),
              f"{name} has more than {_MOST_RESULTS} results, or less than two as several", function.position)  # fmt: skip
        for part in function.results:
            _need(_is_type(part, module) and not (several and isinstance(part, Endpoint)), f"{name}: a result of no known type", function.position)
    entry = module.functions.get(module.entry) if isinstance(module.entry, str) else None
    _need(entry is not None, f"the entry {module.entry!r} is no function", nowhere)
    _need(not entry.raises, "nobody could catch what the entry raises", entry.position)
    startup = [*(p.type for p in entry.params), *entry.results]
    _need(len(entry.results) < 2, "a process ends with one value", entry.position)
    _need(not any(t.block for t in startup), "a process starts and ends without blocks and sets", entry.position)
    _need(not isinstance(entry.result, Endpoint), "a process ends without an endpoint", entry.position)
    _need(not any(isinstance(t, Reference) for t in startup), "a process starts and ends without objects", entry.position)
    _methods(module)
    _check_contracts(module)


def _check_contracts(module: Module) -> None:
    """Check that the contracts are there whose endpoints messages carry, and that these travel by the send-state rule."""
    nowhere = Position()
    for name, contract in module.contracts.items():
        _need(contract.name == name, f"contract {contract.name} stands under the name {name!r}", nowhere)
        for carried in carried_by(contract):
            other = module.contracts.get(carried.type.contract)
            _need(other is not None, f"{name}.{carried.message} carries an endpoint of contract {carried.type.contract}, which is not declared",
                  nowhere, RULE)  # fmt: skip
            try:
                check_one(carried, other)
            except SipError as error:
                raise Malformed(RULE, error.message, nowhere, error.hint) from None


def _struct(key, struct, module: Module, nowhere: Position) -> None:
    """Check a declared struct: its fields have room and a type each."""
    good = isinstance(struct, Struct) and struct.name == key and isinstance(key, str) and _LABEL.fullmatch(key) and isinstance(struct.fields, tuple)
    _need(good and key not in (*INTS, "bool", "char", "str") and key not in module.classes, f"{key!r} is no struct", nowhere)
    for field in struct.fields:
        _need(isinstance(field, tuple) and len(field) == 2 and isinstance(field[0], str) and _LABEL.fullmatch(field[0])
              and (isinstance(field[1], Bool) or field[1] in INTS.values()), f"struct {key} has a field of no known type", nowhere)  # fmt: skip
    try:
        checked_struct(key, list(struct.fields))
    except ValueError as error:
        _need(False, str(error), nowhere)


_NAME = re.compile(r"[A-Za-z_]\w*")


def _classes(module: Module, nowhere: Position) -> None:
    """Check that classes inherit without a circle, and that each begins as its parent does."""
    _need(isinstance(module.classes, dict) and len(module.classes) <= MOST_CLASSES, f"a module has at most {MOST_CLASSES} classes", nowhere)
    for key, known in module.classes.items():
        good = isinstance(known, Class) and isinstance(known.position, Position) and isinstance(key, str) and known.name == key and _FUNCTION_NAME.fullmatch(key)
        _need(good and isinstance(known.fields, dict) and isinstance(known.methods, dict), f"{key!r} is no class", nowhere, "class")
    for name, known in module.classes.items():
        _need(known.parent is None or (isinstance(known.parent, str) and known.parent in module.classes),
              f"{name} inherits from {known.parent!r}, which is no class", known.position, "class")  # fmt: skip
    for name in module.classes:
        above = list(ancestry(module, name))
        place = above[0].position
        _need(above[-1].parent is None, f"{name} inherits from itself", place, "class")
        seen: set[str] = set()
        for field, type_ in [pair for c in above for pair in c.fields.items()]:
            _need(isinstance(field, str) and _NAME.fullmatch(field) and field not in seen, f"{name} has a field {field!r} twice, or of no name",
                  place, "class")  # fmt: skip
            _need(_is_type(type_, module) and is_element(type_), f"field {field} of {name} has a type no field can have", place, "class")
            seen.add(field)
        _need(len(seen) <= MOST_FIELDS, f"{name} has more than {MOST_FIELDS} fields", place, "class")


def _methods(module: Module) -> None:
    """Check that a method takes an object of its class, and is called like the parent's that it stands for."""
    for name, known in module.classes.items():
        for called, label in known.methods.items():
            _need(isinstance(called, str) and _NAME.fullmatch(called) and isinstance(label, str) and label in module.functions,
                  f"method {called!r} of {name} is no function", known.position, "class")  # fmt: skip
            function = module.functions[label]
            own = function.params[0].type if function.params else None
            _need(isinstance(own, Object) and not own.nullable and inherits(module, name, own.cls),
                  f"method {called} of {name} does not take an object of its class first", function.position, "class")  # fmt: skip
            _need(not function.raises, f"method {called} of {name} may raise an exception, and nobody who calls it expects one", function.position, "class")
            above = method(module, known.parent, called) if known.parent is not None else None
            if above is not None and above in module.functions:
                other = module.functions[above]
                same = function.result == other.result and function.borrowed == other.borrowed and [p.type for p in function.params[1:]] == [p.type for p in other.params[1:]]
                _need(same, f"method {called} of {name} is called in another way than the one of {known.parent} it stands for", function.position, "class")


def _is_type(type_, module: Module, depth: int = 0) -> bool:
    """Whether something is a type SIL has."""
    if isinstance(type_, Reference):
        if type(type_.nullable) is not bool or depth > MOST_NESTED_ARRAYS:
            return False
        if type(type_) is Array:
            return is_element(type_.element) and _is_type(type_.element, module, depth + 1)
        return type(type_) is Str or (type(type_) is Object and isinstance(type_.cls, str) and type_.cls in module.classes)
    if type(type_) is Char:
        return type_ == CHAR
    if isinstance(type_, Int):
        return type(type_.bits) is int and type_.bits in (8, 16, 32, 64) and type(type_.signed) is bool
    if isinstance(type_, Vector):
        return type(type_.element) in (Int, Struct) and _is_type(type_.element, module)
    if isinstance(type_, Struct):
        return isinstance(type_.name, str) and module.structs.get(type_.name) == type_
    if isinstance(type_, Endpoint):
        return isinstance(type_.contract, str) and type_.contract in module.contracts and type_.side in ("Imp", "Exp")
    if isinstance(type_, EndpointSet):
        return _is_type(type_.member, module) and isinstance(type_.state, str) and type_.state in module.contracts[type_.contract].states
    return isinstance(type_, Bool)


def check_function(function: Function, module: Module) -> None:
    """Check one function of a checked module; raises Malformed."""
    start = function.position
    _need(isinstance(function.blocks, list) and function.blocks, "a function has no blocks", start)
    for block in function.blocks:
        _need(isinstance(block, Block) and isinstance(block.label, str) and _LABEL.fullmatch(block.label), "something is no block", start)
    labels = {block.label for block in function.blocks}
    _need(len(labels) == len(function.blocks), "two blocks have one label", start)
    known: dict[int, Reg] = {}
    for param in function.params:
        _register(param, known, module, start)
    _need(len({id(p) for p in function.params}) == len(function.params), "a parameter stands twice", start)
    lent = {id(p) for p in function.params if isinstance(p.type, Endpoint)}
    for block in function.blocks:
        _need(isinstance(block.instrs, list) and block.instrs, f"block {block.label} is empty", start)
        for index, instr in enumerate(block.instrs):
            _need(isinstance(instr, Instr) and isinstance(instr.op, str) and isinstance(instr.position, Position),
                  "something is no instruction", start)  # fmt: skip
            last = index == len(block.instrs) - 1
            _need((instr.op in sil.TERMINATORS) == last, f"block {block.label} does not end in exactly one terminator", instr.position)
            # the entry block also receives the parameters, so nothing may jump to it
            _instruction(instr, function, module, labels - {function.blocks[0].label}, known)
            given = [*instr.results, *(r for regs, _ in instr.extra.arms.values() for r in regs)] if isinstance(instr.extra, Arms) else instr.results
            # what a function leaves in its parameters is its caller's
            _need(not any(id(reg) in lent for reg in given), "an endpoint parameter is given another endpoint", instr.position)


def _need(condition, message: str, position: Position, rule: str = "sil.malformed") -> None:
    if not condition:
        raise Malformed(rule, message, position)


def _register(reg, known: dict[int, Reg], module: Module, position: Position) -> None:
    _need(isinstance(reg, Reg) and type(reg.number) is int and _is_type(reg.type, module), f"{reg!r} is no register", position)
    _need(known.setdefault(reg.number, reg) is reg, f"register {reg.number} is two things", position)


_KINDS = {
    Int: "an integer", Vector: "a vector", Struct: "a struct", (Vector, Struct): "a block", Endpoint: "an endpoint", Object: "an object",
    Array: "an array", Reference: "a reference", EndpointSet: "a set of endpoints",
}  # fmt: skip


def _type(reg: Reg, wanted, instr: Instr) -> None:
    """Check a register's type: a type, a kind of type, or a tuple of kinds."""
    good = reg.type == wanted if isinstance(wanted, Type) else isinstance(reg.type, wanted)
    name = str(wanted) if isinstance(wanted, Type) else _KINDS.get(wanted, "an integer or a bool")
    _need(good, f"{instr.op}: {reg} is {reg.type} where {name} is needed", instr.position, "types")


#: op: number of source registers, whether there is a destination.
_SHAPES = {op.name: (op.count, op.dest) for op in TABLE if op.dest is not None}


def _instruction(instr: Instr, function: Function, module: Module, labels: set, known: dict[int, Reg]) -> None:
    op, args, dest, position = instr.op, instr.args, instr.dest, instr.position
    _need(isinstance(args, tuple) and isinstance(instr.more, tuple), f"{op} has no operands", position)
    for reg in (*args, *instr.results):
        _register(reg, known, module, position)
    _need(not instr.more or (op == "call" and dest is not None), f"{op} has several destinations", position)
    _need(len({id(reg) for reg in instr.results}) == len(instr.results), "a register gets two values at once", position)
    if isinstance(op, str) and op.startswith("raw_"):
        raise Malformed("privileged", f"{op} reaches memory directly", position, "only the kernel's own functions may")
    if op in _SHAPES:
        count, has_dest = _SHAPES[op]
        _need(count in (-1, len(args)) and (dest is not None) == has_dest, f"{op} has the wrong operands", position)
    else:
        _need(op in ("call", "vcall", "send", "ret", "attempt", "spawn", "select"), f"{op!r} is no instruction", position)
    check = globals().get(f"_check_{op}")
    if op in sil.ARITHMETIC:
        _arithmetic(instr)
    elif op in sil.COMPARISONS:
        same = args[0].type == args[1].type and not args[0].type.linear and not isinstance(args[0].type, Reference)
        both = op in ("eq", "ne") and all(isinstance(reg.type, Reference) for reg in args)
        _need(same or both, f"{op} compares {args[0].type} with {args[1].type}", position, "types")
        _type(dest, BOOL, instr)
    elif check is not None:
        check(instr, function, module, labels, known)


def _arithmetic(instr: Instr) -> None:
    kinds = (Int, Bool) if instr.op in ("and", "or", "xor") else Int
    _type(instr.dest, kinds, instr)
    for reg in instr.args:
        _type(reg, instr.dest.type, instr)


def _check_const(instr: Instr, *_) -> None:
    low, high = (0, 1) if isinstance(instr.dest.type, Bool) else (
        (instr.dest.type.minimum, instr.dest.type.maximum) if isinstance(instr.dest.type, Int) else (1, 0))  # fmt: skip
    _need(type(instr.extra) is int and low <= instr.extra <= high, f"{instr.extra!r} is no {instr.dest.type}", instr.position, "types")


def _check_mov(instr: Instr, function: Function, module: Module, *_) -> None:
    if not is_subtype(module, instr.args[0].type, instr.dest.type):
        _type(instr.args[0], instr.dest.type, instr)


def _check_not(instr: Instr, *_) -> None:
    _type(instr.args[0], BOOL, instr)
    _type(instr.dest, BOOL, instr)


def _check_neg(instr: Instr, *_) -> None:
    _type(instr.args[0], Int, instr)
    _type(instr.dest, instr.args[0].type, instr)


_check_inv = _check_neg


def _check_cast(instr: Instr, *_) -> None:
    _type(instr.args[0], (Int, Bool), instr)
    _type(instr.dest, Int, instr)


def _check_new(instr: Instr, *_) -> None:
    _type(instr.args[0], U64, instr)
    _type(instr.dest, Vector, instr)


def _check_new_struct(instr: Instr, *_) -> None:
    _type(instr.dest, Struct, instr)


def _check_free(instr: Instr, *_) -> None:
    _type(instr.args[0], (Vector, Struct), instr)


def _field(struct: Type, instr: Instr) -> Type:
    """Return the type of the field an instruction names."""
    _need(isinstance(struct, Struct), f"{instr.op}: {struct} has no fields", instr.position, "types")
    type_ = dict(struct.fields).get(instr.extra) if isinstance(instr.extra, str) else None
    _need(type_ is not None, f"{struct} has no field {instr.extra!r}", instr.position, "types")
    return type_


def _check_load_field(instr: Instr, *_) -> None:
    _type(instr.dest, _field(instr.args[0].type, instr), instr)


def _check_store_field(instr: Instr, *_) -> None:
    _type(instr.args[1], _field(instr.args[0].type, instr), instr)


def _check_load_item(instr: Instr, *_) -> None:
    _type(instr.args[0], Vector, instr)
    _type(instr.args[1], U64, instr)
    _type(instr.dest, _field(instr.args[0].type.element, instr), instr)


def _check_store_item(instr: Instr, *_) -> None:
    _type(instr.args[0], Vector, instr)
    _type(instr.args[1], U64, instr)
    _type(instr.args[2], _field(instr.args[0].type.element, instr), instr)


def _has_elements(instr: Instr, kinds: tuple[type, ...]) -> Type:
    """Check that the first operand has elements, and return their type."""
    type_ = instr.args[0].type
    good = isinstance(type_, kinds) and not getattr(type_, "nullable", False)
    _need(good, f"{instr.op}: {instr.args[0]} is {type_} where a vector or an array is needed", instr.position, "types")
    return CHAR if isinstance(type_, Str) else type_.element


def _value_of(instr: Instr, kinds: tuple[type, ...]) -> Type:
    """Check that the first operand has elements that are values by themselves, and return their type."""
    element = _has_elements(instr, kinds)
    _need(not isinstance(element, Struct), f"{instr.op}: an element of {instr.args[0].type} is a struct", instr.position, "types")
    return element


def _check_load(instr: Instr, *_) -> None:
    element = _value_of(instr, (Vector, Array, Str))
    _type(instr.args[1], U64, instr)
    _type(instr.dest, element, instr)


def _check_store(instr: Instr, *_) -> None:
    element = _value_of(instr, (Vector, Array))
    _type(instr.args[1], U64, instr)
    _type(instr.args[2], element, instr)


def _check_len(instr: Instr, *_) -> None:
    _has_elements(instr, (Vector, Array, Str))
    _type(instr.dest, U64, instr)


def _certain(reg: Reg, kind: type, instr: Instr) -> None:
    """Check that a register holds a reference of a kind that is not None."""
    _type(reg, kind, instr)
    _need(not reg.type.nullable, f"{instr.op}: {reg} is {reg.type} and may be None", instr.position, "types")


def _check_newobj(instr: Instr, *_) -> None:
    _certain(instr.dest, Object, instr)


def _check_newarr(instr: Instr, *_) -> None:
    _certain(instr.dest, Array, instr)
    _type(instr.args[0], U64, instr)


def _object_field(instr: Instr, module: Module) -> Type:
    _certain(instr.args[0], Object, instr)
    known = fields(module, instr.args[0].type.cls)
    _need(isinstance(instr.extra, str) and instr.extra in known, f"{instr.args[0].type.cls} has no field {instr.extra!r}", instr.position, "types")
    return known[instr.extra]


def _check_getf(instr: Instr, function: Function, module: Module, *_) -> None:
    _type(instr.dest, _object_field(instr, module), instr)


def _check_putf(instr: Instr, function: Function, module: Module, *_) -> None:
    _type(instr.args[1], _object_field(instr, module), instr)


def _check_none(instr: Instr, *_) -> None:
    _type(instr.dest, Reference, instr)
    _need(instr.dest.type.nullable, f"None is no {instr.dest.type}", instr.position, "types")


def _check_some(instr: Instr, *_) -> None:
    _type(instr.args[0], Reference, instr)
    _type(instr.dest, instr.args[0].type.certain, instr)


def _check_as(instr: Instr, function: Function, module: Module, *_) -> None:
    for reg in (instr.args[0], instr.dest):
        _type(reg, Object, instr)
    one, other = instr.args[0].type.cls, instr.dest.type.cls
    _need(inherits(module, one, other) or inherits(module, other, one), f"no {one} is a {other}", instr.position, "types")


def _check_isinst(instr: Instr, function: Function, module: Module, *_) -> None:
    _type(instr.args[0], Object, instr)
    _type(instr.dest, BOOL, instr)
    _need(isinstance(instr.extra, str) and instr.extra in module.classes, f"{instr.extra!r} is no class", instr.position, "types")


def _check_vcall(instr: Instr, function: Function, module: Module, *_) -> None:
    _need(len(instr.args) >= 1, "vcall names no object", instr.position)
    _certain(instr.args[0], Object, instr)
    label = method(module, instr.args[0].type.cls, instr.extra) if isinstance(instr.extra, str) else None
    _need(label is not None, f"{instr.args[0].type.cls} has no method {instr.extra!r}", instr.position, "types")
    callee = module.functions[label]
    _arguments(instr.extra, instr, instr.args[1:], callee.params[1:])
    _need(len(instr.results) == len(callee.results), f"{instr.extra}: result and destination differ", instr.position, "types")
    for reg, type_ in zip(instr.results, callee.results):
        _type(reg, type_, instr)


def _check_string(instr: Instr, *_) -> None:
    _check_print_text(instr)
    _type(instr.dest, STR, instr)


def _check_text(instr: Instr, *_) -> None:
    _type(instr.args[0], Array(element=CHAR), instr)
    _type(instr.dest, STR, instr)


def _check_print_str(instr: Instr, *_) -> None:
    _type(instr.args[0], STR, instr)


def _check_cycles(instr: Instr, *_) -> None:
    _type(instr.dest, U64, instr)


_check_process_id = _check_cycles_per_second = _check_cycles


def _check_print_text(instr: Instr, *_) -> None:
    _need(isinstance(instr.extra, str) and not any("\ud800" <= letter <= "\udfff" for letter in instr.extra),
          f"{instr.op} has no text", instr.position)  # fmt: skip


def _check_print_int(instr: Instr, *_) -> None:
    _type(instr.args[0], (Int, Bool), instr)


def _check_mark(instr: Instr, *_) -> None:
    _type(instr.args[0], Int, instr)


def _check_close(instr: Instr, function: Function, module: Module, *_) -> None:
    _contract(instr, module)


def _contract(instr: Instr, module: Module):
    _need(len(instr.args) >= 1, f"{instr.op} names no endpoint", instr.position)
    _type(instr.args[0], Endpoint, instr)
    type_ = instr.args[0].type
    _need(type_.contract in module.contracts and type_.side in ("Imp", "Exp"), f"contract {type_.contract} is not declared",
          instr.position, "contract.send")  # fmt: skip
    return module.contracts[type_.contract]


def _check_send(instr: Instr, function: Function, module: Module, *_) -> None:
    contract = _contract(instr, module)
    _need(instr.dest is None, "send has no result", instr.position)
    _need(isinstance(instr.extra, str) and instr.extra in contract.messages, f"contract {contract.name} has no message {instr.extra!r}",
          instr.position, "contract.send")  # fmt: skip
    wanted = contract.messages[instr.extra].arguments
    _need(len(wanted) == len(instr.args) - 1, f"{instr.extra} carries {len(wanted)} arguments", instr.position, "contract.arguments")
    for reg, (_, type_) in zip(instr.args[1:], wanted):
        _type(reg, type_.sil, instr)


def _check_receive(instr: Instr, function: Function, module: Module, labels: set, known: dict[int, Reg]) -> None:
    contract = _contract(instr, module)
    table = instr.extra
    _need(isinstance(table, Receive) and isinstance(table.arms, dict), "receive has no arms", instr.position)
    _need(table.closed is None or _leads(table.closed, labels), f"there is no block {table.closed!r}", instr.position)
    for name, way in table.arms.items():
        _need(isinstance(name, str) and isinstance(way, tuple) and len(way) == 2 and isinstance(way[0], tuple), f"the case {name!r} is none",
              instr.position)  # fmt: skip
        regs, label = way
        _need(name in contract.messages, f"contract {contract.name} has no message {name!r}", instr.position, "contract.receive")
        _need(_leads(label, labels), f"there is no block {label!r}", instr.position)
        wanted = contract.messages[name].arguments
        _need(len(regs) == len(wanted), f"{name} carries {len(wanted)} arguments", instr.position, "contract.arguments")
        _need(len({id(r) for r in regs}) == len(regs), "an argument is taken twice", instr.position)
        for reg, (_, type_) in zip(regs, wanted):
            _register(reg, known, module, instr.position)
            _type(reg, type_.sil, instr)


def _check_set_new(instr: Instr, *_) -> None:
    _type(instr.dest, EndpointSet, instr)


def _check_set_add(instr: Instr, *_) -> None:
    _type(instr.args[0], EndpointSet, instr)
    _type(instr.args[1], instr.args[0].type.member, instr)


def _check_set_size(instr: Instr, *_) -> None:
    _type(instr.args[0], EndpointSet, instr)
    _type(instr.dest, U64, instr)


def _check_set_close(instr: Instr, *_) -> None:
    _type(instr.args[0], EndpointSet, instr)


def _check_new_channel(instr: Instr, function: Function, module: Module, labels: set, known: dict[int, Reg]) -> None:
    table = instr.extra
    _need(isinstance(table, NewChannel) and isinstance(table.arms, dict) and list(table.arms) == ["made"] and table.closed is None,
          "new_channel has no way out", instr.position)  # fmt: skip
    _need(isinstance(table.contract, str) and table.contract in module.contracts, f"contract {table.contract!r} is not declared",
          instr.position, "contract.send")  # fmt: skip
    regs = _way(table.arms["made"], "made", known, module, labels, instr)
    _need(len(regs) == 2, "new_channel gives two ends", instr.position)
    for reg, side in zip(regs, ("Imp", "Exp")):
        _type(reg, Endpoint(table.contract, side), instr)


def _way(way, name, known: dict[int, Reg], module: Module, labels: set, instr: Instr) -> tuple[Reg, ...]:
    """Check the form of one way out; returns the registers it gives."""
    _need(isinstance(way, tuple) and len(way) == 2 and isinstance(way[0], tuple), f"the case {name!r} is none", instr.position)
    regs, label = way
    _need(_leads(label, labels), f"there is no block {label!r}", instr.position)
    for reg in regs:
        _register(reg, known, module, instr.position)
    _need(len({id(r) for r in regs}) == len(regs), "an argument is taken twice", instr.position)
    return regs


#: Rows of one select.
_MOST_ROWS = 64


def _check_select(instr: Instr, function: Function, module: Module, labels: set, known: dict[int, Reg]) -> None:
    args, table, position = instr.args, instr.extra, instr.position
    _need(instr.dest is None and 1 <= len(args) <= SELECT_MOST, f"select takes one to {SELECT_MOST} endpoints and sets", position)
    _need(len({id(a) for a in args}) == len(args), "an endpoint stands twice in a select", position)
    for arg in args:
        _type(arg, (Endpoint, EndpointSet), instr)
    _need(isinstance(table, Select) and isinstance(table.arms, dict) and 1 <= len(table.arms) <= _MOST_ROWS,
          f"select has no rows, or more than {_MOST_ROWS}", position)  # fmt: skip
    _need(table.closed is None or _leads(table.closed, labels), f"there is no block {table.closed!r}", position)
    for cells, way in table.arms.items():
        _need(isinstance(cells, tuple) and len(cells) == len(args), "a row has not one cell for each operand", position)
        _need(any(cell is not None for cell in cells), "a row that waits for nothing", position)
        regs = _way(way, cells, known, module, labels, instr)
        wanted: list[Type] = []
        for arg, cell in zip(args, cells):
            if cell is None:
                continue
            _need(isinstance(cell, tuple) and len(cell) == 2 and isinstance(cell[0], str) and type(cell[1]) is int, f"{cell!r} is no cell", position)
            contract = module.contracts[arg.type.contract]
            _need(cell[0] == CLOSED or cell[0] in contract.messages, f"contract {contract.name} has no message {cell[0]!r}", position,
                  "contract.receive")  # fmt: skip
            own: list[Type] = [arg.type.member] if isinstance(arg.type, EndpointSet) else []
            own += [type_.sil for _, type_ in contract.messages[cell[0]].arguments] if cell[0] != CLOSED else []
            _need(cell[1] == len(own), f"{cell[0] or 'closed'} carries {len(own)} arguments", position, "contract.arguments")
            wanted += own
        _need(len(regs) == len(wanted), "a row has not one register for each argument", position, "contract.arguments")
        for reg, type_ in zip(regs, wanted):
            _type(reg, type_, instr)
    unused = [arg for index, arg in enumerate(args) if all(cells[index] is None for cells in table.arms)]
    _need(not unused, f"no row of the select asks for anything at {unused[0] if unused else ''}", position)


def _callee(name, instr: Instr, module: Module) -> Function:
    callee = module.functions.get(name) if isinstance(name, str) else None
    _need(callee is not None, f"{name!r} is no function of the program", instr.position, "closed-api")
    _arguments(name, instr, instr.args, callee.params)
    return callee


def _arguments(name: str, instr: Instr, args: tuple[Reg, ...], params: list[Reg]) -> None:
    """Check what a call hands over against a function's parameters."""
    _need(len(params) == len(args), f"{name} takes {len(params)} arguments", instr.position, "types")
    for reg, param in zip(args, params):
        _type(reg, param.type, instr)


def _check_call(instr: Instr, function: Function, module: Module, *_) -> None:
    callee = _callee(instr.extra, instr, module)
    _need(not callee.raises, f"{instr.extra} may raise an exception and is called as if it did not", instr.position)
    _need(len(instr.results) == len(callee.results), f"{instr.extra}: result and destination differ", instr.position, "types")
    for reg, type_ in zip(instr.results, callee.results):
        _type(reg, type_, instr)


def _check_spawn(instr: Instr, function: Function, module: Module, *_) -> None:
    callee = _callee(instr.extra, instr, module)
    _need(not callee.raises, f"nobody could catch what thread {instr.extra} raises", instr.position)
    _need(not callee.borrowed, f"thread {instr.extra} borrows a block and may use it longer than its caller owns it", instr.position, "owner.borrow")
    _need(len(callee.params) <= _MOST_THREAD_PARAMETERS, f"thread {instr.extra} has more than {_MOST_THREAD_PARAMETERS} parameters", instr.position, "types")
    _need(callee.result is None or callee.result == U64, f"thread {instr.extra} returns no u64", instr.position, "types")
    _need(not any(isinstance(p.type, Reference) for p in callee.params), "a thread is given an object that its caller keeps", instr.position, "types")
    _need(instr.dest is not None, "spawn gives a thread's number", instr.position)
    _type(instr.dest, U64, instr)


def _check_join(instr: Instr, *_) -> None:
    _type(instr.args[0], U64, instr)
    _type(instr.dest, U64, instr)


def _attempt(instr: Instr, module: Module, labels: set, known: dict[int, Reg], results: tuple) -> None:
    """Check the two ways out of an attempt: one with the result, one with the exception."""
    table = instr.extra
    _need(table.closed is None and isinstance(table.arms, dict) and set(table.arms) == {"returned", "raised"},
          f"{instr.op} has other ways than returned and raised", instr.position)  # fmt: skip
    for name, types in (("returned", results), ("raised", (U64,))):
        way = table.arms[name]
        _need(isinstance(way, tuple) and len(way) == 2 and isinstance(way[0], tuple) and _leads(way[1], labels), f"{name} leads nowhere", instr.position)
        _need(len(way[0]) == len(types), f"{instr.op}: {name} gives {len(types)} values", instr.position, "types")
        for reg, type_ in zip(way[0], types):
            _register(reg, known, module, instr.position)
            _type(reg, type_, instr)


def _check_attempt(instr: Instr, function: Function, module: Module, labels: set, known: dict[int, Reg]) -> None:
    _need(instr.dest is None and isinstance(instr.extra, Attempt), "attempt has no ways out", instr.position)
    callee = _callee(instr.extra.function, instr, module)
    _need(callee.raises, f"{callee.name} raises no exception and is attempted", instr.position)
    _attempt(instr, module, labels, known, callee.results)


def _check_attempt_new(instr: Instr, function: Function, module: Module, labels: set, known: dict[int, Reg]) -> None:
    _need(isinstance(instr.extra, Attempt) and instr.extra.function is None, "attempt_new has no ways out", instr.position)
    _attempt(instr, module, labels, known, ((Vector, Struct),))
    struct = isinstance(instr.extra.arms["returned"][0][0].type, Struct)
    _need(len(instr.args) == 1 - struct, "attempt_new has the wrong operands", instr.position)
    for reg in instr.args:
        _type(reg, U64, instr)


def _check_raise(instr: Instr, *_) -> None:
    _type(instr.args[0], U64, instr)


def _check_ret(instr: Instr, function: Function, *_) -> None:
    _need(instr.dest is None and len(instr.args) == len(function.results), f"{function.name} returns the wrong thing",
          instr.position, "types")  # fmt: skip
    for reg, type_ in zip(instr.args, function.results):
        _type(reg, type_, instr)


def _leads(label, labels: set) -> bool:
    """Whether a label names a block that may be jumped to."""
    return isinstance(label, str) and label in labels


def _check_br(instr: Instr, function: Function, module: Module, labels: set, *_) -> None:
    _need(_leads(instr.extra, labels), f"there is no block {instr.extra!r}", instr.position)


def _check_cbr(instr: Instr, function: Function, module: Module, labels: set, *_) -> None:
    _type(instr.args[0], BOOL, instr)
    _need(isinstance(instr.extra, tuple) and len(instr.extra) == 2 and all(_leads(to, labels) for to in instr.extra), "a branch leads nowhere", instr.position)


def _check_fault(instr: Instr, *_) -> None:
    _need(type(instr.extra) is int and 0 < instr.extra < 0x10000, "a fault without a code", instr.position)
