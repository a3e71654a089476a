"""The sealed microkernel: pages, threads, scheduler, processes, channels, exchange heap, ABI."""

from singlab.kernel.image import SealedImage, SealError, open_image
from singlab.kernel.loader import InstallError
from singlab.kernel.process import Fault, Process
from singlab.kernel.system import KernelError, Run, System

__all__ = ["Fault", "InstallError", "KernelError", "Process", "Run", "SealError", "SealedImage", "System", "open_image"]
