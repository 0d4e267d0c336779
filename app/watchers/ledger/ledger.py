"""What the loop sees of the ledger: rings the writer when the journal has moved, takes operations, asks questions.

Nobody waits here without a limit. Where the disk does not answer, what was to be kept is not, a condition says so, and
orders go on as if there were no ledger.

Known wart: a stalled disk is told of after `STALL`; until then an order waits `EXTRA`, and one with a key `SURE`.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from supervisor_core.journal import Cursor

from ...host import Host
from ..conditions import Conditions
from ..outcome import Operation
from ..past import Kept
from . import queries
from .account import RunRow
from .book import Audited
from .troubles import NAMES, STALLED, stalled
from .writer import Ask, Writer

FILE = "ledger.sqlite"
"""Its name in the state folder."""

PERIOD = 0.05
"""Seconds between two looks at a journal that moves: so late is what is written, at most."""

STALL = 2.0
"""Seconds in which the writer must come back."""

EXTRA = 0.05
"""Seconds for which an order waits for the ledger alone, when all else of it is done."""

SURE = 1.0
"""Seconds for which an order with an Idempotency-Key waits to be written down: else it might be carried out twice."""

OPENING = 2.0
"""Seconds for which a question waits: the file may just be opened, or much be written before it."""

LEAVING = 2.0
KEYS = 86_400.0
"""Seconds for which an Idempotency-Key is known."""

Found = TypeVar("Found")


class Unavailable(Exception):
    """The ledger cannot be read now; the message says why."""


class Ledger:
    """Belongs to the loop that runs when it is made. The file is opened by the writer, at once."""

    def __init__(self, path: Path, host: Host, conditions: Conditions, version: str) -> None:
        self._path, self._host, self._conditions = path, host, conditions
        self._loop = asyncio.get_running_loop()
        self._keys: dict[str, tuple[str, str]] = {}
        self._check: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due: asyncio.Future[None] | None = None
        self._stalled = self._closed = False
        self._writer = Writer(path, host, self._hear, version)
        self._follower = asyncio.create_task(self._follow(host.snapshot().cursor), name="ledger")
        self._ring()

    async def aclose(self) -> None:
        """Writes what has happened by now; one that a disk holds up is left behind."""
        self._closed = True
        self._follower.cancel()
        await asyncio.gather(self._follower, return_exceptions=True)
        for timer in (self._check, self._timer):
            if timer is not None:
                timer.cancel()
        await asyncio.to_thread(self._writer.close, LEAVING)

    # ------------------------------------------------------------ what is kept

    async def _follow(self, cursor: Cursor) -> None:
        async for _ in self._host.follow(cursor):
            await self._soon()

    def take_operation(self, operation: Operation) -> None:
        """Keeps an operation as it is now; to be called when it is given and when it is settled."""
        self._keep(Kept(operation, *self._keys.get(operation.id, ("", ""))))
        if operation.settled:
            self._keys.pop(operation.id, None)

    def take_key(self, kept: Kept) -> None:
        """Keeps an operation with what it is found by when the same request comes again."""
        if kept.operation.settled:
            self._keys.pop(kept.operation.id, None)
        else:
            self._keys[kept.operation.id] = kept.key, kept.wording
        self._keep(kept)

    def take_request(self, request: Audited) -> None:
        """Keeps who wanted to change something."""
        self._keep(request)

    def _keep(self, one: Kept | Audited) -> None:
        self._writer.keep(one)
        self._soon()

    def _soon(self) -> "asyncio.Future[None]":
        """Rings the writer a moment later, once for all that comes meanwhile; done by then.

        Not at once: what follows from an order within this moment is then written with it, and nobody who carries it
        out has to share the interpreter with the writer.
        """
        if self._due is None:
            self._due = self._loop.create_future()
            self._timer = self._loop.call_later(PERIOD, self._come)
        return self._due

    def _come(self) -> None:
        due, self._due = self._due, None
        if due is not None and not due.done():  # it is cancelled with who waits for it
            due.set_result(None)
        self._ring()

    # ------------------------------------------------------------ waiting for it

    async def written(self) -> bool:
        """Waits until all that was given here would survive the death of this process; `SURE` at most."""
        if self._stalled or self._closed:
            return False
        return await self._came(self._ask(None), SURE)

    def sync(self) -> "asyncio.Future[Any]":
        """Begins to put all that was given here on the disk; to be given to `synced`."""
        return self._ask(None, sync=True)

    async def synced(self, begun: "asyncio.Future[Any]") -> bool:
        """Waits for a sync that was begun, a moment at most; False when it did not come to its end by then."""
        return not self._stalled and await self._came(begun, EXTRA)

    @staticmethod
    async def _came(asked: "asyncio.Future[Any]", seconds: float) -> bool:
        await asyncio.wait({asked}, timeout=seconds)
        return asked.done() and not asked.cancelled() and asked.exception() is None

    # ------------------------------------------------------------ asking

    async def ask(self, query: Callable[[sqlite3.Connection], Found], seconds: float = OPENING) -> Found:
        """What a query gives once all that happened by now is written.

        Raises `Unavailable`, and what the query itself raises.
        """
        if self._stalled or self._closed:
            raise Unavailable(stalled(self._path))
        asked = self._ask(query)
        await asyncio.wait({asked}, timeout=seconds)
        if not asked.done():
            raise Unavailable(f"the ledger {self._path.name} does not answer")
        error = asked.exception()
        if isinstance(error, sqlite3.Error | OSError):
            raise Unavailable(f"the ledger {self._path.name} cannot be read: {error}") from error
        found: Found = asked.result()
        return found

    async def operation(self, id: str) -> Kept | None:
        """None when it is not there, and when it cannot be read."""
        return await self._ask_past(lambda connection: queries.operation(connection, id), None)

    async def transitions(self, after: Cursor | None, before: Cursor | None, limit: int) -> queries.Page:
        """Raises `queries.UnknownLife`, too."""
        return await self.ask(lambda connection: queries.transitions(connection, after, before, limit))

    async def runs(self, workers: Sequence[str], before: int | None, limit: int) -> tuple[list[RunRow], bool]:
        return await self.ask(lambda connection: queries.runs(connection, workers, before, limit))

    async def audit(self, before: int | None, limit: int) -> tuple[list[Audited], bool]:
        return await self.ask(lambda connection: queries.audit(connection, before, limit))

    async def by_key(self, by: str, key: str) -> Kept | None:
        """What somebody asked for with a key within a day."""
        since = self._host.now() - KEYS
        return await self._ask_past(lambda connection: queries.by_key(connection, by, key, since), None)

    async def pending(self) -> list[Kept]:
        """What earlier lives left without an outcome."""
        since = self._host.now() - KEYS
        return await self._ask_past(lambda connection: queries.pending(connection, since), [])

    async def _ask_past(self, query: Callable[[sqlite3.Connection], Found], nothing: Found) -> Found:
        try:
            return await self.ask(query)
        except Unavailable:
            return nothing

    def _ask(self, query: Callable[[sqlite3.Connection], Any] | None, *, sync: bool = False) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = self._loop.create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be waiting any more

        def answer(found: Any, error: BaseException | None) -> None:
            self._post(self._settle, future, found, error)

        self._writer.ask(Ask(query, answer, sync))
        self._watch()
        return future

    @staticmethod
    def _settle(future: "asyncio.Future[Any]", found: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(found)
        else:
            future.set_exception(error)

    # ------------------------------------------------------------ what is wrong

    def _ring(self) -> None:
        self._writer.ring()
        self._watch()

    def _watch(self) -> None:
        """Looks once, a little later, whether the writer has come back."""
        if self._check is None and not self._closed:
            self._check = self._loop.call_later(STALL, self._look, self._writer.rung)

    def _look(self, rung: int) -> None:
        self._check = None
        self._stalled = self._writer.done < rung
        self._conditions.replace((STALLED,), {STALLED: stalled(self._path)} if self._stalled else {})
        if self._writer.done < self._writer.rung:
            self._watch()

    def _hear(self, wrong: Mapping[str, str]) -> None:
        """From the writer's thread."""
        self._post(self._conditions.replace, NAMES, dict(wrong))

    def _post(self, call: Callable[..., Any], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(call, *arguments)
