"""From the master solutions to the students' exercises, with nbgrader's own converter.

``python -m singlab.grading.convert`` writes ``exercises/`` anew from ``solutions/``; ``--check`` only says
whether they are up to date.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

#: What a student finds where the solution was, unless the cell's or the master's metadata have a ``stub`` of their own.
STUB = "# Write your answer here. As it stands, the server ends at once.\nreturn"
#: What the converter puts there first, since it knows one placeholder only.
_PLACE = "### PLACEHOLDER"


def student_version(master: Path) -> str:
    """Return the student's version of a master notebook, as the text of a notebook.

    Raises
    ------
    RuntimeError
        If nbgrader is missing or refuses the master.
    """
    try:
        from nbformat import from_dict
        from nbgrader.converters import GenerateAssignment
        from nbgrader.coursedir import CourseDirectory
        from nbgrader.utils import compute_checksum
        from traitlets.config import Config
    except ImportError:
        raise RuntimeError("making exercises needs nbgrader: pip install 'singlab[course]'") from None
    name = master.stem
    stub = json.loads(master.read_text(encoding="utf-8"))["metadata"].get("singlab", {}).get("stub", STUB)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        place = root / "source" / name
        place.mkdir(parents=True)
        shutil.copy(master, place / master.name)
        config = Config()
        config.CourseDirectory.root = str(root)
        config.CourseDirectory.assignment_id = name
        config.ClearSolutions.code_stub = {"python": _PLACE}
        config.CourseDirectory.db_url = f"sqlite:///{root / 'gradebook.db'}"
        config.GenerateAssignment.create_assignment = True
        converter = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config)
        path = os.environ.get("PATH", "")
        # it starts a command of its own, which lies beside this Python and need not be on the path
        os.environ["PATH"] = os.pathsep.join((sysconfig.get_path("scripts"), path))
        try:
            converter.start()
        except Exception as error:
            raise RuntimeError(f"{master} could not be converted: {error}") from error
        finally:
            os.environ["PATH"] = path
        node = json.loads((root / "release" / name / master.name).read_text(encoding="utf-8"))
    node["metadata"].pop("celltoolbar", None)
    node["metadata"].get("singlab", {}).pop("stub", None)
    for cell in node["cells"]:
        own = cell["metadata"].pop("singlab", {}).get("stub", stub)
        source = "".join(cell["source"])
        if _PLACE in source:
            cell["source"] = _filled(source, own)
            # nbgrader notices by the checksum that a cell was changed
            cell["metadata"]["nbgrader"]["checksum"] = compute_checksum(from_dict(cell))
            cell["source"] = cell["source"].splitlines(keepends=True)
    return json.dumps(node, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _filled(source: str, stub: str) -> str:
    """Return a cell's source with a stub, indented like it, where the placeholder is."""
    out = []
    for line in source.split("\n"):
        indent, place, _ = line.partition(_PLACE)
        out += [indent + part if part else part for part in stub.split("\n")] if place else [line]
    return "\n".join(out)


def main(arguments: list[str]) -> int:
    """Write or check the exercises of the checkout; returns the exit code."""
    from singlab.lectures import checkout

    root = checkout()
    if root is None:
        print("singlab: exercises are made in a checkout of the course, beside solutions/.", file=sys.stderr)
        return 1
    stale = []
    for master in sorted((root / "solutions").glob("*.ipynb")):
        target = root / "exercises" / master.name
        text = student_version(master)
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            stale.append(target.name)
            if "--check" not in arguments:
                target.write_text(text, encoding="utf-8")
    if stale:
        print(f"{'stale' if '--check' in arguments else 'written'}: {', '.join(stale)}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
