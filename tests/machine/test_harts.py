"""More than one hart: atomic across harts, decided by the seed alone."""

from __future__ import annotations

import pytest
from bench import BASE, DATA

from singlab.machine import Machine
from singlab.machine.asm import assemble

#: Each hart adds to one word by amoadd, to another under lr/sc, and to a third carelessly, with a jump between load and store; then it waits.
COUNT = f"""
        li   s0, {DATA:#x}
        li   s1, 200
        li   t2, 1
again:  amoadd.d zero, t2, (s0)
        addi t3, s0, 64
retry:  lr.d t0, (t3)
        addi t0, t0, 1
        sc.d t1, t0, (t3)
        bnez t1, retry
        ld   t0, 128(s0)
        j    over
over:   addi t0, t0, 1
        sd   t0, 128(s0)
        addi s1, s1, -1
        bnez s1, again
        csrr a0, mhartid
        wfi
"""


def ran(harts: int, seed: int, profile: str = "teaching") -> Machine:
    made = Machine(profile=profile, ram="4M", harts=harts, seed=seed)
    made.write(BASE, assemble(COUNT, BASE).code)
    assert made.run(cycles=10_000_000) == "wfi"
    return made


@pytest.mark.parametrize("profile", ["teaching", "untimed", "modern"])
@pytest.mark.parametrize("harts", [1, 2, 3, 4])
def test_what_is_atomic_loses_nothing(harts, profile):
    made = ran(harts, 1, profile)
    assert made.load_u64(DATA) == made.load_u64(DATA + 64) == 200 * harts
    if harts > 1:
        assert 200 <= made.load_u64(DATA + 128) < 200 * harts, "a load and a store are not atomic"
    seen = []
    for hart in range(harts):
        made.look_at(hart)
        seen.append(made.registers()["a0"])
    assert seen == list(range(harts))


def test_the_seed_decides():
    first, again, other = ran(3, 5), ran(3, 5), ran(3, 6)
    assert (first.m == again.m).all()
    assert (first.m != other.m).any()


def test_numbers_of_harts_that_cannot_be():
    for harts in (0, 5):
        with pytest.raises(ValueError, match="1 to 4"):
            Machine(harts=harts)
    with pytest.raises(ValueError, match="no hart 1"):
        Machine().look_at(1)
