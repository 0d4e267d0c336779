"""The oldest segments go when there is too much; who comes back later is told what is missing."""

import errno
import os
import random
from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path
from time import time

import pytest

from supervisor_core.children import files as files_module
from supervisor_core.children import index as index_module
from supervisor_core.children import retention as retention_module
from supervisor_core.children.index import open_plain
from supervisor_core.children.retention import bury
from supervisor_core.children.segments import SegmentStore
from supervisor_core.lines import Gap, Line, View

VIEW = View(("a",))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "logs"


@pytest.fixture
def store(root: Path) -> Iterator[SegmentStore]:
    ticks = count()
    made = SegmentStore(root, now=lambda: 1e9 + next(ticks) / 1e3, segment=1000, max_worker=10_000, max_total=25_000)
    yield made
    made.close()


def write(store: SegmentStore, worker: str, numbers: range) -> None:
    stream = store.open_stream(worker, "out", 1)
    for i in numbers:
        stream.append(b"%06d\n" % i)


def size(root: Path) -> int:
    return sum(path.stat().st_size for path in root.glob("by-id/*/*/*") if path.name != "expired.idx")


def test_a_worker_keeps_its_newest_lines_within_its_limit(store: SegmentStore, root: Path) -> None:
    write(store, "a", range(2000))
    assert size(root) < 10_000 + 2 * 1000
    page = store.after(VIEW, "", 10_000)
    lines = [item for item in page.items if isinstance(item, Line)]
    assert [line.text for line in lines] == [f"{i:06d}" for i in range(2000)][-len(lines) :]
    assert 100 < len(lines) < 2000
    assert page.expired_bytes == lines[0].at == 7 * (2000 - len(lines))
    assert page.oldest <= (lines[0].key or "")
    assert page.newest >= page.next
    assert not store.before(VIEW, lines[0].key or "", 10).items


def test_all_workers_together_keep_within_the_total(store: SegmentStore, root: Path) -> None:
    for n in range(6):
        write(store, f"w{n}", range(200))
    assert 20_000 < size(root) < 25_000 + 7 * 1100
    assert store.after(View(("w0",)), "", 10).expired_bytes > 0
    assert store.after(View(("w5",)), "", 10).expired_bytes == 0


def test_who_comes_back_is_told_what_is_gone_and_where_it_goes_on(store: SegmentStore) -> None:
    write(store, "a", range(10))
    seen = store.after(VIEW, "", 99)
    write(store, "a", range(10, 2000))
    page = store.after(VIEW, seen.next, 10_000)
    gap = page.items[0]
    assert isinstance(gap, Gap)
    lines = [item for item in page.items if isinstance(item, Line)]
    assert (gap.why, gap.end) == ("expired", lines[0].at)
    assert gap.start <= 10 * 7
    assert gap.key > seen.next
    again = store.after(VIEW, gap.key, 10_000)
    assert [item.key for item in again.items] == [item.key for item in page.items[1:]]
    assert [i for i in store.after(VIEW, lines[0].key or "", 10_000).items if isinstance(i, Gap)] == []


@pytest.mark.parametrize(("read", "told"), [(1, True), (11, True), (12, False)])
def test_who_stood_in_the_midst_of_the_last_chunk_of_a_segment_is_told(
    store: SegmentStore, read: int, told: bool
) -> None:
    """One chunk is one record, so its stamp alone does not say how far somebody was."""
    stream = store.open_stream("a", "out", 1)
    stream.append(b"".join(b"%099d\n" % i for i in range(12)))
    seen = store.after(VIEW, "", read)
    write(store, "a", range(2000))
    page = store.after(VIEW, seen.items[-1].key, 10)
    gap = page.items[0]
    assert isinstance(gap, Gap)
    assert gap.start == (0 if told else 1200)


def test_what_is_gone_stays_gone_and_counted_after_a_restart(store: SegmentStore, root: Path) -> None:
    write(store, "a", range(10))
    seen = store.after(VIEW, "", 99)
    write(store, "a", range(10, 2000))
    before = store.after(VIEW, seen.next, 10_000)
    store.close()
    later = SegmentStore(root, now=lambda: 2e9, segment=1000, max_worker=10_000)
    try:
        assert later.after(VIEW, seen.next, 10_000).items == before.items
        write(later, "a", range(2000, 2500))
        assert size(root) < 10_000 + 2 * 1000
    finally:
        later.close()


def test_on_a_disk_without_room_for_a_record_of_32_bytes_the_oldest_goes_all_the_same(
    store: SegmentStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, "a", range(1000))
    oldest = store.after(VIEW, "", 1).items[0]
    before = size(root)
    written = os.pwrite

    def full(fd: int, data: bytes, at: int) -> int:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if path.endswith("expired.idx") and size(root) == before:
            raise OSError(errno.ENOSPC, "full", path)
        return written(fd, data, at)

    with monkeypatch.context() as patched, store._lock:
        patched.setattr(os, "pwrite", full)
        assert store._retention._delete_oldest(store._retention._sealed) > 0
    assert size(root) < before
    (gap,) = [item for item in store.after(VIEW, oldest.key or "", 10_000).items if isinstance(item, Gap)]
    assert gap.end == store.after(VIEW, "", 10).expired_bytes


def test_a_segment_that_cannot_be_deleted_now_is_deleted_later(
    store: SegmentStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EROFS, "read-only")

    write(store, "a", range(1000))
    oldest = min(root.glob("by-id/*/out/*.log"))
    with monkeypatch.context() as patched, store._lock, pytest.raises(PermissionError):
        patched.setattr(retention_module, "_write_down", refuse)
        store._retention._delete_oldest(store._retention._sealed)
    assert oldest.exists()
    store._retention._delete_oldest(store._retention._sealed)
    assert not oldest.exists()


def test_a_deletion_that_was_cut_off_is_finished_at_the_start(store: SegmentStore, root: Path) -> None:
    write(store, "a", range(200))
    first = min(root.glob("by-id/*/out/0*.log"))
    kept = first.read_bytes(), first.with_suffix(".idx").read_bytes()
    write(store, "a", range(200, 2000))
    expected = store.after(VIEW, "", 10_000)
    store.close()
    first.write_bytes(kept[0])
    first.with_suffix(".idx").write_bytes(kept[1])
    later = SegmentStore(root, now=lambda: 2e9, segment=1000, max_worker=10_000)
    try:
        assert later.after(VIEW, "", 10_000).items == expected.items
        assert not first.exists()
    finally:
        later.close()


def test_a_segment_that_is_just_being_deleted_is_gone_already(store: SegmentStore) -> None:
    """Its end is written down, its file is still there: a reader in between sees the gap and not the lines as well."""
    write(store, "a", range(10))
    seen = store.after(VIEW, "", 99)
    write(store, "a", range(10, 1000))
    (files,) = store._folders.all()
    for base in files.bases[:3]:
        bury(files, base)
    page = store.after(VIEW, seen.next, 10_000)
    keys = [item.key for item in page.items]
    assert isinstance(page.items[0], Gap)
    assert keys == sorted(keys)
    assert next(item.at for item in page.items if isinstance(item, Line)) == page.items[0].end == files.bases[3]


@pytest.mark.parametrize("read", range(9, 15))
@pytest.mark.parametrize("nth", range(1, 10))
def test_a_deletion_at_any_one_opening_of_a_file_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch, nth: int, read: int
) -> None:
    """All that a reader was about to read is deleted just before it opens its nth file; a segment has twelve lines."""
    store = SegmentStore(root, now=time, segment=500, max_worker=4000)
    write(store, "a", range(read))
    seen = store.after(VIEW, "", 99)
    write(store, "a", range(read, 40))
    left = nth

    def meanwhile(path: str) -> int:
        nonlocal left
        left -= 1
        if left == 0:
            write(store, "a", range(40, 200))
        return open_plain(path)

    monkeypatch.setattr(index_module, "open_plain", meanwhile)
    monkeypatch.setattr(files_module, "open_plain", meanwhile)
    page = store.after(VIEW, seen.next, 999)
    items = [*page.items, *store.after(VIEW, page.next, 9999).items]
    store.close()
    told = [(i.start, i.end) if isinstance(i, Gap) else (i.at, i.at + 7) for i in items if isinstance(i, Gap | Line)]
    assert told[0][0] <= read * 7
    assert all(after[0] <= before[1] for before, after in pairwise(told))
    assert told[-1][1] == (1400 if left <= 0 else 280)
    assert [item.key for item in items] == sorted({item.key for item in items})


@pytest.mark.parametrize("seed", range(4))
def test_deleting_in_the_midst_of_a_read_gives_gaps_and_never_a_silent_hole(
    root: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Whenever the reader opens a file, the writer may come first, write a lot and delete what was to be read."""
    total = 4000
    store = SegmentStore(root, now=time, segment=500, max_worker=4000)
    dice = random.Random(seed)
    written, writing = 100, False
    write(store, "a", range(written))

    def meanwhile(path: str) -> int:
        nonlocal written, writing
        if written < total and not writing and dice.random() < 0.05:
            number = min(dice.randrange(1, 300), total - written)
            writing = True
            write(store, "a", range(written, written + number))
            written, writing = written + number, False
        return open_plain(path)

    monkeypatch.setattr(index_module, "open_plain", meanwhile)
    monkeypatch.setattr(files_module, "open_plain", meanwhile)
    items: list[Line | Gap] = []
    key = ""
    while True:
        page = store.after(VIEW, key, 20)
        items += [item for item in page.items if isinstance(item, Line | Gap)]
        key = page.next
        if written == total and not page.more and not store.after(VIEW, key, 1).items:
            break
        if not page.items:
            store.after(VIEW, "", 20)
    store.close()
    assert [item.key for item in items] == sorted({item.key for item in items})
    lines = [item for item in items if isinstance(item, Line)]
    assert lines[-1].text == f"{total - 1:06d}"
    assert any(isinstance(item, Gap) for item in items)
    for before, after in pairwise(items):
        if isinstance(before, Line) and isinstance(after, Line):
            assert after.at == before.at + 7
        if isinstance(before, Line) and isinstance(after, Gap):
            assert (after.why, after.start <= before.at + 7) == ("expired", True)
        if isinstance(before, Gap) and isinstance(after, Line):
            assert after.at <= before.end
