"""After the writer died: the ends of all streams are made whole, and order goes on above all that was seen."""

import os
from pathlib import Path

import pytest

from supervisor_core.children.index import SIZE
from supervisor_core.children.segments import SegmentStore
from supervisor_core.lines import Gap, Line, Page, RunMark, View
from tests.support.places import Place

VIEW = View(("a", "b"))


@pytest.fixture
def place(tmp_path: Path):
    made = Place(tmp_path / "logs", segment=200)
    yield made
    made.stop()


def everything(store: SegmentStore) -> Page:
    page = store.after(VIEW, "", 100_000)
    keys = [item.key for item in page.items]
    assert keys == sorted(set(keys))
    return page


def texts(page: Page) -> list[str]:
    return [item.text for item in page.items if isinstance(item, Line)]


def write(store: SegmentStore, numbers: range, worker: str = "a") -> None:
    stream = store.open_stream(worker, "out", 1)
    for i in numbers:
        stream.append(b"line %d\n" % i)


def numbered(numbers: range) -> list[str]:
    return [f"line {i}" for i in numbers]


def test_a_clean_restart_goes_on_with_the_same_worker_and_order(place: Place) -> None:
    write(place.start(), range(30))
    place.time -= 5000  # the wall clock was set back: order goes on all the same
    store = place.start()
    before = everything(store)
    assert texts(before) == numbered(range(30))
    write(store, range(30, 60))
    assert texts(store.after(VIEW, before.next, 999)) == numbered(range(30, 60))
    assert texts(everything(store)) == numbered(range(60))
    assert len(list(place.root.glob("by-id/*"))) == 1
    assert [i.kind for i in everything(store).items if isinstance(i, RunMark)] == ["start"]


def test_bytes_without_a_record_are_shown_once_after_the_restart(place: Place) -> None:
    store = place.start(segment=100_000)
    write(store, range(5))
    seen = everything(store)
    place.stop()
    with place.files(".log")[-1].open("ab") as log:
        log.write(b"line 5\nline 6\nlin")
    store = place.start(segment=100_000)
    page = store.after(VIEW, seen.next, 99)
    assert texts(page) == ["line 5", "line 6"]
    assert [line.text for line in page.open] == ["lin"]
    store.open_stream("a", "out", 1).append(b"e 7\n")
    assert texts(everything(store)) == numbered(range(8))


def test_first_bytes_of_a_run_whose_mark_was_not_written_are_not_those_of_the_run_before(place: Place) -> None:
    store = place.start(segment=100_000)
    write(store, range(1))
    store.open_stream("a", "out", 1).end()
    place.stop()
    with place.files(".log")[-1].open("ab") as log:
        log.write(b"line 1\n")  # of run 2
    store = place.start(segment=100_000)
    store.open_stream("a", "out", 3).append(b"line 2\n")
    told = [
        (i.run, i.text if isinstance(i, Line) else i.kind) for i in everything(store).items if not isinstance(i, Gap)
    ]
    assert told == [(1, "start"), (1, "line 0"), (1, "end"), (0, "line 1"), (3, "start"), (3, "line 2")]


@pytest.mark.parametrize("cut", [1, 17, 31, 32, 33, 63, 64, 100])
def test_a_torn_index_loses_no_line(place: Place, cut: int) -> None:
    write(place.start(segment=100_000), range(10))
    place.stop()
    index = place.files(".idx")[-1]
    data = index.read_bytes()
    index.write_bytes(data[:-cut])
    store = place.start(segment=100_000)
    write(store, range(10, 20))
    assert texts(everything(store)) == numbered(range(20))


def test_garbage_at_the_end_of_the_index_is_cut_off(place: Place) -> None:
    write(place.start(segment=100_000), range(10))
    place.stop()
    with place.files(".idx")[-1].open("ab") as index:
        index.write(b"\0" * SIZE + b"garbage " * 5)
    store = place.start(segment=100_000)
    write(store, range(10, 20))
    page = everything(store)
    assert texts(page) == numbered(range(20))
    assert not [item for item in page.items if isinstance(item, Gap)]
    assert len(place.files(".log")) == 1


def test_a_lost_index_of_the_last_segment_says_so_and_shows_its_lines_above_what_was_seen(place: Place) -> None:
    store = place.start()
    write(store, range(40))
    seen = everything(store)
    place.stop()
    logs, indexes = place.files(".log"), place.files(".idx")
    assert len(logs) > 3
    lost = logs[-1].read_bytes()
    assert lost
    indexes[-1].unlink()
    store = place.start()
    page = everything(store)
    assert texts(page) == numbered(range(40))
    base = int(logs[-1].stem, 16)
    assert [(g.start, g.end, g.why) for g in page.items if isinstance(g, Gap)] == [(base, base + len(lost), "rebuilt")]
    again = store.after(VIEW, seen.next, 99)
    assert "".join(f"{text}\n" for text in texts(again)).encode() == lost
    write(store, range(40, 60))
    assert texts(everything(store)) == numbered(range(60))


def test_a_lost_index_in_the_middle_keeps_its_place(place: Place) -> None:
    store = place.start()
    write(store, range(40))
    seen = everything(store)
    place.stop()
    place.files(".idx")[1].unlink()
    store = place.start()
    page = everything(store)
    assert texts(page) == numbered(range(40))
    assert [g.why for g in page.items if isinstance(g, Gap)] == ["rebuilt"]
    assert store.after(VIEW, seen.next, 99).items == ()
    assert texts(store.tail(VIEW, 99)) == numbered(range(40))


@pytest.mark.leaves("damaged logs")
@pytest.mark.parametrize("emptied", [1, 2])
@pytest.mark.parametrize("lost", [1, 3, 99])
def test_what_a_power_cut_leaves_of_the_newest_segments_keeps_its_order(place: Place, lost: int, emptied: int) -> None:
    """The system had written the bytes of the older ones, and of the newer ones only the names."""
    store = place.start()
    write(store, range(80))
    seen = everything(store)
    place.stop()
    logs, indexes = place.files(".log"), place.files(".idx")
    assert len(logs) > 6
    for path in (*logs[-emptied:], *indexes[-lost - emptied :]):
        os.truncate(path, 0)
    place.time -= 5000  # and the clock runs on no battery
    there = [line for path in logs for line in path.read_text().splitlines()]
    store = place.start()
    page = everything(store)
    assert texts(page) == there
    assert texts(store.tail(VIEW, 999)) == there
    assert all(item.time > 9e8 for item in page.items if isinstance(item, Line))
    write(store, range(80, 90))
    assert texts(store.after(VIEW, page.next, 999)) == numbered(range(80, 90))
    assert texts(store.after(VIEW, seen.next, 999))[-10:] == numbered(range(80, 90))


@pytest.mark.leaves("damaged logs")
def test_bytes_that_the_index_names_and_that_are_gone_are_a_gap(place: Place) -> None:
    write(place.start(segment=100_000), range(10))
    place.stop()
    log = place.files(".log")[-1]
    log.write_bytes(log.read_bytes()[:-10])
    store = place.start(segment=100_000)
    write(store, range(10, 13))
    page = everything(store)
    assert texts(page) == [*numbered(range(8)), "line", *numbered(range(10, 13))]
    assert {(g.why) for g in page.items if isinstance(g, Gap)} == {"dropped"}
    assert sum(g.end - g.start for g in page.items if isinstance(g, Gap)) == 10
    assert texts(store.tail(VIEW, 99)) == texts(page)


def test_a_segment_that_somebody_deleted_is_a_gap_and_the_rest_is_shown(place: Place) -> None:
    write(place.start(), range(40))
    place.stop()
    log, index = place.files(".log")[1], place.files(".idx")[1]
    lost = log.read_bytes()
    log.unlink()
    index.unlink()
    page = everything(place.start())
    gone = lost.decode().splitlines()
    assert texts(page) == [text for text in numbered(range(40)) if text not in gone]
    base = int(log.stem, 16)
    assert [(g.start, g.end) for g in page.items if isinstance(g, Gap)] == [(base, base + len(lost))]


@pytest.mark.leaves("damaged logs")
@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_what_stands_in_the_place_of_a_segment_is_not_followed(place: Place, kind: str, tmp_path: Path) -> None:
    write(place.start(), range(40))
    log = place.files(".log")[1]
    log.unlink()
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret\n" * 100)
    match kind:
        case "link":
            log.symlink_to(secret)
        case "fifo":
            os.mkfifo(log)
        case "folder":
            log.mkdir()
    page = everything(place.store)
    assert "secret" not in texts(page)
    assert [g.why for g in page.items if isinstance(g, Gap)]
    assert texts(page)[-1] == "line 39"


def test_a_run_that_was_cut_off_does_not_join_the_next_one(place: Place) -> None:
    store = place.start()
    store.open_stream("a", "out", 1).append(b"half a l")
    store = place.start()
    store.open_stream("a", "out", 2).append(b"ine\n")
    page = everything(store)
    assert [(i.run, i.text) for i in page.items if isinstance(i, Line)] == [(1, "half a l"), (2, "ine")]
    assert [(i.run, i.kind) for i in page.items if isinstance(i, RunMark)] == [(1, "start"), (1, "end"), (2, "start")]


def test_the_watermark_alone_keeps_order_when_all_indexes_are_gone(place: Place) -> None:
    store = place.start()
    write(store, range(5))
    seen = everything(store)
    place.stop()
    for index in place.files(".idx"):
        index.unlink()
    place.time = 5e8
    store = place.start()
    assert all(i.key > seen.next for i in store.after(VIEW, seen.next, 99).items)
    assert texts(store.after(VIEW, seen.next, 99)) == numbered(range(5))


def test_the_indexes_alone_keep_order_when_the_watermark_is_gone(place: Place) -> None:
    store = place.start()
    write(store, range(5))
    seen = everything(store)
    place.stop()
    (place.root / "watermark").unlink()
    place.time = 5e8
    store = place.start()
    assert texts(everything(store)) == numbered(range(5))
    write(store, range(5, 7))
    assert texts(store.after(VIEW, seen.next, 99)) == numbered(range(5, 7))
