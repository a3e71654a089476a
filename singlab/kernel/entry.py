"""The kernel's entry code: the ABI vector, the trap handler and the context switch, in RV64 assembly.

This code runs on the simulated machine instruction by instruction. Where it would call a kernel
function it executes a ``hook``, at which the native form of that function runs and charges its cost.

Three forms are made, the first two without and with pages. In ring 0 a SIP calls the vector directly; interrupts are off inside. In ring 3 it
executes ``ecall`` with the function's number in a7 and comes here through the trap. In the setting "mixed" both happen, and the
thread's record says which way goes back. From physical memory, where satp is 0, the kernel comes to its own page table first, for its
functions need the window, and what calls them goes back without one: all that this code itself touches is at the same address
in both. ``tp`` holds the
running thread's record while the kernel runs (in ring 0, always), ``sscratch`` holds it otherwise. An
ABI call preserves sp and s0 to s11 only, so a thread that blocks in one saves no more than that;
an interrupted thread saves everything. gp, where the thread's stack ends, is known from its record. The two calls that
link and unlink a segment of the stack preserve a function's arguments and results as well.

With pages a switch to a thread of another domain writes satp. An end of a process leaves its page table before the
kernel gives that back. Where the kernel has taken pages out of a domain, the buffers are emptied before anybody
runs again.
"""

from __future__ import annotations

from singlab.kernel import layout as at
from singlab.kernel.abi import ABI, ABI_NUMBER
from singlab.kernel.isolation import Isolation
from singlab.machine.asm import assemble, encode

VECTOR = at.TEXT_BASE + 0x800  #: where the ABI vector starts
STUB_BYTES = 128  #: room for each of its entries

_BRANCH_REACH = 4096  #: bytes a conditional branch goes back; an entry further on jumps to the switch code
_CALLEE_SAVED = (2, 8, 9, *range(18, 28))  # sp, s0 to s11
_RESULTS = range(10, 15)  # a0 to a4
_GP = 3  # where the newest segment of the thread's stack ends
_SPP = 1 << 8  # of sstatus: sret goes to ring 0
#: Where both are: look whether what calls the kernel has a page table, and give it the kernel's own if not.
_FROM_PHYSICAL = "csrr t5, satp\nbeqz t5, physical{0}\ntranslated{0}:"
_INTO_KERNEL = "physical{0}:\njal t5, into_kernel\nj translated{0}"


def abi_entry(number: int) -> int:
    """Return the address at which a direct call enters ABI function ``number``."""
    return VECTOR + number * STUB_BYTES


def inlined(number: int) -> tuple[int, int] | None:
    """Return the two instructions that do the work of ABI function ``number`` where they stand, in ring 0; None if it is called.

    Trusted code put into a program when it is installed, as the papers' privileged helpers are. Only what needs nothing
    but the running thread's record fits: ``tp`` holds it in ring 0, always.
    """
    if ABI[number].name == "get_process_id":
        return encode("ld", 10, 4, at.T_PROCESS), encode("ld", 10, 10, at.P_ID)
    return None


def _move(op: str, registers) -> str:
    return "\n".join(f"{op} x{r}, {at.T_CONTEXT + 8 * r}(tp)" for r in registers)


def _resume(isolation: Isolation, other: str) -> str:
    """Return the way back to what called the kernel, at the address in ra; ``other`` is where other ways begin, where there are several."""
    call = "csrrsi x0, sstatus, 2\nret"
    if isolation.mixed:
        return f"ld t5, {at.T_WAY}(tp)\nbnez t5, {other}\n{call}"
    return "csrw sepc, ra\nli tp, 0\nsret" if isolation.ring3 else call


#: With pages: leave the domain of a process that ends.
_LEAVE_DOMAIN = f"la t3, {at.G_SATP}\nld t4, 0(t3)\ncsrw satp, t4"
#: Forget translations that no longer hold, where there may be such; what is rare stands out of the way.
_FENCE = f"la t3, {at.G_FENCE}\nld t4, 0(t3)\nbnez t4, forget\nall_hold:"
_FORGET = "forget:\nsd x0, 0(t3)\nsfence.vma\nj all_hold"
_FORGET_PAGES = f"la t3, {at.G_FENCE}\nld t4, 0(t3)\nbeqz t4, mapped\nsd x0, 0(t3)\nsfence.vma\nmapped:"
#: Set the timer to the end of the quantum, or to when the first sleeper wakes if that is sooner.
_SET_TIMER = f"""la t3, {at.G_WAKE}
ld t5, 0(t3)
ld t4, {at.G_QUANTUM_END - at.G_WAKE}(t3)
bgeu t5, t4, timer_set
mv t4, t5
timer_set:
csrw stimecmp, t4"""
#: ABI functions that can take pages out of a domain, or put some in where others were.
_UNMAPPING = ("send", "free", "close", "free_pages", "extend_pages", "get_room", "get_io_memory", "close_handle")


def _stack_code(isolation: Isolation) -> str:
    """Return what links and unlinks a segment of the stack: a function's arguments and results pass by, and t6, t1, t2 with them."""
    kept = (6, 7, *range(10, 17), 31)
    leave = _resume(isolation, "other_way")
    physical, kernel = ([[text.format(f"_{name}") for name in ("link", "unlink")] for text in (_FROM_PHYSICAL, _INTO_KERNEL)]
                        if isolation.mixed else [["", ""]] * 2)  # fmt: skip
    fence = f"la t3, {at.G_FENCE}\nld t4, 0(t3)\nbeqz t4, stack_mapped\nsd x0, 0(t3)\nsfence.vma\nstack_mapped:" if isolation.paged else ""
    return f"""
link_stack:                         # t1 = bytes, t2 = return address; gives t1 = status
    sd ra, {at.T_PC}(tp)
    sd sp, {at.T_CONTEXT + 16}(tp)
{_move("sd", kept)}
    {physical[0]}
    mv a0, t1
    mv a1, t2
    hook {ABI_NUMBER["allocate_stack_segment"]}
    sd a0, {at.T_CONTEXT + 8 * 6}(tp)
    j stack_restore
unlink_stack:                       # t1 = what t0 shall be, t6 = what a7 shall be
    sd ra, {at.T_PC}(tp)
    sd sp, {at.T_CONTEXT + 16}(tp)
{_move("sd", kept)}
    {physical[1]}
    hook {ABI_NUMBER["free_stack_segment"]}
    {fence}
stack_restore:
{_move("ld", (2, _GP, *kept))}
    mv t0, t1
    mv a7, t6
    ld ra, {at.T_PC}(tp)
    {leave}
{kernel[0]}
{kernel[1]}
"""


def _switch_code(isolation: Isolation) -> str:
    """Return the trap handler, the context switch and the idle loop."""
    ring3, paged = isolation.ring3, isolation.paged
    enter_domain = f"""
    ld t4, {at.T_PROCESS}(tp)
    ld t4, {at.P_SATP}(t4)
    csrr t5, satp
    bne t4, t5, other_domain
same_domain:"""
    apart = f"""
other_domain:
    csrw satp, t4
    j same_domain
{_FORGET}"""
    resume = _resume(isolation, "other_way")
    other_way = f"""other_way:                          # to user mode, though the last trap may have come from ring 0; or to physical memory
    addi t5, t5, {-at.KIND_RING3}
    bnez t5, to_physical
    li t5, {_SPP}
    csrc sstatus, t5
    csrw sepc, ra
    li tp, 0
    sret
to_physical:
    csrw satp, x0
    csrrsi x0, sstatus, 2
    ret
into_kernel:                        # t5 = where to go on
    la t3, {at.G_SATP}
    ld t4, 0(t3)
    csrw satp, t4
    jr t5
{_INTO_KERNEL.format("")}"""
    others = [r for r in range(1, 32) if r not in (4, 30)]
    return f"""
trap:                               # interrupts, faults and, in ring 3, ABI calls
    csrrw tp, sscratch, tp
    sd t5, {at.T_CONTEXT + 8 * 30}(tp)
    csrr t5, scause
    addi t5, t5, -8
    beqz t5, ecall
full_save:
{_move("sd", others)}
    csrr t5, sscratch
    sd t5, {at.T_CONTEXT + 8 * 4}(tp)
    csrw sscratch, tp
    csrr a1, sepc
    sd a1, {at.T_PC}(tp)
    csrr t5, sstatus
    sd t5, {at.T_STATUS}(tp)
    li t5, 1
    sd t5, {at.T_FULL}(tp)
    {_FROM_PHYSICAL.format("") if isolation.mixed else ""}
    csrr a0, scause
    bltz a0, timer
    {_LEAVE_DOMAIN if paged else ""}
    hook {at.HOOK_FAULT}
    {_FENCE if paged else ""}
    j pick
timer:
    slli t5, a0, 1
    addi t5, t5, -2
    beqz t5, operator
    csrr a1, cycle
    hook {at.HOOK_TIMER}
    {_SET_TIMER}
pick:
    la t3, {at.G_CURRENT}
    ld t2, 0(t3)
    j switch_in
ecall:                              # t registers and tp are the caller's to lose
    sltiu t5, a7, {len(ABI)}
    beqz t5, bad_call
    csrw sscratch, tp
    csrr ra, sepc
    addi ra, ra, 4
    la t4, {VECTOR}
    slli t5, a7, {STUB_BYTES.bit_length() - 1}
    add t5, t5, t4
    jr t5
bad_call:
    j full_save
switch_out:                         # tp = thread that stops, its resume address saved; t2 = thread to run
{_move("sd", _CALLEE_SAVED)}
    sd x0, {at.T_FULL}(tp)
switch_in:
    beqz t2, idle
    mv tp, t2
    csrw sscratch, tp
    {enter_domain if paged else ""}
    la t3, {at.G_FRESH}
    ld t4, 0(t3)
    beqz t4, same_quantum
    sd x0, 0(t3)
    ld t4, {at.G_QUANTUM - at.G_FRESH}(t3)
    csrr t5, cycle
    add t4, t4, t5
    sd t4, {at.G_QUANTUM_END - at.G_FRESH}(t3)
    ld t5, {at.G_WAKE - at.G_FRESH}(t3)
    bltu t5, t4, sooner
    csrw stimecmp, t4
same_quantum:
    ld t4, {at.T_FULL}(tp)
    bnez t4, full_restore
{_move("ld", _CALLEE_SAVED)}
{_move("ld", _RESULTS)}
    ld x{_GP}, {at.T_CONTEXT + 8 * _GP}(tp)
    ld ra, {at.T_PC}(tp)
    {resume}
full_restore:
    ld t4, {at.T_PC}(tp)
    csrw sepc, t4
    ld t4, {at.T_STATUS}(tp)
    csrw sstatus, t4
{_move("ld", (*others, 30))}
    {f"ld tp, {at.T_CONTEXT + 8 * 4}(tp)" if ring3 or isolation.mixed else ""}
    sret
sooner:                             # somebody wakes before the quantum ends
    csrw stimecmp, t5
    j same_quantum
idle:
    la t3, {at.G_WAKE}
    ld t4, 0(t3)
    csrw stimecmp, t4
    wfi
    csrr a0, sip
    csrr a1, cycle
    hook {at.HOOK_IDLE}
    j pick
    {apart if paged else ""}
    {_stack_code(isolation)}
    {other_way if isolation.mixed else ""}
service:                            # the service thread, and the operator's interrupt
    hook {at.HOOK_SERVICE}
    j served
operator:
    {_LEAVE_DOMAIN if paged else ""}
    hook {at.HOOK_OPERATOR}
served:
    {_FORGET_PAGES if paged else ""}
    la t3, {at.G_NEW_CODE}
    ld t4, 0(t3)
    beqz t4, pick
    sd x0, 0(t3)
    fence.i
    j pick
"""


def _stub(number: int, isolation: Isolation) -> str:
    """Return the entry of one ABI function."""
    function = ABI[number]
    ring3 = isolation.ring3
    enter = "" if ring3 else "csrrci x0, sstatus, 2"
    leave = _resume(isolation, "elsewhere")
    physical, behind = (_FROM_PHYSICAL.format(""), f"elsewhere:\nj other_way\n{_INTO_KERNEL.format('')}") if isolation.mixed else ("", "")
    pick = f"la t3, {at.G_CURRENT}\nld t2, 0(t3)"
    if function.kind == "stack":
        return f"{enter}\nj {'link_stack' if function.name == 'allocate_stack_segment' else 'unlink_stack'}"
    if function.kind == "ends":
        leave_domain, fence, forget = (_LEAVE_DOMAIN, _FENCE, _FORGET) if isolation.paged else ("", "", "")
        return f"{enter}\n{leave_domain}\nhook {number}\n{fence}\n{pick}\nj switch_in\n{forget}"
    results = _move("ld", _RESULTS) if function.by_record else ""
    far = function.blocks and abi_entry(number) - at.TEXT_BASE >= _BRANCH_REACH
    switch = f"{pick}\nbne t2, tp, {'away' if far else 'switch_out'}" if function.blocks else ""
    away = "away:\nj switch_out" if far else ""
    fence, forget = (_FENCE, _FORGET) if isolation.paged and function.name in _UNMAPPING else ("", "")
    time = f"csrr x{10 + len(function.arguments)}, cycle" if function.kind == "timed" else ""
    timer = _SET_TIMER if function.kind == "timed" else ""
    return f"{enter}\nsd ra, {at.T_PC}(tp)\n{physical}\n{time}\nhook {number}\n{timer}\n{fence}\n{switch}\n{results}\nld ra, {at.T_PC}(tp)\n{leave}\n{forget}\n{away}\n{behind}"


def entry_code(isolation: Isolation) -> tuple[list[tuple[int, bytes]], dict[str, int]]:
    """Return the pieces of entry code with their addresses, and the labels of the switch code.

    Parameters
    ----------
    isolation : Isolation
        The setting it is made for.
    """
    switch = assemble(_switch_code(isolation), at.TEXT_BASE)
    if at.TEXT_BASE + len(switch.code) > VECTOR:
        raise AssertionError("the switch code has grown into the ABI vector")
    pieces = [(at.TEXT_BASE, switch.code)]
    for number in range(len(ABI)):
        base = abi_entry(number)
        code = assemble(_stub(number, isolation), base, switch.labels).code
        if len(code) > STUB_BYTES:
            raise AssertionError(f"the entry of {ABI[number].name} is longer than {STUB_BYTES} bytes")
        pieces.append((base, code))
    return pieces, switch.labels
