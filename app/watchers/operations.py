"""Operations: orders that one can wait for. Gives the order, then follows the journal until its outcome is known.

A watcher like any other: it sees events and snapshots of a `Host`, never the supervisor. What a status means is judged
in `outcome.py`. Settled operations are kept for a day, the last ten thousand of them.

Known wart: what happened between the order and its first look at a remote host is judged by the run number alone.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from supervisor_core.errors import Refused
from supervisor_core.journal import Cursor, Entry, Gap
from supervisor_core.messages import Changed, Kill, Order, PhaseChanged, Removed, Restart, Signal, Start, Stop
from supervisor_core.model import Phase, State, Status

from ..host import Host
from .outcome import Operation, Verdict, first_run, judge, wants_run, with_kill

KEPT = 10_000
KEPT_SECONDS = 86_400.0

ORDERS: dict[str, Callable[..., Order]] = {"start": Start, "stop": Stop, "restart": Restart, "kill": Kill}
"""Actions by the name they have in the API."""


class KeyReused(Exception):
    """An idempotency key came back with another order."""


@dataclass(slots=True)
class _Pending:
    """What is known beside the operation while it is pending. Entries up to `seen` are older than the order."""

    done: asyncio.Event
    seen: int = 0
    stopping: float | None = None
    killed: float | None = None


class Operations:
    """All operations of one host. Belongs to one event loop; it follows the journal from the first order on."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._known: OrderedDict[str, Operation] = OrderedDict()
        self._pending: dict[str, _Pending] = {}
        self._by_worker: dict[str, set[str]] = {}
        self._keys: OrderedDict[tuple[str, str], tuple[str, tuple[str, str, bool, str]]] = OrderedDict()
        self._listeners: list[Callable[[Operation], None]] = []
        self._follower: asyncio.Task[None] | None = None
        self._leaving = False

    def listen(self, heard: Callable[[Operation], None]) -> None:
        """Calls `heard` with each operation when it is given and when it has settled."""
        self._listeners.append(heard)

    def get(self, id: str) -> Operation | None:
        return self._known.get(id)

    # ------------------------------------------------------------ giving

    async def give(
        self,
        action: str,
        name: str,
        *,
        by: str = "system",
        cascade: bool = False,
        until: str = "",
        reason: str = "",
        key: str = "",
    ) -> Operation:
        """Gives start, stop, restart or kill; answers with the operation to wait for, which may be one under way.

        `until` is "ready" or "done"; "" is done for one-shots, else ready. `key` makes repeats (by the same `by`)
        give the same operation. Raises `Refused`, and `KeyReused` for a key that was used for another order.
        """
        known = self.repeated(by, key, action, name, cascade=cascade, until=until)
        if known is not None:
            return known
        before = self._status(name)
        id = "op-" + secrets.token_hex(8)
        asked_until, until = until, until or ("done" if before.spec.one_shot else "ready")
        options = {} if action == "kill" else {"cascade": cascade}
        order = (action, name, cascade, asked_until)
        if key:
            self._keys[by, key] = (id, order)
        operation = Operation(
            id, action, name, by, self._host.now(), reason=reason, until=until, first=first_run(action, before)
        )
        self._keep(operation)
        try:
            receipt = await self._host.tell(ORDERS[action](name, **options, by=by, operation=id))
        except BaseException:
            self._forget(id)
            raise
        if receipt.operation not in ("", id):
            self._forget(id)
            joined = self._known.get(receipt.operation)
            if key:
                self._keys[by, key] = (receipt.operation, order)
            if joined is not None:
                return joined
            operation = replace(operation, id=receipt.operation)
            self._keep(operation)
        return self._begin(operation, before)

    async def signal(self, name: str, signal: str, *, tree: bool = False, by: str = "system") -> Operation:
        """Sends a signal (a name without SIG); it is settled at once. Raises `Refused`."""
        before = self._status(name)
        id = "op-" + secrets.token_hex(8)
        await self._host.tell(Signal(name, signal, tree, by=by, operation=id))
        whom = "every process" if tree or before.leader_gone is not None else "the main process"
        operation = Operation(
            id, "signal", name, by, self._host.now(), "done", f"sent {signal} to {whom} of run {before.run}", before.run
        )
        self._keep(operation)
        self._tell(operation)
        return operation

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

    def repeated(
        self, by: str, key: str, action: str, name: str, *, cascade: bool = False, until: str = ""
    ) -> Operation | None:
        """What the same caller was answered for the same key; raises `KeyReused` when that was another order."""
        found = self._keys.get((by, key)) if key else None
        known = None if found is None else self._known.get(found[0])
        if found is None or known is None or known.asked < self._host.now() - KEPT_SECONDS:
            return None
        if found[1] != (action, name, cascade, until):
            before = f"{found[1][0]} {found[1][1]}"
            raise KeyReused(f"this Idempotency-Key was used to {before} in another way; make a new one for this order")
        return known

    def _keep(self, operation: Operation) -> None:
        self._known[operation.id] = operation
        horizon = self._host.now() - KEPT_SECONDS
        while self._known:
            oldest = next(iter(self._known.values()))
            if len(self._known) <= KEPT and oldest.asked >= horizon:
                break
            self._forget(oldest.id)
        while len(self._keys) > KEPT:
            self._keys.popitem(last=False)

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
        snapshot = self._host.snapshot()
        self._leaving = snapshot.phase in (Phase.LEAVING, Phase.OVER)
        pending = _Pending(asyncio.Event(), snapshot.cursor.seq)
        if before.state is State.STOPPING:
            pending.stopping = before.since
        self._pending[operation.id] = pending
        self._by_worker.setdefault(operation.worker, set()).add(operation.id)
        self._supersede(operation)
        self._tell(operation)
        entry = snapshot.workers.get(operation.worker)
        if entry is None:
            self._removed(operation.id, operation.by)
        else:
            self._look(operation.id, entry)
        if self._follower is None or self._follower.done():
            self._follower = asyncio.create_task(self._follow(snapshot.cursor), name="operations")
        return self._known.get(operation.id, operation)

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
