"""Exercises whose answers are measuring programs: run on machines the student has not seen, and if wrong, why.

Each function of the answer runs on several test beds and must report what the bed's profile says. Where it
does not, the same code runs again in a world with one difficulty less: no neighbours, a clock that costs nothing,
caches that are warm, caches without conflicts. The repair that makes the answer right names the mistake. So
feedback comes from what the program does on the machine, never from how its source looks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from singlab.experiments import testbed
from singlab.experiments.testbed import ARENA, LINE, PAGE, Bed, Outcome, run, truth
from singlab.grading.answers import PLAIN, Places
from singlab.grading.report import Report, Result
from singlab.sing.bare import BareCode
from singlab.sing.errors import SipError
from singlab.sing.program import Program

#: How far an answer may be off.
TOLERANCE = 0.05
#: Names every measuring program may use.
GIVEN = {"ARENA": ARENA, "LINE": LINE, "PAGE": PAGE}

DISTURBED = (
    "Another program got the machine in the middle of a timed stretch, and its cycles are in your result. One run, or the mean of "
    "several, keeps them: repeat the stretch and take the least. If you do, repeat it more often: one repetition must find the "
    "machine to itself, and the one before it too, or the caches hold what the neighbour left."
)
CLOCK_KEPT = (
    "The clock's own cost is in your result. Reading it is a system call; measure what two readings cost with nothing "
    "between them, and subtract that."
)
COLD = (
    "The first sweep is in your result. It finds caches and buffers as whatever ran before left them; "
    "do the same sweep once before you time it."
)
CONFLICT = (
    "Your addresses collide: they are a multiple of the page size apart, so they all want the same few places of the cache, and "
    "what you see are cache misses. Step by PAGE + LINE, so that each page is met at another line."
)
SHARED_LINE = (
    "Your steps are too small: about {per} loads in a row share a line of {line} bytes, and only the first of them can miss. "
    "Step by LINE, or the miss looks cheaper than it is."
)
SHARED_PAGE = (
    "Your steps are too small: about {per} loads in a row share a page, and only the first can miss the buffer. Step by at least PAGE."
)
LOOP_KEPT = (
    "Your result is a few cycles too large: the loop around the load costs something too. Measure the same loop where every "
    "load hits, and subtract."
)
NEXT_SIZE = "That is the first size that does not fit any more. Asked is the largest that does."
NEGATIVE = "This comes from a number below zero, which a u64 shows as a huge one: you subtract more than there is."
CALLS_WRONG = "It calls {names}, which is wrong too: repair that first."
TOO_OFTEN = "If there is none, it repeats too much: a few dozen repetitions of a sweep are enough."
RAN_AWAY = "Your search went on past the end, because what it measured was wrong."
NOT_ANSWERED = "Not answered yet: it returns 0 without a look at the clock."
TYPED_IN = "It never reads the clock, so this number cannot be measured. The machines that count are others than those you can see."
SAME_EVERYWHERE = (
    "It reports the same on machines that differ, so the number does not come from the machine. Look at what you compare: note(a, b) shows "
    "you numbers on the way. A usual cause is a first sweep that was timed too, and is slow at every size."
)


@dataclass(frozen=True)
class Quantity:
    """One function of the answer.

    Attributes
    ----------
    name : str
        Of the function, and of what it measures in :func:`singlab.experiments.testbed.truth`.
    unit : {"bytes", "cycles", "pages"}
    misses : {"", "line", "page"}
        What its loads must miss to see anything.
    """

    name: str
    unit: str
    misses: str = ""


@dataclass(frozen=True)
class Measuring:
    """An exercise whose answer is a set of measuring programs.

    Attributes
    ----------
    name : str
    quantities : tuple of Quantity
    practice, hidden : tuple of Bed
        Machines of the visible and of the hidden checks.
    points : tuple of float
        For each quantity on the one and on the other.
    """

    name: str
    quantities: tuple[Quantity, ...]
    practice: tuple[Bed, ...]
    hidden: tuple[Bed, ...]
    points: tuple[float, float]


#: No run can honestly measure as much; what is larger was below zero once, and has perhaps been divided since.
_HUGE = 1 << 40
#: Readings of the clock from which on an endless run looks like a search that finds nothing.
_SEARCH = 100


def close(value: int, right: int) -> bool:
    """Whether a value is within the tolerance."""
    return abs(value - right) <= TOLERANCE * right


def grade_measuring(
    known: Measuring,
    find: Callable[[str, dict], Program],
    hidden: bool = True,
    places: Places = PLAIN,
) -> Report:
    """Grade the functions of one answer, each by itself.

    Parameters
    ----------
    known : Measuring
    find : callable
        Takes a function's name and the names it may use; returns its Program or raises SipError.
    hidden : bool
        Run the hidden checks too.
    places : Places
        Where the lines of the answer are.
    """
    visible, secret = [], []
    failed: list[str] = []
    for quantity in known.quantities:
        titles = (f"{quantity.name} on the practice machines", f"{quantity.name} on machines you have not seen")
        feedbacks = ["", ""]
        try:
            code = testbed.fitting(find(quantity.name, GIVEN))
        except SipError as error:
            feedbacks = [str(places.locate(error))] * 2
        else:
            called = [name for name in failed if name in code.functions]
            feedbacks[0], stuck, why = _examine(code, quantity, known.practice, places, True, called)
            if hidden:
                feedbacks[1] = feedbacks[0] if stuck else _examine(code, quantity, known.hidden, places, False, called, why)[0]
        if feedbacks[0]:
            failed.append(quantity.name)
        for results, title, feedback, points, is_hidden in zip((visible, secret), titles, feedbacks, known.points, (False, True)):
            results.append(Result(title, 0 if feedback else points, points, is_hidden, feedback))
    return Report(known.name, visible + secret * hidden, partial=not hidden)


def _examine(
    code: BareCode, quantity: Quantity, beds: tuple[Bed, ...], places: Places, show: bool, called: list[str], why: str = ""
) -> tuple[str, bool, str]:
    """Run a function on machines.

    Parameters
    ----------
    show : bool
        Whether feedback may name the machine and its numbers.
    called : list of str
        What it calls and is wrong itself.
    why : str
        The mistake, if it is known from other machines; looking for it again would only take time.

    Returns
    -------
    tuple
        Feedback, empty if all is well; whether it is not worth running it anywhere else; and the mistake.
    """
    outcomes: list[Outcome] = []
    for bed in beds:
        outcome = run(code, bed)
        if outcome.ended != "exit":
            text = _broken(outcome, places)
            searching = outcome.ended == "outside" or (outcome.ended == "limit" and outcome.clock_readings >= _SEARCH)
            if searching and (why := why or _why(code, quantity, bed, outcome, truth(bed)[quantity.name], called)):
                text += f" {RAN_AWAY} {why}"
            return text, True, why
        outcomes.append(outcome)
    if not any(outcome.clock_readings for outcome in outcomes):
        return (TYPED_IN if any(outcome.value for outcome in outcomes) else NOT_ANSWERED), True, ""
    rights = [truth(bed)[quantity.name] for bed in beds]
    wrong = [i for i, right in enumerate(rights) if not close(outcomes[i].value, right)]
    if not wrong:
        return "", False, ""
    at = wrong[0]
    head = ("On a machine you have not seen, your result is more than 5 % off."
            if not show else f"On {beds[at].profile.name} you report {outcomes[at].value:,}; it is {rights[at]:,}.")  # fmt: skip
    same = len({outcome.value for outcome in outcomes}) == 1 and len(set(rights)) > 1
    why = why or _why(code, quantity, beds[at], outcomes[at], rights[at], called, same)
    return f"{head} {why}", False, why


def _broken(outcome: Outcome, places: Places) -> str:
    """Return feedback on a run that did not come to its end."""
    if outcome.ended == "limit":
        text = (f"No end: after {outcome.counters['cycles']:,} cycles it was still running. Look for a loop whose condition never "
                "becomes false.")  # fmt: skip
        return f"{text} {TOO_OFTEN}" if outcome.clock_readings >= _SEARCH else text
    if outcome.ended == "clock":
        return (f"It read the clock more than {testbed.LIMIT_CLOCK:,} times. Time a whole sweep, not each load, a few dozen times "
                "at most, and look for a loop without an end.")  # fmt: skip
    if outcome.ended == "notes":
        return f"It made more than {testbed.LIMIT_NOTES:,} notes. Take note(...) out of the inner loop."
    if outcome.ended == "outside":
        return (f"Access outside memory ({places.line(outcome.line)}): load({outcome.detail}). Addresses go from 0 to ARENA - 8; "
                f"ARENA is {ARENA:,}.")  # fmt: skip
    return f"The machine stopped it: {outcome.detail} ({places.line(outcome.line)})."


def _why(code: BareCode, quantity: Quantity, bed: Bed, outcome: Outcome, right: int, called: list[str], same: bool = False) -> str:
    """Say which mistake makes a result wrong, by running the program in worlds without one difficulty.

    Returns an empty text if the program did not end and none of them helps.
    """

    def value(**changes) -> int:
        other = run(code, bed.but(quiet=True, **changes))
        return other.value if other.ended == "exit" else -1

    still = run(code, bed.but(quiet=True))
    calm = still.value if still.ended == "exit" else -1
    if close(calm, right):
        return DISTURBED
    if quantity.misses == "line" and (text := _too_dense(quantity, still)):
        return text
    # the noise is among the mistakes if the result moves with it; the others are looked for without it
    moved = outcome.value is not None and calm > 0 and not close(outcome.value, calm)
    noise = [DISTURBED] if moved else []
    if close(value(free_clock=True), right):
        return "\n".join([CLOCK_KEPT, *noise])
    if close(value(warm=True), right):
        return "\n".join([COLD, *noise])
    best = value(free_clock=True, warm=True)
    if close(best, right):
        return "\n".join([CLOCK_KEPT, COLD, *noise])
    if quantity.misses == "page" and close(value(free_clock=True, warm=True, profile=_without_conflicts(bed)), right):
        return CONFLICT
    if quantity.misses == "page" and (text := _too_dense(quantity, still)):
        return text
    if outcome.value is None:
        return ""
    # from here on it is a guess by the number alone
    guess = _guess(quantity, outcome, calm, best, right, same)
    return f"{CALLS_WRONG.format(names=' and '.join(called))} {guess}" if called else guess


def _guess(quantity: Quantity, outcome: Outcome, calm: int, best: int, right: int, same: bool) -> str:
    """Say what may be wrong with a result: ``calm`` is the one in a quiet house, ``best`` the one without any difficulty."""
    if outcome.value >= _HUGE:
        return NEGATIVE
    if same and calm == outcome.value:
        return SAME_EVERYWHERE
    if text := _unit(quantity, best, right) or _unit(quantity, calm, right):
        return text
    if quantity.unit == "cycles" and any(0 < found - right <= _LOOP for found in (best, calm)):
        return LOOP_KEPT
    return f"It is too {'large' if outcome.value > right else 'small'} even undisturbed, with a free clock and warm caches."


#: What a loop around a load may cost, in cycles, to be recognised as such.
_LOOP = 16


def _without_conflicts(bed: Bed):
    """Return a bed's profile with fully associative data caches."""
    p = bed.profile
    return replace(p, l1d_ways=p.l1d_bytes // LINE, l2_ways=min(64, p.l2_bytes // LINE))


def _too_dense(quantity: Quantity, outcome: Outcome) -> str:
    """Say so if several loads in a row share a line, or a page."""
    share = outcome.line_share if quantity.misses == "line" else outcome.page_share
    if not 0 < share <= 0.6:
        return ""
    per = max(2, round(1 / share))
    return (SHARED_LINE if quantity.misses == "line" else SHARED_PAGE).format(per=per, line=LINE)


def _unit(quantity: Quantity, value: int, right: int) -> str:
    """Recognise a right result in a wrong unit."""
    if value <= 0:
        return ""
    if quantity.unit == "bytes":
        for factor, name in ((LINE, "lines"), (1024, "KB"), (8, "words of eight bytes"), (PAGE, "pages")):
            if value * factor == right:
                return f"Wrong unit: this is the size in {name}. Asked are bytes."
        if value == 2 * right:
            return NEXT_SIZE
    elif quantity.unit == "pages":
        for factor in (PAGE, PAGE + LINE):
            if close(value, right * factor):
                return "Wrong unit: this is in bytes. Asked is the number of entries, and an entry holds one page."
    elif value > 40 * right:
        return "Wrong unit: this is far too much for a single miss. Divide the time of a sweep by the number of its loads."
    return ""
