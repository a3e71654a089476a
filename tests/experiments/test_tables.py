"""Frames as tables: nothing cut off, numbers that can be compared, an index only where it says something."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from singlab.experiments.tables import table


def _html_rows(shown) -> list[list[str]]:
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", shown._repr_html_())]


def test_sentences_are_whole_and_numbers_of_rows_are_left_out():
    long = "the block of stripper at 0x802aa000 has 14 bytes from now on, and nobody cuts this sentence off"
    frame = pd.DataFrame({"cycle": [123456, 7], "what": [long, "x < y"]}, index=[25, 31])
    shown = table(frame)
    assert _html_rows(shown)[1:] == [["123,456", long], ["7", "x &lt; y"]]
    assert long in str(shown) and "123,456" in str(shown) and "31" not in str(shown)
    assert shown.frame() is frame


@pytest.mark.parametrize(("values", "written"), [
    ([1.0, 2.0], ["1", "2"]), ([0.123, 99.4], ["0.12", "99.40"]), ([0.126, 100.0], ["0.1", "100.0"]), ([2487.75, 3.5], ["2,488", "4"]),
    ([1.5, float("nan")], ["1.50", ""]), ([True, False], ["yes", "no"]), ([2**63, 1], ["9,223,372,036,854,775,808", "1"]),
    (np.array([], dtype=float), []), ([None, "a"], ["", "a"]),
])  # fmt: skip
def test_a_column_is_written_alike(values, written):
    assert [row[0] for row in _html_rows(table(pd.DataFrame({"x": values})))[1:]] == written


def test_an_index_with_a_name_or_with_words_is_a_column():
    frame = pd.DataFrame({"cycles": [1, 2]}, index=["sip", "ring3"])
    assert str(table(frame)).split() == ["cycles", "sip", "1", "ring3", "2"]
    frame = pd.DataFrame({"cycles": [1, 2]}, index=pd.Index([64, 128], name="bytes"))
    assert str(table(frame, cycles="{:.1f}")).split() == ["bytes", "cycles", "64", "1.0", "128", "2.0"]
    assert "Round trips" in table(frame, "Round trips")._repr_html_()


def test_a_pivot_shows_both_its_names():
    frame = pd.DataFrame({"bytes": [4, 4], "mode": ["copy", "give"], "cycles": [9.0, 8.0]}).pivot(index="bytes", columns="mode", values="cycles")
    assert str(table(frame)).split() == ["bytes", "copy", "give", "4", "9", "8"]


def test_an_index_of_two_is_two_columns():
    frame = pd.DataFrame({"way": ["a", "a"], "to": ["b", "c"], "count": [1, 2]}).set_index(["way", "to"])
    assert str(table(frame)).split() == ["way", "to", "count", "a", "b", "1", "a", "c", "2"]


def test_a_format_for_no_column_is_an_error():
    with pytest.raises(ValueError, match="no column cycle; there are cycles"):
        str(table(pd.DataFrame({"cycles": [1]}), cycle="{:.1f}"))
