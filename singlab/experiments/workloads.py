"""Workloads for the collectors: seven programs in the SIP language that allocate in seven ways.

Their texts are in ``workload_programs/``, their parameters in ``datasets/workloads.csv``, in three sizes. Every program
computes a result that depends on all it has built and on the seed, so a collector that loses or mixes up an
object is found out by the number.

What it leaves out: text and objects of real programs, whose sizes and ages are not as regular as these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from singlab.experiments.datasets import load_dataset
from singlab.kernel import System
from singlab.kernel.image import SealedImage
from singlab.kernel.process import Process
from singlab.sing import Program, build, programs_from_source

SIZES = ("small", "teaching", "large")
_FOLDER = Path(__file__).resolve().parent / "workload_programs"


@dataclass(frozen=True)
class Workload:
    """A program that allocates, with its parameters in three sizes.

    Attributes
    ----------
    name : str
        Its name, which its file has too.
    what : str
        What it does, in a sentence.
    parameters : dict
        Size to program to parameter to value. The first program is the one whose heap is of interest.
    """

    name: str
    what: str
    parameters: dict[str, dict[str, dict[str, int]]]

    @property
    def source(self) -> str:
        """The text of its program."""
        return (_FOLDER / f"{self.name}.py").read_text(encoding="utf-8")

    def programs(self, collector: str = "") -> dict[str, Program]:
        """Return its programs by name, with a collector in their manifests if one is given."""
        return _programs(self.name, collector)

    def images(self, collector: str = "") -> dict[str, SealedImage]:
        """Return the sealed images of its programs by name, with a collector in their manifests if one is given."""
        return _images(self.name, collector)

    def start(
        self, system: System, size: str = "teaching", seed: int = 1, collector: str = "", heap_bytes: int | None = None, **changed: int
    ) -> list[Process]:
        """Create its processes in a system and connect them.

        Parameters
        ----------
        system : System
            Where they run; they start with the next ``run``.
        size : {"small", "teaching", "large"}
            Which parameters.
        seed : int
            What the program's random choices begin with.
        collector : str
            What collects its processes' heaps; the system's choice by default.
        heap_bytes : int, optional
            Most bytes of each process's heap.
        **changed : int
            Parameters that are to be others than the size says.

        Returns
        -------
        list of Process
            Its processes, the one whose heap is of interest first; the last one's exit value is the workload's result.

        Raises
        ------
        ValueError
            If there is no such size or parameter.
        """
        if size not in self.parameters:
            raise ValueError(f"there is no size {size!r}; the sizes are {', '.join(SIZES)}")
        known = {name for program in self.parameters[size].values() for name in program}
        unknown = sorted(set(changed) - known)
        if unknown:
            raise ValueError(f"workload {self.name} has no parameter {unknown[0]!r}; it has {', '.join(sorted(known))} and seed")
        made = []
        for program, values in self.parameters[size].items():
            image = self.images(collector)[program]
            given = {**values, **{name: value for name, value in changed.items() if name in values}}
            if any(parameter.name == "seed" for parameter in image.manifest.parameters):
                given["seed"] = seed
            made.append(system.create(image, heap_bytes=heap_bytes, **given))
        if len(made) == 2:
            system.connect(made[1]["ch"], made[0]["ch"])
        return made

    def __repr__(self) -> str:
        return f"<Workload {self.name}: {self.what}>"


@cache
def _programs(name: str, collector: str) -> dict[str, Program]:
    workload = workloads()[name]
    text = workload.source.replace("@sip\n", f'@sip(collector="{collector}")\n') if collector else workload.source
    unit = programs_from_source(text, f"{name}.py")
    return {program: unit.programs[program] for program in workload.parameters["small"]}


@cache
def _images(name: str, collector: str) -> dict[str, SealedImage]:
    return {name: build(program) for name, program in _programs(name, collector).items()}


@cache
def workloads() -> dict[str, Workload]:
    """Return all workloads by name."""
    table = load_dataset("workloads.csv")
    found = {}
    for name, rows in table.groupby("workload", sort=False):
        parameters: dict = {size: {} for size in SIZES}
        for row in rows.to_dict("records"):
            for size in SIZES:
                parameters[size].setdefault(row["program"], {})[row["parameter"]] = int(row[size])
        text = (_FOLDER / f"{name}.py").read_text(encoding="utf-8")
        found[name] = Workload(name, text[3 : text.index("\n")].rstrip("."), parameters)
    return found


def workload_runs(size: str = "small", seed: int = 1, isolation: str = "sip", ram: str = "64M", **options):
    """Run every workload to its end and see what that takes.

    Returns
    -------
    pandas.DataFrame
        A row a workload: its ``result``, and the ``instructions`` and ``cycles`` of the whole run.
    """
    import pandas as pd

    rows = []
    for workload in workloads().values():
        system = System(isolation=isolation, ram=ram, **options)
        made = workload.start(system, size, seed)
        run = system.run()
        if run.outcome != "finished" or made[-1].exit_value is None:
            raise RuntimeError(f"workload {workload.name} does not come to its end: {run.report}")
        counters = system.machine.counters()
        rows.append({"workload": workload.name, "result": made[-1].exit_value, "instructions": counters["instructions"],
                     "cycles": counters["cycles"]})  # fmt: skip
    return pd.DataFrame(rows)
