"""Folders of logs are made with the first byte, whatever has become of them, and stay their worker's over a restart."""

import errno
import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from supervisor_core.children import folders as folders_module
from supervisor_core.children import writer as writer_module
from supervisor_core.children.segments import SegmentStore
from supervisor_core.lines import Gap, Line, View

VIEW = View(("a",))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "logs"


def opened(root: Path) -> SegmentStore:
    ticks = count()
    return SegmentStore(root, now=lambda: 1e9 + next(ticks) / 1e3)


@pytest.fixture
def store(root: Path) -> Iterator[SegmentStore]:
    made = opened(root)
    yield made
    made.close()


def texts(store: SegmentStore) -> list[str]:
    return [item.text for item in store.after(VIEW, "", 100).items if isinstance(item, Line)]


def test_logs_whose_name_found_no_room_on_the_disk_are_their_workers_after_a_restart(
    store: SegmentStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, *_: object) -> None:
        Path(path).touch()
        raise OSError(errno.ENOSPC, "full", path)

    stream = store.open_stream("a", "out", 1)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="full"):
        patched.setattr(folders_module, "open", full, raising=False)
        stream.append(b"one\n")
    stream.append(b"two\n")
    stream.end()
    store.close()
    again = opened(root)
    assert texts(again) == ["two"]
    again.close()


@pytest.mark.parametrize("name", ["a", "lock", "näme with / and %"])
def test_logs_whose_name_a_power_cut_emptied_are_their_workers_by_the_link(root: Path, name: str) -> None:
    """The bytes of a small file come to the disk long after its name does; two of them are nobody's no less."""
    store = opened(root)
    for worker in ("other", name):
        store.open_stream(worker, "out", 1).append(b"one\n")
    store.close()
    for place in root.glob("by-id/*/name"):
        place.write_bytes(b"")
    (root / "stray").symlink_to("by-id/nothing")
    store = opened(root)
    store.open_stream(name, "out", 2).append(b"two\n")
    assert [item.text for item in store.after(View((name,)), "", 100).items if isinstance(item, Line)] == ["one", "two"]
    store.close()
    assert sorted(place.read_text() for place in root.glob("by-id/*/name")) == sorted(["other", name])


@pytest.mark.parametrize("gone", ["by-id/*/out", "by-id/*", "by-id"])
def test_whatever_folder_is_deleted_what_comes_after_is_kept(
    store: SegmentStore, root: Path, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "LOOK", 0.0)
    stream = store.open_stream("a", "out", 1)
    stream.append(b"one\n")
    for path in root.glob(gone):
        shutil.rmtree(path)
    stream.append(b"two\n")
    stream.end()
    assert texts(store) == ["two"]


def test_bytes_that_were_dropped_before_any_file_could_be_made_are_a_gap_and_trouble_no_retention(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    store = SegmentStore(root, now=lambda: clock[0], keep=10.0, on_full=0.0)
    stream = store.open_stream("a", "out", 1)
    by_id, away = root / "by-id", root / "away"
    by_id.rename(away)
    by_id.touch()  # no folder can be made in it
    reading, writing = os.pipe()
    os.write(writing, b"lost\n")
    assert stream.move(reading) == 5
    by_id.unlink()
    away.rename(by_id)
    for clock[0] in (2000.0, 3000.0):
        store.expire()
    stream.append(b"next\n")
    stream.end()
    assert texts(store) == ["next"]
    gap = store.after(VIEW, "", 1).items[0]
    assert isinstance(gap, Gap)
    assert (gap.start, gap.end, gap.why) == (0, 5, "dropped")
    for fd in (reading, writing):
        os.close(fd)
    store.close()


@pytest.mark.parametrize("wrote", [True, False], ids=["wrote", "wrote nothing yet"])
def test_a_run_begins_where_there_is_no_room_to_mark_the_end_of_the_one_before(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch, wrote: bool
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    first = store.open_stream("a", "out", 1)
    if wrote:
        first.append(b"one\n")
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        first._log.lose(7)
        with pytest.raises(OSError, match="full"):
            first.end()
        streams = [store.open_stream("a", "out", run) for run in (2, 3)]
    streams[-1].append(b"three\n")
    streams[-1].end()
    items = store.after(VIEW, "", 100).items
    told = [
        item.text if isinstance(item, Line) else item.end if isinstance(item, Gap) else (item.run, item.kind)
        for item in items
    ]
    assert told == [*([(1, "start"), "one", 11, (1, "end")] if wrote else [7]), (3, "start"), "three", (3, "end")]
    assert [item.key for item in items] == sorted({item.key for item in items})


def test_a_mark_that_found_room_without_the_bytes_that_it_belongs_to_is_told_once(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = os.pwrite

    def short(fd: int, data: bytes, at: int) -> int:
        return written(fd, data[:32], at)

    stream = store.open_stream("a", "out", 1)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="no room"):
        patched.setattr(os, "pwrite", short)
        stream.append(b"one\n")
    store.note("b", 1, "raises the watermark")
    seen = store.after(VIEW, "", 9)
    stream.append(b"two\n")
    stream.end()
    items = [*seen.items, *store.after(VIEW, seen.next, 9).items]
    assert [item.text if isinstance(item, Line) else item.kind for item in items] == ["start", "one", "two", "end"]
