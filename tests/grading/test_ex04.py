"""Exercise 04: the solution gets everything, the student's version nothing, each way to lose or to take too much its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from singlab.grading import check, grade_notebook
from singlab.grading import lifecycle as life
from singlab.grading.answers import read_answer
from singlab.grading.examination import grade_examination
from singlab.grading.exercises import ex04_life_cycle as ex
from singlab.grading.exercises import exercise
from singlab.grading.kernelcode import kernel_functions
from singlab.sing import SipError

ROOT = Path(__file__).resolve().parent.parent.parent
SOLUTION, STUDENT = ROOT / "solutions" / "ex04_life_cycle.ipynb", ROOT / "exercises" / "ex04_life_cycle.ipynb"
KNOWN = exercise("ex04")
WHOLE = read_answer(SOLUTION).text
GOOD = WHOLE[WHOLE.index("@kernel\ndef remove") - len("### BEGIN SOLUTION\n") : WHOLE.index("attempt(tables, stop, 1)")]


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
    return grade_examination(KNOWN, lambda part, given: functions[part.name], hidden)


def lost(report) -> set[str]:
    """Return the beginnings of the titles of hidden checks that failed."""
    return {result.title.split(",")[0].split()[0] for result in report.results if result.hidden and not result.passed}


def test_the_solution_gets_all_points():
    report = grade_notebook(SOLUTION)
    assert (report.points, report.most) == (17, 17), report
    assert all(not result.feedback for result in report.results)


def test_the_students_version_gets_none_and_is_told_why():
    report = grade_notebook(STUDENT)
    assert (report.points, report.most) == (0, 17)
    assert all("Look:" in result.feedback for result in report.results), report


def test_the_solution_is_right_in_lives_it_was_not_written_for(monkeypatch):
    monkeypatch.setattr(ex, "_HIDDEN_SEEDS", tuple(range(900, 910)))
    assert graded(GOOD).points == 17


# What a student may plausibly do, beginnings of the checks it spoils, and what the feedback must say.
_DROPS = "        if block != 0:\n            drop(block)\n"
WRONG = {
    "queued blocks forgotten": (text((_DROPS, "        block = 0\n")), {"each"}, "it may be in a message in a queue of the stopped process"),
    "the peer's queue emptied": (text(("    peer = ld64(endpoint + E_PEER)\n", "    peer = ld64(endpoint + E_PEER)\n    st64(peer + E_COUNT, 0)\n")), {"channels", "nobody"},
                                 "ChannelClosed comes after it"),
    "the record freed while the peer is open": (text(("    if ld64(peer + E_CLOSED) != 0:\n", "    give_back(G_FREE_ENDPOINTS, E_NEXT, endpoint)\n    if ld64(peer + E_CLOSED) != 0:\n"),
                                                     ("        give_back(G_FREE_ENDPOINTS, E_NEXT, endpoint)\n        give_back", "        give_back")), {"channels"}, "while its peer is open"),
    "the peer's record kept": (text(("        give_back(G_FREE_ENDPOINTS, E_NEXT, peer)\n", "")), {"channels"}, "when both ends of a channel are closed, both records go back"),
    "nobody woken": (text(("        wake(ld64(peer + E_WAITER))\n", "")), {"channels"}, "is not woken"),
    "woken in front": (text(("        wake(ld64(peer + E_WAITER))\n", "        wake(ld64(peer + E_WAITER))\n        remove(G_READY, T_NEXT, ld64(peer + E_WAITER))\n"
                                                                      "        give_back(G_READY, T_NEXT, ld64(peer + E_WAITER))\n")), {"channels"}, "at the end of the ready queue"),
    "a waiter stays": (text(("        st64(peer + E_WAITER, 0)\n", "")), {"threads"}, "E_WAITER"),
    "a thread stays in the queue": (text(("            remove(G_READY, T_NEXT, thread)\n", "            state = 0\n")), {"threads", "nobody"}, "still in the ready queue"),
    "only the first of the queue": (text(("            remove(G_READY, T_NEXT, thread)\n", "            if ld64(G_READY) == thread:\n                st64(G_READY, ld64(thread + T_NEXT))\n")),
                                    {"threads"}, "wherever they stand"),
    "the running thread": (text(("            st64(G_CURRENT, 0)\n", "            state = 0\n")), {"threads"}, "G_CURRENT is wrong"),
    "sleepers forgotten": (text(("            st64(ld64(thread + T_WAITS) + E_WAITER, 0)\n", "            state = 0\n")), {"threads", "channels"}, "After an end"),
    "another owner's pages": (text(("== ld64(process + P_NUMBER)", "!= 0")), {"handles", "nobody"}, "stays elsewhere"),
    "the last page": (text(("range(PAGES)", "range(PAGES - 1)")), {"handles"}, "pages do not come back"),
    "freed whoever refers to it": (text(("    if refs == 0:\n        give_back", "    if refs < 5:\n        give_back")), {"each"}, "After an end"),
    "on the list and in a message": (text(("        st64(block + B_OWNER, 0)\n        drop(block)", "        st64(block + B_OWNER, 0)\n        give_back(G_FREE_BLOCKS, B_NEXT, block)")),
                                     {"each", "nobody"}, "that somebody else still refers to"),
    "the owner stays": (text(("        st64(block + B_OWNER, 0)\n        drop(block)", "        drop(block)")), {"each"}, "B_OWNER or B_REFS"),
    "children forgotten": (text(("        while ld64(last + P_CHILDREN) != 0:\n            last = ld64(last + P_CHILDREN)\n", "")), {"children"}, "a child of the stopped process lives on"),
    "only children, no grandchildren": (text(("        while ld64(last + P_CHILDREN) != 0:\n            last", "        if ld64(last + P_CHILDREN) != 0:\n            last")),
                                        {"children"}, "lives on"),
    "the parent's list": (text(("        remove(ld64(process + P_PARENT) + P_CHILDREN, P_SIBLING, process)\n", "        block = 0\n"), ("    while ld64(process + P_STATE) != ENDED:\n        last = process\n"
                               "        while ld64(last + P_CHILDREN) != 0:\n            last = ld64(last + P_CHILDREN)\n        end_one(last)", "    end_one(process)")), {"children"}, "After an end"),
    "handles as they were": (text(("        st64(handle + H_USES, ld64(handle + H_USES) + 1)\n", "")), {"handles"}, "H_USES one more"),
    "the next record after it is gone": (text(("        following = ld64(handle + H_NEXT)\n", ""), ("        handle = following\n", "        handle = ld64(handle + H_NEXT)\n")),
                                         {"handles", "threads"}, "finds no end"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_lost_or_taken_too_much_costs_its_points_and_is_named(case):
    answer, beginnings, words = WRONG[case]
    report = graded(answer)
    assert not report.refusal, report.refusal
    assert beginnings <= lost(report), (beginnings - lost(report), report)
    assert any(words in result.feedback for result in report.results), report


@pytest.mark.parametrize("case", ["queued blocks forgotten", "nobody woken", "children forgotten", "handles as they were"])
def test_one_mistake_leaves_other_checks_their_points(case):
    assert 0 < graded(WRONG[case][0]).points < 17


def test_hidden_checks_name_no_life():
    for result in graded(WRONG["queued blocks forgotten"][0]).results:
        assert ("of life" in result.feedback) == (bool(result.feedback) and not result.hidden)


@pytest.mark.parametrize("body", ["return OK", "st64(process + P_STATE, ENDED)\n    return OK", "st64(process, 0)\n    return OK"])
def test_doing_nothing_gets_next_to_nothing(body):
    assert graded(f"@kernel\ndef stop(process):\n    {body}\n").points == 0


# ---- the model -----------------------------------------------------------------------------------------------------------


def test_lives_come_to_everything_an_end_must_cope_with():
    seen: set[str] = set()
    for seed in ex._HIDDEN_SEEDS:
        for stop in ex.stops(seed):
            was, want = stop.tables.state(), stop.wanted
            seen |= {"woken"} if set(want.ready) - set(was.ready) else set()
            seen |= {"running"} if was.current and not want.current else set()
            seen |= {"several"} if sum(was.processes[n] != want.processes[n] and len(want.processes[n]) == 1 for n in want.processes) > 2 else set()
            seen |= {"kept queue"} if any(want.queues.get(n) and want.records["endpoint", n][2] == 0 for n in want.queues) else set()
            seen |= {"shared"} if any(key[0] == "block" and told[1] > 1 for key, told in want.records.items()) else set()
            seen |= {"half closed"} if any(key[0] == "endpoint" and told[2] for key, told in want.records.items()) else set()
    assert seen == {"woken", "running", "several", "kept queue", "shared", "half closed"}


@pytest.mark.parametrize("seed", range(20))
def test_when_all_are_stopped_everything_is_back(seed):
    led = life.Life(seed)
    for _ in range(60):
        led.step()
        count_references(led.tables)
    while led.alive():
        life.stopped(led, led.rng.choice(led.alive()))
        count_references(led.tables)
    state = led.tables.state()
    assert {what: len(free) for what, free in state.free.items()} == {what: life.COUNT[what] for what in state.free}
    assert not state.ready and not state.current and not any(state.pages)


def count_references(tables: life.Tables) -> None:
    """Hold that each block's references are the places where it is."""
    state = tables.state()
    for (what, n), told in state.records.items():
        if what == "block":
            listed = sum(n in process[4]["block"] for process in state.processes.values() if len(process) > 1)
            queued = sum(queue.count(life.at("block", n)) for queue in state.queues.values())
            assert told[1] == listed + queued > 0 and bool(told[0]) == bool(listed)


# ---- the notebook ----------------------------------------------------------------------------------------------------------


def test_check_and_trying_in_the_notebook():
    functions = kernel_functions(GOOD, "notebook", KNOWN.given())
    report = check("ex04", functions["stop"])
    assert (report.points, report.most) == (5, 5) and "visible checks only" in report._repr_html_()
    tables = ex.practice()
    after = ex.attempt(tables, functions["stop"], 1)
    assert "process 1:" in repr(tables) and "process 1:" not in repr(after)
    endless = kernel_functions("@kernel\ndef stop(process):\n    while True:\n        pass\n", "notebook", {})["stop"]
    with pytest.raises(SipError, match="finds no end"):
        ex.attempt(tables, endless, 1)


def test_the_notebook_gives_what_is_graded_and_the_points_add_up():
    names: dict = {}
    exec(WHOLE[WHOLE.index("G_READY, G_CURRENT") : WHOLE.index("tables = practice()")], names)
    assert {name: names[name] for name in life.LAYOUT} == life.LAYOUT
    assert sum(trial.points for trial in KNOWN.trials) == 17
