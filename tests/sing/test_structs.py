"""Structs on the exchange heap: fields where Sing# has them, owned like vectors, the same on both sides of a channel."""

from __future__ import annotations

import ctypes
import enum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import python
from running import ISOLATIONS, image, module, refusal

from singlab.kernel import InstallError, System
from singlab.sing import (
    SipError,
    build,
    contract,
    exchange,
    free,
    function,
    new,
    parse_sil,
    programs_from_source,
    sip,
    u8,
    u32,
    u64,
    verify,
)
from singlab.sing.types import BOOL, INTS, Struct

DECLARED = """
class Kind(Enum):
    DATA = 0
    ACK = 1

@exchange
class Packet:
    \"\"\"What travels.\"\"\"
    length: u32
    kind: u8
    sender: u64
    ok: bool
    what: Kind
    shift: i16

@exchange
class Pair:
    first: u64
    second: i64

@function
def filled(n: u64) -> ExVec[Packet]:
    v = new(Packet, n)
    for i in range(n):
        v[i].length = u32(i * 7)
        v[i].sender = i << 40
        v[i].kind = u8(250 + i)
        v[i].ok = i % 2 == 1
        v[i].what = Kind.ACK if i > 3 else Kind.DATA
        v[i].shift = -1000 - i16(i)
    return v

@function
def grown(p: Packet) -> tuple[Packet, u64]:
    p.length += 1
    p.shift -= 1
    return p, u64(p.length)
"""
BODIES = {
    "zero at first": "p = new(Packet)\nt = u64(p.length) + u64(p.ok) + p.sender + u64(p.what)\nfree(p)\nreturn t",
    "every field": "p = new(Packet)\np.length = 70000\np.kind = 255\np.sender = n << 50\np.ok = n > 3\np.what = Kind.ACK\np.shift = -7\n"
                   "t = p.length + p.kind + p.sender + u64(p.ok) * 3 + u64(p.what) * 5 + u64(i64(p.shift) + 10)\nfree(p)\nreturn t",
    "augmented": "p = new(Packet)\np.kind += 200\np.kind += 100\np.length -= 1\np.sender |= n\np.sender <<= 3\nt = u64(p.kind) + p.length + p.sender\nfree(p)\nreturn t",
    "handed on and back": "p = new(Packet)\np.length = u32(n)\np, a = grown(p)\np, b = grown(p)\nt = a * 100 + b\nfree(p)\nreturn t",
    "elements": "v = filled(n)\nt: u64 = len(v)\nfor i in range(len(v)):\n    t = t * 3 + v[i].length + (v[i].sender >> 40) + v[i].kind\n"
                "    if v[i].ok and v[i].what is Kind.ACK:\n        t += u64(i64(v[i].shift) + 2000)\nfree(v)\nreturn t",
    "elements of two words": "v = new(Pair, n + 3)\nfor i in range(n):\n    v[i + 2].first = i\n    v[i + 2].second = -i64(i)\n    v[i].first += v[i + 1].first\n"
                             "t = v[2].first + u64(v[n].second + 100) + v[n + 1].first\nfree(v)\nreturn t",
    "an index once": "v = filled(9)\ni: u64 = 0\nt: u64 = 0\nwhile i < n:\n    v[i].length += v[8 - i].length\n    t += v[i].length\n    i += 1\nfree(v)\nreturn t",
    "two change names": "p, q = new(Pair), new(Pair)\np.first = n\np, q = q, p\nt = p.first * 10 + q.first\nfree(p)\nfree(q)\nreturn t",
    "match on a field": "v = filled(n + 1)\nt: u64 = 0\nfor i in range(n):\n    match v[i].what:\n        case Kind.DATA:\n            t += 1\n        case Kind.ACK:\n"
                        "            t += 10\nfree(v)\nreturn t",
    "in a tuple": "t = (new(Pair), n)\nt[0].first = 4\nk = t[0].first + t[1]\nfree(t[0])\nreturn k",
}  # fmt: skip


def program(body: str) -> str:
    lines = "\n".join("    " + line for line in body.splitlines())
    return f"{DECLARED}\n@sip\ndef p(n: u64) -> u64:\n{lines}\n"


@pytest.mark.parametrize("name", BODIES)
def test_structs_are_pythons(name):
    text = program(BODIES[name])
    read = parse_sil(str(module(text)))
    assert str(read) == str(module(text))
    verify(read)
    for optimiser in (True, False):
        system = System(ram="8M")
        built = build(programs_from_source(text).programs["p"], optimiser=optimiser)
        processes = [system.create(built, n=n) for n in range(10)]
        assert system.run().outcome == "finished"
        assert [p.exit_value for p in processes] == [python(text, n=n) for n in range(10)]
        assert all(set(p.holdings().values()) == {0} for p in processes)


@pytest.mark.parametrize("optimiser", [True, False])
@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("index", ["n", "n + 1", "i64(n) - 9", "n * 1152921504606846976"])
def test_the_bounds_of_a_vector_of_structs(isolation, index, optimiser):
    text = program(f"v = filled(3)\nv[{index}].length = 1\nfree(v)\nreturn 1")
    system, built = System(isolation=isolation, ram="4M"), build(programs_from_source(text).programs["p"], optimiser=optimiser)
    processes = [system.create(built, n=n) for n in range(12)]
    system.run()
    for n, process in enumerate(processes):
        at = eval(index, {"n": n, "i64": int}) % (1 << 64)
        assert process.exit_value == 1 if at < 3 else process.fault.code == 1, (n, process.end)


def test_too_many_structs():
    text = program("v = new(Packet, n)\nt = len(v)\nfree(v)\nreturn t")
    system, built = System(ram="4M"), image(text)
    processes = [system.create(built, n=n) for n in (0, 1, 1 << 18, (16 << 20) // 24 + 1, 1 << 61, (1 << 64) - 1)]
    system.run()
    assert [p.exit_value for p in processes[:2]] == [0, 1]
    assert [p.fault.code for p in processes[2:]] == [5, 11, 11, 11]


#: The C types that have the sizes of ours; ctypes lays a structure out as a C compiler does.
C_TYPES = {f"{kind}{bits}": getattr(ctypes, f"c_{'u' * (kind == 'u')}int{bits}") for kind in "ui" for bits in (8, 16, 32, 64)} | {"bool": ctypes.c_bool}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(sorted(C_TYPES)), min_size=1, max_size=40))
def test_the_layout_is_a_c_compilers(types):
    names = [f"f{i}" for i in range(len(types))]
    made = Struct("S", tuple((name, BOOL if t == "bool" else INTS[t]) for name, t in zip(names, types)))
    other = type("S", (ctypes.Structure,), {"_fields_": [(name, C_TYPES[t]) for name, t in zip(names, types)]})
    assert made.size == ctypes.sizeof(other)
    assert made.offsets == {name: getattr(other, name).offset for name in names}


TALK = '''
Talk = contract("""
enum Kind { DATA, ACK }
rep struct Packet { uint length; byte kind; ulong sender; bool ok; Kind what; short shift; }
contract Talk {
    in  message Give(Packet* in ExHeap p);
    in  message Many(Packet[]* in ExHeap v, uint n);
    out message Back(Packet* in ExHeap p);
    out message Sum(ulong n, Packet[]* in ExHeap v);
    state Start: one { Give? -> Back! -> Start; Many? -> Sum! -> Start; }
}
""")
'''
NAMES = "Packet = Talk.Packet\nKind = Talk.Kind\n"
BOTH = """
@sip
def server(ch: Talk.Exp):
    while True:
        match ch.receive():
            case Talk.Give(p):
                p.length += 1
                p.ok = not p.ok
                p.what = Kind.ACK
                ch.send(Talk.Back(p))
            case Talk.Many(v, n):
                t: u64 = 0
                for i in range(len(v)):
                    t += v[i].length
                    v[i].sender = t
                v[n].shift = -3
                ch.send(Talk.Sum(t, v))
            case ChannelClosed():
                return

@sip
def p(ch: Talk.Imp, n: u64) -> u64:
    q = new(Packet)
    q.length = 41
    q.shift = -5
    ch.send(Talk.Give(q))
    r = ch.receive(Talk.Back)
    t = u64(r.length) + u64(r.ok) * 100 + u64(r.what is Kind.ACK) * 1000 + u64(r.shift == -5) * 10000
    free(r)
    v = new(Packet, n)
    for i in range(n):
        v[i].length = u32(i)
    ch.send(Talk.Many(v, 2))
    k, w = ch.receive(Talk.Sum)
    t += (k + w[n - 1].sender) * 100000 + u64(w[2].shift + 4)
    free(w)
    return t
"""


@pytest.mark.parametrize("transfer", ["ownership", "copy"])
@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("names", [NAMES, DECLARED], ids=["the contract's", "classes"])
def test_structs_travel_in_messages(isolation, transfer, names):
    text = TALK + names + BOTH
    read = parse_sil(str(module(text)))
    assert str(read) == str(module(text))
    verify(read)
    system = System(isolation=isolation, transfer=transfer, ram="4M")
    client, server = system.create(image(text), n=9), system.create(image(text, "server"))
    system.connect(client["ch"], server["ch"])
    assert system.run().outcome == "finished"
    assert client.exit_value == 42 + 100 + 1000 + 10000 + (36 + 36) * 100000 + 1
    assert set(client.holdings().values()) == {0} == set(server.holdings().values())


@pytest.mark.parametrize(("one", "other"), [("uint length", "ushort length"), ("uint length", "uint size"), ("bool ok", "byte ok"), ("DATA, ACK", "DATA, ACK = 2"),
                                            ("uint length; byte kind", "byte kind; uint length"), ("v, uint n", "v, ulong n")])  # fmt: skip
def test_both_sides_have_the_same_fields(one, other):
    text = TALK + NAMES + BOTH
    changed = text.replace(one, other).replace(".length", ".size" if "size" in other else ".length").replace("u32(", "u16(" if other == "ushort length" else "u32(")
    changed = changed.replace("p.ok = not p.ok", "p.ok = 1 - p.ok") if "byte ok" in other else changed
    system = System(ram="2M")
    with pytest.raises(InstallError, match="contract Talk"):
        client, server = system.create(image(text), n=1), system.create(image(changed, "server"))
        system.connect(client["ch"], server["ch"])


def test_a_class_that_differs_from_the_contracts_is_refused():
    error = refusal(TALK + DECLARED.replace("kind: u8", "kind: u16") + BOTH)
    assert error.rule == "types" and "two different types named Packet" in error.message


class Kind(enum.Enum):
    DATA = 0
    ACK = 4


@exchange
class Live:
    count: u32
    small: u8
    yes: bool
    kind: Kind


@function
def set_up(p: Live) -> Live:
    p.count = 40
    p.kind = Kind.ACK
    p.yes = True
    return p


@sip
def live() -> u64:
    p = set_up(new(Live))
    t = u64(p.count) + u64(p.yes) + u64(p.kind is Kind.ACK)
    free(p)
    return t


def test_classes_of_a_notebook():
    system = System(ram="2M")
    process = system.create(build(live))
    system.run()
    assert process.exit_value == 42
    with pytest.raises(SipError, match="ordinary Python"):
        Live()
    assert u8 and u32


@pytest.mark.parametrize(("fields", "message"), [
    ("data: ExVec[u8]", "cannot own another block"), ("data: ExVec[str]", "no type of a field"), ("other: Kind1", "begins as 0"), ("x: float", "no type of a field"), ("x: u8 = 1", "beside fields"),
    ("pass", "has no fields"), ("def f(self): pass", "beside fields"), *[("\n    ".join(f"f{i}: u64" for i in range(256)), "2048 bytes, more than 2040")],
])  # fmt: skip
def test_declarations_are_checked(fields, message):
    text = f"class Kind1(Enum):\n    ONE = 1\n@exchange\nclass S:\n    {fields}\n@sip\ndef p() -> u64:\n    return 0\n"
    with pytest.raises(SipError) as refused:
        programs_from_source(text, "text")
    assert message in refused.value.message and refused.value.line in (4, 5) and refused.value.hint


def test_a_declaration_in_a_notebook_is_checked():
    with pytest.raises(SipError, match="no type of a field") as refused:

        @exchange
        class Wrong:
            text: str

    assert refused.value.filename == __file__ and refused.value.line


@pytest.mark.parametrize(("declaration", "message"), [
    ("rep struct S { byte[]* in ExHeap v; }", "cannot own another block"), ("rep struct S { int a; int a; }", "S.a stands twice"),
    ("rep struct T { int a; } rep struct S { T* in ExHeap t; }", "cannot own another block"), ("rep struct S { int a; } rep struct S { int b; }", "declared twice"),
    ("rep struct T { int a; } rep struct S { T t; }", "travels as a pointer"), ("rep struct S { C.Imp:Start e; }", "endpoints"),
    ("enum E { A = 1 } rep struct S { E e; }", "begins as 0"),
])  # fmt: skip
def test_structs_of_contracts_are_checked(declaration, message):
    with pytest.raises(SipError) as refused:
        contract(declaration + " contract C { in message M(S* in ExHeap s); out message N(); state Start: M? -> N! -> Start; }")
    assert message in refused.value.message and refused.value.line


HOSTILE = """sip p entry p
structs:
    rep struct A { uint x; byte y; }
    rep struct B { ulong x; }
function p(%0.n: u64) -> u64
start:
  %1: A = new_struct
  %2: ExVec[A] = new %0
  BODY
  free %1
  free %2
  ret %0
"""


@pytest.mark.parametrize(("body", "rule"), [
    ("%3: u32 = load_field %1, x", None), ("%3: u64 = load_field %1, x", "types"), ("%3: u32 = load_field %1, z", "types"),
    ("%3: u32 = load_field %2, x", "types"), ("%3: u32 = load_item %1, x, %0", "types"), ("store_field %1, y, %0", "types"),
    ("store_item %2, x, %0, %0", "types"), ("%3: u32 = load_item %2, x, %0", None), ("%3: u64 = len %1", "types"),
    ("%3: B = mov %1", "types"), ("%3: u8 = load %2, %0", "types"), ("%3: ExVec[B] = mov %2", "types"), ("%3: u64 = load_field %0, x", "types"),
    ("%3: u64 = new_struct", "types"), ("%3: A = mov %1", "owner.use-after-move"), ("store %2, %0, %0", "types"), ("%3: A = new_struct", "owner.leak"),
    ("%3: bool = eq %1, %1", "types"), ("%1: A = new_struct", "owner.leak"), ("free %1", "owner.use-after-free"),
])  # fmt: skip
def test_structs_in_hostile_code(body, rule):
    report = verify(parse_sil(HOSTILE.replace("BODY", body)), collect=True)
    assert {f.rule for f in report.findings} == ({rule} if rule else set()) or (rule and report.findings[0].rule == rule), report


@pytest.mark.parametrize("structs", [
    {"A": None}, {"B": Struct("A", (("x", INTS["u8"]),))}, {"A": Struct("A", ())}, {"A": Struct("A", (("x", 7),))}, {"A": Struct("A", (("x",),))}, 3,
    {"A": Struct("A", (("x", Struct("A", ())),))}, {"u8": Struct("u8", (("x", INTS["u8"]),))}, {"A": Struct("A", (("x y", INTS["u8"]),))},
    {"A": Struct("A", tuple((f"f{i}", INTS["u64"]) for i in range(300)))},
])  # fmt: skip
def test_structs_that_are_none_are_refused(structs):
    made = parse_sil(HOSTILE.replace("BODY", "yield"))
    made.structs = structs
    assert {f.rule for f in verify(made, collect=True).findings} == {"sil.malformed"}
