"""Restarts some workers after each other: a batch, until all of it is ready, a pause, the next one; stops at a failure.

An asker that waits for its own orders, which are operations like any other. What is not running is passed over: who
rolls over a group does not mean to start what is stopped. Nothing of it outlives this process: a crash leaves the rest
as it was.

Known wart: a worker that was restarted by somebody else meanwhile is restarted once more.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from supervisor_core.errors import Refused
from supervisor_core.messages import Changed
from supervisor_core.model import Phase, Status

from ..host import Host

KEPT = 100
PATIENCE = 300.0
"""Seconds that a worker gets to be ready, where nobody says another time."""


class Told(Protocol):
    """What is read of an operation."""

    @property
    def id(self) -> str: ...

    @property
    def state(self) -> str: ...

    @property
    def outcome(self) -> str: ...


class Operations(Protocol):
    """See `watchers.operations`."""

    async def give(self, action: str, name: str, *, by: str = ..., reason: str = ...) -> Told: ...

    async def wait(self, id: str, seconds: float) -> Told: ...


@dataclass(frozen=True, slots=True)
class Rolling:
    """How far it is: pending, done or failed. `left` are those that it has not come to, `failed` is why it ended."""

    id: str
    by: str
    asked: float
    batch: int
    pause: float
    patience: float
    reason: str = ""
    state: str = "pending"
    done: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    failed: str = ""


class Rollings:
    """The last ones. Belongs to the loop."""

    def __init__(self, operations: Operations, host: Host) -> None:
        self._operations, self._host = operations, host
        self._known: OrderedDict[str, Rolling] = OrderedDict()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def get(self, id: str) -> Rolling | None:
        return self._known.get(id)

    def begin(
        self, workers: Sequence[str], by: str, *, batch: int, pause: float, patience: float = PATIENCE, reason: str = ""
    ) -> Rolling:
        """Begins with the first batch. Raises `Refused` when one of the workers is in another one under way."""
        for other in self._known.values():
            if other.state == "pending" and (both := [name for name in workers if name in other.left]):
                raise Refused(f"{both[0]} is about to be restarted by {other.id} already; wait for that", "conflict")
        id = "roll-" + secrets.token_hex(8)
        told = Rolling(id, by, self._host.now(), batch, pause, patience, reason, left=tuple(workers))
        self._known[id] = told
        while len(self._known) > KEPT and next(iter(self._known.values())).state != "pending":
            self._known.popitem(last=False)
        self._tasks[id] = asyncio.create_task(self._roll(id), name=id)
        return told

    async def wait(self, id: str, seconds: float) -> Rolling:
        """How it is when it has ended, or after so many seconds. Raises KeyError."""
        task = self._tasks.get(id)
        if task is not None and seconds > 0:
            await asyncio.wait([task], timeout=seconds)
        return self._known[id]

    async def aclose(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    # ------------------------------------------------------------ rolling

    async def _roll(self, id: str) -> None:
        try:
            while (told := self._known[id]).left:
                running = [name for name in told.left if self._runs(name)]
                batch = running[: told.batch]
                after = told.left[told.left.index(batch[-1]) + 1 :] if batch else ()
                passed = [name for name in told.left if name not in batch and name not in after]
                self._put(id, skipped=(*told.skipped, *passed), left=(*batch, *after))
                if failed := await self._restart(told, batch):
                    self._put(id, state="failed", failed=failed)
                    return
                self._put(id, done=(*told.done, *batch), left=after)
                if any(self._runs(name) for name in after):
                    await _rest(told.pause)
            self._put(id, state="done")
        except Refused as refusal:
            self._put(id, state="failed", failed=str(refusal))
        finally:
            self._tasks.pop(id, None)

    async def _restart(self, told: Rolling, batch: Sequence[str]) -> str:
        """Why one of them has not come up again; "" when all have."""
        given = [
            await self._operations.give("restart", name, by=told.by, reason=told.reason or told.id) for name in batch
        ]
        end = self._host.now() + told.patience
        for name, operation in zip(batch, given, strict=True):
            ended = await self._operations.wait(operation.id, max(0.0, end - self._host.now()))
            if ended.state == "pending":
                return f"{name} was not ready within {told.patience:g} s"
            if ended.state != "done":
                return f"{name}: {ended.outcome}"
        return ""

    def _runs(self, name: str) -> bool:
        """Whether it is wanted and not at its end: there is something to restart."""
        snapshot = self._host.snapshot()
        if snapshot.phase in (Phase.LEAVING, Phase.OVER):
            raise Refused("the service is shutting down", "shutting_down")
        entry = snapshot.workers.get(name)
        status: Status | None = entry.event.status if entry and isinstance(entry.event, Changed) else None
        return status is not None and status.wanted and status.live and not status.removing

    def _put(self, id: str, **changes: object) -> None:
        self._known[id] = replace(self._known[id], **changes)  # type: ignore[arg-type]


async def _rest(seconds: float) -> None:
    """Nobody wakes it but a cancellation."""
    if seconds > 0:
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)
