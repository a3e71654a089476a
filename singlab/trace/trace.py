"""A trace: events in their one order, with the names that belong to them.

Everything that looks at a run afterwards (views, plots, statistics, exports) looks at this. A trace can
be saved and loaded, turned into a table, and says of each event in a sentence what happened.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from pathlib import Path

import numpy as np

from singlab.trace.record import EVENT, FAULTS, OWNER_SHIFT, PAGE_TYPES, POLICIES, Kind

_LOW32 = 0xFFFF_FFFF

#: One sentence a kind. The view in the browser uses the same table, so both say the same.
SENTENCES = {
    Kind.BOOT: "the system boots with {b} pages of memory",
    Kind.PROCESS_CREATE: "{process} is created",
    Kind.PROCESS_START: "{process} starts",
    Kind.PROCESS_EXIT: "{process} ends with value {b}",
    Kind.PROCESS_STOP: "{process} is stopped from outside",
    Kind.PROCESS_FAULT: "{process} ends by a fault: {fault}",
    Kind.THREAD_CREATE: "thread {a} of {owner} is made",
    Kind.THREAD_RUN: "thread {a} of {runner} runs",
    Kind.THREAD_BLOCK: "thread {a} of {runner} waits for {awaited}",
    Kind.THREAD_READY: "thread {a} of {runner} is ready",
    Kind.THREAD_PREEMPT: "thread {a} of {runner} has used up its time slice",
    Kind.THREAD_YIELD: "thread {a} of {runner} lets others run",
    Kind.THREAD_EXIT: "thread {a} of {runner} is gone",
    Kind.CHANNEL_CREATE: "channel {a} ({contract}) connects {imp} and {exp}",
    Kind.CHANNEL_CLOSE: "{sender} closes its end of channel {channel}",
    Kind.SEND: "{sender} sends {message}",
    Kind.RECEIVE: "{sender} receives {message}",
    Kind.CHANNEL_STATE: "{sender} is now in state {state}",
    Kind.BLOCK_ALLOC: "{holder} gets a block of {low} bytes at {hex}",
    Kind.BLOCK_OWNER: "the block at {hex} now belongs to {taker}",
    Kind.BLOCK_FREE: "{holder} gives back the block at {hex}",
    Kind.BLOCK_COPY: "{b} bytes are copied",
    Kind.PAGES_ALLOC: "{pages} {go} to {tagged} ({type})",
    Kind.PAGES_FREE: "{pages} {are} free again",
    Kind.PRINT: "{self} prints",
    Kind.MARK: "{self} marks {a}",
    Kind.DEADLOCK: "deadlock: {a} processes wait for each other",
    Kind.REFUSED: "the kernel refuses a call of {self}",
    Kind.CLOSED_SEEN: "{sender} learns that channel {channel} is closed",
    Kind.ABI: "{self} calls the kernel",
    Kind.CHANNEL_CONTRACT: "channel {a} speaks {contract}",
    Kind.SERVICE_REQUEST: "{self} asks the service thread to {request}",
    Kind.SERVICE_DONE: "the service thread has done what it was asked: {request}",
    Kind.PROCESS_SUSPENDED: "{process} is suspended",
    Kind.THREAD_HOLD: "thread {a} of {runner} is held",
    Kind.PROCESS_SUSPEND: "{process} is being suspended",
    Kind.PROCESS_RESUME: "{process} goes on",
    Kind.ENDPOINT_OWNER: "the {side} end of channel {channel} now belongs to {taker}",
    Kind.BLOCK_SIZE: "the block of {holder} at {hex} has {low} bytes now",
    Kind.OBJECT_NEW: "{self} makes something to wait for at {hex}",
    Kind.OBJECT_SIGNAL: "{self} sets or resets the event at {hex}",
    Kind.NAME_BIND: "a name is provided over channel {a} by {taker}",
    Kind.NAME_CONNECT: "a connection by name over channel {a} has its answer",
    Kind.STACK_LINK: "{self} gets a segment more for its stack, at {hex}",
    Kind.STACK_UNLINK: "{self} gives a segment of its stack back, at {hex}",
    Kind.INTERRUPT: "interrupt {a} comes",
    Kind.POLICY_FAULT: "the kernel puts the {policy} policy out of force",
    Kind.GC_BEGIN: "a collection of {self}'s heap begins",
    Kind.GC_WORK: "the collector of {self} has found {a} roots",
    Kind.GC_END: "the collection of {self}'s heap ends after {b} cycles",
    Kind.GC_HEAP: "the heap of {self} has {low} pages after its collection",
    Kind.GC_AGE: "{b} bytes of the heap of {self} have survived {a} minor collections",
    Kind.GC_STEP: "the collector of {self} has come to an object",
}

#: What a thread can wait for that is no message, and what the service thread can be asked.
AWAITED = {0: "another thread to end", 2: "the service thread", 4: "a child to end", 6: "a child to be suspended"}
REQUESTS = {1: "create a process", 2: "stop a process", 3: "suspend a process", 4: "suspend a process and all below it", 5: "resume a process"}


class Trace:
    """Events and their names.

    Attributes
    ----------
    events : structured ndarray of dtype EVENT
    meta : dict
        Clock rate, memory, processes, threads, channels, contracts; plain data, as in JSON.
    lost : int
        Events that were overwritten before they could be kept.
    """

    def __init__(self, events: np.ndarray, meta: dict, lost: int = 0):
        self.events, self.meta, self.lost = events, meta, lost
        self._moves: dict[tuple[int, int], list[tuple[int, int, int]]] | None = None

    def __len__(self) -> int:
        return len(self.events)

    def __getitem__(self, index: slice) -> Trace:
        if not isinstance(index, slice):
            raise TypeError("a trace is cut with slices: trace[10:20]; trace.events[10] is one event")
        return Trace(self.events[index], self.meta, self.lost)

    # ---- names --------------------------------------------------------------------------------------------

    def process_name(self, number: int) -> str:
        """Return a process's name, or what it is otherwise."""
        if number == 1:
            return "the kernel"
        about = self.meta.get("processes", {}).get(str(number))
        return about["name"] if about else f"process {number}" if number else "nobody"

    def acting(self, index: int) -> int:
        """Return the number of the process in which an event happened, 0 = none; an event itself has room for its low 16 bits."""
        event = self.events[index]
        number, thread = int(event["process"]), self.meta.get("threads", {}).get(str(int(event["thread"])))
        return thread["process"] if thread and thread["process"] & 0xFFFF == number else number

    def owner(self, index: int, channel: int, side: int) -> int:
        """Return the number of the process that has one end of a channel at an event; ends change hands in messages."""
        if self._moves is None:
            self._moves = {}
            for at in np.flatnonzero(self.events["kind"] == Kind.ENDPOINT_OWNER):
                a, b = int(self.events["a"][at]), int(self.events["b"][at])
                self._moves.setdefault((a & _LOW32, a >> 56), []).append((int(at), b & _LOW32, b >> 32))
        moves = self._moves.get((channel, side), [])
        place = bisect_right(moves, (index, _LOW32, _LOW32))
        if place:
            return moves[place - 1][1]
        return moves[0][2] if moves else self.meta.get("channels", {}).get(str(channel), {}).get("exp" if side else "imp", 0)

    def _fields(self, index: int) -> dict:
        """Return what the sentences may need of an event."""
        event = self.events[index]
        kind, a, b = int(event["kind"]), int(event["a"]), int(event["b"])
        name = self.process_name
        channel_number = a & _LOW32
        channel = self.meta.get("channels", {}).get(str(channel_number), {})
        contract = self.meta.get("contracts", {}).get(channel.get("contract"), {})
        side = a >> 56 if kind != Kind.CHANNEL_CLOSE else b
        message = a >> 32 & 0xFFFFFF
        messages, states = contract.get("messages", []), contract.get("states", [])
        thread_process = self.meta.get("threads", {}).get(str(a), {}).get("process", int(event["process"]))
        fault, line = b & 0xFFFF, b >> 16
        exception = self.meta.get("processes", {}).get(str(a), {}).get("exceptions", {}).get(str(fault))
        count = b & _LOW32
        return {
            "a": a, "b": b, "hex": f"{a:#x}", "low": count, "go": "goes" if count == 1 else "go",
            "are": "is" if count == 1 else "are", "pages": f"page {a}" if count == 1 else f"pages {a} to {a + count - 1}", "process": name(a), "owner": name(b),
            "runner": name(thread_process), "self": name(self.acting(index)), "channel": channel_number, "side": "Exp" if side else "Imp",
            "contract": channel.get("contract", "?"), "imp": name(channel.get("imp", 0)), "exp": name(channel.get("exp", 0)),
            "sender": name(self.owner(index, channel_number, side)),
            "message": messages[message]["name"] if message < len(messages) else f"message {message}",
            "state": states[b] if b < len(states) else f"state {b}",
            "holder": name(b >> 32), "taker": name(b & _LOW32), "tagged": name(b >> 32 + OWNER_SHIFT),
            "type": PAGE_TYPES[b >> 32 & 15] if (b >> 32 & 15) < len(PAGE_TYPES) else "?",
            "policy": POLICIES[a & 0xFF] if a & 0xFF < len(POLICIES) else "?",
            "awaited": AWAITED.get(b, "a message"), "request": REQUESTS.get(a, "?"),
            "fault": (f"uncaught {exception}" if exception else FAULTS.get(fault, f"code {fault}")) + (f" (line {line})" if line else ""),
        }  # fmt: skip

    def describe(self, index: int) -> str:
        """Return in a sentence what event ``index`` is."""
        event = self.events[index]
        sentence = SENTENCES.get(int(event["kind"]))
        return sentence.format(**self._fields(index)) if sentence else f"event of kind {int(event['kind'])}"

    def frame(self):
        """Return a pandas DataFrame: one row an event, with readable names and the sentence."""
        import pandas as pd

        return pd.DataFrame(
            {
                "cycle": self.events["cycle"].astype(np.int64),
                "microseconds": self.events["cycle"] / self.meta.get("clock_hz", 1e9) * 1e6,
                "event": [Kind(k).name.lower() if k in Kind._value2member_map_ else str(k) for k in self.events["kind"]],
                "process": [self.process_name(p) if (p := self.acting(i)) else "" for i in range(len(self))],
                "what": [self.describe(i) for i in range(len(self))],
            }
        )

    # ---- files -----------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the trace to a file (NumPy's compressed format) and return its path."""
        path = Path(path)
        with path.open("wb") as file:
            np.savez_compressed(file, events=self.events, meta=np.array(json.dumps(self.meta)), lost=np.array(self.lost))
        return path

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read a trace from a file; raises ValueError if it is none."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                events, meta, lost = stored["events"], json.loads(str(stored["meta"])), int(stored["lost"])
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(f"{path} is not a saved trace ({error}); save one with Trace.save") from None
        if events.dtype != EVENT:
            raise ValueError(f"{path} holds events of another version of the lab; record it again")
        return cls(events, meta, lost)

    def __repr__(self) -> str:
        return f"<Trace of {len(self):,} events" + (f", {self.lost:,} lost>" if self.lost else ">")
