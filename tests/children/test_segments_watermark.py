"""Twenty streams written by four threads while one reader follows all of them, for a minute: no record is missed.

The same reader without the watermark misses some, so the test can fail. The long forms print how many there were.
"""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, time

import pytest

from supervisor_core.children.segments import SegmentStore
from supervisor_core.children.stamps import Stamps
from supervisor_core.lines import Line, View

NAMES = tuple(f"w{n}" for n in range(20))
AHEAD = 100
"""Lines that writers may be ahead of the reader: it is to read what is just being written, where it could miss some."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SegmentStore]:
    made = SegmentStore(tmp_path / "logs", now=time, segment=64 * 1024)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield made
    sys.setswitchinterval(before)
    made.close()


class Unmarked:
    """Stamps that say that everything is written."""

    written = 1 << 62

    def __init__(self, stamps: Stamps) -> None:
        self.issue, self.raise_to, self.time, self.close = stamps.issue, stamps.raise_to, stamps.time, stamps.close
        self._stamps = stamps

    @property
    def issued(self) -> int:
        return self._stamps.issued


class Tally:
    """What a reader saw of streams that count from nought."""

    def __init__(self) -> None:
        self.next = dict.fromkeys(NAMES, 0)
        self.read = self.missed = self.doubled = 0
        self.key = ""

    def take(self, line: Line) -> int:
        """Gives by how many records its stream went on, one at least."""
        number, expected = int(line.text), self.next[line.worker]
        self.read += 1
        self.missed += max(number - expected, 0)
        self.doubled += number < expected or (line.key or "") <= self.key
        self.next[line.worker] = max(number + 1, expected)
        self.key = line.key or ""
        return max(number + 1 - expected, 1)

    def __str__(self) -> str:
        return f"{self.read} records read, {self.missed} missed, {self.doubled} doubled or out of order"


def write(store: SegmentStore, names: tuple[str, ...], over: threading.Event, room: threading.Semaphore) -> list[int]:
    streams = [store.open_stream(name, "out", 1) for name in names]
    written = 0
    while not over.is_set():
        for stream in streams:
            stream.append(b"%d\n" % written)
            room.acquire(timeout=0.001)
        written += 1
    return [written] * len(streams)


def run(store: SegmentStore, seconds: float, *, until_missed: bool = False) -> Tally:
    """Reads from key to key while they write, and then to the end."""
    over, room = threading.Event(), threading.Semaphore(AHEAD)
    written: dict[str, int] = {}

    def body(names: tuple[str, ...]) -> None:
        written.update(zip(names, write(store, names, over, room), strict=True))

    writers = [threading.Thread(target=body, args=(NAMES[n::4],)) for n in range(4)]
    for writer in writers:
        writer.start()
    tally, view, end = Tally(), View(NAMES), monotonic() + seconds
    try:
        while True:
            ended = not any(writer.is_alive() for writer in writers)
            page = store.after(view, tally.key, 500)
            for item in page.items:
                if isinstance(item, Line):
                    room.release(tally.take(item))
            if monotonic() > end or (until_missed and tally.missed):
                over.set()
            if ended and not page.more:
                break
    finally:
        over.set()
        for writer in writers:
            writer.join()
    for name, count in written.items():
        tally.missed += count - tally.next[name]
    return tally


LENGTHS = [
    0.5,
    pytest.param(60.0, marks=[pytest.mark.long, pytest.mark.timeout(300)]),
]


@pytest.mark.parametrize("seconds", LENGTHS)
def test_a_merging_reader_misses_nothing(store: SegmentStore, seconds: float) -> None:
    tally = run(store, seconds)
    print(f"{seconds:g} s, twenty streams: {tally}")
    assert tally.read > 100 * seconds
    assert (tally.missed, tally.doubled) == (0, 0)


@pytest.mark.parametrize("seconds", LENGTHS)
def test_without_the_watermark_it_does(store: SegmentStore, seconds: float) -> None:
    """The short form ends with the first one that is missed, which takes milliseconds as a rule."""
    short = seconds < 1
    store._stamps = Unmarked(store._stamps)  # type: ignore[assignment]
    tally = run(store, 30.0 if short else seconds, until_missed=short)
    print(f"{seconds:g} s, twenty streams, no watermark: {tally}")
    assert tally.missed > 0
