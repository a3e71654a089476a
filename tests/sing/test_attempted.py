"""What a kernel refuses or cannot make, inside a ``try``: child processes, handles, threads, devices and parts of vectors."""

from __future__ import annotations

import pytest
from running import ISOLATIONS, TALK, module

from singlab.kernel import System
from singlab.kernel.audit import check
from singlab.sing import SipError, build, format_module, parse_sil, programs_from_source, verify

WORKER = '''
Work = contract("""contract Work { in message Add(ulong n); out message Sum(ulong n); state Start: Add? -> Sum! -> Start; }""")

@sip
def worker(ch: Work.Exp, base: u64) -> u64:
    while True:
        match ch.receive():
            case Work.Add(n):
                ch.send(Work.Sum(n + base))
            case ChannelClosed():
                return base
    return 0
'''


def parent_text(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    return f'{WORKER}\n@sip(extensions=[("worker", "Work")])\ndef p(n: u64) -> u64:\n{lines}'


def run(text: str, isolation: str, flip: bool = False, optimiser: bool = True, extension: bool = True, **arguments):
    """Run a program that may have the extension ``worker``, perhaps with a bit of that one's code changed; returns its process."""
    unit = programs_from_source(text, "text")
    system = System(isolation=isolation, ram="4M", trace=False)
    if extension:
        worker = build(unit.programs["worker"])
        system.install(worker)
        if flip:
            system.flip_bit("worker", 8 * (len(worker.data) - 32 - len(worker.tables) - len(worker.code)) + 77)
    process = system.create(build(unit.programs["p"], optimiser=optimiser), **arguments)
    assert system.run(cycles=400_000_000).outcome in ("finished", "waiting")
    check(system)
    assert set(process.holdings().values()) == {0}
    return process


CHILDREN = {
    "an image that was changed": ('imp, exp = new_channel(Work)\ntry:\n    child = create("worker", exp, 5)\nexcept OSError as e:\n    exp.close()\n'
                                  "    imp.close()\n    return 1000 + len(str(e))\nimp.close()\nreturn 1", True, 1000 + 28),
    "an image that was not": ('imp, exp = new_channel(Work)\ntry:\n    child = create("worker", exp, 5)\nexcept OSError:\n    imp.close()\n    exp.close()\n    return 1\n'
                              "child.start()\nimp.send(Work.Add(n))\nt = imp.receive(Work.Sum)\nimp.close()\nreturn 10 * t + child.join()", False, 95),
    "memory that runs out": ('made: u64 = 0\nwhile True:\n    try:\n        imp, exp = new_channel(Work)\n    except MemoryError:\n        return u64(made > 3)\n    try:\n'
                             '        child = create("worker", exp, 5)\n    except OSError:\n        exp.close()\n        imp.close()\n        return u64(made > 3)\n'
                             "    imp.close()\n    made += 1\nreturn 7", False, 1),
    "started twice": ('imp, exp = new_channel(Work)\nchild = create("worker", exp, 5)\nchild.start()\ntry:\n    child.start()\nexcept ValueError:\n    n += 1\n'
                      "try:\n    child.close()\nexcept ValueError:\n    n += 10\nimp.close()\nn += 100 * child.join()\nchild.close()\n"
                      "try:\n    n = child.join()\nexcept ValueError:\n    n += 1000\nreturn n", False, 1515),
    "arguments in the wrong order": ('imp, exp = new_channel(Work)\ntry:\n    child = create("worker", 5, exp)\nexcept ValueError as e:\n    n += len(str(e))\n    imp.send(Work.Add(n))\n'
                                     "    try:\n        n = imp.receive(Work.Sum)\n    except ChannelClosed:\n        n += 1000\n    imp.close()\n    return n\n"
                                     "except OSError:\n    exp.close()\nimp.close()\nreturn 1", False, 1000 + 4 + 47),
    "an argument too many": ('imp, exp = new_channel(Work)\ntry:\n    child = create("worker", exp, 5, True)\nexcept ValueError:\n    imp.close()\n    return 7\nexcept OSError:\n    exp.close()\n'
                             "imp.close()\nreturn 1", False, 7),
    "the other side of the channel": ('imp, exp = new_channel(Work)\ntry:\n    child = create("worker", imp, 5)\nexcept ValueError:\n    match exp.receive():\n        case Work.Add(k):\n            exp.send(Work.Sum(k))\n'
                                      "            n = 1\n        case ChannelClosed():\n            n += 10\n    exp.close()\n    return n\nexcept OSError:\n    imp.close()\nexp.close()\nreturn 1", False, 14),
    "refused again and again": ('for i in range(200):\n    imp, exp = new_channel(Work)\n    try:\n        child = create("worker", exp, exp_of(i), i)\n        child.stop()\n        child.close()\n    except ValueError:\n'
                                '        n += 1\n    except OSError:\n        exp.close()\n    imp.close()\nreturn n'.replace("exp_of(i)", "i"), False, 204),
}  # fmt: skip


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("name", CHILDREN)
def test_what_a_parent_cannot_do_with_a_child_is_caught(name, isolation):
    lines, flip, expected = CHILDREN[name]
    for optimiser in (True, False):
        process = run(parent_text(lines), isolation, flip, optimiser, n=4)
        assert process.exit_value == expected, (process.end, optimiser)


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_what_a_helper_cannot_do_is_caught_by_who_called_it(isolation):
    text = parent_text('imp, exp = new_channel(Work)\nchild = create("worker", exp, 5)\ntry:\n    n = hold(child)\nexcept ValueError as e:\n    n = e.line\nimp.close()\nreturn n')
    text += "\n@function\ndef hold(child: Child) -> u64:\n    child.suspend()\n    return 1\n"
    process = run(text, isolation, n=4)
    assert text.splitlines()[process.exit_value - 1].strip() == "child.suspend()"


def test_what_nobody_catches_ends_the_parent_as_before():
    lines = 'imp, exp = new_channel(Work)\ntry:\n    child = create("worker", exp, 5)\nexcept IndexError:\n    n += 1\nimp.close()\nreturn n'
    text = parent_text(lines)
    assert "attempt_op" not in format_module(module(text))
    process = run(text, "sip", True, n=4)
    assert process.fault.code == 30 and 'create("worker"' in text.splitlines()[process.fault.line - 1]


def test_a_refused_argument_ends_nobody_but_who_does_not_catch_it():
    """Outside a try it is an uncaught error of the parent's own, located; the child that was made ends with it."""
    text = parent_text('imp, exp = new_channel(Work)\nchild = create("worker", 5, exp)\nchild.start()\nimp.close()\nreturn n')
    process = run(text, "sip", n=4)
    assert process.fault.code == 32 and 'create("worker"' in text.splitlines()[process.fault.line - 1]
    text = parent_text('imp, exp = new_channel(Work)\nn = made(exp)\nimp.close()\nreturn n').replace("def p(", "def q(")
    helped = text.replace("@sip(ext", "@function\ndef made(exp: Work.Exp) -> u64:\n    child = create(\"worker\", exp, 5, 6, 7)\n    return child.id()\n\n@sip(ext", 1)
    helped = helped.replace("    n = made(exp)\n", "    try:\n        n = made(exp)\n    except ValueError as e:\n        n = e.line\n").replace("def q(", "def p(")
    process = run(helped, "sip", n=4)
    assert process.exit_value and 'create("worker"' in helped.splitlines()[process.exit_value - 1]


def test_what_a_refused_argument_leaves_is_gone():
    """The child has been stopped, its handle is closed, and its endpoints are nobody's: the verifier says so to who uses them."""
    text = parent_text('imp, exp = new_channel(Work)\ntry:\n    child = create("worker", exp, 5, 6)\nexcept ValueError:\n    exp.close()\nimp.close()\nreturn n')
    with pytest.raises(SipError) as refused:
        build(programs_from_source(text, "text").programs["p"])
    assert refused.value.rule == "endpoint.moved"


HANDLES = {
    "a mutex of somebody else": ("m = mutex()\ntry:\n    m.release()\nexcept ValueError as e:\n    return e.line\nreturn 0", 4),
    "an event that was closed": ("e = event()\ne.close()\ntry:\n    e.set()\nexcept ValueError:\n    n += 10\ntry:\n    e.wait()\nexcept ValueError:\n    n += 100\n"
                                 "try:\n    n += u64(e.wait_until(0))\nexcept ValueError:\n    n += 1000\nreturn n", 1114),
    "joined twice": ("t = thread(one)\nn = join(t)\ntry:\n    n += join(t)\nexcept ValueError:\n    return n + 40\nreturn n", 41),
    "no such registers": ("try:\n    u = io_memory(n)\nexcept OSError:\n    return 3\nreturn 0", 3),
    "no such interrupt": ("try:\n    u = interrupt(n)\n    u.wait()\nexcept OSError:\n    return 3\nreturn 0", 3),
    "no such memory for devices": ("try:\n    r = dma_memory(n)\n    n += dma_address(r)\nexcept OSError:\n    return 3\nreturn 0", 3),
    "events without end": ("try:\n    while True:\n        e = event()\nexcept MemoryError:\n    return 8\nreturn 0", 8),
    "split where it fits": ("v = new(u8, 9)\ntry:\n    a, b = split(v, n)\nexcept MemoryError:\n    free(v)\n    return 0\nn = len(a) * 10 + len(b)\nfree(a)\nfree(b)\nreturn n", 45),
    "split where it does not": ("v = new(u8, 3)\ntry:\n    a, b = split(v, n)\nexcept (IndexError, MemoryError):\n    free(v)\n    return 6\nfree(a)\nfree(b)\nreturn 0", 6),
    "shared": ("v = new(u8, 9)\ntry:\n    a, b = share(v, 1, n)\nexcept MemoryError:\n    free(v)\n    return 0\nn = len(a) * 10 + len(b)\nfree(a)\nfree(b)\nreturn n", 93),
    "split until there is no memory": (
        "s = ESet(Talk.Exp)\ns.close()\nrest = new(u8, 200000)\nn = 0\nwhile True:\n    try:\n        a, rest = split(rest, 1)\n    except MemoryError:\n        break\n"
        "    except IndexError:\n        break\n    n += u64(len(a))\n    keep(a)\nfree(rest)\nreturn u64(n > 100)", 1),
    "registers are no memory": ("try:\n    n = dma_address(io_memory(n - 4))\nexcept OSError:\n    return 2\nexcept ValueError:\n    return 3\nreturn 0", 2),
    "one's own name": ("try:\n    v = principal()\nexcept MemoryError:\n    return 0\nn = len(v)\nfree(v)\nreturn n", 1),
}  # fmt: skip
NO_PARENT = TALK + "\n@function\ndef one() -> u64:\n    return 1\n@function\ndef keep(v: ExVec[u8]):\n    free(v)\n"


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("name", HANDLES)
def test_what_cannot_be_done_with_a_handle_or_a_part_is_caught(name, isolation):
    lines, expected = HANDLES[name]
    text = NO_PARENT + "@sip\ndef p(n: u64) -> u64:\n" + "".join(f"    {line}\n" for line in lines.splitlines())
    first = text[: text.index("def p(")].count("\n") + 1
    for optimiser in (True, False):
        process = run(text, isolation, optimiser=optimiser, extension=False, n=4)
        assert process.exit_value == (expected if "e.line" not in lines else expected - 1 + first), (process.end, optimiser)


HEAD = """sip p entry p file "x"
contracts:
    contract Work { in message Add(ulong n); out message Sum(ulong n); state Start: Add? -> Sum! -> Start; }

function p(%0: u64) -> u64
entry:
"""
FITTING = {
    "create": 'attempt_op create, 0 { returned(%1: u64) -> ok; raised(%2: u64) -> ok }\nok:\n  ret %0',
    "child": "attempt_op child, suspend_all, %0 { returned() -> ok; raised(%2: u64) -> ok }\nok:\n  ret %0",
    "join": "attempt_op ask_child, join, %0 { returned(%1: u64) -> ok; raised(%1: u64) -> ok }\nok:\n  ret %1",
    "give": "attempt_op give, 3, %0, %0 { returned() -> ok; raised(%2: u64) -> ok }\nok:\n  ret %0",
    "split": "%1: ExVec[u8] = new %0\n  attempt_op split, %1, %0 { returned(%2: ExVec[u8], %3: ExVec[u8]) -> ok; raised(%4: u64) -> bad }\nok:\n"
             "  free %2\n  free %3\n  ret %0\nbad:\n  free %1\n  ret %4",
}  # fmt: skip


@pytest.mark.parametrize("name", FITTING)
def test_the_text_form_is_read_back_and_accepted(name):
    found = parse_sil(HEAD + "  " + FITTING[name] + "\n")
    text = format_module(found)
    assert "attempt_op" in text and format_module(parse_sil(text)) == text
    assert verify(found).accepted


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("attempt_op add, %0, %0 { returned(%1: u64) -> ok; raised(%2: u64) -> ok }", "nothing that can fail"),
        ("attempt_op free, %0 { returned() -> ok; raised(%2: u64) -> ok }", "nothing that can fail"),
        ("attempt_op ask_child, state, %0 { returned(%1: u64) -> ok; raised(%2: u64) -> ok }", "join"),
        ("attempt_op create, 0 { returned() -> ok; raised(%2: u64) -> ok }", "wrong operands"),
        ("attempt_op create, 0 { returned(%1: u8) -> ok; raised(%2: u64) -> ok }", "u64 is needed"),
        ("attempt_op create, 0 { returned(%1: u64) -> ok }", "other ways"),
        ("attempt_op create, 0 { returned(%1: u64) -> ok; raised(%2: u8) -> ok }", "u64 is needed"),
        ("attempt_op create, 0 { returned(%1: u64) -> no; raised(%2: u64) -> ok }", "leads nowhere"),
        ("attempt_op create { returned(%1: u64) -> ok; raised(%2: u64) -> ok }", "wrong operands"),
        ("attempt_op child, 7, %0 { returned() -> ok; raised(%2: u64) -> ok }", "child"),
        ("%1: ExVec[u8] = new %0\n  attempt_op split, %1, %0 { returned(%2: ExVec[u8], %3: ExVec[u8]) -> ok; raised(%4: u64) -> ok }", "still owned"),
        ("%1: ExVec[u8] = new %0\n  attempt_op split, %1, %0 { returned(%2: ExVec[u8]) -> ok; raised(%4: u64) -> ok }", "vectors"),
        ("%1: ExVec[u8] = new %0\n  free %1\n  attempt_op split, %1, %0 { returned(%2: ExVec[u8], %3: ExVec[u8]) -> out; raised(%4: u64) -> ok }\nout:\n"
         "  free %2\n  free %3\n  ret %0", "was freed"),
    ],
)  # fmt: skip
def test_hostile_attempts_are_refused(lines, message):
    try:
        report = verify(parse_sil(HEAD + f"  {lines}\nok:\n  ret %0\n"), collect=True)
        said = "\n".join(map(str, report.findings))
        assert not report.accepted
    except SipError as error:
        said = str(error)
    assert message in said
