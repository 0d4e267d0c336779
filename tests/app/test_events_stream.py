"""The stream of events: snapshot, changes, resuming by cursor, gaps, heartbeats, good-bye; slow and gone readers."""

import asyncio
import itertools
from typing import Any

import pytest

from app.web.feed import CROWD, FLUSH, LARGEST
from supervisor_core.messages import Add, Remove, Shutdown
from tests.support.asgi import ScriptedHost, Site, Stream, a_program, bearer, site
from tests.support.virtual import virtual

PATH = "/api/v1/events/stream"
READER = bearer("reader")


def states(stream: Stream) -> list[tuple[str, str]]:
    return [(c["status"]["name"], c["status"]["state"]) for e in stream.named("changed") for c in e.data]


def versions(stream: Stream) -> list[int]:
    return [int(c["status"]["version"].split(":")[1]) for e in stream.named("changed") for c in e.data]


@virtual
async def test_hello_then_a_snapshot_then_what_changes() -> None:
    async with site(a_program("db"), a_program("web", "db")) as s, Stream(s.app, PATH, READER) as stream:
        snapshot = await stream.until("snapshot")
        hello = stream.events[0]
        assert (hello.name, hello.data["boot"]) == ("hello", str(s.host.journal.boot))
        assert {"version", "time"} <= set(hello.data)
        assert hello.retry is not None
        assert snapshot.id == snapshot.data["cursor"] == str(s.host.journal.cursor)
        assert [w["name"] for w in snapshot.data["workers"]] == ["db", "web"]
        s.host.come_up("db", 42)
        changed = await stream.until("changed")
        assert changed.id == str(s.host.journal.cursor)
        first = changed.data[0]
        assert (first["status"]["name"], first["status"]["pid"], first["causes"], first["by"]) == (
            "db",
            42,
            ["spawned"],
            "",
        )
        await s.host.tell(Add(a_program("new"), by="me"))
        await s.host.tell(Remove("web", by="me"))
        s.host.end("web")
        removed = await stream.until("removed")
        assert removed.data == {"name": "web", "by": ""}
        await s.host.tell(Shutdown(by="boss"))
        assert (await stream.until("phase")).data == {"phase": "leaving", "by": "boss"}
        assert versions(stream) == sorted(set(versions(stream)))


@virtual
async def test_headers() -> None:
    async with site() as s, Stream(s.app, PATH, READER) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"


@virtual
async def test_the_first_change_goes_at_once_and_then_every_50_ms() -> None:
    async with site(a_program("a")) as s, Stream(s.app, PATH, READER) as stream:
        await stream.until("snapshot")
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        begin, count = loop.time(), len(stream.pieces)
        while loop.time() < begin + 0.5:
            s.host.come_up("a")
            s.host.end("a")
            await s.services.operations.give("start", "a")
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.2)
        times = [time - begin for time in stream.times[count:]]
        flushes = sorted(
            {round(time, 3) for time, piece in zip(times, stream.pieces[count:], strict=True) if b"changed" in piece}
        )
        assert flushes[0] == 0
        assert min(b - a for a, b in itertools.pairwise(flushes)) >= FLUSH - 0.001
        assert max(b - a for a, b in itertools.pairwise(flushes)) <= FLUSH + 0.006
        assert versions(stream) == sorted(set(versions(stream)))
        assert versions(stream)[-1] == s.host.journal.cursor.seq


@virtual
async def test_all_readers_share_the_same_bytes() -> None:
    async with site(a_program("a")) as s, Stream(s.app, PATH, READER) as one, Stream(s.app, PATH, READER) as two:
        await one.until("snapshot")
        await two.until("snapshot")
        s.host.come_up("a")
        await one.until("changed")
        await two.until("changed")
        assert one.pieces[-1] is two.pieces[-1]


@virtual
async def test_who_joins_between_two_flushes_gets_the_rest_of_the_next_one() -> None:
    async with site(a_program("a"), a_program("b")) as s, Stream(s.app, PATH, READER) as one:
        await one.until("snapshot")
        s.host.come_up("a")
        await one.until("changed")
        await asyncio.sleep(0.01)
        s.host.come_up("b")
        seen = s.host.journal.cursor.seq
        async with (
            Stream(s.app, PATH, READER) as two,
            Stream(s.app, f"{PATH}?after={s.host.journal.cursor}", READER) as three,
        ):
            await two.until("snapshot")
            s.host.end("a")
            await asyncio.sleep(1)
            for stream in (two, three):
                assert versions(stream) == list(range(seen + 1, s.host.journal.cursor.seq + 1))
            assert versions(one)[-1] == s.host.journal.cursor.seq


@virtual
async def test_heartbeats_every_5_s_with_the_time_of_the_server() -> None:
    async with site() as s, Stream(s.app, PATH, READER) as stream:
        await asyncio.sleep(21)
        beats = stream.named("heartbeat")
        assert len(beats) == 4
        assert all(beat.data["time"].endswith("Z") and beat.id is None for beat in beats)


@virtual
async def test_nothing_happens_while_nobody_reads() -> None:
    async with site(a_program("a")) as s:
        async with Stream(s.app, PATH, READER) as stream:
            await stream.until("snapshot")
        s.host.come_up("a")
        await asyncio.sleep(1)
        assert not s.services.feed._pieces
        async with Stream(s.app, PATH, READER) as stream:
            assert (await stream.until("snapshot")).data["workers"][0]["state"] == "running"


# ---------------------------------------------------------------- cursors


def cursors(s: Site) -> dict[str, str]:
    boot, seq = s.host.journal.boot, s.host.journal.cursor.seq
    return {
        "kept": f"{boot}:{seq - 2}",
        "now": f"{boot}:{seq}",
        "future": f"{boot}:{seq + 1}",
        "far future": f"{boot}:{10**18}",
        "older boot": f"{boot - 1}:{seq}",
        "newer boot": f"{boot + 1}:1",
        "expired": f"{boot}:1",
        "zero": f"{boot}:0",
    }


CASES: list[tuple[str, str]] = [
    ("kept", ""),
    ("now", ""),
    ("future", "from the future"),
    ("far future", "from the future"),
    ("older boot", "another boot"),
    ("newer boot", "another boot"),
    ("expired", "expired"),
    ("zero", "expired"),
]


@pytest.mark.parametrize("where", ["header", "query", "both"])
@pytest.mark.parametrize(("which", "why"), CASES)
def test_cursors(which: str, why: str, where: str) -> None:
    @virtual
    async def check() -> None:
        host = ScriptedHost(a_program("a"), a_program("b"), capacity=5)
        async with site(host=host) as s:
            for _ in range(3):
                host.come_up("a")
                host.end("a")
                await s.services.operations.give("start", "a")
            cursor = cursors(s)[which]
            headers = {**READER, **({} if where == "query" else {"Last-Event-ID": cursor})}
            query = {"header": "", "query": f"?after={cursor}", "both": f"?after={host.journal.boot}:1"}[where]
            async with Stream(s.app, PATH + query, headers) as stream:
                await stream.until("hello")
                if why:
                    resync = await stream.until("resync")
                    assert resync.data["why"] == why
                    await stream.until("snapshot")
                    assert [e.name for e in stream.events] == ["hello", "resync", "snapshot"]
                else:
                    if which == "kept":
                        await stream.until("changed")
                        assert versions(stream) == [host.journal.cursor.seq - 1, host.journal.cursor.seq]
                    assert not stream.named("snapshot")
                seq = host.journal.cursor.seq
                host.come_up("b")
                await stream.until("changed", len(stream.named("changed")) + 1)
                await asyncio.sleep(0.2)
                assert [v for v in versions(stream) if v > seq] == list(range(seq + 1, host.journal.cursor.seq + 1))

    check()


@pytest.mark.parametrize("header", ["", None])
@virtual
async def test_no_cursor(header: str | None) -> None:
    async with site() as s:
        headers = {**READER, **({} if header is None else {"Last-Event-ID": header})}
        async with Stream(s.app, PATH, headers) as stream:
            await stream.until("snapshot")
            assert not stream.named("resync")


@virtual
async def test_cut_anywhere_and_resumed_it_is_the_whole_story() -> None:
    async with site(a_program("a"), a_program("b", "a")) as s:
        cursor, story = str(s.host.journal.cursor), []
        start = s.host.journal.cursor.seq
        for cut in range(25):
            async with Stream(s.app, f"{PATH}?after={cursor}", READER) as stream:
                await stream.until("hello")
                s.host.come_up("a", 1000 + cut)
                await asyncio.sleep(0.013 * (cut % 7))
                s.host.end("a")
                await s.services.operations.give("start", "a")
                for _ in range(cut % 5):
                    await asyncio.sleep(0)
            got = versions(stream)
            story += got
            cursor = next((e.id for e in reversed(stream.events) if e.id), cursor)
        async with Stream(s.app, f"{PATH}?after={cursor}", READER) as stream:
            await asyncio.sleep(1)
            story += versions(stream)
        assert story == list(range(start + 1, s.host.journal.cursor.seq + 1))


# ---------------------------------------------------------------- storms and slow readers


@virtual
async def test_a_storm_is_joined_and_never_loses_the_last_state() -> None:
    async with site(a_program("a"), a_program("b")) as s, Stream(s.app, PATH, READER) as stream:
        await stream.until("snapshot")
        s.host.come_up("b")
        await stream.until("changed")
        for _ in range(CROWD):
            s.host.come_up("a")
            s.host.end("a")
            await s.services.operations.give("start", "a")
        s.host.come_up("a")
        await asyncio.sleep(1)
        last = {c["status"]["name"]: c for e in stream.named("changed") for c in e.data}
        assert last["a"]["status"]["version"] == str(s.host.journal.cursor)
        assert len(versions(stream)) < CROWD
        assert versions(stream) == sorted(set(versions(stream)))
        joined = max((c for e in stream.named("changed") for c in e.data), key=lambda c: len(c["causes"]))
        assert {"spawned", "ready"} <= set(joined["causes"])


@virtual
async def test_an_event_is_never_larger_than_it_may_be() -> None:
    specs = [a_program(f"w{i}", description="x" * 5000) for i in range(120)]
    async with site(*specs) as s, Stream(s.app, PATH, READER) as stream:
        await stream.until("snapshot")
        for i in range(120):
            s.host.come_up(f"w{i}")
        await asyncio.sleep(1)
        sizes = [len(block) for piece in stream.pieces for block in piece.split(b"\n\n") if b"event: changed" in block]
        assert len(sizes) > 3
        assert max(sizes) < LARGEST + 200
        assert len(versions(stream)) == 240


@virtual
async def test_a_slow_reader_gets_a_gap_and_a_snapshot() -> None:
    host = ScriptedHost(a_program("a"), capacity=20)
    async with site(host=host) as s, Stream(s.app, PATH, READER) as stream:
        await stream.until("snapshot")
        stream.reading.clear()
        for _ in range(30):
            host.come_up("a")
            host.end("a")
            await s.services.operations.give("start", "a")
            await asyncio.sleep(0.06)
        for _ in range(100):
            host.come_up("a")
            host.end("a")
            await s.services.operations.give("start", "a")
            await asyncio.sleep(0.06)
        stream.reading.set()
        await asyncio.sleep(1)
        names = [e.name for e in stream.events if e.name in ("gap", "snapshot")]
        assert names == ["snapshot", "gap", "snapshot"]
        gap = stream.named("gap")[0].data
        snapshot = stream.named("snapshot")[1]
        assert int(gap["to"].split(":")[1]) - int(gap["from"].split(":")[1]) + 1 == gap["count"]
        assert snapshot.data["workers"][0]["version"] == str(host.journal.cursor)
        host.come_up("a")
        await asyncio.sleep(1)
        assert versions(stream)[-1] == host.journal.cursor.seq


@virtual
async def test_a_reader_that_never_reads_is_closed() -> None:
    dropped: list[float] = []
    loop = asyncio.get_running_loop()
    extensions = {"quarterdeck": {"uid": None, "abort": lambda: dropped.append(loop.time())}}
    async with site(a_program("a")) as s, Stream(s.app, PATH, READER, extensions=extensions) as stream:
        await stream.until("snapshot")
        stream.reading.clear()
        s.host.come_up("a")
        begin = loop.time()
        await asyncio.sleep(40)
        assert stream.ended
        assert [round(at - begin) for at in dropped] == [30]
        assert (s.services.streams, s.services.feed._readers) == (0, 0)


@pytest.mark.parametrize("moment", ["at once", "after hello", "while waiting", "while sending"])
@virtual
async def test_a_client_that_goes_leaves_nothing_behind(moment: str) -> None:
    async with site(a_program("a")) as s:
        before = len(asyncio.all_tasks())
        for _ in range(20):
            async with Stream(s.app, PATH, READER) as stream:
                if moment != "at once":
                    await stream.until("snapshot")
                if moment == "while waiting":
                    await asyncio.sleep(7)
                if moment == "while sending":
                    stream.reading.clear()
                    s.host.come_up("a")
                    await asyncio.sleep(0.1)
                    s.host.end("a")
                    await s.services.operations.give("start", "a")
            await asyncio.sleep(0)
            assert s.services.streams == 0
        await asyncio.sleep(0.1)
        assert s.services.feed._readers == 0
        assert len(asyncio.all_tasks()) <= before + 3, "feed, its end, operations"


@virtual
async def test_only_so_many_streams() -> None:
    async with site(a_program("a"), streams=2) as s, s.client("reader") as c, Stream(s.app, PATH, READER):
        async with Stream(s.app, "/api/v1/logs/stream", READER):
            for path in (PATH, "/api/v1/logs/stream", "/api/v1/workers/a/logs/stream"):
                told = await c.get(path)
                assert (told.status_code, told.json()["code"]) == (503, "too_many_streams")
                assert told.headers["retry-after"] == "10"
        async with Stream(s.app, PATH, READER) as stream:
            assert stream.status == 200


@virtual
async def test_head_opens_no_stream() -> None:
    async with site() as s, s.client("reader") as c:
        assert (await c.head(PATH)).status_code == 200
        assert s.services.streams == 0


@pytest.mark.parametrize("how", ["stopping", "closed"])
@virtual
async def test_bye_when_the_service_leaves(how: str) -> None:
    async with site(a_program("a")) as s, Stream(s.app, PATH, READER) as stream:
        await stream.until("snapshot")
        s.host.come_up("a")
        await asyncio.sleep(0)
        if how == "closed":
            s.host.journal.close()
        else:
            await asyncio.sleep(0.01)
            s.services.stopping.set()
        await stream.end()
        assert [e.name for e in stream.events] == ["hello", "snapshot", "changed", "bye"]
        bye: Any = stream.events[-1]
        assert 1000 <= bye.retry <= 3000


@virtual
async def test_neighbours_come_back_at_different_times() -> None:
    async with site() as s:
        streams = [Stream(s.app, PATH, READER) for _ in range(10)]
        for stream in streams:
            await stream.__aenter__()
            await stream.until("hello")
        s.services.stopping.set()
        for stream in streams:
            await stream.end()
        for which in (0, -1):
            assert len({stream.events[which].retry for stream in streams}) == 10
        for stream in streams:
            await stream.__aexit__()
