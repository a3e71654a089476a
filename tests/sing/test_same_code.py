"""A program compiles to the same code in every process, whatever order sets of names happen to have there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import singlab

_TEXT = Path(singlab.__file__).parent / "experiments" / "workload_programs" / "strings.py"
_COMPILE = """
import hashlib, sys
from pathlib import Path
from singlab.sing import build, programs_from_source

image = build(programs_from_source(Path(sys.argv[1]).read_text(encoding="utf-8"), "strings.py").programs["strings"])
print(hashlib.sha256(image.code).hexdigest())
"""


def test_code_does_not_depend_on_the_order_of_sets():
    found = set()
    for seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        found.add(subprocess.run([sys.executable, "-c", _COMPILE, str(_TEXT)], capture_output=True, text=True, check=True, env=environment).stdout)
    assert len(found) == 1
