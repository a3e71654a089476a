"""Lowering, statements: a program's syntax tree to SIL.

One register a variable, typed by its first assignment; one basic block a straight piece of code. What
the language does not have is refused here, with the construct's name and what to write instead. What
is well-formed but wrong (ownership, contracts, uninitialised variables) passes: the verifier refuses it.
"""

from __future__ import annotations

import ast
from functools import lru_cache

from singlab.sing import sil
from singlab.sing.borrow import is_borrowed
from singlab.sing.carried import named_contracts
from singlab.sing.childlowering import ChildLowering
from singlab.sing.classes import Classes
from singlab.sing.contracts import Contract, EndpointType, Message
from singlab.sing.endpointlowering import EndpointLowering
from singlab.sing.errors import NOT_UNDERSTOOD, OWN_MISTAKES, SipError
from singlab.sing.exceptions import FIRST_NUMBER, LAST_NUMBER, ExceptionTable, settle, start_threads
from singlab.sing.exceptiontexts import NAME as TEXT_FUNCTION
from singlab.sing.exceptiontexts import text_function
from singlab.sing.expressions import ExpressionLowering
from singlab.sing.handles import HANDLE_TYPES
from singlab.sing.library import FILENAME
from singlab.sing.looplower import LoopLowering
from singlab.sing.objects import instance_of, spoken
from singlab.sing.parsing import parse
from singlab.sing.program import Program
from singlab.sing.texts import TextLowering
from singlab.sing.trying import TryLowering
from singlab.sing.tuples import MOST_RESULTS, TupleValue, flat
from singlab.sing.types import (
    BOOL,
    CHAR,
    CHILD,
    I64,
    INTS,
    Endpoint,
    EndpointSet,
    Handle,
    Int,
    Object,
    Reference,
    Str,
    Struct,
    Tuple,
    Type,
    Vector,
)

#: Python's constructs that the language leaves out: what a student calls them, and what to write instead.
LEFT_OUT = {
    "ListComp": ("list comprehension", "write a loop"), "DictComp": ("dictionary comprehension", "write a loop"),
    "SetComp": ("set comprehension", "write a loop"), "GeneratorExp": ("generator", "write a loop"),
    "Lambda": ("lambda", "write a @function"), "With": ("with", "call what you need directly"),
    "Import": ("import", "a sealed program brings all its code with it: call a @function of this or another cell by its name"),
    "Dict": ("dictionary", "use variables or an exchange-heap vector"), "Set": ("set", "use an exchange-heap vector: new(u8, n)"),
    "List": ("list", "use an array, array(u64, n), or an exchange-heap vector, new(u64, n)"),
    "Global": ("global variable", "pass values as parameters"), "Nonlocal": ("variable of an outer function", "pass values as parameters"),
    "Delete": ("del", "free(v) gives a vector back"), "FunctionDef": ("function inside a function", "write it beside this one, as a @function"),
    "ClassDef": ("class inside a function", "use variables and exchange-heap vectors"),
    "Yield": ("generator", "yield_() lets the next thread run"), "YieldFrom": ("generator", "yield_() lets the next thread run"),
    "Await": ("await", "receive() waits for a message"), "AsyncFor": ("async", "receive() waits for a message"),
    "AsyncWith": ("async", "receive() waits for a message"), "AsyncFunctionDef": ("async", "receive() waits for a message"),
    "JoinedStr": ("formatted text here", "print takes texts and numbers, one after the other"), "Starred": ("starred value", "write the values"),
    "Slice": ("slice", "copy the elements in a loop"), "NamedExpr": ("assignment inside an expression", "assign on a line before"),
    "TypeAlias": ("type alias", "write the type itself"),
}  # fmt: skip

#: Types that generic functions are used with in one program, all together.
MOST_INSTANCES = 200


@lru_cache(maxsize=4)
def _lines(source: str) -> list[str]:
    """Return a text's lines, which all functions in it share."""
    return source.splitlines()


#: Statements with several ways through them, but for ``if`` and loops, which see to this themselves.
_WAYS = (ast.Match, ast.Try, ast.With, ast.For)


class FunctionLowering(ChildLowering, LoopLowering, TryLowering, TextLowering, ExpressionLowering, EndpointLowering):
    """Lower one function."""

    def __init__(self, program: Program, module: ModuleLowering):
        self.program, self.module = program, module
        self.lines = _lines(program.source)
        self.blocks: list[sil.Block] = []
        self.variables: dict[str, sil.Reg] = {}
        self.narrowed: dict[str, Type] = {}
        self.count = 0
        self.loops: list[tuple[str, str]] = []
        self.prepare_exceptions(module.label(program) in module.exceptions.raising)
        self.block = self.new_block("entry")

    # ---- bookkeeping -------------------------------------------------------------------------------------

    def refuse(self, rule: str, message: str, node: ast.AST, hint: str = "") -> SipError:
        """Return an error at a node."""
        place = self.place(node)
        error = SipError(rule, message + self.named_instance(), hint=hint, line=place.line, column=place.column)
        return error.at(self.program.filename, self.program.source)

    def place(self, node: ast.AST) -> sil.Position:
        """Return where a node begins, in characters: Python counts the column in bytes."""
        line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", -1)
        text = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        if column > 0 and not text.isascii():
            column = len(text.encode()[:column].decode(errors="ignore"))
        return sil.Position(line, column + 1)

    def new_block(self, hint: str) -> sil.Block:
        """Return a new block, not yet current."""
        block = sil.Block(f"{hint}{len(self.blocks)}")
        self.blocks.append(block)
        return block

    def reg(self, type_: Type, name: str | None = None) -> sil.Reg:
        """Return a fresh register."""
        self.count += 1
        return sil.Reg(self.count - 1, type_, name)

    def append(self, op: str, node: ast.AST, dest: sil.Reg | None = None, args: tuple = (), extra=None,
               more: tuple = ()) -> sil.Reg | None:  # fmt: skip
        """Append an instruction to the current block; returns its destination."""
        self.block.instrs.append(sil.Instr(op, dest, tuple(args), extra, self.place(node), more))
        return dest

    def ended(self) -> bool:
        """Whether the current block has its terminator."""
        return bool(self.block.instrs) and self.block.instrs[-1].op in sil.TERMINATORS

    def go(self, block: sil.Block, node: ast.AST) -> None:
        """Jump to a block unless control cannot get here."""
        if not self.ended():
            self.emit("br", node, extra=block.label)

    # ---- a function ------------------------------------------------------------------------------------------

    def lower(self) -> sil.Function:
        """Return the function's SIL."""
        node = self.program.node
        arguments = node.args
        strange = [*arguments.posonlyargs, *arguments.kwonlyargs, *filter(None, (arguments.vararg, arguments.kwarg))]
        if strange or arguments.defaults:
            what = f"parameter {strange[0].arg} takes its values in a way" if strange else "a parameter has a default value, which"
            raise self.refuse("language", f"{what} the SIP language does not have", strange[0] if strange else arguments.defaults[0],
                              "use plain typed parameters: def f(ch: C.Exp, n: u64)")  # fmt: skip
        if len(arguments.args) > 8:
            raise self.refuse("language", f"{node.name} has {len(arguments.args)} parameters", node, "use at most 8")
        params, borrowed = [], set()
        for place, argument in enumerate(arguments.args):
            if argument.annotation is None and place == 0 and self.program.owner is not None:
                params.append(self.this(argument))
                continue
            if argument.annotation is None:
                raise self.refuse("types", f"parameter {argument.arg} has no type", argument,
                                  f"write {argument.arg}: u64, or {argument.arg}: C.Exp for an endpoint")  # fmt: skip
            type_ = self.parameter(argument.annotation)
            kind = "vector" if isinstance(type_, Vector) else "set" if isinstance(type_, EndpointSet) else "struct"
            if self.program.entry and type_.block:
                raise self.refuse("types", f"startup argument {argument.arg} cannot be a {kind}", argument,
                                  f"receive the {kind} in a message")  # fmt: skip
            if self.program.entry and isinstance(type_, Tuple):
                raise self.refuse("types", f"startup argument {argument.arg} cannot be a tuple", argument, "take its values one by one")
            if self.program.entry and isinstance(type_, (Reference, Handle)):
                raise self.refuse("types", f"startup argument {argument.arg} cannot be {spoken(type_)}", argument,
                                  "make it here; numbers and endpoints can be given from outside")  # fmt: skip
            if is_borrowed(argument.annotation):
                borrowed.add(len(params))
            self.variables[argument.arg] = self.fresh(type_, argument.arg)
            params += flat([self.variables[argument.arg]])
        if len(params) > 8:
            raise self.refuse("language", f"{node.name} takes {len(params)} values, those of tuples counted", node, "use at most 8")
        self.result: Type | None = None
        if node.returns is not None and not (isinstance(node.returns, ast.Constant) and node.returns.value is None):
            self.result = self.annotation(node.returns)
            if self.program.entry and (self.result.linear or isinstance(self.result, (Tuple, Reference, Handle))):
                raise self.refuse("types", f"{node.name} cannot return {getattr(self.result, 'called', self.result)}", node.returns, "return an integer")
            if isinstance(self.result, Tuple) and len(self.result.flat) > MOST_RESULTS:
                raise self.refuse("types", f"{node.name} returns {len(self.result.flat)} values", node.returns, f"return at most {MOST_RESULTS}")
        if self.program.entry:
            self.came_in(params, node)
        self.lent_parameters(node)
        self.statements(node.body)
        if not self.ended():
            if self.result is not None and self.reachable(self.block):
                raise self.refuse("types", f"{node.name} promises {self.result} but can end without a return", node,
                                  "add a return at its end")  # fmt: skip
            self.emit("ret" if self.result is None else "fault", node, extra=None if self.result is None else 4)
        return self.finished(params, frozenset(borrowed), node)

    def finished(self, params: list[sil.Reg], borrowed: frozenset[int], node: ast.FunctionDef) -> sil.Function:
        """Return the function, with the types SIL has."""
        result = self.result and self.result.sil
        function = sil.Function(self.module.label(self.program), params, result, self.reachable_blocks(), self.place(node),
                                self.program.filename, self.program.source, self.raises, borrowed)  # fmt: skip
        for reg in function.registers():
            reg.type = reg.type.sil
        return function

    def this(self, argument: ast.arg) -> sil.Reg:
        """Return the register of a method's object."""
        cls = self.module.classes.use(self.program.owner, self, argument)
        self.variables[argument.arg] = self.reg(Object(cls=cls), argument.arg)
        return self.variables[argument.arg]

    def reachable_blocks(self) -> list[sil.Block]:
        return sil.reachable(self.blocks)

    def reachable(self, block: sil.Block) -> bool:
        return block in self.reachable_blocks()

    def annotation(self, node: ast.expr) -> Type:
        """Return the type an annotation names."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                node = ast.copy_location(parse(node.value, mode="eval").body, node)
            except (SyntaxError, ValueError):
                raise self.refuse("types", f"{node.value!r} is no type", node, "use u64, bool, ExVec[u8] or C.Exp") from None
        if isinstance(node, ast.Name):
            if node.id in INTS:
                return INTS[node.id]
            if node.id == "bool":
                return BOOL
            if node.id == "int":
                return I64
            if node.id in ("char", "Child"):
                return CHAR if node.id == "char" else CHILD
            if node.id in HANDLE_TYPES and self.class_named(node.id) is None and node.id not in self.program.bindings:
                return HANDLE_TYPES[node.id]
        type_ = self.declared_type(node) if isinstance(node, (ast.Name, ast.Attribute)) else None
        if type_ is not None:
            return type_
        if is_borrowed(node):
            raise self.refuse("types", "only a parameter can be borrowed", node, f"write {ast.unparse(node.slice)}")
        if isinstance(node, ast.Subscript) and getattr(node.value, "id", None) in ("tuple", "Tuple"):
            return self.tuple_type(node)
        found = self.reference(node)
        if found is not None:
            return found
        if isinstance(node, ast.Subscript) and getattr(node.value, "id", None) in ("ExVec", "Shared"):
            element = self.annotation(node.slice)
            if type(element) in (Int, Struct):
                return Vector(element, node.value.id == "Shared")
        if isinstance(node, ast.Subscript) and getattr(node.value, "id", None) == "ESet":
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            return self.set_type(parts, node)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in ("Imp", "Exp"):
            return Endpoint(self.contract(node.value).name, node.attr)
        if ast.unparse(node).partition("[")[0] == "list":
            raise self.refuse("types", "list is no type of the SIP language", node, "use an array, Array[u64], which array(u64, n) makes")
        raise self.refuse("types", f"{ast.unparse(node)} is no type of the SIP language", node,
                          "use u8 to u64, i8 to i64, bool, ExVec[u8], or an endpoint such as C.Exp")  # fmt: skip

    def contract(self, node: ast.Name) -> Contract:
        """Return the contract a name stands for."""
        found = self.program.names.get(node.id)
        if isinstance(found, EndpointType):
            found = found.contract
        if not isinstance(found, Contract):
            raise self.refuse("types", f"{node.id} is no contract", node,
                              f'declare it first: {node.id} = contract("""...""")')  # fmt: skip
        if self.module.contracts.get(found.name) is not found:
            for name, other in named_contracts(found, {**found.known, **self.program.names}).items():
                if self.module.contracts.setdefault(name, other).text != other.text:
                    raise self.refuse("types", f"there are two different contracts named {name}", node, "rename one")
                for type_ in other.types.values():
                    self.same(type_, node)
        return found

    def message(self, node: ast.expr, endpoint: sil.Reg) -> Message:
        """Return the message ``C.M`` names, on an endpoint of that contract."""
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
            raise self.refuse("language", f"{ast.unparse(node)} names no message", node,
                              f"write Contract.Message, such as {endpoint.type.contract}."
                              + next(iter(self.module.contracts[endpoint.type.contract].messages), "M"))  # fmt: skip
        contract = self.contract(node.value)
        spoken = self.module.contracts[endpoint.type.contract]
        if contract in spoken.lineage:
            contract = spoken  # a contract has all messages of the one it extends
        if contract.name != endpoint.type.contract:
            raise self.refuse("types", f"{endpoint.name} speaks contract {endpoint.type.contract}, not {contract.name}", node,
                              f"use a message of {endpoint.type.contract}")  # fmt: skip
        if node.attr not in contract.messages:
            raise self.refuse("types", f"contract {contract.name} has no message {node.attr}", node,
                              f"it has {', '.join(contract.messages)}")  # fmt: skip
        return contract.messages[node.attr]

    # ---- statements ----------------------------------------------------------------------------------------------

    def statements(self, body: list[ast.stmt]) -> None:
        for node in body:
            if self.ended():
                self.block = self.new_block("dead")
            method = getattr(self, f"do_{type(node).__name__}", None)
            if method is None:
                raise self.left_out(node)
            if isinstance(node, _WAYS):  # what a way through it says of a variable holds on that way only
                self.forget(node)
                known = dict(self.narrowed)
                self.lowered(method, node)
                self.narrowed = known
            else:
                self.lowered(method, node)

    def lowered(self, method, node: ast.stmt) -> None:
        """Lower a statement. A mistake of the compiler's own is told at the statement it was made about, like a mistake of the program's."""
        try:
            method(node)
        except OWN_MISTAKES as error:
            raise self.refuse("language", NOT_UNDERSTOOD, node, f"write it in simpler steps; the compiler itself is wrong here ({error})") from error

    def do_Pass(self, node: ast.Pass) -> None:
        pass

    def do_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return
        if isinstance(node.value, (ast.Yield, ast.YieldFrom, ast.Await)):
            raise self.left_out(node.value)
        if not isinstance(node.value, ast.Call):
            raise self.refuse("language", "this expression does nothing", node, "assign it to a variable, or remove it")
        self.call(node.value, None, statement=True)

    def do_Assign(self, node: ast.Assign) -> None:
        if len(node.targets) > 1:
            return self.chained(node)
        target = node.targets[0]
        if isinstance(target, ast.Tuple):
            self.unpack(target, node)
        elif isinstance(target, ast.Subscript):
            self.store_element(target, node.value, node)
        elif isinstance(target, ast.Attribute):
            self.store_field(target, node.value, node)
        elif isinstance(target, ast.Name):
            known = self.variables.get(target.id)
            value = self.expr(node.value, known.type if known else None)
            self.assign(target.id, value, node)
        else:
            raise self.refuse("language", f"{ast.unparse(target)} cannot be assigned to", target, "assign to a variable")

    def chained(self, node: ast.Assign) -> None:
        """``a = b = value``: the value is computed once, the targets get it from left to right."""
        if not all(isinstance(target, ast.Name) for target in node.targets):
            raise self.refuse("language", "only variables can be assigned together", node, "write one assignment a line")
        names = [target.id for target in node.targets]
        want = next((self.variables[name].type for name in names if name in self.variables), None)
        value = self.held(self.expr(node.value, want), node)
        if value.type.linear:
            raise self.refuse("types", f"{' and '.join(names)} cannot both own one {value.type}", node, "give each its own")
        for name in names:
            self.assign(name, value, node)

    def held(self, value: sil.Reg, node: ast.AST) -> sil.Reg:
        """Return a value in a register of its own, so that a later assignment to its variable does not change it."""
        if value.name is None:
            return value
        if isinstance(value, TupleValue):
            return TupleValue(value.type, [self.held(part, node) for part in value.parts])
        return self.emit("mov", node, self.reg(value.type), (value,))

    def do_AnnAssign(self, node: ast.AnnAssign) -> None:
        if not isinstance(node.target, ast.Name) or node.value is None:
            raise self.refuse("language", "an annotation without a value", node, "write name: type = value")
        type_ = self.annotation(node.annotation)
        known = self.variables.get(node.target.id)
        if known is not None and known.type != type_:
            raise self.refuse("types", f"{node.target.id} is {known.type} and cannot become {type_}", node, "use another name")
        value = self.coerce(self.expr(node.value, type_), type_, node.value)
        self.assign(node.target.id, value, node)

    def assign(self, name: str, value: sil.Reg, node: ast.AST) -> None:
        """Assign a value to a variable, which gets the value's type if it is new."""
        known = self.variables.get(name)
        self.narrowed.pop(name, None)
        if known is None:
            known = self.variables[name] = self.fresh(value.type, name)
        value = self.coerce(value, known.type, node, name)
        if isinstance(value, TupleValue):  # another one's values may be this one's own: t = (t[1], t[0])
            value = self.held(value, node)
        self.move(known, value, node)

    def do_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Subscript):
            # the index is evaluated once; the tree itself stays as it is, for it may be lowered again
            index = self.once(node.target.slice)
            place = ast.copy_location(ast.Subscript(node.target.value, index, ast.Load()), node.target)
            self.store_element(place, ast.copy_location(ast.BinOp(place, node.op, node.value), node), node)
        elif isinstance(node.target, ast.Attribute):
            if isinstance(self.peeked(node.target.value), Struct):
                return self.augment_field(node)
            owner = self.once(node.target.value)
            place = ast.copy_location(ast.Attribute(owner, node.target.attr, ast.Load()), node.target)
            self.store_field(place, ast.copy_location(ast.BinOp(place, node.op, node.value), node), node)
        elif isinstance(node.target, ast.Name):
            left = ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target)
            known = self.lookup(left)
            value = self.expr(ast.copy_location(ast.BinOp(left, node.op, node.value), node), known.type)
            self.assign(node.target.id, value, node)
        else:
            raise self.refuse("language", f"{ast.unparse(node.target)} cannot be assigned to", node, "use a variable")

    def store_element(self, target: ast.Subscript, value_node: ast.expr, node: ast.AST) -> None:
        """``v[i] = value``; as in Python the value comes before the index."""
        vector = self.vector_of(target)
        if isinstance(vector.type, Str):
            raise self.refuse("types", "a str cannot be changed", target, "make another one, or use an Array[char]")
        if isinstance(vector.type, Reference):
            vector = self.held(vector, target)
        else:
            self.of_values(vector, target)
            self.own_data(vector, target)
        value = self.coerce(self.expr(value_node, vector.type.element), vector.type.element, value_node)
        self.emit("store", node, None, (vector, self.index_of(target), value))

    def do_Return(self, node: ast.Return) -> None:
        nothing = isinstance(node.value, ast.Constant) and node.value.value is None and not getattr(self.result, "nullable", False)
        if node.value is None or nothing:
            if self.result is not None:
                raise self.refuse("types", f"{self.program.name} returns {self.result}, here nothing", node, "return a value")
            self.unwind(0)
            if not self.ended():
                self.emit("ret", node)
            return
        if self.result is None:
            raise self.refuse("types", f"{self.program.name} returns a value but does not say which type", node,
                              f"write def {self.program.name}(...) -> u64:")  # fmt: skip
        value = self.coerce(self.expr(node.value, self.result), self.result, node.value)
        if self.frames:
            value = self.held(value, node)
            self.unwind(0)
        if not self.ended():
            self.emit("ret", node, None, flat([value]))

    def do_If(self, node: ast.If) -> None:
        then, after = self.new_block("then"), self.new_block("after")
        other = self.new_block("else") if node.orelse else after
        before, (yes, no) = self.narrowed, self.facts(node.test)
        self.condition(node.test, then, other)
        self.block, self.narrowed = then, {**before, **yes}
        self.statements(node.body)
        left, ways = self.ended(), self.narrowed
        self.go(after, node)
        self.narrowed = {**before, **no}
        if node.orelse:
            self.block = other
            self.statements(node.orelse)
            if self.ended():
                self.narrowed = ways
            self.go(after, node)
        if not left:
            self.narrowed = self.agree(ways, self.narrowed)
        self.block = after


    def do_Match(self, node: ast.Match) -> None:
        """``match ch.receive():`` is the switch-receive."""
        if self.is_call(node.subject, "receive"):
            return self.switch_receive(node, node.subject.args)
        if not self.is_receive(node.subject) or node.subject.args:
            return self.match_value(node)
        if isinstance(self.expr(node.subject.func.value, None).type, EndpointSet):
            return self.switch_receive(node, [node.subject.func.value])
        endpoint = self.endpoint(node.subject.func.value)
        after = self.new_block("after")
        arms: dict[str, tuple[tuple[sil.Reg, ...], str]] = {}
        closed: str | None = None
        todo: list[tuple[sil.Block, list[ast.stmt], list[tuple[str, sil.Reg]], ast.AST]] = []
        for case in node.cases:
            if case.guard is not None:
                raise self.refuse("language", "a case with a condition", case.guard, "test it with if inside the case")
            pattern = case.pattern
            if not isinstance(pattern, ast.MatchClass):
                raise self.refuse("language", "a case must name a message", pattern,
                                  "write case C.M(argument): or case ChannelClosed():")  # fmt: skip
            block = self.new_block("case")
            if getattr(pattern.cls, "id", getattr(pattern.cls, "attr", "")) == "ChannelClosed":
                if closed is not None:
                    raise self.refuse("language", "ChannelClosed is handled twice", pattern, "remove one of the cases")
                closed = block.label
                todo.append((block, case.body, [], pattern))
                continue
            message = self.message(pattern.cls, endpoint)
            if message.name in arms:
                raise self.refuse("language", f"message {message.name} is handled twice", pattern, "remove one of the cases")
            regs, bindings = [], []
            self.bind(pattern, message, regs, bindings, "case {}:")
            arms[message.name] = (tuple(regs), block.label)
            todo.append((block, case.body, bindings, pattern))
        self.emit("receive", node.subject, None, (endpoint,), sil.Receive(arms, closed))
        before = self.narrowed
        for block, body, bindings, pattern in todo:
            self.block, self.narrowed = block, dict(before)
            self.came_in(next((regs for regs, label in arms.values() if label == block.label), ()), pattern)
            for name, reg in bindings:
                self.assign(name, reg, pattern)
            self.statements(body)
            self.go(after, node)
        self.block = after


class ModuleLowering:
    """Lower a program and every function it calls."""

    #: What lowers one function; :mod:`singlab.sing.bare` has another one.
    lowering = FunctionLowering

    def __init__(self, program: Program):
        self.program = program
        self.contracts: dict[str, Contract] = {}
        self.functions: dict[str, sil.Function | None] = {}
        #: Declared types in use, by name.
        self.types: dict[str, Type] = {}
        self.signatures: dict[str, tuple[list[Type], Type | None, list[bool]]] = {}
        self.waiting: list[Program] = []
        self.labels: dict[str, Program] = {program.name: program}
        self.exceptions = ExceptionTable()
        self.classes = Classes(self)
        self.instances: dict[tuple, Program] = {}

    def instance(self, program: Program, bindings: dict[str, Type]) -> Program:
        """Return a generic function for some types; the same one each time."""
        key = (id(program), *sorted(bindings.items()))
        if key not in self.instances:
            if len(self.instances) >= MOST_INSTANCES:
                raise self.lowering(program, self).refuse("types", f"generic functions are used with more than {MOST_INSTANCES} types", program.node,
                                                          "use fewer types")  # fmt: skip
            self.instances[key] = instance_of(program, bindings)
        return self.instances[key]

    def label(self, program: Program) -> str:
        """Return a function's name in the module: its own, numbered if another one has that already."""
        name, number = program.name, 1
        while self.labels.setdefault(name, program) is not program:
            number += 1
            name = f"{program.name}~{number}"
        return name

    def signature(self, program: Program) -> tuple[list[Type], Type | None, list[bool]]:
        """Return parameter and result types of a helper and which parameters are borrowed, and see that it gets lowered."""
        label = self.label(program)
        if label not in self.signatures:
            probe = self.lowering(program, self)
            types = []
            for place, argument in enumerate(program.node.args.args):
                if place == 0 and program.owner is not None:
                    types.append(Object(cls=self.classes.use(program.owner, probe, argument)))
                    continue
                if argument.annotation is None:
                    raise probe.refuse("types", f"parameter {argument.arg} of {program.name} has no type", argument,
                                       f"write {argument.arg}: u64")  # fmt: skip
                types.append(probe.parameter(argument.annotation))
            returns = program.node.returns
            none = returns is None or (isinstance(returns, ast.Constant) and returns.value is None)
            modes = [is_borrowed(argument.annotation) for argument in program.node.args.args]
            self.signatures[label] = (types, None if none else probe.annotation(returns), modes)
            self.waiting.append(program)
        return self.signatures[label]

    def lower(self) -> sil.Module:
        """Return the module."""
        programs = {self.program.name: self.program}
        functions = {self.program.name: self.lowering(self.program, self).lower()}
        while self.waiting or self.classes.close():
            if not self.waiting:
                continue
            program = self.waiting.pop()
            programs[self.label(program)] = program
            functions[self.label(program)] = self.lowering(program, self).lower()
        if self.exceptions.used:  # now it is known what can be raised, and who must hand it on
            self.number()
            self.exceptions.raising = self.exceptions.raisers(functions, self.classes)
            functions = {name: self.lowering(program, self).lower() for name, program in programs.items()}
        if self.exceptions.told:
            functions[TEXT_FUNCTION] = text_function(self.exceptions.texts(), functions[self.program.name].position)
        settle(functions, self.classes)
        start_threads(functions)
        return sil.Module(self.program.name, functions, self.program.name, self.contracts, self.program.filename,
                          self.program.source, self.exceptions.names(),
                          {t.name: t.sil for t in self.types.values() if isinstance(t, Struct)}, self.classes.sil)  # fmt: skip

    def of_library(self, name: str) -> bool:
        """Whether a function belongs to the language's own library."""
        program = self.labels.get(name)
        return program is not None and program.filename == FILENAME

    def number(self) -> None:
        try:
            self.exceptions.count()
        except OverflowError:
            raise SipError("size", f"{self.program.name} has more kinds of exceptions than {LAST_NUMBER - FIRST_NUMBER}",
                           hint="use fewer texts", line=self.program.node.lineno).at(self.program.filename, self.program.source) from None  # fmt: skip
