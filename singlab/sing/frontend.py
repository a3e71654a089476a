"""From a program's source to SIL."""

from __future__ import annotations

from singlab.sing.errors import SipError
from singlab.sing.lower import ModuleLowering
from singlab.sing.program import Program
from singlab.sing.sil import Module


def compile_program(program: Program) -> Module:
    """Return the SIL of a program and of the helpers it calls, not verified.

    Raises
    ------
    SipError
        If the program uses what the language does not have, or its types do not fit.
    """
    if not isinstance(program, Program):
        hint = "decorate a function with @sip and build that"
        if isinstance(program, str):
            hint += '; from a text: programs_from_source(text).programs["name"]'
        raise SipError("language", f"{program!r:.80} is no SIP", hint=hint)
    if not program.entry:
        raise SipError("language", f"{program.name} is a helper, not a SIP", hint="build a function decorated with @sip")
    try:
        return ModuleLowering(program).lower()
    except RecursionError:
        raise SipError("language", f"{program.name} is too deeply nested", filename=program.filename,
                       hint="split long expressions into several lines") from None  # fmt: skip


compile = compile_program  #: its name where :mod:`singlab.sing` is imported as a module
