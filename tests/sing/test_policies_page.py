"""docs/policies.md: every policy on the page is one, and does or suffers what the page says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from running import SERVER, TALK, image
from test_policies import BLOCKS, CLIENT, COUNT, made

from singlab.kernel import System
from singlab.kernel.policies import PolicyError
from singlab.kernel.policyslots import FUNCTIONS, HEAP_SLOTS, MOST_TURNS, SLOTS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")


OBJECTS = """
@managed
class Item:
    value: u64
    next: "Item | None"
@sip(collector="COLLECTOR")
def objects(n: u64) -> u64:
    first: Item | None = None
    for i in range(n):
        first = Item(u64(i), first)
        if i % 10 == 9:
            first = None
    return n
"""


def objects(slot: str):
    """Return a program whose heap asks the policy of a slot."""
    collector = {"nursery": "generational", "tenure": "generational", "collector": "adaptive"}.get(slot, "semispace")
    return image(OBJECTS.replace("COLLECTOR", collector), "objects")


def _programs():
    for found in re.finditer(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        yield pytest.param(found.group(1), id=f"line{PAGE[: found.start()].count(chr(10)) + 2}")


def _policy(text: str):
    """Return the policy of a program of the page; the integers before it are its constants."""
    tree = ast.parse(text)
    node = next(one for one in tree.body if isinstance(one, ast.FunctionDef))
    constants = {one.targets[0].id: one.value.value for one in tree.body if isinstance(one, ast.Assign)}
    slot = ast.literal_eval(node.decorator_list[0].args[0])
    lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
    return made(slot, "\n".join(lines) + "\n", **constants)


@pytest.mark.parametrize("text", _programs())
def test_a_policy_of_the_page_does_what_the_page_says(text):
    one = _policy(text)
    system = System(ram="4M", policies=[one], quantum_us=20)
    client, server = system.create(image(TALK + SERVER + CLIENT, "client")), system.create(image(TALK + SERVER + CLIENT, "server"))
    system.connect(client["ch"], server["ch"])
    hog, blocks = system.create(image(COUNT, "count"), n=500), system.create(image(BLOCKS, "blocks"))
    system.create(objects(one.slot), n=300)
    system.collect_every = one.slot in HEAP_SLOTS and one.slot != "trigger"
    if said := re.search(r"^# PolicyError: (.+)$", text, re.MULTILINE):
        with pytest.raises(PolicyError) as error:
            system.run()
        assert said.group(1).split(" in line")[0] in str(error.value)
        assert not system.policies
    else:
        assert system.policies == {one.slot: one.name}
    assert system.run().outcome == "finished"
    assert client.exit_value == sum(n + 1 for n in range(50))
    assert hog.fault is None and blocks.exit_value == 200 and server.fault is None


def test_the_page_lists_every_slot_function_and_limit():
    for slot, (given, _) in SLOTS.items():
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{slot}` |"))
        assert all(f"`{word}`" in row for word in given), slot
    for name in (*FUNCTIONS, "now"):
        assert re.search(rf"^\|.*`{name}\(", PAGE, re.MULTILINE), name
    assert f"{MOST_TURNS:,}" in PAGE
