"""The view in a page of its own: it opens from a disk, needs no network, and shows at each event what is so."""

from __future__ import annotations

import re

import numpy as np
import pytest

from singlab.experiments.message_size import programs
from singlab.kernel import System
from singlab.sing import build, programs_from_source
from singlab.trace.record import Kind
from singlab.widgets import replay_html
from singlab.widgets.still import still_picture
from tests.conftest import outside

pytestmark = pytest.mark.browser


def conversation(rounds: int = 3, **options):
    """Return a system in which two processes have talked."""
    client_image, server_image = programs()
    system = System(**options)
    client = system.create(client_image, size=64, warm_up=1, rounds=rounds)
    server = system.create(server_image)
    system.connect(client["ch"], server["ch"])
    system.run()
    return system


@pytest.fixture(scope="module")
def system():
    return conversation()


@pytest.fixture
def replay(system, tmp_path, watched_page):
    """A page that replays the conversation."""
    path = tmp_path / "replay.html"
    replay_html(system.trace, path)
    with watched_page() as page:
        page.goto(path.as_uri())
        page.wait_for_selector("[data-testid=sl-threads] text")
        yield page
        assert page.errors == []
        assert outside(page.requests) == [] and len(page.requests) == 1


def seek(page, position: int) -> None:
    """Go to a position and wait until it is drawn."""
    page.evaluate(f"singlabView.seek({position})")
    page.wait_for_function(f"() => document.querySelector('[data-testid=sl-sentence]').dataset.position === '{position}'")


def test_sentences_are_those_of_the_trace(replay, system):
    """Python and JavaScript say the same of every event."""
    trace = system.trace
    told = replay.evaluate("singlabView.run.events.map((event, index) => singlabView.run.describe(index))")
    assert told == [trace.describe(i) for i in range(len(trace))]


def test_state_at_any_event_is_what_the_events_say(replay, system):
    """Owners of blocks, computed here by brute force from the first event on, against the view's checkpoints."""
    trace, owners = system.trace, {}
    expected = []
    for event in trace.events:
        a, b = int(event["a"]), int(event["b"])
        if event["kind"] == Kind.BLOCK_ALLOC:
            owners[a] = b >> 32
        elif event["kind"] == Kind.BLOCK_OWNER:
            owners[a] = b & 0xFFFF_FFFF
        elif event["kind"] == Kind.BLOCK_FREE:
            owners.pop(a)
        expected.append(sorted(owners.values()))
    found = replay.evaluate(
        "singlabView.run.events.map((_, index) => [...singlabView.run.stateAt(index + 1).blocks.values()].map(b => b.owner).sort())"
    )
    assert found == expected


def test_the_states_both_sides_are_in_are_filled(replay, system):
    """At each event: which half of which state is filled, against the states the events give, from the first one on."""
    channel, at, closed, expected = None, {}, set(), []
    for event in system.trace.events:
        a, b = int(event["a"]), int(event["b"])
        if event["kind"] == Kind.CHANNEL_CREATE:
            channel, at = a, {0: 0, 1: 0}
        elif event["kind"] == Kind.CHANNEL_STATE:
            at[a >> 56] = b
        elif event["kind"] == Kind.CHANNEL_CLOSE:
            closed.add(b)
        expected.append([at[side] if side in at and side not in closed else None for side in (0, 1)])
    assert channel is not None and len({tuple(e) for e in expected}) > 3
    found = replay.evaluate(
        """() => singlabView.run.events.map((_, index) => {
            singlabView.position = index + 1;
            singlabView.paint();
            return ["imp", "exp"].map((side) => {
                const on = [...document.querySelectorAll(`.sl-draw .${side}`)].filter((half) => half.style.fill);
                return on.length ? Number(on[0].parentElement.dataset.state) : null;
            });
        })"""
    )
    assert found == expected
    names = replay.locator("[data-testid=sl-channels] b").all_inner_texts()
    assert names == ["closed", "closed"] and replay.locator(".sl-channel.sl-off").count() == 1


def test_a_block_changes_colour_when_it_changes_owner(replay, system):
    moments = [i for i, event in enumerate(system.trace.events) if event["kind"] == Kind.BLOCK_OWNER]
    colours = set()
    for moment in moments[:2]:
        seek(replay, moment + 1)
        colours.add(replay.locator("[data-testid=sl-memory] g rect").first.get_attribute("fill"))
    assert len(colours) == 2


def test_buttons_keys_and_seek(replay, system):
    sentence = replay.locator("[data-testid=sl-sentence]")

    def position() -> int:
        replay.wait_for_timeout(60)
        return int(sentence.get_attribute("data-position"))

    assert position() == 0
    replay.click("[data-testid=sl-step]")
    assert position() == 1
    replay.keyboard.press("ArrowRight")
    replay.keyboard.press("ArrowRight")
    assert position() == 3
    replay.click("[data-testid=sl-back]")
    assert position() == 2
    replay.keyboard.press("End")
    assert position() == len(system.trace)
    replay.click("[data-testid=sl-start]")
    assert position() == 0
    replay.keyboard.press("ArrowLeft")
    assert position() == 0
    bar = replay.locator("[data-testid=sl-seek]")
    bar.evaluate("node => { node.value = 40; node.dispatchEvent(new Event('input', { bubbles: true })); }")
    assert position() == 40


def test_playing_comes_to_an_end_and_begins_again(replay, system):
    replay.locator("[data-testid=sl-speed]").evaluate("node => { node.value = 8; node.dispatchEvent(new Event('input')); }")
    replay.click("[data-testid=sl-play]")
    replay.wait_for_function(f"() => singlabView.position === {len(system.trace)} && !singlabView.playing", timeout=20_000)
    replay.wait_for_function("() => document.querySelector('[data-testid=sl-play]').textContent.includes('Play')")
    # slow enough that it has not come to its end again before it is paused
    replay.locator("[data-testid=sl-speed]").evaluate("node => { node.value = 3; node.dispatchEvent(new Event('input')); }")
    replay.click("[data-testid=sl-play]")
    replay.wait_for_function(f"() => singlabView.playing && singlabView.position < {len(system.trace)}")
    replay.click("[data-testid=sl-play]")
    assert not replay.evaluate("singlabView.playing")


def test_clicking_an_arrow_goes_there(replay):
    seek(replay, 60)
    arrow = replay.locator("[data-testid=sl-messages] g[data-event]").first
    target = int(arrow.get_attribute("data-event"))
    arrow.dispatch_event("click")
    replay.wait_for_function(f"() => singlabView.position === {target + 1}")


@pytest.mark.parametrize("width", [420, 760, 1600])
def test_nothing_sticks_out(system, tmp_path, watched_page, width):
    path = tmp_path / "replay.html"
    replay_html(system.trace, path)
    with watched_page(viewport={"width": width, "height": 800}) as page:
        page.goto(path.as_uri())
        page.wait_for_selector("[data-testid=sl-threads] text")
        seek(page, 70)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        sizes = page.evaluate("[...document.querySelectorAll('.singlab-view text')].map(t => parseFloat(getComputedStyle(t).fontSize))")
        assert min(sizes) >= 12


def test_a_long_run_stays_quick(tmp_path, watched_page):
    """Ten thousand events: seeking draws only what is seen, so the page holds few elements wherever it stands."""
    system = conversation(rounds=600)
    path = tmp_path / "long.html"
    replay_html(system.trace, path)
    with watched_page() as page:
        page.goto(path.as_uri())
        for position in (0, len(system.trace) // 2, len(system.trace)):
            seek(page, position)
            assert page.evaluate("document.querySelectorAll('.singlab-view *').length") < 1500
        assert page.errors == []


def test_names_cannot_break_the_page(tmp_path, watched_page):
    client_image, server_image = programs()
    system = System()
    client = system.create(client_image, name="</script><b onmouseover=alert(1)>&'\"", size=4, warm_up=0, rounds=1)
    server = system.create(server_image, name="<img src=x>")
    system.connect(client["ch"], server["ch"])
    system.run()
    path = tmp_path / "names.html"
    replay_html(system.trace, path, title="</title><script>")
    with watched_page() as page:
        page.goto(path.as_uri())
        seek(page, 30)
        assert page.locator(".singlab-view img, .singlab-view b[onmouseover]").count() == 0
        assert re.search(r"<img", page.locator(".sl-legend").inner_text())
        assert page.errors == []


HANDED = '''
Events = contract("""
contract Events { out message Arrived(); in message Thanks(); state Quiet: Arrived! -> Thanks? -> Quiet; }
""")
Card = contract("""
contract Card { in message Register(Events.Exp:Quiet e); out message Ok(); state Begin: Register? -> Ok! -> Begin; }
""")

@sip
def driver(ch: Card.Exp):
    match ch.receive():
        case Card.Register(events):
            ch.send(Card.Ok())
            events.send(Events.Arrived())
            events.receive(Events.Thanks)
            events.close()
        case ChannelClosed():
            return

@sip
def user(ch: Card.Imp):
    events, theirs = new_channel(Events)
    ch.send(Card.Register(theirs))
    ch.receive(Card.Ok)
    events.receive(Events.Arrived)
    events.send(Events.Thanks())
    events.close()
'''


def test_an_end_that_was_sent_is_shown_with_its_new_owner(tmp_path, watched_page):
    unit = programs_from_source(HANDED, "handed")
    system = System()
    user, driver = system.create(build(unit.programs["user"])), system.create(build(unit.programs["driver"]))
    system.connect(user["ch"], driver["ch"])
    system.run()
    moved = int(np.flatnonzero(system.trace.events["kind"] == Kind.ENDPOINT_OWNER)[0])
    replay_html(system.trace, tmp_path / "handed.html")
    with watched_page() as page:
        page.goto((tmp_path / "handed.html").as_uri())
        page.wait_for_selector("[data-testid=sl-threads] text")
        for position, name in ((moved, "user"), (moved + 1, "driver")):
            seek(page, position)
            assert page.locator("[data-channel='2'] .sl-chip span").nth(1).inner_text().startswith(f"{name} (Exp)")
        seek(page, len(system.trace))
        tips = page.locator("[data-testid=sl-messages] [data-tip]").evaluate_all("nodes => nodes.map((node) => node.dataset.tip)")
        assert [tip for tip in tips if "Arrived" in tip or "Thanks" in tip] == ["driver → user: Arrived", "user → driver: Thanks"]
        assert page.errors == []
    assert "<td>user</td><td>2</td><td>2</td>" in still_picture(system.trace)
