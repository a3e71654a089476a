"""The oracle for programs with objects lies with the language's tests, the comparison of both forms with the kernel's."""

import sys
from pathlib import Path

for room in ("sing", "kernel"):
    sys.path.append(str(Path(__file__).parent.parent / room))
