"""docs/language.md: every program on the page ends as it says, or is refused by the rule it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from singlab.kernel import System
from singlab.sing import SipError, build, programs_from_source

PAGE = Path(__file__).resolve().parents[2] / "docs" / "language.md"


def _programs():
    text = PAGE.read_text(encoding="utf-8")
    for found in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        line = text[: found.start()].count("\n") + 2
        yield pytest.param(found.group(1), id=f"line{line}")


@pytest.mark.parametrize("isolation", ["sip", "ring3"])
@pytest.mark.parametrize("text", _programs())
def test_a_program_of_the_page_does_what_the_page_says(text, isolation):
    said = re.search(r"^# (ends with|refused:|prints) (.+)$", text, re.MULTILINE)
    assert said, "a program on the page says what comes of it"
    kind, what = said.groups()
    unit = programs_from_source(text, "language.md")
    if kind == "refused:":
        with pytest.raises(SipError) as refusal:
            build(unit.programs["main"])
        assert refusal.value.rule == what
        return
    system = System(isolation=isolation, ram="4M")
    images = {name: build(program) for name, program in unit.programs.items()}
    extensions = {extension.image for image in images.values() for extension in image.manifest.extensions}
    for name in extensions:  # a program makes these itself
        system.install(images[name])
    processes = {name: system.create(image) for name, image in images.items() if name not in extensions}
    main = processes["main"]
    ends = [(p, parameter) for p in processes.values() for parameter in p.installed.image.manifest.parameters if parameter.contract]
    for process, parameter in ends:
        if process is main:
            other, theirs = next((p, q) for p, q in ends if p is not main and q.contract == parameter.contract and q.side != parameter.side)
            system.connect(process[parameter.name], other[theirs.name])
    system.run()
    assert main.fault is None, main
    assert (main.console.strip() if kind == "prints" else str(main.exit_value)) == what
