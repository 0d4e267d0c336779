"""The ledger's file and disk: damaged, empty, foreign, newer, gone, full, stalled. Nobody but the ledger notices."""

import asyncio
import contextlib
import os
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from app.watchers.ledger import book, ledger, schema, writer
from app.watchers.ledger.ledger import Unavailable
from supervisor_core.messages import Start
from tests.support.asgi import ScriptedHost, a_program
from tests.watchers.ledgers import Life, life

pytestmark = pytest.mark.asyncio


async def condition(one: Life, *names: str) -> list[str]:
    """The sentences once exactly these conditions hold."""
    changed = asyncio.Event()
    one.conditions.listen(changed.set)
    async with asyncio.timeout(20):
        while sorted(one.wrong) != sorted(names):
            changed.clear()
            await changed.wait()
    return [held.text for held in one.conditions]


async def filled(folder: Path, runs: int = 3) -> list[int]:
    """Makes a ledger with some runs in it; gives their ids."""
    async with life(folder, a_program("web", autostart=False)) as one:
        for _ in range(runs):
            await one.host.tell(Start("web", by="anna"))
            one.host.come_up("web")
            one.host.write("web", *("a line of some length, again and again" for _ in range(20)))
            one.host.end("web", code=3)
        return [row.id for row in await one.runs()]


def foreign(place: Path) -> None:
    place.unlink()
    other = sqlite3.connect(place)
    other.execute("CREATE TABLE mine (x)")
    other.commit()
    other.close()


def newer(place: Path) -> None:
    mine = sqlite3.connect(place)
    mine.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    mine.close()


def fifo(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def folder(place: Path) -> None:
    place.unlink()
    place.mkdir()


def link(place: Path) -> None:
    place.rename(place.with_name("elsewhere"))
    place.symlink_to("elsewhere")


def half(place: Path) -> None:
    os.truncate(place, place.stat().st_size // 2)


SPOILT: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "empty": (lambda place: os.truncate(place, 0), "ledger-damaged", "empty"),
    "garbage": (lambda place: place.write_bytes(os.urandom(40_000)), "ledger-damaged", "not a database"),
    "half": (half, "ledger-damaged", ""),
    "foreign": (foreign, "ledger-damaged", "another program"),
    "newer": (newer, "ledger-newer", "newer version"),
    "fifo": (fifo, "ledger-damaged", "no plain file"),
    "folder": (folder, "ledger-damaged", "no plain file"),
    "link": (link, "ledger-damaged", "no plain file"),
}


@pytest.mark.row(46)
@pytest.mark.parametrize("how", SPOILT)
async def test_a_file_that_cannot_be_used_is_put_aside_and_a_new_one_is_begun(tmp_path: Path, how: str) -> None:
    await filled(tmp_path)
    place = tmp_path / "ledger.sqlite"
    spoil, name, words = SPOILT[how]
    spoil(place)
    about = place.lstat()
    async with life(tmp_path, a_program("web")) as one:
        one.host.come_up("web", 7)
        assert [(row.id, row.pid) for row in await one.runs()] == [(1, 7)]
        (text,) = await condition(one, name)
        assert "ledger.damaged-1" in text
        assert words in text
        aside = tmp_path / "ledger.damaged-1"
        assert (aside.lstat().st_ino, aside.lstat().st_size) == (about.st_ino, about.st_size)
    async with life(tmp_path, a_program("web")) as two:
        await condition(two, "ledger-damaged")
        assert len(await two.runs()) == 2
        shutil.rmtree(aside) if how == "folder" else aside.unlink()
        two.host.come_up("web", 8)
        await two.runs()
        await condition(two)


async def test_only_some_of_what_was_put_aside_is_kept(tmp_path: Path) -> None:
    for _ in range(schema.KEPT_ASIDE + 2):
        (tmp_path / "ledger.sqlite").write_bytes(b"")
        async with life(tmp_path, a_program("web")) as one:
            await one.runs()
    kept = sorted(name for name in os.listdir(tmp_path) if "damaged" in name)
    assert kept == [f"ledger.damaged-{n}" for n in range(3, schema.KEPT_ASIDE + 3)]


@pytest.mark.row(46)
@pytest.mark.parametrize("seed", range(12))
async def test_flipped_bits_anywhere_end_in_a_ledger_that_works(tmp_path: Path, seed: int) -> None:
    """What is not noticed at once is when it is read; then the next life has a new one."""
    await filled(tmp_path, 30)
    place, chance = tmp_path / "ledger.sqlite", random.Random(seed)
    data = bytearray(place.read_bytes())
    for _ in range(chance.choice((1, 20, 400))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    place.write_bytes(data)
    async with life(tmp_path, a_program("web")) as one:
        for pid in (7, 8):
            one.host.come_up("web", pid)
            for ask in (one.runs, one.told):
                with contextlib.suppress(Unavailable, ValueError):  # it says so; what was there is lost
                    await ask()
            one.host.end("web", code=3)
            await one.host.tell(Start("web", by="anna"))
    beside = sqlite3.connect(place)
    beside.execute("SELECT count(*) FROM lives").fetchall()
    beside.close()


@pytest.mark.row(43)
async def test_it_goes_on_by_itself_when_its_folder_is_back_and_nothing_is_missing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    async with life(state, a_program("web")) as one:
        one.host.come_up("web", 7)
        await one.runs()
        state.rename(tmp_path / "away")
        one.host.end("web", code=3)
        with pytest.raises(Unavailable):
            await one.runs()
        (text,) = await condition(one, "ledger-disk-error")
        assert "supervision goes on" in text
        (tmp_path / "away").rename(state)
        await condition(one)
        assert [(row.pid, row.code) for row in await one.runs()] == [(7, 3)]
        assert [row.seq for row in await one.told()] == list(range(1, one.host.journal.cursor.seq + 1))


async def test_a_file_that_somebody_deleted_is_made_again_with_what_the_journal_holds(tmp_path: Path) -> None:
    async with life(tmp_path, a_program("web")) as one:
        one.host.come_up("web", 7)
        await one.runs()
        one.place.unlink()
        one.host.end("web", code=3)
        assert [(row.pid, row.code) for row in await one.runs()] == [(7, 3)]
        assert [row.seq for row in await one.told()] == list(range(1, one.host.journal.cursor.seq + 1))


class Failing:
    """Makes every write of a book fail with an error of SQLite, or stall until it is released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.code = 0
        self.stalled = threading.Event()
        self.stalled.set()
        write = book.Book.write

        def failing(its: book.Book, *arguments: object, **options: object) -> None:
            self.stalled.wait(20)
            if self.code:
                error = sqlite3.OperationalError("as the disk says")
                error.sqlite_errorcode = self.code
                raise error
            write(its, *arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(book.Book, "write", failing)


@pytest.mark.row(42)
@pytest.mark.parametrize(
    ("code", "name", "words"),
    [
        (sqlite3.SQLITE_FULL, "ledger-disk-full", "free some space"),
        (sqlite3.SQLITE_READONLY, "ledger-disk-read-only", "make it writable"),
        (sqlite3.SQLITE_IOERR, "ledger-disk-error", "look after its disk"),
        (sqlite3.SQLITE_BUSY, "ledger-disk-error", "another program"),
    ],
)
async def test_a_disk_that_does_not_do_is_told_and_what_happened_meanwhile_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, name: str, words: str
) -> None:
    disk = Failing(monkeypatch)
    monkeypatch.setattr(writer, "RETRY", 0.02)
    async with life(tmp_path, a_program("web")) as one:
        one.host.come_up("web", 7)
        await one.runs()
        disk.code = code
        one.host.end("web", code=3)
        (text,) = await condition(one, name)
        assert words in text
        await one.host.tell(Start("web", by="anna"))
        one.host.come_up("web", 8)
        assert not await one.ledger.written()
        disk.code = 0
        await condition(one)
        assert [(row.pid, row.code) for row in await one.runs()] == [(7, 3), (8, None)]
        assert [row.seq for row in await one.told()] == list(range(1, one.host.journal.cursor.seq + 1))


@pytest.mark.row(44)
async def test_nobody_waits_for_a_disk_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Failing(monkeypatch)
    monkeypatch.setattr(ledger, "STALL", 0.2)
    async with life(tmp_path, a_program("web")) as one:
        one.host.come_up("web", 7)
        await one.runs()
        disk.stalled.clear()
        one.host.end("web", code=3)
        async with asyncio.timeout(5):
            assert not await one.ledger.synced(one.ledger.sync()), "a moment, and not until the disk answers"
            assert not await one.ledger.written()
        (text,) = await condition(one, "ledger-disk-stalled")
        assert "does not answer" in text
        with pytest.raises(Unavailable):
            await one.runs()
        assert not await one.ledger.written(), "and now at once"
        disk.stalled.set()
        await condition(one)
        assert [(row.pid, row.code) for row in await one.runs()] == [(7, 3)]


async def test_a_lock_of_a_person_who_looks_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BUSY", 0.05)
    monkeypatch.setattr(writer, "RETRY", 0.02)
    host = ScriptedHost(a_program("web"))
    async with life(tmp_path, host=host) as one:
        await one.runs()
        person = sqlite3.connect(one.place, isolation_level=None)
        person.execute("BEGIN IMMEDIATE")
        host.come_up("web", 7)
        (text,) = await condition(one, "ledger-disk-error")
        assert "another program has locked it" in text
        person.execute("ROLLBACK")
        person.close()
        await condition(one)
        assert [row.pid for row in await one.runs()] == [7]
