"""Odd output through the whole path: open last lines, bytes that are no text, progress bars."""

import json
import subprocess

import pytest

from app.web import wire
from app.web.loglines import Shape
from supervisor_core.children.segments import SegmentStore
from supervisor_core.lines import Line, RunMark, View
from tests.children.rigs import zoo
from tests.faults.rig import Host, worker
from tests.support.asgi import events_of
from tests.support.sequences import Sequence, of_events, of_store


def frames_of(store, name):
    """All of a worker as a reader of the event stream gets it."""
    shape, view, key, data = Shape(), View((name,)), "", b""
    while True:
        page = store.after(view, key, 500)
        data += shape.frames(page)
        if not page.more:
            return data
        key = page.next


@pytest.mark.row(16)
def test_a_last_line_without_newline_is_kept_and_stays_in_its_run(tmp_path):
    with Host(tmp_path, [worker("w", zoo("say", "whole", "print", "half", "exit", "0"))]) as host:
        host.until("w", "done", run=1)
        host.order("start", "w")
        host.until("w", "done", run=2)
        host.leave()
        store = host.store()
        try:
            items = store.after(View(("w",), frozenset({"out"})), "", 100).items
            shown = [(i.run, i.text if isinstance(i, Line) else i.kind) for i in items if isinstance(i, Line | RunMark)]
        finally:
            store.close()
    assert shown == [(run, text) for run in (1, 2) for text in ("start", "whole", "half", "end")]


@pytest.mark.row(18)
@pytest.mark.parametrize("batch", ["0", "1", "7"])
def test_bytes_that_are_no_text_harm_no_line_beside_them(tmp_path, batch):
    words = zoo("noise", "70000", "say", "", "write", "2000", "noise=300", f"batch={batch}", "seal")
    with Host(tmp_path, [worker("w", words)], segment=65536) as host:
        host.until("w", "done")
        host.leave()
        kept = b"".join(path.read_bytes() for path in sorted(host.logs.glob("by-id/*/out/*.log")))
        written = subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout
        same = kept == written  # apart: to show how megabytes differ takes minutes
        assert same, f"{len(kept)} bytes were kept of {len(written)}, or other ones"
        store = host.store()
        try:
            checked = Sequence().all(of_store(store, "w"))
            assert (checked.end(), checked.seen) == ("", 2000)
            assert checked.noise >= 2000
            page = store.after(View(("w",)), "", 5000)
            for line in page.items:
                if isinstance(line, Line):
                    assert json.loads(wire.dump(wire.line(line)))["text"] == line.text
            assert Sequence().all(of_events(events_of(frames_of(store, "w")), "w")).end() == ""
        finally:
            store.close()


@pytest.mark.row(18)
def test_a_character_that_comes_in_two_chunks_is_whole_in_its_line(tmp_path):
    store = SegmentStore(tmp_path, now=lambda: 1e9)
    try:
        out, shape, key, data = store.open_stream("w", "out", 1), Shape(), "", b""
        for part in ("ä".encode()[:1], "ä".encode()[1:], b"\n"):
            out.append(part)
            page = store.after(View(("w",)), key, 10)
            key, data = page.next, data + shape.frames(page)
    finally:
        store.close()
    shown = [(row["key"] is None, row["text"]) for e in events_of(data) if e.name == "log" for row in e.data]
    assert shown == [(True, "\ufffd"), (True, "ä"), (False, "ä")]


@pytest.mark.row(20)
@pytest.mark.parametrize("batch", ["0", "1"])
def test_a_progress_bar_is_one_line_and_one_event_stays_one(tmp_path, batch):
    """`events_of` reads as strictly as a browser: a lone carriage return in a frame fails there."""
    with Host(tmp_path, [worker("w", zoo("write", "500", "bar=30", f"batch={batch}", "seal"))]) as host:
        host.until("w", "done")
        host.leave()
        store = host.store()
        try:
            checked = Sequence().all(of_events(events_of(frames_of(store, "w")), "w"))
        finally:
            store.close()
    assert (checked.end(), checked.seen, checked.noise) == ("", 500, 0)
