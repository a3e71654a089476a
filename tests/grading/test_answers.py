"""Bad files: each gives one message that says what to do, and is left as it was."""

from __future__ import annotations

import json

import pytest

from singlab.grading import GradingError, grade_notebook
from singlab.grading.answers import MOST_CHARACTERS, read_answer


def cell(source, name="a"):
    return {"cell_type": "code", "id": name, "metadata": {}, "outputs": [], "execution_count": None, "source": source}


def book(*cells, **metadata):
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": list(cells)})


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "42", "null", '"text"', "{}", '{"cells": 3}', '{"nbformat": 4, "cells": [{}]}', book(cell(7)),
     book({"cell_type": "code"}), book({"cell_type": "wild", "source": ""}), '{"nbformat": 99, "cells": []}',
     "[" * 20_000, '{"nbformat": 4, "nbformat_minor": 5, "metadata": {"singlab": 3}, "cells": []}'],
)  # fmt: skip
def test_what_is_no_notebook_is_said_to_be_none(tmp_path, content):
    path = tmp_path / "x.ipynb"
    path.write_text(content)
    with pytest.raises(GradingError) as caught:
        grade_notebook(path)
    assert str(path) in str(caught.value)
    assert path.read_text() == content


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(GradingError, match="cannot be read"):
        grade_notebook(path)


def test_an_unknown_exercise(tmp_path):
    path = tmp_path / "homework.ipynb"
    path.write_text(book(cell("x = 1")))
    with pytest.raises(GradingError, match="homework.*ex00_first_sip"):
        grade_notebook(path)


def test_too_much_code(tmp_path):
    path = tmp_path / "ex00_first_sip.ipynb"
    path.write_text(book(cell("#" * (MOST_CHARACTERS + 1))))
    with pytest.raises(GradingError, match="characters of code"):
        grade_notebook(path)


@pytest.mark.parametrize("source", ["(" * 5000, "-" * 100_000 + "1", "x = " + "9" * 10_000, "\0", "a" * 1000 + "\n" * 5000, "%m\n" * 3000])
def test_code_that_hurts_a_parser_does_not_hurt_the_grader(tmp_path, source):
    path = tmp_path / "ex00_first_sip.ipynb"
    path.write_text(book(cell(source + "\ndef tally(ch): pass")))
    report = grade_notebook(path)
    assert report.points == 0 and report.mistake


def test_lines_are_found_again(tmp_path):
    path = tmp_path / "ex00_first_sip.ipynb"
    path.write_text(book(cell("a = 1\nb = 2"), cell("not python at all", "b"), cell("c = 3", "c")))
    answer = read_answer(path)
    assert answer.text.splitlines() == ["a = 1", "b = 2", "c = 3"]
    assert answer.places == [(1, 1), (1, 2), (3, 1)]
    assert answer.line(3) == "cell 3, line 1"
    assert [number for number, _, _ in answer.broken] == [2]
