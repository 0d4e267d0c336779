"""What one worker asks of another before it starts, of a pool, and what of that is not there yet.

Frozen dataclasses and their words only; everybody gets them from `model`. Whether a requirement is met is decided in
`graph.py`, who gets a slot in `pools.py`.
"""

from dataclasses import dataclass
from enum import StrEnum


class Condition(StrEnum):
    """What a requirement must have reached before its dependent may start."""

    READY = "ready"
    STARTED = "started"
    HEALTHY = "healthy"
    COMPLETED = "completed"
    COMPLETED_SUCCESSFULLY = "completed_successfully"
    LOG = "log"


SLOT = "slot"
"""The condition of a `Blocker` that is no worker: a pool."""


class Follow(StrEnum):
    """What a running dependent does when the run that it started with is gone."""

    IGNORE = "ignore"
    RESTART = "restart"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Requirement:
    """`pattern` is the regular expression of the condition *log*: a line of the live run's output has matched it."""

    name: str
    condition: Condition = Condition.READY
    follow: Follow = Follow.IGNORE
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Pool:
    """A number of slots that some workers share: so many of them run at once, each with a slot number from 0 on."""

    name: str
    slots: int


@dataclass(frozen=True, slots=True)
class Blocker:
    """One unmet requirement, in words that follow its name: "db", "back-off, try 3 of 5, exit 1".

    `worker` is its target, or "pool NAME" with the condition *slot*. `for_good`: nothing that is under way will ever
    meet it, only an order. `next`: when the trouble is tried again, in seconds since the epoch.
    """

    worker: str
    condition: str
    why: str
    for_good: bool = False
    next: float | None = None
