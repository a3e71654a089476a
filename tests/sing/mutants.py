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


#: Structs, vectors of them, borrowed parameters and several results; elements of 12 bytes, no power of two.
RICH = '''
Parcel = contract("""
enum Kind { DATA, ACK }
rep struct Packet { uint length; byte kind; bool ok; short shift; Kind what; }
contract Parcel {
    in  message Ask(ulong n);
    in  message Give(Packet* in ExHeap p);
    in  message Many(Packet[]* in ExHeap v, uint n);
    out message Answer(ulong n);
    out message Back(Packet* in ExHeap p);
    out message Sum(ulong n, Packet[]* in ExHeap v);
    state Start: one { Ask? -> Answer! -> Start; Give? -> Back! -> Start; Many? -> Sum! -> Start; }
}
""")
Packet = Parcel.Packet

@sip
def rich_server(ch: Parcel.Exp):
    while True:
        match ch.receive():
            case Parcel.Ask(n):
                ch.send(Parcel.Answer(n + 1))
            case Parcel.Give(p):
                p.length += 1
                p.ok = not p.ok
                ch.send(Parcel.Back(p))
            case Parcel.Many(v, n):
                t: u64 = n
                for i in range(len(v)):
                    t += v[i].length
                    v[i].what = Parcel.Kind.ACK
                ch.send(Parcel.Sum(t, v))
            case ChannelClosed():
                return

@function
def total(v: Borrowed[ExVec[Packet]]) -> u64:
    t: u64 = 0
    for i in range(len(v)):
        t += v[i].length
    return t

@function
def mark_it(p: Borrowed[Packet], x: u32) -> u64:
    p.length += x
    p.shift -= 1
    return u64(p.length)

@function
def both(v: Borrowed[ExVec[Packet]], p: Packet) -> tuple[Packet, u64]:
    v[0].length = p.length
    p.length = u32(total(v))
    return p, len(v)

@function
def made(n: u64) -> tuple[ExVec[Packet], Packet, u64]:
    v = new(Packet, n)
    v[n - 1].kind = 3
    return v, new(Packet), n * 2

@sip
def p(ch: Parcel.Imp, n: u64) -> u64:
    v, q, t = made(16)
    t += mark_it(q, 5) + total(v)
    q, k = both(v, q)
    ch.send(Parcel.Give(q))
    match ch.receive():
        case Parcel.Back(r):
            t += mark_it(r, 1) + u64(r.ok)
            free(r)
        case ChannelClosed():
            free(v)
            return 1
    if n > 3:
        w = copy(v)
        t += total(w) + k
        free(w)
    ch.send(Parcel.Many(v, 7))
    s, x = ch.receive(Parcel.Sum)
    t += s + total(x)
    free(x)
    return t
'''


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
        self.text = text
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
