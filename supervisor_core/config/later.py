"""Values of keys whose features are not built yet: read as they will be, so that a mistake in them shows today.

Nothing here is used to run anything. It goes when the features come.
"""

import re
from typing import Any

from ..model import OnGiveUp, RestartPolicy
from . import values as v
from .keys import Key
from .schedules import parse_schedule
from .values import BadValue, shown


def on_give_up(value: Any) -> tuple[OnGiveUp, float]:
    """Gives what is done, and the seconds of retry_every."""
    if isinstance(value, dict) and set(value) == {"retry_every"}:
        return OnGiveUp.RETRY, v.positive(value["retry_every"])
    if value not in ("fail", "shutdown"):
        raise BadValue(f'{shown(value)} is not known; write "fail", "shutdown" or {{ retry_every = "10m" }}')
    return OnGiveUp(value), RestartPolicy().retry_every


def python(value: Any) -> str:
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", v.string(value)):
        raise BadValue(f'{shown(value)} names no function; write "module:function"')
    return str(value)


PARSERS = {
    "python": python,
    "schedule": parse_schedule,
    "on_give_up": on_give_up,
}
"""Parsers of worker keys that `keys.py` cannot name without a circle of imports."""


def with_parser(key: Key) -> Key:
    if key.name not in PARSERS:
        return key
    return Key(key.name, PARSERS[key.name], key.default, key.doc, key.aliases, key.expand, later=key.later)
