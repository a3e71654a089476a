"""Exercise 08: a choice by what the heap says gets everything, the kernel's own rule nothing, each mistake its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from singlab.grading import check, grade_notebook, heaplives
from singlab.grading.answers import PLAIN, read_answer
from singlab.grading.examination import Handed, grade_examination
from singlab.grading.exercises import ex08_policies as ex
from singlab.grading.exercises import exercise
from singlab.sing import SipError

ROOT = Path(__file__).resolve().parent.parent.parent
SOLUTION, STUDENT = ROOT / "solutions" / "ex08_policies.ipynb", ROOT / "exercises" / "ex08_policies.ipynb"
KNOWN = exercise("ex08")
WHOLE = read_answer(SOLUTION).text
GOOD = WHOLE[WHOLE.index("GIVEN = ") : WHOLE.index("tried = ")]
BEDS = ex.PRACTICE + ex.TIGHT + ex.ROOMY


def answer(trigger: str, collector: str) -> str:
    """Return an answer whose policies have these lines."""
    parts = (("trigger", trigger), ("collector", collector))
    return "\n\n".join(f'@policy("{slot}")\ndef {slot}_of_mine(heap):\n' + "".join(f"    {line}\n" for line in body.splitlines()) for slot, body in parts)


def graded(text: str, hidden: bool = True):
    """Return the report on an answer."""
    return grade_examination(KNOWN, lambda part, given: part.find(text, "notebook", given), hidden)


def handed(text: str) -> Handed:
    """Return an answer that has been taken in."""
    return Handed(PLAIN, policies={part.name: part.find(text, "notebook", {}) for part in KNOWN.parts})


TWICE = "limit = 2 * heap_live(heap)\nif limit < 65536:\n    limit = 65536\nreturn heap_live(heap) + heap_made(heap) >= limit"
HALF = "return 2 * (heap_live(heap) + heap_made(heap)) + 49152 > heap_most(heap)"


def test_the_solution_gets_all_points():
    report = grade_notebook(SOLUTION)
    assert (report.points, report.most) == (16, 16), report
    assert all(not result.feedback for result in report.results)


def test_the_students_version_gets_none():
    report = grade_notebook(STUDENT)
    assert (report.points, report.most) == (0, 16), report
    assert "times the kernel's" in report.results[0].feedback and not report.refusal


def test_somebody_elses_rule_gets_all_points():
    """Copying below a fifth and sweeping above, both before memory is exhausted."""
    report = graded(answer(
        "used = heap_live(heap) + heap_made(heap)\nif heap_live(heap) * 5 < heap_most(heap):\n    return used * 2 + 49152 > heap_most(heap)\n"
        "return heap_made(heap) > 16384 and used + 8192 > heap_most(heap)",
        "if heap_bytes(heap) * 2 <= heap_most(heap):\n    return 2\nreturn 3"))  # fmt: skip
    assert report.points == 16, report


@pytest.mark.parametrize("seed", [31, 32, 33])
def test_the_solution_is_right_in_programs_it_was_not_written_for(seed):
    mine = handed(GOOD)
    for bed in BEDS:
        other = replace(bed, seed=seed)
        life = ex.of(mine, other)
        assert not ex._failed(mine, other, life, True), other
        assert ex.tail_ratio(other, life) <= bed.tail and ex.time_ratio(other, life) <= bed.time, other


def test_the_baseline_comes_to_its_result_in_its_memory():
    for bed in BEDS:
        life = heaplives.baseline(bed)
        assert not (life.trouble or life.given_up or life.died) and life.peak <= bed.room and len(life.pauses) > 3, bed


# What a student may plausibly do, and what the feedback must say.
WRONG = {
    "the mean instead of the tail": (answer(TWICE, "if heap_count(heap) % 6 == 5:\n    return 4\nreturn 3"), "On average they are short", "three times"),
    "nothing until memory is exhausted, then a sweep": (answer("return 0", "return 3"), "a sweep", "Your trigger did not ask for it"),
    "nothing until memory is exhausted, then a compaction": (answer("return 0", "return 4"), "a compaction", "Your trigger did not ask for it"),
    "nothing until memory is exhausted, then a copy": (answer("return 0", "return 2"), "its heap took", "A copy needs a second space"),
    "collecting always": (answer("return 1", "return 3"), "given up after 5 times", "collecting is worth it"),
    "collecting very often": (answer("return heap_made(heap) >= 8192", "return 3"), "the whole run is|given up", "collecting is worth it"),
    "copies alone, as soon as half is in use": (answer(HALF, "return 2"), "given up after 5 times|the whole run is", "collecting is worth it"),
    "copies alone, at twice what was alive": (answer(TWICE, "return 2"), "its heap took", "A copy needs a second space"),
    "compactions alone": (answer(TWICE, "return 4"), "a compaction", "walks over the heap"),
    "sweeps alone, at twice what was alive": (answer(TWICE, "return 3"), "the whole run is", "of the time"),
    "tuned to the programs one knows": (answer(
        "most = heap_most(heap)\nif most == 356352:\n    return heap_made(heap) + heap_live(heap) >= 150000\nif most == 524288:\n    return heap_made(heap) + heap_live(heap) >= 230000\nreturn 0",
        "if heap_most(heap) == 356352 or heap_most(heap) == 524288:\n    return 2\nreturn 3"), "in much memory", "a sweep"),
    "no answer": (answer("return 2", "return 3"), "answered 2, which is not 0 or 1", "the policy trigger"),
    "no collector": (answer("return 0", "return heap_count(heap) + 1"), "answered 1, which is not 2 (semispace)", "the policy collector"),
    "below zero": (answer(TWICE, "return 3 - heap_count(heap)"), "which is not 2 (semispace), 3 (marksweep) or 4 (compact)", "the policy collector"),
    "raises": (answer("if heap_count(heap) > 1:\n    raise ValueError('no')\nreturn 0", "return 3"), "raised in line 4", "the policy trigger"),
    "without end": (answer("i = 1\nwhile i > 0:\n    i = 1\nreturn 0", "return 3"), "runs without end: its loop in line 4", "the policy trigger"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_costs_points_and_is_named(case):
    text, *wanted = WRONG[case]
    report = graded(text)
    assert report.points < 16 and any(result.hidden and not result.passed for result in report.results), report
    said = "\n".join(f"{result.title}: {result.feedback}" for result in report.results if not result.passed)
    for words in wanted:
        assert any(one in said for one in words.split("|")), report
    if case.startswith("tuned"):
        assert all(result.passed for result in report.results if not result.hidden), report


def test_hidden_checks_give_no_data_away():
    for case in ("nothing until memory is exhausted, then a sweep", "copies alone, at twice what was alive"):
        report = graded(WRONG[case][0])
        for result in report.results:
            if result.hidden:
                assert " KB" not in result.feedback and "cycles against" not in result.feedback, result


# ---- reading ----------------------------------------------------------------------------------------------------------------


def notebook(tmp_path, *cells: str) -> Path:
    """Return the path of a notebook with these code cells."""
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    node.metadata["singlab"] = {"exercise": "ex08_policies"}
    path = tmp_path / "answer.ipynb"
    nbformat.write(node, path)
    return path


def test_the_last_policy_for_a_slot_counts_under_whatever_name(tmp_path):
    text = answer("return 0", "return 9")
    found = {part.name: read_answer(notebook(tmp_path, text, GOOD)).part(part, {}) for part in KNOWN.parts}
    assert {slot: policy.name for slot, policy in found.items()} == {"trigger": "when", "collector": "how"}


@pytest.mark.parametrize(("cells", "said"), [
    ((), "there is no policy for the slot trigger"),
    (('@policy("trigger")\ndef t(heap):\n    return 0\n',), "there is no policy for the slot collector"),
    (('@policy("trigger")\ndef t(heap):\n    return open(heap)\n',), "open is nothing a policy can call"),
    (('@policy("trigger")\ndef t(heap, size):\n    return 0\n',), "the trigger policy is given 1 word"),
    (('x = 1\n@policy("trigger")\ndef t(heap)\n    return 0\n',), "this is not Python"),
    (('@policy("trigger")\ndef t(heap):\n    return ld64(heap)\n',), "ld64 is nothing a policy can call"),
])  # fmt: skip
def test_what_is_no_policy_is_refused_at_its_place(tmp_path, cells, said):
    report = grade_notebook(notebook(tmp_path, "a = 1", *cells))
    assert report.points == 0 and said in report.refusal and report.mistake in ("No answer", "Not a policy", "Not Python"), report
    if cells and "no policy for" not in said:
        assert "cell 2" in report.refusal
    assert all("Not run: " in result.feedback for result in report.results)


def test_check_and_trying_in_the_notebook():
    mine = handed(GOOD).policies
    report = check("ex08", *mine.values())
    assert (report.points, report.most) == (4, 4) and "visible checks only" in report._repr_html_()
    assert "was not given to check()" in check("ex08", mine["trigger"]).refusal
    with pytest.raises(SipError, match="is no part of an answer"):
        check("ex08", mine["trigger"], 7)
    tried = ex.attempt(ex.PRACTICE[0], *mine.values())
    frame = tried.frame()
    assert frame["99th percentile"][0] <= frame["99th percentile"][2] < frame["99th percentile"][1] and "sweep" not in frame.columns
    assert frame[["copied", "swept", "compacted"]].iloc[:2].sum(axis=1).tolist() == frame["pauses"].iloc[:2].tolist()
    assert len(tried.plot().axes) == 2
    assert len(ex.programs(ex.PRACTICE).frame()) == 4
    with pytest.raises(SipError, match="answered 7"):
        ex.attempt(ex.PRACTICE[0], handed(answer("return 7", "return 3")).policies["trigger"])
    with pytest.raises(SipError, match="attempt takes a program and policies"):
        ex.attempt(ex.PRACTICE[0])


def test_a_life_is_the_same_again():
    bed = ex.PRACTICE[0]
    mine = tuple(handed(GOOD).policies.values())
    one, other = heaplives.live(bed, mine), heaplives.live(bed, mine)
    assert one.cycles == other.cycles and one.peak == other.peak and one.pauses.equals(other.pauses)


def test_how_each_collection_went_is_what_the_policy_said():
    for number, how in ((2, "semispace"), (3, "marksweep"), (4, "compact")):
        bed = replace(ex.PRACTICE[2], room=1 << 20)
        life = heaplives.live(bed, tuple(handed(answer("return heap_made(heap) >= 60000", f"return {number}")).policies.values()))
        assert set(life.pauses["active"]) == {how}
