"""The open personality's kernel functions in both their forms: the same memory, instructions and results."""

from __future__ import annotations

import numpy as np
import pytest
from test_kernel_costs import RETURN, Twins, core

from singlab.kernel import OpenProgram, System
from singlab.kernel import layout as at
from singlab.machine.asm import encode

PROGRAM = OpenProgram.from_assembly("twin", "li a7, 0\necall")
LIBRARY = OpenProgram.from_assembly("lib", "first:\nret\nsecond:\nret", library=True)
HERE = at.OPEN_DATA


class OpenTwins(Twins):
    """Two open systems in the same state, each with a process."""

    def __init__(self, fork: str = "on write"):
        self.systems = []
        for _ in range(2):
            system = System(personality="open", ram="4M", fork=fork)
            system.register(LIBRARY)
            one, other = system.create(PROGRAM), system.create(PROGRAM)
            self.systems.append(system)
        self.process, self.other = one.record, other.record
        self.task, self.other_task = one.task, other.task
        hart = self.systems[1].machine
        hart.write(at.CORE_TEXT, core().text)
        hart.write(RETURN, encode("hook", 4000).to_bytes(4, "little"))

    def put(self, address: int, data: bytes) -> None:
        """Write into the first process's memory, on both."""
        for system in self.systems:
            process = next(p for p in system.processes if p.record == self.process)
            system.machine.write(process._place(address), data)

    def name(self, text: str) -> None:
        for system in self.systems:
            system.machine.write(at.G_NAME, text.encode().ljust(at.OPEN_NAME_BYTES, b"\0"))


@pytest.mark.parametrize("fork", ["on write", "at once"])
def test_address_spaces(fork):
    twins = OpenTwins(fork)
    child = twins.call("tasks:task_new", twins.task)
    assert child
    twins.call("tasks:files_inherit", twins.task, child)
    assert twins.call("spaces:space_fork", twins.task, child) == 1
    place = twins.call("spaces:entry_place", child, HERE)
    assert place and twins.call("spaces:reach", child, HERE + 8, at.PTE_W)
    assert twins.call("spaces:reach", child, 0x5000, at.PTE_R) == 0
    assert twins.call("spaces:reach", child, 1 << 63, at.PTE_R) == 0
    assert twins.call("tasks:zeros_map", child, at.OPEN_MAP, 3, at.PTE_V | at.PTE_R | at.PTE_U) == 1
    twins.call("spaces:protect", child, at.OPEN_MAP, 3, at.PROT_READ | at.PROT_WRITE)
    twins.call("spaces:unmap", child, at.OPEN_MAP, 2)
    assert twins.call("spaces:mapped", child, at.OPEN_MAP, 3) == 0
    twins.call("opens:open_stop", twins.systems[0].machine.load_u64(child + at.K_PROCESS), 0)


@pytest.mark.parametrize("size, shift", [(1, 0), (8, 3), (100, 5), (4096, 0), (9000, 1), (16384, 8)])
def test_bytes_between_processes(size, shift):
    twins = OpenTwins()
    data = bytes(i * 11 & 255 for i in range(4096))
    for page in range(4):
        twins.put(HERE + 4096 * page, data)
    expected = min(size, 16384 - max(shift, 3))
    assert twins.call("spaces:copy_between", twins.task, HERE + shift, twins.other_task, HERE + 3, size, 0) == expected
    other = next(p for p in twins.systems[1].processes if p.record == twins.other)
    assert other.read(HERE + 3, expected) == (data * 5)[shift : shift + expected]


@pytest.mark.parametrize("buffered", [0, 1])
def test_pipes(buffered):
    twins = OpenTwins()
    twins.put(HERE, bytes(range(256)) * 16)
    assert twins.call("pipes:files_pair", at.G_PAIR, buffered) == 1
    first = twins.systems[0].machine.load_u64(at.G_PAIR)
    pipe = twins.systems[0].machine.load_u64(first + at.F_IN)
    put, get = "pipes:pipe_put", "pipes:pipe_get"
    assert twins.call(put, pipe, twins.task, HERE, 3000) == 3000
    assert twins.call(get, pipe, twins.other_task, HERE, 1000) == 1000
    assert twins.call(put, pipe, twins.task, HERE, 4096) == (4096 if not buffered else 2096)
    assert twins.call(get, pipe, twins.other_task, HERE, 100_000) == (4096 if buffered else 6096)
    assert twins.call(get, pipe, twins.other_task, HERE, 1) == 0
    assert twins.call(put, pipe, twins.task, 0, 5) == 0
    twins.call(put, pipe, twins.task, HERE, 5)
    second = twins.systems[0].machine.load_u64(at.G_PAIR + 8)
    twins.call("pipes:file_drop", first)
    twins.call("pipes:file_drop", second)


def test_names_and_images():
    twins = OpenTwins()
    twins.put(HERE, b"lib\0second\0board")
    assert twins.call("tasks:name_take", twins.task, HERE, 3) == 1
    image = twins.call("tasks:image_find", at.IMAGE_LIBRARY)
    assert image and twins.call("tasks:image_find", at.IMAGE_PROGRAM) == 0
    assert twins.call("tasks:image_map", twins.task, image, at.OPEN_MAP) == 1
    assert twins.call("tasks:name_take", twins.task, HERE + 4, 6) == 1
    assert twins.call("tasks:symbol_find", image) == 4 + 1
    assert twins.call("tasks:name_take", twins.task, HERE + 11, 5) == 1
    shared = twins.call("tasks:shared_find", 2)
    assert shared == twins.call("tasks:shared_find", 7)
    assert twins.call("tasks:shared_map", twins.task, shared, at.OPEN_MAP + 0x10000, at.PROT_READ) == 1
    twins.call("tasks:task_load", twins.task, image)
    thread = twins.systems[0].machine.load_u64(twins.process + at.P_THREADS)
    twins.call("tasks:thread_prepare", thread, image, 1, 2, 3, 4)


def test_calls_of_a_running_process():
    """The calls themselves, the caller being whoever runs."""
    twins = OpenTwins()
    for system in twins.systems:
        system.machine.store_u64(at.G_CURRENT, system.machine.load_u64(twins.process + at.P_THREADS))
    word = (1 << 64) - 1
    assert twins.call("openmemory:sys_mmap", 0, 9000, 3, 0) == at.OPEN_MAP
    assert twins.call("openfiles:sys_pipe", at.OPEN_MAP) == 0
    twins.call("openfiles:sys_write", 4, HERE, 100)
    twins.call("openfiles:sys_read", 3, HERE + 200, 64)
    assert twins.call("openfiles:sys_ioctl", 3, 2, HERE + 512) == 0
    assert twins.call("openfiles:sys_dup2", 4, 9) == 9
    assert twins.call("openfiles:sys_close", 9) == 0
    assert twins.call("openfiles:sys_close", 9) == word - 8
    assert twins.call("openmemory:sys_munmap", at.OPEN_MAP, 4096) == 0
    number = twins.call("opens:sys_fork")
    assert number and twins.call("opens:sys_getpid") == number - 2
    assert twins.call("openmemory:sys_process_write", number, HERE, HERE + 200, 64) == 64
    twins.call("opens:sys_kill", number)
    twins.call("opens:sys_waitpid", number, HERE)
    assert np.array_equal(twins.systems[0].page_tags(), twins.systems[1].page_tags())
