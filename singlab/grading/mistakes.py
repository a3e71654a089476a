"""Names of mistakes, by the rule that found them."""

from __future__ import annotations

#: The longest matching beginning counts.
MISTAKES = {
    "answer.missing": "No answer",
    "contract.receive": "Deadlock",
    "contract.send": "Wrong order of messages",
    "contract.exhaustive": "Message not handled",
    "contract.closed": "Message to a channel that is closed",
    "contract": "Contract broken",
    "owner.leak": "Leaked block",
    "owner.merge": "Leaked block",
    "owner": "Use of a block that belongs to somebody else",
    "init": "Variable without a value",
    "types": "Types do not fit",
    "syntax": "Not Python",
    "recursion": "Recursion",
    "policy": "Not a policy",
    "kernel": "Not in the kernel's subset",
}


def mistake(rule: str) -> str:
    """Return the name of the mistake a rule stands for."""
    while rule:
        if rule in MISTAKES:
            return MISTAKES[rule]
        rule = rule.rpartition(".")[0]
    return "Not in the SIP language"
