"""Arrays, classes, text, generics and functions of other modules: what they compute, what is refused, and when a process ends."""

from __future__ import annotations

import pytest
from running import ISOLATIONS, SERVER, TALK, execute, image, marked, module, refusal, result

from singlab.kernel import System
from singlab.sing import build, parse_sil, programs_from_source, verify

NODE = '''
@managed
class Node:
    value: u64
    next: "Node | None"
    def bump(self, by: u64) -> u64:
        self.value += by
        return self.value
@managed
class Pair(Node):
    other: i32
    def bump(self, by: u64) -> u64:
        self.other -= 1
        return super().bump(by * 2)
@managed
class Keeper:
    node: "Node | None"
    def kept(self) -> "Node | None":
        if self.node is None:
            return None
        return self.node
@function
def found_in(h: "Node | None", value: u64) -> "Node | None":
    while h is not None:
        if h.value == value:
            return h
        h = h.next
    return None
'''


def body(lines: str, before: str = NODE, type_: str = "u64", params: str = "n: u64") -> str:
    return before + f"@sip\ndef p({params}) -> {type_}:\n" + "".join(f"    {line}\n" for line in lines.splitlines())


VALUES = {
    "fields in order": ("a = Node(3, None)\nb = Node(4, a)\nreturn b.value * 10 + a.value", 43),
    "a field through a nullable one": ("b = Node(4, Node(7, None))\nreturn b.next.value", 7),
    "fields of the parent first": ("c = Pair(1, None, -5)\nreturn u64(c.other + 10) + c.value", 6),
    "a method is that of the object's class": ("a: Node = Pair(1, None, 9)\nreturn a.bump(5)", 11),
    "and its parent's is called by super": ("c = Pair(1, None, 9)\nc.bump(1)\nreturn u64(c.other)", 8),
    "a list": ("h: Node | None = None\nfor i in range(n):\n    h = Node(i, h)\nt: u64 = 0\nwhile h is not None:\n    t = t * 10 + h.value\n    h = h.next\nreturn t", 43210),
    "isinstance": ("a: Node = Pair(1, None, 9)\nb = Node(1, None)\nreturn u64(isinstance(a, Pair)) * 4 + u64(isinstance(b, Pair)) * 2 + u64(isinstance(a, Node))", 5),
    "isinstance of None": ("a: Node | None = None\nreturn u64(isinstance(a, Node))", 0),
    "what isinstance says": ("a: Node = Pair(1, None, 9)\nif isinstance(a, Pair):\n    return u64(a.other)\nreturn 0", 9),
    "a helper that returns None": ("h = Node(1, Node(5, None))\nt: u64 = 0\nfor i in range(7):\n    found = found_in(h, i)\n    if found is not None:\n        t = t * 10 + found.value\nreturn t", 15),
    "a method that returns None": ("h = Keeper(None)\nif h.kept() is None:\n    h.node = Node(4, None)\nreturn h.kept().value", 4),
    "identity": ("a = Node(1, None)\nb = Node(1, a)\nreturn u64(a is b) * 4 + u64(b.next is a) * 2 + u64(a == a)", 3),
    "after a test that left": ("a: Node | None = Node(8, None)\nif a is None:\n    return 1\nb: Node = a\nreturn b.value", 8),
    "a conditional": ("a = Node(8, None)\nb = a if n > 9 else None\nreturn u64(b is None)", 1),
    "an array is zero": ("a = array(i16, 9)\nreturn u64(a[0]) + u64(a[8]) + len(a)", 9),
    "an array is filled": ("a = array(u8, 5, 255)\na[2] += 2\nreturn u64(a[2]) * 1000 + u64(a[4])", 1255),
    "an array is shared": ("a = array(u64, 3)\nb = a\nb[1] = 7\nreturn a[1]", 7),
    "an array of arrays": ("g = array(Array[u8], 2)\ng[0] = array(u8, 3, 1)\ng[1] = g[0]\ng[1][2] = 9\nreturn u64(g[0][2])", 9),
    "an array of objects": ("g = array(Node, 4, Node(2, None))\ng[3] = Pair(5, None, 1)\nt: u64 = 0\nfor x in g:\n    t += x.bump(1)\nreturn t", 19),
    "bools": ("a = array(bool, 3, True)\na[1] = False\nreturn u64(a[0]) + u64(a[1])", 1),
    "a large array": ("a = array(u64, 20000, 3)\na[19999] = 4\nreturn a[0] + a[19999] + len(a)", 20007),
    "many objects": ("h: Node | None = None\nfor i in range(3000):\n    h = Node(i, h)\nreturn h.value", 2999),
    "text": ('s = "ab" + str(n)\nreturn len(s) * 1000 + ord(s[2])', 3053),
    "text compared": ('return u64("ab" < "abc") + u64("b" > "abc") * 2 + u64("a" + "b" == "ab") * 4 + u64("x" != "x") * 8', 7),
    "a char": ('c = char(65)\nd: char = "B"\nreturn u64(c < d) + u64(c == "A") * 2 + ord(d)', 69),
    "a slice": ('s = "hello"\nreturn u64(s[1:3] == "el") + u64(s[-2:] == "lo") * 2 + u64(s[:99] == s) * 4 + u64(s[3:1] == "") * 8', 15),
    "UTF-8": ('return len("é") * 10 + u64("é"[0] == char(195))', 21),
    "text over the exchange heap": ('v = to_vector("hey")\nv[0] = 72\ns = str(v)\nfree(v)\na = to_array(s)\nreturn u64(s == "Hey") + u64(a[2]) + len(a)', 125),
    "numbers as text": ('return u64(str(0) == "0") + u64(str(i64(-9223372036854775808)) == "-9223372036854775808") * 2 + u64(f"{n > 4}" == "True") * 4', 7),
}  # fmt: skip


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("name", VALUES)
def test_what_programs_compute(name, isolation):
    lines, expected = VALUES[name]
    assert result(body(lines), isolation=isolation, n=5) == expected


def test_without_the_optimiser_too():
    for lines, expected in VALUES.values():
        system = System(ram="2M", trace=False)
        process = system.create(build(programs_from_source(body(lines), "text").programs["p"], optimiser=False), n=5)
        system.run()
        assert process.exit_value == expected, lines


FAULTS = {
    "a field of None": ("a: Node | None = None\nreturn «a.value", 20),
    "an element of None": ("a: Array[u8] | None = None\nif n > 99:\n    a = array(u8, 1)\nreturn u64(«a[0])", 23),
    "a method of None": ("a = Node(1, None)\nreturn «a.next.bump(1)", 20),
    "None where an object is needed": ("a = array(Node, 3)\nreturn «a[1].value", 20),
    "a field that was never filled": ("h = Holder()\nreturn «h.node.value", 20),
    "an index too large": ("a = array(u8, 3)\nreturn u64(«a[n])", 1),
    "a negative index": ("a = array(u8, 3)\ni = -1\na[«i] = 1\nreturn 0", 1),
    "an index of a text": ('s = "abc"\nreturn ord(«s[n])', 1),
    "more memory than there is": ("t: u64 = 0\nfor i in range(100):\n    a = «array(u64, 200000)\n    t += a[0]\nreturn t", 22),
    "an array too large": ("a = «array(u64, n << 40)\nreturn len(a)", 11),
    "objects without end": ("h: Node | None = None\nwhile True:\n    h = «Node(n, h)\nreturn h.value", 22),
}
HOLDER = "@managed\nclass Holder:\n    node: Node\n    def __init__(self):\n        pass\n"


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("name", FAULTS)
def test_how_processes_end(name, isolation):
    lines, code = FAULTS[name]
    text, line, _ = marked(body(lines, NODE + HOLDER), "«")
    process = execute(text, isolation, n=5)
    assert (process.fault.code, process.fault.line) == (code, line), process.fault


REFUSED = {
    "a message takes no object": ("contract.arguments", "ch.send(Talk.Give(«array(u8, 3)))\nreturn 0"),
    "None has a type": ("types", "x = «None\nreturn 0"),
    "a variable that is not None stays so": ("types", "a = Node(1, None)\n«a = a.next\nreturn 0"),
    "another class": ("types", "a: Pair = «Node(1, None)\nreturn 0"),
    "no such field": ("types", "a = Node(1, None)\nreturn «a.size"),
    "no such method": ("types", "a = Node(1, None)\nreturn «a.size()"),
    "a method is no value": ("types", "a = Node(1, None)\nreturn «a.bump"),
    "too few fields": ("types", "a = «Node(1)\nreturn 0"),
    "a wrong field": ("types", "a = Node(«\"x\", None)\nreturn 0"),
    "arrays are not compared": ("types", "a = array(u8, 1)\nreturn u64(«a == a)"),
    "text is not changed": ("types", "s = \"abc\"\n«s[0] = char(65)\nreturn 0"),
    "a number is no text": ("types", "s = «\"a\" + n\nreturn 0"),
    "a vector in an array": ("types", "a = «array(ExVec[u8], 3)\nreturn 0"),
    "None of a number": ("types", "a: «u64 | None = None\nreturn 0"),
    "a number is never None": ("types", "return u64(«n is None)"),
    "a char is one byte": ("types", "c: char = «\"é\"\nreturn 0"),
    "chars do not add": ("types", "c: char = \"a\"\nreturn u64(«c + c)"),
    "what a generic is for": ("types", "return «first(n)"),
    "one T, two types": ("types", "return both(array(u64, 1), «array(u8, 1))"),
    "Python's own class": ("types", "a: «Plain | None = None\nreturn 0"),
}  # fmt: skip
GENERIC = """
T = TypeVar("T")
@function
def first(n: u64) -> T:
    return n
@function
def both(a: Array[T], b: Array[T]) -> u64:
    return len(a) + len(b)
@function
def doubled(a: Array[T]) -> T:
    return a[0] + «a[0]
"""


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    rule, lines = REFUSED[name]
    text = TALK + SERVER + body(lines, NODE + GENERIC.replace("«", ""), params="ch: Talk.Imp, n: u64")
    text, line, column = marked(text, "«")
    programs = programs_from_source(text, "text", {"Plain": int}).programs
    with pytest.raises(Exception) as refused:
        build(programs["p"])
    error = refused.value
    assert (error.rule, error.line, error.column) == (rule, line, column), str(error)
    assert error.hint


def test_a_generic_is_refused_in_its_own_text_with_its_types():
    text, line, column = marked(body("a = array(Node, 1)\nb = doubled(a)\nreturn b.value", NODE + GENERIC), "«")
    error = refusal(text)
    assert (error.line, error.rule) == (line, "types") and "with T = Node" in error.message and abs(error.column - column) <= 7


def test_generics_are_made_for_each_type_once():
    made = module(body("a = array(u64, 2, n)\nb = array(u8, 2, 3)\nreturn doubled(a) + doubled(a) + u64(doubled(b))", GENERIC.replace("«", "")))
    assert sorted(name for name in made.functions if name.startswith("doubled")) == ["doubled~u64", "doubled~u8"]
    assert result(body("a = array(u64, 2, n)\nb = array(u8, 2, 200)\nreturn doubled(a) + u64(doubled(b))", GENERIC.replace("«", "")), n=5) == 154


def test_errors_of_a_function_of_another_module_are_in_its_file():
    other = programs_from_source("@managed\nclass Box:\n    size: u64\n@function\ndef wrong(b: Box) -> u64:\n    return b.height\n"
                                 "@function\ndef right(b: Box) -> u64:\n    return b.size\n", "other.py")  # fmt: skip
    text = "@sip\ndef p(n: u64) -> u64:\n    b = Box(n)\n    return {}(b)\n"
    names = {**other.classes, **other.functions}
    good = programs_from_source(text.format("right"), "text", names).programs["p"]
    assert verify(__import__("singlab.sing.frontend", fromlist=["x"]).compile_program(good)).accepted
    with pytest.raises(Exception) as refused:
        build(programs_from_source(text.format("wrong"), "text", names).programs["p"])
    assert (refused.value.filename, refused.value.line) == ("other.py", 6)


def test_a_class_from_a_file_is_taken_without_being_run(tmp_path, monkeypatch):
    (tmp_path / "boxes.py").write_text(
        "from singlab.sing import *\n\n@managed\nclass Box:\n    size: u64\n    next: 'Box | None'\n\n@managed\nclass Big(Box):\n    weight: u64\n"
        "    def __init__(self, size: u64):\n        self.size = size\n        self.weight = size * 2\n\n"
        "@sip\ndef p(n: u64) -> u64:\n    b = Big(n)\n    return b.size + b.weight\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    boxes = __import__("boxes")
    assert "class Big" in repr(boxes.Big) and boxes.Big.filename.endswith("boxes.py")
    system = System(ram="2M")
    process = system.create(build(boxes.p), n=4)
    system.run()
    assert process.exit_value == 12


def test_printing():
    process = execute(body('a = Pair(7, None, -2)\nprint(f"<{a.value}|{a.other}>", "x" + "y", char(90), str(n))\nprint("")\nprint(f"")\nreturn 0'), n=5)
    assert process.console == "<7|-2> xy Z 5\n\n\n"


def test_an_image_without_objects_has_no_tables_and_its_text_form_comes_back():
    assert image("@sip\ndef p() -> u64:\n    return 1\n").manifest.heap == {}
    made = module(body(VALUES["an array of objects"][0]))
    assert str(parse_sil(str(made))) == str(made) and verify(parse_sil(str(made))).accepted


def test_the_heap_comes_back():
    for lines in ("many objects", "a large array"):
        process = execute(body(VALUES[lines][0]), n=5)
        assert process.holdings()["pages"] == 0
