"""The instructions of SIL, one row each: operands, effect, and what ends the process.

The form check (:mod:`singlab.sing.sil_operands`) takes the shapes from here, and the documentation
(``docs/sil.md``) is this table as text.
"""

from __future__ import annotations

from dataclasses import dataclass

from singlab.sing.attempted import ATTEMPTED


@dataclass(frozen=True)
class Op:
    """One instruction.

    Attributes
    ----------
    name : str
    form : str
        How it is written; ``d`` is the destination, ``a b c`` are source registers.
    types : str
        The types of its operands.
    effect : str
    fault : str
        When it ends the process instead; empty if it never does.
    count : int
        Source registers; -1 where that varies.
    dest : bool or None
        Whether it has a destination; None where that varies.
    """

    name: str
    form: str
    types: str
    effect: str
    fault: str = ""
    count: int = -1
    dest: bool | None = None


def _both(names: str, effects: str, types: str, fault: str = "") -> list[Op]:
    return [Op(name, f"d = {name} a, b", types, effect.strip(), fault, 2, True) for name, effect in zip(names.split(), effects.split(";"))]


_SAME = "d, a and b of one integer type"
_LOGIC = "d, a and b of one integer type, or all bool"
_COMPARE = "a and b of one type that is not linear, or references for eq and ne, d bool"

#: The instructions a program may use, in the order of the documentation.
TABLE = (
    Op("const", "d = const value", "d an integer type, char or bool", "The value, which lies in the range of d's type; a bool is 0 or 1.", "", 0, True),
    Op("mov", "d = mov a", "a of d's type, or of one whose every value is also one of d's", "The value of a. A block or an endpoint changes its place: afterwards a has none.", "", 1, True),
    *_both("add sub mul", "The sum, wrapping.; The difference, wrapping.; The low bits of the product.", _SAME),
    *_both("div rem", "The quotient, rounded towards minus infinity.; The rest of that division; it has the sign of b.", _SAME, "b is zero"),
    *_both("and or xor", "Bitwise and.; Bitwise or.; Bitwise exclusive or.", _LOGIC),
    *_both("shl shr", "a shifted left by b modulo the width.; a shifted right by b modulo the width; a signed a keeps its sign.", _SAME),
    *_both("eq ne lt le gt ge", "Equal.; Not equal.; Less, signed or unsigned as the type.; Less or equal.; Greater.; Greater or equal.", _COMPARE),
    Op("not", "d = not a", "a and d bool", "The other one.", "", 1, True),
    Op("neg", "d = neg a", "d and a of one integer type", "Zero minus a, wrapping.", "", 1, True),
    Op("inv", "d = inv a", "d and a of one integer type", "Every bit of a inverted.", "", 1, True),
    Op("call", "d... = call f, a...", "a... and d... as f declares; no d if f returns nothing",
       "Calls a function of the program. Blocks and sets among the arguments are handed over, except for the parameters that are borrowed; "
       "endpoints are lent. What is returned is owned."),
    Op("new", "d = new a", "a u64, d a vector", "A zeroed vector of a elements on the exchange heap, owned by d.", "no memory is left, or a is too large", 1, True),
    Op("new_struct", "d = new_struct", "d a struct", "A zeroed struct on the exchange heap, owned by d.", "no memory is left", 0, True),
    Op("free", "free a", "a a vector or a struct", "Gives the block back; a has none afterwards.", "", 1, False),
    Op("split", "d, e = split a, b", "a a vector, b u64, d and e of a's type", "Puts a vector apart without copying: d has its first b elements, e the rest.",
       "b is greater than the length, or no memory is left", 2, True),
    Op("truncate", "d = truncate a, b", "a a vector, b u64, d of a's type", "The vector's first b elements, without copying.", "b is greater than the length", 2, True),
    Op("share", "d, e = share a, b, c", "a a vector, shared or not, b and c u64, d and e shared vectors of its elements",
       "d has all of the vector's elements, e those from b up to c; both read the same data.",
       "c is greater than the length or less than b, or no memory is left", 3, True),
    Op("load_field", "d = load_field a, F", "a a struct, d the type of its field F", "Field F.", "", 1, True),
    Op("store_field", "store_field a, F, b", "a a struct, b the type of its field F", "Puts b into field F.", "", 2, False),
    Op("load_item", "d = load_item a, F, b", "a a vector of structs, b u64, d the type of their field F", "Field F of element b.", "b is not less than the length", 2, True),
    Op("store_item", "store_item a, F, b, c", "a a vector of structs, b u64, c the type of their field F", "Puts c into field F of element b.", "b is not less than the length", 3, False),
    Op("cast", "d = cast a", "a an integer, char or bool, d an integer or char", "The low bits of a, extended as d's type says.", "", 1, True),
    Op("load", "d = load a, b", "a a vector of integers, an array or str, b u64, d the type of its elements, or that with None", "Element b.", "b is not less than the length, or d's type is a reference without None and the element has none yet", 2, True),
    Op("store", "store a, b, c", "a a vector of integers or an array, b u64, c the type of its elements", "Puts c into element b.", "b is not less than the length", 3, False),
    Op("len", "d = len a", "a a vector, array or str, d u64", "The number of elements.", "", 1, True),
    Op("newobj", "d = newobj", "d a class", "An object of d's class on the process's own heap, every field zero or None.", "no memory is left", 0, True),
    Op("newarr", "d = newarr a", "a u64, d an array", "An array of a elements on the process's own heap, every one zero or None.",
       "no memory is left, or a is too large", 1, True),
    Op("getf", "d = getf f, a", "a an object, f a field of its class, d the field's type, or that with None", "The value of field f.",
       "d's type is a reference without None and the field has none yet", 1, True),
    Op("putf", "putf f, a, b", "a an object, f a field of its class, b the field's type", "Puts b into field f.", "", 2, False),
    Op("none", "d = none", "d a reference type with None", "None.", "", 0, True),
    Op("some", "d = some a", "a a reference type with None, d the same without", "The value of a.", "a is None", 1, True),
    Op("as", "d = as a", "a and d classes, one of which inherits from the other", "The value of a, None if d's type has None.",
       "a is no object of d's class, or None and d's type is without None", 1, True),
    Op("isinst", "d = isinst C, a", "a a class, C a class's name, d bool", "Whether a is an object of C, or of a class that inherits from it.", "", 1, True),
    Op("vcall", "d = vcall m, a, b...", "a an object, m a method of its class, b... and d as m declares; d is absent if m returns nothing",
       "Calls the method m of a's own class."),
    Op("string", 'd = string "text"', "d str", "Constant text.", "", 0, True),
    Op("text", "d = text a", "a an array of chars, d str", "The array's characters as text. Who keeps a can still change them.", "", 1, True),
    Op("print_str", "print_str a", "a str", "Writes text to the console.", "", 1, False),
    Op("send", "send a, M, b...", "a an endpoint, b... as message M of its contract carries",
       "Sends M. Blocks and endpoints among b... belong to the receiver from here on. Never waits."),
    Op("close", "close a", "a an endpoint", "Closes this end of the channel.", "", 1, False),
    Op("set_new", "d = set_new", "d a set of endpoints", "A set without members, owned by d.", "no memory is left", 0, True),
    Op("set_add", "set_add a, b", "a a set, b an endpoint of its kind", "Puts b, which is in the set's state, into the set; b has none afterwards.", "", 2, False),
    Op("set_size", "d = set_size a", "a a set, d u64", "The number of its members.", "", 1, True),
    Op("set_close", "set_close a", "a a set", "Closes every member, and the set; a has none afterwards.", "", 1, False),
    Op("print_text", 'print_text "text"', "none", "Writes a constant text to the console.", "", 0, False),
    Op("print_int", "print_int a", "a an integer or bool", "Writes a number to the console.", "", 1, False),
    Op("cycles", "d = cycles", "d u64", "The machine's cycle counter.", "", 0, True),
    Op("cycles_per_second", "d = cycles_per_second", "d u64", "How fast the cycle counter counts.", "", 0, True),
    Op("process_id", "d = process_id", "d u64", "The number of this process.", "", 0, True),
    Op("yield", "yield", "none", "Lets the next ready thread run.", "", 0, False),
    Op("spawn", "d = spawn f, a...", "a... as f declares, at most 4; d u64; f returns u64 or nothing",
       "Starts f as another thread of this process and gives its number. What it is given is its own from here on: vectors and endpoints among a... "
       "are gone.", "no memory is left, or the process has 64 threads"),
    Op("join", "d = join a", "a and d u64", "Waits until thread a of this process has ended, and takes its value, 0 if it has none. A thread is joined once.",
       "a is no other thread of this process, or was joined", 1, True),
    Op("new_event", "d = new_event a", "a bool, d event", "An event that is not set; with a it stays set until it is reset, without it lets one thread go on each time.",
       "no memory is left, or the process has 256 objects", 1, True),
    Op("new_mutex", "d = new_mutex", "d mutex", "A mutex that nobody has.", "no memory is left, or the process has 256 objects", 0, True),
    Op("event_set", "event_set a", "a event", "Sets the event.", "a is closed", 1, False),
    Op("event_reset", "event_reset a", "a event", "Resets the event.", "a is closed", 1, False),
    Op("mutex_release", "mutex_release a", "a mutex", "Lets go of the mutex.", "this thread does not have it, or a is closed", 1, False),
    Op("handle_close", "handle_close a", "a event, mutex or interrupt", "Gives the object back.", "a is closed, or a thread waits for it", 1, False),
    Op("wait", "d = wait a, b...", "a u64, b... one to four of event, mutex, interrupt, endpoint and set, d u64",
       "Waits for the first of them until the cycle counter is a, and takes it; what comes to an endpoint or a set stays there. d is its place among them "
       "from 0, or their number if none came.", "one of them is closed"),
    Op("sleep", "sleep a", "a u64", "Lets the thread go on when the cycle counter is a.", "", 1, False),
    Op("thread_id", "d = thread_id", "d u64", "The number of this thread.", "", 0, True),
    Op("thread_state", "d = thread_state a", "a and d u64", "What thread a of this process does: 1 ready, 3 blocked, 5 ended and not joined, 0 none.", "", 1, True),
    Op("open_io", "d = open_io a", "a u64, d io_memory", "The device registers that stand at place a in the manifest.",
       "the manifest has no such place, or another process has them", 1, True),
    Op("io_read", "d = io_read a, b", "a io_memory, b u64, d u8, u16 or u32", "The register b bytes into a, as wide as d.", "it does not lie in a, or the device has no register of that width there", 2, True),
    Op("io_write", "io_write a, b, c", "a io_memory, b u64, c u8, u16 or u32", "Puts c into the register b bytes into a.", "it does not lie in a, or the device has no register of that width there", 3, False),
    Op("open_dma", "d = open_dma a", "a u64, d io_memory", "The memory for devices that stands at place a in the manifest.",
       "the manifest has no such place, or no memory is left", 1, True),
    Op("dma_address", "d = dma_address a", "a io_memory, d u64", "Where a device finds memory for devices.", "a is device registers", 1, True),
    Op("open_interrupt", "d = open_interrupt a", "a u64, d interrupt", "The interrupt that stands at place a in the manifest.",
       "the manifest has no such place, or another process has it", 1, True),
    Op("interrupt_ack", "interrupt_ack a", "a interrupt", "The interrupt has been dealt with and may come again.", "it has not come since, or a is closed", 1, False),
    Op("name_register", 'd = name_register a, "name"', "a the Imp of a provider's contract in its first state, d bool",
       "Provides a name that the manifest declares: who connects is announced at the other end of a. a is gone; if the name cannot be had, d is false and a closed.",
       "", 1, True),
    Op("name_connect", 'd = name_connect a, "name"', "a an Exp in its contract's first state, in which its side sends, d bool",
       "Hands a to who provides the name and waits for the answer. a is gone; if nobody takes it, d is false and a closed.", "", 1, True),
    Op("principal", "d = principal", "d a vector of u8", "This process's principal as text.", "no memory is left", 0, True),
    Op("peer_principal", "d = peer_principal a", "a an endpoint, d a vector of u8", "The principal that a's other side speaks for, empty once that is closed.",
       "no memory is left", 1, True),
    Op("principal_is", 'd = principal_is a, "pattern"', "a an endpoint, d bool", "Whether that principal matches a pattern, in which * stands for any text.", "", 1, True),
    Op("create", "d = create n", "d u64", "A handle of a new child process of the program's extension number n, which has not started.",
       "it cannot be made: there is no such extension, no memory, or the image is not what was installed", 0, True),
    Op("give", "give a, n, b", "a u64, b an endpoint, an integer or a bool", "Gives child a startup argument number n. An endpoint is in its contract's "
       "first state, and the child's from here on.", "a is no child that has not started, or takes no such argument", 2, False),
    Op("child", "child f, a", "a u64", "Does f with child a: `start`, `stop`, `suspend`, `suspend_all` (it and all below it), `wait` until it has come to rest, "
       "`resume`, `close` (let go of one that has ended).", "a is no child, or f cannot be done with it in its state", 1, False),
    Op("ask_child", "d = ask_child f, a", "d and a u64", "Asks about child a: `join` waits for its end and gives its exit value, 0 if it did not end by itself; "
       "`state`, 1 to 7, or 0 for no child; `how` it has ended, 1 by itself, 2 by a fault, 3 it was stopped, 0 not yet; `code`, its exit value or fault; "
       "`id`, its number.", "f is `join` and a is no child that has started, or somebody else waits for it", 1, True),
    Op("mark", "mark a", "a an integer", "Puts a mark with this value into the trace.", "", 1, False),
    Op("br", "br B", "none", "Goes on in block B.", "", 0, False),
    Op("cbr", "cbr a, B, C", "a bool", "Goes on in block B if a is true, else in block C.", "", 1, False),
    Op("ret", "ret a...", "a... as the function declares; none if it returns nothing", "Ends the function with the values of a...: at most 8."),
    Op("receive", "receive a { M(%1: u64) -> B; closed -> C }", "a an endpoint, the registers of an arm as its message carries",
       "Waits for a message on a and goes on in the block of its arm, the arguments in the arm's registers; `closed` is for a channel whose "
       "other end is closed and drained.", "the channel is closed and there is no `closed`", 1, False),
    Op("attempt", "attempt f, a... { returned(%1: u64) -> B; raised(%2: u64) -> C }", "a... and %1 as f declares; %1 is absent if f returns nothing",
       "Calls a function that is declared `raises`, and goes on in B if it returned, in C if it raised an exception. Vectors among the arguments are "
       "gone on both ways.", "", -1),
    Op("attempt_vcall", "attempt_vcall m, a, b... { returned(%1: u64) -> B; raised(%2: u64) -> C }", "a an object, m a method of its class, b... and %1 as m declares",
       "Calls the method m of a's own class, which is declared `raises`, as `attempt` calls a function.", "", -1),
    Op("attempt_new", "attempt_new a... { returned(%1: ExVec[u8]) -> B; raised(%2: u64) -> C }",
       "%1 a vector, a struct, an array, an object or a set; a... one u64 for a vector or an array, else none",
       "What `new`, `new_struct`, `newarr`, `newobj` or `set_new` makes, in %1, if there is memory for it; else C gets the exception MemoryError.", "", -1, False),
    Op("attempt_spawn", "attempt_spawn f, a... { returned(%1: u64) -> B; raised(%2: u64) -> C }", "as for `spawn`; %1 u64",
       "Starts a thread as `spawn` does. If none can be started, C gets the exception RuntimeError, and what the thread would have been given is still the "
       "caller's.", "", -1, False),
    Op("attempt_op", "attempt_op f, n, a... { returned(%1: u64) -> B; raised(%2: u64) -> C }", "a..., n and the registers of `returned` as f has them; n is absent if f has none",
       "Does what the instruction f does, one of " + ", ".join(f"`{name}`" for name in ATTEMPTED) + "; where that would end the process because something cannot be "
       "made or done, C gets the exception instead, and what was handed over is still the caller's. `ask_child` is attempted with `join` alone.", "", -1, False),
    Op("raise", "raise a", "a u64", "Ends the function by the exception a: its class's number in the low 16 bits, its line above them. In a function that "
       "is not declared `raises` nobody can catch it, and it ends the process with that fault.", "", 1, False),
    Op("select", "select a, b... { (M(%1: u64), _) -> B; (_, closed) -> C; otherwise -> D }",
       "a, b... up to four endpoints and sets, a row with a cell for each; the registers of a cell as its message carries, "
       "before them the member where the operand is a set",
       "Goes on at the first row of which every cell is satisfied by what waits longest at its operand, and takes that; waits while none is "
       "and one still can be. `_` is always satisfied; `closed` by a channel that is closed and drained; a set is served member by member, "
       "`%1: C.Exp = M(%2: u64)`, and what is served leaves it.", "no row can be satisfied any more and there is no `otherwise`"),
    Op("new_channel", "new_channel C { made(%1: C.Imp, %2: C.Exp) -> B; raised(%3: u64) -> D }", "the registers the two sides of contract C",
       "A new channel, both ends owned and in the contract's first state. If there is no memory for it and there is an arm `raised`, that gets the exception "
       "MemoryError.", "no memory is left and there is no `raised`", 0, False),
    Op("fault", "fault code", "none", "Ends the process with this fault, 1 to 65535.", "", 0, False),
)  # fmt: skip

OPS = {op.name: op for op in TABLE}


def document() -> str:
    """Return the documentation of SIL as Markdown."""
    out = [
        "# SIL",
        "",
        "The typed intermediate language between the compiler, the verifier and the code generator. A function is a graph of blocks over",
        "typed registers that may be assigned more than once; each block ends in exactly one of `br`, `cbr`, `ret`, `receive`, `select`,",
        "`new_channel`, `attempt`, `attempt_vcall`, `attempt_new`, `attempt_spawn`, `attempt_op`, `raise` and `fault`. Every way an exception can take is one of these ways",
        "out: there are no hidden ones. A method may end by `raise` if the method of the parent that it stands for may. A function that may end by `raise` says so: `function f(%0: u64) -> u64 raises`. A line `exceptions: 256 \"Full\"` behind the contracts",
        "says what exceptions are called, by number; numbers below 256 are those of faults.",
        "No instruction forms an address. Memory is reached through exchange-heap structs and vectors, which have one owner at a time, and through references",
        "to what lives on the process's own heap, which are copied freely and never sent.",
        "",
        "`parse_sil(text)` reads this notation, `str(module)` writes it; what is written and read again is the same module.",
        "",
        "```",
        'sip Echo entry main file "cell"',
        "contracts:",
        "    contract Talk { in message Ask(ulong n); out message Answer(ulong n); state Start: Ask? -> Answer! -> Start; }",
        "",
        "function main(%0.ch: Talk.Exp) -> u64 @1:1",
        "entry:",
        "  receive %0.ch { Ask(%1.n: u64) -> got; closed -> done } @3:5",
        "got:",
        "  %2: u64 = const 1 @4:25",
        "  %3: u64 = add %1.n, %2 @4:21",
        "  send %0.ch, Answer, %3 @4:5",
        "  br entry2",
        "entry2:",
        "  receive %0.ch { Ask(%1.n: u64) -> got; closed -> done } @3:5",
        "done:",
        "  %4: u64 = const 0 @6:12",
        "  close %0.ch @5:5",
        "  ret %4 @6:5",
        "```",
        "",
        "`@line:column` is the place in the program's source; in a text without a `file` an instruction's place is its own line. A `;` begins a",
        "comment. A parameter such as `%0.v: &ExVec[u8]` is borrowed: the block stays the caller's. A function with several results declares them as",
        "in `-> (u64, bool)`. Types are `u8` to `u64`, `i8` to `i64`, `bool`, `char`, `ExVec[u8]` and so on, structs by their name, vectors of them, `Shared[u8]` for one that is only read,",
        "endpoints such as `Talk.Exp`, sets of them such as `ESet[Talk.Exp:Start]`, handles: `event`, `mutex`, `interrupt` and `io_memory`, and references: `Array[u8]` and so on, `str`, and the names of classes; `Node?` is a reference that may be None.",
        "",
        "Before the contracts `structs:` declares the structs, in Sing#'s notation: `    rep struct Packet { uint length; byte kind; }`. A field lies at",
        "the next multiple of its size, and a struct's size is a multiple of its largest field's. An enum is the narrowest integer that has all its",
        "values. A class stands before the functions:",
        "",
        "```",
        "class Node { value: u64, next: Node?, total = Node~total }",
        "class Leaf(Node) { weight: i32, total = Leaf~total }",
        "```",
        "",
        "A field has a type, a method the function it runs. A class begins with all that its parent has.",
        "",
    ]
    for op in TABLE:
        out += [f"## {op.name}", "", f"`{op.form}`", "", op.effect, "", f"Types: {op.types}."]
        if op.fault:
            out += ["", f"Ends the process if {op.fault}."]
        out.append("")
    return "\n".join(out)
