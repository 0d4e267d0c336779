"""What can be asked of the ledger: pages of runs and of transitions, operations, the audit. Reads only.

Each is a function of a connection, run in the writer's thread after all that had happened when it was asked is
written. Positions of transitions are (life, number): a life's boot in milliseconds need not rise where clocks do not.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from supervisor_core.journal import Cursor

from ..past import Kept
from .account import RunRow, Transition
from .book import AUDIT, OPERATION, RUN, Audited, kept_of, runs_of

STORED = "t.seq, t.time, t.kind, t.worker, t.state, t.run, t.pid, t.wanted, t.ready, t.failures, t.causes, t.by, t.why"


class UnknownLife(Exception):
    """A cursor of a start of the service that nothing is kept of."""


@dataclass(frozen=True, slots=True)
class Past:
    """A transition of some life, with its cursor."""

    cursor: Cursor
    told: Transition


class Page(NamedTuple):
    """Oldest first; `more` there is beyond it, in the direction that was asked for."""

    rows: list[Past]
    more: bool


def transitions(connection: sqlite3.Connection, after: Cursor | None, before: Cursor | None, limit: int) -> Page:
    """Up to `limit` strictly after a position, or else the last ones strictly before one. Raises `UnknownLife`."""
    forward = after is not None
    words: list[str] = []
    values: list[int] = []
    for cursor, sign in ((after, ">"), (before, "<")):
        if cursor is not None:
            words.append(f"(t.life, t.seq) {sign} (?, ?)")
            values += [_life(connection, cursor.boot), cursor.seq]
    where = f"WHERE {' AND '.join(words)}" if words else ""
    order = "" if forward else "DESC"
    rows = connection.execute(
        f"SELECT l.boot, {STORED} FROM transitions t JOIN lives l USING (life) {where}"  # noqa: S608
        f" ORDER BY t.life {order}, t.seq {order} LIMIT ?",
        (*values, limit + 1),
    ).fetchall()
    found = [Past(Cursor(boot, row[0]), _transition(row)) for boot, *row in rows[:limit]]
    return Page(found if forward else found[::-1], len(rows) > limit)


def _life(connection: sqlite3.Connection, boot: int) -> int:
    found = connection.execute("SELECT life FROM lives WHERE boot = ?", (boot,)).fetchone()
    if found is None:
        raise UnknownLife
    return int(found[0])


def _transition(row: Sequence[Any]) -> Transition:
    seq, time, kind, worker, state, run, pid, wanted, ready, failures, causes, by, why = row
    told = tuple(causes.split(",")) if causes else ()
    return Transition(
        seq, time, kind, worker, state, run, pid, bool(wanted), bool(ready), failures, told, by, why
    )  # fmt: skip


def runs(
    connection: sqlite3.Connection, workers: Sequence[str], before: int | None, limit: int
) -> tuple[list[RunRow], bool]:
    """Up to `limit` runs of these workers (none: of all), newest first, and whether there are more."""
    words: list[str] = []
    values: list[str | int] = []
    if workers:
        words.append(f"worker IN ({', '.join('?' * len(workers))})")
        values += list(workers)
    if before is not None:
        words.append("id < ?")
        values.append(before)
    where = f"WHERE {' AND '.join(words)}" if words else ""
    rows = connection.execute(
        f"SELECT {RUN} FROM runs {where} ORDER BY id DESC LIMIT ?",  # noqa: S608
        (*values, limit + 1),
    ).fetchall()
    return runs_of(rows[:limit]), len(rows) > limit


def operation(connection: sqlite3.Connection, id: str) -> Kept | None:
    row = connection.execute(f"SELECT {OPERATION} FROM operations WHERE id = ?", (id,)).fetchone()  # noqa: S608
    return None if row is None else kept_of(row)


def by_key(connection: sqlite3.Connection, by: str, key: str, since: float) -> Kept | None:
    """The newest operation that somebody asked for with a key, not before `since`."""
    row = connection.execute(
        f"SELECT {OPERATION} FROM operations WHERE by = ? AND key = ? AND key <> '' AND asked >= ?"  # noqa: S608
        " ORDER BY asked DESC LIMIT 1",
        (by, key, since),
    ).fetchone()
    return None if row is None else kept_of(row)


def pending(connection: sqlite3.Connection, since: float) -> list[Kept]:
    """Operations that an earlier life left without an outcome, oldest first."""
    rows = connection.execute(
        f"SELECT {OPERATION} FROM operations WHERE state = 'pending' AND asked >= ? ORDER BY asked",  # noqa: S608
        (since,),
    )
    return [kept_of(row) for row in rows]


def audit(connection: sqlite3.Connection, before: int | None, limit: int) -> tuple[list[Audited], bool]:
    """Up to `limit` requests before a number, newest first, and whether there are more."""
    rows = connection.execute(
        f"SELECT {AUDIT} FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?",  # noqa: S608
        (1 << 62 if before is None else before, limit + 1),
    ).fetchall()
    return [Audited(*row) for row in rows[:limit]], len(rows) > limit
