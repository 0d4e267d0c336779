"""What the service stands on: who owns the processes and their output, and what is known of them when it comes.

`InProcess` is this process itself, with which the workers end. The other one is a keeper: `kept.py`.
"""

import os
from collections.abc import Callable, Sequence
from typing import Protocol

from supervisor_core.children import Spawner
from supervisor_core.children.local import LocalSpawner
from supervisor_core.children.segments import SegmentStore
from supervisor_core.config import Config
from supervisor_core.keeper.legacy import Listening
from supervisor_core.logs import LogSink
from supervisor_core.model import WorkerSpec

from .running import announce
from .settings import Instance
from .watchers.upgrades import CannotUpgrade, Upgrade

Now = Callable[[], float]
Told = Callable[[str, str, OSError | None], None]
Hear = Callable[[int, str], None]


class Ground(Protocol):
    """Made before the loop; used in it, in the order of the methods."""

    @property
    def spawner(self) -> Spawner: ...

    @property
    def store(self) -> LogSink: ...

    @property
    def pid(self) -> int:
        """Whom a signal for the service is for."""
        ...

    fresh: bool
    """Whether the service has just been started, and not this process alone in the place of one that has died."""

    left: bool
    """Whether the service before that one had been told to leave, so that whatever has ended since was stopped."""

    def came(self) -> None:
        """The service is up and doing."""
        ...

    def listen(self, listening: Sequence[Listening]) -> None:
        """These sockets, and no others, are to outlive this process, where anything does."""
        ...

    def rule(self, config: Config, specs: Sequence[WorkerSpec]) -> None:
        """From now on this config holds, and these are all workers."""
        ...

    def on_trouble(self, hear: Hear) -> None:
        """Calls with errno and sentence when the state cannot be written down, and with 0 and "" when it can."""
        ...

    @property
    def outlives(self) -> bool:
        """Whether the workers go on, with another service, when this process ends without a word."""
        ...

    def announce(self, urls: Sequence[str]) -> bool:
        """Tells clients of this machine where the service is reached and whom a signal is for; false: it could not."""
        ...

    def leaving(self) -> None:
        """The service has been told to leave: it is not to be started again."""
        ...

    async def end(self) -> None:
        """Lets go of processes and logs, of the first after the last bytes."""
        ...

    def hang_up(self, status: int) -> None:
        """The very last word."""
        ...

    async def upgrade(self) -> tuple[int, float | None]:
        """See `upgrades.Upgradable`."""
        ...

    def last_upgrade(self) -> Upgrade | None:
        """What a predecessor of this process said of it."""
        ...

    def remember(self, upgrade: Upgrade) -> None:
        """For this process's successor."""
        ...

    def step_aside(self) -> None:
        """The very last word of a process that ends for its successor."""
        ...


class InProcess:
    """Everything here. `troubled` hears of output that cannot be stored."""

    fresh, left, outlives = True, False, False

    def __init__(self, config: Config, instance: Instance, now: Now, troubled: Told) -> None:
        self._instance = instance
        limits = config.logs
        self.store = SegmentStore(
            instance.logs, now=now, max_total=limits.max_total, policy=limits.each, copy=True,
            own={spec.name: spec.logs for spec in config.workers},
        )  # fmt: skip
        self.store.on_trouble = troubled
        self.spawner = LocalSpawner(self.store, subreaper=True, instance=instance.mark)

    @property
    def pid(self) -> int:
        return os.getpid()

    def came(self) -> None:
        pass

    def rule(self, config: Config, specs: Sequence[WorkerSpec]) -> None:
        own = {spec.name: spec.logs for spec in specs}
        self.store.configure(policy=config.logs.each, max_total=config.logs.max_total, own=own)

    def listen(self, listening: Sequence[Listening]) -> None:
        pass

    def on_trouble(self, hear: Hear) -> None:
        pass

    def announce(self, urls: Sequence[str]) -> bool:
        return announce(self._instance, urls)

    def leaving(self) -> None:
        pass

    async def end(self) -> None:
        await self.spawner.aclose()
        self.store.close()

    def hang_up(self, status: int) -> None:
        pass

    async def upgrade(self) -> tuple[int, float | None]:
        why = "this service runs without a keeper, and its workers would end with it"
        raise CannotUpgrade(f"{why}; if they may, end it with quarterdeck shutdown and start it again", "no_keeper")

    def last_upgrade(self) -> Upgrade | None:
        return None

    def remember(self, upgrade: Upgrade) -> None:
        pass

    def step_aside(self) -> None:
        pass
