"""Binary trees: one that lives to the end, and many that die young.

What a collector that copies has to copy is the long-lived tree; the short-lived ones cost it nothing but their birth.
Trees are built from their leaves up, so a tree of depth d is 2 ** (d + 1) - 1 nodes with no helper calling itself.
"""

from __future__ import annotations

from singlab.sing import array, function, managed, mark, sip, u64


@managed
class Tree:
    item: u64
    left: Tree | None
    right: Tree | None


@function
def grown(depth: u64, seed: u64) -> Tree:
    """A perfect tree; the items are the seed counted on."""
    width = u64(1) << depth
    level = array(Tree | None, width)
    item = seed
    for i in range(width):
        level[i] = Tree(item, None, None)
        item += 1
    while width > 1:
        width //= 2
        for i in range(width):
            level[i] = Tree(item, level[2 * i], level[2 * i + 1])
            item += 1
    root = level[0]
    assert root is not None
    return root


@function
def weight(root: Tree, depth: u64) -> u64:
    """The sum of all items, found along a stack of what is still to be seen."""
    waiting = array(Tree | None, depth + 2)
    waiting[0] = root
    height: u64 = 1
    total: u64 = 0
    while height > 0:
        height -= 1
        at = waiting[height]
        if at is not None:
            total += at.item
            if at.left is not None:
                waiting[height] = at.left
                waiting[height + 1] = at.right
                height += 2
    return total


@sip
def trees(depth: u64, rounds: u64, seed: u64) -> u64:
    """Short-lived trees of every second depth up to the long-lived one's, over and over."""
    old = grown(depth, seed)
    total: u64 = 0
    for r in range(rounds):
        for short in range(2, depth, 2):
            total += weight(grown(short, seed + r), short)
        mark(r)
    return total * 31 + weight(old, depth)
