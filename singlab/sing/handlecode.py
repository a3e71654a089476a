"""Code generation for regions and handles: vectors put apart, events, mutexes, time, device registers, interrupts, names."""

from __future__ import annotations

from singlab.kernel.abi import ABI_NUMBER, BLOCK_DATA, BLOCK_SIZE, E_BUSY, TIMED_OUT
from singlab.kernel.layout import WAIT_MOST
from singlab.sing.fieldcode import LOADS, STORES, power
from singlab.sing.raisecode import FAULT_MEMORY
from singlab.sing.sil import Instr, Reg
from singlab.sing.types import Endpoint, EndpointSet, Type, bytes_of

T0, T1, A0, A1, A2 = 5, 6, 10, 11, 12
FAULT_BOUNDS, FAULT_HANDLE, FAULT_DEVICE = 1, 26, 27

#: Operations of this part that may go to a fault stub without a call.
FAULTING = ("io_read", "io_write")


class HandleCode:
    """The part of a function's code generation that deals with regions and handles."""

    # ---- regions -----------------------------------------------------------------------------------------------

    def scaled(self, rd: int, count: int, element: Type) -> None:
        """Put into a register how many bytes so many elements take."""
        size = power(element)
        if size is None:
            self.immediate(T0, bytes_of(element))
            self.out.ins("mul", rd, count, T0)
        elif size:
            self.out.ins("slli", rd, count, size)
        else:
            self.move(rd, count)

    def within(self, count: Reg, limit: int, instr: Instr) -> None:
        """Fault unless a count is at most what a register holds."""
        self.out.branch("bltu", limit, self.read(count, A1), self.fault(FAULT_BOUNDS, instr))

    def length(self, rd: int, vector: Reg, element: Type) -> None:
        """Put a vector's length into a register."""
        self.out.ins("ld", rd, self.read(vector, A0), BLOCK_SIZE)
        self.elements(rd, rd, element)

    def op_split(self, instr: Instr, following, skip) -> None:
        vector, count = instr.args
        element = vector.type.element
        self.length(T1, vector, element)
        self.within(count, T1, instr)
        self.arguments([vector, count])
        self.scaled(A1, A1, element)
        self.out.abi(ABI_NUMBER[instr.op])
        self.out.branch("beq", A0, 0, self.fault(FAULT_MEMORY, instr))
        self.arrive(instr.results)

    op_truncate = op_split

    def op_share(self, instr: Instr, following, skip) -> None:
        vector, first, stop = instr.args
        element = vector.type.element
        self.length(T1, vector, element)
        self.within(stop, T1, instr)
        limit = self.read(stop, T1)
        self.within(first, limit, instr)
        self.arguments([vector, first, stop])
        self.scaled(A1, A1, element)
        self.scaled(A2, A2, element)
        self.out.abi(ABI_NUMBER["share"])
        self.out.branch("beq", A0, 0, self.fault(FAULT_MEMORY, instr))
        self.arrive(instr.results)

    # ---- synchronisation ---------------------------------------------------------------------------------------

    def made(self, name: str, arguments: list, fault: int, instr: Instr) -> None:
        """Call a function that gives a handle, or 0."""
        self.abi(name, *arguments)
        self.out.branch("beq", A0, 0, self.fault(fault, instr))
        self.write(instr.dest, A0)

    def done(self, name: str, instr: Instr) -> None:
        """Call a function of a handle that gives a status."""
        self.abi(name, *instr.args)
        self.out.branch("bne", A0, 0, self.fault(FAULT_HANDLE, instr))

    def op_new_event(self, instr: Instr, following, skip) -> None:
        self.made("create_event", [instr.args[0], 0], FAULT_MEMORY, instr)

    def op_new_mutex(self, instr: Instr, following, skip) -> None:
        self.made("create_mutex", [0], FAULT_MEMORY, instr)

    def op_event_set(self, instr: Instr, following, skip) -> None:
        self.done("set_event", instr)

    def op_event_reset(self, instr: Instr, following, skip) -> None:
        self.done("reset_event", instr)

    def op_mutex_release(self, instr: Instr, following, skip) -> None:
        self.done("release_mutex", instr)

    def op_handle_close(self, instr: Instr, following, skip) -> None:
        self.done("close_handle", instr)

    def op_interrupt_ack(self, instr: Instr, following, skip) -> None:
        self.done("ack_interrupt", instr)

    def op_wait(self, instr: Instr, following, skip) -> None:
        until, *handles = instr.args
        messages = any(isinstance(reg.type, (Endpoint, EndpointSet)) for reg in handles)
        if len(handles) == 1 and not messages:
            self.abi("wait_one", handles[0], until)
            self.move(A1, 0)
        else:
            self.abi("wait_first" if messages else "wait_any", until, *handles, *[0] * (WAIT_MOST - len(handles)))
        came = self.module.fresh()
        self.out.branch("beq", A0, 0, came)
        self.out.ins("addi", T0, 0, TIMED_OUT)
        self.out.branch("bne", A0, T0, self.fault(FAULT_HANDLE, instr))
        self.out.ins("addi", A1, 0, len(handles))
        self.out.label(came)
        self.write(instr.dest, A1)

    def op_sleep(self, instr: Instr, following, skip) -> None:
        self.abi("sleep_until", instr.args[0])

    def op_thread_id(self, instr: Instr, following, skip) -> None:
        self.abi("get_thread_id")
        self.write(instr.dest, A0)

    def op_thread_state(self, instr: Instr, following, skip) -> None:
        self.abi("get_thread_state", instr.args[0])
        self.write(instr.dest, A0)

    # ---- hardware ----------------------------------------------------------------------------------------------

    def op_open_io(self, instr: Instr, following, skip) -> None:
        self.made("get_io_memory", [instr.args[0]], FAULT_DEVICE, instr)

    def op_open_dma(self, instr: Instr, following, skip) -> None:
        self.made("get_dma_memory", [instr.args[0]], FAULT_DEVICE, instr)

    def op_dma_address(self, instr: Instr, following, skip) -> None:
        self.made("get_dma_address", [instr.args[0]], FAULT_DEVICE, instr)

    def op_open_interrupt(self, instr: Instr, following, skip) -> None:
        self.made("open_interrupt", [instr.args[0]], FAULT_DEVICE, instr)

    def device_register(self, instr: Instr, width: int) -> None:
        """Check that a register lies in a range and leave its address in t1."""
        out = self.out
        record, offset = self.read(instr.args[0], A0), self.read(instr.args[1], A1)
        out.ins("ld", T0, record, BLOCK_SIZE)
        out.branch("bgeu", offset, T0, self.fault(FAULT_BOUNDS, instr))
        if width > 1:
            out.ins("sub", T1, T0, offset)
            out.ins("sltiu", T1, T1, width)
            out.branch("bne", T1, 0, self.fault(FAULT_BOUNDS, instr))
        out.ins("ld", T1, record, BLOCK_DATA)
        out.ins("add", T1, T1, offset)

    def op_io_read(self, instr: Instr, following, skip) -> None:
        size = power(instr.dest.type)
        self.device_register(instr, 1 << size)
        rd = self.target(instr.dest)
        self.out.ins(LOADS[False][size], rd, T1, 0)
        self.write(instr.dest, rd)

    def op_io_write(self, instr: Instr, following, skip) -> None:
        size = power(instr.args[2].type)
        self.device_register(instr, 1 << size)
        self.out.ins(STORES[size], self.read(instr.args[2], A2), T1, 0)

    # ---- names and principals ----------------------------------------------------------------------------------

    def constant_text(self, instr: Instr) -> None:
        """Put a constant text's address into a1 and its length into a2."""
        content = instr.extra.encode()
        self.out.address(A1, self.module.text(content))
        self.immediate(A2, len(content))

    def op_name_register(self, instr: Instr, following, skip) -> None:
        self.arguments(list(instr.args))
        self.handed_over("register_name", instr)

    def op_name_connect(self, instr: Instr, following, skip) -> None:
        self.arguments(list(instr.args))
        self.handed_over("connect_name", instr)

    def handed_over(self, name: str, instr: Instr) -> None:
        """Hand the endpoint in a0 to the name service, again where others are first; one that comes back is closed."""
        out = self.out
        again, done, taken = self.module.fresh(), self.module.fresh(), self.module.fresh()
        out.label(again)
        self.constant_text(instr)
        out.abi(ABI_NUMBER[name])
        if name == "connect_name":
            self.immediate(T0, E_BUSY)
            out.branch("bne", A0, T0, done)
            self.move(A0, A1)
            out.jump(again)
            out.label(done)
        out.ins("sltiu", A0, A0, 1)
        out.branch("beq", A1, 0, taken)
        self.move(A0, A1)
        out.abi(ABI_NUMBER["close"])
        self.move(A0, 0)
        out.label(taken)
        self.write(instr.dest, A0)

    def op_principal(self, instr: Instr, following, skip) -> None:
        self.made("get_principal", [], FAULT_MEMORY, instr)

    def op_peer_principal(self, instr: Instr, following, skip) -> None:
        self.made("get_peer_principal", [instr.args[0]], FAULT_MEMORY, instr)

    def op_principal_is(self, instr: Instr, following, skip) -> None:
        self.arguments(list(instr.args))
        self.constant_text(instr)
        self.out.abi(ABI_NUMBER["match_principal"])
        self.write(instr.dest, A0)
