"""Progress bars and forged fields on their way from the files over a real socket: one event stays one event."""

import asyncio
import contextlib
import subprocess

import pytest

from supervisor_core.children.segments import SegmentStore
from tests.app.test_log_streams_cut import unchunked
from tests.children.rigs import zoo
from tests.support.asgi import ScriptedHost, a_program, bearer, events_of, site
from tests.support.sequences import Sequence, of_events
from tests.support.sockets import on_tcp

STEPS = [f"{percent:3} % {'#' * (percent // 10)}" for percent in range(0, 100, 20)]
FORGED = b"before\rid: 99\r\revent: bye\rdata: {}\r\r\xe2\x80\xa8event: bye\x85data: {}\x0b\x0c\n"
"""What a parser of lines could take for the end of an event and for another one."""


class Reader:
    """One connection to the log stream of worker "w", read as it comes."""

    def __init__(self, reader):
        self._reader = reader
        self._raw = b""

    @property
    def events(self):
        return list(events_of(unchunked(self._raw.partition(b"\r\n\r\n")[2])))

    async def until(self, there):
        """Returns when the rows of all events so far satisfy `there`."""
        async with asyncio.timeout(10):
            while not there([row for event in self.events if event.name == "log" for row in event.data]):
                more = await self._reader.read(65536)
                assert more, f"the server ended the stream: {self._raw[-200:]!r}"
                self._raw += more


@contextlib.asynccontextmanager
async def connected(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    token = bearer("reader")["Authorization"]
    head = f"GET /api/v1/workers/w/logs/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n\r\n"
    writer.write(head.encode())
    try:
        yield Reader(reader)
    finally:
        writer.transport.abort()


async def received(folder, lines):
    """The events of a bar that grows step by step, of a forged line, and of these lines."""
    host = ScriptedHost(a_program("w"))
    host.logs = store = SegmentStore(folder / "logs", now=host.now, segment=65536)
    out = store.open_stream("w", "out", 1)
    try:
        async with site(host=host) as s, on_tcp(s) as port, connected(port) as reader:
            for step in STEPS:
                out.append(step.encode() + b"\r")
                await reader.until(lambda rows, step=step: any(step in row["text"] for row in rows))
            out.append(b"100 %\r\n" + FORGED)
            for at in range(0, len(lines), 9973):
                out.append(lines[at : at + 9973])
            await reader.until(lambda rows: rows[-1]["text"].startswith("seal"))
            return reader.events
    finally:
        store.close()


@pytest.mark.row(20)
def test_a_progress_bar_over_http_is_one_line_and_one_event_stays_one(tmp_path):
    words = zoo("write", "300", "bar=10", "batch=0", "seal")
    events = asyncio.run(received(tmp_path, subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout))
    rows = [row for event in events if event.name == "log" for row in event.data]
    bar = [row for row in rows if row["at"] == 0]
    assert [(row["key"] is None, row["text"]) for row in bar] == [(True, step) for step in STEPS] + [(False, "100 %")]
    forged = next(row for row in rows if "bye" in row["text"])
    assert forged["text"] == FORGED.decode("utf-8", "replace").rpartition("\r")[2].removesuffix("\n")
    assert {event.name for event in events} <= {"hello", "log", "run", "heartbeat"}
    ids = [event.id for event in events if event.id is not None]
    assert ids == sorted(ids)
    checked = Sequence().all(text for text in of_events(events, "w") if text not in ("100 %", forged["text"]))
    assert (checked.end(), checked.seen, checked.noise) == ("", 300, 0)
