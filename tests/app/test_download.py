"""The bytes of a stream over HTTP: whole, one range of them, resumed, and cut off rather than wrong."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter, time
from typing import Any

import pytest

from app.web import download as download_module
from app.web.download import attachment, one_range
from app.web.problems import Problem
from supervisor_core.children.segments import SegmentStore
from tests.support.asgi import Site, Stream, a_program, bearer, site

URL = "/api/v1/workers/a/logs/download"
READER = bearer("reader")
BYTES = b"".join(b"%d \xff\x1b[31m\r\n" % i for i in range(1000))
pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def a_site(tmp_path: Path, **settings: Any) -> AsyncIterator[Site]:
    """One worker, whose log is in small segments, most of them compressed."""
    store = SegmentStore(tmp_path / "logs", now=time, segment=2000, compress=True, **settings)
    try:
        async with site(a_program("a")) as s:
            s.host.logs = store  # type: ignore[assignment]
            write(s, BYTES)
            store.settle()
            yield s
    finally:
        store.close()


def write(s: Site, data: bytes) -> None:
    stream = s.host.logs.open_stream("a", "out", 1)
    for start in range(0, len(data), 500):
        stream.append(data[start : start + 500])


async def test_all_bytes_as_they_were_written(tmp_path: Path) -> None:
    async with a_site(tmp_path) as s, s.client("reader") as c:
        told = await c.get(URL)
        assert (told.status_code, told.content) == (200, BYTES)
        assert told.headers["content-length"] == str(len(BYTES))
        assert told.headers["content-type"] == "application/octet-stream"
        assert told.headers["content-disposition"] == 'attachment; filename="a.out.log"'
        assert told.headers["accept-ranges"] == "bytes"
        assert told.headers["x-content-type-options"] == "nosniff"
        head = await c.head(URL, headers={"Range": "bytes=0-0"})
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-length", "etag", "content-type", "content-disposition"):
            assert head.headers[name] == told.headers[name]
        empty = await c.get(f"{URL}?stream=err")
        assert (empty.status_code, empty.content, empty.headers["content-length"]) == (200, b"", "0")
        assert s.services.streams == 0


SIZE = len(BYTES)
NINES = "9" * 40_000
RANGES: list[tuple[str, tuple[int, int] | None]] = [
    ("bytes=0-0", (0, 1)),
    ("bytes=10-19", (10, 20)),
    ("BYTES = 10 - 19", (10, 20)),
    ("bytes=,10-19,", (10, 20)),
    ("bytes=0-", (0, SIZE)),
    (f"bytes={SIZE - 1}-", (SIZE - 1, SIZE)),
    (f"bytes=5-{NINES}", (5, SIZE)),
    (f"bytes={'0' * 40_000}7-8", (7, 9)),
    ("bytes=-1", (SIZE - 1, SIZE)),
    (f"bytes=-{NINES}", (0, SIZE)),
    # another unit is passed over
    ("lines=0-5", (0, 0)),
    ("items=0-5, 3-9", (0, 0)),
    # everything else is no range that there is
    (f"bytes={SIZE}-", None),
    (f"bytes={NINES}-", None),
    ("bytes=-0", None),
    ("bytes=5-3", None),
    ("bytes=0-1,2-3", None),
    ("bytes=0-9,5-14", None),
    ("bytes=0-0," * 6000, None),
    ("bytes=" + ",".join(f"{i}-{i}" for i in range(6000)), None),
    ("bytes=0-,0-,0-", None),
    ("bytes=--5", None),
    ("bytes=-5-", None),
    ("bytes=-", None),
    ("bytes=", None),
    ("bytes", None),
    ("", None),
    ("bytes=a-b", None),
    ("bytes=0x1-2", None),
    ("bytes=1.5-2", None),
    ("bytes=+1-2", None),
    ("bytes=1 2-3", None),
    ("bytes=\u00b2-\u00b3", None),
    ("bytes=0-1=2", None),
    ("bytes=" + "-" * 60_000, None),
    ("bytes=" + "0-" * 30_000, None),
    ("bytes=" + "," * 60_000, None),
]


@pytest.mark.row(78)
async def test_one_range_or_none(tmp_path: Path) -> None:
    async with a_site(tmp_path) as s, s.client("reader") as c:
        tag = (await c.head(URL)).headers["etag"]
        for header, expected in RANGES:
            told = await c.get(URL, headers={b"Range": header.encode("latin-1"), "If-Range": tag})
            case = header[:40]
            if expected is None:
                assert (told.status_code, told.json()["code"]) == (416, "bad_range"), case
                assert told.headers["content-range"] == f"bytes */{SIZE}", case
                assert told.headers["content-type"] == "application/problem+json", case
                continue
            start, end = expected
            if start == end:
                assert (told.status_code, told.content) == (200, BYTES), case
                continue
            assert (told.status_code, told.content) == (206, BYTES[start:end]), case
            assert told.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}", case
            assert told.headers["content-length"] == str(end - start), case
        twice = [(b"range", b"bytes=0-1"), (b"range", b"bytes=4-5")]
        assert (await c.get(URL, headers=twice)).status_code == 416
        assert (await c.get(f"{URL}?stream=err", headers={"Range": "bytes=0-"})).status_code == 416


@pytest.mark.row(78)
@pytest.mark.parametrize("part", ["0-0,", "-", ",", "0", "9", "0-", " ", "-1,"])
async def test_a_range_is_read_in_linear_time(part: str) -> None:
    """A header a hundred times as long as any that comes this far; what is not linear would take minutes."""
    began = perf_counter()
    with contextlib.suppress(Problem):
        one_range(["bytes=" + part * (6_000_000 // len(part))], 1000)
    assert perf_counter() - began < 5


async def test_a_download_resumes_only_what_is_still_the_same(tmp_path: Path) -> None:
    async with a_site(tmp_path, max_worker=30_000) as s, s.client("reader") as c:
        first = await c.get(URL)
        resume = {"Range": "bytes=1000-", "If-Range": first.headers["etag"]}
        write(s, b"more\n")
        told = await c.get(URL, headers=resume)
        assert (told.status_code, told.content) == (206, first.content[1000:] + b"more\n")
        assert told.headers["etag"] == first.headers["etag"]
        write(s, BYTES * 20)
        for tag in (resume["If-Range"], f"W/{resume['If-Range']}", "*", "", "Tue, 24 Nov 2026 12:00:00 GMT"):
            anew = await c.get(URL, headers={**resume, "If-Range": tag})
            assert anew.status_code == 200, tag
            assert (BYTES * 20).endswith(anew.content)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "PIECE", 1000)


@asynccontextmanager
async def open_slowly(s: Site, dropped: list[bool]) -> AsyncIterator[Stream]:
    """A download whose reader has taken the first piece and nothing more; `dropped` is told when it is cut off."""
    drop = {"quarterdeck": {"abort": lambda: dropped.append(True)}}
    stream = Stream(s.app, URL, READER, extensions=drop)
    send = stream._send

    async def slow(message: dict[str, Any]) -> None:
        await send(message)
        if message.get("body") and len(stream.pieces) == 1:
            stream.reading.clear()

    stream._send = slow  # type: ignore[method-assign]
    async with stream:
        await stream._until(lambda: stream.pieces)
        yield stream


@pytest.mark.row(51)
@pytest.mark.usefixtures("small_pieces")
async def test_what_retention_takes_meanwhile_cuts_the_download_off(tmp_path: Path) -> None:
    dropped: list[bool] = []
    async with a_site(tmp_path, max_worker=9000) as s:
        async with open_slowly(s, dropped) as stream:
            assert s.services.streams == 1
            write(s, BYTES * 2)
            stream.reading.set()
            await stream.end()
            length = int(stream.headers["content-length"])
            assert 0 < len(stream.raw) < length
            assert BYTES[-length:].startswith(stream.raw), "bytes of somewhere else"
        assert dropped == [True]
        assert s.services.streams == 0


@pytest.mark.usefixtures("small_pieces")
async def test_a_service_that_leaves_does_not_wait_for_downloads(tmp_path: Path) -> None:
    dropped: list[bool] = []
    async with a_site(tmp_path) as s, open_slowly(s, dropped) as stream:
        s.services.stopping.set()
        await stream.end()
        assert dropped == [True]
        assert len(stream.raw) < SIZE


@pytest.mark.usefixtures("small_pieces")
async def test_a_reader_that_takes_nothing_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "SEND_TIMEOUT", 0.05)
    dropped: list[bool] = []
    async with a_site(tmp_path) as s:
        async with open_slowly(s, dropped) as stream:
            await stream.end()
        assert dropped == [True]
        assert s.services.streams == 0


@pytest.mark.usefixtures("small_pieces")
async def test_a_reader_that_goes_frees_its_place(tmp_path: Path) -> None:
    dropped: list[bool] = []
    async with a_site(tmp_path) as s:
        async with open_slowly(s, dropped) as stream:
            assert s.services.streams == 1
        assert stream.ended
        assert s.services.streams == 0
        assert dropped == []


async def test_the_loop_goes_on_while_pieces_are_read(tmp_path: Path) -> None:
    async with a_site(tmp_path) as s:
        raw = s.host.logs.raw("a", "out")
        loop_is_here = asyncio.get_running_loop()
        seen: list[bool] = []

        class Watched:
            size, tag = raw.size, raw.tag

            def read(self, at: int, limit: int) -> bytes:
                try:
                    seen.append(asyncio.get_running_loop() is not loop_is_here)
                except RuntimeError:
                    seen.append(True)
                return raw.read(at, limit)

        s.host.logs.raw = lambda *_: Watched()  # type: ignore[method-assign]
        async with s.client("reader") as c:
            assert (await c.get(URL)).content == BYTES
        assert seen
        assert all(seen)


async def test_downloads_count_as_streams(tmp_path: Path) -> None:
    async with a_site(tmp_path) as s, s.client("reader") as c:
        s.services.streams = s.services.settings.streams
        told = await c.get(URL)
        assert (told.status_code, told.json()["code"]) == (503, "too_many_streams")
        assert (await c.head(URL)).status_code == 200
        s.services.streams = 0


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("web-0.out.log", 'attachment; filename="web-0.out.log"'),
        ("p[3].err.log", 'attachment; filename="p[3].err.log"'),
        ('a"; x="b', "attachment; filename=\"a___x__b\"; filename*=UTF-8''a%22%3B%20x%3D%22b"),
        ("a\r\nX: y", "attachment; filename=\"a__X__y\"; filename*=UTF-8''a%0D%0AX%3A%20y"),
        ("größe/..", "attachment; filename=\"gr__e_..\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%2F.."),
    ],
)
async def test_a_name_cannot_leave_its_quotes(name: str, header: str) -> None:
    assert attachment(name) == header
    assert header.isascii()
