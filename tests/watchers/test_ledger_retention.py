"""What the ledger keeps for how long: by age and by size, and never without the runs that live."""

import sqlite3
from pathlib import Path

import pytest

from app.watchers.ledger import retention, writer
from app.watchers.ledger.account import Account, RunRow, Transition
from app.watchers.ledger.book import Audited, Book
from app.watchers.ledger.schema import opened
from app.watchers.outcome import Operation
from app.watchers.past import Kept
from supervisor_core.messages import Restart
from tests.support.asgi import a_program
from tests.watchers.ledgers import life

DAY = 86_400.0
START = 1_790_000_000.0


def some(folder: Path, count: int, *, start: float = START, step: float = DAY) -> sqlite3.Connection:
    """A ledger with one row of each kind a step; the first run has no end."""
    connection = opened(folder / "ledger.sqlite")
    book = Book(connection, 1, "1")
    book.account = Account({}, {}, 1)
    for n in range(count):
        at = start + n * step
        book.account.transitions.append(Transition(n + 1, at, "changed", "web", "running", n))
        row = RunRow(n + 1, "web", n, n, at, None if n == 0 else at, reason="x" * 200, cause="crash")
        book.account.runs[row.id] = row
    operations = [Kept(Operation(f"op-{n}", "stop", "web", "anna", start + n * step, "done")) for n in range(count)]
    requests = [Audited(n + 1, start + n * step, "anna", "token", "127.0.0.1", "POST /") for n in range(count)]
    pending = Kept(Operation("op-open", "stop", "web", "anna", start))
    book.write([*operations, *requests, pending])
    return connection


def ids(connection: sqlite3.Connection, table: str, column: str = "id") -> list[object]:
    return [row[0] for row in connection.execute(f"SELECT {column} FROM {table} ORDER BY {column}")]


def sweep(connection: sqlite3.Connection, now: float, **options: int) -> None:
    while retention.sweep(connection, now, **options):
        pass


def test_what_is_older_than_it_may_be_goes_and_what_lives_stays(tmp_path: Path) -> None:
    connection = some(tmp_path, 100)
    sweep(connection, START + 99.5 * DAY)
    assert ids(connection, "transitions", "seq") == list(range(11, 101))
    assert ids(connection, "runs") == [1, *range(11, 101)], "the first one lives"
    assert ids(connection, "audit") == list(range(11, 101))
    assert len(ids(connection, "operations")) == 91, "and the order that is under way stays"
    connection.close()


def test_a_clock_that_was_behind_makes_nothing_old(tmp_path: Path) -> None:
    connection = some(tmp_path, 5, start=1000.0, step=1.0)
    sweep(connection, START)
    assert len(ids(connection, "transitions", "seq")) == 5
    connection.close()


def test_of_what_is_too_much_the_oldest_goes_from_all_tables_alike(tmp_path: Path) -> None:
    connection = some(tmp_path, 6000, step=1.0)
    before = retention.used(connection)
    sweep(connection, START, size=before // 2)
    assert before // 4 < retention.used(connection) <= before // 2
    kept = ids(connection, "transitions", "seq")
    assert kept == list(range(kept[0], 6001))
    assert ids(connection, "runs")[1:] == kept == ids(connection, "audit")
    connection.close()


@pytest.mark.asyncio
async def test_the_file_stops_growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SIZE", 300_000)
    monkeypatch.setattr(writer, "SWEEP_ROWS", 100)
    async with life(tmp_path, a_program("web")) as one:
        sizes = []
        for _ in range(40):
            for _ in range(40):
                one.host.come_up("web")
                await one.host.tell(Restart("web", by="somebody with a long name"))
                one.host.end("web", signal=15, reason="terminated by SIGTERM")
            await one.ledger.ask(lambda connection: connection.execute("PRAGMA wal_checkpoint").fetchall())
            sizes.append(one.place.stat().st_size)
        assert max(sizes) < 450_000
        assert sizes[-1] < 1.1 * sizes[len(sizes) // 2], "it has come to a size and keeps it"
        rows = await one.runs()
        assert rows[-1].ended is None
        assert rows[0].run > 1
