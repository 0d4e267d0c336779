"""What `schedule` means: five fields of cron or a period, and what to do when a time meets a run or was missed.

The fields are read as Debian's cron and the library of the service (cronsim) read them, with L, LW and # besides; only
their form is checked here, since this package has no dependency. When the next time is, is said in the service.

Known wart: a day that comes in no month (30 February) is refused, a rarer one that never comes (`1L` on the 1st) not.
"""

import re
from typing import Any

from ..model import Missed, Overlap, Schedule
from . import values as v
from .values import BadValue, shown

KEYS = ("cron", "every", "timezone", "overlap", "missed")
CRON_KEYS = frozenset({"timezone"})

NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(MONTHS, 1)}),
    ("day of the week", 0, 7, {name: number for number, name in enumerate(DAYS)}),
)
DAY, MONTH, WEEKDAY = 2, 3, 4

SHORTEST = 1.0
"""Seconds of the shortest period."""


def parse_schedule(value: Any) -> Schedule:
    """Reads the table; raises `BadValue`."""
    if not isinstance(value, dict) or ("cron" in value) == ("every" in value):
        raise BadValue('needs either cron or every; write { every = "10m" } or { cron = "0 3 * * *" }')
    if unknown := set(value) - set(KEYS):
        raise BadValue(f"{shown(sorted(unknown)[0])} is not known; known are {', '.join(KEYS)}")
    if "every" in value and (odd := CRON_KEYS & set(value)):
        raise BadValue(f"{', '.join(odd)} goes with cron alone; remove it")
    overlap = Overlap(v.one_of(*Overlap)(value.get("overlap", Overlap.SKIP)))
    missed = Missed(v.one_of(*Missed)(value.get("missed", Missed.RUN_ONCE)))
    if "every" in value:
        every = v.duration(value["every"])
        if every < SHORTEST:
            raise BadValue(f'{shown(value["every"])} is too short a period; write at least "1s"')
        return Schedule(every=every, overlap=overlap, missed=missed)
    cron, zone = check_cron(v.string(value["cron"])), _zone(value.get("timezone", ""))
    return Schedule(cron, zone, overlap=overlap, missed=missed)


def _zone(value: Any) -> str:
    name = v.string(value)
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # seldom needed

    try:
        if name:
            ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadValue(f'{shown(name)} is no time zone; write one such as "Europe/Berlin" or "UTC"') from error
    return name


# ---------------------------------------------------------------- the five fields


def check_cron(text: str) -> str:
    """Gives the five fields with single spaces between them; raises `BadValue`."""
    text = NICKNAMES.get(text.strip().lower(), text)
    parts = text.upper().split()
    if len(parts) != len(FIELDS):
        raise BadValue(f'{shown(text)} is no schedule; write five fields such as "0 3 * * *"')
    found = [_field(index, part) for index, part in enumerate(parts)]
    days, months = found[DAY], found[MONTH]
    both = parts[DAY].startswith("*") or parts[WEEKDAY].startswith("*")
    if both and days and min(days) > max(LONGEST_MONTH[month - 1] for month in months):
        raise BadValue(f"{shown(text)} never comes: no such month has a day {min(days)}; correct the day or the month")
    return " ".join(parts)


def _field(index: int, text: str) -> set[int]:
    """The numbers that a field means; none for what depends on the month (L, LW, #)."""
    name, low, high, _ = FIELDS[index]
    numbers: set[int] = set()
    special = False
    for term in text.split(","):
        base, slash, step = term.partition("/")
        if slash and not (re.fullmatch(r"[0-9]{1,4}", step) and int(step)):
            raise _bad(index, term)
        if base == "*":
            found = list(range(low, high + 1))
        elif index == DAY and base in ("L", "LW"):
            special = True
            continue
        elif not slash and index == WEEKDAY and (match := re.fullmatch(r"([0-7])L|([A-Z0-9]+)#([1-5])", base)):
            _number(index, match[1] or match[2], term)
            special = True
            continue
        else:
            first, dash, last = base.partition("-")
            start = _number(index, first, term)
            end = _number(index, last, term) if dash else high if slash else start
            if end < start:
                raise BadValue(
                    f"{shown(term)} is no {name}: a range goes upwards; write it as {last}-{first}, or as two ranges"
                )
            found = list(range(start, end + 1))
        numbers.update(found[:: int(step or 1)])
    return set() if special else numbers


def _number(index: int, text: str, term: str) -> int:
    _, low, high, words = FIELDS[index]
    number = words.get(text, int(text) if re.fullmatch(r"[0-9]{1,4}", text) else -1)
    if not low <= number <= high:
        raise _bad(index, term)
    return number


def _bad(index: int, term: str) -> BadValue:
    name, low, high, words = FIELDS[index]
    names = f" (or {next(iter(words))} …)" if words else ""
    return BadValue(f"{shown(term)} is no {name}; write {low} to {high}{names}, a list, a range, */2 or *")
