"""The notebook extension: ``%load_ext singlab.sing`` gives the cell magic ``%%contract``.

A cell that begins with ``%%contract`` holds contracts in their own notation; each becomes a variable of
its name, and the last one is drawn. A refusal shows the located message and no traceback.
"""

from __future__ import annotations

from singlab.sing.contracts import parse_contracts


def load_ipython_extension(shell) -> None:
    """Register the magic with an IPython shell."""

    def contract_magic(line: str, cell: str):
        """Declare the contracts in this cell."""
        found = parse_contracts(cell, "cell", 2, shell.user_ns)
        shell.push(found)
        return list(found.values())[-1] if found else None

    shell.register_magic_function(contract_magic, "cell", "contract")


def unload_ipython_extension(shell) -> None:
    """Remove the magic."""
    shell.magics_manager.magics["cell"].pop("contract", None)
