"""The two kinds of files of a config, TOML and lines of NAME=VALUE, made of their texts.

Nothing here knows keys, and nothing here opens a file: `sources.py` does. Known wart: tomllib says the line of a
mistake in words alone.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .expand import expand_variables
from .lines import find_lines
from .problems import Found, Problems, Source
from .sources import BadFile, Sources
from .values import BadValue

_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(.*)", re.DOTALL)
_QUOTED = re.compile(r"'([^']*)'\s*(?:#.*)?|\"((?:[^\"\\]|\\.)*)\"\s*(?:#.*)?")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def read_toml(path: Path, problems: Problems, sources: Sources) -> Found | None:
    """Gives the whole of one config file; notes why not, with the line where that is known."""
    try:
        text = sources.read(path)
    except BadFile as error:
        problems.add_at(str(path), error.line, str(error))
        return None
    try:
        value: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _AT.search(str(error))
        line = int(match[1]) if match and match[1] else max(1, len(text.splitlines()))
        problems.add_at(str(path), line, f"this is not TOML: {_AT.sub('', str(error))}; correct this line")
        return None
    except RecursionError:
        problems.add_at(str(path), 1, "is nested too deeply; write it flatter")
        return None
    return Found(value, Source(str(path), str(path.absolute().parent), find_lines(text), sources), ())


def read_dotenv(text: str, outside: Mapping[str, str]) -> dict[str, str]:
    """Gives the variables of a text of NAME=VALUE lines.

    `export`, comments, single quotes (as it stands), double quotes (escapes) are understood; `${VAR}` is replaced
    outside of single quotes, from earlier lines or from `outside`. Raises `BadFile` with the line.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(text)
        if not match:
            raise BadFile(f"line {number} is no NAME=VALUE; correct it or put # before it", number)
        try:
            found[match[1]] = _dotenv_value(match[2].strip(), {**outside, **found})
        except BadValue as error:
            raise BadFile(f"line {number}: {error}", number) from error
    return found


def _dotenv_value(text: str, variables: Mapping[str, str]) -> str:
    if "\0" in text:
        raise BadValue("a NUL character, which no program can receive; remove it")
    if text[:1] in ("'", '"'):
        match = _QUOTED.fullmatch(text)
        if not match:
            raise BadValue("a quote that is not closed; close it on the same line")
        if match[1] is not None:
            return match[1]
        plain = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), match[2])
        return expand_variables(plain, variables)
    return expand_variables(re.split(r"(?:^|\s+)#", text, maxsplit=1)[0], variables)
