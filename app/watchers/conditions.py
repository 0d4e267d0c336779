"""What is wrong with this service itself while its workers run on: a full disk, a state folder that is gone.

A condition has a name that stays the same over versions, a sentence, and a beginning; it is there or it is not, so a
reader needs the present list and no history. What is wrong with a worker is no condition: that is its state.

Known wart: conditions are no events of the journal, so the history does not have them; the service's own log does.
"""

import asyncio
import errno
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

log = logging.getLogger("quarterdeck.conditions")

GATHER = 0.1
"""Seconds in which the troubles of many workers become one change: all meet a full disk at once."""

FULL, READ_ONLY, BROKEN = "log-disk-full", "log-disk-read-only", "log-disk-error"
KINDS = {errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EROFS: READ_ONLY}
WORDS = {FULL: "have no room", READ_ONLY: "may not be written", BROKEN: "cannot be written"}
REMEDIES = {FULL: "free some space", READ_ONLY: "mount it writable", BROKEN: "look after the disk"}


@dataclass(frozen=True, slots=True)
class Condition:
    """`since` in seconds since the epoch; `text` is one sentence with the remedy, for people who are signed in."""

    name: str
    text: str
    since: float


class Conditions:
    """Those that hold now. Belongs to the thread of the loop; `version` is another number after each change."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._held: dict[str, Condition] = {}
        self._listeners: list[Callable[[], None]] = []
        self.version = 0

    def __iter__(self) -> Iterator[Condition]:
        return iter(tuple(self._held.values()))

    def listen(self, changed: Callable[[], None]) -> None:
        self._listeners.append(changed)

    def replace(self, names: Collection[str], told: Mapping[str, str]) -> None:
        """Of these names, those in `told` hold from now on, with their sentence, and the others do not."""
        before = dict(self._held)
        for name in names:
            old = self._held.pop(name, None)
            if text := told.get(name):
                self._held[name] = Condition(name, text, old.since if old else self._now())
        if self._held == before:
            return
        for name in self._held.keys() - before.keys():
            log.warning("%s: %s", name, self._held[name].text)
        for name in before.keys() - self._held.keys():
            log.warning("%s: over after %.1f s", name, self._now() - before[name].since)
        self.version += 1
        for changed in self._listeners:
            changed()


class LogTroubles:
    """Hears from a log store whose output cannot be stored, and makes at most one condition of each kind of it."""

    def __init__(self, conditions: Conditions, folder: object) -> None:
        self._conditions = conditions
        self._folder = folder
        self._troubles: dict[tuple[str, str], OSError] = {}
        self._timer: asyncio.TimerHandle | None = None

    def take(self, worker: str, stream: str, error: OSError | None) -> None:
        """Takes why a stream cannot be stored, and None once it can; in the thread of the loop."""
        if error is None:
            self._troubles.pop((worker, stream), None)
        else:
            self._troubles[worker, stream] = error
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER, self._tell)

    def _tell(self) -> None:
        self._timer = None
        workers: dict[str, set[str]] = {}
        reasons: dict[str, str] = {}
        for (worker, _), error in self._troubles.items():
            kind = KINDS.get(error.errno or 0, BROKEN)
            workers.setdefault(kind, set()).add(worker)
            reasons[kind] = error.strerror or str(error)
        told = {kind: self._sentence(kind, sorted(names), reasons[kind]) for kind, names in workers.items()}
        self._conditions.replace(WORDS, told)

    def _sentence(self, kind: str, names: list[str], reason: str) -> str:
        who = ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:3])} and {len(names) - 3} more"
        return (
            f"the logs of {who} {WORDS[kind]} in {self._folder} ({reason}), so they wait, or lose output that is "
            f"counted, as on_full says; {REMEDIES[kind]}"
        )
