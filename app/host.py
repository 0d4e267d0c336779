"""The seam between the web and whatever supervises: a few methods and no worker object.

Another kind of host (a remote one) is one more implementation of `Host`; the web layer does not change.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from supervisor_core.journal import Cursor, Entry, Gap, Snapshot
from supervisor_core.logs import LogStore
from supervisor_core.messages import Order, Receipt
from supervisor_core.probes import Finding
from supervisor_core.supervisor import Supervisor

Probed = tuple[tuple[Finding, ...], tuple[str, float] | None]
"""The last findings, and the last STATUS= with its time."""


class Host(Protocol):
    """One supervised host."""

    @property
    def name(self) -> str: ...

    @property
    def logs(self) -> LogStore: ...

    def now(self) -> float:
        """The host's own clock, in seconds since the epoch."""
        ...

    def snapshot(self) -> Snapshot: ...

    def follow(self, cursor: Cursor) -> AsyncIterator[list[Entry] | Gap]:
        """What came after `cursor` (of this boot); ends when the host leaves."""
        ...

    def entries(self, after: int, limit: int) -> list[Entry] | Gap:
        """What is still held of the history, strictly after a number; a `Gap` when its beginning is gone."""
        ...

    def probed(self, worker: str, run: int) -> Probed:
        """What the probes of that run found last, and what it said of itself."""
        ...

    async def tell(self, order: Order) -> Receipt:
        """Gives an order. Raises `Refused` with the reason; then nothing changed."""
        ...

    async def durable(self) -> None:
        """Returns when all orders so far would survive a power cut; raises `SupervisorError` when they might not."""
        ...


class LocalHost:
    """The supervisor in this process."""

    def __init__(self, name: str, supervisor: Supervisor, logs: LogStore) -> None:
        self.name = name
        self.logs = logs
        self._supervisor = supervisor

    def now(self) -> float:
        return self._supervisor.clock.now()

    def snapshot(self) -> Snapshot:
        return self._supervisor.journal.snapshot()

    def follow(self, cursor: Cursor) -> AsyncIterator[list[Entry] | Gap]:
        return self._supervisor.journal.follow(cursor.seq)

    def entries(self, after: int, limit: int) -> list[Entry] | Gap:
        return self._supervisor.journal.entries(after, limit)

    def probed(self, worker: str, run: int) -> Probed:
        findings = self._supervisor.aside.findings
        return findings.of(worker, run), findings.said(worker, run)

    async def tell(self, order: Order) -> Receipt:
        return self._supervisor.tell(order)

    async def durable(self) -> None:
        await self._supervisor.spawner.durable()
