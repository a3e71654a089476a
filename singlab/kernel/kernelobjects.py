"""What lies in the kernel's own heap: the types of its objects, and where the kernel holds references to them.

Kernel records have a size each and stand on free lists; objects are what is of any size, or held in several places: texts and
the names that are bound. A reference is an object's address. It is held in an object, or in a word that one of ``ROOTS``
finds: no other word of the kernel may hold one when the kernel is left.

The tables lie in the sealed kernel (``layout.KERNEL_TABLES``), types as an image's type table has them; see
:mod:`singlab.kernel.core.kernelheap` for how objects are made and :mod:`singlab.runtime.kernelcollecting` for how they go.
"""

from __future__ import annotations

import struct

from singlab.kernel.layout import G_NAMES, G_PROCESSES, KERNEL_TABLE_BYTES, P_NEXT, P_PRINCIPAL

#: Numbers of the types.
TEXT, NAME = 1, 2

#: A text: how long it is, then its bytes.
TX_LENGTH = 8
TX_BYTES = 16

#: A name that somebody provides.
NAME_BYTES = 40
N_NEXT = 8  #: the next one of all names
N_IMP = 16  #: the kernel's end of the channel to who provides it: a record, no object
N_TEXT = 24  #: the name
N_RULE = 32  #: the pattern that a principal must match to connect

_OBJECT, _ARRAY = 1, 2
#: Name, kind, bytes, and which fields are references.
TYPES = (("text", _ARRAY, 0, ()), ("name", _OBJECT, NAME_BYTES, (N_NEXT, N_TEXT, N_RULE)))

ROOT_BYTES = 24
RT_HEAD = 0  #: where a list of records begins; 0 = the table ends
RT_LINK = 8  #: where a record has the next one; NO_LIST = there is no list, the reference is in RT_HEAD's word itself
RT_FIELD = 16  #: where a record has the reference
NO_LIST = 0xFFFF
#: Every word outside the heap in which a reference is held.
ROOTS = ((G_NAMES, NO_LIST, 0), (G_PROCESSES, P_NEXT, P_PRINCIPAL))

#: Where the roots lie in the tables.
ROOTS_AT = 16 * len(TYPES)


def tables() -> bytes:
    """Return both tables as they lie in memory."""
    rows = b"".join(struct.pack("<BBBBIQ", kind, 0, 0, size // 8, 0, sum(1 << field // 8 for field in fields)) for _, kind, size, fields in TYPES)
    rows += b"".join(struct.pack("<QQQ", *root) for root in (*ROOTS, (0, 0, 0)))
    return rows.ljust(KERNEL_TABLE_BYTES, b"\0")
