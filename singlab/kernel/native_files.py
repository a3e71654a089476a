"""Where the kernel's sources and their costs lie."""

from pathlib import Path

CORE = Path(__file__).parent / "core"
RUNTIME = Path(__file__).parent.parent / "runtime"
CHARGES = Path(__file__).parent / "charges.json"
#: The functions as RV64 code, in hexadecimal, as boot puts it in place.
CORE_CODE = Path(__file__).parent / "core_code.hex"

#: Those that are the runtime of SIPs and of the kernel's heap: compiled together with the kernel, charged by the same rule.
RUNTIME_FILES = (
    "kernelroots", "stackwalk", "objectforms", "semispace", "marksweep", "compact", "generational", "concurrent", "adaptive", "booking", "collecting", "kernelcollecting",
)  # fmt: skip
#: In the order of their imports: each uses only what stands before it.
CORE_FILES = (
    "policies", "memory", "pages", "records", "domains", "stacks", "heappolicies", "objectheaps", "freeruns", "kernelheap", "heap", "crossing", "scheduler", "timers", "objects", "endpoints", "waiting", "channels", "sets", "walker",
    "handles", "images", "hardware", "dma", "names", "principals", "processes", "threads", "calls", "stackcalls", "service", "children", "regions", "paging",
    "synchronisation", "waitfirst", "directory", "interrupts",
    "spaces", "pipes", "tasks", "openfiles", "openmemory", "opens",
    *RUNTIME_FILES,
)  # fmt: skip


def source_path(file: str) -> Path:
    """Return where the source of a file of functions lies."""
    return (RUNTIME if file in RUNTIME_FILES else CORE) / f"{file}.py"


def module_name(file: str) -> str:
    """Return the name of the module that a file of functions is for Python."""
    return f"singlab.runtime.{file}" if file in RUNTIME_FILES else f"singlab.kernel.core.{file}"
