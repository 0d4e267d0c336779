"""The store in files: what a reader gets of what was written."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from supervisor_core.children.segments import SegmentStore
from supervisor_core.errors import SupervisorError
from supervisor_core.lines import Line, RunMark, View

VIEW = View(("a",))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SegmentStore]:
    ticks = count()
    made = SegmentStore(tmp_path / "logs", now=lambda: 1e9 + next(ticks) / 1e3, segment=200)
    yield made
    made.close()


def texts(items: tuple) -> list[str]:
    return [item.text for item in items if isinstance(item, Line)]


def test_lines_come_back_over_segments_with_the_partial_one_apart(store: SegmentStore) -> None:
    writer = store.open_stream("a", "out", 1)
    for i in range(20):
        writer.append(b"line %d\npart " % i)
    page = store.after(VIEW, "", 100)
    assert texts(page.items) == ["line 0", *(f"part line {i}" for i in range(1, 20))]
    assert [(line.key, line.text) for line in page.open] == [(None, "part ")]
    assert isinstance(page.items[0], RunMark)
    writer.end()
    assert texts(store.after(VIEW, page.next, 9).items) == ["part "]


def test_a_second_writer_is_refused_in_one_sentence(store: SegmentStore, tmp_path: Path) -> None:
    with pytest.raises(SupervisorError, match="another process writes the logs in"):
        SegmentStore(tmp_path / "logs", now=lambda: 1e9)
