"""Each rule of the verifier: its table is complete, its documentation is the table, and its two programs are judged as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from singlab.sing import (
    callgraph,
    carried,
    contract_flow,
    endpointflow,
    ownership,
    parse_sil,
    sil_form,
    sil_handles,
    sil_operands,
    sil_types,
    verifier,
    verify,
)
from singlab.sing.rules import BY_NAME, RULES, document

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
def test_a_rule_refuses_and_accepts(rule):
    refused = verify(parse_sil(rule.refused), collect=True)
    assert {f.rule for f in refused.findings} == {rule.name}, f"{rule.refused}\n{refused}"
    assert all(f.line and f.hint for f in refused.findings)
    accepted = verify(parse_sil(rule.accepted), collect=True)
    assert accepted.accepted, f"{rule.accepted}\n{accepted}"


def test_every_rule_the_verifier_names_is_in_the_table():
    text = "".join(Path(module.__file__).read_text(encoding="utf-8")
                   for module in (verifier, contract_flow, sil_types, sil_form, sil_handles, sil_operands, endpointflow, carried, ownership, callgraph))  # fmt: skip
    named = set(re.findall(r'"((?:owner|contract|endpoint|sil)\.[a-z-]+|closed-api|recursion|privileged|init|types|class)"', text))
    assert named - {"contract.states", "contract.types"} == BY_NAME.keys(), "these two are of a contract's text"


def test_the_documentation_is_the_table():
    assert (ROOT / "docs" / "rules.md").read_text(encoding="utf-8") == document()


def test_a_refusal_says_why():
    finding = verify(parse_sil(BY_NAME["owner.leak"].refused), collect=True).findings[0]
    assert BY_NAME["owner.leak"].reason in finding._repr_html_()
