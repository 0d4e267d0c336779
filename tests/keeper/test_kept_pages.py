"""Whatever happens to a log, the process beside the writer reads what the writer itself does."""

import itertools
import os
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor_core.children.packed import pack
from supervisor_core.children.segments import SegmentStore
from supervisor_core.declared import LogPolicy
from supervisor_core.keeper.logs import KeptLogs
from supervisor_core.lines import Page, View

WORKERS, STREAMS = ("a", "b"), ("out", "err")
VIEWS = (View(("a",), frozenset({"out"})), View(("a",)), View(WORKERS), View(("nobody", "b")))

places = st.tuples(st.sampled_from(WORKERS), st.sampled_from(STREAMS))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), places, st.binary(min_size=1, max_size=40)),
        st.tuples(st.just("lines"), places, st.integers(1, 40)),
        st.tuples(st.just("end"), places, st.none()),
        st.tuples(st.just("run"), places, st.none()),
        st.tuples(st.just("note"), places, st.none()),
        st.tuples(st.just("wait"), places, st.integers(1, 40)),
        st.tuples(st.just("pack"), places, st.none()),
        st.tuples(st.just("configure"), places, st.integers(500, 3000)),
        st.tuples(st.just("restart"), places, st.none()),
    ),
    min_size=5,
    max_size=40,
)


class Pair:
    """A writer, and a reader that is there from the beginning on."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.time = 1e9
        self.ticks = itertools.count(1)
        self.max_worker = 10**6
        self.store = self._open()
        self.logs = KeptLogs(root, lambda _: None)
        self.run = 1

    def _now(self) -> float:
        return self.time + next(self.ticks) / 1e3

    def _open(self) -> SegmentStore:
        policy = LogPolicy(segment=300, max_worker=self.max_worker, keep=60.0)
        return SegmentStore(self.root, now=self._now, maintain=False, policy=policy, max_total=10**9)

    def do(self, what: str, place: tuple[str, str], how: Any) -> None:
        stream = self.store.open_stream(*place, self.run)
        match what:
            case "write":
                stream.append(how)
            case "lines":
                stream.append(b"".join(b"line %d\n" % n for n in range(how)))
            case "end":
                stream.end()
            case "run":
                self.run += 1
            case "note":
                self.store.note(place[0], self.run, "a note")
            case "wait":
                self.time += how
                self.store.expire()
            case "pack":
                self._pack(*place)
            case "configure":
                self.max_worker = how
                policy = LogPolicy(segment=300, max_worker=how, keep=60.0)
                self.store.configure(policy=policy, max_total=10**9, own={})
            case "restart":
                self.store.close()
                self.store = self._open()

    def _pack(self, worker: str, stream: str) -> None:
        """As the service does, from what it sees."""
        for files in self.logs._folders.of((worker,)):
            for base in files.bases[:-1] if files.stream == stream else ():
                with suppress(FileNotFoundError), open(files.log(base), "rb") as source:
                    new = files.packed(base) + ".new"
                    target = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                    pack(source.fileno(), target, lambda: True)
                    os.close(target)
                    assert self.store.swap(worker, stream, base, new)
                    os.unlink(files.log(base))

    def compare(self) -> None:
        for store in (self.logs, KeptLogs(self.root, lambda _: None)):
            for view in VIEWS:
                keys = [""]
                for limit in (3, 10**6):
                    page = told(self.store.after(view, keys[-1], limit))
                    assert told(store.after(view, keys[-1], limit)) == page
                    keys.append(page.next)
                for key in keys:
                    assert told(store.before(view, key, 5)) == told(self.store.before(view, key, 5))
                assert told(store.tail(view, 4)) == told(self.store.tail(view, 4))
                assert told(store.at(view, self.time - 20, 5)) == told(self.store.at(view, self.time - 20, 5))
                edges = [self.time - 100 + n * 10 for n in range(12)]
                assert store.histogram(view, edges) == self.store.histogram(view, edges)
            for worker, stream in itertools.product(WORKERS, STREAMS):
                ours, theirs = store.raw(worker, stream), self.store.raw(worker, stream)
                assert ours.size == theirs.size
                assert ours.tag == theirs.tag or not ours.size
                assert ours.read(0, 10**6) == theirs.read(0, 10**6)


def told(page: Page) -> Page:
    """Partial lines are in no order."""
    return replace(page, open=tuple(sorted(page.open, key=lambda line: (line.worker, line.stream))))


@settings(max_examples=25, deadline=None)
@given(steps)
def test_both_read_the_same_at_each_step(play: list[tuple[str, tuple[str, str], Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pair = Pair(Path(folder) / "logs")
        try:
            for step in play:
                pair.do(*step)
                pair.compare()
        finally:
            pair.store.close()
