"""What has happened: events, runs, and who wanted to change something, over all lives of the service that are kept.

Events of this life come from the journal as long as it holds them, and from the ledger beyond that; all else is the
ledger's. Where that cannot be read, what the journal holds is answered alone. Handlers that only read.

Known wart: an event of the ledger has the main members of the worker's status of then, not all of them.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence

from starlette.responses import Response

from supervisor_core.journal import Cursor, Entry, Gap

from ..watchers.ledger.ledger import Ledger, Unavailable
from ..watchers.ledger.queries import UnknownLife
from . import wire, wire_past
from .params import Params
from .problems import Problem, bad_cursor, unknown_worker
from .routes import Call

JSON = "application/json"
EVENTS, RUNS, MOST = 200, 100, 1000
_ID = re.compile(r"[0-9]{1,18}")

Rows = list[wire.Json]


async def list_events(call: Call) -> Response:
    """GET /api/v1/events: oldest first; without `after=` the newest, or those before `before=`."""
    params, now = Params(call.request), call.host.snapshot().cursor
    limit = params.integer("limit", EVENTS, 1, MOST)
    after, before = _cursor(params, "after"), _cursor(params, "before")
    try:
        if after is not None:
            rows, more = await _after(call, after, before, limit, now)
        else:
            rows, more = await _before(call, before, limit, now)
    except UnknownLife:
        detail = "the cursor is of a start of the service of which nothing is kept; leave it out for the newest events"
        raise Problem(410, "expired_cursor", detail) from None
    told = {
        "cursor": str(now),
        "events": rows,
        "first": rows[0]["cursor"] if rows else None,
        "next": rows[-1]["cursor"] if rows else str(after or now),
        "more": more,
    }
    return Response(wire.dump(told), media_type=JSON)


async def _after(call: Call, after: Cursor, before: Cursor | None, limit: int, now: Cursor) -> tuple[Rows, bool]:
    held = call.host.entries(after.seq, limit) if after.boot == now.boot else Gap(0, 0)
    rows: Rows = []
    if isinstance(held, Gap):
        rows, more = await _stored(call, after, before, limit, now)
        last = Cursor.parse(rows[-1]["cursor"]) if rows else after
        if more or len(rows) == limit or (before is not None and before.boot != now.boot):
            return rows, more
        held = _held(call, last.seq if last.boot == now.boot else 0, limit - len(rows))
    end = now.seq if before is None or before.boot != now.boot else before.seq - 1
    rows += [wire.event(entry, now.boot) for entry in held if entry.seq <= end]
    reached = Cursor.parse(rows[-1]["cursor"]) if rows else after
    return rows, reached < Cursor(now.boot, end)


async def _before(call: Call, before: Cursor | None, limit: int, now: Cursor) -> tuple[Rows, bool]:
    rows: Rows = []
    if before is None or before.boot == now.boot:
        end = min(now.seq, now.seq if before is None else before.seq - 1)
        held = _held(call, max(0, end - limit), limit)
        rows = [wire.event(entry, now.boot) for entry in held if entry.seq <= end]
        before = Cursor(now.boot, held[0].seq if rows else end + 1)
        if len(rows) == limit and (before.seq > 1 or call.services.ledger is None):
            return rows, before.seq > 1
    older, more = await _stored(call, None, before, limit - len(rows), now)
    return older + rows, more


def _held(call: Call, after: int, limit: int) -> list[Entry]:
    """What the journal holds from a number on."""
    found = call.host.entries(after, limit)
    if isinstance(found, Gap):
        found = call.host.entries(found.end, limit)
    return found if isinstance(found, list) else []


async def _stored(
    call: Call, after: Cursor | None, before: Cursor | None, limit: int, now: Cursor
) -> tuple[Rows, bool]:
    """What the ledger holds; nothing of it where that cannot be read and the question is one of this life."""
    ledger = call.services.ledger
    earlier = any(cursor is not None and cursor.boot != now.boot for cursor in (after, before))
    try:
        if ledger is None:
            raise UnknownLife
        with _readable():
            page = await ledger.transitions(after, before, limit)
            return [wire_past.past(row) for row in page.rows], page.more
    except (UnknownLife, Problem):
        if earlier:
            raise
        return [], False


def _cursor(params: Params, name: str) -> Cursor | None:
    text = params.one(name)
    if not text:
        return None
    try:
        return Cursor.parse(text)
    except ValueError as error:
        raise bad_cursor(f"{name}=: {error}") from None


# ---------------------------------------------------------------- runs, and who asked


async def list_runs(call: Call) -> Response:
    """GET /api/v1/runs: newest first, those that live too; of the named workers, also of such as are no more."""
    params, ledger = Params(call.request), _ledger(call)
    limit, before = params.integer("limit", RUNS, 1, MOST), _number(params, "before")
    names = params.many("worker")
    if len(names) > MOST:
        raise Problem(400, "bad_query", f"worker= names {len(names)} workers; at most {MOST} are taken")
    with _readable():
        found, more = await ledger.runs(names, before, limit)
        rows = [wire_past.run_row(row) for row in found]
    if not found and before is None:
        _refuse_unknown(call, names)
    told = {"runs": rows, "next": rows[-1]["id"] if rows and more else None, "more": more}
    return Response(wire.dump(told), media_type=JSON)


def _refuse_unknown(call: Call, names: Sequence[str]) -> None:
    workers = call.host.snapshot().workers
    for name in names:
        if name not in workers:
            raise unknown_worker(name)


async def list_audit(call: Call) -> Response:
    """GET /api/v1/audit: who asked for a change, from where, and what was answered; newest first."""
    params, ledger = Params(call.request), _ledger(call)
    limit, before = params.integer("limit", RUNS, 1, MOST), _number(params, "before")
    with _readable():
        found, more = await ledger.audit(before, limit)
        rows = [wire_past.audited(row) for row in found]
    told = {"requests": rows, "next": rows[-1]["id"] if rows and more else None, "more": more}
    return Response(wire.dump(told), media_type=JSON)


def _ledger(call: Call) -> Ledger:
    ledger = call.services.ledger
    if ledger is None:
        raise Problem(503, "no_ledger", "this program keeps no ledger, so nothing is known of what was")
    return ledger


def _number(params: Params, name: str) -> int | None:
    text = params.one(name)
    if not text:
        return None
    if not _ID.fullmatch(text):
        raise bad_cursor(f"{name}= is the id of a row, as an earlier answer gave it")
    return int(text)


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Turns what goes wrong with the ledger into a `Problem`; a value that cannot be, into a damaged one."""
    try:
        yield
    except Unavailable as error:
        raise Problem(503, "ledger_unavailable", str(error), headers={"Retry-After": "5"}) from None
    except (ValueError, TypeError, OverflowError):
        raise Problem(503, "ledger_unavailable", "rows of the ledger are damaged; ask for others") from None
