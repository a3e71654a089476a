"""The oracle for programs with objects lies with the language's tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "sing"))
