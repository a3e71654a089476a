"""How many messages a second of real time the simulated kernel carries between two SIPs."""

from __future__ import annotations

import time

from singlab.bench.harness import Row, repeat

_ROUNDS = 20_000


def _messages(isolation: str) -> float:
    """Return messages a second."""
    from singlab.experiments.message_size import programs
    from singlab.kernel import System

    client_image, server_image = programs()
    system = System(isolation=isolation, trace=False)
    client = system.create(client_image, size=64, warm_up=1, rounds=_ROUNDS)
    server = system.create(server_image)
    system.connect(client["ch"], server["ch"])
    start = time.perf_counter()
    system.run()
    return 2 * (_ROUNDS + 1) / (time.perf_counter() - start)


def _rows() -> list[Row]:
    rows = []
    for isolation in ("sip", "ring3"):
        value, spread = repeat(lambda isolation=isolation: _messages(isolation))
        rows.append(Row(f"messages between two SIPs, isolation {isolation}", value, "1/s", spread, less_is_better=False))
    return rows


MEASUREMENTS = (_rows,)
