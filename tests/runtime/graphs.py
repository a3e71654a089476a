"""Programs that change a graph of objects at random, for collectors to be tried on, and what is true of every heap."""

from __future__ import annotations

from singlab.kernel import System
from singlab.kernel import heaplayout as hp
from singlab.kernel import layout as at
from singlab.kernel.roots import LENGTH, OBJECT, StackMaps
from singlab.sing import build, programs_from_source

#: Slots of a table are filled, linked with each other in cycles, emptied; at the end all that can be reached is summed up.
GRAPH = '''
@managed
class Node:
    value: u64
    seen: u64
    left: "Node | None"
    right: "Node | None"
    many: "Array[Optional[Node]] | None"
    name: str
@function
def mix(s: u64) -> u64:
    return (s * 5003 + 12347) % 1000003
@function
def total(roots: Array[Optional[Node]], stamp: u64) -> u64:
    stack: Array[Optional[Node]] = array(Optional[Node], 400)
    sum: u64 = 0
    for i in range(len(roots)):
        top: u64 = 0
        stack[0] = roots[i]
        top = 1
        while top > 0:
            top -= 1
            node = stack[top]
            stack[top] = None
            if node is not None:
                if node.seen != stamp:
                    node.seen = stamp
                    sum = (sum * 3 + node.value + len(node.name)) % 1000003
                    if top + 12 < 400:
                        stack[top] = node.left
                        stack[top + 1] = node.right
                        top += 2
                        many = node.many
                        if many is not None:
                            for j in range(len(many)):
                                stack[top] = many[j]
                                top += 1
    return sum
@function
def change(table: Array[Optional[Node]], s: u64, stamp: u64) -> u64:
    a = s % len(table)
    b = (s >> 3) % len(table)
    kind = (s >> 7) % 11
    node = table[a]
    other = table[b]
    if kind < 4 or node is None:
        table[a] = Node(s, 0, other, node, None, f"n{s % 1000}")
    elif kind == 4:
        node.left = other
    elif kind == 5:
        node.right = other
    elif kind == 6:
        many: Array[Optional[Node]] = array(Optional[Node], s % 7 + 1, other)
        node.many = many
        many[0] = node
    elif kind == 7:
        table[a] = None
    elif kind == 8:
        node.left = None
        node.right = None
    elif kind == 9:
        large: Array[Optional[Node]] = array(Optional[Node], 9, node)
        large[s % 9] = other
        node.many = large
    else:
        return total(table, stamp)
    return 0
@sip
def p(n: u64) -> u64:
    steps = n % 1000
    s = n
    table: Array[Optional[Node]] = array(Optional[Node], 17)
    sum: u64 = 0
    for i in range(steps):
        s = mix(s)
        sum = (sum + change(table, s, u64(i) + 1)) % 1000003
    return (sum + total(table, 5000)) % 1000003
'''


def program(text: str, collector: str, name: str = "p", called: str = "p", **options):
    """Return the image of a program in a text whose SIPs have a collector."""
    return build(programs_from_source(text.replace("@sip\n", f'@sip(collector="{collector}", name="{called}")\n'), "text").programs[name], **options)


def reached(process) -> tuple[int, int]:
    """Return how many objects a process that stands at a point can reach, and their bytes; each must be one, in an extent."""
    from singlab.kernel.roots import roots

    system = process._system
    load = system.machine.load_u64
    maps, code = StackMaps.of(process.installed.image), process._field(at.P_CODE)
    heap = process._field(at.P_OBJECT_HEAP)
    spans = []
    for head in hp.EXTENT_LISTS:
        extent = load(heap + head)
        while extent:
            spans.append((load(extent + hp.X_START), load(extent + hp.X_TOP)))
            extent = load(extent + hp.X_NEXT)
    todo = [root.value for root in roots(process)]
    found: dict[int, int] = {}
    while todo:
        address = todo.pop()
        if not address or address in found or code <= address < code + process._field(at.P_CODE_BYTES):
            continue
        assert any(start <= address < top for start, top in spans), f"{address:#x} is in no extent"
        number = load(address) & 0xFFFF_FFFF
        assert 1 <= number <= len(maps.types), f"{address:#x} is no object"
        row = maps.types[number - 1]
        length = load(address + LENGTH) if row.kind != OBJECT else 0
        found[address] = row.bytes(length)
        todo += [load(address + place) for place in row.references(length)]
    return len(found), sum(found.values())


def system_of(isolation: str = "sip", every: bool = False, **options) -> System:
    """Return a system for one of these programs."""
    return System(isolation=isolation, collect_every=every, **{"ram": "8M", **options})
