"""A compiler-like program in phases: text, tokens, a tree, a simpler tree, code, its result.

Each phase lives off what the one before has made and lets go of it: much is alive at the end of a phase and nothing
of it later. A collector that runs in the middle of a phase copies or marks what would have died by itself.
"""

from __future__ import annotations

from singlab.sing import Array, array, char, function, managed, mark, sip, u64


@managed
class Token:
    kind: char
    value: u64
    next: Token | None


@managed
class Expression:
    operator: char
    value: u64
    left: Expression | None
    right: Expression | None


@function
def written(terms: u64, seed: u64) -> str:
    """A sum of products as a text, such as 7*31+2*x+9."""
    text = ""
    state = seed
    for i in range(terms):
        state = state * 6364136223846793005 + 1442695040888963407
        if state >> 62 == 0:
            text = text + "x"
        else:
            text = text + str(state >> 56)
        if i + 1 < terms:
            if state >> 33 & 1 == 0:
                text = text + "*"
            else:
                text = text + "+"
    return text


@function
def tokens_of(text: str) -> Token | None:
    """The tokens of a text, read from its end."""
    found: Token | None = None
    i = len(text)
    while i > 0:
        i -= 1
        c = text[i]
        if ord(c) >= 48 and ord(c) < 58:
            value: u64 = 0
            scale: u64 = 1
            more = True
            while more:
                value += (u64(ord(text[i])) - 48) * scale
                scale *= 10
                more = i > 0 and ord(text[i - 1]) >= 48 and ord(text[i - 1]) < 58
                if more:
                    i -= 1
            found = Token("0", value, found)
        else:
            found = Token(c, 0, found)
    return found


@function
def parsed(first: Token | None) -> Expression | None:
    """The tree of a sum of products."""
    total: Expression | None = None
    product: Expression | None = None
    at = first
    times = False
    while at is not None:
        if at.kind == "+":
            if total is None:
                total = product
            else:
                total = Expression("+", 0, total, product)
            product = None
        elif at.kind == "*":
            times = True
        else:
            leaf = Expression(at.kind, at.value, None, None)
            if times and product is not None:
                product = Expression("*", 0, product, leaf)
            else:
                product = leaf
            times = False
        at = at.next
    if total is None:
        return product
    return Expression("+", 0, total, product)


@function
def postfix(root: Expression | None, room: u64) -> Array[Expression | None]:
    """All expressions of a tree, each behind its parts."""
    order = array(Expression | None, room)
    waiting = array(Expression | None, room)
    waiting[0] = root
    height: u64 = 1
    place = room
    while height > 0:
        height -= 1
        at = waiting[height]
        if at is not None:
            place -= 1
            order[place] = at
            if at.left is not None:
                waiting[height] = at.left
                waiting[height + 1] = at.right
                height += 2
    return order


@function
def folded(order: Array[Expression | None]) -> Expression | None:
    """The same tree, made anew, with constants worked out; parts come before what they are parts of."""
    stack = array(Expression | None, len(order) + 1)
    height: u64 = 0
    for i in range(len(order)):
        at = order[i]
        if at is not None:
            if at.left is None:
                stack[height] = Expression(at.operator, at.value, None, None)
                height += 1
            else:
                height -= 1
                right = stack[height]
                left = stack[height - 1]
                if left is not None and right is not None:
                    if left.operator == "0" and right.operator == "0":
                        if at.operator == "+":
                            stack[height - 1] = Expression("0", left.value + right.value, None, None)
                        else:
                            stack[height - 1] = Expression("0", left.value * right.value, None, None)
                    else:
                        stack[height - 1] = Expression(at.operator, 0, left, right)
    return stack[0]


@function
def run(order: Array[Expression | None], x: u64) -> u64:
    """Work an expression out on a stack of numbers."""
    stack = array(u64, len(order) + 1)
    height: u64 = 0
    for i in range(len(order)):
        at = order[i]
        if at is not None:
            if at.operator == "0":
                stack[height] = at.value
                height += 1
            elif at.operator == "x":
                stack[height] = x
                height += 1
            else:
                height -= 1
                if at.operator == "+":
                    stack[height - 1] += stack[height]
                else:
                    stack[height - 1] *= stack[height]
    return stack[0]


@sip
def compiler(functions: u64, terms: u64, seed: u64) -> u64:
    """Compile and run one function after the other; the simpler tree must give what the first one gave."""
    total: u64 = 0
    for f in range(functions):
        text = written(terms, seed + f)
        tree = parsed(tokens_of(text))
        mark(3 * f)
        plain = postfix(tree, 2 * terms)
        simple = postfix(folded(plain), 2 * terms)
        mark(3 * f + 1)
        result = run(simple, f)
        assert result == run(plain, f), "folding changed a result"
        total = total * 31 + result
        mark(3 * f + 2)
    return total
