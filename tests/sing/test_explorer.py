"""The explorer: its panes hold the whole program, linked by line, and a refused program is shown with its findings."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from running import SERVER, TALK

from singlab.sing import SipError, build, compile, explore, parse_sil, programs_from_source

TEXT = (
    TALK
    + SERVER
    + '''
@function
def total(data: ExVec[u8]) -> u64:
    sum: u64 = 0
    for i in range(len(data)):
        sum += u64(data[i])
    free(data)
    return sum

@sip
def p(n: u64) -> u64:
    v = new(u8, n)
    print("a <b> & c")
    return total(v)

@sip
def leaky(n: u64) -> u64:
    v = new(u8, n)
    return n
'''
)


def program(name: str):
    return programs_from_source(TEXT, "text").programs[name]


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(TEXT.splitlines(), 1) if text in line)


@pytest.mark.parametrize("optimiser", [False, True])
def test_every_pane_is_whole_and_linked(optimiser):
    seen = explore(program("p"), optimiser)
    assert not seen.findings
    lines = {row.line for row in seen.source}
    assert {row.line for row in [*seen.sil, *seen.code] if row.line} <= lines
    assert [row.margin for row in seen.source if "sum += u64(data[i])" in row.text] == [str(line_of("sum += u64"))]
    sil, code = seen.of_line(line_of("sum += u64"))
    assert any("load" in text for text in sil) and any(text.startswith("lbu") for text in code)
    # what the rows say is as long as the code is
    at = [int(row.margin, 16) for row in seen.code if row.margin]
    assert at == sorted(set(at)) and at[0] == 0
    assert seen.bytes == build(program("p"), optimiser=optimiser).manifest.text_bytes
    assert any(row.text == "abi     print_text" for row in seen.code)


def test_a_refused_program_has_findings_and_no_code():
    seen = explore(program("leaky"))
    assert [f.rule for f in seen.findings] == ["owner.leak"] and not seen.code
    page = seen._repr_html_()
    assert "Refused:" in page and "slx-bad" in page and "gets no code" in page
    assert "owner.leak" in str(seen)


def test_the_page_is_well_formed_and_escapes_the_program():
    class Reader(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.ids = [], set()

        def handle_starttag(self, tag, attributes):
            self.open.append(tag)
            self.ids |= {value for name, value in attributes if name == "id"}

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    seen = explore(program("p"))
    first, second = seen._repr_html_(), seen._repr_html_()
    for page in (first, second):
        reader = Reader()
        reader.feed(page)
        assert not reader.open and len(reader.ids) == 1
    assert "&lt;b&gt;" in first and "<b> & c" not in first
    assert first != second, "two views of one page need names of their own"


@pytest.mark.parametrize(
    "text",
    [
        "sip p entry p\nfunction p(%0: u64) -> u64\nstart:\n  ret %0\n",
        "sip p entry q\nfunction p(%0: u64) -> u64\nstart:\n  ret %0\n",
        "sip p entry p\nfunction p(%0: u64) -> u64\nstart:\n  br nowhere\n",
        "sip p entry p\nfunction p(%0: u64) -> u64\nstart:\n  %1: ExVec[u8] = new %0\n  ret %0\n",
        "sip p entry p\n",
    ],
)
def test_sil_by_hand_is_explored_too(text):
    seen = explore(parse_sil(text))
    assert bool(seen.findings) != bool(seen.code)
    assert seen._repr_html_() and str(seen) and repr(seen)


def test_what_cannot_become_sil_is_refused():
    unit = programs_from_source("@sip\ndef p():\n    import os\n", "text")
    with pytest.raises(SipError):
        explore(unit.programs["p"])
    assert "function total" in str(compile(program("p")))
