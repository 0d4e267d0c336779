"""What the values mean that say as whom a worker runs and what it may use: accounts, masks, limits.

Only their shape is looked at, so that a file can be checked on another machine; names are looked up at each start.
Known wart: a mask has to be written as text, since TOML reads 022 not at all and 22 as another number.
"""

import re
from collections.abc import Mapping
from typing import Any

from .problems import Found, Problems
from .values import BadValue, Parser, shown, size

UNLIMITED = -1


def account(value: Any) -> str:
    """Reads the name or number of a user or group."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not re.fullmatch(r"[^\s:/,\0-][^\s:/,\0]{0,255}", value):
        raise BadValue(f'{shown(value)} is no name or number of an account; write "www-data" or 1000, the group apart')
    if value.isdecimal() and int(value) >= 2**32 - 1:
        raise BadValue(f"{shown(value)} is too large for the number of an account; correct it")
    return value


def umask(value: Any) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"(0o)?[0-7]{1,4}", value) or int(value, 8) > 0o777:
        raise BadValue(f'{shown(value)} is no mask; write its octal digits as a text such as "022"')
    return int(value, 8)


def count(value: Any) -> int:
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**62:
        raise BadValue(f'{shown(value)} is no number to limit to; write a whole number such as 1024, or "unlimited"')
    return value


def some(value: Any) -> int:
    if (number := count(value)) == 0:
        raise BadValue('0 would let nothing start; write a whole number such as 1024, or "unlimited"')
    return number


def cores(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.01 <= value <= 100_000:
        raise BadValue(f'{shown(value)} is no number of cores; write one such as 0.5 or 4, or "unlimited"')
    return value


def bounded(value: Any) -> int:
    if not 0 <= (number := size(value)) < 2**62:
        raise BadValue(f'{shown(value)} is too large; write a smaller size or "unlimited"')
    return number


def limit(parse: Parser) -> Parser:
    """Reads "unlimited" too."""
    return lambda value: UNLIMITED if value == "unlimited" else parse(value)


def take_warning(limits: dict[str, Any], given: Mapping[str, Found], problems: Problems) -> int | None:
    """Takes `memory_warn` out of the limits, of which the kernel keeps the others; one that never comes is noted."""
    warn, most = limits.pop("memory_warn", None), limits.get("memory")
    if warn is not None and most is not None and most != UNLIMITED and warn >= most:
        problems.add(given["memory_warn"], "is not below memory, so it would never be told; lower it")
    return int(warn) if warn is not None else None
