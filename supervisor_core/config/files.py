"""Reading the files of a config: bounded, regular, UTF-8, and writable by nobody else (a config is code execution).

Nothing here knows keys. Each refusal is a `BadFile` with a sentence. Known wart: whether a group has other members is
asked of the local user database, which on a host with a directory service may list only some of them.
"""

import contextlib
import errno
import grp
import os
import pwd
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .expand import expand_variables
from .lines import find_lines
from .problems import Found, Problems, Source
from .values import BadValue

LARGEST = 1024 * 1024
"""Bytes that one file may have."""

_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(.*)", re.DOTALL)
_QUOTED = re.compile(r"'([^']*)'\s*(?:#.*)?|\"((?:[^\"\\]|\\.)*)\"\s*(?:#.*)?")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class BadFile(Exception):
    """A file cannot be used; the message says why and what to do, `line` where (0: nowhere in particular)."""

    def __init__(self, sentence: str, line: int = 0) -> None:
        super().__init__(sentence)
        self.line = line


def read_text(path: str | Path) -> str:
    """Gives the text of a file that only its owner may write."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadFile(_why_unreadable(error)) from error
    except ValueError as error:
        raise BadFile("the path holds a NUL character; remove it") from error
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise BadFile("is no regular file; name a file")
        _check_writers(about)
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(LARGEST + 1)
        if _changed(about, os.fstat(descriptor)):
            raise BadFile("was changed while it was read; try again")
    except OSError as error:
        raise BadFile(_why_unreadable(error)) from error
    finally:
        os.close(descriptor)
    if len(data) > LARGEST:
        raise BadFile("is larger than 1 MiB; is this the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadFile(f"is not UTF-8 (byte {error.start + 1}); save it as UTF-8", line) from error


def _changed(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether somebody wrote to a file in place; one that was put in its place is not seen, and read whole."""
    return (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)


def _why_unreadable(error: OSError) -> str:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return "is not there; check the path"
        case errno.EACCES | errno.EPERM:
            return "may not be read by this user; change its permissions"
        case errno.ELOOP:
            return "is a loop of symbolic links; name the file itself"
        case errno.EISDIR:
            return "is a folder; name a file"
    return f"cannot be read ({error.strerror})"


def _check_writers(about: os.stat_result) -> None:
    if about.st_mode & stat.S_IWOTH:
        raise BadFile("may be written by everyone, and so could make us run anything; chmod o-w it")
    if about.st_mode & stat.S_IWGRP and (os.geteuid() == 0 or _others_in(about.st_gid)):
        raise BadFile("may be written by its group, and so by others than its owner; chmod g-w it")


def _others_in(gid: int) -> bool:
    me = os.geteuid()
    members = set()
    with contextlib.suppress(KeyError):
        members.update(grp.getgrgid(gid).gr_mem)
    members.update(user.pw_name for user in pwd.getpwall() if user.pw_gid == gid)
    with contextlib.suppress(KeyError):
        members.discard(pwd.getpwuid(me).pw_name)
    return bool(members)


def read_toml(path: Path, problems: Problems) -> Found | None:
    """Gives the whole of one config file; notes why not, with the line where that is known."""
    try:
        text = read_text(path)
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
    return Found(value, Source(str(path), str(path.absolute().parent), find_lines(text)), ())


def read_dotenv(path: str, outside: Mapping[str, str]) -> dict[str, str]:
    """Gives the variables of a file of NAME=VALUE lines.

    `export`, comments, single quotes (as it stands), double quotes (escapes) are understood; `${VAR}` is replaced
    outside of single quotes, from earlier lines or from `outside`. Raises `BadFile` with the line.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
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
