"""What a config is read from: its files, bounded, regular, UTF-8, and writable by nobody else (it is code execution).

A `Sources` remembers all that one reading took from the disk, so that the same config can be had again when the files
are edited, broken or gone: the successor of a service that was killed goes on with what ruled. Each refusal is a
`BadFile` with a sentence.

Known warts: whether a group has other members is asked of the local user database, which on a host with a directory
service may list only some of them. The texts of secrets are remembered, too, since a command may hold one.
"""

import contextlib
import errno
import glob
import grp
import os
import pwd
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

LARGEST = 1024 * 1024
"""Bytes that one file may have."""


class Sources:
    """Reads from the disk and remembers; one that was made of what another one `told` reads nothing any more."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._secrets: dict[str, str] = {}
        self._matches: dict[str, list[str]] = {}
        self._included: list[str] = []
        self._replays = False

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Sources":
        sources = cls()
        sources._texts, sources._secrets = dict(told["texts"]), dict(told["secrets"])
        sources._matches, sources._included = dict(told["matches"]), list(told["included"])
        sources._replays = True
        return sources

    def told(self) -> dict[str, Any]:
        """All of it, as JSON can have it. It holds secrets."""
        return {
            "texts": self._texts,
            "secrets": self._secrets,
            "matches": self._matches,
            "included": self._included,
        }

    # ------------------------------------------------------------ reading

    def read(self, path: str | Path) -> str:
        """Gives the text of a file that only its owner may write; raises `BadFile`."""
        return self._read(str(path), self._texts)

    def read_secret(self, path: str) -> str:
        """The same for what is read again at each start: that it changes is nobody's concern."""
        return self._read(path, self._secrets)

    def match(self, pattern: str) -> list[str]:
        """The files that a pattern means, in the order of their names."""
        self._matches[pattern] = sorted(glob.glob(pattern))
        return self._matches[pattern]

    def included(self, find: Callable[[], list[Path]]) -> list[Path]:
        """The files that the main one includes; `find` is asked when they are to be looked for."""
        if not self._replays:
            self._included = [str(path) for path in find()]
        return [Path(path) for path in self._included]

    def _read(self, path: str, texts: dict[str, str]) -> str:
        if not self._replays:
            texts[path] = read_text(path)
        if path not in texts:
            raise BadFile("was not read when this config was; start the service again")
        return texts[path]

    # ------------------------------------------------------------ what is there now

    def marks(self) -> object:
        """Something cheap that is another one after most changes: one call a file, one folder a pattern."""
        return [_mark(path) for path in self._texts], [sorted(glob.glob(pattern)) for pattern in self._matches]

    def changed(self) -> dict[str, str]:
        """The files that are not as they were read, each with the word for it: changed, gone, new or unusable."""
        found = {}
        for path, text in self._texts.items():
            try:
                if read_text(path) != text:
                    found[path] = "changed"
            except BadFile:
                found[path] = "unusable" if os.path.lexists(path) else "gone"
        for pattern, before in self._matches.items():
            found |= {path: "new" for path in glob.glob(pattern) if path not in before}
        return found


def _mark(path: str) -> object:
    try:
        about = os.stat(path)
    except OSError as error:
        return error.errno
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


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
