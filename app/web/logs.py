"""The routes for log lines: pages of them, and following them, of one worker or of many merged.

Reads the host's log store through its contract only. A reader holds a key; nothing is queued for it. A view of patterns
(`workers=web-*`) takes in workers that come later.

Known wart: `context=` reads the neighbours of each match one by one, so it takes at most 200 matches.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, replace

from starlette.responses import Response

from supervisor_core.calling import call as in_thread
from supervisor_core.calling import start_thread
from supervisor_core.lines import BadKey, Gap, Item, Line, Page, RunMark, View, parse_key
from supervisor_core.logs import LogStore, follow, read
from supervisor_core.search import BadPattern, Query, QueryTooSlow, Search, TooManySearches

from . import query, wire
from .feed import FLUSH
from .loglines import Shape
from .params import Params
from .problems import Problem, bad_cursor, bad_query, printable
from .routes import Call
from .select import find, pick
from .stream import BEAT, EVENTS, PLAIN, asked_position, bye, patience, refuse_crowd, streaming, wants_plain
from .timing import close, pause_unless

TAIL, FOLLOW_TAIL, MOST = 500, 200, 5000
STREAMS = ("out", "err", "log")
CONTEXT, MATCHES = 50, 200
GIVEN_UP = 3_600_000
"""Milliseconds until a browser may come back with a filter that was given up."""

PATTERN_SECONDS = 10.0
"""That one page may take of a regular expression's time."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose lines are asked for, now; `names` tells it again later, when workers have come or gone.

    The view has no filter yet: `opened` gives it the one that `query` asks for.
    """

    view: View
    query: Query
    shape: Shape
    names: Callable[[], tuple[str, ...]]


def asked(call: Call) -> Asked:
    """What the path and the query say. Raises `Problem`."""
    params = Params(call.request)
    groups = call.services.settings.groups
    kept: list[str]
    fixed: tuple[str, ...]
    name = call.request.path_params.get("name")
    if name is not None:
        find(call.host.snapshot(), name)
        kept, fixed = [], (name,)
    else:
        patterns = params.many("workers") or ["all"]
        pick(call.host.snapshot(), patterns, groups)
        kept = [pattern for pattern in patterns if pattern == "all" or any(c in pattern for c in "*?:")]
        fixed = tuple(pattern for pattern in patterns if pattern not in kept)

    def names() -> tuple[str, ...]:
        return tuple(sorted({*fixed, *pick(call.host.snapshot(), kept, groups)})) if kept else fixed

    streams = params.many("stream") or list(STREAMS)
    for stream in streams:
        if stream not in STREAMS:
            raise bad_query("stream= is out, err or log")
    try:
        wanted = query.parse(params.one("q"))
    except query.BadQuery as error:
        raise bad_query(str(error)) from None
    strip = params.choice("ansi", ("keep", "strip"), "keep") == "strip"
    return Asked(View(names(), frozenset(streams)), wanted, Shape(strip=strip, named=name is None), names)


async def _opened(call: Call, what: Asked, seconds: float | None) -> tuple[Asked, Search | None]:
    """With the filter in the view, and what is to be ended with `_end`. Raises `Problem`."""
    if what.query == Query():
        return what, None
    searches = call.services.searches
    try:
        search = (
            await in_thread(searches.open, what.query, seconds) if what.query.patterns else searches.open(what.query)
        )
    except BadPattern as error:
        raise bad_query(printable(str(error))) from None
    except (TooManySearches, QueryTooSlow) as error:
        raise _refused(error) from None
    return replace(what, view=replace(what.view, match=search, words=what.query.wanted)), search


def _refused(error: TooManySearches | QueryTooSlow) -> Problem:
    if isinstance(error, QueryTooSlow):
        return Problem(400, "query_too_slow", printable(str(error)))
    return Problem(503, "too_many_searches", str(error), headers={"Retry-After": "10"})


def _end(search: Search | None) -> None:
    """Ends a search, wherever it stands; does not wait for it."""
    if search is not None and search.query.patterns:
        start_thread("end a search", search.close)


# ---------------------------------------------------------------- pages


async def get_lines(call: Call) -> Response:
    """GET /api/v1/workers/{name}/logs and /api/v1/logs."""
    params, what = Params(call.request), asked(call)
    context = params.integer("context", 0, 0, CONTEXT)
    if context and what.query == Query():
        raise bad_query("context= adds neighbours to what q= finds; give q=, too")
    limit = params.integer("limit", MATCHES if context else MOST, 1, MATCHES if context else MOST)
    what, search = await _opened(call, what, PATTERN_SECONDS)
    try:
        page = await _page(call.host.logs, what.view, params, limit)
    except QueryTooSlow as error:
        raise _refused(error) from None
    finally:
        _end(search)
    if wants_plain(call.request):
        return Response(what.shape.text((*page.items, *page.open)), media_type=PLAIN)
    lines = [(item, True) for item in page.items if isinstance(item, Line)]
    if context:
        lines = await asyncio.to_thread(_with_neighbours, call.host.logs, what.view, page.items, context)
    answer: wire.Json = {
        "lines": [{**what.shape.line(line), **({"match": match} if context else {})} for line, match in lines],
        "first": page.first,
        "next": page.next,
        "oldest": page.oldest,
        "newest": page.newest,
        "expired_bytes": page.expired_bytes,
        "more": page.more,
        "open": [what.shape.line(line) for line in page.open],
        "gaps": [wire.gap(item) for item in page.items if isinstance(item, Gap)],
        "runs": [wire.run(item) for item in page.items if isinstance(item, RunMark)],
    }
    return Response(wire.dump(answer), media_type="application/json")


async def _page(store: LogStore, view: View, params: Params, limit: int) -> Page:
    ways = [way for way in ("tail", "after", "before", "at") if params.has(way)]
    if len(ways) > 1:
        raise bad_query(f"{'= and '.join(ways)}= exclude each other; give one")
    try:
        match ways:
            case ["after"]:
                return await read(store.after, view, params.one("after"), limit)
            case ["before"]:
                return await read(store.before, view, params.one("before"), limit)
            case ["at"]:
                return await read(store.at, view, params.moment("at"), limit)
            case _:
                return await read(store.tail, view, min(params.integer("tail", TAIL, 0, MOST), limit))
    except BadKey as error:
        raise bad_cursor(str(error)) from None


def _with_neighbours(store: LogStore, view: View, found: tuple[Item, ...], count: int) -> list[tuple[Line, bool]]:
    """The lines found and up to `count` before and after each, in order, each once."""
    everything = replace(view, match=None, words=())
    lines: dict[str, tuple[Line, bool]] = {}
    for item in found:
        if isinstance(item, Line) and item.key is not None:
            near = (*store.before(everything, item.key, count).items, *store.after(everything, item.key, count).items)
            for line in near:
                if isinstance(line, Line) and line.key is not None:
                    lines.setdefault(line.key, (line, False))
            lines[item.key] = (item, True)
    return [lines[key] for key in sorted(lines)]


# ---------------------------------------------------------------- following


async def stream_lines(call: Call) -> Response:
    """GET /api/v1/workers/{name}/logs/stream and /api/v1/logs/stream."""
    what = asked(call)
    tail = Params(call.request).integer("tail", FOLLOW_TAIL, 0, MOST)
    after = asked_position(call.request)
    try:
        parse_key(after or "")
    except BadKey as error:
        raise bad_cursor(str(error)) from None
    refuse_crowd(call.services)
    what, search = await _opened(call, what, None)
    try:
        if wants_plain(call.request):
            return streaming(call.services, _follow_plain(call, what, after, tail), PLAIN, ended=lambda: _end(search))
        return streaming(call.services, _follow_events(call, what, after, tail), EVENTS, ended=lambda: _end(search))
    except Problem:
        _end(search)
        raise


async def _follow_events(call: Call, what: Asked, after: str | None, tail: int) -> AsyncGenerator[bytes, None]:
    host, services = call.host, call.services
    retry = patience(services)
    yield wire.frame("heartbeat", {"time": wire.when(host.now())}, retry=retry)
    key: str | None = None
    try:
        async with contextlib.aclosing(_pages(call, what, after, tail)) as pages:
            async for page in pages:
                if page is None:
                    yield wire.frame("heartbeat", {"time": wire.when(host.now())}, key)
                    continue
                key = page.next
                data = what.shape.frames(page)
                if data:
                    yield data
    except QueryTooSlow as error:
        problem = _refused(error)
        told = {"status": problem.status, "code": problem.code, "detail": problem.detail}
        yield wire.frame("problem", told, retry=GIVEN_UP)
        return
    yield bye(services, host.now(), retry)


async def _follow_plain(call: Call, what: Asked, after: str | None, tail: int) -> AsyncGenerator[bytes, None]:
    try:
        async with contextlib.aclosing(_pages(call, what, after, tail)) as pages:
            async for page in pages:
                data = b"" if page is None else what.shape.text(page.items)
                if data:
                    yield data
    except QueryTooSlow as error:
        yield f"--- {printable(str(error))}\n".encode("utf-8", "replace")


async def _pages(call: Call, what: Asked, after: str | None, tail: int) -> AsyncGenerator[Page | None, None]:
    """Pages as they come, at most every 50 ms once the end is reached, and None when a heartbeat is due.

    Begins anew from where it is when the workers of the view have changed. Ends when the service leaves, with all that
    was written by then.
    """
    loop, services, store = asyncio.get_running_loop(), call.services, call.host.logs
    view, names = what.view, what.view.workers
    due = loop.time() + BEAT
    stop = asyncio.create_task(services.stopping.wait())
    source = follow(store, view, after=after, tail=tail, limit=MOST)
    turn = asyncio.ensure_future(anext(source))
    try:
        while not stop.done():
            await asyncio.wait({turn, stop}, timeout=max(0.0, due - loop.time()), return_when=asyncio.FIRST_COMPLETED)
            if names != (now := what.names()):  # before the page is taken: it lacks the lines of those who came
                await _drop(source, turn)
                names, view = now, replace(view, workers=now)
                source = follow(store, view, after=after, tail=tail, limit=MOST)
                turn = asyncio.ensure_future(anext(source))
            elif turn.done():
                page = turn.result()
                after = page.next
                yield page
                if not page.more:
                    await pause_unless(services.stopping, FLUSH)
                turn = asyncio.ensure_future(anext(source))
            if loop.time() >= due:
                due = loop.time() + BEAT
                yield None
        while after is not None:
            page = await read(store.after, view, after, MOST)
            after = page.next
            yield page
            if not page.more:
                break
    finally:
        stop.cancel()
        await _drop(source, turn)


async def _drop(source: AsyncIterator[Page], turn: "asyncio.Future[Page]") -> None:
    """Ends a follower, whether it waits or stands between two pages; does not wait for anything."""
    if not turn.done():
        turn.cancel()
        return
    if not turn.cancelled():
        turn.exception()
    await close(source)
