"""Numbers of lines over time, over HTTP."""

import asyncio
import threading
from datetime import datetime, timedelta

import pytest

from app.web import histogram as histogram_module
from supervisor_core.lines import Histogram
from tests.support.asgi import Site, a_program, site
from tests.support.virtual import virtual

A = "/api/v1/workers/a/logs/histogram"
ALL = "/api/v1/logs/histogram"


async def write_for_ten_seconds(s: Site) -> None:
    """One line a second of each, from the first second on; every third of `a` goes to `err`."""
    for i in range(10):
        s.host.write("a", f"line {i}", stream="out" if i % 3 else "err")
        s.host.write("b", f"line {i}")
        await asyncio.sleep(1)


def moment(told: dict, name: str) -> datetime:
    return datetime.fromisoformat(told[name])


@virtual
async def test_one_worker_and_many() -> None:
    async with site(a_program("a"), a_program("b")) as s, s.client("reader") as c:
        nothing = (await c.get(ALL)).json()
        assert (nothing["lines"], nothing["oldest"], nothing["exact"]) == ([0] * 120, None, True)
        await write_for_ten_seconds(s)
        told = (await c.get(A)).json()
        assert set(told) == {"from", "to", "buckets", "lines", "errors", "exact", "oldest"}
        assert len(told["lines"]) == len(told["errors"]) == told["buckets"] == 120
        assert moment(told, "to") - moment(told, "from") == timedelta(hours=1)
        assert told["lines"][-1] == sum(told["lines"]) == 10
        assert told["errors"][-1] == sum(told["errors"]) == 4
        begin = told["oldest"]
        end = (moment(told, "oldest") + timedelta(seconds=10)).isoformat()
        span = f"from={begin}&to={end}&buckets=5"
        assert (await c.get(f"{A}?{span}")).json()["lines"] == [2] * 5
        assert (await c.get(f"{A}?{span}")).json()["errors"] == [1, 1, 0, 1, 1]
        assert (await c.get(f"{A}?{span}&stream=err")).json()["lines"] == [1, 1, 0, 1, 1]
        assert (await c.get(f"{A}?{span}&stream=out")).json()["errors"] == [0] * 5
        assert (await c.get(f"{ALL}?{span}")).json()["lines"] == [4] * 5
        assert (await c.get(f"{ALL}?{span}&workers=b*")).json()["errors"] == [0] * 5


@virtual
async def test_an_estimate_is_called_one() -> None:
    async with site(a_program("a")) as s, s.client("reader") as c:
        s.host.logs.histogram = lambda *_: Histogram((5,), (0,), exact=False)  # type: ignore[method-assign]
        assert (await c.get(f"{A}?buckets=1")).json()["exact"] is False


@virtual
async def test_too_much_at_once_is_refused_with_what_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histogram_module, "WORK", 100)
    async with site(a_program("a"), a_program("b")) as s, s.client("reader") as c:
        told = await c.get(ALL)
        assert (told.status_code, told.json()["code"]) == (400, "bad_query")
        assert "ask for 50 buckets" in told.json()["detail"]
        assert (await c.get(f"{ALL}?buckets=50")).status_code == 200


@virtual
@pytest.mark.parametrize("end", ["9999-12-31T23:59:59.9999Z", "9999-12-31T23:59:59-12:00"])
async def test_a_moment_that_no_calendar_has_is_refused_and_nothing_breaks(end: str) -> None:
    async with site(a_program("a")) as s, s.client("reader") as c:
        told = await c.get(A, params={"to": end})
        assert (told.status_code, told.json()["code"]) == (400, "bad_query")


@virtual
async def test_however_many_ask_few_are_counted_at_once() -> None:
    async with site(a_program("a")) as s, s.client("reader") as c:
        counting, most, lock = 0, 0, threading.Lock()

        def count(*_: object) -> Histogram:
            nonlocal counting, most
            with lock:
                counting += 1
                most = max(most, counting)
            go.wait(10)
            with lock:
                counting -= 1
            return Histogram((5,), (0,))

        s.host.logs.histogram = count  # type: ignore[method-assign]
        go = threading.Event()
        asking = [asyncio.create_task(c.get(f"{A}?buckets=1")) for _ in range(8)]
        for _ in range(100):
            await asyncio.sleep(0)
        go.set()
        answers = await asyncio.gather(*asking)
        assert [answer.json()["lines"] for answer in answers] == [[5]] * 8
        assert most <= 2
