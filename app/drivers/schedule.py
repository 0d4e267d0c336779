"""Starts workers at the times of their schedules: an asker like any other, with one alarm for the earliest time.

It learns of schedules and of runs from the journal, so a reload, a replica more or a worker that came by HTTP needs no
word to it. What comes when is `times.py`'s, the clock is `alarm.py`'s. Its orders carry `by="schedule"`.

A time is written down as done before its run is ordered: a crash exactly between the two loses a run rather than begin
two. After a start, a suspend or a step of the clock whatever passed meanwhile is one missed time at most.

Known wart: a queued run is remembered over a restart of the service, but not that it was a person who stopped it since.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from supervisor_core.errors import Refused
from supervisor_core.journal import Gap, Snapshot
from supervisor_core.messages import Changed, Removed, Restart, Start
from supervisor_core.model import REST, Overlap, Phase, Schedule, State, Status

from ..host import Host
from ..times import CORRECTION, Due, Planned, due, in_words, next_after, zone_of

log = logging.getLogger("quarterdeck.schedule")

BY = "schedule"
PATIENCE = 2.0
"""Seconds for which a run waits until its time is written down."""


class Alarm(Protocol):
    """See `alarm.WallAlarm`."""

    ring: Callable[[], None]

    def now(self) -> float: ...

    def set(self, moment: float | None) -> None: ...

    def close(self) -> None: ...


class Store(Protocol):
    """See `remembered.Remembered`."""

    @property
    def told(self) -> Mapping[str, Any]: ...

    async def keep(self, told: Mapping[str, Any]) -> None: ...


@dataclass(slots=True)
class _Plan:
    """One worker's schedule: the times up to `until` are dealt with, `last` is the last one that was run.

    `anchor` is when this rule was first seen. `owed`: the time whose run waits for the end of the present one.
    """

    rule: str
    until: float
    anchor: float
    last: float | None = None
    owed: float | None = None
    next: float | None = None


class Schedules(Mapping[str, Planned]):
    """What is planned, by worker. Belongs to the loop that runs `run`.

    `say` writes a line to a worker's own log; `changed` hears of a worker whose `Planned` is another one.
    """

    def __init__(
        self, host: Host, alarm: Alarm, store: Store, say: Callable[[str, str], None], changed: Callable[[str], None]
    ) -> None:
        self._host, self._alarm, self._store = host, alarm, store
        self._say, self._changed = say, changed
        self._schedules: dict[str, Schedule] = {}
        self._plans: dict[str, _Plan] = {}
        self._left = dict(store.told)
        self._unwritten = False
        self._rung = asyncio.Event()
        alarm.ring = self._rung.set

    # ------------------------------------------------------------ what is planned

    def __getitem__(self, name: str) -> Planned:
        plan = self._plans[name]
        return Planned(plan.next, plan.last, plan.rule)

    def __iter__(self) -> Iterator[str]:
        return iter(self._plans)

    def __len__(self) -> int:
        return len(self._plans)

    # ------------------------------------------------------------ the life

    async def run(self) -> None:
        """Goes on until the host leaves or it is cancelled."""
        snapshot = self._host.snapshot()
        statuses = _statuses(snapshot)
        for status in statuses:
            self._learn(status)
        self._left.clear()
        resting = (status.name for status in statuses if status.state in REST)
        owed = [name for name in resting if name in self._plans and self._plans[name].owed is not None]
        ringing = asyncio.create_task(self._ring(), name="schedule's alarm")
        self._rung.set()
        try:
            for name in owed:
                await self._pay(name)
            async for batch in self._host.follow(snapshot.cursor):
                await self._take(batch)
        finally:
            ringing.cancel()
            await asyncio.gather(ringing, return_exceptions=True)
            self._alarm.close()

    async def _take(self, batch: Any) -> None:
        if isinstance(batch, Gap):
            statuses = _statuses(self._host.snapshot())
            for name in self._plans.keys() - {status.name for status in statuses}:
                self._forget(name)
            for status in statuses:
                await self._look(status)
            return
        for entry in batch:
            match entry.event:
                case Changed(status=status) if status.spec.schedule is not None or status.name in self._plans:
                    await self._look(status)
                case Removed(name=name):
                    self._forget(name)

    async def _look(self, status: Status) -> None:
        self._learn(status)
        plan = self._plans.get(status.name)
        if plan is not None and plan.owed is not None and status.state in REST and not self._leaving:
            if status.state is State.STOPPED:
                plan.owed, self._unwritten = None, True
                self._say(status.name, "the queued run of the schedule is dropped: the worker was stopped")
            else:
                await self._pay(status.name)

    async def _ring(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            try:
                await self._fire()
            except Exception:  # one that cannot be understood must not end all others
                log.exception("a schedule failed")

    @property
    def _leaving(self) -> bool:
        return self._host.snapshot().phase in (Phase.LEAVING, Phase.OVER)

    # ------------------------------------------------------------ learning

    def _learn(self, status: Status) -> None:
        name, schedule = status.name, status.spec.schedule
        if schedule is None or status.removing:
            self._forget(name)
        elif self._schedules.get(name) != schedule:
            before = self._plans.get(name) or self._remembered(name)
            now, rule = self._alarm.now(), in_words(schedule)
            if before is None or before.rule != rule or before.until > now + CORRECTION:
                before = _Plan(rule, now, now, before.last if before is not None else None)
                self._unwritten = True
                self._rung.set()
            before.next = next_after(schedule, before.until, before.anchor)
            self._schedules[name], self._plans[name] = schedule, before
            self._changed(name)
            self._set()

    def _remembered(self, name: str) -> _Plan | None:
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            told = self._left.pop(name)
            last, owed = (None if told[key] is None else float(told[key]) for key in ("last", "owed"))
            return _Plan(str(told["rule"]), float(told["until"]), float(told["anchor"]), last, owed)
        return None

    def _forget(self, name: str) -> None:
        if self._plans.pop(name, None) is not None:
            del self._schedules[name]
            self._changed(name)
            self._set()

    def _set(self) -> None:
        self._alarm.set(min((plan.next for plan in self._plans.values() if plan.next is not None), default=None))

    # ------------------------------------------------------------ when a time has come

    async def _fire(self) -> None:
        """Deals with all that has come by now. While the service is leaving nothing has: the next one sees it."""
        if self._leaving:
            return
        now = self._alarm.now()
        come: list[tuple[str, Due]] = []
        for name, plan in self._plans.items():
            schedule = self._schedules[name]
            if plan.until > now + CORRECTION:  # the clock was wrong and is right now
                plan.until = plan.anchor = now
            elif found := due(schedule, plan.until, now, plan.anchor):
                come.append((name, found))
                plan.until = now
            plan.next = next_after(schedule, plan.until, plan.anchor)
        orders: list[tuple[Start | Restart, float | None]] = []
        for name, found in come:
            if order := self._order(name, found):
                orders.append((order, self._plans[name].last))
                self._plans[name].last = found.planned
        self._set()
        for name, _ in come:
            self._changed(name)
        if come or self._unwritten:
            await self._keep()
        for order, before in orders:
            await self._tell(order, before)

    def _order(self, name: str, found: Due) -> Start | Restart | None:
        entry = self._host.snapshot().workers.get(name)
        if entry is None or not isinstance(entry.event, Changed):
            return None
        status, schedule, when = entry.event.status, self._schedules[name], self._in_words(name, found.planned)
        if not found.runs:
            self._say(name, f"the time {when} of the schedule was missed and is skipped")
            return None
        if found.missed:
            self._say(name, f"the time {when} of the schedule was missed: run now, once")
        if status.state in REST:
            return Start(name, by=BY)
        match schedule.overlap:
            case Overlap.RESTART:
                return Restart(name, by=BY)
            case Overlap.QUEUE:
                self._plans[name].owed = found.planned
                self._say(name, f"the time {when} of the schedule waits for the end of run {status.run}")
            case Overlap.SKIP:
                self._say(name, f"the time {when} of the schedule is skipped: {_why(status)}")
        return None

    def _in_words(self, name: str, moment: float) -> str:
        return f"{datetime.fromtimestamp(moment, zone_of(self._schedules[name].timezone)):%Y-%m-%d %H:%M:%S %Z}"

    async def _pay(self, name: str) -> None:
        """Begins the run that was put off."""
        plan = self._plans[name]
        before, plan.last, plan.owed = plan.last, plan.owed, None
        await self._keep()
        await self._tell(Start(name, by=BY), before)

    async def _tell(self, order: Start | Restart, before: float | None) -> None:
        """Gives the order; where it is refused, the last time that was run is still the one `before`."""
        try:
            await self._host.tell(order)
        except Refused as refusal:
            self._say(order.name, f"the schedule could not start it: {refusal}")
            if order.name in self._plans:
                self._plans[order.name].last, self._unwritten = before, True
        self._changed(order.name)

    async def _keep(self) -> None:
        self._unwritten = False
        told = {name: {k: v for k, v in asdict(plan).items() if k != "next"} for name, plan in self._plans.items()}
        keeping = asyncio.ensure_future(self._store.keep(told))
        keeping.add_done_callback(_complain)
        await asyncio.wait([keeping], timeout=PATIENCE)


def _statuses(snapshot: Snapshot) -> list[Status]:
    return [entry.event.status for entry in snapshot.workers.values() if isinstance(entry.event, Changed)]


def _why(status: Status) -> str:
    return f"run {status.run} goes on" if status.live else f"it is {status.state}"


def _complain(keeping: "asyncio.Future[None]") -> None:
    if not keeping.cancelled() and (error := keeping.exception()) is not None:
        log.warning("what was planned cannot be written down (%s): after a restart it may be run once more", error)
