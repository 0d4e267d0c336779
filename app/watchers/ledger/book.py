"""The ledger of one life of the service, open: where it goes on, and how what happened is written into it.

One connection, one thread (`writer.py`'s). What is written at once is one transaction, and many rows are one statement:
each statement lets go of the interpreter and has to get it back. Reading is in `queries.py`.

Known wart: SQL is made of the names of fields, so a field more is a column more, in the order of the dataclass.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..outcome import Operation
from ..past import Kept
from .account import Account, RunRow, Transition, open_of

LARGEST = 900
"""Parameters of one statement: SQLite before 3.32 takes 999."""

TRANSITION = (
    "life, seq, time, kind, worker, state, run, pid, wanted, ready, failures, causes, by, why"
)  # fmt: skip
RUN = "id, worker, run, pid, started, ended, code, signal, reason, cause, by, lines"
OPERATION = "id, action, worker, by, asked, state, outcome, run, reason, until, code, first, key, wording"
AUDIT = "id, time, who, how, origin, what, operation, status"


class Audited(NamedTuple):
    """One request to change something: who, how we know, from where, what; and what was answered, None for not yet.

    `id` rises with time; the same one again is the same request, answered.
    """

    id: int
    time: float
    who: str
    how: str
    origin: str
    what: str
    operation: str = ""
    status: int | None = None


class Book:
    """`life` is the number of this life in the ledger, `after` the last entry of the journal that is written."""

    def __init__(self, connection: sqlite3.Connection, boot: int, version: str) -> None:
        self.connection = connection
        with self._transaction():
            self.life = self._begin(boot, version)
        (self.after,) = connection.execute(
            "SELECT coalesce(max(seq), 0) FROM transitions WHERE life = ?", (self.life,)
        ).fetchone()
        open_runs = open_of(runs_of(connection.execute(f"SELECT {RUN} FROM runs WHERE ended IS NULL")))  # noqa: S608
        self.account = Account(dict(open_runs), self._last_runs(), self._next_id())
        self.rows = 0
        """Written since it was opened."""

    def close(self) -> None:
        self.connection.close()

    def _begin(self, boot: int, version: str) -> int:
        known = self.connection.execute("SELECT life FROM lives WHERE boot = ?", (boot,)).fetchone()
        if known is not None:
            return int(known[0])
        made = self.connection.execute(
            "INSERT INTO lives (life, boot, version) SELECT coalesce(max(life), 0) + 1, ?, ? FROM lives RETURNING life",
            (boot, version),
        ).fetchone()
        return int(made[0])

    def _last_runs(self) -> dict[str, int]:
        """The run number of the newest row of each worker."""
        return {
            worker: run
            for worker, run, _ in self.connection.execute("SELECT worker, run, max(id) FROM runs GROUP BY worker")
        }

    def _next_id(self) -> int:
        (last,) = self.connection.execute("SELECT coalesce(max(id), 0) FROM runs").fetchone()
        return int(last) + 1

    # ------------------------------------------------------------ writing

    def write(self, news: Sequence[Kept | Audited], *, sync: bool = False) -> None:
        """Writes what the account has and the news, all or nothing; with `sync` they are on the disk then."""
        account = self.account
        if sync:
            self.connection.execute("PRAGMA synchronous = FULL")
        try:
            with self._transaction():
                self._insert("transitions", TRANSITION, map(self._transition, account.transitions))
                self._insert("runs", RUN, map(_run, account.runs.values()))
                self._insert("operations", OPERATION, (_operation(one) for one in news if isinstance(one, Kept)))
                self._insert("audit", AUDIT, (tuple(one) for one in news if isinstance(one, Audited)))
                if sync:  # the sync is that of a commit, so there must be one
                    self.connection.execute("UPDATE lives SET synced = synced + 1 WHERE life = ?", (self.life,))
        finally:
            if sync:
                self.connection.execute("PRAGMA synchronous = NORMAL")
        if account.transitions:
            self.after = account.transitions[-1].seq
        self.rows += len(account.transitions) + len(account.runs) + len(news)
        account.written()

    def _insert(self, table: str, columns: str, rows: Iterable[Sequence[Any]]) -> None:
        """Writes whole rows, in the place of those with the same key; as few statements as may be."""
        width = columns.count(",") + 1
        held: list[Any] = []
        for row in rows:
            held.extend(row)
            if len(held) + width > LARGEST:
                self._insert_some(table, columns, held, width)
                held = []
        if held:
            self._insert_some(table, columns, held, width)

    def _insert_some(self, table: str, columns: str, values: Sequence[Any], width: int) -> None:
        row = f"({', '.join('?' * width)})"
        rows = ", ".join([row] * (len(values) // width))
        self.connection.execute(f"INSERT OR REPLACE INTO {table} ({columns}) VALUES {rows}", values)  # noqa: S608

    def _transition(self, told: Transition) -> tuple[Any, ...]:
        return (
            self.life, told.seq, told.time, told.kind, told.worker, str(told.state), told.run, told.pid,
            told.wanted, told.ready, told.failures, ",".join(told.causes), told.by, told.why,
        )  # fmt: skip

    def _transaction(self) -> "_Transaction":
        return _Transaction(self.connection)


class _Transaction:
    """Commits what is done within it, or undoes it when something raises."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            try:
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                self._undo()
                raise
        else:
            self._undo()

    def _undo(self) -> None:
        if self._connection.in_transaction:  # some errors undo it by themselves
            with contextlib.suppress(sqlite3.Error):  # what made it necessary is told
                self._connection.execute("ROLLBACK")


def _run(row: RunRow) -> tuple[Any, ...]:
    lines = json.dumps(row.lines, ensure_ascii=False) if row.lines else ""
    return (
        row.id, row.worker, row.run, row.pid, row.started, row.ended, row.code, row.signal, row.reason, row.cause,
        row.by, lines.encode("utf-8", "replace").decode(),
    )  # fmt: skip


def runs_of(rows: Iterable[Sequence[Any]]) -> list[RunRow]:
    """Rows of `RUN` as records."""
    found = []
    for id, worker, run, pid, started, ended, code, signal, reason, cause, by, lines in rows:
        told = tuple(json.loads(lines)) if lines else ()
        found.append(RunRow(id, worker, run, pid, started, ended, code, signal, reason, cause, by, told))
    return found


def _operation(kept: Kept) -> tuple[Any, ...]:
    one = kept.operation
    return (
        one.id, one.action, one.worker, one.by, one.asked, one.state, one.outcome, one.run, one.reason, one.until,
        one.code, one.first, kept.key, kept.wording,
    )  # fmt: skip


def kept_of(row: Sequence[Any]) -> Kept:
    """A row of `OPERATION` as a record."""
    id, action, worker, by, asked, state, outcome, run, reason, until, code, first, key, wording = row
    operation = Operation(id, action, worker, by, asked, state, outcome, run, reason, until, code, first)
    return Kept(operation, key, wording)
