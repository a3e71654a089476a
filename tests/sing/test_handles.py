"""Words for regions, synchronisation and hardware: what the front end refuses and where, exceptions, and SIL of hostile making."""

from __future__ import annotations

import pytest
from running import execute, image, module

from singlab.sing import SipError, format_module, parse_sil, verify


def refusal(text: str) -> SipError:
    with pytest.raises(SipError) as found:
        image(text)
    return found.value


@pytest.mark.parametrize(("text", "rule", "line", "says"), [
    ("@sip\ndef p():\n    data = new(u8, 4)\n    a, b = split(data, 2)\n    free(a)\n    free(b)\n    free(data)\n", "owner.use-after-move", 7, "was split"),
    ("@sip\ndef p():\n    data = new(u8, 4)\n    a, b = split(data, 2)\n    free(a)\n", "owner.leak", 4, "'b'"),
    ("@sip\ndef p():\n    data = new(u8, 4)\n    data = truncate(data, 2)\n", "owner.leak", 4, "'data'"),
    ("@sip\ndef p():\n    data = new(u8, 4)\n    whole, part = share(data, 0, 2)\n    whole[0] = 1\n    free(whole)\n    free(part)\n",
     "owner.shared", 5, "others read the same data"),
    ("@sip\ndef p():\n    data = new(u8, 4)\n    whole, part = share(data, 0, 2)\n    fill(part, 1)\n    free(whole)\n    free(part)\n",
     "owner.shared", 5, "others read the same data"),
    ("@sip\ndef p():\n    data = new(u8, 4)\n    whole, part = share(data, 0, 2)\n    data[0] = 1\n    free(whole)\n    free(part)\n",
     "owner.use-after-move", 5, "was shared"),
    ("@function\ndef f(data: Borrowed[ExVec[u8]]):\n    a, b = split(data, 2)\n    free(a)\n    free(b)\n@sip\ndef p():\n    v = new(u8, 4)\n    f(v)\n    free(v)\n",
     "owner.borrow", 3, "is borrowed"),
    ("@sip\ndef p():\n    split(5, 2)\n", "types", 3, "works on exchange-heap vectors"),
    ("@sip\ndef p():\n    e = event()\n    e.acquire()\n", "closed-api", 4, "an Event has no operation acquire"),
    ("@sip\ndef p():\n    m = mutex()\n    m.wait()\n", "closed-api", 4, "a Mutex has no operation wait"),
    ("@sip\ndef p():\n    m = mutex()\n    print(m)\n", "types", 4, "cannot be printed"),
    ("@sip\ndef p():\n    i = wait_any(5)\n", "types", 3, "cannot be waited for"),
    ("@sip\ndef p():\n    i = wait_any()\n", "types", 3, "one to 4"),
    ("@sip\ndef p():\n    r = io_memory(0)\n", "manifest", 3, "names none of the 0"),
    ("@sip(interrupts=[1])\ndef p():\n    r = interrupt(1)\n", "manifest", 3, "names none of the 1"),
    ("@sip(io_memory=[(0x10000000, 1)])\ndef p():\n    r = io_memory(0)\n    r.write64(0, 1)\n", "closed-api", 4, "no operation write64"),
    ("@sip(io_memory=[(0x10000000, 1)])\ndef p():\n    r = io_memory(0)\n    r.write8(0, 256)\n", "types", 4, "256 does not fit u8"),
    ("@sip(io_memory=[(0x10000000, 1)])\ndef p():\n    r = io_memory(0)\n    x = r + 1\n", "types", 4, "IoMemory"),
    ("@managed\nclass A:\n    e: Event\n@sip\ndef p():\n    a = A()\n", "class", 3, "cannot be Event"),
])  # fmt: skip
def test_a_mistake_is_refused_at_its_line(text, rule, line, says):
    error = refusal(text)
    assert (error.rule, error.line) == (rule, line), error
    assert says in error.message, error
    assert error.hint


@pytest.mark.parametrize("isolation", ["sip", "ring3"])
@pytest.mark.parametrize(("body", "value"), [
    ("a, b = split(v, n)\n        free(a)\n        free(b)", 11),
    ("w = truncate(v, n)\n        free(w)", 11),
    ("a, b = share(v, 0, n)\n        free(a)\n        free(b)", 11),
    ("a, b = share(v, n, 4)\n        free(a)\n        free(b)", 11),
])  # fmt: skip
def test_a_part_that_is_not_there_is_an_index_error(isolation, body, value):
    text = f"""
@sip
def p(n: u64) -> u64:
    v = new(u16, 4)
    try:
        {body}
        return 1
    except IndexError:
        free(v)
        return 11
"""
    for n, expected in ((5, value), (2**63, value), (4, 1 if "share(v, n" not in body else 1)):
        process = execute(text, isolation, n=n)
        assert process.exit_value == expected, (n, process)
        assert process.holdings()["blocks"] == 0


@pytest.mark.parametrize("call", ["split(v, n)", "share(v, 0, n)", "share(v, n, 3)"])
def test_without_a_try_it_is_a_fault(call):
    process = execute(f"@sip\ndef p(n: u64):\n    v = new(u32, 4)\n    a, b = {call}\n    free(a)\n    free(b)\n", n=5)
    assert process.fault.code == 1 and process.fault.line == 4


@pytest.mark.parametrize("element", ["u8", "u16", "u32", "u64", "Packet"])
def test_elements_of_any_size_keep_their_values(element):
    text = f"""
@exchange
class Packet:
    length: u32
    kind: u8

@sip
def p() -> u64:
    v = new({element}, 9)
    for i in range(9):
        v[i]{'.kind' if element == 'Packet' else ''} = {'u8' if element == 'Packet' else element}(i + 1)
    a, b = split(v, 4)
    b = truncate(b, 3)
    whole, part = share(b, 1, 3)
    r = u64(a[3]{'.kind' if element == 'Packet' else ''}) * 1000 + u64(whole[2]{'.kind' if element == 'Packet' else ''}) * 100 + u64(part[0]{'.kind' if element == 'Packet' else ''})
    free(a)
    free(whole)
    free(part)
    return r
"""
    assert execute(text).exit_value == 4706


EVERYTHING = """
@function
def f(e: Event, m: Mutex, n: u64) -> u64:
    m.acquire()
    m.release()
    e.set()
    e.reset()
    return n

@sip(io_memory=[(0x10000000, 0x100)], interrupts=[10])
def p(n: u64) -> u64:
    v = new(u8, 8)
    a, b = split(v, 3)
    b = truncate(b, 2)
    w, s = share(b, 0, 1)
    free(a)
    free(w)
    free(s)
    e = event()
    m = mutex()
    i = interrupt(0)
    r = io_memory(0)
    r.write8(7, u8(r.read8(7)) + 1)
    k = thread_state(thread_id())
    if e.wait_until(5):
        k += wait_any(e, m, i)
    sleep_until(5)
    k += f(e, m, n)
    e.close()
    m.close()
    i.close()
    return k + u64(r.read8(7))
"""


def test_the_text_form_is_read_back():
    text = format_module(module(EVERYTHING))
    again = parse_sil(text)
    assert format_module(again) == text
    assert verify(again, collect=True).accepted
    for isolation in ("sip", "ring3-domains"):
        assert execute(EVERYTHING, isolation, n=7).exit_value == 8


_HEAD = "sip p entry p\nfunction p(%0.n: u64, %1.v: ExVec[u8]) -> u64\nstart:\n"


@pytest.mark.parametrize("line", [
    "%2: io_memory = mov %0", "%2: event = const 5", "%2: event = cast %0", "%2: mutex = new_event %0",
    "%2: bool = const 1; %3: event = new_event %2; %4: u64 = cast %3", "%2: bool = const 1; %3: event = new_event %2; %4: u64 = add %3, %3",
    "%2: bool = const 1; %3: event = new_event %2; mutex_release %3", "%2: u64 = wait %0", "%2: u64 = wait %0, %0",
    "%2: io_memory = open_io %0; %3: u64 = io_read %2, %0", "%2: io_memory = open_io %0; %3: i8 = io_read %2, %0",
    "%2: io_memory = open_io %0; handle_close %2", "%2: io_memory = open_io %0; %3: u64 = wait %0, %2",
    "%2: Shared[u8] = new %0; free %2", "%2: Shared[u8] = mov %1; free %2", "%2: u8 = io_read %0, %0",
    "%2: ExVec[u8], %3: ExVec[u8] = share %1, %0, %0; free %2; free %3", "%2: Shared[u8], %3: Shared[u8] = split %1, %0; free %2; free %3",
    "%2: ExVec[u16], %3: ExVec[u16] = split %1, %0; free %2; free %3", "%2: ExVec[u8] = split %1, %0; free %2",
    "%2: ExVec[u8], %2: ExVec[u8] = split %1, %0; free %2", "%2: Shared[u8], %3: Shared[u8] = share %1, %0, %0; %4: ExVec[u8] = mov %2; free %4; free %3",
])  # fmt: skip
def test_hostile_sil_is_refused(line):
    text = _HEAD + "".join(f"  {part.strip()}\n" for part in line.split(";")) + "  free %1\n  ret %0\n"
    report = verify(parse_sil(text), collect=True)
    assert {finding.rule for finding in report.findings} <= {"types", "sil.malformed"} and report.findings, report


@pytest.mark.parametrize("type_", ["event", "mutex", "interrupt", "io_memory"])
def test_a_process_is_neither_given_a_handle_nor_ends_with_one(type_):
    """Its parent's number would be taken for a handle, and that of device registers for where they lie."""
    for head in (f"(%0.n: u64, %1.h: {type_}) -> u64", f"(%0.n: u64) -> {type_}"):
        report = verify(parse_sil(f"sip p entry p\nfunction p{head}\nstart:\n  br on\non:\n  br on\n"), collect=True)
        assert [(f.rule, f.message) for f in report.findings] == [("sil.malformed", "a process starts and ends without handles")]


@pytest.mark.parametrize("line", ['%2: bool = principal_is %0.ch, "*"', "%2: ExVec[u8] = peer_principal %0.ch\n  free %2"])
def test_nobody_asks_who_is_at_the_other_side_of_a_closed_endpoint(line):
    """Its record may serve another channel by then, of which the answer would be."""
    contracts = "contracts:\n    contract Talk { in message Ask(ulong n); out message Answer(ulong n); state Start: Ask? -> Answer! -> Start; }\n"
    head = f"sip p entry p\n{contracts}function p(%0.ch: Talk.Imp, %1.n: u64) -> u64\nstart:\n  "
    assert verify(parse_sil(f"{head}{line}\n  close %0.ch\n  ret %1\n"), collect=True).accepted
    report = verify(parse_sil(f"{head}close %0.ch\n  {line}\n  ret %1\n"), collect=True)
    assert [(f.rule, f.message) for f in report.findings] == [("contract.closed", "'ch' is used although this side has closed it")]
