"""The command line: each thing that can go wrong gives one clear message and an exit code other than 0."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from singlab import cli, lectures
from singlab.cli import app
from singlab.machine.jit import DISABLED

ROOT = Path(__file__).resolve().parent.parent


def invoke(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_version():
    assert invoke("--version").output.startswith("singlab ")


def test_a_port_in_use_is_named(monkeypatch):
    monkeypatch.setattr(cli, "has_browser", lambda: True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = invoke("lab", "--port", str(port))
    assert result.exit_code == 1
    assert f"port {port} is in use" in result.output and "--port" in result.output


@pytest.mark.parametrize("port", [-1, 65536, 100_000])
def test_a_port_that_is_none(port):
    result = invoke("lab", "--no-browser", f"--port={port}")
    assert result.exit_code == 1 and "is not a port" in result.output


def test_without_a_port_the_next_free_one_is_taken(monkeypatch):
    busy = {cli._FIRST_PORT, cli._FIRST_PORT + 1}
    monkeypatch.setattr(cli, "port_is_free", lambda port: port not in busy)
    assert cli.choose_port(None) == cli._FIRST_PORT + 2


def test_no_browser(monkeypatch):
    monkeypatch.setattr(cli, "has_browser", lambda: False)
    result = invoke("lab")
    assert result.exit_code == 1
    assert "no web browser" in result.output and "--no-browser" in result.output


def test_an_old_python_is_told_what_to_do(tmp_path):
    """The entry must be readable by an old Python: it is parsed with an old grammar and run under a false version."""
    import ast

    for name in ("__init__.py", "__main__.py"):
        ast.parse((ROOT / "singlab" / name).read_text(encoding="utf-8"), feature_version=(3, 6))
    code = "import sys; sys.version_info = (3, 9, 2, 'final', 0)\nimport runpy; runpy.run_module('singlab', run_name='__main__')"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "needs Python 3.11 or newer" in result.stderr and "3.9" in result.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this computer")
def test_make_tells_an_old_python(tmp_path):
    old = tmp_path / "oldpython"
    old.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'import sys; sys.version_info = (3, 8, 1); sys.version = \"3.8.1 old\"; exec(sys.argv[1])' \"$2\"\n")
    old.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    result = subprocess.run(["make", f"PYTHON={old}", "lab"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "needs Python 3.11 or newer" in result.stderr
    assert not (tmp_path / ".venv").exists()


def test_bench_speaks_one_form(monkeypatch):
    from singlab.bench import kernel

    monkeypatch.setattr(kernel, "_SIPS", (4, 20))
    monkeypatch.setattr(kernel, "_ROUNDS", 200)
    result = invoke("bench", "kernel", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert set(found) == {"area", "machine", "rows"}
    for row in found["rows"]:
        assert set(row) == {"name", "value", "unit", "spread", "peer", "peer_value", "ratio", "goal", "met"}
        assert row["spread"][0] <= row["value"] <= row["spread"][1]


def test_bench_of_an_unknown_area():
    result = invoke("bench", "weather")
    assert result.exit_code == 1 and "machine" in result.output


def test_doctor_finds_what_is_missing(monkeypatch):
    from singlab import doctor

    assert invoke("doctor").exit_code == 0
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "anywidget" else "1")
    result = invoke("doctor")
    assert result.exit_code == 1 and "pip install anywidget" in result.output


def test_grade_says_why_it_cannot(tmp_path):
    torn = tmp_path / "torn.ipynb"
    torn.write_text((ROOT / "exercises" / "ex00_first_sip.ipynb").read_text()[:900])
    before = torn.read_text()
    result = invoke("grade", str(torn), str(tmp_path / "missing.ipynb"))
    assert result.exit_code == 1
    assert "is not a notebook" in result.output and "does not exist" in result.output
    assert torn.read_text() == before


def test_lectures_are_laid_out_and_never_overwritten(tmp_path):
    lectures.lay_out(tmp_path)
    lecture = tmp_path / lectures.FIRST_LECTURE
    lecture.write_text("mine")
    lost = tmp_path / "datasets" / "message_size.csv"
    lost.unlink()
    assert lectures.lay_out(tmp_path) == [lost]
    assert lecture.read_text() == "mine"


def test_import_is_quiet_and_light():
    """``import singlab`` loads no room, and compiles nothing."""
    code = "import sys, singlab; print([m for m in sys.modules if m.startswith('singlab.') or m in ('numba', 'pandas')])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ)
    assert found.stdout.strip() == "[]" and not found.stderr


def test_collectors_of_an_unknown_size():
    result = invoke("collectors", "--size", "huge")
    assert result.exit_code == 1 and "small, teaching, large" in " ".join(result.output.split())


@pytest.mark.skipif(DISABLED, reason="long runs")
def test_collectors_on_the_command_line(tmp_path):
    result = invoke("collectors", "--size", "small", "--workers", "1", "--json", "--plot", str(tmp_path / "matrix.png"))
    rows = json.loads(result.stdout)
    assert result.exit_code == 0 and {row["workload"] for row in rows} >= {"trees", "compiler"} and (tmp_path / "matrix.png").stat().st_size > 10_000
