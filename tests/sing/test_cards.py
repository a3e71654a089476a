"""Programs, SIL, reports and images show themselves: whole, escaped, as text and as HTML."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import SERVER, TALK

from singlab.kernel import System
from singlab.sing import build, compile_program, parse_sil, programs_from_source, verify
from singlab.sing.cards import python_lines, sil_lines
from singlab.sing.report import _PLACES
from singlab.sing.rules import RULES

UNIT = programs_from_source(TALK + SERVER + '''
@function
def never(n: u64) -> u64:
    return n * 3

@sip(name="shop.hello", version="1.2", io_memory=[(0x10001000, 0x1000)], interrupts=[1])
def hello() -> u64:
    print("<b>&amp;</b>")          # <script>alert(1)</script>
    return 7
''', "cell")  # fmt: skip


def text_of(markup: str) -> str:
    """Return what a reader sees of some HTML."""
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", markup, flags=re.DOTALL)))


@pytest.mark.parametrize("name", ["server", "hello"])
def test_every_station_shows_itself(name):
    program = UNIT.programs[name]
    module = compile_program(program)
    system = System()
    image = build(program)
    for thing in (program, module, verify(module), image, system.install(image), image.code_view()):
        shown = thing._repr_html_()
        assert "<script>alert" not in shown and "<b>&amp;amp;</b>" not in shown
        assert program.name in text_of(shown) or image.name in text_of(shown)
        assert str(thing).strip() and "\t" not in str(thing)


def test_a_program_card_has_its_lines_and_no_others():
    shown = str(UNIT.programs["hello"])
    assert 'print("<b>&amp;</b>")' in shown and "def server" not in shown and "@sip(name=" in shown
    assert "starts with nothing; returns u64" in shown
    assert str(UNIT.functions["never"]).startswith("Helper never")


def test_a_report_counts_places():
    module = compile_program(UNIT.programs["server"])
    report = verify(module)
    assert repr(report) == "accepted" and set(report.checked) == {rule.name for rule in RULES}
    ops = [i.op for f in module.functions.values() for b in f.blocks for i in b.instrs]
    assert report.checked["contract.send"] == ops.count("send") == 2
    assert report.checked["contract.receive"] == ops.count("receive") == 1
    assert report.checked["privileged"] == len(ops)
    assert report.checked["owner.leak"] == 2  # received, and given its name
    for rule in RULES:
        refused = verify(parse_sil(rule.refused), collect=True)
        assert "Refused" in str(refused) and "<b>Refused:</b>" in refused._repr_html_()
        assert (refused.checked == {}) == any(f.rule == "sil.malformed" for f in refused.findings)


MEETING = """sip p entry p
contracts:
    contract Work { in message Do(ulong n); out message Done(ulong n); state Start: Do? -> Done! -> Start; }
    contract Service { in message Take(Work.Imp:Start client); out message Ok(); state Start: Take? -> Ok! -> Start; }
class Node { value: u64 }
function p(%0.s: Service.Imp, %9.n: u64) -> u64
start:
  new_channel Work { made(%1.imp: Work.Imp, %2.exp: Work.Exp) -> made }
made:
  send %0.s, Take, %1.imp
  %3.set: ESet[Work.Exp:Start] = set_new
  set_add %3.set, %2.exp
  %4: u64 = spawn f, %9
  select %0.s, %3.set { (Ok(), %5.e: Work.Exp = Do(%6: u64)) -> got; otherwise -> end }
got:
  close %5.e
  br end
end:
  set_close %3.set
  %7: u64 = join %4
  ret %7
function f(%0: u64) -> u64
entry:
  ret %0
"""


def test_a_report_counts_the_places_of_endpoints_sets_and_threads():
    report = verify(parse_sil(MEETING), collect=True)
    assert report.accepted, report
    places = {"contract.send": 1, "contract.receive": 2, "contract.exhaustive": 1, "contract.send-state": 2, "endpoint.leak": 3, "closed-api": 1,
              "recursion": 1, "class": 1, "owner.leak": 1, "endpoint.leak-on-raise": 0, "contract.closed": 5, "endpoint.moved": 5}  # fmt: skip
    assert {rule: report.checked[rule] for rule in places} == places
    shown = str(report)
    assert "3  endpoints acquired" in shown and "2  endpoints handed on" in shown and "1  class " in shown


def test_every_rule_has_its_places():
    assert {rule.name for rule in RULES} - set(_PLACES) == {"owner.merge"}, "which counts where paths meet"


def test_an_image_card_says_what_matters():
    image = build(UNIT.programs["hello"])
    shown = str(image)
    for words in ("Sealed image shop.hello", "version 1.2", "accepted by the verifier", image.seal[:32], "0x10001000 to 0x10001fff",
                  "returns      u64", "left out", "never"):  # fmt: skip
        assert words in shown
    assert "NOT verified" in str(build(UNIT.programs["hello"], verify=False))
    assert repr([image]) == f"[{image!r}]" and "\n" not in repr(image)


def test_the_code_view_has_every_instruction():
    image = build(UNIT.programs["server"])
    rows = image.code_view().rows
    calls = [row for row in rows if row.text.startswith("abi ")]
    assert 4 * len(rows) + 4 * len(calls) == image.manifest.text_bytes and len(calls) == len(image.manifest.relocations)
    assert {row.text.split()[1] for row in calls} >= {"send", "receive"}
    assert list(image.code_view().frame().columns) == ["offset", "text", "line", "source"]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\r"), max_size=80))
def test_highlighting_loses_nothing(text):
    for lines in (python_lines(text), sil_lines(text)):
        assert ["".join(piece for piece, _ in pieces) for pieces in lines] == text.splitlines()
