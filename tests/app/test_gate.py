"""The gate over all routes: scopes, what every answer carries, and living under a path."""

from typing import Any

import httpx
import pytest

from app.web.api import ROUTES
from app.web.origin import address_of, host_name
from app.web.routes import PAGES, SCOPES, Rule, Table, allows
from tests.support.asgi import Site, Stream, a_program, bearer, client, site
from tests.support.virtual import virtual

W = "/api/v1/workers"
WHO = {"none": "", "read": "reader", "operate": "operator", "admin": "boss"}
API = [route for route in ROUTES if route.path not in ("/healthz", "/readyz")]
STREAMS = {route.path for route in ROUTES if route.path.endswith("/stream")}

ALWAYS = {
    "content-security-policy": "default-src 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def example(path: str) -> str:
    return path.replace("{name}", "a").replace("{id}", "op-x").replace("{version}", "v").replace("{path:path}", "x.css")


async def ask(s: Site, method: str, path: str, headers: dict[str, str]) -> tuple[int, httpx.Headers, Any]:
    """One request; a stream is opened and left."""
    if path.split("?")[0] in {example(stream) for stream in STREAMS}:
        async with Stream(s.app, path, headers, method=method) as stream:
            if stream.status == 200:
                return 200, httpx.Headers(stream.headers), None
            await stream.end()
            return (
                stream.status,
                httpx.Headers(stream.headers),
                httpx.Response(stream.status, headers=stream.headers, content=stream.raw),
            )
    async with client(s.app, headers) as c:
        answer = await c.request(method, path)
        return answer.status_code, answer.headers, answer


# ---------------------------------------------------------------- scopes: a grid made from the tables


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("route", API, ids=lambda r: f"{r.method} {r.path}")
def test_every_route_asks_for_its_scope(route: Rule, scope: str) -> None:
    @virtual
    async def check() -> None:
        async with site(a_program("a")) as s:
            before = s.host.journal.cursor
            headers = bearer(WHO[scope]) if WHO[scope] else {}
            status, _, answer = await ask(
                s, route.method, example(route.path) + ("?wait=0" * (route.method == "POST")), headers
            )
            if allows(scope, route.scope):
                assert status not in (401, 403)
                return
            assert status == (401 if scope == "none" else 403)
            assert answer.json()["code"] == ("unauthorized" if scope == "none" else "forbidden")
            assert set(answer.json()) == {"type", "title", "status", "code", "detail"}
            assert answer.headers["content-type"] == "application/problem+json"
            assert ("www-authenticate" in answer.headers) is (scope == "none")
            assert s.host.journal.cursor == before

    check()


@pytest.mark.parametrize("rule", [r for r in PAGES if r.scope != "none"], ids=lambda r: f"{r.method} {r.path}")
@virtual
async def test_pages_lead_to_the_sign_in(rule: Rule) -> None:
    async with site(a_program("a")) as s, s.client() as c:
        answer = await c.request(rule.method, example(rule.path) + "?q=x%26y")
        assert answer.status_code == 303
        there = answer.headers["location"]
        assert there.startswith("/sign-in")
        if rule.method == "GET":
            assert dict(httpx.QueryParams(there.partition("?")[2]))["next"] == example(rule.path) + "?q=x%26y"


def test_a_route_cannot_be_in_the_table_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        Table([Rule("GET", "/x", "read"), Rule("GET", "/x", "none")])


@virtual
async def test_what_is_not_in_the_table_cannot_be_reached() -> None:
    async with site(a_program("a")) as s:

        @s.app.get("/secret-door")
        async def door() -> str:
            raise AssertionError("reached")

        async with s.client("boss") as c:
            assert (await c.get("/secret-door")).status_code == 404


# ---------------------------------------------------------------- every answer


@pytest.mark.parametrize("route", [*ROUTES, *PAGES], ids=lambda r: f"{r.method} {r.path}")
@pytest.mark.parametrize("who", ["", "boss"])
def test_security_headers_on_every_answer(route: Rule, who: str) -> None:
    @virtual
    async def check() -> None:
        async with site(a_program("a")) as s:
            path = example(route.path) + ("?wait=0" * (route.method == "POST"))
            _, headers, _ = await ask(s, route.method, path, bearer(who) if who else {})
            assert_headers(headers, static=route.path.startswith(("/static/", "/favicon")))

    check()


def assert_headers(headers: httpx.Headers, *, static: bool = False) -> None:
    for name, value in ALWAYS.items():
        if not (static and name == "cache-control"):
            assert headers[name].startswith(value), name
    assert "require-trusted-types-for 'script'" in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/nothing", {}),
        ("PATCH", W, {}),
        ("GET", W, {"Host": "evil.example"}),
        ("GET", W, {"Authorization": "Bearer wrong"}),
        ("GET", f"{W}/nobody", bearer("reader")),
        ("POST", f"{W}/a/stop", {**bearer("operator"), "Content-Length": "99999999"}),
    ],
)
def test_security_headers_on_errors(method: str, path: str, headers: dict[str, str]) -> None:
    @virtual
    async def check() -> None:
        async with site(a_program("a")) as s, s.client() as c:
            answer = await c.request(method, path, headers=headers)
            assert answer.status_code >= 400
            assert_headers(answer.headers)

    check()


# ---------------------------------------------------------------- under a path


@pytest.mark.parametrize("prefix", ["", "/jobs"], ids=["stripped", "kept"])
@virtual
async def test_behind_a_proxy_under_a_path(prefix: str) -> None:
    options = {"public_url": "https://a.example/jobs", "root_path": "/jobs"}
    async with site(a_program("a"), **options) as s, s.client("boss") as c:
        s.host.come_up("a")
        answer = await c.post(f"{prefix}{W}/a/restart?wait=0", headers={"Host": "a.example"})
        location = answer.headers["location"]
        assert location.startswith("/jobs/api/v1/operations/op-")
        assert (await c.get(location)).status_code == 200
        assert (await c.get(f"{prefix}/openapi.json")).json()["servers"] == [{"url": "/jobs/"}]
        page = await c.get(f"{prefix}/", headers={"Authorization": ""} | {"Cookie": s.signed_in()})
        assert page.status_code in (200, 401)
        async with s.client() as anonymous:
            away = await anonymous.get(f"{prefix}/workers/a")
            assert away.headers["location"] == "/jobs/sign-in?next=/jobs/workers/a"


@virtual
async def test_the_path_without_its_slash() -> None:
    async with site(root_path="/jobs") as s, s.client() as c:
        answer = await c.get("/jobs")
        assert (answer.status_code, answer.headers["location"]) == (308, "/jobs/")
        assert (await c.get("/jobsx")).status_code == 404


@virtual
async def test_a_believed_proxy_may_say_its_prefix() -> None:
    async with site(a_program("a"), behind_proxy=("127.0.0.1",)) as s, s.client("operator") as c:
        s.host.come_up("a")
        for prefix, root in (
            ("/jobs/", "/jobs"),
            ("/a/b", "/a/b"),
            ("//evil.example", ""),
            ("/a\\b", ""),
            ("/a?b", ""),
        ):
            answer = await c.post(f"{W}/a/restart?wait=0", headers={"X-Forwarded-Prefix": prefix})
            assert answer.headers["location"].startswith(f"{root}/api/v1/operations/")


@virtual
async def test_mounted_inside_another_program() -> None:
    from fastapi import FastAPI

    async with site(a_program("a")) as s:
        s.host.come_up("a")
        outer = FastAPI()
        outer.mount("/ops", s.app)
        async with client(outer, bearer("operator")) as c:
            answer = await c.post(f"/ops{W}/a/restart?wait=0")
            assert answer.headers["location"].startswith("/ops/api/v1/operations/")
            assert (await c.get(answer.headers["location"])).status_code == 200
            assert (await c.get(f"/ops{W}/nobody")).json()["code"] == "unknown_worker"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A.b.", "a.b"),
        ("[::1]", "::1"),
        ("[::FFFF:1.2.3.4]:80", "1.2.3.4"),
        ("1.2.3.4:5", "1.2.3.4"),
        ("a:b", None),
        ("..", "."),
        ("", None),
    ],
)
def test_host_names(text: str, name: str | None) -> None:
    assert host_name(text) == name


def test_addresses() -> None:
    assert str(address_of("::ffff:127.0.0.1")) == "127.0.0.1"
    assert str(address_of("fe80::1%eth0")) == "fe80::1"
    assert address_of("localhost") is None
