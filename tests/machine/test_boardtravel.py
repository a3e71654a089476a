"""A board goes back with its devices: disk, random bytes, network, and what was printed."""

from __future__ import annotations

import pytest
from guestbuild import built

from singlab.machine import Board, TimeTravel


def board_with(said: list, **options) -> Board:
    return Board(profile="teaching", ram="16M", output=said.append, **options)


def to_the_end(travel: TimeTravel) -> str:
    while (reason := travel.step(1_000_000)) == "here":
        pass
    return reason


CASES = {
    "block": {"disk": bytes(range(256)) * 1024},
    "net": {"net": "loopback"},
}


@pytest.mark.parametrize("guest", CASES)
def test_there_and_back_and_there(guest):
    said: list[bytes] = []
    board = board_with(said, **CASES[guest])
    board.load(built(guest))
    travel = TimeTravel(board)
    travel._spacing = 20_000
    reason = to_the_end(travel)
    end, state, printed = travel.position, board.machine.m.copy(), bytes(board.printed)
    devices = repr(board.devices())
    assert b"".join(said) == printed and printed
    half = end // 2
    travel.goto(half)
    middle, middle_devices, some = board.machine.m.copy(), repr(board.devices()), bytes(board.printed)
    assert printed.startswith(some)
    assert to_the_end(travel) == reason
    assert (board.machine.m == state).all() and repr(board.devices()) == devices and bytes(board.printed) == printed
    travel.goto(half // 3)
    travel.goto(half)
    assert (board.machine.m == middle).all() and repr(board.devices()) == middle_devices and bytes(board.printed) == some
    assert b"".join(said) == printed, "what was said is not said again"


def test_what_was_sent_is_not_sent_again():
    frames: list[bytes] = []
    board = board_with([], net=frames.append)
    board.load(built("net"))
    travel = TimeTravel(board)
    while not frames:  # it waits for an answer then
        travel.step(5000)
    sent = list(frames)
    travel.goto(100)
    travel.step(200_000)
    assert frames == sent and len(board.net.sent) == 1


def test_typing_ends_the_future():
    said: list[bytes] = []
    board = board_with(said, net="loopback")
    board.load(built("net"))
    travel = TimeTravel(board)
    travel.goto(2000)
    once = b"".join(said)
    travel.goto(1000)
    before = len(board.printed)
    board.type(b"x")
    travel.changed()
    assert travel.position == 1000
    to_the_end(travel)
    assert b"".join(said) == once + bytes(board.printed[before:]), "another future is told from where it begins"
