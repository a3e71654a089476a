"""A process's collector and the kernel's have nothing to do with each other; the other half is in tests/kernel/test_kernel_heap.py."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import GRAPH, program

from singlab.kernel import System
from singlab.kernel import heaplayout as hp
from singlab.kernel import layout as at


@pytest.mark.parametrize("collector", hp.COLLECTORS[2:])
def test_a_processs_collector_looks_at_no_object_of_the_kernels(collector):
    results = []
    for scrambled in (False, True):
        system = System(ram="8M", collect_every=True)
        process = system.create(program(GRAPH, collector), n=4_020)
        while system.heap(process) is None or system.heap(process).collections < 3:
            system.advance(1)
        pages = np.flatnonzero(system.page_tags() == at.TAG_KERNEL_HEAP)
        assert len(pages)
        for page in pages if scrambled else ():
            system.machine.write(at.RAM_BASE + int(page) * at.PAGE, b"\xa5" * at.PAGE)
        before = system.heap(process).collections
        while system.heap(process).collections < before + 3:
            system.advance(1)
        results.append(system.heap(process))
        assert not scrambled or all(system.machine.read(at.RAM_BASE + int(page) * at.PAGE, at.PAGE) == b"\xa5" * at.PAGE for page in pages)
    assert results[0] == results[1]
