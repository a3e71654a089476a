"""Where the kernel's sources and their costs lie."""

from pathlib import Path

CORE = Path(__file__).parent / "core"
CHARGES = Path(__file__).parent / "charges.json"
#: The functions as RV64 code, in hexadecimal, as boot puts it in place.
CORE_CODE = Path(__file__).parent / "core_code.hex"

#: In the order of their imports: each uses only what stands before it.
CORE_FILES = (
    "policies", "memory", "pages", "records", "domains", "stacks", "heap", "crossing", "scheduler", "endpoints", "waiting", "channels", "sets", "walker", "handles",
    "images", "timers", "objects", "hardware", "names", "processes", "threads", "calls", "stackcalls", "service", "children", "regions", "paging",
    "synchronisation", "directory", "interrupts",
    "spaces", "pipes", "tasks", "openfiles", "openmemory", "opens",
)  # fmt: skip
