"""Well-formed SIL, instructions on handles: events, mutexes, interrupts, device registers; names and principals."""

from __future__ import annotations

from singlab.kernel.layout import LONGEST_NAME, LONGEST_RULE, WAIT_MOST
from singlab.sing.sil import Function, Instr, Module, Reg
from singlab.sing.sil_form import need, of_type
from singlab.sing.types import BOOL, EVENT, INTERRUPT, IO_MEMORY, MUTEX, U8, U64, Endpoint, EndpointSet, Int, Vector

_WAITABLE = (EVENT, MUTEX, INTERRUPT)
_REGISTER_WIDTHS = (8, 16, 32)


def _check_new_event(instr: Instr, *_) -> None:
    of_type(instr.args[0], BOOL, instr)
    of_type(instr.dest, EVENT, instr)


def _check_new_mutex(instr: Instr, *_) -> None:
    of_type(instr.dest, MUTEX, instr)


def _check_event_set(instr: Instr, *_) -> None:
    of_type(instr.args[0], EVENT, instr)


_check_event_reset = _check_event_set


def _check_mutex_release(instr: Instr, *_) -> None:
    of_type(instr.args[0], MUTEX, instr)


def _waitable(regs, instr: Instr) -> None:
    for reg in regs:
        need(reg.type in _WAITABLE, f"{instr.op}: {reg} is {reg.type} where an event, a mutex or an interrupt is needed", instr.position, "types")


def _check_handle_close(instr: Instr, *_) -> None:
    _waitable(instr.args, instr)


def _check_wait(instr: Instr, function: Function, module: Module, *_) -> None:
    need(2 <= len(instr.args) <= 1 + WAIT_MOST, f"wait takes a time and one to {WAIT_MOST} objects", instr.position)
    need(instr.dest is not None, "wait gives a place", instr.position)
    of_type(instr.args[0], U64, instr)
    _waitable((reg for reg in instr.args[1:] if not isinstance(reg.type, (Endpoint, EndpointSet))), instr)
    of_type(instr.dest, U64, instr)


def _check_sleep(instr: Instr, *_) -> None:
    of_type(instr.args[0], U64, instr)


def _check_open_io(instr: Instr, *_) -> None:
    of_type(instr.args[0], U64, instr)
    of_type(instr.dest, INTERRUPT if instr.op == "open_interrupt" else IO_MEMORY, instr)


_check_open_interrupt = _check_open_dma = _check_open_io


def _check_dma_address(instr: Instr, *_) -> None:
    of_type(instr.args[0], IO_MEMORY, instr)
    of_type(instr.dest, U64, instr)


def _device_register(reg: Reg, instr: Instr) -> None:
    good = type(reg.type) is Int and not reg.type.signed and reg.type.bits in _REGISTER_WIDTHS
    need(good, f"{instr.op}: {reg} is {reg.type} where u8, u16 or u32 is needed", instr.position, "types")


def _check_io_read(instr: Instr, *_) -> None:
    of_type(instr.args[0], IO_MEMORY, instr)
    of_type(instr.args[1], U64, instr)
    _device_register(instr.dest if instr.op == "io_read" else instr.args[2], instr)


_check_io_write = _check_io_read


def _check_interrupt_ack(instr: Instr, *_) -> None:
    of_type(instr.args[0], INTERRUPT, instr)


# ---- names and principals ----------------------------------------------------------------------------------------


def _text(instr: Instr, most: int) -> None:
    text = instr.extra
    good = isinstance(text, str) and 1 <= len(text) <= most and text.isascii() and text.isprintable()
    need(good, f"{instr.op} has no text of at most {most} characters", instr.position)


def _endpoint(instr: Instr, module: Module, sides: tuple[str, ...]) -> None:
    of_type(instr.args[0], Endpoint, instr)
    need(instr.args[0].type.side in sides, f"{instr.op}: {instr.args[0]} is {instr.args[0].type}, not the other side", instr.position, "types")


def _check_name_register(instr: Instr, function: Function, module: Module, *_) -> None:
    _endpoint(instr, module, ("Imp",))
    of_type(instr.dest, BOOL, instr)
    _text(instr, LONGEST_NAME)


def _check_name_connect(instr: Instr, function: Function, module: Module, *_) -> None:
    _endpoint(instr, module, ("Exp",))
    of_type(instr.dest, BOOL, instr)
    _text(instr, LONGEST_NAME)
    contract = module.contracts[instr.args[0].type.contract]
    need(contract.turn(0) == "Exp", f"{contract.name}.Exp is handed over in state {contract.states[0]}, in which it is not its turn to send",
         instr.position, "contract.send-state")  # fmt: skip


def _check_principal(instr: Instr, *_) -> None:
    of_type(instr.dest, Vector(U8), instr)


def _check_peer_principal(instr: Instr, function: Function, module: Module, *_) -> None:
    _endpoint(instr, module, ("Imp", "Exp"))
    of_type(instr.dest, Vector(U8), instr)


def _check_principal_is(instr: Instr, function: Function, module: Module, *_) -> None:
    _endpoint(instr, module, ("Imp", "Exp"))
    of_type(instr.dest, BOOL, instr)
    _text(instr, LONGEST_RULE)


#: By instruction.
CHECKS = {name.removeprefix("_check_"): check for name, check in list(globals().items()) if name.startswith("_check_")}
