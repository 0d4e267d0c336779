"""When is sampled: while somebody looks, or a worker has a threshold. At rest there is no timer, thread or descriptor.

Who looks: a stream of events with metrics (all workers), and whoever asked for a worker's history, for half a minute
more. What was sampled goes into the history, to the thresholds, and to those who listen. A look that takes longer than
its second is not made up for: that time is a gap.

Known wart: whoever asks once is taken for somebody who will ask again, so one question costs half a minute of samples.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator

from supervisor_core.messages import Changed

from ...host import Host
from . import PERIOD, Sample, Target
from .guard import Guard
from .history import History
from .sampler import Sampler

LINGER = 30.0
"""Seconds for which one question counts as looking."""

PATIENCE = 5.0
"""Seconds for which a fresh sample is waited for."""

SOON = 0.25
"""Seconds between the two looks for somebody who asks when nobody was looking: rates need two."""


class Metrics:
    """The samples of one host. Belongs to its event loop.

    `number` is that of the last sample, 0 before the first; `latest` is what each live run used then, by worker, and
    `changed` those of its workers whose numbers are other ones than in the sample before.
    """

    def __init__(self, host: Host, sampler: Sampler) -> None:
        self.history = History()
        self.number = 0
        self.latest: Sample | None = None
        self.changed: frozenset[str] = frozenset()
        self._host = host
        self._sampler = sampler
        self._guard: Guard | None = None
        self._watchers = 0
        self._asked: dict[str, float] = {}
        self._listeners: list[Callable[[], None]] = []
        self._moved = asyncio.Event()
        self._sampling: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    @property
    def sampling(self) -> bool:
        """Whether samples are taken just now."""
        return self._sampling is not None

    def hold(self, guard: Guard) -> None:
        """From now on samples are taken, and judged, for thresholds, too."""
        self._guard = guard
        guard.listen(self._begin)

    def listen(self, heard: Callable[[], None]) -> None:
        """Calls `heard` after each sample while a stream looks."""
        self._listeners.append(heard)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Somebody looks at all workers, as long as this lasts."""
        self._watchers += 1
        self._begin()
        try:
            yield
        finally:
            self._watchers -= 1

    def ask(self, workers: Iterable[str]) -> None:
        """Somebody looks at these, and is likely to do so again."""
        until = asyncio.get_running_loop().time() + LINGER
        self._asked |= dict.fromkeys(workers, until)
        self._begin()

    async def fresh(self, workers: Iterable[str]) -> Sample | None:
        """What they use now, with rates; what is known after some seconds if that takes longer, None for nothing."""
        wanted = set(workers)
        self.ask(wanted)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while self.sampling and not self._covers(self.latest, wanted):
                    await self._moved.wait()
        return self.latest

    async def aclose(self) -> None:
        """Stops; a look that is under way is waited for, for a second."""
        self._over.set()
        if self._sampling is not None:
            await asyncio.wait({self._sampling}, timeout=PERIOD)
            if self._sampling is not None:
                self._sampling.cancel()

    # ------------------------------------------------------------ sampling

    def _begin(self) -> None:
        if self._sampling is None and self._sampler.available and not self._over.is_set():
            self._sampling = asyncio.create_task(self._sample(), name="metrics")

    def _named(self) -> set[str]:
        """Whom somebody wants to know of, beside those who look at all."""
        now = asyncio.get_running_loop().time()
        self._asked = {name: until for name, until in self._asked.items() if until > now}
        return {*self._asked, *(self._guard.workers() if self._guard is not None else ())}

    def _targets(self) -> list[Target]:
        named = self._named()
        workers = self._host.snapshot().workers
        events = [entry.event for name, entry in workers.items() if self._watchers or name in named]
        return [
            Target(one.status.name, one.status.run, one.status.pid, one.status.leader_gone is not None)
            for one in events
            if isinstance(one, Changed) and one.status.live and one.status.pid is not None
        ]

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        due, pause = loop.time(), SOON
        try:
            while not self._over.is_set() and (self._watchers or self._named()):
                sample = await self._sampler.sample(self._targets())
                if sample is not None:
                    await self._take(sample)
                due, pause = max(due + pause, loop.time()), PERIOD
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await self._over.wait()
        finally:
            self._sampler.close()
            self._sampling = None
            self._tell()

    async def _take(self, sample: Sample) -> None:
        before = self.latest.rows if self.latest is not None else {}
        self.changed = frozenset(name for name, row in sample.rows.items() if before.get(name) != row)
        self.latest = sample
        self.number += 1
        self.history.add(sample)
        if self._guard is not None:
            await self._guard.judge(sample, self._sampler)
        self._tell()

    def _tell(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
        if self._watchers:
            for heard in self._listeners:
                heard()

    def _covers(self, sample: Sample | None, wanted: set[str]) -> bool:
        """Whether it is young, and has the live runs of those who are wanted, with rates where those can be known."""
        if sample is None or self._host.now() - sample.time > 2 * PERIOD or sample.since == sample.time:
            return False
        for target in self._targets():
            row = sample.rows.get(target.worker)
            if target.worker in wanted and (row is None or row.run != target.run or not row.complete):
                return False
        return True
