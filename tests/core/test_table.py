"""The table by plain calls, and the page that is printed from it."""

import re
from pathlib import Path

import pytest

from supervisor_core.errors import IllegalInput
from supervisor_core.graph import Graph
from supervisor_core.model import LIVE, REST, Phase, State, Status, WorkerSpec
from supervisor_core.table import TABLE, TEXT, Cause, Cell, cell_of, document, parse
from supervisor_core.turn import Memory, Turn

PAGE = Path(__file__).parents[2] / "docs" / "states.md"
ENDS = (Cause.FINISHED, Cause.CRASHED, Cause.EXHAUSTED, Cause.GONE, Cause.AGAIN)


def test_the_page_is_printed_from_the_table():
    assert PAGE.read_text() == document(), "run: python -m supervisor_core.table > docs/states.md"


def test_the_page_shows_every_arrow():
    arrows = {(s, c.to) for s, row in TABLE.items() for c in row.values() if c.to is not None}
    shown = set(re.findall(r"^    (\w+) --> (\w+):", PAGE.read_text(), re.MULTILINE))
    assert shown == {(str(source), str(target)) for source, target in arrows}


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("", None),
        ("·", Cell(None)),
        ("· F", Cell(None, frozenset("F"))),
        ("· F (J)", Cell(None, frozenset("FJ"))),
        ("stopping I B", Cell(State.STOPPING, frozenset("IB"))),
        ("stopping I (J while restarting)", Cell(State.STOPPING, frozenset("IJ"))),
    ],
)
def test_a_cell_is_read(text: str, cell: Cell | None):
    assert cell_of(text) == cell


@pytest.mark.parametrize("text", ["stoping", "stopping X", "· f"])
def test_a_cell_that_says_nothing_known_is_refused(text: str):
    with pytest.raises(ValueError):
        cell_of(text)


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("| **done**", "| **failed**"),
        TEXT.replace("| gone |", "| ready |"),
        TEXT[: TEXT.rindex("| **fail")],
    ],
)
def test_a_table_with_a_hole_is_refused(text: str):
    with pytest.raises(ValueError):
        parse(text)


def test_an_order_is_legal_in_every_state():
    for cause in (Cause.START, Cause.STOP, Cause.RESTART, Cause.KILL):
        assert all(cause in TABLE[state] for state in State)


def test_only_a_live_run_can_end_or_be_interrupted():
    for state in State:
        assert all((cause in TABLE[state]) == (state in LIVE) for cause in ENDS)
        marks = set().union(*(cell.marks for cell in TABLE[state].values()))
        assert state in LIVE or not marks & set("IKBC")


def test_a_run_is_launched_from_blocked_only():
    launches = [(state, cause) for state, row in TABLE.items() for cause, cell in row.items() if "L" in cell.marks]
    assert launches == [(State.BLOCKED, Cause.ADMIT)]


def test_rest_is_left_by_orders_only():
    for state in REST:
        leaving = {cause for cause, cell in TABLE[state].items() if cell.to is not None}
        assert leaving == {Cause.START, Cause.RESTART}


EMPTY = [(state, cause) for state in State for cause in Cause if cause not in TABLE[state]]


@pytest.mark.parametrize(("state", "cause"), EMPTY, ids=lambda word: str(word))
def test_an_empty_cell_raises_and_changes_nothing(state: State, cause: Cause):
    status = Status(WorkerSpec("a"), state=state, wanted=True, run=1)
    graph = Graph()
    graph.put("a", ())
    turn = Turn({"a": status}, {"a": Memory()}, graph, {}, Phase.RUNNING, "", 0.0, lambda: 0.0)
    with pytest.raises(IllegalInput, match=f"a is {state}: there is no {cause} for it"):
        turn.step("a", cause)
    assert (turn.statuses, turn.memories, turn.actions, turn.events()) == ({"a": status}, {"a": Memory()}, [], ())
