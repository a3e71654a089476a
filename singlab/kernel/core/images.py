"""Images as the kernel has them: records of what is installed, and the copy that a new process runs.

The installer writes a record for each sealed image. A process gets the code out of the sealed bytes, word by word,
and its calls of the kernel filled in for the place where it lies. On the way the sum over the code is taken again:
a single bit that has changed since the image was installed makes another sum. It finds accidents, not forgers;
those cannot write here. The seal itself, a SHA-256, is the installer's.
"""

from singlab.kernel.core.words import ld64, st32, st64
from singlab.kernel.layout import (
    G_NEW_CODE,
    G_WINDOW,
    I_CODE,
    I_CODE_BYTES,
    I_RELOCATION_COUNT,
    I_RELOCATIONS,
    I_SUM,
    I_USER_RELOCATIONS,
    RELOCATION_CALL,
)

AUIPC_T0 = 0x297  # auipc t0, 0
JALR_RA_T0 = 0x280E7  # jalr ra, 0(t0)


def code_copy(m, image, target):
    """Copy an image's code; returns the sum over it."""
    source = ld64(m, image + I_CODE)
    end = source + ld64(m, image + I_CODE_BYTES)
    found = 0
    while source < end:
        word = ld64(m, source)
        st64(m, target, word)
        found = (found << 5) - found + word
        source += 8
        target += 8
    return found


def code_relocate(m, image, code, target, ring0):
    """Fill in the calls of the kernel: ``target`` is where the kernel writes what will run at ``code``."""
    place = ld64(m, image + I_USER_RELOCATIONS)
    if ring0 != 0:
        place = ld64(m, image + I_RELOCATIONS)
    last = place + ld64(m, image + I_RELOCATION_COUNT) * 16
    while place < last:
        about = ld64(m, place)
        pair = ld64(m, place + 8)
        offset = about & 0xFFFFFFFF
        if about & RELOCATION_CALL != 0:
            distance = pair - (code + offset)
            upper = (distance + 0x800) >> 12 & 0xFFFFF
            pair = (upper << 12 | AUIPC_T0) | ((distance & 0xFFF) << 20 | JALR_RA_T0) << 32
        st32(m, target + offset, pair)
        st32(m, target + offset + 4, pair >> 32)
        place += 16
    return 0


def image_load(m, image, code, ring0):
    """Put an image's code where a process runs it, in ring 0 or not; returns 0 if it is not what was installed."""
    target = code + ld64(m, G_WINDOW)
    if code_copy(m, image, target) != ld64(m, image + I_SUM):
        return 0
    code_relocate(m, image, code, target, ring0)
    st64(m, G_NEW_CODE, 1)
    return 1


def integer_fits(m, parameter, value):
    """Return whether a word is a value of an integer parameter's type, extended as its registers are."""
    bits = parameter >> 8 & 0xFF
    if bits == 64:
        return 1
    if parameter >> 16 != 0:
        value += 1 << (bits - 1)
    return (value >> bits) == 0
