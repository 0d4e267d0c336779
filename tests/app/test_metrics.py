"""What workers use, over HTTP: now, over time, and once a second; and nothing at all while nobody looks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.watchers.metrics import FIELDS
from app.watchers.metrics.watch import LINGER, Metrics
from tests.app.test_metrics_guard import MIB, Scales
from tests.support.asgi import Site, Stream, a_program, bearer, site
from tests.support.virtual import virtual

READER = bearer("reader")
A = "/api/v1/workers/a/metrics"
STREAM = "/api/v1/events/stream?metrics=1"


@contextlib.asynccontextmanager
async def measured(*names: str) -> AsyncIterator[tuple[Site, Scales]]:
    """A site whose workers run; a test says what they use."""
    async with site(*map(a_program, names or ("a", "b"))) as s:
        scales = Scales(s.host)
        s.services.metrics = Metrics(s.host, scales)
        s.services.metrics.listen(s.services.feed.wake)
        for name in names or ("a", "b"):
            s.host.come_up(name)
        yield s, scales


@virtual
async def test_nothing_is_sampled_while_nobody_looks() -> None:
    async with measured() as (s, scales), s.client("reader") as c:
        async with Stream(s.app, "/api/v1/events/stream", READER) as stream:
            await stream.until("heartbeat", 3)
        assert (await c.get("/api/v1/workers")).status_code == 200
        assert scales.asked == []
        assert (await c.get(A)).status_code == 200
        await asyncio.sleep(LINGER / 2)
        assert s.services.metrics.sampling
        assert set(map(tuple, scales.asked)) == {("a",)}, "whom nobody asked for is not looked at"
        await asyncio.sleep(LINGER / 2 + 3)
        assert not s.services.metrics.sampling
        assert LINGER <= len(scales.asked) <= LINGER + 3
        asked = len(scales.asked)
        await asyncio.sleep(100)
        assert (len(scales.asked), scales.closed) == (asked, 1)


@virtual
async def test_the_history_of_one_worker_with_a_gap() -> None:
    async with measured() as (s, scales), s.client("reader") as c:
        scales.memory["a"] = 5.0 * MIB
        assert set((await c.get(A)).json()["fields"]["memory"]["max"]) <= {None, 5 * MIB}
        await asyncio.sleep(5)
        scales.memory["a"] = 8.0 * MIB
        await asyncio.sleep(5)
        told = (await c.get(A)).json()
        assert set(told) == {"worker", "from", "to", "points", "step", "oldest", "now", "fields"}
        assert (told["worker"], told["points"], told["step"]) == ("a", 120, 5.0)
        assert told["now"] == {
            "worker": "a", "run": 1, "cpu": 1.5, "memory": 8 * MIB, "fds": None, "threads": None, "processes": None,
            "read": None, "written": None, "gpu": None, "gpu_memory": None,
        }  # fmt: skip
        assert set(told["fields"]) == set(FIELDS)
        memory = told["fields"]["memory"]
        assert {name: len(column) for name, column in memory.items()} == {"min": 120, "mean": 120, "max": 120}
        assert memory["min"][:117] == [None] * 117
        assert (memory["min"][-2], memory["max"][-1]) == (5 * MIB, 8 * MIB)
        assert 5 * MIB <= memory["mean"][-2] <= memory["mean"][-1] <= 8 * MIB
        assert told["fields"]["cpu"]["mean"][-2:] == [1.5, 1.5]
        assert told["fields"]["fds"]["mean"] == [None] * 120, "unknown is not 0"
        assert (await c.get(f"{A}?points=2")).json()["fields"]["memory"]["max"] == [None, 8 * MIB]
        span = f"from={told['oldest']}&to={told['to']}"
        few = (await c.get(f"{A}?{span}&points=1000")).json()
        assert few["points"] <= 11, "finer than it was sampled is empty"
        assert None not in few["fields"]["memory"]["min"]
        assert (await c.get(f"{A.replace('/a/', '/b/')}?{span}")).json()["fields"]["memory"]["min"][0] is None


@virtual
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("points=0", "bad_query"),
        ("points=1001", "bad_query"),
        ("points=x", "bad_query"),
        ("from=yesterday", "bad_query"),
        ("to=2026-11-24T12:00:00Z&from=2026-11-24T12:00:00Z", "bad_query"),
        ("to=9999-12-31T23:59:59.9999Z", "bad_query"),
        ("from=1969-12-31T23:59:59Z", "bad_query"),
    ],
)
async def test_a_bad_query_is_one_sentence(query: str, code: str) -> None:
    async with measured() as (s, scales), s.client("reader") as c:
        answer = await c.get(f"{A}?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert scales.asked == []


@virtual
async def test_who_may_and_of_whom() -> None:
    async with measured() as (s, scales), s.client() as c:
        for path in (A, "/api/v1/metrics"):
            assert (await c.get(path)).status_code == 401
        for path in ("/api/v1/workers/nobody/metrics", "/api/v1/metrics?workers=nobody"):
            assert (await c.get(path, headers=READER)).json()["code"] == "unknown_worker"
        assert (await c.get("/api/v1/events/stream?metrics=yes", headers=READER)).status_code == 400
        assert scales.asked == []


@virtual
async def test_what_all_use_now_is_one_question() -> None:
    async with measured("a", "b", "c") as (s, scales), s.client("reader") as c:
        scales.memory |= {"a": 1.0 * MIB, "b": 2.0 * MIB}
        s.host.end("c")
        told = (await c.get("/api/v1/metrics")).json()
        assert [(row["worker"], row["memory"]) for row in told["workers"]] == [("a", MIB), ("b", 2 * MIB)]
        assert [row["cpu"] for row in told["workers"]] == [1.5, 1.5], "rates take two looks"
        assert len(scales.asked) == 2
        scales.memory["b"] = 3.0 * MIB
        await asyncio.sleep(1)
        told = (await c.get("/api/v1/metrics?workers=b*")).json()
        assert [(row["worker"], row["memory"]) for row in told["workers"]] == [("b", 3 * MIB)]


@virtual
async def test_where_nothing_can_be_measured_the_answer_is_empty_and_at_once() -> None:
    async with measured() as (s, scales), s.client("reader") as c:
        scales.available = False
        told = (await c.get("/api/v1/metrics")).json()
        assert told == {"time": None, "workers": []}
        answer = await c.get(A)
        assert (answer.status_code, answer.json()["now"]) == (200, None)
        assert asyncio.get_running_loop().time() < 1


@virtual
async def test_a_stream_that_asks_gets_all_and_then_what_changed() -> None:
    async with measured() as (s, scales):
        scales.memory |= {"a": 1.0 * MIB, "b": 2.0 * MIB}
        async with Stream(s.app, STREAM, READER) as stream:
            first = await stream.until("metrics")
            assert [(row["worker"], row["memory"]) for row in first.data] == [("a", MIB), ("b", 2 * MIB)]
            assert first.id is None, "it is no event of the journal: nobody resumes after it"
            names = [event.name for event in stream.events]
            assert names.index("snapshot") < names.index("metrics")
            await stream.until("metrics", 2)
            scales.memory["b"] = 3.0 * MIB
            third = await stream.until("metrics", 3)
            assert [(row["worker"], row["memory"]) for row in third.data] == [("b", 3 * MIB)]
            assert (await stream.until("metrics", 4)).data == []
            async with Stream(s.app, STREAM, READER) as late:
                assert len((await late.until("metrics")).data) == 2, "who comes late gets all"
            async with Stream(s.app, "/api/v1/events/stream", READER) as plain:
                await plain.until("heartbeat", 2)
                assert plain.named("metrics") == []
            begin = asyncio.get_running_loop().time()
            count = len(stream.named("metrics"))
            await stream.until("metrics", count + 10)
            assert 9 <= asyncio.get_running_loop().time() - begin <= 11, "once a second"
        assert s.services.metrics.sampling
        await asyncio.sleep(3)
        assert not s.services.metrics.sampling


@virtual
async def test_a_look_that_hangs_holds_up_nothing_else() -> None:
    async with measured() as (s, scales), s.client("reader") as c:
        hangs = asyncio.Event()

        async def sample(_: Any) -> None:
            await hangs.wait()

        scales.sample = sample  # type: ignore[method-assign,assignment]
        async with Stream(s.app, STREAM, READER) as stream:
            await stream.until("heartbeat", 2)
            s.host.end("a")
            await stream.until("changed")
            assert stream.named("metrics") == []
            assert (await c.get(A)).status_code == 200
            begin = asyncio.get_running_loop().time()
            assert (await c.get("/api/v1/metrics")).json() == {"time": None, "workers": []}
            assert asyncio.get_running_loop().time() - begin <= 6
        hangs.set()


@virtual
async def test_a_look_that_fails_once_is_a_gap() -> None:
    async with measured() as (s, scales), s.client("reader") as c:
        scales.memory["a"] = 1.0 * MIB
        good = scales.sample
        await c.get(A)
        await asyncio.sleep(4)

        async def none(_: Any) -> None:
            return None

        scales.sample = none  # type: ignore[method-assign,assignment]
        await asyncio.sleep(4)
        scales.sample = good  # type: ignore[method-assign]
        scales.forget()
        await asyncio.sleep(4)
        column = (await c.get(f"{A}?points=600")).json()["fields"]["memory"]["min"][-12:]
        assert None in column[3:9]
        assert (column[2], column[-1]) == (MIB, MIB)
