"""Orders on their way: follows the journal until what became of each is known, and tells who listens.

What a status means is judged in `outcome.py`; who gives orders is `operations.py`. Settled operations are kept for a
day, the last ten thousand of them.

Known wart: what happened between the order and its first look at a remote host is judged by the run number alone.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from supervisor_core.errors import Refused
from supervisor_core.journal import Cursor, Entry, Gap, Snapshot
from supervisor_core.messages import Changed, PhaseChanged, Removed
from supervisor_core.model import Phase, State, Status

from ..host import Host
from .outcome import Operation, Verdict, judge, wants_run, with_kill

KEPT = 10_000
KEPT_SECONDS = 86_400.0


@dataclass(slots=True)
class _Pending:
    """What is known beside the operation while it is pending. Entries up to `seen` are older than the order."""

    done: asyncio.Event
    seen: int = 0
    stopping: float | None = None
    killed: float | None = None


class Settling:
    """All operations of one host. Belongs to one event loop; it follows the journal from the first order on."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._known: OrderedDict[str, Operation] = OrderedDict()
        self._pending: dict[str, _Pending] = {}
        self._by_worker: dict[str, set[str]] = {}
        self._listeners: list[Callable[[Operation], None]] = []
        self._follower: asyncio.Task[None] | None = None
        self._leaving = False

    def listen(self, heard: Callable[[Operation], None]) -> None:
        """Calls `heard` with each operation when it is given and when it has settled."""
        self._listeners.append(heard)

    def get(self, id: str) -> Operation | None:
        return self._known.get(id)

    async def wait(self, id: str, seconds: float) -> Operation:
        """The operation when it has settled, or as it is after `seconds`. Raises KeyError for an unknown id."""
        operation = self._known[id]
        pending = self._pending.get(id)
        if pending is not None and seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await pending.done.wait()
            except TimeoutError:
                pass
        return self._known.get(id, operation)

    def release(self) -> None:
        """Lets everybody who waits see how far it is."""
        for pending in self._pending.values():
            pending.done.set()

    async def aclose(self) -> None:
        """Stops following; what is pending stays so."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
            self._follower = None

    # ------------------------------------------------------------ keeping

    def _status(self, name: str) -> Status:
        entry = self._host.snapshot().workers.get(name)
        if entry is None or not isinstance(entry.event, Changed):
            raise Refused(f"there is no worker named {name}", "unknown_worker")
        return entry.event.status

    def _keep(self, operation: Operation) -> None:
        self._known[operation.id] = operation
        horizon = self._host.now() - KEPT_SECONDS
        while self._known:
            oldest = next(iter(self._known.values()))
            if len(self._known) <= KEPT and oldest.asked >= horizon:
                break
            self._forget(oldest.id)

    def _forget(self, id: str) -> None:
        operation = self._known.pop(id, None)
        pending = self._pending.pop(id, None)
        if pending is not None:
            pending.done.set()
        if operation is not None and id in (ids := self._by_worker.get(operation.worker, set())):
            ids.discard(id)
            if not ids:
                del self._by_worker[operation.worker]

    def _tell(self, operation: Operation) -> None:
        for heard in self._listeners:
            heard(operation)

    # ------------------------------------------------------------ following

    def _begin(self, operation: Operation, before: Status) -> Operation:
        """Looks once at how the worker is right after the order, and waits for the rest."""
        snapshot = self._follow_on(operation)
        if before.state is State.STOPPING:
            self._pending[operation.id].stopping = before.since
        self._supersede(operation)
        self._tell(operation)
        entry = snapshot.workers.get(operation.worker)
        if entry is None:
            self._removed(operation.id, operation.by)
        else:
            self._look(operation.id, entry)
        return self._known.get(operation.id, operation)

    def _follow_on(self, operation: Operation) -> Snapshot:
        """From the snapshot that this gives on, looks at what happens for the sake of an operation."""
        snapshot = self._host.snapshot()
        self._leaving = snapshot.phase in (Phase.LEAVING, Phase.OVER)
        self._pending[operation.id] = _Pending(asyncio.Event(), snapshot.cursor.seq)
        self._by_worker.setdefault(operation.worker, set()).add(operation.id)
        if self._follower is None or self._follower.done():
            self._follower = asyncio.create_task(self._follow(snapshot.cursor), name="operations")
        return snapshot

    def _supersede(self, newer: Operation) -> None:
        """The opposite order that was under way is no more, whether or not an event says so."""
        for id in list(self._by_worker.get(newer.worker, ())):
            older = self._known[id]
            if wants_run(older.action) != wants_run(newer.action):
                verb = "started again" if wants_run(newer.action) else "stopped"
                self._settle(id, Verdict("superseded", f"{newer.worker} was {verb} by {newer.by}"))

    async def _follow(self, cursor: Cursor) -> None:
        async for batch in self._host.follow(cursor):
            if isinstance(batch, Gap):
                self._look_at_all()
                continue
            for entry in batch:
                match entry.event:
                    case Changed(status=status):
                        for id in self._open(status.name, entry.seq):
                            self._look(id, entry)
                    case Removed(name=name, by=by):
                        for id in self._open(name, entry.seq):
                            self._removed(id, by)
                    case PhaseChanged(phase=phase):
                        if phase in (Phase.LEAVING, Phase.OVER):
                            self._leave()

    def _open(self, worker: str, seq: int) -> list[str]:
        """The pending operations of a worker that entry `seq` came after."""
        return [id for id in self._by_worker.get(worker, ()) if seq > self._pending[id].seen]

    def _look_at_all(self) -> None:
        snapshot = self._host.snapshot()
        for id in list(self._pending):
            entry = snapshot.workers.get(self._known[id].worker)
            if entry is None:
                self._removed(id, "")
            else:
                self._look(id, entry)

    def _look(self, id: str, entry: Entry) -> None:
        operation, pending = self._known[id], self._pending[id]
        assert isinstance(entry.event, Changed)
        status = entry.event.status
        if status.state is State.STOPPING and pending.stopping is None:
            pending.stopping = status.since
        if status.state is State.KILLING and pending.killed is None:
            pending.killed = status.since
        verdict = judge(operation.action, operation.until, operation.first, status, entry.event.by)
        if verdict is None and self._leaving and wants_run(operation.action):
            verdict = Verdict("failed", "the service is shutting down", "shutting_down")
        if verdict is not None:
            self._settle(id, with_kill(verdict, operation.action, status, pending.stopping, pending.killed), status.run)

    def _removed(self, id: str, by: str) -> None:
        operation = self._known[id]
        if wants_run(operation.action):
            verdict = Verdict("superseded", f"{operation.worker} was removed" + (f" by {by}" if by else ""))
        else:
            verdict = Verdict("done", "stopped and removed")
        self._settle(id, verdict)

    def _leave(self) -> None:
        self._leaving = True
        for id in list(self._pending):
            if wants_run(self._known[id].action):
                self._settle(id, Verdict("failed", "the service is shutting down", "shutting_down"))

    def _settle(self, id: str, verdict: Verdict, run: int | None = None) -> None:
        operation = replace(
            self._known[id], state=verdict.state, outcome=verdict.outcome, code=verdict.code or verdict.state, run=run
        )
        self._known[id] = operation
        self._pending.pop(id).done.set()
        ids = self._by_worker[operation.worker]
        ids.discard(id)
        if not ids:
            del self._by_worker[operation.worker]
        self._tell(operation)
