"""Exercises whose answer has several parts, or is judged by more than one conversation.

An answer is a set of parts, each a SIP, a contract, a kernel function or a policy. What can be built is built once; each trial says which
parts it needs and looks at what was built: it runs it, compares it, or lets it talk to a client of ours. A part
that is refused costs only the trials that need it. Trials share what they have found out, so that one run of five
hundred images may be looked at from several sides.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cache

from singlab.grading.answers import PLAIN, KernelPart, Part, Places
from singlab.grading.kernelcode import KernelCode, KernelFunction, compile_kernel
from singlab.grading.mistakes import mistake
from singlab.grading.policyparts import PolicyPart
from singlab.grading.report import Report, Result
from singlab.kernel import InstallError, KernelError
from singlab.kernel.image import SealedImage
from singlab.sing import build, programs_from_source
from singlab.sing.contracts import Contract
from singlab.sing.errors import SipError
from singlab.sing.policies import Policy
from singlab.sing.program import Program


@dataclass
class Handed:
    """What was handed in and could be built.

    Attributes
    ----------
    images : dict of str to SealedImage
    contracts : dict of str to Contract
        The student's own.
    kernel : dict of str to KernelCode
        Kernel functions, each with those it calls.
    policies : dict of str to Policy
        By slot.
    places : Places
    refused : dict of str to SipError
    """

    places: Places
    images: dict[str, SealedImage] = field(default_factory=dict)
    contracts: dict[str, Contract] = field(default_factory=dict)
    kernel: dict[str, KernelCode] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    refused: dict[str, SipError] = field(default_factory=dict)
    _known: dict[Hashable, object] = field(default_factory=dict)

    def once(self, key: Hashable, find: Callable[[], object]):
        """Return what ``find`` returns, called only the first time a key is asked for."""
        if key not in self._known:
            self._known[key] = find()
        return self._known[key]


@dataclass(frozen=True)
class Trial:
    """One check of an examination.

    Attributes
    ----------
    title : str
    points : float
    needs : tuple of str
        The parts it looks at.
    judge : callable
        Takes Handed; returns feedback, empty if all is well.
    hidden : bool
    """

    title: str
    points: float
    needs: tuple[str, ...]
    judge: Callable[[Handed], str]
    hidden: bool = False


@dataclass(frozen=True)
class Examination:
    """An exercise whose answer is a set of parts.

    Attributes
    ----------
    name : str
    source : str
        Contracts, and SIPs the trials use, in the SIP language.
    constants : dict of str to int
        Names the answer may use.
    parts : tuple of Part
    trials : tuple of Trial
    """

    name: str
    source: str
    constants: dict[str, int]
    parts: tuple[Part, ...]
    trials: tuple[Trial, ...]

    def given(self) -> dict:
        """Return the contracts and constants that count, whatever the notebook says."""
        return {**_unit(self.source).contracts, **self.constants}

    def image(self, name: str) -> SealedImage:
        """Return the built image of one of our own SIPs."""
        return _image(self.source, name)


@cache
def _unit(source: str):
    return programs_from_source(source, "exercise")


@cache
def _image(source: str, name: str) -> SealedImage:
    return build(_unit(source).programs[name])


def grade_examination(
    known: Examination,
    find: Callable[[Part, dict], Program | Contract | Policy],
    hidden: bool = True,
    places: Places = PLAIN,
) -> Report:
    """Grade an answer.

    Parameters
    ----------
    known : Examination
    find : callable
        Takes a part and the names it may use; returns its Program, Contract or Policy, or raises SipError.
    hidden : bool
        Run the hidden checks too.
    places : Places
        Where the lines of the answer are.
    """
    handed = Handed(places)
    for part in known.parts:
        try:
            _take(handed, part, find(part, known.given()), known)
        except SipError as error:
            handed.refused[part.name] = places.locate(error)
    trials = [trial for trial in known.trials if hidden or not trial.hidden]
    results = [Result(t.title, 0 if (said := _judged(t, handed)) else t.points, t.points, t.hidden, said) for t in trials]
    report = Report(known.name, results, partial=not hidden)
    if handed.refused:
        first = next(iter(handed.refused.values()))
        report.mistake, report.refusal = mistake(first.rule), "\n\n".join(map(str, handed.refused.values()))
    return report


def _take(handed: Handed, part: Part, found: Program | Contract | Policy, known: Examination) -> None:
    """Build a part, or refuse it."""
    if part.kind == "contract":
        if not isinstance(found, Contract):
            raise SipError("answer.missing", f"{part.name} is no contract", filename=part.name, hint=f"write {part}")
        handed.contracts[part.name] = found
        return
    if isinstance(part, PolicyPart):
        if not isinstance(found, Policy):
            raise SipError("answer.missing", f"{part.name} is no policy", filename=part.name, hint=f"write {part}")
        handed.policies[part.name] = found
        return
    if isinstance(part, KernelPart):
        if not isinstance(found, KernelFunction):
            raise SipError("answer.missing", f"{part.name} is no kernel function", filename=part.name, hint=f"write @kernel above {part}")
        if len(found.node.args.args) != len(part.words):
            raise SipError("types", f"{part.name} does not have the parameters of the exercise", filename=part.name, hint=f"write {part}")
        handed.kernel[part.name] = compile_kernel(found, known.given())
        return
    image = build(replace(found, names=ChainMap(known.given(), found.names)))
    have = tuple((p.name, f"{p.contract}.{p.side}" if p.contract else p.type) for p in image.manifest.parameters)
    if have != part.parameters:
        raise SipError("types", f"{part.name} does not have the parameters of the exercise", filename=part.name, hint=f"write {part}")
    handed.images[part.name] = image


def _judged(trial: Trial, handed: Handed) -> str:
    """Return feedback on one trial."""
    missing = [name for name in trial.needs if name in handed.refused]
    if missing:
        return f"Not run: {' and '.join(missing)} {'was' if len(missing) == 1 else 'were'} refused."
    try:
        return trial.judge(handed)
    except (KernelError, InstallError) as error:
        return f"It could not be started: {error}"
