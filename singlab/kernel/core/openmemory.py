"""Memory and code of open processes: the system calls that map, share, load and change it, their own and others'.
"""

from singlab.kernel.core.spaces import FORCE, copy_between, mapped, protect, rights_flags, unmap
from singlab.kernel.core.tasks import (
    bad,
    image_find,
    image_map,
    name_take,
    own_task,
    shared_find,
    shared_map,
    symbol_find,
    task_find,
    zeros_map,
)
from singlab.kernel.core.words import ld64, st64
from singlab.kernel.layout import (
    IMAGE_LIBRARY,
    K_LIBRARIES,
    K_NEXT_MAP,
    MAP_SHARED,
    MOST_LIBRARIES,
    MOST_SHARED_PAGES,
    OPEN_STACK,
    PAGE,
    PAGE_SHIFT,
    PG_PAGES,
    PTE_SHARED,
    SH_PAGES,
)
from singlab.kernel.opencalls import EFAULT, EINVAL, ENOENT, ENOMEM, ESRCH

MOST_MAPPED = 4096  #: pages of one call


def pages_of(m, address, size):
    """Return how many pages some bytes from the beginning of a page need; 0 if a process cannot have them."""
    if (size == 0) or (size > MOST_MAPPED * PAGE) or (address & (PAGE - 1) != 0) or (address >= OPEN_STACK):
        return 0
    pages = (size + PAGE - 1) >> PAGE_SHIFT
    if address + (pages << PAGE_SHIFT) > OPEN_STACK:
        return 0
    return pages


def sys_mmap(m, address, size, rights, flags):
    """Map new memory."""
    task = own_task(m)
    place = address
    if address == 0:
        place = ld64(m, task + K_NEXT_MAP)
    pages = pages_of(m, place, size)
    if pages == 0:
        return bad(m, EINVAL)
    bits = rights_flags(m, rights)
    if flags & MAP_SHARED != 0:
        bits = bits | PTE_SHARED
    if zeros_map(m, task, place, pages, bits) == 0:
        return bad(m, ENOMEM)
    if address == 0:
        st64(m, task + K_NEXT_MAP, place + (pages << PAGE_SHIFT))
    return place


def sys_munmap(m, address, size):
    """Take memory out of the calling process."""
    pages = pages_of(m, address, size)
    if pages == 0:
        return bad(m, EINVAL)
    unmap(m, own_task(m), address, pages)
    return 0


def sys_mprotect(m, address, size, rights):
    """Change what may be done with memory."""
    pages = pages_of(m, address, size)
    if pages == 0:
        return bad(m, EINVAL)
    task = own_task(m)
    if mapped(m, task, address, pages) == 0:
        return bad(m, ENOMEM)
    protect(m, task, address, pages, rights)
    return 0


def sys_shm_open(m, name, name_size, size, rights):
    """Map shared memory of a name."""
    task = own_task(m)
    place = ld64(m, task + K_NEXT_MAP)
    pages = pages_of(m, place, size)
    if (pages == 0) or (pages > MOST_SHARED_PAGES):
        return bad(m, EINVAL)
    if name_take(m, task, name, name_size) == 0:
        return bad(m, EFAULT)
    shared = shared_find(m, pages)
    if shared == 0:
        return bad(m, ENOMEM)
    if shared_map(m, task, shared, place, rights) == 0:
        return bad(m, ENOMEM)
    st64(m, task + K_NEXT_MAP, place + (ld64(m, shared + SH_PAGES) << PAGE_SHIFT))
    return place


def sys_process_read(m, number, there, address, size):
    """Read another process's memory."""
    task = task_find(m, number)
    if task == 0:
        return bad(m, ESRCH)
    if (size > MOST_MAPPED * PAGE) or (there >= OPEN_STACK) or (address >= OPEN_STACK):
        return bad(m, EFAULT)
    done = copy_between(m, task, there, own_task(m), address, size, 0)
    if (done == 0) and (size != 0):
        return bad(m, EFAULT)
    return done


def sys_process_write(m, number, there, address, size):
    """Write into another process's memory, whatever its rights say."""
    task = task_find(m, number)
    if task == 0:
        return bad(m, ESRCH)
    if (size > MOST_MAPPED * PAGE) or (there >= OPEN_STACK) or (address >= OPEN_STACK):
        return bad(m, EFAULT)
    done = copy_between(m, own_task(m), address, task, there, size, FORCE)
    if (done == 0) and (size != 0):
        return bad(m, EFAULT)
    return done


# ---- libraries ------------------------------------------------------------------------------------------------------


def sys_dlopen(m, name, size):
    """Load a library into the calling process."""
    task = own_task(m)
    if name_take(m, task, name, size) == 0:
        return bad(m, EFAULT)
    image = image_find(m, IMAGE_LIBRARY)
    if image == 0:
        return bad(m, ENOENT)
    place = task + K_LIBRARIES
    while place < task + K_LIBRARIES + MOST_LIBRARIES * 16:
        if ld64(m, place) == 0:
            break
        place += 16
    base = ld64(m, task + K_NEXT_MAP)
    pages = ld64(m, image + PG_PAGES)
    if (place == task + K_LIBRARIES + MOST_LIBRARIES * 16) or (pages_of(m, base, pages << PAGE_SHIFT) == 0):
        return bad(m, ENOMEM)
    if image_map(m, task, image, base) == 0:
        unmap(m, task, base, pages)
        return bad(m, ENOMEM)
    st64(m, place, base)
    st64(m, place + 8, image)
    st64(m, task + K_NEXT_MAP, base + (pages << PAGE_SHIFT))
    return base


def sys_dlsym(m, library, name, size):
    """Return where a function of a loaded library lies."""
    task = own_task(m)
    if name_take(m, task, name, size) == 0:
        return bad(m, EFAULT)
    place = task + K_LIBRARIES
    while place < task + K_LIBRARIES + MOST_LIBRARIES * 16:
        if (ld64(m, place) == library) and (library != 0):
            offset = symbol_find(m, ld64(m, place + 8))
            if offset == 0:
                return bad(m, ENOENT)
            return library + offset - 1  # in the table they count from 1, for 0 says that there is none
        place += 16
    return bad(m, EINVAL)
