"""The ABI as a table: its page, its view, what its costs are read from; and every function of it with hostile arguments."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from programs import hand_made

from singlab.kernel import System, abi
from singlab.kernel import layout as at
from singlab.kernel.abi import ABI, MAX_MESSAGE_WORDS
from singlab.kernel.abitable import COSTS, KINDS, SAID, cost_class, document, groups, kind_of
from singlab.trace.record import Kind

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_the_table():
    assert (ROOT / "docs" / "abi.md").read_text(encoding="utf-8") == document()


def test_every_word_and_every_cost_is_explained():
    assert set(KINDS.values()) | {"number"} == SAID.keys()
    assert {cost_class(function) for function in ABI} <= COSTS.keys()
    assert all(len(function.arguments) + (function.kind == "timed") <= 6 and len(function.results) <= 1 + MAX_MESSAGE_WORDS for function in ABI)


def test_costs_are_those_of_the_code():
    costs = {function.name: cost_class(function) for function in ABI}
    assert costs["get_process_id"] == "inlined"
    assert costs["set_size"] == costs["get_size"] == costs["truncate"] == "constant"
    assert costs["allocate"] == costs["split"] == costs["create_thread"] == costs["create_event"] == "allocates"
    assert costs["receive"] == costs["wait_any"] == costs["sleep_until"] == "blocks"
    assert costs["free"] == costs["get_page_usage"] == costs["close_handle"] == "linear"
    assert costs["exit"] == "ends"


def test_the_table_shows_itself():
    whole, one = abi(), abi("Exchange Heap")
    assert len(whole.rows) == len(ABI) and {f.group for f in one.rows} == {"Exchange Heap"}
    for function in ABI:
        assert function.name in str(whole) and function.name in whole._repr_html_()
    assert "split(block: block, offset: number) -> block: block, part: block" in str(one)
    assert list(one.frame()["name"]) == [f.name for f in groups()["Exchange Heap"]]
    with pytest.raises(ValueError, match="no group 'Files'; there are"):
        abi("Files")


# ---- hostile arguments --------------------------------------------------------------------------------------------

SOURCE = '''
Talk = contract("""
contract Talk {
    in message Ask(ulong n);
    in message Give(byte[]* in ExHeap data);
    out message Answer(ulong n);
    state Start: one { Ask? -> Answer! -> Start; Give? -> Answer! -> Start; }
}
""")

@function
def second(go: Event) -> u64:
    go.wait()
    return 1

@sip
def holder(ch: Talk.Exp) -> u64:
    kept = new(u8, 300)
    large = new(u8, 9000)
    numbers = array(u64, 50, 7)
    ends = ESet(Talk.Exp)
    imp, exp = new_channel(Talk)
    ends.add(exp)
    go = event()
    lock = mutex()
    lock.acquire()
    other = thread(second, go)
    match ch.receive():
        case Talk.Ask(n):
            ch.send(Talk.Answer(numbers[0] + kept[0] + large[0]))
        case Talk.Give(data):
            free(data)
            ch.send(Talk.Answer(0))
        case ChannelClosed():
            pass
    free(kept)
    free(large)
    ends.close()
    imp.close()
    go.set()
    lock.release()
    return join(other)

@sip(io_memory=[(0x10000000, 0x100)], interrupts=[10], dma=[300])
def asker(ch: Talk.Imp) -> u64:
    uart = io_memory(0)
    line = interrupt(0)
    buffer = dma_memory(0)
    buffer.write32(8, 7)
    uart.write8(1, 1)
    line.wait()
    line.ack()
    ch.send(Talk.Ask(u64(uart.read8(0))))
    return ch.receive(Talk.Answer)
'''

#: Functions that take any numbers.
ANY = ("exit", "exit_thread", "fault", "mark", "print_int", "create_event", "create_mutex", "sleep_until", "yield")
#: What a refused call gives where that is not a status, and not 0.
REFUSED_AS = {"receive": 0xFFFE, "select": 0xFFFD_FFFD_FFFD_FFFD}
TRIED = [f for f in ABI if f.arguments]


@cache
def programs():
    from singlab.sing import build, programs_from_source

    return {name: build(program) for name, program in programs_from_source(SOURCE, "abi").programs.items()}


class Innocents:
    """Two processes that wait for each other and for a device, and everything they have."""

    def __init__(self, isolation: str):
        self.system = System(isolation=isolation, allow_unverified=True, ram="4M")
        self.holder, self.asker = self.system.create(programs()["holder"]), self.system.create(programs()["asker"])
        self.system.connect(self.holder["ch"], self.asker["ch"])
        assert self.system.run().outcome == "waiting"

    def records(self) -> dict[int, int]:
        """Return the addresses and sizes of their records, and of the data of their blocks."""
        load = self.system.machine.load_u64
        found = {}
        for process in (self.holder, self.asker):
            found[process.record] = at.PROCESS_BYTES
            for head, link, size in ((at.P_THREADS, at.T_SIBLING, at.THREAD_BYTES), (at.P_ENDPOINTS, at.E_NEXT, at.ENDPOINT_BYTES),
                                     (at.P_BLOCKS, at.B_NEXT, at.BLOCK_BYTES), (at.P_OBJECTS, at.O_NEXT, at.OBJECT_BYTES)):  # fmt: skip
                record = load(process.record + head)
                while record:
                    found[record] = size
                    if head == at.P_BLOCKS:
                        found[load(record + at.B_DATA)] = load(record + at.B_SIZE)
                    if head == at.P_OBJECTS and load(record + at.O_MAGIC) in (at.MAGIC_IO_MEMORY, at.MAGIC_DMA):
                        found[load(record + at.O_VALUE)] = 16
                    record = load(record + link)
            if domain := load(process.record + at.P_DOMAIN):
                found[domain + at.D_ID] = at.D_MEMBERS - at.D_ID
        return found

    def pages(self) -> list[int]:
        owners = self.system.page_tags() >> at.OWNER_SHIFT
        return [page for process in (self.holder, self.asker) for page in (owners == process.number).nonzero()[0].tolist()]

    def everything(self) -> list:
        """Return what must not change: their records, their blocks' data, their pages, and what the serial line has sent."""
        read = self.system.machine.read

        def record(address: int, size: int) -> bytes:
            words = bytearray(read(address, size))
            if address in (self.holder.record, self.asker.record):  # a process's neighbours in the list of all come and go
                for link in (at.P_NEXT, at.P_PREVIOUS):
                    words[link : link + 8] = bytes(8)
            return bytes(words)

        return [(address, record(address, size)) for address, size in sorted(self.records().items())] + [
            (page, read(at.RAM_BASE + page * at.PAGE, at.PAGE)) for page in self.pages()
        ] + [self.system.serial]

    def words(self) -> list[int]:
        """Return what a hostile process could say: others' handles and addresses, what is no address, huge and negative numbers."""
        theirs = list(self.records())
        pages = [at.RAM_BASE + page * at.PAGE for page in self.pages()]
        return [*theirs, *(word + 64 for word in theirs[:6]), *(word | 1 for word in theirs[:3]), *pages, at.GLOBALS, at.PAGE_TAGS, at.RAM_BASE,
                at.RAM_BASE - 8, at.TEXT_BASE + 4, 0x1000_0000, at.PLIC, 1 << 32, 1 << 63, (1 << 63) - 1, *((-n) & (1 << 64) - 1 for n in (1, 8, 64, 4096))]  # fmt: skip


def vectors(function, words: list[int]):
    """Yield argument lists: each word everywhere, each word alone among small numbers, and neighbours together."""
    count = len(function.arguments)
    for word in words:
        yield [word] * count
    for place in range(count):
        for word in words[::3]:
            yield [word if index == place else 1 for index in range(count)]
    for first in range(0, len(words) - count, 5):
        yield words[first : first + count]


@cache
def innocents(isolation: str) -> Innocents:
    return Innocents(isolation)


def attack(them: Innocents, text: str):
    """Run hand-made code beside the innocents; returns its process."""
    system = them.system
    before = them.everything()
    rogue = system.create(hand_made(f"rogue{len(system.processes)}", text))
    system.start(rogue)
    system.run(cycles=30_000_000)
    if rogue.state != "stopped":
        rogue.stop()
    assert them.everything() == before
    assert set(rogue.holdings().values()) == {0}
    system.uninstall(rogue.installed.name)
    return rogue


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains", "mixed"])
@pytest.mark.parametrize("function", TRIED, ids=lambda function: function.name)
def test_hostile_arguments_are_refused_and_change_nothing(function, isolation):
    """Whatever words it is given: an error code, or 0 where a handle is wanted, and nobody else has another bit anywhere."""
    them = innocents(isolation)
    tried = list(vectors(function, them.words()))
    stack = function.kind == "stack"  # its words come in t1 and t2, its status in t1
    call = "\n".join(["{words}", f"abi {function.name}", *["mv a0, t1"] * stack])
    apart = function.kind == "ends" or function.name == "sleep_until"
    seen: list[int] = []
    for chunk in [tried[:1], tried[-1:]] if apart else [tried[i : i + 40] for i in range(0, len(tried), 40)]:
        text = "\n".join(call.format(words="\n".join(f"li {f't{i + 1}' if stack else f'a{i}'}, {word}" for i, word in enumerate(words))) + "\nabi mark" for words in chunk)
        rogue = attack(them, text + "\nli a0, 0\nabi exit")
        marks = them.system.trace.events
        marks = marks[(marks["kind"] == Kind.MARK) & (marks["process"] == rogue.number)]["a"].tolist()
        assert apart or len(marks) == len(chunk) * (1 + (function.name == "mark")), (function.name, rogue)
        seen += marks
    if function.name in ANY or apart:
        return
    kind = kind_of(function.results[0])
    for words, result in zip(tried, seen):
        if words != [word for word in words if word == words[0]] and any(kind_of(a) == "number" for a in function.arguments) and len(words) > 1:
            continue  # where one word is a small number it may be one that there is
        if function.name in REFUSED_AS:
            assert result == REFUSED_AS[function.name], (function.name, words)
        elif kind == "status":
            assert 0 < result < 16, (function.name, words)
        else:
            assert result == 0, (function.name, words)


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_the_innocents_go_on_as_if_nothing_had_been(isolation):
    them = Innocents(isolation)
    attack(them, "\n".join(f"li a0, {word}\nabi free\nli a0, {word}\nabi close\nli a0, {word}\nabi set_event" for word in them.words()[:20]) + "\nli a0, 0\nabi exit")
    them.system.type("*")
    assert them.system.run().outcome == "finished"
    assert them.asker.exit_value == 7 and them.holder.exit_value == 1


@pytest.mark.parametrize("isolation", ["sip", "ring3"])
@pytest.mark.parametrize(("make", "use"), [
    ("li a0, 64\nabi allocate\nmv s0, a0\nabi free", ["free", "split", "share", "truncate", "get_size", "get_type", "set_type"]),
    ("li a0, 0\nli a1, 0\nabi create_event\nmv s0, a0\nabi close_handle", ["set_event", "reset_event", "close_handle", "wait_one"]),
    ("li a0, 0\nabi create_mutex\nmv s0, a0\nabi close_handle", ["release_mutex", "close_handle", "wait_one"]),
    ("abi new_set\nmv s0, a0\nabi close", ["close", "set_take", "set_size", "receive"]),
    ("li a0, 2\nabi allocate_pages\nmv s0, a0\nli a1, 2\nabi free_pages", ["free_pages", "extend_pages", "query_pages"]),
])  # fmt: skip
def test_a_stale_handle_is_refused(isolation, make, use):
    by_name = {f.name: f for f in ABI}
    for name in use:
        system = System(isolation=isolation, allow_unverified=True)
        rogue = system.create(hand_made("rogue", f"{make}\nmv a0, s0\nli a1, 1\nli a2, 1\nabi {name}\nabi exit"))
        system.run()
        assert rogue.state == "stopped", name
        value = rogue.exit_value
        if name in REFUSED_AS:
            assert value == REFUSED_AS[name]
        elif by_name[name].results[0] == "status":
            assert 0 < value < 16, name
        else:
            assert value == 0, name
