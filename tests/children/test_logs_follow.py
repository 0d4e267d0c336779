"""Following: the backlog, then what comes; cut anywhere and resumed by key, each line comes once and in order."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from itertools import count
from pathlib import Path
from time import time

import pytest

from supervisor_core.children.segments import SegmentStore
from supervisor_core.lines import Line, Page, View
from supervisor_core.logs import LogSink, MemoryStore, follow

pytestmark = pytest.mark.asyncio

CUTS = 200
BURST = 125


@pytest.fixture(params=["files", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogSink]:
    if request.param == "memory":
        yield MemoryStore(time, lines=200_000, size=64 << 20)
        return
    made = SegmentStore(tmp_path / "logs", now=time, segment=1024)
    yield made
    made.close()


def texts(page: Page) -> list[str]:
    return [item.text for item in page.items if isinstance(item, Line)]


async def test_backlog_then_live_then_closed(store: LogSink) -> None:
    stream = store.open_stream("a", "out", 1)
    stream.append(b"1\n2\n3\n")
    async with aclosing(follow(store, View(("a",)), tail=2)) as pages:
        assert texts(await anext(pages)) == ["2", "3"]
        waiting = asyncio.ensure_future(anext(pages))
        await asyncio.sleep(0)
        assert not waiting.done()
        stream.append(b"4\n5")
        page = await waiting
        assert texts(page) == ["4"]
        assert [line.text for line in page.open] == ["5"]
        stream.append(b"%")
        page = await anext(pages)
        assert page.items == ()
        assert [line.text for line in page.open] == ["5%"]
        stream.append(b"\n")
        assert texts(await anext(pages)) == ["5%"]
    with pytest.raises(StopAsyncIteration):
        await anext(pages)


async def test_the_first_page_comes_at_once_also_for_a_worker_nobody_knows(store: LogSink) -> None:
    async with aclosing(follow(store, View(("later",)))) as pages:
        first = await anext(pages)
        assert first.items == ()
        assert first.next
        store.note("later", 1, "here I am")
        assert texts(await anext(pages)) == ["here I am"]


async def test_a_filter_that_hides_everything_still_gets_on(store: LogSink) -> None:
    stream = store.open_stream("a", "out", 1)
    stream.append(b"what was before\n")
    view = View(("a",), match=lambda lines: ["wanted" in line.text for line in lines])
    async with aclosing(follow(store, view)) as pages:
        before = await anext(pages)
        stream.append(b"noise\n" * 1000)
        page = await anext(pages)
        assert page.items == ()
        assert page.next > before.next
        stream.append(b"wanted\nmore noise\n")
        last = await anext(pages)
        assert texts(last) == ["wanted"]
        assert last.next > store.tail(View(("a",)), 1).first
        assert texts(store.after(view, page.next, 10)) == ["wanted"]


async def test_news_between_a_read_and_the_wait_for_news_are_not_slept_through(
    store: LogSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = store.open_stream("a", "out", 1)
    real, late = store.after, [b"late\n"]

    def after(view: View, key: str, limit: int) -> Page:
        page = real(view, key, limit)
        if late:
            stream.append(late.pop())
        return page

    monkeypatch.setattr(store, "after", after)
    async with aclosing(follow(store, View(("a",)))) as pages:
        await anext(pages)
        stream.append(b"first\n")
        assert texts(await anext(pages)) == ["first"]
        assert texts(await asyncio.wait_for(anext(pages), 5)) == ["late"]


async def test_closing_ends_the_subscription(store: LogSink) -> None:
    async with aclosing(follow(store, View(("a", "b")))) as pages:
        await anext(pages)
    assert len(store._followers) == 0  # type: ignore[attr-defined]


async def test_cancelling_while_it_waits_ends_it(store: LogSink) -> None:
    pages = follow(store, View(("a",)))
    await anext(pages)
    waiting = asyncio.ensure_future(anext(pages))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(store._followers) == 0  # type: ignore[attr-defined]


async def test_cut_200_times_while_two_workers_write_and_segments_rotate(store: LogSink) -> None:
    """Two workers write 25,000 numbered lines each in chunks that end anywhere; strict resume from an arbitrary key."""
    dice = random.Random(7)
    turns = {name: threading.Semaphore(0) for name in ("a", "b")}
    view = View(("a", "b"))
    total = CUTS * BURST

    def write(name: str) -> None:
        cuts = random.Random(name)
        stream = store.open_stream(name, "out", 1)
        rest = b""
        for turn in range(CUTS):
            turns[name].acquire()
            data = rest + b"".join(b"%s %d\n" % (name.encode(), turn * BURST + i) for i in range(BURST))
            while len(data) > 200:
                size = cuts.randrange(1, 200)
                stream.append(data[:size])
                data = data[size:]
            rest = data
        stream.append(rest)

    writers = [threading.Thread(target=write, args=(name,)) for name in turns]
    for writer in writers:
        writer.start()
    lines: list[Line] = []
    key: str | None = ""
    cuts = 0
    while len(lines) < 2 * total:
        cuts += 1
        for turn in turns.values():
            turn.release()
        async for line in some(
            follow(store, view, after=key, limit=dice.choice([1, 50, 2000])), dice.randrange(1, 400)
        ):
            lines.append(line)
            key = line.key
            if len(lines) == 2 * total:
                break
    for writer in writers:
        writer.join()
    keys = [line.key for line in lines]
    assert keys == sorted(set(keys))
    for name in turns:
        assert [line.text for line in lines if line.worker == name] == [f"{name} {i}" for i in range(total)]
    assert cuts >= CUTS
    if isinstance(store, SegmentStore):
        assert sum(len(files.bases) for files in store._folders.all()) > 200


async def some(pages: AsyncIterator[Page], number: int) -> AsyncIterator[Line]:
    """The next lines, at most `number`, cut in the midst of a page or while it waits."""
    async with aclosing(pages):  # type: ignore[type-var]
        async for page in pages:
            for item in page.items:
                if isinstance(item, Line):
                    yield item
                    number -= 1
                    if number <= 0:
                        return
            if number % 3 == 0:
                return


async def test_a_reader_that_comes_late_reads_a_long_backlog_in_turns(store: LogSink) -> None:
    stream = store.open_stream("a", "out", 1)
    stream.append(b"".join(b"%d\n" % i for i in range(10_000)))
    others = count()
    seen: list[str] = []

    async def other() -> None:
        while len(seen) < 10_000:
            next(others)
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(other())
    async with aclosing(follow(store, View(("a",)), after="", limit=100)) as pages:
        async for page in pages:
            seen += texts(page)
            if len(seen) == 10_000:
                break
    await beside
    assert seen == [str(i) for i in range(10_000)]
    assert next(others) > 50
