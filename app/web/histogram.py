"""How many lines there were over time, of one worker or of many merged: the numbers behind a bar chart.

Counted by the log store, in a thread. Known wart: what is written to `err` counts as an error line, whatever it says,
since nothing here knows levels yet.
"""

from datetime import UTC, datetime

from starlette.responses import Response

from supervisor_core.calling import call as in_thread
from supervisor_core.lines import Histogram
from supervisor_core.search import Query

from . import wire
from .logs import asked
from .params import Params
from .problems import bad_query
from .routes import Call

BUCKETS, MOST = 120, 1000
SPAN = 3600.0
"""Seconds before the end at which it begins, unless the client says otherwise."""

LATEST = datetime.max.replace(tzinfo=UTC).timestamp() - 1
"""The last second of the year 9999 cannot be rounded."""

WORK = 30_000
"""Workers times buckets at most: some seconds of looking into indexes."""


async def histogram(call: Call) -> Response:
    """GET /api/v1/workers/{name}/logs/histogram and /api/v1/logs/histogram."""
    params, what = Params(call.request), asked(call)
    if what.query != Query():
        raise bad_query("a histogram counts all lines; leave out q=")
    buckets = params.integer("buckets", BUCKETS, 1, MOST)
    end = params.moment("to") if params.has("to") else call.host.now()
    start = params.moment("from") if params.has("from") else end - SPAN
    if not 0 <= start < end < LATEST:
        raise bad_query(
            "from= is not before to=, or they are not between 1970 and 9999; leave one out, or exchange them"
        )
    if len(what.view.workers) * buckets > WORK:
        raise bad_query(
            f"{len(what.view.workers)} workers in {buckets} buckets are too much at once; "
            f"name fewer workers, or ask for {max(WORK // len(what.view.workers), 1)} buckets"
        )
    edges = [start + (end - start) * i / buckets for i in range(buckets)] + [end]
    async with call.services.counting:
        found: Histogram = await in_thread(call.host.logs.histogram, what.view, edges)
    told = {
        "from": wire.when(start),
        "to": wire.when(end),
        "buckets": buckets,
        "lines": found.lines,
        "errors": found.errors,
        "exact": found.exact,
        "oldest": wire.when_or_none(found.oldest),
    }
    return Response(wire.dump(told), media_type="application/json")
