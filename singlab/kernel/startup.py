"""Startup arguments: the numbers a process is given when it is created, matched with what its manifest asks for."""

from __future__ import annotations


class KernelError(Exception):
    """Something was asked of a system that it cannot do; the message says what to do instead."""


def startup_values(manifest, arguments: dict[str, int]) -> dict[str, int | None]:
    """Match integer startup arguments with a manifest; endpoints stay None until connected."""
    values: dict[str, int | None] = {}
    for parameter in manifest.parameters:
        if parameter.contract is not None:
            values[parameter.name] = None
        elif parameter.name in arguments:
            values[parameter.name] = _fitting(manifest.name, parameter, arguments[parameter.name])
        else:
            raise KernelError(f"{manifest.name} needs a startup argument: create(..., {parameter.name}=<{parameter.type}>)")
    for name in arguments:
        if name not in values or values[name] is None:
            known = ", ".join(p.name for p in manifest.parameters if p.contract is None) or "none"
            raise KernelError(f"{manifest.name} has no integer startup argument {name!r}; it has: {known}")
    return values


def _fitting(program: str, parameter, value: int) -> int:
    """Return a startup argument's register word, or refuse one that its type cannot hold."""
    if parameter.type == "bool":
        return int(bool(value))
    bits, signed = int(parameter.type[1:]), parameter.type[0] == "i"
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if not low <= int(value) <= high:
        raise KernelError(f"{program}: {parameter.name}={value} does not fit {parameter.type} ({low} to {high})")
    return int(value) & 0xFFFF_FFFF_FFFF_FFFF
