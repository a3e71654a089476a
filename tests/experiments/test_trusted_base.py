"""The trusted base: every file has a role, lines are counted as a reader would, and the roles agree with who may import whom."""

from __future__ import annotations

import ast

from singlab.experiments import trusted_base


def test_lines_are_those_with_code():
    text = '"""Module.\n\nMore.\n"""\n\n# a comment\nx = 1  # why\n\n\ndef f(a,\n      b):\n    """Doc."""\n    s = """two\n    lines"""\n    return s\n'
    assert trusted_base.lines_of(text) == 1 + 2 + 2 + 1
    assert trusted_base.lines_of("") == 0 and trusted_base.lines_of('"""Doc."""\n') == 0


def test_every_file_counts_once():
    found = trusted_base.files()
    assert found["file"].is_unique and len(found) == len(list(trusted_base.PACKAGE.rglob("*.py")))
    table = trusted_base.count()
    assert table["files"].sum() == len(found) and table["lines"].sum() == found["lines"].sum()
    assert (table["files"] > 0).all(), "no role is empty"
    assert abs(table["% of lines"].sum() - 100) < 1
    role = dict(zip(found["file"], found["role"], strict=True))
    for file, expected in {"sing/verifier.py": "verifier", "sing/sil_text.py": "SIL", "kernel/core/heap.py": "kernel core", "kernel/entry.py": "entry code",
                           "kernel/native.py": "native form", "sing/lower.py": "front end", "machine/hart.py": "machine",
                           "widgets/liveview.py": "experiments and lessons", "kernel/core/words.py": "native form"}.items():  # fmt: skip
        assert role[file] == expected, file


def test_the_roles_name_files_that_are_there():
    names = {path.stem for path in trusted_base.PACKAGE.rglob("*.py")}
    lists = [value for name, value in vars(trusted_base).items() if name.startswith("_") and isinstance(value, tuple)]
    assert {one for group in lists for one in group} <= names


def test_what_must_be_right_does_not_rest_on_the_front_end():
    """It imports nothing that counts as not needed, where it is loaded; so the count leaves nothing out. Errors and reports only speak,
    and ``build`` calls the front end before all the rest."""
    found = trusted_base.files().set_index("file")
    for file in found.index[found["role"].isin(["verifier", "SIL", "code generator", "optimiser"])].drop("sing/build.py"):
        for node in ast.parse((trusted_base.PACKAGE / file).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("singlab.sing."):
                other = f"sing/{node.module.split('.')[2]}.py"
                assert found.loc[other, "needed"] or other in ("sing/errors.py", "sing/report.py"), f"{file} imports {other}"


def test_the_plot_has_ours_and_theirs():
    figure = trusted_base.plot(trusted_base.count())
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "verifier" in labels and sum(label.startswith("paper: ") for label in labels) == 4
