"""A full disk: the worker waits, then bytes are dropped and counted, then it goes on by itself."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from supervisor_core.children.runstream import AGAIN, RunStream
from supervisor_core.children.segments import SegmentStore
from supervisor_core.children.writer import MOVE, StreamLog
from supervisor_core.lines import Line, View
from tests.support.needs import missing

VIEW = View(("a",))


class Disk:
    """Says that it is full, when it is told to; and the time."""

    def __init__(self) -> None:
        self.full = False
        self.asked = 0
        self.now = 0.0


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    moved = StreamLog.move

    def move(log: StreamLog, fd: int, limit: int) -> int:
        disk.asked += 1
        if disk.full:
            raise OSError(errno.ENOSPC, "full")
        return moved(log, fd, limit)

    monkeypatch.setattr(StreamLog, "move", move)
    return disk


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture(params=[False, True], ids=["spliced", "copied"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SegmentStore]:
    ticks = count()
    made = SegmentStore(tmp_path / "logs", now=lambda: 1e9 + next(ticks) / 1e3, copy=request.param)
    yield made
    made.close()


def stream(store: SegmentStore, disk: Disk, patience: float) -> RunStream:
    made = store.open_stream("a", "out", 1)
    made._patience, made._monotonic = patience, lambda: disk.now
    return made


def shown(store: SegmentStore) -> list[str | int]:
    items = store.after(VIEW, "", 100).items
    return [
        item.text if isinstance(item, Line) else item.end - item.start for item in items if not hasattr(item, "kind")
    ]


@pytest.mark.parametrize("patience", [0.0, 60.0])
def test_after_the_wait_bytes_are_dropped_counted_and_a_gap_tells(
    store: SegmentStore, disk: Disk, pipe: tuple[int, int], patience: float
) -> None:
    reading, writing = pipe
    writer = stream(store, disk, patience)
    os.write(writing, b"one\ntw")
    assert writer.move(reading) == 6
    disk.full = True
    os.write(writing, b"o\nthree\n")
    if patience:
        for disk.now in (1.0, 30.0, 60.9):
            with pytest.raises(OSError, match="full"):
                writer.move(reading)
        disk.now = 61.0
    assert writer.move(reading) == 8
    os.write(writing, b"four\n")
    assert writer.move(reading) == 5
    disk.full = False
    os.write(writing, b"five\n")
    disk.now += AGAIN
    assert writer.move(reading) == 5
    writer.end()
    assert shown(store) == ["one", "tw", 13, "five"]


def test_who_waits_for_ever_loses_nothing(store: SegmentStore, disk: Disk, pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    writer = stream(store, disk, float("inf"))
    disk.full = True
    os.write(writing, b"one\n")
    for disk.now in (1.0, 1e9):
        with pytest.raises(OSError, match="full"):
            writer.move(reading)
    disk.full = False
    assert writer.move(reading) == 4
    writer.end()
    assert shown(store) == ["one"]


def test_while_bytes_are_dropped_the_disk_is_asked_now_and_then(
    store: SegmentStore, disk: Disk, pipe: tuple[int, int]
) -> None:
    reading, writing = pipe
    writer = stream(store, disk, 0.0)
    disk.full = True
    for disk.now in (i * AGAIN / 10 for i in range(100)):
        os.write(writing, b"x")
        assert writer.move(reading) == 1
    assert disk.asked <= 2 * 11, "twice each time: once more after old segments were looked for"
    with pytest.raises(BlockingIOError):
        writer.move(reading)
    disk.full, disk.now = False, disk.now + AGAIN
    os.write(writing, b"there\n")
    assert writer.move(reading) == 6
    writer.end()
    assert shown(store) == [100, "there"]


@pytest.mark.parametrize("ends", [True, False], ids=["the run ends", "the run goes on"])
def test_where_bytes_are_copied_those_that_were_read_are_dropped_in_their_turn(
    store: SegmentStore, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    reading, writing = pipe
    disk = Disk()
    writer = stream(store, disk, 60.0)
    writer._log._buffer = memoryview(bytearray(MOVE))
    os.write(writing, b"one\n")
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="full"):
            writer.move(reading)
        if not ends:
            disk.now += 60.0
            os.write(writing, b"two\n")
            assert [writer.move(reading), writer.move(reading)] == [4, 4]
    if ends:
        writer = store.open_stream("a", "out", 2)
    disk.now += AGAIN
    os.write(writing, b"three\n")
    assert writer.move(reading) == 6
    writer.end()
    told = [(line.run, line.text) for line in store.after(VIEW, "", 9).items if isinstance(line, Line)]
    assert told == [(2 if ends else 1, "three")]
    assert sum(length for length in shown(store) if isinstance(length, int)) == (4 if ends else 8)


def test_a_disk_that_stays_full_gets_no_new_files_with_each_try(
    store: SegmentStore, pipe: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    reading, writing = pipe
    disk = Disk()
    writer = stream(store, disk, 0.0)
    writer.append(b"one\n")
    with monkeypatch.context() as patched:
        for call in ("pwrite", "splice"):
            patched.setattr(os, call, full)
        for _ in range(20):
            disk.now += 2 * AGAIN
            os.write(writing, b"two\n")
            assert writer.move(reading) == 4
    disk.now += 2 * AGAIN
    os.write(writing, b"three\n")
    assert writer.move(reading) == 6
    writer.end()
    assert shown(store) == ["one", 80, "three"]
    assert len(list(tmp_path.glob("logs/by-id/*/out/*"))) == 4, "two segments and their indexes"


def test_a_terminal_that_ends_while_bytes_are_dropped_has_ended(store: SegmentStore, disk: Disk) -> None:
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    os.close(theirs)
    disk.full = True
    assert stream(store, disk, 0.0).move(ours) == 0
    os.close(ours)


ON_TMPFS = """
import os, sys
from pathlib import Path
from supervisor_core.children.segments import SegmentStore
from supervisor_core.lines import Gap, Line, View
root = Path(sys.argv[1])
os.system(f"mount -t tmpfs -o size=512k none {root}")
ballast = root / "ballast"
store = SegmentStore(root / "logs", now=__import__("time").time, on_full=0.0)
writer = store.open_stream("a", "out", 1)
reading, writing = os.pipe()
os.set_blocking(reading, False)
line = b"%099d\\n"
number = 0
def some(count):
    global number
    os.write(writing, b"".join(line % (number + i) for i in range(count)))
    number += count
    try:
        while writer.move(reading): pass
    except BlockingIOError: pass
some(200)
with open(ballast, "wb", buffering=0) as file:
    try:
        while True: file.write(bytes(4096))
    except OSError: pass
for _ in range(50): some(200)
ballast.unlink()
__import__("threading").Event().wait(0.3)
some(200)
writer.end()
lines = gaps = 0
items = []
key = ""
while True:
    page = store.after(View(("a",)), key, 5000)
    items += page.items
    key = page.next
    if not page.more: break
whole = [int(i.text) for i in items if isinstance(i, Line) and len(i.text) == 99]
torn = [i for i in items if isinstance(i, Line) and len(i.text) != 99]
gone = sum(i.end - i.start for i in items if isinstance(i, Gap))
assert whole == sorted(set(whole)) and whole[-1] == number - 1 and whole[:200] == list(range(200))
assert 100 * len(whole) + sum(len(i.text) for i in torn) + gone == 100 * number, (len(whole), torn, gone, number)
assert gone > 0
print("well")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk, which only root may")
def test_a_real_disk_that_is_full_and_has_room_again(tmp_path: Path) -> None:
    if not shutil.which("unshare"):
        missing("unshare (util-linux) is not there: it keeps the small disk out of everybody else's sight")
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", ON_TMPFS, str(tmp_path)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=40,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr


def test_what_found_room_in_part_and_was_then_dropped_is_one_gap(
    tmp_path: Path, disk: Disk, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk fills up in the midst of a write: the bytes that made it stand behind what the index knows."""
    ticks = count()
    store = SegmentStore(tmp_path / "logs", now=lambda: 1e9 + next(ticks) / 1e3, copy=True)
    writing, room = os.pwrite, 3

    def pwrite(fd: int, data: memoryview, at: int) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "full")
        if len(data) == len(b"lost\n"):
            room = 0
            return writing(fd, data[:3], at)
        return writing(fd, data, at)

    try:
        out = stream(store, disk, 0.0)
        os.write(pipe[1], b"one\n")
        out.move(pipe[0])
        monkeypatch.setattr(os, "pwrite", pwrite)
        os.write(pipe[1], b"lost\n")
        out.move(pipe[0])
        room = 100
        disk.now += AGAIN
        os.write(pipe[1], b"three\n")
        out.move(pipe[0])
        out.end()
        assert shown(store) == ["one", 5, "three"]
        assert store.raw("a", "out").size == len(b"one\nthree\n")
    finally:
        store.close()
