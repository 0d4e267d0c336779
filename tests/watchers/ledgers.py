"""A ledger over a scripted host, life after life, and what one may ask it. No test is here."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from app.watchers.conditions import Conditions
from app.watchers.ledger.account import RunRow, Transition
from app.watchers.ledger.ledger import Ledger
from supervisor_core.model import WorkerSpec
from tests.support.scripted import ScriptedHost


class Life:
    """One life of a service: its host, its ledger, and the conditions that the ledger tells of."""

    def __init__(self, place: Path, host: ScriptedHost) -> None:
        self.place, self.host = place, host
        self.conditions = Conditions(host.now)
        self.ledger = Ledger(place, host, self.conditions, "1")

    @property
    def wrong(self) -> list[str]:
        return [one.name for one in self.conditions]

    async def runs(self, *workers: str) -> list[RunRow]:
        """All runs, oldest first, once all that has happened is written."""
        return (await self.ledger.runs(workers, None, 1000))[0][::-1]

    async def told(self) -> list[Transition]:
        """All transitions of all lives, oldest first."""
        return [past.told for past in (await self.ledger.transitions(None, None, 1000)).rows]

    async def kill(self) -> None:
        """Ends the life as KILL does, for the ledger: nothing more is written."""
        self.ledger._writer._host = _Silent(self.host)  # type: ignore[assignment]
        await self.ledger.aclose()


class _Silent:
    """A host of which nothing new is heard."""

    def __init__(self, host: ScriptedHost) -> None:
        self.snapshot, self.now, self.logs = host.snapshot, host.now, host.logs

    def entries(self, after: int, limit: int) -> list[object]:
        return []


@contextlib.asynccontextmanager
async def life(folder: Path, *specs: WorkerSpec, host: ScriptedHost | None = None) -> AsyncIterator[Life]:
    """A life with its end in order."""
    one = Life(folder / "ledger.sqlite", host or ScriptedHost(*specs))
    try:
        yield one
    finally:
        one.host.journal.close()
        await one.ledger.aclose()
