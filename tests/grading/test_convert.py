"""The students' exercises are what nbgrader's converter makes of the masters, and hold no solution."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from singlab.grading.convert import main, student_version

ROOT = Path(__file__).resolve().parent.parent.parent
MASTERS = sorted((ROOT / "solutions").glob("*.ipynb"))


def test_exercises_are_up_to_date(capsys):
    assert main(["--check"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("master", MASTERS, ids=lambda path: path.name)
def test_a_students_version_holds_no_solution(master):
    text = student_version(master)
    assert "BEGIN SOLUTION" not in text and "END SOLUTION" not in text
    node = json.loads(text)
    cells = {cell["metadata"]["nbgrader"]["grade_id"]: cell for cell in node["cells"] if "nbgrader" in cell["metadata"]}
    answers = [cell for cell in cells.values() if cell["metadata"]["nbgrader"]["solution"]]
    assert answers and all("Write your answer here" in "".join(cell["source"]) for cell in answers)
    assert [cell for cell in cells.values() if cell["metadata"]["nbgrader"]["grade"] and cell["metadata"]["nbgrader"]["points"] > 0]


def test_a_master_that_is_wrong_is_refused(tmp_path):
    node = json.loads(MASTERS[0].read_text(encoding="utf-8"))
    for cell in node["cells"]:
        cell["source"] = [line for line in cell["source"] if "END SOLUTION" not in line]
    broken = tmp_path / "ex.ipynb"
    broken.write_text(json.dumps(node), encoding="utf-8")
    with pytest.raises(RuntimeError, match="could not be converted"):
        student_version(broken)


def test_a_master_brings_its_own_placeholder_and_the_student_does_not_see_where_from():
    master = next(path for path in MASTERS if "stub" in json.loads(path.read_text(encoding="utf-8"))["metadata"]["singlab"])
    node = json.loads(student_version(master))
    assert node["metadata"]["singlab"] == {"exercise": master.stem}
    answers = ["".join(c["source"]) for c in node["cells"] if c["metadata"].get("nbgrader", {}).get("solution")]
    assert all("    # Write your answer here.\n    return 0" in text for text in answers)
