"""The runtime of each SIP: the collectors of its heap of objects.

Its functions are written in the kernel's subset of Python and exist in the same two forms, so a collection costs what its
RV64 code would: instructions, lines, memory. ``stackwalk`` finds the roots, ``objectforms`` reads the image's type table,
``collecting`` is what an allocation without room comes to and where a collector is added; each collector is a file.

What it leaves out: the real system links a collector into each SIP, where it runs with the SIP's own rights. Here it runs
behind a call of the kernel, which looks at the page tag of each word before it takes it for a reference.
"""
