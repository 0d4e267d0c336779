"""Values of keys whose features are not built yet: read as they will be, so that a mistake in them shows today.

Nothing here is used to run anything. It goes when the features come.
"""

import re
from typing import Any

from . import values as v
from .commands import parse_command
from .keys import PROBE, Key
from .problems import Found, Problems
from .reading import Words, fields_of, parsed
from .values import BadValue, shown

KINDS = ("http", "tcp", "exec", "log", "notify")
SCHEDULE = ("cron", "every", "timezone", "overlap", "missed")


def check_probe(found: Found, problems: Problems) -> bool:
    """Notes what is wrong with a probe; true when nothing is."""
    before = len(problems)
    fields = fields_of(found, PROBE, problems)
    for key in PROBE.keys:
        parsed(key, fields.get(key.name), problems, Words({}, {}))
    if isinstance(found.value, dict) and sum(kind in fields for kind in KINDS) != 1:
        problems.add(found, f'needs exactly one of {", ".join(KINDS)}; write {{ tcp = "HOST:PORT" }}, say')
    if pattern := fields.get("log"):
        try:
            re.compile(str(pattern.value))
        except re.error as error:
            problems.add(pattern, f"{shown(pattern.value)} is no regular expression ({error}); correct it")
    return len(problems) == before


def schedule(value: Any) -> Any:
    if not isinstance(value, dict) or ("cron" in value) == ("every" in value):
        raise BadValue('needs either cron or every; write { every = "10m" } or { cron = "0 3 * * *" }')
    if unknown := set(value) - set(SCHEDULE):
        raise BadValue(f"{shown(sorted(unknown)[0])} is not known; known are {', '.join(SCHEDULE)}")
    if "every" in value:
        v.positive(value["every"])
    elif len(v.string(value["cron"]).split()) != 5:
        raise BadValue(f'{shown(value["cron"])} is no schedule; write five fields such as "0 3 * * *"')
    return value


def on_give_up(value: Any) -> str:
    """Gives fail, shutdown, or retry_every (whose duration was read and is not used yet)."""
    if isinstance(value, dict) and set(value) == {"retry_every"}:
        v.positive(value["retry_every"])
        return "retry_every"
    if value not in ("fail", "shutdown"):
        raise BadValue(f'{shown(value)} is not known; write "fail", "shutdown" or {{ retry_every = "10m" }}')
    return str(value)


def python(value: Any) -> str:
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", v.string(value)):
        raise BadValue(f'{shown(value)} names no function; write "module:function"')
    return str(value)


PARSERS = {
    "python": python,
    "schedule": schedule,
    "on_give_up": on_give_up,
    **dict.fromkeys(("stop_command", "before_start", "after_ready", "after_stop"), parse_command),
}
"""Parsers of worker keys that `keys.py` cannot name without a circle of imports."""


def with_parser(key: Key) -> Key:
    if key.name not in PARSERS:
        return key
    return Key(key.name, PARSERS[key.name], key.default, key.doc, key.aliases, key.expand, later=key.later)
