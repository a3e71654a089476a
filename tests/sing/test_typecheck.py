"""Python's own tools on SIP programs: mypy accepts the course's and flags a wrong one; help() explains every word."""

from __future__ import annotations

import ast
import importlib
import inspect
import pydoc
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from running import SERVER, TALK

import singlab.sing
from singlab.sing import names
from singlab.sing.declaration import EXAMPLES
from singlab.sing.program import blank_magics

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "solutions").glob("ex*.ipynb")])
HEAD = "from singlab.sing import *\n\n"

WRONG = HEAD + TALK + """
@sip(name="wrong", interrupts=["one"])              # a text where a number is expected
def wrong(ch: Talk.Imp, n: u64) -> u64:
    text = n + "one"                                # a text added to a number
    total: u64 = "none"                             # a text that is to be a number
    lost = new(u8, "eight")                         # a length that is no number
    data = new(u8, 8)
    data["first"] = 1                               # an index that is no number
    data[0] = data                                  # a vector as an element
    free(n)                                         # a number given back
    nonsense(data)                                  # a function there is not
    half(n, n)                                      # an argument too many
    return text

@function
def half(n: u64) -> u64:
    return n // 2
"""


def programs(text: str) -> str:
    """Return a text's contracts, constants and programs alone."""
    def belongs(node: ast.stmt) -> bool:
        if isinstance(node, ast.FunctionDef):
            return bool(re.search(r"\b(sip|function)\b", " ".join(map(ast.unparse, node.decorator_list))))
        if isinstance(node, ast.ClassDef):
            return bool(re.search(r"\b(managed|exchange)\b", " ".join(map(ast.unparse, node.decorator_list))))
        return isinstance(node, ast.Assign) and (isinstance(node.value, ast.Constant) or ast.unparse(node.value).startswith("contract("))

    kept = [node for node in ast.parse(blank_magics(text)).body if belongs(node)]
    return "\n\n".join(ast.unparse(node) for node in kept)


def of_notebook(path: Path) -> str:
    """Return a notebook's programs; a contract from the cell magic is what contract() returns."""
    out = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        if cell.source.startswith("%%contract"):
            text = cell.source.partition("\n")[2]
            out += [f"{name} = contract({text!r})" for name in re.findall(r"^\s*contract\s+(\w+)", text, re.MULTILINE)]
        else:
            out.append(programs(cell.source))
    return "\n\n".join(out)


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    """Return a way to run mypy over texts: all in one run, since most of its time is its start."""
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("checked")
    (folder / "mypy.ini").write_text("[mypy]\nplugins = singlab.sing.typecheck\ndisable_error_code = return\n")

    def run(**texts: str) -> str:
        for name, text in texts.items():
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--no-error-summary", *(f"{name}.py" for name in texts)], cwd=folder, text=True,
            capture_output=True, check=False, env={"MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT), "PATH": ""},
        )  # fmt: skip
        assert done.returncode in (0, 1) and not done.stderr, done.stderr
        return done.stdout

    yield run
    shutil.rmtree(folder)


def test_mypy_accepts_the_courses_programs_and_flags_a_wrong_one(mypy):
    texts = {f"book{n}": HEAD + of_notebook(path) for n, path in enumerate(NOTEBOOKS)}
    texts = {name: text for name, text in texts.items() if "@sip" in text}  # measuring programs have words of their own
    readme = re.findall(r"programs_from_source\('''\n(.*?)'''\)", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    texts["readme"] = HEAD + readme[0]
    texts["talk"] = HEAD + TALK + SERVER
    texts["shared"] = HEAD + re.search(r"SOURCE = '''\n(.*?)'''", (ROOT / "tests/kernel/programs.py").read_text(), re.DOTALL)[1]
    assert sum("@sip" in text for text in texts.values()) >= 5
    said = mypy(**texts, wrong=WRONG).splitlines()
    assert [line for line in said if not line.startswith("wrong.py")] == []
    flagged = {int(line.split(":")[1]) for line in said if ": error:" in line}
    expected = {number for number, line in enumerate(WRONG.splitlines(), 1) if "    # a" in line}
    assert flagged == expected, "\n".join(said)


def test_the_stubs_name_everything_there_is():
    stub = {node.name if hasattr(node, "name") else node.target.id
            for path in ("singlab/sing/__init__.pyi", "singlab/sing/names.pyi")
            for node in ast.parse((ROOT / path).read_text()).body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AnnAssign))}  # fmt: skip
    assert set(WORDS) <= stub
    imported = {alias.asname for node in ast.parse((ROOT / "singlab/sing/__init__.pyi").read_text()).body
                if isinstance(node, ast.ImportFrom) for alias in node.names}  # fmt: skip
    assert set(WORDS) <= imported


def test_the_stub_takes_all_that_a_declaration_takes():
    tree = ast.parse((ROOT / "singlab/sing/__init__.pyi").read_text())
    taken = [[argument.arg for argument in node.args.kwonlyargs] for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "sip"]
    assert taken == [[], list(EXAMPLES)]


#: The words of the language.
WORDS = sorted(name for name in singlab.sing.__all__ if singlab.sing._HOME[name] == "names")


@pytest.mark.parametrize("word", WORDS)
def test_help_explains_a_word_with_an_example(word):
    shown = pydoc.render_doc(getattr(names, word), renderer=pydoc.plaintext)
    assert word in shown and ">>> " in shown
    source = "\n".join(re.findall(r"^ *(?:>>>|\.\.\.) ?(.*)", inspect.getdoc(getattr(names, word)), re.MULTILINE))
    assert word in source
    ast.parse(source)
    assert "_Word" not in shown and "__class_getitem__" not in shown


@pytest.mark.parametrize("name", sorted(n for n in singlab.sing.__all__ if n not in WORDS and n != "load_ipython_extension"))
def test_everything_else_has_a_docstring(name):
    value = getattr(importlib.import_module("singlab.sing"), name)
    assert value.__doc__ and len(value.__doc__) > 20
