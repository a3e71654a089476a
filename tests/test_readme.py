"""What README and CONTRIBUTING say is true: commands exist, code runs, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from singlab.cli import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/language.md", "datasets/README.md"]


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_code_in_the_readme_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", _text("README.md"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines()[-1] == "45"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", _text(page)):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page):
    for name in re.findall(r"`((?:singlab|tests|notebooks|exercises|solutions|datasets|docs)/[\w./]*\w)`", _text(page)):
        if "NN" not in name:
            assert (ROOT / name).exists(), f"{page} names {name}"


def test_commands_that_are_named_exist():
    words = set()
    for page in PAGES:
        words |= set(re.findall(r"^\| `singlab (\w+)[^`]*`", _text(page), re.MULTILINE))
    assert words
    for word in words:
        assert CliRunner().invoke(app, [word, "--help"]).exit_code == 0, word


def test_make_targets_that_are_named_exist():
    targets = set(re.findall(r"^([\w-]+):", _text("Makefile"), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"`make ([\w-]+)`", _text(page))) <= targets
