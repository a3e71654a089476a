"""Programs with the mistakes students make, each with what it is told: the corpus is ``faulty_programs.txt``."""

from __future__ import annotations

from pathlib import Path

import pytest

from singlab.sing import SipError, build, programs_from_source

CORPUS = (Path(__file__).parent / "faulty_programs.txt").read_text(encoding="utf-8")


def cases() -> dict[str, tuple[str, str]]:
    """Return each case's program and what is expected."""
    found = {}
    for part in CORPUS.split("=== ")[1:]:
        name, _, rest = part.partition("\n")
        program, _, said = rest.partition("\n--- expected\n")
        assert name not in found, f"{name} stands twice"
        found[name] = program, said.strip("\n")
    return found


CASES = cases()


def test_the_corpus_is_large_and_of_every_kind():
    rules = {said.split("\nrule: ")[1].split("\n")[0] for _, said in CASES.values()}
    assert len(CASES) >= 60
    assert rules >= {"language", "types", "init", "closed-api", "syntax", "owner.use-after-send", "owner.use-after-free",
                     "owner.use-after-move", "owner.leak", "owner.merge", "contract.send", "contract.receive", "contract.exhaustive",
                     "contract.arguments", "contract.closed"}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_faulty_program_is_told_what_is_wrong(name):
    program, said = CASES[name]
    with pytest.raises(SipError) as refusal:
        build(programs_from_source(program, "cell").programs["p"])
    assert str(refusal.value) == said
