"""One probe of one run, looked at again and again: the pauses, the judge, and what is kept of each look.

What is told is a change of the standing, nothing else. A look of which this process was too late to see the outcome
(it was stopped, its host asleep, or busy) counts only when it was good: nobody is blamed for a pause of ours.
"""

import asyncio
from collections.abc import Awaitable, Callable

from ..declared import Probe
from . import LATE, Answer, Finding, Look, brief
from .judge import Judge

Told = Callable[[bool, Finding], object]
"""Called with the new standing and the look that made it."""

Keep = Callable[[Finding], object]


class Prober:
    """The probe `role` of a run. `keep` gets every finding, `told` those that change the standing."""

    def __init__(
        self, role: str, probe: Probe, run: int, now: Callable[[], float], keep: Keep, told: Told,
        standing: bool | None = None,
    ) -> None:  # fmt: skip
        self.role, self.probe, self.run = role, probe, run
        self.judge = Judge(probe.success_threshold, probe.failure_threshold, standing)
        self._now, self._keep, self._told = now, keep, told

    @property
    def pause(self) -> float:
        """Seconds between two looks, by what is known now."""
        return self.probe.period if self.judge.passed else self.probe.first_period

    def take(self, answer: Answer) -> None:
        """Judges one look."""
        changed = self.judge.take(answer.good)
        finding = Finding(
            self.role, self.run, str(self.probe), answer.good, brief(answer.text), self._now(), self.judge.in_a_row
        )
        self._keep(finding)
        if changed is not None:
            self._told(changed, finding)

    async def poll(self, look: Look, delay: float) -> None:
        """Looks until it is cancelled, first after `delay` seconds."""
        loop = asyncio.get_running_loop()
        await wait(delay)
        while True:
            begun = loop.time()
            answer = await look()
            if answer.good or not answer.late:
                self.take(answer)
            await wait(begun + self.pause - loop.time())

    async def heartbeat(self, heard: Callable[[], Awaitable[Answer]], delay: float) -> None:
        """Asks at the end of each period whether something was heard in it; a period that we slept through is none."""
        loop = asyncio.get_running_loop()
        await wait(delay)
        while True:
            due = loop.time() + self.probe.period
            await wait(self.probe.period)
            late = loop.time() - due > LATE
            answer = await heard()
            if answer.good or not late:
                self.take(answer)


async def wait(seconds: float) -> None:
    """Lets so many seconds pass; none where they have passed."""
    loop = asyncio.get_running_loop()
    await asyncio.wait([loop.create_future()], timeout=max(0.0, seconds))
