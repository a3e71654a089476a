"""Grading: an answer is taken out of a notebook as source, built by the lab's own verifying toolchain and
examined on the simulated machine. A student's Python is never run.

Names are imported when first used.
"""

from importlib import import_module

_HOME = {"check": "grade", "grade_notebook": "grade", "grade_program": "grade", "GradingError": "answers", "Report": "report"}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
