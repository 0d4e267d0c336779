"""What others did to the files: gaps with the right range, never an exception, a line that is not one, or one twice."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_core.children.index import SIZE
from supervisor_core.children.segments import SegmentStore
from supervisor_core.lines import Gap, Line, View
from tests.support.places import Place

pytestmark = [pytest.mark.row(48), pytest.mark.leaves("damaged logs")]
VIEW = View(("a",))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "logs", segment=400)
    yield made
    made.stop()


def write(store: SegmentStore, numbers: range) -> None:
    """Lines in three chunks each, so that chunks begin in the midst of lines."""
    stream = store.open_stream("a", "out", 1)
    for i in numbers:
        for part in (b"li", b"ne %04d" % i, b"\n"):
            stream.append(part)


def forward(store: SegmentStore, limit: int) -> list:
    found, key = [], ""
    while True:
        page = store.after(VIEW, key, limit)
        found += page.items
        key = page.next
        if not page.more:
            return found


def backward(store: SegmentStore, limit: int) -> list:
    page = store.tail(VIEW, limit)
    found = list(page.items)
    while page.more:
        page = store.before(VIEW, page.first, limit)
        found[:0] = page.items
    return found


@pytest.mark.parametrize("kept", [None, 0, 1, 50, 96, 119])
def test_a_hole_is_one_gap_and_the_same_from_wherever_one_reads(place: Place, kept: int | None) -> None:
    """A segment that is cut off at any place, or not there: None."""
    store = place.start(segment=2000)
    write(store, range(60))
    whole = forward(store, 1000)
    log = place.files(".log")[1]
    base, following = int(log.stem, 16), int(place.files(".log")[2].stem, 16)
    if kept is None:
        log.unlink()
    else:
        os.truncate(log, kept)
    start = base + (kept or 0)
    for again in (False, True):
        store = place.start(segment=2000) if again else store
        shown = forward(store, 1000)
        assert [(g.start, g.end, g.why) for g in shown if isinstance(g, Gap)] == [(start, following, "dropped")]
        lines = [i for i in shown if isinstance(i, Line)]
        intact = [i for i in whole if isinstance(i, Line) and (i.at + 9 <= start or i.at >= following)]
        assert [i for i in lines if len(i.text) == 9] == intact
        assert len(lines) - len(intact) <= 1  # what is left of the line that was cut off
        for limit in (1, 3, 1000):
            assert forward(store, limit) == shown
            assert backward(store, limit) == shown
        for item in shown:
            assert list(store.after(VIEW, item.key, 1000).items) == shown[shown.index(item) + 1 :]


def is_sound(store: SegmentStore) -> list[Line]:
    """Reads all in every manner; the lines must be some of those that were written, each once, in order."""
    shown = forward(store, 7)
    keys = [item.key for item in shown]
    assert keys == sorted(set(keys))
    lines = [i for i in shown if isinstance(i, Line)]
    numbers = [int(i.text[5:]) for i in lines if len(i.text) == 9 and i.text.startswith("line ")]
    assert numbers == sorted(set(numbers))
    backward(store, 7)
    store.at(VIEW, 1e9, 5)
    return lines


@pytest.mark.parametrize("which", [0, 1, -1], ids=["first", "middle", "last"])
def test_an_index_that_is_cut_off_at_any_byte_loses_no_line(tmp_path: Path, which: int) -> None:
    for cut in [*range(70), 200, 500, 5000]:
        place = Place(tmp_path / f"{cut}", segment=400)
        write(place.start(), range(20))
        place.stop()
        path = place.files(".idx")[which]
        os.truncate(path, max(path.stat().st_size - cut, 0))
        store = place.start()
        write(store, range(20, 23))
        assert [line.text for line in is_sound(store)] == [f"line {i:04d}" for i in range(23)], cut
        place.stop()


@pytest.mark.parametrize("name", ["0.idx", "1.idx", "-1.idx", "expired", "watermark"])
def test_bits_that_flip_anywhere_stop_nothing(tmp_path: Path, name: str) -> None:
    dice = random.Random(7)
    place = Place(tmp_path / "logs", segment=400)
    write(place.start(), range(20))
    place.stop()
    if name == "expired":
        place.store = SegmentStore(place.root, now=lambda: 2e9, segment=400, max_worker=1500)
        write(place.store, range(20, 24))
        place.stop()
    path = {
        "expired": next(place.root.glob("by-id/*/out/expired.idx"), place.root / "none"),
        "watermark": place.root / "watermark",
    }.get(name) or place.files(".idx")[int(name[:-4])]
    saved = {p: p.read_bytes() for p in place.root.rglob("*") if p.is_file() and not p.is_symlink()}
    length = len(saved[path])
    bits = [*range(0, min(length, 3 * SIZE) * 8, 5), *(dice.randrange(length * 8) for _ in range(30))]
    for bit in bits:
        for extra in place.files(""):
            if extra not in saved:
                extra.unlink()
        for p, data in saved.items():
            p.write_bytes(data)
        flipped = bytearray(saved[path])
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        store = place.start()
        write(store, range(100, 102))
        lines = is_sound(store)
        assert lines[-1].text == "line 0101"
        place.stop()


def test_a_hole_of_thousands_of_records_is_one_gap(place: Place) -> None:
    store = place.start(segment=60_000)
    write(store, range(1800))
    log = place.files(".log")[1]
    base, following = int(log.stem, 16), int(place.files(".log")[2].stem, 16)
    assert place.files(".idx")[1].stat().st_size > 1000 * SIZE
    log.unlink()
    shown = forward(store, 10_000)
    assert [(g.start, g.end) for g in shown if isinstance(g, Gap)] == [(base, following)]
    assert backward(store, 10_000) == backward(store, 11) == forward(store, 11) == shown


@pytest.mark.parametrize("first", [0, 1, 7])
def test_records_that_were_overwritten_are_one_gap_before_their_lines(place: Place, first: int) -> None:
    store = place.start(segment=2000)
    write(store, range(40))
    whole = [i for i in forward(store, 1000) if isinstance(i, Line)]
    index = place.files(".idx")[1]
    data = bytearray(index.read_bytes())
    base = int(index.stem, 16)
    data[first * SIZE : (first + 4) * SIZE] = b"\xff" * 4 * SIZE
    place.stop()
    index.write_bytes(data)
    store = place.start(segment=2000)
    shown = forward(store, 1000)
    (gap,) = (i for i in shown if isinstance(i, Gap))
    lines = [i for i in shown if isinstance(i, Line)]
    assert gap.why == "rebuilt"
    assert base <= gap.start < gap.end < base + 45
    assert [(i.at, i.text) for i in lines] == [(i.at, i.text) for i in whole]
    assert {i.at for i in set(lines) ^ set(whole)} <= set(range(gap.start - 10, gap.end))
    assert backward(store, 1000) == backward(store, 3) == forward(store, 3) == shown
