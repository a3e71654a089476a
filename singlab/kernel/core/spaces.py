"""Address spaces of open processes: a page table each, from address 0, of pages that may be shared.

How many tables have a page is counted, so it goes back with the last of them. A page to be copied is in several
tables, or the kernel's own, and can be written in none; the first write to it takes a copy. What the kernel does
with memory of a process it does by walking that process's table itself, and through its window.

Leaves out pages that are first made when they are touched, swapping, and superpages.
"""

from singlab.kernel.core.domains import ASID_SHIFT, table_entry, table_new
from singlab.kernel.core.memory import bytes_copy
from singlab.kernel.core.pages import pages_alloc, pages_free
from singlab.kernel.core.words import ld32, ld64, st32, st64
from singlab.kernel.layout import (
    FIRST_FRAME,
    G_EAGER,
    G_FENCE,
    G_FRAMES,
    G_KERNEL_FIRST,
    G_ROOT,
    G_WINDOW,
    K_NUMBER,
    K_ROOT,
    K_TABLE,
    OPEN_STACK,
    OWNER_SHIFT,
    PAGE,
    PAGE_SHIFT,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    PTE_A,
    PTE_COPY,
    PTE_D,
    PTE_R,
    PTE_SHARED,
    PTE_U,
    PTE_V,
    PTE_W,
    PTE_X,
    RAM_BASE,
    SV39,
    TAG_NONGC,
    ZONE_USER,
)

FORCE = 1 << 12  #: write whatever the rights say
FLAGS = 1023  #: all of an entry but its page
LEAF_PAGES = 512
TABLE_SHIFT = 21
FENCE_DATA = 1
FENCE_CODE = 2


# ---- pages ----------------------------------------------------------------------------------------------------


def frame_count(m, frame):
    """Return where it is counted how many tables have a page."""
    return ld64(m, G_FRAMES) + ((frame - RAM_BASE) >> PAGE_SHIFT) * 4


def frame_keep(m, frame):
    """One table more has a page."""
    place = frame_count(m, frame)
    st32(m, place, ld32(m, place) + 1)
    return 0


def frame_drop(m, frame):
    """One table less has a page; it goes back with the last."""
    place = frame_count(m, frame)
    count = ld32(m, place) - 1
    st32(m, place, count)
    if count == 0:
        pages_free(m, frame, 1)
    return 0


def frame_new(m, task):
    """Return a page for one table, with whatever was in it, or 0."""
    frame = pages_alloc(m, ZONE_USER, 1, ld64(m, task + K_NUMBER) << OWNER_SHIFT | TAG_NONGC)
    if frame != 0:
        st32(m, frame_count(m, frame), 1)
    return frame


def page_zero(m, address):
    """Empty a page."""
    end = address + PAGE
    while address < end:
        st64(m, address, 0)
        st64(m, address + 8, 0)
        st64(m, address + 16, 0)
        st64(m, address + 24, 0)
        address += 32
    return 0


def fence(m, kind):
    """Let the entry code forget translations, or instructions too, before anybody runs."""
    st64(m, G_FENCE, ld64(m, G_FENCE) | kind)
    return 0


# ---- entries of a table -------------------------------------------------------------------------------------------


def entry_place(m, task, address):
    """Return where a task's table has the entry of an address, 0 if it has none."""
    if address >= OPEN_STACK:
        return 0
    entry = ld64(m, ld64(m, task + K_TABLE) + (address >> TABLE_SHIFT) * 8)
    if entry == 0:
        return 0
    return ((entry >> 10) << PAGE_SHIFT) + ((address >> PAGE_SHIFT) & (LEAF_PAGES - 1)) * 8


def entry_make(m, task, address):
    """Return where a task's table has the entry of an address, made if there was none; 0 = no memory."""
    slot = ld64(m, task + K_TABLE) + (address >> TABLE_SHIFT) * 8
    if ld64(m, slot) == 0:
        leaf = table_new(m, 0)
        if leaf == 0:
            return 0
        st64(m, slot, table_entry(m, leaf))
    return entry_place(m, task, address)


def entry_frame(m, entry):
    """Return the page of an entry."""
    return (entry >> 10) << PAGE_SHIFT


def entry_of(m, frame, flags):
    """Return the entry of a page."""
    return (frame >> PAGE_SHIFT) << 10 | flags


def rights_flags(m, rights):
    """Return the flags of an entry with some rights; without any nobody but the kernel can use it."""
    flags = PTE_V | PTE_R | PTE_A | PTE_D
    if rights & (PROT_READ | PROT_WRITE | PROT_EXEC) != 0:
        flags = flags | PTE_U
    if rights & PROT_WRITE != 0:
        flags = flags | PTE_W
    if rights & PROT_EXEC != 0:
        flags = flags | PTE_X
    return flags


def entry_own(m, task, place):
    """Give a task a page of its own instead of one that others have too; returns the new entry, 0 = no memory."""
    entry = ld64(m, place)
    frame = entry_frame(m, entry)
    flags = entry & FLAGS
    if ld32(m, frame_count(m, frame)) != 1:
        copy = frame_new(m, task)
        if copy == 0:
            return 0
        window = ld64(m, G_WINDOW)
        bytes_copy(m, frame + window, copy + window, PAGE)
        frame_drop(m, frame)
        frame = copy
        if flags & PTE_X != 0:
            fence(m, FENCE_CODE)
    if flags & PTE_COPY != 0:
        flags = (flags | PTE_W) & (FLAGS - PTE_COPY)
    entry = entry_of(m, frame, flags)
    st64(m, place, entry)
    fence(m, FENCE_DATA)
    return entry


def reach(m, task, address, need):
    """Return where the kernel finds a byte of a task, 0 if the task itself could not do what is needed with it."""
    place = entry_place(m, task, address)
    if place == 0:
        return 0
    entry = ld64(m, place)
    if (entry & PTE_V == 0) or (entry & PTE_U == 0):
        return 0
    if need & (PTE_W | FORCE) != 0:
        if entry & PTE_W == 0:
            if entry & PTE_COPY == 0:
                if need & FORCE == 0:
                    return 0
            if entry & PTE_SHARED == 0:
                entry = entry_own(m, task, place)
                if entry == 0:
                    return 0
        if entry & PTE_X != 0:
            fence(m, FENCE_CODE)
    return entry_frame(m, entry) + (address & (PAGE - 1)) + ld64(m, G_WINDOW)


def copy_between(m, source, from_address, target, to_address, size, force):
    """Copy bytes from one task's memory to another's, or the same one's; returns how many could be."""
    done = 0
    while done < size:
        there = reach(m, source, from_address + done, PTE_R)
        here = reach(m, target, to_address + done, PTE_W | force)
        if (there == 0) or (here == 0):
            return done
        count = PAGE - (there & (PAGE - 1))
        room = PAGE - (here & (PAGE - 1))
        if room < count:
            count = room
        if size - done < count:
            count = size - done
        bytes_copy(m, there, here, count)
        done += count
    return done


def copy_in(m, task, address, target, size):
    """Copy bytes from a task's memory to an address of the kernel; returns how many could be."""
    done = 0
    while done < size:
        there = reach(m, task, address + done, PTE_R)
        if there == 0:
            return done
        count = PAGE - (there & (PAGE - 1))
        if size - done < count:
            count = size - done
        bytes_copy(m, there, target + done, count)
        done += count
    return done


def copy_out(m, task, address, source, size):
    """Copy bytes from an address of the kernel into a task's memory; returns how many could be."""
    done = 0
    while done < size:
        here = reach(m, task, address + done, PTE_W)
        if here == 0:
            return done
        count = PAGE - (here & (PAGE - 1))
        if size - done < count:
            count = size - done
        bytes_copy(m, source + done, here, count)
        done += count
    return done


def word_out(m, task, address, value):
    """Write a word into a task's memory; returns whether that could be."""
    if address & 7 != 0:
        return 0
    here = reach(m, task, address, PTE_W)
    if here == 0:
        return 0
    st64(m, here, value)
    return 1


# ---- spaces -------------------------------------------------------------------------------------------------------


def space_new(m, task):
    """Give a task an empty address space; returns the value for satp, 0 = no memory."""
    root = table_new(m, ld64(m, G_ROOT))
    table = table_new(m, 0)
    if (root == 0) or (table == 0):
        if root != 0:
            pages_free(m, root, 1)
        if table != 0:
            pages_free(m, table, 1)
        return 0
    st64(m, root, table_entry(m, table))
    st64(m, task + K_ROOT, root)
    st64(m, task + K_TABLE, table)
    number = root >> PAGE_SHIFT
    return SV39 | (number - FIRST_FRAME - ld64(m, G_KERNEL_FIRST) + 1) << ASID_SHIFT | number


def leaf_clear(m, leaf):
    """Drop every page of a lowest table, and the table."""
    place = leaf
    while place < leaf + PAGE:
        entry = ld64(m, place)
        if entry != 0:
            frame_drop(m, entry_frame(m, entry))
        place += 8
    pages_free(m, leaf, 1)
    return 0


def space_clear(m, task):
    """Take everything out of a task's address space."""
    slot = ld64(m, task + K_TABLE)
    end = slot + (OPEN_STACK >> TABLE_SHIFT) * 8
    while slot < end:
        entry = ld64(m, slot)
        if entry != 0:
            leaf_clear(m, entry_frame(m, entry))
            st64(m, slot, 0)
        slot += 8
    fence(m, FENCE_DATA)
    return 0


def space_free(m, task):
    """Give a task's address space back."""
    space_clear(m, task)
    pages_free(m, ld64(m, task + K_TABLE), 1)
    pages_free(m, ld64(m, task + K_ROOT), 1)
    st64(m, task + K_TABLE, 0)
    st64(m, task + K_ROOT, 0)
    return 0


def map_frame(m, task, address, frame, flags):
    """Map a page; returns whether that could be: it fails where something is mapped, or without memory."""
    place = entry_make(m, task, address)
    if place == 0:
        return 0
    if ld64(m, place) != 0:
        return 0
    frame_keep(m, frame)
    st64(m, place, entry_of(m, frame, flags))
    return 1


def map_zeros(m, task, address, pages, flags):
    """Map so many zeroed pages; returns how many could be."""
    done = 0
    while done < pages:
        place = entry_make(m, task, address + (done << PAGE_SHIFT))
        if place == 0:
            return done
        if ld64(m, place) != 0:
            return done
        frame = frame_new(m, task)
        if frame == 0:
            return done
        page_zero(m, frame + ld64(m, G_WINDOW))
        st64(m, place, entry_of(m, frame, flags))
        if flags & PTE_X != 0:
            fence(m, FENCE_CODE)
        done += 1
    return done


def unmap(m, task, address, pages):
    """Take pages out of a task's address space; where none is, nothing happens."""
    end = address + (pages << PAGE_SHIFT)
    while address < end:
        place = entry_place(m, task, address)
        if place != 0:
            entry = ld64(m, place)
            if entry != 0:
                st64(m, place, 0)
                frame_drop(m, entry_frame(m, entry))
        address += PAGE
    fence(m, FENCE_DATA)
    return 0


def mapped(m, task, address, pages):
    """Return whether all of some pages are mapped."""
    end = address + (pages << PAGE_SHIFT)
    while address < end:
        place = entry_place(m, task, address)
        if place == 0:
            return 0
        if ld64(m, place) == 0:
            return 0
        address += PAGE
    return 1


def protect(m, task, address, pages, rights):
    """Change the rights of mapped pages. A page that others have too stays as it is for them."""
    end = address + (pages << PAGE_SHIFT)
    while address < end:
        place = entry_place(m, task, address)
        entry = ld64(m, place)
        flags = rights_flags(m, rights) | entry & PTE_SHARED
        if (flags & PTE_W != 0) and (flags & PTE_SHARED == 0):
            if ld32(m, frame_count(m, entry_frame(m, entry))) != 1:
                flags = (flags | PTE_COPY) & (FLAGS - PTE_W)
        st64(m, place, entry_of(m, entry_frame(m, entry), flags))
        address += PAGE
    fence(m, FENCE_DATA)
    if rights & PROT_EXEC != 0:
        fence(m, FENCE_CODE)
    return 0


def leaf_fork(m, parent, child, leaf, address):
    """Let a child have what a parent has in one lowest table; returns whether there was memory for it."""
    eager = ld64(m, G_EAGER)
    index = 0
    while index < LEAF_PAGES:
        entry = ld64(m, leaf + index * 8)
        if entry != 0:
            flags = entry & FLAGS
            if (flags & PTE_SHARED == 0) and (flags & (PTE_W | PTE_COPY) != 0):
                flags = (flags | PTE_COPY) & (FLAGS - PTE_W)
                st64(m, leaf + index * 8, entry_of(m, entry_frame(m, entry), flags))
            if map_frame(m, child, address, entry_frame(m, entry), flags) == 0:
                return 0
            if (eager != 0) and (flags & PTE_COPY != 0):
                if entry_own(m, child, entry_place(m, child, address)) == 0:
                    return 0
                if entry_own(m, parent, leaf + index * 8) == 0:
                    return 0
        address += PAGE
        index += 1
    return 1


def space_fork(m, parent, child):
    """Let a child have what a parent has; returns whether there was memory for it."""
    table = ld64(m, parent + K_TABLE)
    index = 0
    while index < OPEN_STACK >> TABLE_SHIFT:
        entry = ld64(m, table + index * 8)
        if entry != 0:
            if leaf_fork(m, parent, child, entry_frame(m, entry), index << TABLE_SHIFT) == 0:
                return 0
        index += 1
    fence(m, FENCE_DATA)
    return 1
