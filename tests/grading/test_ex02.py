"""Exercise 02: the solution gets everything, the student's version nothing, each hole in the check its name."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from singlab.grading import check, grade_notebook
from singlab.grading.answers import read_answer
from singlab.grading.closedcode import RULES, findings
from singlab.grading.codeimages import ENTRIES, STUB_BYTES, VECTOR, draw
from singlab.grading.examination import grade_examination
from singlab.grading.exercises import exercise
from singlab.grading.exercises.ex02_fixed_code import CLOSED, _hidden, practice
from singlab.machine.asm import encode
from singlab.sing import SipError, programs_from_source

ROOT = Path(__file__).resolve().parent.parent.parent
SOLUTION, STUDENT = ROOT / "solutions" / "ex02_fixed_code.ipynb", ROOT / "exercises" / "ex02_fixed_code.ipynb"
KNOWN = exercise("ex02")

INSTRUCTIONS_TEXT = """
lui auipc jal jalr beq bne blt bge bltu bgeu lb lh lw ld lbu lhu lwu sb sh sw sd addi slti sltiu xori ori andi slli srli srai addiw slliw
srliw sraiw add sll slt sltu xor srl or and sub sra mul mulh mulhsu mulhu div divu rem remu addw subw sllw srlw sraw mulw divw divuw remw remuw
"""
PSEUDO_TEXT = """
mv li nop not neg negw sext.w seqz snez sltz sgtz j jr ret beqz bnez blez bgez bltz bgtz bgt ble bgtu bleu
"""
WHOLE = read_answer(SOLUTION).text
GOOD = WHOLE[WHOLE.index("@function\ndef field") : WHOLE.index("image = build")]


def text(*changes: tuple[str, str]) -> str:
    """Return the solution with pieces of text exchanged."""
    out = GOOD
    for old, new in changes:
        assert old in out, old
        out = out.replace(old, new)
    return out


def graded(answer: str, hidden: bool = True):
    """Return the report on an answer."""
    unit = programs_from_source(answer, "notebook", KNOWN.given())
    return grade_examination(KNOWN, lambda part, given: unit.programs[part.name], hidden)


def notebook(tmp_path, *cells: str) -> Path:
    """Return the path of a notebook with these code cells."""
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    node.metadata["singlab"] = {"exercise": "ex02_fixed_code"}
    path = tmp_path / "answer.ipynb"
    nbformat.write(node, path)
    return path


def lost(report) -> set[str]:
    """Return the beginnings of the titles of checks that failed."""
    return {result.title.split(",")[0] for result in report.results if not result.passed}


def test_the_solution_gets_all_points():
    report = grade_notebook(SOLUTION)
    assert (report.points, report.most) == (16, 16), report
    assert all(not result.feedback for result in report.results)


def test_the_students_version_gets_none():
    report = grade_notebook(STUDENT)
    assert (report.points, report.most) == (0, 16)
    assert all(result.feedback for result in report.results)


@pytest.mark.parametrize("seed", range(900, 905))
def test_the_solution_is_right_on_images_it_was_not_written_for(seed, monkeypatch):
    monkeypatch.setattr("singlab.grading.exercises.ex02_fixed_code._hidden", lambda: draw(seed, 500))
    assert graded(GOOD).points == 16


# What a student may plausibly do, the checks it spoils (by title), and what the feedback must say.
NO_END, OUT, MIDDLE, JUMPS = (
    "the end of the text",
    "jumps out of the text",
    "jumps between instructions",
    "jumps land on instructions inside the text",
)
WAYS, WORDS, INDIRECT, CALLS = "no way out but returns and calls of the ABI", "no unknown", "indirect jumps", "calls of the ABI"
REFUSAL, ACCEPT = "no closed image is refused", "no image that is not closed is accepted"
WRONG = {
    "jumps not looked at": (text(("target >= 4 * count or target % 4 != 0", "target == 1 << 60"), ("elif target > 0 and", "elif target == 1 << 60 and")),
                            {OUT, MIDDLE, JUMPS, ACCEPT}, "leads out of the text"),
    "the word behind the end": (text(("target >= 4 * count", "target > 4 * count"), ("elif target > 0 and", "elif target > 0 and target < 4 * count and")),
                                {OUT, ACCEPT}, "the first word after the end is outside too"),
    "backwards is inside": (text(("target >= 4 * count", "(target >= 4 * count and target < 1 << 63)"),
                                 ("elif target > 0 and", "elif target > 0 and target < 4 * count and")), {OUT, ACCEPT}, "before the first word"),
    "half a word": (text((" or target % 4 != 0", "")), {MIDDLE, ACCEPT}, "multiples of 4"),
    "between the halves": (text(("elif target > 0 and is_call(", "elif target > 0 and count == 0 and is_call(")), {MIDDLE, ACCEPT}, "second half of a call"),
    "offsets without a sign": (text(("        return value - (u64(1) << bits)", "        return value")), {REFUSAL}, "Both immediates are signed"),
    "any jalr": (text(("                            if not ends:\n                                good = False\n", "")), {INDIRECT, WAYS, ACCEPT}, "only the exact word"),
    "jalr by its opcode and registers": (text(("ends = word == 0x8067", "ends = word & 0xFFFFF == 0x8067")), {INDIRECT, ACCEPT}, "only the exact word"),
    "returns refused": (text(("ends = word == 0x8067", "ends = False")), {REFUSAL}, "A return is allowed"),
    "calls lead anywhere": (text(("distance % STEP != 0 or number >= entries", "number == 1 << 60")), {CALLS, WAYS, ACCEPT}, "compute where a call leads"),
    "the entry after the last": (text(("number >= entries", "number > entries")), {CALLS, ACCEPT}, "k < entries"),
    "between the entries": (text(("distance % STEP != 0 or ", "")), {CALLS, ACCEPT}, "vector + STEP * k"),
    "calls without the base": (text(("base + 4 * i - 4", "4 * i - 4")), {REFUSAL}, "base + 4 * index"),
    "auipc with another register": (text(("first & 0xFFF == 0x297", "first & 0x7F == 0x17")), {INDIRECT, ACCEPT}, "second half of a call"),
    "system instructions by opcode": (text(("return word & 0xFFFFF07F == 0xC0002073", "return opcode == 0x73")), {"system instructions", WORDS, ACCEPT}, "only one word pattern"),
    "csrrs with a source": (text(("0xFFFFF07F == 0xC0002073", "0xFFF0707F == 0xC0002073")), {"system instructions", ACCEPT}, "all of it but rd"),
    "no cycle counter": (text(("return word & 0xFFFFF07F == 0xC0002073", "return False")), {REFUSAL}, "cycle counter is allowed"),
    "opcodes only": (text(("        return funct3 != 7\n", "        return True\n"), ("        return funct3 < 4\n", "        return True\n"),
                          ("        return funct3 != 2 and funct3 != 3\n", "        return True\n"), ("        return funct7 < 2 or", "        return True or")),
                     {"unknown words", ACCEPT}, "an opcode alone"),
    "tp forgotten": (text(("field(word, 7, 5) == 4", "field(word, 7, 5) == 40")), {"tp", WORDS, ACCEPT}, "record of the running thread"),
    "tp where stores have an offset": (text(("opcode != 0x23 and opcode != 0x63 and ", "")), {REFUSAL}, "name no register"),
    "the end not looked at": (text(("i == count - 1 and not ends", "i == count and not ends")), {NO_END, "control does not run off the end", ACCEPT}, "runs off the end"),
    "a linking jal ends": (text((" and field(word, 7, 5) == 0", "")), {NO_END, ACCEPT}, "a jal that links"),
    "any call ends": (text(("number == EXIT or number == FAULT", "number < entries")), {NO_END, ACCEPT}, "a call that comes back"),
    "no call ends": (text(("number == EXIT or number == FAULT", "False")), {REFUSAL}, "never comes back"),
    "the target, not the jump": (text(("place = i\n", "place = i + 1\n")), {"names a word that breaks a rule"}, "of the jump, not of its target"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_hole_in_the_check_costs_its_points_and_is_named(case):
    answer, checks, words = WRONG[case]
    report = graded(answer)
    assert not report.refusal, report.refusal
    assert report.points < 16 and checks <= lost(report), (checks - lost(report), report)
    assert any(words in result.feedback for result in report.results), report


@pytest.mark.parametrize("case", ["tp forgotten", "half a word", "any jalr", "the end not looked at"])
def test_one_hole_leaves_the_other_checks_their_points(case):
    answer, checks, _ = WRONG[case]
    report = graded(answer)
    # whether the few practice images show this hole too depends on what the compiler makes
    practised = {result.title.split(",")[0] for result in report.results if result.title.endswith("practice images")}
    assert lost(report) - practised == checks - practised


STUBS = {
    "everything is closed": "                free(text)\n                ch.send(Inspection.Closed())",
    "nothing is closed": "                free(text)\n                ch.send(Inspection.Open(0))",
    "by the number of words": "                n = len(text)\n                free(text)\n                if n % 2 == 0:\n                    ch.send(Inspection.Closed())\n"
                              "                else:\n                    ch.send(Inspection.Open(n - 1))",
    "in turns": "                free(text)\n                turn += 1\n                if turn % 2 == 0:\n                    ch.send(Inspection.Closed())\n"
                "                else:\n                    ch.send(Inspection.Open(0))",
    "the first half": "                free(text)\n                turn += 1\n                if turn <= 250:\n                    ch.send(Inspection.Closed())\n"
                      "                else:\n                    ch.send(Inspection.Open(0))",
    "an endless loop": "                free(text)\n                while True:\n                    turn += 1",
    "a fault": "                place = text[len(text)]\n                free(text)\n                ch.send(Inspection.Open(u64(place)))",
    "an early end": "                free(text)\n                return",
}  # fmt: skip


@pytest.mark.parametrize("case", STUBS)
def test_answering_without_looking_gets_nothing(case):
    answer = ("@sip\ndef inspector(ch: Inspection.Exp):\n    turn: u64 = 0\n    while True:\n        match ch.receive():\n"
              f"            case Inspection.Image(text, base, vector, entries):\n{STUBS[case]}\n            case ChannelClosed():\n                return\n")  # fmt: skip
    report = graded(answer)
    assert not report.refusal, report.refusal
    assert report.points == 0, report


def test_what_breaks_an_answer_is_said_with_its_image():
    broken = graded(text(("target // 4]", "target // 2]")), hidden=True)
    assert broken.points == 0
    assert re.search(r"index out of bounds \(line \d+\).*practice\(\)\[\d+\]", broken.results[0].feedback), broken


def test_hidden_checks_keep_their_images_to_themselves():
    for case in ("jumps not looked at", "tp where stores have an offset", "the target, not the jump"):
        for result in graded(WRONG[case][0]).results:
            if result.hidden:
                assert "0x" not in result.feedback.replace("0x00008067", "") and "practice()" not in result.feedback, result


#: What capstone calls the instructions of the exercise's table, and its shorter names for some of them.
INSTRUCTIONS = frozenset(INSTRUCTIONS_TEXT.split())
PSEUDO = frozenset(PSEUDO_TEXT.split())


# ---- the oracle --------------------------------------------------------------------------------------------------


def test_what_the_compiler_made_is_closed():
    images = _hidden()
    assert len(images) == 500 and all(image.closed for image in images[:250])
    assert len({image.words for image in images}) > 400


def test_every_rule_is_broken_alone_by_several_hidden_images_and_by_practice_ones():
    for images, least in ((_hidden(), 12), (practice(), 2)):
        for rule in RULES:
            assert sum(image.rules == {rule} for image in images) >= least, rule
    altered = _hidden()[250:]
    assert 30 <= sum(image.closed for image in altered) <= 100, "some alterations do no harm"
    assert all(altered[i].origin == i and altered[i].change for i in range(250))


def test_every_word_is_judged_as_capstone_reads_it():
    """An independent decoder: which words are instructions, which are privileged, where the jumps go."""
    import capstone

    reader = capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64)
    names = INSTRUCTIONS | PSEUDO
    words = {word for image in (*_hidden(), *draw(77, 500)) for word in image.words}
    assert len(words) > 2500
    for word in words:
        found = next(reader.disasm_lite(word.to_bytes(4, "little"), 0, 1), None)
        known = found is not None and found[2] in names
        if known and found[2] in ("li", "mv", "nop"):
            assert word & 0x7F in (0x13, 0x33)
        rules = {
            finding.rule
            for finding in findings([word, encode("jal", 0, -4)], 0x8020_0000, VECTOR, ENTRIES, STUB_BYTES)
            if finding.index == 0
        }
        counter = found is not None and word & 0xFFFFF07F == 0xC0002073
        assert (known or counter) == (not rules & {"unknown", "system"}), (hex(word), found, rules)


def test_jumps_of_closed_images_stay_inside_for_a_decoder_of_this_test():
    checked = 0
    for image in practice():
        for index, word in enumerate(image.words if image.closed else ()):
            if word & 0x7F in (0x63, 0x6F):
                checked += 1
                assert all(image.base <= t < image.base + 4 * len(image.words) and t % 4 == 0 for t in _steps(image, index))
    assert checked > 100


def _steps(image, index: int) -> set[int]:
    """Return where a jump or branch of an image goes, by a decoder written for this test alone."""
    word, here = image.words[index], image.base + 4 * index
    bits = f"{word:032b}"
    if word & 0x7F == 0x6F:
        imm = int(bits[0] + bits[12:20] + bits[11] + bits[1:11] + "0", 2)
        return {here + imm - (imm >> 20 << 21)}
    imm = int(bits[0] + bits[24] + bits[1:7] + bits[20:24] + "0", 2)
    return {here + 4, here + imm - (imm >> 12 << 13)}


@pytest.mark.parametrize(
    ("words", "rules"),
    [
        ([0x0000_8067], set()),
        ([encode("jal", 0, 0)], set()),
        ([encode("jal", 1, 0)], {"end"}),
        ([encode("jal", 0, 4)], {"outside"}),
        ([encode("jal", 0, -4)], {"outside"}),
        ([encode("beq", 0, 0, 2), 0x0000_8067], {"middle"}),
        ([encode("auipc", 5, 0), encode("jalr", 1, 5, 0)], {"abi", "end"}),
        ([encode("auipc", 5, 0), encode("jalr", 0, 5, 0)], {"indirect"}),
        ([encode("auipc", 5, 0), 0x0000_8067], set()),
        ([encode("jalr", 1, 5, 0), 0x0000_8067], {"indirect"}),
        ([encode("addi", 4, 4, 0), 0x0000_8067], {"tp"}),
        ([encode("csrrs", 4, 0xC00, 0), 0x0000_8067], {"tp"}),
        ([encode("csrrs", 10, 0xC00, 0), 0x0000_8067], set()),
        ([encode("ecall"), 0x0000_8067], {"system"}),
        ([0, 0x0000_8067], {"unknown"}),
        ([0x0000_4073, 0x0000_8067], {"system"}),
    ],
)
def test_small_texts(words, rules):
    assert {finding.rule for finding in findings(words, 0x8020_0000, VECTOR, ENTRIES, STUB_BYTES)} == rules


# ---- the notebook as a file ----------------------------------------------------------------------------------------


def test_nothing_in_a_notebook_is_run_and_the_given_names_count(tmp_path):
    marker = tmp_path / "ran"
    bomb = f"open({str(marker)!r}, 'w').write('x')"
    own = 'Inspection = contract("""contract Inspection { out message Closed(); state Start: Closed! -> Done; state Done: ; }""")\nSTEP = 1\nEXIT = 5'
    assert grade_notebook(notebook(tmp_path, own, bomb, GOOD + f"\n{bomb}\n")).points == 16
    assert not marker.exists()
    assert grade_notebook(notebook(tmp_path, own.replace("Done: ;", "Done:"), GOOD)).points == 16, "even where it cannot be read"


def test_the_notebooks_constants_are_those_of_the_kernel():
    unit = programs_from_source(WHOLE, "notebook")
    assert {name: unit.constants[name] for name in KNOWN.constants} == KNOWN.constants
    assert unit.contracts["Inspection"].describe() == KNOWN.given()["Inspection"].describe()


def test_other_parameters_and_other_names_are_refused(tmp_path):
    report = grade_notebook(notebook(tmp_path, GOOD.replace("def inspector", "def inspect")))
    assert report.points == 0 and report.mistake == "No answer" and "def inspector" in report.refusal
    report = grade_notebook(notebook(tmp_path, "@sip\ndef inspector(ch: Inspection.Exp, n: u64):\n    return\n"))
    assert report.points == 0 and "def inspector(ch: Inspection.Exp):" in report.refusal


def test_check_in_the_notebook():
    unit = programs_from_source(GOOD, "notebook", KNOWN.given())
    report = check("ex02", unit.programs["inspector"])
    assert (report.points, report.most) == (4, 4) and "visible checks only" in report._repr_html_()
    with pytest.raises(SipError, match="is no part"):
        check("ex02", lambda ch: None)
    assert check("ex02").points == 0


def test_grading_is_deterministic_and_the_points_add_up():
    assert graded(WRONG["half a word"][0]).as_dict() == graded(WRONG["half a word"][0]).as_dict()
    assert sum(trial.points for trial in KNOWN.trials) == 16
    assert max(len(image.words) for image in _hidden()) < CLOSED


def test_an_image_shows_itself():
    image = practice()[0]
    assert str(image).startswith(f"{len(image.words)} words at {image.base:#x}: closed")
    broken = next(image for image in practice() if image.rules == {"tp"})
    assert "kernel keeps the record" in broken._repr_html_() and broken._repr_html_().count("<tr>") == len(broken.words) + 1
