"""What goes when: by age, by free space, by a worker's own policy; nothing here waits, the clock is a number."""

import errno
import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from supervisor_core.children import retention as retention_module
from supervisor_core.children import upkeep as upkeep_module
from supervisor_core.children.segments import SegmentStore
from supervisor_core.children.writer import StreamLog
from supervisor_core.errors import SupervisorError
from supervisor_core.lines import Gap, Line, View
from supervisor_core.model import Free, LogPolicy

DAY = 86_400.0


class Place:
    """A log folder, its clock, and a disk that says how much is free."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.time = 1e9
        self.store: SegmentStore | None = None
        self.disk, self.others = 1_000_000, 0
        self.asked = 0
        monkeypatch.setattr(retention_module.os, "statvfs", self._statvfs)

    def _statvfs(self, path: Path) -> SimpleNamespace:
        self.asked += 1
        free = self.disk - self.others - self.size()
        return SimpleNamespace(f_bavail=max(free, 0), f_blocks=self.disk, f_frsize=1)

    def start(self, **settings) -> SegmentStore:
        self.stop()
        self.store = SegmentStore(self.root, now=lambda: self.time, segment=1000, **settings)
        return self.store

    def stop(self) -> None:
        if self.store is not None:
            self.store.close()
        self.store = None

    def size(self, worker: str = "*") -> int:
        return sum(path.stat().st_size for path in self.root.glob(f"{worker}/*/0*"))

    def write(self, worker: str, number: int, run: int = 1) -> None:
        stream = self.store.open_stream(worker, "out", run)
        for i in range(number):
            stream.append(b"%06d\n" % i)

    def lines(self, worker: str) -> int:
        page = self.store.after(View((worker,)), "", 100_000)
        return sum(isinstance(item, Line) for item in page.items)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    made = Place(tmp_path / "logs", monkeypatch)
    yield made
    made.stop()


def test_what_is_too_old_goes_and_the_next_moment_is_known(place: Place) -> None:
    store = place.start(keep=10 * DAY)
    place.write("a", 60)
    key = store.tail(View(("a",)), 1).next
    place.time += 5 * DAY
    place.write("a", 60)
    before = place.lines("a")
    assert store.expire() == pytest.approx(1e9 + 10 * DAY)
    assert place.lines("a") == before == 120
    place.time = 1e9 + 10 * DAY
    assert store.expire() == pytest.approx(1e9 + 15 * DAY)
    assert 60 <= place.lines("a") < 60 + 26  # the segment that holds both stays until its last line is too old
    assert store.after(View(("a",)), "", 10).expired_bytes > 0
    assert store.after(View(("a",)), key, 10).items[0].key > key


def test_the_last_segment_of_a_worker_that_rests_goes_too(place: Place) -> None:
    store = place.start(keep=10 * DAY)
    place.write("a", 3)
    key = store.after(View(("a",)), "", 1).next
    place.time += 11 * DAY
    store.expire()
    assert place.lines("a") == 0
    assert place.size() == 0
    (gap,) = store.after(View(("a",)), key, 10).items
    assert isinstance(gap, Gap)
    assert (gap.why, gap.end) == ("expired", 21)
    place.write("a", 2)
    assert place.lines("a") == 2
    store = place.start(keep=10 * DAY)
    place.write("a", 1, run=2)
    assert place.lines("a") == 3
    assert store.after(View(("a",)), key, 10).items[0] == gap


def test_what_became_too_old_while_nobody_was_there_goes_at_the_start(place: Place) -> None:
    place.start(keep=10 * DAY)
    place.write("a", 200)
    place.time += 11 * DAY
    place.start(keep=10 * DAY)
    assert place.lines("a") == 0


@pytest.mark.row(52)
def test_what_was_written_under_a_clock_of_the_seventies_is_as_old_as_its_first_look(place: Place) -> None:
    today = 1.8e9
    place.time = 1000.0
    place.start(keep=10 * DAY)
    place.write("a", 200)
    place.time = today
    store = place.start(keep=10 * DAY)
    assert place.lines("a") == 200
    place.time += 9 * DAY
    assert store.expire() <= today + 10 * DAY
    assert place.lines("a") == 200
    place.time += 2 * DAY
    store.expire()
    assert place.lines("a") < 26, "all but the segment that has just been closed"


@pytest.mark.row(52)
def test_what_was_written_under_a_clock_that_was_behind_is_as_young_as_what_it_stands_behind(place: Place) -> None:
    place.time = 1.8e9
    place.start(keep=10 * DAY)
    place.write("a", 1)
    place.time -= 100 * DAY
    place.start(keep=10 * DAY)
    place.write("a", 200)
    place.time = 1.8e9 + DAY
    place.start(keep=10 * DAY)
    assert place.lines("a") == 201


def test_a_clock_that_was_set_back_deletes_nothing(place: Place) -> None:
    store = place.start(keep=10 * DAY)
    place.write("a", 200)
    place.time -= 300 * DAY
    place.write("a", 200)
    store.expire()
    assert place.lines("a") == 400


def test_the_thread_deletes_what_is_due_by_itself(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = place.start(keep=10 * DAY)
    place.write("a", 200)
    gone = threading.Event()
    expire = store._retention.expire

    def told() -> float:
        try:
            return expire()
        finally:
            gone.set()

    monkeypatch.setattr(store._retention, "expire", told)
    place.time += 20 * DAY
    store._upkeep.by(0.0)
    assert gone.wait(10)
    assert place.lines("a") == 0


def test_the_thread_outlives_a_deletion_that_is_not_possible_just_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep_module, "LATER", 0.0)
    answers, done = iter([OSError(errno.EROFS, "read-only"), math.inf]), threading.Event()

    def expire() -> float:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        done.set()
        return answer

    upkeep = upkeep_module.Upkeep(lambda: 0.0, expire, lambda *_: False)
    upkeep.by(0.0)
    assert done.wait(10.0)
    upkeep.close()


def test_below_the_free_space_the_oldest_of_all_workers_go_first(place: Place) -> None:
    place.start(min_free=Free(share=0.5))
    for worker in ("a", "b", "c"):
        place.write(worker, 500)
    assert [place.lines(w) for w in "abc"] == [500, 500, 500]
    place.others = 500_000 - 2 * place.size("a")
    place.write("c", 30)
    assert place.lines("a") < 30
    assert place.lines("b") > 400
    assert place.lines("c") == 530


def test_when_nothing_is_left_to_delete_it_stops_and_the_last_segments_stay(place: Place) -> None:
    place.start(min_free=Free(share=0.9))
    place.write("a", 500)
    place.others = place.disk
    asked = place.asked
    place.write("a", 26)
    assert 1 <= place.lines("a") <= 30
    assert place.asked - asked <= 3
    place.start(min_free=Free(share=0.9))
    assert place.lines("a") >= 1


def test_little_free_space_is_seen_at_the_start(place: Place) -> None:
    place.start(min_free=Free(share=0.1))
    place.write("a", 500)
    place.stop()
    place.others = 950_000
    place.start(min_free=Free(share=0.1))
    assert place.lines("a") <= 26


def test_a_write_that_finds_no_room_makes_some_and_goes_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = place.start(min_free=Free(size=1000))
    place.write("a", 500)
    stream = store.open_stream("b", "out", 1)
    place.others = place.disk - place.size()
    move, failures = StreamLog.move, [OSError(errno.ENOSPC, "full")]
    monkeypatch.setattr(StreamLog, "move", lambda log, fd, limit: _fail(failures) or move(log, fd, limit))
    reader, writer = os.pipe()
    os.write(writer, b"kept\n")
    assert stream.move(reader) == 5
    assert place.lines("a") < 500
    failures += [OSError(errno.ENOSPC, "full")]
    place.others = 0
    os.write(writer, b"more\n")
    with pytest.raises(OSError, match="full"):  # there is room enough: it is not ours to make
        stream.move(reader)
    assert stream.move(reader) == 5
    os.close(reader)
    os.close(writer)
    assert place.lines("b") == 2


def _fail(failures: list[OSError]) -> None:
    if failures:
        raise failures.pop()


def test_a_worker_has_the_policy_of_its_own_table(place: Place) -> None:
    own = {"small": LogPolicy(max_worker=3000, segment=500, keep=DAY, min_free=Free(share=0.9), compress=False)}
    store = place.start(keep=10 * DAY, own=own)
    place.write("small", 500)
    place.write("big", 500)
    assert place.size("small") < 5000 < place.size("big")
    place.time += 2 * DAY
    store.expire()
    assert (place.lines("small"), place.lines("big")) == (0, 500)
    place.write("small", 100)
    place.others = 200_000
    place.write("small", 30)
    assert place.lines("small") < 60
    assert place.lines("big") == 500


@pytest.mark.parametrize("what", ["file", "file below", "lock is a link", "by-id is a file"])
def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path, what: str) -> None:
    root = tmp_path / "logs"
    match what:
        case "file":
            root.write_text("")
        case "file below":
            root.write_text("")
            root = root / "deeper"
        case "lock is a link":
            root.mkdir()
            (root / "lock").symlink_to("/dev/null")
        case "by-id is a file":
            root.mkdir()
            (root / "by-id").write_text("")
    with pytest.raises(SupervisorError, match=r"logs cannot be kept in .*; mend it, or choose another state folder"):
        SegmentStore(root, now=lambda: 1e9)
