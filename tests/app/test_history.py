"""What was, over HTTP: events, runs and requests of all lives of the service, and what is answered without a ledger."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from supervisor_core.journal import Journal
from supervisor_core.messages import Restart
from tests.support.asgi import ScriptedHost, Site, a_program, site

pytestmark = pytest.mark.asyncio

W = "/api/v1/workers"
WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def next_host(before: ScriptedHost, *specs: Any, **options: Any) -> ScriptedHost:
    """The host of the next life, which began a second later."""
    host = ScriptedHost(*specs, **options)
    journal = Journal(before.journal.boot + 1000, host.now)
    while (entries := host.journal.entries(journal.cursor.seq, 1)) and isinstance(entries, list):
        journal.append(entries[0].event, entries[0].time)
    host.journal = journal
    return host


async def two_lives(s: Site) -> None:
    s.host.come_up("web", 100)
    await s.host.tell(Restart("web", by="anna"))
    s.host.end("web", signal=15, reason="killed by SIGTERM")


async def back(c: httpx.AsyncClient, query: str, rows: str, key: str) -> list[Any]:
    """All rows of a route, page by page, each before `key` of the one that was asked for last."""
    pages: list[list[Any]] = []
    position = ""
    while True:
        page = (await c.get(query + position)).json()
        pages.append(page[rows])
        if not page["more"]:
            break
        position = f"&before={page[key]}"
    return [row for found in (reversed(pages) if rows == "events" else pages) for row in found]


async def test_events_of_all_lives_are_one_history_in_pages_of_both_directions(tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    async with site(a_program("web"), ledger=place) as s:
        await two_lives(s)
        async with s.client("reader") as c:
            first = (await c.get("/api/v1/events?limit=1000")).json()
            assert not first["more"]
    host = next_host(s.host, a_program("web"))
    async with site(host=host, ledger=place) as s, s.client("reader") as c:
        host.come_up("web", 200)
        every = (await c.get("/api/v1/events?limit=1000")).json()["events"]
        cursors = [event["cursor"] for event in every]
        assert cursors[: len(first["events"])] == [event["cursor"] for event in first["events"]]
        assert cursors[-1] == str(host.journal.cursor)
        assert len(set(cursors)) == len(cursors) == len(first["events"]) + host.journal.cursor.seq
        for row, before in zip(every, first["events"], strict=False):
            assert {k: v for k, v in row.items() if k != "status"} == {k: v for k, v in before.items() if k != "status"}
            if "status" in before:
                assert row["status"].items() <= before["status"].items()
        assert await back(c, "/api/v1/events?limit=3", "events", "first") == every
        start = cursors[0].split(":")[0] + ":0"
        forward: list[Any] = []
        after = start
        while True:
            page = (await c.get(f"/api/v1/events?limit=3&after={after}")).json()
            forward += page["events"]
            after = page["next"]
            if not page["more"]:
                break
        assert [row["cursor"] for row in forward] == cursors
        middle = cursors[3]
        after_it = (await c.get(f"/api/v1/events?after={middle}&before={cursors[-2]}&limit=1000")).json()
        assert [event["cursor"] for event in after_it["events"]] == cursors[4:-2]
        assert not after_it["more"]


async def test_a_cursor_of_a_life_of_which_nothing_is_kept_is_told_so(tmp_path: Path) -> None:
    async with site(a_program("web"), ledger=tmp_path / "ledger.sqlite") as s, s.client("reader") as c:
        for name in ("after", "before"):
            answer = await c.get(f"/api/v1/events?{name}=1:1")
            assert (answer.status_code, answer.json()["code"]) == (410, "expired_cursor")


async def test_runs_newest_first_with_how_they_ended(tmp_path: Path) -> None:
    async with site(a_program("web"), a_program("db"), ledger=tmp_path / "ledger.sqlite") as s, s.client("reader") as c:
        s.host.come_up("db", 90)
        await two_lives(s)
        s.host.come_up("web", 101)
        s.host.write("web", "no such table")
        s.host.end("web", code=4, reason="exit status 4")
        rows = (await c.get("/api/v1/runs")).json()["runs"]
        assert [(row["worker"], row["run"]) for row in rows] == [("web", 2), ("web", 1), ("db", 1)]
        crash, stopped, live = rows
        assert crash["exit"] == {"code": 4, "signal": None, "reason": "exit status 4"}
        assert (crash["cause"], crash["by"], crash["last_lines"], crash["pid"]) == ("crash", "", ["no such table"], 101)
        assert (stopped["cause"], stopped["by"], stopped["exit"]["signal"]) == ("person", "anna", 15)
        assert (live["ended"], live["exit"], live["cause"], live["pid"]) == (None, None, None, 90)
        for row in rows:
            assert WHEN.fullmatch(row["started"])
        assert crash["log"]["from"] <= crash["log"]["to"]
        assert await back(c, "/api/v1/runs?limit=1", "runs", "next") == rows
        assert (await c.get("/api/v1/runs?worker=db")).json()["runs"] == [live]
        assert (await c.get("/api/v1/runs?worker=db,web&limit=2")).json()["runs"] == rows[:2]


async def test_the_runs_of_a_worker_that_is_no_more_are_there_and_an_unknown_name_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    async with site(a_program("old"), ledger=place) as s:
        s.host.come_up("old")
    host = next_host(s.host, a_program("web", autostart=False))
    async with site(host=host, ledger=place) as s, s.client("reader") as c:
        (row,) = (await c.get("/api/v1/runs?worker=old")).json()["runs"]
        assert row["cause"] == "unknown"
        assert (await c.get("/api/v1/runs?worker=web")).json()["runs"] == []
        answer = await c.get("/api/v1/runs?worker=nobody")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_worker")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/v1/runs?before=x", "bad_cursor"),
        ("/api/v1/runs?limit=0", "bad_query"),
        ("/api/v1/runs?before=99999999999999999999", "bad_cursor"),
        ("/api/v1/audit?before=-1", "bad_cursor"),
    ],
)
async def test_what_cannot_be_understood(tmp_path: Path, path: str, code: str) -> None:
    async with site(a_program("web"), ledger=tmp_path / "ledger.sqlite") as s, s.client("boss") as c:
        answer = await c.get(path)
        assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_without_a_ledger_there_is_the_history_of_this_life_alone() -> None:
    async with site(a_program("web")) as s, s.client("boss") as c:
        await two_lives(s)
        assert len((await c.get("/api/v1/events")).json()["events"]) == s.host.journal.cursor.seq
        for path in ("runs", "audit"):
            answer = await c.get(f"/api/v1/{path}")
            assert (answer.status_code, answer.json()["code"]) == (503, "no_ledger")


async def test_who_asked_for_a_change_is_kept_with_what_was_answered_refusals_too(tmp_path: Path) -> None:
    async with site(a_program("web"), ledger=tmp_path / "ledger.sqlite") as s:
        s.host.come_up("web")
        async with s.client("operator") as c:
            given = (await c.post(f"{W}/web/stop?wait=0")).json()["operation"]["id"]
        async with s.client("reader") as c:
            assert (await c.post(f"{W}/web/start")).status_code == 403
            assert (await c.get("/api/v1/audit")).status_code == 403
        async with s.client("boss") as c:
            assert (await c.post(f"{W}/nobody/start")).status_code == 404
            rows = (await c.get("/api/v1/audit")).json()["requests"]
        assert [(row["who"], row["what"], row["status"]) for row in rows] == [
            ("boss", "POST /api/v1/workers/nobody/start", 404),
            ("reader", "POST /api/v1/workers/web/start", 403),
            ("operator", "POST /api/v1/workers/web/stop", 202),
        ]
        assert (rows[2]["operation"], rows[2]["from"], rows[2]["how"]) == (given, "127.0.0.1", "token")
