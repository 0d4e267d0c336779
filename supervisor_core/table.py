"""States × causes as data: the whole life of a worker on one page.

Rules of this file:

1. Everything that can move a worker from one state to another is a cell of `TEXT`. No other file assigns a state.
2. The table holds no condition. An exit is classified before it comes here (`policy.classify`), so that *finished*,
   *crashed*, *exhausted*, *gone* and *again* are causes of their own; whether a requirement is met or a dependent
   lives is decided in `settle.py`, whose answers are *admit*, *release* and *follow*.
3. An empty cell is illegal: the cause raises and nothing changes. A dot means: taken, and the state stays.
4. The table does not know what a run is made of.

How an exit is classified (the first that fits):

| # | when | cause |
| --- | --- | --- |
| 1 | failure that neither our signal nor our cancel caused, never-retry worker, not wanted or leaving | `exhausted` |
| 2 | not wanted, or leaving | `gone` |
| 3 | interrupted by restart, follow or release; a cascade restart of it waits; start or restart was ordered meanwhile | `again`, disabled: `gone` |
| 4 | blame, or a failure that we did not cause | `crashed` if another try is allowed, else `exhausted` |
| 5 | normal end | `crashed` (not counted) with the policy *always*, else `finished` |

A disabled worker is allowed no other try, whatever its policy. One that is tried anew after giving up is *crashed* into a
long back-off.

Marks: **L** launch, **I** interrupt, **K** kill, **F** forgive (failures to 0), **C** count one failure (not for a normal
end), **B** note the blame, **J** join: the order gets the operation that is under way.

Known wart: "(J while restarting)" in *starting × restart* is a condition after all: then the run is not interrupted,
because it is the very run that the earlier restart waits for. Everywhere else J only concerns the operation's id.
"""  # noqa: E501

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from .model import State


class Cause(StrEnum):
    """What can happen to a worker. The words appear in events as their causes."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    KILL = "kill"
    ADMIT = "admit"
    RELEASE = "release"
    FOLLOW = "follow"
    READY = "ready"
    UNHEALTHY = "unhealthy"
    TIMEOUT = "timeout"
    STABLE = "stable"
    HEADLESS = "headless"
    FINISHED = "finished"
    CRASHED = "crashed"
    EXHAUSTED = "exhausted"
    GONE = "gone"
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class Cell:
    """`to` is None when the state stays; `marks` are letters of the list above."""

    to: State | None
    marks: frozenset[str] = frozenset()


STAY = "·"
MARKS = frozenset("LIKFCBJ")

TEXT = """
| state | start | stop | restart | kill | admit | release | follow | ready | unhealthy | timeout | stable | headless | finished | crashed | exhausted | gone | again |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| **blocked** | · F | stopped | · F | stopped | starting L | | | | | | | | | | | | |
| **starting** | · | · | stopping I F (J while restarting) | killing K | | stopping I | stopping I | running | stopping I B | stopping I B | · F | stopping I | done | backoff C | failed C | stopped | blocked |
| **running** | · | · | stopping I F | killing K | | stopping I | stopping I | · | stopping I B | | · F | stopping I | done | backoff C | failed C | stopped | blocked |
| **backoff** | blocked F | stopped | blocked F | stopped | | | | | | blocked | | | | | | | |
| **stopping** | · F | · | · F (J) | killing K | | | | · | · | killing K | | · | done | backoff C | failed C | stopped | blocked |
| **killing** | · F | · | · F (J) | · K | | | | · | · | · K | | · | done | backoff C | failed C | stopped | blocked |
| **stopped** | blocked F | · | blocked F | · | | | | | | | | | | | | | |
| **done** | blocked F | · | blocked F | · | | | | | | | | | | | | | |
| **failed** | blocked F | · | blocked F | · | | | | | | | | | | | | | |
"""  # noqa: E501

Table = Mapping[State, Mapping[Cause, Cell]]


def cell_of(text: str) -> Cell | None:
    """Reads one cell; None for an illegal one. Raises ValueError for a word that is neither state nor mark."""
    if not text:
        return None
    word, *marks = text.replace("(J while restarting)", "J").replace("(J)", "J").split()
    if unknown := set(marks) - MARKS:
        raise ValueError(f"{text!r}: no such mark: {', '.join(sorted(unknown))}")
    return Cell(None if word == STAY else State(word), frozenset(marks))


def parse(text: str) -> Table:
    """Reads a table like `TEXT`: every state exactly once, every cause exactly once."""
    head, _, *rows = ([part.strip() for part in line.split("|")[1:-1]] for line in text.strip().splitlines())
    causes = [Cause(word) for word in head[1:]]
    table = {}
    for state, *cells in rows:
        pairs = zip(causes, map(cell_of, cells), strict=True)
        table[State(state.strip("*"))] = {cause: cell for cause, cell in pairs if cell is not None}
    if set(causes) != set(Cause) or len(causes) != len(Cause) or table.keys() != set(State) or len(rows) != len(State):
        raise ValueError("the table must name every state and every cause once")
    return table


TABLE: Table = parse(TEXT)


# ---------------------------------------------------------------- printing


def diagram(table: Table = TABLE) -> str:
    """The table as a mermaid state diagram: one arrow for each pair of states, labelled with its causes."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for state, row in table.items():
        for cause, cell in row.items():
            if cell.to is not None:
                arrows.setdefault((state, cell.to), []).append(cause)
    lines = [f"    {source} --> {target}: {', '.join(causes)}" for (source, target), causes in arrows.items()]
    return "\n".join(["stateDiagram-v2", *lines])


def document() -> str:
    """The text of docs/states.md."""
    theory = (__doc__ or "").partition("How an exit")[2].partition("Known wart")[0].strip()
    return f"""# The states of a worker

Printed from `supervisor_core/table.py` by `python -m supervisor_core.table`; a test compares the two.

```mermaid
{diagram()}
```

## The table

`·` stays. Empty: illegal, raises, nothing changes.

{TEXT.strip()}

How an exit {theory}
"""


if __name__ == "__main__":
    print(document(), end="")
