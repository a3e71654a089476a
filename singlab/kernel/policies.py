"""Policies of a system: functions of students in slots of the kernel.

Decisions of the kernel can be taken by a function instead: which ready thread runs (``pick``), where a thread that has
become ready goes (``place``), how long a thread may run (``quantum``), how many bytes a block takes (``fit``), which pages
are given (``pages``), whether two processes may be connected (``admit``); and of the heap of a process when it is collected
(``trigger``), by how much it grows (``growth``), how much room young objects have (``nursery``), when they are old
(``tenure``), and what collects it, if it is adaptive (``collector``). The function is written in the kernel's own
subset of Python, compiled by itself (:mod:`singlab.kernel.policynative`), and costs simulated cycles like all kernel code.

A function that raises, that runs without end or whose answer cannot be is put out of force at once; the kernel decides by
itself, the run stops there with a :class:`PolicyError`, and the next one goes on.

Leaves out: what the RV64 form of a policy would do against one without end; only the native one counts its turns.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from singlab.kernel import layout as at
from singlab.kernel.policyslots import HEAP_SLOTS, MOST_TURNS, SLOTS, PolicyCode
from singlab.kernel.startup import KernelError
from singlab.machine import state as _s
from singlab.trace.record import POLICIES


class PolicyError(KernelError):
    """A policy misbehaved and was put out of force; the system is as consistent as before.

    Attributes
    ----------
    slot : str
    policy : PolicyFunction
    """

    def __init__(self, slot: str, policy: PolicyFunction, message: str):
        super().__init__(f"{policy.code.place}: policy {slot} ({policy.code.name}) {message}; the kernel decides by itself from here on")
        self.slot, self.policy = slot, policy


@dataclass(frozen=True)
class PolicyFunction:
    """A policy in a system.

    Attributes
    ----------
    code : PolicyCode
    native : int
        Where its native form is: what the machine's header gets.
    keep : object
        What must live as long as that.
    """

    code: PolicyCode
    native: int
    keep: object = field(repr=False, compare=False, default=None)


class Policies:
    """The part of a system that has policies."""

    def use(self, policy, processes=None) -> None:
        """Let a policy decide from now on, in place of the slot's former one.

        Parameters
        ----------
        policy : policy
            What ``@policy`` made of a function.
        processes : iterable of Process, optional
            Those about whose heaps it decides; about all others the kernel does. For policies of heaps alone.

        Raises
        ------
        SipError
            If it is refused, located in its own text.
        """
        from singlab.kernel.policynative import native_form

        if not hasattr(policy, "code"):
            raise KernelError(f'{policy!r} is no policy; write @policy("pick") above a function (from singlab.sing.policies import policy)')
        code = policy.code()
        if processes is not None and code.slot not in HEAP_SLOTS:
            raise KernelError(f"{code.place}: a policy {code.slot} decides for the whole system; only {', '.join(HEAP_SLOTS)} can be limited to some processes")
        former = self._host.policies.get(code.slot)
        self._limit_policy(code, processes, former is not None and former.code is code)
        self._host.policies[code.slot] = function = PolicyFunction(code, *native_form(code))
        self._place_policy(function)
        self._store(at.G_POLICIES, self._load(at.G_POLICIES) | 1 << code.number)

    def _limit_policy(self, code: PolicyCode, processes, same: bool) -> None:
        """Let a policy be asked about the heaps of these processes, and of those for which it decides already; None: of all."""
        bit, limited = 1 << code.number, self._load(at.G_POLICIES_FOR)
        if processes is None:
            self._store(at.G_POLICIES_FOR, limited & ~bit)
            return
        if not same or not limited & bit:
            for process in self._host.processes.values():
                if process.state != "stopped":
                    self._store(process.record + at.P_POLICIES, process._field(at.P_POLICIES) & ~bit)
        self._store(at.G_POLICIES_FOR, limited | bit)
        for process in processes:
            self._store(process.record + at.P_POLICIES, process._field(at.P_POLICIES) | bit)

    def drop(self, slot: str) -> None:
        """Let the kernel decide by itself again."""
        if slot not in SLOTS:
            raise KernelError(f"there is no policy {slot!r}; the slots are {', '.join(SLOTS)}")
        self._host.policies.pop(slot, None)
        self._store(at.G_POLICIES, self._load(at.G_POLICIES) & ~(1 << POLICIES.index(slot)))
        if slot == "quantum":
            self._store(at.G_QUANTUM, self._load(at.G_USUAL_QUANTUM))

    @property
    def policies(self) -> dict[str, str]:
        """The name of the function in each slot that has one in force."""
        mask = self._load(at.G_POLICIES)
        return {slot: function.code.name for slot, function in self._host.policies.items() if mask >> function.code.number & 1}

    def _place_policy(self, function: PolicyFunction) -> None:
        code = function.code
        self.machine.write(at.POLICY_TEXT + code.number * at.POLICY_BYTES, code.text.ljust(at.POLICY_BYTES, b"\0"))
        self._m[_s.POLICY_CODE + code.number] = function.native

    def _place_policies(self) -> None:
        """After going back: the addresses of native code are the host's, not the machine's."""
        for function in self._host.policies.values():
            self._place_policy(function)

    def _policy_fault(self) -> PolicyError | None:
        """Return what was wrong with a policy that was put out of force since the last look."""
        self._m[_s.POLICY_STOP] = 0
        fault, value = self._load(at.G_POLICY_FAULT), self._load(at.G_POLICY_VALUE)
        if not fault:
            return None
        self._store(at.G_POLICY_FAULT, 0)
        slot = POLICIES[(fault & 0xFF) - 1]
        policy = self._host.policies[slot]
        if fault >> 8 == at.NONSENSE:
            return PolicyError(slot, policy, f"answered {_said(value)}, which is not {_wanted(slot)}")
        why, line = value >> 32, value & 0xFFFF_FFFF
        if why == at.ENDLESS:
            return PolicyError(slot, policy, f"runs without end: its loop in line {line} took more than {MOST_TURNS:,} turns in one call")
        return PolicyError(slot, policy, f"raised in line {line}")


def _said(value: int) -> str:
    return str(value) if value < 1 << 20 else f"{value:#x}"


def _wanted(slot: str) -> str:
    return {"place": "0, 1 or 2", "pick": "a thread that is ready", "quantum": "a number of cycles from 1,000 to 2 ** 40", "fit": "a number of bytes as large as the block",
            "pages": "the first of so many free pages in a row within the zone", "trigger": "0 or 1",
            "growth": "a number of bytes in which the object has room, up to 2 ** 40", "nursery": "a number of bytes from 4,096 to 2 ** 40",
            "tenure": "a number of collections from 1 to 15", "collector": "2 (semispace), 3 (marksweep) or 4 (compact)"}.get(slot, SLOTS[slot][1])  # fmt: skip
