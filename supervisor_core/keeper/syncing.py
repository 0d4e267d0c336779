"""Waiting until what was told is on the disk: one sync for all that wait at the same time.

A sync that is under way may have begun before the last word of whoever asks now, so the next one is theirs, and that
of all who come until it begins. Known wart: where the disk stalls, the keeper waits with it, and everybody here.
"""

import asyncio
from collections.abc import Awaitable, Callable

from ..errors import SupervisorError
from .wire import Message

PATIENCE = 5.0
"""Seconds for all of it, another keeper's coming included."""


class KeeperLost(SupervisorError):
    """The keeper has gone before it answered; another one takes its place."""


class Syncs:
    """`ask` sends a message and gives the answer; raises `KeeperLost`. `up` is set while a keeper knows everything."""

    def __init__(self, ask: Callable[[Message], Awaitable[Message]]) -> None:
        self._ask = ask
        self.up = asyncio.Event()
        self._next: asyncio.Task[str] | None = None
        self._running: asyncio.Task[str] | None = None

    async def durable(self) -> None:
        """Returns when all that was told before is on the disk; raises `SupervisorError` when it might not be."""
        if self._next is None:
            self._next = asyncio.create_task(self._sync(self._running), name="sync")
        if error := await asyncio.shield(self._next):
            raise SupervisorError(
                f"it is carried out, but not on the disk ({error}), so a power cut may undo it; make room for the "
                "state folder, or mend its disk, and give the order again"
            )

    async def _sync(self, before: "asyncio.Task[str] | None") -> str:
        """Gives why it is not on the disk, "" when it is."""
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    await self.up.wait()
                    try:
                        return str((await self._ask({"t": "sync"}))["error"])
                    except KeeperLost:
                        continue
        except TimeoutError:
            return f"nobody says that it is after {PATIENCE:g} s"
