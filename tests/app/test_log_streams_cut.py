"""A merged log stream over real sockets, from real files, cut at random while two workers write: every line once."""

import asyncio
import contextlib
import random
import threading
import time
from pathlib import Path

import pytest

from app.web.feed import LARGEST
from supervisor_core.children.segments import SegmentStore
from tests.support.asgi import Event, ScriptedHost, a_program, bearer, events_of, site
from tests.support.sockets import on_tcp

LINES, SECONDS, CUTS = 8_000, 2.0, 60
"""Lines and seconds of each writer, and how often the stream is cut while they write."""


def write(store: SegmentStore, worker: str, given_up: threading.Event) -> None:
    """Writes numbered lines at an even pace, in pieces that end anywhere in a line."""
    stream = store.open_stream(worker, "out", 1)
    rng = random.Random(worker)
    begin, done, rest = time.monotonic(), 0, b""
    while done < LINES and not given_up.wait(0.002):
        due = min(LINES, int((time.monotonic() - begin) * LINES / SECONDS))
        rest += b"".join(b"%d\n" % number for number in range(done, due))
        done = due
        cut = len(rest) if done == LINES else rng.randrange(len(rest) + 1)
        stream.append(rest[:cut])
        rest = rest[cut:]
    stream.end()


async def read(port: int, key: str, seconds: float, bytes_at_most: int) -> list[Event]:
    """Resumes behind a key, reads for a while, and cuts the connection wherever it is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    token = bearer("reader")["Authorization"]
    path = "/api/v1/logs/stream?workers=a,b&stream=out&after=" + "0" * 32
    resume = f"Last-Event-ID: {key}\r\n" if key else ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n{resume}\r\n".encode())
    raw = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while len(raw) < bytes_at_most:
                more = await reader.read(16_384)
                assert more, f"the server ended the stream: {raw[-200:]!r}"
                raw += more
    writer.transport.abort()
    return list(events_of(unchunked(raw.partition(b"\r\n\r\n")[2])))


def unchunked(raw: bytes) -> bytes:
    """What has come of a chunked body, also when its last chunk is torn."""
    body = b""
    while raw:
        size, line_end, rest = raw.partition(b"\r\n")
        if not line_end:
            break
        length = int(size, 16)
        body += rest[:length]
        raw = rest[length + 2 :]
    return body


@pytest.mark.asyncio
async def test_cut_anywhere_while_two_workers_write(tmp_path: Path) -> None:
    rng = random.Random(11)
    host = ScriptedHost(a_program("a"), a_program("b"))
    host.logs = store = SegmentStore(tmp_path, now=host.now, segment=64 * 1024)  # type: ignore[assignment]
    given_up = threading.Event()
    writers = [threading.Thread(target=write, args=(store, worker, given_up)) for worker in "ab"]
    key, seen = "", []
    async with site(host=host) as s, on_tcp(s) as port:
        for writer in writers:
            writer.start()
        cuts = 0
        while cuts < CUTS or len(seen) < 2 * LINES:
            last = cuts >= CUTS
            seconds = 0.6 if last else rng.random() * 2 * SECONDS / CUTS
            # At last whole frames must fit: who is far behind gets nothing but frames of the largest size.
            events = await read(port, key, seconds, 4 * LARGEST if last else rng.randrange(500, 200_000))
            seen += [line for e in events if e.name == "log" for line in e.data if line["key"] is not None]
            key = next((e.id for e in reversed(events) if e.id), key)
            cuts += 1
            if cuts > CUTS + 100:
                given_up.set()
                pytest.fail(f"only {len(seen)} lines have come")
    for writer in writers:
        writer.join()
    store.close()
    keys = [line["key"] for line in seen]
    assert keys == sorted(set(keys))
    for worker in "ab":
        assert [int(line["text"]) for line in seen if line["worker"] == worker] == list(range(LINES))
