"""How long the ledger keeps things: by age, and by the size of the file. Runs that live are never deleted.

The oldest go first, some hundred rows a transaction, so that nobody waits long. Their pages are used again, so the
file stops growing and does not shrink.

Known wart: `runs` and `audit` are in the order in which they were written, so what a wrong clock dated is judged late.
"""

import sqlite3

AGE = 90 * 86_400.0
"""Seconds for which things are kept."""

SIZE = 200 * 1024 * 1024
"""Bytes of the file (its log beside it not counted)."""

WELL_BELOW = 0.9
"""Once it is too large, so much of the size is left."""

STEP = 500
"""Rows of a table that one transaction deletes at most."""

FIRST_DAY = 1_735_689_600.0
"""The beginning of 2025: a clock that shows an earlier time is wrong, and nothing is called old for it."""

OLDEST = {
    "transitions": ("(life, seq)", "life, seq", "time", "1", "life, seq"),
    "runs": ("id", "id", "ended", "ended IS NOT NULL", "id"),
    "operations": ("id", "id", "asked", "state <> 'pending'", "asked"),
    "audit": ("id", "id", "time", "1", "id"),
}
"""Each table's key, the key's columns, its time, which of its rows may go, and their order."""


def used(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int(pages - free) * int(size)


def sweep(connection: sqlite3.Connection, now: float, *, age: float = AGE, size: int = SIZE) -> bool:
    """Deletes some of what is too old or too much; says whether to come again soon.

    It is too much when more than `size` bytes are used; who comes again asks for less than that, see `WELL_BELOW`.
    """
    deleted = sum(_delete(connection, table, f"at < ? AND at >= {FIRST_DAY}", now - age) for table in OLDEST)
    if not deleted and used(connection) > size:
        ends = [end for table in OLDEST if (end := _end_of_step(connection, table)) is not None]
        if ends:  # from each table what is older than one table's step, so that all reach equally far back
            deleted = sum(_delete(connection, table, "at <= ?", min(ends)) for table in OLDEST)
    connection.execute("DELETE FROM lives WHERE life < (SELECT coalesce(min(life), 0) FROM transitions)")
    return deleted > 0


def _delete(connection: sqlite3.Connection, table: str, condition: str, value: float) -> int:
    key, columns, time, may, order = OLDEST[table]
    return connection.execute(
        f"DELETE FROM {table} WHERE {key} IN (SELECT {columns} FROM"  # noqa: S608
        f" (SELECT {columns}, {time} AS at FROM {table} WHERE {may} ORDER BY {order} LIMIT {STEP}) WHERE {condition})",
        (value,),
    ).rowcount


def _end_of_step(connection: sqlite3.Connection, table: str) -> float | None:
    """The time of the last of the rows that would go next; None when there is none."""
    _, _, time, may, order = OLDEST[table]
    (end,) = connection.execute(
        f"SELECT max({time}) FROM (SELECT {time} FROM {table} WHERE {may} ORDER BY {order} LIMIT {STEP})"  # noqa: S608
    ).fetchone()
    return None if end is None else float(end)
