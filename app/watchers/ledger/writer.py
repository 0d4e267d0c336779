"""The one thread that touches the ledger's file: it writes what has come since it last looked, and answers questions.

It holds a position in the journal and never a copy of it: what could not be written waits there, and what the journal
drops meanwhile is told as a gap. Nobody waits for this thread without a limit; whoever gives it something only leaves
that and rings. At rest it sleeps without a timer.

Known wart: what was put aside or cannot be written is found out at the next write, not before.
"""

import contextlib
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor_core.failing import point
from supervisor_core.journal import Gap, Snapshot

from ...host import Host
from ..past import Kept
from . import retention, schema
from .book import Audited, Book
from .lines import LastLines
from .troubles import put_aside_sentence, trouble_of

log = logging.getLogger("quarterdeck.ledger")

CHUNK = 1000
"""Entries of one transaction."""

MOST_NEWS = 10_000
"""Operations and requests that wait to be written while the disk does not take them; more are not kept."""

RETRY = 1.0
"""Seconds until it is tried again after a failure."""

SWEEP_ROWS, SWEEP_SECONDS = 2_000, 3_600.0
"""After so many rows, or so long after the last time, what is too old is looked for, when something is written."""

Told = Callable[[Mapping[str, str]], None]


@dataclass(frozen=True, slots=True)
class Ask:
    """A question for the thread, and who takes the answer or the error. `sync`: what was written before must be synced.

    `query` is None when the answer is only that all is written.
    """

    query: Callable[[sqlite3.Connection], Any] | None
    answer: Callable[[Any, BaseException | None], None]
    sync: bool = False


class Writer:
    """Starts its thread at once. `told` is called in that thread with what is wrong, whenever that has changed."""

    def __init__(self, path: Path, host: Host, told: Told, version: str) -> None:
        self._path, self._host, self._told, self._version = path, host, told, version
        self._lines = LastLines(host)
        self._news: list[Kept | Audited] = []
        self._asks: deque[Ask] = deque()
        self._lock = threading.Lock()
        self._bell = threading.Event()
        self._over = threading.Event()
        self._book: Book | None = None
        self._identity: tuple[int, int] = (0, 0)
        self._wrong: dict[str, str] = {}
        self._asides: dict[Path, tuple[str, str]] = {}
        self._sweeping = False
        self._swept_at, self._swept_rows, self._room = 0.0, 0, retention.SIZE
        self.rung = self.done = 0
        """How often it was rung, and up to which ring all is written or has failed: equal at rest."""
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------ from any thread

    def ring(self) -> None:
        """There is something new in the journal, or something was left here."""
        self.rung += 1
        self._bell.set()

    def keep(self, one: Kept | Audited) -> None:
        with self._lock:
            if len(self._news) < MOST_NEWS:
                self._news.append(one)

    def ask(self, ask: Ask) -> None:
        self._asks.append(ask)
        self.ring()

    def close(self, seconds: float) -> None:
        """Writes what is there and ends the thread; one that a disk holds up is not waited for any longer."""
        self._over.set()
        self._bell.set()
        self._thread.join(seconds)

    # ------------------------------------------------------------ in the thread

    def _run(self) -> None:
        try:
            failed = False
            self._asides = dict.fromkeys(schema.put_aside_before(self._path), (schema.DAMAGED, ""))
            while True:
                self._bell.wait(RETRY if failed else None)
                self._bell.clear()
                rung = self.rung
                over = self._over.is_set()
                failed = not self._round()
                self.done = rung
                if over:
                    return
        finally:
            self._close()

    def _round(self) -> bool:
        """Writes all that is there and answers who asked before; says whether that went well."""
        asks = [self._asks.popleft() for _ in range(len(self._asks))]
        error: BaseException | None = None
        try:
            book = self._opened()
            self._write(book, sync=any(ask.sync for ask in asks))
            self._sweep(book)
        except (sqlite3.Error, OSError, schema.Unusable) as raised:
            error = raised
            self._failed(raised)
        else:
            self._say(self._put_asides())
        for ask in asks:
            self._answer(ask, error)
        return error is None

    def _answer(self, ask: Ask, error: BaseException | None) -> None:
        if ask.query is None or self._book is None:
            ask.answer(None, error)
            return
        try:
            ask.answer(ask.query(self._book.connection), None)
        except sqlite3.Error as raised:
            self._failed(raised)
            ask.answer(None, raised)
        except Exception as raised:  # what the question itself raises is for who asked
            ask.answer(None, raised)

    # ------------------------------------------------------------ opening

    def _opened(self) -> Book:
        """The book; opened again when its file is not the one under its name any more."""
        if self._book is not None:
            with contextlib.suppress(FileNotFoundError):
                if _identity(self._path) == self._identity:
                    return self._book
            self._close()
        try:
            connection = schema.opened(self._path)
        except (schema.Unusable, sqlite3.Error) as why:
            if isinstance(why, sqlite3.Error) and not schema.is_damage(why):
                raise
            self._put_aside(why)
            connection = schema.opened(self._path)
        try:
            self._identity = _identity(self._path)
            self._book = Book(connection, self._host.snapshot().cursor.boot, self._version)
        except BaseException:
            connection.close()
            raise
        self._catch_up(self._book)
        return self._book

    def _catch_up(self, book: Book) -> None:
        """Writes what is in the journal by now, and ends what an earlier life left open and is no more."""
        now = self._host.snapshot()
        now = self._read(book, now.cursor.seq) or now
        book.account.close_forgotten(now, self._host.now())
        self._lines.keep(book.account)
        self._commit(book, ())

    def _close(self) -> None:
        if self._book is not None:
            try:
                self._book.close()
            except sqlite3.Error as error:
                log.warning("the ledger could not be closed: %s", error)
            self._book = None

    # ------------------------------------------------------------ writing

    def _write(self, book: Book, *, sync: bool) -> None:
        self._read(book, self._host.snapshot().cursor.seq)  # and not until nothing more comes: others are waiting
        with self._lock:
            news = list(self._news)
        if news or sync:
            self._commit(book, news, sync=sync)
            with self._lock:
                del self._news[: len(news)]

    def _read(self, book: Book, up_to: int) -> Snapshot | None:
        """Writes the entries after those that are written, up to a number.

        Gives the snapshot that came in the place of entries that the journal has dropped.
        """
        reached = None
        while (limit := min(CHUNK, up_to - book.after)) > 0:
            entries = self._host.entries(book.after, limit)
            if isinstance(entries, Gap):
                reached = self._host.snapshot()
                book.account.skip(reached, reached.cursor.seq - book.after, self._host.now())
            elif entries:
                book.account.take(entries)
            else:
                break
            self._lines.keep(book.account)
            self._commit(book, ())
        return reached

    def _commit(self, book: Book, news: Sequence[Kept | Audited], *, sync: bool = False) -> None:
        point("ledger to be written")
        book.write(news, sync=sync)
        point("ledger written")

    def _sweep(self, book: Book) -> None:
        """Deletes one step of what is too old or too much, when it is time to look; comes again while there is more."""
        now = self._host.now()
        if not self._sweeping:
            if book.rows - self._swept_rows < SWEEP_ROWS and now - self._swept_at < SWEEP_SECONDS:
                return
            self._swept_at, self._swept_rows = now, book.rows
            too_large = retention.used(book.connection) > retention.SIZE
            self._room = int(retention.SIZE * retention.WELL_BELOW) if too_large else retention.SIZE
        self._sweeping = retention.sweep(book.connection, now, size=self._room)
        if self._sweeping:
            self._bell.set()

    # ------------------------------------------------------------ what is wrong

    def _failed(self, error: BaseException) -> None:
        """What was counted and not written is thrown away with the book, and read again from the journal."""
        self._close()
        try:
            if isinstance(error, sqlite3.Error) and schema.is_damage(error):
                self._put_aside(error)
                self._bell.set()
                return
        except OSError as worse:
            error = worse
        self._say({**self._put_asides(), **trouble_of(self._path, error)})

    def _put_aside(self, why: BaseException) -> None:
        name = why.name if isinstance(why, schema.Unusable) else schema.DAMAGED
        place = schema.put_aside(self._path)
        self._asides[place] = name, str(why)

    def _put_asides(self) -> dict[str, str]:
        """Sentences about what was put aside and still lies there; whoever takes it away has seen them."""
        self._asides = {place: told for place, told in self._asides.items() if os.path.lexists(place)}
        return {name: put_aside_sentence(self._path, place, why) for place, (name, why) in self._asides.items()}

    def _say(self, wrong: dict[str, str]) -> None:
        if wrong != self._wrong:
            self._wrong = wrong
            self._told(wrong)


def _identity(path: Path) -> tuple[int, int]:
    about = os.stat(path)
    return about.st_dev, about.st_ino
