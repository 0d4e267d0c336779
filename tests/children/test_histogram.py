"""How many lines were written between moments: the same as reading them all gives, or an estimate that says so."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from supervisor_core.children import histogram as histogram_module
from supervisor_core.children.files import StreamFiles
from supervisor_core.children.segments import SegmentStore
from supervisor_core.lines import Histogram, Line, View
from supervisor_core.logs import LogSink, MemoryStore

BEGIN = 1_000_000_000.0
NAMES = ("a", "b", "silent")
Made = tuple[LogSink, Callable[[float], None]]


@pytest.fixture(params=["files", "compressed", "memory"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    """A store and the way to set its clock."""
    now = [BEGIN]

    def set_clock(time: float) -> None:
        now[0] = time

    if request.param == "memory":
        yield MemoryStore(lambda: now[0], lines=100_000, size=1 << 30), set_clock
        return
    compress = request.param == "compressed"
    store = SegmentStore(tmp_path / "logs", now=lambda: now[0], segment=2000, compress=compress)
    yield store, set_clock
    store.close()


def write(made: Made, seconds: int = 100) -> None:
    """Uneven numbers of lines, in chunks that hold a part of one, none, or many; for a while nothing."""
    store, set_clock = made
    streams = [(name, kind, store.open_stream(name, kind, 1)) for name in NAMES[:2] for kind in ("out", "err")]
    for second in range(seconds):
        set_clock(BEGIN + second)
        if 40 <= second < 60:
            continue
        for n, (name, kind, stream) in enumerate(streams):
            if (second + n) % 3:
                stream.append("".join(f"{name} {kind} line {i}\n" for i in range(second % 7)).encode())
            stream.append(b"begun ")
            if second % 5 == 0:
                stream.append(b"and ended\nbegun anew ")


def lines_of(store: LogSink, view: View) -> list[Line]:
    lines: list[Line] = []
    key = ""
    while True:
        page = store.after(view, key, 5000)
        lines += [item for item in page.items if isinstance(item, Line)]
        key = page.next
        if not page.more:
            return lines


def counted(lines: list[Line], edges: list[float]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    def count(chosen: list[Line]) -> tuple[int, ...]:
        return tuple(sum(start <= line.time < end for line in chosen) for start, end in pairwise(edges))

    return count(lines), count([line for line in lines if line.stream == "err"])


def edges_of(start: float, end: float, buckets: int) -> list[float]:
    return [BEGIN + start + i * (end - start) / buckets for i in range(buckets + 1)]


@pytest.mark.parametrize("view", [View(("a",)), View(NAMES), View(NAMES, frozenset({"err"})), View(("silent",))])
@pytest.mark.parametrize(
    ("start", "end", "buckets"), [(0, 100, 100), (-50, 150, 7), (13.5, 77.25, 40), (200, 300, 3), (-9, -1, 2)]
)
def test_it_counts_the_lines_that_one_reads(made: Made, view: View, start: float, end: float, buckets: int) -> None:
    write(made)
    edges = edges_of(start, end, buckets)
    told = made[0].histogram(view, edges)
    assert (told.lines, told.errors) == counted(lines_of(made[0], view), edges)
    assert told.exact
    assert told.oldest == (None if view.workers == ("silent",) else BEGIN)


def test_of_nothing(made: Made) -> None:
    assert made[0].histogram(View(("a", "nobody")), [1.0, 2.0, 3.0]) == Histogram((0, 0), (0, 0))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SegmentStore]:
    """Ten seconds of even output, some 400 KB of each of two workers."""
    now = [BEGIN]
    made = SegmentStore(tmp_path / "logs", now=lambda: now[0], segment=100_000, max_worker=300_000)
    for name in ("a", "b"):
        now[0] = BEGIN
        stream = made.open_stream(name, "out", 1)
        for i in range(100):
            now[0] += 0.1
            stream.append(b"x" * 39 + b"\n" if i % 50 == 7 else b"".join(b"%039d\n" % n for n in range(100)))
    yield made
    made.close()


EDGES = edges_of(0, 10.5, 21)


def test_beyond_the_budget_it_estimates_and_says_so(store: SegmentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = store.histogram(View(("a", "b")), EDGES)
    read: list[int] = []
    whole = StreamFiles.read

    def counting(self: StreamFiles, start: int, end: int) -> bytes:
        read.append(end - start)
        return whole(self, start, end)

    monkeypatch.setattr(StreamFiles, "read", counting)
    monkeypatch.setattr(histogram_module, "BUDGET", 100_000)
    monkeypatch.setattr(histogram_module, "PART", 4000)
    told = store.histogram(View(("a", "b")), EDGES)
    assert exact.exact
    assert not told.exact
    assert 50_000 < sum(read) < 130_000
    assert sum(told.lines) == pytest.approx(sum(exact.lines), rel=0.1)
    for guess, number in zip(told.lines, exact.lines, strict=True):
        assert guess == pytest.approx(number, rel=0.3)
        assert (guess == 0) == (number == 0)


def test_of_what_retention_took_nothing_is_said(store: SegmentStore) -> None:
    told = store.histogram(View(("a",)), EDGES)
    assert told.oldest is not None
    assert BEGIN + 1 < told.oldest < BEGIN + 9
    assert (told.lines, told.errors) == counted(lines_of(store, View(("a",))), EDGES)
    assert told.lines[0] == 0


@pytest.mark.row(48)
def test_a_lost_segment_has_no_lines(store: SegmentStore, tmp_path: Path) -> None:
    before = store.histogram(View(("a",)), EDGES)
    files = store._folders.streams["a"]["out"]
    path, aside = Path(files.log(files.bases[1])), tmp_path / "aside"
    path.rename(aside)
    told = store.histogram(View(("a",)), EDGES)
    assert (told.lines, told.errors) == counted(lines_of(store, View(("a",))), EDGES)
    assert 0 < sum(told.lines) < sum(before.lines)
    aside.rename(path)
    assert store.histogram(View(("a",)), EDGES) == before


def test_what_comes_during_the_call_does_not_count(store: SegmentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it ends is the watermark that was taken first, although the last edge is in the future."""
    edges = [BEGIN, BEGIN + 1e6]
    before = store.histogram(View(("a", "b")), edges)
    stream = store.open_stream("b", "out", 1)
    watermark = store._pages._watermark()
    stream.append(b"late\n" * 50)
    monkeypatch.setattr(store._pages, "_watermark", lambda: watermark)
    assert store.histogram(View(("a", "b")), edges) == before


def test_segments_in_which_there_was_no_room_for_anything_lead_no_time_astray(tmp_path: Path) -> None:
    now = [BEGIN]
    store = SegmentStore(tmp_path / "logs", now=lambda: now[0], segment=2000)
    stream = store.open_stream("a", "out", 1)
    for second in range(300):
        now[0] = BEGIN + second
        stream.append(b"%07d\n" % second)
        if second in (99, 199, 299):  # a new segment, a full disk, and another one
            stream._log.cut()
            stream._log.lose(50)
            stream._log._ready()
    view = View(("a",))
    edges = [BEGIN + 50 * i for i in range(7)]
    assert store.histogram(view, edges).lines == (50,) * 6
    for second in range(0, 300, 7):
        found = [item for item in store.at(view, BEGIN + second, 1).items if isinstance(item, Line)]
        assert found[0].time == BEGIN + second
    store.close()
