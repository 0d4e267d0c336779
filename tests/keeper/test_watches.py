"""The keeper's side of following: a watch gives one message, and the store that it watches has no thread."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_core.children.segments import SegmentStore
from supervisor_core.declared import LogPolicy
from supervisor_core.keeper.watches import Watches


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def watches(told: list[str]) -> Watches:
    return Watches(told.append)


def test_a_watch_gives_one_message(watches: Watches, told: list[str]) -> None:
    watches.watch("a", newer=False)
    for _ in range(3):
        watches.moved("b")
        watches.moved("a")
    assert told == ["a"]


def test_what_is_newer_already_is_told_at_once_and_ends_the_watch(watches: Watches, told: list[str]) -> None:
    watches.watch("a", newer=True)
    watches.moved("a")
    assert told == ["a"]


def test_asked_twice_it_tells_once(watches: Watches, told: list[str]) -> None:
    watches.watch("a", newer=False)
    watches.watch("a", newer=False)
    watches.moved("a")
    watches.moved("a")
    assert told == ["a"]


def test_a_watch_that_is_over_tells_nothing(watches: Watches, told: list[str]) -> None:
    watches.watch("a", newer=False)
    watches.watch("b", newer=False)
    watches.unwatch("a")
    watches.moved("a")
    watches.clear()
    watches.moved("b")
    assert told == []


class Kept:
    """A store without upkeep, under a clock that the test sets."""

    def __init__(self, root: Path) -> None:
        self.time = 1e9
        self.store = SegmentStore(
            root, now=lambda: self.time, maintain=False, policy=LogPolicy(segment=500, compress=True, keep=60.0)
        )

    def write(self, worker: str, count: int) -> None:
        stream = self.store.open_stream(worker, "out", 1)
        for n in range(count):
            stream.append(b"line %d\n" % n)

    def bases(self, worker: str) -> tuple[int, ...]:
        return self.store._folders.streams[worker]["out"].bases


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path / "logs")
    yield made
    made.store.close()


def test_it_has_no_thread_and_deletes_what_is_old_when_it_is_asked(kept: Kept) -> None:
    before = threading.active_count()
    assert kept.store.due == float("inf")
    kept.write("a", 100)
    assert threading.active_count() == before
    assert kept.store.due == kept.time + 60.0
    assert len(kept.bases("a")) > 3
    kept.time = kept.store.due + 1.0
    kept.store.expire()
    assert len(kept.bases("a")) == 1
    assert kept.store.due > kept.time


def test_other_policies_hold_at_once(kept: Kept) -> None:
    kept.write("a", 100)
    kept.write("b", 100)
    own = {"b": LogPolicy(max_worker=10**9, segment=500)}
    kept.store.configure(policy=LogPolicy(max_worker=1000, segment=100), max_total=10**9, own=own)
    assert len(kept.bases("a")) <= 3
    assert len(kept.bases("b")) > 3
    before = kept.bases("a")[-1]
    kept.write("a", 10)
    assert kept.bases("a")[-1] > before


def test_who_watches_is_told_after_the_line_can_be_read(kept: Kept) -> None:
    told: list[tuple[str, int]] = []
    assert kept.store.news("a") == 0
    kept.store.on_moved = lambda worker: told.append((worker, kept.store.news(worker)))
    kept.store.note("a", 1, "hello")
    worker, stamp = told[-1]
    assert worker == "a"
    assert stamp == kept.store.news("a") > 0


def test_a_compressed_segment_is_put_in_place_unless_it_is_gone_or_being_written(kept: Kept) -> None:
    kept.write("a", 100)
    files = kept.store._folders.streams["a"]["out"]
    for base, there in ((files.bases[0], True), (files.bases[-1], False), (files.bases[0] + 1, False)):
        new = Path(files.packed(base) + ".new")
        new.write_bytes(b"")
        assert kept.store.swap("a", "out", base, str(new)) is there
        assert new.exists() is not there
        new.unlink(missing_ok=True)
        Path(files.packed(base)).unlink(missing_ok=True)
    assert not kept.store.swap("nobody", "out", 0, "nothing")
