"""From a pipe to the store: one bounded move at a time, nothing lost, nobody waited for."""

import errno
import os
import socket
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from supervisor_core.children import pump as pump_module
from supervisor_core.children import writer as writer_module
from supervisor_core.children.pump import Pump
from supervisor_core.children.segments import SegmentStore
from supervisor_core.lines import Line, RunMark, View
from supervisor_core.logs import LogSink, MemoryStore

VIEW = View(("w",))


@pytest.fixture(params=["files", "copied to files", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogSink]:
    ticks = count()
    if request.param == "memory":
        yield MemoryStore(lambda: 1e9 + next(ticks) / 1e3)
        return
    copy = request.param == "copied to files"
    made = SegmentStore(tmp_path / "logs", now=lambda: 1e9 + next(ticks) / 1e3, segment=10_000, copy=copy)
    yield made
    made.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, "Writer"]]:
    read, write = os.pipe()
    writer = Writer(write)
    yield read, writer
    writer.close()


class Writer:
    """The worker's end."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def write(self, data: bytes) -> None:
        assert os.write(self.fd, data) == len(data)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def texts(store: LogSink) -> list[str]:
    return [item.text for item in store.after(VIEW, "", 100_000).items if isinstance(item, Line)]


def test_a_stream_from_its_first_byte_to_its_end(store: LogSink, pipe: tuple[int, Writer]) -> None:
    fd, worker = pipe
    channel = Pump(store).open("w", "out", 1, fd)
    assert channel.move()  # nothing there yet: no error, no end
    worker.write(b"one\ntwo\nthr")
    assert channel.move()
    assert texts(store) == ["one", "two"]
    assert [line.text for line in store.after(VIEW, "", 10).open] == ["thr"]
    worker.close()
    assert not channel.move()
    assert not channel.move()
    assert channel.fd == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    page = store.after(VIEW, "", 10)
    assert [i.kind if isinstance(i, RunMark) else i.text for i in page.items] == ["start", "one", "two", "thr", "end"]
    assert page.open == ()


def test_who_follows_is_told_of_what_came_and_of_the_end(store: LogSink, pipe: tuple[int, Writer]) -> None:
    fd, worker = pipe
    channel = Pump(store).open("w", "out", 1, fd)
    told: list[int] = []
    leave = store.subscribe(("w",), lambda: told.append(len(texts(store))))
    assert channel.move()
    assert told == []
    worker.write(b"one\n")
    assert channel.move()
    assert told[-1:] == [1]
    told.clear()
    worker.close()
    assert not channel.move()
    assert told[-1:] == [1]
    leave()


def test_one_move_is_bounded(store: LogSink, pipe: tuple[int, Writer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "MOVE", 1000)
    fd, worker = pipe
    worker.write(b"x" * 99 + b"\n")
    for _ in range(29):
        worker.write(b"x" * 99 + b"\n")
    channel = Pump(store).open("w", "out", 1, fd)
    assert channel.move()
    assert 1 <= len(texts(store)) <= 10
    channel.close()
    assert len(texts(store)) == 30


def test_close_takes_what_is_there_and_does_not_wait_for_who_goes_on(store: LogSink, pipe: tuple[int, Writer]) -> None:
    fd, worker = pipe
    channel = Pump(store).open("w", "out", 1, fd)
    worker.write(b"last words\nwithout end")
    channel.close()
    channel.close()
    assert texts(store) == ["last words", "without end"]
    assert channel.fd == -1


def test_what_a_flooding_writer_adds_during_close_is_left(
    store: LogSink, pipe: tuple[int, Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    fd, worker = pipe
    channel = Pump(store).open("w", "out", 1, fd)
    worker.write(b"before\n")
    writer = channel._writer
    move = writer.move
    calls = []

    def flooded(fd: int, limit: int) -> int:
        calls.append(limit)
        worker.write(b"after\n")
        return move(fd, limit)

    monkeypatch.setattr(writer, "move", flooded)
    channel.close()
    assert texts(store) == ["before"]
    assert calls == [7]


def test_what_is_no_pipe_is_read_and_written(store: LogSink) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        channel = Pump(store).open("w", "out", 1, ours.detach())
        theirs.sendall(b"over a socket\n" * 3)
        assert channel.move()
    assert not channel.move()
    assert texts(store) == ["over a socket"] * 3


def test_a_terminal_ends_like_a_pipe(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    store = SegmentStore(tmp_path / "logs", now=lambda: 1e9)
    try:
        channel = Pump(store).open("w", "out", 1, ours)
        os.write(theirs, b"on a terminal\n")
        assert channel.move()
        os.close(theirs)
        assert not channel.move()
        assert texts(store) == ["on a terminal"]
    finally:
        store.close()


def full(*args: object, **kwargs: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_bytes_in_the_pipe(
    tmp_path: Path, pipe: tuple[int, Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SegmentStore(tmp_path / "logs", now=lambda: 1e9)
    fd, worker = pipe
    channel = Pump(store).open("w", "out", 1, fd)
    worker.write(b"first\n")
    assert channel.move()
    worker.write(b"second\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "splice", full)
        assert channel.move()
        assert channel.trouble is not None
        assert channel.trouble.errno == errno.ENOSPC
    assert channel.move()
    assert channel.trouble is None
    assert texts(store) == ["first", "second"]
    channel.close()
    store.close()


@pytest.mark.parametrize("more", [b"", b"third\n"])
def test_a_close_brings_out_what_was_read_and_found_no_room_and_all_behind_it(
    tmp_path: Path, pipe: tuple[int, Writer], monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    store = SegmentStore(tmp_path / "logs", now=lambda: 1e9, copy=True)
    fd, worker = pipe
    channel = Pump(store).open("w", "out", 1, fd)
    worker.write(b"first\n")
    assert channel.move()
    worker.write(b"second\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        assert channel.move()
        assert channel.trouble is not None
    worker.write(more)
    channel.close()
    assert texts(store) == ["first", "second", *more.decode().splitlines()]
    store.close()


def test_a_close_that_finds_no_room_says_so_and_ends_all_the_same(
    tmp_path: Path, pipe: tuple[int, Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SegmentStore(tmp_path / "logs", now=lambda: 1e9)
    fd, worker = pipe
    channel = Pump(store).open("w", "out", 1, fd)
    worker.write(b"first\n")
    assert channel.move()
    worker.write(b"second\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "splice", full)
        channel.close()
    assert channel.fd == -1
    assert channel.trouble is not None
    assert channel.trouble.errno == errno.ENOSPC
    assert texts(store) == ["first"]
    store.close()


@pytest.mark.parametrize("then", ["chunk", "end"])
def test_an_index_record_that_found_no_room_is_made_good_by_the_next_one(
    tmp_path: Path, pipe: tuple[int, Writer], monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    store = SegmentStore(tmp_path / "logs", now=lambda: 1e9)
    fd, worker = pipe
    channel = Pump(store).open("w", "out", 1, fd)
    worker.write(b"first\nsec")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda *args: 7)
        assert channel.move()
        assert channel.trouble is not None
    assert texts(store) == []
    if then == "chunk":
        worker.write(b"ond\n")
        assert channel.move()
        assert texts(store) == ["first", "second"]
    else:
        channel.close()
        assert texts(store) == ["first", "sec"]
    channel.close()
    store.close()


def test_the_fallback_keeps_what_it_could_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SegmentStore(tmp_path / "logs", now=lambda: 1e9)
    ours, theirs = socket.socketpair()
    with theirs:
        channel = Pump(store).open("w", "out", 1, ours.detach())
        theirs.sendall(b"kept\n")
        with monkeypatch.context() as patch:
            patch.setattr(writer_module.os, "pwrite", full)
            assert channel.move()
            assert channel.trouble is not None
        assert channel.move()
    channel.close()
    assert texts(store) == ["kept"]
    store.close()


def test_a_run_that_is_still_written_while_the_next_one_begins_does_not_join_it(store: LogSink) -> None:
    old, new = store.open_stream("w", "out", 1), store.open_stream("w", "out", 2)
    old.append(b"from the ")
    new.append(b"from the new\n")
    old.append(b"old\n")
    old.end()
    new.end()
    lines = [(i.run, i.text) for i in store.after(VIEW, "", 99).items if isinstance(i, Line)]
    assert lines == [(1, "from the "), (2, "from the new"), (1, "old")]
