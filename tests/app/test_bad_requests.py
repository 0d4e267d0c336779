"""What a client may get wrong, as a table: one clear sentence each, the right status and code, and nothing lost."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from app.web.ends import BODY, LINGER_BYTES
from tests.support.asgi import a_program, site
from tests.support.virtual import run_virtual, virtual

W = "/api/v1/workers"
KEY = "0" * 32
DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000

PATHS: list[tuple[str, str, int, str]] = [
    # names
    ("GET", f"{W}/nobody", 404, "unknown_worker"),
    ("GET", f"{W}/%2e%2e", 404, "unknown_worker"),
    ("GET", f"{W}/..%2f..%2fetc%2fpasswd", 404, "not_found"),
    ("GET", f"{W}/..%5c..%5cx", 404, "unknown_worker"),
    ("GET", f"{W}/a%00b", 404, "unknown_worker"),
    ("GET", f"{W}/a%0d%0aSet-Cookie:%20x=1", 404, "unknown_worker"),
    ("GET", f'{W}/a%22;filename="x', 404, "unknown_worker"),
    ("GET", f"{W}/%ff%fe", 404, "unknown_worker"),
    ("GET", f"{W}/{'a' * 5000}", 404, "unknown_worker"),
    ("GET", f"{W}/%3Cscript%3E", 404, "unknown_worker"),
    ("GET", f"{W}/a%20/logs", 404, "unknown_worker"),
    ("GET", f"{W}/nobody/logs/stream", 404, "unknown_worker"),
    ("GET", f"{W}/nobody/logs/histogram", 404, "unknown_worker"),
    ("GET", "/api/v1/logs/histogram?workers=a,nobody", 404, "unknown_worker"),
    ("GET", f"{W}/nobody/logs/download", 404, "unknown_worker"),
    ("GET", f"{W}/..%2fa/logs/download", 404, "not_found"),
    ("GET", f"{W}/a%22%0d%0ax:%20y/logs/download", 404, "unknown_worker"),
    ("GET", f"{W}/a/logs/download", 404, "not_kept"),
    ("GET", "/api/v1/logs?workers=nobody", 404, "unknown_worker"),
    ("GET", "/api/v1/logs/stream?workers=a,nobody", 404, "unknown_worker"),
    ("GET", "/api/v1/logs?workers=label:", 400, "bad_query"),
    ("GET", f"/api/v1/logs?workers={'*' * 300}", 400, "bad_query"),
    ("GET", f"/api/v1/logs?workers={'a,' * 1500}", 400, "bad_query"),
    ("POST", f"{W}/nobody/restart", 404, "unknown_worker"),
    ("POST", f"{W}/nobody/signal", 404, "unknown_worker"),
    ("GET", "/api/v1/operations/op-nothing", 404, "unknown_operation"),
    ("GET", "/api/v1/operations/%00", 404, "unknown_operation"),
    # paths and methods
    ("GET", "/api/v1/", 404, "not_found"),
    ("GET", f"{W}/", 404, "not_found"),
    ("GET", "/api/v1/timeline", 404, "not_found"),
    ("POST", f"{W}/a/reveal", 404, "not_found"),
    ("GET", "//api/v1/workers", 404, "not_found"),
    ("GET", "/API/v1/workers", 404, "not_found"),
    ("PATCH", W, 405, "method_not_allowed"),
    ("PATCH", f"{W}/a", 405, "method_not_allowed"),
    ("PUT", W, 405, "method_not_allowed"),
    ("POST", W, 400, "bad_body"),
    ("POST", f"{W}/a/run?wait=x", 400, "bad_query"),
    ("GET", f"{W}/a/restart", 405, "method_not_allowed"),
    ("OPTIONS", f"{W}/a/restart", 405, "method_not_allowed"),
    ("BREW", "/healthz", 405, "method_not_allowed"),
    ("TRACE", "/", 405, "method_not_allowed"),
    # queries
    ("GET", f"{W}?state=runing", 400, "bad_query"),
    ("GET", f"{W}?label=x", 400, "bad_query"),
    ("GET", f"{W}?group=nobody", 400, "bad_query"),
    ("GET", "/api/v1/logs?workers=group:nobody", 400, "bad_query"),
    ("GET", f"{W}?q=a&q=b", 400, "bad_query"),
    ("POST", f"{W}/a/restart?wait=soon", 400, "bad_query"),
    ("POST", f"{W}/a/restart?wait=-1", 400, "bad_query"),
    ("POST", f"{W}/a/restart?wait=nan", 400, "bad_query"),
    ("POST", f"{W}/a/restart?wait=inf", 400, "bad_query"),
    ("POST", f"{W}/a/restart?wait=1e3", 400, "bad_query"),
    ("POST", f"{W}/a/restart?wait=99999", 400, "bad_query"),
    ("POST", f"{W}/a/restart?wait=", 400, "bad_query"),
    ("POST", f"{W}/a/restart?until=soon", 400, "bad_query"),
    ("GET", f"{W}/a/logs?tail=1&after={KEY}", 400, "bad_query"),
    ("GET", f"{W}/a/logs?tail=-1", 400, "bad_query"),
    ("GET", f"{W}/a/logs?tail=%D9%A3", 400, "bad_query"),
    ("GET", f"{W}/a/logs?tail=5001", 400, "bad_query"),
    ("GET", f"{W}/a/logs?limit=0", 400, "bad_query"),
    ("GET", f"{W}/a/logs?stream=in", 400, "bad_query"),
    ("GET", f"{W}/a/logs?ansi=maybe", 400, "bad_query"),
    ("GET", f"{W}/a/logs?at=yesterday", 400, "bad_query"),
    ("GET", f"{W}/a/logs?at=2026-11-24T12:00:00", 400, "bad_query"),
    ("GET", f"{W}/a/logs?q=%22open", 400, "bad_query"),
    ("GET", f"{W}/a/logs?q=level:error", 400, "bad_query"),
    ("GET", f"{W}/a/logs?context=3", 400, "bad_query"),
    ("GET", f"{W}/a/logs?q=a%20OR%20b", 400, "bad_query"),
    ("GET", f"{W}/a/logs/download?stream=in", 400, "bad_query"),
    ("GET", f"{W}/a/logs/download?stream=out&stream=err", 400, "bad_query"),
    ("GET", f"{W}/a/logs/histogram?buckets=0", 400, "bad_query"),
    ("GET", f"{W}/a/logs/histogram?buckets=1001", 400, "bad_query"),
    ("GET", f"{W}/a/logs/histogram?buckets=many", 400, "bad_query"),
    ("GET", f"{W}/a/logs/histogram?from=yesterday", 400, "bad_query"),
    ("GET", f"{W}/a/logs/histogram?to=1732450000", 400, "bad_query"),
    ("GET", f"{W}/a/logs/histogram?to=0001-01-01T00:00:00%2B23:00", 400, "bad_query"),
    ("GET", f"{W}/a/logs/histogram?from=2026-11-24T12:00:00Z&to=2026-11-24T12:00:00Z", 400, "bad_query"),
    ("GET", f"{W}/a/logs/histogram?from=9999-12-31T23:59:59Z", 400, "bad_query"),
    ("GET", f"{W}/a/logs/histogram?stream=in", 400, "bad_query"),
    ("GET", f"{W}/a/logs/histogram?q=error", 400, "bad_query"),
    ("GET", "/api/v1/logs/histogram?workers=group:nobody", 400, "bad_query"),
    ("GET", "/api/v1/events?limit=1001", 400, "bad_query"),
    # cursors
    ("GET", f"{W}/a/logs?after=xyz", 400, "bad_cursor"),
    ("GET", f"{W}/a/logs?after={KEY.replace('0', 'G')}", 400, "bad_cursor"),
    ("GET", f"{W}/a/logs?before={'f' * 33}", 400, "bad_cursor"),
    ("GET", f"{W}/a/logs/stream?after=1:2", 400, "bad_cursor"),
    ("GET", "/api/v1/events?after=1", 400, "bad_cursor"),
    ("GET", "/api/v1/events?before=a:b", 400, "bad_cursor"),
    ("GET", "/api/v1/events/stream?after=-1:5", 400, "bad_cursor"),
    ("GET", f"/api/v1/events/stream?after={'9' * 10_000}:1", 400, "bad_cursor"),
]


@pytest.mark.parametrize(("method", "path", "status", "code"), PATHS, ids=[f"{m} {p[:60]}" for m, p, _, _ in PATHS])
def test_paths_and_queries(method: str, path: str, status: int, code: str) -> None:
    check(method, path, status, code)


PATTERNS: list[tuple[str, int, str]] = [
    (f"{W}/a/logs?q=/(/", 400, "bad_query"),
    (f"{W}/a/logs?q=-/[/i", 400, "bad_query"),
    (f"{W}/a/logs?q=/(%0a/", 400, "bad_query"),
    (f"{W}/a/logs?q=/(?P%3Cn%3E/&context=2", 400, "bad_query"),
    (f"{W}/a/logs?q=/{'(' * 900}/", 400, "bad_query"),
    (f"{W}/a/logs/stream?q=/*/", 400, "bad_query"),
    ("/api/v1/logs?workers=a*&q=x%20/a{9,1}/", 400, "bad_query"),
]
"""Regular expressions, which a process reads: that takes real time."""


@pytest.mark.parametrize(("path", "status", "code"), PATTERNS, ids=[p[:60] for p, _, _ in PATTERNS])
def test_patterns(path: str, status: int, code: str) -> None:
    check("GET", path, status, code, runner=asyncio.run)


BODIES: list[tuple[str, Any, int, str]] = [
    ("restart", b"{", 400, "bad_body"),
    ("restart", b"nonsense", 400, "bad_body"),
    ("restart", b"\xff\xfe{}", 400, "bad_body"),
    ("restart", b'{"reason": NaN}', 400, "bad_body"),
    ("restart", b'{"reason": Infinity}', 400, "bad_body"),
    ("restart", b'{"reason": 1e999}', 400, "bad_body"),
    ("restart", b'{"reason": "\\ud800"}', 400, "bad_body"),
    ("restart", b'{"cascade": true, "cascade": false}', 400, "bad_body"),
    ("restart", b"[" * 100_000, 400, "bad_body"),
    ("restart", DEEP, 400, "bad_body"),
    ("restart", b"[]", 422, "bad_body"),
    ("restart", b'"text"', 422, "bad_body"),
    ("restart", b"7", 422, "bad_body"),
    ("restart", b'{"cascade": 1}', 422, "bad_body"),
    ("restart", b'{"cascade": "yes"}', 422, "bad_body"),
    ("restart", b'{"reason": {}}', 422, "bad_body"),
    ("restart", b'{"command": ["rm"]}', 422, "bad_body"),
    ("restart", b'{"if_version": "1:1"}', 409, "conflict"),
    ("restart", b"x" * (1024 * 1024 + 1), 413, "too_large"),
    ("signal", b"", 422, "bad_body"),
    ("signal", b'{"signal": "NOPE"}', 422, "bad_body"),
    ("signal", b'{"signal": 9}', 422, "bad_body"),
    ("signal", b'{"signal": "HUP", "tree": "all"}', 422, "bad_body"),
]


@pytest.mark.parametrize(("action", "body", "status", "code"), BODIES, ids=[f"{a} {b[:30]!r}" for a, b, _, _ in BODIES])
def test_bodies(action: str, body: bytes, status: int, code: str) -> None:
    check("POST", f"{W}/a/{action}", status, code, content=body)


HEADERS: list[tuple[str, dict[str, str], int, str]] = [
    ("GET", {"Last-Event-ID": "garbage"}, 400, "bad_cursor"),
    ("GET", {"Last-Event-ID": "1:" + "9" * 10_000}, 400, "bad_cursor"),
    ("GET", {"X-Padding": "x" * 70_000}, 431, "too_large"),
    ("POST", {"Content-Encoding": "gzip"}, 415, "unsupported_encoding"),
    ("POST", {"Idempotency-Key": "x" * 201}, 400, "bad_query"),
    ("POST", {"Idempotency-Key": "a b"}, 400, "bad_query"),
]


@pytest.mark.parametrize(("method", "headers", "status", "code"), HEADERS)
def test_headers(method: str, headers: dict[str, str], status: int, code: str) -> None:
    check(method, "/api/v1/events/stream" if method == "GET" else f"{W}/a/restart", status, code, headers=headers)


def check(
    method: str, path: str, status: int, code: str, *, runner: Callable[..., Any] = run_virtual, **options: Any
) -> None:
    async def run() -> None:
        async with site(a_program("a")) as s, s.client("boss") as c:
            before = s.host.journal.cursor
            answer = await c.request(method, path, **options)
            told = answer.json()
            assert (answer.status_code, told["code"]) == (status, code), told
            assert answer.headers["content-type"] == "application/problem+json"
            assert told["status"] == status
            assert told["title"]
            assert len(told["detail"]) < 400
            assert told["detail"].isprintable()
            assert s.host.journal.cursor == before, "a bad request has changed something"
            assert s.host.told == []

    runner(run())


@virtual
async def test_a_body_without_end_is_cut_off_at_the_limit() -> None:
    async with site(a_program("a")) as s, s.client("boss") as c:
        sent = 0

        async def endless():  # type: ignore[no-untyped-def]
            nonlocal sent
            while True:
                sent += 65_536
                yield b" " * 65_536

        answer = await c.post(f"{W}/a/restart", content=endless())
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert answer.headers["connection"] == "close"
        assert sent < BODY + LINGER_BYTES + 3 * 65_536


@virtual
async def test_a_declared_length_is_refused_before_it_is_read() -> None:
    async with site(a_program("a")) as s, s.client("boss") as c:
        for length in ("1048577", "1" * 50):
            answer = await c.post(f"{W}/a/restart", content=b"{}", headers={"Content-Length": length})
            assert answer.status_code == 413


@virtual
async def test_a_body_that_does_not_come_is_given_up() -> None:
    async with site(a_program("a")) as s, s.client("boss") as c:

        async def never():  # type: ignore[no-untyped-def]
            yield b"{"
            await asyncio.Event().wait()

        answer = await c.post(f"{W}/a/restart", content=never())
        assert (answer.status_code, answer.json()["code"]) == (408, "too_slow")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=x"])
@virtual
async def test_json_is_read_whatever_its_type_says(kind: str) -> None:
    async with site(a_program("a")) as s, s.client("operator") as c:
        s.host.come_up("a")
        headers = {"Content-Type": kind} if kind else {}
        answer = await c.post(f"{W}/a/restart?wait=0", content=b'{"reason": "for fun"}', headers=headers)
        assert answer.status_code == 202
        assert answer.json()["operation"]["reason"] == "for fun"


@virtual
async def test_a_fault_of_ours_is_told_without_its_innards(caplog: pytest.LogCaptureFixture) -> None:
    async with site(a_program("a")) as s, s.client("reader") as c:
        s.host.snapshot = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        answer = await c.get(W)
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert "division" not in answer.text
        assert "content-security-policy" in answer.headers
        assert "ZeroDivisionError" in caplog.text
