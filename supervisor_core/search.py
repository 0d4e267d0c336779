"""Filters of lines: words that are looked for here, and regular expressions, which a child process looks for.

A regular expression never runs in this process: one that takes for ever would stop everything. A search has one child,
which has a time for each batch and is killed when it needs longer. Words alone need no child.

Known wart: a filter sees a line as it is shown, cut at `MAX_TEXT` characters; what lies behind is not found.
"""

import marshal
import os
import re
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

from .lines import Line

BATCH_SECONDS = 2.0
"""Of processor time, and of waiting, for the answer to one batch."""

BATCH_TEXT = 256 * 1024
"""Characters of a batch that the child is sent at once."""

_PROGRAM = str(Path(__file__).with_name("matching.py"))
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_a-z])")


def plain(text: str) -> str:
    """The text without colours and other escape sequences."""
    return _ESCAPE.sub("", text) if "\x1b" in text else text


class BadPattern(ValueError):
    """A regular expression that cannot be read; the message is one sentence."""


class QueryTooSlow(Exception):
    """A regular expression that needed more than its time; the message is one sentence."""


class TooManySearches(Exception):
    """As many searches with regular expressions are open as may be; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression; a line must match it (`wanted`) or must not."""

    text: str
    ignore_case: bool = False
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class Query:
    """What a filter asks of a line: all must hold. Words are in lower case, and case counts for nothing in them."""

    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    patterns: tuple[Pattern, ...] = ()

    def accepts(self, text: str) -> bool:
        """Whether the words hold for a text without escape sequences; patterns are not looked at."""
        text = text.lower()
        return all(word in text for word in self.wanted) and not any(word in text for word in self.unwanted)


class Searches:
    """Opens searches, at most `limit` of them with a child at once. For any thread."""

    def __init__(self, limit: int = 8) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._open = 0

    def open(self, query: Query, seconds: float | None = None) -> "Search":
        """Begins a search; close it. `seconds` bounds all its waiting for the child together.

        Blocks for some milliseconds when there are patterns. Raises `BadPattern`, `QueryTooSlow`, `TooManySearches`.
        """
        if not query.patterns:
            return Search(query, None)
        with self._lock:
            if self._open >= self._limit:
                raise TooManySearches(
                    f"{self._limit} searches with a regular expression are under way; close one or try again"
                )
            self._open += 1
        try:
            matcher = Matcher(query.patterns, self._freed, seconds)
        except OSError as error:
            self._freed()
            raise TooManySearches(f"no process can be started for a search: {error.strerror}; try again") from None
        return Search(query, matcher)

    def _freed(self) -> None:
        with self._lock:
            self._open -= 1


class Search:
    """A query at work: the `match` of a view. Close it in the end; that may happen from another thread, at any time."""

    def __init__(self, query: Query, matcher: "Matcher | None") -> None:
        self.query = query
        self._matcher = matcher

    def __call__(self, lines: Sequence[Line]) -> list[bool]:
        """Which of the lines are accepted. Raises `QueryTooSlow`; after `close`, too."""
        texts = [plain(line.text) for line in lines]
        flags = [self.query.accepts(text) for text in texts]
        if self._matcher is None:
            return flags
        left = [i for i, flag in enumerate(flags) if flag]
        for i, flag in zip(left, self._matcher.match([texts[i] for i in left]), strict=True):
            flags[i] = flag
        return flags

    def close(self) -> None:
        if self._matcher is not None:
            self._matcher.close()

    def __enter__(self) -> "Search":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Matcher:
    """The child process of one search. `ended` is called once when it is gone."""

    def __init__(self, patterns: Sequence[Pattern], ended: Callable[[], None], seconds: float | None) -> None:
        self._names = " ".join(f"/{pattern.text}/" for pattern in patterns)
        self._left = seconds
        self._lock = threading.RLock()
        self._ended: Callable[[], None] | None = ended
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", _PROGRAM, str(BATCH_SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"LC_ALL": "C.UTF-8"},
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        try:
            os.set_blocking(self._to, False)
            wrong = self._ask([(p.text, p.ignore_case, p.wanted) for p in patterns])
            if wrong:
                raise BadPattern(f"q has a regular expression that cannot be read: {wrong}")
        except BaseException:
            self.close()
            raise

    def match(self, texts: Sequence[str]) -> list[bool]:
        flags: list[bool] = []
        batch: list[str] = []
        size = 0
        for text in texts:
            if batch and size + len(text) > BATCH_TEXT:
                flags += map(bool, self._ask(batch))
                batch, size = [], 0
            batch.append(text)
            size += len(text)
        return flags + (list(map(bool, self._ask(batch))) if batch else [])

    def close(self) -> None:
        """Kills the child and collects it. A thread that waits for it then raises `QueryTooSlow`."""
        self._process.kill()  # before the lock: who waits for an answer holds that
        with self._lock:
            ended, self._ended = self._ended, None
            if ended is None:
                return
            self._process.wait()
            for end in (self._process.stdin, self._process.stdout):
                if end is not None:
                    end.close()
            ended()

    def _ask(self, value: list[Any]) -> Any:
        """Sends a value and gives the answer. Raises `QueryTooSlow`."""
        with self._lock:
            began = monotonic()
            until = began + (BATCH_SECONDS if self._left is None else min(BATCH_SECONDS, self._left))
            try:
                if self._ended is None:
                    raise ConnectionResetError("the search is closed")
                _send(self._to, marshal.dumps(value), until)
                length = int.from_bytes(_receive(self._from, 4, until), "little")
                answer = marshal.loads(_receive(self._from, length, until))  # noqa: S302 - from our own program
            except OSError:
                self.close()
                raise QueryTooSlow(
                    f"{self._names[:80]} needs too much time for these lines and is given up; write a simpler pattern"
                ) from None
            if self._left is not None:
                self._left -= monotonic() - began
        return answer


def _send(fd: int, body: bytes, until: float) -> None:
    data = memoryview(len(body).to_bytes(4, "little") + body)
    while data:
        _wait(fd, select.POLLOUT, until)
        with suppress(BlockingIOError):
            data = data[os.write(fd, data) :]


def _receive(fd: int, length: int, until: float) -> bytes:
    parts: list[bytes] = []
    while length:
        _wait(fd, select.POLLIN, until)
        part = os.read(fd, length)
        if not part:
            raise ConnectionResetError("the child has ended")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _wait(fd: int, event: int, until: float) -> None:
    poll = select.poll()
    poll.register(fd, event)
    if not poll.poll(max(0.0, until - monotonic()) * 1000):
        raise TimeoutError
