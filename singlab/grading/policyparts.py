"""Policies as parts of an answer: read as text, the last one for a slot counts."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from singlab.grading.answers import Part
from singlab.kernel.policyslots import SLOTS
from singlab.sing.errors import SipError
from singlab.sing.parsing import parse
from singlab.sing.policies import Policy
from singlab.sing.program import Program, programs_from_source


@dataclass(frozen=True)
class PolicyPart(Part):
    """A part that is a policy; its name is that of the slot."""

    @property
    def kind(self) -> str:
        """What it is: "policy"."""
        return "policy"

    def __str__(self) -> str:
        return f'@policy("{self.name}") above def name({", ".join(SLOTS[self.name][0])}):'

    def find(self, text: str, filename: str, given: Mapping) -> Policy:
        """Return the policy for the slot that a text defines last, executing nothing.

        Raises
        ------
        SipError
            If there is none, or it is refused.
        """
        constants: dict = dict(programs_from_source(text, filename, given).constants)
        node = next((one for one in reversed(parse(text).body) if isinstance(one, ast.FunctionDef) and _slot(one) == self.name), None)
        if node is None:
            raise SipError("answer.missing", f"there is no policy for the slot {self.name}", filename=filename, hint=f"write {self}")
        made = Policy(self.name, Program(node.name, node, text, filename, {**constants, **given}, False))
        made.code()
        return made


def _slot(node: ast.FunctionDef) -> str | None:
    """Return the slot of a function that is decorated as a policy."""
    for one in node.decorator_list:
        if isinstance(one, ast.Call) and getattr(one.func, "id", getattr(one.func, "attr", None)) == "policy" and one.args:
            return one.args[0].value if isinstance(one.args[0], ast.Constant) and isinstance(one.args[0].value, str) else None
    return None
