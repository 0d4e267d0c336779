"""Filters over HTTP: regular expressions in pages and streams, given up in time, and no process left."""

import asyncio
import threading

import pytest

from app.web.query import parse
from supervisor_core import search as search_module
from supervisor_core.search import Pattern, Query, Searches
from tests.support.asgi import Site, Stream, a_program, bearer, site

READER = bearer("reader")
A = "/api/v1/workers/a/logs"
EVIL = "q=/(a%2b)%2b$/"
pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Query()),
        ('-""', Query()),
        ('Word "A Phrase" -Not', Query(("word", "a phrase"), ("not",))),
        ("/x y/i -/z/ w", Query(("w",), (), (Pattern("x y", ignore_case=True), Pattern("z", wanted=False)))),
        ("/usr/bin/x /a b/", Query(("/usr/bin/x",), (), (Pattern("a b"),))),
        ("/usr/lib/ /open //", Query(("/usr/lib/", "/open", "//"))),
        (r"/a\/b\\/", Query((), (), (Pattern(r"a\/b\\"),))),
        ("/level:x/", Query((), (), (Pattern("level:x"),))),
        ('"/quoted/"', Query(("/quoted/",))),
    ],
)
async def test_the_grammar(text: str, expected: Query) -> None:
    assert parse(text) == expected


def texts(lines: list[dict]) -> list[str]:
    return [line["text"] for line in lines]


async def test_pages_and_neighbours() -> None:
    async with site(a_program("a")) as s, s.client("reader") as c:
        s.host.write("a", *(f"Try {i}" for i in range(30)))
        assert texts((await c.get(f"{A}?q=/y 1?7$/")).json()["lines"]) == ["Try 7", "Try 17"]
        assert texts((await c.get(f"{A}?q=/TRY 9/")).json()["lines"]) == []
        assert texts((await c.get(f"{A}?q=/TRY 9/i&context=1")).json()["lines"]) == ["Try 8", "Try 9", "Try 10"]
        assert texts((await c.get(f"{A}?q=try -/[0-9]{{2}}/&after=&limit=2")).json()["lines"]) == ["Try 0", "Try 1"]
        await ended(s)


async def test_a_slow_pattern_delays_nobody_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "BATCH_SECONDS", 0.5)
    async with site(a_program("a")) as s, s.client("reader") as c:
        s.host.write("a", "a" * 5000 + "!")
        loop, longest = asyncio.get_running_loop(), 0.0
        asked = asyncio.ensure_future(c.get(f"{A}?{EVIL}"))
        while not asked.done():
            before = loop.time()
            await asyncio.sleep(0)
            longest = max(longest, loop.time() - before)
        answer = asked.result()
        assert (answer.status_code, answer.json()["code"]) == (400, "query_too_slow")
        assert "/(a+)+$/" in answer.json()["detail"]
        assert longest < 0.2


@pytest.mark.parametrize("plain", [False, True])
async def test_a_stream_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch, plain: bool) -> None:
    monkeypatch.setattr(search_module, "BATCH_SECONDS", 0.3)
    headers = {**READER, "Accept": "text/plain"} if plain else READER
    async with site(a_program("a")) as s:
        s.host.write("a", "aaaa", "b")
        async with Stream(s.app, f"{A}/stream?{EVIL}", headers) as stream:
            await stream._until(lambda: b"aaaa" in stream.raw)
            s.host.write("a", "a" * 5000 + "!")
            await stream.end()
            if plain:
                assert stream.raw.startswith(b"aaaa\n--- /(a+)+$/ needs too much time")
            else:
                assert stream.events[-1].name == "problem"
                assert stream.events[-1].data["code"] == "query_too_slow"
                assert stream.events[-1].retry == 3_600_000
        await ended(s)


async def test_a_stream_follows_and_its_end_frees_its_place() -> None:
    async with site(a_program("a")) as s, s.client("reader") as c:
        s.services.searches = Searches(1)
        for _ in range(3):
            async with Stream(s.app, f"{A}/stream?q=/n.w/", READER) as stream:
                s.host.write("a", "old", "new")
                log = await stream.until("log")
                assert texts(log.data) == ["new"]
                told = await c.get(f"{A}?q=/x/")
                assert (told.status_code, told.json()["code"]) == (503, "too_many_searches")
                assert told.headers["retry-after"]
                assert (await c.get(f"{A}?q=new&tail=1")).status_code == 200
            await ended(s)
            s.host.logs = type(s.host.logs)(s.host.now)


async def test_a_crowd_is_refused_before_a_search_is_begun() -> None:
    async with site(a_program("a"), streams=0) as s, s.client("reader") as c:
        assert (await c.get(f"{A}/stream?q=/x/")).json()["code"] == "too_many_streams"
        assert s.services.searches._open == 0


async def ended(s: Site) -> None:
    """Returns when no search is open: closing happens in threads, which end with it."""
    for thread in threading.enumerate():
        if thread.name == "end a search":
            await asyncio.to_thread(thread.join)
    assert s.services.searches._open == 0
