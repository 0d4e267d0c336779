"""The service compresses what the keeper has closed, and the keeper puts it in place."""

import threading
from collections.abc import Iterator
from pathlib import Path
from time import time

import pytest

from supervisor_core.children.segments import SegmentStore
from supervisor_core.declared import LogPolicy
from supervisor_core.keeper.logs import KeptLogs
from supervisor_core.lines import Line, View


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SegmentStore]:
    made = SegmentStore(tmp_path / "logs", now=time, maintain=False, policy=LogPolicy(segment=2000))
    yield made
    made.close()


def test_closed_segments_are_compressed_and_read_as_before(store: SegmentStore, tmp_path: Path) -> None:
    root, stream = tmp_path / "logs", store.open_stream("a", "out", 1)
    for n in range(1000):
        stream.append(b"line %d\n" % n)
    plain = sorted(root.glob("by-id/*/out/*.log"))
    for left in (f"{plain[0]}.gz.new", f"{plain[1]}.gz.new"):  # of a service that was killed
        Path(left).write_bytes(b"half")
    done, last = threading.Event(), f"{plain[-3]}.gz"

    def swap(worker: str, stream: str, base: int, new: str) -> bool:
        put = store.swap(worker, stream, base, new)
        if Path(last).exists():
            done.set()
        return put

    logs = KeptLogs(root, lambda _: None)
    logs.maintain(lambda _: LogPolicy(compress=True), swap)
    try:
        assert done.wait(20.0)
    finally:
        logs.close()
    assert sorted(root.glob("by-id/*/out/*.log")) == plain[-2:]
    assert len(list(root.glob("by-id/*/out/*.gz"))) == len(plain) - 2
    assert not list(root.glob("by-id/*/out/*.new"))
    items = logs.after(View(("a",)), "", 10**4).items
    assert [item.text for item in items if isinstance(item, Line)] == [f"line {n}" for n in range(1000)]
