"""Child processes: made from inside, given what they start with, suspended, stopped; and handles that mean nothing to others."""

from __future__ import annotations

import pytest
from families import SOURCE, family, images
from programs import hand_made

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.abi import E_BAD_ARGUMENT, E_BAD_HANDLE, E_SEAL
from singlab.kernel.audit import check
from singlab.kernel.image import seal
from singlab.kernel.isolation import SETTINGS
from singlab.trace.record import Kind

#: What the chief returns: two answers' worth of a child's child, one block, and that a stopped child was seen to be gone.
CHIEF = 21102


def of_kind(system, kind) -> list[tuple[int, int]]:
    events = system.trace.events
    return [(int(e["a"]), int(e["b"])) for e in events[events["kind"] == kind]]


def parent_of(body: str, child: str = "worker", result: str = "u64"):
    """Return a parent's image whose body is given, with one extension."""
    from singlab.sing import build, programs_from_source

    lines = "\n".join("    " + line for line in body.strip().splitlines())
    source = SOURCE + f'\n@sip(extensions=[("{child}", "Work")])\ndef parent() -> {result}:\n{lines}\n'
    return build(programs_from_source(source, "parent").programs["parent"])


def run_parent(body: str, **options):
    system = System(ram="4M", **options)
    system.install(images()["worker"])
    parent = system.create(parent_of(body))
    return system, parent, system.run()


@pytest.mark.parametrize("isolation", SETTINGS)
def test_a_family_does_its_work_in_each_isolation_setting(isolation):
    system, chief, bystander = family(isolation)
    assert system.run().outcome == "finished"
    assert chief.exit_value == CHIEF
    ends = {p.name: p.end.state for p in system.processes}
    assert ends["foreman"] == "exit" and [p.end.state for p in system.processes if p.name == "worker"] == ["stopped", "exit"]
    assert [child.name for child in chief.children] == ["foreman", "worker"] and chief.children[0].children[0].name == "worker"
    assert all(set(p.holdings().values()) == {0} for p in system.processes)
    check(system)


def test_the_service_thread_makes_and_stops_one_after_the_other_and_the_trace_shows_it():
    system, chief, _ = family()
    system.run()
    asked, done = of_kind(system, Kind.SERVICE_REQUEST), of_kind(system, Kind.SERVICE_DONE)
    assert [what for what, _ in asked] == [what for what, _ in done] == [1, 1, 1, 2]
    assert (at.SERVICE_NUMBER, chief.thread_number) in of_kind(system, Kind.THREAD_RUN)
    told = list(system.trace.frame()["what"])
    assert "chief asks the service thread to create a process" in told
    assert any("waits for the service thread" in what for what in told)


def test_a_child_gets_code_that_runs_where_it_lies_and_the_kernel_pays_for_it():
    """What the kernel made of the image is what the host would, and cost at least an instruction a word."""
    from singlab.kernel.loader import relocated

    for isolation in ("sip", "ring3"):
        system = System(isolation=isolation, ram="4M")
        before = system.machine.counters()["instructions"]
        process = system.create(images()["worker"], base=3)
        code = process._field(at.P_CODE)
        expected = relocated(images()["worker"], code, isolation == "ring3")
        assert bytes(system.machine.read(code, len(expected))) == expected
        assert system.machine.counters()["instructions"] - before > len(expected) // 8


def test_states_as_a_parent_sees_them():
    system, parent, run = run_parent("""
imp, exp = new_channel(Work)
child = create("worker", exp, 5)
seen: u64 = 0
if child.state() == ProcessState.UNSTARTED:
    seen += 1
child.start()
if child.state() == ProcessState.RUNNING:
    seen += 10
child.suspend()
child.wait()
if child.state() == ProcessState.SUSPENDED:
    seen += 100
imp.send(Work.Ask(1))
child.resume()
seen += 1000 * imp.receive(Work.Answer)
child.suspend()
if child.state() == ProcessState.SUSPENDING:
    seen += 100000
imp.send(Work.Ask(2))
child.wait()
if child.state() == ProcessState.SUSPENDED:
    seen += 1000000
child.stop()
if child.state() == ProcessState.STOPPED:
    seen += 10000000
seen += 100000000 * child.how()
imp.close()
child.close()
return seen
""")
    assert run.outcome == "finished" and parent.fault is None
    assert parent.exit_value == 311_106_111
    kinds = [kind for kind in system.trace.events["kind"] if kind in (Kind.PROCESS_SUSPEND, Kind.PROCESS_SUSPENDED, Kind.PROCESS_RESUME, Kind.THREAD_HOLD)]
    assert kinds == [Kind.PROCESS_SUSPEND, Kind.PROCESS_SUSPENDED, Kind.PROCESS_RESUME, Kind.PROCESS_SUSPEND, Kind.THREAD_HOLD, Kind.PROCESS_SUSPENDED]
    check(system)


def test_a_suspended_thread_does_not_run_and_loses_nothing():
    system, chief, bystander = family(turns=3000)
    twin, _, other = family(turns=3000)
    twin.run()
    system.run(cycles=60_000)
    chief.suspend()
    assert chief.held and chief.state in ("suspending", "suspended")
    check(system)
    assert system.run().outcome == "suspended" and bystander.exit_value == other.exit_value
    assert chief.state == "suspended" or "waits" in chief.waits_for()
    chief.resume()
    check(system)
    assert system.run().outcome == "finished" and chief.exit_value == CHIEF


def test_suspending_all_below_holds_them_and_resuming_lets_them_go():
    system, chief, _ = family(rounds=40)
    system.run(events=150)
    foreman = chief.children[0]
    chief.suspend(children=True)
    assert chief.held and foreman.held
    check(system)
    assert system.run().outcome == "suspended"
    check(system)
    assert chief.state in ("suspended", "suspending with all below it")
    chief.resume()
    assert not foreman.held
    check(system)
    assert system.run().outcome == "finished"
    assert chief.fault is None and chief.exit_value > CHIEF


def test_stopping_a_parent_stops_all_below_it_and_numbers_are_not_used_again():
    system, chief, _ = family(rounds=10_000)
    system.run(events=400)
    foreman = chief.children[0]
    below = [foreman, *foreman.children, *chief.children[1:]]
    assert len(below) == 3 and all(p.state == "running" for p in below)
    chief.stop()
    assert [p.end.state for p in below] == ["stopped"] * 3
    check(system)
    assert max(p.number for p in below) < system.create(images()["worker"], base=1).number


def test_a_parent_that_ends_takes_its_children_with_it():
    system, parent, run = run_parent("""
imp, exp = new_channel(Work)
child = create("worker", exp, 5)
child.start()
imp.close()
return child.id()
""")
    assert run.outcome == "finished"
    child = system.processes[-1]
    assert parent.exit_value == child.number and child.end.state == "stopped"
    check(system)


def test_the_exit_value_and_the_fault_of_a_child():
    from singlab.sing import build, programs_from_source

    source = SOURCE + '''
@sip
def breaks(ch: Work.Exp, by: u64) -> u64:
    return 10 // by

@sip(extensions=[("breaks", "Work")])
def watcher(by: u64) -> u64:
    imp, exp = new_channel(Work)
    child = create("breaks", exp, by)
    child.start()
    value = child.join() * 100 + child.how() * 10 + child.code()
    imp.close()
    child.close()
    return value
'''
    unit = programs_from_source(source, "watching")
    for by, expected in ((5, 2 * 100 + 10 + 2), (0, 0 + 20 + 2)):
        system = System(ram="4M")
        system.install(build(unit.programs["breaks"]))
        watcher = system.create(build(unit.programs["watcher"]), by=by)
        system.run()
        assert watcher.exit_value == expected


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        ('imp, exp = new_channel(Work)\nchild = create("worker", imp, 5)\nexp.close()\nreturn 0', 32, None),
        ('imp, exp = new_channel(Work)\nchild = create("worker", exp)\nchild.start()\nimp.close()\nreturn 0', 31, None),
        ('imp, exp = new_channel(Work)\nchild = create("worker", exp, 5, 6)\nimp.close()\nreturn 0', 32, None),
        ('imp, exp = new_channel(Work)\nchild = create("worker", exp, 5)\nchild.start()\nchild.start()\nimp.close()\nreturn 0', 31, None),
        ('imp, exp = new_channel(Work)\nchild = create("worker", exp, 5)\nchild.close()\nimp.close()\nreturn 0', 31, None),
        ('imp, exp = new_channel(Work)\nchild = create("worker", exp, 5)\nchild.start()\nchild.stop()\nchild.close()\nchild.stop()\nimp.close()\nreturn 0', 31, None),
    ],
)  # fmt: skip
def test_what_a_child_cannot_do_ends_the_parent_with_a_fault(body, code, line):
    system, parent, run = run_parent(body)
    assert run.outcome == "finished" and parent.fault.code == code and parent.fault.line
    check(system)


def test_a_changed_bit_of_the_code_is_noticed_when_a_child_is_made():
    system = System(ram="4M")
    installed = system.install(images()["worker"])
    parent = system.create(parent_of('imp, exp = new_channel(Work)\nchild = create("worker", exp, 5)\nimp.close()\nreturn 0'))
    before = len(images()["worker"].data) - 32 - len(images()["worker"].tables) - len(images()["worker"].code)
    system.flip_bit("worker", 8 * before + 77)
    system.run()
    assert parent.fault.code == 30
    assert (0, E_SEAL) in [(0, status) for status in (system._load(at.G_CREATE_STATUS),)]
    assert installed.name == "worker"
    check(system)


def test_memory_that_runs_out_while_a_child_is_made_leaves_nothing_behind():
    system = System(ram="4M")
    system.install(images()["worker"])
    parent = system.create(parent_of("""
made: u64 = 0
for i in range(100000):
    imp, exp = new_channel(Work)
    child = create("worker", exp, 5)
    imp.close()
    made += 1
return made
"""))
    system.run()
    assert parent.fault.code in (15, 30)
    check(system)


CALLS = ("set_startup_endpoint", "set_startup_argument", "start_child", "join_child", "suspend_child", "resume_child", "suspend_barrier",
         "stop_child", "get_child_state", "get_exit_code", "get_child_id", "dispose_child")  # fmt: skip


@pytest.mark.parametrize("isolation", ["sip", "ring3"])
def test_foreign_stale_and_negative_handles_change_nothing(isolation):
    """A rogue tries every call on words that are handles of somebody else, or of nobody."""
    system, chief, _ = family(isolation, rounds=200, allow_unverified=True)
    while not chief.children:
        system.advance(events=5)
    page = chief._field(at.P_HANDLES)
    foreign = [1 << at.HANDLE_SHIFT | page + at.HANDLE_BYTES * (1 + i) for i in range(2)] + [chief.children[0].record, chief.record]
    words = [*foreign, 0, 1, 1 << 63, (1 << 64) - 1, page, at.GLOBALS, at.SERVICE_THREAD, at.KERNEL_PROCESS]
    text = []
    for word in words:
        for call in CALLS:
            text += [f"li a0, {word}", "li a1, 0", "li a2, 0", f"abi {call}"]
    text += ["li a0, 3", "abi create_child", "abi exit"]
    rogue = system.create(hand_made("rogue", "\n".join(text)))
    assert system.run().outcome == "finished"
    assert rogue.exit_value == 0 and chief.fault is None and chief.exit_value > CHIEF
    statuses = {b for a, b in of_kind(system, Kind.REFUSED)}
    assert statuses == {E_BAD_HANDLE, E_BAD_ARGUMENT}
    assert len(of_kind(system, Kind.REFUSED)) == len(words) * len(CALLS) + 1
    check(system)


def test_a_handle_is_stale_once_the_child_is_disposed_of_though_its_slot_is_used_again():
    text = """
        li a0, 0
        abi create_child
        mv s0, a0
        abi stop_child
        mv a0, s0
        abi dispose_child
        mv s2, a0
        li a0, 0
        abi create_child
        mv s1, a0
        mv a0, s0
        abi get_child_id
        slli s2, a0, 1
        mv a0, s0
        abi dispose_child
        add s2, s2, a0
        beq s0, s1, same
        mv a0, s2
        abi exit
    same:
        li a0, 99
        abi exit
    """
    system = System(ram="4M", allow_unverified=True)
    system.install(images()["worker"])
    made = hand_made("rogue", text)
    made.manifest.extensions.append(images()["foreman"].manifest.extensions[0])
    made.manifest.imports.update(images()["foreman"].manifest.imports)
    made.manifest.contracts.update(images()["foreman"].manifest.contracts)
    rogue = system.create(seal(made.manifest, made.code, images()["foreman"].tables))
    assert system.run().outcome == "finished"
    assert rogue.exit_value == E_BAD_HANDLE
    check(system)


def test_an_image_that_is_running_or_an_extension_cannot_be_taken_out():
    from singlab.kernel import InstallError

    system, chief, _ = family(rounds=100)
    system.run(events=300)
    with pytest.raises(InstallError, match="starts it as an extension|is running"):
        system.uninstall("worker")


def test_going_back_over_children_made_and_let_go():
    system, chief, _ = family()
    system.run(events=40)
    here = system.snapshot()
    whole = system.run().trace.events.tobytes()
    ends = [p.end for p in system.processes]
    system.restore(here)
    again = system.run().trace.events.tobytes()
    assert whole == again and [p.end for p in system.processes] == ends
