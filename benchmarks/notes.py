"""What the workers themselves say: who started, when, and what was written.

Everything that a row claims is counted from here. Known wart: a worker that dies before its note is not seen.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

NOTE = 64
LINE = 100
CHUNK = 50_000
"""Lines that are made for comparison at once."""


class TooLate(Exception):
    """What was waited for did not come in time; the message says what there was."""


class Note(NamedTuple):
    """One note of a worker; `at` in nanoseconds of the monotonic clock."""

    what: str
    worker: int
    pid: int
    at: int


class Notes:
    """The file to which all workers append, read from where the last reading ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        os.mkfifo(f"{path}.go")
        self._read = 0
        self.latest: dict[int, Note] = {}
        self.seen: dict[str, list[Note]] = {}

    def count(self) -> int:
        """How many notes there are, without reading them."""
        return self.path.stat().st_size // NOTE

    def new(self) -> list[Note]:
        """Gives the notes that came since the last call; keeps the latest start of each worker."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            data = file.read((self.path.stat().st_size - self._read) // NOTE * NOTE)
        self._read += len(data)
        found = []
        for line in data.splitlines():
            what, index, pid, at = line.split()
            note = Note(what.decode(), int(index), int(pid), int(at))
            found.append(note)
            self.seen.setdefault(note.what, []).append(note)
            if note.what == "start":
                self.latest[note.worker] = note
        return found

    def wait(
        self,
        what: str,
        enough: Callable[[list[Note]], bool],
        patience: float,
        hopeless: Callable[[], bool] = lambda: False,
    ) -> list[Note]:
        """Gives all notes of that kind once they are enough; raises `TooLate`, at once when hopeless."""
        end = time.monotonic() + patience
        while True:
            self.new()
            found = self.seen.get(what, [])
            if enough(found):
                return found
            if time.monotonic() > end or hopeless():
                raise TooLate(f"only {len(found)} notes '{what}'")
            time.sleep(0.001)

    def pids(self) -> list[int]:
        return [note.pid for note in self.latest.values()]


def expected(index: int, lines: int) -> Iterator[bytes]:
    """The bytes that a worker writes, in pieces."""
    head, tail = f"w{index:04d} ", " ".ljust(LINE - 17, "x") + "\n"
    for first in range(0, lines, CHUNK):
        yield "".join(f"{head}{n:010d}{tail}" for n in range(first, min(first + CHUNK, lines))).encode()


def check_lines(paths: Iterable[Path], index: int, lines: int) -> tuple[int, bool]:
    """Counts newlines in files that follow each other and compares all bytes; gives the count and whether all is so."""
    pieces = (piece for path in paths for piece in _pieces(path))
    newlines, held, same = 0, b"", True
    for wanted in expected(index, lines):
        while len(held) < len(wanted) and (piece := next(pieces, b"")):
            newlines += piece.count(b"\n")
            held += piece
        same = same and held[: len(wanted)] == wanted
        held = held[len(wanted) :]
    newlines += sum(piece.count(b"\n") for piece in pieces)
    return newlines, same and newlines == lines


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK * LINE):
            yield piece
