"""What grading says: points, and for each check a sentence in the student's terms."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Result:
    """One check's outcome.

    Attributes
    ----------
    title : str
    points, most : float
    hidden : bool
        Whether the student's own check leaves it out.
    feedback : str
        What went wrong and what to look at; empty if all is well.
    """

    title: str
    points: float
    most: float
    hidden: bool
    feedback: str = ""

    @property
    def passed(self) -> bool:
        """Whether it got all its points."""
        return self.points == self.most


@dataclass
class Report:
    """The report on one answer.

    Attributes
    ----------
    exercise : str
    results : list of Result
    mistake : str
        If the answer was refused before anything ran: the mistake's name.
    refusal : str
        And the compiler's or verifier's message.
    partial : bool
        Only the visible checks were run.
    notebook : str
    """

    exercise: str
    results: list[Result] = field(default_factory=list)
    mistake: str = ""
    refusal: str = ""
    partial: bool = False
    notebook: str = ""

    @property
    def points(self) -> float:
        """Points reached."""
        return sum(result.points for result in self.results)

    @property
    def most(self) -> float:
        """Points that could be reached."""
        return sum(result.most for result in self.results)

    def as_dict(self) -> dict:
        """Return plain data, ready for JSON."""
        return {**asdict(self), "points": self.points, "most": self.most}

    def headline(self) -> str:
        """Return the points in a line."""
        what = "points in the visible checks" if self.partial else "points"
        return f"{self.exercise}: {self.points:g} of {self.most:g} {what}"

    def closing(self) -> str:
        """Return what a student should know about checks that were not run."""
        return "These are the visible checks only; grading runs hidden ones too." if self.partial else ""

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='color:{'#009E73' if r.passed else '#D55E00'};text-align:center'>{'✓' if r.passed else '✗'}</td>"
            f"<td style='text-align:left'>{html.escape(r.title)}</td><td style='white-space:nowrap'>{r.points:g} / {r.most:g}</td>"
            f"<td style='text-align:left;white-space:pre-wrap'>{html.escape(r.feedback)}</td></tr>"
            for r in self.results
        )
        refusal = ""
        if self.refusal:
            refusal = (
                f"<div style='border-left:4px solid #D55E00;padding:.3em .8em;margin:.4em 0'><b>{html.escape(self.mistake)}"
                f"</b><pre style='margin:.3em 0'>{html.escape(self.refusal)}</pre></div>"
            )
        return (
            f"<div><b>{html.escape(self.headline())}</b>{refusal}<table><thead><tr><th></th><th style='text-align:left'>check"
            f"</th><th>points</th><th style='text-align:left'>what to look at</th></tr></thead><tbody>{rows}</tbody></table>"
            f"<div style='opacity:.75'>{html.escape(self.closing())}</div></div>"
        )

    def __repr__(self) -> str:
        return as_text(self)


def as_text(report: Report) -> str:
    """Return a report for a terminal."""
    lines = [report.headline()]
    if report.refusal:
        lines += ["", f"  {report.mistake}", *(f"    {line}" for line in report.refusal.splitlines()), ""]
    before = ""
    for result in report.results:
        hidden = " (hidden check)" if result.hidden else ""
        lines.append(f"  {'✓' if result.passed else '✗'} {result.points:g}/{result.most:g}  {result.title}{hidden}")
        feedback = "As above." if result.feedback and result.feedback == before else result.feedback
        before = result.feedback
        lines += [f"         {line}" for line in feedback.splitlines()]
    if report.closing():
        lines.append(report.closing())
    return "\n".join(lines)
