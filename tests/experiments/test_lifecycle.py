"""What the experiments about the end of processes show, in the cheapest and the dearest isolation setting."""

from __future__ import annotations

import pytest

from singlab.experiments import lifecycle

ENDS = pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])


@ENDS
def test_a_letter_of_a_dead_sender_arrives_before_the_end_of_the_channel(isolation):
    frame = lifecycle.killed_after_sending(isolation).set_index("killed")
    assert list(frame["owner then"]) == ["reader", "reader"], "the owner changes at the send"
    assert frame.loc["writer", "survivor ends with"] == 1042 and frame.loc["reader", "survivor ends with"] == 1000
    assert list(frame["survivor holds"]) == [1, 0] and not frame["blocks left"].any()


@ENDS
def test_a_peer_waits_for_the_news_the_longer_the_more_the_dead_had(isolation):
    frame = lifecycle.death_to_closed((4, 16, 40), isolation=isolation)
    wakes = list(frame["peer wakes"])
    assert wakes == sorted(set(wakes)) and all(frame["peer wakes"] < frame["whole stop"])
    one = (wakes[2] - wakes[1]) / 24
    assert (wakes[1] - wakes[0]) / 12 == pytest.approx(one, rel=0.25), "about the same for each, once the caches hold the code"


@ENDS
def test_a_walk_over_everybody_costs_by_the_crowd_and_lists_do_not(isolation):
    frame = lifecycle.reclaim_compared((0, 3, 6), isolation=isolation)
    lists, walk = (list(frame[frame["reclaim"] == way]["whole stop"]) for way in ("lists", "walk"))
    assert walk[2] > walk[1] > walk[0] > lists[0]
    assert lists[2] < 1.3 * lists[0]


@ENDS
def test_records_of_endpoints_come_back_with_the_second_end(isolation):
    assert list(lifecycle.endpoint_outlives_its_owner(isolation)["records kept"]) == [2, 2, 0]


@ENDS
def test_a_process_is_stopped_wherever_it_is(isolation):
    frame = lifecycle.stopped_where(isolation).set_index("stopped")
    assert list(frame.index) == list(lifecycle.PLACES) and not frame["audit finds"].any()
    assert frame.loc["in the kernel's entry code", "instructions to leave"] > 0 and frame.loc["in its own code", "instructions to leave"] == 0


@ENDS
def test_noise_in_all_its_memory_does_not_keep_anything_from_coming_back(isolation):
    row = lifecycle.scribbled_over(isolation).iloc[0]
    assert row["bytes overwritten"] > 20_000 and row["held before"] > 10 and row["holds after"] == 0 and row["audit finds"] == 0


@ENDS
def test_a_number_used_again_before_the_reclaim_makes_the_newcomer_the_heir(isolation):
    more = lifecycle.number_used_twice(isolation).set_index("whose process is")["pages of the newcomer too many"]
    assert more["dead and reclaimed"] == 0 < more["not reclaimed yet"]


@ENDS
def test_a_block_is_lost_for_each_exception_until_the_end_and_the_verifier_had_said_so(isolation):
    frame = lifecycle.lost_on_an_exception(isolation, rounds=5).set_index("raised")
    assert dict(frame["blocks at most"]) == {"never": 1, "in each round": 5} and not frame["blocks after"].any()
    assert set(frame["the verifier"]) == {"refuses it: owner.merge"}


@ENDS
def test_an_endpoint_handed_on_with_a_letter_in_it_leaves_the_letter_with_its_first_owner(isolation):
    before, late = lifecycle.handed_on_too_late(isolation).to_dict("records")
    assert (before["owns the letter"], before["the receiver ends"]) == ("second owner", "exit with 1042")
    assert late["owns the letter"] == "first owner" != late["receives it"]
    assert late["the receiver ends"] == {"sip": "fault: used a block it does not own", "ring3-domains": "fault: access outside its memory"}[isolation]


@ENDS
def test_a_forged_handle_harms_who_uses_it_alone(isolation):
    frame = lifecycle.handle_forged(isolation).set_index("the handle became")
    assert list(frame.index) == list(lifecycle.FORGED) and frame["copies"].all() and not frame["audit finds"].any()
    assert frame.loc["what it was", "the process ends"] == "goes on" and (frame["the others"] == "talk").all()
    assert all(frame.loc[forged, "the process ends"].startswith("fault: ") for forged in lifecycle.FORGED[1:])
