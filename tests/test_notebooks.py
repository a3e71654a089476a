"""Every notebook runs from top to bottom in a fresh kernel, and its failing cells fail as they should."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from singlab.demo import execute, plots

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "solutions").glob("*.ipynb")])

#: What the cells that are meant to fail must say, in order.
FAILURES = {
    "00_tour.ipynb": ["owner.use-after-send", "contract.send", "the seal is broken"],
    "04_channels_and_contracts.ipynb": ["contract.finite", "contract.send", "contract.exhaustive", "contract.receive",
                                        "contract.exhaustive", "contract.turn", "endpoint.moved", "contract.send-state",
                                        "contract.send-state", "contract.exhaustive"],
    "05_exchange_heap_and_ownership.ipynb": ["owner.use-after-send", "owner.leak", "owner.merge", "owner.borrow", "owner.shared"],
    "07_threads_and_scheduling.ipynb": ["ld64 is nothing a policy can call"],
}

#: Points of the visible checks of each exercise.
SOLVED = {"ex00_first_sip.ipynb": "7", "ex01_measure.ipynb": "3.5", "ex02_fixed_code.ipynb": "4", "ex03_closed_api.ipynb": "5",
          "ex04_life_cycle.ipynb": "5",
          "ex05_contracts.ipynb": "6", "ex06_ownership.ipynb": "5", "ex08_policies.ipynb": "4"}  # fmt: skip


def _text(node) -> str:
    """Return all text in a notebook's outputs."""
    out = []
    for cell in node.cells:
        for output in cell.get("outputs", []):
            out.append(str(output.get("text", "")))
            out.append(str(output.get("data", {}).get("text/plain", "")))
            out.append("\n".join(output.get("traceback", [])))
    return "\n".join(out)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_runs(path):
    node = execute(path, progress=False)
    failed = ["\n".join(output["traceback"]) for cell in node.cells for output in cell.get("outputs", []) if output.output_type == "error"]
    expected = FAILURES.get(path.name, [])
    assert len(failed) == len(expected), failed
    for text, words in zip(failed, expected, strict=True):
        assert words in text
        assert "Traceback" not in text, "a refusal shows its message, not the lab's insides"
    if path.name == "00_tour.ipynb":
        text = _text(node)
        assert "finished after" in text
        assert "contract violation" in text
        assert "channel closed while a message was expected" in text
        assert len(plots(node)) == 1
    if path.name == "01_hardware.ipynb":
        text = _text(node)
        assert "a0 = 5050" in text and "a0 = 20 after 3 traps; cause of the last: 8" in text
        assert "a0 = 5 after 1 traps; cause of the last: 2" in text
        assert "ring 3 : ring 0, paper = 3.8 : 1" in text
        assert "ecall ⟶ csrr a5, scause" in text and "load page fault" in text
        assert "now:    1 entry" in text and "before: 0 entries" in text
        assert text.count("No translation buffer has this page") == 1, "the page is walked once, and known afterwards"
        assert len(plots(node)) == 9
    if path.name == "02_open_and_sealed_processes.ipynb":
        text = _text(node)
        assert "parent has 1 and the child ended with 7" in text and "child has 2" in text
        assert "fee 50\nfee 0" in text and "viewer: exit with 1010" in text and "ioctl says 0 and the balance is 4096" in text
        for invariant in ("fixed code", "state isolation", "explicit communication", "closed API"):
            assert f"Invariant: {invariant}." in text
        assert "sealed broken" not in text and text.count("open   broken") == 7
        assert len(plots(node)) == 2
    if path.name == "03_software_isolated_processes.ipynb":
        text = " ".join(_text(node).split())  # long messages are broken into lines
        assert "2000 of 2000 altered images are refused" in text
        assert "SealError: adder: the seal is broken" in text and "InstallError: curious: not verified" in text
        assert "Process 2 reader: exit with 0" in text and "Process 3 reader: fault: index out of bounds" in text
        assert text.count("installed: ") == 3, "of six programs one, the liar, and the one that carries its SIL"
        for words in ("0x1000180f conflicts with disk", "greedy: I/O memory 0x80000000 to 0x80000fff lies in RAM", "no device at 0x30000000",
                      "another program of this name", "host: it starts plugin as an extension", "csrw satp, zero: a privileged instruction",
                      "jr t0: an indirect jump", "runs off its end", "not what the SIL it carries compiles to"):  # fmt: skip
            assert words in text, words
        assert text.count("gets no code") == 0 and sum("gets no code" in str(o) for c in node.cells for o in c.get("outputs", [])) == 3
        for rule in ("types", "privileged", "owner.use-after-send", "owner.leak", "owner.merge"):
            assert any(f"rule {rule}<" in str(o) for c in node.cells for o in c.get("outputs", [])), rule
    if path.name == "04_channels_and_contracts.ipynb":
        text = _text(node)
        assert "{'Exp': 2, 'Imp': 1}" in text and "most waiting for Exp      2" in text, "computed and explored alike"
        assert "Exp's queue, after 2 steps" in text and "Start Stop Start Stop Start" in text
        assert "exit with 1000" in text and "exit with 320" in text
        assert "deadlock after" in text and "Cy waits for a message" in text
        assert "busy: exit with 6" in text and "busy learns that channel 1 is closed" in text
        assert text.count("flood: fault: contract violation") == 2 and "cycles with the check" in text
        assert "contract BetterCard extends Card" in text
        assert "channel 2 (Events) connects listener and listener" in text and "the Exp end of channel 2 now belongs to" in text
        assert text.count("True") - text.count("check_contracts=True") == 1 and text.count("False") - text.count("check_contracts=False") == 3
        assert "late: fault: contract violation (line 6)" in text
        assert [line[-1] for line in text.splitlines() if re.fullmatch("(Please|closed) +(Please|closed) +row .", line)] == list("1243")
        lines = [line for line in text.splitlines() if "event_driver receives" in line]
        assert lines[0].endswith("Send") and lines[1].endswith("Thanks"), "what satisfied a row while it waited comes first"
        costs = [int(line.split()[-1]) for line in text.splitlines() if re.match("(one channel|a desk)", line)]
        assert len(costs) == 5 and costs[0] < min(costs[1:]) and max(costs[1:]) < 1.05 * min(costs[1:]), "a set costs once, not for each member"
        assert len(plots(node)) == 1
    if path.name == "05_exchange_heap_and_ownership.ipynb":
        text = _text(node)
        assert "exit with 20000" in text and "exit with 29791" in text and "exit with 4407" in text
        assert "letter: exit" in text and "no block has an owner" in text and "block_copy" not in text and "blocks that are left: 0" in text
        assert "refuses it: owner.merge" in text and "fault: used a block it does not own" in text
        assert re.search(r"in each round +6 +6 +0", text), "six exceptions, six blocks lost, none after the end"
        assert len(plots(node)) == 2
    if path.name == "06_abi_and_sealed_kernel.ipynb":
        text, html = _text(node), "".join(str(o.get("data", {}).get("text/html", "")) for c in node.cells for o in c.get("outputs", []))
        rows = re.findall(r"<tr>(.*?)</tr>", next(part for part in html.split("<table") if "the rogue wants to" in part), re.DOTALL)[1:]
        cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]
        assert len(cells) == 16 and {(row[3], row[4]) for row in cells} == {("5,398", "0")}, "the victims notice nothing, no table disagrees"
        assert not [row for row in cells if row[2] in ("ok", "?")], "no lie is believed"
        assert re.search(r"sip +exit with 0 +5,342 +0", text), "in ring 0 a store does its harm and nobody knows"
        assert re.search(r"ring3-domains +fault: access outside its memory +5,398 +0", text)
        assert "was sent on line 12 and belongs to somebody else now" in text and "the other counts to 3 instead of 10" in text
        for rule in ("privileged", "types", "owner.use-after-send", "closed-api", "contract.send", "sil.syntax"):
            assert f" {rule}: " in text, rule
        assert "NOT what was sealed" in text and "heap.block_check" in text
        charged, retired = re.search(r"instructions: (\d+) charged, (\d+) retired", text).groups()
        assert charged == retired and "same memory:  True" in text
        assert len(plots(node)) == 1
    if path.name == "07_threads_and_scheduling.ipynb":
        text = _text(node)
        told = " ".join(text.split())
        for words in ("(wild) answered 12345", "(endless) runs without end", "(angry) raised in line", "(timeless) answered 0"):
            assert words in told, words
        assert text.count("then: finished") == 4 and text.count("in force: {}") == 4, "each system went on without its policy"
        assert "9 segments of 36,864 bytes" in text and "endless_calls: fault: stack overflow" in text and "dig: exit with 100" in text
        assert len(plots(node)) == 5
    if path.name == "08_garbage_collection.ipynb":
        text = _text(node)
        assert len(re.findall(r"^ +(?:none|semispace|marksweep|compact|generational|concurrent|adaptive) +31,608 ", text, re.MULTILINE)) == 7, "one result, whoever collects"
        assert re.search(r"poor: fault: out of memory \(line \d+\)", text) and "rich: exit with 339900" in text
        films = re.findall(r"<HeapFilm of writer: \d+ steps, (\d+) objects reached, (\d+) moved, [\d,]+ gone, (\w+)>", text)
        assert [collector for _, _, collector in films] == ["semispace", "marksweep", "compact", "generational"]
        assert films[0][0] == films[0][1] == "33" and films[1][1] == "0"
        assert re.search(r"<HeapFilm of writer: \d+ steps, \d+ objects reached, 0 moved, \d+ gone, [1-9]\d* made meanwhile, concurrent>", text)
        assert re.search(r"<HeapFilm of the kernel: \d+ steps, 7 objects reached, 0 moved, 7 gone, marksweep>", text), "one desk's are alive, one desk's are gone"
        rows = re.findall(r"^ +(requests|graph) +(\w+) +(a step|all at once) +[\d,]+ +[\d,]+ +([\d,]+) +([\d,]+)$", text, re.MULTILINE)
        longest, work = ({tuple(row[:3]): int(row[column].replace(",", "")) for row in rows} for column in (3, 4))
        server, step = ("requests", "semispace", "all at once"), ("requests", "concurrent", "a step")
        assert len(rows) == 7 and ("requests", "concurrent", "all at once") not in longest, "for the server all is done in steps, as the text says"
        assert 2 * longest[step] < longest[server] and work[step] > work[server]
        assert longest["graph", "concurrent", "all at once"] > 10 * longest["graph", "concurrent", "a step"]
        own = [int(row.split()[0]) for row in re.findall(r"^ +[\d,]+ +only when full +(.*)$", text, re.MULTILINE)]
        assert len(own) == 4 and own[1] > own[2] > own[3] == 0, "a trigger decides"
        assert len(plots(node)) == 11
    if path.name in SOLVED:
        assert f"{SOLVED[path.name]} of {SOLVED[path.name]} points in the visible checks" in _text(node)


@pytest.mark.parametrize("name", SOLVED)
def test_student_version_runs_unsolved(name):
    """The starter code runs: a student meets feedback, not a broken notebook."""
    node = execute(ROOT / "exercises" / name, progress=False)
    text = _text(node)
    assert f"0 of {SOLVED[name]} points in the visible checks" in text
    assert not [o for cell in node.cells for o in cell.get("outputs", []) if o.output_type == "error"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_valid(path):
    nbformat.validate(nbformat.read(path, as_version=4))
