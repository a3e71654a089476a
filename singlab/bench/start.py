"""How long one waits: import, compilation, the first plot. Each run is a fresh Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from singlab.bench.harness import Row, repeat
from singlab.lectures import PACKAGE

_IMPORT = (
    "import json, time\n"
    "start = time.perf_counter()\n"
    "import numba\n"
    "middle = time.perf_counter()\n"
    "from singlab.kernel import System\n"
    "from singlab.sing import build\n"
    "System\n"
    "print(json.dumps(time.perf_counter() - middle))\n"
)
_PLOT = (
    "import json, time\n"
    "start = time.perf_counter()\n"
    "import matplotlib\n"
    "matplotlib.use('agg')\n"
    "from singlab.experiments import message_size\n"
    "import io\n"
    "message_size.plot(message_size.sweep(progress=False)).savefig(io.BytesIO())\n"
    "print(json.dumps(time.perf_counter() - start))\n"
)
_COMPILE = (
    "import json\n"
    "from singlab.warmup import warm_up\n"
    "print(json.dumps(warm_up(progress=False)))\n"
)  # fmt: skip


def fresh(code: str, cache: str | None = None) -> float:
    """Run code in a fresh Python and return the number it prints."""
    path = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    # numba reads this one before it is imported; the package sets it only if it comes first
    environment.setdefault("NUMBA_OPT", "1")
    if cache is not None:
        environment["SINGLAB_CACHE"] = cache
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(json.loads(out.stdout.splitlines()[-1]))


def _import() -> list[Row]:
    value, spread = repeat(lambda: fresh(_IMPORT))
    return [Row("import beyond numba's own, warm", value, "s", spread, goal=1.0)]


def _plot_warm() -> list[Row]:
    value, spread = repeat(lambda: fresh(_PLOT), runs=3)
    return [Row("first plot, warm cache", value, "s", spread, goal=3.0)]


def _cold() -> list[Row]:
    with tempfile.TemporaryDirectory() as cache:
        compile_ = fresh(_COMPILE, cache)
    with tempfile.TemporaryDirectory() as cache:
        plot = fresh(_PLOT, cache)
    return [
        Row("compile everything, cold cache", compile_, "s", (compile_, compile_), goal=30.0),
        Row("first plot, cold cache", plot, "s", (plot, plot)),
    ]


MEASUREMENTS = (_import, _plot_warm, _cold)
