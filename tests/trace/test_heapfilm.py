"""Films of collections: states forwards and at the end, pictures that contradict themselves, files that are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singlab.trace.heapfilm import BLACK, GONE, GREY, LATER, OBJECT, STEP, WHITE, HeapFilm, HeapPicture, Root, Space, Step
from tests.heapfilms import BASE, copying, cycling, heap, marking, sliding

FILMS = st.builds(lambda make, count, seed: make(count=count, seed=seed), st.sampled_from([copying, marking, sliding]), st.integers(1, 80),
                  st.integers(0, 10_000))  # fmt: skip


def brute_force(picture: HeapPicture) -> set[int]:
    """What roots lead to, found by asking every reference until nothing new comes."""
    found = {picture.index(root.target) for root in picture.roots}
    while True:
        more = {int(b) for a, b in picture.edges if int(a) in found} - found
        if not more:
            return found
        found |= more


@given(FILMS)
def test_what_a_collector_keeps_is_what_roots_lead_to(film):
    reachable = brute_force(film.before)
    assert set(np.flatnonzero(film.before.reachable).tolist()) == reachable
    state, where = film.states(len(film))
    assert {i for i, s in enumerate(state) if s == BLACK} == reachable and set(state.tolist()) <= {BLACK, GONE}
    after = film.after()
    after.check()
    assert len(after) == len(reachable) and after.reachable.all()
    assert sorted(after.objects["address"].tolist()) == sorted(where[sorted(reachable)].tolist())
    done = film.summary()
    assert done["reached"] == len(reachable) and done["gone"] == len(film.before) - len(reachable)
    assert done["moved"] == len({i for i in range(len(film.before)) if where[i] != film.before.objects["address"][i]})


@given(FILMS, st.data())
def test_states_go_one_way(film, data):
    order = {WHITE: 0, GREY: 1, BLACK: 2, GONE: 3}
    positions = sorted(data.draw(st.lists(st.integers(0, len(film)), min_size=2, max_size=6)))
    rows = [film.states(position)[0] for position in positions]
    for earlier, later in zip(rows, rows[1:]):
        assert all(order[int(a)] <= order[int(b)] for a, b in zip(earlier, later))
    assert (film.states(0)[0] == WHITE).all()


@settings(deadline=None)
@given(FILMS)
def test_pages_and_types_account_for_everything(film):
    before = film.before
    pages = before.pages()
    assert (pages[["reachable", "unreachable", "free", "unused"]] >= 0).all().all()
    assert pages[["reachable", "unreachable", "free", "unused"]].to_numpy().sum() == sum(s.end - s.start for s in before.spaces)
    assert pages["reachable"].sum() == before.objects["size"][before.reachable].sum()
    table = before.by_type()
    assert table["objects"].sum() == len(before) and table["bytes"].sum() == before.objects["size"].sum()
    assert table["reachable"].sum() == before.reachable.sum() and list(table["bytes"]) == sorted(table["bytes"], reverse=True)


@settings(deadline=None)
@given(st.one_of(FILMS, st.builds(cycling, st.integers(1, 60), st.integers(0, 10_000))))
def test_a_file_brings_the_film_back(tmp_path_factory, film):
    path = film.save(tmp_path_factory.mktemp("film") / "a.film")
    other = HeapFilm.load(path)
    assert (other.steps == film.steps).all() and (other.before.objects == film.before.objects).all()
    assert other.before.roots == film.before.roots and other.before.spaces == film.before.spaces and other.phases == film.phases
    assert (other.before.edges == film.before.edges).all() and (other.before.free == film.before.free).all()
    assert other.program == film.program and (other.born == film.born).all()
    assert (other.born_edges == film.born_edges).all() and (other.changes == film.changes).all() and other.before.said == film.before.said
    assert repr(other) == repr(film) and repr(other.before) == repr(film.before)


@pytest.mark.parametrize("text", [b"", b"no film", b"PK\x03\x04 and then nothing"])
def test_a_file_that_is_no_film(tmp_path, text):
    (tmp_path / "x").write_bytes(text)
    with pytest.raises(ValueError, match="x is no film of a collection: .*write one with film.save"):
        HeapFilm.load(tmp_path / "x")
    np.savez(tmp_path / "y.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="y.npz is no film of a collection"):
        HeapFilm.load(tmp_path / "y.npz")


@given(st.binary(max_size=200), st.integers(0, 4000))
def test_a_film_with_other_bytes_in_it(tmp_path_factory, noise, place):
    path = copying(count=20).save(tmp_path_factory.mktemp("film") / "a.film")
    data = bytearray(path.read_bytes())
    data[place % len(data) : place % len(data) + len(noise)] = noise
    path.write_bytes(data)
    try:
        HeapFilm.load(path)
    except ValueError as error:
        assert "is no film of a collection" in str(error)


def two(**changes) -> HeapPicture:
    objects = np.array([(BASE, 32, 0, 0, 0), (BASE + 32, 16, 1, 0, 0)], OBJECT)
    picture = HeapPicture(
        "p", "c", objects, np.array([[0, 1]], np.int32), (Root("s0", "register", BASE),), ("A", "B"), (Space("s", BASE, BASE + 4096),)
    )
    return replace(picture, **changes)


@pytest.mark.parametrize("changes, message", [
    ({"objects": np.array([(BASE, 40, 0, 0, 0), (BASE + 32, 16, 1, 0, 0)], OBJECT)}, "the object at 0x80100000 of 40 bytes reaches into the one at 0x80100020"),
    ({"spaces": (Space("s", BASE, BASE + 40),)}, "the object at 0x80100020 lies in no space"),
    ({"edges": np.array([[0, 2]], np.int32)}, "a reference names object 2 of 2"),
    ({"types": ("A",)}, "an object has type 1 of 1"),
    ({"roots": (Root("s0", "register", BASE + 8),)}, "no object begins at 0x80100008"),
])  # fmt: skip
def test_pictures_that_contradict_themselves(changes, message):
    two().check()
    with pytest.raises((ValueError, KeyError), match=message):
        two(**changes).check()


def test_steps_that_speak_of_nothing():
    film = HeapFilm(two(), np.array([(Step.REACH, BASE + 8, 0)], STEP))
    with pytest.raises(ValueError, match="step 0 speaks of an object at 0x80100008, where there is none"):
        film.states(1)


def test_an_empty_heap():
    picture, _ = heap(count=0)
    picture.check()
    assert len(picture.reachable) == 0 and len(picture.by_type()) == 0 and picture.pages()["unused"].sum() == 8192


# ---- where the program runs between the steps ---------------------------------------------------------------------------


def led_to(film: HeapFilm, position: int) -> set[int]:
    """What the roots lead to after so many steps."""
    edges, found = film.edges(position).tolist(), {place for place in film.holds(position) if place >= 0}
    while more := {b for a, b in edges if a in found} - found:
        found |= more
    return found


CYCLES = st.builds(cycling, st.integers(1, 50), st.integers(0, 10_000))


@settings(deadline=None)
@given(CYCLES, st.data())
def test_with_a_barrier_nothing_is_taken_from_the_program(film, data):
    film.check()
    for position in data.draw(st.lists(st.integers(0, len(film)), min_size=1, max_size=4)):
        state, _ = film.states(position)
        assert all((state[a], state[b]) != (BLACK, WHITE) for a, b in film.edges(position))
        assert not {place for place in led_to(film, position) if state[place] in (GONE, LATER)}
    state, _ = film.states(len(film))
    after = film.after()
    after.check()
    assert set(state.tolist()) <= {BLACK, GONE} and len(after) == (state == BLACK).sum()
    assert after.reachable.sum() == len(led_to(film, len(film))) and len(after.edges) == len(film.edges(len(film)))
    done = film.summary()
    assert done["made"] == len(film.born) and done["changed"] == len(film.changes) and done["gone"] == (state == GONE).sum()


def test_what_the_barrier_keeps_is_what_goes_without_it():
    """The same programs without one: at the first sweep something they still hold is white, and the film said what."""
    kept = lost = 0
    for seed in range(150):
        film = cycling(40, seed, roots=3, busy=25)
        saved = film.lost_without_barrier()
        sweep = np.flatnonzero(film.steps["what"] == Step.FREE)
        position = int(sweep[0]) if len(sweep) else len(film)
        assert not saved[film.states(position)[0] != BLACK].any(), "only what is kept can be kept by the barrier"
        assert not saved.any() or (film.steps["what"] == Step.SHADE).any()
        kept += saved.any()
        bare = cycling(40, seed, roots=3, busy=25, barrier=False)
        sweep = np.flatnonzero(bare.steps["what"] == Step.FREE)
        state = bare.states(int(sweep[0]) if len(sweep) else len(bare))[0]
        lost += any(state[place] == WHITE for place in led_to(bare, int(sweep[0]) if len(sweep) else len(bare)))
    assert kept > 3 and lost > 3


@pytest.mark.parametrize("step, message", [
    ((Step.MAKE, BASE + 64, 1), "step 0 makes an object at 0x80100040, where there can be none"),
    ((Step.MAKE, BASE, 0), "step 0 makes an object at 0x80100000, where there can be none"),
    ((Step.REFER, BASE + 32, 0), "step 0 changes a reference of 0x80100020, which is none of that object"),
    ((Step.REFER, BASE, 7), "step 0 changes a reference of 0x80100000, which is none of that object"),
    ((Step.HOLD, 3, 0), "step 0 speaks of root 3 of 1"),
    ((Step.HOLD, 0, BASE + 8), "step 0 speaks of an object at 0x80100008, where there is none"),
    ((Step.SHADE, BASE + 8, 0), "step 0 speaks of an object at 0x80100008, where there is none"),
])  # fmt: skip
def test_what_a_program_cannot_have_done(step, message):
    film = HeapFilm(two(), np.array([step], STEP), (), (3,), np.array([(BASE + 64, 16, 0, 0, 0)], OBJECT), changes=np.array([(0, 1, -1)], np.int32))
    with pytest.raises(ValueError, match=message):
        film.check()
    with pytest.raises(ValueError, match="a change names object 9 of 3"):
        replace(film, changes=np.array([(0, 9, -1)], np.int32)).check()


def test_a_new_cycle_begins_with_everything_white():
    film = HeapFilm(two(), np.array([(Step.REACH, BASE, 0), (Step.SCAN, BASE, 0), (Step.WHITEN, 0, 0)], STEP))
    assert film.states(2)[0].tolist() == [BLACK, WHITE] and film.states(3)[0].tolist() == [WHITE, WHITE]


def test_a_root_that_refers_to_nothing_yet():
    picture = two(roots=(Root("s0", "register", 0), Root("s1", "register", BASE + 32)))
    picture.check()
    assert picture.reachable.tolist() == [False, True]
    film = HeapFilm(picture, np.array([(Step.HOLD, 0, BASE), (Step.HOLD, 1, 0)], STEP))
    assert film.holds(0) == [-1, 1] and film.holds(2) == [0, -1] and film.after().roots == (Root("s0", "register", BASE),)


def test_texts_without_their_objects():
    with pytest.raises(ValueError, match="1 of 2 objects say something"):
        two(said=("/mail",)).check()
