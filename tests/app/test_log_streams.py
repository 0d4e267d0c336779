"""Lines of logs: pages, filters, following with resume by key, partial lines, plain text. On the store in memory."""

import asyncio
import itertools
import random

import pytest

from app.web.feed import LARGEST
from supervisor_core.messages import Add
from tests.support.asgi import Site, Stream, a_program, bearer, site
from tests.support.virtual import virtual

READER = bearer("reader")
A = "/api/v1/workers/a/logs"
ALL = "/api/v1/logs"


def texts(stream: Stream) -> list[str]:
    return [line["text"] for e in stream.named("log") for line in e.data if line["key"] is not None]


# ---------------------------------------------------------------- pages


@virtual
async def test_pages_by_key() -> None:
    async with site(a_program("a")) as s, s.client("reader") as c:
        for i in range(20):
            s.host.write("a", f"line {i}")
        tail = (await c.get(f"{A}?tail=5")).json()
        assert [line["text"] for line in tail["lines"]] == [f"line {i}" for i in range(15, 20)]
        assert set(tail) >= {"lines", "first", "next", "oldest", "newest", "expired_bytes"}
        assert set(tail["lines"][0]) == {"key", "time", "worker", "stream", "run", "at", "text"}
        assert tail["lines"][0]["key"] < tail["lines"][1]["key"]
        older = (await c.get(f"{A}?before={tail['first']}&limit=3")).json()
        assert [line["text"] for line in older["lines"]] == ["line 12", "line 13", "line 14"]
        newer = (await c.get(f"{A}?after={older['lines'][-1]['key']}&limit=2")).json()
        assert [line["text"] for line in newer["lines"]] == ["line 15", "line 16"]
        assert newer["more"]
        assert len((await c.get(A)).json()["lines"]) == 20
        assert (await c.get(f"{A}?after=")).json()["lines"][0]["text"] == "line 0"
        assert (await c.get(f"{A}?after={tail['next']}")).json()["lines"] == []


@virtual
async def test_pages_by_time() -> None:
    async with site(a_program("a")) as s, s.client("reader") as c:
        s.host.write("a", "early")
        await asyncio.sleep(60)
        s.host.write("a", "late")
        moment = (await c.get(A)).json()["lines"][1]["time"]
        for text in (moment, moment.replace("Z", "+00:00"), moment.replace("Z", "%2B00:00")):
            assert [line["text"] for line in (await c.get(f"{A}?at={text}")).json()["lines"]] == ["late"]


@virtual
async def test_streams_filters_and_neighbours() -> None:
    async with site(a_program("a"), a_program("b")) as s, s.client("reader") as c:
        for i in range(10):
            s.host.write("a", f"info {i}")
            s.host.write("a", f"ERROR {i}", stream="err")
            s.host.write("b", f"other {i}")

        async def ask(query: str) -> list[str]:
            return [line["text"] for line in (await c.get(f"{A}{query}")).json()["lines"]]

        assert await ask("?stream=err&tail=2") == ["ERROR 8", "ERROR 9"]
        assert await ask("?q=error%205") == ["ERROR 5"]
        assert await ask("?q=-info%20-error") == []
        assert await ask("?q=error%205&context=1") == ["info 5", "ERROR 5", "info 6"]
        near = (await c.get(f"{A}?q=error%205&context=1")).json()["lines"]
        assert [line["match"] for line in near] == [False, True, False]
        merged = (await c.get(f"{ALL}?workers=a,b&tail=3")).json()["lines"]
        assert [line["text"] for line in merged] == ["info 9", "ERROR 9", "other 9"]
        assert {line["worker"] for line in (await c.get(ALL)).json()["lines"]} == {"a", "b"}
        assert {line["worker"] for line in (await c.get(f"{ALL}?workers=b*")).json()["lines"]} == {"b"}


@virtual
async def test_plain_text() -> None:
    async with site(a_program("a")) as s, s.client("reader") as c:
        s.host.write("a", "\x1b[31mred\x1b[0m", "<b>&")
        s.host.write("a", "prompt> ", end="")
        plain = {"Accept": "text/plain"}
        told = await c.get(A, headers=plain)
        assert told.headers["content-type"] == "text/plain; charset=utf-8"
        assert told.text == "\x1b[31mred\x1b[0m\n<b>&\nprompt> \n"
        assert (await c.get(f"{A}?ansi=strip", headers=plain)).text == "red\n<b>&\nprompt> \n"
        assert (await c.get(f"{ALL}?ansi=strip", headers=plain)).text.startswith("a | red\n")
        told_json = (await c.get(f"{A}?ansi=strip", headers={"Accept": "*/*"})).json()
        assert told_json["lines"][0]["text"] == "red"
        assert told_json["open"][0]["text"] == "prompt> "
        assert told_json["open"][0]["key"] is None


@virtual
async def test_odd_bytes_and_long_lines() -> None:
    async with site(a_program("a")) as s, s.client("reader") as c:
        writer = s.host.logs.open_stream("a", "out", 1)
        writer.append(b"bad \xff\xfe bytes\n" + b"x" * 40_000 + b"\n" + "\u2028 \x00 \ud7ff\n".encode())
        raw, long, strange = (await c.get(A)).json()["lines"]
        assert raw["text"] == "bad \ufffd\ufffd bytes"
        assert raw["raw"] is True
        assert (len(long["text"]), long["cut"]) == (16 * 1024, 40_000)
        assert strange["text"] == "\u2028 \x00 \ud7ff"


# ---------------------------------------------------------------- following


@virtual
async def test_backlog_then_what_comes() -> None:
    async with site(a_program("a")) as s:
        s.host.write("a", *(f"old {i}" for i in range(300)))
        async with Stream(s.app, f"{A}/stream", READER) as stream:
            log = await stream.until("log")
            assert stream.headers["content-type"] == "text/event-stream"
            assert [line["text"] for line in log.data] == [f"old {i}" for i in range(100, 300)]
            assert log.id == log.data[-1]["key"]
            await asyncio.sleep(1)
            s.host.write("a", "new 1", "new 2")
            later = await stream.until("log", 2)
            assert [line["text"] for line in later.data] == ["new 1", "new 2"]
            assert later.id == later.data[-1]["key"] > log.id
        async with Stream(s.app, f"{A}/stream?tail=0", READER) as stream:
            await asyncio.sleep(1)
            assert texts(stream) == []


@virtual
async def test_the_flush_rule() -> None:
    async with site(a_program("a")) as s, Stream(s.app, f"{A}/stream", READER) as stream:
        await asyncio.sleep(1)
        count, loop = len(stream.pieces), asyncio.get_running_loop()
        begin = loop.time()
        for i in range(200):
            s.host.write("a", f"{i}")
            await asyncio.sleep(0.002)
        await asyncio.sleep(1)
        times = [time - begin for time in stream.times[count:]]
        assert times[0] == 0
        assert all(b - a >= 0.0499 for a, b in itertools.pairwise(times))
        assert len(times) <= 10
        assert texts(stream) == [f"{i}" for i in range(200)]


@pytest.mark.row(20)
@virtual
async def test_partial_lines_are_replaced() -> None:
    async with site(a_program("a")) as s, Stream(s.app, f"{A}/stream", READER) as stream:
        await asyncio.sleep(1)
        writer = s.host.logs.open_stream("a", "out", 1)
        writer.append(b"done\n 10%")
        log = await stream.until("log")
        done, partial = log.data
        assert (done["text"], partial["text"], partial["key"]) == ("done", " 10%", None)
        assert log.id == done["key"]
        s.host.write("a", "beside it", stream="err")
        await asyncio.sleep(1)
        beside = stream.named("log")[1]
        assert [line["text"] for line in beside.data] == ["beside it"], "what did not grow is not sent again"
        writer.append(b"\r 90%")
        log = await stream.until("log", 3)
        assert (log.id, log.data[0]["text"]) == (None, " 90%")
        place = ("worker", "stream", "run", "at")
        assert [log.data[0][p] for p in place] == [partial[p] for p in place]
        writer.append(b"\r100%\n")
        last = (await stream.until("log", 4)).data[0]
        assert last["key"] is not None
        assert (last["text"], [last[p] for p in place]) == ("100%", [partial[p] for p in place])


@virtual
async def test_runs_are_marked() -> None:
    async with site(a_program("a")) as s, Stream(s.app, f"{A}/stream", READER) as stream:
        await asyncio.sleep(1)
        writer = s.host.logs.open_stream("a", "out", 1)
        writer.append(b"one\n")
        writer.end()
        s.host.logs.open_stream("a", "out", 2).append(b"two\n")
        await asyncio.sleep(1)
        story = [
            (e.name, e.data.get("kind") if e.name == "run" else [x["text"] for x in e.data])
            for e in stream.events
            if e.name in ("run", "log")
        ]
        assert story == [("run", "start"), ("log", ["one"]), ("run", "end"), ("run", "start"), ("log", ["two"])]
        ids = [e.id for e in stream.events if e.name in ("run", "log")]
        assert ids == sorted(ids)


@virtual
async def test_heartbeats_carry_a_key_so_that_a_filtered_view_never_falls_behind() -> None:
    async with site(a_program("a")) as s, Stream(s.app, f"{A}/stream?q=needle", READER) as stream:
        await asyncio.sleep(6)
        first = stream.named("heartbeat")[-1].id
        for i in range(50):
            s.host.write("a", f"hay {i}")
        await asyncio.sleep(5)
        second = stream.named("heartbeat")[-1].id
        assert texts(stream) == []
        assert second > first
        s.host.write("a", "a Needle")
        await asyncio.sleep(0.1)
        assert texts(stream) == ["a Needle"]
    async with Stream(s.app, f"{A}/stream?q=needle&after={second}", READER) as stream:
        await asyncio.sleep(0.1)
        assert texts(stream) == ["a Needle"]


@virtual
async def test_cut_anywhere_each_line_comes_once_and_in_order() -> None:
    rng = random.Random(7)
    async with site(a_program("a"), a_program("b")) as s:
        written, seen, key = 0, [], ""
        for _ in range(60):
            headers = {**READER, "Last-Event-ID": key} if key else READER
            async with Stream(s.app, f"{ALL}/stream?workers=a,b&after=" + "0" * 32, headers) as stream:
                for _ in range(rng.randrange(6)):
                    for _ in range(rng.randrange(40)):
                        s.host.write("ab"[written % 2], str(written))
                        written += 1
                    await asyncio.sleep(rng.choice((0, 0, 0.01, 0.06)))
            lines = [line for e in stream.named("log") for line in e.data if line["key"]]
            keys = [line["key"] for line in lines]
            assert keys == sorted(keys)
            seen += [int(line["text"]) for line in lines]
            key = next((e.id for e in reversed(stream.events) if e.id), key)
        async with Stream(s.app, f"{ALL}/stream?workers=a,b&after={key}", READER) as stream:
            await asyncio.sleep(1)
            seen += [int(text) for text in texts(stream)]
        assert seen == list(range(written))


@virtual
async def test_a_view_of_patterns_takes_in_those_who_come() -> None:
    async with (
        site(a_program("web-1"), a_program("db")) as s,
        Stream(s.app, f"{ALL}/stream?workers=web-*", READER) as stream,
        Stream(s.app, f"{ALL}/stream", READER) as every,
    ):
        await asyncio.sleep(1)
        s.host.write("web-1", "1")
        await asyncio.sleep(0.01)
        await s.host.tell(Add(a_program("web-2")))
        for i in range(5):
            s.host.write("web-1", f"{2 + 3 * i}")
            s.host.write("web-2", f"{3 + 3 * i}")
            s.host.write("db", f"{4 + 3 * i}")
            await asyncio.sleep(0.02)
        await asyncio.sleep(6)
        assert [int(text) for text in texts(every)] == list(range(1, 17))
        assert texts(stream) == [text for text in texts(every) if (int(text) - 1) % 3 or text == "1"]


@virtual
async def test_following_as_plain_lines() -> None:
    async with site(a_program("a")) as s:
        s.host.write("a", "old")
        async with Stream(s.app, f"{A}/stream", {**READER, "Accept": "text/plain"}) as stream:
            await asyncio.sleep(0.1)
            s.host.write("a", "new", "er")
            await asyncio.sleep(6)
            assert stream.headers["content-type"] == "text/plain; charset=utf-8"
            assert stream.raw == b"old\nnew\ner\n"
            s.services.stopping.set()
            await stream.end()


@virtual
async def test_bye_comes_after_the_last_line() -> None:
    async with site(a_program("a")) as s, Stream(s.app, f"{A}/stream", READER) as stream:
        await asyncio.sleep(1)
        s.host.write("a", "last words")
        s.services.stopping.set()
        await stream.end()
        assert texts(stream) == ["last words"]
        assert stream.events[-1].name == "bye"
        assert stream.events[-1].retry is not None


@virtual
async def test_events_are_cut_to_size() -> None:
    async with site(a_program("a")) as s:
        s.host.write("a", *("\x01" * 4000 for _ in range(100)))
        async with Stream(s.app, f"{A}/stream", READER) as stream:
            await asyncio.sleep(1)
            sizes = [len(block) for block in stream.raw.split(b"\n\n")]
            assert len(sizes) > 5
            assert max(sizes) < LARGEST + 200
            assert len(texts(stream)) == 100


@virtual
async def test_what_a_worker_writes_cannot_break_a_frame() -> None:
    async with site(a_program("a")) as s:
        hostile = [
            "data: x",
            "\r\revent: bye",
            "a\u2028b\u2029c\x85d",
            "\x00\x1b]0;t\x07",
            "id: 1:1",
            "</script><script>",
        ]
        s.host.write("a", *hostile)
        async with Stream(s.app, f"{A}/stream", READER) as stream:
            await asyncio.sleep(1)
            assert texts(stream) == [text.rpartition("\r")[2] for text in hostile]
            assert {e.name for e in stream.events} == {"heartbeat", "run", "log"}


@virtual
async def test_a_reader_that_goes_unsubscribes() -> None:
    async with site(a_program("a")) as s:
        for how in (0, 0.001, 0.01, 1, 6):
            async with Stream(s.app, f"{A}/stream", READER):
                s.host.write("a", "x")
                await asyncio.sleep(how)
            await asyncio.sleep(0.1)
            assert watchers(s) == 0
            assert s.services.streams == 0


def watchers(s: Site) -> int:
    return len(s.host.logs._followers)


@pytest.mark.parametrize("plain", [False, True])
@virtual
async def test_a_reader_that_never_reads_is_closed(plain: bool) -> None:
    dropped: list[int] = []
    extensions = {"quarterdeck": {"uid": None, "abort": lambda: dropped.append(1)}}
    headers = {**READER, "Accept": "text/plain"} if plain else READER
    async with site(a_program("a")) as s, Stream(s.app, f"{A}/stream", headers, extensions=extensions) as stream:
        await asyncio.sleep(1)
        stream.reading.clear()
        s.host.write("a", "x")
        await asyncio.sleep(31)
        assert stream.ended
        assert dropped == [1]
        assert (watchers(s), s.services.streams) == (0, 0)
