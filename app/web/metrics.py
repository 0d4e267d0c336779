"""What workers use, over HTTP: their short history, and all of them now. The live event is `stream.py`'s.

Asking is looking: from the first question on samples are taken, and for half a minute after the last one.
Known wart: a history has gaps where nobody looked, since nothing is sampled then.
"""

import math

from starlette.responses import Response

from supervisor_core.calling import call as in_thread

from ..watchers.metrics import PERIOD
from ..watchers.metrics.history import Series
from . import wire
from .histogram import LATEST
from .params import Params
from .problems import bad_query
from .routes import Call, Query, Route
from .select import find, pick
from .wire_metrics import row, rows, series

POINTS, MOST = 120, 1000
SPAN = 600.0
"""Seconds before the end at which it begins, unless the client says otherwise."""


async def get_history(call: Call) -> Response:
    """GET /api/v1/workers/{name}/metrics."""
    params, name = Params(call.request), call.request.path_params["name"]
    find(call.host.snapshot(), name)
    points = params.integer("points", POINTS, 1, MOST)
    now = call.host.now()
    end = params.moment("to") if params.has("to") else now
    start = params.moment("from") if params.has("from") else end - SPAN
    if not 0 <= start < end < LATEST:
        raise bad_query(
            "from= is not before to=, or they are not between 1970 and 9999; leave one out, or exchange them"
        )
    points = min(points, math.ceil((end - start) / PERIOD))  # a finer one would be empty
    metrics = call.services.metrics
    metrics.ask([name])
    async with call.services.counting:
        found: Series = await in_thread(metrics.history.series, name, start, end, points)
    latest = metrics.latest
    used = latest.rows.get(name) if latest is not None and metrics.sampling else None
    told = {
        "worker": name,
        "from": wire.when(start),
        "to": wire.when(end),
        "points": points,
        "step": (end - start) / points,
        "oldest": wire.when_or_none(metrics.history.oldest),
        "now": None if used is None else row(name, used),
        "fields": series(found),
    }
    return Response(wire.dump(told), media_type="application/json")


async def list_metrics(call: Call) -> Response:
    """GET /api/v1/metrics."""
    params, snapshot = Params(call.request), call.host.snapshot()
    names = pick(snapshot, params.many("workers") or ["all"], call.services.settings.groups)
    sample = await call.services.metrics.fresh(names)
    told = {
        "time": wire.when_or_none(None if sample is None else sample.time),
        "workers": rows(sample, frozenset(names)),
    }
    return Response(wire.dump(told), media_type="application/json")


METRICS = (
    Route(
        "GET", "/api/v1/workers/{name}/metrics", "read", handler=get_history, answers=(200, 400, 404),
        summary="What its processes used, over time",
        query=(
            Query("from", "a time, default ten minutes before the end"),
            Query("to", "a time, default now"),
            Query("points", "how many at most, default 120, at most 1000", "integer"),
        ),
    ),
    Route(
        "GET", "/api/v1/metrics", "read", handler=list_metrics, answers=(200, 400, 404),
        summary="What the processes of workers use now",
        query=(Query("workers", "names and patterns, with commas; all without it", many=True),),
    ),
)  # fmt: skip
