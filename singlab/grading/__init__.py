"""Grading: an answer is taken out of a notebook as source, built by the lab's own verifying toolchain and
examined on the simulated machine. A student's Python is never run.

Names are imported when first used.
"""

from singlab.lazy import lazy_names

_HOME = {"check": "grade", "grade_notebook": "grade", "grade_program": "grade", "GradingError": "answers", "Report": "report"}
__all__ = sorted(_HOME)
__getattr__ = lazy_names(__name__, _HOME)
