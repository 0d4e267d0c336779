"""What a log is made of: lines, gaps and marks, their keys, and how bytes become lines. Pure; no files, no clock.

A key is 32 hex digits: the stamp of the chunk that completed the line, then the offset of the line's first byte.
Where a line without a newline is cut is decided by a grid of fixed offsets, so that a reader can begin anywhere, look
back a bounded way, and still find the same lines as every other reader. No character is cut: its first bytes go to the
next piece.

Known wart: a line of a mebibyte or more may come in pieces.
"""

import codecs
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MAX_TEXT = 16 * 1024
"""Characters of a line's `text`; a longer one is cut and says so in `cut`."""

GRID = 1024 * 1024
"""Bytes. A grid cell without a newline in it ends its line, so none is longer than two cells."""

FULL = (1 << 64) - 1
"""The greatest offset: (stamp, FULL) is behind everything that the record with that stamp completed."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line. A partial one (still being written) has no key and is replaced by (worker, stream, run, at).

    `time` is in seconds since the epoch, `at` the logical offset of its first byte in its stream. `raw` says that
    bytes were not UTF-8 and stand as U+FFFD; `cut` is the whole length in bytes of a line that was too long.
    """

    key: str | None
    time: float
    worker: str
    stream: str
    run: int
    at: int
    text: str
    raw: bool = False
    cut: int | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes [start, end) of a stream that cannot be shown; `why` is expired, dropped or rebuilt.

    After a rebuilt one the bytes follow all the same, with estimated times: some may have been shown before.
    """

    key: str
    worker: str
    stream: str
    start: int
    end: int
    why: str


@dataclass(frozen=True, slots=True)
class RunMark:
    """A run began (`kind` = "start") or its output ended ("end")."""

    key: str
    time: float
    worker: str
    run: int
    kind: str


Item = Line | Gap | RunMark


@dataclass(frozen=True, slots=True)
class View:
    """Which lines: of these workers, of these streams, that `match` accepts (every one without it).

    `match` is asked for some lines at once; it may block, so a call with it belongs into a thread. `words` (in lower
    case) say of it that it accepts no line without them in its text, less colours and capitals: such lines may be
    passed over unasked.
    """

    workers: tuple[str, ...]
    streams: frozenset[str] = frozenset({"out", "err", "log"})
    match: Callable[[Sequence[Line]], Sequence[bool]] | None = None
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Some items in key order.

    `next` is the key to go on from (strictly greater), also when the page is empty or a filter hid everything: the
    reader has seen all up to it. `first` is the same for going back: `before(first)` gives what is older. `open` holds
    the partial lines as of now (only for pages that reach the end). `more`: there is more in the direction of the
    call (older for `tail` and `before`). `oldest` and `newest` bound the keys of what is retained of the view;
    `expired_bytes` is what retention deleted of it.
    """

    items: tuple[Item, ...]
    next: str
    first: str = ""
    oldest: str = ""
    newest: str = ""
    expired_bytes: int = 0
    open: tuple[Line, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many lines were written between each two of some moments, and how many of them to `err`.

    A line counts when its newline was written, so one without a newline never does. `exact` is False where there was
    too much to read: then the numbers are estimates from parts of it. `oldest` is the time of the oldest record that is
    kept, None for none: before it nothing is known.
    """

    lines: tuple[int, ...]
    errors: tuple[int, ...]
    exact: bool = True
    oldest: float | None = None


class BadKey(ValueError):
    """A key that no store can have given out."""


class NotKept(Exception):
    """A store does not keep what is asked for; the message is one sentence."""


_KEY = re.compile(r"[0-9a-f]{32}\Z")


def make_key(stamp: int, offset: int) -> str:
    return f"{stamp:016x}{offset:016x}"


def parse_key(key: str) -> tuple[int, int]:
    """Gives (stamp, offset); "" is before everything. Raises `BadKey`."""
    if key == "":
        return 0, 0
    if not _KEY.match(key):
        raise BadKey("a log key is 32 hex digits, as an earlier answer gave it")
    return int(key[:16], 16), int(key[16:], 16)


def text_of(line: bytes | bytearray, length: int | None = None) -> tuple[str, bool, int | None]:
    """Gives (text, raw, cut) of a line without its newline.

    What a carriage return wrote over is left out, as a terminal would show it. `length` is the whole line's length
    when `line` is only its end.
    """
    whole = len(line) if length is None else length
    if b"\r" in line:
        line = line.rstrip(b"\r")
        line = line[line.rfind(b"\r") + 1 :]
    if len(line) <= MAX_TEXT:
        try:
            return line.decode(), False, None
        except UnicodeDecodeError:
            return line.decode("utf-8", "replace"), True, None
    head = bytes(line[: 4 * MAX_TEXT])
    is_all = len(head) == len(line)
    raw = False
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head, is_all)
    except UnicodeDecodeError:
        text, raw = head.decode("utf-8", "replace"), True
    if is_all and len(text) <= MAX_TEXT:
        return text, raw, None
    return text[:MAX_TEXT], raw and "�" in text[:MAX_TEXT], whole


def line_limit(start: int) -> int:
    """Where the line that began at `start` ends at the latest: the end of the first grid cell wholly inside it."""
    return (-(-start // GRID) + 1) * GRID


def hanging(data: bytes | bytearray) -> int:
    """How many bytes at the end are the beginning of a character in UTF-8 whose rest is not there; 0 to 3."""
    end = data[-3:]
    return len(end) - codecs.utf_8_decode(end, "replace")[1]


def marks_stream(streams: frozenset[str]) -> str:
    """The stream whose run marks a view shows: a run has one start and one end, whatever it wrote to."""
    return "out" if "out" in streams else "err"


def one_line(text: str) -> bytes:
    """The bytes of a note: one line, whatever is in it."""
    return " ".join(text.splitlines()).encode("utf-8", "replace") + b"\n"


class Cutter:
    """Cuts the bytes of one stream into lines and holds at most one open line.

    `start` is the offset of the open line's first byte, `at` that of the next byte to come.
    """

    __slots__ = ("_carry", "at", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.at = start
        self._carry = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Takes the next bytes; gives the lines that they complete as (offset, bytes without the newline)."""
        done: list[tuple[int, bytes]] = []
        taken = 0
        while taken < len(data):
            limit = line_limit(self.start)
            piece = data[taken : taken + limit - self.at]
            parts = piece.split(b"\n")
            rest = parts.pop()
            for part in parts:
                if self._carry:
                    part = bytes(self._carry) + part
                    self._carry.clear()
                done.append((self.start, part))
                self.start += len(part) + 1
            self._carry += rest
            taken += len(piece)
            self.at += len(piece)
            if self.at == limit == line_limit(self.start):
                done.append(self._take(hanging(self._carry)))
        return done

    def close(self) -> tuple[int, bytes] | None:
        """Completes the open line, if there is one."""
        return self._take() if self.start < self.at else None

    def jump(self, offset: int) -> None:
        """Goes on at `offset`, with no open line."""
        self._carry.clear()
        self.start = self.at = offset

    @property
    def held(self) -> bytes:
        """The bytes of the open line so far."""
        return bytes(self._carry)

    def _take(self, left: int = 0) -> tuple[int, bytes]:
        """All of the open line but the last `left` bytes, which begin the next one."""
        size = len(self._carry) - left
        line = self.start, bytes(self._carry[:size])
        del self._carry[:size]
        self.start = self.at - left
        return line
