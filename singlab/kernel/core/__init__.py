"""The kernel's own functions, in the machine-word subset of Python.

Every value is an unsigned 64-bit word; memory is reached through ``ld*`` and ``st*`` only; ``emit``
writes a trace event and is no part of the kernel proper. The files are read twice: numba compiles
them for the host (:mod:`singlab.kernel.native`), and the lab's own compiler makes RV64 code of them,
whose instruction counts are what the host version charges as it runs (``charges.json``).

One file, one mechanism: pages, records, heap, scheduler, channels, processes, threads, calls.
"""
