"""Server-sent events over HTTP: the events stream, and the one function that knows how bytes are streamed at all.

Generators here yield ready bytes, one flush at a time; `streaming` hands them to sse-starlette. Whoever wants another
way to send replaces that function. A reader holds a position, never a queue; one that takes nothing for 30 s is closed.

Known wart: sse-starlette would poll for the server's end twice a second, so that part of it is switched off.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any

from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from supervisor_core.journal import Cursor

from ..watchers.metrics.watch import Metrics
from .ends import abort
from .params import Params
from .problems import Problem, bad_cursor
from .routes import Call
from .services import Services
from .timing import pause_unless
from .wire import condition, frame, when
from .wire_metrics import rows_since

BEAT = 5.0
SEND_TIMEOUT = 30.0
EVENTS = "text/event-stream"
PLAIN = "text/plain; charset=utf-8"

log = logging.getLogger("quarterdeck.web")


class _Streaming(EventSourceResponse):
    """Counts as one open stream from its first byte to its last, however it ends."""

    def __init__(
        self, services: Services, content: AsyncGenerator[bytes, None], media: str, ended: Callable[[], None]
    ) -> None:
        super().__init__(
            content,
            headers={"Content-Type": media, "Cache-Control": "no-store"},
            ping=0,
            sep="\n",
            send_timeout=SEND_TIMEOUT,
        )
        self._services = services
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._services.streams += 1
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            log.info("a reader of %s took nothing for %g s and is dropped", scope["path"], SEND_TIMEOUT)
            await abort(scope)
        finally:
            self._services.streams -= 1
            self._ended()

    async def _listen_for_exit_signal_with_grace(self) -> None:
        await asyncio.get_running_loop().create_future()  # never: our generators end when the service leaves


def streaming(
    services: Services,
    content: AsyncGenerator[bytes, None],
    media: str = EVENTS,
    *,
    ended: Callable[[], None] = lambda: None,
) -> Response:
    """Answers with bytes as they come, and calls `ended` then. Raises `Problem` 503 when too many streams are open."""
    refuse_crowd(services)
    return _Streaming(services, content, media, ended)


def refuse_crowd(services: Services) -> None:
    if services.streams >= services.settings.streams:
        detail = f"{services.streams} streams are open, more are not served; close one or try again"
        raise Problem(503, "too_many_streams", detail, headers={"Retry-After": "10"})


def wants_plain(request: Request) -> bool:
    """Whether the client asks for plain lines rather than events or JSON."""
    accept = request.headers.get("accept", "")
    return "text/plain" in accept and "text/event-stream" not in accept and "application/json" not in accept


def asked_position(request: Request) -> str | None:
    """Where to resume: what the browser says after a cut, else the query; None when neither says anything."""
    return request.headers.get("last-event-id") or request.query_params.get("after")


def patience(services: Services) -> int:
    """Milliseconds that one reader waits before a reconnect, others others, so that not all come back at once."""
    services.opened += 1
    return 1000 + services.opened * 617 % 2000


def conditions_of(services: Services) -> list[dict[str, str]]:
    """What is wrong with the service itself now, as JSON."""
    return [condition(one) for one in services.conditions]


def bye(services: Services, now: float, retry: int) -> bytes:
    return frame("bye", {"time": when(now), "why": services.farewell}, retry=retry)


# ---------------------------------------------------------------- events


async def events_stream(call: Call) -> Response:
    """GET /api/v1/events/stream."""
    asked = asked_position(call.request)
    try:
        cursor = Cursor.parse(asked) if asked else None
    except ValueError as error:
        raise bad_cursor(f"{error}; leave it out for a snapshot") from None
    if Params(call.request).flag("metrics"):
        return streaming(call.services, _measured(call, cursor))
    return streaming(call.services, _events(call, cursor))


async def _measured(call: Call, cursor: Cursor | None) -> AsyncGenerator[bytes, None]:
    """The same, and what the workers use once a second, which is measured as long as somebody reads this."""
    metrics = call.services.metrics
    with metrics.watching():
        async with contextlib.aclosing(_events(call, cursor, metrics)) as frames:
            async for data in frames:
                yield data


async def _events(call: Call, cursor: Cursor | None, metrics: Metrics | None = None) -> AsyncGenerator[bytes, None]:
    services, host, feed = call.services, call.host, call.services.feed
    loop = asyncio.get_running_loop()
    now, conditions = host.snapshot().cursor, services.conditions
    told, measured = conditions.version, 0
    hello: dict[str, Any] = {
        "boot": str(now.boot),
        "version": services.settings.version,
        "cursor": str(now),
        "host": host.name,
        "time": when(host.now()),
        "conditions": conditions_of(services),
    }
    retry = patience(services)
    first = frame("hello", hello, retry=retry)
    after, why = _usable(cursor, now)
    if why:
        first += frame("resync", {"why": why, "cursor": str(cursor)})
    due = loop.time() + BEAT
    async with contextlib.aclosing(feed.read(after)) as pieces:
        async for data in pieces:
            if told != conditions.version:
                told = conditions.version
                data += frame("conditions", conditions_of(services))
            if metrics is not None and measured != metrics.number:
                data += rows_since(metrics, measured)
                measured = metrics.number
            if first or data:
                yield first + data
                first = b""
            else:
                await pause_unless(feed.moved, due - loop.time())
            if loop.time() >= due:
                due = loop.time() + BEAT
                yield frame("heartbeat", {"time": when(host.now())})
    yield bye(services, host.now(), retry)


def _usable(cursor: Cursor | None, now: Cursor) -> tuple[int | None, str]:
    """The number to go on after, or None with why the cursor cannot be used ("" when there is none)."""
    if cursor is None:
        return None, ""
    if cursor.boot != now.boot:
        return None, "another boot"
    if cursor.seq > now.seq:
        return None, "from the future"
    return cursor.seq, ""
