"""Collections of random heaps, made up by collectors of a few lines in Python: films for whoever shows or reads them."""

from __future__ import annotations

import random

import numpy as np

from singlab.trace.heapfilm import OBJECT, STEP, HeapFilm, HeapPicture, Root, Space, Step

BASE = 0x8010_0000
TYPES = ("Node", "Leaf", "Array[u64]", "str")


def heap(count: int = 60, seed: int = 1, spaces: int = 2, gaps: bool = False, roots: int = 6) -> tuple[HeapPicture, dict[int, list[int]]]:
    """Return a random heap and, for each object, those it refers to."""
    choose = random.Random(seed)
    objects, free, at = [], [], BASE
    for _ in range(count):
        if gaps and choose.random() < 0.2:
            free.append((at, 64))
            at += 64
        size = 8 * choose.randint(2, 8)
        objects.append((at, size, choose.randrange(len(TYPES)), choose.randrange(4), 0))
        at += size
    extent = max(4096, -(-(at - BASE) // 4096) * 4096)
    edges = sorted({(i, choose.randrange(count)) for i in range(count) for _ in range(choose.randint(0, 2))})
    places = [choose.randrange(count) for _ in range(roots)] if count else []
    held = tuple(
        Root(f"s{n}" if n < 3 else f"frame {n} + 16", "register" if n < 3 else "stack", objects[p][0]) for n, p in enumerate(places)
    )
    names = ("from-space", "to-space") if spaces == 2 else ("heap",)
    extents = tuple(Space(name, BASE + n * extent, BASE + (n + 1) * extent) for n, name in enumerate(names))
    picture = HeapPicture("toy", "semispace" if spaces == 2 else "mark-sweep", np.array(objects, OBJECT), np.array(edges, np.int32).reshape(-1, 2),
                          held, TYPES, extents, np.array(free, np.uint64).reshape(-1, 2))  # fmt: skip
    return picture, {i: [b for a, b in edges if a == i] for i in range(count)}


def copying(**options) -> HeapFilm:
    """Return the film of a semispace collection."""
    picture, out = heap(**options)
    addresses, sizes = picture.objects["address"].tolist(), picture.objects["size"].tolist()
    steps, copies, queue = [(Step.PHASE, 0, 0)], {}, []
    to = picture.spaces[1].start

    def copy(i: int) -> None:
        nonlocal to
        if i not in copies:
            copies[i] = to
            steps.append((Step.MOVE, addresses[i], to))
            to += sizes[i]
            queue.append(i)

    for number, root in enumerate(picture.roots):
        steps.append((Step.ROOT, number, 0))
        copy(picture.index(root.target))
    steps.append((Step.PHASE, 1, 0))
    while queue:
        i = queue.pop(0)
        for j in out[i]:
            copy(j)
        steps.append((Step.SCAN, copies[i], 0))
    steps += [(Step.PHASE, 2, 0), (Step.FREE, picture.spaces[0].start, picture.spaces[0].end - picture.spaces[0].start)]
    return HeapFilm(picture, np.array(steps, STEP), ("copies what roots refer to", "follows references", "gives the old space back"))


def marking(**options) -> HeapFilm:
    """Return the film of a mark-sweep collection, with some objects taken into the remembered set and out of it."""
    picture, out = heap(spaces=1, gaps=True, **options)
    addresses, sizes = picture.objects["address"].tolist(), picture.objects["size"].tolist()
    steps, marked, stack = [(Step.PHASE, 0, 0)], set(), []

    def reach(i: int) -> None:
        if i not in marked:
            marked.add(i)
            steps.append((Step.REACH, addresses[i], 0))
            stack.append(i)

    for number, root in enumerate(picture.roots):
        steps.append((Step.ROOT, number, 0))
        reach(picture.index(root.target))
        while stack:
            i = stack.pop()
            if i % 7 == 0:
                steps.append((Step.REMEMBER, addresses[i], 1))
            for j in out[i]:
                reach(j)
            steps.append((Step.SCAN, addresses[i], 0))
            if i % 14 == 0:
                steps.append((Step.REMEMBER, addresses[i], 0))
    steps.append((Step.PHASE, 1, 0))
    i = 0
    while i < len(addresses):
        if i in marked:
            i += 1
            continue
        start = addresses[i]
        end = start
        while i < len(addresses) and i not in marked and addresses[i] == end:  # neighbours go back as one piece
            end += sizes[i]
            i += 1
        steps.append((Step.FREE, start, end - start))
    return HeapFilm(picture, np.array(steps, STEP), ("marks", "sweeps"))


def sliding(**options) -> HeapFilm:
    """Return the film of a sliding compaction: moved objects come to lie on others, and on themselves."""
    film = marking(**options)
    picture = film.before
    kept = [step for step in film.steps.tolist() if step[0] != Step.FREE and step[0] != Step.REMEMBER]
    to, alive = picture.spaces[0].start, picture.reachable
    for place in np.flatnonzero(alive).tolist():
        address, size = int(picture.objects["address"][place]), int(picture.objects["size"][place])
        if to != address:
            kept.append((Step.MOVE, address, to))
        to += size
    kept.append((Step.FREE, to, picture.spaces[0].end - to))
    return HeapFilm(picture, np.array(kept, STEP), ("marks", "slides"))


def cycling(count: int = 60, seed: int = 1, roots: int = 6, barrier: bool = True, busy: int = 4) -> HeapFilm:
    """Return the film of a collection in steps, between which a program makes objects and changes references and roots at random.

    Without ``barrier`` nothing is marked that is stored into what has been looked at.
    """
    choose = random.Random(seed)
    picture, out = heap(count, seed, 1, True, roots)
    held = [picture.index(root.target) for root in picture.roots]
    out = {i: list(targets) for i, targets in out.items()}
    state, waits = ["white"] * count, []
    steps, born, born_edges, changes = [], [], [], []
    top = (int(picture.objects["address"][-1]) + int(picture.objects["size"][-1])) if count else BASE
    end = picture.spaces[0].end + 4096 * 64
    address = lambda i: int(picture.objects["address"][i]) if i < count else born[i - count][0]  # noqa: E731

    def reach(i: int, what: int = Step.REACH) -> None:
        if state[i] == "white":
            state[i] = "grey"
            waits.append(i)
            steps.append((what, address(i), 0))

    def mutate(sweeping: bool) -> None:
        nonlocal top
        steps.append((Step.PHASE, 3, choose.randint(1, 900)))
        for _ in range(choose.randint(0, busy)):
            known, front = set(), [i for i in held if i >= 0]
            while front:
                i = front.pop()
                if i not in known:
                    known.add(i)
                    front += out[i]
            known = sorted(known)  # a program finds nothing else
            kind = choose.choice(("make", "store", "hold"))
            if kind == "make" and top + 64 < end:
                i, size = len(state), 8 * choose.randint(2, 8)
                born.append((top, size, choose.randrange(len(TYPES)), 0, 0))
                out[i] = choose.sample(known, min(len(known), choose.randint(0, 2)))
                born_edges.extend((i, j) for j in out[i])
                steps.append((Step.MAKE_BLACK if sweeping else Step.MAKE, top, i - count))
                state.append("black" if sweeping else "white")
                top += size
                if held:
                    number = choose.randrange(len(held))
                    held[number] = i
                    steps.append((Step.HOLD, number, address(i)))
            elif kind == "store" and known:
                i, j = choose.choice(known), choose.choice((*known, -1))
                old = choose.choice((*out[i], -1))
                if old == j:
                    continue
                if barrier and not sweeping and state[i] == "black" and j >= 0:
                    reach(j, Step.SHADE)
                if old >= 0:
                    out[i].remove(old)
                if j >= 0:
                    out[i].append(j)
                steps.append((Step.REFER, address(i), len(changes)))
                changes.append((i, old, j))
            elif kind == "hold" and known:
                number, i = choose.randrange(len(held)), choose.choice((*known, -1))
                if held[number] != i:
                    held[number] = i
                    steps.append((Step.HOLD, number, address(i) if i >= 0 else 0))

    def look_at_roots() -> None:
        steps.append((Step.PHASE, 0, 1))
        for number, i in enumerate(held):
            if i >= 0:
                steps.append((Step.ROOT, number, 0))
                reach(i)

    def look(most: int) -> None:
        steps.append((Step.PHASE, 1, 1))
        while waits and most:
            i = waits.pop()
            for j in out[i]:
                reach(j)
            state[i] = "black"
            steps.append((Step.SCAN, address(i), 0))
            most -= 1

    look_at_roots()
    while waits:
        mutate(False)
        look(choose.randint(1, 3))
        if not waits:
            look_at_roots()
            look(10_000)
            break
    for place in [i for i in range(len(state)) if state[i] == "white"]:
        if choose.random() < 0.2:
            mutate(True)
        steps.append((Step.PHASE, 2, 1))
        size = int(picture.objects["size"][place]) if place < count else born[place - count][1]
        steps.append((Step.FREE, address(place), size))
    picture = HeapPicture(picture.process, "concurrent", picture.objects, picture.edges, picture.roots, TYPES, (Space("heap", BASE, end),), picture.free)
    return HeapFilm(picture, np.array(steps, STEP), ("roots {b}", "looks {b}", "sweeps {b}", "the program, {b} cycles"), (3,), np.array(born, OBJECT),
                    np.array(born_edges, np.int32).reshape(-1, 2), np.array(changes, np.int32).reshape(-1, 3))  # fmt: skip
