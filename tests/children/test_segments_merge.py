"""Many streams written at once and read as one: no record is missed, because readers go by the watermark."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import Any

import pytest

from supervisor_core.children.reader import StreamReader
from supervisor_core.children.segments import SegmentStore
from supervisor_core.children.stamps import Stamps
from supervisor_core.lines import Item, Line, View

STREAMS = 20
LINES = 400
NAMES = tuple(f"w{n}" for n in range(STREAMS))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SegmentStore]:
    made = SegmentStore(tmp_path / "logs", now=time, segment=4096)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def write_and_read(store: SegmentStore) -> list[Line]:
    """Four threads write to twenty streams while this one reads all of them, from key to key."""

    def write(names: tuple[str, ...]) -> None:
        streams = [store.open_stream(name, "out", 1) for name in names]
        for i in range(LINES):
            for stream in streams:
                stream.append(b"%d\n" % i)

    writers = [threading.Thread(target=write, args=(NAMES[n::4],)) for n in range(4)]
    for writer in writers:
        writer.start()
    seen: list[Line] = []
    key = ""
    view = View(NAMES)
    while True:
        over = not any(writer.is_alive() for writer in writers)
        page = store.after(view, key, 500)
        seen += [item for item in page.items if isinstance(item, Line)]
        key = (page.items[-1].key or "") if page.items else key
        if over and not page.items:
            return seen


class Unmarked:
    """Stamps that say that everything is written."""

    written = 1 << 62

    def __init__(self, stamps: Stamps) -> None:
        self._stamps = stamps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stamps, name)


def missed(seen: list[Line]) -> int:
    return STREAMS * LINES - len(seen)


def test_a_merging_reader_misses_and_doubles_nothing(store: SegmentStore) -> None:
    seen = write_and_read(store)
    assert missed(seen) == 0
    keys = [line.key for line in seen]
    assert keys == sorted(set(keys))
    for name in NAMES:
        assert [line.text for line in seen if line.worker == name] == [str(i) for i in range(LINES)]


@pytest.mark.parametrize(("marked", "expected"), [(True, ["a", "b"]), (False, ["b"])])
def test_it_is_the_watermark_that_does_it(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch, marked: bool, expected: list[str]
) -> None:
    """Both streams are written just between the reader's look at the first and its look at the second.

    The planted reader, which shows whatever stands in the indexes, then loses a line; so the tests above can fail.
    """
    a, b = store.open_stream("w0", "out", 1), store.open_stream("w1", "out", 1)
    a.append(b"before\n")
    b.append(b"before\n")
    view = View(("w0", "w1"))
    key = store.after(view, "", 99).next
    if not marked:
        store._stamps = Unmarked(store._stamps)  # type: ignore[assignment]
    forward = StreamReader.forward
    moments = iter([lambda: (a.append(b"a\n"), b.append(b"b\n"))])

    def late(self: StreamReader, stamp: int, offset: int) -> Iterator[Item]:
        if self._files.worker == "w1":
            next(moments, lambda: None)()
        yield from forward(self, stamp, offset)

    monkeypatch.setattr(StreamReader, "forward", late)
    seen: list[str] = []
    for _ in range(3):
        page = store.after(view, key, 99)
        key = (page.items[-1].key or "") if page.items else key
        seen += [item.text for item in page.items if isinstance(item, Line)]
    assert seen == expected
