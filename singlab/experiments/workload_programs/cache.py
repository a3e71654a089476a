"""A cache with eviction: a hash table of values, the least recently used of which makes room for a new one.

What dies here has lived long: the opposite of what a generational collector hopes for. Values are arrays of different
lengths, so free lists are put to the test too.
"""

from __future__ import annotations

from singlab.sing import Array, array, function, managed, mark, sip, u64


@managed
class Entry:
    key: u64
    value: Array[u64]
    chain: Entry | None
    newer: Entry | None
    older: Entry | None


@managed
class Cache:
    table: Array[Entry | None]
    newest: Entry | None
    oldest: Entry | None
    count: u64

    def find(self, key: u64) -> Entry | None:
        at = self.table[key % len(self.table)]
        while at is not None:
            if at.key == key:
                return at
            at = at.chain
        return None

    def unlink(self, entry: Entry):
        """Take an entry out of the order of use."""
        newer = entry.newer
        older = entry.older
        if newer is None:
            self.newest = older
        else:
            newer.older = older
        if older is None:
            self.oldest = newer
        else:
            older.newer = newer

    def to_front(self, entry: Entry):
        entry.newer = None
        entry.older = self.newest
        newest = self.newest
        if newest is None:
            self.oldest = entry
        else:
            newest.newer = entry
        self.newest = entry

    def evict(self):
        """Forget the entry that has not been asked for longest."""
        victim = self.oldest
        if victim is None:
            return
        self.unlink(victim)
        place = victim.key % len(self.table)
        at = self.table[place]
        if at is not None and at.key == victim.key:
            self.table[place] = at.chain
        else:
            while at is not None:
                following = at.chain
                if following is not None and following.key == victim.key:
                    at.chain = following.chain
                    following = None
                at = following
        self.count -= 1

    def add(self, key: u64, value: Array[u64]):
        place = key % len(self.table)
        entry = Entry(key, value, self.table[place], None, None)
        self.table[place] = entry
        self.to_front(entry)
        self.count += 1


@function
def random_after(state: u64) -> u64:
    state ^= state << 13
    state ^= state >> 7
    return state ^ (state << 17)


@function
def fetched(key: u64) -> Array[u64]:
    """What a slow disk would bring: between 1 and 32 words."""
    value = array(u64, 1 + key % 32)
    for i in range(len(value)):
        value[i] = key * 7 + i
    return value


@sip
def cache(entries: u64, keys: u64, requests: u64, seed: u64) -> u64:
    """Requests for keys, half of which go to an eighth of them; a miss fetches, and evicts once the cache is full."""
    store = Cache(array(Entry | None, entries * 2 + 1), None, None, 0)
    state = seed * 2 + 1
    misses: u64 = 0
    total: u64 = 0
    for r in range(requests):
        state = random_after(state)
        key = (state >> 16) % keys
        if state & 32 == 0:
            key = key // 8
        found = store.find(key)
        if found is None:
            misses += 1
            if store.count >= entries:
                store.evict()
            value = fetched(key)
            store.add(key, value)
            total += value[len(value) - 1]
        else:
            store.unlink(found)
            store.to_front(found)
            total += found.value[0]
        if r % 1024 == 0:
            mark(r)
    return total * 31 + misses
