"""The language: contracts, typed SIP programs, SIL, the verifier and sealed images.

Names are imported when first used, so that a plain import stays quick.
"""

from singlab.lazy import lazy_names

_HOME = {
    **dict.fromkeys(("contract", "Contract", "parse_contracts", "parse_lenient"), "contracts"),
    **dict.fromkeys(("explore_contract", "Behaviour"), "contract_explorer"), "promela": "contract_promela",
    "draw": "contract_svg",
    **dict.fromkeys(("sip", "function", "Program", "programs_from_source", "SourceUnit"), "program"),
    **dict.fromkeys(
        ("u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "ExVec", "new", "free", "cycles", "yield_", "thread", "join", "mark",
         "process_id", "cycles_per_second", "ChannelClosed", "exchange", "Borrowed", "copy", "fill", "char", "Array", "array", "to_vector",
         "to_array", "receive", "new_channel", "ESet", "Unsatisfiable", "Shared", "split", "truncate", "share", "Event", "Mutex", "event",
         "manual_event", "mutex", "wait_any", "sleep", "sleep_until", "thread_id", "thread_state", "IoMemory", "Interrupt", "io_memory",
         "interrupt", "dma_memory", "dma_address", "register", "connect", "principal", "peer_principal", "speaks_for", "create", "Child", "ProcessState"), "names"),
    **dict.fromkeys(("managed", "ClassProgram"), "classes"),
    **dict.fromkeys(("compile", "compile_program"), "frontend"), **dict.fromkeys(("explore", "Exploration"), "explorer"),
    "verify": "verifier", "Report": "verifier", "build": "build", "install": "install", "seal_module": "build",
    "SipError": "errors", "format_module": "sil_text", "parse_sil": "sil_text", "load_ipython_extension": "magic",
}  # fmt: skip
__all__ = sorted(_HOME.keys() - {"compile"})  # a starred import leaves Python's own compile alone
__getattr__ = lazy_names(__name__, _HOME)

# A submodule of the same name must not hide the function once it has been imported.
from singlab.sing.build import build  # noqa: E402
from singlab.sing.install import install  # noqa: E402
