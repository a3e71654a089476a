"""A valid module of the intermediate language, and the means to change it by hand."""

from __future__ import annotations

from running import SERVER, TALK, module

from singlab.sing.sil import Block, Function, Instr, Module, Reg
from singlab.sing.types import Type

SUBJECT = (
    TALK
    + SERVER
    + """
@function
def add(a: u64, b: u64) -> u64:
    return a + b

@function
def total(v: ExVec[u8]) -> u64:
    t: u64 = 0
    for i in range(len(v)):
        t += v[i]
    free(v)
    return t

@function
def ask(ch: Talk.Imp, n: u64) -> u64:
    ch.send(Talk.Ask(n))
    return ch.receive(Talk.Answer)

@sip
def p(ch: Talk.Imp, n: u64) -> u64:
    v = new(u8, 16)
    v[3] = 7
    x = add(n, 1)
    print("hi", x)
    if n > 3:
        x += ask(ch, n)
    ch.send(Talk.Give(v))
    t: u64 = 0
    match ch.receive():
        case Talk.Back(w):
            t = total(w)
        case ChannelClosed():
            t = 1
    return t + x
"""
)


#: Another one, with exceptions on every way they can take.
EXCEPTIONAL = (
    TALK
    + SERVER
    + """
class Full(Exception): pass
class VeryFull(Full): pass

@function
def part(v: ExVec[u8], i: u64) -> u64:
    t: u64 = 0
    try:
        t = u64(v[i]) + 40 // i
    finally:
        free(v)
    return t

@function
def made(n: u64) -> ExVec[u8]:
    w = new(u8, n)
    if n > 8:
        free(w)
        raise VeryFull
    return w

@function
def ask(ch: Talk.Imp, n: u64) -> u64:
    ch.send(Talk.Ask(n))
    x = ch.receive(Talk.Answer)
    if x > 20:
        raise Full("enough")
    return x

@sip
def p(ch: Talk.Imp, n: u64) -> u64:
    t: u64 = 0
    for i in range(3 * n):
        try:
            t += part(made(i), i + 1)
        except IndexError:
            t += 1
        except Full as e:
            if t > 90000:
                raise e
            t += 100
        else:
            t += 1000
    mark(t)
    t = t & 15
    try:
        while True:
            t = ask(ch, t)
            v = new(u8, t | 32)
            v[t & 31] = 1
            ch.send(Talk.Give(v))
            v = ch.receive(Talk.Back)
            free(v)
    except Full:
        return t
    except ChannelClosed:
        return 0
"""
)

#: And one about objects.
OBJECTS = (
    TALK
    + SERVER
    + """
@managed
class Node:
    value: u64
    next: "Node | None"
    def weight(self, k: u64) -> u64:
        return self.value * k
@managed
class Leaf(Node):
    small: u8
    cells: Array[u8]
    name: str
    def weight(self, k: u64) -> u64:
        return self.value + u64(self.small) + u64(self.cells[k & 3])

@function
def chain(a: "Node | None") -> u64:
    t: u64 = 0
    x = a
    while x is not None:
        t += x.weight(2)
        x = x.next
    return t

@sip
def p(ch: Talk.Imp, n: u64) -> u64:
    cells = array(u8, 5, 3)
    wide = array(u64, n, 9)
    a = Node(n, None)
    b: Node = Leaf(2, a, 7, cells, "leaf")
    nodes = array(Node, 3, a)
    nodes[1] = b
    maybe = array(str, 4)
    maybe[0] = "x"
    x = chain(b) + wide[2]
    if isinstance(b, Leaf):
        b.cells[1] = 8
        b.small += 1
        maybe[1] = b.name
    ch.send(Talk.Ask(x))
    x += ch.receive(Talk.Answer)
    for y in nodes:
        x += y.weight(n & 3)
    if maybe[0] == maybe[n & 1]:
        x += len(maybe[0])
    b.next = nodes[n % 3].next
    v = to_vector(maybe[1])
    x += u64(v[0])
    free(v)
    return x
"""
)


class Subject:
    """A fresh module of SUBJECT's ``p``, or of another text's."""

    def __init__(self, text: str = SUBJECT):
        self.module: Module = module(text)
        self.fresh = 1000

    def function(self, name: str = "p") -> Function:
        return self.module.functions[name]

    def at(self, op: str, nth: int = 0, function: str = "p") -> Instr:
        """Return the nth instruction of an operation."""
        return [i for b in self.function(function).blocks for i in b.instrs if i.op == op][nth]

    def block(self, instr: Instr) -> Block:
        """Return the block an instruction stands in."""
        return next(b for f in self.module.functions.values() for b in f.blocks if any(i is instr for i in b.instrs))

    def index(self, instr: Instr) -> int:
        return next(k for k, i in enumerate(self.block(instr).instrs) if i is instr)

    def before(self, instr: Instr, *more: Instr) -> None:
        """Put instructions before one."""
        self.block(instr).instrs[self.index(instr) : self.index(instr)] = more

    def after(self, instr: Instr, *more: Instr) -> None:
        self.block(instr).instrs[self.index(instr) + 1 : self.index(instr) + 1] = more

    def remove(self, instr: Instr) -> None:
        del self.block(instr).instrs[self.index(instr)]

    def reg(self, type_: Type) -> Reg:
        """Return a new register."""
        self.fresh += 1
        return Reg(self.fresh, type_)

    def start(self, *more: Instr) -> None:
        """Put instructions at the beginning of ``p``."""
        self.function().blocks[0].instrs[0:0] = more

    @property
    def endpoint(self) -> Reg:
        """The endpoint parameter of ``p``."""
        return self.function().params[0]

    @property
    def number(self) -> Reg:
        """The integer parameter of ``p``."""
        return self.function().params[1]

    @property
    def held(self) -> Reg:
        """The variable that owns the first block."""
        return self.at("store").args[0]


def again(instr: Instr) -> Instr:
    """Return another instruction like this one."""
    return Instr(instr.op, instr.dest, instr.args, instr.extra, instr.position)


def change(thing, **fields) -> None:
    """Set fields of an instruction, function, block or module."""
    for name, value in fields.items():
        setattr(thing, name, value)
