"""A plugin for mypy: ``C = contract(...)`` makes a name that annotations may use, as in ``ch: C.Exp``.

To a checker ``C`` is a variable, and variables are no types; to the language it is a contract with two sides and
messages. The plugin says that it is open (``Any``): the sides are types, the messages can be built and matched. What
a contract allows is the compiler's to say. Turn it on in ``pyproject.toml``::

    [tool.mypy]
    plugins = ["singlab.sing.typecheck"]

Leaves out the types of messages' arguments. Only mypy imports this module.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy.nodes import GDEF, SymbolTableNode, Var
from mypy.plugin import DynamicClassDefContext, Plugin
from mypy.types import AnyType, TypeOfAny

CONTRACT = ("singlab.sing.contract", "singlab.sing.contracts.contract")


def _open(context: DynamicClassDefContext) -> None:
    """Declare the name that a contract is assigned to as open."""
    variable = Var(context.name, AnyType(TypeOfAny.explicit))
    variable._fullname = context.api.qualified_name(context.name)
    context.api.add_symbol_table_node(context.name, SymbolTableNode(GDEF, variable))


class ContractPlugin(Plugin):
    """Makes contracts known."""

    def get_dynamic_class_hook(self, fullname: str) -> Callable[[DynamicClassDefContext], None] | None:
        return _open if fullname in CONTRACT else None


def plugin(version: str) -> type[Plugin]:
    """Return the plugin; mypy calls this."""
    return ContractPlugin
