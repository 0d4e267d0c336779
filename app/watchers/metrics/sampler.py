"""Samples in threads: the loop never waits for /proc or a driver, of which each may hang.

One look at a time. What is asked for while an earlier look has not come back waits for it. GPUs are asked beside, and
what they said last counts for some seconds; so a driver that hangs costs its own numbers and no others.

Known wart: a thread that hangs in the kernel stays until that answers, and then the process ends without it.
"""

import asyncio
import resource
from collections.abc import Callable, Sequence
from typing import Protocol

from supervisor_core.calling import call
from supervisor_core.children import procfs

from . import Sample, Target
from .gpu import Gpus, Use
from .trees import Trees

SHARE = 4
"""The part of the descriptors of this process that may be kept for /proc."""

FRESH = 3.0
"""Seconds for which what GPUs said counts."""


class Sampler(Protocol):
    """Whoever can measure. Belongs to the loop, which asks for one thing at a time."""

    @property
    def available(self) -> bool:
        """Whether anything can be measured on this system."""
        ...

    async def sample(self, targets: Sequence[Target]) -> Sample | None:
        """What these runs use now; None when that could not be seen this time."""
        ...

    async def weigh(self, worker: str) -> float | None:
        """The exact memory of a worker that was sampled just now, in bytes; None where that is not shown."""
        ...

    def close(self) -> None:
        """Gives back everything that is held for the next sample."""
        ...


class ProcSampler:
    """By /proc, of the runs of one instance; `now` is the clock of the samples."""

    def __init__(self, instance: str, now: Callable[[], float]) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._trees = Trees(instance, now, keep=soft // SHARE)
        self._now = now
        self._gpus = Gpus()
        self._asking: asyncio.Task[None] | None = None
        self._closed = False
        self._used: tuple[float, Use | None] = (0.0, None)

    @property
    def available(self) -> bool:
        return procfs.available()

    async def sample(self, targets: Sequence[Target]) -> Sample | None:
        self._closed = False
        if self._asking is None and not self._gpus.absent:
            self._asking = asyncio.create_task(self._ask(), name="gpus")
        at, used = self._used
        try:
            sample: Sample = await call(self._trees.sample, targets, used if self._now() - at <= FRESH else None)
        except OSError:
            return None
        return sample

    async def weigh(self, worker: str) -> float | None:
        size: float | None = await call(self._trees.weigh, worker)
        return size

    def close(self) -> None:
        self._closed = True
        self._trees.close()
        if self._asking is None:
            self._gpus.close()

    async def _ask(self) -> None:
        try:
            self._used = (self._now(), await call(self._gpus.read))
        finally:
            self._asking = None
            if self._closed:
                self._gpus.close()
