"""Any words to any system call: processes may come to harm, the kernel does not, and all memory comes back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from singlab.kernel import OpenProgram, System
from singlab.kernel import layout as at
from singlab.kernel.opencalls import OPEN_CALLS

WORDS = st.one_of(
    st.integers(0, 2**64 - 1),
    st.integers(0, 20),
    st.sampled_from([at.OPEN_DATA, at.OPEN_DATA + 8, at.OPEN_DATA + 4095, at.OPEN_TEXT, at.OPEN_MAP, at.OPEN_STACK - 8, at.OPEN_STACK, at.OPEN_STACK - 4096]),
    st.sampled_from([at.RAM_BASE, at.GLOBALS, at.PAGE_TAGS, at.RAM_BASE + at.WINDOW, 2**63, 2**64 - 1, 2**64 - 4096]),
    st.sampled_from([1, 4, 8, 4096, 4097, 8192, 65536, 1 << 24]),
)
CALLS = [call.number for call in OPEN_CALLS if call.name not in ("fork",)]
FORK = next(call.number for call in OPEN_CALLS if call.name == "fork")


def survives(calls, forks: int, seed: int) -> None:
    """Run what is asked for beside others of its kind, then end all; the kernel must be as it was."""
    text = []
    for _ in range(forks):
        text += [f"li a7, {FORK}", "ecall"]
    for number, words in calls:
        text += [f"li a{i}, {word}" for i, word in enumerate(words)] + [f"li a7, {number}", "ecall"]
    text += ["li a0, 0", "li a7, 0", "ecall"]
    system = System(personality="open", profile="untimed", ram="4M", seed=seed, quantum_us=20)
    names = "dat\0"
    system.register(OpenProgram.from_assembly(names.rstrip("\0"), "li a7, 0\necall"))
    image = OpenProgram.from_assembly("rogue", "\n".join(text))
    for _ in range(2):
        system.create(image)
    system.run(cycles=400_000)
    for process in system.processes:
        process.memory()
        process.files()
        process.stop()
    assert system.run().outcome == "finished"
    shared = sum(row.pages for row in system.shared_memory.itertuples())
    assert (system.page_tags()[system.machine.load_u64(at.G_USER_FIRST) :] != 0).sum() == shared
    assert system.machine.load_u64(at.G_TASKS) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(CALLS), st.lists(WORDS, min_size=6, max_size=6)), min_size=1, max_size=14), st.integers(0, 3))
def test_hostile_arguments_do_not_harm_the_kernel(calls, forks):
    survives(calls, forks, 0)
