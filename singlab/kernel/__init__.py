"""The sealed microkernel: pages, threads, scheduler, processes, channels, exchange heap, ABI.

Names are imported when first used: the compiler needs the ABI table without the kernel behind it.
"""

from importlib import import_module

_HOME = {
    "Fault": "process", "InstallError": "loader", "KernelError": "system", "Process": "process", "Run": "system",
    "SealError": "image", "SealedImage": "image", "System": "system", "open_image": "image",
}  # fmt: skip
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
