"""The change to the program that is installed now: asked for, rehearsed, done, and told by the successor.

First the keeper becomes the new program, then this service steps aside. What is known of it goes to the successor
through the keeper, so whoever asked is answered by that. What stands under a service is `grounds.py`'s.

Known wart: a gap of the service is counted from its last open door to the next one, not from a client's last answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Protocol


class CannotUpgrade(Exception):
    """Everything goes on as it was; the message says why, `code` is stable."""

    def __init__(self, sentence: str, code: str = "not_upgraded") -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True)
class Upgrade:
    """`asked` in seconds since the epoch; `keeper` is its pid, `before` and `after` are the services'.

    The gaps are in seconds, None while they are not known; `shut` is a reading of the monotonic clock.
    """

    by: str
    asked: float
    keeper: int = 0
    keeper_gap: float | None = None
    before: int = 0
    after: int = 0
    gap: float | None = None
    shut: float = field(default=0.0, repr=False)

    @property
    def state(self) -> str:
        return "done" if self.after else "pending"

    def told(self) -> dict[str, Any]:
        """For the successor; what that does not know it passes over."""
        return asdict(self)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Upgrade":
        return cls(**{one.name: told[one.name] for one in fields(cls) if one.name in told})


class Upgradable(Protocol):
    """What the service stands on."""

    async def upgrade(self) -> tuple[int, float | None]:
        """The keeper's pid and the seconds for which it was away; raises `CannotUpgrade`."""
        ...


class Upgrades:
    """At most one at a time: who asks while one is under way gets that. `last` is the newest known one."""

    def __init__(self, ground: Upgradable, pid: int, now: Callable[[], float], last: Upgrade | None = None) -> None:
        self.last = last
        self.asked = asyncio.Event()
        """Set once this service is to step aside."""
        self._ground, self._pid, self._now = ground, pid, now
        self._under_way: asyncio.Task[Upgrade] | None = None

    def begin(self, by: str) -> Awaitable[Upgrade]:
        """The upgrade, once the keeper is the new one; raises `CannotUpgrade`."""
        if self._under_way is None or (self._under_way.done() and not self.asked.is_set()):
            self._under_way = asyncio.create_task(self._upgrade(by), name="upgrade")
        return asyncio.shield(self._under_way)

    async def _upgrade(self, by: str) -> Upgrade:
        asked = self._now()
        keeper, gap = await self._ground.upgrade()
        self.last = Upgrade(by, asked, keeper, gap, self._pid)
        self.asked.set()
        return self.last

    def shut(self, moment: float) -> Upgrade:
        """The doors are closed; gives what the successor is to know."""
        assert self.last is not None
        self.last = replace(self.last, shut=moment)
        return self.last

    def arrived(self, moment: float) -> bool:
        """The doors are open; whether this service is the successor of one that stepped aside."""
        if self.last is None or self.last.after:
            return False
        gap = max(0.0, moment - self.last.shut) if self.last.shut else None
        self.last = replace(self.last, after=self._pid, gap=gap)
        return True
