"""Functions, classes, contracts, constants and exceptions of another module, with the module's name before them."""

from __future__ import annotations

import importlib
import sys

import pytest

from singlab.kernel import System
from singlab.sing import SipError, build

LIBRARY = '''
from singlab.sing import contract, function, managed, u64
MOST = 7
NAME = "lib"
C = contract("""contract C { in message Ask(ulong n); out message Answer(ulong n); state Start: Ask? -> Answer! -> Start; }""")
def plain(n): return n
@function
def square(n: u64) -> u64:
    return n * n + MOST
@managed
class Node:
    v: u64
    def get(self) -> u64:
        return self.v
class Full(Exception): pass
'''
PROGRAMS = '''
import singlab.sing as words
import singlab_test_library as lib
from singlab.sing import *

@managed
class Pair(lib.Node):
    w: u64
    other: "lib.Node | None"
    def both(self) -> u64:
        return self.w + lib.square(self.get()) + self.other.get()

@sip
def function_() -> u64:
    return lib.square(3) + lib.MOST
@sip
def object_() -> u64:
    n: lib.Node = lib.Node(4)
    print(lib.NAME)
    return n.get()
@sip
def inherited() -> u64:
    return Pair(2, 3, lib.Node(100)).both()
@sip
def channel() -> u64:
    imp, exp = new_channel(lib.C)
    imp.send(lib.C.Ask(3))
    match exp.receive():
        case lib.C.Ask(n):
            exp.send(lib.C.Answer(n + 1))
        case ChannelClosed():
            pass
    n = imp.receive(lib.C.Answer)
    imp.close()
    exp.close()
    return n
@sip
def exception() -> u64:
    try:
        raise lib.Full("x")
    except lib.Full as e:
        return len(str(e))
@sip
def threads() -> u64:
    return join(thread(lib.square, 4))
@words.sip
def words_() -> words.u64:
    v = words.new(words.u8, 3)
    n = len(v)
    words.free(v)
    return n
@sip
def unmarked() -> u64:
    return lib.plain(3)
@sip
def unknown() -> u64:
    return lib.nothing(3)
@sip
def shadowed(lib: u64) -> u64:
    return lib.square(3)
'''


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    (folder / "singlab_test_library.py").write_text(LIBRARY, encoding="utf-8")
    (folder / "singlab_test_programs.py").write_text(PROGRAMS, encoding="utf-8")
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("singlab_test_programs")
    finally:
        sys.path.remove(str(folder))
        for name in ("singlab_test_library", "singlab_test_programs"):
            sys.modules.pop(name, None)


@pytest.mark.parametrize(("name", "expected"), [("function_", 23), ("object_", 4), ("inherited", 114), ("channel", 4), ("exception", 1), ("threads", 23), ("words_", 3)])
def test_what_a_module_has_is_used_with_its_name(programs, name, expected):
    system = System(ram="2M")
    process = system.create(build(getattr(programs, name)))
    system.run()
    assert process.exit_value == expected, process.end


@pytest.mark.parametrize(("name", "words"), [("unmarked", "write @function above def lib.plain"), ("unknown", "lib.nothing is nothing"), ("shadowed", "square")])
def test_what_it_has_not_is_refused_by_the_name_that_was_written(programs, name, words):
    with pytest.raises(SipError) as refused:
        build(getattr(programs, name))
    assert words in str(refused.value) and refused.value.line
