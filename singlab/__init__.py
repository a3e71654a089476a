"""singlab: run, break and measure a Singularity-style operating system.

The rooms, from the bottom up: ``machine`` (the hardware), ``trace`` (the event record), ``kernel``,
``sing`` (the language), ``experiments``, ``grading``; ``widgets`` shows traces. ``import singlab`` alone
loads none of them.
"""

import sys

if sys.version_info < (3, 11):
    raise ImportError(
        "singlab needs Python 3.11 or newer; this is Python %d.%d. Install a newer one and start singlab with it."
        % sys.version_info[:2]
    )

__version__ = "0.1.0"
