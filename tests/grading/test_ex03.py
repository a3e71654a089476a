"""Exercise 03: the solution gets everything, the student's version nothing, each forgotten check its name."""

from __future__ import annotations

import random
from pathlib import Path

import nbformat
import pytest

from singlab.grading import check, grade_notebook
from singlab.grading import closedapi as api
from singlab.grading.answers import read_answer
from singlab.grading.examination import grade_examination
from singlab.grading.exercises import ex03_closed_api as ex
from singlab.grading.exercises import exercise
from singlab.grading.hostile import FAULTS, WORDS, calls, draw
from singlab.grading.kernelcode import kernel_functions
from singlab.sing import SipError

ROOT = Path(__file__).resolve().parent.parent.parent
SOLUTION, STUDENT = ROOT / "solutions" / "ex03_closed_api.ipynb", ROOT / "exercises" / "ex03_closed_api.ipynb"
KNOWN = exercise("ex03")
WHOLE = read_answer(SOLUTION).text
GOOD = WHOLE[WHOLE.index("@kernel\ndef lookup") : WHOLE.index("A, B = ")]


def text(*changes: tuple[str, str]) -> str:
    """Return the solution with pieces of text exchanged."""
    out = GOOD
    for old, new in changes:
        assert old in out, old
        out = out.replace(old, new)
    return out


def graded(answer: str, hidden: bool = True):
    """Return the report on an answer."""
    functions = kernel_functions(answer, "notebook", KNOWN.given())

    def find(part, given):
        if part.name not in functions:
            raise SipError("answer.missing", f"there is no kernel function called {part.name}")
        return functions[part.name]

    return grade_examination(KNOWN, find, hidden)


def notebook(tmp_path, *cells: str) -> Path:
    """Return the path of a notebook with these code cells."""
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    node.metadata["singlab"] = {"exercise": "ex03_closed_api"}
    path = tmp_path / "answer.ipynb"
    nbformat.write(node, path)
    return path


def lost(report) -> set[str]:
    """Return the titles of checks that failed."""
    return {result.title for result in report.results if not result.passed}


def test_the_solution_gets_all_points():
    report = grade_notebook(SOLUTION)
    assert (report.points, report.most) == (17, 17), report
    assert all(not result.feedback for result in report.results)


def test_the_students_version_gets_none_and_is_told_why():
    report = grade_notebook(STUDENT)
    assert (report.points, report.most) == (0, 17)
    assert all(result.feedback for result in report.results)
    told = {result.title.partition(":")[0]: result.feedback for result in report.results if ": legal calls" in result.title}
    # legal calls go well where the starter does something: what it is told is whom it believes
    assert all(f"{name} accepts" in told[name] for name in ("lookup", "release", "print_text"))
    assert "leaves the memory of block" in told["allocate"] and "send refuses a legal call" in told["send"]


@pytest.mark.parametrize("seed", range(900, 903))
def test_the_solution_is_right_on_tables_it_was_not_written_for(seed, monkeypatch):
    monkeypatch.setattr(ex, "_HIDDEN_SEEDS", (seed, seed + 50))
    monkeypatch.setattr(ex, "_RUN_SEED", seed)
    monkeypatch.setattr(ex, "_RUN_CALLS", 600)
    assert graded(GOOD).points == 17


OUTSIDE, MIDDLE, OTHERS = "lookup: words that", "lookup: addresses in the middle", "lookup: handles that are stale"
ROW = "2,500 calls in a row"
ALLOCATE, RELEASE, ENDPOINTS, BLOCKS, FULL = (
    "allocate: sizes", "release: every way", "send: every way the endpoint", "send: every way the block", "send: message numbers",
)  # fmt: skip
ENDS, WRAP = "print_text: both ends", "print_text: lengths"
_LATE = ("    if length > CONSOLE_BYTES - printed:\n        return NO_ROOM\n    for", "    if printed + length > CONSOLE_BYTES:\n        return NO_ROOM\n    for")
# What a student may plausibly do, beginnings of the titles of checks it spoils, and what the feedback must say.
WRONG = {
    "only a range check": (text(("    if ld64(slot + S_KIND) != kind or ld64(slot + S_OWNER) != caller:\n        return 0\n", ""),
                                ("    if ld64(slot + S_USES) != handle >> 32:\n        return 0\n", ""), (" or (slot - HANDLES) % SLOT_BYTES != 0", "")),
                           {MIDDLE, OTHERS, RELEASE, ENDPOINTS, BLOCKS, ROW}, "lookup accepts"),
    "no range check": (text(("slot < HANDLES or slot >= HANDLES_END or ", "")), {OUTSIDE, RELEASE}, "compare it with HANDLES and HANDLES_END"),
    "no lower end": (text(("slot < HANDLES or ", "")), {OUTSIDE}, "compare it with HANDLES and HANDLES_END"),
    "the table ends one later": (text(("slot >= HANDLES_END", "slot > HANDLES_END")), {OUTSIDE, RELEASE, ENDPOINTS, BLOCKS}, "the last slot begins at HANDLES_END - SLOT_BYTES"),
    "no alignment": (text((" or (slot - HANDLES) % SLOT_BYTES != 0", "")), {MIDDLE, RELEASE, BLOCKS}, "must be a multiple of SLOT_BYTES"),
    "aligned to words": (text(("% SLOT_BYTES != 0", "% 8 != 0")), {MIDDLE, RELEASE, BLOCKS}, "in the middle of a slot"),
    "no owner check": (text((" or ld64(slot + S_OWNER) != caller", "")), {OTHERS, RELEASE, ENDPOINTS, BLOCKS, ROW}, "another process's handle"),
    "stale handles accepted": (text(("    if ld64(slot + S_USES) != handle >> 32:\n        return 0\n", "")), {OTHERS, RELEASE, BLOCKS, ROW}, "stale handle"),
    "sixteen bits of the uses": (text(("!= handle >> 32", "!= handle >> 32 & 0xFFFF")), {OTHERS}, "junk in its high half"),
    "the whole word as an address": (text(("handle & 0xFFFFFFFF", "handle")), {OUTSIDE, ROW}, "refuses a legal call"),
    "the kind forgotten": (text(("ld64(slot + S_KIND) != kind or ", "")), {OTHERS, RELEASE, ENDPOINTS, BLOCKS}, "S_KIND"),
    "any kind in use": (text(("ld64(slot + S_KIND) != kind", "ld64(slot + S_KIND) == 0")), {OTHERS, RELEASE, ENDPOINTS, BLOCKS}, "a handle of the wrong kind"),
    "size 0": (text(("size == 0 or ", "")), {ALLOCATE, ROW}, "accepts size 0"),
    "size off by one": (text(("size > BLOCK_BYTES:", "size > BLOCK_BYTES + 1:")), {ALLOCATE, ROW}, "a size larger than BLOCK_BYTES"),
    "no quota": (text(("held >= ld64(caller + P_MOST) or ", "")), {ALLOCATE, ROW}, "beyond P_MOST"),
    "one more than the quota": (text(("held >= ld64", "held > ld64")), {ALLOCATE, ROW}, "beyond P_MOST"),
    "no free slot": (text((" or slot == 0:\n        return NO_ROOM\n    st64", ":\n        return NO_ROOM\n    st64")), {ALLOCATE}, "allocation when no slot is free"),
    "memory not cleared": (text(("        st64(memory + 8 * i, 0)\n", "        memory += 0\n")), {ALLOCATE, ROW}, "leaves the memory of a block as it is"),
    "cleared as asked": (text(("range(BLOCK_BYTES // 8)", "range((size + 7) // 8)")), {ALLOCATE}, "leaves the memory of a block as it is"),
    "cleared too far": (text(("range(BLOCK_BYTES // 8)", "range(BLOCK_BYTES // 8 + 1)")), {ALLOCATE}, "changes"),
    "the slot taken before the check": (text(("    if size == 0 or", "    st64(G_FREE, ld64(slot + S_NEXT))\n    if size == 0 or"),
                                             ("    st64(G_FREE, ld64(slot + S_NEXT))\n    st64(slot + S_KIND, BLOCK)", "    st64(slot + S_KIND, BLOCK)")),
                                        {ALLOCATE, ROW}, "by then it has changed G_FREE"),
    "the uses do not grow": (text(("    st64(slot + S_USES, ld64(slot + S_USES) + 1)\n", "")), {RELEASE, ROW}, "leaves S_USES of a slot as it is"),
    "held not counted": (text(("    st64(caller + P_HELD, ld64(caller + P_HELD) - 1)\n    return OK", "    return OK")), {RELEASE, ROW}, "leaves P_HELD"),
    "message number": (text(("message >= MESSAGES", "message > MESSAGES")), {FULL, ROW}, "a message number that the contract does not have"),
    "the full queue": (text(("count >= ld64(peer + E_SLOTS)", "count > ld64(peer + E_SLOTS)")), {FULL, ROW}, "a queue that is full"),
    "the closed peer": (text(("ld64(peer + E_CLOSED) != 0", "ld64(peer + E_CLOSED) > 1")), {FULL, ROW}, "endpoint that is closed"),
    "one's own queue": (text(("count = ld64(peer + E_COUNT)", "count = ld64(ld64(mine + S_OBJECT) + E_COUNT)")), {FULL, ROW}, "send"),
    "the place without the head": (text(("(ld64(peer + E_HEAD) + count)", "count")), {FULL, ROW}, "the queue of an endpoint"),
    "the block given before the check": (text(("    peer = ld64(ld64(mine", "    if slot != 0:\n        st64(slot + S_USES, ld64(slot + S_USES) + 1)\n    peer = ld64(ld64(mine"),
                                              ("        uses = ld64(slot + S_USES) + 1\n", "        uses = ld64(slot + S_USES)\n")),
                                         {FULL, ROW}, "by then it has changed S_USES of a slot"),
    "the sender keeps a handle": (text(("        uses = ld64(slot + S_USES) + 1\n", "        uses = ld64(slot + S_USES)\n")), {BLOCKS, ROW}, "S_USES of a slot"),
    "the old handle in the queue": (text(("        handle = uses << 32 | slot", "        handle = block")), {BLOCKS, ROW}, "the queue of an endpoint"),
    "no block check": (text(("        slot = lookup(caller, block, BLOCK)\n        if slot == 0:\n            return BAD_HANDLE", "        slot = block & 0xFFFFFFFF")),
                       {BLOCKS, ROW}, "as its block"),
    "wrap-around in the length check": (text(("address > end or length > end - address", "address + length > end"), _LATE), {WRAP}, "wraps around to a small number"),
    "the console wraps too": (text(("or length > end - address", "or address + length > end"), _LATE), {WRAP}, "wraps around"),
    "the last byte": (text(("length > end - address", "length > end - address + 1")), {ENDS}, "one byte behind the caller's memory"),
    "the first byte only": (text((" or length > end - address", "")), {ENDS}, "not only its first byte"),
    "no lower end of memory": (text(("address < ld64(caller + P_FIRST) or ", "")), {ENDS, ROW}, "it must be at least P_FIRST"),
    "the console overflows": (text(("    if length > CONSOLE_BYTES - printed:\n        return NO_ROOM\n", "")), {ENDS, ROW}, "the console has no room"),
    "the console off by one": (text(("length > CONSOLE_BYTES - printed", "length > CONSOLE_BYTES - printed + 1")), {ENDS}, "the console has no room"),
    "printed before it is checked": (text(("    for i in range(length):\n        st8(CONSOLE + printed + i, ld8(address + i))\n", ""), ("    if length > CONSOLE",
                                           "    for i in range(length):\n        st8(CONSOLE + printed + i, ld8(address + i))\n    if length > CONSOLE")),
                                     {ENDS}, "by then it has changed"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_forgotten_check_costs_its_points_and_is_named(case):
    answer, beginnings, words = WRONG[case]
    report = graded(answer)
    assert not report.refusal, report.refusal
    failed = lost(report)
    assert {b for b in beginnings if not any(title.startswith(b) for title in failed)} == set(), report
    assert any(words in result.feedback for result in report.results), report


@pytest.mark.parametrize("case", ["size 0", "the full queue", "the last byte", "the uses do not grow"])
def test_one_mistake_leaves_the_other_functions_their_points(case):
    name = next(title for title in WRONG[case][1] if title != ROW).split(":")[0]
    assert all(title.startswith((name, ROW)) for title in lost(graded(WRONG[case][0])))


def test_who_leans_on_a_wrong_lookup_is_told_so():
    report = graded(WRONG["no owner check"][0])
    assert any(r.title.startswith("release") and r.feedback.endswith(ex.BEFORE_THAT) for r in report.results)


@pytest.mark.parametrize("result", ["0", "1", "2 ** 3", "HANDLES"])
def test_answering_without_looking_gets_nothing(result):
    answer = "".join(f"@kernel\ndef {name}({', '.join(words)}):\n    return {result.replace('2 ** 3', '8')}\n\n\n" for name, words in ex.PARAMETERS.items())
    report = graded(answer)
    assert report.points == 0 and not report.refusal, report


def test_hidden_checks_keep_their_arguments_to_themselves():
    for case in ("no alignment", "no owner check", "the block given before the check", "one's own queue"):
        for result in graded(WRONG[case][0]).results:
            assert not result.hidden or "0x" not in result.feedback, result


def test_a_loop_without_end_and_a_wild_load_are_located():
    report = graded(text(("    end = ld64(caller + P_END)", "    end = 0\n    while length == length:\n        end += 1")), hidden=False)
    assert "finds no end" in report.results[4].feedback and "(line " in report.results[4].feedback
    report = graded(text(("slot < HANDLES or slot >= HANDLES_END or ", "")), hidden=False)
    assert "outside memory (line 7)" in report.results[0].feedback, report


# ---- the oracle --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", api.CALLS)
def test_every_hidden_fault_is_passed_by_itself(name):
    """Each fault is drawn on all hidden tables together several times, with nothing else wrong."""
    for fault in ("", *FAULTS[name]):
        found = 0
        for seed in ex._HIDDEN_SEEDS:
            tables = draw(seed)
            for arguments in calls(tables, name, fault, random.Random(seed)):
                assert all(0 <= word < 1 << 64 for word in arguments)
                why = api.model(tables.copy(), name, arguments).why
                found += (why in ((fault,), (fault, "console"))) if fault else not why
        assert found >= 6, (name, fault, found)
        assert not fault or fault.removeprefix("block ") in WORDS


def test_the_model_refuses_without_an_effect_and_conserves_what_there_is():
    rng, tables = random.Random(5), draw(5)
    known = [tables.handle(s) for s in tables.slots(api.L["BLOCK"])]
    for number in range(api.PROCESS_COUNT):
        tables.put(api.process(number) + api.L["P_MOST"], 6)
    legal = 0
    for _ in range(1500):
        name, arguments = ex._drawn(tables, known, rng)
        before = tables.copy()
        right = api.model(tables, name, arguments)
        if right.why:
            assert (before.words == tables.words).all()
        elif name == "allocate":
            known += right.values
        legal += not right.why
        blocks = tables.slots(api.L["BLOCK"])
        for number in range(api.PROCESS_COUNT):
            owned = [s for s in blocks if tables.get(s + api.L["S_OWNER"]) == api.process(number)]
            assert tables.get(api.process(number) + api.L["P_HELD"]) == len(owned)
        free, at = set(), tables.get(api.L["G_FREE"])
        while at:
            assert at not in free
            free.add(at)
            at = tables.get(at + api.L["S_NEXT"])
        assert free == set(tables.slots(0))
    assert 400 < legal < 1100


# ---- the notebook as a file ----------------------------------------------------------------------------------------------


def test_nothing_in_a_notebook_is_run_and_the_given_tables_count(tmp_path):
    marker = tmp_path / "ran"
    bomb = f"open({str(marker)!r}, 'w').write('x')"
    assert grade_notebook(notebook(tmp_path, bomb, "HANDLES = 0\nOK = 7\n", GOOD + f"\n{bomb}\n")).points == 17
    assert not marker.exists()


def test_a_missing_function_and_one_outside_the_subset_cost_what_needs_them(tmp_path):
    without = GOOD[: GOOD.index("@kernel\ndef print_text")]
    report = grade_notebook(notebook(tmp_path, "x = 1", without + "@kernel\ndef print_text(caller, address, length):\n    return [address]\n"))
    assert report.points == 12 and report.mistake == "Not in the kernel's subset" and "cell 2:" in report.refusal and "no List" in report.refusal
    report = grade_notebook(notebook(tmp_path, without))
    assert report.mistake == "No answer" and "no kernel function called print_text" in report.refusal
    assert "Not run: print_text was refused." in {result.feedback for result in report.results}


def test_check_in_the_notebook():
    functions = kernel_functions(GOOD, "notebook", KNOWN.given())
    report = check("ex03", *functions.values())
    assert (report.points, report.most) == (5, 5) and "visible checks only" in report._repr_html_()
    partial = check("ex03", functions["lookup"])
    assert partial.points == 1 and "send was not given to check()" in partial.refusal


def test_trying_a_function_shows_what_it_changes():
    functions = kernel_functions(GOOD, "notebook", KNOWN.given())
    tables, caller = ex.practice(), api.process(0)
    handle = tables.handles(caller, api.L["BLOCK"])[0]
    once = ex.attempt(tables, functions["release"], caller, handle)
    assert once.called.value == 0 and "S_USES of slot" in repr(once) and "G_FREE" in repr(once)
    again = ex.attempt(once.tables, functions["release"], caller, handle)
    assert again.called.value == api.L["BAD_HANDLE"] and not again.changed
    assert "BLOCK" in tables._repr_html_() and "slots in use" in repr(tables)


def test_the_notebook_gives_what_is_graded_and_the_points_add_up():
    names: dict = {}
    exec(WHOLE[WHOLE.index("G_FREE, G_PRINTED") : WHOLE.index("tables = practice()")], names)
    assert {name: names[name] for name in api.LAYOUT} == api.LAYOUT
    assert sum(trial.points for trial in KNOWN.trials) == 17
