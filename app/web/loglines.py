"""Pages of log lines as bytes for readers: JSON lines, frames of server-sent events, plain text. Pure.

A frame of lines has at most 256 KB and the key of its last complete line as its id. What is still being written has no
key; it is sent again when it grew, and replaced by the complete line. Known wart: a reader that joins late sees a
progress bar from where it is now.
"""

from collections.abc import Sequence

from supervisor_core.lines import Gap, Item, Line, Page, RunMark
from supervisor_core.search import plain

from . import wire
from .feed import LARGEST


class Shape:
    """How one reader wants its lines: with or without colours, with or without the worker's name (plain text)."""

    def __init__(self, *, strip: bool = False, named: bool = False) -> None:
        self._strip = strip
        self._named = named
        self._open: dict[tuple[str, str, int, int], str] = {}

    def line(self, line: Line) -> wire.Json:
        return wire.line(line, plain(line.text) if self._strip else None)

    def frames(self, page: Page) -> bytes:
        """The events for a page; b"" when it has nothing to show."""
        frames: list[bytes] = []
        lines: list[Line] = []
        for item in page.items:
            if isinstance(item, Line):
                lines.append(item)
                continue
            frames += self._lines(lines)
            lines = []
            name, data = ("gap", wire.gap(item)) if isinstance(item, Gap) else ("run", wire.run(item))
            frames.append(wire.frame(name, data, item.key))
        frames += self._lines(lines + self._grown(page))
        return b"".join(frames)

    def _lines(self, lines: Sequence[Line]) -> list[bytes]:
        frames: list[bytes] = []
        rows: list[bytes] = []
        size, key = 0, None
        for line in lines:
            row = wire.dump(self.line(line))
            if rows and size + len(row) > LARGEST:
                frames.append(wire.frame("log", b"[" + b",".join(rows) + b"]", key))
                rows, size, key = [], 0, None
            rows.append(row)
            size += len(row) + 1
            key = line.key or key
        if rows:
            frames.append(wire.frame("log", b"[" + b",".join(rows) + b"]", key))
        return frames

    def _grown(self, page: Page) -> list[Line]:
        """The partial lines that differ from what was sent before."""
        now = {(line.worker, line.stream, line.run, line.at): line for line in page.open}
        grown = [line for place, line in now.items() if self._open.get(place) != line.text]
        self._open = {place: line.text for place, line in now.items()}
        return grown

    def text(self, items: Sequence[Item]) -> bytes:
        """Plain lines."""
        return "".join(self._text(item) for item in items).encode("utf-8", "replace")

    def _text(self, item: Item) -> str:
        name = f"{item.worker} | " if self._named else ""
        match item:
            case Line():
                return f"{name}{plain(item.text) if self._strip else item.text}\n"
            case Gap():
                return f"{name}--- {item.end - item.start} bytes of {item.stream} are lost: {item.why}\n"
            case RunMark():
                return ""
