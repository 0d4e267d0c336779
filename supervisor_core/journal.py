"""The numbered history of this boot: append, snapshot, follow.

One sequence a boot. A follower holds a position in a shared ring, never a queue; one that is too slow gets a `Gap`
and is expected to take a snapshot. Of workers the journal knows only that an event has a status with a name. It is
never replayed into the machine: the operating system is the truth.
"""

import asyncio
import itertools
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from .flag import post
from .messages import Changed, Event, PhaseChanged, Removed
from .model import Phase

CAPACITY = 16_384
"""Entries kept for followers; the latest status of each worker is kept for ever."""


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A position: `boot` is the start of this supervisor in milliseconds since the epoch, `seq` counts from 1."""

    boot: int
    seq: int

    def __str__(self) -> str:
        return f"{self.boot}:{self.seq}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Reads `boot:seq`; raises ValueError with one sentence on anything else."""
        boot, colon, seq = text.partition(":")
        if not (colon and boot.isascii() and seq.isascii() and boot.isdigit() and seq.isdigit() and len(text) <= 40):
            raise ValueError("a cursor looks like 1763950000000:17")
        return cls(int(boot), int(seq))


@dataclass(frozen=True, slots=True)
class Entry:
    """One event with its number and its time (seconds since the epoch)."""

    seq: int
    time: float
    event: Event


@dataclass(frozen=True, slots=True)
class Gap:
    """The entries from `start` to `end`, both included, are not to be had."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is true as of `cursor`: the last entry about each worker, by name, and the phase."""

    cursor: Cursor
    workers: Mapping[str, Entry]
    phase: Phase


class Journal:
    """Append from any thread; follow in any number of event loops."""

    def __init__(self, boot: int, now: Callable[[], float], capacity: int = CAPACITY) -> None:
        self.boot = boot
        self._now = now
        self._lock = threading.Lock()
        self._ring: deque[Entry] = deque(maxlen=capacity)
        self._seq = 0
        self._latest: dict[str, Entry] = {}
        self._phase = Phase.IDLE
        self._closed = False
        self._sleepers: set[_Sleeper] = set()

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.boot, self._seq)

    @property
    def closed(self) -> bool:
        return self._closed

    def append(self, event: Event, at: float | None = None) -> Entry:
        """Adds one event, at `at` (seconds since the epoch; default now); also after `close`, for later readers."""
        with self._lock:
            self._seq += 1
            entry = Entry(self._seq, self._now() if at is None else at, event)
            self._ring.append(entry)
            match event:
                case Changed():
                    self._latest[event.status.name] = entry
                case Removed():
                    self._latest.pop(event.name, None)
                case PhaseChanged():
                    self._phase = event.phase
            self._wake()
        return entry

    def close(self) -> None:
        """Ends every follower, once it got what is there by then."""
        with self._lock:
            self._closed = True
            self._wake()

    def snapshot(self) -> Snapshot:
        with self._lock:
            return Snapshot(Cursor(self.boot, self._seq), dict(self._latest), self._phase)

    def entries(self, after: int, limit: int = 1000) -> list[Entry] | Gap:
        """What came strictly after number `after`, oldest first; a `Gap` when its beginning is gone."""
        with self._lock:
            oldest = self._ring[0].seq if self._ring else self._seq + 1
            if after + 1 < oldest:
                return Gap(after + 1, oldest - 1)
            skip = after + 1 - oldest
            return list(itertools.islice(self._ring, skip, skip + limit))

    async def follow(self, after: int) -> AsyncIterator[list[Entry] | Gap]:
        """Yields batches from strictly after number `after` until the journal is closed.

        After a `Gap`, which reaches up to now, it goes on from now: take a snapshot and judge by that.
        """
        sleeper = _Sleeper(asyncio.get_running_loop())
        with self._lock:
            self._sleepers.add(sleeper)
        try:
            while True:
                sleeper.rearm()  # before looking: what comes from here on rings
                closed = self._closed
                found = self.entries(after)
                if isinstance(found, Gap):
                    start, after = found.start, self._seq
                    yield Gap(start, after)
                elif found:
                    after = found[-1].seq
                    yield found
                elif closed:
                    return
                else:
                    await sleeper.bell.wait()
        finally:
            with self._lock:
                self._sleepers.discard(sleeper)

    def _wake(self) -> None:
        for sleeper in self._sleepers:
            sleeper.ring()


class _Sleeper:
    """One follower that waits in its loop. Many rings before it looks again cost one wake-up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.bell = asyncio.Event()
        self.rung = False

    def rearm(self) -> None:
        self.rung = False
        self.bell.clear()

    def ring(self) -> None:
        if not self.rung:
            self.rung = True  # before the hop: the follower may look again at once
            post(self.loop, self.bell.set)
