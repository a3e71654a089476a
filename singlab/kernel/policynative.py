"""The native form of a policy: its text with the charges of its RV64 form, compiled by itself as a C function.

Loops count their turns here and operations mean what they do on the hart. An edit compiles this one function, against
kernel functions that are there already.
"""

from __future__ import annotations

import ast
import copy
import os

import numpy as np
from numba import carray, cfunc, types

from singlab.kernel import layout as at
from singlab.kernel.native import Instrument, native
from singlab.kernel.policycalls import UNCOMPILED, now, policy_raised
from singlab.kernel.policyslots import FUNCTIONS, MOST_TURNS, PolicyCode
from singlab.machine import access
from singlab.machine.jit import jit

_CALLS = {name: getattr(native, name) for name in FUNCTIONS} | {"now": now}
_CHARGING = ("charge_block", "charge_divisions", "charge_multiplications", "charge_wrong_way")
_RAISED = "policy_raised"
_MADE: dict[int, tuple] = {}  #: what was compiled before: the text's code, by identity, with its native form


@jit("uint64(uint64, uint64)")
def divided(a, b):
    """Divide as the hart does: by zero gives all ones."""
    return a // b if b != np.uint64(0) else np.uint64(0xFFFF_FFFF_FFFF_FFFF)


@jit("uint64(uint64, uint64)")
def remainder(a, b):
    """Return the remainder as the hart does: by zero it is the dividend."""
    return a % b if b != np.uint64(0) else a


class _Counting(ast.NodeTransformer):
    """Let every loop of a native policy count its turns, all together, and let operations mean what they do on the hart."""

    def __init__(self, lines: dict[int, int]):
        self.lines = lines
        self.loops = 0

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, (ast.FloorDiv, ast.Mod)):
            return ast.Call(ast.Name("divided" if isinstance(node.op, ast.FloorDiv) else "remainder", ast.Load()), [node.left, node.right], [])
        if isinstance(node.op, (ast.LShift, ast.RShift)):
            node.right = ast.BinOp(node.right, ast.BitAnd(), ast.parse("_word(63)").body[0].value)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        left = ast.Name(node.target.id, ast.Load())
        return self.visit(ast.Assign([node.target], ast.BinOp(left, node.op, node.value)))

    def visit_While(self, node: ast.While) -> ast.While:
        self.generic_visit(node)
        line = self.lines.get(self.loops, 0)
        self.loops += 1
        turn = ast.parse(f"_turns -= 1\nif _turns == 0:\n    {_RAISED}(m, _word({at.ENDLESS << 32 | line}))\n    return _word(0)").body
        node.body[:0] = turn
        return node


def _loop_lines(node: ast.FunctionDef) -> dict[int, int]:
    """Return the line of each loop, numbered inner ones first, as :class:`_Counting` comes to them."""
    lines: list[int] = []

    def walk(one: ast.AST) -> None:
        for child in ast.iter_child_nodes(one):
            walk(child)
        if isinstance(one, ast.While):
            lines.append(one.lineno)

    walk(node)
    return dict(enumerate(lines))


def native_form(code: PolicyCode) -> tuple[int, object]:
    """Return where the native form of a policy is, and what keeps it there."""
    if id(code) in _MADE:
        return _MADE[id(code)][1:]
    node, constants = copy.deepcopy(code.node), code.constants
    local = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)} | {one.arg for one in node.args.args}
    pool: dict[int, str] = {}
    made = Instrument({name: value for name, value in constants.items() if name not in local}, code.charges, pool, at.POLICY_TEXT + code.number * at.POLICY_BYTES, bounded=False).function(node)
    made = _Counting(_loop_lines(node)).visit(made)
    made.decorator_list = []
    made.body.insert(0, ast.parse(f"_turns = {MOST_TURNS}").body[0])
    uncompiled = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
    if not uncompiled:  # a C function is given where the state lies and how many words it has
        made.args = copy.copy(made.args)
        made.args.args = [ast.arg("_state"), ast.arg("_words"), *made.args.args[1:]]
        made.body.insert(0, ast.parse("m = carray(_state, (_words,))").body[0])
    names = {name: np.uint64(value) for value, name in pool.items()}
    names |= _CALLS | {name: getattr(access, name) for name in _CHARGING} | {"_word": np.uint64, _RAISED: policy_raised, "carray": carray, "divided": divided, "remainder": remainder}
    exec(compile(ast.unparse(ast.fix_missing_locations(made)), "<policy>", "exec"), names)
    function = names["policy"]
    if uncompiled:
        UNCOMPILED.append(function)
        _MADE[id(code)] = code, len(UNCOMPILED), function
        return len(UNCOMPILED), function
    signature = types.uint64(types.CPointer(types.uint64), types.uint64, *[types.uint64] * (len(node.args.args) - 1))
    entry = cfunc(signature, nopython=True, error_model="numpy")(function)
    _MADE[id(code)] = code, entry.address, entry
    return entry.address, entry
