"""The workloads compute what Python computes with the same text, in every size that a test can wait for."""

from __future__ import annotations

import queue
import threading

import pytest

from singlab.experiments.workloads import SIZES, workload_runs, workloads
from singlab.kernel import System

MASK = (1 << 64) - 1


class U64(int):
    """An integer whose arithmetic wraps at 64 bits."""


def _wrapped(name: str):
    plain = getattr(int, name)

    def method(self, other):
        return U64(plain(self, int(other)) & MASK)

    return method


for _operation in ("add", "sub", "mul", "floordiv", "mod", "lshift", "rshift", "and", "or", "xor"):
    for _name in (f"__{_operation}__", f"__r{_operation}__"):
        setattr(U64, _name, _wrapped(_name))


class Bytes(list):
    def __str__(self):
        return bytes(self).decode()


class ChannelClosed:
    pass


class Request:
    __match_args__ = ("text",)

    def __init__(self, text):
        self.text = text


class Response(Request):
    pass


class End:
    """One end of a channel between two threads of Python."""

    def __init__(self, inbox, outbox):
        self.inbox, self.outbox = inbox, outbox

    def send(self, message):
        self.outbox.put(message)

    def receive(self, kind=None):
        message = self.inbox.get(timeout=60)
        return message if kind is None else message.text


class Contract:
    Request, Response = Request, Response
    Imp = Exp = None


class ArrayType:
    def __class_getitem__(cls, item):
        return cls


def managed(cls):
    fields = cls.__annotations__

    def init(self, *values):
        assert len(values) == len(fields)
        self.__dict__.update(zip(fields, values))

    cls.__init__ = init
    return cls


def array(type_, count, value=None):
    return [U64(0) if value is None and type_ is U64 else value] * int(count)


def python_of(name: str) -> dict:
    """Return the names a workload's text defines when it runs as Python."""
    lines = [line for line in workloads()[name].source.splitlines() if not line.startswith("from ")]
    plain = {word: lambda f: f for word in ("sip", "function")}
    names = {**plain, "managed": managed, "Array": ArrayType, "array": array, "u64": U64, "char": str, "mark": lambda n: None,
             "contract": lambda text: Contract, "ChannelClosed": ChannelClosed, "free": lambda v: None,
             "to_vector": lambda text: Bytes(map(U64, text.encode()))}  # fmt: skip
    exec(compile("from __future__ import annotations\n" + "\n".join(lines), name, "exec"), names)
    return names


def expected(name: str, size: str, seed: int) -> int:
    names = python_of(name)
    programs = workloads()[name].parameters[size]
    if name != "requests":
        ((program, values),) = programs.items()
        return int(names[program](**{k: U64(v) for k, v in values.items()}, seed=U64(seed)))
    one, other = queue.Queue(), queue.Queue()
    server = threading.Thread(target=names["server"], args=(End(one, other), U64(programs["server"]["users"])))
    server.start()
    try:
        return int(names["client"](End(other, one), **{k: U64(v) for k, v in programs["client"].items()}, seed=U64(seed)))
    finally:
        one.put(ChannelClosed())
        server.join()


@pytest.mark.parametrize("seed", [1, 20])
def test_small_ones_compute_what_python_computes(seed):
    results = dict(workload_runs("small", seed)[["workload", "result"]].itertuples(index=False))
    assert results == {name: expected(name, "small", seed) for name in workloads()}


@pytest.mark.parametrize("name", workloads())
def test_the_teaching_size_computes_what_python_computes(name):
    system = System(ram="64M")
    made = workloads()[name].start(system, "teaching", seed=3)
    run = system.run()
    assert run.outcome == "finished", run.report
    assert made[-1].exit_value == expected(name, "teaching", 3)


def test_seeds_and_settings():
    frame = workload_runs("small", 1).set_index("workload")
    assert (frame["result"] == workload_runs("small", 1, "ring3").set_index("workload")["result"]).all()
    others = workload_runs("small", 2).set_index("workload")["result"]
    assert (frame["result"] != others).all(), "a result that does not depend on the seed"


def test_sizes_grow_and_every_program_says_what_it_does():
    assert len(workloads()) == 7
    for workload in workloads().values():
        assert len(workload.what) > 20 and workload.name in repr(workload)
        small, teaching, large = (workload.parameters[size] for size in SIZES)
        for program, values in small.items():
            for name in values:
                assert values[name] <= teaching[program][name] <= large[program][name]


def test_a_size_or_parameter_there_is_not():
    workload = workloads()["trees"]
    with pytest.raises(ValueError, match="no size 'huge'; the sizes are small, teaching, large"):
        workload.start(System(), "huge")
    with pytest.raises(ValueError, match="trees has no parameter 'height'; it has depth, rounds and seed"):
        workload.start(System(), "small", height=3)
    assert len(workload.start(System(ram="8M"), "small", depth=2)) == 1
