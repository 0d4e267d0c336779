"""The routes that read: shapes, filters, the printed contract; and who asks, as `whoami` says it."""

import json
from pathlib import Path

import orjson
import pytest

from app.times import Planned
from app.web import wire
from app.web.api import ROUTES
from app.web.contract import openapi, routes_in_words
from app.web.query import BadQuery, parse
from app.web.select import NAME
from supervisor_core.messages import Shutdown
from supervisor_core.model import Hooks, Probe
from supervisor_core.probes import Finding
from supervisor_core.search import Query, plain
from tests.support.asgi import a_program, bearer, site
from tests.support.virtual import virtual

STATUS = {
    "name", "state", "health", "wanted", "run", "pid", "since", "deadline", "version", "blocked_on", "waiting_for",
    "failures", "restarts", "last_exit", "requires", "dependents", "ready", "restarting", "origin", "enabled", "log",
    "labels", "links",
}  # fmt: skip
"""What the contract promises of a Status."""


@virtual
async def test_list_and_one() -> None:
    web = a_program("web", "db", environment={"SECRET": "canary"}, labels={"tier": "front"}, links={"UI": "http://x/"})
    async with site(a_program("db"), web) as s, s.client("reader") as c:
        s.host.end("db", code=3, reason="out of luck")
        answer = await c.get("/api/v1/workers")
        told = answer.json()
        assert answer.status_code == 200
        assert (told["host"], told["cursor"]) == ("testhost", str(s.host.journal.cursor))
        db, web_row = told["workers"]
        assert set(db) >= STATUS
        assert (db["state"], db["pid"], db["failures"], db["dependents"]) == ("failed", None, 1, ["web"])
        assert db["last_exit"] | {"at": 0, "log": 0} == {
            "run": 1, "code": 3, "signal": None, "reason": "out of luck", "at": 0, "by": "", "log": 0,
        }  # fmt: skip
        assert web_row["blocked_on"][0] | {"why": ""} == {"worker": "db", "condition": "ready", "why": ""}
        assert (web_row["labels"], web_row["links"]) == ({"tier": "front"}, {"UI": "http://x/"})
        assert db["since"].endswith("Z")
        assert len(db["since"]) == len("2026-11-24T06:00:00.000Z")

        one = (await c.get("/api/v1/workers/web")).json()
        assert one["spec"]["command"] == ["/bin/web", "--fast"]
        assert one["spec"]["environment"] == ["SECRET"]
        assert "canary" not in json.dumps(one)
        del one["spec"]
        assert (one.pop("probes"), one.pop("said")) == ([], None)
        assert one == web_row


@virtual
async def test_the_detail_has_what_probes_found_and_the_list_has_not() -> None:
    ready = Probe("http", "http://127.0.0.1:1/", headers={"Authorization": "canary"}, status=frozenset({204, 200}))
    hooks = Hooks(before_start=("prepare",), timeout=5.0)
    async with site(a_program("web", ready=ready, ready_probe=True, hooks=hooks)) as s, s.client("reader") as c:
        s.host.findings.put("web", Finding("ready", 1, "http http://127.0.0.1:1/", False, "status 500", 5.0, 3))
        s.host.findings.put("web", Finding("alive", 0, "of an earlier run", True, "", 4.0))
        s.host.findings.say("web", 1, "2 of 3", 6.0)
        cursor = s.host.journal.cursor
        told = (await c.get("/api/v1/workers/web")).json()
        assert told["probes"] == [
            {
                "role": "ready", "probe": "http http://127.0.0.1:1/", "good": False, "output": "status 500",
                "at": "1970-01-01T00:00:05.000Z", "in_a_row": 3,
            }
        ]  # fmt: skip
        assert told["said"] == {"text": "2 of 3", "at": "1970-01-01T00:00:06.000Z"}
        spec = told["spec"]
        assert spec["ready"] == {
            "kind": "http", "target": "http://127.0.0.1:1/", "initial_delay": 0.0, "period": 10.0, "timeout": 1.0,
            "success_threshold": 1, "failure_threshold": 3, "headers": ["Authorization"], "status": [200, 204],
        }  # fmt: skip
        assert (spec["alive"], spec["before_start"], spec["hook_timeout"]) == (None, ["prepare"], 5.0)
        assert "canary" not in json.dumps(told)
        assert s.host.journal.cursor == cursor
        (listed,) = (await c.get("/api/v1/workers")).json()["workers"]
        assert "probes" not in listed


@virtual
async def test_version_is_the_cursor_of_the_event_that_made_it() -> None:
    async with site(a_program("a"), a_program("b")) as s, s.client("reader") as c:
        s.host.come_up("a")
        rows = {w["name"]: w["version"] for w in (await c.get("/api/v1/workers")).json()["workers"]}
        events = (await c.get("/api/v1/events")).json()["events"]
        for name, version in rows.items():
            assert version == [e["cursor"] for e in events if e.get("worker") == name][-1]


@virtual
async def test_a_row_is_encoded_anew_only_when_it_changed() -> None:
    async with site(a_program("a"), a_program("b")) as s, s.client("reader") as c:
        first = (await c.get("/api/v1/workers")).json()["workers"]
        before = {name: s.services.rows.row(s.host.snapshot().workers[name], s.host.journal.boot) for name in "ab"}
        s.host.come_up("a")
        second = (await c.get("/api/v1/workers")).json()["workers"]
        after = {name: s.services.rows.row(s.host.snapshot().workers[name], s.host.journal.boot) for name in "ab"}
        assert after["b"] is before["b"]
        assert second[1] == first[1]
        assert (first[0]["state"], second[0]["state"]) == ("starting", "running")


@virtual
async def test_polling_costs_nothing_while_nothing_changes() -> None:
    async with site(a_program("a")) as s, s.client("reader") as c:
        tag = (await c.get("/api/v1/workers")).headers["etag"]
        assert (await c.get("/api/v1/workers", headers={"If-None-Match": tag})).status_code == 304
        s.host.come_up("a")
        assert (await c.get("/api/v1/workers", headers={"If-None-Match": tag})).status_code == 200


@virtual
async def test_what_is_planned_is_in_the_row_and_renews_it_without_an_event() -> None:
    async with site(a_program("a"), a_program("b")) as s, s.client("reader") as c:
        first = await c.get("/api/v1/workers")
        assert [row["schedule"] for row in first.json()["workers"]] == [None, None]
        s.services.rows.schedules = {"a": Planned(1_763_950_060.0, None, "every 1m")}
        s.services.rows.renew("a")
        again = await c.get("/api/v1/workers", headers={"If-None-Match": first.headers["etag"]})
        told = {"next": "2025-11-24T02:07:40.000Z", "last": None, "rule": "every 1m"}
        assert [row["schedule"] for row in again.json()["workers"]] == [told, None]
        assert (await c.get("/api/v1/workers/a")).json()["schedule"] == told
        _, snapshot = s.services.feed.snapshot()
        assert b"every 1m" in snapshot
        s.services.rows.renew("a")
        assert s.services.feed.snapshot()[1] is not snapshot


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["api", "db", "web"]),
        ("?state=running", ["db"]),
        ("?state=running&state=blocked", ["api", "db"]),
        ("?state=running,blocked", ["api", "db"]),
        ("?state=none", []),
        ("?q=B", ["db", "web"]),
        ("?q=nothing", []),
        ("?label=tier=front", ["web"]),
        ("?label=tier=front&label=tier=back", []),
        ("?group=shop", ["db", "web"]),
        ("?group=shop&state=starting", ["web"]),
    ],
)
def test_filters(query: str, names: list[str]) -> None:
    @virtual
    async def check() -> None:
        specs = (
            a_program("db"),
            a_program("web", labels={"tier": "front"}),
            a_program("api", "web"),
        )
        async with site(*specs, groups={"shop": frozenset({"web", "db"})}) as s, s.client("reader") as c:
            s.host.come_up("db")
            told = (await c.get(f"/api/v1/workers{query}")).json()
            assert [w["name"] for w in told["workers"]] == names

    check()


@virtual
async def test_health_needs_nothing_and_skips_the_host_check() -> None:
    async with site() as s, s.client() as c:
        foreign = {"Host": "evil.example", "Authorization": "Bearer wrong"}
        assert (await c.get("/healthz", headers=foreign)).json() == {"status": "ok"}
        assert (await c.get("/readyz", headers=foreign)).status_code == 200
        s.services.applied.clear()
        assert (await c.get("/readyz")).status_code == 503
        assert (await c.get("/healthz")).status_code == 200


@virtual
async def test_whoami() -> None:
    async with site() as s, s.client() as c:
        assert (await c.get("/api/v1/whoami")).json()["scope"] == "none"
        told = (await c.get("/api/v1/whoami", headers=bearer("operator"))).json()
        assert (told["who"], told["scope"], told["how"]) == ("operator", "operate", "token")
        assert told["instance"] == s.services.settings.instance
        told = (await c.get("/api/v1/whoami", headers=s.owner)).json()
        assert (told["who"], told["scope"]) == ("owner", "admin")


@virtual
async def test_events_are_paged_by_cursor() -> None:
    async with site(*(a_program(f"w{i}") for i in range(5))) as s, s.client("reader") as c:
        for i in range(5):
            s.host.come_up(f"w{i}")
        everything = (await c.get("/api/v1/events?limit=1000")).json()["events"]
        assert [e["cursor"] for e in everything] == [
            f"{s.host.journal.boot}:{n}" for n in range(1, len(everything) + 1)
        ]
        assert {e["event"] for e in everything} == {"changed", "phase"}
        assert everything[0] | {"status": 0} == {
            "cursor": everything[0]["cursor"], "time": everything[0]["time"], "by": "config", "event": "changed",
            "worker": "w0", "state": "blocked", "run": 0, "causes": everything[0]["causes"], "status": 0, "why": None,
        }  # fmt: skip
        seen, after = [], f"{s.host.journal.boot}:0"
        while True:
            page = (await c.get(f"/api/v1/events?limit=4&after={after}")).json()
            seen += page["events"]
            after = page["next"]
            if not page["more"]:
                break
        assert seen == everything
        back, before = [], ""
        while True:
            page = (await c.get(f"/api/v1/events?limit=4&before={before}")).json()
            back = page["events"] + back
            before = page["first"]
            if not page["more"]:
                break
        assert back == everything


@virtual
async def test_events_of_another_boot_are_gone() -> None:
    async with site(a_program("a")) as s, s.client("reader") as c:
        answer = await c.get("/api/v1/events?after=1:1")
        assert (answer.status_code, answer.json()["code"]) == (410, "expired_cursor")


@virtual
async def test_events_that_the_ring_has_dropped() -> None:
    async with site(a_program("a"), host=None) as s:
        s.host.journal._ring = type(s.host.journal._ring)(s.host.journal._ring, maxlen=4)
        for _ in range(3):
            s.host.come_up("a")
            s.host.end("a")
            await s.services.operations.give("start", "a")
        async with s.client("reader") as c:
            told = (await c.get(f"/api/v1/events?after={s.host.journal.boot}:1")).json()
            assert len(told["events"]) == 4
            assert told["next"] == str(s.host.journal.cursor)


def test_the_printed_contract_has_every_route() -> None:
    document = orjson.loads(openapi(ROUTES, "/jobs", "1.2.3"))
    assert document["servers"] == [{"url": "/jobs/"}]
    printed = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert printed == {(route.method, route.path) for route in ROUTES}
    for path, methods in document["paths"].items():
        for told in methods.values():
            names = {p["name"] for p in told["parameters"] if p["in"] == "path"}
            assert names == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def test_the_page_of_the_docs_has_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
    assert routes_in_words(ROUTES) in page, "print it with app.web.contract.routes_in_words(ROUTES)"


@virtual
async def test_docs_need_nothing_from_outside() -> None:
    async with site() as s, s.client("reader") as c:
        page = await c.get("/docs")
        assert page.status_code == 200
        assert "script" not in page.text
        assert "http" not in page.text.replace("http error", "")
        assert (await c.get("/openapi.json")).json()["openapi"] == "3.1.0"


@virtual
async def test_shutdown_is_for_admins_and_answers_at_once() -> None:
    async with site(a_program("a")) as s:
        s.host.come_up("a")
        async with s.client("boss") as c:
            answer = await c.post("/api/v1/shutdown")
            assert (answer.status_code, answer.json()) == (202, {"phase": "leaving"})
            assert s.host.told[-1] == Shutdown(by="boss")
            refused = await c.post("/api/v1/workers/a/start")
            assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")
            assert (await c.get("/readyz")).status_code == 503


@virtual
async def test_login_links_come_with_a_path_and_where_known_a_url() -> None:
    async with site() as s, s.client("boss") as c:
        told = (await c.post("/api/v1/login-links")).json()
        assert told["url"] is None
        assert told["path"] == f"/login?code={told['code']}"
        s.services.credentials.login_link("http://127.0.0.1:7440")
        assert (await c.post("/api/v1/login-links")).json()["url"].startswith("http://127.0.0.1:7440/login?code=")
    async with site(public_url="https://a.example/jobs", root_path="/jobs") as s, s.client("boss") as c:
        told = (await c.post("/api/v1/login-links")).json()
        assert told["url"] == f"https://a.example/jobs/login?code={told['code']}"


@pytest.mark.parametrize(
    ("query", "text", "found"),
    [
        ("", "anything", None),
        ("   ", "anything", None),
        ("error", "an ERROR here", True),
        ("Error disk", "disk error", True),
        ("error disk", "error only", False),
        ('"disk full"', "the Disk full again", True),
        ('"disk full"', "full disk", False),
        ("-debug", "debug: x", False),
        ("-debug", "info: x", True),
        ('error -"not found"', "error: not found", False),
        ("red", "\x1b[31mr\x1b[0med", True),
        ('"a:b"', "xa:bx", True),
        ("10:30", "at 10:30", True),
        ("ÄRGER", "ärger", True),
    ],
)
def test_the_filter(query: str, text: str, found: bool | None) -> None:
    asked = parse(query)
    assert asked == Query() if found is None else asked.accepts(plain(text)) is found


@pytest.mark.parametrize("query", ['"open', 'a"b', "level:error", "status>=500", "a OR b", "(a", "x" * 1001])
def test_the_larger_grammar_is_refused(query: str) -> None:
    with pytest.raises(BadQuery):
        parse(query)


def test_plain_leaves_out_escapes() -> None:
    assert plain("\x1b]0;title\x07a\x1b[1;31mb\x1b[Kc\x1bMd") == "abcd"


@pytest.mark.parametrize("name", ["a", "web-1", "a.b", "A_1", "p[0]", "p[12][3]", "p.child", "a" * 63])
def test_names(name: str) -> None:
    assert NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "a b", "a/b", "a\n", "a\0", "p[]", "p[x]", "a" * 64, "ä", 'a"'])
def test_no_names(name: str) -> None:
    assert not NAME.fullmatch(name)


def test_times_are_rfc_3339_with_milliseconds() -> None:
    assert wire.when(0) == "1970-01-01T00:00:00.000Z"
    assert wire.when(1763950000.9996) == "2025-11-24T02:06:41.000Z"
    assert wire.when(1763950000.0015) in ("2025-11-24T02:06:40.001Z", "2025-11-24T02:06:40.002Z")
