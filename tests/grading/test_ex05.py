"""Exercise 05: any equivalent design and any right checker gets everything, each mistake its name."""

from __future__ import annotations

import random
from pathlib import Path

import nbformat
import pytest

from singlab.grading import check, grade_notebook
from singlab.grading import contractgraph as g
from singlab.grading.answers import read_answer
from singlab.grading.examination import grade_examination
from singlab.grading.exercises import ex05_contracts as ex
from singlab.grading.exercises import exercise
from singlab.sing import SipError, contract, programs_from_source

ROOT = Path(__file__).resolve().parent.parent.parent
SOLUTION, STUDENT = ROOT / "solutions" / "ex05_contracts.ipynb", ROOT / "exercises" / "ex05_contracts.ipynb"
KNOWN = exercise("ex05")
WHOLE = read_answer(SOLUTION).text
#: The printer of the master, as text.
PRINTER = (
    WHOLE[WHOLE.index("contract Printer {") : WHOLE.index('""")\nPrinter')].replace("// BEGIN SOLUTION", "").replace("// END SOLUTION", "")
)
GOOD = WHOLE[WHOLE.index("@sip\ndef reviewer") : WHOLE.index("image = build")]


def exchanged(text: str, *changes: tuple[str, str]) -> str:
    """Return a text with pieces exchanged."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def graded(answer: str = "", design: str = "", hidden: bool = True):
    """Return the report on a checker, on a design, or on both."""
    unit = programs_from_source(answer, "notebook", KNOWN.given())

    def find(part, given):
        if part.kind == "contract" and design:
            return contract(design)
        if part.name in unit.programs:
            return unit.programs[part.name]
        raise SipError("answer.missing", f"there is no {part.name}")

    return grade_examination(KNOWN, find, hidden)


def points(report, what: str) -> float:
    """Return the points of the checks of one part."""
    return sum(result.points for result in report.results if result.title.startswith(what))


def notebook(tmp_path, *cells: str) -> Path:
    """Return the path of a notebook with these code cells."""
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    node.metadata["singlab"] = {"exercise": "ex05_contracts"}
    path = tmp_path / "answer.ipynb"
    nbformat.write(node, path)
    return path


def test_the_solution_gets_all_points():
    report = grade_notebook(SOLUTION)
    assert (report.points, report.most) == (18, 18), report
    assert all(not result.feedback for result in report.results)


def test_the_students_version_gets_none():
    report = grade_notebook(STUDENT)
    assert (report.points, report.most) == (0, 18)
    assert all(result.feedback for result in report.results)


# ---- the design ----------------------------------------------------------------------------------------------------

RENAMED = exchanged(PRINTER, ("Idle", "S1"), ("Fresh", "S2"), ("Ready", "S3"), ("Jammed", "S4"), ("Over", "S5"))
#: One state more than needed, and every step spelled out.
SPELLED = exchanged(
    PRINTER,
    ("state Start: Hello! -> Idle;", "state Start: Hello! -> Idle;\n    state Answer: one { Accepted! -> Fresh; Refused! -> Idle2; }\n    state Leave: Cancelled! -> Idle;"),
    ("Job? -> (Accepted! -> Fresh or Refused! -> Idle);\n        Status? -> Ink! -> Idle;\n        Bye? -> Over;\n    }",
     "Job? -> Answer;\n        Status? -> Ink! -> Idle;\n        Bye? -> Over;\n    }\n"
     "    state Idle2: one { Job? -> Answer; Status? -> Ink! -> Idle2; Bye? -> Over; }"),
    ("Cancel? -> Cancelled! -> Idle;", "Cancel? -> Leave;"),
)  # fmt: skip


@pytest.mark.parametrize("design", [PRINTER, RENAMED, SPELLED], ids=["reference", "renamed", "spelled out"])
def test_every_equivalent_design_gets_all_points(design):
    report = graded(design=design)
    assert points(report, "the printer") == 6, report


# A design, how many of the printer's 6 points it gets, and words its feedback must have.
DESIGNS = {
    "no refusal": (("(Accepted! -> Fresh or Refused! -> Idle)", "Accepted! -> Fresh"), 3, "Sentence 4"),
    "refusal ends everything": (("Refused! -> Idle)", "Refused! -> Over)"), 3, "Sentence 4"),
    "a job without a sheet": (("state Fresh: one {", "state Fresh: one {\n        End? -> Receipt! -> Idle;"), 2, "Sentence 7"),
    "no cancelling before the first sheet": (("Cancel? -> Cancelled! -> Idle;\n    }\n    state Ready", "}\n    state Ready"), 3, "Sentence 8"),
    "an answer to each side": (("Front? -> Back? -> (Printed! -> Ready or Jam! -> Jammed);", "Front? -> Printed! -> Back? -> (Printed! -> Ready or Jam! -> Jammed);"),
                               0, "Sentence 5"),
    "a jam ends the job": (("Retry? -> (Printed! -> Ready or Jam! -> Jammed);\n        ", ""), 3, "Sentence 6"),
    "only one retry": (("Retry? -> (Printed! -> Ready or Jam! -> Jammed);", "Retry? -> Printed! -> Ready;"), 2, "Sentence 6"),
    "a new sheet after a jam": (("state Jammed: one {", "state Jammed: one {\n        Front? -> Back? -> Printed! -> Ready;"), 2, "Sentence 6"),
    "status in a job": (("state Fresh: one {", "state Fresh: one {\n        Status? -> Ink! -> Fresh;"), 2, "Sentence 3"),
    "status between sheets": (("state Ready: one {", "state Ready: one {\n        Status? -> Ink! -> Ready;"), 4, "Sentence 3"),
    "goes on after goodbye": (("Bye? -> Over;", "Bye? -> Hello! -> Idle;"), 0, ""),
    "greets every time": (("Receipt! -> Idle;", "Receipt! -> Start;"), 3, "Sentence"),
    "a job ends the conversation": (("Cancelled! -> Idle;", "Cancelled! -> Over;"), 3, "Sentence"),
    "cancelling between the sides": (("Front? -> Back? -> (Printed! -> Ready or Jam! -> Jammed);", "Front? -> Half;"), 2, "Sentence 8"),
}  # fmt: skip
HALF = "\n    state Half: one { Back? -> (Printed! -> Ready or Jam! -> Jammed); Cancel? -> Cancelled! -> Idle; }\n}"


@pytest.mark.parametrize("case", DESIGNS)
def test_a_wrong_design_is_told_which_sentence_it_breaks(case):
    change, most, words = DESIGNS[case]
    if case == "goes on after goodbye":
        design = exchanged(PRINTER, change, ("    state Over: ;\n", ""))
    elif case == "cancelling between the sides":
        design = exchanged(PRINTER, change).rstrip().removesuffix("}") + HALF
    else:
        design = exchanged(PRINTER, change)
    if "Over;" not in design:
        design = design.replace("    state Over: ;\n", "")
    report = graded(design=design)
    assert "Printer" not in report.refusal, report.refusal
    assert points(report, "the printer") <= max(most, 4) and points(report, "the printer") < 6, report
    assert any(words in result.feedback for result in report.results if result.title.startswith("the printer")), report


def test_other_messages_are_refused():
    report = graded(design=exchanged(PRINTER, ("Ink(ulong level)", "Ink(uint level)")))
    assert points(report, "the printer") == 0 and "Keep the messages as they are given" in report.results[0].feedback


def test_a_design_that_allows_nothing_gets_nothing():
    report = graded(design="contract Printer {" + ex.MESSAGES + "state Start: ; }")
    assert points(report, "the printer") == 0


def test_hidden_checks_do_not_tell_the_conversation():
    for change, _, _ in list(DESIGNS.values())[:10]:
        for result in graded(design=exchanged(PRINTER, change)).results:
            if result.hidden and result.title.startswith("the printer"):
                assert "->" not in result.feedback and "?," not in result.feedback


def test_the_scenarios_are_those_of_the_description_and_the_master_says_the_same():
    assert not list(g.differences(contract(PRINTER).transitions, ex.STEPS))
    for run in ex.REQUIRED:
        assert g.allows(ex.STEPS, run.split()) == len(run.split())
    for run, _ in ex.FORBIDDEN:
        assert g.allows(ex.STEPS, run.split()) == len(run.split()) - 1
    assert {number for _, number in ex.FORBIDDEN} >= {1, 3, 5, 6, 7, 8, 9}


# ---- the checker ----------------------------------------------------------------------------------------------------

SOUND, REACH, BOTH, ENDLESS = "sound tables", "states that cannot be reached", "states where both", "sending without end"
WRONG = {
    "nothing is unreachable": ((("if seen[state] == 0 and verdict == 0:", "if seen[state] == 9 and verdict == 0:"),), {REACH}, "a state cannot be reached"),
    "only what the start leads to": ((("while head < tail:", "while head < 1:"),), {SOUND}, "cannot be reached which can be"),
    "both sides only at the start": ((("if sends and receives and verdict == 0:", "if sends and receives and verdict == 0 and state == 0:"),), {BOTH}, "both sides may send"),
    "any two messages are too many": ((("                                sends = True\n", "                                receives = sends\n                                sends = True\n"),),
                                      {SOUND}, "does not replay"),
    "cycles of one state only": ((("row[state] >= states and verdict == 0:", "row[state] >= states and u64(target) == state and verdict == 0:"),), {ENDLESS}, "more than one state"),
    "every cycle is endless": ((("u64(table[2 + m]) == direction:", "direction == direction:"),), {SOUND}, "does not replay"),
    "slots swapped": ((("Sound(imp_slots, exp_slots)", "Sound(exp_slots, imp_slots)"),), {SOUND}, "swapped"),
    "slots at least one": ((("                    if direction == 1:\n", "                    if longest == 0:\n                        longest = 1\n                    if direction == 1:\n"),),
                           {SOUND}, "nothing waits: 0"),
    "slots from the start only": ((("if row[state] > longest:", "if row[state] > longest and state == 0:"),), {SOUND}, "may begin in any state"),
    "one round": ((("rounds <= states", "rounds < 1"),), {SOUND, ENDLESS}, "Too few"),
    "runs from the end": ((("                    way -= 1\n                    run[way] = came_by[at]\n", "                    run[length - way - (length - length)] = came_by[at]\n                    way -= 1\n"),),
                          {BOTH}, "does not replay"),
    "runs of states": ((("run[way] = came_by[at]", "run[way] = came_from[at]"), ("run[i] = first[at]", "run[i] = u32(at)")), {BOTH, ENDLESS}, "does not replay"),
    "the cycle without the way": ((("                length = way\n", "                length = way\n                if verdict == 3:\n                    way = 0\n                    length = 0\n"),
                                   ("                while at != 0:\n                    way -= 1", "                while at != 0 and way > 0:\n                    way -= 1")), {ENDLESS}, "does not replay"),
    "too short a cycle": ((("                if verdict == 3:\n                    length += states\n", "                if verdict == 3:\n                    length += 1\n"),
                           ("range(length - states, length)", "range(length - 1, length)")), {ENDLESS}, "does a state come twice"),
    "an ended conversation is stuck": ((("                    if sends and receives and verdict == 0:", "                    if not sends and not receives and verdict == 0:\n                        verdict = 1\n"
                                         "                        place = state\n                    if sends and receives and verdict == 0:"),), {SOUND}, "which can be"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_checker_loses_its_points_and_is_told_why(case):
    changes, checks, words = WRONG[case]
    report = graded(exchanged(GOOD, *changes))
    assert "reviewer" not in report.refusal, report.refusal
    lost = {name for name in (SOUND, REACH, BOTH, ENDLESS) for r in report.results if name in r.title and not r.passed and r.hidden}
    assert checks <= lost, (lost, report)
    assert any(words in result.feedback for result in report.results), report


STUBS = {
    "sound": "                free(table)\n                ch.send(Review.Sound(1, 1))",
    "nothing waits": "                free(table)\n                ch.send(Review.Sound(0, 0))",
    "the last is unreachable": "                n = u64(table[0]) - 1\n                free(table)\n                ch.send(Review.Unreachable(n))",
    "an empty run": "                free(table)\n                ch.send(Review.BothSend(new(u32, 0)))",
    "any run": "                free(table)\n                ch.send(Review.Endless(new(u32, 64)))",
    "a huge run": "                free(table)\n                ch.send(Review.Endless(new(u32, 60000)))",
    "the table itself": "                ch.send(Review.Endless(table))",
    "an endless loop": "                free(table)\n                while True:\n                    turn += 1",
    "a fault": "                turn = u64(table[len(table)])\n                free(table)\n                ch.send(Review.Sound(1, turn))",
    "an early end": "                free(table)\n                return",
    "numbers without a state": "                free(table)\n                ch.send(Review.Unreachable(1 << 40))",
}  # fmt: skip


@pytest.mark.parametrize("case", STUBS)
def test_answering_without_looking_gets_nothing(case):
    answer = ("@sip\ndef reviewer(ch: Review.Exp):\n    turn: u64 = 0\n    while True:\n        match ch.receive():\n"
              f"            case Review.Table(table):\n{STUBS[case]}\n            case ChannelClosed():\n                return\n")  # fmt: skip
    report = graded(answer)
    assert "reviewer" not in report.refusal, report.refusal
    assert points(report, "the checker") == 0, report


def test_hidden_checks_keep_their_tables_to_themselves():
    for case in ("slots swapped", "nothing is unreachable", "too short a cycle", "both sides only at the start"):
        for result in graded(exchanged(GOOD, *WRONG[case][0])).results:
            if result.hidden:
                assert "->" not in result.feedback and "practice()" not in result.feedback, result


@pytest.mark.parametrize("seed", range(300, 304))
def test_the_solution_is_right_on_tables_it_was_not_written_for(seed, monkeypatch):
    monkeypatch.setattr(ex, "_hidden", lambda: g.draw(seed, 60, most_states=12))
    assert points(graded(GOOD), "the checker") == 12


# ---- the explorer ---------------------------------------------------------------------------------------------------


def as_contract(table: g.Table) -> str:
    """Return a table in the contract's notation."""
    messages = "".join(f"{'in' if d == '?' else 'out'} message M{m}();\n" for m, d in enumerate(table.directions))
    states = ""
    for number, step in enumerate(table.steps):
        moves = " ".join(f"M{m}{table.directions[m]} -> S{t};" for m, t in step.items())
        states += f"state S{number}: one {{ {moves} }}\n" if step else f"state S{number}: ;\n"
    return f"contract C {{\n{messages}{states}}}"


def test_the_explorer_says_what_the_compiler_of_contracts_says():
    rules = {"contract.reachable": "unreachable", "contract.turn": "both", "contract.finite": "endless"}
    seen = set()
    rng = random.Random(4)
    for _ in range(600):
        table = g.random_table(rng, rng.randrange(1, 7), rng.randrange(1, 7), rng.random() < 0.2)
        if rng.random() < 0.6:
            table = g.without_unreachable(table)
        truth = table.truth
        try:
            slots = contract(as_contract(table)).slots
            assert truth.sound, table
            assert slots == {"Imp": max(1, truth.slots[0]), "Exp": max(1, truth.slots[1])}, table
            seen.add("sound")
        except SipError as error:
            assert rules[error.rule] in truth.defects, (error, table)
            seen.add(error.rule)
    assert seen == {"sound", *rules}


def test_what_the_explorer_finds_replays():
    for table in g.draw(11, 60):
        truth = table.truth
        if truth.both_send is not None:
            assert g.both_may_send(table, truth.both_send) == ""
        if truth.endless is not None:
            assert g.never_ends(table, truth.endless) == ""
        assert set(truth.unreachable) == set(range(len(table.steps))) - table.reached
        if truth.sound:
            rng = random.Random(3)
            for _ in range(30):
                run = [rng.randrange(len(table.directions)) for _ in range(rng.randrange(12))]
                assert g.both_may_send(table, run) and g.never_ends(table, run)


def test_the_tables_hold_every_kind():
    for tables, least in ((ex._hidden(), 20), (ex.practice(), 3)):
        for defects in (set(), {"unreachable"}, {"both"}, {"endless"}):
            assert sum(table.truth.defects == defects for table in tables) >= least
        sound = [table.truth.slots for table in tables if table.truth.sound]
        assert max(max(slots) for slots in sound) >= 3 and len(set(sound)) >= 5
    table = ex.practice()[0]
    words = table.words()
    assert words[0] == len(table.steps) and words[1] == len(table.directions) and len(words) == 2 + words[1] + words[0] * words[1]


def test_differences_are_shortest_and_go_both_ways():
    one = [{"a": 1}, {"b": 0, "c": 0}]
    other = [{"a": 1, "d": 0}, {"b": 0}]
    assert set(g.differences(one, other)) == {((), "d", 0, False), (("a",), "c", 1, True)}
    assert not list(g.differences(one, one))


# ---- the notebook as a file ------------------------------------------------------------------------------------------

DESIGN = f'Printer = contract("""{PRINTER}""")'


def test_each_part_is_graded_by_itself(tmp_path):
    report = grade_notebook(notebook(tmp_path, DESIGN))
    assert report.points == 6 and report.mistake == "No answer" and "no SIP called reviewer" in report.refusal
    report = grade_notebook(notebook(tmp_path, GOOD))
    assert report.points == 12 and "no contract called Printer" in report.refusal


def test_a_contract_that_is_refused_costs_only_itself_and_is_located(tmp_path):
    report = grade_notebook(notebook(tmp_path, "x = 1", DESIGN.replace("Hello! -> Idle", "Hello! -> Idel"), GOOD))
    assert report.points == 12 and "cell 2:" in report.refusal and "Idel" in report.refusal
    report = grade_notebook(notebook(tmp_path, DESIGN.replace("state Over: ;", "state Over"), GOOD))
    assert report.points == 12 and report.mistake == "Contract broken"
    report = grade_notebook(notebook(tmp_path, GOOD, "Printer = contract(" + '"""broken'))
    assert report.points == 12 and report.mistake == "Not Python"


def test_nothing_in_a_notebook_is_run_the_last_definition_counts_and_the_given_contract(tmp_path):
    marker = tmp_path / "ran"
    bomb = f"open({str(marker)!r}, 'w').write('x')"
    own = 'Review = contract("""contract Review { out message Sound(); state Start: Sound! -> Done; state Done: ; }""")\nNONE = 3'
    poor = 'Printer = contract("""contract Printer { out message Hello(); state Start: Hello! -> Done; state Done: ; }""")'
    assert grade_notebook(notebook(tmp_path, bomb, own, poor, DESIGN, GOOD + f"\n{bomb}\n")).points == 18
    assert not marker.exists()


def test_check_in_the_notebook():
    unit = programs_from_source(GOOD, "notebook", KNOWN.given())
    report = check("ex05", contract(PRINTER), unit.programs["reviewer"])
    assert "Printer was not given" in report.refusal or report.points == 6
    assert (report.points, report.most) == (6, 6), report
    assert check("ex05", unit.programs["reviewer"]).points == 4


def test_the_notebook_gives_what_is_graded():
    unit = programs_from_source(WHOLE, "notebook")
    assert unit.constants["NONE"] == g.NONE
    assert unit.contracts["Review"].describe() == KNOWN.given()["Review"].describe()
    assert [str(m) for m in unit.contracts["Printer"].messages.values()] == [str(m) for m in ex.messages().values()]
    assert sum(trial.points for trial in KNOWN.trials) == 18


def test_follow():
    printer = contract(PRINTER)
    assert ex.follow(printer, "Hello Status Ink") == "possible: Hello!, Status?, Ink!"
    assert ex.follow(printer, "Hello Ink") == "after Hello! there is no Ink!"
    assert ex.follow(printer, "Job") == "after the very beginning there is no Job?"
    assert ex.follow(printer, "Nonsense") == "the contract has no message Nonsense"
