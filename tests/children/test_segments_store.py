"""The store in files: names, places, times, and how little is read."""

import gc
import os
import tracemalloc
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest

from supervisor_core.children import files as files_module
from supervisor_core.children import index as index_module
from supervisor_core.children.folders import link_name
from supervisor_core.children.segments import SegmentStore
from supervisor_core.children.stamps import read_words
from supervisor_core.errors import SupervisorError
from supervisor_core.lines import GRID, MAX_TEXT, Line, Page, RunMark, View, parse_key
from supervisor_core.logs import LogSink, MemoryStore

VIEW = View(("a",))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "logs"


@pytest.fixture
def store(root: Path) -> Iterator[SegmentStore]:
    ticks = count()
    made = SegmentStore(root, now=lambda: 1e9 + next(ticks) / 1e3, segment=200)
    yield made
    made.close()


@pytest.fixture(params=["files", "memory"])
def either(request: pytest.FixtureRequest, root: Path) -> Iterator[LogSink]:
    seconds = count(1_000_000)
    if request.param == "memory":
        yield MemoryStore(lambda: float(next(seconds)))
        return
    made = SegmentStore(root, now=lambda: float(next(seconds)), segment=200)
    yield made
    made.close()


def texts(page: Page) -> list[str]:
    return [item.text for item in page.items if isinstance(item, Line)]


def shown(store: LogSink, *streams: str) -> list[tuple[int, str]]:
    """The marks and lines of worker "a", each with its run."""
    page = store.after(View(("a",), frozenset(streams or ("out", "err", "log"))), "", 100)
    items = [item for item in page.items if isinstance(item, Line | RunMark)]
    return [(item.run, item.kind if isinstance(item, RunMark) else item.text) for item in items]


@pytest.mark.parametrize("end", [True, False], ids=["ended", "cut off by the next run"])
def test_a_run_that_writes_nothing_leaves_nothing(either: LogSink, root: Path, end: bool) -> None:
    for run in (1, 2, 3):
        streams = [either.open_stream("a", name, run) for name in ("out", "err")]
        if run == 2:
            streams[0].append(b"hello\n")
        for stream in streams if end else ():
            reading, writing = os.pipe()
            os.close(writing)
            assert stream.move(reading) == 0
            os.close(reading)
            stream.end()
        if run == 1 and isinstance(either, SegmentStore):
            assert not list(root.glob("by-id/*"))
    assert shown(either) == [(2, "start"), (2, "hello"), (2, "end")]


def test_a_run_is_marked_with_its_first_byte_wherever_it_goes(either: LogSink) -> None:
    for run in (1, 2):
        out, err = (either.open_stream("a", name, run) for name in ("out", "err"))
        if run == 2:
            out.end()
        err.append(b"only here\n")
        out.end()
        err.end()
    whole = ("end", "only here", "start")
    assert sorted(shown(either)) == [(run, what) for run in (1, 2) for what in whole]
    assert [mark for mark in shown(either) if mark[1] == "start"] == [(1, "start"), (2, "start")]
    assert shown(either, "err") == [(n, what) for n in (1, 2) for what in ("start", "only here", "end")]


def test_a_run_began_when_it_began_and_not_with_its_first_byte(either: LogSink) -> None:
    stream = either.open_stream("a", "out", 1)
    either.note("b", 1, "time goes by")
    stream.append(b"at last\n")
    mark, line = either.after(VIEW, "", 10).items
    assert isinstance(mark, RunMark)
    assert isinstance(line, Line)
    assert line.time - mark.time >= 2


def test_lines_come_back_over_segments_with_the_partial_one_apart(store: SegmentStore) -> None:
    writer = store.open_stream("a", "out", 1)
    for i in range(20):
        writer.append(b"line %d\npart " % i)
    page = store.after(VIEW, "", 100)
    assert texts(page) == ["line 0", *(f"part line {i}" for i in range(1, 20))]
    assert [(line.key, line.text) for line in page.open] == [(None, "part ")]
    assert isinstance(page.items[0], RunMark)
    writer.end()
    assert texts(store.after(VIEW, page.next, 9)) == ["part "]


def test_the_files_are_the_plain_text(store: SegmentStore, root: Path) -> None:
    writer = store.open_stream("a", "out", 1)
    for i in range(100):
        writer.append(b"\x1b[1mline %d\x1b[0m\r\n" % i)
    whole = b"".join(path.read_bytes() for path in sorted(root.glob("a/out/*.log")))
    assert whole == b"".join(b"\x1b[1mline %d\x1b[0m\r\n" % i for i in range(100))
    logs = sorted(root.glob("a/out/*.log"))
    assert all(path.read_bytes().endswith(b"\n") for path in logs)
    assert [int(path.stem, 16) for path in logs[1:]] == [
        sum(p.stat().st_size for p in logs[: n + 1]) for n in range(len(logs) - 1)
    ]


def test_a_segment_without_a_newline_is_cut_at_twice_the_size(store: SegmentStore, root: Path) -> None:
    writer = store.open_stream("a", "out", 1)
    for _ in range(20):
        writer.append(b"x" * 90)
    sizes = [path.stat().st_size for path in sorted(root.glob("a/out/*.log"))]
    assert len(sizes) > 3
    assert all(200 < size <= 400 for size in sizes[:-1])
    assert [len(line.text) for line in store.after(VIEW, "", 9).open] == [1800]


def test_a_second_writer_is_refused_in_one_sentence(store: SegmentStore, root: Path) -> None:
    with pytest.raises(SupervisorError, match="another process writes the logs in"):
        SegmentStore(root, now=lambda: 1e9)


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "../../etc/passwd",
        "/etc",
        "a/b",
        "lock",
        "watermark",
        "by-id",
        ".hidden",
        "web[3]",
        "ü ñ",
        "x" * 300,
        "\n",
    ],
)
def test_a_name_is_never_a_path(store: SegmentStore, root: Path, name: str) -> None:
    store.note(name, 1, "mine")
    assert texts(store.tail(View((name,)), 9)) == ["mine"]
    link = root / link_name(name)
    assert link.parent == root
    assert link.is_symlink()
    assert (link / "name").read_text() == name
    assert {path.name for path in root.iterdir()} == {"lock", "watermark", "by-id", link.name}
    assert {path.name for path in root.parent.iterdir()} == {"logs"}


def test_a_stream_has_a_plain_name(store: SegmentStore) -> None:
    with pytest.raises(ValueError, match="small letters"):
        store.open_stream("a", "../out", 1)


def test_run_marks_come_once_a_run_whatever_streams_are_shown(store: SegmentStore) -> None:
    for run in (1, 2):
        out, err = store.open_stream("a", "out", run), store.open_stream("a", "err", run)
        out.append(b"o\n")
        err.append(b"e\n")
        store.note("a", run, "n")
        out.end()
        err.end()
    for streams in ({"out", "err", "log"}, {"out"}, {"err"}):
        page = store.after(View(("a",), frozenset(streams)), "", 99)
        marks = [(item.run, item.kind) for item in page.items if isinstance(item, RunMark)]
        assert marks == [(1, "start"), (1, "end"), (2, "start"), (2, "end")]
    page = store.after(View(("a",), frozenset({"log"})), "", 99)
    assert [item.run for item in page.items] == [1, 2]


def test_a_time_finds_the_lines_from_then_on(either: LogSink) -> None:
    stream = either.open_stream("a", "out", 1)
    for i in range(50):
        stream.append(b"%d\n" % i)
        either.note("b", 1, f"b{i}")
    view = View(("a", "b"))
    everything = [item for item in either.after(view, "", 999).items if isinstance(item, Line)]
    for moment in (0.0, everything[0].time, everything[37].time, everything[37].time + 0.5, everything[-1].time):
        expected = [line.text for line in everything if line.time >= moment]
        assert texts(either.at(view, moment, 999)) == expected
        assert texts(either.at(view, moment, 5)) == expected[:5]
    assert texts(either.at(view, everything[-1].time + 100, 5)) == []


def test_pages_forward_and_back_meet(either: LogSink) -> None:
    stream = either.open_stream("a", "out", 1)
    stream.append(b"".join(b"%d\n" % i for i in range(1000)))
    forward, page = [], either.after(VIEW, "", 70)
    while True:
        forward += texts(page)
        if not page.more:
            break
        page = either.after(VIEW, page.next, 70)
    backward, page = [], either.tail(VIEW, 70)
    while True:
        backward[:0] = texts(page)
        if not page.more:
            break
        page = either.before(VIEW, page.first, 70)
    assert forward == backward == [str(i) for i in range(1000)]


def test_a_filtered_call_looks_at_a_bounded_number_of_lines_and_gets_on_in_both_directions(root: Path) -> None:
    either = SegmentStore(root, now=lambda: 1e9)
    stream = either.open_stream("a", "out", 1)
    stream.append(b"first\n")
    for _ in range(6):
        stream.append(b".\n" * 9000)
    stream.append(b"last\n")
    looked: list[str] = []
    goal = "last"

    def match(lines: Sequence[Line]) -> list[bool]:
        looked.extend(line.text for line in lines)
        return [line.text == goal for line in lines]

    view = View(("a",), match=match)
    page, calls = either.after(view, "", 10), 1
    assert (texts(page), page.more, len(looked) <= 21_000) == ([], True, True)
    while page.more:
        page, calls = either.after(view, page.next, 10), calls + 1
    assert (texts(page), calls > 2) == (["last"], True)
    goal = "first"
    page, calls = either.tail(view, 10), 1
    while page.more:
        assert texts(page) == []
        page, calls = either.before(view, page.first, 10), calls + 1
    assert (texts(page), calls > 2) == (["first"], True)
    either.close()


def test_a_key_of_the_future_means_from_now(either: LogSink) -> None:
    either.note("a", 1, "old")
    page = either.after(VIEW, "f" * 32, 10)
    assert page.items == ()
    either.note("a", 1, "new")
    assert texts(either.after(VIEW, page.next, 10)) == ["new"]


def test_the_bounds_of_a_page_hold_its_keys(either: LogSink) -> None:
    stream = either.open_stream("a", "out", 1)
    for i in range(100):
        stream.append(b"%d\n" % i)
    for page in (either.tail(VIEW, 5), either.after(VIEW, "", 5), either.before(VIEW, either.tail(VIEW, 1).first, 5)):
        keys = [item.key or "" for item in page.items]
        assert page.oldest <= keys[0] <= keys[-1] <= page.next <= page.newest
        assert page.first == keys[0]
    assert either.tail(VIEW, 1).next == either.tail(VIEW, 1).newest
    assert either.tail(VIEW, 0).items == ()


def test_another_process_sees_the_watermark(store: SegmentStore, root: Path) -> None:
    assert read_words(str(root / "nothing")) == (0, 0)
    store.note("a", 1, "x")
    assert read_words(str(root / "watermark")).watermark == parse_key(store.tail(VIEW, 1).items[-1].key or "")[0]


def test_little_is_read_of_a_big_log(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SegmentStore(root, now=lambda: 1e9, segment=1 << 20)
    stream = store.open_stream("a", "out", 1)
    for n in range(100):
        stream.append(
            b"".join(b"line %08d of a hundred bytes or so %s\n" % (n * 1000 + i, b"." * 60) for i in range(1000))
        )
    middle = store.after(VIEW, "", 1)
    read: list[int] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: _count(read, pread(fd, size, at)))
    for page in (
        store.tail(VIEW, 10),
        store.before(VIEW, store.tail(VIEW, 1).first, 10),
        store.after(VIEW, middle.next, 10),
        store.after(VIEW, store.tail(VIEW, 10).first, 10),
        store.at(VIEW, 5e8, 10),
    ):
        assert len(texts(page)) in (9, 10)
    assert sum(read) < 3_000_000
    store.close()


def _count(read: list[int], data: bytes) -> bytes:
    read.append(len(data))
    return data


def test_a_line_of_24_mib_is_shown_in_pieces_and_never_held(root: Path) -> None:
    store = SegmentStore(root, now=lambda: 1e9)
    stream = store.open_stream("a", "out", 1)
    stream.append(b"before\n")
    zeros = b"\0" * (1 << 20)
    for _ in range(24):
        stream.append(zeros)
    stream.append(b"\nafter\n")
    tracemalloc.start()
    lines: list[Line] = []
    key = ""
    pages = 0
    while True:
        page = store.after(VIEW, key, 1000)
        pages += 1
        lines += [item for item in page.items if isinstance(item, Line)]
        key = page.next
        if not page.more:
            break
    page = store.tail(VIEW, 5)
    backward = [item.key for item in page.items if isinstance(item, Line)]
    while page.more:
        page = store.before(VIEW, page.first, 5)
        backward[:0] = [item.key for item in page.items if isinstance(item, Line)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * (1 << 20)
    assert pages > 2  # one call reads no more than its budget
    assert [line.text for line in (lines[0], lines[-1])] == ["before", "after"]
    assert all(line.text == "\0" * min(MAX_TEXT, line.cut or 7) for line in lines[1:-2])
    assert {line.cut for line in lines[2:-2]} == {GRID}
    assert backward == [line.key for line in lines]
    store.close()


def test_a_reader_of_many_streams_holds_few_descriptors(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SegmentStore(root, now=lambda: 1e9)
    names = tuple(f"w{n}" for n in range(40))
    for name in names:
        store.open_stream(name, "out", 1).append(b"one\ntwo\npart")
    held = len(os.listdir("/proc/self/fd"))
    most = 0
    real = index_module.open_plain

    def counted(path: str) -> int:
        nonlocal most
        fd = real(path)
        most = max(most, len(os.listdir("/proc/self/fd")))
        return fd

    monkeypatch.setattr(index_module, "open_plain", counted)
    monkeypatch.setattr(files_module, "open_plain", counted)
    view = View(names)
    assert len(store.after(view, "", 1000).open) == 40
    store.tail(view, 1000)
    store.before(view, "f" * 32, 1000)
    store.at(view, 0.0, 1000)
    assert most <= held + 4
    store.close()


def test_nothing_stays_open_when_runs_have_ended(root: Path) -> None:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    store = SegmentStore(root, now=lambda: 1e9)
    for n in range(50):
        stream = store.open_stream(f"w{n}", "out", 1)
        stream.append(b"x\n")
        store.note(f"w{n}", 1, "y")
        stream.end()
        out, err = (store.open_stream(f"v{n}", name, 1) for name in ("out", "err"))
        out.end()  # and is marked afterwards, when the first byte comes
        err.append(b"z\n")
        err.end()
        store.tail(View(tuple(f"w{k}" for k in range(50))), 10)
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    store.close()
    assert len(os.listdir("/proc/self/fd")) == before
