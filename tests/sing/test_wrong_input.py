"""Whatever is given to the words of a notebook ends in one short message that can be printed anywhere, never in an error from inside."""

from __future__ import annotations

import pytest
from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.interactiveshell import InteractiveShell

import singlab.sing as sing
from singlab.kernel import SealError, System
from singlab.kernel.image import SealedImage, open_image
from singlab.kernel.installer import InstallError
from singlab.sing import SipError, programs_from_source
from singlab.sing.magic import load_ipython_extension, unload_ipython_extension

GOOD = "@sip\ndef p() -> u64:\n    return 1\n"
VALUES = {
    "nothing": None, "a number": 7, "a fraction": 1.5, "a list": [1], "a table": {}, "bytes": b"\x00\xff\x80" * 9, "no text": "", "spaces": " \n\t ",
    "noise": "\x00\x01ÿ\ufffe\ud800\u202e" * 9, "a nul": "a\0b", "a long word": "x" * 1_000_000, "many lines": "x == 1\n" * 20_000,
    "parentheses": "(" * 20_000, "a contract that goes on": "contract C { state S: " + "(" * 5000, "lists in lists": "[" * 3000 + "]" * 3000,
    "a class": int, "a part of a line": lambda: 1, "a program": programs_from_source(GOOD).programs["p"], "a program's text": GOOD,
}  # fmt: skip
ENTRIES = {
    "contract": sing.contract, "parse_contracts": sing.parse_contracts, "explore_contract": sing.explore_contract, "promela": sing.promela, "draw": sing.draw,
    "sip": sing.sip, "function": sing.function, "managed": sing.managed, "exchange": sing.exchange, "programs_from_source": programs_from_source,
    "compile": sing.compile_program, "verify": sing.verify, "build": sing.build, "explore": sing.explore, "parse_sil": sing.parse_sil,
    "format_module": sing.format_module, "seal_module": lambda value: sing.seal_module(value, True), "open_image": open_image, "load": SealedImage.load,
    "install": lambda value: sing.install(System(ram="2M"), value), "a system": lambda value: sing.install(value, None),
    "install an image": lambda value: System(ram="2M").install(value),
}  # fmt: skip
#: What some words take of these values.
TAKEN = {"sip": {"nothing"}, "programs_from_source": {"no text", "spaces", "a program's text", "a long word", "many lines", "lists in lists"},
         **{word: {"a program"} for word in ("compile", "build", "explore", "install")}}  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("name", VALUES)
def test_a_wrong_value_gets_one_short_message_with_a_way_out(entry, name):
    try:
        ENTRIES[entry](VALUES[name])
        assert name in TAKEN.get(entry, ())
    except (SipError, SealError, InstallError) as error:
        text = str(error)
        text.encode()
        assert len(text) < 1800 and max(map(len, text.splitlines())) < 1100
        assert not isinstance(error, SipError) or (error.hint and error.message and error.filename)


@pytest.mark.parametrize(("column", "start"), [(1, "x"), (500, "…"), (990, "…")])
def test_of_a_long_line_the_part_around_the_place_is_shown(column, start):
    line = "x" * (column - 1) + "!" + "x" * (1000 - column)
    shown, mark = SipError("types", "m", line=1, column=column, source_line=line).excerpt
    assert shown.startswith(start if column > 1 else "!") and len(shown) < 245 and shown[len(mark) - 1] == "!"


def test_an_empty_contract_cell_is_told_what_a_contract_is():
    shell = InteractiveShell()
    before = list(shell.input_transformers_cleanup)
    load_ipython_extension(shell)
    try:
        for cell in ("%%contract", "%%contract\n", "\n%%contract \n\n"):
            found = shell.run_cell(cell)
            assert isinstance(found.error_in_exec, SipError), cell
            assert "there is no contract here" in str(found.error_in_exec) and "contract C {" in str(found.error_in_exec)
        assert "stands behind" in str(shell.run_cell("%%contract C").error_in_exec)
        code = TransformerManager().transform_cell("x = 1\n")
        assert shell.transform_cell("x = 1\n") == code
    finally:
        unload_ipython_extension(shell)
    assert shell.input_transformers_cleanup == before


_STEP = "M? -> R! -> "
LARGE = {
    "messages": "contract C { " + "".join(f"in message M{i}(); " for i in range(5000)) + "state S: ; }",
    "states": "contract C { in message M(); out message R(); " + "".join(f"state S{i}: ; " for i in range(5000)) + "}",
    "states of a sequence": "contract C { in message M(); out message R(); state S: " + _STEP * 20_000 + "S; }",
    "contracts it extends": "contract C0 { state S: ; } " + "".join(f"contract C{i + 1} : C{i} {{ in message M{i}(); state T{i}: ; state S: M{i}? -> T{i}; }} "
                                                                  for i in range(60)),
    "contracts in one text": "".join(f"contract C{i} {{ state S: ; }} " for i in range(1000)),
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_a_contract_that_is_too_large_is_refused_before_it_costs_anything(name):
    with pytest.raises(SipError, match="has more than") as refused:
        sing.parse_contracts(LARGE[name])
    assert refused.value.rule == "size" and refused.value.hint and refused.value.line


def test_the_largest_contract_there_can_be_is_checked():
    messages = "".join(f"in message M{i}(); " for i in range(499))
    found = sing.contract("contract C { " + messages + "out message R(); state S: one { " + "".join(f"M{i}? -> R! -> S; " for i in range(499)) + "} }")
    assert len(found.messages) == 500 and found.slots == {"Imp": 1, "Exp": 1} and len(found.table()) > 500 * 500
