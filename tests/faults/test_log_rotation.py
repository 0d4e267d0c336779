"""Rotation under load with readers at every pace: nothing lost, doubled or torn, and every deletion told."""

import os
import threading
from itertools import pairwise
from pathlib import Path
from time import time

import pytest

from supervisor_core.children.pump import Pump
from supervisor_core.children.segments import SegmentStore
from supervisor_core.lines import Gap, Line, View

VIEW = View(("a",))
SEGMENT = 64 * 1024
LENGTH = 100


def line(number: int) -> bytes:
    return b"%012d " % number + b"." * (LENGTH - 14) + b"\n"


def flood(store: SegmentStore, lines: int, over: threading.Event) -> None:
    """Through a pipe, in writes that end in the midst of lines."""
    reading, writing = os.pipe()
    channel = Pump(store).open("a", "out", 1, reading)

    def write() -> None:
        left = b""
        for first in range(0, lines, 300):
            left += b"".join(map(line, range(first, min(first + 300, lines))))
            cut = len(left) - 37
            os.write(writing, left[:cut])
            left = left[cut:]
        os.write(writing, left)
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    os.set_blocking(reading, True)
    while channel.move():
        pass
    writer.join()
    over.set()


def read(store: SegmentStore, over: threading.Event, limit: int, found: list[Line | Gap]) -> None:
    key = ""
    while True:
        last = over.is_set()
        page = store.after(VIEW, key, limit)
        found += [item for item in page.items if isinstance(item, Line | Gap)]
        key = page.next
        if last and not page.more:
            return


def run(root: Path, rotations: int, **settings) -> tuple[SegmentStore, list[list[Line | Gap]], int]:
    """Floods while a quick reader and a slow one follow; gives what each saw, and how many lines there were."""
    lines = rotations * SEGMENT // LENGTH
    store = SegmentStore(root, now=time, segment=SEGMENT, **settings)
    over = threading.Event()
    seen: list[list[Line | Gap]] = [[], []]
    threads = [threading.Thread(target=read, args=(store, over, n, s)) for n, s in zip((5000, 50), seen, strict=True)]
    for thread in threads:
        thread.start()
    flood(store, lines, over)
    for thread in threads:
        thread.join()
    return store, seen, lines


def check(found: list[Line | Gap], lines: int) -> int:
    """Every byte is in one line or in a gap; gives how many gaps there were."""
    for before, after in pairwise(found):
        assert before.key < after.key
        start = after.start if isinstance(after, Gap) else after.at
        end = before.end if isinstance(before, Gap) else before.at + len(before.text) + 1
        assert start == end or (isinstance(after, Gap) and start < end <= after.end)
        assert isinstance(before, Gap) or isinstance(after, Gap) or start % LENGTH == 0  # only a gap tears a line
    for item in found:
        if isinstance(item, Line):
            assert item.text.encode() + b"\n" == line(item.at // LENGTH)[item.at % LENGTH :]
    assert isinstance(found[-1], Line)
    assert found[-1].at // LENGTH * LENGTH == (lines - 1) * LENGTH
    gaps = [item for item in found if isinstance(item, Gap)]
    assert {gap.why for gap in gaps} <= {"expired"}
    return len(gaps)


@pytest.fixture(params=[100, pytest.param(1000, marks=pytest.mark.long)])
def rotations(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.mark.row(50)
def test_rotations_lose_double_and_tear_nothing(tmp_path: Path, rotations: int) -> None:
    store, seen, lines = run(tmp_path / "logs", rotations)
    try:
        assert len(store._folders.all()[0].bases) >= 0.45 * rotations  # a segment is cut at one to two sizes
        for found in seen:
            assert check(found, lines) == 0
            assert len(found) == lines
    finally:
        store.close()


@pytest.mark.row(50, 51)
def test_deleting_and_compressing_meanwhile_is_told_and_loses_nothing_else(tmp_path: Path, rotations: int) -> None:
    store, seen, lines = run(tmp_path / "logs", rotations, max_worker=8 * SEGMENT, compress=True)
    try:
        store.settle()
        gaps = [check(found, lines) for found in seen]
        again: list[Line | Gap] = []
        read(store, _set(), 100_000, again)
        check(again, lines)
        assert store.after(VIEW, "", 1).expired_bytes > 0
        assert gaps[1] > 0  # the slow one was overtaken
    finally:
        store.close()


def _set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@pytest.mark.row(51)
def test_a_reader_that_stands_in_the_middle_of_what_goes_is_told(tmp_path: Path) -> None:
    store = SegmentStore(tmp_path / "logs", now=time, segment=4096, max_worker=20_000)
    stream = store.open_stream("a", "out", 1)
    try:
        for number in range(100):
            stream.append(line(number))
        page = store.after(VIEW, "", 55)
        before = [item for item in page.items if isinstance(item, Line)]
        for number in range(100, 1000):
            stream.append(line(number))
        after = store.after(VIEW, page.next, 10_000).items
        assert isinstance(after[0], Gap)
        assert after[0].why == "expired"
        assert after[0].start <= before[-1].at + LENGTH < after[0].end
        assert check([*before, *after], 1000) == 1
    finally:
        store.close()
