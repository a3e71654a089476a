"""The installer's look at the code itself, instruction by instruction: a second line behind the verifier.

What it proves: the text has only 32-bit unprivileged instructions of the standard; every branch, jump and
``auipc`` stays inside the image and none leads into the middle of an ABI call; the only indirect jump is a
return; the kernel is entered at the declared call places alone; and control does not run off the end.

What it does not prove: where a load or a store goes, and that a return goes where the call came from. Both are
numbers at run time; that they are the right ones is what the verifier shows, of SIL, and the code generator keeps.
So an image that lies about having been verified can still not hold a privileged instruction or call the kernel
elsewhere, but it can, in ring 0, write where it wants and return there.
"""

from __future__ import annotations

import numpy as np

from singlab.kernel.abi import ABI
from singlab.kernel.manifest import InstallError

_LOAD, _FENCE, _OP_IMM, _AUIPC, _OP_IMM_32, _STORE, _AMO, _OP, _LUI, _OP_32 = 0x03, 0x0F, 0x13, 0x17, 0x1B, 0x23, 0x2F, 0x33, 0x37, 0x3B
_BRANCH, _JALR, _JAL, _SYSTEM = 0x63, 0x67, 0x6F, 0x73
_PLAIN = (_LOAD, _OP_IMM, _AUIPC, _OP_IMM_32, _STORE, _AMO, _OP, _LUI, _OP_32, _BRANCH, _JAL)
#: ``jalr x0, 0(ra)``.
_RETURN = 0x0000_8067
#: ``csrrs rd, cycle, x0``, with rd left out.
_READ_CYCLE = 0xC000_2073
_RD = 0x1F << 7
#: Calls of the ABI that do not come back, so code may end with one.
_LAST = {function.number for function in ABI if function.name in ("exit", "exit_thread", "fault")}


def scan(name: str, code: bytes, text_bytes: int, entry: int, calls: dict[int, int]) -> None:
    """Refuse code that holds what no compiled program does.

    Parameters
    ----------
    name : str
        For messages.
    code : bytes
        Text, then read-only data.
    text_bytes : int
        Bytes of text; a multiple of 4.
    entry : int
        Offset of the first instruction to run.
    calls : dict of int to int
        For each ABI call place, the offset of its two instructions, the function's number.

    Raises
    ------
    InstallError
        At the first such instruction, with its offset.
    """
    words = np.frombuffer(code[:text_bytes], dtype="<u4").astype(np.int64)
    count = len(words)
    sites = np.array(sorted(calls), dtype=np.int64) // 4
    if np.any(np.diff(sites) < 2):
        raise InstallError(f"{name}: two calls of the ABI overlap. {_AGAIN}")
    closed = np.zeros(count, dtype=bool)  # the second half of a call: nothing may jump there
    closed[sites + 1] = True
    call = closed.copy()
    call[sites] = True
    if closed[entry // 4]:
        raise InstallError(f"{name}: it starts in the middle of a call of the ABI. {_AGAIN}")
    opcode = words & 0x7F
    returns = words == _RETURN
    fine = call | np.isin(opcode, _PLAIN) | returns | ((words & ~_RD) == _READ_CYCLE) | ((opcode == _FENCE) & (words >> 12 & 7 == 0))
    _refuse(name, code, words, ~fine)
    place = 4 * np.arange(count)
    wrong = np.zeros(count, dtype=bool)
    for kind, distance in ((_BRANCH, _branch(words)), (_JAL, _jump(words))):
        target = place + distance
        leaves = (target < 0) | (target >= text_bytes) | (target & 3 != 0)
        inside = closed[np.clip(target >> 2, 0, count - 1)]
        wrong |= (opcode == kind) & ~call & (leaves | inside)
    _refuse(name, code, words, wrong)
    # an address is formed by a pair: auipc rd, upper; addi rd, rd, lower
    following = np.append(words[1:], 0)
    rd = words >> 7 & 31
    pair = (following & 0x707F == _OP_IMM) & (following >> 7 & 31 == rd) & (following >> 15 & 31 == rd)
    upper = _signed(words & 0xFFFF_F000, 32)
    address = place + upper + _signed(following >> 20, 12)
    _refuse(name, code, words, (opcode == _AUIPC) & ~call & ~(pair & (address >= 0) & (address <= len(code))))
    jumps = opcode[-1] == _JAL and rd[-1] == 0 and not call[-1]
    if not (jumps or returns[-1] or (closed[-1] and calls[int(place[-2])] in _LAST)):
        raise InstallError(f"{name}: its code runs off its end: the last instruction is neither a jump nor a return. {_AGAIN}")


_AGAIN = "Build it again from its source with the language's own compiler."


def _signed(values: np.ndarray, bits: int) -> np.ndarray:
    """Return the low bits read as two's complement."""
    low = values & (1 << bits) - 1
    return low - ((low >> bits - 1) << bits)


def _branch(w: np.ndarray) -> np.ndarray:
    """Return the distance of each word, read as a branch."""
    return _signed((w >> 31 & 1) << 12 | (w >> 7 & 1) << 11 | (w >> 25 & 0x3F) << 5 | (w >> 8 & 0xF) << 1, 13)


def _jump(w: np.ndarray) -> np.ndarray:
    """Return the distance of each word, read as a jump."""
    return _signed((w >> 31 & 1) << 20 | (w >> 12 & 0xFF) << 12 | (w >> 20 & 1) << 11 | (w >> 21 & 0x3FF) << 1, 21)


def _refuse(name: str, code: bytes, words: np.ndarray, wrong: np.ndarray) -> None:
    """Raise at the first place that is wrong."""
    places = np.flatnonzero(wrong)
    if len(places) == 0:
        return
    offset = 4 * int(places[0])
    raise InstallError(f"{name}: at offset {offset:#x} of its code stands {spelt(code, offset)}: {_what(int(words[offset // 4]))}. {_AGAIN}")


def spelt(code: bytes, offset: int) -> str:
    """Return the instruction at an offset as text."""
    from singlab.machine.view.disassembly import read_instruction
    from singlab.machine.view.source import Symbols

    _, mnemonic, operands, _ = read_instruction(code[offset : offset + 4], offset, Symbols({}))
    return f"{mnemonic} {operands}".strip()


def _what(word: int) -> str:
    """Return what is wrong with an instruction that was refused."""
    opcode, function = word & 0x7F, word >> 12 & 7
    if opcode in (_BRANCH, _JAL):
        return "it leads out of the image, or into the middle of a call of the ABI"
    if opcode == _AUIPC:
        return "it forms an address outside the image"
    if opcode == _JALR:
        return "an indirect jump that is no return could lead anywhere"
    if opcode == _SYSTEM:
        if function == 0 and word >> 7 & 0x1F == 0 and word >> 20 in (0, 1):
            return "a trap that is no declared call of the ABI"
        return "a privileged instruction, which only the kernel may hold"
    if opcode == _FENCE:
        return "only code that changes code needs it, and a sealed program's code is fixed"
    return "no unprivileged 32-bit instruction of the standard"
