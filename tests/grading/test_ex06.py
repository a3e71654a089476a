"""Exercise 06: the solution gets everything on every schedule, each mistake its name."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from singlab.grading import check, grade_notebook
from singlab.grading.answers import read_answer
from singlab.grading.examination import Handed, grade_examination
from singlab.grading.exercises import ex06_ownership as ex
from singlab.grading.exercises import exercise
from singlab.grading.pipeline import Schedule
from singlab.sing import SipError, build, programs_from_source

ROOT = Path(__file__).resolve().parent.parent.parent
SOLUTION, STUDENT = ROOT / "solutions" / "ex06_ownership.ipynb", ROOT / "exercises" / "ex06_ownership.ipynb"
KNOWN = exercise("ex06")
WHOLE = read_answer(SOLUTION).text
GOOD = WHOLE[WHOLE.index("@sip\ndef gate") : WHOLE.index("@sip\ndef my_source")]


def text(*changes: tuple[str, str], stage: str = "") -> str:
    """Return the solution with pieces of text exchanged, in one stage only if it is named."""
    gate, cut, stamp = GOOD.partition("@sip\ndef stamp")
    parts = {"gate": gate, "stamp": cut + stamp}
    for name in (stage,) if stage else parts:
        for old, new in changes:
            assert old in parts[name], old
            parts[name] = parts[name].replace(old, new)
    return parts["gate"] + parts["stamp"]


def graded(answer: str, hidden: bool = True):
    """Return the report on an answer."""
    unit = programs_from_source(answer, "notebook", KNOWN.given())

    def find(part, given):
        if part.name not in unit.programs:
            raise SipError("answer.missing", f"there is no SIP called {part.name}")
        return unit.programs[part.name]

    return grade_examination(KNOWN, find, hidden)


def notebook(tmp_path, *cells: str) -> Path:
    """Return the path of a notebook with these code cells."""
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    node.metadata["singlab"] = {"exercise": "ex06_ownership"}
    path = tmp_path / "answer.ipynb"
    nbformat.write(node, path)
    return path


def test_the_solution_gets_all_points():
    report = grade_notebook(SOLUTION)
    assert (report.points, report.most) == (12, 12), report
    assert all(not result.feedback for result in report.results)


def test_the_students_version_gets_none():
    report = grade_notebook(STUDENT)
    assert (report.points, report.most) == (0, 12)
    assert all(result.feedback for result in report.results)


# What the verifier refuses: the mistake's name, and words of the message.
RELAY = """output.send(Blocks.Block(data))
                    match output.receive():"""
REFUSED = {
    "noise kept": (text(("                    free(data)\n", ""), stage="gate"), "Leaked block", "data"),
    "freed and sent": (text(("                    output.send", "                    free(data)\n                    output.send"), stage="gate"),
                       "Use of a block that belongs to somebody else", "data"),
    "stamped after it was sent": (text(("                    data[1] = total\n", ""), ("                    match output", "                    data[1] = total\n                    match output"), stage="stamp"),
                                  "Use of a block that belongs to somebody else", "data"),
    "sent back and on": (text((RELAY, "input.send(Blocks.Back(data))\n                    " + RELAY), stage="stamp"), "Use of a block that belongs to somebody else", "data"),
    "what came back is kept": (text(("input.send(Blocks.Back(returned))", "input.send(Blocks.Taken())"), stage="gate"), "Leaked block", "returned"),
    "no answer to noise": (text(("                    free(data)\n                    input.send(Blocks.Taken())", "                    free(data)"), stage="gate"), "Deadlock", ""),
    "no answer awaited": (re.sub(r"                    match output\.receive\(\):.*?                            return\n", "                    input.send(Blocks.Taken())\n", GOOD, count=1, flags=re.S),
                          "Wrong order of messages", ""),
    "answers after the end": (text(("                        case ChannelClosed():\n                            return\n            case", "                        case ChannelClosed():\n                            output.receive(Blocks.Taken)\n"
                                    "            case"), stage="stamp"), "Message to a channel that is closed", ""),
    "Back is forgotten": (text(("                        case Blocks.Back(returned):\n                            input.send(Blocks.Back(returned))\n", ""), stage="gate"), "Message not handled", "Blocks.Back"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_verifier_refuses_is_named_and_costs_what_needs_it(case):
    answer, name, words = REFUSED[case]
    report = graded(answer, hidden=False)
    assert report.mistake == name, report
    assert words in report.refusal and report.points <= 1


ALONE, STAMP, VISIBLE, COPIES, EARLY, RANDOM, COPIES2, EARLY2, KILLS = (trial.title for trial in KNOWN.trials)
COPY = """fresh = new(u8, len(data))
                    for k in range(len(data)):
                        fresh[k] = data[k]
                    free(data)
                    output.send(Blocks.Block(fresh))"""
NO_CASE = ("                        case ChannelClosed():\n                            return\n", "")
WRONG = {
    "a copy is passed on": (text(("output.send(Blocks.Block(data))", COPY), stage="gate"), {COPIES, COPIES2, KILLS}, "allocated"),
    "a copy is sent back": (text(("                    input.send(Blocks.Back(data))", "                    fresh = new(u8, len(data))\n                    fresh[0] = 1\n"
                                  "                    for k in range(len(data)):\n                        fresh[k] = data[k]\n                    free(data)\n"
                                  "                    input.send(Blocks.Back(fresh))"), stage="gate"), {COPIES, COPIES2}, "No stage needs a block of its own"),
    "one note of its own": (text(("    while True:", "    note = new(u8, 8)\n    free(note)\n    while True:"), stage="gate"), {COPIES, COPIES2, KILLS}, "allocated 1 block."),
    "no case when the next is gone": (text(NO_CASE), {EARLY, EARLY2, KILLS}, "channel closed while a message was expected"),
    "no case when the sender is gone": (re.sub(r"            case ChannelClosed\(\):\n                return\n", "", GOOD), {ALONE, STAMP, VISIBLE, COPIES, EARLY}, "on both sides"),
    "echo goes on": (text(("if kind == 1:", "if kind == 9:"), ("elif kind == 0:", "elif kind == 0 or kind == 1:"), stage="gate"), {ALONE, VISIBLE, RANDOM}, ""),
    "noise goes on": (text(("elif kind == 0:", "elif kind != 1 and kind != 255:"), stage="gate"), {ALONE, VISIBLE, RANDOM}, ""),
    "noise goes back": (text(("                    free(data)\n                    input.send(Blocks.Taken())", "                    input.send(Blocks.Back(data))"), stage="gate"), {ALONE, VISIBLE}, "Noise is freed"),
    "echo is dropped": (text(("                    input.send(Blocks.Back(data))", "                    free(data)\n                    input.send(Blocks.Taken())"), stage="gate"), {ALONE, VISIBLE}, "send it Back"),
    "empty blocks are looked into": (text(("                if len(data) > 0:\n                    kind = data[0]\n", "                kind = data[0]\n"), stage="gate"), {ALONE, VISIBLE}, "index out of bounds"),
    "what comes back is dropped": (text(("input.send(Blocks.Back(returned))", "free(returned)\n                            input.send(Blocks.Taken())"), stage="gate"), {ALONE, VISIBLE, RANDOM}, "is passed back"),
    "answers at once": (text(("output.send(Blocks.Block(data))", "input.send(Blocks.Taken())\n                    output.send(Blocks.Block(data))"),
                             ("                            input.send(Blocks.Taken())\n", "                            pass\n"),
                             ("input.send(Blocks.Back(returned))", "free(returned)")), {ALONE, STAMP, COPIES, COPIES2}, "alive at once"),
    "the stamp counts itself": (text(("range(2, len(data))", "range(1, len(data))"), stage="stamp"), {STAMP, VISIBLE, RANDOM}, "byte 1 too"),
    "the stamp counts all": (text(("range(2, len(data))", "range(0, len(data))"), stage="stamp"), {STAMP, VISIBLE}, "the sum of the bytes from 2 on"),
    "the last byte is forgotten": (text(("range(2, len(data))", "range(2, len(data) - 1)"), stage="stamp"), {STAMP, VISIBLE}, "all but the last"),
    "no stamp": (text(("                    data[1] = total\n", ""), stage="stamp"), {STAMP, VISIBLE}, "The stamp is missing"),
    "the stamp in another place": (text(("data[1] = total", "data[2] = total"), stage="stamp"), {STAMP, VISIBLE}, "The stamp is missing"),
    "short ones go on": (text(("len(data) < 3", "len(data) < 2"), stage="stamp"), {STAMP, VISIBLE}, "fewer than 3 bytes"),
    "short ones are dropped": (text(("                    input.send(Blocks.Back(data))", "                    free(data)\n                    input.send(Blocks.Taken())"), stage="stamp"), {STAMP}, "fewer than 3 bytes"),
    "ends after one block": (text(("                        case Blocks.Taken():\n                            input.send(Blocks.Taken())\n", "                        case Blocks.Taken():\n                            input.send(Blocks.Taken())\n"
                                   "                            return\n"), stage="gate"), {ALONE, VISIBLE, RANDOM}, "A stage ended although"),
    "waits for a message that never comes": (text(("                        case ChannelClosed():\n                            return\n", "                        case ChannelClosed():\n                            while True:\n"
                                             "                                yield_()\n"), stage="gate"), {EARLY, EARLY2}, "No end"),
    "spins at the end": (text(("            case ChannelClosed():\n                return", "            case ChannelClosed():\n                while True:\n                    yield_()"), stage="gate"), {ALONE, VISIBLE}, "No end"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_answer_loses_its_points_and_is_told_why(case):
    answer, checks, words = WRONG[case]
    hidden = bool(checks & {RANDOM, COPIES2, EARLY2, KILLS})
    report = graded(answer, hidden)
    assert not report.refusal, report.refusal
    lost = {result.title for result in report.results if not result.passed}
    assert checks <= lost, (checks - lost, report)
    assert any(words in result.feedback for result in report.results), report


def test_a_mistake_in_one_stage_leaves_the_other_its_points():
    report = graded(WRONG["no stamp"][0], hidden=False)
    assert {r.title for r in report.results if r.passed} == {ALONE}
    report = graded(WRONG["noise goes back"][0], hidden=False)
    assert STAMP in {r.title for r in report.results if r.passed} and ALONE not in {r.title for r in report.results if r.passed}


FORGED = {
    "prints": "    print(\"all checks passed\")\n    mark(0)\n    mark(0)\n    return\n",
    "marks": "    for i in range(100):\n        mark(0)\n",
    "endless": "    n: u64 = 0\n    while True:\n        n += 1\n",
    "swallows": "    while True:\n        match input.receive():\n            case Blocks.Block(data):\n                free(data)\n                input.send(Blocks.Taken())\n"
                "            case ChannelClosed():\n                return\n",
    "sends all back": "    while True:\n        match input.receive():\n            case Blocks.Block(data):\n                input.send(Blocks.Back(data))\n            case ChannelClosed():\n                return\n",
    "a source of its own": "    while True:\n        match input.receive():\n            case Blocks.Block(data):\n                free(data)\n                mine = new(u8, 5)\n                output.send(Blocks.Block(mine))\n"
                           "                match output.receive():\n                    case Blocks.Taken():\n                        input.send(Blocks.Taken())\n                    case Blocks.Back(b):\n"
                           "                        input.send(Blocks.Back(b))\n                    case ChannelClosed():\n                        return\n            case ChannelClosed():\n                return\n",
}  # fmt: skip


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_answer_gets_nothing(case):
    answer = "".join(f"@sip\ndef {name}(input: Blocks.Exp, output: Blocks.Imp):\n{FORGED[case]}\n" for name in ex.BOTH)
    report = graded(answer)
    assert not report.refusal, report.refusal
    assert report.points == 0, report


def test_hidden_checks_keep_their_blocks_to_themselves():
    for case in ("no stamp", "echo is dropped", "what comes back is dropped"):
        for result in graded(WRONG[case][0]).results:
            if result.hidden:
                assert result.feedback and "bytes:" not in result.feedback and not re.search(r"Block \d", result.feedback), result


# ---- schedules and the oracle ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def handed():
    """The solution, built."""
    unit = programs_from_source(GOOD, "notebook", KNOWN.given())
    found = Handed(places=None)
    found.images = {name: build(unit.programs[name]) for name in ex.BOTH}
    return found


def test_the_blocks_are_of_every_kind():
    seen = {fate.what for schedule in (*ex._VISIBLE, *ex._hidden()) for fate in ex.fates(schedule, ex.BOTH)}
    assert seen == {
        "an echo",
        "noise",
        "an empty block, which is noise",
        "a block too short for a stamp",
        "a block for the sink",
        "a block that the sink sends back",
    }
    assert len({fate.what for fate in ex.fates(ex._ALONE, ("gate",))}) == 5 and len({fate.what for fate in ex.fates(ex._ALONE, ("stamp",))}) == 3
    assert all(any(f.source == ex.CLOSED for f in ex.fates(s, ex.BOTH)) for s in ex._VISIBLE_EARLY[:2])
    assert sum(any(f.source == ex.CLOSED for f in ex.fates(s, ex.BOTH)) for s in ex._hidden_early()) >= 6


def test_every_victim_is_stopped_in_the_middle_of_its_work_most_times(handed):
    alive = dict.fromkeys(("source", "sink", "gate", "stamp"), 0)
    for schedule in ex._kills():
        passage = ex._passage(handed, schedule, ex.BOTH)
        assert passage.outcome == "finished" and passage.left == 0 and passage.holdings == 0
        if passage.ends[schedule.kill[0]].state == "stopped":
            alive[schedule.kill[0]] += 1
    assert min(alive.values()) >= 4, alive


@pytest.mark.parametrize("quantum", [2, 3, 9])
def test_the_solution_is_right_under_schedules_it_was_not_written_for(handed, quantum):
    for seed in range(3):
        schedule = Schedule("teaching", ("sip", "ring3")[seed % 2], quantum, seed * 77, 12, 20, seed, seed * 2)
        passage = ex._passage(handed, schedule, ex.BOTH)
        assert passage.outcome == "finished" and not ex._results(passage, ex.fates(schedule, ex.BOTH), True)
        assert passage.alive <= 2 and passage.left == 0 and not any(passage.allocated.get(stage) for stage in ex.BOTH)


def test_copying_is_seen(handed):
    """With blocks that are copied by the kernel, or taken from another place, the same blocks do not arrive."""
    schedule = replace(ex._VISIBLE[0], blocks=6)
    passage = ex._passage(handed, schedule, ex.BOTH)
    assert passage.copied == 0 and passage.arrived["sink"] and set(passage.arrived["sink"]) <= set(passage.made["source"])


# ---- the notebook as a file ----------------------------------------------------------------------------------------------


def test_nothing_in_a_notebook_is_run_and_the_given_contract_counts(tmp_path):
    marker = tmp_path / "ran"
    bomb = f"open({str(marker)!r}, 'w').write('x')"
    own = 'Blocks = contract("""contract Blocks { out message Taken(); state Start: Taken! -> Done; state Done: ; }""")'
    assert grade_notebook(notebook(tmp_path, bomb, own, GOOD + f"\n{bomb}\n")).points == 12
    assert not marker.exists()


def test_a_missing_stage_costs_what_needs_it(tmp_path):
    report = grade_notebook(notebook(tmp_path, "x = 1", GOOD[: GOOD.index("@sip\ndef stamp")]))
    assert report.points == 1 and report.mistake == "No answer" and "no SIP called stamp" in report.refusal
    assert "Not run: stamp was refused." in {result.feedback for result in report.results}


def test_a_fault_is_located_by_cell_and_line(tmp_path):
    report = grade_notebook(notebook(tmp_path, "a = 1", WRONG["empty blocks are looked into"][0]))
    assert re.search(r"cell 2, line \d+", " ".join(result.feedback for result in report.results))


def test_check_in_the_notebook():
    unit = programs_from_source(GOOD, "notebook", KNOWN.given())
    report = check("ex06", unit.programs["gate"], unit.programs["stamp"])
    assert (report.points, report.most) == (5, 5) and "visible checks only" in report._repr_html_()
    partial = check("ex06", unit.programs["gate"])
    assert partial.points == 1 and "stamp was not given to check()" in partial.refusal


def test_the_notebook_gives_what_is_graded_and_the_points_add_up():
    assert programs_from_source(WHOLE, "notebook").contracts["Blocks"].describe() == KNOWN.given()["Blocks"].describe()
    assert sum(trial.points for trial in KNOWN.trials) == 12
