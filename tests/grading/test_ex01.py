"""Exercise 01: the solution gets everything, the student's version nothing, each dishonest measurement its name."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from singlab.experiments.testbed import PRACTICE, random_bed, run, truth
from singlab.grading import check, grade_notebook
from singlab.grading import measuring as m
from singlab.grading.answers import read_answer
from singlab.grading.exercises import exercise
from singlab.sing import SipError, programs_from_source

ROOT = Path(__file__).resolve().parent.parent.parent
SOLUTION, STUDENT = ROOT / "solutions" / "ex01_measure.ipynb", ROOT / "exercises" / "ex01_measure.ipynb"
KNOWN = exercise("ex01")
WHOLE = read_answer(SOLUTION).text
#: The answer alone, without the first look that the notebook begins with.
GOOD = WHOLE[WHOLE.index("@function\ndef clock_cost") :]

LEAST = "        if turn > 0 and took < least:  # the first sweep warms up\n            least = took\n    return least - clock_cost()\n"
MEAN = "        if turn > 0:\n            total += took\n    return total // 24 - clock_cost()\n"


def text(*changes: tuple[str, str]) -> str:
    """Return the solution with pieces of text exchanged."""
    out = GOOD
    for old, new in changes:
        assert old in out, old
        out = out.replace(old, new)
    return out


def graded(answer: str, *names: str, hidden: bool = False):
    """Return the report on some functions of an answer."""
    unit = programs_from_source(answer, "notebook", m.GIVEN)
    chosen = tuple(q for q in KNOWN.quantities if q.name in names) if names else KNOWN.quantities

    def find(name, given):
        if name not in unit.functions:
            raise SipError("answer.missing", f"there is no function called {name}", filename="notebook")
        return unit.functions[name]

    return m.grade_measuring(replace(KNOWN, quantities=chosen), find, hidden)


def notebook(tmp_path, *cells: str) -> Path:
    """Return the path of a notebook with these code cells."""
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    node.metadata["singlab"] = {"exercise": "ex01_measure"}
    path = tmp_path / "answer.ipynb"
    nbformat.write(node, path)
    return path


def typed_in(values: dict[str, int], body: str = "") -> str:
    """Return functions that report numbers somebody typed in."""
    return "\n".join(f"@function\ndef {name}() -> u64:\n{body}    return {value}\n" for name, value in values.items())


def test_the_solution_gets_all_points():
    report = grade_notebook(SOLUTION)
    assert (report.points, report.most) == (14, 14), report
    assert all(not result.feedback for result in report.results)


def test_the_students_version_gets_none():
    report = grade_notebook(STUDENT)
    assert (report.points, report.most) == (0, 14)
    assert {result.feedback for result in report.results} == {m.NOT_ANSWERED}


# the last three have neighbours who leave few sweeps alone
@pytest.mark.parametrize("seed", [*range(900, 906), 10407, 10801, 11430])
def test_the_solution_is_right_on_machines_it_was_not_written_for(seed):
    unit = programs_from_source(GOOD, "notebook", m.GIVEN)
    bed = random_bed(seed)
    for name, right in truth(bed).items():
        assert m.close(run(unit.functions[name], bed).value, right), (name, right)


# What a student may plausibly do, the functions it spoils, and what the feedback must say.
DISHONEST = {
    "clock's cost kept": (text((" - clock_cost()", "")), ("trap_cost", "tlb_miss_cost", "l1_bytes"), m.CLOCK_KEPT),
    "one run only": (text(("range(25)", "range(2)")), ("trap_cost", "l2_hit_cost", "memory_cost", "tlb_miss_cost"), m.DISTURBED),
    "mean of several": (text(("size: u64, stride: u64) -> u64:\n", "size: u64, stride: u64) -> u64:\n    total: u64 = 0\n"), (LEAST, MEAN)),
                        ("l1_bytes", "l2_hit_cost", "memory_cost", "tlb_miss_cost"), m.DISTURBED),
    "warm-up counted": (text(("turn > 0 and ", "")), ("memory_cost",), m.COLD),
    "one run and that cold": (text(("range(25)", "range(1)"), ("turn > 0 and ", "")),
                              ("trap_cost", "l1_bytes", "l2_hit_cost", "tlb_entries", "tlb_miss_cost"), m.COLD),
    "strides of 8": (text(("LINE", "8")), ("l1_bytes", "l2_hit_cost", "l2_bytes", "memory_cost"), "share a line of 64 bytes"),
    "strides of 16": (text(("LINE", "16")), ("l1_bytes", "l2_hit_cost"), "about 4 loads in a row share a line"),
    "pages at the same place": (text(("PAGE + LINE", "PAGE")), ("tlb_entries", "tlb_miss_cost"), m.CONFLICT),
    "four loads a page": (text(("PAGE + LINE", "PAGE // 4")), ("tlb_entries", "tlb_miss_cost"), "share a page"),
    "loop's cost kept": (text((" - 4 * sweep(size // 4, LINE)", ""), (" - sweep(small * stride, stride) // small", "")),
                         ("l2_hit_cost", "tlb_miss_cost"), m.LOOP_KEPT),
    "kilobytes": (text(("return size // 2", "return size // 2048")), ("l1_bytes", "l2_bytes"), "the size in KB. Asked are bytes"),
    "lines": (text(("return size // 2", "return size // 128")), ("l1_bytes",), "the size in lines. Asked are bytes"),
    "bytes for pages": (text(("return pages - 1", "return (pages - 1) * stride")), ("tlb_entries",), "an entry holds one page"),
    "a whole sweep": (text((" * LINE // size - sweep(small, LINE) * LINE // small", "")), ("memory_cost",), "Divide the time of a sweep"),
    "the next size": (text(("return size // 2", "return size")), ("l1_bytes", "l2_bytes"), m.NEXT_SIZE),
    "below zero": (text(("return least - clock_cost()", "return clock_cost() - least")), ("trap_cost",), m.NEGATIVE),
    "typed in": (typed_in(truth(PRACTICE[0])), (), m.TYPED_IN),
    "typed in behind a clock": (typed_in(truth(PRACTICE[0]), "    start = cycles()\n    load(0)\n"), (), m.SAME_EVERYWHERE),
    "between two machines": (typed_in({"tlb_entries": 21}), ("tlb_entries",), m.TYPED_IN),
    "outside": (text(("load(address)", "load(address + ARENA)")), ("l1_bytes", "tlb_entries"), "Access outside memory"),
    "a search without an end": (text((" < quick + 10", " < quick + 100000"), ("size < ARENA and ", "")), ("l1_bytes",), "ARENA - 8"),
    "endless": (text(("    least: u64 = 1 << 62\n", "    least: u64 = 1 << 62\n    while least > 0:\n        least += 0\n")), ("trap_cost",), "No end"),
    "clock in the loop": (text(("            load(address)\n", "            load(address)\n            now = cycles()\n")), ("memory_cost",), "read the clock more than"),
    "division by zero": (text(("    size = l1_bytes() * 2\n    return", "    size = l1_bytes() * 0\n    return")), ("l2_hit_cost",), "division by zero"),
}  # fmt: skip


@pytest.mark.parametrize("case", DISHONEST)
def test_a_dishonest_measurement_gets_no_points_and_is_named(case):
    answer, names, words = DISHONEST[case]
    report = graded(answer, *names)
    assert report.points == 0, report
    for result in report.results:
        assert words in result.feedback, result


def test_who_repeats_too_much_is_told_so_beside_the_loop_without_an_end():
    loop = "    for turn in range({}):\n        start = cycles()\n        address"
    feedback = graded(text((loop.format(25), loop.format(450))), "memory_cost").results[0].feedback
    assert "No end" in feedback and m.TOO_OFTEN in feedback
    feedback = graded(DISHONEST["endless"][0], "memory_cost").results[0].feedback
    assert "No end" in feedback and m.TOO_OFTEN not in feedback


def test_below_zero_and_then_divided():
    answer = text(("return (sweep(size, LINE) - 4 * sweep(size // 4, LINE))", "return (sweep(size // 4, LINE) - 4 * sweep(size, LINE))"))
    assert m.NEGATIVE in graded(answer, "l2_hit_cost").results[0].feedback


def test_a_function_that_calls_a_wrong_one_says_which():
    answer = text(("        size *= 2\n    return size // 2\n", "        size *= 2\n    return size // 2048\n"))
    results = graded(answer, "trap_cost", "l1_bytes", "l2_hit_cost", "tlb_entries").results
    assert [result.passed for result in results] == [True, False, False, True]
    assert "It calls" not in results[1].feedback and m.CALLS_WRONG.format(names="l1_bytes") in results[2].feedback


def test_who_repeats_four_times_as_often_as_the_solution_is_let():
    assert graded(text(("range(25)", "range(90)")), "memory_cost", hidden=True).points == 2


def test_two_mistakes_are_both_named():
    answer = text(("range(25)", "range(2)"), (" - clock_cost()", ""))
    feedback = graded(answer, "trap_cost").results[0].feedback
    assert m.CLOCK_KEPT in feedback and m.DISTURBED in feedback


def test_a_mistake_costs_only_the_functions_it_spoils():
    report = graded(text(("PAGE + LINE", "PAGE")), hidden=True)
    assert report.points == 10 and report.most == 14
    assert [result.title.split()[0] for result in report.results if not result.passed] == ["tlb_entries", "tlb_miss_cost"] * 2


@pytest.mark.parametrize("case", ["one run only", "strides of 8", "kilobytes", "typed in behind a clock"])
def test_hidden_checks_keep_their_machines_to_themselves(case):
    answer, names, words = DISHONEST[case]
    hidden = [result for result in graded(answer, *names, hidden=True).results if result.hidden]
    secrets = {str(value) for bed in KNOWN.hidden for value in truth(bed).values()} | {f"{bed.profile.name}" for bed in KNOWN.hidden}
    secrets -= {"20", "64", "5"}  # in every text
    assert hidden
    for result in hidden:
        assert result.points == 0 and words in result.feedback
        assert not {word.replace(",", "") for word in re.findall(r"[\w,]+", result.feedback)} & secrets, result.feedback


def test_the_hidden_machines_differ():
    for name in KNOWN.quantities:
        assert len({truth(bed)[name.name] for bed in KNOWN.hidden}) > 1
    assert sum(KNOWN.points) * len(KNOWN.quantities) == 14


# ---- the notebook as a file -----------------------------------------------------------------------------------------


def test_nothing_in_a_notebook_is_run(tmp_path):
    marker = tmp_path / "ran"
    bomb = f"open({str(marker)!r}, 'w').write('x')"
    path = notebook(tmp_path, f"import os\n{bomb}\nLINE = 8", GOOD + f"\n{bomb}\n", f"{bomb}; os._exit(0)")
    assert grade_notebook(path).points == 14, "and the exercise's own LINE counts"
    assert not marker.exists()


def test_a_function_that_is_missing_or_refused_costs_only_itself(tmp_path):
    broken = text(("def tlb_miss_cost", "def tlb_cost")).replace("        pages += 1", "        pages.append(1)")
    report = grade_notebook(notebook(tmp_path, "x = 1", broken))
    assert report.points == 10
    feedback = {result.title.split()[0]: result.feedback for result in report.results}
    assert "there is no function called tlb_miss_cost" in feedback["tlb_miss_cost"] and "@function above" in feedback["tlb_miss_cost"]
    assert re.search(r"cell 2:\d+", feedback["tlb_entries"]) and "needs a kernel" in feedback["tlb_entries"]


def test_a_cell_that_is_no_python_is_located(tmp_path):
    path = notebook(tmp_path, GOOD, "@function\ndef trap_cost( -> u64:\n    return 1")
    feedback = grade_notebook(path).results[0].feedback
    assert "cell 2:2" in feedback and "not Python" in feedback


def test_an_access_outside_is_located_by_cell_and_line(tmp_path):
    path = notebook(tmp_path, "x = 1", text(("load(address)", "load(address + ARENA)")))
    assert re.search(r"cell 2, line \d+", grade_notebook(path).results[1].feedback)


def test_check_in_the_notebook():
    unit = programs_from_source(GOOD, "notebook", m.GIVEN)
    programs = [unit.functions[quantity.name] for quantity in KNOWN.quantities]
    report = check("ex01", *programs)
    assert (report.points, report.most) == (3.5, 3.5) and "visible checks only" in report._repr_html_()
    partial = check("ex01", *programs[:-1])
    assert partial.points == 3 and "was not given to check()" in partial.results[-1].feedback
    with pytest.raises(SipError, match="no measuring function"):
        check("ex01", lambda: 1)
    with pytest.raises(SipError, match="is no SIP"):
        check("ex00", *programs[:2])


def test_grading_is_deterministic():
    answer, names, _ = DISHONEST["one run only"]
    assert graded(answer, *names).as_dict() == graded(answer, *names).as_dict()
