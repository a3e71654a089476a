"""Lowering, objects: classes, fields, methods, None, and what a test says about a variable."""

from __future__ import annotations

import ast
import re
import typing
from dataclasses import replace

from singlab.sing import sil
from singlab.sing.classes import ClassProgram
from singlab.sing.heapcode import element_of
from singlab.sing.program import Program
from singlab.sing.sil_classes import fields, inherits, is_subtype
from singlab.sing.tuples import TupleValue
from singlab.sing.types import BOOL, Array, Endpoint, EndpointSet, Enum, Handle, Object, Reference, Str, Struct, Tuple, Type, Vector


def spoken(type_: Type) -> str:
    """Return a type as a student writes it."""
    if isinstance(type_, Handle):
        return type_.called
    if isinstance(type_, Array):
        inner = f"Array[{spoken(type_.element)}]"
    else:
        inner = type_.name if isinstance(type_, Reference) else str(type_)
    return f"{inner} | None" if getattr(type_, "nullable", False) else inner


def assigned(*nodes: ast.AST) -> set[str]:
    """Return the variables that are given a value somewhere in trees."""
    found: set[str] = set()
    for part in (p for node in nodes for p in ast.walk(node)):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            found.add(part.id)
        elif isinstance(part, (ast.MatchAs, ast.ExceptHandler)) and part.name:
            found.add(part.name)
    return found


class ObjectLowering:
    """The part of a function's lowering that deals with objects."""

    #: What tests on the way here have said: a variable, and the type its value has.
    narrowed: dict[str, Type]

    # ---- types -------------------------------------------------------------------------------------------------------

    def class_named(self, name: str) -> ClassProgram | None:
        """Return the class of the SIP language that a name stands for."""
        found = self.program.names.get(name) if name not in self.variables else None
        return found if isinstance(found, ClassProgram) else None

    def reference(self, node: ast.expr) -> Type | None:
        """Return the reference type that an annotation names, or None."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            sides = [side for side in (node.left, node.right) if not (isinstance(side, ast.Constant) and side.value is None)]
            if len(sides) == 1:
                return self.optional(sides[0])
            raise self.refuse("types", f"{ast.unparse(node)} is more than one type", node, "a variable has one type, or one type or None")
        if isinstance(node, ast.Subscript) and getattr(node.value, "id", getattr(node.value, "attr", None)) == "Optional":
            return self.optional(node.slice)
        if isinstance(node, ast.Subscript) and getattr(node.value, "id", None) == "Array":
            element = self.annotation(node.slice)
            if element.linear:
                raise self.refuse("types", f"an array cannot hold {element}, which has one owner", node, "use a variable for each")
            return Array(element=element)
        if isinstance(node, ast.Name):
            if node.id == "str":
                return Str()
            if node.id in self.program.bindings:
                return self.program.bindings[node.id]
            known = self.class_named(node.id)
            if known is not None:
                return Object(cls=self.module.classes.use(known, self, node))
            if isinstance(self.program.names.get(node.id), type):
                raise self.refuse("types", f"{node.id} is a class of Python, not of the SIP language", node, f"write @managed above class {node.id}")
        return None

    def optional(self, node: ast.expr) -> Type:
        type_ = self.annotation(node)
        if not isinstance(type_, Reference):
            raise self.refuse("types", f"{type_} has no None", node, "None is a value of arrays, text and objects only")
        return type_.perhaps

    # ---- values ------------------------------------------------------------------------------------------------------

    def certain(self, value: sil.Reg, node: ast.AST) -> sil.Reg:
        """Return a reference that is not None; the process ends if it is."""
        if isinstance(value.type, Reference) and value.type.nullable:
            return self.emit("some", node, self.reg(value.type.certain), (value,))
        return value

    def as_known(self, name: str, value: sil.Reg, node: ast.AST) -> sil.Reg:
        """Return a variable's value with the type that tests have given it."""
        type_ = self.narrowed.get(name)
        if type_ is None or is_subtype(self.module.classes, value.type, type_):
            return value
        if value.type.certain == type_:  # a test has said so: nothing is raised here
            return self.append("some", node, self.reg(type_), (value,))
        return self.append("as", node, self.reg(type_), (value,))

    def refer(self, value: sil.Reg, type_: Reference, node: ast.AST, name: str) -> sil.Reg:
        """Return a reference as another type of reference, or refuse."""
        if is_subtype(self.module.classes, value.type, type_):
            return self.emit("mov", node, self.reg(type_), (value,))
        if isinstance(value.type, Reference) and value.type.nullable and is_subtype(self.module.classes, value.type.certain, type_):
            if not name:
                value = self.certain(value, node)
                return value if value.type == type_ else self.emit("mov", node, self.reg(type_), (value,))
            raise self.refuse("types", f"{name} is {spoken(type_)} and cannot take {spoken(value.type)}", node,
                              f"test it with is not None before, or write {name}: {spoken(value.type)} = ... where {name} is first assigned")  # fmt: skip
        what = f"{name} is {spoken(type_)} and cannot take {spoken(value.type)}" if name else f"{spoken(value.type)} where {spoken(type_)} is needed"
        hint = f"a {spoken(type_)} is needed here"
        if isinstance(type_, Array) and isinstance(value.type, Vector):
            hint = f"array({type_.element}, n) makes one"
        if isinstance(value.type, Object) and isinstance(type_, Object) and inherits(self.module.classes, type_.cls, value.type.cls):
            hint = f"ask first: if isinstance(x, {type_.cls}):"
        raise self.refuse("types", what, node, hint)

    def object_of(self, node: ast.expr, what: str) -> sil.Reg:
        """Return the object an attribute is asked of."""
        return self.object_at(self.expr(node, None), what, node)

    def object_at(self, value: sil.Reg, what: str, node: ast.expr) -> sil.Reg:
        """Return a value that is an object, or refuse."""
        value = self.certain(value, node)
        if not isinstance(value.type, Object):
            raise self.refuse("types", f"{spoken(value.type)} has no {what}", node, "only objects of a @managed class have fields and methods")
        return value

    def field_type(self, value: sil.Reg, node: ast.Attribute) -> Type:
        known = fields(self.module.classes, value.type.cls)
        if node.attr not in known:
            if self.module.classes.method(value.type.cls, node.attr):
                raise self.refuse("types", f"{node.attr} is a method of {value.type.cls}, not a value", node, f"call it: {ast.unparse(node)}(...)")
            raise self.refuse("types", f"{value.type.cls} has no field {node.attr}", node,
                              f"it has {', '.join(known) or 'none'}; a field is declared in the class: {node.attr}: u64")  # fmt: skip
        return known[node.attr]

    def peeked(self, node: ast.expr) -> Type | None:
        """Return the type of a place without evaluating anything; None if that cannot be said."""
        if isinstance(node, ast.Name):
            known = self.variables.get(node.id)
            return known and self.narrowed.get(node.id, known.type)
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            owner = self.peeked(node.value)
            if isinstance(owner, Object) and isinstance(node, ast.Attribute):
                return fields(self.module.classes, owner.cls).get(node.attr)
            if isinstance(owner, (Array, Str)):
                return element_of(owner)
        return super().peeked(node)

    def attribute(self, node: ast.Attribute) -> sil.Reg:
        """Return ``value.name``: a field of an object, or of a struct."""
        known = self.peeked(node.value)
        root = node.value
        while isinstance(root, ast.Attribute):
            root = root.value
        if known is None and not isinstance(node.value, ast.Subscript) and not (isinstance(root, ast.Name) and root.id not in self.variables):
            value = self.expr(node.value, None)
            if isinstance(value.type, Struct):
                return self.load_field(self.field_of(value, None, node), node)
            if isinstance(value.type, Enum) and node.attr == "value":
                return self.emit("cast", node, self.reg(value.type.sil), (value,))
        elif not isinstance(known, Reference):
            return super().attribute(node)
        else:
            value = self.expr(node.value, None)
        value = self.object_at(value, f"field {node.attr}", node.value)
        return self.emit("getf", node, self.reg(self.field_type(value, node)), (value,), node.attr)

    def store_field(self, target: ast.Attribute, value_node: ast.expr, node: ast.AST) -> None:
        """``x.f = value``; as in Python the value comes before the object."""
        owner = self.peeked(target.value)
        outside = self.named_constant(target) is not None or self.declared_type(target.value) is not None
        if outside or isinstance(owner, (Struct, Vector, Tuple)) or (owner is None and isinstance(target.value, ast.Subscript)):
            super().store_field(target, value_node, node)
            return
        want = self.peeked(target)
        if want is None and self.literal_like(value_node):
            at = self.object_of(target.value, f"field {target.attr}")
            want = self.field_type(at, target)
            value = self.expr(value_node, want)
        else:
            value = self.expr(value_node, want)
            at = self.object_of(target.value, f"field {target.attr}")
        type_ = self.field_type(at, target)
        self.emit("putf", node, None, (at, self.coerce(value, type_, value_node)), target.attr)

    def literal_like(self, node: ast.expr) -> bool:
        """Whether an expression's value is the same whenever it is evaluated, and its type is what it is used at."""
        return self.literal(node) is not None or isinstance(node, ast.Constant)

    # ---- making objects and calling them --------------------------------------------------------------------------------

    def construct(self, node: ast.Call, program: ClassProgram) -> sil.Reg:
        """``Node(...)``: a new object, its ``__init__`` run, or its fields filled in order."""
        name = self.module.classes.use(program, self, node)
        made = self.reg(Object(cls=name))
        found = self.module.classes.method(name, "__init__")
        if found is not None:
            arguments = self.arguments_of(node, found[1], program.name)
            self.emit("newobj", node, made)
            self.call_method(found, made, arguments, node)
            return made
        known = fields(self.module.classes, name)
        if len(node.args) != len(known):
            raise self.refuse("types", f"{program.name} has {len(known)} field{'s' * (len(known) != 1)}, and is given {len(node.args)} "
                              f"value{'s' * (len(node.args) != 1)}", node, f"write {program.name}({', '.join(known)})")  # fmt: skip
        values = [self.held(self.coerce(self.expr(a, t), t, a), a) for a, t in zip(node.args, known.values())]
        self.emit("newobj", node, made)
        for label, value in zip(known, values):
            self.emit("putf", node, None, (made, value), label)
        return made

    def arguments_of(self, node: ast.Call, program: Program, name: str) -> list[sil.Reg]:
        """Return the arguments of a method's call, after the object."""
        types, _, borrowed = self.module.signature(program)
        if not types:
            raise self.module.lowering(program, self.module).refuse("class", f"method {name} has no parameter for its object", program.node,
                                                                    f"write def {name}(self)")  # fmt: skip
        self.arity(node, len(types) - 1, name)
        given = []
        for argument, type_, lent in zip(node.args, types[1:], borrowed[1:]):
            value = self.coerce(self.expr(argument, type_), type_, argument)
            if lent:
                self.lend(value, argument, name)
            given.append(value if lent or isinstance(value, TupleValue) else self.held(value, argument))
        return given

    def call_method(self, found: tuple[str, Program], value: sil.Reg, arguments: list[sil.Reg], node: ast.AST) -> sil.Reg | None:
        """Call one class's method directly."""
        own, program = found
        if value.type.cls != own:
            value = self.emit("mov", node, self.reg(Object(cls=own)), (value,))
        _, result, _ = self.module.signature(program)
        return self.emit_call(node, program, [value, *arguments], result)

    def method(self, node: ast.Call, statement: bool) -> sil.Reg | None:
        """Call a method: of an object, of the parent by ``super()``, or an operation of an endpoint."""
        at, called = node.func.value, node.func.attr
        if isinstance(at, ast.Call) and getattr(at.func, "id", None) == "super" and not at.args:
            return self.call_super(node)
        if isinstance(at, ast.Name) and self.class_named(at.id) is not None:
            raise self.refuse("types", f"{called} is called on an object, not on class {at.id}", node, f"write x.{called}(...) with an object x")
        if isinstance(at, ast.Name) and (at.id not in self.variables or isinstance(self.variables[at.id].type, (Endpoint, EndpointSet, Vector))):
            return super().method(node, statement)
        value = self.held(self.certain(self.expr(at, None), at), at)
        if isinstance(value.type, Handle):
            return self.handle_method(node, value)
        if not isinstance(value.type, Object) and called in ("send", "receive", "close"):
            self.endpoint(at)  # refuses
        if not isinstance(value.type, Object):
            raise self.refuse("closed-api", f"there is no operation {called} on {spoken(value.type)}", node,
                              "an array keeps its length: make a longer one and copy" if isinstance(value.type, Array) else
                              "methods are called on objects of a @managed class")  # fmt: skip
        found = self.module.classes.method(value.type.cls, called)
        if found is None:
            if called in fields(self.module.classes, value.type.cls):
                raise self.refuse("types", f"{called} is a field of {value.type.cls}, not a method", node, f"read it: {ast.unparse(node.func)}")
            raise self.refuse("types", f"{value.type.cls} has no method {called}", node,
                              f"it has {', '.join(self.method_names(value.type.cls)) or 'none'}")  # fmt: skip
        if called == "__init__":
            raise self.refuse("language", "__init__ is called when an object is made", node, f"write {value.type.cls}(...)")
        arguments = self.arguments_of(node, found[1], called)
        self.module.classes.virtual.add((value.type.cls, called))
        _, result, _ = self.module.signature(found[1])
        return self.called("vcall", node, [value, *arguments], result, called)

    def method_names(self, cls: str) -> list[str]:
        found: dict[str, None] = {}
        name: str | None = cls
        while name is not None:
            found.update(dict.fromkeys(self.module.classes.programs[name].methods))
            name = self.module.classes.sil[name].parent
        return [n for n in found if n != "__init__"]

    def call_super(self, node: ast.Call) -> sil.Reg | None:
        if not isinstance(node.func, ast.Attribute):
            raise self.refuse("language", "super() is no value", node, "call a method of the parent: super().method()")
        called, owner = node.func.attr, self.program.owner
        if owner is None:
            raise self.refuse("language", "super() outside a method", node, "it stands for the object's parent class")
        name = self.module.classes.use(owner, self, node)
        parent = self.module.classes.sil[name].parent
        found = self.module.classes.method(parent, called) if parent else None
        if found is None:
            if parent and called == "__init__" and not node.args:
                return None
            raise self.refuse("types", f"the parent of {owner.name} has no method {called}", node, "inherit from a class that has it")
        this = self.variables.get(self.program.node.args.args[0].arg) if self.program.node.args.args else None
        return self.call_method(found, this, self.arguments_of(node, found[1], called), node)

    def call_isinstance(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 2, "isinstance")
        known = self.class_named(getattr(node.args[1], "id", ""))
        if known is None:
            raise self.refuse("types", f"{ast.unparse(node.args[1])} is no class of the SIP language", node.args[1], "name one @managed class")
        value = self.expr(node.args[0], None)
        if not isinstance(value.type, Object):
            raise self.refuse("types", f"{spoken(value.type)} is no object", node.args[0], "ask isinstance of an object")
        return self.emit("isinst", node, self.reg(BOOL), (value,), self.module.classes.use(known, self, node))

    # ---- comparing ---------------------------------------------------------------------------------------------------------

    def is_none(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Constant) and node.value is None

    def comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr, node: ast.AST) -> sil.Reg:
        """``x is None``, and ``a is b`` on objects; everything else is for numbers and text."""
        members = any(self.named_constant(side) is not None or isinstance(self.peeked(side), Enum) for side in (left, right))
        identity = isinstance(op, (ast.Is, ast.IsNot)) and not members
        if (identity or isinstance(op, (ast.Eq, ast.NotEq))) and (self.is_none(left) or self.is_none(right)):
            value = self.unnarrowed(left if self.is_none(right) else right)
            if not isinstance(value.type, Reference):
                raise self.refuse("types", f"{value.type} is never None", node, "remove the test")
            none = self.emit("none", node, self.reg(value.type.perhaps))
            return self.emit("eq" if isinstance(op, (ast.Is, ast.Eq)) else "ne", node, self.reg(BOOL), (value, none))
        if identity:
            values = [self.expr(side, None) for side in (left, right)]
            if not all(isinstance(v.type, (Object, Array)) for v in values):
                raise self.refuse("types", f"is compares objects, not {spoken(values[0].type)} and {spoken(values[1].type)}", node, "write == instead")
            return self.emit("eq" if isinstance(op, ast.Is) else "ne", node, self.reg(BOOL), tuple(values))
        return super().comparison(left, op, right, node)

    def unnarrowed(self, node: ast.expr) -> sil.Reg:
        """Return a value as it is, whatever tests have said about it."""
        if isinstance(node, ast.Name) and node.id in self.variables:
            return self.variables[node.id]
        return self.expr(node, None)

    # ---- what tests say --------------------------------------------------------------------------------------------------------

    def facts(self, test: ast.expr) -> tuple[dict[str, Type], dict[str, Type]]:
        """Return what is known of variables where a test holds, and where it does not."""
        yes: dict[str, Type] = {}
        no: dict[str, Type] = {}
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return self.facts(test.operand)[::-1]
        if isinstance(test, ast.BoolOp):
            which = 0 if isinstance(test.op, ast.And) else 1
            for part in test.values:
                (yes, no)[which].update(self.facts(part)[which])
        elif isinstance(test, ast.Compare) and len(test.ops) == 1 and self.is_none(test.comparators[0]):
            reg = self.variables.get(getattr(test.left, "id", ""))
            if reg is not None and isinstance(reg.type, Reference):
                known = self.narrowed.get(test.left.id, reg.type).certain
                if isinstance(test.ops[0], (ast.IsNot, ast.NotEq)):
                    yes[test.left.id] = known
                elif isinstance(test.ops[0], (ast.Is, ast.Eq)):
                    no[test.left.id] = known
        elif isinstance(test, ast.Call) and getattr(test.func, "id", "") == "isinstance" and len(test.args) == 2:
            name, known = getattr(test.args[0], "id", ""), self.class_named(getattr(test.args[1], "id", ""))
            reg = self.variables.get(name)
            if known is not None and reg is not None and isinstance(reg.type, Object):
                cls, now = self.module.classes.use(known, self, test), self.narrowed.get(name, reg.type)
                if inherits(self.module.classes, cls, now.cls):
                    yes[name] = Object(cls=cls)
        return yes, no

    def forget(self, *nodes: ast.AST) -> None:
        """Drop what is known of variables that a part of the program changes."""
        for name in assigned(*nodes):
            self.narrowed.pop(name, None)

    def agree(self, one: dict[str, Type], other: dict[str, Type]) -> dict[str, Type]:
        """Return what is known on both of two ways."""
        return {name: type_ for name, type_ in one.items() if other.get(name) == type_}

    # ---- generics ------------------------------------------------------------------------------------------------------------------

    def type_variables(self, program: Program) -> set[str]:
        """Return the type variables in a function's parameters and result."""
        parts = [a.annotation for a in program.node.args.args] + [program.node.returns]
        names = {n.id for p in parts if p is not None for n in ast.walk(p) if isinstance(n, ast.Name)}
        return {name for name in names if isinstance(program.names.get(name), typing.TypeVar)}

    def instance(self, program: Program, variables: set[str], node: ast.Call) -> tuple[Program, list[sil.Reg]]:
        """Return a generic function for the types of a call's arguments, and the arguments."""
        parameters = program.node.args.args
        self.arity(node, len(parameters), program.name)
        bindings: dict[str, Type] = {}
        values: list[sil.Reg | None] = []
        for parameter, argument in zip(parameters, node.args):
            value = None if self.literal_like(argument) else self.held(self.expr(argument, None), argument)
            if value is not None and parameter.annotation is not None:
                self.learn(parameter.annotation, value.type, variables, bindings, argument)
            values.append(value)
        for name in sorted(variables - set(bindings)):
            raise self.refuse("types", f"what {name} is in {program.name} cannot be told from this call", node,
                              f"give it an argument whose type has {name} in it")  # fmt: skip
        made = self.module.instance(program, bindings)
        types, _, _ = self.module.signature(made)
        given = [self.coerce(v if v is not None else self.expr(a, t), t, a) for v, t, a in zip(values, types, node.args)]
        return made, given

    def learn(self, part: ast.expr, type_: Type, variables: set[str], bindings: dict[str, Type], node: ast.AST) -> None:
        """Learn from an argument's type what a type variable is."""
        if isinstance(part, ast.Name) and part.id in variables:
            known = bindings.setdefault(part.id, type_)
            if known != type_:
                raise self.refuse("types", f"{part.id} is {spoken(known)} and {spoken(type_)} in one call", node, "give both arguments one type")
            if type_.linear:
                raise self.refuse("types", f"{part.id} cannot be {type_}, which has one owner", node, "write a function for that type")
        elif isinstance(part, ast.Subscript) and isinstance(type_, Array) and getattr(part.value, "id", "") == "Array":
            self.learn(part.slice, type_.element, variables, bindings, node)
        elif isinstance(part, ast.BinOp) and isinstance(type_, Reference):
            for side in (part.left, part.right):
                self.learn(side, type_.certain, variables, bindings, node)

    def named_instance(self) -> str:
        """Return what to say behind a message about a generic function."""
        if not self.program.bindings:
            return ""
        return " (with " + ", ".join(f"{n} = {spoken(t)}" for n, t in sorted(self.program.bindings.items())) + ")"


def instance_of(program: Program, bindings: dict[str, Type]) -> Program:
    """Return a generic function for some types."""
    words = "_".join(re.sub(r"\W+", "_", str(t)).strip("_") for t in bindings.values())
    return replace(program, name=f"{program.name}~{words}", bindings=dict(bindings))
