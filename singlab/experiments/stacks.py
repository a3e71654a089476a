"""Linked stacks, measured: a loop at the end of a segment, what the tests cost, and what a thread's stack takes.

Every figure is a run's: cycles and instructions are the machine's, links the kernel's own count.
"""

from __future__ import annotations

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.sing import build, programs_from_source

_TEXT = """
@function
def work(n: u64) -> u64:
    if n > 1:
        return work(n - 1) + 1
    return n

@function
def down(depth: u64, turns: u64) -> u64:
    if depth > 0:
        return down(depth - 1, turns) + 1
    total: u64 = 0
    for i in range(turns):
        total = total + work(2)
    return total

@sip
def loop(depth: u64, turns: u64) -> u64:
    return down(depth, turns)

@function
def fib(n: u64) -> u64:
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)

@sip
def tree(n: u64) -> u64:
    return fib(n)
"""

#: A thread whose deepest way down is long, and that few take: one function for each level, each with many variables.
_LEVEL = """
@function
def level{i}(n: u64) -> u64:
{make}
    yield_()
    if n > {i}:
        x = {below}
    else:
        x = n
    return x{use}
"""


#: Takes memory and keeps it; how many pages are left then.
_LEFT = 16
_GREEDY = """
@sip
def greedy(size: u64):
    kept = new(u8, size)
    sleep(1_000_000_000_000)
    free(kept)
"""


def _programs(text: str):
    return programs_from_source(text, "stacks").programs


def _run(image, isolation: str, segment: str, profile: str, **arguments: int):
    """Run one program alone; returns its process, and cycles and instructions."""
    system = System(profile=profile, isolation=isolation, ram="8M", stack_segment=segment, trace=False)
    process = system.create(image, **arguments)
    run = system.run()
    return process, run.cycles, run.instructions


def segment_thrash(depths=None, turns: int = 200, segments=("4K", "16K"), isolation: str = "sip", profile: str = "athlon64"):
    """Let a loop call a small function from deeper and deeper in the stack.

    At one depth the loop stands at the end of a segment, so that each call links one and each return gives it back.

    Parameters
    ----------
    depths : iterable of int, optional
        How many calls the loop stands below the beginning; by default those around the end of a second segment of 4 KB.
    turns : int
        Turns of the loop.
    segments : iterable of str
        Sizes of a segment.
    isolation, profile : str

    Returns
    -------
    DataFrame
        A row for each size and depth: ``segment``, ``depth``, ``links`` (segments linked in the run) and ``cycles`` (of one turn of the loop, the
        run without turns taken off).
    """
    import pandas as pd

    image = build(_programs(_TEXT)["loop"])
    if depths is None:
        frame = next(about.frame for about in image.manifest.functions if about.name == "down")
        end = 2 * ((at.PAGE - at.HEADROOM - at.SMALL_NEED) // frame)
        depths = range(end - 8, end + 9)
    rows = []
    for segment in segments:
        for depth in depths:
            _, without, _ = _run(image, isolation, segment, profile, depth=depth, turns=0)
            process, cycles, _ = _run(image, isolation, segment, profile, depth=depth, turns=turns)
            rows.append({"segment": segment, "depth": depth, "links": process._field(at.P_LINKS), "cycles": (cycles - without) / turns})
    return pd.DataFrame(rows)


def tests_cost(n: int = 15, profile: str = "athlon64"):
    """Run a function that calls itself twice, with its test for room and without.

    Returns
    -------
    DataFrame
        A row for each: ``tests`` (bool), ``instructions``, ``cycles``, ``code`` (bytes).
    """
    import pandas as pd

    rows = []
    for tests in (True, False):
        image = build(_programs(_TEXT)["tree"], checks=tests)
        _, cycles, instructions = _run(image, "unchecked", "4K", profile, n=n)
        _, before, began = _run(image, "unchecked", "4K", profile, n=0)  # what every process costs, and the pages of its stack
        rows.append({"tests": tests, "instructions": instructions - began, "cycles": cycles - before, "code": len(image.code)})
    return pd.DataFrame(rows)


def thread_memory(levels: int = 12, variables: int = 60, threads: int = 16):
    """Start threads whose deepest way down is long, and let them take a short one, or all of it.

    Returns
    -------
    DataFrame
        A row for each ``way``: ``static`` (bytes of stack a thread has if its whole way down must fit) and ``linked``
        (bytes that a thread had at most, mean of all).
    """
    import pandas as pd

    make = "\n".join(f"    v{k} = n * {k + 1}" for k in range(variables))
    use = "".join(f" + v{k}" for k in range(variables))
    text = "".join(_LEVEL.format(i=i, make=make, use=use, below=f"level{i + 1}(n)" if i + 1 < levels else "n") for i in range(levels))
    started = "\n".join(f"    t{k} = thread(level0, n)" for k in range(threads))
    joined = " + ".join(f"join(t{k})" for k in range(threads))
    program = _programs(f"{text}\n@sip\ndef p(n: u64) -> u64:\n{started}\n    return {joined}\n")["p"]
    way_down = sum(about.frame for about in build(program).manifest.functions if about.name.startswith("level"))
    static = -(-(way_down + at.HEADROOM) // at.PAGE) * at.PAGE
    rows = []
    for way, n in (("short", 0), ("whole", levels + 1)):
        system = System(ram="16M", trace=False)
        process = system.create(build(program), n=n)
        system.start(process)
        most: dict[int, int] = {}
        while not system.done:
            system.run(cycles=2_000)
            for thread in process.threads()[1:]:
                pages = system.machine.load_u64(thread + at.T_STACK_PAGES)
                most[thread] = max(most.get(thread, 0), pages * at.PAGE)
        rows.append({"way": way, "static": static, "linked": sum(most.values()) / max(1, len(most))})
    return pd.DataFrame(rows)


#: What there is too little of.
SHORT_OF = ("nothing", "the stack's limit", "memory")


def last_segment(depth: int = 5000, isolation: str = "sip"):
    """Let a program call deeper than its stack can grow: because a stack has a limit, or because no memory is left.

    Whoever must be ended needs some stack for that. The kernel keeps one segment back for it, and gets it back.

    Returns
    -------
    DataFrame
        For each of ``SHORT_OF``: ``links``, whether the thread came ``on the kernel's segment``, how it ``ends``, whether the kernel
        ``has it back``, and how many disagreements the ``audit finds``.
    """
    import pandas as pd

    from singlab.kernel.audit import audit

    programs = _programs(_TEXT + _GREEDY)
    rows = []
    for short in SHORT_OF:
        system = System(isolation=isolation, ram="4M", stack_limit="4K" if short == SHORT_OF[1] else "8M")
        if short == SHORT_OF[2]:
            free = int((system.page_tags()[system._load(at.G_USER_FIRST) :] == 0).sum())
            system.create(build(programs["greedy"]), size=(free - _LEFT) * at.PAGE)
            system.run(cycles=10_000_000)
        process, kernels = system.create(build(programs["loop"]), depth=depth, turns=1), False
        while process.state in ("unstarted", "running") and system.step(16):
            kernels |= system._load(at.G_RESERVED) != 0
        ends = f"fault: {process.fault.message}" if process.fault else f"exit with {process.exit_value}"
        rows.append({"short of": short, "links": process._field(at.P_LINKS), "on the kernel's segment": kernels, "ends": ends,
                     "has it back": system._load(at.G_RESERVED) == 0, "audit finds": len(audit(system))})  # fmt: skip
    return pd.DataFrame(rows)


def plot_thrash(frame, axes=None):
    """Draw cycles of a turn against the loop's depth, a line for each size of segment; returns the axes."""
    import matplotlib.pyplot as plt

    axes = axes or plt.subplots(figsize=(7, 3.5))[1]
    for segment, part in frame.groupby("segment", sort=False):
        axes.plot(part["depth"], part["cycles"], marker="o", markersize=3, label=f"segments of {segment}")
    axes.set_xlabel("calls between the beginning and the loop")
    axes.set_ylabel("cycles of a turn")
    axes.set_yscale("log")
    axes.legend()
    return axes
