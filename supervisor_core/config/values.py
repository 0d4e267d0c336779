"""What one value of the config file means: durations, sizes, names, signals. Addresses are next door.

Each parser takes what TOML gave and returns what the program uses, or raises `BadValue` with "what is wrong; what to
write instead". No parser knows keys, files or other values. Known wart: units are read in any case, so `1M` is a
mebibyte as a size and a minute as a duration.
"""

import math
import re
import signal
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from ..model import Free

Parser = Callable[[Any], Any]


class BadValue(ValueError):
    """A value that means nothing; the message is one sentence, remedy included."""


UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
LONGEST = 10 * 365 * 86_400.0

_PIECE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)", re.IGNORECASE)
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgt]?)(i?)b?)\s*", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def shown(value: object) -> str:
    """Gives a value as the user may have written it, cut to a readable length."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + (value if len(value) <= 60 else value[:57] + "…").replace("\n", "\\n") + '"'
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return str(value)


def duration(value: Any) -> float:
    """Gives seconds, from a number of seconds or from text such as "1m30s", "500ms"."""
    seconds: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str):
        pieces = _PIECE.findall(value)
        if (
            value.strip()
            and not _PIECE.sub("", value).strip()
            and len({unit.lower() for _, unit in pieces}) == len(pieces)
        ):
            seconds = sum(float(number) * UNITS[unit.lower()] for number, unit in pieces) / 1000
        elif re.fullmatch(r"\d+(\.\d+)?", value):
            seconds = float(value)
    if seconds is None:
        raise BadValue(f'{shown(value)} is no duration; write seconds (90) or text such as "1m30s" or "500ms"')
    if not 0 <= seconds <= LONGEST:
        raise BadValue(f"{shown(value)} is no usable duration; it must be between 0 and ten years")
    return seconds


def format_duration(seconds: float) -> str:
    """Gives the text that `duration` reads back, to the millisecond."""
    left = round(seconds * 1000)
    words = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, UNITS[unit])
        if count:
            words.append(f"{count}{unit}")
    return "".join(words) or "0s"


def positive(value: Any) -> float:
    seconds = duration(value)
    if seconds == 0:
        raise BadValue(f"{shown(value)} is too short; it must be more than 0")
    return seconds


def optional_duration(value: Any) -> float | None:
    """Gives seconds; 0 means none."""
    return duration(value) or None


def size(value: Any) -> int:
    """Gives bytes, from a number or from text such as "64MiB" (1024), "10MB" (1000), "64M" (1024)."""
    count: float | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        count = value
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        number, unit, binary = match.groups()
        decimal = unit and not binary and value.strip().lower().endswith("b")
        factor = (1000 if decimal else 1024) ** " kmgt".index(unit.lower() or " ")
        count = int(number) * factor if number.isdigit() else float(number) * factor
    if count is None or not 0 <= count < 2**63:
        raise BadValue(f'{shown(value)} is no size; write bytes or text such as "64MiB" or "10GB"')
    return int(count)


def format_size(count: int) -> str:
    """Gives the text that `size` reads back, exactly."""
    power = 0
    while count and count % 1024 == 0 and power < 4:
        count, power = count // 1024, power + 1
    return f"{count}{['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}"


def string(value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue(f"{shown(value)} is no text; put it between quotes")
    if "\0" in value:
        raise BadValue("the text holds a NUL character, which no program can receive; remove it")
    return value


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadValue(f"{shown(value)} is neither true nor false; write one of them, without quotes")
    return value


def integer(low: int, high: int) -> Parser:
    def parse(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadValue(f"{shown(value)} is no whole number; write one between {low} and {high}")
        if not low <= value <= high:
            raise BadValue(f"{value} is out of range; write a whole number between {low} and {high}")
        return value

    return parse


def number(low: float, high: float) -> Parser:
    def parse(value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise BadValue(f"{shown(value)} does not fit; write a number between {low:g} and {high:g}")
        return float(value)

    return parse


def one_of(*words: str, also: dict[Any, str] | None = None) -> Parser:
    """Reads one of `words`; `also` are other spellings, each with the word that it means."""

    def parse(value: Any) -> str:
        for spelling, word in (also or {}).items():
            if type(value) is type(spelling) and value == spelling:
                return word
        if not isinstance(value, str) or value not in words:
            raise BadValue(f"{shown(value)} is not known; write one of " + ", ".join(f'"{word}"' for word in words))
        return value

    return parse


def strings(value: Any) -> tuple[str, ...]:
    """Reads a list of texts; a single text is a list of one."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise BadValue(f'{shown(value)} is no list of texts; write ["a", "b"]')
    return tuple(string(item) for item in value)


def table_of(item: Parser) -> Parser:
    def parse(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise BadValue(f'{shown(value)} is no table; write {{ key = "value" }}')
        return {key: item(one) for key, one in value.items()}

    return parse


def scalar(value: Any) -> str:
    """Reads a text, or a number or truth value as the text that a program would be given."""
    if isinstance(value, bool | int | float):
        return shown(value)
    return string(value)


def anything(value: Any) -> Any:
    return value


def exit_codes(value: Any) -> frozenset[int]:
    codes = value if isinstance(value, list) else [value]
    return frozenset(integer(0, 255)(code) for code in codes)


def signal_name(value: Any) -> str:
    """Gives a signal's name without SIG, from "TERM", "SIGTERM" or 15."""
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return signal.Signals(value).name.removeprefix("SIG")
        except ValueError:
            raise BadValue(f'{value} is no signal; write a name such as "TERM", "INT" or "HUP"') from None
    name = value.upper().removeprefix("SIG") if isinstance(value, str) else ""
    if f"SIG{name}" not in signal.Signals.__members__:
        raise BadValue(f'{shown(value)} is no signal; write a name such as "TERM", "INT" or "HUP"')
    return name


def stop_steps(value: Any) -> tuple[tuple[str, float | None], ...]:
    """Reads one signal, or steps [["INT", "5s"], ["TERM", "10s"]]; the seconds are None where `stop_timeout` rules."""
    if not isinstance(value, list):
        return ((signal_name(value), None),)
    if not value or not all(isinstance(step, list) and len(step) == 2 for step in value):
        raise BadValue('each step is a signal and a duration; write [["INT", "5s"], ["TERM", "10s"]]')
    return tuple((signal_name(name), duration(seconds)) for name, seconds in value)


def name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise BadValue(
            f'{shown(value)} is no name; use letters, digits, ".", "_" and "-", '
            "starting with a letter or digit, at most 63"
        )
    return value


def color(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"#([0-9a-fA-F]{3}){1,2}", value):
        raise BadValue(f'{shown(value)} is no colour; write it as "#2165df"')
    return value.lower()


def sha256(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise BadValue("this is no SHA-256 in hex (64 digits); write what `printf %s TOKEN | sha256sum` prints")
    return value.lower()


def moment(value: Any) -> datetime:
    """Reads a date or a time with its offset; a bare date or time is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the offset is added below
    if not isinstance(value, datetime):
        raise BadValue("this is no time; write 2027-01-31 or 2027-01-31T12:00:00Z")
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def free_space(value: Any) -> Free:
    """Reads a share of the disk such as "5%", or a size."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{1,3}(?:\.\d+)?)\s*%", value)):
        if float(match[1]) > 100:
            raise BadValue(f'{shown(value)} is more than all; write a share such as "5%"')
        return Free(share=float(match[1]) / 100)
    return Free(size=size(value))


def on_full(value: Any) -> float:
    """Gives the seconds of waiting: none for "drop", without end for "wait"."""
    text = string(value)
    word, _, pause = text.partition(" ")
    if word not in ("wait", "drop") or (word == "drop" and pause):
        raise BadValue(f'{shown(value)} is not known; write "wait 60s", "wait" or "drop"')
    if pause:
        return positive(pause)
    return math.inf if word == "wait" else 0.0
