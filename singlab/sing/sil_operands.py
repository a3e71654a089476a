"""Well-formed SIL, one instruction: the operands and types that its row in :mod:`singlab.sing.sil_table` says.

Whatever is handed in, the answer is a finding or silence.
"""

from __future__ import annotations

from singlab.kernel.layout import SELECT_MOST
from singlab.sing import sil
from singlab.sing.attempted import ATTEMPTED
from singlab.sing.childcode import ASK, DO
from singlab.sing.sil import CLOSED, Attempt, Function, Instr, Module, NewChannel, Receive, Reg, Select, Trial
from singlab.sing.sil_classes import (
    fields,
    inherits,
    is_subtype,
    method,
)
from singlab.sing.sil_form import Malformed, need, register
from singlab.sing.sil_form import of_type as _type
from singlab.sing.sil_handles import CHECKS as HANDLE_CHECKS
from singlab.sing.sil_table import TABLE
from singlab.sing.types import (
    BOOL,
    CHAR,
    STR,
    U64,
    Array,
    Bool,
    Endpoint,
    EndpointSet,
    Int,
    Object,
    Reference,
    Str,
    Struct,
    Type,
    Vector,
)

#: Parameters of a function that is started as a thread.
_MOST_THREAD_PARAMETERS = 4


#: op: number of source registers, whether there is a destination.
_SHAPES = {op.name: (op.count, op.dest) for op in TABLE if op.dest is not None}


def check_instruction(instr: Instr, function: Function, module: Module, labels: set, known: dict[int, Reg]) -> None:
    op, args, dest, position = instr.op, instr.args, instr.dest, instr.position
    need(isinstance(args, tuple) and isinstance(instr.more, tuple), f"{op} has no operands", position)
    for reg in (*args, *instr.results):
        register(reg, known, module, position)
    need(not instr.more or (op in ("call", "split", "share") and dest is not None), f"{op} has several destinations", position)
    need(len({id(reg) for reg in instr.results}) == len(instr.results), "a register gets two values at once", position)
    if isinstance(op, str) and op.startswith("raw_"):
        raise Malformed("privileged", f"{op} reaches memory directly", position, "only the kernel's own functions may")
    if op in _SHAPES:
        count, has_dest = _SHAPES[op]
        need(count in (-1, len(args)) and (dest is not None) == has_dest, f"{op} has the wrong operands", position)
    else:
        need(op in ("call", "vcall", "send", "ret", "attempt", "attempt_vcall", "spawn", "select", "wait"), f"{op!r} is no instruction", position)
    check = globals().get(f"_check_{op}") or HANDLE_CHECKS.get(op)
    if op in sil.ARITHMETIC:
        _arithmetic(instr)
    elif op in sil.COMPARISONS:
        same = args[0].type == args[1].type and not args[0].type.linear and not isinstance(args[0].type, Reference)
        both = op in ("eq", "ne") and all(isinstance(reg.type, Reference) for reg in args)
        need(same or both, f"{op} compares {args[0].type} with {args[1].type}", position, "types")
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
    need(type(instr.extra) is int and low <= instr.extra <= high, f"{instr.extra!r} is no {instr.dest.type}", instr.position, "types")


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
    need(not instr.dest.type.shared, f"{instr.op}: a new vector is shared with nobody", instr.position, "types")


def _check_split(instr: Instr, *_) -> None:
    _type(instr.args[0], Vector, instr)
    _type(instr.args[1], U64, instr)
    need(len(instr.results) == 1 + (instr.op == "split"), f"{instr.op} gives {1 + (instr.op == 'split')} vectors", instr.position, "types")
    for reg in instr.results:
        _type(reg, instr.args[0].type, instr)


_check_truncate = _check_split


def _check_share(instr: Instr, *_) -> None:
    _type(instr.args[0], Vector, instr)
    for reg in instr.args[1:]:
        _type(reg, U64, instr)
    need(len(instr.results) == 2, "share gives two vectors", instr.position, "types")
    for reg in instr.results:
        _type(reg, Vector(instr.args[0].type.element, True), instr)


def _check_new_struct(instr: Instr, *_) -> None:
    _type(instr.dest, Struct, instr)


def _check_free(instr: Instr, *_) -> None:
    _type(instr.args[0], (Vector, Struct), instr)


def _field(struct: Type, instr: Instr) -> Type:
    """Return the type of the field an instruction names."""
    need(isinstance(struct, Struct), f"{instr.op}: {struct} has no fields", instr.position, "types")
    type_ = dict(struct.fields).get(instr.extra) if isinstance(instr.extra, str) else None
    need(type_ is not None, f"{struct} has no field {instr.extra!r}", instr.position, "types")
    return type_


def _check_load_field(instr: Instr, *_) -> None:
    _type(instr.dest, _field(instr.args[0].type, instr), instr)


def _check_store_field(instr: Instr, *_) -> None:
    _type(instr.args[1], _field(instr.args[0].type, instr), instr)


def _check_load_item(instr: Instr, *_) -> None:
    _type(instr.args[0], Vector, instr)
    _type(instr.args[1], U64, instr)
    _type(instr.dest, _field(instr.args[0].type.element, instr), instr)


def _unshared(instr: Instr) -> None:
    """Check that the vector an instruction writes to is nobody else's to read."""
    need(not getattr(instr.args[0].type, "shared", False), f"{instr.op}: {instr.args[0]} is {instr.args[0].type}, and others read the same data",
         instr.position, "owner.shared")  # fmt: skip


def _check_store_item(instr: Instr, *_) -> None:
    _type(instr.args[0], Vector, instr)
    _unshared(instr)
    _type(instr.args[1], U64, instr)
    _type(instr.args[2], _field(instr.args[0].type.element, instr), instr)


def _has_elements(instr: Instr, kinds: tuple[type, ...]) -> Type:
    """Check that the first operand has elements, and return their type."""
    type_ = instr.args[0].type
    good = isinstance(type_, kinds) and not getattr(type_, "nullable", False)
    need(good, f"{instr.op}: {instr.args[0]} is {type_} where a vector or an array is needed", instr.position, "types")
    return CHAR if isinstance(type_, Str) else type_.element


def _value_of(instr: Instr, kinds: tuple[type, ...]) -> Type:
    """Check that the first operand has elements that are values by themselves, and return their type."""
    element = _has_elements(instr, kinds)
    need(not isinstance(element, Struct), f"{instr.op}: an element of {instr.args[0].type} is a struct", instr.position, "types")
    return element


def _found(instr: Instr, type_: Type) -> None:
    """Check where what is read goes: what may have no value yet may be taken as None."""
    if not (isinstance(type_, Reference) and instr.dest.type == type_.perhaps):
        _type(instr.dest, type_, instr)


def _check_load(instr: Instr, *_) -> None:
    element = _value_of(instr, (Vector, Array, Str))
    _type(instr.args[1], U64, instr)
    _found(instr, element)


def _check_store(instr: Instr, *_) -> None:
    _unshared(instr)
    element = _value_of(instr, (Vector, Array))
    _type(instr.args[1], U64, instr)
    _type(instr.args[2], element, instr)


def _check_len(instr: Instr, *_) -> None:
    _has_elements(instr, (Vector, Array, Str))
    _type(instr.dest, U64, instr)


def _certain(reg: Reg, kind: type, instr: Instr) -> None:
    """Check that a register holds a reference of a kind that is not None."""
    _type(reg, kind, instr)
    need(not reg.type.nullable, f"{instr.op}: {reg} is {reg.type} and may be None", instr.position, "types")


def _check_newobj(instr: Instr, *_) -> None:
    _certain(instr.dest, Object, instr)


def _check_newarr(instr: Instr, *_) -> None:
    _certain(instr.dest, Array, instr)
    _type(instr.args[0], U64, instr)


def _object_field(instr: Instr, module: Module) -> Type:
    _certain(instr.args[0], Object, instr)
    known = fields(module, instr.args[0].type.cls)
    need(isinstance(instr.extra, str) and instr.extra in known, f"{instr.args[0].type.cls} has no field {instr.extra!r}", instr.position, "types")
    return known[instr.extra]


def _check_getf(instr: Instr, function: Function, module: Module, *_) -> None:
    _found(instr, _object_field(instr, module))


def _check_putf(instr: Instr, function: Function, module: Module, *_) -> None:
    _type(instr.args[1], _object_field(instr, module), instr)


def _check_none(instr: Instr, *_) -> None:
    _type(instr.dest, Reference, instr)
    need(instr.dest.type.nullable, f"None is no {instr.dest.type}", instr.position, "types")


def _check_some(instr: Instr, *_) -> None:
    _type(instr.args[0], Reference, instr)
    _type(instr.dest, instr.args[0].type.certain, instr)


def _check_as(instr: Instr, function: Function, module: Module, *_) -> None:
    for reg in (instr.args[0], instr.dest):
        _type(reg, Object, instr)
    one, other = instr.args[0].type.cls, instr.dest.type.cls
    need(inherits(module, one, other) or inherits(module, other, one), f"no {one} is a {other}", instr.position, "types")


def _check_isinst(instr: Instr, function: Function, module: Module, *_) -> None:
    _type(instr.args[0], Object, instr)
    _type(instr.dest, BOOL, instr)
    need(isinstance(instr.extra, str) and instr.extra in module.classes, f"{instr.extra!r} is no class", instr.position, "types")


def _method(name, instr: Instr, module: Module) -> Function:
    """Check a virtual call's object and arguments; returns one of the functions it can come to, which are all called alike."""
    need(len(instr.args) >= 1, f"{instr.op} names no object", instr.position)
    _certain(instr.args[0], Object, instr)
    label = method(module, instr.args[0].type.cls, name) if isinstance(name, str) else None
    need(label is not None, f"{instr.args[0].type.cls} has no method {name!r}", instr.position, "types")
    callee = module.functions[label]
    _arguments(name, instr, instr.args[1:], callee.params[1:])
    return callee


def _check_vcall(instr: Instr, function: Function, module: Module, *_) -> None:
    callee = _method(instr.extra, instr, module)
    need(not callee.raises, f"{instr.extra} may raise an exception and is called as if it did not", instr.position)
    need(len(instr.results) == len(callee.results), f"{instr.extra}: result and destination differ", instr.position, "types")
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


_check_process_id = _check_cycles_per_second = _check_thread_id = _check_cycles


def _check_print_text(instr: Instr, *_) -> None:
    need(isinstance(instr.extra, str) and not any("\ud800" <= letter <= "\udfff" for letter in instr.extra),
          f"{instr.op} has no text", instr.position)  # fmt: skip


def _check_print_int(instr: Instr, *_) -> None:
    _type(instr.args[0], (Int, Bool), instr)


def _check_mark(instr: Instr, *_) -> None:
    _type(instr.args[0], Int, instr)


def _check_create(instr: Instr, *_) -> None:
    need(type(instr.extra) is int and 0 <= instr.extra < 1 << 16, f"create names extension {instr.extra!r:.40}", instr.position)
    _type(instr.dest, U64, instr)


def _check_give(instr: Instr, *_) -> None:
    need(type(instr.extra) is int and 0 <= instr.extra < 64, f"give names startup argument {instr.extra!r:.40}", instr.position)
    _type(instr.args[0], U64, instr)
    if not isinstance(instr.args[1].type, Endpoint):
        _type(instr.args[1], (Int, Bool), instr)


def _check_child(instr: Instr, *_) -> None:
    need(isinstance(instr.extra, str) and instr.extra in DO, f"nothing called {instr.extra!r:.40} is done with a child", instr.position)
    _type(instr.args[0], U64, instr)


def _check_ask_child(instr: Instr, *_) -> None:
    need(isinstance(instr.extra, str) and instr.extra in ASK, f"nothing called {instr.extra!r:.40} is asked about a child", instr.position)
    _type(instr.args[0], U64, instr)
    _type(instr.dest, U64, instr)


def _check_close(instr: Instr, function: Function, module: Module, *_) -> None:
    _contract(instr, module)


def _contract(instr: Instr, module: Module):
    need(len(instr.args) >= 1, f"{instr.op} names no endpoint", instr.position)
    _type(instr.args[0], Endpoint, instr)
    type_ = instr.args[0].type
    need(type_.contract in module.contracts and type_.side in ("Imp", "Exp"), f"contract {type_.contract} is not declared",
          instr.position, "contract.send")  # fmt: skip
    return module.contracts[type_.contract]


def _check_send(instr: Instr, function: Function, module: Module, *_) -> None:
    contract = _contract(instr, module)
    need(instr.dest is None, "send has no result", instr.position)
    need(isinstance(instr.extra, str) and instr.extra in contract.messages, f"contract {contract.name} has no message {instr.extra!r}",
          instr.position, "contract.send")  # fmt: skip
    wanted = contract.messages[instr.extra].arguments
    need(len(wanted) == len(instr.args) - 1, f"{instr.extra} carries {len(wanted)} arguments", instr.position, "contract.arguments")
    for reg, (_, type_) in zip(instr.args[1:], wanted):
        _type(reg, type_.sil, instr)


def _check_receive(instr: Instr, function: Function, module: Module, labels: set, known: dict[int, Reg]) -> None:
    contract = _contract(instr, module)
    table = instr.extra
    need(isinstance(table, Receive) and isinstance(table.arms, dict), "receive has no arms", instr.position)
    need(table.closed is None or _leads(table.closed, labels), f"there is no block {table.closed!r}", instr.position)
    for name, way in table.arms.items():
        need(isinstance(name, str) and isinstance(way, tuple) and len(way) == 2 and isinstance(way[0], tuple), f"the case {name!r} is none",
              instr.position)  # fmt: skip
        regs, label = way
        need(name in contract.messages, f"contract {contract.name} has no message {name!r}", instr.position, "contract.receive")
        need(_leads(label, labels), f"there is no block {label!r}", instr.position)
        wanted = contract.messages[name].arguments
        need(len(regs) == len(wanted), f"{name} carries {len(wanted)} arguments", instr.position, "contract.arguments")
        need(len({id(r) for r in regs}) == len(regs), "an argument is taken twice", instr.position)
        for reg, (_, type_) in zip(regs, wanted):
            register(reg, known, module, instr.position)
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
    need(isinstance(table, NewChannel) and isinstance(table.arms, dict) and {"made"} <= set(table.arms) <= {"made", "raised"} and table.closed is None,
          "new_channel has no way out", instr.position)  # fmt: skip
    if "raised" in table.arms:
        regs = _way(table.arms["raised"], "raised", known, module, labels, instr)
        need(len(regs) == 1, "new_channel: raised gives 1 values", instr.position, "types")
        _type(regs[0], U64, instr)
    need(isinstance(table.contract, str) and table.contract in module.contracts, f"contract {table.contract!r} is not declared",
          instr.position, "contract.send")  # fmt: skip
    regs = _way(table.arms["made"], "made", known, module, labels, instr)
    need(len(regs) == 2, "new_channel gives two ends", instr.position)
    for reg, side in zip(regs, ("Imp", "Exp")):
        _type(reg, Endpoint(table.contract, side), instr)


def _way(way, name, known: dict[int, Reg], module: Module, labels: set, instr: Instr) -> tuple[Reg, ...]:
    """Check the form of one way out; returns the registers it gives."""
    need(isinstance(way, tuple) and len(way) == 2 and isinstance(way[0], tuple), f"the case {name!r} is none", instr.position)
    regs, label = way
    need(_leads(label, labels), f"there is no block {label!r}", instr.position)
    for reg in regs:
        register(reg, known, module, instr.position)
    need(len({id(r) for r in regs}) == len(regs), "an argument is taken twice", instr.position)
    return regs


#: Rows of one select.
_MOST_ROWS = 64


def _check_select(instr: Instr, function: Function, module: Module, labels: set, known: dict[int, Reg]) -> None:
    args, table, position = instr.args, instr.extra, instr.position
    need(instr.dest is None and 1 <= len(args) <= SELECT_MOST, f"select takes one to {SELECT_MOST} endpoints and sets", position)
    need(len({id(a) for a in args}) == len(args), "an endpoint stands twice in a select", position)
    for arg in args:
        _type(arg, (Endpoint, EndpointSet), instr)
    need(isinstance(table, Select) and isinstance(table.arms, dict) and 1 <= len(table.arms) <= _MOST_ROWS,
          f"select has no rows, or more than {_MOST_ROWS}", position)  # fmt: skip
    need(table.closed is None or _leads(table.closed, labels), f"there is no block {table.closed!r}", position)
    for cells, way in table.arms.items():
        need(isinstance(cells, tuple) and len(cells) == len(args), "a row has not one cell for each operand", position)
        need(any(cell is not None for cell in cells), "a row that waits for nothing", position)
        regs = _way(way, cells, known, module, labels, instr)
        wanted: list[Type] = []
        for arg, cell in zip(args, cells):
            if cell is None:
                continue
            need(isinstance(cell, tuple) and len(cell) == 2 and isinstance(cell[0], str) and type(cell[1]) is int, f"{cell!r} is no cell", position)
            contract = module.contracts[arg.type.contract]
            need(cell[0] == CLOSED or cell[0] in contract.messages, f"contract {contract.name} has no message {cell[0]!r}", position,
                  "contract.receive")  # fmt: skip
            own: list[Type] = [arg.type.member] if isinstance(arg.type, EndpointSet) else []
            own += [type_.sil for _, type_ in contract.messages[cell[0]].arguments] if cell[0] != CLOSED else []
            need(cell[1] == len(own), f"{cell[0] or 'closed'} carries {len(own)} arguments", position, "contract.arguments")
            wanted += own
        need(len(regs) == len(wanted), "a row has not one register for each argument", position, "contract.arguments")
        for reg, type_ in zip(regs, wanted):
            _type(reg, type_, instr)
    unused = [arg for index, arg in enumerate(args) if all(cells[index] is None for cells in table.arms)]
    need(not unused, f"no row of the select asks for anything at {unused[0] if unused else ''}", position)


def _callee(name, instr: Instr, module: Module) -> Function:
    callee = module.functions.get(name) if isinstance(name, str) else None
    need(callee is not None, f"{name!r} is no function of the program", instr.position, "closed-api")
    _arguments(name, instr, instr.args, callee.params)
    return callee


def _arguments(name: str, instr: Instr, args: tuple[Reg, ...], params: list[Reg]) -> None:
    """Check what a call hands over against a function's parameters."""
    need(len(params) == len(args), f"{name} takes {len(params)} arguments", instr.position, "types")
    for reg, param in zip(args, params):
        _type(reg, param.type, instr)


def _check_call(instr: Instr, function: Function, module: Module, *_) -> None:
    callee = _callee(instr.extra, instr, module)
    need(not callee.raises, f"{instr.extra} may raise an exception and is called as if it did not", instr.position)
    need(len(instr.results) == len(callee.results), f"{instr.extra}: result and destination differ", instr.position, "types")
    for reg, type_ in zip(instr.results, callee.results):
        _type(reg, type_, instr)


def _thread(name, instr: Instr, module: Module) -> None:
    """Check the function that a thread is to run, and what it is given."""
    callee = _callee(name, instr, module)
    need(not callee.raises, f"nobody could catch what thread {name} raises", instr.position)
    need(not callee.borrowed, f"thread {name} borrows a block and may use it longer than its caller owns it", instr.position, "owner.borrow")
    need(len(callee.params) <= _MOST_THREAD_PARAMETERS, f"thread {name} has more than {_MOST_THREAD_PARAMETERS} parameters", instr.position, "types")
    need(callee.result is None or callee.result == U64, f"thread {name} returns no u64", instr.position, "types")
    need(not any(isinstance(p.type, Reference) for p in callee.params), "a thread is given an object that its caller keeps", instr.position, "types")


def _check_spawn(instr: Instr, function: Function, module: Module, *_) -> None:
    _thread(instr.extra, instr, module)
    need(instr.dest is not None, "spawn gives a thread's number", instr.position)
    _type(instr.dest, U64, instr)


def _check_join(instr: Instr, *_) -> None:
    _type(instr.args[0], U64, instr)
    _type(instr.dest, U64, instr)


_check_thread_state = _check_join


def _attempt(instr: Instr, module: Module, labels: set, known: dict[int, Reg], results: tuple) -> None:
    """Check the two ways out of an attempt: one with the result, one with the exception."""
    table = instr.extra
    need(table.closed is None and isinstance(table.arms, dict) and set(table.arms) == {"returned", "raised"},
          f"{instr.op} has other ways than returned and raised", instr.position)  # fmt: skip
    for name, types in (("returned", results), ("raised", (U64,))):
        way = table.arms[name]
        need(isinstance(way, tuple) and len(way) == 2 and isinstance(way[0], tuple) and _leads(way[1], labels), f"{name} leads nowhere", instr.position)
        need(len(way[0]) == len(types), f"{instr.op}: {name} gives {len(types)} values", instr.position, "types")
        for reg, type_ in zip(way[0], types):
            register(reg, known, module, instr.position)
            _type(reg, type_, instr)


def _check_attempt(instr: Instr, function: Function, module: Module, labels: set, known: dict[int, Reg]) -> None:
    need(instr.dest is None and isinstance(instr.extra, Attempt), "attempt has no ways out", instr.position)
    callee = _callee(instr.extra.function, instr, module)
    need(callee.raises, f"{callee.name} raises no exception and is attempted", instr.position)
    _attempt(instr, module, labels, known, callee.results)


def _check_attempt_new(instr: Instr, function: Function, module: Module, labels: set, known: dict[int, Reg]) -> None:
    need(isinstance(instr.extra, Attempt) and instr.extra.function is None, "attempt_new has no ways out", instr.position)
    _attempt(instr, module, labels, known, ((Vector, Struct, Array, Object, EndpointSet),))
    made = instr.extra.arms["returned"][0][0].type
    need(not getattr(made, "nullable", False), f"attempt_new makes no {made}", instr.position, "types")
    need(not getattr(made, "shared", False), f"{instr.op}: a new vector is shared with nobody", instr.position, "types")
    need(len(instr.args) == isinstance(made, (Vector, Array)), "attempt_new has the wrong operands", instr.position)
    for reg in instr.args:
        _type(reg, U64, instr)


def _check_attempt_vcall(instr: Instr, function: Function, module: Module, labels: set, known: dict[int, Reg]) -> None:
    need(instr.dest is None and isinstance(instr.extra, Attempt), "attempt_vcall has no ways out", instr.position)
    callee = _method(instr.extra.function, instr, module)
    need(callee.raises, f"{instr.extra.function} raises no exception and is attempted", instr.position)
    _attempt(instr, module, labels, known, callee.results)


def _check_attempt_spawn(instr: Instr, function: Function, module: Module, labels: set, known: dict[int, Reg]) -> None:
    need(isinstance(instr.extra, Attempt), "attempt_spawn has no ways out", instr.position)
    _thread(instr.extra.function, instr, module)
    _attempt(instr, module, labels, known, (U64,))


def _check_attempt_op(instr: Instr, function: Function, module: Module, labels: set, known: dict[int, Reg]) -> None:
    need(isinstance(instr.extra, Trial) and instr.extra.function in ATTEMPTED, "attempt_op attempts nothing that can fail", instr.position)
    need(instr.extra.function != "ask_child" or instr.extra.rest == "join", "of a child only join can be attempted", instr.position)
    regs = instr.extra.arms["returned"][0] if isinstance(instr.extra.arms, dict) and "returned" in instr.extra.arms else ()
    _attempt(instr, module, labels, known, (Type,) * len(regs) if isinstance(regs, tuple) else ())
    check_instruction(instr.extra.plain(instr), function, module, labels, known)


def _check_raise(instr: Instr, *_) -> None:
    _type(instr.args[0], U64, instr)


def _check_ret(instr: Instr, function: Function, *_) -> None:
    need(instr.dest is None and len(instr.args) == len(function.results), f"{function.name} returns the wrong thing",
          instr.position, "types")  # fmt: skip
    for reg, type_ in zip(instr.args, function.results):
        _type(reg, type_, instr)


def _leads(label, labels: set) -> bool:
    """Whether a label names a block that may be jumped to."""
    return isinstance(label, str) and label in labels


def _check_br(instr: Instr, function: Function, module: Module, labels: set, *_) -> None:
    need(_leads(instr.extra, labels), f"there is no block {instr.extra!r}", instr.position)


def _check_cbr(instr: Instr, function: Function, module: Module, labels: set, *_) -> None:
    _type(instr.args[0], BOOL, instr)
    need(isinstance(instr.extra, tuple) and len(instr.extra) == 2 and all(_leads(to, labels) for to in instr.extra), "a branch leads nowhere", instr.position)


def _check_fault(instr: Instr, *_) -> None:
    need(type(instr.extra) is int and 0 < instr.extra < 0x10000, "a fault without a code", instr.position)
