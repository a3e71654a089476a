"""Policies: functions of students that decide in the kernel's place.

    @policy("pick")
    def last_come_first_served(previous):
        thread = first_unblocked()
        ...
        return thread

A policy is written in the subset of Python that the kernel itself is written in: values are unsigned 64-bit words, there are
``if``, ``while``, ``for`` over a range, arithmetic, and the functions that :mod:`singlab.kernel.core.policies` has for it.
It exists in the same two forms as the kernel: RV64 code, which says what each piece of it costs, and a native function
made from the same text, which alone is compiled when the text changes. Neither can reach anything else of the kernel.

Leaves out calls of other functions of one's own, and everything that is no word.
"""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from singlab.kernel import layout as at
from singlab.kernel.core import policies as core
from singlab.kernel.native_files import CHARGES
from singlab.kernel.policyslots import FUNCTIONS, SLOTS, PolicyCode
from singlab.sing.errors import SipError
from singlab.sing.names import _Word
from singlab.sing.parsing import parse
from singlab.sing.program import Program, _capture
from singlab.sing.subset import Subset
from singlab.sing.words import WordsError, compile_core

_NAMES = (*FUNCTIONS, "now")
_RAISED = "policy_raised"


@dataclass(frozen=True)
class Policy:
    """A policy as a student wrote it.

    Attributes
    ----------
    slot : str
    program : Program
        Its source.
    """

    slot: str
    program: Program
    compiled: list = field(default_factory=list, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The function's name."""
        return self.program.name

    def code(self) -> PolicyCode:
        """Return it compiled for the hart, with what its native form is made from."""
        if not self.compiled:
            self.compiled.append(_compile(self))
        return self.compiled[0]

    def __call__(self, *words: int):
        from singlab.sing.names import not_python

        not_python(f"{self.name}(...)")

    def __repr__(self) -> str:
        return f"<policy {self.name} for {self.slot}, {self.program.filename}:{self.program.node.lineno}>"


def _known(slot) -> None:
    """Refuse what names no slot."""
    if slot not in SLOTS:
        raise SipError("policy", f"there is no policy {slot!r}" if isinstance(slot, str) else "@policy needs the name of a slot",
                       hint=f'write @policy("{next(iter(SLOTS))}") above the function; the slots are {", ".join(SLOTS)}')  # fmt: skip


def policy(slot: str):
    """Make a policy of a function; ``system.use(it)``, or ``System(policies=[it])``, lets it decide.

    Parameters
    ----------
    slot : {"pick", "place", "quantum", "fit", "pages", "admit", "trigger", "growth", "nursery", "tenure", "collector"}
        What it decides; ``singlab.kernel.policies.SLOTS`` says what each is given and what it answers.

    Raises
    ------
    SipError
        If the function is no policy, located in its text.

    Examples
    --------
    >>> @policy("quantum")
    ... def short(thread):
    ...     return 10_000
    """
    _known(slot)

    def decorate(function) -> Policy:
        made = Policy(slot, _capture(function, False))
        made.code()
        return made

    return decorate


def policy_from_source(slot: str, text: str, filename: str = "<source>", names: dict | None = None) -> Policy:
    """Return the policy that a text defines: one function; as :func:`policy` does, without running the text.

    Parameters
    ----------
    slot : str
    text : str
    filename : str
        What errors call it.
    names : dict, optional
        Integers the text may name.
    """
    _known(slot)
    try:
        tree = parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SipError("syntax", getattr(error, "msg", None) or str(error) or "this is too deeply nested", hint="write a function as Python has them",
                       line=getattr(error, "lineno", 0) or 0, column=getattr(error, "offset", 0) or 0).at(filename, text) from None  # fmt: skip
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef):
        raise SipError("policy", "a policy is one function", hint=f"write def name({', '.join(SLOTS[slot][0])}):", filename=filename)
    made = Policy(slot, Program(tree.body[0].name, tree.body[0], text, filename, names or {}, False))
    made.code()
    return made


class _Words(Subset):
    """Write a policy in the subset: it calls what policies may, and ``raise`` is an end without a result."""

    what = "a policy"

    def __init__(self, policy: Policy):
        super().__init__()
        self.policy = policy

    def refuse(self, node: ast.AST, message: str, hint: str) -> SipError:
        return refusal(self.policy, node, message, hint)

    def visit_Raise(self, node: ast.Raise) -> list[ast.stmt]:
        note = ast.Expr(ast.Call(ast.Name(_RAISED, ast.Load()), [ast.Name("m", ast.Load()), ast.Constant(at.RAISED << 32 | node.lineno)], []))
        return [ast.fix_missing_locations(ast.copy_location(one, node)) for one in (note, ast.Return(ast.Constant(0)))]

    def visit_Call(self, node: ast.Call) -> ast.Call:
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        if name not in _NAMES:
            raise self.refuse(node, f"{name} is nothing a policy can call", f"there are {', '.join(_NAMES)}")
        return self.called(node, name, _parameters(name))


def _parameters(name: str) -> tuple[str, ...]:
    if name == "now":
        return ()
    code = getattr(core, name).__code__
    return code.co_varnames[1 : code.co_argcount]


def refusal(policy: Policy, node: ast.AST, message: str, hint: str) -> SipError:
    """Return the error that a piece of a policy is refused with."""
    line, column = getattr(node, "lineno", policy.program.node.lineno), getattr(node, "col_offset", 0) + 1
    return SipError("policy", message, hint=hint, line=line, column=column).at(policy.program.filename, policy.program.source)


def _checked(policy: Policy) -> ast.FunctionDef:
    """Return a policy in the kernel's subset, with the machine's state as its first parameter."""
    node = policy.program.node
    wanted, answer = SLOTS[policy.slot]
    if not isinstance(node, ast.FunctionDef):
        raise refusal(policy, node, "a policy is a function", f"write def {policy.name}({', '.join(wanted)}):")
    given = node.args
    if given.vararg or given.kwarg or given.kwonlyargs or given.defaults or len(given.args) != len(wanted):
        raise refusal(policy, node, f"the {policy.slot} policy is given {len(wanted)} word{'s' * (len(wanted) != 1)}",
                      f"write def {node.name}({', '.join(wanted)}):; it answers {answer}")  # fmt: skip
    names = [argument.arg for argument in given.args]
    for name in names + [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]:
        if name in _NAMES or name in ("m", "range") or name.startswith("_"):
            raise refusal(policy, node, f"{name} is no name for a variable here", "choose another")
    body = node.body[1:] if ast.get_docstring(node) else node.body
    if not any(isinstance(one, ast.Return) and one.value is not None for one in ast.walk(node)):
        raise refusal(policy, node, "this policy answers nothing", f"return {answer}")
    arguments = ast.arguments([], [ast.arg("m"), *(ast.arg(name) for name in names)], None, [], [], None, [])
    words = ast.FunctionDef("policy", arguments, _Words(policy).body(copy.deepcopy(body)), [])
    return ast.fix_missing_locations(ast.copy_location(words, node))


def _compile(policy: Policy) -> PolicyCode:
    """Compile a policy into both forms."""
    try:
        node = _checked(policy)
    except RecursionError:
        raise refusal(policy, policy.program.node, "this is too deeply nested", "split it into several statements") from None
    constants = {name: int(value) for name, value in policy.program.names.items() if isinstance(value, (int, np.integer))}
    base = at.POLICY_TEXT + list(SLOTS).index(policy.slot) * at.POLICY_BYTES
    outside = {name: offset + at.CORE_TEXT - base for name, offset in _offsets().items()}
    try:
        image = compile_core({"policy": ast.unparse(node)}, {"policy": constants}, outside, trees={"policy": node})
    except WordsError as error:
        raise refusal(policy, error.node, error.reason.replace("kernel functions", "policies"),
                      "a policy has if, while, for over range, arithmetic on words and comparisons of two") from None  # fmt: skip
    except SipError as error:
        raise error.at(policy.program.filename, policy.program.source) from None
    if len(image.text) > at.POLICY_BYTES:
        raise refusal(policy, policy.program.node, f"this policy takes {len(image.text)} bytes of code", f"a slot has {at.POLICY_BYTES}; make it shorter")
    place = f"{policy.program.filename}:{policy.program.node.lineno}"
    charges = {"points": image.points["policy:policy"], "branches": image.branches["policy:policy"]}
    return PolicyCode(policy.slot, policy.name, place, image.text, node, constants, charges)


# What a policy may call, for editors and for ``help``.
first_unblocked = _Word("first_unblocked", "first_unblocked(): the first thread of the unblocked queue, 0 if it is empty.")
first_preempted = _Word("first_preempted", "first_preempted(): the first thread of the preempted queue, 0 if it is empty.")
next_thread = _Word("next_thread", "next_thread(thread): the thread after a ready one in its queue, 0 after the last.")
is_ready = _Word("is_ready", "is_ready(word): 1 if the word names a thread that is ready.")
thread_number = _Word("thread_number", "thread_number(thread): the number of a thread, as in the trace.")
process_number = _Word("process_number", "process_number(thread): the number of a thread's process.")
thread_note = _Word("thread_note", "thread_note(thread, index): one of four words kept for a thread, 0 at first.")
set_thread_note = _Word("set_thread_note", "set_thread_note(thread, index, value): keep a word for a thread.")
note = _Word("note", "note(index): one of sixteen words kept for policies, 0 at first.")
set_note = _Word("set_note", "set_note(index, value): keep a word for policies.")
random_word = _Word("random_word", "random_word(): 64 random bits, from the system's seed.")
page_free = _Word("page_free", "page_free(page): 1 if a page of RAM is free.")
page_owner = _Word("page_owner", "page_owner(page): the number of the process that owns a page, 0 if nobody does.")
heap_process = _Word("heap_process", "heap_process(heap): the number of the heap's process.")
heap_bytes = _Word("heap_bytes", "heap_bytes(heap): how many bytes its pages have.")
heap_live = _Word("heap_live", "heap_live(heap): how many bytes were alive after its last collection.")
heap_freed = _Word("heap_freed", "heap_freed(heap): how many bytes that gave back.")
heap_made = _Word("heap_made", "heap_made(heap): how many bytes threads were given since.")
heap_limit = _Word("heap_limit", "heap_limit(heap): beyond how many bytes the kernel would collect it.")
heap_most = _Word("heap_most", "heap_most(heap): how many bytes it can have; all ones if there is no bound.")
heap_count = _Word("heap_count", "heap_count(heap): how many collections of it there were.")
heap_cycles = _Word("heap_cycles", "heap_cycles(heap): how many cycles they took together.")
heap_pause = _Word("heap_pause", "heap_pause(heap): how many cycles the last one took.")
heap_collector = _Word("heap_collector", "heap_collector(heap): the number of the collector it has now.")
heap_survivors = _Word("heap_survivors", "heap_survivors(heap, age): how many bytes the last minor collection found that have survived so many now.")
heap_note = _Word("heap_note", "heap_note(heap, index): one of four words kept for a heap, 0 at first.")
set_heap_note = _Word("set_heap_note", "set_heap_note(heap, index, value): keep a word for a heap.")
now = _Word("now", "now(): the cycle counter.")
__all__ = ["policy", *_NAMES]


@cache
def _offsets() -> dict[str, int]:
    """Return where the kernel functions lie that a policy may call, from the kernel's first instruction."""
    import json

    functions = json.loads(CHARGES.read_text(encoding="utf-8"))["functions"]
    return {name: functions[f"policies:{name}"]["offset"] for name in FUNCTIONS}
