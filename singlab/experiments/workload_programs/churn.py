"""Linked-list churn: queues whose members come and go in any order.

About the same number of cells is alive at all times, each for about as long as the queues are long: neither young
nor old ones die by preference, which is what generations count on.
"""

from __future__ import annotations

from singlab.sing import array, function, managed, mark, sip, u64


@managed
class Cell:
    value: u64
    next: Cell | None


@managed
class Queue:
    first: Cell | None
    last: Cell | None
    length: u64

    def push(self, value: u64):
        cell = Cell(value, None)
        last = self.last
        if last is None:
            self.first = cell
        else:
            last.next = cell
        self.last = cell
        self.length += 1

    def pop(self) -> u64:
        """The oldest value, 0 if there is none."""
        first = self.first
        if first is None:
            return 0
        self.first = first.next
        if first.next is None:
            self.last = None
        self.length -= 1
        return first.value

    def drop_after(self, steps: u64) -> u64:
        """Unlink the cell that many steps behind the first, and return its value."""
        at = self.first
        for _ in range(steps):
            if at is not None:
                at = at.next
        if at is None:
            return 0
        gone = at.next
        if gone is None:
            return 0
        at.next = gone.next
        if gone.next is None:
            self.last = at
        self.length -= 1
        return gone.value


@function
def random_after(state: u64) -> u64:
    state ^= state << 13
    state ^= state >> 7
    return state ^ (state << 17)


@sip
def churn(queues: u64, length: u64, rounds: u64, seed: u64) -> u64:
    """Each round pushes into one queue and takes from the front or the middle of another one, once they are long."""
    all_queues = array(Queue | None, queues)
    for i in range(queues):
        all_queues[i] = Queue(None, None, 0)
    state = seed * 2 + 1
    total: u64 = 0
    for r in range(rounds):
        state = random_after(state)
        into = all_queues[state % queues]
        assert into is not None
        into.push(state >> 32)
        out = all_queues[(state >> 8) % queues]
        assert out is not None
        if out.length > length:
            if state & 64 == 0:
                total += out.pop()
            else:
                total += out.drop_after((state >> 20) % 8)
            total += out.pop()
        if r % 1024 == 0:
            mark(r)
    return total
