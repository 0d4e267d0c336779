"""The ground that is a keeper: how this process asks it, hears from it, and starts another one in its place.

The keeper started this process, holds the instance, and goes on with everything when this process dies; then there is
another one like it, which asks it what is.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from supervisor_core.config import Config
from supervisor_core.errors import SupervisorError
from supervisor_core.keeper.client import KeptSpawner
from supervisor_core.keeper.legacy import Listening
from supervisor_core.keeper.logs import KeptLogs
from supervisor_core.keeper.orders import Keepers
from supervisor_core.keeper.policies import tell_policies
from supervisor_core.model import WorkerSpec

from . import ruling
from .grounds import Hear, Now, Told
from .keepers import orders_of
from .rehearsal import rehearse
from .running import announce
from .settings import Instance
from .watchers.upgrades import CannotUpgrade, Upgrade

MOMENT = 1.0
"""Seconds after which who waits for the keeper looks whether that is still worth it."""


class Kept:
    """A keeper at the other end of `channel`; `waits`: it answers when another service has ended.

    `troubled` hears of output that cannot be stored.
    """

    def __init__(self, instance: Instance, channel: socket.socket, now: Now, troubled: Told, *, waits: bool) -> None:
        self._instance, self._now, self._troubled = instance, now, troubled
        self.spawner = KeptSpawner(channel, instance.mark, self._revive)
        self.store = KeptLogs(instance.logs, self.spawner.send)
        self.spawner.on_message = self._take
        self.fresh, self.left, self._waits = True, False, waits
        self._keepers = Keepers()
        self._left: Mapping[str, Any] = {}
        self._trouble: tuple[int, str] = (0, "")
        self._urls: Sequence[str] | None = None
        self._hear: Hear = lambda *_: None
        self._has_come = self._ending = False

    @property
    def pid(self) -> int:
        return self.spawner.keeper

    async def greet(self) -> Mapping[str, Any]:
        """What this process's predecessor left; nothing when there was none."""
        self._loop = asyncio.get_running_loop()
        left = await self.spawner.greet()
        self._waits = False
        self.fresh, self.left, self._left = "came" not in left, "left" in left, left
        return left

    async def connect(self, config: Config) -> None:
        self._take_over(config, config.workers)
        await self.spawner.connect(self._policies)
        self.store.maintain(lambda worker: self._own.get(worker, self._config.logs.each), self._swap)

    def rule(self, config: Config, specs: Sequence[WorkerSpec]) -> None:
        before = self._policies
        self._take_over(config, specs)
        if self._policies != before:
            self.spawner.set_logs(self._policies)
        self.spawner.keep(ruling.KEEPSAKE, config.sources.told())

    def _take_over(self, config: Config, specs: Sequence[WorkerSpec]) -> None:
        self._config, self._own = config, {spec.name: spec.logs for spec in specs}
        self._policies = tell_policies(config.logs.max_total, config.logs.each, self._own)

    def came(self) -> None:
        self._has_come = True
        self.spawner.came()
        self.spawner.keep("came", self._now())
        self.spawner.keep(ruling.KEEPSAKE, self._config.sources.told())

    def listen(self, listening: Sequence[Listening]) -> None:
        self.spawner.legacy.listen(listening)

    def on_trouble(self, hear: Hear) -> None:
        self._hear = hear
        hear(*self._trouble)

    @property
    def outlives(self) -> bool:
        return self._has_come or not self.fresh

    def announce(self, urls: Sequence[str]) -> bool:
        self._urls = urls
        return announce(self._instance, urls, self.pid)

    def leaving(self) -> None:
        self.spawner.leaving()

    async def end(self) -> None:
        self._ending = True
        await self.spawner.aclose()
        await asyncio.to_thread(self.store.close)  # what compresses may be waiting for an answer

    def hang_up(self, status: int) -> None:
        self._instance.tidy()
        self.spawner.hang_up(status)

    async def upgrade(self) -> tuple[int, float | None]:
        if why := await rehearse(self._instance.config):
            raise CannotUpgrade(why)
        try:
            gap = await self.spawner.handover.upgrade(sys.executable, orders_of(self._instance).service)
            await self.spawner.handover.prepare()
        except SupervisorError as error:
            raise CannotUpgrade(str(error)) from error
        return self.spawner.keeper, gap

    def last_upgrade(self) -> Upgrade | None:
        told = self._left.get("upgrade")
        return Upgrade.of(told) if isinstance(told, dict) else None

    def remember(self, upgrade: Upgrade) -> None:
        self.spawner.keep("upgrade", upgrade.told())

    def step_aside(self) -> None:
        self.spawner.step_aside()

    def _swap(self, worker: str, stream: str, base: int, new: str) -> bool:
        """From the thread that compresses: asks the keeper, and waits; at the end no longer than a moment."""
        swap = self.spawner.ask({"t": "swap", "worker": worker, "stream": stream, "base": base, "new": new})
        answer = asyncio.run_coroutine_threadsafe(swap, self._loop)
        while True:
            with contextlib.suppress(TimeoutError):
                return bool(answer.result(MOMENT)["done"])
            if self._ending:
                answer.cancel()
                return False

    def _take(self, message: Mapping[str, Any]) -> None:
        match message.get("t"):
            case "moved":
                self.store.moved(message["worker"])
            case "stream":
                number = message["errno"]
                error = OSError(number, os.strerror(number)) if number else None
                self._troubled(message["worker"], message["stream"], error)
            case "ready":
                self.store.reconnected()
                if self._urls is not None:  # another keeper has another pid
                    announce(self._instance, self._urls, self.pid)
            case "leave":  # what was to be sent by a keeper that was killed
                signal.raise_signal(signal.SIGTERM)
            case "trouble" | "calm":
                self._trouble = int(message.get("errno", 0)), message.get("about", "")
                self._hear(*self._trouble)

    def _revive(self) -> socket.socket:
        """Another keeper in the place of the one that has died."""
        if self._waits:  # the one that is waited for does that
            raise SystemExit("quarterdeck: this successor is not wanted any more")
        return self._keepers.start(orders_of(self._instance, pid=os.getpid(), awaits=True, adopted=True))
