"""From an answer to a report: build it, and if it is accepted, examine it check by check."""

from __future__ import annotations

from collections import ChainMap
from dataclasses import replace
from functools import cache
from pathlib import Path

from singlab.grading.answers import PLAIN, GradingError, Part, Places, read_answer
from singlab.grading.conversation import converse
from singlab.grading.examination import Examination, grade_examination
from singlab.grading.exercises import NAMES, Exercise, exercise
from singlab.grading.measuring import Measuring, grade_measuring
from singlab.grading.mistakes import mistake
from singlab.grading.report import Report, Result
from singlab.kernel import InstallError, KernelError
from singlab.sing import build, programs_from_source
from singlab.sing.contracts import Contract
from singlab.sing.errors import SipError
from singlab.sing.policies import Policy
from singlab.sing.program import Program


@cache
def _given(name: str):
    """Return an exercise's contracts and its client's image."""
    known = exercise(name)
    unit = programs_from_source(known.source, known.name)
    return unit.contracts, build(unit.programs[known.client])


def _refused(known: Exercise, error: SipError, hidden: bool) -> Report:
    results = [Result(c.title, 0, c.points, c.hidden, "Not run: the answer was refused.") for c in known.checks if hidden or not c.hidden]
    return Report(known.name, results, mistake(error.rule), str(error), partial=not hidden)


def grade_program(
    name: str,
    program: Program,
    hidden: bool = True,
    places: Places = PLAIN,
) -> Report:
    """Grade one answer.

    Parameters
    ----------
    name : str
        The exercise.
    program : Program
        The answer; the exercise's own contracts replace any of the same name.
    hidden : bool
        Run the hidden checks too.
    places : Places
        Where the lines of its source are.

    Returns
    -------
    Report
    """
    known = exercise(name)
    contracts, client = _given(known.name)
    program = replace(program, names=ChainMap(dict(contracts), program.names))
    try:
        image = build(program)
        _fits(known, image, client)
    except SipError as error:
        return _refused(known, places.locate(error), hidden)
    results = []
    for check_ in known.checks:
        if check_.hidden and not hidden:
            continue
        try:
            feedback = check_.judge(converse(image, client, **check_.arguments), places.line)
        except (KernelError, InstallError) as error:
            feedback = f"Your server could not be started: {error}"
        results.append(Result(check_.title, 0 if feedback else check_.points, check_.points, check_.hidden, feedback))
    return Report(known.name, results, partial=not hidden)


def _fits(known: Exercise, image, client) -> None:
    """Refuse an answer whose parameters are not those the exercise asks for."""
    wanted = [(p.name, p.contract) for p in client.manifest.parameters if p.contract]
    found = [(p.name, p.contract) for p in image.manifest.parameters]
    if found != wanted or image.manifest.parameters[0].side != "Exp":
        name, contract = wanted[0]
        raise SipError("types", f"{known.answer} does not have the parameters of the exercise",
                       filename=known.answer, hint=f"write def {known.answer}({name}: {contract}.Exp):")  # fmt: skip


def grade_notebook(path: str | Path) -> Report:
    """Grade the answer in a notebook with all checks; nothing in the notebook is run.

    Raises
    ------
    GradingError
        If the file is no notebook, or no exercise of this course.
    """
    answer = read_answer(path)
    try:
        known = exercise(answer.exercise)
    except KeyError:
        raise GradingError(f"{path} is exercise {answer.exercise!r}, which is not one of {', '.join(NAMES)}. "
                           "Grade a notebook from the exercises folder.") from None  # fmt: skip
    if isinstance(known, Measuring):
        report = grade_measuring(known, lambda name, given: answer.program(name, given, "function"), places=answer)
    elif isinstance(known, Examination):
        report = grade_examination(known, answer.part, places=answer)
    else:
        contracts, _ = _given(known.name)
        try:
            program = answer.program(known.answer, contracts)
            report = grade_program(known.name, program, places=answer)
        except SipError as error:
            report = _refused(known, answer.locate(error), True)
    report.notebook = str(path)
    return report


def check(name: str, *programs: Program | Contract | Policy) -> Report:
    """Run the visible checks of an exercise on an answer, in the notebook.

    Parameters
    ----------
    name : str
        Such as "ex00".
    *programs : Program, Contract or Policy
        Your function decorated with ``@sip``; where an exercise asks for several functions, policies or a contract, all of them.
    """
    known = exercise(name)
    if isinstance(known, Examination):
        handed = {_called(part): part for part in programs if isinstance(part, (Program, Contract, Policy))}
        if len(handed) != len(programs):
            odd = next((part for part in programs if not isinstance(part, (Program, Contract, Policy))), programs[0])
            raise SipError("answer.missing", f"{odd!r} is no part of an answer",
                           hint=f"this exercise asks for {' and '.join(part.name for part in known.parts)}")  # fmt: skip
        return grade_examination(known, lambda part, names: _part_handed_over(handed, part), hidden=False)
    if isinstance(known, Measuring):
        given = {program.name: program for program in programs if isinstance(program, Program)}
        if len(given) != len(programs):
            odd = next(program for program in programs if not isinstance(program, Program))
            raise SipError("answer.missing", f"{odd!r} is no measuring function", hint="decorate your functions with @function")
        return grade_measuring(known, lambda wanted, names: _handed_over(given, wanted, names), hidden=False)
    if len(programs) != 1 or not isinstance(programs[0], Program):
        shown = repr(programs[0]) if len(programs) == 1 else f"a list of {len(programs)}"
        raise SipError("answer.missing", f"{shown} is no SIP", hint='decorate your function with @sip: check("ex00", tally)')
    return grade_program(name, programs[0], hidden=False)


def _called(part: Program | Contract | Policy) -> str:
    """Return the name of the part of an answer; a policy's is its slot."""
    return part.slot if isinstance(part, Policy) else part.name


def _part_handed_over(handed: dict[str, Program | Contract | Policy], part: Part) -> Program | Contract | Policy:
    """Return a part given to check()."""
    found = handed.get(part.name)
    if found is None or isinstance(found, Contract) != (part.kind == "contract"):
        raise SipError("answer.missing", f"{part.name} was not given to check()", filename=part.name,
                       hint=f"write check(..., {part.name})")  # fmt: skip
    return found


def _handed_over(given: dict[str, Program], wanted: str, names: dict) -> Program:
    """Return a function given to check(), with the exercise's own constants."""
    if wanted not in given:
        raise SipError("answer.missing", f"{wanted} was not given to check()", filename=wanted, hint=f"write check(..., {wanted})")
    return replace(given[wanted], names=ChainMap(dict(names), given[wanted].names))
