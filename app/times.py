"""Pure: when a schedule's next time is, and what is to be done about times that have passed.

Moments are seconds since the epoch, by the wall clock. No timer, no state and no worker lives here.

Where clocks are put forward or back, it is as in Debian's cron: a fixed time (no `*` at the beginning of minute and of
hour) that falls into the skipped hour comes at its end, and one in the doubled hour comes once, at its first pass; what
has a `*` there goes by the time that really passes, so it may come in both passes and not in the skipped hour.

Known wart: without a name of a zone that of the host is read once, so a change of `/etc/localtime` is seen at the next
start; a `TZ` in the notation of POSIX (`CET-1CEST`) is not understood and means UTC.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache
from pathlib import Path

from supervisor_core.config.values import format_duration
from supervisor_core.model import Missed, Schedule

GRACE = 60.0
"""Seconds after which a planned time counts as missed, and not as late."""

CORRECTION = 3 * 3600.0
"""Seconds; a clock that goes back by less has the times in between done already, by more it was wrong before.

From Debian's cron, which has it as the largest change that can be one of daylight saving.
"""

LOCALTIME = Path("/etc/localtime")


@dataclass(frozen=True, slots=True)
class Planned:
    """What is told of a schedule: its next time, the last one that was run, and its rule in words."""

    next: float | None
    last: float | None
    rule: str


@dataclass(frozen=True, slots=True)
class Due:
    """A time that has come: the planned one, and whether it was missed; `runs` is what the rule makes of that."""

    planned: float
    missed: bool
    runs: bool


def in_words(schedule: Schedule) -> str:
    """The rule as one line; another one for each other set of times."""
    if schedule.every:
        return f"every {format_duration(schedule.every)}"
    return f"{schedule.cron} {schedule.timezone}".rstrip()


def next_after(schedule: Schedule, after: float, anchor: float) -> float | None:
    """The first time strictly after a moment; None when there is none within 50 years.

    A period counts from `anchor`, the moment at which the schedule was first seen.
    """
    if schedule.every:
        count = max(0.0, (after - anchor) // schedule.every)
        times = (anchor + (count + more) * schedule.every for more in (1, 2))  # rounded, the first one may be `after`
        return next(at for at in times if at > after)
    from cronsim import CronSim  # not before there is a schedule: workers are started first

    for moment in CronSim(schedule.cron, datetime.fromtimestamp(after, zone_of(schedule.timezone))):
        if (at := moment.timestamp()) > after:  # in the second pass of a doubled hour the first one is told again
            return at
    return None


def due(schedule: Schedule, until: float, now: float, anchor: float) -> Due | None:
    """What has come after `until` and by now; however many times passed, it is one."""
    first = next_after(schedule, until, anchor)
    if first is None or first > now:
        return None
    recent = next_after(schedule, max(until, now - GRACE), anchor)
    if recent is not None and recent <= now:
        return Due(recent, missed=False, runs=True)
    return Due(first, missed=True, runs=schedule.missed is Missed.RUN_ONCE)


@cache
def zone_of(name: str) -> tzinfo:
    """The time zone of that name; that of the host for ""."""
    from zoneinfo import ZoneInfo

    if name:
        return ZoneInfo(name)
    if told := os.environ.get("TZ", "").lstrip(":"):
        try:
            return ZoneInfo(told)
        except (ValueError, OSError, LookupError):
            return UTC
    try:
        with LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file, key="local")
    except (ValueError, OSError):
        return UTC
