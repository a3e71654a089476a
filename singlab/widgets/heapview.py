"""The heap view: a collection of one heap, object by object, forwards and backwards.

It reads a film and nothing else (``singlab/trace/heapfilm.py``): memory by address, the graph of objects, roots, and what
the collector does at each step. A picture alone is a film without steps. Everything is sent once; playing needs no
kernel, so a saved notebook plays as well.

Where the program runs between the collector's steps, a strip shows who is at work, and the legend counts the references that
nobody would follow.

What it leaves out: heaps of more than 5,000 objects are shown by pages and by types, with single objects on request only.
"""

from __future__ import annotations

from html import escape

import anywidget
import numpy as np
import traitlets

from singlab.trace.heapfilm import HeapFilm, HeapPicture, Step
from singlab.widgets.assets import script, style

#: What each kind of step says; ``{a}`` and ``{b}`` are objects, places or numbers.
SENTENCES = {
    int(Step.PHASE): "{phase}",
    int(Step.ROOT): "looks at root {root}",
    int(Step.REACH): "reaches {a}",
    int(Step.SCAN): "has followed all references of {a}",
    int(Step.MOVE): "moves {a} to {b}",
    int(Step.FREE): "gives back {bytes} bytes at {place}",
    int(Step.REMEMBER): "takes {a} {into} the remembered set",
    int(Step.SHADE): "the write barrier marks {a}: the program is about to store it into an object that has been looked at",
    int(Step.MAKE): "the program makes {a}",
    int(Step.MAKE_BLACK): "the program makes {a}, where sweeping comes no more: it is kept as it is",
    int(Step.REFER): "the program lets {a} {change}",
    int(Step.HOLD): "the program's {root} {change}",
    int(Step.WHITEN): "the cycle is over and the next one begins at once: nothing is reached yet",
}
#: More roots than these are counted, not listed.
_MOST_ROOTS = 400
#: In a step, for an object: none.
_NOTHING = np.uint64(0xFFFF_FFFF)


class HeapView(anywidget.AnyWidget):
    """Show a heap, or play a collection of it.

    Parameters
    ----------
    film : HeapFilm or HeapPicture
        What to show.
    position : int
        Steps that have happened when the view opens.
    speed : int
        Steps a second when playing.

    Attributes
    ----------
    position, speed : int
    playing : bool
    selected : int
        The object that is chosen, by its place in the picture; -1 if none is.
    """

    _esm = script("heapmodel", "heapview")
    _css = style("heapview")
    about = traitlets.Dict().tag(sync=True)
    data = traitlets.Dict().tag(sync=True)
    position = traitlets.Int(0).tag(sync=True)
    speed = traitlets.Int(8).tag(sync=True)
    playing = traitlets.Bool(False).tag(sync=True)
    selected = traitlets.Int(-1).tag(sync=True)

    def __init__(self, film: HeapFilm | HeapPicture, position: int = 0, speed: int = 8, **traits):
        if isinstance(film, HeapPicture):
            film = HeapFilm(film, np.empty(0, np.dtype([("what", "u1"), ("a", "<u8"), ("b", "<u8")])))
        if not isinstance(film, HeapFilm):
            raise TypeError(f"a HeapView shows a HeapFilm or a HeapPicture, not {type(film).__name__}")
        film.check()
        self._film = film
        super().__init__(about=_about(film), data=_data(film), position=max(0, min(position, len(film))), speed=speed, **traits)

    @property
    def film(self) -> HeapFilm:
        """What it shows."""
        return self._film

    def _repr_mimebundle_(self, **kwargs):
        """Add a table of the heap for places that show no widgets."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        data = dict(data or {})
        data.setdefault("text/html", _still(self._film))
        data["text/plain"] = repr(self._film if len(self._film) else self._film.before)
        return data, metadata


def _about(film: HeapFilm) -> dict:
    before = film.before
    base = _base(film)
    return {
        "process": before.process, "collector": before.collector, "types": list(before.types), "phases": list(film.phases),
        "base": f"{base:#x}", "rootCount": len(before.roots), "first": len(before), "program": list(film.program),
        "said": {str(n): text for n, text in enumerate(before.said) if text},
        "roots": [[r.name, r.kind, before.index(r.target) if r.target else -1] for r in before.roots[:_MOST_ROOTS]],
        "spaces": [[s.name, (s.start - base) // 8, (s.end - base) // 8] for s in before.spaces],
        "sentences": {str(k): v for k, v in SENTENCES.items()},
    }  # fmt: skip


def _base(film: HeapFilm) -> int:
    return min((space.start for space in film.before.spaces), default=0) // 4096 * 4096


def _data(film: HeapFilm) -> dict:
    """Return the arrays as bytes: addresses and sizes in words of 8 bytes from the base, 32 bits each."""
    base, before = np.uint64(_base(film)), film.before
    word = np.uint64(8)
    steps = np.zeros((len(film), 3), dtype="<u4")
    what, a, b = (film.steps[name] for name in ("what", "a", "b"))
    places = (Step.REACH, Step.SCAN, Step.MOVE, Step.FREE, Step.REMEMBER, Step.SHADE, Step.MAKE, Step.MAKE_BLACK, Step.REFER)
    steps[:, 0] = what
    steps[:, 1] = np.where(np.isin(what, places), (np.maximum(a, base) - base) // word, a)
    held = (what == Step.HOLD) & (b > 0)
    steps[:, 2] = np.select([(what == Step.MOVE) | held, what == Step.HOLD, what == Step.FREE], [(np.maximum(b, base) - base) // word, _NOTHING, b // word], b)
    objects = film.objects
    return {
        "address": ((objects["address"] - base) // np.uint64(8)).astype("<u4").tobytes(),
        "size": ((objects["size"] + 7) // 8).astype("<u4").tobytes(),
        "type": objects["type"].astype("<u2").tobytes(),
        "age": objects["age"].tobytes(),
        "remembered": objects["remembered"].tobytes(),
        "edges": before.edges.astype("<u4").tobytes(),
        "bornEdges": film.born_edges.astype("<u4").tobytes(),
        "changes": film.changes.astype("<i4").tobytes(),
        "free": np.stack([(before.free[:, 0] - base) // np.uint64(8), before.free[:, 1] // np.uint64(8)], axis=1).astype("<u4").tobytes(),
        "steps": steps.tobytes(),
    }  # fmt: skip


def _still(film: HeapFilm) -> str:
    """Return HTML: what there is by type, and what the collection did."""
    before, done = film.before, film.summary()
    rows = "".join(
        f"<tr><td>{escape(str(row.type))}</td><td>{row.objects:,}</td><td>{row.bytes:,}</td><td>{row.reachable:,}</td></tr>"
        for row in before.by_type().head(20).itertuples()
    )
    told = f" The collection moves {done['moved']:,} and frees {done['gone']:,} objects in {len(film):,} steps." if len(film) else ""
    if film.program:
        told += f" The program makes {done['made']:,} objects meanwhile, and the write barrier marks {done['shaded']:,}."
    return (
        f'<div class="singlab-still"><p>The heap of {escape(before.process)}: {len(before):,} objects, {len(before.roots):,} roots, '
        f"{escape(before.collector)}.{told} The live view needs a running notebook.</p><table><thead><tr><th>type</th><th>objects</th>"
        f"<th>bytes</th><th>reachable</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
