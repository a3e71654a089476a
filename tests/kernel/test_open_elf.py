"""A program that another compiler made runs as an open process: text, initialised data, zeroed data, system calls."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from singlab.kernel import KernelError, OpenProgram, System
from singlab.kernel.opencalls import OPEN_NUMBER

GCC = shutil.which("riscv64-unknown-elf-gcc")
SOURCE = """
typedef unsigned long word;
static word call(word number, word a, word b, word c) {
    register word a0 asm("a0") = a, a1 asm("a1") = b, a2 asm("a2") = c, a7 asm("a7") = number;
    asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return a0;
}
word table[4] = {1, 20, 300, 4000};
word zeros[600];
static const char text[] = "from C\\n";
static word fibonacci(word n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
void _start(word n) {
    word total = 0, status = 0;
    call(WRITE, 1, (word)text, sizeof text - 1);
    for (int i = 0; i < 4; i++) total += table[i];
    for (int i = 0; i < 600; i++) total += zeros[i];
    zeros[599] = 7;
    word child = call(FORK, 0, 0, 0);
    if (child == 0) {
        table[0] = 100;
        zeros[599]++;
        call(EXIT, table[0] + zeros[599], 0, 0);
    }
    call(WAITPID, child, (word)&status, 0);
    call(EXIT, total * 1000000 + status * 1000 + table[0] + zeros[599] + fibonacci(n), 0, 0);
}
"""


@pytest.fixture(scope="module")
def elf(tmp_path_factory):
    if GCC is None:
        pytest.skip("riscv64-unknown-elf-gcc is not installed")
    folder = tmp_path_factory.mktemp("elf")
    (folder / "c.c").write_text(SOURCE)
    names = [f"-D{name.upper()}={OPEN_NUMBER[name]}" for name in ("write", "fork", "exit", "waitpid")]

    def build(at: int):
        path = folder / f"c{at:x}.elf"
        subprocess.run([GCC, "-O1", "-march=rv64imac", "-mabi=lp64", "-nostdlib", "-static", "-ffreestanding", "-mcmodel=medany", *names,
                        f"-Wl,-Ttext={at:#x}", "-o", path, folder / "c.c"], check=True, capture_output=True)  # fmt: skip
        return path

    return build


def test_a_program_of_another_compiler(elf):
    program = OpenProgram.from_elf(elf(0x40000), "c")
    assert {segment.rights for segment in program.segments} == {3, 5} and "fibonacci" in program.symbols
    system = System(personality="open", profile="untimed", ram="4M")
    process = system.create(OpenProgram(program.name, program.segments, program.entry, program.symbols, parameters=("n",)), n=10)
    assert system.run().outcome == "finished"
    assert process.console == "from C\n"
    assert process.exit_value == 4321 * 1_000_000 + 108 * 1000 + 1 + 7 + 55


def test_where_no_process_can_have_memory(elf):
    with pytest.raises(KernelError, match="no process can have"):
        OpenProgram.from_elf(elf(0x8040_0000), "kernel")
