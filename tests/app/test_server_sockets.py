"""What only real sockets show: the peer of a Unix socket, slow and odd senders, readers who stop reading."""

import asyncio
import contextlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.web import peer, stream
from tests.support.asgi import ScriptedHost, a_program, bearer, site
from tests.support.sockets import on_tcp, say, served

pytestmark = pytest.mark.asyncio

W = "/api/v1/workers"


async def until(there: Any, seconds: float = 5) -> None:
    """Looks every few milliseconds: what is waited for is in another program's hands."""
    async with asyncio.timeout(seconds):
        while not there():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def test_the_kernel_says_who_is_at_the_other_end_of_the_socket(tmp_path: Path) -> None:
    place = tmp_path / "s"
    async with site(a_program("a"), owner_uid=os.getuid()) as s:
        s.host.come_up("a")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place))
            listener.listen()
            way = httpx.AsyncHTTPTransport(uds=str(place))
            async with served(s, listener), httpx.AsyncClient(transport=way, base_url="http://localhost") as c:
                told = (await c.get("/api/v1/whoami")).json()
                assert (told["scope"], told["how"]) == ("admin", "socket")
                assert (await c.post(f"{W}/a/restart?wait=0")).status_code == 202
                assert (await c.get("/api/v1/whoami", headers=bearer("reader"))).json()["scope"] == "read"
                assert (await c.get("/api/v1/whoami", headers={"Via": "1.1 x"})).json()["scope"] == "none"
                assert (await c.get("/api/v1/whoami", headers={"Host": "evil"})).status_code == 421


async def test_children_of_a_program_are_named_with_brackets() -> None:
    async with site(a_program("p[0]")) as s, on_tcp(s) as port:
        token = bearer("reader")["Authorization"]
        for path in (f"{W}/p[0]", f"{W}/p%5B0%5D"):
            head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
            told = await say(port, head.encode())
            assert json.loads(told.partition(b"\r\n\r\n")[2])["name"] == "p[0]"


async def test_tcp_has_no_peer() -> None:
    async with (
        site(a_program("a")) as s,
        on_tcp(s) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as c,
    ):
        assert (await c.get("/api/v1/whoami")).json()["how"] == "nobody"
        assert (await c.get("/api/v1/whoami", headers=bearer("boss"))).json()["scope"] == "admin"
        assert (await c.get(W, headers={"Host": f"127.0.0.2:{port}"})).status_code == 421


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 70_000 + b"\r\nConnection: close\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 400_000, 431),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
        (b"GET /api/v1/whoami HTTP/1.0\r\n\r\n", 421),
        (b"GET /api/v1/whoami HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
    ],
)  # fmt: skip
async def test_odd_senders(data: bytes, status: int) -> None:
    async with site(a_program("a")) as s, on_tcp(s) as port:
        told = await say(port, data)
        head, _, body = told.partition(b"\r\n\r\n")
        assert int(head.split(b" ")[1]) == status, told[:300]
        assert b"nosniff" in head
        if status >= 400:
            assert json.loads(body)["status"] == status


@pytest.mark.parametrize("declared", [False, True])
async def test_a_large_body_gets_its_answer_though_it_is_not_read(declared: bool) -> None:
    token = bearer("boss")["Authorization"]
    head = f"POST {W}/a/stop HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n".encode()
    if declared:
        data = head + b"Content-Length: 4000000\r\n\r\n" + b"x" * 4_000_000
    else:
        data = (
            head + b"Transfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b"x" * 65_536 + b"\r\n") * 60 + b"0\r\n\r\n"
        )
    async with site(a_program("a")) as s, on_tcp(s) as port:
        told = await say(port, data)
        assert told.split(b" ")[1] == b"413"
        assert json.loads(told.partition(b"\r\n\r\n")[2])["code"] == "too_large"
        assert s.host.told == []


async def test_a_head_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "HEAD_SECONDS", 0.1)
    async with site() as s, on_tcp(s) as port:
        begin = time.monotonic()
        assert await say(port, b"") == b""
        assert b" 408 " in await say(port, b"GET / HTTP/1.1\r\nHos")
        assert b" 200 OK" in await say(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /he")
        assert time.monotonic() - begin < 2
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as c:
            assert (await c.get("/healthz")).status_code == 200
            await asyncio.sleep(0.2)
            assert (await c.get("/healthz")).status_code == 200, "an idle kept connection is not a slow one"


async def test_a_reader_that_never_reads_loses_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SEND_TIMEOUT", 0.3)
    host = ScriptedHost(a_program("a", description="x" * 20_000))
    async with site(host=host) as s, on_tcp(s, buffer=8192) as port:
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.connect(("127.0.0.1", port))
            token = bearer("reader")["Authorization"]
            lazy.sendall(
                f"GET /api/v1/events/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n\r\n".encode()
            )
            await until(lambda: s.services.streams == 1)
            began = asyncio.get_running_loop().time()
            while s.services.streams:
                host.come_up("a")
                host.end("a")
                await s.services.operations.give("start", "a")
                await asyncio.sleep(0.02)
                assert asyncio.get_running_loop().time() < began + 20
            assert len(s.services.feed._pieces) <= 64
            lazy.settimeout(5)
            got = b""
            with contextlib.suppress(ConnectionError):
                while data := lazy.recv(65_536):
                    got += data
            assert b"snapshot" in got
            assert not got.endswith(b"0\r\n\r\n"), "it was ended in order, after all was sent"


async def test_readers_that_vanish_are_forgotten() -> None:
    async with site(a_program("a")) as s, on_tcp(s) as port:
        token = bearer("reader")["Authorization"]
        for i in range(60):
            with socket.socket() as one:
                if i % 2:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
                one.connect(("127.0.0.1", port))
                path = ("/api/v1/events/stream", f"{W}/a/logs/stream", "/api/v1/logs/stream")[i % 3]
                one.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n\r\n".encode())
                if i % 4 > 1:
                    await until(lambda: s.services.streams > 0)
                    s.host.write("a", "x")
        await until(lambda: s.services.streams == 0)
        await until(lambda: s.services.feed._readers == 0)
        assert len(s.host.logs._followers) == 0


async def test_open_streams_do_not_hold_the_server() -> None:
    async with site(a_program("a")) as s:
        async with on_tcp(s) as port:
            token = bearer("reader")["Authorization"]
            head = f" HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n\r\n"
            paths = ("/api/v1/events/stream", f"{W}/a/logs/stream", "/api/v1/logs/stream") * 5
            answers = [asyncio.create_task(say(port, f"GET {path}{head}".encode())) for path in paths]
            await until(lambda: s.services.streams == 15)
            begin = time.monotonic()
        assert time.monotonic() - begin < 1.5
        for answer in answers:
            assert b"event: bye\n" in await answer


async def test_many_streams_get_the_same() -> None:
    async with site(a_program("a")) as s, on_tcp(s) as port:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(headers=bearer("reader"), limits=limits, timeout=20) as c:

            async def read() -> str:
                async with c.stream("GET", f"http://localhost:{port}/api/v1/events/stream") as answer:
                    lines = []
                    async for line in answer.aiter_lines():
                        if line.startswith("data: ["):
                            lines.append(line)
                        if '"run":5' in line and '"state":"running"' in line:
                            return "\n".join(lines)
                raise AssertionError("ended early")

            readers = [asyncio.create_task(read()) for _ in range(100)]
            await until(lambda: s.services.feed._readers == 100, 20)
            for _ in range(4):
                s.host.come_up("a")
                s.host.end("a")
                await s.services.operations.give("start", "a")
            s.host.come_up("a")
            assert len({await reader for reader in readers}) == 1
