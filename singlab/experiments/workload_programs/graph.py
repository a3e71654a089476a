"""Graph mutation: nodes with edges that are bent over and over, and nodes that nothing leads to any more.

Stores of references into old objects are what a write barrier costs by, and the cycles among nodes are what counting
references could not free.
"""

from __future__ import annotations

from singlab.sing import Array, array, function, managed, mark, sip, u64


@managed
class Vertex:
    number: u64
    seen: u64
    edges: Array[Vertex | None]


@function
def random_after(state: u64) -> u64:
    state ^= state << 13
    state ^= state >> 7
    return state ^ (state << 17)


@function
def reached(root: Vertex, room: u64, epoch: u64) -> u64:
    """Walk over all that can be reached, and return the sum of its numbers."""
    waiting = array(Vertex | None, room)
    waiting[0] = root
    root.seen = epoch
    height: u64 = 1
    total: u64 = 0
    while height > 0:
        height -= 1
        at = waiting[height]
        if at is not None:
            total += at.number
            for i in range(len(at.edges)):
                other = at.edges[i]
                if other is not None and other.seen != epoch:
                    other.seen = epoch
                    waiting[height] = other
                    height += 1
    return total


@sip
def graph(nodes: u64, degree: u64, mutations: u64, seed: u64) -> u64:
    """Edges are bent, and every eighth mutation puts a new node in the place of an old one."""
    table = array(Vertex | None, nodes)
    for i in range(nodes):
        table[i] = Vertex(i, 0, array(Vertex | None, degree))
    state = seed * 2 + 1
    total: u64 = 0
    epoch: u64 = 0
    for m in range(mutations):
        state = random_after(state)
        source = table[(state >> 8) % nodes]
        target = table[(state >> 24) % nodes]
        assert source is not None
        if m % 8 == 7:
            fresh = Vertex(nodes + m, 0, array(Vertex | None, degree))
            fresh.edges[0] = target
            source.edges[(state >> 40) % degree] = fresh
            table[(state >> 8) % nodes] = fresh
        else:
            source.edges[(state >> 40) % degree] = target
        if m % 512 == 511:
            epoch += 1
            start = table[0]
            assert start is not None
            total = total * 31 + reached(start, nodes * 4 + mutations, epoch)
            mark(m)
    return total
