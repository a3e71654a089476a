"""The exercises: what each gives, which checks it has, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from singlab.grading.conversation import Conversation

#: Exercise names, in order; each is a module here with an ``EXERCISE``.
NAMES = ("ex00_first_sip", "ex01_measure", "ex02_fixed_code", "ex03_closed_api", "ex04_life_cycle", "ex05_contracts", "ex06_ownership", "ex07_collector",
         "ex08_policies")  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One examination of a server.

    Attributes
    ----------
    title : str
    points : float
    arguments : dict of str to int
        The client's startup arguments.
    judge : callable
        Takes the Conversation and a function that says where a line is; returns feedback, empty if all is well.
    hidden : bool
    """

    title: str
    points: float
    arguments: dict[str, int]
    judge: Callable[[Conversation, Callable[[int], str]], str]
    hidden: bool = False


@dataclass(frozen=True)
class Exercise:
    """An exercise whose answer is a server SIP.

    Attributes
    ----------
    name : str
    answer : str
        Name of the SIP to write.
    source : str
        Contract and client, in the SIP language.
    client : str
        Name of the client in it.
    checks : tuple of Check
    """

    name: str
    answer: str
    source: str
    client: str
    checks: tuple[Check, ...]


def exercise(name: str):
    """Return an exercise by name, or by the beginning of its name such as "ex00".

    Returns
    -------
    Exercise, singlab.grading.measuring.Measuring or singlab.grading.examination.Examination

    Raises
    ------
    KeyError
        If there is none.
    """
    for known in NAMES:
        if name == known or name.split("_")[0] == known.split("_")[0]:
            return import_module(f"{__name__}.{known}").EXERCISE
    raise KeyError(name)
