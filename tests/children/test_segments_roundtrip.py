"""Whatever is written, in whatever chunks, over runs and segments: the same lines come back once and in order."""

import codecs
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor_core import lines as lines_module
from supervisor_core.children import places as places_module
from supervisor_core.children import reader as reader_module
from supervisor_core.children.segments import SegmentStore
from supervisor_core.lines import Line, View, text_of
from supervisor_core.logs import LogSink, MemoryStore

EXAMPLES = int(os.environ.get("QUARTERDECK_EXAMPLES", "40"))
WORKERS = ("a", "b")
VIEW = View(WORKERS)


@dataclass
class Expected:
    """The plain way to cut one stream: the truth that the stores are compared with.

    A line ends at its newline, at the end of its run, or behind the first grid cell that has no newline and no start
    of a run in it; there, before a character that goes on behind the cell.
    """

    grid: int = 0
    data: bytes = b""
    start: int = 0
    run: int = 0
    ended: bool = True
    lines: list[tuple[int, int, bytes]] = field(default_factory=list)

    def begin(self, run: int) -> None:
        if self.run != run or self.ended:
            self.end()
            self.run, self.ended = run, False

    def append(self, data: bytes, run: int) -> None:
        self.begin(run)
        self.data += data
        for at in range(len(self.data) - len(data), len(self.data)):
            if self.data[at] == 10:
                self._line(at, at + 1)
            elif self.grid and (at + 1) % self.grid == 0 and self.start <= at + 1 - self.grid:
                decoder = codecs.getincrementaldecoder("utf-8")("replace")
                decoder.decode(self.data[self.start : at + 1])
                end = at + 1 - len(decoder.getstate()[0])
                self._line(end, end)

    def end(self) -> None:
        if not self.ended and self.start < len(self.data):
            self._line(len(self.data), len(self.data))
        self.ended = True

    def _line(self, end: int, following: int) -> None:
        self.lines.append((self.run, self.start, self.data[self.start : end]))
        self.start = following


piece = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"\n", b"\n\n", b"ab\n", b"x" * 300, b"10%\r20%\r", b"\r\n", "äöü€😀\n".encode(), "€😀".encode() * 9, b"\xc3"]
    ),
)
step = st.tuples(
    st.sampled_from(["write", "write", "write", "end", "begin", "reopen"]),
    st.sampled_from(WORKERS),
    st.sampled_from(["out", "err"]),
    piece,
)


def play(steps: list, store: LogSink, reopen, grid: int = 0) -> dict[tuple[str, str], Expected]:
    """Does the steps to a store and to the plain model."""
    expected: dict[tuple[str, str], Expected] = {}
    runs = dict.fromkeys(WORKERS, 1)
    for what, worker, stream, data in steps:
        if what == "reopen":
            store = reopen(store)
        elif what == "begin":
            runs[worker] += 1
        elif what == "write" and data:
            store.open_stream(worker, stream, runs[worker]).append(data)
            expected.setdefault((worker, stream), Expected(grid)).append(data, runs[worker])
        elif what == "end" and (worker, stream) in expected:
            store.open_stream(worker, stream, runs[worker]).end()
            expected[worker, stream].begin(runs[worker])
            expected[worker, stream].end()
    return expected


def check(store: LogSink, expected: dict[tuple[str, str], Expected]) -> None:
    everything = collect(store, VIEW, limit=7)
    keys = [item.key for item in everything]
    assert keys == sorted(set(keys))
    for (worker, stream), truth in expected.items():
        got = [i for i in everything if isinstance(i, Line) and (i.worker, i.stream) == (worker, stream)]
        assert [(i.run, i.at, i.text, i.raw, i.cut) for i in got] == [(r, at, *text_of(d)) for r, at, d in truth.lines]
        opened = [line for line in store.after(VIEW, "", 10_000).open if (line.worker, line.stream) == (worker, stream)]
        rest = truth.data[truth.start :]
        assert [(o.at, o.text) for o in opened] == ([(truth.start, text_of(rest)[0])] if rest else [])
    shown = [i.key for i in everything if isinstance(i, Line)]
    for n in {*range(0, len(keys), len(keys) // 8 + 1), len(keys) - 1} if keys else ():
        key = keys[n]
        assert [i.key for i in store.after(VIEW, key, 10_000).items] == keys[n + 1 :]
        assert [i.key for i in store.before(VIEW, key, 10_000).items] == keys[:n]
        assert [i.key for i in store.before(VIEW, key, 2).items if isinstance(i, Line)] == [
            k for k in shown if k < key
        ][-2:]
    for count in (1, 3, 10_000):
        assert [i.key for i in store.tail(VIEW, count).items if isinstance(i, Line)] == shown[-count:]


def collect(store: LogSink, view: View, limit: int) -> list:
    items, key = [], ""
    while True:
        page = store.after(view, key, limit)
        items += page.items
        assert page.next >= key
        key = page.next
        if not page.more:
            return items


def files_round_trip(steps, segment: int, grid: int = 0) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ticks = iter(range(10**9))
        opened = []

        def open_store(old: SegmentStore | None = None) -> SegmentStore:
            if old is not None:
                old.close()
            opened.append(SegmentStore(Path(folder) / "logs", now=lambda: 1e9 + next(ticks) / 1e6, segment=segment))
            return opened[-1]

        try:
            expected = play(steps, open_store(), open_store, grid)
            check(opened[-1], expected)
            opened[-1].close()
            check(open_store(), expected)
        finally:
            opened[-1].close()


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(step, max_size=25), st.sampled_from([40, 400, 100_000]))
def test_every_chunking_gives_the_same_lines(steps, segment: int) -> None:
    files_round_trip(steps, segment)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(step, max_size=25), st.sampled_from([40, 100_000]), st.sampled_from([4, 32]))
def test_lines_without_end_are_cut_at_the_same_places_from_wherever_one_reads(
    monkeypatch: pytest.MonkeyPatch, steps, segment: int, grid: int
) -> None:
    monkeypatch.setattr(lines_module, "GRID", grid)
    monkeypatch.setattr(reader_module, "GRID", grid)
    monkeypatch.setattr(places_module, "GRID", grid)
    files_round_trip(steps, segment, grid)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(step, max_size=25))
def test_the_store_in_memory_gives_the_same_lines(steps) -> None:
    ticks = iter(range(10**9))
    store = MemoryStore(lambda: 1e9 + next(ticks) / 1e6)
    check(store, play(steps, store, lambda same: same))
