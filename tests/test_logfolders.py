"""The checker of log folders sees each kind of fault in one, and finds none in a folder as the store writes it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor_core.children.index import SIZE, Record
from supervisor_core.children.segments import SegmentStore
from supervisor_core.lines import Cutter, Line
from tests.support.logfolders import LIMIT, RECORD, below, faults_of
from tests.support.places import Place

pytestmark = pytest.mark.leaves("damaged logs")


def written(tmp_path: Path, **settings: Any) -> Place:
    """Two runs over some segments; the first one ends in the midst of a line, the second goes on."""
    place = Place(tmp_path / "logs", segment=200)
    store = place.start(**settings)
    for run in (1, 2):
        out, err = store.open_stream("a", "out", run), store.open_stream("a", "err", run)
        for number in range(12):
            out.append(b"line %d\r\npa" % number)
            err.append(b"\xff\n")
        if run == 1:
            out.end()
            err.end()
    store.note("a", 2, "a note")
    store.settle()
    place.stop()
    return place


def change(place: Place, number: int, segment: int = 0, **changes: int) -> None:
    """Changes fields of a record, as a writer with a fault would write them."""
    path = place.files(".idx")[segment]
    data = bytearray(path.read_bytes())
    at = number * SIZE
    record = Record._make(RECORD.unpack(data[at : at + SIZE]))
    data[at : at + SIZE] = record._replace(**changes).pack()
    path.write_bytes(data)


def bytes_are_gone(place: Place) -> None:
    os.truncate(place.files(".log")[1], 3)


def a_segment_is_gone(place: Place) -> None:
    place.files(".log")[1].unlink()


def an_index_is_gone(place: Place) -> None:
    place.files(".idx")[1].unlink()


def a_record_is_torn(place: Place) -> None:
    os.truncate(place.files(".idx")[0], SIZE + 5)


def a_record_has_a_wrong_sum(place: Place) -> None:
    path = place.files(".idx")[0]
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def a_chunk_has_no_record(place: Place) -> None:
    path = place.files(".idx")[0]
    os.truncate(path, path.stat().st_size - SIZE)


def an_offset_falls(place: Place) -> None:
    change(place, 3, end=1)


def an_offset_stays(place: Place) -> None:
    change(place, 2, end=10)


def a_stamp_falls(place: Place) -> None:
    change(place, 2, stamp=5)


def a_stamp_falls_from_one_segment_to_the_next(place: Place) -> None:
    change(place, 0, segment=1, stamp=5)


def segments_overlap(place: Place) -> None:
    for end in (".log", ".idx"):
        path = place.files(end)[1]
        path.rename(path.with_name(f"{int(path.stem, 16) - 1:016x}{end}"))


FAULTS: dict[Callable[[Place], None], str] = {
    bytes_are_gone: "and the bytes at",
    a_segment_is_gone: "has no bytes",
    an_index_is_gone: "has no index",
    a_record_is_torn: "in the midst of a record",
    a_record_has_a_wrong_sum: "is not as it was written",
    a_chunk_has_no_record: "have no record",
    an_offset_falls: "ends at 1 after",
    an_offset_stays: "ends at 10 after 10",
    a_stamp_falls: "has the stamp 5 after",
    a_stamp_falls_from_one_segment_to_the_next: "record 0 of segment 90 has the stamp 5 after",
    segments_overlap: "where the one before it ends",
}


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_each_fault_of_an_index_is_told(tmp_path: Path, plant: Callable[[Place], None]) -> None:
    place = written(tmp_path)
    plant(place)
    (fault,) = faults_of(place.root)
    assert fault.startswith(f"log folder {place.root}: a out: ")
    assert FAULTS[plant] in fault


def test_a_damaged_compressed_segment_is_told(tmp_path: Path) -> None:
    place = written(tmp_path, compress=True)
    path = place.files(".log.gz")[0]
    path.write_bytes(path.read_bytes()[:-9])
    (fault,) = faults_of(place.root)
    assert "cannot be unpacked" in fault


def the_last_line_is_dropped(self: Cutter) -> None:
    self.jump(self.at)


def test_a_reader_that_drops_an_open_line_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = written(tmp_path)
    monkeypatch.setattr(Cutter, "close", the_last_line_is_dropped)
    (fault,) = faults_of(place.root)
    assert "line 12 is 'pa' at 120 in the bytes and 'line 0' at 122 by the index" in fault


def test_a_reader_that_shows_a_line_too_many_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = written(tmp_path)
    feed = Cutter.feed

    def torn(self: Cutter, data: bytes) -> list[tuple[int, bytes]]:
        return [(at, part) for at, line in feed(self, data) for part in (line.split(b"9") if b"9" in line else [line])]

    monkeypatch.setattr(Cutter, "feed", torn)
    (fault,) = faults_of(place.root)
    assert "line 9 is 'paline 9'" in fault


@pytest.mark.parametrize(
    "settings", [{}, {"compress": True}, {"max_worker": 1200}], ids=["plain", "compressed", "partly deleted"]
)
def test_a_folder_as_the_store_writes_it_has_no_fault(tmp_path: Path, settings: dict[str, Any]) -> None:
    place = written(tmp_path, **settings)
    assert list(below(tmp_path)) == [place.root]
    assert faults_of(place.root) == []


def test_what_was_left_out_on_a_full_disk_is_no_fault(tmp_path: Path) -> None:
    place = Place(tmp_path / "logs", segment=200)
    out = place.start().open_stream("a", "out", 1)
    out.append(b"whole\nha")
    out._log.lose(100)
    out.append(b"lf\nwhole again\n")
    assert faults_of(place.root) == []
    place.stop()


def test_long_streams_and_long_lines_are_looked_at_by_their_records_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SegmentStore(tmp_path / "logs", now=lambda: 1e9)
    store.open_stream("a", "out", 1).append(b"x" * (LIMIT + 1))
    store.close()
    monkeypatch.setattr("tests.support.logfolders._shown_lines", lambda *_: [Line("", 0, "a", "out", 1, 0, "other")])
    assert faults_of(tmp_path / "logs") == []
    os.truncate(next(tmp_path.glob("logs/a/out/*.log")), 5)
    assert len(faults_of(tmp_path / "logs")) == 1
