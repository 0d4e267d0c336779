"""What the writer of a stream does when others lay hands on its files: it goes on, and the reader is told."""

import errno
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from supervisor_core.children import writer as writer_module
from supervisor_core.children.segments import SegmentStore
from supervisor_core.lines import Gap, Line, View

VIEW = View(("a",))


@pytest.fixture(autouse=True)
def always_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "LOOK", 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SegmentStore]:
    ticks = count()
    made = SegmentStore(tmp_path / "logs", now=lambda: 1e9 + next(ticks) / 1e3)
    yield made
    made.close()


def live(tmp_path: Path, ending: str = "log") -> Path:
    (found,) = sorted(tmp_path.glob(f"logs/by-id/*/out/*.{ending}"))[-1:]
    return found


def rename(path: Path) -> None:
    path.rename(path.with_name("old"))


def copy_and_truncate(path: Path) -> None:
    os.truncate(path, 0)


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_file(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"somebody else's\n")


HANDS = [Path.unlink, rename, copy_and_truncate, replace_by_link, replace_by_fifo, replace_by_file]


@pytest.mark.leaves("damaged logs")
@pytest.mark.row(49)
@pytest.mark.parametrize("hands", HANDS)
@pytest.mark.parametrize("way", ["pipe", "memory"])
def test_only_what_was_in_the_file_is_lost_and_a_gap_says_so(
    store: SegmentStore, tmp_path: Path, hands: Callable[[Path], None], way: str
) -> None:
    writer = store.open_stream("a", "out", 1)
    writer.append(b"one\ntwo\n")
    hands(live(tmp_path))
    if way == "memory":
        writer.append(b"three\n")
    else:
        reading, writing = os.pipe()
        os.write(writing, b"three\n")
        assert writer.move(reading) == 6
        os.close(reading)
        os.close(writing)
    writer.append(b"four\n")
    writer.end()
    items = store.after(VIEW, "", 100).items
    assert [item.text for item in items if isinstance(item, Line)] == ["three", "four"]
    assert [(gap.start, gap.end, gap.why) for gap in items if isinstance(gap, Gap)] == [(0, 8, "dropped")]
    assert live(tmp_path).read_bytes() == b"three\nfour\n", "no hole, no foreign bytes"


@pytest.mark.row(49)
@pytest.mark.parametrize("hands", HANDS)
def test_before_the_first_byte_nothing_is_lost(
    store: SegmentStore, tmp_path: Path, hands: Callable[[Path], None]
) -> None:
    writer = store.open_stream("a", "out", 1)
    store.open_stream("a", "err", 1).append(b"this marks the run in the other stream\n")
    hands(live(tmp_path))
    writer.append(b"one\n")
    writer.end()
    items = store.after(VIEW, "", 100).items
    assert [item.text for item in items if isinstance(item, Line) and item.stream == "out"] == ["one"]
    assert not [gap for gap in items if isinstance(gap, Gap)]


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES, errno.EIO])
def test_a_file_that_cannot_be_opened_just_now_is_not_taken_for_somebody_elses(
    store: SegmentStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store.open_stream("a", "out", 1).append(b"one\n")
    store.open_stream("a", "out", 1).end()

    def fail(*args: object, **kwargs: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(OSError, match=os.strerror(code)):
            store.open_stream("a", "out", 2).append(b"two\n")
    store.open_stream("a", "out", 2).append(b"two\n")
    assert [item.text for item in store.after(VIEW, "", 100).items if isinstance(item, Line)] == ["one", "two"]


@pytest.mark.leaves("damaged logs")
@pytest.mark.row(49)
def test_a_deleted_index_loses_no_bytes(store: SegmentStore, tmp_path: Path) -> None:
    writer = store.open_stream("a", "out", 1)
    writer.append(b"one\n")
    log = live(tmp_path)
    live(tmp_path, "idx").unlink()
    writer.append(b"two\n")
    writer.end()
    assert [item.text for item in store.after(VIEW, "", 100).items if isinstance(item, Line)][-1] == "two"
    assert log.read_bytes() == b"one\n", "the next start gives it an index again"
