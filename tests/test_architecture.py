"""The house rules that a program can hold: who imports whom, what files must not contain, what notebooks carry."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "singlab"

#: What each room may import besides itself; the command line may use everything.
MAY = {
    "machine": set(),
    "trace": {"machine"},
    "kernel": {"machine", "trace"},
    "runtime": {"machine", "trace", "kernel"},
    "sing": {"machine", "trace", "kernel"},
    "experiments": {"machine", "trace", "kernel", "sing"},
    "grading": {"machine", "trace", "kernel", "sing", "experiments", "lectures"},
    "widgets": {"trace"},
}
#: Of the kernel the language may know the ABI, system calls, formats of images and open programs, slots of policies, where sources lie; nothing that runs.
SING_MAY = {"abi", "image", "manifest", "layout", "heaplayout", "native_files", "core", "policyslots", "opencalls", "openprogram"}
#: Of traces it may know how a contract in them is drawn.
SING_TRACE_MAY = {"statemachine"}
#: numpy structures of a trace need the machine's constants, and only those.
TRACE_MAY = {"state", "jit"}


def _tracked() -> list[Path]:
    """Return the files of the project; in a checkout those git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0 and listed.stdout:
        return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    skip = {".venv", "build", "__pycache__", ".git", ".pytest_cache", ".hypothesis"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not skip & set(path.relative_to(ROOT).parts)]


def _imports(path: Path) -> set[str]:
    """Return the modules of the package that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("singlab")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("singlab"):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("room", MAY)
def test_rooms_import_only_downwards(room):
    wrong = []
    for path in sorted((PACKAGE / room).rglob("*.py")):
        for name in _imports(path):
            parts = name.split(".")
            target = parts[1] if len(parts) > 1 else ""
            if target not in MAY[room] | {room, "lazy"}:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
            if room == "sing" and target == "kernel" and parts[2] not in SING_MAY:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
            if room == "sing" and target == "trace" and parts[2] not in SING_TRACE_MAY:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
            if room == "trace" and target == "machine" and parts[2] not in TRACE_MAY:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_every_room_is_held():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and list(path.glob("*.py"))}
    assert rooms - {"bench"} == set(MAY)


def test_modules_say_what_they_are():
    silent = [
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*.py")
        if path.read_text(encoding="utf-8").strip() and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not silent, silent


def test_no_file_is_two_rooms():
    long = {str(p.relative_to(ROOT)): n for p in _tracked() if p.suffix in (".py", ".js") and (n := len(p.read_text(encoding="utf-8").splitlines())) > 600}
    assert not long, long


def test_compiled_code_goes_through_one_door():
    wrong = [
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*.py")
        if path.name != "jit.py" and re.search(r"@(numba\.)?n?jit\b(?!\()|numba\.n?jit|jitclass|objmode|forceobj", path.read_text(encoding="utf-8"))
    ]
    assert not wrong, wrong


def test_nothing_points_outside():
    """No addresses of package indexes, no paths of somebody's computer; links only where a reader follows them."""
    address = re.compile(r"https?://(?!127\.0\.0\.1|localhost)[\w.-]+|pypi\.org|pythonhosted|/(?:home|Users|root)/\w+|[A-Z]:\\\\Users")
    allowed = {"LICENSE", "tests/test_architecture.py"}
    # a namespace, not an address that anybody fetches
    names = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml")
    wrong = []
    for path in _tracked():
        name = path.relative_to(ROOT).as_posix()
        if name in allowed or path.suffix in (".png",):
            continue
        text = path.read_text(encoding="utf-8")
        for found in names:
            text = text.replace(found, "")
        wrong += [f"{name}: {match}" for match in address.findall(text)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", sorted(p for p in _tracked() if p.suffix == ".ipynb"), ids=lambda p: p.name)
def test_notebooks_are_committed_without_outputs(path):
    node = json.loads(path.read_text(encoding="utf-8"))
    assert node["nbformat"] == 4
    for cell in node["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None, f"{path.name}: clear its outputs"
    assert "widgets" not in node["metadata"]


def test_constraints_pin_everything_the_project_asks_for():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wanted = {re.split(r"[><=\[]", name)[0].lower() for name in re.findall(r'^\s+"([\w\[\]>=.-]+)",?$', text, re.MULTILINE)}
    wanted |= {"nbgrader", "hatchling"}
    pinned = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert {name for name in wanted if name and name[0].isalpha()} <= pinned | {"singlab", "notebooks", "exercises", "solutions", "datasets", "docs", "tests"}


def test_the_kernels_layout_says_everything_once():
    """A name given twice would silently move another table's fields; records are told apart by their magic numbers."""
    tree = ast.parse((PACKAGE / "kernel" / "layout.py").read_text(encoding="utf-8"))
    names = [
        name.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    ]
    assert sorted(names) == sorted(set(names))
    from singlab.kernel import layout

    magics = [value for name, value in vars(layout).items() if name.startswith("MAGIC_")]
    assert len(magics) == len(set(magics))
    variables = [value for name, value in vars(layout).items() if name.startswith("G_")]
    assert len(variables) == len(set(variables))
