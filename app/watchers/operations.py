"""Operations: orders that one can wait for. Gives the order; `settling.py` follows it until its outcome is known.

A watcher like any other: it sees events and snapshots of a `Host`, never the supervisor. With a `Past` (the ledger)
the operations of earlier lives of the service are known, too, and so are the keys of their requests.

Known wart: a request that comes again while its first one is still being given is answered before that is under way.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import replace

from supervisor_core.messages import Changed, Disable, Enable, Kill, Order, Restart, Signal, Start, Stop

from ..host import Host
from .outcome import Operation, first_run, switched
from .past import LOST, Kept, KeyReused, Keys, Past, refuse_other, resumed, wording
from .settling import KEPT_SECONDS, Settling

__all__ = ["ORDERS", "KeyReused", "Operations"]

ORDERS: dict[str, Callable[..., Order]] = {"start": Start, "stop": Stop, "restart": Restart, "kill": Kill}
"""Actions by the name they have in the API."""

SWITCHES: dict[str, Callable[..., Order]] = {"enable": Enable, "disable": Disable}


class Operations(Settling):
    """All operations of one host. Belongs to one event loop; it follows the journal from the first order on."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._keys = Keys()
        self._past: Past | None = None
        self._task: asyncio.Task[None] | None = None

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
        asked, until = wording(action, name, cascade, until), until or ("done" if before.spec.one_shot else "ready")
        options = {} if action == "kill" else {"cascade": cascade}
        self._keys.put(by, key, id, asked)
        operation = Operation(
            id, action, name, by, self._host.now(), reason=reason, until=until, first=first_run(action, before)
        )
        self._keep(operation)
        try:
            if key and self._past is not None:  # what comes again after a crash must be known, whatever was done of it
                self._past.take_key(Kept(operation, key, asked))
                await self._past.written()
                before = self._status(name)
                operation = replace(operation, first=first_run(action, before))
                self._keep(operation)
            receipt = await self._host.tell(ORDERS[action](name, **options, by=by, operation=id))
        except BaseException as error:
            self._forget(id)
            if key and self._past is not None:
                self._past.take_key(Kept(replace(operation, state="failed", outcome=str(error))))
            raise
        if receipt.operation not in ("", id):
            self._forget(id)
            joined = self._known.get(receipt.operation)
            self._keys.put(by, key, receipt.operation, asked)
            if key and self._past is not None:
                self._past.take_key(Kept(replace(operation, state="joined", outcome=receipt.operation), key, asked))
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

    async def switch(self, action: str, name: str, *, by: str = "system", reason: str = "") -> Operation:
        """Enables or disables; it is settled at once. Raises `Refused`."""
        self._status(name)
        id = "op-" + secrets.token_hex(8)
        await self._host.tell(SWITCHES[action](name, by=by, operation=id))
        outcome = switched(self._status(name))
        operation = Operation(id, action, name, by, self._host.now(), "done", outcome, reason=reason)
        self._keep(operation)
        self._tell(operation)
        return operation

    # ------------------------------------------------------------ earlier lives

    def remember(self, past: Past) -> None:
        """From now on operations are kept there, and those of earlier lives are known."""
        self._past = past
        self.listen(past.take_operation)
        self._task = asyncio.create_task(self._resume_all(past), name="earlier operations")

    async def recall(self, id: str) -> Operation | None:
        """An operation that may be of an earlier life; one that is pending goes on, or is judged."""
        if id in self._known or self._past is None:
            return self._known.get(id)
        kept = await self._past.operation(id)
        if kept is None or kept.operation.settled:
            return None if kept is None else kept.operation
        self._resume(kept)
        return self._known.get(id)

    async def recall_key(self, by: str, key: str) -> None:
        """Looks for what a caller asked for with a key in an earlier life, before `give` or `repeated`."""
        if self._past is None or not key or self._keys.find(by, key) is not None:
            return
        kept = await self._past.by_key(by, key)
        if kept is not None and self._keys.find(by, key) is None:
            joined = kept.operation.outcome if kept.operation.state == "joined" else ""
            other = await self._past.operation(joined) if joined else kept
            if other is not None:
                self._resume(other)
                self._keys.put(by, key, other.operation.id, kept.wording)

    async def _resume_all(self, past: Past) -> None:
        for kept in await past.pending():
            self._resume(kept)

    def _resume(self, kept: Kept) -> None:
        """Knows an operation of an earlier life; follows it when it goes on, and settles it when that can be judged."""
        operation = kept.operation
        if operation.id in self._known:
            return
        self._keep(operation)
        if operation.settled or self._past is None:
            return
        self._past.take_key(kept)
        entry = self._follow_on(operation).workers.get(operation.worker)
        status = entry.event.status if entry and isinstance(entry.event, Changed) else None
        verdict = resumed(operation, status)
        if verdict is not None:
            self._settle(operation.id, verdict, status.run if status else None)

    async def aclose(self) -> None:
        """Stops following; what is pending stays so, also for the next life."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await super().aclose()

    def repeated(
        self, by: str, key: str, action: str, name: str, *, cascade: bool = False, until: str = ""
    ) -> Operation | None:
        """What the same caller was answered for the same key; raises `KeyReused` when that was another order."""
        found = self._keys.find(by, key)
        known = None if found is None else self._known.get(found[0])
        if found is None or known is None or known.asked < self._host.now() - KEPT_SECONDS:
            return None
        refuse_other(found[1], wording(action, name, cascade, until))
        return None if known.code == LOST else known
