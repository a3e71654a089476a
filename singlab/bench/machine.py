"""How fast the simulated hart runs: a sieve of Eratosthenes, hand-assembled, beside Unicorn where installed."""

from __future__ import annotations

import time

from singlab.bench.harness import Row, repeat

#: Counts the primes below 60,000 in a byte table, over and over.
_SIEVE = """
        li   s0, 0x80100000
        li   s1, 60000
        li   s5, 12
again:  mv   t0, s0
        add  t1, s0, s1
clear:  sd   zero, 0(t0)
        addi t0, t0, 8
        blt  t0, t1, clear
        li   s2, 2
        li   a0, 0
outer:  add  t0, s0, s2
        lbu  t1, 0(t0)
        bnez t1, next
        addi a0, a0, 1
        add  t2, s2, s2
        li   t4, 1
inner:  bge  t2, s1, next
        add  t3, s0, t2
        sb   t4, 0(t3)
        add  t2, t2, s2
        j    inner
next:   addi s2, s2, 1
        blt  s2, s1, outer
        addi s5, s5, -1
        bnez s5, again
end:    wfi
"""
_BASE = 0x8000_0000
_PRIMES = 6057


def _run(profile: str) -> float:
    """Return instructions a second of one run."""
    from singlab.machine import Machine
    from singlab.machine import state as s
    from singlab.machine.asm import assemble

    machine = Machine(profile=profile, ram="16M")
    machine.write(_BASE, assemble(_SIEVE, _BASE).code)
    machine.m[s.PC] = _BASE
    start = time.perf_counter()
    machine.run(cycles=2_000_000_000)
    spent = time.perf_counter() - start
    if machine.registers()["a0"] != _PRIMES:
        raise RuntimeError(f"the sieve counted {machine.registers()['a0']} primes, not {_PRIMES}")
    return int(machine.m[s.INSTRET]) / spent


def _unicorn(instructions: int) -> float | None:
    """Return instructions a second of Unicorn on the same program, None if it is not installed."""
    try:
        import unicorn
        from unicorn import riscv_const as reg
    except ImportError:
        return None
    from singlab.machine.asm import assemble

    assembled = assemble(_SIEVE, _BASE)
    emulator = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
    emulator.mem_map(_BASE, 16 << 20)
    emulator.mem_write(_BASE, assembled.code)
    start = time.perf_counter()
    emulator.emu_start(_BASE, _BASE + len(assembled.code) - 4)
    spent = time.perf_counter() - start
    if emulator.reg_read(reg.UC_RISCV_REG_A0) != _PRIMES:
        raise RuntimeError("the peer counted other primes")
    return instructions / spent


def _instructions() -> list[Row]:
    from singlab.machine import Machine
    from singlab.machine import state as s
    from singlab.machine.asm import assemble

    machine = Machine(ram="16M")
    machine.write(_BASE, assemble(_SIEVE, _BASE).code)
    machine.m[s.PC] = _BASE
    machine.run(cycles=2_000_000_000)
    count = int(machine.m[s.INSTRET])
    peer = _unicorn(count)
    rows = []
    for profile in ("athlon64", "teaching"):
        value, spread = repeat(lambda profile=profile: _run(profile))
        rows.append(Row(f"simulated instructions, full timing, {profile}", value, "1/s", spread,
                        peer="Unicorn" if peer else None, peer_value=peer, less_is_better=False))  # fmt: skip
    return rows


MEASUREMENTS = (_instructions,)
