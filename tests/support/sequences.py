"""Whether the numbered lines of the zoo came through the product: each once, in order, none torn, the seal right.

A checker takes what a reader got, from store pages, from the data of server-sent events, or from the files themselves,
and says the first wrong place in one sentence. Gaps are allowed where they are told, and their bytes must be those of
the missing lines. Known wart: noise that happens to look like a numbered line would be taken for one.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from supervisor_core.lines import Gap, Line, View, text_of
from supervisor_core.logs import LogStore

NUMBERED = re.compile(r"(\d{10})( x*)?\Z")
LIKE_ONE = re.compile(r"\d{4,10}| ?x{3,}")
"""What the torn half of a numbered line looks like."""

SEAL = re.compile(r"seal (\d+) ([0-9a-f]{8})\Z")

Heard = str | Gap
"""The text of a line, or what is told to be missing."""


class Sequence:
    """Takes what one run of one stream wrote, item by item. `wrong` is the first fault, "" while there is none.

    `size` is the number of bytes of each line, its newline included. `noise` are lines between that are not numbered.
    """

    def __init__(self, size: int = 100) -> None:
        self.size = size
        self.wrong = ""
        self.sealed = self.seen = self.noise = self.missing = 0
        self._filler = " " + "x" * (size - 12) if size > 11 else ""
        self._due = 0
        self._sum = 0
        self._gap = 0

    def take(self, item: Heard) -> None:
        if self.wrong:
            return
        if isinstance(item, Gap):
            self._gap += item.end - item.start
        elif numbered := NUMBERED.match(item):
            self._number(int(numbered[1]), numbered[2] or "")
        elif seal := SEAL.match(item):
            self._seal(int(seal[1]), int(seal[2], 16))
        elif LIKE_ONE.match(item):
            self._fail(f"a torn line: {item[:40]!r}")
        else:
            self.noise += 1

    def all(self, items: Iterable[Heard]) -> "Sequence":
        for item in items:
            self.take(item)
        return self

    def end(self, runs: int = 1) -> str:
        """The first fault, also that there are not as many seals as runs; "" when all is well."""
        if not self.wrong and self._gap:
            self._fail(f"a gap of {self._gap} bytes to which no lines belong")
        if not self.wrong and self.sealed != runs:
            self._fail(f"{self.sealed} seals for {runs} runs")
        return self.wrong

    def _number(self, number: int, filler: str) -> None:
        if filler != self._filler:
            self._fail(f"line {number} has {len(filler) + 11} bytes, and not {self.size}")
        elif number < self._due:
            self._fail(f"line {number} came again, or late, where {self._due} was due")
        elif number > self._due and not self._excuse(number - self._due):
            self._fail(f"line {number} came where {self._due} was due")
        else:
            self._sum = zlib.crc32(f"{number:010d}{filler}\n".encode(), self._sum)
            self._due = number + 1
            self.seen += 1

    def _excuse(self, count: int) -> bool:
        """Whether gaps account for that many lines; they have one byte less when another gap begins in a line."""
        if self._gap != count * self.size:
            return False
        for number in range(self._due, self._due + count):
            self._sum = zlib.crc32(f"{number:010d}{self._filler}\n".encode(), self._sum)
        self.missing += count
        self._gap = 0
        return True

    def _seal(self, count: int, checksum: int) -> None:
        if count > self._due and not self._excuse(count - self._due):
            self._fail(f"the seal says {count} lines, and the last one that came is {self._due - 1}")
        elif count < self._due or checksum != self._sum:
            self._fail(f"the seal says {count} lines with the sum {checksum:08x}, and not {self._due} {self._sum:08x}")
        else:
            self.sealed += 1
            self._due = self._sum = 0

    def _fail(self, sentence: str) -> None:
        self.wrong = f"after {self.seen} good lines: {sentence}"


def of_store(store: LogStore, worker: str, stream: str = "out", limit: int = 5000) -> Iterator[Heard]:
    """All that a store shows of one stream, page by page."""
    view, key = View((worker,), frozenset({stream})), ""
    while True:
        page = store.after(view, key, limit)
        for item in page.items:
            if isinstance(item, Line):
                yield item.text
            elif isinstance(item, Gap):
                yield item
        if not page.more:
            yield from (line.text for line in page.open)
            return
        key = page.next


def of_events(events: Iterable[Any], worker: str, stream: str = "out") -> Iterator[Heard]:
    """What server-sent events say of one stream; `events` have a `name` and parsed `data`. Partial lines are left."""
    for event in events:
        if event.name == "log":
            for row in event.data:
                if (row["worker"], row["stream"]) == (worker, stream) and row["key"]:
                    yield row["text"]
        elif event.name == "gap" and (event.data["worker"], event.data["stream"]) == (worker, stream):
            given = event.data
            yield Gap(given["key"], worker, stream, given["from"], given["to"], given["why"])


def of_files(folder: Path) -> Iterator[str]:
    """The lines of the plain segment files of one stream; `folder` holds them, named by their first offset."""
    carry = b""
    for path in sorted(folder.glob("*.log")):
        lines = (carry + path.read_bytes()).split(b"\n")
        carry = lines.pop()
        yield from (text_of(line)[0] for line in lines)
    if carry:
        yield text_of(carry)[0]
