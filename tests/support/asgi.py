"""The web application over a scripted host, and ways to speak to it without a socket.

`client` speaks plain HTTP through httpx; `Stream` drives the application directly, for answers that do not end.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx

from app.watchers.ledger.ledger import Ledger
from app.web.credentials import Credentials, NamedToken
from app.web.factory import Services, Settings, create_app, gather
from app.web.sessions import hashed
from supervisor_core.model import WorkerSpec
from tests.support.scripted import ScriptedHost, a_program

__all__ = ["Event", "ScriptedHost", "Site", "Stream", "a_program", "bearer", "client", "events_of", "secret", "site"]

BASE = "http://localhost:7440"
TOKENS = {"reader": "read", "operator": "operate", "boss": "admin"}
"""Named tokens of the test application and their scopes; each one's secret is `secret-of-NAME-and-long-enough`."""


def secret(name: str) -> str:
    return f"secret-of-{name}-and-long-enough"


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret(name)}"}


@dataclass
class Site:
    """An application for tests with its parts."""

    host: ScriptedHost
    services: Services
    app: Any

    def client(self, who: str = "", **options: Any) -> httpx.AsyncClient:
        return client(self.app, bearer(who) if who else {}, **options)

    def signed_in(self, who: str = "") -> str:
        """The Cookie header of a browser that has signed in with the token of `who`, or with the owner's."""
        credentials = self.services.credentials
        caller = credentials.token((secret(who) if who else credentials.owner_token).encode())
        assert caller is not None
        return f"{credentials.cookie_name}={credentials.open_session(caller)}"

    async def raw(
        self, method: str, path: str, headers: list[tuple[str, str]], **scope: Any
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of a request with exactly these headers."""
        stream = Stream(self.app, path, method=method)
        stream.scope["headers"] = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        stream.scope.update(scope)
        async with stream:
            await stream.end()
        return stream.status, stream.headers, stream.raw

    @property
    def owner(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.services.credentials.owner_token}"}


@contextlib.asynccontextmanager
async def site(
    *specs: WorkerSpec, host: ScriptedHost | None = None, state: Any = None, ledger: Any = None, **settings: Any
) -> AsyncIterator[Site]:
    """An application over a scripted host, with the tokens of `TOKENS`; settings as in `Settings`.

    `ledger` is the place of one; without it the application keeps none.
    """
    host = host or ScriptedHost(*specs)
    named = [NamedToken(name, scope, hashed(secret(name).encode())) for name, scope in TOKENS.items()]
    root = settings.get("root_path", "")
    credentials = Credentials(state, host.now, named=named, root_path=root)
    services = gather(host, settings=Settings(instance=credentials.instance, **settings), credentials=credentials)
    if ledger is not None:
        services.make_ledger = partial(Ledger, ledger, host, services.conditions, "1")
    services.begin()
    try:
        yield Site(host, services, create_app([host], services=services))
    finally:
        services.stopping.set()
        await services.aclose()
        host.journal.close()


def client(
    app: Any, headers: dict[str, str] | None = None, base: str = BASE, peer: str = "127.0.0.1"
) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=(peer, 40_000)), base_url=base, headers=headers or {}
    )


@dataclass(frozen=True)
class Event:
    """One server-sent event as a browser sees it."""

    name: str
    data: Any
    id: str | None = None
    retry: int | None = None


def events_of(raw: bytes) -> Iterable[Event]:
    """Parses a stream as the standard says, strictly: anything else in it fails."""
    assert b"\r" not in raw
    for block in raw.decode().split("\n\n")[:-1]:
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            field, colon, value = line.partition(": ")
            assert colon, line
            assert field in ("id", "event", "data", "retry"), line
            assert field not in fields, line
            fields[field] = value
        retry = int(fields["retry"]) if "retry" in fields else None
        yield Event(fields["event"], json.loads(fields["data"]), fields.get("id"), retry)


class Stream:
    """An open answer of the application. Use as `async with Stream(app, path, headers) as stream`."""

    def __init__(
        self,
        app: Any,
        path: str,
        headers: dict[str, str] | None = None,
        *,
        method: str = "GET",
        extensions: dict[str, Any] | None = None,
    ) -> None:
        parts = urlsplit(path)
        given = {"host": "localhost:7440", **(headers or {})}
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items()],
            "client": ("127.0.0.1", 40_000),
            "server": ("127.0.0.1", 7440),
            "extensions": extensions or {},
        }
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.times: list[float] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self._app = app
        self._gone = asyncio.Event()
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._asked = False
        self._taken = 0

    async def __aenter__(self) -> "Stream":
        self._task = asyncio.create_task(self._app(self.scope, self._receive, self._send))
        self._task.add_done_callback(lambda _: self._news.set())
        await self._until(lambda: self.status)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gone.set()
        assert self._task is not None
        await asyncio.wait({self._task})

    @property
    def ended(self) -> bool:
        assert self._task is not None
        return self._task.done()

    @property
    def raw(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def events(self) -> list[Event]:
        return list(events_of(self.raw))

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    async def until(self, name: str, count: int = 1) -> Event:
        """The `count`-th event of that name, when it has come."""
        await self._until(lambda: len(self.named(name)) >= count)
        return self.named(name)[count - 1]

    async def next(self, name: str) -> Event:
        """The next event of that name after those that this gave before."""
        found: list[tuple[int, Event]] = []

        def look() -> bool:
            found[:] = [(i, e) for i, e in enumerate(self.events) if i >= self._taken and e.name == name]
            return bool(found)

        await self._until(look)
        self._taken = found[0][0] + 1
        return found[0][1]

    async def end(self) -> None:
        """Returns when the answer is complete."""
        await self._until(lambda: self.ended)

    async def _until(self, there: Callable[[], Any]) -> None:
        while not there():
            if self._task is not None and self._task.done():
                if there():
                    return
                self._task.result()
                raise AssertionError(f"the answer ended: {self.status} {self.raw[-300:]!r}")
            self._news.clear()
            await self._news.wait()

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await self.reading.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        elif message.get("body"):
            self.pieces.append(message["body"])
            self.times.append(asyncio.get_running_loop().time())
        self._news.set()
