"""Exercise 00: the solution gets everything, the student's version nothing, each mistake its name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest

from singlab.grading import check, grade_notebook, grade_program
from singlab.grading.exercises import exercise
from singlab.grading.exercises.ex00_first_sip import SOURCE, _answers
from singlab.sing import SipError, programs_from_source

ROOT = Path(__file__).resolve().parent.parent.parent
SOLUTION, STUDENT = ROOT / "solutions" / "ex00_first_sip.ipynb", ROOT / "exercises" / "ex00_first_sip.ipynb"

GOOD = """
@sip
def tally(ch: Tally.Exp):
    total: u64 = 0
    largest: u64 = 0
    ch.send(Tally.Welcome(1))
    while True:
        match ch.receive():
            case Tally.Chunk(data):
                for i in range(len(data)):
                    total += data[i]
                    if data[i] > largest:
                        largest = u64(data[i])
                n = len(data)
                free(data)
                ch.send(Tally.Accepted(n))
            case Tally.Finish():
                ch.send(Tally.Sum(total))
                ch.send(Tally.Largest(largest))
                total = 0
                largest = 0
            case ChannelClosed():
                return
"""


def graded(answer: str, hidden: bool = True):
    """Return the report on an answer."""
    unit = programs_from_source(SOURCE.split("@sip")[0] + answer)
    return grade_program("ex00", unit.programs["tally"], hidden=hidden)


def without(*lines: str) -> str:
    """Return the good answer without some of its lines."""
    text = GOOD
    for line in lines:
        assert line in text
        text = re.sub(rf"^.*{re.escape(line)}.*\n", "", text, flags=re.MULTILINE)
    return text


def swapped(one: str, other: str) -> str:
    """Return the good answer with two pieces of text exchanged."""
    return GOOD.replace(one, "\0").replace(other, one).replace("\0", other)


def notebook(tmp_path, *cells: str) -> Path:
    """Return the path of a notebook with these code cells."""
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    node.metadata["singlab"] = {"exercise": "ex00_first_sip"}
    path = tmp_path / "answer.ipynb"
    nbformat.write(node, path)
    return path


def test_the_solution_gets_all_points():
    report = grade_notebook(SOLUTION)
    assert (report.points, report.most) == (10, 10), report
    assert all(not result.feedback for result in report.results)


def test_the_students_version_gets_none():
    report = grade_notebook(STUDENT)
    assert (report.points, report.most) == (0, 10)
    assert all(result.feedback for result in report.results)


# What a student may plausibly write, the mistake's name, and words the feedback must have.
REFUSED = {
    "no greeting": (without("Welcome(1)"), "Deadlock", "send Welcome first"),
    "no answer to a chunk": (without("Accepted(n)"), "Deadlock", "send Accepted first"),
    "answers swapped": (swapped("Tally.Sum(total)", "Tally.Largest(largest)"), "Wrong order of messages", "it may send Sum"),
    "block kept": (without("free(data)"), "Leaked block", "free(data)"),
    "block used after free": (
        without("n = len(data)").replace("free(data)\n", "free(data)\n                n = len(data)\n"),
        "Use of a block that belongs to somebody else", "data"),
    "a message forgotten": (
        re.sub(r"            case Tally.Finish.*?largest = 0\n(?=            case Channel)", "", GOOD, flags=re.DOTALL),
        "Message not handled", "case Tally.Finish():"),
    "types": (GOOD.replace("total += data[i]", "total += data"), "Types do not fit", "line"),
    "python": (GOOD.replace("total += data[i]", "total += sum(data)"), "Not in the SIP language", ""),
    "other side": (GOOD.replace("Tally.Exp", "Tally.Imp"), "Wrong order of messages", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_answer_names_the_mistake(case):
    answer, name, words = REFUSED[case]
    report = graded(answer)
    assert report.points == 0
    assert report.mistake == name, report
    assert words in report.refusal or words == "line"
    assert re.search(r":\d+", report.refusal), "the message has no place"


WRONG = {
    "endless helper": (GOOD.replace("@sip", "@function\ndef f(x: u64) -> u64:\n    return f(x)\n\n@sip").replace("total += data[i]", "total += f(1)"), 1,
                       "stack overflow"),
    "sum in a byte": (GOOD.replace("total: u64", "total: u8").replace("Sum(total)", "Sum(u64(total))"), 3, "low 8 bits"),
    "no new start": (re.sub(r"                total = 0\n                largest = 0\n", "", GOOD), 7, "start from zero"),
    "smallest for largest": (GOOD.replace("data[i] > largest", "data[i] < largest"), 3, "Compare every byte"),
    "all bytes counted": (GOOD.replace("Accepted(n)", "Accepted(total)"), 2, "len(data)"),
    "another version": (GOOD.replace("Welcome(1)", "Welcome(2)"), 2, "version 1"),
    "ends too early": ("@sip\ndef tally(ch: Tally.Exp):\n    ch.send(Tally.Welcome(1))\n    match ch.receive():\n        case Tally.Chunk(data):\n"
                       "            ch.send(Tally.Accepted(len(data)))\n            free(data)\n        case Tally.Finish():\n            return\n"
                       "        case ChannelClosed():\n            return\n", 2, "ended while the client was still waiting"),
    "no end": (GOOD.replace("n = len(data)", "n = len(data)\n                while True:\n                    n += 1"), 1, "No end"),
    "falls over the end": (GOOD.replace("range(len(data))", "range(len(data) + 1)"), 1, "index out of bounds"),
    "no case for the end": (re.sub(r"            case ChannelClosed.*", "", GOOD, flags=re.DOTALL), 9, "case ChannelClosed()"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_answer_gets_part_of_the_points_and_a_hint(case):
    answer, points, words = WRONG[case]
    report = graded(answer)
    assert not report.refusal, report.refusal
    assert report.points == points, report
    assert any(words in result.feedback for result in report.results), report


def test_hidden_checks_keep_their_data_to_themselves():
    report = graded(WRONG["sum in a byte"][0])
    hidden = [result for result in report.results if result.hidden]
    assert hidden
    for result in hidden:
        assert result.feedback and "expected" not in result.feedback and "bytes:" not in result.feedback


def test_visible_checks_say_that_they_are_only_those(monkeypatch):
    unit = programs_from_source(SOURCE.split("@sip")[0] + GOOD)
    report = check("ex00", unit.programs["tally"])
    assert (report.points, report.most) == (7, 7)
    assert "visible checks only" in report._repr_html_()
    with pytest.raises(SipError, match="is no SIP"):
        check("ex00", lambda ch: None)


def test_what_the_client_must_receive_is_computed_twice():
    """The oracle here and the client on the machine draw the same bytes: the good answer meets it for many seeds."""
    from singlab.grading.conversation import converse
    from singlab.grading.grade import _given
    from singlab.sing import build

    unit = programs_from_source(SOURCE.split("@sip")[0] + GOOD)
    image, (_, client) = build(unit.programs["tally"]), _given("ex00_first_sip")
    for seed in range(8):
        arguments = {"seed": seed, "chunks": seed % 3, "size": 1 + 3 * seed, "vary": seed % 2 * 9, "reports": 2}
        talk = converse(image, client, **arguments)
        assert talk.marks == [value for _, value in _answers(**arguments)]


def test_names_and_points():
    known = exercise("ex00")
    assert known.name == "ex00_first_sip" and sum(c.points for c in known.checks) == 10
    with pytest.raises(KeyError):
        exercise("ex99")


# ---- the notebook as a file --------------------------------------------------------------------------------------


def test_nothing_in_a_notebook_is_run(tmp_path):
    marker = tmp_path / "ran"
    bomb = f"open({str(marker)!r}, 'w').write('x')"
    path = notebook(tmp_path, f"import os\n{bomb}\nclass Always:\n    def __eq__(self, other): return True\n",
                    GOOD + f"\n{bomb}\n", f"import sys; {bomb}; os._exit(0)")  # fmt: skip
    assert grade_notebook(path).points == 10
    assert not marker.exists()


def test_the_given_contract_counts_not_the_students(tmp_path):
    own = 'Tally = contract("""contract Tally { out message Welcome(ulong v); state Start: Welcome! -> Done; state Done: ; }""")'
    assert grade_notebook(notebook(tmp_path, own, GOOD)).points == 10
    easy = "@sip\ndef tally(ch: Tally.Exp):\n    ch.send(Tally.Welcome(1))\n"
    report = grade_notebook(notebook(tmp_path, own, easy))
    assert report.points <= 1


def test_a_broken_scratch_cell_costs_nothing_and_the_last_definition_counts(tmp_path):
    bad = GOOD.replace("Welcome(1)", "Welcome(9)")
    path = notebook(tmp_path, "this is no python", "%matplotlib inline\n!ls", bad, GOOD, "%%bash\necho $((")
    assert grade_notebook(path).points == 10


def test_a_mistake_is_located_by_cell_and_line(tmp_path):
    path = notebook(tmp_path, "x = 1\ny = 2", without("free(data)"))
    report = grade_notebook(path)
    assert report.mistake == "Leaked block" and "cell 2:" in report.refusal
    path = notebook(tmp_path, "x = 1", "def tally(ch:\n    pass")
    report = grade_notebook(path)
    assert report.mistake == "Not Python" and "cell 2:1" in report.refusal
    fault = notebook(tmp_path, "a = 1", WRONG["falls over the end"][0])
    feedback = " ".join(result.feedback for result in grade_notebook(fault).results)
    assert re.search(r"cell 2, line \d+", feedback)


def test_an_empty_answer_is_told_what_to_write(tmp_path):
    report = grade_notebook(notebook(tmp_path, "x = 1"))
    assert report.points == 0 and report.mistake == "No answer" and "@sip" in report.refusal


def test_helpers_and_constants_of_the_answer_are_taken_too(tmp_path):
    answer = GOOD.replace("Welcome(1)", "Welcome(VERSION)").replace("total += data[i]", "total += widen(data[i])")
    path = notebook(tmp_path, "VERSION = 1", "@function\ndef widen(x: u8) -> u64:\n    return u64(x)\n", answer)
    assert grade_notebook(path).points == 10


def test_the_report_is_plain_data():
    data = json.loads(json.dumps(graded(GOOD).as_dict()))
    assert data["points"] == data["most"] == 10 and len(data["results"]) == 8


def test_grading_is_deterministic():
    assert graded(WRONG["no new start"][0]).as_dict() == graded(WRONG["no new start"][0]).as_dict()
