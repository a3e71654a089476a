"""The notebook extension: ``%load_ext singlab.sing`` gives the cell magic ``%%contract``.

A cell that begins with ``%%contract`` holds contracts in their own notation; each becomes a variable of
its name, and each is drawn. It may extend contracts of the same cell and of cells that have run. A refusal
shows the located message and no traceback.
"""

from __future__ import annotations

from IPython.display import display

from singlab.sing.contracts import parse_contracts
from singlab.sing.errors import SipError


def _with_a_body(lines: list[str]) -> list[str]:
    """Give a ``%%contract`` that stands alone in its cell an empty line: IPython runs no cell magic without a body, and says so in words of its own."""
    text = "".join(lines).strip()
    alone = text.split(None, 1)[:1] == ["%%contract"] and "\n" not in text
    return [text + "\n", "\n"] if alone else lines


def load_ipython_extension(shell) -> None:
    """Register the magic with an IPython shell."""

    def contract_magic(line: str, cell: str):
        """Declare the contracts in this cell."""
        if line.strip():
            raise SipError("contract.syntax", f"{line.strip()!r} stands behind %%contract", filename="cell", line=1,
                           column=len("%%contract ") + 1, source_line=f"%%contract {line.strip()}",
                           hint="leave the first line alone and write the contracts below it")  # fmt: skip
        found = parse_contracts(cell, "cell", 2, shell.user_ns)
        shell.push(found)
        *before, last = found.values()
        for one in before:
            display(one)
        return last

    shell.register_magic_function(contract_magic, "cell", "contract")
    transformers = getattr(shell, "input_transformers_cleanup", [])
    if _with_a_body not in transformers:
        transformers.insert(0, _with_a_body)


def unload_ipython_extension(shell) -> None:
    """Remove the magic."""
    shell.magics_manager.magics["cell"].pop("contract", None)
    transformers = getattr(shell, "input_transformers_cleanup", [])
    if _with_a_body in transformers:
        transformers.remove(_with_a_body)
