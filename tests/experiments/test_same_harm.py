"""Each harm is refused by a rule of its own as SIL, and done in the open system; without what is wrong the SIL is accepted."""

from __future__ import annotations

import pytest

from singlab.experiments import same_harm
from singlab.experiments.same_harm import HARMS, compare, refusal
from singlab.sing.rules import RULES


def test_every_harm_is_refused_here_and_done_there():
    rows = {row.what: row for row in compare().rows}
    assert [row.rule for row in rows.values()] == ["privileged", "types", "owner.use-after-send", "closed-api", "contract.send", "sil.syntax"]
    came = [row.came for row in rows.values()]
    assert came[0] == "the other counts to 3 instead of 10" and "1010" in came[1] and came[3] == "the fee is 0 instead of 50"
    assert "saw two different prices 0 times" not in came[2] and "1,000" in came[4] and "4,096" in came[5]
    text, html = str(compare()), compare()._repr_html_()
    assert all(rule in text and rule in html for rule in ("privileged", "contract.send"))


HARMLESS = {
    "write where one likes": ("  raw_store64 %0, %0\n", ""),
    "take a number for a block": ("  store %0, %0, %1\n", ""),
    "write into what one has sent": ("  store %2, %3, %4\n", ""),
    "run what is not one's own code": ("call elsewhere, %0", "add %0, %0"),
    "speak out of turn": ("  send %0, Ask\n  send %0, Ask\n", "  send %0, Ask\n"),
    "ask the kernel for anything": ("ioctl %0", "mov %0"),
}


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.what)
def test_it_is_the_harm_that_is_refused(harm):
    """Only what does it is wrong in the text; and the rules named are those there are."""
    old, new = HARMLESS[harm.what]
    assert old in harm.sil and refusal(harm.sil.replace(old, new)) is None
    found = refusal(harm.sil)
    assert found.line and (found.rule in {rule.name for rule in RULES} or found.rule.startswith("sil"))


def test_what_is_accepted_would_be_seen(monkeypatch):
    harmless = same_harm.Harm("do nothing", HARMS[0].sil.replace("  raw_store64 %0, %0\n", ""), "nothing", lambda: "nothing")
    monkeypatch.setattr(same_harm, "HARMS", (harmless,))
    assert compare().rows[0].rule == "" and "accepts it" in str(compare())
