"""The machine view: registers, code, cycles, caches, translation and memory of a machine that is stepped.

It knows no machine: what it is given has ``view`` with functions that return data which show themselves, and is
moved by an object that can step, go back and run to an address. The front end asks; a run goes on in short slices
in an asyncio task, so the notebook stays free, and what has changed is sent at most thirty times a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from html import escape

import anywidget
import numpy as np
import traitlets

from singlab.widgets.assets import script, style

_FRAME_SECONDS = 1 / 30
#: Instructions run before the loop gets a turn.
_SLICE = 100_000
#: Instructions that a call which waits for its end makes at most.
_MOST = 20_000_000
_CACHES = ("l1i", "l1d", "l2")
PANES = ("code", "registers", "cycles", "memory", "walk", "caches", "tlbs", "csrs")
#: Instructions in the code pane, and how many of them come before pc when it is centred.
_LISTING, _BEFORE = 20, 6
_MEMORY_BYTES = 128

_REASONS = {
    "hook": "stopped at a hook instruction",
    "wfi": "waits for an interrupt that cannot come",
    "device": "a device wants the host",
    "lost": "a trap has no handler in memory",
}


class MachineView(anywidget.AnyWidget):
    """Show a machine and step it.

    Parameters
    ----------
    source : Machine, Board, or the views of one
        What to show. ``source.view`` gives the views.
    travel : optional
        What moves it: ``position``, ``step(n)``, ``back(n)``, ``goto(position)``, ``run_to(address, limit)``.
        Made from the views if left out.
    memory, walk : str or int
        What the memory and page-walk panes look at: an address, a symbol or a register.
    opened : sequence of str
        The panes that are open.
    csrs : sequence of str
        The control and status registers to show; all if left out.

    Attributes
    ----------
    running : bool
        Whether a run is under way.
    """

    _esm = script("machineview")
    _css = style("machineview")
    panes = traitlets.Dict().tag(sync=True)
    status = traitlets.Dict().tag(sync=True)
    shape = traitlets.Dict().tag(sync=True)
    l1i = traitlets.Bytes(b"").tag(sync=True)
    l1d = traitlets.Bytes(b"").tag(sync=True)
    l2 = traitlets.Bytes(b"").tag(sync=True)
    look = traitlets.Dict().tag(sync=True)
    opened = traitlets.List(traitlets.Unicode()).tag(sync=True)
    sheet = traitlets.Unicode().tag(sync=True)

    def __init__(self, source, travel=None, memory: str | int = "sp", walk: str | int = "pc",
                 opened=("code", "registers", "cycles", "memory", "walk", "caches"), csrs=(), **traits):  # fmt: skip
        unknown = [name for name in opened if name not in PANES]
        if unknown:
            raise ValueError(f"there is no pane {unknown[0]!r}; choose from {', '.join(PANES)}")
        self._views = getattr(source, "view", source)
        self._travel = travel if travel is not None else self._views.controls()
        self._start = self._travel.position
        self._csrs = tuple(csrs)
        self._views.csrs(*self._csrs)  # refuses a name that is none
        self._mark = self._views.mark()
        self._code_at: int | None = None
        self._reason = ""
        self._error = ""
        self._task: asyncio.Task | None = None
        self._halt = False
        self._cells: dict[str, np.ndarray] = {}
        self._before: dict[str, np.ndarray] = {}
        self.running = False
        look = {
            "memory": memory if isinstance(memory, str) else f"{memory:#x}", "width": 1, "space": "auto",
            "walk": walk if isinstance(walk, str) else f"{walk:#x}", "mode": "", "cache": "l1d", "set": 0, "hart": "",
        }  # fmt: skip
        self._harts = getattr(self._views, "harts", 1)
        super().__init__(look=look, opened=list(opened), sheet=self._views.style, **traits)
        self._before = {name: self._words(name) for name in _CACHES}
        self._cells = dict(self._before)
        self._sent = self._render()
        self._status_sent = self._status()
        with self.hold_sync():
            self.shape = {name: {"sets": len(words), "ways": words.shape[1]} for name, words in self._cells.items()}
            for name, words in self._cells.items():
                setattr(self, name, _packed(words).tobytes())
            self.panes, self.status = self._sent, self._status_sent
        self._sent_any = False
        self.on_msg(self._message)

    # ---- what there is to see ------------------------------------------------------------------------------

    def _hart(self) -> int:
        return self._views.hart if self._harts > 1 else 0

    def _see(self) -> None:
        """Look at the hart that was chosen, or at the one that is to go on; what another had in its caches is no change."""
        if self._harts == 1:
            return
        before = self._hart()
        self._views.look_at(int(self.look["hart"]) if self.look["hart"] else None)
        if self._hart() != before:
            self._before = {name: self._words(name) for name in _CACHES}

    def _words(self, name: str) -> np.ndarray:
        return self._views.cache(name).words

    def _render(self) -> dict[str, dict]:
        """Return the open panes: the words beside their titles, and their HTML."""
        found = {}
        for name in PANES:
            if name in self.opened:
                try:
                    found[name] = getattr(self, f"_pane_{name}")()
                except (ValueError, KeyError) as error:
                    text = str(error.args[0] if error.args else error)
                    found[name] = {"note": "", "html": f'<div class="slv"><p class="slv-bad">{escape(text)}</p></div>'}
        return found

    def _pane_registers(self) -> dict:
        shown = self._views.registers(since=self._mark)
        return {"note": "changed by the last action: coloured", "html": shown.html(title=False)}

    def _pane_code(self) -> dict:
        pc = self._views.address("pc")
        shown = None
        if self._code_at is not None:
            # the listing stays where it is while pc is in it, so that the eye can follow
            shown = self._views.code(self._code_at, before=0, count=_LISTING)
            if pc not in [row.address for row in shown.rows[: _LISTING - 2]]:
                shown = None
        if shown is None:
            shown = self._views.code("pc", before=_BEFORE, count=_LISTING)
            self._code_at = shown.rows[0].address if shown.rows else None
        return {"note": shown.note, "html": shown.html(title=False)}

    def _pane_cycles(self) -> dict:
        whole, last = self._views.cycles(), self._views.cycles(since=self._mark)
        html = f"<div><h6>since the start</h6>{whole.html(title=False)}</div><div><h6>by the last action</h6>{last.html(title=False)}</div>"
        return {"note": whole.note, "html": f'<div class="sm-pair">{html}</div>'}

    def _pane_memory(self) -> dict:
        look = self.look
        virtual = {"physical": False, "virtual": True}.get(look["space"])
        shown = self._views.memory(look["memory"], _MEMORY_BYTES, width=int(look["width"]), virtual=virtual)
        return {"note": shown.note, "html": shown.html(title=False), "address": f"{shown.address:#x}"}

    def _pane_walk(self) -> dict:
        shown = self._views.page_walk(self.look["walk"], self.look["mode"] or None)
        return {"note": shown.note, "html": shown.html(title=False)}

    def _pane_caches(self) -> dict:
        name = self.look["cache"]
        shown = self._views.cache(name, set=self.look["set"] % len(self._cells[name]))
        notes = {one: self._views.cache(one).note for one in _CACHES}
        return {"note": "the last used line of a set first", "html": shown.html(), "notes": notes}

    def _pane_tlbs(self) -> dict:
        shown = self._views.tlbs(most=10)
        return {"note": "", "html": shown.html(title=False)}

    def _pane_csrs(self) -> dict:
        return {"note": "", "html": self._views.csrs(*self._csrs, since=self._mark).html(title=False)}

    def _status(self) -> dict:
        shown = self._views.registers()
        pc = shown["pc"].value
        name = shown.names.get(pc, "")
        return {
            "pc": f"{pc:#x}", "name": name, "mode": shown.mode, "instructions": shown.instructions, "cycles": shown.cycles,
            "harts": self._harts, "hart": self._hart(), "position": self._travel.position, "running": self.running, "reason": self._reason, "error": self._error,
            "start": self._travel.position <= self._start,
        }  # fmt: skip

    # ---- conversation with the front end ------------------------------------------------------------------

    def _message(self, _widget, content: dict, _buffers) -> None:
        kind = content.get("type")
        if kind == "ready":
            if self._sent_any:
                self._frame(whole=True)
        elif kind == "open":
            self.opened = [name for name in PANES if name in (content.get("panes") or [])]
            self._frame()
        elif kind == "look":
            self._turn_to({name: content[name] for name in self.look if name in content})
        elif kind == "stop":
            self._halt = True
        elif kind == "do" and not self.running and (self._task is None or self._task.done()):
            self._error = ""
            try:
                work = self._work(content.get("action"), content.get("value"))
            except (ValueError, KeyError) as error:
                self._error = str(error.args[0] if error.args else error)
                self._frame()
                return
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self._finish(work)
                return
            self._task = loop.create_task(self._run(work))

    def _turn_to(self, wishes: dict) -> None:
        look = dict(self.look)
        for name in ("memory", "walk"):
            if isinstance(wishes.get(name), str) and wishes[name].strip():
                look[name] = wishes[name].strip()[:200]
        if wishes.get("width") in (1, 2, 4, 8):
            look["width"] = wishes["width"]
        if wishes.get("space") in ("auto", "physical", "virtual"):
            look["space"] = wishes["space"]
        if wishes.get("mode") in ("", "U", "S", "M"):
            look["mode"] = wishes["mode"]
        if wishes.get("cache") in _CACHES:
            look["cache"] = wishes["cache"]
        if isinstance(wishes.get("set"), int) and wishes["set"] >= 0:
            look["set"] = wishes["set"]
        if wishes.get("hart") in ("", *map(str, range(self._harts))):
            look["hart"] = wishes["hart"]
        self.look = look
        self._frame()

    # ---- running ----------------------------------------------------------------------------------------------

    def step(self, n: int = 1) -> None:
        """Run so many instructions and show what they did."""
        self._finish(self._work("step", n))

    def back(self, n: int = 1) -> None:
        """Go so many instructions back."""
        self._finish(self._work("back", n))

    def reset(self) -> None:
        """Go back to where the view was opened."""
        self._finish(self._work("reset", None))

    def run_to_cycle(self, cycle: int) -> None:
        """Run to the first instruction that begins at or after a cycle."""
        self._finish(self._work("cycle", cycle))

    def run_to(self, address: int | str) -> None:
        """Run until pc is at an address or symbol, or twenty million instructions have not led there."""
        self._finish(self._to_address(self._views.address(address), _MOST))

    def refresh(self) -> None:
        """Show the machine as it is now, after something else has moved it."""
        self._frame()

    def _work(self, action: str, value) -> Iterator[None]:
        """Return a run in slices; raises ValueError for a value that is none."""
        if action in ("step", "back"):
            count = _number(1 if value is None else value, "the number of instructions")
            if count < 1:
                raise ValueError(f"the number of instructions must be at least 1, not {count}")
            return self._step(count) if action == "step" else self._once(lambda: self._travel.back(count))
        if action == "reset":
            return self._once(lambda: self._travel.goto(self._start))
        if action == "cycle":
            cycle, now = _number(value, "the cycle"), self._cycles()
            if cycle <= now:
                raise ValueError(f"cycle {cycle:,} has passed; it is cycle {now:,} now. Step back or reset first.")
            return self._to_cycle(cycle)
        if action == "address":
            return self._to_address(self._views.address(value))
        raise ValueError(f"{action!r} is nothing the view can do")

    def _cycles(self) -> int:
        return self._views.cycles().cycles

    def _once(self, move) -> Iterator[None]:
        self._reason = move() or ""
        yield

    def _step(self, count: int) -> Iterator[None]:
        while count > 0:
            before, asked = self._travel.position, min(count, _SLICE)
            self._reason = self._travel.step(asked) or ""
            count -= asked
            yield
            if self._travel.position - before < asked:
                return

    def _to_cycle(self, cycle: int) -> Iterator[None]:
        """Approach by half the instructions that are likely left; if that was too far, find the place in between."""
        rate = 1.0
        while (left := cycle - self._cycles()) > 0:
            start, asked = self._travel.position, max(1, min(_SLICE, int(left / (2 * rate))))
            before = self._cycles()
            self._reason = self._travel.step(asked) or ""
            moved = self._travel.position - start
            rate = max(1.0, (self._cycles() - before) / max(1, moved))
            yield
            if moved < asked:
                return
            if moved > 1 and self._cycles() > cycle:
                low, high = start, self._travel.position  # before the cycle, and at or behind it
                while high - low > 1:
                    middle = (low + high) // 2
                    self._travel.goto(middle)
                    low, high = (low, middle) if self._cycles() >= cycle else (middle, high)
                self._travel.goto(high)

    def _to_address(self, address: int, most: int | None = None) -> Iterator[None]:
        start = self._travel.position
        while most is None or self._travel.position - start < most:
            before = self._travel.position
            self._reason = self._travel.run_to(address, limit=_SLICE) or ""
            yield
            if self._reason != "limit" or self._travel.position == before:
                return

    def _begin(self) -> None:
        self._mark = self._views.mark()
        self._before = {name: self._words(name) for name in _CACHES}
        self._reason, self._error, self._halt, self.running = "", "", False, True

    def _end(self) -> None:
        self.running = False
        self._reason = _REASONS.get(self._reason, "" if self._reason in ("here", "limit", "step") else self._reason)
        self._frame()

    def _finish(self, work: Iterator[None]) -> None:
        self._begin()
        try:
            for _ in work:
                pass
        finally:
            self._end()

    async def _run(self, work: Iterator[None]) -> None:
        self._begin()
        last = time.monotonic()
        try:
            for _ in work:
                if self._halt:
                    self._reason = "stopped by you"
                    break
                if time.monotonic() - last > _FRAME_SECONDS:
                    self._frame()
                    last = time.monotonic()
                await asyncio.sleep(0)
        except Exception as error:  # whatever moves the machine may fail; the view says so and stays usable
            self._error = f"{type(error).__name__}: {error}"
        finally:
            self._end()

    # ---- frames ---------------------------------------------------------------------------------------------------

    def _frame(self, whole: bool = False) -> None:
        """Send what has changed since the last frame."""
        self._see()
        panes, status = self._render(), self._status()
        content: dict = {"type": "frame"}
        changed = {name: pane for name, pane in panes.items() if whole or self._sent.get(name) != pane}
        if changed:
            content["panes"] = changed
        if whole or status != self._status_sent:
            content["status"] = status
        buffers, caches = [], []
        if "caches" in self.opened:
            for name in _CACHES:
                words = self._words(name)
                new = np.arange(len(words)) if whole else np.flatnonzero((words != self._cells[name]).any(axis=1))
                touched = np.flatnonzero((words != self._before[name]).any(axis=1)).tolist()
                if len(new):
                    rows = np.empty((len(new), 1 + 2 * words.shape[1]), dtype="<u4")
                    rows[:, 0] = new
                    rows[:, 1:] = _packed(words[new])
                    buffers.append(rows.tobytes())
                caches.append({"name": name, "sets": len(new), "touched": touched})
                self._cells[name] = words
            content["caches"] = caches
        self._sent, self._status_sent, self._sent_any = panes, status, True
        self.send(content, buffers)

    def _repr_mimebundle_(self, **kwargs):
        """Add registers, code and cycles as a picture for places that show no widgets."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        data = dict(data or {})
        data.setdefault("text/html", self._views._repr_html_())
        data["text/plain"] = repr(self._views)
        return data, metadata


def _number(value, what: str) -> int:
    """Return a whole number from a number or a text such as "1,000" or "0x40"."""
    try:
        return int(str(value).replace(",", "").replace("_", "").strip(), 0)
    except ValueError:
        raise ValueError(f"{what} must be a whole number, not {value!r}") from None


def _packed(words: np.ndarray) -> np.ndarray:
    """Return tag words for the front end: for each way the line's number and 0 empty, 1 clean, 2 dirty, as 32-bit words."""
    cells = np.zeros((len(words), 2 * words.shape[1]), dtype="<u4")
    held = words != 0
    cells[:, 0::2] = np.where(held, (words >> np.uint64(1)) - np.uint64(1), 0) & np.uint64(0xFFFF_FFFF)
    cells[:, 1::2] = np.where(held, 1 + (words & np.uint64(1)), 0)
    return cells
