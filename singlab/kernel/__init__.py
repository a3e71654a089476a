"""The sealed microkernel: pages, threads, scheduler, processes, channels, exchange heap, ABI.

Names are imported when first used: the compiler needs the ABI table without the kernel behind it.
"""

from singlab.lazy import lazy_names

_HOME = {
    "abi": "abitable", "Fault": "process", "InstallError": "manifest", "Installed": "loader", "KernelError": "system", "Process": "process", "Run": "system",
    "OpenProcess": "openprocess", "OpenProgram": "openprogram", "OpenSystem": "opensystem",
    "SealError": "image", "SealedImage": "image", "System": "system", "open_image": "image",
}  # fmt: skip
__all__ = sorted(_HOME)
__getattr__ = lazy_names(__name__, _HOME)
